//! What one host must look like, computed from the inventory, the release catalog and a few facts
//! about the host. Nothing here knows what the host looks like now.

mod containerd;
mod files;
#[cfg(test)]
mod golden;
mod keepalived;
mod kubelet;
mod load_balancer;
mod model;
mod network;
mod pki_files;
mod pod_cidrs;
mod security;
mod static_pods;
mod system;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

use crate::inventory::{Endpoint, Host, HostName, Inventory};
use crate::release::MinorRelease;

pub use kubelet::kubelet_configuration;
pub use model::*;
pub use pod_cidrs::{PodCidrError, assign_pod_cidrs};
pub use security::{ComponentArgs, ComponentExtras, HostPathMount, cluster_extra_args};
pub use static_pods::CA_DIRECTORIES;

const KUBERNETES_DIRECTORY: &str = "/etc/kubernetes";
const PKI_DIRECTORY: &str = "/etc/kubernetes/pki";
/// Our own files on a host: its marker, the balancer's configuration, routes.
const CONFIG_DIRECTORY: &str = "/etc/keelwright";
pub const KUBELET_UNIT: &str = "kubelet.service";
pub const CONTAINERD_UNIT: &str = "containerd.service";

/// The port API servers listen on: kubeadm's, unless clients reach them directly at a virtual address.
pub fn api_server_port(inventory: &Inventory) -> u16 {
    match inventory.endpoint {
        Endpoint::NodeLocal { .. } | Endpoint::External { .. } => 6443,
        Endpoint::Vip { port, .. } => port,
    }
}

/// Everything `host` must have. `cluster_uid` tells this cluster from any other that ever had its addresses;
/// `pod_cidrs` comes from [`assign_pod_cidrs`] and is used by the `routes` plugin only.
pub fn host_blueprint(
    inventory: &Inventory,
    release: &MinorRelease,
    cluster_uid: &str,
    pod_cidrs: &BTreeMap<HostName, Vec<IpNet>>,
    host: &Host,
    traits: &HostTraits,
) -> HostBlueprint {
    let mut files = files::Files::default();
    system::add_files(&mut files, inventory, cluster_uid, host);
    containerd::add_files(&mut files, inventory, release);
    pki_files::add_files(&mut files, inventory, host);
    security::add_files(&mut files, inventory, host);
    let links = kubelet::add_files(&mut files, inventory, release, host, traits);
    if host.is_node() {
        network::add_files(&mut files, inventory, pod_cidrs, host);
        load_balancer::add_files(&mut files, inventory);
    }
    if keepalived::is_wanted(inventory, host) {
        keepalived::add_files(&mut files, inventory, host);
    }
    let extras = cluster_extra_args(inventory, cluster_uid);
    let api_port = api_server_port(inventory);
    let context = static_pods::Context { inventory, release, extras: &extras, host, traits, api_port };
    static_pods::add_files(&mut files, &context);

    HostBlueprint {
        host: host.name.clone(),
        packages: system::packages(inventory, host, traits.os_family),
        modules: system::modules(),
        sysctls: system::sysctls(inventory),
        swap: system::swap(inventory),
        directories: files.directories,
        binaries: system::binaries(host),
        images: system::images(inventory, release, host),
        files: files.files,
        links: links.into_iter().collect(),
        units: units(inventory, host),
    }
}

fn units(inventory: &Inventory, host: &Host) -> BTreeMap<String, Unit> {
    let unit = |state, group| Unit { state, group };
    let running = unit(UnitState::Running, UnitGroup::System);
    let stopped = unit(UnitState::Stopped, UnitGroup::System);
    let mut units = BTreeMap::from([
        (CONTAINERD_UNIT.to_owned(), running.clone()),
        (KUBELET_UNIT.to_owned(), unit(UnitState::Running, UnitGroup::Kubelet)),
    ]);
    if host.is_node() && kubelet::routes_pods(inventory) {
        units.insert(network::UNIT.to_owned(), running.clone());
    }
    if host.is_node() && load_balancer::is_wanted(inventory) {
        // The package starts its own unit when it is installed.
        units.insert("haproxy.service".to_owned(), stopped.clone());
        units.insert(load_balancer::UNIT.to_owned(), running.clone());
    }
    if keepalived::is_wanted(inventory, host) {
        units.insert("keepalived.service".to_owned(), stopped);
        units.insert(keepalived::UNIT.to_owned(), running);
    }
    units
}

/// `10.0.0.1:6443`, `[::1]:6443`
fn socket_address(address: IpAddr, port: u16) -> String {
    SocketAddr::new(address, port).to_string()
}

/// Ranges as flags have them.
fn joined(ranges: &[IpNet]) -> String {
    ranges.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}
