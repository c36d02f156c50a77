use super::*;
use crate::migrate::copy::testing::{kind_of, yaml};

fn cleaned(text: &str) -> Value {
    let classes = BTreeMap::from([("gp2".to_owned(), "gp3".to_owned())]);
    let object = yaml(text);
    clean(&kind_of(&object), &object, &classes)
}

/// Each kind as a cluster gives it, and as it goes to another.
#[test]
fn what_a_cluster_wrote_beside_an_object_does_not_go_along() {
    for (name, given, wanted) in [
        (
            "metadata of any kind",
            "
apiVersion: v1
kind: ConfigMap
metadata:
  name: web
  namespace: shop
  uid: a
  resourceVersion: '7'
  creationTimestamp: 2026-01-01T00:00:00Z
  generation: 2
  selfLink: /api
  managedFields: [{manager: kubectl}]
  ownerReferences: [{kind: X, name: y, uid: z}]
  finalizers: [example.org/f]
  labels: {app: web}
  annotations: {kubectl.kubernetes.io/last-applied-configuration: '{}', note: mine}
data: {a: '1'}
status: {}
",
            "
apiVersion: v1
kind: ConfigMap
metadata: {name: web, namespace: shop, labels: {app: web}, annotations: {note: mine}}
data: {a: '1'}
",
        ),
        (
            "a namespace",
            "
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {kubernetes.io/metadata.name: shop}}
spec: {finalizers: [kubernetes]}
status: {phase: Active}
",
            "{apiVersion: v1, kind: Namespace, metadata: {name: shop}}",
        ),
        (
            "a Service keeps its node ports and families, and loses its addresses",
            "
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec:
  type: NodePort
  clusterIP: 10.96.0.7
  clusterIPs: [10.96.0.7]
  ipFamilies: [IPv4]
  ipFamilyPolicy: SingleStack
  ports: [{port: 80, nodePort: 30080}]
status: {loadBalancer: {}}
",
            "
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec:
  type: NodePort
  ipFamilies: [IPv4]
  ipFamilyPolicy: SingleStack
  ports: [{port: 80, nodePort: 30080}]
",
        ),
        (
            "a balancer's Service",
            "
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec:
  type: LoadBalancer
  clusterIP: 10.96.0.7
  loadBalancerIP: 192.0.2.1
  externalTrafficPolicy: Local
  healthCheckNodePort: 31000
  ports: [{port: 80, nodePort: 30080}]
status: {loadBalancer: {ingress: [{ip: 192.0.2.1}]}}
",
            "
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec:
  type: LoadBalancer
  externalTrafficPolicy: Local
  ports: [{port: 80}]
",
        ),
        (
            "a headless Service",
            "{apiVersion: v1, kind: Service, metadata: {name: db}, spec: {clusterIP: None, clusterIPs: [None], ports: [{port: 1}]}}",
            "{apiVersion: v1, kind: Service, metadata: {name: db}, spec: {clusterIP: None, clusterIPs: [None], ports: [{port: 1}]}}",
        ),
        (
            "an account",
            "{apiVersion: v1, kind: ServiceAccount, metadata: {name: a}, secrets: [{name: a-token-x}], imagePullSecrets: [{name: pull}]}",
            "{apiVersion: v1, kind: ServiceAccount, metadata: {name: a}, imagePullSecrets: [{name: pull}]}",
        ),
        (
            "a claim",
            "
apiVersion: v1
kind: PersistentVolumeClaim
metadata:
  name: data
  annotations:
    pv.kubernetes.io/bind-completed: 'yes'
    pv.kubernetes.io/bound-by-controller: 'yes'
    volume.kubernetes.io/storage-provisioner: d
    volume.kubernetes.io/selected-node: n1
  finalizers: [kubernetes.io/pvc-protection]
spec:
  accessModes: [ReadWriteOnce]
  storageClassName: gp2
  volumeName: pv-1
  volumeMode: Filesystem
  dataSource: {kind: VolumeSnapshot, name: old}
  dataSourceRef: {kind: VolumeSnapshot, name: old}
  resources: {requests: {storage: 1Gi}}
status: {phase: Bound}
",
            "
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data}
spec:
  accessModes: [ReadWriteOnce]
  storageClassName: gp3
  volumeMode: Filesystem
  resources: {requests: {storage: 1Gi}}
",
        ),
        (
            "a claim whose class is in the old place",
            "{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: a, annotations: {volume.beta.kubernetes.io/storage-class: gp2}}, spec: {volumeName: x}}",
            "{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: a, annotations: {volume.beta.kubernetes.io/storage-class: gp3}}}",
        ),
        (
            "a Deployment",
            "
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, annotations: {deployment.kubernetes.io/revision: '3'}}
spec:
  replicas: 2
  template:
    metadata: {creationTimestamp: null, labels: {app: web}}
    spec: {nodeName: n1, containers: [{name: a, image: i}]}
