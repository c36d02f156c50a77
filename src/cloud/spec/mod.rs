//! What a cluster has in the cloud, from its inventory. Pure: what has to be asked first comes as [`Lookups`].

mod access;
mod balancers;
mod first_boot;
mod machines;
mod network;
mod policies;
mod rules;
#[cfg(test)]
pub(super) mod tests;

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use camino::Utf8Path;
use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};

use super::name::{PhysicalId, Ref, ResourceName};
use super::resource::{Desired, DesiredState, Resource, Tags};
use crate::inventory::{Addon, Aws, AwsInventory, AwsNetwork, Delivery, NetworkPlugin, Zones};

pub use machines::{BASTION, control_plane_name};

/// What the spec needs of the account, the region and the operator's machine.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Lookups {
    /// `aws`, `aws-cn`, `aws-us-gov`.
    pub partition: String,
    pub account: String,
    /// The availability zones that take machines, sorted.
    pub zones: Vec<String>,
    /// The subnets of a VPC that is somebody else's.
    pub subnets: BTreeMap<PhysicalId, KnownSubnet>,
    /// The operator's public key, without a comment.
    pub public_key: String,
    /// By worker group, what its machines do at their first boot.
    #[serde(default)]
    pub first_boots: BTreeMap<String, String>,
}

/// A subnet that is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KnownSubnet {
    pub zone: String,
    pub cidr: Ipv4Net,
}

/// Why an inventory cannot be carried out in this account and region.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpecError {
    #[error("{region} has {} availability zones ({}), and the inventory wants {wanted}", there.len(), there.join(", "))]
    Zones { region: String, wanted: u8, there: Vec<String> },
    #[error("{region} has no availability zone {zone}; there are {}", there.join(", "))]
    NoZone { region: String, zone: String, there: Vec<String> },
    #[error("there is no subnet {0}")]
    NoSubnet(String),
    #[error("none of the {kind} subnets is in {zone}")]
    NoSubnetInZone { kind: &'static str, zone: String },
}

/// All that is wanted.
///
/// # Errors
/// [`SpecError`] when the region or the given network has not what the inventory asks for.
pub fn desired(inventory: &AwsInventory, lookups: &Lookups) -> Result<DesiredState, SpecError> {
    let mut spec = Spec::new(inventory, lookups)?;
    spec.network();
    spec.access();
    spec.rules();
    spec.balancers();
    spec.bastion();
    spec.control_planes();
    spec.worker_groups();
    Ok(spec.state)
}

/// The spec while it is written.
struct Spec<'a> {
    cluster: &'a str,
    aws: &'a Aws,
    etcd_data_dir: &'a Utf8Path,
    plugin: &'a NetworkPlugin,
    addons: &'a [Addon],
    delivery: &'a Delivery,
    lookups: &'a Lookups,
    /// In the order of the inventory.
    zones: Vec<Zone>,
    vpc: Ref,
    state: DesiredState,
}

/// A zone and its subnets.
#[derive(Debug, Clone)]
struct Zone {
    name: String,
    /// What resources of it are called: the last letter of its name.
    short: String,
    /// Absent where the network has none.
    public: Option<Ref>,
    private: Ref,
    /// Of the private subnet.
    cidr: Option<Ipv4Net>,
}

impl<'a> Spec<'a> {
    fn new(inventory: &'a AwsInventory, lookups: &'a Lookups) -> Result<Self, SpecError> {
        let aws = &inventory.aws;
        let zones = network::zones(aws, lookups)?;
        let vpc = match &aws.network {
            AwsNetwork::New { .. } => Ref::Ours(ResourceName::new("vpc", "main")),
            AwsNetwork::Existing { vpc, .. } => Ref::Theirs(PhysicalId(vpc.clone())),
        };
        Ok(Spec {
            cluster: inventory.name().as_str(),
            aws,
            etcd_data_dir: inventory.etcd_data_dir(),
            plugin: inventory.network_plugin(),
            addons: inventory.addons(),
            delivery: inventory.delivery(),
            lookups,
            zones,
            vpc,
            state: DesiredState::new(),
        })
    }

    /// Puts a resource into the state, with the tags that all have.
    fn put(&mut self, name: &str, resource: Resource) -> Ref {
        self.put_tagged(name, resource, &[])
    }

    fn put_tagged(&mut self, name: &str, resource: Resource, more: &[(&str, &str)]) -> Ref {
        let name = ResourceName::new(resource.kind(), name);
        let tags = if resource.has_tags() { self.tags(name.short(), more) } else { Tags::new() };
        self.state.insert(name.clone(), Desired { resource, tags });
        Ref::Ours(name)
    }

    /// The operator's tags, a name for people, and what Kubernetes' own controllers look for.
    fn tags(&self, name: &str, more: &[(&str, &str)]) -> Tags {
        let mut tags = self.aws.tags.clone();
        tags.insert("Name".to_owned(), format!("{}-{name}", self.cluster));
        tags.insert(format!("kubernetes.io/cluster/{}", self.cluster), "owned".to_owned());
        tags.extend(more.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
        tags
    }

    fn is_ours(&self) -> bool {
        matches!(self.aws.network, AwsNetwork::New { .. })
    }
}

/// A resource that another part of the spec makes.
fn ours(kind: &str, name: &str) -> Ref {
    Ref::Ours(ResourceName::new(kind, name))
}

/// The zones the inventory means.
fn zone_names(aws: &Aws, lookups: &Lookups) -> Result<Vec<String>, SpecError> {
    let there = lookups.zones.clone();
    let region = aws.region.clone();
    match &aws.zones {
        Zones::Count(count) if usize::from(*count) > there.len() => {
            Err(SpecError::Zones { region, wanted: *count, there })
        }
        Zones::Count(count) => Ok(there.into_iter().take(usize::from(*count)).collect()),
        Zones::Names(names) => match names.iter().find(|name| !there.contains(name)) {
            Some(zone) => Err(SpecError::NoZone { region, zone: zone.clone(), there }),
            None => Ok(names.clone()),
        },
    }
}

/// The address at `offset` in a network.
fn address_in(cidr: Ipv4Net, offset: u32) -> Option<Ipv4Addr> {
    let address = Ipv4Addr::from(u32::from(cidr.network()).checked_add(offset)?);
    cidr.contains(&address).then_some(address)
}
