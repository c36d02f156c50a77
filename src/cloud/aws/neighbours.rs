//! What else is in the cluster's network, whoever made it, and volumes of claims.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_ec2::types::{Filter, InstanceStateName, SecurityGroup, State as EndpointState, VolumeState};
use aws_sdk_elasticloadbalancing::types::LoadBalancerDescription;
use aws_sdk_elasticloadbalancingv2::types::{LoadBalancer, LoadBalancerSchemeEnum, TargetGroup};
use futures::try_join;

use super::balancers::TAGGED_AT_ONCE;
use super::error::Named as _;
use super::{AwsCloud, tags};
use crate::cloud::destroy::{OF_DRIVER, ownership};
use crate::cloud::name::PhysicalId;
use crate::cloud::ports::{CloudError, Neighbour, NeighbourKind};
use crate::cloud::resource::Tags;

/// The group that every network has, and that goes with it.
const DEFAULT_GROUP: &str = "default";
const INTERNET_FACING: &str = "internet-facing";

type Found = Result<Vec<Neighbour>, CloudError>;

impl AwsCloud {
    pub(super) async fn all_neighbours(&self, network: Option<&PhysicalId>) -> Found {
        let volumes = self.claimed_volumes();
        let Some(network) = network else { return volumes.await };
        let network = network.as_str();
        let balancing = async { try_join!(self.balancers_in(network), self.classic_balancers_in(network)) };
        let machines = async {
            try_join!(self.groups_in(network), self.machines_in(network), self.interfaces_in(network))
        };
        let places = async { try_join!(self.subnets_in(network), self.endpoints_in(network)) };
        let (volumes, balancing, machines, places) = try_join!(volumes, balancing, machines, places)?;
        let mut all = [volumes, balancing.0, balancing.1, machines.0, machines.1, machines.2].concat();
        all.extend([places.0, places.1].concat());
        all.sort_by(|one, other| (one.kind, &one.id).cmp(&(other.kind, &other.id)));
        Ok(all)
    }

    /// Balancers and target groups.
    async fn balancers_in(&self, network: &str) -> Found {
        let pages = self.elb.describe_load_balancers().into_paginator().items();
        let mut balancers: Vec<LoadBalancer> = pages
            .send()
            .collect::<Result<Vec<_>, _>>()
            .await
            .named("elasticloadbalancing:DescribeLoadBalancers")?;
        let pages = self.elb.describe_target_groups().into_paginator().items();
        let mut groups: Vec<TargetGroup> = pages
            .send()
            .collect::<Result<Vec<_>, _>>()
            .await
            .named("elasticloadbalancing:DescribeTargetGroups")?;
        balancers.retain(|balancer| balancer.vpc_id() == Some(network));
        groups.retain(|group| group.vpc_id() == Some(network));
        let arns = balancers.iter().filter_map(|balancer| balancer.load_balancer_arn());
        let arns = arns.chain(groups.iter().filter_map(|group| group.target_group_arn()));
        let mut tags = self.tags_of_balancers(arns.map(str::to_owned).collect()).await?;
        let mut all = Vec::new();
        for balancer in &balancers {
            let arn = balancer.load_balancer_arn().unwrap_or_default();
            let zones = balancer.availability_zones().iter().filter_map(|zone| zone.subnet_id());
            let is_behind = |group: &&TargetGroup| group.load_balancer_arns().iter().any(|of| of == arn);
            let behind = groups.iter().filter(is_behind).filter_map(|group| group.target_group_arn());
            let uses = zones.chain(balancer.security_groups().iter().map(String::as_str)).chain(behind);
            all.push(Neighbour {
                name: balancer.load_balancer_name().unwrap_or_default().to_owned(),
                tags: tags.remove(arn).unwrap_or_default(),
                public: balancer.scheme() != Some(&LoadBalancerSchemeEnum::Internal),
                ..neighbour(NeighbourKind::Balancer, arn, network, uses)
            });
        }
        for group in &groups {
            let arn = group.target_group_arn().unwrap_or_default();
            all.push(Neighbour {
                name: group.target_group_name().unwrap_or_default().to_owned(),
                tags: tags.remove(arn).unwrap_or_default(),
                ..neighbour(NeighbourKind::TargetGroup, arn, network, [])
            });
        }
        Ok(all)
    }

    async fn tags_of_balancers(&self, arns: Vec<String>) -> Result<BTreeMap<String, Tags>, CloudError> {
        let mut all = BTreeMap::new();
        for some in arns.chunks(TAGGED_AT_ONCE) {
            let request = self.elb.describe_tags().set_resource_arns(Some(some.to_vec()));
            let answer = request.send().await.named("elasticloadbalancing:DescribeTags")?;
            for tagged in answer.tag_descriptions() {
                let pairs = tagged.tags().iter().map(|tag| (tag.key(), tag.value()));
                all.insert(tagged.resource_arn().unwrap_or_default().to_owned(), as_tags(pairs));
            }
        }
        Ok(all)
    }

