//! What a Pod, as JSON, says about its being drained.

use std::collections::BTreeMap;

use serde_json::Value;

/// Whether a drain of its node makes the pod leave: a DaemonSet would put its pod back at once, a mirror pod belongs
/// to a file on the host, and a finished pod disturbs nobody.
pub fn leaves_on_drain(pod: &Value) -> bool {
    let annotations = pod.pointer("/metadata/annotations");
    let is_mirror = annotations.is_some_and(|all| all.get("kubernetes.io/config.mirror").is_some());
    controller(pod) != Some("DaemonSet") && !is_mirror && !is_finished(pod)
}

/// The kind of what would make a new one.
pub fn controller(pod: &Value) -> Option<&str> {
    let owners = pod.pointer("/metadata/ownerReferences").and_then(Value::as_array);
    let owner = owners.into_iter().flatten().find(|owner| owner["controller"].as_bool() == Some(true))?;
    owner["kind"].as_str()
}

pub fn is_finished(pod: &Value) -> bool {
    matches!(pod.pointer("/status/phase").and_then(Value::as_str), Some("Succeeded" | "Failed"))
}

/// Whether a LabelSelector has these labels. An empty one has all.
pub fn selects(selector: &Value, labels: &Value) -> bool {
    let wanted: BTreeMap<String, Value> = selector
        .get("matchLabels")
        .and_then(|labels| serde_json::from_value(labels.clone()).ok())
        .unwrap_or_default();
    let expressions = selector.get("matchExpressions").and_then(Value::as_array);
    wanted.iter().all(|(key, value)| labels.get(key) == Some(value))
        && expressions.into_iter().flatten().all(|expression| {
            let label = labels.get(expression["key"].as_str().unwrap_or_default());
            let values = expression.get("values").and_then(Value::as_array);
            let listed = label.is_some_and(|label| values.is_some_and(|values| values.contains(label)));
            match expression["operator"].as_str() {
                Some("In") => listed,
                Some("NotIn") => !listed,
                Some("Exists") => label.is_some(),
                Some("DoesNotExist") => label.is_none(),
                Some(_) | None => false,
            }
        })
}
