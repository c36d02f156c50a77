use super::*;
use crate::inventory::CopySelection;
use crate::migrate::copy::kinds::Apart;
use crate::migrate::copy::testing::{kind_of, yaml, yamls};

fn found(object: Value) -> Found {
    Found::new(Pairing::Common(kind_of(&object)), object)
}

fn chosen(objects: &str, selection: &CopySelection) -> Selected {
    select(yamls(objects).into_iter().map(found).collect(), &Selection::new(selection).unwrap())
}

fn titles(selected: &Selected) -> Vec<String> {
    selected.copied.iter().map(|one| one.id.to_string()).collect()
}

#[test]
fn everything_that_a_user_made_and_nothing_that_a_cluster_makes() {
    let copied = Verdict::Copied;
    let system = Verdict::System;
    let left = Verdict::Left;
    for (text, verdict_of) in [
        ("{apiVersion: v1, kind: Namespace, metadata: {name: shop}}", copied),
        ("{apiVersion: v1, kind: Namespace, metadata: {name: kube-system}}", system),
        ("{apiVersion: v1, kind: ConfigMap, metadata: {name: a, namespace: kube-system}}", system),
        ("{apiVersion: v1, kind: ConfigMap, metadata: {name: a, namespace: kube-flannel}}", system),
        ("{apiVersion: v1, kind: ConfigMap, metadata: {name: a, namespace: shop}}", copied),
        ("{apiVersion: v1, kind: ConfigMap, metadata: {name: kube-root-ca.crt, namespace: shop}}", system),
        ("{apiVersion: v1, kind: Node, metadata: {name: n}}", system),
        ("{apiVersion: v1, kind: Event, metadata: {name: e, namespace: shop}}", system),
        ("{apiVersion: v1, kind: Endpoints, metadata: {name: e, namespace: shop}}", system),
        ("{apiVersion: v1, kind: PersistentVolume, metadata: {name: p}}", system),
        ("{apiVersion: coordination.k8s.io/v1, kind: Lease, metadata: {name: l, namespace: shop}}", system),
        (
            "{apiVersion: certificates.k8s.io/v1, kind: CertificateSigningRequest, metadata: {name: c}}",
            system,
        ),
        // Owned.
        (
            "{apiVersion: apps/v1, kind: ReplicaSet, metadata: {name: r, namespace: shop, ownerReferences: [{kind: Deployment, controller: true}]}}",
            system,
        ),
        ("{apiVersion: apps/v1, kind: ReplicaSet, metadata: {name: r, namespace: shop}}", copied),
        (
            "{apiVersion: v1, kind: Pod, metadata: {name: p, namespace: shop, ownerReferences: [{kind: ReplicaSet, controller: true}]}}",
            system,
        ),
        (
            "{apiVersion: batch/v1, kind: Job, metadata: {name: j, namespace: shop, ownerReferences: [{kind: CronJob, controller: true}]}}",
            system,
        ),
        (
            "{apiVersion: v1, kind: ConfigMap, metadata: {name: c, namespace: shop, ownerReferences: [{kind: Widget}]}}",
            copied,
        ),
        (
            "{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: c, namespace: shop, ownerReferences: [{kind: StatefulSet, controller: true}]}}",
            copied,
        ),
        (
            "{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: c, namespace: shop, ownerReferences: [{kind: Pod, controller: true}]}}",
            system,
        ),
        // Pods and Jobs by themselves.
        (
            "{apiVersion: v1, kind: Pod, metadata: {name: p, namespace: shop}, status: {phase: Running}}",
            copied,
        ),
        (
            "{apiVersion: v1, kind: Pod, metadata: {name: p, namespace: shop}, status: {phase: Succeeded}}",
            left(Reason::HasEnded),
        ),
        (
            "{apiVersion: v1, kind: Pod, metadata: {name: p, namespace: shop, annotations: {kubernetes.io/config.mirror: x}}}",
            system,
        ),
        ("{apiVersion: batch/v1, kind: Job, metadata: {name: j, namespace: shop}}", copied),
        (
            "{apiVersion: batch/v1, kind: Job, metadata: {name: j, namespace: shop}, status: {conditions: [{type: Complete, status: 'True'}]}}",
            left(Reason::HasRun),
        ),
        (
            "{apiVersion: batch/v1, kind: Job, metadata: {name: j, namespace: shop}, status: {conditions: [{type: Failed, status: 'True'}]}}",
            left(Reason::HasRun),
        ),
        // Secrets and accounts.
        ("{apiVersion: v1, kind: Secret, metadata: {name: s, namespace: shop}, type: Opaque}", copied),
        (
            "{apiVersion: v1, kind: Secret, metadata: {name: sh.helm.release.v1.web.v1, namespace: shop}, type: helm.sh/release.v1}",
            copied,
        ),
        (
            "{apiVersion: v1, kind: Secret, metadata: {name: s, namespace: shop}, type: kubernetes.io/service-account-token}",
            left(Reason::Token),
        ),
        (
            "{apiVersion: v1, kind: ServiceAccount, metadata: {name: default, namespace: shop}, secrets: [{name: x}]}",
            system,
        ),
        (
            "{apiVersion: v1, kind: ServiceAccount, metadata: {name: default, namespace: shop}, imagePullSecrets: [{name: x}]}",
            copied,
        ),
        (
            "{apiVersion: v1, kind: ServiceAccount, metadata: {name: default, namespace: shop, annotations: {eks.amazonaws.com/role-arn: x}}}",
            copied,
        ),
        ("{apiVersion: v1, kind: ServiceAccount, metadata: {name: web, namespace: shop}}", copied),
        ("{apiVersion: v1, kind: Service, metadata: {name: kubernetes, namespace: default}}", system),
        ("{apiVersion: v1, kind: Service, metadata: {name: kubernetes, namespace: shop}}", copied),
        // Cluster-wide.
        (
            "{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRole, metadata: {name: admin, labels: {kubernetes.io/bootstrapping: rbac-defaults}}}",
            system,
        ),
        (
            "{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRole, metadata: {name: system:coredns}}",
            system,
        ),
        (
            "{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRoleBinding, metadata: {name: kubeadm:get-nodes}}",
            system,
        ),
        (
            "{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRole, metadata: {name: system-watcher}}",
            copied,
        ),
        (
            "{apiVersion: scheduling.k8s.io/v1, kind: PriorityClass, metadata: {name: system-node-critical}}",
            system,
        ),
        ("{apiVersion: scheduling.k8s.io/v1, kind: PriorityClass, metadata: {name: high}}", copied),
        (
            "{apiVersion: storage.k8s.io/v1, kind: StorageClass, metadata: {name: standard, labels: {addonmanager.kubernetes.io/mode: EnsureExists}}}",
            system,
        ),
        (
            "{apiVersion: storage.k8s.io/v1, kind: StorageClass, metadata: {name: kops-ssd, labels: {app.kubernetes.io/managed-by: kops}}}",
            system,
        ),
        ("{apiVersion: storage.k8s.io/v1, kind: StorageClass, metadata: {name: fast}}", copied),
        (
            "{apiVersion: flowcontrol.apiserver.k8s.io/v1, kind: FlowSchema, metadata: {name: probes, annotations: {apf.kubernetes.io/autoupdate-spec: 'true'}}}",
            system,
        ),
        (
            "{apiVersion: apiregistration.k8s.io/v1, kind: APIService, metadata: {name: v1.apps}, spec: {groupPriorityMinimum: 1}}",
            system,
        ),
        (
            "{apiVersion: apiregistration.k8s.io/v1, kind: APIService, metadata: {name: v1.m}, spec: {service: {name: s, namespace: m}}}",
            copied,
        ),
        (
            "{apiVersion: admissionregistration.k8s.io/v1, kind: ValidatingWebhookConfiguration, metadata: {name: w}}",
            copied,
        ),
        (
            "{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, metadata: {name: widgets.example.org}, spec: {group: example.org}}",
            copied,
        ),
        (
            "{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, metadata: {name: ippools.crd.projectcalico.org}, spec: {group: crd.projectcalico.org}}",
            system,
        ),
        (
            "{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, metadata: {name: x.snapshot.storage.k8s.io}, spec: {group: snapshot.storage.k8s.io}}",
            system,
        ),
        ("{apiVersion: example.org/v1, kind: Widget, metadata: {name: w, namespace: shop}}", copied),
        // On their way out.
        (
            "{apiVersion: v1, kind: ConfigMap, metadata: {name: c, namespace: shop, deletionTimestamp: 2026-01-01T00:00:00Z}}",
            left(Reason::Leaving),
        ),
    ] {
        let object = yaml(text);
        assert_eq!(verdict(&ObjectId::of(&object), &object), verdict_of, "{text}");
    }
}

