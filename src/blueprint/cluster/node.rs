//! What a Node object must say about its host: labels, taints, pod ranges.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::inventory::{Host, HostName, Role, Taint, TaintEffect};

/// Remembers, on the Node, which labels and taints keelwright put there, so that one dropped from the
/// inventory is removed and one that somebody else set never is.
const MANAGED_ANNOTATION: &str = "keelwright.dev/managed";
const CONTROL_PLANE_LABEL: &str = "node-role.kubernetes.io/control-plane";
const EXCLUDE_FROM_BALANCERS_LABEL: &str = "node.kubernetes.io/exclude-from-external-load-balancers";

/// The part of a Node that keelwright answers for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeWish {
    pub name: HostName,
    pub labels: BTreeMap<String, String>,
    pub taints: Vec<Taint>,
    /// Set once, when the Node has none: Kubernetes never lets them change. Empty: left to the
    /// controller manager.
    pub pod_cidrs: Vec<IpNet>,
}

/// What the Node of a host must say. A kubelet may not label itself as a control plane
/// (NodeRestriction), so all of this is patched by an administrator.
pub fn node_wish(host: &Host, pod_cidrs: &[IpNet]) -> NodeWish {
    let mut labels = host.labels.clone();
    let mut taints = host.taints.clone();
    if host.is_control_plane() {
        labels.entry(CONTROL_PLANE_LABEL.into()).or_default();
        labels.entry(EXCLUDE_FROM_BALANCERS_LABEL.into()).or_default();
        // A control plane that is a worker too takes any pod.
        let given = taints.iter().any(|taint| taint.key == CONTROL_PLANE_LABEL);
        if !host.roles.contains(&Role::Worker) && !given {
            taints.push(Taint {
                key: CONTROL_PLANE_LABEL.into(),
                value: None,
                effect: TaintEffect::NoSchedule,
            });
        }
    }
    taints.sort();
    NodeWish { name: host.name.clone(), labels, taints, pod_cidrs: pod_cidrs.to_vec() }
}

/// The merge patch that makes a live Node what is wished; None: nothing to do. Taints are one list to
/// the API, so the patch repeats those of others and carries the version they were read at: a change
/// in between is a conflict (409), and the caller reads again.
pub fn node_patch(wish: &NodeWish, live: &Value) -> Option<Value> {
    let managed = managed(live);
    let labels = labels_patch(wish, live, &managed);
    let live_taints = live.pointer("/spec/taints").and_then(Value::as_array).cloned().unwrap_or_default();
    let taints = wished_taints(wish, &live_taints, &managed);
    let mut spec = Map::new();
    if taints != live_taints {
        spec.insert("taints".into(), taints.into());
    }
    if live.pointer("/spec/podCIDR").is_none()
        && let Some(first) = wish.pod_cidrs.first()
    {
        spec.insert("podCIDR".into(), first.to_string().into());
        spec.insert("podCIDRs".into(), wish.pod_cidrs.iter().map(IpNet::to_string).collect());
    }
    let record = record(wish);
    let recorded = live.pointer("/metadata/annotations").and_then(|all| all.get(MANAGED_ANNOTATION));
    let mut metadata = Map::new();
    if recorded.and_then(Value::as_str) != Some(record.as_str()) {
        metadata.insert("annotations".into(), json!({ MANAGED_ANNOTATION: record }));
    }
    if !labels.is_empty() {
        metadata.insert("labels".into(), labels.into());
    }
    if metadata.is_empty() && spec.is_empty() {
        return None;
    }
    let mut patch = Map::new();
    if !spec.is_empty() {
        if let Some(version) = live.pointer("/metadata/resourceVersion") {
            metadata.insert("resourceVersion".into(), version.clone());
        }
        patch.insert("spec".into(), spec.into());
    }
    patch.insert("metadata".into(), metadata.into());
    Some(Value::Object(patch))
}

/// `labels` and `taints` (key:effect) that we set before.
fn managed(live: &Value) -> (BTreeSet<String>, BTreeSet<String>) {
    let record: Value = live
        .pointer("/metadata/annotations")
        .and_then(|annotations| annotations.get(MANAGED_ANNOTATION))
        .and_then(Value::as_str)
        .and_then(|text| serde_json::from_str(text).ok())
        .unwrap_or_default();
    let names = |key: &str| {
        let items = record.get(key).and_then(Value::as_array);
        items.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
    };
    (names("labels"), names("taints"))
}

fn record(wish: &NodeWish) -> String {
    let taints: Vec<String> = wish.taints.iter().map(taint_key).collect();
    json!({"labels": wish.labels.keys().collect::<Vec<_>>(), "taints": taints}).to_string()
}

fn taint_key(taint: &Taint) -> String {
    format!("{}:{}", taint.key, taint.effect.as_str())
}

fn live_taint_key(taint: &Value) -> String {
    let field = |name: &str| taint.get(name).and_then(Value::as_str).unwrap_or_default();
    format!("{}:{}", field("key"), field("effect"))
}

fn labels_patch(
    wish: &NodeWish,
    live: &Value,
    (managed, _): &(BTreeSet<String>, BTreeSet<String>),
) -> Map<String, Value> {
    let live = live.pointer("/metadata/labels");
    let live_label = |key: &str| live.and_then(|labels| labels.get(key)).and_then(Value::as_str);
    let mut patch = Map::new();
    for (key, value) in &wish.labels {
        if live_label(key) != Some(value) {
            patch.insert(key.clone(), value.clone().into());
        }
    }
    for key in managed {
        if !wish.labels.contains_key(key) && live_label(key).is_some() {
            patch.insert(key.clone(), Value::Null);
        }
    }
    patch
}

/// The live list, less what we no longer want, with what is missing at its end.
fn wished_taints(
    wish: &NodeWish,
    live: &[Value],
    (_, managed): &(BTreeSet<String>, BTreeSet<String>),
) -> Vec<Value> {
    let wished: BTreeMap<String, &Taint> =
        wish.taints.iter().map(|taint| (taint_key(taint), taint)).collect();
    let mut taints: Vec<Value> = live
        .iter()
        .filter(|taint| {
            let key = live_taint_key(taint);
            wished.contains_key(&key) || !managed.contains(&key)
        })
        .map(|taint| match wished.get(&live_taint_key(taint)) {
            Some(wished) if value_of(taint) != wished.value.clone().unwrap_or_default() => taint_json(wished),
            Some(_) | None => taint.clone(),
        })
        .collect();
    let present: BTreeSet<String> = live.iter().map(live_taint_key).collect();
    taints
        .extend(wished.iter().filter(|(key, _)| !present.contains(*key)).map(|(_, taint)| taint_json(taint)));
    taints
}

fn value_of(taint: &Value) -> String {
    taint.get("value").and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn taint_json(taint: &Taint) -> Value {
    let mut json = json!({"key": taint.key, "effect": taint.effect.as_str()});
    if let Some(value) = &taint.value {
        json["value"] = value.clone().into();
    }
    json
}
