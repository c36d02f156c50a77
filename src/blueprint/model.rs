//! The parts of a host's blueprint: files, units, artifacts, and the order groups of them go in.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::inventory::HostName;
use crate::pki::SecretContent;

/// Everything one host must have. Paths are absolute; maps are sorted, so equal inputs give equal bytes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HostBlueprint {
    pub host: HostName,
    /// Distribution packages.
    pub packages: BTreeSet<String>,
    pub modules: BTreeSet<String>,
    /// sysctl key -> value, also written to a file in `files`.
    pub sysctls: BTreeMap<String, String>,
    pub swap: SwapPolicy,
    pub directories: BTreeMap<String, Directory>,
    pub binaries: BTreeMap<String, Binary>,
    /// Image references, each an archive of the bundle.
    pub images: BTreeSet<String>,
    pub files: BTreeMap<String, File>,
    /// path -> target
    pub links: BTreeMap<String, Link>,
    pub units: BTreeMap<String, Unit>,
    /// Static pod -> the files whose change it notices only when it starts.
    pub pod_files: BTreeMap<String, BTreeSet<String>>,
}

impl HostBlueprint {
    /// Of a host that is wanted no more: nothing is asked of it.
    pub fn empty(host: HostName) -> Self {
        HostBlueprint {
            host,
            packages: BTreeSet::new(),
            modules: BTreeSet::new(),
            sysctls: BTreeMap::new(),
            swap: SwapPolicy::Keep,
            directories: BTreeMap::new(),
            binaries: BTreeMap::new(),
            images: BTreeSet::new(),
            files: BTreeMap::new(),
            links: BTreeMap::new(),
            units: BTreeMap::new(),
            pod_files: BTreeMap::new(),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum SwapPolicy {
    /// Switched off now and in fstab.
    Off,
    /// The kubelet is configured for it.
    Keep,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Directory {
    pub mode: u32,
}

/// An executable from the bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Binary {
    /// The name of the file in the bundle's manifest.
    pub artifact: String,
    pub mode: u32,
    /// Units that must restart when it changes.
    pub restarts: BTreeSet<String>,
}

/// What tells a cluster from every other one. Made once, kept in the vault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClusterIdentity<'a> {
    pub uid: &'a str,
    /// `--initial-cluster-token`. Not the uid: members restored from a snapshot must never meet those that
    /// wrote it, so a restore makes a new token, and the cluster is still the same one.
    pub etcd_token: &'a str,
}

/// When a file is written, relative to the others of its host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FileGroup {
    /// Host preparation: modules, sysctls, containerd, units. Safe before the cluster exists.
    System,
    /// Certificates and keys.
    Pki,
    Kubeconfig,
    /// Kubelet configuration, encryption, audit policy, CNI configuration.
    Config,
    /// Static pods, always last: the kubelet acts on them at once.
    Manifest,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct File {
    pub group: FileGroup,
    pub mode: u32,
    pub content: Content,
    pub policy: FilePolicy,
    /// Units that must restart (or reload) when it changes.
    pub restarts: BTreeSet<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FilePolicy {
    /// Must have exactly this content.
    Exact,
    /// Written when absent, then left alone: someone else (kubelet rotation) owns what follows.
    CreateOnly,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Content {
    Text(Arc<str>),
    Secret(SecretContent),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    pub target: String,
    pub policy: FilePolicy,
}

/// A systemd unit's wanted state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unit {
    pub state: UnitState,
    /// Started with the system files (containerd, load balancer) or last of all (kubelet).
    pub group: UnitGroup,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UnitState {
    /// Enabled and running.
    Running,
    /// Disabled and stopped.
    Stopped,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UnitGroup {
    System,
    Kubelet,
}

/// What of a host's facts its blueprint depends on (kubeadm-contract: volumes and resolvConf).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HostTraits {
    /// Which of the well-known CA directories exist.
    pub ca_directories: BTreeSet<String>,
    pub resolved_active: bool,
    pub os_family: OsFamily,
    /// Of a member that already has data: its `--initial-cluster` and `--initial-cluster-state`.
    pub etcd_initial: Option<EtcdInitial>,
    /// What the kernel calls the host, when it is not the node name.
    pub hostname: Option<String>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OsFamily {
    #[default]
    Debian,
    RedHat,
}

/// How an etcd member was, or is to be, told about its first peers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EtcdInitial {
    /// name=peer-url,...
    pub cluster: String,
    /// `new` or `existing`
    pub state: String,
}
