//! One machine as its probe saw it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::blueprint::{EtcdInitial, HostTraits, OsFamily};
use crate::digest::Digest;

/// Everything one probe of a host found out.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HostFacts {
    pub os_id: String,
    pub os_version: String,
    pub os_family: OsFamily,
    pub kernel: String,
    /// As `uname -m` says: `x86_64`, `aarch64`.
    pub machine: String,
    pub hostname: String,
    pub boot_id: String,
    /// systemd is PID 1.
    pub systemd: bool,
    pub cpus: u32,
    pub memory_kib: u64,
    pub cgroup: Cgroup,
    /// Active swap devices.
    pub swap: Vec<String>,
    /// Seconds since the epoch by the host's clock.
    pub clock: i64,
    /// How many seconds that is ahead of the operator's clock, or behind it when negative: at least, as
    /// the probe took a while to be answered.
    pub clock_offset: i64,
    pub clock_synchronised: Option<bool>,
    pub addresses: Vec<Address>,
    pub listeners: Vec<Listener>,
    pub mounts: BTreeMap<String, Mount>,
    pub resolved_active: bool,
    pub ca_directories: BTreeSet<String>,
    /// Programs found in the search path, of those asked for.
    pub programs: BTreeSet<String>,
    /// Packages installed, of those asked for.
    pub packages: BTreeSet<String>,
    /// Packages that the operator keeps from being changed.
    pub held: BTreeSet<String>,
    /// Kernel modules loaded or built in, of those asked for.
    pub modules: BTreeSet<String>,
    pub sysctls: BTreeMap<String, String>,
    pub units: BTreeMap<String, UnitFact>,
    pub files: BTreeMap<String, FileFact>,
    /// PEM certificates, of the paths asked for.
    pub certificates: BTreeMap<String, String>,
    /// What kubeconfigs with an embedded certificate say, without their keys.
    pub kubeconfigs: BTreeMap<String, KubeconfigFact>,
    /// Static pods that started before a file was written which they read only then, with that file.
    pub stale_pods: BTreeMap<String, String>,
    /// Hashes of the artifacts in the host's store.
    pub artifacts: BTreeSet<Digest>,
    /// Images containerd has; None: containerd did not answer.
    pub images: Option<BTreeSet<String>>,
    pub marker: Option<Marker>,
    pub etcd: InstalledEtcd,
    /// Signs of another installer or cluster: k3s, microk8s, rke2.
    pub foreign: BTreeSet<String>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Cgroup {
    V1,
    #[default]
    V2,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Address {
    pub interface: String,
    pub address: IpAddr,
}

/// A TCP socket somebody listens on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listener {
    pub port: u16,
    pub process: Option<String>,
}

/// A file system, by the directory asked about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Mount {
    pub free_kib: u64,
    pub free_inodes: u64,
    pub options: String,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnitFact {
    pub active: bool,
    pub enabled: bool,
    pub masked: bool,
    pub exists: bool,
    pub restarts: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileFact {
    pub kind: FileKind,
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    /// Regular files only.
    pub digest: Option<Digest>,
    /// The text, when it is not secret and differs from what the probe was told to expect.
    pub text: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FileKind {
    Regular,
    Directory,
    Link(String),
    Other,
}

/// The public half of a kubeconfig.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KubeconfigFact {
    pub server: String,
    /// PEM.
    pub authority: String,
    /// PEM.
    pub certificate: String,
}

/// `/etc/keelwright/host.json`: whose machine this is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Marker {
    pub cluster: String,
    pub uid: String,
    pub host: String,
}

/// What is left or running of etcd.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InstalledEtcd {
    /// The data directory holds a member.
    pub has_data: bool,
    /// What its manifest says of its first peers.
    pub initial: Option<EtcdInitial>,
}

impl HostFacts {
    /// What the blueprint needs to know of this host.
    pub fn traits(&self, node_name: &str) -> HostTraits {
        HostTraits {
            ca_directories: self.ca_directories.clone(),
            resolved_active: self.resolved_active,
            os_family: self.os_family,
            etcd_initial: if self.etcd.has_data { self.etcd.initial.clone() } else { None },
            hostname: (self.hostname != node_name).then(|| self.hostname.clone()),
        }
    }

    /// Whether a unit is running.
    pub fn is_active(&self, unit: &str) -> bool {
        self.units.get(unit).is_some_and(|fact| fact.active)
    }
}
