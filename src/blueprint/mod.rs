//! What one host must look like, computed from the inventory, the release catalog and a few facts
//! about the host. Nothing here knows what the host looks like now.

pub mod cluster;
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
mod pod_files;
mod security;
mod self_join;
mod static_pods;
mod system;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

use crate::inventory::{Endpoint, EtcdPlacement, Host, HostName, Inventory, Role};
use crate::release::MinorRelease;
use files::Files;

pub use kubelet::kubelet_configuration;
pub use model::*;
pub use pod_cidrs::{PodCidrError, assign_pod_cidrs};
pub use security::{ComponentArgs, ComponentExtras, HostPathMount, cluster_extra_args};
pub use self_join::CALLS as AWS_CALLS;
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

/// A cluster's blueprint: the parts its hosts share, worked out once, from which each host's is made.
pub struct ClusterBlueprint<'a> {
    inventory: &'a Inventory,
    release: &'a MinorRelease,
    identity: ClusterIdentity<'a>,
    pod_cidrs: &'a BTreeMap<HostName, Vec<IpNet>>,
    extras: ComponentArgs,
    everywhere: Files,
    nodes: Files,
    control_planes: Files,
    kubelet: kubelet::Shared,
}

impl<'a> ClusterBlueprint<'a> {
    /// `identity` tells this cluster from any other that ever had its addresses; `pod_cidrs` comes from
    /// [`assign_pod_cidrs`] and is used by the `routes` plugin only.
    pub fn new(
        inventory: &'a Inventory,
        release: &'a MinorRelease,
        identity: ClusterIdentity<'a>,
        pod_cidrs: &'a BTreeMap<HostName, Vec<IpNet>>,
    ) -> Self {
        let (mut everywhere, mut nodes, mut control_planes) =
            (Files::default(), Files::default(), Files::default());
        system::add_shared(&mut everywhere);
        containerd::add_files(&mut everywhere, inventory, release);
        kubelet::add_unit(&mut nodes, inventory, false);
        system::add_kernel(&mut nodes, inventory, true);
        network::add_shared(&mut nodes, inventory, pod_cidrs);
        load_balancer::add_files(&mut nodes, inventory);
        security::add_files(&mut control_planes, inventory);
        self_join::add_files(&mut control_planes, inventory);
        ClusterBlueprint {
            inventory,
            release,
            identity,
            pod_cidrs,
            extras: cluster_extra_args(inventory, identity.etcd_token),
            everywhere,
            nodes,
            control_planes,
            kubelet: kubelet::Shared::new(inventory),
        }
    }

    /// Everything `host` must have.
    pub fn host(&self, host: &Host, traits: &HostTraits) -> HostBlueprint {
        let (inventory, release) = (self.inventory, self.release);
        let mut files = self.everywhere.clone();
        system::add_files(&mut files, inventory, self.identity.uid, host);
        pki_files::add_files(&mut files, inventory, host);
        if host.is_node() {
            files.extend(&self.nodes);
            network::add_files(&mut files, inventory, self.pod_cidrs, host);
        } else {
            kubelet::add_unit(&mut files, inventory, true);
            system::add_kernel(&mut files, inventory, false);
        }
        let links = kubelet::add_files(&mut files, &self.kubelet, inventory, release, host, traits);
        if host.is_control_plane() {
            files.extend(&self.control_planes);
            keepalived::add_files(&mut files, inventory, host);
        }
        let api_port = api_server_port(inventory);
        let context =
            static_pods::Context { inventory, release, extras: &self.extras, host, traits, api_port };
        static_pods::add_files(&mut files, &context);

        HostBlueprint {
            host: host.name.clone(),
            pod_files: pod_files::of(&files),
            packages: system::packages(inventory, host, traits.os_family),
            modules: system::modules(host.is_node()),
            sysctls: if host.is_node() { system::sysctls(inventory) } else { BTreeMap::new() },
            swap: system::swap(inventory),
            directories: files.directories,
            binaries: system::binaries(host),
            images: system::images(inventory, release, host),
            files: files.files,
            links: links.into_iter().collect(),
            units: units(inventory, host),
        }
    }
}

/// Everything `host` must have; for many hosts make one [`ClusterBlueprint`] and ask it for each.
pub fn host_blueprint(
    inventory: &Inventory,
    release: &MinorRelease,
    identity: ClusterIdentity<'_>,
    pod_cidrs: &BTreeMap<HostName, Vec<IpNet>>,
    host: &Host,
    traits: &HostTraits,
) -> HostBlueprint {
    ClusterBlueprint::new(inventory, release, identity, pod_cidrs).host(host, traits)
}

/// Whether the host has an etcd member.
fn runs_etcd(inventory: &Inventory, host: &Host) -> bool {
    match inventory.etcd.placement {
        EtcdPlacement::Stacked => host.is_control_plane(),
        EtcdPlacement::Dedicated => host.roles.contains(&Role::Etcd),
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
        units.insert(keepalived::UNIT.to_owned(), running.clone());
    }
    if host.is_control_plane() && inventory.self_join.is_some() {
        units.insert(self_join::TIMER.to_owned(), running);
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
