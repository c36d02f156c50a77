//! Manifests of network plugins and add-ons as the simulator plays them: short ones in each one's style.

use std::collections::BTreeMap;

use super::world::PodNetwork;
use crate::blueprint::cluster::{Manifests, images_of, object_key, read_manifests, wanted_manifests};
use crate::inventory::{Inventory, NetworkPlugin};

/// What stands in for the manifests of an inventory: nothing is fetched for a rehearsal.
pub fn manifests(inventory: &Inventory) -> Manifests {
    let text = |name: &str| match name {
        "network/calico" => plugin("calico-node", "kube-system", ""),
        "network/flannel" => plugin("kube-flannel-ds", "kube-flannel", FLANNEL),
        "network/cilium" => plugin("cilium", "kube-system", CILIUM),
        "network/manifest" => plugin("pod-network", "kube-system", ""),
        addon => addon_manifest(addon.rsplit('/').next().unwrap_or(addon)),
    };
    let texts: BTreeMap<String, Vec<u8>> = wanted_manifests(inventory)
        .into_iter()
        .map(|wanted| {
            let text = text(&wanted.name).into_bytes();
            (wanted.name, text)
        })
        .collect();
    // invariant: these texts are this file's, and its test reads every one of them.
    read_manifests(inventory, &texts).unwrap_or_default()
}

const FLANNEL: &str = r#"---
apiVersion: v1
kind: ConfigMap
metadata: {name: kube-flannel-cfg, namespace: kube-flannel}
data: {net-conf.json: '{"Network": "10.244.0.0/16"}'}
"#;
const CILIUM: &str = "---
apiVersion: v1
kind: ConfigMap
metadata: {name: cilium-config, namespace: kube-system}
data: {ipam: cluster-pool}
";

fn plugin(name: &str, namespace: &str, more: &str) -> String {
    format!(
        "apiVersion: apps/v1
kind: DaemonSet
metadata: {{name: {name}, namespace: {namespace}}}
spec:
  template:
    spec:
      containers: [{{name: {name}, image: 'registry.example/{name}:v1', env: []}}]
---
apiVersion: v1
kind: ServiceAccount
metadata: {{name: {name}, namespace: {namespace}}}
{more}"
    )
}

fn addon_manifest(name: &str) -> String {
    format!(
        "apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}, namespace: {name}}}
spec: {{replicas: 1, template: {{spec: {{containers: [{{name: main, image: 'registry.example/{name}:v1'}}]}}}}}}
---
apiVersion: v1
kind: Namespace
metadata: {{name: {name}}}
"
    )
}

/// What makes nodes Ready with this inventory's plugin.
pub fn pod_network(inventory: &Inventory, manifests: &Manifests) -> PodNetwork {
    match &inventory.network.plugin {
        NetworkPlugin::Routes { .. } => PodNetwork::Files,
        NetworkPlugin::None => PodNetwork::Others,
        NetworkPlugin::Calico(_)
        | NetworkPlugin::Cilium(_)
        | NetworkPlugin::Flannel(_)
        | NetworkPlugin::Manifest { .. } => PodNetwork::Objects {
            keys: manifests.plugin.iter().map(object_key).collect(),
            images: images_of(&manifests.plugin),
        },
    }
}
