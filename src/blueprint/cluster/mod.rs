//! What the cluster's API must hold, computed from the inventory: kubeadm's objects, addons, nodes.

mod access;
pub mod compare;
mod config;
mod coredns;
mod kube_proxy;
pub mod manifest;
mod manifests;
pub mod node;
mod object;
pub(super) mod yaml;

pub use compare::{Difference, covers, parse_quantity};
pub use manifest::{ManifestError, images_of, parse_manifest};
pub use manifests::{
    ManifestSource, Manifests, UnusableManifest, WantedManifest, read_manifests, release_manifest,
    wanted_manifests,
};
pub use node::{NodeWish, node_patch, node_wish};
pub use object::{object_key, object_title};
pub use yaml::{sorted as sorted_keys, write as write_yaml};

use serde_json::Value;

use crate::inventory::Inventory;
use crate::release::MinorRelease;

/// The field manager of everything keelwright applies.
pub const FIELD_MANAGER: &str = "keelwright";

/// Everything the objects depend on.
#[derive(Debug, Clone, Copy)]
pub struct ClusterInputs<'a> {
    pub inventory: &'a Inventory,
    pub release: &'a MinorRelease,
    /// PEM certificate of the cluster's CA.
    pub ca_certificate: &'a str,
    pub etcd_token: &'a str,
    pub manifests: &'a Manifests,
}

/// The cluster's objects in the order in which they are applied.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ClusterObjects {
    pub access: Vec<Value>,
    pub config: Vec<Value>,
    pub addons: Vec<Value>,
}

impl ClusterObjects {
    /// All of them, in order.
    pub fn all(&self) -> impl Iterator<Item = &Value> {
        self.access.iter().chain(&self.config).chain(&self.addons)
    }
}

/// All objects of the cluster. Among the add-ons the network plugin comes first: no pod gets an address
/// before it works, CoreDNS's included.
pub fn cluster_objects(inputs: &ClusterInputs) -> ClusterObjects {
    let mut addons = inputs.manifests.plugin.clone();
    addons.extend(coredns::coredns_objects(inputs));
    if inputs.inventory.kube_proxy.enabled {
        addons.extend(kube_proxy::kube_proxy_objects(inputs));
    }
    addons.extend(inputs.manifests.addons.iter().cloned());
    ClusterObjects { access: access::access_objects(), config: config::config_objects(inputs), addons }
}

#[cfg(test)]
mod tests;
