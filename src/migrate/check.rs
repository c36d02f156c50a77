//! What stands between a migration and its first change: every finding about what was surveyed, in one go. Pure.

mod balancers;
mod finding;
mod take_over;

use std::collections::BTreeSet;

pub use finding::{Finding, Severity, What};
pub use take_over::take_over_targets;

use super::plan::{ALIAS_TTL, NameFacts};
use super::ports::Zone;
use super::record::{RecordSet, RecordType, Side, Target};
use super::survey::{Asked, Delegation, Surveyed, ZoneFacts};
use crate::inventory::{Balancer, Migration, ServiceName};

/// Seconds. Old answers are used for so long after each move: above it, going back takes longer than people wait.
const TTL_LIMIT: u32 = 300;

/// Everything that is in the way, or worth a word.
pub fn check(migration: &Migration, surveyed: &Surveyed) -> Vec<Finding> {
    let mut check = Check { migration, surveyed, found: Vec::new() };
    check.zones();
    check.names();
    check.balancers();
    check.listeners();
    if migration.take_over.is_some() {
        check.take_over();
    }
    check.probes();
    check.found
}

struct Check<'a> {
    migration: &'a Migration,
    surveyed: &'a Surveyed,
    found: Vec<Finding>,
}

impl<'a> Check<'a> {
    fn blocks(&mut self, what: What) {
        self.found.push(Finding { severity: Severity::Blocks, what });
    }

    fn warns(&mut self, what: What) {
        self.found.push(Finding { severity: Severity::Warns, what });
    }

