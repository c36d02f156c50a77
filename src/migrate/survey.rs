//! What is there before anything changes: records and who answers for them, balancers with their targets and machines,
//! and what both sides answer to probes. Looks, and changes nothing; [`super::check`] judges.

mod facts;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use futures::StreamExt as _;

pub use facts::{Asked, Delegation, GroupFacts, NameAnswer, SideFacts, Surveyed, Unpaired, ZoneFacts};

use super::gates::Answer;
use super::plan::{ALIAS_TTL, NameFacts};
use super::ports::{BalancerFacts, Balancers, CallError, Dns, Machine, Prober, Rule, TargetKind};
use super::record::{RecordSet, RecordType, Side, Sides, Target};
use crate::inventory::{Balancer, Migration, MigrationSide, Probe};

/// Probes under way at once: enough that a few dozen addresses are no wait, too few to be taken for an attack.
const PROBES_AT_ONCE: usize = 16;

/// What could not be looked at.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot look at {what}")]
pub struct SurveyError {
    pub what: String,
    pub source: CallError,
}

impl SurveyError {
    /// What to do next.
    pub fn hint(&self) -> &'static str {
        match self.source {
            CallError::Later(_) | CallError::Unknown(_) => "nothing was changed; run it again",
            CallError::Denied(_) => {
                "give the credentials what the message names; docs/migration-file.md, `aws`"
            }
            CallError::Conflict(_) | CallError::Refused(_) => {
                "nothing was changed; compare what the file names with the account"
            }
        }
    }
}

fn of<T>(result: Result<T, CallError>, what: impl FnOnce() -> String) -> Result<T, SurveyError> {
    result.map_err(|source| SurveyError { what: what(), source })
}

/// Looks at everything that a migration is about.
///
/// # Errors
/// [`SurveyError`] when the account cannot be asked. What resolvers and sides fail to answer is a fact, not an error.
pub async fn survey(
    migration: &Migration,
    dns: &dyn Dns,
    balancers: &dyn Balancers,
    prober: &dyn Prober,
) -> Result<Surveyed, SurveyError> {
    let side = |side, wanted| look_at_side(side, wanted, &migration.probes, balancers, prober);
    let (blue, green, zones, answers) = futures::join!(
        side(Side::Blue, &migration.blue),
        side(Side::Green, &migration.green),
        look_at_zones(migration, dns, prober),
        ask_names(migration, prober),
    );
    let (blue, green, zones) = (blue?, green?, zones?);
    let mut surveyed = Surveyed {
        names: Vec::new(),
        unpaired: Vec::new(),
        answers,
        zones,
        blue,
        green,
        peered: BTreeSet::new(),
    };
    look_at_names(migration, dns, &mut surveyed).await?;
    if migration.take_over.is_some() {
        surveyed.peered = look_at_peerings(balancers, &surveyed.blue, &surveyed.green).await?;
    }
    Ok(surveyed)
}

/// What [`super::check::take_over_targets`] needs, and no more: machines come and go while a migration goes on.
///
/// # Errors
/// [`SurveyError`] when the account cannot be asked.
pub async fn look_at_targets(
    blue: &BalancerFacts,
    green: &BalancerFacts,
    balancers: &dyn Balancers,
) -> Result<Surveyed, SurveyError> {
    let (groups, machines, rules) = look_behind(Side::Green, Some(green), balancers).await?;
    let balancer = Some(green.clone());
    let green = SideFacts { balancer, groups, machines, rules, ..SideFacts::default() };
    let blue = SideFacts { balancer: Some(blue.clone()), ..SideFacts::default() };
    let peered = look_at_peerings(balancers, &blue, &green).await?;
    Ok(Surveyed { blue, green, peered, ..Surveyed::default() })
}

async fn look_at_zones(
    migration: &Migration,
    dns: &dyn Dns,
    prober: &dyn Prober,
) -> Result<Vec<ZoneFacts>, SurveyError> {
    let mut zones: Vec<ZoneFacts> = Vec::new();
    // One after another: Route 53 counts calls of a whole account, other programs' too.
    for service in &migration.names {
        let id = &service.hosted_zone;
        if zones.iter().any(|facts| facts.id == *id) {
            continue;
        }
        let zone = of(dns.zone(id).await, || format!("zone {id}"))?;
        let delegation = match zone.as_ref().filter(|zone| !zone.is_private) {
            None => None,
            Some(zone) => Some(match prober.name_servers(&zone.name).await {
                Ok(servers) => Delegation::Servers(servers),
                Err(error) => Delegation::Unknown(error),
            }),
        };
        zones.push(ZoneFacts { id: id.clone(), zone, delegation });
    }
    Ok(zones)
}

