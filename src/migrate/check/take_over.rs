//! Which of green's machines blue's balancer can send to, at which port, and who would let it in.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net};

use super::balancers::groups;
use super::{Check, What};
use crate::migrate::ports::{
    BalancerFacts, BalancerTarget, Health, Machine, RuleSource, TargetGroup, TargetKind,
};
use crate::migrate::survey::{SideFacts, Surveyed};

/// What goes into each of blue's target groups, by their ARNs: green's healthy targets behind the listener of the same
/// port, at the port where they listen. Groups that can take none are left out.
pub fn take_over_targets(surveyed: &Surveyed) -> Vec<(String, Vec<BalancerTarget>)> {
    let mut all: Vec<(String, Vec<BalancerTarget>)> = Vec::new();
    for group in groups(&surveyed.blue) {
        let targets: Vec<BalancerTarget> =
            placed(surveyed, group).into_iter().filter_map(|place| place.target.ok()).collect();
        match all.iter_mut().find(|(arn, _)| *arn == group.arn) {
            Some((_, there)) => there.extend(targets),
            None => all.push((group.arn.clone(), targets)),
        }
    }
    for (_, targets) in &mut all {
        targets.sort();
        targets.dedup();
    }
    all.retain(|(_, targets)| !targets.is_empty());
    all
}

/// A target of green's, and what it is in a group of blue's.
struct Placed<'a> {
    /// As green's balancer knows it.
    id: &'a str,
    /// Where it listens.
    port: u16,
    machine: Option<&'a Machine>,
    target: Result<BalancerTarget, Bar>,
}

/// Why a group cannot have a target.
#[derive(Debug, PartialEq, Eq)]
enum Bar {
    NoMachines,
    NoInstance,
    /// It is in this network.
    OtherNetwork(String),
    NotPeered(String),
    NetworkUnknown,
    PublicAddress,
}

/// Green's healthy targets behind the listener with the port of this group of blue's.
fn placed<'a>(surveyed: &'a Surveyed, group: &TargetGroup) -> Vec<Placed<'a>> {
    let mut all = Vec::new();
    for theirs in groups(&surveyed.green).iter().filter(|theirs| theirs.port == group.port) {
        for (target, health) in surveyed.green.targets_of(&theirs.arn) {
            if *health == Health::Healthy {
                let machine = surveyed.green.machine(&target.id);
                let into = place(surveyed, group, theirs, target, machine);
                all.push(Placed { id: &target.id, port: target.port, machine, target: into });
            }
        }
    }
    all
}

fn place(
    surveyed: &Surveyed,
    group: &TargetGroup,
    theirs: &TargetGroup,
    target: &BalancerTarget,
    machine: Option<&Machine>,
) -> Result<BalancerTarget, Bar> {
    let port = target.port;
    match group.kind {
        TargetKind::Other => Err(Bar::NoMachines),
        TargetKind::Instance => {
            let machine = machine.ok_or(Bar::NoInstance)?;
            if machine.vpc != group.vpc {
                return Err(Bar::OtherNetwork(machine.vpc.clone()));
            }
            Ok(BalancerTarget { id: machine.id.clone(), port, is_outside: false })
        }
        TargetKind::Address => {
            let address = match machine {
                Some(machine) => machine.address,
                None => target.id.parse().map_err(|_| Bar::NetworkUnknown)?,
            };
            // What is no instance, such as a pod with an address of its own, is where its group is.
            let own = (!target.is_outside).then_some(&theirs.vpc);
            let network = machine.map(|machine| &machine.vpc).or(own).ok_or(Bar::NetworkUnknown)?;
            let is_outside = *network != group.vpc;
            if is_outside && !surveyed.peered.contains(&(group.vpc.clone(), network.clone())) {
                return Err(Bar::NotPeered(network.clone()));
            }
            if is_outside && !is_private(address) {
                return Err(Bar::PublicAddress);
            }
            Ok(BalancerTarget { id: address.to_string(), port, is_outside })
        }
    }
}

/// RFC 1918 and RFC 6598: what a group takes from outside its network.
fn is_private(address: IpAddr) -> bool {
    const SHARED: Ipv4Net = Ipv4Net::new_assert(std::net::Ipv4Addr::new(100, 64, 0, 0), 10);
    match address {
        IpAddr::V4(v4) => v4.is_private() || SHARED.contains(&v4),
        IpAddr::V6(_) => false,
    }
}

