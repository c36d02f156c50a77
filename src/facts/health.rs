//! Whether nodes that were just changed are well, and the workloads of the cluster as they were before: what
//! the API says, told as what is wrong.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::cluster::node_is_ready;
use super::pod::{controller, is_finished};
use super::upgrade::{SYSTEM_NAMESPACE, text, title};
use crate::inventory::HostName;
use crate::release::KubeVersion;

/// Objects as the API lists them.
#[derive(Debug, Clone, Default)]
pub struct Listed {
    pub nodes: Vec<Value>,
    pub pods: Vec<Value>,
    /// Deployments and StatefulSets.
    pub workloads: Vec<Value>,
}

/// By workload, as `Deployment default/web`, the pods that are available, but no more than it asks for: one
/// that is made smaller meanwhile has lost nothing.
pub fn availability(workloads: &[Value]) -> BTreeMap<String, u64> {
    workloads.iter().map(counts).map(|counts| (counts.name, counts.available)).collect()
}

struct Counts {
    name: String,
    wanted: u64,
    available: u64,
}

fn counts(workload: &Value) -> Counts {
    let count = |pointer: &str| workload.pointer(pointer).and_then(Value::as_u64);
    let wanted = count("/spec/replicas").unwrap_or(1);
    let name = format!("{} {}", text(workload, "/kind"), title(workload));
    Counts { name, wanted, available: count("/status/availableReplicas").unwrap_or(0).min(wanted) }
}

/// What is wrong with these nodes, with the pods that DaemonSets of the cluster itself have on them, and with
/// workloads that had more pods available `before`. Nothing: all is well.
pub fn troubles(
    nodes: &[HostName],
    kubelet: KubeVersion,
    before: &BTreeMap<String, u64>,
    listed: &Listed,
) -> Vec<String> {
    let mut found: Vec<String> =
        nodes.iter().filter_map(|node| of_node(node, kubelet, &listed.nodes)).collect();
    let names: BTreeSet<&str> = nodes.iter().map(HostName::as_str).collect();
    let system = |pod: &&Value| {
        names.contains(text(pod, "/spec/nodeName"))
            && text(pod, "/metadata/namespace") == SYSTEM_NAMESPACE
            && controller(pod) == Some("DaemonSet")
    };
    let mut pods: Vec<String> = listed.pods.iter().filter(system).filter_map(of_pod).collect();
    pods.sort();
    found.append(&mut pods);
    // One that is gone was taken away by somebody.
    for Counts { name, wanted, available } in listed.workloads.iter().map(counts) {
        let before = before.get(&name).copied().unwrap_or(0).min(wanted);
        if available < before {
            found.push(format!("{name} has {available} pods available, and had {before}"));
        }
    }
    found
}

fn of_node(name: &HostName, kubelet: KubeVersion, nodes: &[Value]) -> Option<String> {
    let Some(node) = nodes.iter().find(|node| text(node, "/metadata/name") == name.as_str()) else {
        return Some(format!("node {name} is not registered"));
    };
    let runs = text(node, "/status/nodeInfo/kubeletVersion");
    if runs != kubelet.to_string() {
        return Some(format!("node {name} runs kubelet {runs}"));
    }
    (!node_is_ready(node)).then(|| format!("node {name} is not Ready"))
}

fn of_pod(pod: &Value) -> Option<String> {
    let conditions = pod.pointer("/status/conditions").and_then(Value::as_array);
    let is_ready = |condition: &Value| condition["type"] == "Ready" && condition["status"] == "True";
    if is_finished(pod) || conditions.is_some_and(|all| all.iter().any(is_ready)) {
        return None;
    }
    let why = waits_for(pod).unwrap_or("not Ready");
    Some(format!("pod {} on {} is {why}", title(pod), text(pod, "/spec/nodeName")))
}

