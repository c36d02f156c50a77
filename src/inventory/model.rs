//! The desired state of one cluster. Fields are what the inventory file has, with defaults filled
//! in; docs/inventory.md describes each.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use camino::Utf8PathBuf;
use serde::{Deserialize, Serialize};

use super::hooks::Hook;
use super::ids::{ClusterName, HostName};
use super::network::Network;
use super::upgrade::UpgradePolicy;
use crate::release::KubeVersion;

pub use crate::release::Arch;

/// One cluster, as wanted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Inventory {
    pub name: ClusterName,
    pub version: KubeVersion,
    /// Sorted by name.
    pub hosts: BTreeMap<HostName, Host>,
    pub network: Network,
    pub endpoint: Endpoint,
    /// `host:port` where clients that are no nodes find the API; None: where nodes do, or at a control plane.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_endpoint: Option<String>,
    pub etcd: Etcd,
    pub api_server: Component,
    pub controller_manager: Component,
    pub scheduler: Component,
    pub kubelet: Kubelet,
    pub kube_proxy: KubeProxy,
    pub containerd: Containerd,
    pub pki: Pki,
    pub security: Security,
    pub artifacts: Artifacts,
    pub addons: Vec<Addon>,
    pub policy: Policy,
    /// In the order they run in.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hooks: Vec<Hook>,
    /// Where nodes that come by themselves find what they join with; None: there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub self_join: Option<SelfJoin>,
    /// Where operators share the cluster's state; None: a directory of each.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<SharedState>,
}

/// A place in an S3 bucket, and who may reach it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SharedState {
    pub bucket: String,
    /// What the names of objects begin with, without the slash at the end.
    pub prefix: String,
    pub region: String,
    /// Of the operator's AWS configuration; None: what the environment names.
    pub profile: Option<String>,
    /// An ARN.
    pub assume_role: Option<String>,
}

impl Inventory {
    pub fn has_addon(&self, name: &str) -> bool {
        self.addons.iter().any(|addon| addon.name == name)
    }
}

/// A place in AWS' Parameter Store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SelfJoin {
    pub region: String,
    /// The parameter's name.
    pub parameter: String,
}

impl SelfJoin {
    /// Where the region's services are.
    pub fn domain(&self) -> &'static str {
        aws_domain(&self.region)
    }
}

/// What a host is for.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    ControlPlane,
    Worker,
    Etcd,
}

/// One machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Host {
    pub name: HostName,
    /// The address the other nodes reach it at: advertise address, etcd peer, node IP.
    pub address: IpAddr,
    /// Its address of the other family, in a dual-stack cluster: the second node IP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secondary_address: Option<IpAddr>,
    pub roles: BTreeSet<Role>,
    pub arch: Arch,
    pub ssh: Ssh,
    pub labels: BTreeMap<String, String>,
    pub taints: Vec<Taint>,
    /// Which machine of its cloud it is, for who looks after nodes there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider_id: Option<String>,
}

impl Host {
    pub fn is_control_plane(&self) -> bool {
        self.roles.contains(&Role::ControlPlane)
    }

    /// Whether a kubelet runs here: everything but a host that is for etcd only.
    pub fn is_node(&self) -> bool {
        self.roles.iter().any(|role| matches!(role, Role::ControlPlane | Role::Worker))
    }
}

/// How a host is reached.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Ssh {
    /// A name or an address; a name may be an alias of `~/.ssh/config`.
    pub host: String,
    /// None: `~/.ssh/config`, then 22.
    pub port: Option<u16>,
    /// None: `~/.ssh/config`, then the operator's own name.
    pub user: Option<String>,
    /// Key files; empty: `~/.ssh/config`, the agent, then the usual files.
    pub keys: Vec<Utf8PathBuf>,
    /// Hops before the host, first hop first.
    pub bastions: Vec<Bastion>,
    pub sudo: Sudo,
    /// Host keys that are trusted, as `ssh-ed25519 AAAA…`; empty: known_hosts.
    pub host_keys: Vec<String>,
    /// Certificate authorities whose host certificates are trusted.
    pub host_cas: Vec<String>,
}

/// One hop of a ProxyJump.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Bastion {
    pub host: String,
    pub port: Option<u16>,
    pub user: Option<String>,
    pub keys: Vec<Utf8PathBuf>,
    pub host_keys: Vec<String>,
    pub host_cas: Vec<String>,
}

/// How root is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Sudo {
    /// Root already, or `sudo -n`: decided by the user that answers.
    Passwordless,
    /// `sudo -S`, the password read from a prompt or a file descriptor by the operator's side.
    Password,
}

/// A node taint.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Taint {
    pub key: String,
    pub value: Option<String>,
    pub effect: TaintEffect,
}

#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema,
)]
pub enum TaintEffect {
    NoSchedule,
    PreferNoSchedule,
    NoExecute,
}

impl TaintEffect {
    pub fn as_str(self) -> &'static str {
        match self {
            TaintEffect::NoSchedule => "NoSchedule",
            TaintEffect::PreferNoSchedule => "PreferNoSchedule",
            TaintEffect::NoExecute => "NoExecute",
        }
    }
}

/// Where clients and nodes find the API.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Endpoint {
    /// haproxy on every node's loopback, in front of all API servers.
    NodeLocal { port: u16 },
    /// A balancer or DNS name that somebody else looks after.
    External { host: String, port: u16 },
    /// keepalived moves this address among the control planes.
    Vip { address: IpAddr, interface: Option<String>, port: u16 },
}

