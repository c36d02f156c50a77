//! The cluster's hosts, from what there is in the cloud: the same inventory as one that names its machines.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use super::name::{PhysicalId, Ref, ResourceName};
use super::ports::{Found, Observed, State};
use super::resource::{DesiredState, Resource};
use super::spec::{BASTION, Lookups, control_plane_name};
use crate::inventory::{AwsInventory, Bastion, Host, HostName, Inventory, Role, Ssh};

/// By the machine's id: a machine that comes again has other keys.
pub type HostKeys = BTreeMap<PhysicalId, Vec<String>>;

/// The zone as Kubernetes' own controllers name it, and the region.
const ZONE: &str = "topology.kubernetes.io/zone";
const REGION: &str = "topology.kubernetes.io/region";

/// What a cluster in AWS is made of at the moment.
pub struct Site<'a> {
    pub inventory: &'a AwsInventory,
    pub lookups: &'a Lookups,
    pub wanted: &'a DesiredState,
    pub observed: &'a Observed,
    pub keys: &'a HostKeys,
}

/// Machines whose host keys have to be known before anybody logs in to them.
pub fn machines(observed: &Observed) -> BTreeMap<&ResourceName, &Found> {
    let alive = |found: &&Found| matches!(found.state, State::Ready | State::Pending(_));
    observed
        .found
        .iter()
        .filter(|(name, _)| name.kind() == "instance")
        .filter_map(|(name, all)| Some((name, all.iter().find(alive)?)))
        .collect()
}

impl Site<'_> {
    /// The control planes as hosts. Workers come by themselves, so they are nobody's hosts.
    ///
    /// # Errors
    /// The first control plane whose address nobody can know before it has been made.
    pub fn cluster(&self) -> Result<Inventory, ResourceName> {
        let bastion = self.bastion();
        let mut hosts = BTreeMap::new();
        for number in 1..=self.inventory.aws.control_planes.count {
            let resource = ResourceName::new("instance", control_plane_name(number));
            // invariant: cp-1 and the like are names of hosts
            let Ok(name) = HostName::parse(resource.short()) else { continue };
            let host = self.host(&resource, name, &bastion).ok_or(resource)?;
            hosts.insert(host.name.clone(), host);
        }
        Ok(self.inventory.on(hosts, &self.client_names()))
    }

    fn host(&self, resource: &ResourceName, name: HostName, bastion: &Option<Bastion>) -> Option<Host> {
        let planned = match &self.wanted.get(resource)?.resource {
            Resource::Instance(instance) => instance,
            _ => return None,
        };
        let seen = self.observed.addresses.get(resource).map(|addresses| addresses.private);
        let address = seen.or(planned.private_address)?;
        let shared = &self.inventory.ssh;
        let ssh = Ssh {
            host: address.to_string(),
            port: None,
            user: Some(self.inventory.aws.control_planes.user.clone()),
            bastions: shared.bastions.iter().cloned().chain(bastion.clone()).collect(),
            host_keys: self.keys_of(resource),
            ..shared.clone()
        };
        let mut labels = BTreeMap::from([(REGION.to_owned(), self.inventory.aws.region.clone())]);
        labels.extend(self.zone_of(&planned.subnet).map(|zone| (ZONE.to_owned(), zone)));
        Some(Host {
            name,
            address: address.into(),
            secondary_address: None,
            roles: BTreeSet::from([Role::ControlPlane]),
            arch: self.inventory.aws.control_planes.arch,
            ssh,
            provider_id: self.provider_id(resource, labels.get(ZONE)),
            labels,
            taints: Vec::new(),
        })
    }

    /// As AWS's own controllers name a machine; None: it has not been made yet.
    fn provider_id(&self, resource: &ResourceName, zone: Option<&String>) -> Option<String> {
        let found = machines(self.observed).get(resource).copied()?;
        Some(format!("aws:///{}/{}", zone?, found.id))
    }

    fn bastion(&self) -> Option<Bastion> {
        let wanted = self.inventory.aws.bastion.as_ref()?;
        let resource = ResourceName::new("instance", BASTION);
        let address = self.observed.addresses.get(&resource)?.public?;
        Some(Bastion {
            host: address.to_string(),
            port: None,
            user: Some(wanted.user.clone()),
            keys: self.inventory.ssh.keys.clone(),
            host_keys: self.keys_of(&resource),
            host_cas: self.inventory.ssh.host_cas.clone(),
        })
    }

    fn keys_of(&self, resource: &ResourceName) -> Vec<String> {
        let machine = machines(self.observed).get(resource).copied();
        machine.and_then(|found| self.keys.get(&found.id)).cloned().unwrap_or_default()
    }

    fn zone_of(&self, subnet: &Ref) -> Option<String> {
        match subnet {
            Ref::Theirs(id) => Some(self.lookups.subnets.get(id)?.zone.clone()),
            Ref::Ours(name) => match &self.wanted.get(name)?.resource {
                Resource::Subnet(subnet) => Some(subnet.zone.clone()),
                _ => None,
            },
        }
    }

    /// Names of the API for clients outside, the one they are to use first.
    fn client_names(&self) -> Vec<String> {
        let record = self.inventory.aws.api.record.as_ref();
        let record = record.map(|record| record.name.trim_end_matches('.').to_owned());
        let balancer = self.observed.names.get(&ResourceName::new("balancer", "api")).cloned();
        record.into_iter().chain(balancer).collect()
    }
}