    /// Those of the first generation, which is what the cloud controller makes unless a Service asks for another.
    async fn classic_balancers_in(&self, network: &str) -> Found {
        let pages = self.classic.describe_load_balancers().into_paginator().items();
        let mut balancers: Vec<LoadBalancerDescription> =
            pages
                .send()
                .collect::<Result<Vec<_>, _>>()
                .await
                .named("elasticloadbalancing:DescribeLoadBalancers")?;
        balancers.retain(|balancer| balancer.vpc_id() == Some(network));
        let name =
            |balancer: &LoadBalancerDescription| balancer.load_balancer_name().unwrap_or_default().to_owned();
        let mut tags: BTreeMap<String, Tags> = BTreeMap::new();
        for some in balancers.chunks(TAGGED_AT_ONCE) {
            let names = some.iter().map(name).collect();
            let request = self.classic.describe_tags().set_load_balancer_names(Some(names));
            let answer = request.send().await.named("elasticloadbalancing:DescribeTags")?;
            for tagged in answer.tag_descriptions() {
                let pairs = tagged.tags().iter().map(|tag| (Some(tag.key()), tag.value()));
                tags.insert(tagged.load_balancer_name().unwrap_or_default().to_owned(), as_tags(pairs));
            }
        }
        let classic = |balancer: &LoadBalancerDescription| {
            let name = name(balancer);
            let uses = balancer.subnets().iter().chain(balancer.security_groups()).map(String::as_str);
            Neighbour {
                tags: tags.remove(&name).unwrap_or_default(),
                public: balancer.scheme() == Some(INTERNET_FACING),
                name: name.clone(),
                ..neighbour(NeighbourKind::ClassicBalancer, &name, network, uses)
            }
        };
        Ok(balancers.iter().map(classic).collect())
    }

    async fn groups_in(&self, network: &str) -> Found {
        let request = self.ec2.describe_security_groups().filters(of_network(network));
        let pages = request.into_paginator().items();
        let groups: Vec<_> =
            pages.send().collect::<Result<Vec<_>, _>>().await.named("ec2:DescribeSecurityGroups")?;
        let group = |group: &SecurityGroup| Neighbour {
            name: group.group_name().unwrap_or_default().to_owned(),
            tags: ec2_tags(group.tags()),
            names: named_by(group),
            ..neighbour(NeighbourKind::SecurityGroup, group.group_id().unwrap_or_default(), network, [])
        };
        Ok(groups.iter().filter(|group| group.group_name() != Some(DEFAULT_GROUP)).map(group).collect())
    }

    async fn machines_in(&self, network: &str) -> Found {
        let request = self.ec2.describe_instances().filters(of_network(network));
        let pages = request.into_paginator().items();
        let reservations: Vec<_> =
            pages.send().collect::<Result<Vec<_>, _>>().await.named("ec2:DescribeInstances")?;
        let mut all = Vec::new();
        for instance in reservations.iter().flat_map(|reservation| reservation.instances()) {
            use InstanceStateName::{ShuttingDown, Terminated};
            let state = instance.state().and_then(|state| state.name());
            if matches!(state, Some(ShuttingDown | Terminated)) {
                continue;
            }
            let interfaces = instance.network_interfaces().iter();
            let subnets = interfaces.clone().filter_map(|interface| interface.subnet_id());
            let groups = interfaces.flat_map(|interface| interface.groups());
            let uses = subnets.chain(groups.filter_map(|group| group.group_id()));
            let id = instance.instance_id().unwrap_or_default();
            let tags = ec2_tags(instance.tags());
            all.push(Neighbour {
                name: tags.get("Name").cloned().unwrap_or_default(),
                tags,
                public: instance.public_ip_address().is_some(),
                ..neighbour(NeighbourKind::Instance, id, network, uses)
            });
        }
        Ok(all)
    }

    /// Interfaces of whatever else: databases, functions, what is managed by AWS. Those of machines go with them.
    async fn interfaces_in(&self, network: &str) -> Found {
        let request = self.ec2.describe_network_interfaces().filters(of_network(network));
        let pages = request.into_paginator().items();
        let interfaces: Vec<_> =
            pages.send().collect::<Result<Vec<_>, _>>().await.named("ec2:DescribeNetworkInterfaces")?;
        let mut all = Vec::new();
        for interface in &interfaces {
            if interface.attachment().is_some_and(|attached| attached.instance_id().is_some()) {
                continue;
            }
            let groups = interface.groups().iter().filter_map(|group| group.group_id());
            let uses = interface.subnet_id().into_iter().chain(groups);
            let id = interface.network_interface_id().unwrap_or_default();
            all.push(Neighbour {
                // What is managed by AWS says there what it is for.
                name: interface.description().unwrap_or_default().to_owned(),
                tags: ec2_tags(interface.tag_set()),
                public: interface.association().is_some(),
                ..neighbour(NeighbourKind::Interface, id, network, uses)
            });
        }
        Ok(all)
    }