async fn ask_names(migration: &Migration, prober: &dyn Prober) -> Vec<NameAnswer> {
    let names: BTreeSet<&String> = migration.names.iter().map(|service| &service.name).collect();
    let mut questions = Vec::new();
    for name in names {
        questions.push(async move {
            let (addresses, error) = match prober.resolve(name).await {
                Ok(addresses) => (addresses, None),
                Err(error) => (Vec::new(), Some(error)),
            };
            NameAnswer { name: name.clone(), addresses, error }
        });
    }
    futures::stream::iter(questions).buffered(PROBES_AT_ONCE).collect().await
}

async fn look_at_names(
    migration: &Migration,
    dns: &dyn Dns,
    surveyed: &mut Surveyed,
) -> Result<(), SurveyError> {
    for service in &migration.names {
        let zone = &service.hosted_zone;
        if !surveyed.zones.iter().any(|facts| facts.id == *zone && facts.zone.is_some()) {
            continue;
        }
        let what = || format!("records of {} in zone {zone}", service.name);
        let all = of(dns.records(zone, &service.name).await, what)?;
        for record_type in [RecordType::A, RecordType::Aaaa, RecordType::Cname] {
            let records: Vec<RecordSet> =
                all.iter().filter(|record| record.record_type == record_type).cloned().collect();
            if records.is_empty() {
                continue;
            }
            let service = service.clone();
            let leads = |side| surveyed.side(side).targets.get(&record_type);
            match (leads(Side::Blue), leads(Side::Green)) {
                (Some(blue), Some(green)) => {
                    let sides = sides_like(&records, blue, green);
                    surveyed.names.push(NameFacts { service, record_type, records, sides });
                }
                (blue, green) => {
                    let without = [(Side::Blue, blue), (Side::Green, green)].into_iter();
                    let sides =
                        without.filter(|(_, target)| target.is_none()).map(|(side, _)| side).collect();
                    surveyed.unpaired.push(Unpaired { service, record_type, records, sides });
                }
            }
        }
    }
    Ok(())
}

/// New records are like those that are there: weights are only right among records with one TTL, and when both sides
/// heed the health of their targets, or neither does.
fn sides_like(records: &[RecordSet], blue: &Target, green: &Target) -> Sides {
    let of_blue = records.iter().find(|record| blue.leads_as(&record.target)).or(records.first());
    let ttl = records.iter().find_map(|record| match &record.target {
        Target::Values { ttl, .. } => Some(*ttl),
        Target::Alias { .. } => None,
    });
    let heeds = of_blue.is_some_and(|record| match record.target {
        Target::Alias { evaluate_target_health, .. } => evaluate_target_health,
        Target::Values { .. } => false,
    });
    let like = |target: &Target| match target {
        Target::Alias { dns_name, hosted_zone, .. } => Target::Alias {
            dns_name: dns_name.clone(),
            hosted_zone: hosted_zone.clone(),
            evaluate_target_health: heeds,
        },
        Target::Values { values, .. } => {
            Target::Values { ttl: ttl.unwrap_or(ALIAS_TTL), values: values.clone() }
        }
    };
    Sides { blue: like(blue), green: like(green) }
}

async fn look_at_side(
    side: Side,
    wanted: &MigrationSide,
    probes: &[Probe],
    balancers: &dyn Balancers,
    prober: &dyn Prober,
) -> Result<SideFacts, SurveyError> {
    let mut facts = SideFacts::default();
    match &wanted.balancer {
        Balancer::Arn(_) | Balancer::Name(_) => {
            let found = balancers.find(&wanted.balancer).await;
            facts.balancer = of(found, || format!("{side}'s balancer"))?;
        }
        Balancer::Alias { .. } | Balancer::DnsName(_) | Balancer::Addresses(_) => {}
    }
    facts.targets = targets(&wanted.balancer, facts.balancer.as_ref());
    let name = match &wanted.balancer {
        Balancer::Arn(_) | Balancer::Name(_) => facts.balancer.as_ref().map(|found| found.dns_name.clone()),
        Balancer::Alias { dns_name, .. } | Balancer::DnsName(dns_name) => Some(dns_name.clone()),
        Balancer::Addresses(addresses) => {
            facts.addresses.clone_from(addresses);
            None
        }
    };
    if let Some(name) = name {
        match prober.resolve(name.trim_end_matches('.')).await {
            Ok(addresses) => facts.addresses = addresses,
            Err(error) => facts.unresolved = Some(error),
        }
    }
    // An answer may name one twice, and the same question in the same order makes the same survey.
    facts.addresses.sort();
    facts.addresses.dedup();
    let (groups, asked) = futures::join!(
        look_behind(side, facts.balancer.as_ref(), balancers),
        ask_straight(side, &facts.addresses, probes, prober),
    );
    (facts.groups, facts.machines, facts.rules) = groups?;
    facts.probes = asked;
    Ok(facts)
}

