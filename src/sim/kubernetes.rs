//! The Kubernetes API as far as keelwright uses it: an object store, Nodes that kubelets register,
//! the status of the add-ons, eviction.

use std::time::Duration;

use serde_json::{Value, json};

use super::world::{PodNetwork, World};
use crate::blueprint::cluster::object_key;
use crate::exec::ports::{KubeError, Objects};
use crate::inventory::HostName;

/// Between a Node's registration and Ready.
const NODE_READY: Duration = Duration::from_secs(1);

fn refused(what: &str, code: u16, message: &str) -> KubeError {
    KubeError::Refused { what: what.to_owned(), code, message: message.to_owned() }
}

pub fn merge(target: &mut Value, patch: &Value) {
    let (Value::Object(target), Value::Object(patch)) = (&mut *target, patch) else {
        *target = patch.clone();
        return;
    };
    for (key, value) in patch {
        if value.is_null() {
            target.remove(key);
        } else if value.is_object() {
            merge(target.entry(key.clone()).or_insert(json!({})), value);
        } else {
            target.insert(key.clone(), value.clone());
        }
    }
}

impl World {
    fn store(&mut self) -> Result<&mut super::etcd::EtcdCluster, KubeError> {
        let (_, id) =
            self.any_api().ok_or_else(|| KubeError::Unreachable("no API server answers".to_owned()))?;
        self.clusters.get_mut(&id).ok_or_else(|| KubeError::Unreachable("etcd is gone".to_owned()))
    }

    pub(super) fn node_key(name: &HostName) -> String {
        format!("v1/Node//{name}")
    }

    /// A kubelet that runs and reaches an API server registers its Node, once per start.
    fn refresh_node(&mut self, name: &HostName) {
        self.settle(name);
        let Some(host) = self.hosts.get(name) else { return };
        let broken = self.kubelet_version(name).is_some_and(|version| {
            let poisoned = (name.clone(), format!("kubelet:{version}"));
            self.poisoned.as_ref() == Some(&poisoned)
        });
        let kubelet = host.runs_pods() && !broken;
        let standalone = !host.host.is_node();
        let has_network = match &self.network {
            PodNetwork::Files => host.disk.below("/etc/cni/net.d").next().is_some(),
            PodNetwork::Objects { keys, images } => {
                let applied = |cluster: &super::etcd::EtcdCluster| {
                    cluster.established && keys.iter().all(|key| cluster.objects.contains_key(key))
                };
                images.iter().all(|image| host.images.contains(image)) && self.clusters.values().any(applied)
            }
            PodNetwork::Others => true,
        };
        let now = self.now;
        if kubelet && !standalone && !self.hosts[name].registered {
            let Some(cluster) = self.api_for_kubelet(name) else { return };
            let Some(host) = self.hosts.get_mut(name) else { return };
            host.registered = true;
            let address = host.host.address.to_string();
            let Some(cluster) = self.clusters.get_mut(&cluster) else { return };
            cluster.revision += 1;
            let node = json!({
                "apiVersion": "v1", "kind": "Node",
                "metadata": {
                    "name": name.as_str(), "uid": format!("node-{}", cluster.revision),
                    "resourceVersion": cluster.revision.to_string(),
                    "labels": {"kubernetes.io/hostname": name.as_str(), "kubernetes.io/os": "linux"},
                    "annotations": {},
                },
                "spec": {},
                "status": {
                    "nodeInfo": {"kubeletVersion": "v0.0.0"},
                    "addresses": [{"type": "InternalIP", "address": address}],
                },
            });
            let version = self.kubelet_version(name).map(|version| version.to_string()).unwrap_or_default();
            let Some(cluster) = self.clusters.values_mut().find(|cluster| cluster.established) else {
                return;
            };
            let node = cluster.objects.entry(Self::node_key(name)).or_insert(node);
            node["status"]["nodeInfo"]["kubeletVersion"] = version.into();
        }
        let since =
            self.hosts.get(name).and_then(|host| host.units.get("kubelet.service")).map(|unit| unit.since);
        let ready = kubelet && has_network && since.is_some_and(|since| now >= since + NODE_READY);
        let key = Self::node_key(name);
        for cluster in self.clusters.values_mut().filter(|cluster| cluster.established) {
            if let Some(node) = cluster.objects.get_mut(&key) {
                let status = if ready { "True" } else { "False" };
                node["status"]["conditions"] = json!([{"type": "Ready", "status": status}]);
            }
        }
    }

    fn refresh_nodes(&mut self) {
        let names: Vec<HostName> = self.hosts.keys().cloned().collect();
        for name in names {
            self.refresh_node(&name);
        }
    }