/// The cluster on machines that nobody has made, for a rehearsal or a bundle: its control planes, and a worker of
/// each group.
pub fn imagined(inventory: &AwsInventory) -> Inventory {
    let aws = &inventory.aws;
    let control_planes = (1..=aws.control_planes.count)
        .map(|number| (control_plane_name(number), Role::ControlPlane, aws.control_planes.arch, None));
    let workers = aws.worker_groups.iter().map(|group| {
        (format!("{}-1", group.name), Role::Worker, group.arch, Some((&group.labels, &group.taints)))
    });
    // Of TEST-NET-2: nobody's.
    let addresses = (1..=254).map(|last| Ipv4Addr::new(198, 51, 100, last));
    let mut hosts = BTreeMap::new();
    for ((name, role, arch, shape), address) in control_planes.chain(workers).zip(addresses) {
        // invariant: a group's name is a DNS label of at most 30 characters
        let Ok(name) = HostName::parse(&name) else { continue };
        let (labels, taints) =
            shape.map(|(labels, taints)| (labels.clone(), taints.clone())).unwrap_or_default();
        let ssh = Ssh { host: address.to_string(), ..inventory.ssh.clone() };
        let roles = BTreeSet::from([role]);
        let address = address.into();
        let host = Host {
            name: name.clone(),
            address,
            secondary_address: None,
            roles,
            arch,
            ssh,
            labels,
            taints,
            provider_id: None,
        };
        hosts.insert(name, host);
    }
    inventory.on(hosts, &[])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cloud::fake::cloud_with;
    use crate::cloud::ports::Addresses;
    use crate::cloud::spec::tests::{example, inventory_of, lookups, state_of};

    /// An inventory, what it wants, and what there is of it.
    fn site(edit: impl FnOnce(&mut crate::inventory::Aws)) -> (AwsInventory, DesiredState, Observed) {
        let mut aws = example();
        edit(&mut aws);
        let wanted = state_of(&aws);
        let (_, observed) = cloud_with(&wanted);
        (inventory_of(&aws), wanted, observed)
    }

    #[test]
    fn control_planes_are_reached_through_the_bastion_by_keys_that_the_cloud_has_shown() {
        let (inventory, wanted, mut observed) = site(|_| {});
        let bastion = ResourceName::new("instance", BASTION);
        let public = Some([203, 0, 113, 9].into());
        observed.addresses.insert(bastion.clone(), Addresses { private: [10, 0, 0, 5].into(), public });
        observed.names.insert(ResourceName::new("balancer", "api"), "api-1.elb.example".to_owned());
        let keys: HostKeys = machines(&observed)
            .iter()
            .map(|(name, found)| (found.id.clone(), vec![name.to_string()]))
            .collect();
        let lookups = lookups();
        let site = Site {
            inventory: &inventory,
            lookups: &lookups,
            wanted: &wanted,
            observed: &observed,
            keys: &keys,
        };
        let cluster = site.cluster().unwrap();
        let names: Vec<_> = cluster.hosts.keys().map(HostName::as_str).collect();
        assert_eq!(names, ["cp-1", "cp-2", "cp-3"]);
        let host = &cluster.hosts[&HostName::parse("cp-2").unwrap()];
        assert_eq!(host.ssh.host, host.address.to_string());
        assert_eq!(host.ssh.host_keys, ["instance/cp-2"]);
        assert_eq!(host.ssh.bastions.last().unwrap().host, "203.0.113.9");
        assert_eq!(host.ssh.bastions.last().unwrap().host_keys, ["instance/bastion"]);
        assert_eq!(host.labels[ZONE], "eu-central-1b");
        assert_eq!(cluster.public_endpoint.as_deref(), Some("api.example.org:6443"));
        for name in ["api.example.org", "api-1.elb.example"] {
            assert!(cluster.api_server.cert_sans.iter().any(|san| san == name), "{name}");
        }
    }

    #[test]
    fn machines_that_are_not_there_are_where_they_will_be() {
        let (inventory, wanted, _) = site(|_| {});
        let (lookups, observed, keys) = (lookups(), Observed::default(), HostKeys::new());
        let site = Site {
            inventory: &inventory,
            lookups: &lookups,
            wanted: &wanted,
            observed: &observed,
            keys: &keys,
        };
        let cluster = site.cluster().unwrap();
        assert_eq!(cluster.hosts.len(), 3);
        assert!(cluster.hosts.values().all(|host| host.ssh.bastions.is_empty()));
        let mut unknown = wanted.clone();
        for desired in unknown.values_mut() {
            if let Resource::Instance(instance) = &mut desired.resource {
                instance.private_address = None;
            }
        }
        let missing = Site { wanted: &unknown, ..site }.cluster().unwrap_err();
        assert_eq!(missing.as_str(), "instance/cp-1");
    }

    #[test]
    fn a_cluster_that_is_imagined_has_a_worker_of_each_group() {
        let mut aws = example();
        aws.worker_groups[0].arch = crate::inventory::Arch::Arm64;
        let cluster = imagined(&inventory_of(&aws));
        let names: Vec<_> = cluster.hosts.keys().map(HostName::as_str).collect();
        assert_eq!(names, ["cp-1", "cp-2", "cp-3", "workers-1"]);
        let worker = &cluster.hosts[&HostName::parse("workers-1").unwrap()];
        assert_eq!(worker.labels["pool"], "workers");
        assert_eq!(worker.arch, crate::inventory::Arch::Arm64);
    }
}
