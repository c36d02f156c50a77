//! The moves from the versions that run to those that are wanted.

use std::collections::BTreeMap;

use semver::Version;
use serde::{Deserialize, Serialize};

use super::versions::ClusterVersions;
use crate::inventory::HostName;
use crate::release::{KubeVersion, Minor};

/// The versions there are to choose from.
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
    /// The API server, and when it is ready the controller manager and the scheduler beside it.
    ControlPlane {
        host: HostName,
        to: KubeVersion,
    },
    /// Drains the node.
    Kubelet {
        host: HostName,
        to: KubeVersion,
    },
    KubeProxy {
        to: KubeVersion,
    },
}

/// Why there are no such moves.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoPath {
    #[error("not yet")]
    NotYet,
}

/// The moves, in an order in which every state between them is legal; empty when nothing is to change.
pub fn path(from: &ClusterVersions, releases: &Releases) -> Result<Vec<Move>, NoPath> {
    // Placeholder until the search is merged.
    let target = releases.target;
    let mut moves = Vec::new();
    for (host, versions) in &from.hosts {
        if versions.etcd.as_ref().is_some_and(|etcd| *etcd != releases.target_etcd) {
            moves.push(Move::Etcd { host: host.clone(), to: releases.target_etcd.clone() });
        }
    }
    let lowest = from.hosts.values().filter_map(|versions| versions.api_server).min();
    if let Some(lowest) = lowest {
        let mut hop = lowest.minor();
        while hop < target.minor() {
            hop = hop.next();
            let to = if hop == target.minor() {
                target
            } else {
                releases.passing.get(&hop).ok_or(NoPath::NotYet)?.0
            };
            for (host, versions) in &from.hosts {
                if versions.api_server.is_some_and(|api| api < to) {
                    moves.push(Move::ControlPlane { host: host.clone(), to });
                }
            }
        }
    }
    for (host, versions) in &from.hosts {
        if versions.kubelet.is_some_and(|kubelet| kubelet != target) {
            moves.push(Move::Kubelet { host: host.clone(), to: target });
        }
    }
    Ok(moves)
}
