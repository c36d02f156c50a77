use std::sync::Mutex;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::{BoxFuture, ready};

use super::*;
use crate::inventory::{MetricGate, TakeOver};
use crate::migrate::check::tests::{migration, surveyed};
use crate::migrate::ports::{BalancerTarget, Call, ChangeId, Health, Zone};
use crate::migrate::record::{Batch, Routing};

/// The ports, answering from what a survey is to find, and what was asked of them.
struct World {
    there: Surveyed,
    records: Vec<RecordSet>,
    /// What the call with this word in it answers.
    fails: Option<(&'static str, CallError)>,
    asked: Mutex<Vec<String>>,
}

impl World {
    fn new(there: Surveyed) -> Self {
        let records = there.names.iter().flat_map(|facts| facts.records.clone()).collect();
        World { there, records, fails: None, asked: Mutex::default() }
    }

    fn answer<'a, T: Send + 'a>(&'a self, call: String, value: T) -> Call<'a, T> {
        let failure = self.fails.as_ref().filter(|(word, _)| call.contains(word));
        let answer = failure.map_or(Ok(value), |(_, error)| Err(error.clone()));
        self.asked.lock().unwrap().push(call);
        ready(answer).boxed()
    }

    fn sides(&self) -> [&SideFacts; 2] {
        [&self.there.blue, &self.there.green]
    }

    async fn survey(&self, migration: &Migration) -> Result<Surveyed, SurveyError> {
        survey(migration, self, self, self).await
    }

    fn calls(&self, word: &str) -> Vec<String> {
        self.asked.lock().unwrap().iter().filter(|call| call.starts_with(word)).cloned().collect()
    }
}

impl Dns for World {
    fn zone<'a>(&'a self, id: &'a str) -> Call<'a, Option<Zone>> {
        let found = self.there.zones.iter().find(|facts| facts.id == id);
        self.answer(format!("zone {id}"), found.and_then(|facts| facts.zone.clone()))
    }

    fn records<'a>(&'a self, zone: &'a str, name: &'a str) -> Call<'a, Vec<RecordSet>> {
        let own = self.records.iter().filter(|record| record.name == format!("{name}.")).cloned().collect();
        self.answer(format!("records {zone} {name}"), own)
    }

    fn change<'a>(&'a self, _: &'a str, _: &'a Batch) -> Call<'a, ChangeId> {
        panic!("a survey changes nothing")
    }

    fn is_everywhere<'a>(&'a self, _: &'a ChangeId) -> Call<'a, bool> {
        panic!("a survey changes nothing")
    }
}

impl Balancers for World {
    fn find<'a>(&'a self, wanted: &'a Balancer) -> Call<'a, Option<BalancerFacts>> {
        let Balancer::Name(name) = wanted else { panic!("{wanted:?} is none of AWS here") };
        let own = format!("arn:{name}");
        let all = self.sides().into_iter().filter_map(|facts| facts.balancer.clone());
        self.answer(format!("find {name}"), all.into_iter().find(|balancer| balancer.arn == own))
    }

    fn targets<'a>(&'a self, group: &'a str) -> Call<'a, Vec<(BalancerTarget, Health)>> {
        let all = self.sides().into_iter().flat_map(|facts| facts.targets_of(group).to_vec()).collect();
        self.answer(format!("targets {group}"), all)
    }

