//! What a simulated fleet has come to, host by host.

use super::converge::Simulation;
use crate::inventory::{Host, HostName, Role};

/// One line of the table at the end.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HostStatus {
    pub host: HostName,
    pub roles: Vec<&'static str>,
    pub node: &'static str,
    pub etcd: &'static str,
    pub api: &'static str,
}

fn roles(host: &Host) -> Vec<&'static str> {
    let name = |role: &Role| match role {
        Role::ControlPlane => "control-plane",
        Role::Worker => "worker",
        Role::Etcd => "etcd",
    };
    host.roles.iter().map(name).collect()
}

impl Simulation {
    /// The fleet as it is now, by name.
    pub fn status(&self) -> Vec<HostStatus> {
        let mut world = self.fleet.world();
        let nodes = world.kube_list("v1", "Node").unwrap_or_default();
        let ready: std::collections::BTreeMap<&str, bool> = nodes
            .iter()
            .filter_map(|node| Some((node["metadata"]["name"].as_str()?, crate::facts::node_is_ready(node))))
            .collect();
        let mut all = Vec::new();
        for (name, host) in &self.inventory.hosts {
            let reachable = world.hosts.get(name).is_some_and(|found| found.is_reachable(world.now));
            let member = world.member_on(name).and_then(|(cluster, member)| {
                world.clusters.get(&cluster).and_then(|cluster| cluster.members.get(&member))
            });
            let etcd = match member {
                Some(member) if member.learner => "learner",
                Some(_) => "voter",
                None => "-",
            };
            let node = match ready.get(name.as_str()) {
                Some(true) => "Ready",
                Some(false) => "NotReady",
                None => "-",
            };
            let api = match (host.is_control_plane(), world.api_on(name)) {
                (true, Some(_)) => "ready",
                (true, None) => "down",
                (false, _) => "-",
            };
            let node = if reachable { node } else { "unreachable" };
            all.push(HostStatus { host: name.clone(), roles: roles(host), node, etcd, api });
        }
        all
    }
}