const CLUSTER: &str = "
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: v1
kind: Namespace
metadata: {name: other}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop, labels: {app: web}}
spec: {template: {spec: {priorityClassName: high}}}
---
apiVersion: example.org/v1
kind: Widget
metadata: {name: w, namespace: shop}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: c, namespace: other}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: read, namespace: shop}
roleRef: {kind: ClusterRole, name: reader}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: reader}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: operator}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: nobody}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: operators}
subjects: [{kind: ServiceAccount, name: web, namespace: shop}]
roleRef: {kind: ClusterRole, name: operator}
---
apiVersion: scheduling.k8s.io/v1
kind: PriorityClass
metadata: {name: high}
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.example.org}
spec: {group: example.org, names: {kind: Widget}}
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata: {name: elsewhere}
webhooks: [{clientConfig: {service: {namespace: other, name: w}}}]
";

#[test]
fn nothing_is_left_out_without_a_selection() {
    let selected = chosen(CLUSTER, &CopySelection::default());
    assert_eq!(selected.copied.len(), yamls(CLUSTER).len());
    assert_eq!((selected.left, selected.unselected), (Vec::new(), 0));
}

#[test]
fn cluster_wide_objects_come_along_with_the_namespaces_that_need_them() {
    let selection = CopySelection { namespaces: vec!["shop".to_owned()], ..CopySelection::default() };
    let selected = chosen(CLUSTER, &selection);
    assert_eq!(
        titles(&selected),
        [
            "Namespace shop",
            "Deployment shop/web",
            "Widget shop/w",
            "RoleBinding shop/read",
            "ClusterRole reader",
            "ClusterRole operator",
            "ClusterRoleBinding operators",
            "PriorityClass high",
            "CustomResourceDefinition widgets.example.org",
        ]
    );
    let left: Vec<&str> = selected.left.iter().map(|left| left.what.as_str()).collect();
    assert_eq!(left, ["ClusterRole nobody", "ValidatingWebhookConfiguration elsewhere"]);
    assert_eq!(selected.unselected, 2, "the other namespace, and what is in it");
}