    fn wanted(&self, side: Side) -> &'a Balancer {
        match side {
            Side::Blue => &self.migration.blue.balancer,
            Side::Green => &self.migration.green.balancer,
        }
    }

    fn zones(&mut self) {
        let surveyed = self.surveyed;
        for facts in &surveyed.zones {
            match &facts.zone {
                None => {
                    let first = self.names_in(&facts.id).next().map(|service| service.name.clone());
                    let name = first.unwrap_or_default();
                    self.blocks(What::ZoneMissing { zone: facts.id.clone(), name });
                }
                Some(zone) => self.zone(facts, zone),
            }
        }
    }

    fn names_in(&self, zone: &str) -> impl Iterator<Item = &ServiceName> {
        self.migration.names.iter().filter(move |service| service.hosted_zone == zone)
    }

    fn zone(&mut self, facts: &ZoneFacts, zone: &Zone) {
        let names: Vec<String> = self.names_in(&facts.id).map(|service| service.name.clone()).collect();
        for name in names.iter().filter(|name| !is_within(name, &zone.name)) {
            let zone_name = plain(&zone.name);
            self.blocks(What::NotInZone { name: name.clone(), zone: facts.id.clone(), zone_name });
        }
        for name in &names {
            let answer = self.surveyed.answers.iter().find(|answer| answer.name == *name);
            let error = answer.and_then(|answer| answer.error.clone());
            let (zone_id, name) = (facts.id.clone(), name.clone());
            match (zone.is_private, error) {
                (true, None) => self.warns(What::Private { zone: zone_id, name }),
                (true, Some(error)) => self.blocks(What::PrivateUnseen { zone: zone_id, name, error }),
                (false, None) => {}
                (false, Some(error)) => self.warns(What::Unanswered { name, error }),
            }
        }
        if let Some(delegation) = &facts.delegation {
            self.delegation(&facts.id, zone, delegation);
        }
    }

    fn delegation(&mut self, id: &str, zone: &Zone, delegation: &Delegation) {
        let own: BTreeSet<String> = zone.name_servers.iter().map(|server| plain(server)).collect();
        let (id, zone_name) = (id.to_owned(), plain(&zone.name));
        let wanted: Vec<String> = own.iter().cloned().collect();
        let servers: BTreeSet<String> = match delegation {
            Delegation::Unknown(error) => {
                return self.warns(What::DelegationUnknown { zone_name, error: error.clone(), wanted });
            }
            Delegation::Servers(servers) => servers.iter().map(|server| plain(server)).collect(),
        };
        let others: Vec<String> = servers.difference(&own).cloned().collect();
        if servers.is_empty() {
            self.blocks(What::NotDelegated { zone: id, zone_name, wanted });
        } else if others.len() == servers.len() {
            self.blocks(What::DelegatedElsewhere { zone: id, zone_name, found: others, wanted });
        } else if !others.is_empty() {
            self.blocks(What::DelegatedTwice { zone: id, zone_name, others });
        }
    }

    fn names(&mut self) {
        let (migration, surveyed) = (self.migration, self.surveyed);
        for service in &migration.names {
            let zone = surveyed.zones.iter().find(|facts| facts.id == service.hosted_zone);
            let Some(zone) = zone.and_then(|facts| facts.zone.as_ref()) else { continue };
            let is_apex = plain(&zone.name) == plain(&service.name);
            let has_any = surveyed.names.iter().any(|facts| facts.service == *service)
                || surveyed.unpaired.iter().any(|unpaired| unpaired.service == *service);
            if !has_any {
                let (name, zone) = (service.name.clone(), service.hosted_zone.clone());
                self.blocks(What::NoRecords { name, zone });
            }
            self.targets_of(service, is_apex);
        }
        for facts in &surveyed.names {
            if let Err(foreign) = facts.point() {
                self.blocks(What::Foreign(foreign));
            }
            self.ttls(facts);
        }
    }

    /// Both sides have something for every type that the name has.
    fn targets_of(&mut self, service: &ServiceName, is_apex: bool) {
        let surveyed = self.surveyed;
        let name = || service.name.clone();
        for side in Side::BOTH {
            let only_cname = matches!(self.wanted(side), Balancer::DnsName(_));
            if is_apex && only_cname {
                self.blocks(What::ApexCname { name: name(), side });
                continue;
            }
            let facts = surveyed.side(side);
            // A balancer that is not there is reported as such.
            let is_missing =
                facts.balancer.is_none() && matches!(self.wanted(side), Balancer::Arn(_) | Balancer::Name(_));
            let without = surveyed.unpaired.iter().filter(|unpaired| {
                unpaired.service == *service && unpaired.sides.contains(&side) && !is_missing
            });
            for unpaired in without {
                let record_type = unpaired.record_type;
                self.blocks(What::NoTarget { name: name(), record_type, side });
            }
            let has_aaaa = surveyed
                .names
                .iter()
                .any(|facts| facts.service == *service && facts.record_type == RecordType::Aaaa);
            let has_addresses = !facts.addresses.is_empty();
            if has_aaaa && has_addresses && !facts.addresses.iter().any(|address| address.is_ipv6()) {
                self.blocks(What::NoIpv6 { name: name(), side });
            }
        }
    }

    fn ttls(&mut self, facts: &NameFacts) {
        let (name, record_type) = (facts.service.name.clone(), facts.record_type);
        let of = |record: &RecordSet| match &record.target {
            Target::Values { ttl, .. } => Some(*ttl),
            Target::Alias { .. } => None,
        };
        let ttls: BTreeSet<u32> = facts.records.iter().filter_map(of).collect();
        let Some(longest) = ttls.iter().next_back().copied() else { return };
        if ttls.len() > 1 {
            let ttls = ttls.into_iter().collect();
            return self.blocks(What::TtlsDiffer { name, record_type, ttls });
        }
        let has_alias =
            Side::BOTH.into_iter().any(|side| matches!(facts.sides.of(side), Target::Alias { .. }));
        if has_alias && longest != ALIAS_TTL {
            self.warns(What::TtlBesideAlias { name: name.clone(), record_type, ttl: longest });
        }
        if longest > TTL_LIMIT {
            self.warns(What::LongTtl { name, record_type, ttl: longest });
        }
    }

    /// Green answers everything before it gets a single client; blue should, so that there is something to compare.
    fn probes(&mut self) {
        let surveyed = self.surveyed;
        let everywhere = Side::BOTH.into_iter().flat_map(|side| &surveyed.side(side).probes);
        let over_v6: Vec<&Asked> =
            everywhere.filter(|asked| asked.at.is_ipv6() && leads_over_v6(surveyed)).collect();
        // Not one side is to blame for a network that this machine has no way into.
        let all_failed = over_v6.iter().all(|asked| asked.answer.error.is_some());
        let no_v6 = over_v6.first().filter(|_| all_failed);
        if let Some(asked) = no_v6 {
            let said = asked.answer.error.clone().unwrap_or_default();
            self.warns(What::NoIpv6Here { at: asked.at, said });
        }
        for side in Side::BOTH {
            for probe in &self.migration.probes {
                let all = surveyed.side(side).probes.iter();
                let asked: Vec<_> = all
                    .filter(|asked| asked.answer.probe == probe.name)
                    .filter(|asked| asked.at.is_ipv4() || (no_v6.is_none() && !over_v6.is_empty()))
                    .collect();
                let failed: Vec<_> =
                    asked.iter().filter_map(|asked| Some((asked.at, asked.answer.error.clone()?))).collect();
                let Some((at, said)) = failed.first().cloned() else { continue };
                let (failed, asked) = (failed.len(), asked.len());
                let probe = probe.name.clone();
                let what = What::ProbeFailed { side, probe, at, said, failed, asked };
                match side {
                    Side::Green => self.blocks(what),
                    Side::Blue => self.warns(what),
                }
            }
        }
    }
}

/// Whether any name leads clients to IPv6 addresses: a balancer may have some that nobody is told of.
fn leads_over_v6(surveyed: &Surveyed) -> bool {
    let paired = surveyed.names.iter().map(|facts| facts.record_type);
    let mut types = paired.chain(surveyed.unpaired.iter().map(|unpaired| unpaired.record_type));
    types.any(|record_type| match record_type {
        RecordType::Aaaa | RecordType::Cname => true,
        RecordType::A => false,
    })
}

/// Without the dot at its end, in small letters.
fn plain(name: &str) -> String {
    name.trim_end_matches('.').to_lowercase()
}

fn is_within(name: &str, zone: &str) -> bool {
    let (name, zone) = (plain(name), plain(zone));
    name.strip_suffix(&zone).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

#[cfg(test)]
#[path = "check_tests.rs"]
pub(crate) mod tests;