status: {replicas: 2}
",
            "
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 2
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: a, image: i}]}
",
        ),
        (
            "a DaemonSet",
            "{apiVersion: apps/v1, kind: DaemonSet, metadata: {name: a, annotations: {deprecated.daemonset.template.generation: '2'}}, spec: {template: {spec: {}}}}",
            "{apiVersion: apps/v1, kind: DaemonSet, metadata: {name: a}, spec: {template: {spec: {}}}}",
        ),
        (
            "a StatefulSet",
            "
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db}
spec:
  volumeClaimTemplates:
  - metadata: {name: data, creationTimestamp: null}
    spec: {storageClassName: gp2}
    status: {phase: Pending}
",
            "
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db}
spec: {volumeClaimTemplates: [{metadata: {name: data}, spec: {storageClassName: gp3}}]}
",
        ),
        (
            "a Job runs no second time by itself",
            "
apiVersion: batch/v1
kind: Job
metadata: {name: load, labels: {controller-uid: u, job-name: load, app: x}, annotations: {batch.kubernetes.io/job-tracking: ''}}
spec:
  suspend: false
  selector: {matchLabels: {batch.kubernetes.io/controller-uid: u}}
  template:
    metadata: {labels: {controller-uid: u, job-name: load, batch.kubernetes.io/controller-uid: u, batch.kubernetes.io/job-name: load, app: x}}
    spec: {restartPolicy: Never}
",
            "
apiVersion: batch/v1
kind: Job
metadata: {name: load, labels: {app: x}}
spec:
  suspend: true
  template: {metadata: {labels: {app: x}}, spec: {restartPolicy: Never}}
",
        ),
        (
            "a Job that chooses its pods itself",
            "{apiVersion: batch/v1, kind: Job, metadata: {name: a}, spec: {manualSelector: true, selector: {matchLabels: {a: b}}}}",
            "{apiVersion: batch/v1, kind: Job, metadata: {name: a}, spec: {manualSelector: true, selector: {matchLabels: {a: b}}, suspend: true}}",
        ),
        (
            "a CronJob",
            "{apiVersion: batch/v1, kind: CronJob, metadata: {name: a}, spec: {schedule: x, jobTemplate: {metadata: {creationTimestamp: null}, spec: {template: {metadata: {creationTimestamp: null, labels: {a: b}}, spec: {nodeName: n}}}}}, status: {lastScheduleTime: x}}",
            "{apiVersion: batch/v1, kind: CronJob, metadata: {name: a}, spec: {schedule: x, jobTemplate: {spec: {template: {metadata: {labels: {a: b}}, spec: {}}}}, suspend: true}}",
        ),
        (
            "a pod made by hand",
            "
apiVersion: v1
kind: Pod
metadata: {name: p, annotations: {cni.projectcalico.org/podIP: 10.0.0.1}}
spec:
  nodeName: n1
  priority: 0
  preemptionPolicy: PreemptLowerPriority
  volumes:
  - {name: kube-api-access-x, projected: {}}
  - {name: auth-token-file, secret: {secretName: my-token-1}}
  containers:
  - name: a
    volumeMounts:
    - {name: kube-api-access-x, mountPath: /var/run/secrets/kubernetes.io/serviceaccount}
    - {name: auth-token-file, mountPath: /auth}
",
            "
apiVersion: v1
kind: Pod
metadata: {name: p}
spec:
  volumes: [{name: auth-token-file, secret: {secretName: my-token-1}}]
  containers: [{name: a, volumeMounts: [{name: auth-token-file, mountPath: /auth}]}]
",
        ),
        (
            "a pod of an old cluster",
            "{apiVersion: v1, kind: Pod, metadata: {name: p}, spec: {volumes: [{name: default-token-1, secret: {secretName: default-token-1}}], containers: [{name: a, volumeMounts: [{name: default-token-1, mountPath: /var/run/secrets/kubernetes.io/serviceaccount}]}]}}",
            "{apiVersion: v1, kind: Pod, metadata: {name: p}, spec: {volumes: [], containers: [{name: a, volumeMounts: []}]}}",
        ),
        (
            "an autoscaler and a budget lose their status",
            "{apiVersion: autoscaling/v2, kind: HorizontalPodAutoscaler, metadata: {name: a}, spec: {maxReplicas: 3}, status: {currentReplicas: 1}}",
            "{apiVersion: autoscaling/v2, kind: HorizontalPodAutoscaler, metadata: {name: a}, spec: {maxReplicas: 3}}",
        ),
        (
            "a role whose rules are gathered",
            "{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRole, metadata: {name: a}, aggregationRule: {clusterRoleSelectors: []}, rules: [{verbs: [get]}]}",
            "{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRole, metadata: {name: a}, aggregationRule: {clusterRoleSelectors: []}}",
        ),
        (
            "a role of its own",
            "{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRole, metadata: {name: a}, rules: [{verbs: [get]}]}",
            "{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRole, metadata: {name: a}, rules: [{verbs: [get]}]}",
        ),
        (
            "a default StorageClass",
            "{apiVersion: storage.k8s.io/v1, kind: StorageClass, metadata: {name: a, annotations: {storageclass.kubernetes.io/is-default-class: 'true'}}, provisioner: d}",
            "{apiVersion: storage.k8s.io/v1, kind: StorageClass, metadata: {name: a}, provisioner: d}",
        ),
        (
            "a definition whose converter's authority is injected",
            "{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, metadata: {name: a, annotations: {cert-manager.io/inject-ca-from: x}}, spec: {group: g, conversion: {webhook: {clientConfig: {service: {name: s}, caBundle: Yg==}}}}, status: {conditions: []}}",
            "{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, metadata: {name: a, annotations: {cert-manager.io/inject-ca-from: x}}, spec: {group: g, conversion: {webhook: {clientConfig: {service: {name: s}}}}}}",
        ),
        (
            "webhooks whose authority came with them",
            "{apiVersion: admissionregistration.k8s.io/v1, kind: ValidatingWebhookConfiguration, metadata: {name: a}, webhooks: [{name: w, clientConfig: {caBundle: Yg==}}]}",
            "{apiVersion: admissionregistration.k8s.io/v1, kind: ValidatingWebhookConfiguration, metadata: {name: a}, webhooks: [{name: w, clientConfig: {caBundle: Yg==}}]}",
        ),
        (
            "webhooks whose authority is injected",
            "{apiVersion: admissionregistration.k8s.io/v1, kind: MutatingWebhookConfiguration, metadata: {name: a, annotations: {cert-manager.io/inject-ca-from: x}}, webhooks: [{name: w, clientConfig: {caBundle: Yg==}}]}",
            "{apiVersion: admissionregistration.k8s.io/v1, kind: MutatingWebhookConfiguration, metadata: {name: a, annotations: {cert-manager.io/inject-ca-from: x}}, webhooks: [{name: w, clientConfig: {}}]}",
        ),
        (
            "an API whose authority is injected",
            "{apiVersion: apiregistration.k8s.io/v1, kind: APIService, metadata: {name: a, annotations: {cert-manager.io/inject-ca-from: x}}, spec: {caBundle: Yg==, service: {name: s}}, status: {}}",
            "{apiVersion: apiregistration.k8s.io/v1, kind: APIService, metadata: {name: a, annotations: {cert-manager.io/inject-ca-from: x}}, spec: {service: {name: s}}}",
        ),
        (
            "a custom resource, whatever it says",
            "{apiVersion: example.org/v1, kind: Widget, metadata: {name: a, uid: b}, spec: {clusterIP: mine, nodeName: mine, volumeName: mine}, data: {secrets: [x]}, status: {ready: true}}",
            "{apiVersion: example.org/v1, kind: Widget, metadata: {name: a}, spec: {clusterIP: mine, nodeName: mine, volumeName: mine}, data: {secrets: [x]}}",
        ),
    ] {
        assert_eq!(cleaned(given), yaml(wanted), "{name}");
    }
}

#[test]
fn what_has_been_cleaned_stays_as_it_is() {
    for text in [
        "{apiVersion: v1, kind: Service, metadata: {name: a, uid: b}, spec: {clusterIP: 10.0.0.1, ports: [{port: 1}]}}",
        "{apiVersion: batch/v1, kind: Job, metadata: {name: a}, spec: {selector: {}, template: {metadata: {labels: {job-name: a}}}}}",
    ] {
        let once = cleaned(text);
        assert_eq!(clean(&kind_of(&once), &once, &BTreeMap::new()), once);
    }
}

#[test]
fn an_object_is_written_in_the_version_that_both_sides_serve() {
    let object = yaml("{apiVersion: autoscaling/v1, kind: HorizontalPodAutoscaler, metadata: {name: a}}");
    let kind = crate::migrate::copy::testing::kind("autoscaling/v2", "HorizontalPodAutoscaler");
    assert_eq!(clean(&kind, &object, &BTreeMap::new())["apiVersion"], "autoscaling/v2");
}
