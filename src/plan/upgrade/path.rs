//! The moves from the versions that run to those that are wanted.

use std::collections::BTreeMap;

use semver::Version;
use serde::{Deserialize, Serialize};

use super::fleet::Fleet;
use super::obstacle::{self, NoPath};
use super::versions::{ClusterVersions, HostVersions};
use super::{etcd, search};
use crate::inventory::HostName;
use crate::release::skew::newest_api_server_for;
use crate::release::{KubeVersion, Minor};

/// The versions there are to choose from: every move goes to one of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Releases {
    pub target: KubeVersion,
    pub target_etcd: Version,
    /// Of each minor that control planes may pass through: its patch release and its etcd.
    pub passing: BTreeMap<Minor, (KubeVersion, Version)>,
}

/// One change of one component on one host (kube-proxy: of all).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "move")]
pub enum Move {
    Etcd {
        host: HostName,
        to: Version,
    },
    /// The API server, and when it is ready the controller manager and the scheduler beside it. Where the
    /// API server is there already, only the other two.
    ControlPlane {
        host: HostName,
        to: KubeVersion,
    },
    /// Drains the node when it crosses a minor: see [`Move::drains`].
    Kubelet {
        host: HostName,
        to: KubeVersion,
    },
    KubeProxy {
        to: KubeVersion,
    },
}

/// The moves, in an order in which every state between them is legal; empty when nothing is to change.
///
/// Where the start is outside the policy already, no move makes it worse and the last one leaves it legal.
/// etcd comes first: every API server works with a newer one, and nothing else depends on it.
pub fn path(from: &ClusterVersions, releases: &Releases) -> Result<Vec<Move>, NoPath> {
    obstacle::refuse_downgrades(from, releases)?;
    obstacle::refuse_missing_releases(from, releases)?;
    obstacle::refuse_stuck_control_planes(from, releases)?;
    let mut moves = etcd::etcd_moves(from, releases)?;
    let fleet = Fleet::new(from, releases);
    let steps = search::cheapest_steps(&fleet, releases).ok_or_else(|| obstacle::no_way(from, releases))?;
    moves.extend(fleet.moves(&steps));
    Ok(moves)
}

impl Move {
    /// None: of all hosts.
    pub fn host(&self) -> Option<&HostName> {
        match self {
            Move::Etcd { host, .. } | Move::ControlPlane { host, .. } | Move::Kubelet { host, .. } => {
                Some(host)
            }
            Move::KubeProxy { .. } => None,
        }
    }

    /// Whether the node must be drained first: its kubelet crosses a minor. A patch release keeps the pods.
    pub fn drains(&self, before: &ClusterVersions) -> bool {
        match self {
            Move::Kubelet { host, to } => {
                let runs = before.hosts.get(host).and_then(|host| host.kubelet);
                runs.is_some_and(|runs| runs.minor() != to.minor())
            }
            Move::Etcd { .. } | Move::ControlPlane { .. } | Move::KubeProxy { .. } => false,
        }
    }

    /// Whether an API server goes away for a while: its own version changes, or a kubelet that crosses a
    /// minor makes all static pods of its host anew.
    pub fn restarts_api_server(&self, before: &ClusterVersions) -> bool {
        let api_server = |host: &HostName| before.hosts.get(host).and_then(|host| host.api_server);
        match self {
            Move::ControlPlane { host, to } => api_server(host) != Some(*to),
            Move::Kubelet { host, .. } => api_server(host).is_some() && self.drains(before),
            Move::Etcd { .. } | Move::KubeProxy { .. } => false,
        }
    }
}

impl HostVersions {
    pub(super) fn is_control_plane(&self) -> bool {
        self.api_server.is_some()
    }
}

impl Releases {
    /// The release of a minor that may be gone to.
    pub(super) fn of(&self, minor: Minor) -> Option<KubeVersion> {
        if minor == self.target.minor() {
            return Some(self.target);
        }
        self.passing.get(&minor).map(|(version, _)| *version).filter(|version| *version < self.target)
    }

    /// All releases that may be gone to, oldest first.
    pub(super) fn all(&self) -> impl Iterator<Item = KubeVersion> {
        let passing = self.passing.range(..self.target.minor()).map(|(_, (version, _))| *version);
        passing.chain([self.target])
    }

    /// The minors between one that runs and the target, which API servers cannot leave out.
    pub(super) fn between(&self, minor: Minor) -> impl Iterator<Item = Minor> {
        let target = self.target.minor();
        std::iter::successors(Some(minor.next()), |minor| Some(minor.next()))
            .take_while(move |minor| *minor < target)
    }

    /// How many minors a kubelet or kube-proxy stops at on its way, the target's included, when it skips all
    /// that the policy lets it skip. Fails with a minor that it has to stop at and that has no release.
    ///
    /// Until it moves, API servers cannot go past the newest one that it may run beside, and it never goes
    /// past them.
    pub(super) fn node_stops(&self, node: Minor, newest_api_server: Minor) -> Result<u32, Minor> {
        let (mut at, mut stops) = (node, 0);
        while at < self.target.minor() {
            let reach = newest_api_server_for(at).max(newest_api_server).min(self.target.minor());
            let within_reach =
                self.all().map(KubeVersion::minor).filter(|minor| (at.next()..=reach).contains(minor));
            at = within_reach.last().ok_or(reach)?;
            stops += 1;
        }
        Ok(stops)
    }
}
