//! What an object needs of others: the pods that it makes, their claims, and cluster-wide objects that it names. Pure.

use std::collections::BTreeSet;

use serde_json::Value;

use super::object::{ObjectId, annotation, controller, group_and_version, items, name, namespace, text};

/// Where an object keeps what its pods are made from.
const POD_TEMPLATES: [(&str, &str, &str); 9] = [
    ("apps", "Deployment", "/spec/template"),
    ("apps", "StatefulSet", "/spec/template"),
    ("apps", "DaemonSet", "/spec/template"),
    ("apps", "ReplicaSet", "/spec/template"),
    ("", "ReplicationController", "/spec/template"),
    ("batch", "Job", "/spec/template"),
    ("batch", "CronJob", "/spec/jobTemplate/spec/template"),
    ("", "PodTemplate", "/template"),
    // A pod is what it makes.
    ("", "Pod", ""),
];

/// The JSON pointer to what its pods are made from; None: it makes none.
pub fn pod_template(group: &str, kind: &str) -> Option<&'static str> {
    POD_TEMPLATES.iter().find(|entry| entry.0 == group && entry.1 == kind).map(|entry| entry.2)
}

/// The spec of the pods that an object makes, or of itself.
pub fn pod_spec(object: &Value) -> Option<&Value> {
    let (group, _) = group_and_version(text(object, "/apiVersion"));
    let template = pod_template(group, text(object, "/kind"))?;
    object.pointer(&format!("{template}/spec"))
}

/// A claim that pods use.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct UsedClaim {
    pub name: String,
    pub is_read_only: bool,
}

/// Claims that the pods of an object use by name; those of a StatefulSet's templates are not among them.
pub fn used_claims(object: &Value) -> Vec<UsedClaim> {
    let Some(spec) = pod_spec(object) else { return Vec::new() };
    let claim = |volume: &Value| {
        let claim = volume.get("persistentVolumeClaim")?;
        let is_read_only = claim.get("readOnly").and_then(Value::as_bool).unwrap_or(false);
        Some(UsedClaim { name: text(claim, "/claimName").to_owned(), is_read_only })
    };
    items(spec, "/volumes").filter_map(claim).collect()
}

/// Whether a StatefulSet's templates make the claim of this name.
pub fn makes_claim(set: &Value, claim: &str) -> bool {
    items(set, "/spec/volumeClaimTemplates").any(|template| {
        let stem = format!("{}-{}-", name(template), name(set));
        let number = claim.strip_prefix(&stem);
        number.is_some_and(|number| !number.is_empty() && number.chars().all(|c| c.is_ascii_digit()))
    })
}

/// Whether the pods of an object use a claim of their namespace, by name or from a template.
pub fn uses_claim(object: &Value, claim: &str) -> bool {
    used_claims(object).iter().any(|used| used.name == claim)
        || (text(object, "/kind") == "StatefulSet" && makes_claim(object, claim))
}

/// Cluster-wide objects that an object names, without its definition.
pub fn cluster_wide(object: &Value) -> BTreeSet<ObjectId> {
    let mut found = BTreeSet::new();
    let mut add = |group: &str, kind: &str, name: &str| {
        if !name.is_empty() {
            found.insert(ObjectId::new(group, kind, "", name));
        }
    };
    if let Some(spec) = pod_spec(object) {
        add("scheduling.k8s.io", "PriorityClass", text(spec, "/priorityClassName"));
        add("node.k8s.io", "RuntimeClass", text(spec, "/runtimeClassName"));
    }
    match text(object, "/kind") {
        "PersistentVolumeClaim" => add("storage.k8s.io", "StorageClass", storage_class(object)),
        "StatefulSet" => {
            for template in items(object, "/spec/volumeClaimTemplates") {
                add("storage.k8s.io", "StorageClass", storage_class(template));
            }
        }
        "Ingress" => add("networking.k8s.io", "IngressClass", text(object, "/spec/ingressClassName")),
        "Gateway" => add("gateway.networking.k8s.io", "GatewayClass", text(object, "/spec/gatewayClassName")),
        "RoleBinding" | "ClusterRoleBinding" if text(object, "/roleRef/kind") == "ClusterRole" => {
            add("rbac.authorization.k8s.io", "ClusterRole", text(object, "/roleRef/name"));
        }
        _ => {}
    }
    found
}

/// The StorageClass that a claim names, in the old way too; empty: it names none.
pub fn storage_class(claim: &Value) -> &str {
    match text(claim, "/spec/storageClassName") {
        "" => annotation(claim, "volume.beta.kubernetes.io/storage-class").unwrap_or_default(),
        named => named,
    }
}

/// Namespaces in whose service a cluster-wide object stands: those of the accounts that a binding is for, and of the
/// Services that a webhook or an API is served by.
pub fn served_namespaces(object: &Value) -> BTreeSet<&str> {
    let accounts = items(object, "/subjects")
        .filter(|subject| text(subject, "/kind") == "ServiceAccount")
        .map(|subject| text(subject, "/namespace"));
    let webhooks = items(object, "/webhooks").map(|webhook| text(webhook, "/clientConfig/service/namespace"));
    let served = std::iter::once(text(object, "/spec/service/namespace"));
    accounts.chain(webhooks).chain(served).filter(|namespace| !namespace.is_empty()).collect()
}

