//! For tests of a copy: kinds and objects in few words.

use serde_json::Value;

use super::kinds::{Kind, group_of};
use crate::migrate::copy::object::group_and_version;

/// Kinds without a namespace.
const CLUSTER_WIDE: [&str; 17] = [
    "Namespace",
    "Node",
    "PersistentVolume",
    "CustomResourceDefinition",
    "ClusterRole",
    "ClusterRoleBinding",
    "StorageClass",
    "PriorityClass",
    "IngressClass",
    "RuntimeClass",
    "ValidatingWebhookConfiguration",
    "MutatingWebhookConfiguration",
    "APIService",
    "VolumeSnapshotClass",
    "VolumeSnapshotContent",
    "CSIDriver",
    "ClusterWidget",
];

/// A kind as an API server would serve it.
pub(super) fn kind(api_version: &str, kind: &str) -> Kind {
    let lower = kind.to_lowercase();
    let plural = match lower.strip_suffix('y') {
        Some(stem) => format!("{stem}ies"),
        None if lower.ends_with('s') => format!("{lower}es"),
        None => format!("{lower}s"),
    };
    Kind {
        group: group_of(api_version).to_owned(),
        version: group_and_version(api_version).1.to_owned(),
        kind: kind.to_owned(),
        plural,
        is_namespaced: !CLUSTER_WIDE.contains(&kind),
    }
}

/// Of an object.
pub(super) fn kind_of(object: &Value) -> Kind {
    kind(object["apiVersion"].as_str().unwrap(), object["kind"].as_str().unwrap())
}

/// An object written as YAML, as people write them.
pub(super) fn yaml(text: &str) -> Value {
    serde_yaml::from_str(text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

/// Several, apart by `---`.
pub(super) fn yamls(text: &str) -> Vec<Value> {
    text.split("\n---\n").map(yaml).collect()
}