    fn register<'a>(&'a self, _: &'a str, _: &'a [BalancerTarget]) -> Call<'a, ()> {
        panic!("a survey changes nothing")
    }

    fn deregister<'a>(&'a self, _: &'a str, _: &'a [BalancerTarget]) -> Call<'a, ()> {
        panic!("a survey changes nothing")
    }

    fn new_flows<'a>(&'a self, _: &'a BalancerFacts, _: u32) -> Call<'a, Option<u64>> {
        panic!("nobody asks for flows before there is a window")
    }

    fn metric<'a>(&'a self, _: &'a MetricGate) -> Call<'a, Option<f64>> {
        panic!("nobody asks for metrics before there is a share")
    }

    fn machines<'a>(&'a self, ids: &'a [String]) -> Call<'a, Vec<Machine>> {
        let all = self.sides().into_iter().flat_map(|facts| facts.machines.clone());
        let own =
            all.filter(|machine| ids.contains(&machine.id) || ids.contains(&machine.address.to_string()));
        self.answer(format!("machines {}", ids.join(" ")), own.collect())
    }

    fn rules<'a>(&'a self, groups: &'a [String]) -> Call<'a, Vec<Rule>> {
        let all = self.sides().into_iter().flat_map(|facts| facts.rules.clone());
        self.answer(
            format!("rules {}", groups.join(" ")),
            all.filter(|rule| groups.contains(&rule.group)).collect(),
        )
    }

    fn are_peered<'a>(&'a self, one: &'a str, other: &'a str) -> Call<'a, bool> {
        let pair = (one.to_owned(), other.to_owned());
        self.answer(format!("peered {one} {other}"), self.there.peered.contains(&pair))
    }
}

impl Prober for World {
    fn resolve<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Vec<IpAddr>, String>> {
        self.asked.lock().unwrap().push(format!("resolve {name}"));
        let of_name = self.there.answers.iter().find(|answer| answer.name == name);
        let of_side = self
            .sides()
            .into_iter()
            .find(|facts| facts.balancer.as_ref().is_some_and(|balancer| balancer.dns_name == name));
        let answer = match (of_name, of_side) {
            (Some(answer), _) => answer.error.clone().map_or(Ok(answer.addresses.clone()), Err),
            // In any order, and one twice.
            (None, Some(facts)) => match &facts.unresolved {
                Some(error) => Err(error.clone()),
                None => Ok(facts.addresses.iter().rev().chain(facts.addresses.first()).copied().collect()),
            },
            (None, None) => Err(format!("{name} is not known")),
        };
        ready(answer).boxed()
    }

    fn name_servers<'a>(&'a self, zone: &'a str) -> BoxFuture<'a, Result<Vec<String>, String>> {
        let facts =
            self.there.zones.iter().find(|facts| facts.zone.as_ref().is_some_and(|there| there.name == zone));
        let answer = match facts.and_then(|facts| facts.delegation.clone()) {
            Some(Delegation::Servers(servers)) => Ok(servers),
            Some(Delegation::Unknown(error)) => Err(error),
            None => panic!("nobody asks who answers for {zone}"),
        };
        ready(answer).boxed()
    }

    fn ask<'a>(&'a self, probe: &'a Probe, at: SocketAddr) -> BoxFuture<'a, Answer> {
        let all = self.sides().into_iter().flat_map(|facts| &facts.probes);
        let known = all.into_iter().find(|asked| asked.at == at && asked.answer.probe == probe.name);
        let answer = known.map_or(
            Answer {
                probe: probe.name.clone(),
                side: None,
                led: None,
                took: Duration::ZERO,
                error: Some("refused".into()),
            },
            // Whose it is, the caller says.
            |asked| Answer { side: None, ..asked.answer.clone() },
        );
        ready(answer).boxed()
    }
}

#[tokio::test]
async fn everything_is_found_that_is_there_and_asked_for_once() {
    let world = World::new(surveyed());
    assert_eq!(world.survey(&migration()).await, Ok(surveyed()));
    assert_eq!(world.calls("zone"), ["zone Z1"]);
    assert_eq!(world.calls("records"), ["records Z1 shop.example.org"]);
    assert_eq!(world.calls("targets"), ["targets tg-shop-old", "targets tg-shop-new"]);
    assert_eq!(world.calls("machines"), ["machines i-01 i-02", "machines i-11 i-12"]);
    assert_eq!(world.calls("rules"), ["rules sg-shop-old-nodes", "rules sg-shop-new-nodes"]);
    assert_eq!(world.calls("peered"), Vec::<String>::new(), "both are in one network");
}