/// What records of each type lead to.
fn targets(wanted: &Balancer, found: Option<&BalancerFacts>) -> BTreeMap<RecordType, Target> {
    let values = |values: Vec<String>| Target::Values { ttl: ALIAS_TTL, values };
    match (wanted, found) {
        (Balancer::Arn(_) | Balancer::Name(_), None) => BTreeMap::new(),
        (Balancer::Arn(_) | Balancer::Name(_), Some(found)) => of_aws(&found.dns_name, &found.hosted_zone),
        (Balancer::Alias { dns_name, hosted_zone }, _) => of_aws(dns_name, hosted_zone),
        (Balancer::DnsName(name), _) => [(RecordType::Cname, values(vec![absolute(name)]))].into(),
        (Balancer::Addresses(addresses), _) => {
            let of = |record_type, is: fn(&IpAddr) -> bool| {
                let texts: Vec<String> =
                    addresses.iter().filter(|address| is(address)).map(ToString::to_string).collect();
                (!texts.is_empty()).then(|| (record_type, values(texts)))
            };
            let both = [of(RecordType::A, IpAddr::is_ipv4), of(RecordType::Aaaa, IpAddr::is_ipv6)];
            both.into_iter().flatten().collect()
        }
    }
}

/// An alias, or a CNAME where a name has one already.
fn of_aws(dns_name: &str, hosted_zone: &str) -> BTreeMap<RecordType, Target> {
    let alias = || Target::Alias {
        dns_name: absolute(dns_name),
        hosted_zone: hosted_zone.to_owned(),
        evaluate_target_health: false,
    };
    let other_name = Target::Values { ttl: ALIAS_TTL, values: vec![absolute(dns_name)] };
    [(RecordType::A, alias()), (RecordType::Aaaa, alias()), (RecordType::Cname, other_name)].into()
}

/// As Route 53 gives it back, so that what is read later is what was written.
fn absolute(name: &str) -> String {
    format!("{}.", name.trim_end_matches('.').to_lowercase())
}

type Behind = (Vec<GroupFacts>, Vec<Machine>, Vec<Rule>);

/// Targets, machines, and what these let in.
async fn look_behind(
    side: Side,
    balancer: Option<&BalancerFacts>,
    balancers: &dyn Balancers,
) -> Result<Behind, SurveyError> {
    let mut groups: Vec<GroupFacts> = Vec::new();
    let mut ids: BTreeSet<String> = BTreeSet::new();
    for group in balancer.iter().flat_map(|balancer| &balancer.target_groups) {
        if groups.iter().any(|facts| facts.arn == group.arn) {
            continue;
        }
        let targets = balancers.targets(&group.arn).await;
        let targets = of(targets, || format!("targets of {side}'s group {}", group.arn))?;
        match group.kind {
            TargetKind::Instance | TargetKind::Address => {
                ids.extend(targets.iter().map(|(target, _)| target.id.clone()));
            }
            TargetKind::Other => {}
        }
        groups.push(GroupFacts { arn: group.arn.clone(), targets });
    }
    let ids: Vec<String> = ids.into_iter().collect();
    let machines = match ids.is_empty() {
        true => Vec::new(),
        false => of(balancers.machines(&ids).await, || format!("machines behind {side}'s balancer"))?,
    };
    let firewalls: BTreeSet<&String> = machines.iter().flat_map(|machine| &machine.groups).collect();
    let firewalls: Vec<String> = firewalls.into_iter().cloned().collect();
    let rules = match firewalls.is_empty() {
        true => Vec::new(),
        false => of(balancers.rules(&firewalls).await, || format!("security groups of {side}'s machines"))?,
    };
    Ok((groups, machines, rules))
}

async fn ask_straight(side: Side, addresses: &[IpAddr], probes: &[Probe], prober: &dyn Prober) -> Vec<Asked> {
    let mut questions = Vec::new();
    for probe in probes {
        for address in addresses {
            let at = SocketAddr::new(*address, probe.port);
            questions.push(async move {
                let answer = prober.ask(probe, at).await;
                Asked { at, answer: Answer { side: Some(side), ..answer } }
            });
        }
    }
    futures::stream::iter(questions).buffered(PROBES_AT_ONCE).collect().await
}

/// Which networks of green's machines are peered with those of blue's groups.
async fn look_at_peerings(
    balancers: &dyn Balancers,
    blue: &SideFacts,
    green: &SideFacts,
) -> Result<BTreeSet<(String, String)>, SurveyError> {
    let groups = |side: &SideFacts| -> BTreeSet<String> {
        let all = side.balancer.iter().flat_map(|balancer| &balancer.target_groups);
        all.map(|group| group.vpc.clone()).collect()
    };
    let mut theirs = groups(green);
    theirs.extend(green.machines.iter().map(|machine| machine.vpc.clone()));
    let mut peered = BTreeSet::new();
    for own in groups(blue) {
        for other in theirs.iter().filter(|other| **other != own) {
            let answer = balancers.are_peered(&own, other).await;
            if of(answer, || format!("the peering of {own} and {other}"))? {
                peered.insert((own.clone(), other.clone()));
            }
        }
    }
    Ok(peered)
}

#[cfg(test)]
#[path = "survey_tests.rs"]
pub(super) mod tests;
