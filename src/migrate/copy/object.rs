//! What an object of Kubernetes says of itself. Pure.

use std::fmt;

use serde::Serialize;
use serde_json::Value;

/// One object, told apart from all others of its cluster. The version that it is read in is none of its identity.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ObjectId {
    /// Empty for the core group.
    pub group: String,
    pub kind: String,
    /// Empty for what has none.
    pub namespace: String,
    pub name: String,
}

impl ObjectId {
    pub fn new(group: &str, kind: &str, namespace: &str, name: &str) -> Self {
        let owned = str::to_owned;
        ObjectId { group: owned(group), kind: owned(kind), namespace: owned(namespace), name: owned(name) }
    }

    pub fn of(object: &Value) -> Self {
        let (group, _) = group_and_version(text(object, "/apiVersion"));
        ObjectId::new(group, text(object, "/kind"), namespace(object), name(object))
    }

    pub fn is(&self, group: &str, kind: &str) -> bool {
        self.group == group && self.kind == kind
    }
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ObjectId { kind, namespace, name, .. } = self;
        if namespace.is_empty() { write!(f, "{kind} {name}") } else { write!(f, "{kind} {namespace}/{name}") }
    }
}

/// `apps/v1` is group `apps`, version `v1`; `v1` is of the core group.
pub fn group_and_version(api_version: &str) -> (&str, &str) {
    api_version.split_once('/').unwrap_or(("", api_version))
}

/// The text at a JSON pointer; empty where there is none.
pub fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// The items of a list; none where there is no list.
pub fn items<'a>(object: &'a Value, pointer: &str) -> impl Iterator<Item = &'a Value> + use<'a> {
    object.pointer(pointer).and_then(Value::as_array).into_iter().flatten()
}

pub fn name(object: &Value) -> &str {
    text(object, "/metadata/name")
}

pub fn namespace(object: &Value) -> &str {
    text(object, "/metadata/namespace")
}

/// None: it has no such label.
pub fn label<'a>(object: &'a Value, key: &str) -> Option<&'a str> {
    object.pointer("/metadata/labels")?.get(key)?.as_str()
}

/// None: it has no such annotation.
pub fn annotation<'a>(object: &'a Value, key: &str) -> Option<&'a str> {
    object.pointer("/metadata/annotations")?.get(key)?.as_str()
}

/// What it belongs to: that makes it again when it is gone, and makes another of it in another cluster.
pub fn controller(object: &Value) -> Option<&Value> {
    items(object, "/metadata/ownerReferences")
        .find(|owner| owner.get("controller").and_then(Value::as_bool) == Some(true))
}

/// Whether a condition of its status is `True`.
pub fn has_condition(object: &Value, kind: &str) -> bool {
    items(object, "/status/conditions")
        .any(|condition| text(condition, "/type") == kind && text(condition, "/status") == "True")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_object_is_told_apart_whatever_version_it_is_read_in() {
        let read = |api_version: &str| {
            let object = json!({"apiVersion": api_version, "kind": "HorizontalPodAutoscaler",
                "metadata": {"namespace": "shop", "name": "web"}});
            ObjectId::of(&object)
        };
        assert_eq!(read("autoscaling/v1"), read("autoscaling/v2"));
        assert_eq!(read("autoscaling/v1").to_string(), "HorizontalPodAutoscaler shop/web");
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}});
        assert_eq!(ObjectId::of(&namespace), ObjectId::new("", "Namespace", "", "shop"));
        assert_eq!(ObjectId::of(&namespace).to_string(), "Namespace shop");
    }

    #[test]
    fn only_a_controlling_owner_is_what_an_object_belongs_to() {
        let owned = |controller: Value| json!({"metadata": {"ownerReferences": [{"kind": "X", "controller": controller}]}});
        assert!(controller(&owned(json!(true))).is_some());
        assert!(controller(&owned(json!(false))).is_none());
        assert!(controller(&json!({"metadata": {}})).is_none());
    }
}