/// A survey is made in a task of its own.
#[test]
fn a_survey_can_be_sent_to_another_thread() {
    fn is_send(_: impl Send) {}
    let (world, migration) = (World::new(surveyed()), migration());
    is_send(world.survey(&migration));
}

#[tokio::test]
async fn a_zone_that_is_not_ours_has_no_records_to_look_at() {
    let mut there = surveyed();
    there.zones[0] = ZoneFacts { id: "Z1".into(), zone: None, delegation: None };
    let world = World::new(there);
    let seen = world.survey(&migration()).await.unwrap();
    assert!(seen.names.is_empty() && seen.unpaired.is_empty());
    assert_eq!(seen.zones[0].delegation, None);
    assert_eq!(world.calls("records"), Vec::<String>::new());
}

#[tokio::test]
async fn nobody_is_asked_who_answers_for_a_private_zone() {
    let mut there = surveyed();
    there.zones[0].zone.as_mut().unwrap().is_private = true;
    there.zones[0].delegation = None;
    assert_eq!(World::new(there.clone()).survey(&migration()).await, Ok(there));
}

#[tokio::test]
async fn records_of_every_type_are_paired_with_what_both_sides_have() {
    let mut wanted = migration();
    wanted.take_over = None;
    wanted.green.balancer = Balancer::Addresses(vec!["192.0.2.20".parse().unwrap()]);
    let mut world = World::new(surveyed());
    let aaaa = RecordSet { record_type: RecordType::Aaaa, ..world.records[0].clone() };
    world.records.push(aaaa.clone());
    let seen = world.survey(&wanted).await.unwrap();
    let [facts] = seen.names.as_slice() else { panic!("{:#?}", seen.names) };
    assert_eq!(facts.record_type, RecordType::A);
    assert_eq!(facts.sides.green, Target::Values { ttl: 60, values: vec!["192.0.2.20".into()] });
    let [unpaired] = seen.unpaired.as_slice() else { panic!("{:#?}", seen.unpaired) };
    assert_eq!((unpaired.record_type, &unpaired.records), (RecordType::Aaaa, &vec![aaaa]));
    assert_eq!(unpaired.sides, [Side::Green]);
    assert_eq!(seen.green.addresses, ["192.0.2.20".parse::<IpAddr>().unwrap()]);
    assert!(seen.green.balancer.is_none() && seen.green.groups.is_empty() && seen.green.rules.is_empty());
    assert_eq!(seen.green.probes.len(), 1);
    assert_eq!(world.calls("find"), ["find shop-old"], "addresses are no balancer of AWS");
}

fn there(record_type: RecordType, target: Target) -> RecordSet {
    RecordSet {
        name: "shop.example.org.".into(),
        record_type,
        routing: Routing::Simple,
        target,
        health_check: None,
    }
}

/// A CNAME cannot become an alias step by step: both sides are led to by what the name has.
#[tokio::test]
async fn a_name_with_a_cname_keeps_it_and_its_ttl() {
    let mut world = World::new(surveyed());
    let old = "shop-old-1.elb.eu-central-1.amazonaws.com";
    world.records = vec![there(RecordType::Cname, Target::Values { ttl: 300, values: vec![old.into()] })];
    let seen = world.survey(&migration()).await.unwrap();
    let facts = &seen.names[0];
    assert_eq!(facts.record_type, RecordType::Cname);
    assert_eq!(
        facts.sides.green,
        Target::Values { ttl: 300, values: vec!["shop-new-1.elb.eu-central-1.amazonaws.com.".into()] }
    );
    assert!(facts.point().is_ok());
}

