//! What pods ask for and nodes have, as the scheduler counts it.

use std::collections::BTreeMap;
use std::iter::Sum;
use std::ops::Add;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{is_finished, leaves_on_drain, text};
use crate::blueprint::cluster::parse_quantity;

/// CPU in thousandths of a core, memory in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Amount {
    pub cpu_millis: u64,
    pub memory: u64,
}

impl Add for Amount {
    type Output = Amount;

    fn add(self, other: Amount) -> Amount {
        Amount {
            cpu_millis: self.cpu_millis.saturating_add(other.cpu_millis),
            memory: self.memory.saturating_add(other.memory),
        }
    }
}

impl Sum for Amount {
    fn sum<I: Iterator<Item = Amount>>(all: I) -> Amount {
        all.fold(Amount::default(), Amount::add)
    }
}

impl Amount {
    /// What is left of this when `used` is taken from it.
    pub fn without(self, used: Amount) -> Amount {
        Amount {
            cpu_millis: self.cpu_millis.saturating_sub(used.cpu_millis),
            memory: self.memory.saturating_sub(used.memory),
        }
    }

    pub fn fits(self, room: Amount) -> bool {
        self.cpu_millis <= room.cpu_millis && self.memory <= room.memory
    }

    fn greater(self, other: Amount) -> Amount {
        Amount { cpu_millis: self.cpu_millis.max(other.cpu_millis), memory: self.memory.max(other.memory) }
    }
}

/// One node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeLoad {
    /// Ready, not cordoned, and without a taint that keeps ordinary pods away.
    pub schedulable: bool,
    pub allocatable: Amount,
    /// Of all pods on it.
    pub requested: Amount,
    /// Of those that leave when it is drained.
    pub movable: Amount,
}

pub(super) fn read(nodes: &[Value], pods: &[Value]) -> BTreeMap<String, NodeLoad> {
    let mut found: BTreeMap<String, NodeLoad> =
        nodes.iter().map(|node| (text(node, "/metadata/name").to_owned(), node_load(node))).collect();
    for pod in pods.iter().filter(|pod| !is_finished(pod)) {
        if let Some(node) = found.get_mut(text(pod, "/spec/nodeName")) {
            let asked = pod_requests(&pod["spec"]);
            node.requested = node.requested + asked;
            if leaves_on_drain(pod) {
                node.movable = node.movable + asked;
            }
        }
    }
    found
}

fn node_load(node: &Value) -> NodeLoad {
    let taints = node.pointer("/spec/taints").and_then(Value::as_array);
    let keeps_away = taints
        .into_iter()
        .flatten()
        .any(|taint| matches!(taint["effect"].as_str(), Some("NoSchedule" | "NoExecute")));
    let cordoned = node.pointer("/spec/unschedulable").and_then(Value::as_bool).unwrap_or(false);
    NodeLoad {
        schedulable: crate::facts::node_is_ready(node) && !cordoned && !keeps_away,
        allocatable: amount(&node["status"]["allocatable"]),
        ..NodeLoad::default()
    }
}

/// Containers run together, beside the sidecars that were started before them; an init container runs alone with
/// the sidecars before it. What the pod as a whole asks for, if it does, is instead of that.
fn pod_requests(spec: &Value) -> Amount {
    let containers = |field: &str| spec[field].as_array().into_iter().flatten();
    let requests = |container: &Value| amount(&container["resources"]["requests"]);
    let (mut sidecars, mut peak) = (Amount::default(), Amount::default());
    for container in containers("initContainers") {
        if container["restartPolicy"].as_str() == Some("Always") {
            sidecars = sidecars + requests(container);
            peak = peak.greater(sidecars);
        } else {
            peak = peak.greater(sidecars + requests(container));
        }
    }
    let running = sidecars + containers("containers").map(requests).sum();
    let together = running.greater(peak);
    let of_pod = &spec["resources"]["requests"];
    let asked = Amount {
        cpu_millis: quantity(&of_pod["cpu"], 1000).unwrap_or(together.cpu_millis),
        memory: quantity(&of_pod["memory"], 1).unwrap_or(together.memory),
    };
    asked + amount(&spec["overhead"])
}

fn amount(resources: &Value) -> Amount {
    Amount {
        cpu_millis: quantity(&resources["cpu"], 1000).unwrap_or(0),
        memory: quantity(&resources["memory"], 1).unwrap_or(0),
    }
}

/// In parts of which `scale` make one, rounded up as the scheduler does.
fn quantity(value: &Value, scale: i128) -> Option<u64> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => return None,
    };
    let billionths = parse_quantity(&text)?.checked_mul(scale)?;
    u64::try_from(billionths.checked_add(999_999_999)? / 1_000_000_000).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn asks(cpu: &str, memory: &str) -> Value {
        json!({"resources": {"requests": {"cpu": cpu, "memory": memory}}})
    }

    #[test]
    fn pods_ask_for_what_the_scheduler_counts() {
        let sidecar = json!({"restartPolicy": "Always", "resources": {"requests": {"cpu": "50m"}}});
        let whole = json!({"requests": {"cpu": "2"}});
        for (spec, cpu_millis, memory) in [
            (json!({}), 0, 0),
            (json!({"containers": [{}]}), 0, 0),
            (json!({"containers": [asks("100m", "1Gi"), asks("0.5", "128M")]}), 600, (1 << 30) + 128_000_000),
            (json!({"containers": [asks("1", "1")], "initContainers": [asks("3", "0")]}), 3000, 1),
            (json!({"containers": [asks("1", "1")], "initContainers": [sidecar, asks("1", "1")]}), 1050, 1),
            (json!({"containers": [asks("100u", "1500m")]}), 1, 2),
            (json!({"containers": [asks("1", "5")], "resources": whole}), 2000, 5),
            (json!({"containers": [asks("1", "5")], "overhead": {"cpu": "250m", "memory": "7"}}), 1250, 12),
            (json!({"containers": [asks("much", "-1")]}), 0, 0),
        ] {
            assert_eq!(pod_requests(&spec), Amount { cpu_millis, memory }, "{spec}");
        }
    }

    #[test]
    fn nodes_that_take_no_ordinary_pods_are_told() {
        let ready = json!([{"type": "Ready", "status": "True"}]);
        let node =
            |spec: Value| json!({"metadata": {"name": "n"}, "spec": spec, "status": {"conditions": ready}});
        let soft = json!({"taints": [{"effect": "PreferNoSchedule"}]});
        assert!(node_load(&node(json!({}))).schedulable && node_load(&node(soft)).schedulable);
        assert!(!node_load(&node(json!({"unschedulable": true}))).schedulable);
        assert!(!node_load(&node(json!({"taints": [{"effect": "NoSchedule"}]}))).schedulable);
        assert!(!node_load(&json!({"metadata": {"name": "n"}})).schedulable);
    }
}
