//! Resources with the fields that keelwright sets, which are the ones it compares.
//!
//! Where the cloud keeps two things in one object that come and go at different times, they are two resources
//! here: the rules of a security group apart from the group (groups name each other in their rules), a volume's
//! attachment apart from the volume, a target group's members apart from the group.

mod balancer;
mod machine;
mod made;
mod network;
mod refs;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use balancer::*;
pub use machine::*;
pub use made::*;
pub use network::*;

use super::name::{Ref, ResourceName};

/// One resource.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Resource {
    Vpc(Vpc),
    InternetGateway(InternetGateway),
    Subnet(Subnet),
    #[serde(rename = "address")]
    ElasticIp(ElasticIp),
    NatGateway(NatGateway),
    RouteTable(RouteTable),
    SecurityGroup(SecurityGroup),
    SecurityRules(SecurityRules),
    KeyPair(KeyPair),
    Role(Role),
    InstanceProfile(InstanceProfile),
    Volume(Volume),
    Instance(Box<Instance>),
    Attachment(Attachment),
    LaunchTemplate(Box<LaunchTemplate>),
    ScalingGroup(Box<ScalingGroup>),
    Balancer(Balancer),
    TargetGroup(TargetGroup),
    Targets(Targets),
    Listener(Listener),
    Record(Record),
    Made(Made),
}

/// What is not attached to anything.
pub(crate) const NOWHERE: &str = "=";

/// What a change of a field takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Manner {
    /// It is set, and nothing stops.
    InPlace,
    /// The machine stops for it and starts again.
    Stops,
    /// The resource goes, and comes again.
    Replaces,
    /// Not at all, for this reason.
    Never(&'static str),
}