/// `CrashLoopBackOff`, `ImagePullBackOff` and the like, or the pod's phase.
fn waits_for(pod: &Value) -> Option<&str> {
    let reasons = ["/status/initContainerStatuses", "/status/containerStatuses"];
    let statuses = reasons.iter().filter_map(|pointer| pod.pointer(pointer)?.as_array()).flatten();
    let mut waiting = statuses.filter_map(|status| status.pointer("/state/waiting/reason")?.as_str());
    waiting.next().or_else(|| Some(text(pod, "/status/phase")).filter(|phase| *phase == "Pending"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn node(name: &str, version: &str, ready: bool) -> Value {
        let status = if ready { "True" } else { "False" };
        json!({"metadata": {"name": name}, "status": {
            "nodeInfo": {"kubeletVersion": version}, "conditions": [{"type": "Ready", "status": status}],
        }})
    }

    fn pod(name: &str, node: &str, owner: &str, status: Value) -> Value {
        json!({"metadata": {"namespace": "kube-system", "name": name,
            "ownerReferences": [{"kind": owner, "controller": true}]},
            "spec": {"nodeName": node}, "status": status})
    }

    fn workload(name: &str, replicas: u64, available: u64) -> Value {
        json!({"kind": "Deployment", "metadata": {"namespace": "default", "name": name},
            "spec": {"replicas": replicas}, "status": {"availableReplicas": available}})
    }

    fn said(listed: &Listed) -> Vec<String> {
        let nodes = ["w-1", "w-2"].map(|name| HostName::parse(name).unwrap());
        let before = [("Deployment default/web".to_owned(), 3)].into();
        troubles(&nodes, KubeVersion::new(1, 37, 1), &before, listed)
    }

    fn well() -> Listed {
        let ready = json!({"conditions": [{"type": "Ready", "status": "True"}]});
        Listed {
            nodes: vec![
                node("w-1", "v1.37.1", true),
                node("w-2", "v1.37.1", true),
                node("w-3", "v1.36.4", false),
            ],
            pods: vec![
                pod("proxy-1", "w-1", "DaemonSet", ready),
                // Of another node, of no DaemonSet, and finished.
                pod("proxy-3", "w-3", "DaemonSet", json!({})),
                pod("dns", "w-1", "ReplicaSet", json!({})),
                pod("job", "w-2", "DaemonSet", json!({"phase": "Succeeded"})),
            ],
            workloads: vec![workload("web", 3, 3), workload("new", 2, 0)],
        }
    }

    #[test]
    fn nothing_is_said_of_a_wave_that_is_well() {
        assert_eq!(said(&well()), Vec::<String>::new());
    }

    #[test]
    fn what_is_wrong_with_a_wave_is_named() {
        type Break = fn(&mut Listed);
        let waiting =
            |reason: &str| json!({"containerStatuses": [{"state": {"waiting": {"reason": reason}}}]});
        let crash = waiting("CrashLoopBackOff");
        let rows: [(Break, &str); 6] = [
            (|listed| listed.nodes[0] = node("w-1", "v1.37.1", false), "node w-1 is not Ready"),
            (|listed| listed.nodes[1] = node("w-2", "v1.36.4", true), "node w-2 runs kubelet v1.36.4"),
            (|listed| drop(listed.nodes.remove(0)), "node w-1 is not registered"),
            (
                |listed| listed.pods[0]["status"] = json!({"phase": "Pending"}),
                "pod kube-system/proxy-1 on w-1 is Pending",
            ),
            (|listed| listed.pods[0]["status"] = json!({}), "pod kube-system/proxy-1 on w-1 is not Ready"),
            (
                |listed| listed.workloads[0] = workload("web", 3, 2),
                "Deployment default/web has 2 pods available, and had 3",
            ),
        ];
        for (spoil, want) in rows {
            let mut listed = well();
            spoil(&mut listed);
            assert_eq!(said(&listed), [want]);
        }
        let mut listed = well();
        listed.pods[0]["status"] = crash;
        assert_eq!(said(&listed), ["pod kube-system/proxy-1 on w-1 is CrashLoopBackOff"]);
    }

    #[test]
    fn a_workload_that_was_made_smaller_or_taken_away_has_lost_nothing() {
        let mut listed = well();
        listed.workloads[0] = workload("web", 1, 1);
        assert_eq!(said(&listed), Vec::<String>::new());
        listed.workloads.remove(0);
        assert_eq!(said(&listed), Vec::<String>::new());
    }

    #[test]
    fn a_workload_between_two_versions_counts_no_more_than_it_asks_for() {
        let counted =
            availability(&[workload("web", 3, 4), workload("db", 2, 1), json!({"kind": "StatefulSet"})]);
        let want = [("Deployment default/db", 1), ("Deployment default/web", 3), ("StatefulSet ", 0)];
        assert_eq!(counted, want.map(|(name, count)| (name.to_owned(), count)).into());
    }
}