    async fn subnets_in(&self, network: &str) -> Found {
        let request = self.ec2.describe_subnets().filters(of_network(network));
        let pages = request.into_paginator().items();
        let subnets: Vec<_> =
            pages.send().collect::<Result<Vec<_>, _>>().await.named("ec2:DescribeSubnets")?;
        let subnet = |subnet: &aws_sdk_ec2::types::Subnet| {
            let tags = ec2_tags(subnet.tags());
            Neighbour {
                name: tags.get("Name").cloned().unwrap_or_default(),
                tags,
                ..neighbour(NeighbourKind::Subnet, subnet.subnet_id().unwrap_or_default(), network, [])
            }
        };
        Ok(subnets.iter().map(subnet).collect())
    }

    async fn endpoints_in(&self, network: &str) -> Found {
        let request = self.ec2.describe_vpc_endpoints().filters(of_network(network));
        let pages = request.into_paginator().items();
        let endpoints: Vec<_> =
            pages.send().collect::<Result<Vec<_>, _>>().await.named("ec2:DescribeVpcEndpoints")?;
        let mut all = Vec::new();
        for endpoint in &endpoints {
            if matches!(endpoint.state(), Some(EndpointState::Deleting | EndpointState::Deleted)) {
                continue;
            }
            let groups = endpoint.groups().iter().filter_map(|group| group.group_id());
            let uses = endpoint.subnet_ids().iter().map(String::as_str).chain(groups);
            let id = endpoint.vpc_endpoint_id().unwrap_or_default();
            all.push(Neighbour {
                name: endpoint.service_name().unwrap_or_default().to_owned(),
                tags: ec2_tags(endpoint.tags()),
                ..neighbour(NeighbourKind::Endpoint, id, network, uses)
            });
        }
        Ok(all)
    }

    /// Volumes that a driver in a cluster has made: of this cluster, or with nothing that says of which.
    async fn claimed_volumes(&self) -> Found {
        let keys =
            Filter::builder().name("tag-key").values(ownership(&self.cluster)).values(OF_DRIVER).build();
        let pages = self.ec2.describe_volumes().filters(keys).into_paginator().items();
        let volumes: Vec<_> =
            pages.send().collect::<Result<Vec<_>, _>>().await.named("ec2:DescribeVolumes")?;
        let mut all = Vec::new();
        for volume in &volumes {
            if matches!(volume.state(), Some(VolumeState::Deleting | VolumeState::Deleted)) {
                continue;
            }
            let machines = volume.attachments().iter().filter_map(|attached| attached.instance_id());
            all.push(Neighbour {
                id: PhysicalId(volume.volume_id().unwrap_or_default().to_owned()),
                kind: NeighbourKind::Volume,
                name: String::new(),
                tags: ec2_tags(volume.tags()),
                uses: machines.map(|id| PhysicalId(id.to_owned())).collect(),
                names: BTreeSet::new(),
                public: false,
            });
        }
        Ok(all)
    }
}

fn of_network(network: &str) -> Filter {
    Filter::builder().name("vpc-id").values(network).build()
}

/// One in a network, and what it uses beside that.
fn neighbour<'a>(
    kind: NeighbourKind,
    id: &str,
    network: &'a str,
    uses: impl IntoIterator<Item = &'a str>,
) -> Neighbour {
    let uses = uses.into_iter().chain([network]).filter(|id| !id.is_empty());
    Neighbour {
        id: PhysicalId(id.to_owned()),
        kind,
        name: String::new(),
        tags: Tags::new(),
        uses: uses.map(|id| PhysicalId(id.to_owned())).collect(),
        names: BTreeSet::new(),
        public: false,
    }
}

/// Other groups that a group's rules name.
fn named_by(group: &SecurityGroup) -> BTreeSet<PhysicalId> {
    let permissions = group.ip_permissions().iter().chain(group.ip_permissions_egress());
    let pairs = permissions.flat_map(|permission| permission.user_id_group_pairs());
    let named = pairs.filter_map(|pair| pair.group_id()).filter(|id| Some(*id) != group.group_id());
    named.map(|id| PhysicalId(id.to_owned())).collect()
}

fn ec2_tags(tags: &[aws_sdk_ec2::types::Tag]) -> Tags {
    tags::pairs(tags).map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

fn as_tags<'a>(pairs: impl Iterator<Item = (Option<&'a str>, Option<&'a str>)>) -> Tags {
    pairs
        .map(|(key, value)| (key.unwrap_or_default().to_owned(), value.unwrap_or_default().to_owned()))
        .collect()
}
