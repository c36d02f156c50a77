//! Reads what `kubectl get nodes,pods -A -o json` prints into a sample.

use serde_json::Value;

use super::model::{Component, Running};
use super::record::Sample;
use crate::facts::pod::leaves_on_drain;
use crate::inventory::HostName;

/// Why a listing is no sample.
#[derive(Debug, thiserror::Error)]
pub enum ListingError {
    #[error("it is not JSON")]
    NotJson(#[from] serde_json::Error),
    #[error("it is not a list")]
    NotAList,
}

/// What each node of a listing runs.
pub fn sample_of(listing: &[u8]) -> Result<Sample, ListingError> {
    let listing: Value = serde_json::from_slice(listing)?;
    let items = listing["items"].as_array().ok_or(ListingError::NotAList)?;
    let mut sample = Sample::default();
    for node in items.iter().filter(|item| item["kind"] == "Node") {
        let Some(name) = host(&node["metadata"]["name"]) else { continue };
        let host = sample.hosts.entry(name).or_default();
        host.cordoned = node["spec"]["unschedulable"].as_bool().unwrap_or(false);
        host.drained = host.cordoned;
        if let Some(version) = kubelet(node) {
            host.components.insert(Component::Kubelet, version);
        }
    }
    for pod in items.iter().filter(|item| item["kind"] == "Pod") {
        let Some(host) = host(&pod["spec"]["nodeName"]).and_then(|name| sample.hosts.get_mut(&name)) else {
            continue;
        };
        host.drained &= !leaves_on_drain(pod);
        let Some(component) = component(pod) else { continue };
        // While one replaces the other there are two for a moment; the one that runs counts.
        let running = running(pod, component.name());
        if running != Running::Away || !host.components.contains_key(&component) {
            host.components.insert(component, running);
        }
    }
    Ok(sample)
}

fn host(name: &Value) -> Option<HostName> {
    HostName::parse(name.as_str()?).ok()
}

/// A node whose kubelet has not been heard of for a while says so with `Unknown`.
fn kubelet(node: &Value) -> Option<Running> {
    let version = node["status"]["nodeInfo"]["kubeletVersion"].as_str()?;
    let conditions = node["status"]["conditions"].as_array().into_iter().flatten();
    let silent = conditions
        .into_iter()
        .any(|condition| condition["type"] == "Ready" && condition["status"] == "Unknown");
    Some(if silent { Running::Away } else { Running::of_tag(version) })
}

/// What kubeadm's labels say a pod of kube-system is: the same ones that its static pods and kube-proxy bear.
fn component(pod: &Value) -> Option<Component> {
    if pod["metadata"]["namespace"] != "kube-system" {
        return None;
    }
    let labels = &pod["metadata"]["labels"];
    let is = |component: &Component| match component {
        Component::KubeProxy => labels["k8s-app"] == "kube-proxy",
        Component::Kubelet => false,
        Component::Etcd
        | Component::KubeApiserver
        | Component::KubeControllerManager
        | Component::KubeScheduler => labels["component"] == component.name(),
    };
    Component::ALL.into_iter().find(is)
}

/// What a container that runs was made from. The status comes first: the specification says already what the
/// kubelet is still to start.
fn running(pod: &Value, container: &str) -> Running {
    let of = |list: &Value| -> Option<Value> {
        list.as_array()?.iter().find(|found| found["name"] == container).cloned()
    };
    let Some(status) = of(&pod["status"]["containerStatuses"]) else { return Running::Away };
    if status["state"].get("running").is_none() {
        return Running::Away;
    }
    let spec = of(&pod["spec"]["containers"]).unwrap_or_default();
    let images = [&status["image"], &spec["image"]];
    let tag = images.into_iter().find_map(|image| tag(image.as_str()?));
    tag.map_or(Running::Away, Running::of_tag)
}

/// The tag of a reference; an image that is known by its digest only has none.
fn tag(image: &str) -> Option<&str> {
    let name = image.split_once('@').map_or(image, |(name, _)| name);
    let (_, last) = name.rsplit_once('/').unwrap_or(("", name));
    let (repository, tag) = last.split_once(':')?;
    (repository != "sha256" && !tag.is_empty()).then_some(tag)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod(component: &str, node: &str, image: &str, state: &str) -> Value {
        let labels = if component == "kube-proxy" {
            json!({"k8s-app": component})
        } else {
            json!({"component": component})
        };
        let owner = if component == "kube-proxy" { "DaemonSet" } else { "Node" };
        json!({
            "kind": "Pod",
            "metadata": {
                "namespace": "kube-system", "name": format!("{component}-{node}"), "labels": labels,
                "annotations": if owner == "Node" { json!({"kubernetes.io/config.mirror": "1"}) } else { json!({}) },
                "ownerReferences": [{"kind": owner, "controller": true}],
            },
            "spec": {"nodeName": node, "containers": [{"name": component, "image": "registry.k8s.io/x:v9.9.9"}]},
            "status": {"phase": "Running", "containerStatuses": [{"name": component, "image": image, "state": {state: {}}}]},
        })
    }

    fn node(name: &str, kubelet: &str, ready: &str, unschedulable: bool) -> Value {
        json!({
            "kind": "Node", "metadata": {"name": name}, "spec": {"unschedulable": unschedulable},
            "status": {"nodeInfo": {"kubeletVersion": kubelet}, "conditions": [{"type": "Ready", "status": ready}]},
        })
    }

    fn workload(node: &str, kind: &str) -> Value {
        json!({
            "kind": "Pod",
            "metadata": {"namespace": "shop", "name": "web", "labels": {"component": "etcd"}, "ownerReferences": [{"kind": kind, "controller": true}]},
            "spec": {"nodeName": node, "containers": [{"name": "etcd", "image": "web:v1"}]},
            "status": {"phase": "Running"},
        })
    }

    fn told(items: Vec<Value>) -> Vec<String> {
        let sample = sample_of(json!({"kind": "List", "items": items}).to_string().as_bytes()).unwrap();
        let host = |(name, host): (&HostName, &super::super::HostSample)| {
            let components: Vec<String> = host
                .components
                .iter()
                .map(|(component, running)| format!("{} {}", component.name(), running.as_str()))
                .collect();
            let marks = match (host.cordoned, host.drained) {
                (false, false) => "",
                (true, false) => " cordoned",
                (true, true) => " cordoned drained",
                (false, true) => " drained only",
            };
            format!("{name}: {}{marks}", components.join(", "))
        };
        sample.hosts.iter().map(host).collect()
    }

    #[test]
    fn each_component_is_found_where_it_runs() {
        let told = told(vec![
            node("cp-1", "v1.35.4", "True", false),
            node("worker-1", "v1.34.4", "Unknown", false),
            pod("etcd", "cp-1", "registry.k8s.io/etcd:3.6.5-0", "running"),
            pod("kube-apiserver", "cp-1", "registry.k8s.io/kube-apiserver:v1.36.4", "running"),
            pod("kube-scheduler", "cp-1", "registry.k8s.io/kube-scheduler:v1.36.4", "waiting"),
            // Known by its digest only: then what was asked for counts.
            pod("kube-controller-manager", "cp-1", "sha256:0123", "running"),
            pod("kube-proxy", "worker-1", "localhost:5000/kube-proxy:v1.34.4@sha256:01", "running"),
            pod("kube-proxy", "gone", "kube-proxy:v1.34.4", "running"),
            workload("worker-1", "ReplicaSet"),
        ]);
        assert_eq!(
            told,
            [
                "cp-1: etcd 3.6.5, kube-apiserver 1.36.4, kube-controller-manager 9.9.9, kube-scheduler away, kubelet 1.35.4",
                "worker-1: kube-proxy 1.34.4, kubelet away",
            ]
        );
    }

    #[test]
    fn a_node_is_drained_when_it_is_cordoned_and_nothing_is_left_to_move() {
        let proxy = || pod("kube-proxy", "w", "kube-proxy:v1.34.4", "running");
        for (unschedulable, kind, marks) in [
            (false, None, ""),
            (false, Some("ReplicaSet"), ""),
            (true, Some("ReplicaSet"), " cordoned"),
            (true, Some("DaemonSet"), " cordoned drained"),
            (true, None, " cordoned drained"),
        ] {
            let mut items = vec![node("w", "v1.34.4", "True", unschedulable), proxy()];
            items.extend(kind.map(|kind| workload("w", kind)));
            assert_eq!(told(items), [format!("w: kube-proxy 1.34.4, kubelet 1.34.4{marks}")]);
        }
    }

    #[test]
    fn of_two_pods_of_one_kind_the_one_that_runs_counts() {
        let new = || pod("kube-proxy", "w", "kube-proxy:v1.35.4", "running");
        let old = || pod("kube-proxy", "w", "kube-proxy:v1.34.4", "terminated");
        for pods in [[new(), old()], [old(), new()]] {
            let mut items = vec![node("w", "v1.34.4", "True", false)];
            items.extend(pods);
            assert_eq!(told(items), ["w: kube-proxy 1.35.4, kubelet 1.34.4"]);
        }
    }

    #[test]
    fn what_is_no_listing_is_an_error() {
        assert!(matches!(sample_of(b"{\"items\": ["), Err(ListingError::NotJson(_))));
        assert!(matches!(sample_of(b"{\"kind\": \"Status\"}"), Err(ListingError::NotAList)));
    }
}
