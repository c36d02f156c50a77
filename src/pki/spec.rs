//! Which certificates and keys a cluster has, computed from the inventory alone.

use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// Names one key pair of a cluster: `ca`, `etcd/ca`, `sa`, `cp-1/apiserver`, `worker-1/kubelet`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KeyId(pub String);

impl KeyId {
    /// A key pair that the whole cluster shares.
    pub fn shared(name: &str) -> Self {
        KeyId(name.to_owned())
    }

    /// A key pair of one host.
    pub fn of_host(host: &crate::inventory::HostName, name: &str) -> Self {
        KeyId(format!("{host}/{name}"))
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Extended key usages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Usage {
    ServerAuth,
    ClientAuth,
}

/// What a certificate must say (kubeadm-contract: the table of certificates).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CertificateSpec {
    pub common_name: String,
    pub organization: Option<String>,
    /// Sorted, without duplicates.
    pub dns_names: Vec<String>,
    /// In order, without duplicates.
    pub addresses: Vec<IpAddr>,
    pub usages: Vec<Usage>,
    /// None: signs itself and is a CA.
    pub issuer: Option<KeyId>,
    /// Hours from issue to expiry (kubeadm: 8760 for leaves, 87600 for CAs).
    pub valid_hours: u32,
}
