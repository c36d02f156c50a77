//! Whether a live object is what was applied: everything wanted is there, and nothing of ours is left
//! over. What the API server or others added is not looked at.

use std::collections::BTreeSet;

use base64::Engine as _;
use serde_json::{Map, Value};

use super::FIELD_MANAGER;

/// One field that is not as wanted.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    /// `spec.template.spec.containers[name=coredns].image`
    pub path: String,
    /// None: ours from an earlier apply, and no longer wanted.
    pub wanted: Option<Value>,
    /// None: absent.
    pub found: Option<Value>,
}

/// Every field of `desired` that `live` lacks or has otherwise, and every field that `live` says
/// keelwright owns and `desired` no longer has.
pub fn covers(desired: &Value, live: &Value) -> Vec<Difference> {
    let mut differences = Vec::new();
    let desired = with_encoded_secret(desired);
    if let (Value::Object(desired), Value::Object(live)) = (&desired, live) {
        compare_maps(desired, live, "", &mut differences);
    }
    let managers = live.pointer("/metadata/managedFields").and_then(Value::as_array);
    for entry in managers.into_iter().flatten() {
        if entry.get("manager").and_then(Value::as_str) == Some(FIELD_MANAGER)
            && entry.get("operation").and_then(Value::as_str) == Some("Apply")
            && let Some(fields) = entry.get("fieldsV1")
        {
            left_over(fields, Some(&desired), live, "", &mut differences);
        }
    }
    differences
}

/// The API server turns a Secret's stringData into data.
fn with_encoded_secret(desired: &Value) -> Value {
    let mut desired = desired.clone();
    let Some(Value::Object(plain)) = desired.get("stringData").cloned() else { return desired };
    if desired.get("kind").and_then(Value::as_str) != Some("Secret") {
        return desired;
    }
    if let Value::Object(object) = &mut desired {
        object.remove("stringData");
        let data = object.entry("data").or_insert(Value::Object(Map::new()));
        for (key, value) in plain {
            let encoded =
                base64::engine::general_purpose::STANDARD.encode(value.as_str().unwrap_or_default());
            data[key] = encoded.into();
        }
    }
    desired
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

/// Maps whose keys and values are the user's own: an empty text there is a value, not a default.
fn is_free_map(key: &str) -> bool {
    matches!(
        key,
        "labels" | "annotations" | "matchLabels" | "nodeSelector" | "selector" | "data" | "binaryData"
    )
}

/// Quantities are equal by value wherever Kubernetes keeps them.
fn is_quantity_map(key: &str) -> bool {
    matches!(
        key,
        "limits"
            | "requests"
            | "hard"
            | "capacity"
            | "allocatable"
            | "default"
            | "defaultRequest"
            | "max"
            | "min"
    )
}

fn compare_maps(
    desired: &Map<String, Value>,
    live: &Map<String, Value>,
    path: &str,
    out: &mut Vec<Difference>,
) {
    let parent = path.rsplit('.').next().unwrap_or_default();
    for (key, wanted) in desired {
        let path = join(path, key);
        match live.get(key) {
            None if is_zero(wanted) && (!is_free_map(parent) || wanted.is_null()) => {}
            None => out.push(Difference { path, wanted: Some(wanted.clone()), found: None }),
            Some(found) if is_quantity_map(parent) || key == "sizeLimit" => {
                if wanted != found && !equal_quantities(wanted, found) {
                    out.push(Difference { path, wanted: Some(wanted.clone()), found: Some(found.clone()) });
                }
            }
            Some(found) if is_port_or_percent(key) && scalar_text(wanted) == scalar_text(found) => {}
            Some(found) => compare(wanted, found, &path, out),
        }
    }
}

/// Fields that take a number or a text.
fn is_port_or_percent(key: &str) -> bool {
    matches!(key, "port" | "targetPort" | "maxUnavailable" | "maxSurge" | "minAvailable")
}

fn scalar_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// What Go's `omitempty` leaves out. Where the default is something else the API server fills it in,
/// so the field is not absent and the values are compared.
fn is_zero(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(value) => !value,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(map) => map.values().all(is_zero),
    }
}

fn compare(desired: &Value, live: &Value, path: &str, out: &mut Vec<Difference>) {
    match (desired, live) {
        (Value::Object(desired), Value::Object(live)) => compare_maps(desired, live, path, out),
        (Value::Array(wanted), Value::Array(found)) => {
            if let Some(key) = list_key(wanted, found) {
                for item in wanted {
                    let name = item.get(key).and_then(scalar_text).unwrap_or_default();
                    let path = format!("{path}[{key}={name}]");
                    match found.iter().find(|other| other.get(key) == item.get(key)) {
                        Some(other) => compare(item, other, &path, out),
                        None => out.push(Difference { path, wanted: Some(item.clone()), found: None }),
                    }
                }
            } else if wanted.len() == found.len() {
                for (index, (item, other)) in wanted.iter().zip(found).enumerate() {
                    compare(item, other, &format!("{path}[{index}]"), out);
                }
            } else {
                out.push(Difference {
                    path: path.to_owned(),
                    wanted: Some(desired.clone()),
                    found: Some(live.clone()),
                });
            }
        }
        (Value::Null, _) => {}
        (wanted, found) if wanted == found || equal_numbers(wanted, found) => {}
        (wanted, found) => out.push(Difference {
            path: path.to_owned(),
            wanted: Some(wanted.clone()),
            found: Some(found.clone()),
        }),
    }
}