#[tokio::test]
async fn greens_alias_heeds_the_health_of_targets_as_blues_does() {
    for heeds in [true, false] {
        let mut world = World::new(surveyed());
        let Target::Alias { dns_name, hosted_zone, .. } = world.records[0].target.clone() else { panic!() };
        let dns_name = format!("dualstack.{dns_name}");
        let target = Target::Alias { dns_name, hosted_zone, evaluate_target_health: heeds };
        world.records = vec![there(RecordType::A, target)];
        let seen = world.survey(&migration()).await.unwrap();
        let green = &seen.names[0].sides.green;
        assert!(
            matches!(green, Target::Alias { evaluate_target_health, .. } if *evaluate_target_health == heeds),
            "{green:?}"
        );
    }
}

#[tokio::test]
async fn other_names_and_aliases_lead_where_they_say() {
    let mut wanted = migration();
    wanted.take_over = None;
    wanted.blue.balancer = Balancer::DnsName("LB.example.net".into());
    wanted.green.balancer =
        Balancer::Alias { dns_name: "far.elb.eu-west-1.amazonaws.com".into(), hosted_zone: "Z2".into() };
    let seen = World::new(surveyed()).survey(&wanted).await.unwrap();
    let value = Target::Values { ttl: 60, values: vec!["lb.example.net.".into()] };
    assert_eq!(seen.blue.targets, [(RecordType::Cname, value)].into());
    assert_eq!(seen.green.targets.len(), 3);
    assert_eq!(
        seen.green.targets[&RecordType::A],
        Target::Alias {
            dns_name: "far.elb.eu-west-1.amazonaws.com.".into(),
            hosted_zone: "Z2".into(),
            evaluate_target_health: false
        }
    );
    assert_eq!(seen.green.unresolved.as_deref(), Some("far.elb.eu-west-1.amazonaws.com is not known"));
    assert!(seen.green.probes.is_empty());
    assert_eq!(seen.unpaired[0].sides, [Side::Blue], "the name has an A record");
}

/// Peering is asked for where it matters: between blue's groups and where green's machines are.
#[tokio::test]
async fn networks_are_asked_for_their_peering_when_blue_is_to_send_to_green() {
    let mut there = surveyed();
    for machine in &mut there.green.machines {
        machine.vpc = "vpc-2".into();
    }
    there.peered.insert(("vpc-1".into(), "vpc-2".into()));
    let world = World::new(there.clone());
    let mut wanted = migration();
    wanted.take_over = Some(TakeOver { quiet: 600, deadline: 3600 });
    assert_eq!(world.survey(&wanted).await, Ok(there.clone()));
    assert_eq!(world.calls("peered"), ["peered vpc-1 vpc-2"]);
    let world = World::new(there);
    wanted.take_over = None;
    assert!(world.survey(&wanted).await.unwrap().peered.is_empty());
    assert_eq!(world.calls("peered"), Vec::<String>::new());
}

#[tokio::test]
async fn an_account_that_cannot_be_asked_is_an_error_that_says_what_for() {
    for (word, want) in [
        ("zone", "cannot look at zone Z1"),
        ("records", "cannot look at records of shop.example.org in zone Z1"),
        ("find shop-new", "cannot look at green's balancer"),
        ("targets tg-shop-old", "cannot look at targets of blue's group tg-shop-old"),
        ("machines i-11", "cannot look at machines behind green's balancer"),
        ("rules", "cannot look at security groups of blue's machines"),
        ("peered", "cannot look at the peering of vpc-1 and vpc-2"),
    ] {
        let mut there = surveyed();
        there.green.machines[0].vpc = "vpc-2".into();
        let mut world = World::new(there);
        world.fails = Some((word, CallError::Denied("not authorized to perform it".into())));
        let error = world.survey(&migration()).await.unwrap_err();
        assert_eq!(error.to_string(), want);
        assert_eq!(std::error::Error::source(&error).unwrap().to_string(), "not authorized to perform it");
        assert!(error.hint().contains("give the credentials"), "{}", error.hint());
    }
}
