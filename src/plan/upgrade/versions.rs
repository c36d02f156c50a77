//! What runs where, as far as the version-skew policy is concerned.

use std::collections::BTreeMap;

use semver::Version;
use serde::{Deserialize, Serialize};

use super::path::Move;
use crate::inventory::HostName;
use crate::release::{ApiServerSpan, KubeVersion};

/// What runs on one host; None: that component has no place there, or does not run yet.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HostVersions {
    pub etcd: Option<Version>,
    pub api_server: Option<KubeVersion>,
    pub controller_manager: Option<KubeVersion>,
    pub scheduler: Option<KubeVersion>,
    pub kubelet: Option<KubeVersion>,
}

/// What runs in a cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClusterVersions {
    pub hosts: BTreeMap<HostName, HostVersions>,
    /// Of the DaemonSet: all nodes get the same one.
    pub kube_proxy: Option<KubeVersion>,
}

impl ClusterVersions {
    /// What runs after a move.
    pub fn apply(&mut self, change: &Move) {
        match change {
            Move::Etcd { host, to } => self.host(host).etcd = Some(to.clone()),
            Move::ControlPlane { host, to } => {
                let host = self.host(host);
                host.api_server = Some(*to);
                host.controller_manager = Some(*to);
                host.scheduler = Some(*to);
            }
            Move::Kubelet { host, to } => self.host(host).kubelet = Some(*to),
            Move::KubeProxy { to } => self.kube_proxy = Some(*to),
        }
    }

    /// The oldest and the newest API server; None without any.
    pub fn api_servers(&self) -> Option<ApiServerSpan> {
        ApiServerSpan::observed(self.hosts.values().filter_map(|host| host.api_server))
    }

    fn host(&mut self, name: &HostName) -> &mut HostVersions {
        self.hosts.entry(name.clone()).or_default()
    }
}
