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
    let _ = (from, releases);
    Err(NoPath::NotYet)
}
