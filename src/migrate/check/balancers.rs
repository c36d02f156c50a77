//! Balancers, their listeners, and whether anybody is behind them.

use std::collections::BTreeSet;

use super::{Check, What};
use crate::inventory::Balancer;
use crate::migrate::ports::{BalancerFacts, BalancerKind, Health, TargetGroup};
use crate::migrate::record::{Side, Target};
use crate::migrate::survey::SideFacts;

impl Check<'_> {
    pub(super) fn balancers(&mut self) {
        for side in Side::BOTH {
            let facts = self.surveyed.side(side);
            match (&facts.balancer, self.wanted(side)) {
                (Some(balancer), _) => self.balancer(side, balancer),
                (None, Balancer::Arn(wanted) | Balancer::Name(wanted)) => {
                    let wanted = wanted.clone();
                    self.blocks(What::BalancerMissing { side, wanted });
                }
                (None, Balancer::Alias { .. } | Balancer::DnsName(_) | Balancer::Addresses(_)) => {}
            }
            self.is_reached(side, facts);
        }
        if let (Some(blue), Some(green)) = (&self.surveyed.blue.balancer, &self.surveyed.green.balancer)
            && blue.arn == green.arn
        {
            self.blocks(What::SameBalancer { arn: blue.arn.clone() });
        }
    }

    fn balancer(&mut self, side: Side, balancer: &BalancerFacts) {
        let arn = || balancer.arn.clone();
        match balancer.kind {
            BalancerKind::Network | BalancerKind::Application => {}
            BalancerKind::Gateway => self.blocks(What::BalancerKind { side, arn: arn() }),
        }
        if !balancer.is_active {
            self.blocks(What::BalancerInactive { side, arn: arn() });
        }
        let zones = &self.surveyed.zones;
        let is_public = |id: &str| {
            let facts = zones.iter().find(|facts| facts.id == id);
            facts.and_then(|facts| facts.zone.as_ref()).is_some_and(|zone| !zone.is_private)
        };
        let public = self.migration.names.iter().find(|service| is_public(&service.hosted_zone));
        if let Some(service) = public.filter(|_| balancer.is_internal) {
            let name = service.name.clone();
            self.warns(What::Internal { side, name });
        }
    }

    fn is_reached(&mut self, side: Side, facts: &SideFacts) {
        let error = match (&facts.unresolved, facts.addresses.is_empty()) {
            (Some(error), _) => error.clone(),
            (None, false) => return,
            // One that is not there has none, which is said.
            (None, true) if facts.targets.is_empty() => return,
            (None, true) => "its name has none".to_owned(),
        };
        let what = What::Unresolved { side, error };
        match side {
            Side::Green => self.blocks(what),
            Side::Blue => self.warns(what),
        }
    }

    /// Whatever clients use of blue, green has, with somebody behind it.
    pub(super) fn listeners(&mut self) {
        let surveyed = self.surveyed;
        let ports =
            |facts: &SideFacts| -> BTreeSet<u16> { groups(facts).iter().map(|group| group.port).collect() };
        let (blue, green) = (ports(&surveyed.blue), ports(&surveyed.green));
        if surveyed.blue.balancer.is_some() && surveyed.green.balancer.is_some() {
            for port in blue.difference(&green) {
                self.blocks(What::NoListener { port: *port });
            }
        }
        let heeding = self.names_that_heed_health();
        for group in groups(&surveyed.blue) {
            self.group_of_blue(group);
        }
        for group in groups(&surveyed.green) {
            let is_asked = self.migration.probes.iter().any(|probe| probe.port == group.port);
            let is_used = blue.contains(&group.port) || is_asked;
            self.group_of_green(group, is_used, &heeding);
        }
    }

    fn group_of_blue(&mut self, group: &TargetGroup) {
        let (all, healthy) = count(&self.surveyed.blue, group);
        if all == 0 {
            let (port, group) = (group.port, group.arn.clone());
            self.warns(What::NoTargets { side: Side::Blue, port, group });
        } else if healthy == 0 {
            self.warns(What::Unhealthy { side: Side::Blue, port: group.port, targets: all });
        }
    }

    /// Route 53 takes a balancer for unhealthy as soon as one of its groups has no targets, or none that is healthy.
    fn group_of_green(&mut self, group: &TargetGroup, is_used: bool, heeding: &[String]) {
        let (all, healthy) = count(&self.surveyed.green, group);
        let (port, arn) = (group.port, group.arn.clone());
        if all == 0 && !heeding.is_empty() {
            self.blocks(What::Poisons { port, group: arn, names: heeding.to_vec() });
        } else if all == 0 {
            let what = What::NoTargets { side: Side::Green, port, group: arn };
            if is_used { self.blocks(what) } else { self.warns(what) }
        } else if healthy == 0 {
            let what = What::Unhealthy { side: Side::Green, port, targets: all };
            if is_used || !heeding.is_empty() { self.blocks(what) } else { self.warns(what) }
        }
    }

    /// Names whose record of green is an alias that evaluates target health, or will be one.
    fn names_that_heed_health(&self) -> Vec<String> {
        let heeds = |target: &Target| matches!(target, Target::Alias { evaluate_target_health: true, .. });
        let names = self.surveyed.names.iter().filter(|facts| {
            let green = facts.sides.of(Side::Green);
            let there = facts.records.iter().find(|record| green.leads_as(&record.target));
            heeds(there.map_or(green, |record| &record.target))
        });
        let names: BTreeSet<String> = names.map(|facts| facts.service.name.clone()).collect();
        names.into_iter().collect()
    }
}

/// Those behind the listeners of a side's balancer.
pub(super) fn groups(facts: &SideFacts) -> &[TargetGroup] {
    facts.balancer.as_ref().map_or(&[], |balancer| &balancer.target_groups)
}

/// All targets but those that are on their way out, and the healthy ones.
fn count(facts: &SideFacts, group: &TargetGroup) -> (usize, usize) {
    let targets = facts.targets_of(&group.arn);
    let all = targets.iter().filter(|(_, health)| *health != Health::Draining).count();
    let healthy = targets.iter().filter(|(_, health)| *health == Health::Healthy).count();
    (all, healthy)
}

#[cfg(test)]
#[path = "balancers_tests.rs"]
mod tests;