/// Where etcd runs, and its extra arguments.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Etcd {
    pub placement: EtcdPlacement,
    pub extra_args: Vec<ExtraArg>,
    pub data_dir: Utf8PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EtcdPlacement {
    /// On the control planes, as static pods.
    Stacked,
    /// On the hosts with role etcd, as static pods of a kubelet that joins nothing.
    Dedicated,
}

/// A flag without its dashes. A list, because a flag may be given twice and order counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExtraArg {
    pub name: String,
    pub value: String,
}

/// A control-plane component's settings.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Component {
    pub extra_args: Vec<ExtraArg>,
    /// API server only: more names and addresses of its certificate.
    pub cert_sans: Vec<String>,
}

/// The kubelet's settings: fields of KubeletConfiguration laid over ours, and flags.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Kubelet {
    pub config: BTreeMap<String, serde_json::Value>,
    pub extra_args: Vec<ExtraArg>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KubeProxy {
    pub enabled: bool,
    /// Fields of KubeProxyConfiguration laid over ours.
    pub config: BTreeMap<String, serde_json::Value>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Containerd {
    /// For machines whose root lacks CAP_SYS_RESOURCE.
    pub restrict_oom_score_adj: bool,
    /// registry host -> mirror URLs, first answer wins.
    pub registry_mirrors: BTreeMap<String, Vec<String>>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Pki {
    pub algorithm: KeyAlgorithm,
    /// CA keys never leave the operator: no CSR signing, no token join, we renew.
    pub external_ca: bool,
    /// Directory with the operator's own ca.crt/ca.key, front-proxy-ca.*, etcd/ca.* (any of them).
    pub bring_your_own: Option<Utf8PathBuf>,
}

#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema,
)]
pub enum KeyAlgorithm {
    #[serde(rename = "ECDSA-P256")]
    EcdsaP256,
    #[serde(rename = "RSA-2048")]
    Rsa2048,
}

impl KeyAlgorithm {
    /// The name kubeadm's `encryptionAlgorithm` has for it.
    pub fn as_str(self) -> &'static str {
        match self {
            KeyAlgorithm::EcdsaP256 => "ECDSA-P256",
            KeyAlgorithm::Rsa2048 => "RSA-2048",
        }
    }
}

/// What is hardened beyond kubeadm; all on unless switched off.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Security {
    /// Secrets are encrypted in etcd with secretbox.
    pub encryption_at_rest: bool,
    pub audit: bool,
    /// The flags of the CIS benchmark that plain kubeadm lacks.
    pub cis: bool,
}

/// Where binaries and images come from and how they reach a host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Artifacts {
    /// Directory of a bundle made by `keelwright bundle`; None: the default cache.
    pub bundle: Option<Utf8PathBuf>,
    pub delivery: Delivery,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Delivery {
    /// Over SSH from the operator.
    Upload,
    /// Hosts pull `URL/<sha256>` themselves.
    Mirror { url: String },
    /// keelwright brings files into a bucket, and machines of its own in AWS pull them by their role.
    Bucket(ArtifactBucket),
}

/// A place in an S3 bucket where a file's name is its SHA-256.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ArtifactBucket {
    pub name: String,
    pub region: String,
    /// What the names of objects begin with, without the slash at the end.
    pub prefix: String,
}

impl ArtifactBucket {
    pub fn key(&self, sha256: impl std::fmt::Display) -> String {
        format!("{}/{sha256}", self.prefix)
    }
}

/// Where a region's services of AWS are.
pub fn aws_domain(region: &str) -> &'static str {
    if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Addon {
    pub name: String,
    /// Absolute path or https URL of a manifest; None: keelwright's own.
    pub source: Option<String>,
    pub sha256: Option<String>,
}

/// The planner's and the executor's only knobs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Policy {
    /// Hosts worked on at once. More means more load on the operator's machine and the network.
    pub parallelism: u32,
    /// Workers that may be out of service at once.
    pub max_unavailable: CountOrShare,
    #[serde(default)]
    pub upgrade: UpgradePolicy,
    pub timeouts: Timeouts,
}

/// A number of workers, or a percentage of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum CountOrShare {
    Count(u32),
    Percent(u8),
}

/// Deadlines in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Timeouts {
    pub connect: u32,
    pub stage: u32,
    pub api_ready: u32,
    pub node_ready: u32,
    pub drain: u32,
}

impl Inventory {
    /// Hosts with a kubelet that joins the cluster, by name.
    pub fn nodes(&self) -> impl Iterator<Item = &Host> {
        self.hosts.values().filter(|host| host.is_node())
    }

    pub fn control_planes(&self) -> impl Iterator<Item = &Host> {
        self.hosts.values().filter(|host| host.is_control_plane())
    }

    /// Hosts that run an etcd member.
    pub fn etcd_hosts(&self) -> impl Iterator<Item = &Host> {
        let role = match self.etcd.placement {
            EtcdPlacement::Stacked => Role::ControlPlane,
            EtcdPlacement::Dedicated => Role::Etcd,
        };
        self.hosts.values().filter(move |host| host.roles.contains(&role))
    }

    /// `host:port` as kubeadm's controlPlaneEndpoint has it.
    pub fn control_plane_endpoint(&self) -> String {
        match &self.endpoint {
            Endpoint::NodeLocal { port } => format!("127.0.0.1:{port}"),
            Endpoint::External { host, port } => format!("{}:{port}", bracketed(host)),
            Endpoint::Vip { address, port, .. } => format!("{}:{port}", bracketed(&address.to_string())),
        }
    }
}

/// An IPv6 address in brackets, anything else as it is.
pub fn bracketed(host: &str) -> String {
    if host.parse::<std::net::Ipv6Addr>().is_ok() { format!("[{host}]") } else { host.to_owned() }
}
