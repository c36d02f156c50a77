//! References of resources, changed all at once: names for ids, and ids for names.

use std::collections::BTreeSet;

use super::{Machine, Peer, Resource, Rule};
use crate::cloud::name::Ref;

type Change<'a> = &'a mut dyn FnMut(Ref) -> Ref;

impl Resource {
    /// The same resource with every reference replaced.
    pub fn map_refs(mut self, change: Change<'_>) -> Self {
        match &mut self {
            Resource::Vpc(_)
            | Resource::ElasticIp(_)
            | Resource::KeyPair(_)
            | Resource::Role(_)
            | Resource::Volume(_) => {}
            Resource::InternetGateway(gateway) => one(&mut gateway.vpc, change),
            Resource::Subnet(subnet) => one(&mut subnet.vpc, change),
            Resource::NatGateway(nat) => {
                [&mut nat.subnet, &mut nat.address].into_iter().for_each(|reference| one(reference, change));
            }
            Resource::RouteTable(table) => {
                one(&mut table.vpc, change);
                table.routes.values_mut().for_each(|gateway| one(gateway, change));
                set(&mut table.subnets, change);
            }
            Resource::SecurityGroup(group) => one(&mut group.vpc, change),
            Resource::SecurityRules(rules) => {
                one(&mut rules.group, change);
                peers(&mut rules.ingress, change);
                peers(&mut rules.egress, change);
            }
            Resource::InstanceProfile(profile) => one(&mut profile.role, change),
            Resource::Instance(instance) => {
                machine(&mut instance.machine, change);
                one(&mut instance.subnet, change);
            }
            Resource::Attachment(attachment) => {
                one(&mut attachment.volume, change);
                one(&mut attachment.instance, change);
            }
            Resource::LaunchTemplate(template) => machine(&mut template.machine, change),
            Resource::ScalingGroup(group) => {
                one(&mut group.template, change);
                set(&mut group.subnets, change);
                set(&mut group.target_groups, change);
            }
            Resource::Balancer(balancer) => {
                set(&mut balancer.subnets, change);
                set(&mut balancer.groups, change);
            }
            Resource::TargetGroup(group) => one(&mut group.vpc, change),
            Resource::Targets(targets) => {
                one(&mut targets.group, change);
                set(&mut targets.instances, change);
            }
            Resource::Listener(listener) => {
                one(&mut listener.balancer, change);
                one(&mut listener.group, change);
            }
            Resource::Record(record) => one(&mut record.balancer, change),
            Resource::Made(made) => set(&mut made.needs, change),
        }
        self
    }
}

fn one(reference: &mut Ref, change: Change<'_>) {
    *reference = change(reference.clone());
}

fn set(references: &mut BTreeSet<Ref>, change: Change<'_>) {
    *references = std::mem::take(references).into_iter().map(change).collect();
}

fn machine(machine: &mut Machine, change: Change<'_>) {
    one(&mut machine.key, change);
    set(&mut machine.groups, change);
    machine.profile.iter_mut().for_each(|profile| one(profile, change));
}

fn peers(rules: &mut BTreeSet<Rule>, change: Change<'_>) {
    let renamed = |rule: Rule| match rule.peer {
        Peer::Group(group) => Rule { peer: Peer::Group(change(group)), ..rule },
        Peer::Network(_) => rule,
    };
    *rules = std::mem::take(rules).into_iter().map(renamed).collect();
}
