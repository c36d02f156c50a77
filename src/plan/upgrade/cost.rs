//! What steps cost, and the least that the rest of the way can cost.

use std::ops::Add;

use super::path::Releases;
use super::state::{ControlPlane, State, Step};
use crate::release::{ApiServerSpan, KubeVersion, Minor};

/// What is to be least, the most important first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Cost {
    pub drains: u32,
    pub api_server_restarts: u32,
    pub moves: u32,
}

/// Of steps that cost the same the one that ranks lowest is taken first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank {
    kind: Kind,
    /// Control planes: one hop is over on all hosts before the next. Nodes that have to stop on the way stop
    /// as near to the target as they may.
    minors: u32,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    #[default]
    ControlPlane,
    ControlPlaneKubelets,
    KubeProxy,
    Workers,
}

/// Nodes that began with the same version.
#[derive(Debug, Clone, Copy)]
pub(super) struct NodeGroup {
    pub nodes: u32,
    pub control_planes: bool,
}

/// What costs depend on beside the state.
pub(super) struct Prices<'a> {
    pub releases: &'a Releases,
    pub groups: Vec<NodeGroup>,
}

impl Add for Cost {
    type Output = Cost;

    fn add(self, other: Cost) -> Cost {
        Cost {
            drains: self.drains + other.drains,
            api_server_restarts: self.api_server_restarts + other.api_server_restarts,
            moves: self.moves + other.moves,
        }
    }
}

impl Prices<'_> {
    pub fn of(&self, state: &State, step: Step) -> Cost {
        match step {
            Step::ControlPlane { from, to } => control_plane(u32::from(from.api_server != to)),
            Step::Kubelets { group, to } => {
                let crosses = state.kubelets.get(group).is_some_and(|from| from.minor() != to.minor());
                self.kubelets(group, crosses)
            }
            Step::KubeProxy { .. } => Cost { moves: 1, ..Cost::default() },
        }
    }

    pub fn rank(&self, step: Step) -> Rank {
        let target = self.releases.target;
        let (kind, minors) = match step {
            Step::ControlPlane { to, .. } => (Kind::ControlPlane, to.minor),
            Step::KubeProxy { to } => (Kind::KubeProxy, minors_up(to, target)),
            Step::Kubelets { group, to } => {
                let control_planes = self.groups.get(group).is_some_and(|group| group.control_planes);
                let kind = if control_planes { Kind::ControlPlaneKubelets } else { Kind::Workers };
                (kind, minors_up(to, target))
            }
        };
        Rank { kind, minors }
    }

    /// No way from here costs less; None when there is none.
    pub fn at_least(&self, state: &State) -> Option<Cost> {
        let newest = state.api_servers().map_or(self.releases.target.minor(), ApiServerSpan::newest);
        let mut cost = Cost::default();
        for host in &state.control_planes {
            cost = cost + self.rest_of_control_plane(host)?;
        }
        for (group, version) in state.kubelets.iter().enumerate() {
            cost = cost + self.rest_of_kubelets(group, *version, newest)?;
        }
        let moves = state.kube_proxy.map_or(Some(0), |version| self.node_moves(version, newest))?;
        Some(cost + Cost { moves, ..Cost::default() })
    }

    fn rest_of_control_plane(&self, host: &ControlPlane) -> Option<Cost> {
        let ControlPlane { api_server, .. } = *host;
        let target = self.releases.target;
        if *host == ControlPlane::all(target) {
            return Some(Cost::default());
        }
        if api_server.minor() == target.minor() {
            return Some(control_plane(u32::from(api_server != target)));
        }
        let may_pass =
            self.releases.between(api_server.minor()).all(|minor| self.releases.of(minor).is_some());
        let minors = may_pass.then(|| minors_up(api_server, target))?;
        let climbs = Cost { api_server_restarts: minors, moves: minors, ..Cost::default() };
        if !host.lags() {
            return Some(climbs);
        }
        let own = self.releases.of(api_server.minor()).filter(|own| *own >= api_server)?;
        Some(climbs + control_plane(u32::from(own != api_server)))
    }

    fn rest_of_kubelets(&self, group: usize, version: KubeVersion, newest: Minor) -> Option<Cost> {
        let moves = self.node_moves(version, newest)?;
        let crosses = version.minor() != self.releases.target.minor();
        Some((0..moves).fold(Cost::default(), |cost, _| cost + self.kubelets(group, crosses)))
    }

    fn node_moves(&self, version: KubeVersion, newest: Minor) -> Option<u32> {
        if version == self.releases.target {
            return Some(0);
        }
        Some(self.releases.node_stops(version.minor(), newest).ok()?.max(1))
    }

    /// One move of each kubelet of a group; those of control planes that cross a minor make all static pods
    /// of their hosts anew.
    fn kubelets(&self, group: usize, crosses_minor: bool) -> Cost {
        let Some(NodeGroup { nodes, control_planes }) = self.groups.get(group) else {
            return Cost::default();
        };
        let drains = if crosses_minor { *nodes } else { 0 };
        Cost { drains, api_server_restarts: if *control_planes { drains } else { 0 }, moves: *nodes }
    }
}

fn control_plane(api_server_restarts: u32) -> Cost {
    Cost { api_server_restarts, moves: 1, ..Cost::default() }
}

fn minors_up(from: KubeVersion, to: KubeVersion) -> u32 {
    from.minor().behind(to.minor()).and_then(|minors| u32::try_from(minors).ok()).unwrap_or(0)
}
