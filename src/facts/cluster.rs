//! The whole cluster as observed: hosts, API, etcd, the operator's vault.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{HostFacts, UpgradeFacts};
use crate::inventory::{Host, HostName};

/// Objects of the Kubernetes API as JSON, keyed by `apiVersion/kind/namespace/name`.
pub type Objects = BTreeMap<String, Value>;

/// One member of an etcd cluster as the cluster itself lists it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EtcdMember {
    pub id: u64,
    /// Empty until the member has started for the first time.
    pub name: String,
    pub peer_urls: Vec<String>,
    pub client_urls: Vec<String>,
    pub learner: bool,
    /// Answered its own status call within the time allowed.
    pub healthy: bool,
    pub leader: bool,
}

/// An observation that may have failed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Observed<T> {
    Known(T),
    /// There is none (no cluster yet).
    Absent,
    /// It could not be asked, and why.
    Unreachable(String),
}

impl<T> Observed<T> {
    pub fn known(&self) -> Option<&T> {
        match self {
            Observed::Known(value) => Some(value),
            Observed::Absent | Observed::Unreachable(_) => None,
        }
    }
}

/// Everything a plan is made from beside the inventory.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClusterFacts {
    pub hosts: BTreeMap<HostName, Observed<HostFacts>>,
    /// Hosts that an earlier inventory had and this one has not.
    pub dropped: BTreeMap<HostName, Host>,
    pub api: Observed<ApiFacts>,
    pub etcd: Observed<EtcdFacts>,
    /// What an upgrade would meet; absent when none is wanted.
    pub upgrade: Observed<UpgradeFacts>,
}

impl ClusterFacts {
    /// The facts of a host that answered.
    pub fn host(&self, name: &HostName) -> Option<&HostFacts> {
        self.hosts.get(name).and_then(Observed::known)
    }
}

/// What the API server says.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ApiFacts {
    /// Control planes whose own API server is ready.
    pub ready: BTreeSet<HostName>,
    pub nodes: BTreeMap<HostName, NodeFacts>,
    /// The live form of every object the cluster blueprint wants, absent ones left out.
    pub objects: Objects,
    /// By workload, the pods that are available: what health gates compare with. Empty without a gate.
    #[serde(default)]
    pub workloads: BTreeMap<String, u64>,
}

/// A Node, as far as planning is concerned.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeFacts {
    pub ready: bool,
    pub unschedulable: bool,
    pub kubelet_version: String,
    pub pod_cidrs: Vec<IpNet>,
    /// Metadata and spec, without what changes by itself.
    pub live: Value,
}

/// etcd's own view of its members.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct EtcdFacts {
    pub members: Vec<EtcdMember>,
}

/// On a Node: keelwright cordoned it, so keelwright may uncordon it.
pub const CORDONED_ANNOTATION: &str = "keelwright.dev/cordoned";

/// Whether a Node is cordoned, and by us.
pub fn is_cordoned_by_us(node: &Value) -> bool {
    let marked = node["metadata"]["annotations"].get(CORDONED_ANNOTATION).is_some();
    marked && node["spec"]["unschedulable"].as_bool().unwrap_or(false)
}

/// Whether a Node's own condition says it is ready.
pub fn node_is_ready(node: &Value) -> bool {
    let conditions = node["status"]["conditions"].as_array();
    conditions.into_iter().flatten().any(|condition| {
        condition["type"].as_str() == Some("Ready") && condition["status"].as_str() == Some("True")
    })
}
