//! The pod and service network of a cluster, as wanted.

use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

/// Addresses of pods and services, and what connects pods.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Network {
    /// One, or one of each family; the first family is the cluster's.
    pub pod_cidrs: Vec<IpNet>,
    pub service_cidrs: Vec<IpNet>,
    pub dns_domain: String,
    pub plugin: NetworkPlugin,
}

impl Network {
    /// The address at `index` in the first service range: 1 is `kubernetes`, 10 is DNS.
    pub fn service_address(&self, index: u128) -> Option<IpAddr> {
        let first = self.service_cidrs.first()?;
        match first {
            IpNet::V4(net) => {
                let value = u32::from(net.network()).checked_add(u32::try_from(index).ok()?)?;
                Some(IpAddr::V4(value.into()))
            }
            IpNet::V6(net) => Some(IpAddr::V6(u128::from(net.network()).checked_add(index)?.into())),
        }
    }
}

/// What connects pods.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "name")]
pub enum NetworkPlugin {
    /// A bridge on each host and routes between hosts that share a link; no image, no daemon.
    Routes {
        mtu: Option<u32>,
    },
    Calico(PluginRelease),
    Cilium(PluginRelease),
    Flannel(PluginRelease),
    /// Any manifest by absolute path or https URL.
    Manifest {
        source: String,
        sha256: Option<String>,
    },
    None,
}

/// A release of a network plugin that comes as a manifest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PluginRelease {
    pub version: String,
    /// Absolute path or https URL; None: where the project publishes it.
    pub source: Option<String>,
    pub sha256: Option<String>,
}