fn equal_numbers(left: &Value, right: &Value) -> bool {
    matches!((left.as_f64(), right.as_f64()), (Some(left), Some(right)) if left == right)
}

/// The field that tells the items of a list apart, when all have it and no two share it.
fn list_key(wanted: &[Value], found: &[Value]) -> Option<&'static str> {
    // A mount's name is its volume's, and one volume may be mounted twice: the path comes first.
    ["mountPath", "devicePath", "name", "containerPort", "port", "ip"].into_iter().find(|key| {
        let distinct = |items: &[Value]| {
            let names: BTreeSet<String> =
                items.iter().filter_map(|item| item.get(*key).and_then(scalar_text)).collect();
            names.len() == items.len()
        };
        !wanted.is_empty() && distinct(wanted) && distinct(found)
    })
}

/// Walks the fields keelwright owns (`f:name`, `k:{"name":"x"}`) and reports those no longer wanted.
/// Set items (`v:`) and list indices (`i:`) are covered by comparing the lists themselves.
fn left_over(fields: &Value, desired: Option<&Value>, live: &Value, path: &str, out: &mut Vec<Difference>) {
    let Value::Object(fields) = fields else { return };
    for (step, inner) in fields {
        let (found, wanted, path) = if let Some(name) = step.strip_prefix("f:") {
            (live.get(name), desired.and_then(|desired| desired.get(name)), join(path, name))
        } else if let Some(key) = step.strip_prefix("k:") {
            let Ok(Value::Object(key)) = serde_json::from_str(key) else { continue };
            // A default (protocol TCP) may be part of the key and absent from what was applied.
            let matches = |item: &&Value, strict: bool| {
                key.iter().all(|(field, value)| match item.get(field) {
                    Some(other) => other == value,
                    None => !strict,
                })
            };
            let find = |list: Option<&'_ Value>, strict| -> Option<Value> {
                list?.as_array()?.iter().find(|item| matches(item, strict)).cloned()
            };
            let Some(found) = find(Some(live), true) else { continue };
            let name = key.values().next().and_then(scalar_text).unwrap_or_default();
            let path = format!("{path}[{name}]");
            match find(desired, false) {
                Some(wanted) => left_over(inner, Some(&wanted), &found, &path, out),
                None => out.push(Difference { path, wanted: None, found: Some(found) }),
            }
            continue;
        } else {
            continue;
        };
        let Some(found) = found else { continue };
        match wanted {
            Some(wanted) => left_over(inner, Some(wanted), found, &path, out),
            None => out.push(Difference { path, wanted: None, found: Some(found.clone()) }),
        }
    }
}

/// `100m` is `0.1`, `1Gi` is `1024Mi`.
fn equal_quantities(left: &Value, right: &Value) -> bool {
    let parse = |value: &Value| scalar_text(value).as_deref().and_then(parse_quantity);
    matches!((parse(left), parse(right)), (Some(left), Some(right)) if left == right)
}

