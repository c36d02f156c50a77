//! What runs where, as far as the version-skew policy is concerned.

use std::collections::BTreeMap;

use semver::Version;
use serde::{Deserialize, Serialize};

use crate::inventory::HostName;
use crate::release::KubeVersion;

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