#[test]
fn a_label_selector_brings_what_it_needs_and_nothing_else() {
    let selection = CopySelection { selector: Some("app=web".to_owned()), ..CopySelection::default() };
    let selected = chosen(CLUSTER, &selection);
    // The binding of its account serves its namespace, and brings its role.
    assert_eq!(
        titles(&selected),
        [
            "Namespace shop",
            "Deployment shop/web",
            "ClusterRole operator",
            "ClusterRoleBinding operators",
            "PriorityClass high",
        ]
    );
    assert_eq!((selected.left.len(), selected.unselected), (0, 8));
}

#[test]
fn namespaces_and_kinds_that_stay() {
    let selection = CopySelection {
        except: vec!["oth*".to_owned()],
        without_kinds: vec!["clusterroles".to_owned(), "Widget.example.org".to_owned()],
        ..CopySelection::default()
    };
    let titles = titles(&chosen(CLUSTER, &selection));
    assert!(
        !titles.iter().any(|title| title.contains("other")
            || title.contains("ClusterRole ")
            || title.contains("Widget"))
    );
    assert!(titles.contains(&"ClusterRoleBinding operators".to_owned()));
}

#[test]
fn what_green_cannot_take_is_counted_by_kind() {
    let mut objects: Vec<Found> = yamls(CLUSTER).into_iter().map(found).collect();
    for one in &mut objects {
        if one.id.kind == "ClusterRole" {
            one.pairing = Pairing::Apart(one.kind().clone(), Apart::NotServed);
        }
    }
    let selected = select(objects, &Selection::new(&CopySelection::default()).unwrap());
    let wanted = Left::new("3 objects of kind ClusterRole", "green does not serve this kind");
    assert_eq!(selected.left, [wanted]);
}

#[test]
fn a_namespace_that_goes_takes_all_along() {
    let selected = chosen(
        "
apiVersion: v1
kind: Namespace
metadata: {name: shop, deletionTimestamp: 2026-01-01T00:00:00Z}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: c, namespace: shop}
",
        &CopySelection::default(),
    );
    assert!(selected.copied.is_empty());
    let left: Vec<String> = selected.left.iter().map(|left| format!("{}: {}", left.what, left.why)).collect();
    assert_eq!(left, ["Namespace shop: it is being deleted", "ConfigMap shop/c: it is being deleted"]);
}

#[test]
fn tokens_that_the_cluster_made_for_its_accounts_are_not_worth_a_word() {
    let selected = chosen(
        "
apiVersion: v1
kind: ServiceAccount
metadata: {name: web, namespace: shop}
secrets: [{name: web-token-1}]
---
apiVersion: v1
kind: Secret
metadata: {name: web-token-1, namespace: shop}
type: kubernetes.io/service-account-token
---
apiVersion: v1
kind: Secret
metadata: {name: by-hand, namespace: shop}
type: kubernetes.io/service-account-token
",
        &CopySelection::default(),
    );
    assert_eq!(titles(&selected), ["ServiceAccount shop/web"]);
    assert_eq!(selected.left.len(), 1);
    assert_eq!(selected.left[0].what, "Secret shop/by-hand");
}
