//! Between hosts with names and the search, which knows none.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use super::cost::NodeGroup;
use super::path::{Move, Releases};
use super::state::{ControlPlane, State, Step};
use super::versions::{ClusterVersions, HostVersions};
use crate::inventory::HostName;
use crate::release::KubeVersion;

/// The hosts behind what the search moves.
pub(super) struct Fleet {
    control_planes: Vec<(HostName, ControlPlane)>,
    groups: Vec<Group>,
    kube_proxy: Option<KubeVersion>,
}

/// Nodes that began with what is the same version to the policy, by name.
struct Group {
    control_planes: bool,
    kubelet: KubeVersion,
    hosts: Vec<HostName>,
}

impl Fleet {
    pub fn new(from: &ClusterVersions, releases: &Releases) -> Self {
        let control_planes = from
            .hosts
            .iter()
            .filter_map(|(name, host)| Some((name.clone(), alike_control_plane(host, releases)?)));
        Fleet {
            control_planes: control_planes.collect(),
            groups: groups(from, releases),
            kube_proxy: from.kube_proxy.map(|version| alike_node(version, releases)),
        }
    }

    pub fn state(&self) -> State {
        let mut control_planes: Vec<ControlPlane> =
            self.control_planes.iter().map(|(_, host)| *host).collect();
        control_planes.sort_unstable();
        let kubelets = self.groups.iter().map(|group| group.kubelet).collect();
        State { control_planes, kubelets, kube_proxy: self.kube_proxy }
    }

    pub fn node_groups(&self) -> Vec<NodeGroup> {
        let group = |group: &Group| NodeGroup {
            nodes: u32::try_from(group.hosts.len()).unwrap_or(u32::MAX),
            control_planes: group.control_planes,
        };
        self.groups.iter().map(group).collect()
    }

    /// The steps with the names of hosts, in the order of names where steps are alike.
    pub fn moves(mut self, steps: &[Step]) -> Vec<Move> {
        let runs: Vec<&[Step]> = steps.chunk_by(|one, next| self.are_alike(one, next)).collect();
        let mut moves = Vec::new();
        for run in runs {
            let mut of_run: Vec<Move> = run.iter().flat_map(|step| self.take(*step)).collect();
            of_run.sort_by(|one, other| one.host().cmp(&other.host()));
            moves.extend(of_run);
        }
        moves
    }

    /// Whether the order of two steps means nothing: hosts of one kind go to one version.
    fn are_alike(&self, one: &Step, next: &Step) -> bool {
        let kind = |group: &usize| self.groups.get(*group).map(|group| group.control_planes);
        match (one, next) {
            (Step::ControlPlane { to, .. }, Step::ControlPlane { to: next, .. }) => to == next,
            (Step::Kubelets { group, to }, Step::Kubelets { group: other, to: next }) => {
                to == next && kind(group) == kind(other)
            }
            (Step::ControlPlane { .. } | Step::Kubelets { .. } | Step::KubeProxy { .. }, _) => false,
        }
    }

    fn take(&mut self, step: Step) -> Vec<Move> {
        match step {
            Step::ControlPlane { from, to } => {
                let host = self.control_planes.iter_mut().find(|(_, host)| *host == from);
                let moved = host.map(|(name, host)| {
                    *host = ControlPlane::all(to);
                    Move::ControlPlane { host: name.clone(), to }
                });
                moved.into_iter().collect()
            }
            Step::Kubelets { group, to } => {
                let hosts = self.groups.get(group).into_iter().flat_map(|group| &group.hosts);
                hosts.map(|host| Move::Kubelet { host: host.clone(), to }).collect()
            }
            Step::KubeProxy { to } => vec![Move::KubeProxy { to }],
        }
    }
}

fn groups(from: &ClusterVersions, releases: &Releases) -> Vec<Group> {
    let mut groups: BTreeMap<(bool, KubeVersion), Vec<HostName>> = BTreeMap::new();
    for (name, host) in &from.hosts {
        if let Some(kubelet) = host.kubelet {
            let workers = !host.is_control_plane();
            groups.entry((workers, alike_node(kubelet, releases))).or_default().push(name.clone());
        }
    }
    groups
        .into_iter()
        .map(|((workers, kubelet), hosts)| Group { control_planes: !workers, kubelet, hosts })
        .collect()
}

/// One version for all that mean the same on the way: to a node only its minor counts, until the last patch.
fn alike_node(version: KubeVersion, releases: &Releases) -> KubeVersion {
    if version == releases.target { version } else { KubeVersion { patch: OLDER, ..version } }
}

/// To a control plane it also counts whether its minor's release is its own patch, newer or older.
fn alike_control_plane(host: &HostVersions, releases: &Releases) -> Option<ControlPlane> {
    let own = host.api_server?;
    let api_server = alike(own, releases);
    let beside = |version: Option<KubeVersion>| match version {
        None => api_server,
        Some(version) if version.minor() == own.minor() && version.minor() != releases.target.minor() => {
            api_server
        }
        Some(version) => alike(version, releases),
    };
    Some(ControlPlane {
        api_server,
        controller_manager: beside(host.controller_manager),
        scheduler: beside(host.scheduler),
    })
}

fn alike(version: KubeVersion, releases: &Releases) -> KubeVersion {
    let patch = match releases.of(version.minor()).map(|release| release.patch.cmp(&version.patch)) {
        Some(Ordering::Equal) => version.patch,
        Some(Ordering::Greater) => OLDER,
        Some(Ordering::Less) | None => NEWER,
    };
    KubeVersion { patch, ..version }
}

/// Stands for each patch before a release, and each after it.
const OLDER: u32 = 0;
const NEWER: u32 = u32::MAX;