    /// What the controllers would say of the add-ons now.
    fn status_of(&mut self, key: &str, object: &Value) -> Option<Value> {
        let kind = object["kind"].as_str()?;
        if !matches!(kind, "DaemonSet" | "Deployment") {
            return None;
        }
        self.refresh_nodes();
        let store = self.store().ok()?;
        let nodes: Vec<&Value> = store.objects.values().filter(|object| object["kind"] == "Node").collect();
        let ready = nodes.iter().filter(|node| crate::facts::node_is_ready(node)).count();
        if kind == "DaemonSet" {
            let all = nodes.len();
            return Some(
                json!({"desiredNumberScheduled": all, "numberReady": ready, "numberAvailable": ready}),
            );
        }
        let wanted =
            store.objects.get(key).and_then(|object| object["spec"]["replicas"].as_u64()).unwrap_or(1);
        Some(json!({"availableReplicas": if ready > 0 { wanted } else { 0 }, "replicas": wanted}))
    }

    pub fn kube_ready(&mut self, host: &HostName) -> Result<(), KubeError> {
        match self.api_on(host) {
            Some(_) => Ok(()),
            None => Err(KubeError::Unreachable(format!("the API server on {host} does not answer"))),
        }
    }

    /// What is said of deprecated API versions, if a test has put that into the world.
    pub fn kube_metrics(&mut self, host: &HostName) -> Result<String, KubeError> {
        self.kube_ready(host)?;
        Ok(self.metrics.get(host).cloned().unwrap_or_default())
    }

    pub fn kube_fetch(&mut self, wanted: &[Value]) -> Result<Objects, KubeError> {
        self.store()?;
        let mut found = Objects::new();
        for skeleton in wanted {
            let key = object_key(skeleton);
            if skeleton["kind"] == "Node"
                && let Some(name) =
                    skeleton["metadata"]["name"].as_str().and_then(|name| HostName::parse(name).ok())
            {
                self.refresh_node(&name);
            }
            let Some(mut object) = self.store()?.objects.get(&key).cloned() else { continue };
            if let Some(status) = self.status_of(&key, &object) {
                object["status"] = status;
            }
            found.insert(key, object);
        }
        Ok(found)
    }

    pub fn kube_list(&mut self, version: &str, kind: &str) -> Result<Vec<Value>, KubeError> {
        self.store()?;
        if kind == "Node" {
            self.refresh_nodes();
        }
        let is_one = |object: &&Value| object["kind"] == kind && object["apiVersion"] == version;
        let mut found: Vec<Value> = self.store()?.objects.values().filter(is_one).cloned().collect();
        // A workload that a test has put there says itself how it is.
        for object in found.iter_mut().filter(|object| object["status"].is_null()) {
            if let Some(status) = self.status_of(&object_key(object), object) {
                object["status"] = status;
            }
        }
        Ok(found)
    }

    pub fn kube_apply(&mut self, object: &Value) -> Result<Value, KubeError> {
        let store = self.store()?;
        let key = object_key(object);
        store.revision += 1;
        let mut new = object.clone();
        if let Some(status) = store.objects.get(&key).and_then(|old| old.get("status")) {
            new["status"] = status.clone();
        }
        new["metadata"]["resourceVersion"] = store.revision.to_string().into();
        store.objects.insert(key, new.clone());
        self.writes += 1;
        Ok(new)
    }

    pub fn kube_patch(&mut self, object: &Value, patch: &Value) -> Result<(), KubeError> {
        let store = self.store()?;
        let key = object_key(object);
        let revision = store.revision + 1;
        let Some(live) = store.objects.get_mut(&key) else { return Err(refused(&key, 404, "not found")) };
        let given = patch.pointer("/metadata/resourceVersion");
        if given.is_some() && given != live.pointer("/metadata/resourceVersion") {
            return Err(refused(&key, 409, "the object has been modified"));
        }
        merge(live, patch);
        live["metadata"]["resourceVersion"] = revision.to_string().into();
        store.revision = revision;
        self.writes += 1;
        Ok(())
    }

    pub fn kube_delete(&mut self, object: &Value) -> Result<(), KubeError> {
        let key = object_key(object);
        if self.store()?.objects.remove(&key).is_some() {
            self.writes += 1;
        }
        Ok(())
    }

    pub fn kube_evict(&mut self, namespace: &str, pod: &str) -> Result<(), KubeError> {
        let store = self.store()?;
        let key = format!("v1/Pod/{namespace}/{pod}");
        match store.objects.get_mut(&key) {
            None => Err(refused(&key, 404, "not found")),
            Some(found) => {
                let budget = found["metadata"]["annotations"]["sim/refusals"].as_u64().unwrap_or(0);
                if budget > 0 {
                    found["metadata"]["annotations"]["sim/refusals"] = (budget - 1).into();
                    return Err(refused(&key, 429, "it would violate the pod's disruption budget"));
                }
                store.objects.remove(&key);
                self.writes += 1;
                Ok(())
            }
        }
    }
}
