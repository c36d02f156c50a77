//! Objects of the Kubernetes API as JSON: their keys and small constructors.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{ConfigMap, ServiceAccount};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Serialize;
use serde_json::Value;

/// `apiVersion/kind/namespace/name`; the namespace is empty for what has none.
pub fn object_key(object: &Value) -> String {
    let field = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    format!(
        "{}/{}/{}/{}",
        field("/apiVersion"),
        field("/kind"),
        field("/metadata/namespace"),
        field("/metadata/name")
    )
}

/// For people: `ConfigMap kube-system/coredns`.
pub fn object_title(object: &Value) -> String {
    let field = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let (kind, namespace, name) = (field("/kind"), field("/metadata/namespace"), field("/metadata/name"));
    if namespace.is_empty() { format!("{kind} {name}") } else { format!("{kind} {namespace}/{name}") }
}

/// A typed object as JSON.
pub(super) fn to_value<T: Serialize>(object: &T) -> Value {
    // invariant: serialising fails only for maps whose keys are not strings; Kubernetes has none.
    serde_json::to_value(object).expect("Kubernetes types serialise")
}

pub(super) fn string_map(entries: &[(&str, &str)]) -> BTreeMap<String, String> {
    entries.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

pub(super) fn config_map(
    namespace: &str,
    name: &str,
    data: BTreeMap<String, String>,
    metadata: ObjectMeta,
) -> Value {
    to_value(&ConfigMap {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            namespace: Some(namespace.to_owned()),
            ..metadata
        },
        data: Some(data),
        ..ConfigMap::default()
    })
}

pub(super) fn service_account(namespace: &str, name: &str) -> Value {
    to_value(&ServiceAccount {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            namespace: Some(namespace.to_owned()),
            ..ObjectMeta::default()
        },
        ..ServiceAccount::default()
    })
}
