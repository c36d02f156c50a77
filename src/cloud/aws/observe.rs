//! Everything of a cluster, found by its tags.

use std::collections::{BTreeMap, BTreeSet};

use futures::try_join;

use super::AwsCloud;
use crate::cloud::name::{PhysicalId, Ref, ResourceName};
use crate::cloud::ports::{Addresses, CloudError, Found, Ids, Observed, State};
use crate::cloud::resource::{Resource, Tags};

/// A resource as one call shows it: others by their ids.
#[derive(Debug, Clone)]
pub(super) struct Raw {
    pub name: ResourceName,
    pub id: String,
    pub resource: Resource,
    pub tags: Tags,
    pub state: State,
    pub addresses: Option<Addresses>,
    /// A balancer's.
    pub dns_name: Option<String>,
}

impl Raw {
    pub fn new(name: ResourceName, id: Option<&str>, resource: Resource, tags: Tags, state: State) -> Self {
        let id = id.unwrap_or_default().to_owned();
        Raw { name, id, resource, tags, state, addresses: None, dns_name: None }
    }

    fn found(self, names: &BTreeMap<PhysicalId, ResourceName>) -> Found {
        let mut refers = BTreeSet::new();
        let resource = self.resource.map_refs(&mut |reference| {
            let Ref::Theirs(id) = &reference else { return reference };
            refers.insert(id.clone());
            names.get(id).map_or(reference.clone(), |name| Ref::Ours(name.clone()))
        });
        Found { id: PhysicalId(self.id), resource, tags: self.tags, state: self.state, refers }
    }
}

/// Of what is listed: everything of the cluster, or resources of one name.
pub(super) type Only<'a> = Option<&'a ResourceName>;

impl AwsCloud {
    pub(super) async fn observe_all(&self) -> Result<Observed, CloudError> {
        let network =
            async { try_join!(self.list_vpcs(None), self.list_gateways(None), self.list_subnets(None)) };
        let routes = async {
            try_join!(self.list_addresses(None), self.list_nats(None), self.list_route_tables(None))
        };
        let machines = async {
            try_join!(
                self.list_groups(None),
                self.list_keys(None),
                self.list_volumes(None),
                self.list_instances(None),
                self.list_templates(None),
            )
        };
        let rest = async {
            try_join!(
                self.list_roles(None),
                self.list_profiles(None),
                self.list_scaling_groups(None),
                self.list_balancers(None),
                self.list_records(None),
            )
        };
        let (network, routes, machines, rest) = try_join!(network, routes, machines, rest)?;
        let mut all = [network.0, network.1, network.2, routes.0, routes.1, routes.2].concat();
        all.extend([machines.0, machines.1, machines.2, machines.3, machines.4].concat());
        all.extend([rest.0, rest.1, rest.2, rest.3, rest.4].concat());
        Ok(observed(all))
    }

    /// Resources of one name, by the calls that their kind takes.
    pub(super) async fn find_named(
        &self,
        name: &ResourceName,
        wanted: &Resource,
        ids: &Ids,
    ) -> Result<Vec<Found>, CloudError> {
        let only = Some(name);
        let raw = match wanted {
            Resource::Vpc(_) => self.list_vpcs(only).await,
            Resource::InternetGateway(_) => self.list_gateways(only).await,
            Resource::Subnet(_) => self.list_subnets(only).await,
            Resource::ElasticIp(_) => self.list_addresses(only).await,
            Resource::NatGateway(_) => self.list_nats(only).await,
            Resource::RouteTable(_) => self.list_route_tables(only).await,
            Resource::SecurityGroup(_) | Resource::SecurityRules(_) => self.list_groups(only).await,
            Resource::KeyPair(_) => self.list_keys(only).await,
            Resource::Role(_) => self.list_roles(only).await,
            Resource::InstanceProfile(_) => self.list_profiles(only).await,
            Resource::Volume(_) | Resource::Attachment(_) => self.list_volumes(only).await,
            Resource::Instance(_) => self.list_instances(only).await,
            Resource::LaunchTemplate(_) => self.list_templates(only).await,
            Resource::ScalingGroup(_) => self.list_scaling_groups(only).await,
            Resource::Balancer(_)
            | Resource::TargetGroup(_)
            | Resource::Targets(_)
            | Resource::Listener(_) => self.list_balancers(only).await,
            Resource::Record(_) => self.list_records(only).await,
            // It has no name of ours, and is looked at by its id.
            Resource::Made(_) => Ok(Vec::new()),
        }?;
        let whole = ids.iter().filter(|(name, _)| !PARTS.contains(&name.kind()));
        let mut names: BTreeMap<PhysicalId, ResourceName> =
            whole.map(|(name, id)| (id.clone(), name.clone())).collect();
        names.extend(known_names(&raw));
        Ok(raw.into_iter().filter(|raw| raw.name == *name).map(|raw| raw.found(&names)).collect())
    }
}

/// Nobody refers to these, and their ids may be another's: what is part of another resource has that one's, and a
/// scaling group's name is free.
const PARTS: &[&str] = &["security-rules", "attachment", "targets", "record", "scaling-group"];

fn known_names(all: &[Raw]) -> BTreeMap<PhysicalId, ResourceName> {
    let whole = all.iter().filter(|raw| !PARTS.contains(&raw.name.kind()));
    whole.map(|raw| (PhysicalId(raw.id.clone()), raw.name.clone())).collect()
}

fn observed(all: Vec<Raw>) -> Observed {
    let names = known_names(&all);
    let mut observed = Observed::default();
    for raw in all {
        let name = raw.name.clone();
        if raw.state == State::Gone {
            observed.past.entry(name).or_default().push(PhysicalId(raw.id));
            continue;
        }
        if let Some(addresses) = raw.addresses {
            observed.addresses.insert(name.clone(), addresses);
        }
        if let Some(dns_name) = &raw.dns_name {
            observed.names.insert(name.clone(), dns_name.clone());
        }
        observed.found.entry(name).or_default().push(raw.found(&names));
    }
    observed.past.values_mut().for_each(|ids| ids.sort());
    observed
}
