//! Security groups by role, and what each lets in.

use std::collections::BTreeSet;

use ipnet::{IpNet, Ipv4Net};

use super::{BASTION, Spec, ours};
use crate::cloud::name::Ref;
use crate::cloud::resource::{Peer, Protocol, Resource, Rule, SecurityGroup, SecurityRules};
use crate::inventory::NetworkPlugin;

pub(super) const CONTROL_PLANE: &str = "control-plane";
pub(super) const WORKER: &str = "worker";
pub(super) const API_BALANCER: &str = "api";
pub(super) const INGRESS_BALANCER: &str = "ingress";
/// Where API servers listen, and the balancer in front of them.
pub(super) const API_PORT: u16 = 6443;
const SSH: Protocol = Protocol::Tcp(22, 22);
const API: Protocol = Protocol::Tcp(API_PORT, API_PORT);
/// Clients and peers of etcd.
const ETCD: Protocol = Protocol::Tcp(2379, 2380);
const KUBELET: Protocol = Protocol::Tcp(10250, 10250);

/// The group of a role.
pub(super) fn group(role: &str) -> Ref {
    ours("security-group", role)
}

impl Spec<'_> {
    pub(super) fn rules(&mut self) {
        if self.aws.bastion.is_some() {
            let ssh = self.aws.access.ssh.clone();
            self.role(BASTION, from_networks(SSH, &ssh));
        }
        let ssh = self.ssh();
        let mut control_plane = ssh.clone();
        control_plane.extend(from_roles(API, &[CONTROL_PLANE, WORKER, API_BALANCER]));
        control_plane.extend(from_roles(ETCD, &[CONTROL_PLANE]));
        control_plane.extend(self.between_nodes());
        self.role(CONTROL_PLANE, control_plane);
        let mut worker = ssh;
        worker.extend(self.between_nodes());
        for listener in &self.aws.ingress {
            let port = Protocol::Tcp(listener.node_port, listener.node_port);
            worker.extend(from_roles(port, &[INGRESS_BALANCER]));
        }
        self.role(WORKER, worker);
        let api = self.aws.access.api.clone();
        self.role(API_BALANCER, from_networks(API, &api));
        if !self.aws.ingress.is_empty() {
            let open = self.aws.ingress.iter().flat_map(|listener| {
                from_networks(Protocol::Tcp(listener.port, listener.port), &self.aws.access.ingress)
            });
            let open = open.collect();
            self.role(INGRESS_BALANCER, open);
        }
    }

    /// A group and its rules; out may go what wants to.
    fn role(&mut self, role: &str, ingress: BTreeSet<Rule>) {
        let group = self.put(role, Resource::SecurityGroup(SecurityGroup { vpc: self.vpc.clone() }));
        // Machines have IPv4 addresses and no others.
        let egress = from_networks(Protocol::All, &[IpNet::V4(Ipv4Net::default())]);
        self.put(role, Resource::SecurityRules(SecurityRules { group, ingress, egress }));
    }

    /// Through the bastion, or straight where there is none.
    fn ssh(&self) -> BTreeSet<Rule> {
        match self.aws.bastion {
            Some(_) => from_roles(SSH, &[BASTION]),
            None => from_networks(SSH, &self.aws.access.ssh),
        }
    }

    /// The kubelet's API, and what the network plugin carries pods with.
    fn between_nodes(&self) -> BTreeSet<Rule> {
        let carried = match self.plugin {
            // BGP, Typha, VXLAN, IP-in-IP: the ports of Calico's system requirements.
            NetworkPlugin::Calico(_) => vec![
                Protocol::Tcp(179, 179),
                Protocol::Tcp(5473, 5473),
                Protocol::Udp(4789, 4789),
                Protocol::Other(4),
            ],
            // VXLAN, health checks, Hubble: the firewall rules of Cilium's system requirements.
            NetworkPlugin::Cilium(_) => {
                vec![Protocol::Udp(8472, 8472), Protocol::Tcp(4240, 4240), Protocol::Tcp(4244, 4244)]
            }
            NetworkPlugin::Flannel(_) => vec![Protocol::Udp(8472, 8472)],
            // Nobody knows what it carries pods with.
            NetworkPlugin::Manifest { .. } | NetworkPlugin::None | NetworkPlugin::Routes { .. } => {
                vec![Protocol::All]
            }
        };
        let all = [KUBELET].into_iter().chain(carried);
        all.flat_map(|protocol| from_roles(protocol, &[CONTROL_PLANE, WORKER])).collect()
    }
}

fn from_roles(protocol: Protocol, roles: &[&str]) -> BTreeSet<Rule> {
    roles.iter().map(|role| Rule { protocol, peer: Peer::Group(group(role)) }).collect()
}

fn from_networks(protocol: Protocol, networks: &[IpNet]) -> BTreeSet<Rule> {
    networks.iter().map(|network| Rule { protocol, peer: Peer::Network(*network) }).collect()
}