/// A quantity in billionths, exactly; None for what is no quantity or too large to say.
pub fn parse_quantity(text: &str) -> Option<i128> {
    const BILLIONTHS: i128 = 1_000_000_000;
    let end =
        text.find(|c: char| !(c.is_ascii_digit() || matches!(c, '.' | '-' | '+'))).unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    let (numerator, denominator): (i128, i128) = match suffix {
        "n" => (1, 1_000_000_000),
        "u" => (1, 1_000_000),
        "m" => (1, 1000),
        "" => (1, 1),
        "k" => (1000, 1),
        "M" => (1_000_000, 1),
        "G" => (1_000_000_000, 1),
        "T" => (10_i128.pow(12), 1),
        "P" => (10_i128.pow(15), 1),
        "E" => (10_i128.pow(18), 1),
        "Ki" => (1 << 10, 1),
        "Mi" => (1 << 20, 1),
        "Gi" => (1 << 30, 1),
        "Ti" => (1 << 40, 1),
        "Pi" => (1 << 50, 1),
        "Ei" => (1 << 60, 1),
        exponent => {
            let power: u32 = exponent.strip_prefix(['e', 'E'])?.parse().ok()?;
            (10_i128.checked_pow(power)?, 1)
        }
    };
    let (negative, digits) = match number.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, number.strip_prefix('+').unwrap_or(number)),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if whole.is_empty() && fraction.is_empty() || fraction.len() > 9 {
        return None;
    }
    let scale = 10_i128.pow(u32::try_from(fraction.len()).ok()?);
    let mantissa: i128 = format!("{whole}{fraction}").parse().ok()?;
    let billionths = mantissa.checked_mul(numerator)?.checked_mul(BILLIONTHS)? / scale / denominator;
    Some(if negative { -billionths } else { billionths })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn paths(desired: Value, live: Value) -> Vec<String> {
        covers(&desired, &live).into_iter().map(|difference| difference.path).collect()
    }

    #[test]
    fn ignores_what_the_api_server_fills_in() {
        let desired = json!({"spec": {
            "containers": [{"name": "a", "image": "x", "resources": {}, "ports": [{"containerPort": 1}]}],
            "hostNetwork": false, "replicas": 2,
        }});
        let live = json!({"metadata": {"uid": "1"}, "status": {}, "spec": {
            "containers": [
                {"name": "sidecar", "image": "y"},
                {"name": "a", "image": "x", "terminationMessagePath": "/dev", "ports": [{"containerPort": 1, "protocol": "TCP"}]},
            ],
            "replicas": 2, "dnsPolicy": "ClusterFirst",
        }});
        assert_eq!(paths(desired, live), Vec::<String>::new());
    }

    #[test]
    fn reports_each_field_that_differs() {
        let desired = json!({
            "metadata": {"labels": {"role": "", "x": "1"}},
            "spec": {"replicas": 0, "args": ["a", "b"], "containers": [{"name": "a", "image": "new"}, {"name": "b"}]},
        });
        let live = json!({
            "metadata": {"labels": {"x": "2"}},
            "spec": {"replicas": 1, "args": ["a"], "containers": [{"name": "a", "image": "old"}]},
        });
        assert_eq!(
            paths(desired, live),
            [
                "metadata.labels.role",
                "metadata.labels.x",
                "spec.replicas",
                "spec.args",
                "spec.containers[name=a].image",
                "spec.containers[name=b]",
            ]
        );
    }

    #[test]
    fn compares_quantities_and_ports_by_value() {
        for (left, right, equal) in [
            (json!("0.1"), json!("100m"), true),
            (json!(1), json!("1"), true),
            (json!("1Gi"), json!("1024Mi"), true),
            (json!("1e3"), json!("1k"), true),
            (json!("1.5Gi"), json!("1536Mi"), true),
            (json!("100m"), json!("101m"), false),
            (json!("1G"), json!("1Gi"), false),
            (json!("x"), json!("y"), false),
            (json!("-1"), json!("1"), false),
        ] {
            let differences = paths(json!({"limits": {"cpu": left}}), json!({"limits": {"cpu": right}}));
            assert_eq!(differences.is_empty(), equal, "{left} {right}");
        }
        assert!(paths(json!({"targetPort": 53}), json!({"targetPort": "53"})).is_empty());
        // A version number is not a quantity.
        assert!(!paths(json!({"data": {"v": "1.0"}}), json!({"data": {"v": "1"}})).is_empty());
    }

    #[test]
    fn reports_what_an_earlier_apply_left() {
        let live = json!({
            "metadata": {"managedFields": [
                {"manager": "other", "operation": "Apply", "fieldsV1": {"f:data": {"f:theirs": {}}}},
                {"manager": "keelwright", "operation": "Apply", "fieldsV1": {
                    "f:data": {"f:kept": {}, "f:gone": {}},
                    "f:ports": {
                        "k:{\"port\":53,\"protocol\":\"UDP\"}": {".": {}, "f:port": {}},
                        "k:{\"port\":80,\"protocol\":\"TCP\"}": {".": {}, "f:port": {}},
                        "k:{\"port\":99,\"protocol\":\"TCP\"}": {".": {}, "f:port": {}},
                    },
                }},
            ]},
            "data": {"kept": "1", "gone": "1", "theirs": "1"},
            "ports": [
                {"port": 53, "protocol": "UDP"}, {"port": 80, "protocol": "TCP"}, {"port": 99, "protocol": "TCP"},
            ],
        });
        let desired =
            json!({"data": {"kept": "1"}, "ports": [{"port": 53, "protocol": "UDP"}, {"port": 80}]});
        assert_eq!(paths(desired, live), ["data.gone", "ports[99]"]);
    }

    #[test]
    fn reads_a_secret_given_as_text() {
        let desired = json!({"kind": "Secret", "stringData": {"a": "b"}});
        assert!(paths(desired.clone(), json!({"kind": "Secret", "data": {"a": "Yg=="}})).is_empty());
        assert!(!paths(desired, json!({"kind": "Secret", "data": {"a": "Yw=="}})).is_empty());
    }
}