impl Resource {
    /// The word for its kind, which its name begins with.
    pub fn kind(&self) -> &'static str {
        match self {
            Resource::Vpc(_) => "vpc",
            Resource::InternetGateway(_) => "internet-gateway",
            Resource::Subnet(_) => "subnet",
            Resource::ElasticIp(_) => "address",
            Resource::NatGateway(_) => "nat-gateway",
            Resource::RouteTable(_) => "route-table",
            Resource::SecurityGroup(_) => "security-group",
            Resource::SecurityRules(_) => "security-rules",
            Resource::KeyPair(_) => "key-pair",
            Resource::Role(_) => "role",
            Resource::InstanceProfile(_) => "instance-profile",
            Resource::Volume(_) => "volume",
            Resource::Instance(_) => "instance",
            Resource::Attachment(_) => "attachment",
            Resource::LaunchTemplate(_) => "launch-template",
            Resource::ScalingGroup(_) => "scaling-group",
            Resource::Balancer(_) => "balancer",
            Resource::TargetGroup(_) => "target-group",
            Resource::Targets(_) => "targets",
            Resource::Listener(_) => "listener",
            Resource::Record(_) => "record",
            Resource::Made(made) => made.what.word(),
        }
    }

    /// What has to be there before it, and goes after it.
    pub fn needs(&self) -> Vec<&Ref> {
        match self {
            Resource::Vpc(_)
            | Resource::ElasticIp(_)
            | Resource::KeyPair(_)
            | Resource::Role(_)
            | Resource::Volume(_) => Vec::new(),
            Resource::InternetGateway(gateway) => vec![&gateway.vpc],
            Resource::Subnet(subnet) => vec![&subnet.vpc],
            Resource::NatGateway(nat) => nat.needs(),
            Resource::RouteTable(table) => table.needs(),
            Resource::SecurityGroup(group) => vec![&group.vpc],
            Resource::SecurityRules(rules) => rules.needs(),
            Resource::InstanceProfile(profile) => vec![&profile.role],
            Resource::Instance(instance) => instance.needs(),
            Resource::Attachment(attachment) => vec![&attachment.instance, &attachment.volume],
            Resource::LaunchTemplate(template) => template.machine.needs(),
            Resource::ScalingGroup(group) => group.needs(),
            Resource::Balancer(balancer) => balancer.needs(),
            Resource::TargetGroup(group) => vec![&group.vpc],
            Resource::Targets(targets) => targets.needs(),
            Resource::Listener(listener) => vec![&listener.balancer, &listener.group],
            Resource::Record(record) => vec![&record.balancer],
            Resource::Made(made) => made.needs.iter().collect(),
        }
    }

    /// What a change of `field`, a name that [`Resource::fields`] has, takes.
    pub fn manner(&self, field: &str, from: &Value, to: &Value) -> Manner {
        match self {
            Resource::Vpc(_) if field == "cidr" => {
                Manner::Never("a network does not move; make another cluster and migrate to it")
            }
            Resource::Subnet(_) if field != "publicAddresses" => Manner::Never(
                "a subnet with machines in it does not move; make another cluster and migrate to it",
            ),
            // Just made, and not attached yet.
            Resource::InternetGateway(_) if from.as_str() == Some(NOWHERE) => Manner::InPlace,
            Resource::SecurityGroup(_) | Resource::InternetGateway(_) => {
                Manner::Never("it belongs to another network")
            }
            Resource::NatGateway(_)
            | Resource::KeyPair(_)
            | Resource::Attachment(_)
            | Resource::Record(_) => Manner::Replaces,
            Resource::Volume(_) => volume_manner(field, from, to),
            Resource::Instance(instance) => instance.manner(field),
            Resource::Balancer(_) if field == "internal" => {
                Manner::Never("its name would be another, and every client's kubeconfig wrong")
            }
            Resource::Made(_) => Manner::Never("what made it looks after it"),
            Resource::TargetGroup(_) if ["vpc", "port"].contains(&field) => Manner::Replaces,
            Resource::Listener(_) if field == "port" || field == "balancer" => Manner::Replaces,
            Resource::Vpc(_)
            | Resource::Subnet(_)
            | Resource::ElasticIp(_)
            | Resource::RouteTable(_)
            | Resource::SecurityRules(_)
            | Resource::Role(_)
            | Resource::InstanceProfile(_)
            | Resource::LaunchTemplate(_)
            | Resource::ScalingGroup(_)
            | Resource::Balancer(_)
            | Resource::TargetGroup(_)
            | Resource::Targets(_)
            | Resource::Listener(_) => Manner::InPlace,
        }
    }

    /// Whether the cloud keeps tags with it; what is part of another resource has none.
    pub fn has_tags(&self) -> bool {
        !matches!(
            self,
            Resource::SecurityRules(_)
                | Resource::Attachment(_)
                | Resource::Targets(_)
                | Resource::Listener(_)
                | Resource::Record(_)
                | Resource::Made(_)
        )
    }

    /// Whether it comes again when something that it needs does: it is nothing without it.
    pub fn goes_with_what_it_needs(&self) -> bool {
        matches!(
            self,
            Resource::Attachment(_)
                | Resource::NatGateway(_)
                | Resource::InternetGateway(_)
                | Resource::SecurityRules(_)
                | Resource::Listener(_)
        )
    }

    /// Its fields by name, as they are compared and shown.
    pub fn fields(&self) -> BTreeMap<String, Value> {
        // invariant: these types have text keys only, so they always serialise, to an object.
        let Ok(Value::Object(fields)) = serde_json::to_value(self) else { return BTreeMap::new() };
        fields.into_iter().filter(|(key, _)| key != "kind").collect()
    }

    /// What is wanted, with that taken from what is there which is left to the cloud or to somebody else.
    pub fn settled(self, there: &Resource) -> Resource {
        match (self, there) {
            (Resource::ScalingGroup(wanted), Resource::ScalingGroup(there)) => {
                Resource::ScalingGroup(Box::new(wanted.settled(there)))
            }
            (Resource::Volume(wanted), Resource::Volume(there)) => {
                Resource::Volume(Volume { disk: settled_disk(wanted.disk, &there.disk), ..wanted })
            }
            (Resource::Instance(mut wanted), Resource::Instance(there)) => {
                wanted.machine.root = settled_disk(wanted.machine.root, &there.machine.root);
                wanted.private_address = wanted.private_address.or(there.private_address);
                // It was run when the machine booted for the first time, and never again.
                wanted.machine.user_data.clone_from(&there.machine.user_data);
                Resource::Instance(wanted)
            }
            // The way out has to be there first, and is not kept with the gateway.
            (Resource::NatGateway(wanted), Resource::NatGateway(there)) => {
                let internet_gateway = there.internet_gateway.clone();
                Resource::NatGateway(NatGateway { internet_gateway, ..wanted })
            }
            (wanted, _) => wanted,
        }
    }
}

/// Tags beside the two that say whose a resource is and what it is called.
pub type Tags = BTreeMap<String, String>;

/// A resource as it is wanted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Desired {
    #[serde(flatten)]
    pub resource: Resource,
    #[serde(default, skip_serializing_if = "Tags::is_empty")]
    pub tags: Tags,
}

/// All that a cluster wants.
pub type DesiredState = BTreeMap<ResourceName, Desired>;
