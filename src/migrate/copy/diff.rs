//! What a copy changes of an object on green, field by field. Secrets are shown as changed or not, never with their
//! values. Pure.

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::{Map, Value};

use super::object::ObjectId;

/// What green's API server writes by itself.
const BOOKKEEPING: [&str; 5] = ["managedFields", "resourceVersion", "generation", "creationTimestamp", "uid"];

/// A field that becomes another.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Change {
    /// `spec.template.spec.containers[name=web].image`
    pub path: String,
    pub from: Shown,
    pub to: Shown,
}

/// A value as it may be shown.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Shown {
    Absent,
    /// It is a Secret's.
    Hidden,
    Value(Value),
}

/// The fields in which an object on green would be another after the apply.
pub fn diff(id: &ObjectId, live: &Value, applied: &Value) -> Vec<Change> {
    let mut changes = Vec::new();
    if let (Value::Object(live), Value::Object(applied)) =
        (without_bookkeeping(live), without_bookkeeping(applied))
    {
        compare_maps(&live, &applied, "", &mut changes);
    }
    if id.is("", "Secret") {
        for change in &mut changes {
            hide(change);
        }
    }
    changes
}

fn without_bookkeeping(object: &Value) -> Value {
    let mut object = object.clone();
    if let Value::Object(fields) = &mut object {
        fields.shift_remove("status");
        if let Some(Value::Object(metadata)) = fields.get_mut("metadata") {
            metadata.retain(|key, _| !BOOKKEEPING.contains(&key.as_str()));
        }
    }
    object
}

/// What is no metadata of a Secret may be secret.
fn hide(change: &mut Change) {
    let is_open = ["metadata.labels", "type", "immutable"].iter().any(|open| change.path.starts_with(open));
    for shown in [&mut change.from, &mut change.to] {
        if !is_open && matches!(shown, Shown::Value(_)) {
            *shown = Shown::Hidden;
        }
    }
}

fn join(path: &str, key: &str) -> String {
    // A key with dots in it, such as a file's name, is told apart from a path.
    let key = if key.contains('.') { format!("[{key}]") } else { key.to_owned() };
    match path {
        "" => key,
        _ if key.starts_with('[') => format!("{path}{key}"),
        _ => format!("{path}.{key}"),
    }
}

fn compare_maps(live: &Map<String, Value>, applied: &Map<String, Value>, path: &str, out: &mut Vec<Change>) {
    let keys: BTreeSet<&String> = live.keys().chain(applied.keys()).collect();
    for key in keys {
        compare(live.get(key), applied.get(key), &join(path, key), out);
    }
}

fn compare(live: Option<&Value>, applied: Option<&Value>, path: &str, out: &mut Vec<Change>) {
    match (live, applied) {
        (Some(live), Some(applied)) if live == applied => {}
        (Some(Value::Object(live)), Some(Value::Object(applied))) => compare_maps(live, applied, path, out),
        (Some(Value::Array(live)), Some(Value::Array(applied))) => compare_lists(live, applied, path, out),
        (None, None) => {}
        (live, applied) => {
            let shown =
                |value: Option<&Value>| value.map_or(Shown::Absent, |value| Shown::Value(value.clone()));
            out.push(Change { path: path.to_owned(), from: shown(live), to: shown(applied) });
        }
    }
}

fn compare_lists(live: &[Value], applied: &[Value], path: &str, out: &mut Vec<Change>) {
    if let Some(key) = list_key(live, applied) {
        let named =
            |items: &'_ [Value]| -> Vec<String> { items.iter().map(|item| scalar(item, key)).collect() };
        let find =
            |items: &'_ [Value], name: &str| items.iter().find(|item| scalar(item, key) == name).cloned();
        let mut names = named(live);
        names.extend(named(applied).into_iter().filter(|name| find(live, name).is_none()));
        let before = out.len();
        for name in names {
            let path = format!("{path}[{key}={name}]");
            compare(find(live, &name).as_ref(), find(applied, &name).as_ref(), &path, out);
        }
        if out.len() == before {
            // The same things in another order.
            let shown = |names: Vec<String>| Shown::Value(names.into());
            out.push(Change { path: path.to_owned(), from: shown(named(live)), to: shown(named(applied)) });
        }
    } else if live.len() == applied.len() {
        for (at, (live, applied)) in live.iter().zip(applied).enumerate() {
            compare(Some(live), Some(applied), &format!("{path}[{at}]"), out);
        }
    } else {
        let shown = |items: &[Value]| Shown::Value(items.to_vec().into());
        out.push(Change { path: path.to_owned(), from: shown(live), to: shown(applied) });
    }
}

/// The field that tells the items of both lists apart.
fn list_key(live: &[Value], applied: &[Value]) -> Option<&'static str> {
    let tells_apart = |items: &[Value], key: &str| {
        let names: BTreeSet<String> = items.iter().map(|item| scalar(item, key)).collect();
        names.len() == items.len() && !names.contains("")
    };
    // A mount's name is its volume's, and one volume may be mounted twice: the path comes first.
    let mut keys =
        ["mountPath", "devicePath", "name", "containerPort", "port", "key", "ip", "type"].into_iter();
    let is_empty = live.is_empty() && applied.is_empty();
    keys.find(|key| !is_empty && tells_apart(live, key) && tells_apart(applied, key))
}