impl Check<'_> {
    pub(super) fn take_over(&mut self) {
        let surveyed = self.surveyed;
        let (Some(blue), Some(_)) = (&surveyed.blue.balancer, &surveyed.green.balancer) else { return };
        for group in &blue.target_groups {
            let all = placed(surveyed, group);
            self.bars(group, &all);
            if group.preserves_client_address && all.iter().any(|place| is_outside(&place.target)) {
                self.warns(What::ClientsHidden { port: group.port });
            }
            self.doors(blue, group, &all);
        }
        self.shared_groups(blue);
    }

    /// By reason, so that a hundred machines are one finding.
    fn bars(&mut self, group: &TargetGroup, all: &[Placed<'_>]) {
        let (port, network) = (group.port, group.vpc.clone());
        if group.kind == TargetKind::Other {
            return self.blocks(What::TakesNoMachines { port });
        }
        let mut by_reason: Vec<(&Bar, Vec<String>)> = Vec::new();
        for place in all {
            let Err(bar) = &place.target else { continue };
            match by_reason.iter_mut().find(|(other, _)| *other == bar) {
                Some((_, ids)) => ids.push(place.id.to_owned()),
                None => by_reason.push((bar, vec![place.id.to_owned()])),
            }
        }
        for (bar, targets) in by_reason {
            let network = network.clone();
            self.blocks(match bar {
                Bar::NoMachines => What::TakesNoMachines { port },
                Bar::NoInstance => What::NoInstance { port, targets },
                Bar::OtherNetwork(other) => {
                    What::OtherNetwork { port, network, other: other.clone(), machines: targets }
                }
                Bar::NotPeered(other) => What::NotPeered { port, network, other: other.clone(), targets },
                Bar::NetworkUnknown => What::NetworkUnknown { port, targets },
                Bar::PublicAddress => What::PublicAddress { port, targets },
            });
        }
    }

    /// Whether security groups let in whom blue's balancer sends, and the balancer itself, which asks for health.
    fn doors(&mut self, blue: &BalancerFacts, group: &TargetGroup, all: &[Placed<'_>]) {
        let mut shut: BTreeMap<u16, Vec<String>> = BTreeMap::new();
        let mut clients: BTreeMap<u16, (Vec<String>, BTreeSet<IpNet>)> = BTreeMap::new();
        let mut unknown: BTreeMap<u16, Vec<String>> = BTreeMap::new();
        for place in all {
            let Ok(target) = &place.target else { continue };
            let Some(machine) = place.machine else {
                unknown.entry(place.port).or_default().push(place.id.to_owned());
                continue;
            };
            let door = Door::of(&self.surveyed.green, machine, place.port, blue);
            if !door.lets_in_balancer {
                shut.entry(place.port).or_default().push(machine.id.clone());
            } else if group.preserves_client_address && !target.is_outside && !door.lets_in_clients {
                let (machines, from) = clients.entry(place.port).or_default();
                machines.push(machine.id.clone());
                from.extend(door.from);
            }
        }
        for (target_port, machines) in shut {
            let (groups, subnets) = (blue.groups.clone(), blue.subnets.clone());
            self.blocks(What::ShutToBalancer { target_port, machines, groups, subnets });
        }
        for (target_port, (machines, from)) in clients {
            let from = from.into_iter().collect();
            self.warns(What::ShutToClients { target_port, machines, from });
        }
        for (target_port, targets) in unknown {
            self.warns(What::FirewallUnknown { target_port, targets });
        }
    }

    /// A group has one list of targets for all ports that lead to it.
    fn shared_groups(&mut self, blue: &BalancerFacts) {
        let mut seen: BTreeSet<&str> = BTreeSet::new();
        for group in &blue.target_groups {
            let same: Vec<&TargetGroup> =
                blue.target_groups.iter().filter(|other| other.arn == group.arn).collect();
            if same.len() < 2 || !seen.insert(&group.arn) {
                continue;
            }
            let targets_behind = |group: &TargetGroup| -> BTreeSet<(String, u16)> {
                let all = placed(self.surveyed, group).into_iter();
                all.map(|place| (place.id.to_owned(), place.port)).collect()
            };
            let first = targets_behind(group);
            if same.iter().any(|other| targets_behind(other) != first) {
                let ports = same.iter().map(|group| group.port).collect();
                self.blocks(What::SharedGroup { group: group.arn.clone(), ports });
            }
        }
    }
}

fn is_outside(target: &Result<BalancerTarget, Bar>) -> bool {
    target.as_ref().is_ok_and(|target| target.is_outside)
}

/// Who gets in at a port of a machine.
struct Door {
    lets_in_balancer: bool,
    lets_in_clients: bool,
    from: Vec<IpNet>,
}

impl Door {
    fn of(green: &SideFacts, machine: &Machine, port: u16, blue: &BalancerFacts) -> Self {
        let rules = green.rules.iter().filter(|rule| {
            machine.groups.contains(&rule.group) && (rule.ports.0..=rule.ports.1).contains(&port)
        });
        let (mut from, mut knows_balancer) = (Vec::new(), false);
        for rule in rules {
            match &rule.from {
                RuleSource::Addresses(range) => from.push(*range),
                RuleSource::Group(group) => knows_balancer |= blue.groups.contains(group),
            }
        }
        // Two halves are a whole.
        let from = IpNet::aggregate(&from);
        let is_v4 = machine.address.is_ipv4();
        let lets_in = |net: &IpNet| from.iter().any(|range| range.contains(net));
        let world = from.iter().any(|range| range.prefix_len() == 0 && range.addr().is_ipv4() == is_v4);
        let mut subnets = blue.subnets.iter().filter(|net| net.addr().is_ipv4() == is_v4).peekable();
        // Of a balancer whose subnets are not known, only what is open to all is sure to be open.
        let covers = subnets.peek().is_some() && subnets.all(lets_in);
        Door {
            lets_in_balancer: knows_balancer || world || covers,
            lets_in_clients: knows_balancer || world,
            from,
        }
    }
}

#[cfg(test)]
#[path = "take_over_tests.rs"]
mod tests;
