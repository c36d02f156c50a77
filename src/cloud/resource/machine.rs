//! Machines, what they may do, and what they keep.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Manner;
use crate::cloud::name::Ref;
use crate::inventory::{Disk, MachineImage};

/// A public key for the first user of machines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KeyPair {
    /// `ssh-ed25519 AAAA…`, without a comment.
    pub public_key: String,
}

/// Whom machines' roles trust: EC2.
pub const TRUST: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"ec2.amazonaws.com"},"Action":"sts:AssumeRole"}]}"#;

/// What machines may ask of the cloud.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Role {
    /// Inline policies by name.
    pub policies: BTreeMap<String, Value>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InstanceProfile {
    pub role: Ref,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Volume {
    pub zone: String,
    pub disk: Disk,
}

/// Volumes grow and never shrink, and stay where and as encrypted as they are.
pub(super) fn volume_manner(field: &str, from: &Value, to: &Value) -> Manner {
    if field != "disk" {
        return Manner::Never("a volume stays in its zone");
    }
    let of = |value: &Value, key: &str| value.get(key).cloned().unwrap_or_default();
    if of(from, "kmsKey") != of(to, "kmsKey") {
        return Manner::Never("a volume keeps its key; let a new member have a new volume");
    }
    match of(to, "size").as_u64() < of(from, "size").as_u64() {
        true => Manner::Never("a volume grows and never shrinks"),
        false => Manner::InPlace,
    }
}

/// What the inventory does not say of a disk is as the cloud has made it.
pub(super) fn settled_disk(wanted: Disk, there: &Disk) -> Disk {
    Disk {
        iops: wanted.iops.or(there.iops),
        throughput: wanted.throughput.or(there.throughput),
        kms_key: wanted.kms_key.or_else(|| there.kms_key.clone()),
        ..wanted
    }
}

/// What any machine is made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Machine {
    pub instance_type: String,
    /// Chosen when a machine is made; a newer one that fits is no difference.
    pub image: MachineImage,
    pub key: Ref,
    pub groups: BTreeSet<Ref>,
    pub profile: Option<Ref>,
    pub root: Disk,
    pub public_address: bool,
    /// Hops that an answer of the metadata service may travel: 1 keeps pods out.
    pub metadata_hops: u8,
    /// What cloud-init runs, as text.
    pub user_data: Option<String>,
}

impl Machine {
    pub(crate) fn needs(&self) -> Vec<&Ref> {
        [&self.key].into_iter().chain(&self.groups).chain(&self.profile).collect()
    }
}

/// A machine that has a name and stays.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Instance {
    #[serde(flatten)]
    pub machine: Machine,
    pub subnet: Ref,
    /// In its subnet, chosen beforehand, so that a machine that comes again is where it was; None: any.
    pub private_address: Option<Ipv4Addr>,
    /// Cannot be terminated by mistake.
    pub protected: bool,
    /// False: somebody has stopped it, or a change of its type was interrupted.
    pub running: bool,
}

impl Instance {
    pub(super) fn needs(&self) -> Vec<&Ref> {
        self.machine.needs().into_iter().chain([&self.subnet]).collect()
    }

    pub(super) fn manner(&self, field: &str) -> Manner {
        match field {
            "instanceType" => Manner::Stops,
            "groups" | "protected" | "metadataHops" | "profile" | "running" => Manner::InPlace,
            _ => Manner::Replaces,
        }
    }
}

/// A volume at a machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Attachment {
    pub volume: Ref,
    pub instance: Ref,
    /// Such as `/dev/sdf`.
    pub device: String,
}

/// What a scaling group makes machines from; a change makes another version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LaunchTemplate {
    #[serde(flatten)]
    pub machine: Machine,
    /// Tags of the machines and their volumes.
    pub machine_tags: BTreeMap<String, String>,
}

/// The hook that keeps a machine of a scaling group until it is drained.
pub const DRAIN_HOOK: &str = "keelwright-drain";

/// Machines that come and go by themselves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ScalingGroup {
    pub template: Ref,
    pub subnets: BTreeSet<Ref>,
    pub min: u32,
    pub max: u32,
    /// None: somebody else's business.
    pub desired: Option<u32>,
    /// The first is preferred; more than one, or spot, make a mixed-instances policy.
    pub instance_types: Vec<String>,
    /// Percent of spot instances.
    pub spot: u8,
    pub target_groups: BTreeSet<Ref>,
    /// Seconds that a machine may take to drain before it goes; None: it just goes.
    pub drain: Option<u32>,
    /// Tags of its own, for the cluster autoscaler and the like.
    pub group_tags: BTreeMap<String, String>,
}

impl ScalingGroup {
    pub(super) fn needs(&self) -> Vec<&Ref> {
        [&self.template].into_iter().chain(&self.subnets).chain(&self.target_groups).collect()
    }

    /// How many there are is the autoscaler's business unless the inventory says so.
    pub(super) fn settled(self, there: &ScalingGroup) -> ScalingGroup {
        let kept = there.desired.map(|desired| desired.clamp(self.min, self.max));
        ScalingGroup { desired: self.desired.or(kept), ..self }
    }
}