/// What scales its target by load: `(group, kind, namespace, name)` of the target.
pub fn scaled_by(autoscaler: &Value) -> Option<ObjectId> {
    let target = autoscaler.pointer("/spec/scaleTargetRef")?;
    let (group, _) = group_and_version(text(target, "/apiVersion"));
    Some(ObjectId::new(group, text(target, "/kind"), namespace(autoscaler), name_of(target)))
}

fn name_of(reference: &Value) -> &str {
    text(reference, "/name")
}

/// Pods that run now and write to a claim.
pub fn writers<'a>(pods: impl Iterator<Item = &'a Value>, namespace_of: &str, claim: &str) -> Vec<String> {
    let writes = |pod: &&Value| {
        namespace(pod) == namespace_of
            && matches!(text(pod, "/status/phase"), "Running" | "Pending")
            && used_claims(pod).iter().any(|used| used.name == claim && !used.is_read_only)
    };
    pods.filter(writes).map(|pod| name(pod).to_owned()).collect()
}

/// Whether a claim comes and goes with one pod.
pub fn is_ephemeral(claim: &Value) -> bool {
    controller(claim).is_some_and(|owner| text(owner, "/kind") == "Pod")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::migrate::copy::testing::yaml;

    fn set() -> Value {
        yaml(
            "
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db, namespace: shop}
spec:
  template:
    spec:
      priorityClassName: high
      runtimeClassName: sandbox
      volumes:
      - {name: a, persistentVolumeClaim: {claimName: shared, readOnly: true}}
      - {name: b, emptyDir: {}}
  volumeClaimTemplates:
  - {metadata: {name: data}, spec: {storageClassName: fast}}
",
        )
    }

    #[test]
    fn claims_by_name_and_by_template() {
        let set = set();
        assert_eq!(used_claims(&set), [UsedClaim { name: "shared".to_owned(), is_read_only: true }]);
        for (claim, is_used) in [
            ("shared", true),
            ("data-db-0", true),
            ("data-db-12", true),
            ("data-db-", false),
            ("data-db-0-old", false),
            ("data-other-0", false),
        ] {
            assert_eq!(uses_claim(&set, claim), is_used, "{claim}");
        }
    }

    #[test]
    fn cluster_wide_objects_that_are_named() {
        let titles =
            |object: &Value| cluster_wide(object).iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(titles(&set()), ["RuntimeClass sandbox", "PriorityClass high", "StorageClass fast"]);
        for (text, found) in [
            (
                "{apiVersion: v1, kind: PersistentVolumeClaim, spec: {storageClassName: slow}}",
                vec!["StorageClass slow"],
            ),
            (
                "{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {annotations: {volume.beta.kubernetes.io/storage-class: old}}}",
                vec!["StorageClass old"],
            ),
            ("{kind: RoleBinding, roleRef: {kind: ClusterRole, name: reader}}", vec!["ClusterRole reader"]),
            ("{kind: RoleBinding, roleRef: {kind: Role, name: reader}}", vec![]),
            ("{kind: Ingress, spec: {ingressClassName: nginx}}", vec!["IngressClass nginx"]),
            ("{kind: ConfigMap}", vec![]),
        ] {
            assert_eq!(titles(&yaml(text)), found, "{text}");
        }
    }

    #[test]
    fn a_cluster_wide_object_may_stand_in_a_namespaces_service() {
        let served =
            |text: &str| served_namespaces(&yaml(text)).into_iter().map(str::to_owned).collect::<Vec<_>>();
        let binding =
            "{subjects: [{kind: ServiceAccount, name: a, namespace: shop}, {kind: Group, name: ops}]}";
        assert_eq!(served(binding), ["shop"]);
        assert_eq!(served("{webhooks: [{clientConfig: {service: {namespace: hooks, name: w}}}]}"), ["hooks"]);
        assert_eq!(served("{spec: {service: {namespace: metrics, name: m}}}"), ["metrics"]);
        assert!(served("{rules: []}").is_empty());
    }

    #[test]
    fn only_pods_that_run_and_may_write_are_writers() {
        let pod = |name: &str, phase: &str, read_only: bool| {
            yaml(&format!(
                "{{apiVersion: v1, kind: Pod, metadata: {{name: {name}, namespace: shop}}, status: {{phase: {phase}}}, \
                 spec: {{volumes: [{{name: a, persistentVolumeClaim: {{claimName: data, readOnly: {read_only}}}}}]}}}}"
            ))
        };
        let pods = [
            pod("writes", "Running", false),
            pod("reads", "Running", true),
            pod("ended", "Succeeded", false),
        ];
        assert_eq!(writers(pods.iter(), "shop", "data"), ["writes"]);
        assert!(writers(pods.iter(), "other", "data").is_empty());
        assert!(writers(pods.iter(), "shop", "logs").is_empty());
    }
}
