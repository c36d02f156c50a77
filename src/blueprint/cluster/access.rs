//! Who may do what: the roles and bindings that kubeadm's own commands and kubelets rely on.

use k8s_openapi::api::rbac::v1::{
    ClusterRole, ClusterRoleBinding, PolicyRule, Role, RoleBinding, RoleRef, Subject,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::Value;

use super::object::to_value;

const RBAC: &str = "rbac.authorization.k8s.io";
/// The group of bootstrap tokens that kubeadm makes.
const DEFAULT_NODE_TOKEN: &str = "system:bootstrappers:kubeadm:default-node-token";

/// First of all objects, and first of these `kubeadm:cluster-admins`: `admin.conf` has no rights
/// without it. `kubeadm:apiserver-kubelet-client` is made for every version, although kubeadm before
/// 1.36 lacks it, because a certificate renewed later has no group and then needs it.
pub fn access_objects() -> Vec<Value> {
    vec![
        cluster_role_binding(
            "kubeadm:cluster-admins",
            "cluster-admin",
            vec![group("kubeadm:cluster-admins")],
        ),
        cluster_role_binding(
            "kubeadm:apiserver-kubelet-client",
            "system:kubelet-api-admin",
            vec![user("kube-apiserver-kubelet-client")],
        ),
        cluster_role("kubeadm:get-nodes", vec![rule("", &["nodes"], &["get"])]),
        cluster_role_binding("kubeadm:get-nodes", "kubeadm:get-nodes", vec![group(DEFAULT_NODE_TOKEN)]),
        cluster_role_binding(
            "kubeadm:kubelet-bootstrap",
            "system:node-bootstrapper",
            vec![group(DEFAULT_NODE_TOKEN)],
        ),
        cluster_role_binding(
            "kubeadm:node-autoapprove-bootstrap",
            "system:certificates.k8s.io:certificatesigningrequests:nodeclient",
            vec![group(DEFAULT_NODE_TOKEN)],
        ),
        cluster_role_binding(
            "kubeadm:node-autoapprove-certificate-rotation",
            "system:certificates.k8s.io:certificatesigningrequests:selfnodeclient",
            vec![group("system:nodes")],
        ),
        config_map_reader("kube-system", "kubeadm:nodes-kubeadm-config", "kubeadm-config"),
        role_binding(
            "kube-system",
            "kubeadm:nodes-kubeadm-config",
            vec![group(DEFAULT_NODE_TOKEN), group("system:nodes")],
        ),
        config_map_reader("kube-system", "kubeadm:kubelet-config", "kubelet-config"),
        role_binding(
            "kube-system",
            "kubeadm:kubelet-config",
            vec![group("system:nodes"), group(DEFAULT_NODE_TOKEN)],
        ),
        config_map_reader("kube-public", "kubeadm:bootstrap-signer-clusterinfo", "cluster-info"),
        role_binding("kube-public", "kubeadm:bootstrap-signer-clusterinfo", vec![user("system:anonymous")]),
    ]
}

/// Access to kube-proxy's configuration for nodes that join by token, and kube-proxy's own rights.
pub fn kube_proxy_access() -> Vec<Value> {
    vec![
        cluster_role_binding(
            "kubeadm:node-proxier",
            "system:node-proxier",
            vec![service_account("kube-system", "kube-proxy")],
        ),
        config_map_reader("kube-system", "kube-proxy", "kube-proxy"),
        role_binding("kube-system", "kube-proxy", vec![group(DEFAULT_NODE_TOKEN)]),
    ]
}

/// What CoreDNS watches.
pub fn coredns_access() -> Vec<Value> {
    vec![
        cluster_role(
            "system:coredns",
            vec![
                rule("", &["endpoints", "services", "pods", "namespaces"], &["list", "watch"]),
                rule("discovery.k8s.io", &["endpointslices"], &["list", "watch"]),
            ],
        ),
        cluster_role_binding(
            "system:coredns",
            "system:coredns",
            vec![service_account("kube-system", "coredns")],
        ),
    ]
}

fn named(name: &str) -> ObjectMeta {
    ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() }
}

fn in_namespace(namespace: &str, name: &str) -> ObjectMeta {
    ObjectMeta { namespace: Some(namespace.to_owned()), ..named(name) }
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn rule(api_group: &str, resources: &[&str], verbs: &[&str]) -> PolicyRule {
    PolicyRule {
        api_groups: Some(words(&[api_group])),
        resources: Some(words(resources)),
        verbs: words(verbs),
        ..PolicyRule::default()
    }
}

// The API server fills in a subject's apiGroup, so kubeadm leaves it out and so do we.
fn group(name: &str) -> Subject {
    Subject { kind: "Group".into(), name: name.into(), ..Subject::default() }
}

fn user(name: &str) -> Subject {
    Subject { kind: "User".into(), name: name.into(), ..Subject::default() }
}

fn service_account(namespace: &str, name: &str) -> Subject {
    Subject {
        kind: "ServiceAccount".into(),
        name: name.into(),
        namespace: Some(namespace.into()),
        ..Subject::default()
    }
}

fn role_ref(kind: &str, name: &str) -> RoleRef {
    RoleRef { api_group: Some(RBAC.into()), kind: kind.into(), name: name.into() }
}

fn cluster_role(name: &str, rules: Vec<PolicyRule>) -> Value {
    to_value(&ClusterRole { metadata: named(name), rules: Some(rules), aggregation_rule: None })
}

fn cluster_role_binding(name: &str, role: &str, subjects: Vec<Subject>) -> Value {
    to_value(&ClusterRoleBinding {
        metadata: named(name),
        role_ref: role_ref("ClusterRole", role),
        subjects: Some(subjects),
    })
}

fn config_map_reader(namespace: &str, name: &str, config_map: &str) -> Value {
    let rule =
        PolicyRule { resource_names: Some(words(&[config_map])), ..rule("", &["configmaps"], &["get"]) };
    to_value(&Role { metadata: in_namespace(namespace, name), rules: Some(vec![rule]) })
}

/// A binding of the same name as its role.
fn role_binding(namespace: &str, name: &str, subjects: Vec<Subject>) -> Value {
    to_value(&RoleBinding {
        metadata: in_namespace(namespace, name),
        role_ref: role_ref("Role", name),
        subjects: Some(subjects),
    })
}