fn scalar(item: &Value, key: &str) -> String {
    match item.get(key) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) => number.to_string(),
        Some(Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_)) | None => String::new(),
    }
}

impl Change {
    /// In one short line.
    pub fn text(&self) -> String {
        match (&self.from, &self.to) {
            (Shown::Hidden, Shown::Hidden) => format!("{}: changed", self.path),
            (from, to) => format!("{}: {} -> {}", self.path, from.text(), to.text()),
        }
    }
}

impl Shown {
    fn text(&self) -> String {
        const LENGTH: usize = 60;
        match self {
            Shown::Absent => "absent".to_owned(),
            Shown::Hidden => "hidden".to_owned(),
            Shown::Value(value) => {
                let text = value.to_string();
                match text.char_indices().nth(LENGTH) {
                    None => text,
                    Some((end, _)) => {
                        format!("{}... ({} bytes)", text.get(..end).unwrap_or_default(), text.len())
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::migrate::copy::testing::yaml;

    fn changes(live: &str, applied: &str) -> Vec<String> {
        let (live, applied) = (yaml(live), yaml(applied));
        let lines = diff(&ObjectId::of(&applied), &live, &applied);
        lines.iter().map(Change::text).collect()
    }

    #[test]
    fn only_the_fields_that_differ_are_named() {
        let live = "
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, uid: a, resourceVersion: '1', generation: 3, managedFields: [{manager: x}], labels: {a: '1'}}
spec:
  replicas: 2
  template: {spec: {containers: [{name: log, image: log:1}, {name: web, image: web:1, args: [a]}]}}
status: {replicas: 2}
";
        let applied = "
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, uid: a, resourceVersion: '1', generation: 4, labels: {a: '1', b.example.org/c: x}}
spec:
  replicas: 3
  template: {spec: {containers: [{name: log, image: log:1}, {name: web, image: web:2, args: [a, b]}, {name: new, image: i}]}}
";
        assert_eq!(
            changes(live, applied),
            [
                "metadata.labels[b.example.org/c]: absent -> \"x\"",
                "spec.replicas: 2 -> 3",
                "spec.template.spec.containers[name=web].args: [\"a\"] -> [\"a\",\"b\"]",
                "spec.template.spec.containers[name=web].image: \"web:1\" -> \"web:2\"",
                "spec.template.spec.containers[name=new]: absent -> {\"name\":\"new\",\"image\":\"i\"}",
            ]
        );
        assert!(changes(live, live).is_empty());
    }

    #[test]
    fn a_secrets_values_are_never_shown() {
        let secret = |text: &str| format!("{{apiVersion: v1, kind: Secret, metadata: {{name: a, {text}}}");
        let live = secret(
            "labels: {x: '1'}, annotations: {note: hunter1}}, data: {a: aHVudGVyMQ==, gone: aHVudGVyMQ==}",
        );
        let applied = secret(
            "labels: {x: '2'}, annotations: {note: hunter2}}, data: {a: aHVudGVyMg==, new: aHVudGVyMg==}",
        );
        let found = changes(&live, &applied);
        assert_eq!(
            found,
            [
                "data.a: changed",
                "data.gone: hidden -> absent",
                "data.new: absent -> hidden",
                "metadata.annotations.note: changed",
                "metadata.labels.x: \"1\" -> \"2\"",
            ]
        );
        let whole = format!("{:?}", diff(&ObjectId::of(&yaml(&applied)), &yaml(&live), &yaml(&applied)));
        assert!(!whole.contains("aHVudGVy") && !whole.contains("hunter"), "{whole}");
        let nothing = changes(&secret("}"), &secret("}, data: {a: aHVudGVyMg==}"));
        assert_eq!(nothing, ["data: absent -> hidden"]);
    }

    #[test]
    fn lists_by_their_keys_and_in_their_order() {
        let ports = |text: &str| {
            format!("{{apiVersion: v1, kind: Service, metadata: {{name: a}}, spec: {{ports: [{text}]}}}}")
        };
        assert_eq!(
            changes(
                &ports("{port: 80, targetPort: 8080}"),
                &ports("{port: 80, targetPort: 8081}, {port: 443}")
            ),
            [
                "spec.ports[port=80].targetPort: 8080 -> 8081",
                "spec.ports[port=443]: absent -> {\"port\":443}"
            ]
        );
        assert_eq!(
            changes(&ports("{port: 80}, {port: 443}"), &ports("{port: 443}, {port: 80}")),
            ["spec.ports: [\"80\",\"443\"] -> [\"443\",\"80\"]"]
        );
        // Without a key, by place.
        assert_eq!(changes(&ports("a, b"), &ports("a, c")), ["spec.ports[1]: \"b\" -> \"c\""]);
    }

    #[test]
    fn a_long_value_is_cut_in_the_text() {
        let text = Shown::Value("é".repeat(100).into()).text();
        assert!(text.ends_with("... (202 bytes)") && text.chars().count() < 80, "{text}");
    }
}
