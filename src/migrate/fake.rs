//! For tests: a service that moves, with its name, its balancers, its clients and its time, all in memory. Clients ask
//! the name as real ones do: some keep an answer for its TTL, some for many minutes. Calls are throttled, answers are
//! lost, lists are old, and the caller dies.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::future::BoxFuture;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::gates::Answer;
use super::guard::WayBack;
use super::plan::{Behind, NameFacts, Replacement};
use super::ports::{
    BalancerFacts, BalancerKind, BalancerTarget, Balancers, Call, CallError, ChangeId, Dns, Health, Machine,
    Prober, Rule, TargetGroup, TargetKind, Zone,
};
use super::record::{Batch, RecordSet, Routing, Side, Target};
use super::run::{Control, Guard, Memory, Wish};
use crate::exec::{Clock, LocalCommand, LocalCommands, LocalEnd, PortError};
use crate::inventory::{Balancer, MetricGate, Probe};

/// The caller died: a test catches it.
#[derive(Debug)]
pub(super) struct Died;

/// How awkward it is, in percent of calls.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Awkward {
    pub throttled: u32,
    pub lost_before: u32,
    pub lost_after: u32,
    /// Lists that are older than the zone.
    pub old: u32,
    /// The call, counted from the first, at which its caller dies.
    pub dies_at: Option<usize>,
}

/// Somebody who uses the service.
#[derive(Debug, Clone)]
struct Client {
    /// For how long it goes on with an answer, at least the TTL.
    keeps: u64,
    answer: Option<(Side, u64)>,
}

/// What became of the clients' requests.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Served {
    pub asked: u64,
    pub failed: u64,
    pub green: u64,
}

pub(super) struct World {
    pub records: Vec<RecordSet>,
    /// What name servers answer with.
    known: Vec<RecordSet>,
    /// Changes on their way, and when they are everywhere.
    pending: VecDeque<(u64, Vec<RecordSet>)>,
    changes: BTreeMap<String, u64>,
    before: Vec<RecordSet>,
    /// Of blue's balancer and green's, with when they become healthy, or go.
    targets: BTreeMap<Side, Vec<(BalancerTarget, Condition)>>,
    clients: Vec<Client>,
    pub served: Served,
    /// When connections to blue's balancer began, by second.
    flows: VecDeque<u64>,
    /// From when a cluster does not work.
    pub broken_from: BTreeMap<Side, u64>,
    pub latency: BTreeMap<Side, u64>,
    /// From when the operator wishes what.
    pub wishes: Vec<(u64, Wish)>,
    pub armed: Option<WayBack>,
    memory: Vec<Replacement>,
    second: u64,
    calls: usize,
    awkward: Awkward,
    rng: StdRng,
    /// Commands of the operator's do not end.
    pub commands_hang: bool,
    /// What should never be.
    pub broken: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Condition {
    HealthyFrom(u64),
    GoneFrom(u64),
}

/// The world, and how its ports are called.
pub(super) struct Fake(Mutex<World>);

pub(super) const NAME: &str = "shop.example.org";
pub(super) const ZONE: &str = "Z1";
/// Seconds.
const TTL: u64 = 60;
const CLIENTS: usize = 40;

fn machine(side: Side, number: u8) -> BalancerTarget {
    BalancerTarget { id: format!("i-{side}-{number}"), port: 30080, is_outside: false }
}

pub(super) fn machines(side: Side) -> Vec<BalancerTarget> {
    vec![machine(side, 1), machine(side, 2)]
}

fn address(side: Side) -> IpAddr {
    IpAddr::from([192, 0, 2, if side == Side::Blue { 1 } else { 2 }])
}

fn group(side: Side) -> String {
    format!("group-{side}")
}

pub(super) fn behind() -> Behind {
    let balancer = |side: Side| BalancerFacts {
        arn: format!("balancer-{side}"),
        dns_name: format!("{side}.elb"),
        hosted_zone: "ZELB".into(),
        kind: BalancerKind::Network,
        is_internal: false,
        is_active: true,
        vpc: "vpc-1".into(),
        subnets: Vec::new(),
        groups: Vec::new(),
        target_groups: vec![TargetGroup {
            arn: group(side),
            port: 80,
            target_port: 30080,
            kind: TargetKind::Instance,
            vpc: "vpc-1".into(),
            preserves_client_address: true,
            deregistration_delay: 300,
        }],
    };
    Behind {
        blue: Some(balancer(Side::Blue)),
        green: Some(balancer(Side::Green)),
        replacements: vec![Replacement {
            group: group(Side::Blue),
            own: machines(Side::Blue),
            green: machines(Side::Green),
        }],
        is_torn_down: false,
    }
}

impl Fake {
    /// With the records of a service, and clients of which every fourth goes on with an answer for minutes.
    pub fn new(names: &NameFacts, seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut client = |number: usize| {
            let keeps = if number.is_multiple_of(4) { rng.random_range(120..900) } else { TTL };
            Client { keeps, answer: None }
        };
        let healthy = |side| machines(side).into_iter().map(|it| (it, Condition::HealthyFrom(0))).collect();
        Fake(Mutex::new(World {
            records: names.records.clone(),
            known: names.records.clone(),
            pending: VecDeque::new(),
            changes: BTreeMap::new(),
            before: names.records.clone(),
            targets: Side::BOTH.into_iter().map(|side| (side, healthy(side))).collect(),
            clients: (0..CLIENTS).map(&mut client).collect(),
            served: Served::default(),
            flows: VecDeque::new(),
            broken_from: BTreeMap::new(),
            latency: BTreeMap::new(),
            wishes: Vec::new(),
            armed: None,
            memory: Vec::new(),
            second: 0,
            calls: 0,
            awkward: Awkward::default(),
            rng: StdRng::seed_from_u64(seed ^ 0x5EED),
            commands_hang: false,
            broken: Vec::new(),
        }))
    }

    pub fn become_awkward(&self, awkward: Awkward) {
        let mut world = self.world();
        (world.awkward, world.calls) = (awkward, 0);
    }

    /// A caller that died may have held it.
    pub fn world(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn calls(&self) -> usize {
        self.world().calls
    }

    /// Time goes by without the operator.
    pub fn pass(&self, seconds: u64) {
        let mut world = self.world();
        for _ in 0..seconds {
            world.tick();
        }
    }

    /// Where the name is now.
    pub fn look(&self, names: &NameFacts) -> NameFacts {
        NameFacts { records: self.world().records.clone(), ..names.clone() }
    }

    fn call<T>(&self, work: impl FnOnce(&mut World) -> Result<T, CallError>) -> Result<T, CallError> {
        let mut world = self.world();
        world.calls += 1;
        let Awkward { throttled, lost_before, lost_after, dies_at, .. } = world.awkward;
        let dies = dies_at == Some(world.calls);
        let happens = |world: &mut World, percent: u32| world.rng.random_range(0..100) < percent;
        // Half of those who die have been heard.
        if dies && world.calls.is_multiple_of(2) {
            drop(world);
            std::panic::panic_any(Died);
        }
        if happens(&mut world, throttled) {
            return Err(CallError::Later("slow down".into()));
        }
        if happens(&mut world, lost_before) {
            return Err(CallError::Unknown("connection reset".into()));
        }
        let result = work(&mut world);
        let lost = happens(&mut world, lost_after);
        drop(world);
        if dies {
            std::panic::panic_any(Died);
        }
        if lost && result.is_ok() {
            return Err(CallError::Unknown("connection reset".into()));
        }
        result
    }
}

impl World {
    fn weight(record: &RecordSet) -> u64 {
        match &record.routing {
            Routing::Simple => 1,
            Routing::Weighted { weight, .. } => u64::from(*weight),
            Routing::Other(policy) => panic!("{policy}"),
        }
    }

    fn side_of(record: &RecordSet) -> Side {
        let Target::Alias { dns_name, .. } = &record.target else { panic!("{record}") };
        if dns_name.starts_with("old") { Side::Blue } else { Side::Green }
    }

    /// As Route 53 answers.
    fn answer(&mut self) -> Option<Side> {
        let all: u64 = self.known.iter().map(Self::weight).sum();
        if all == 0 {
            return None;
        }
        let mut at = self.rng.random_range(0..all);
        for record in &self.known {
            let weight = Self::weight(record);
            if at < weight {
                return Some(Self::side_of(record));
            }
            at -= weight;
        }
        None
    }

    fn works(&self, cluster: Side) -> bool {
        self.broken_from.get(&cluster).is_none_or(|from| self.second < *from)
    }

    /// What a connection to a side's balancer comes to: the cluster that answers.
    fn connect(&mut self, balancer: Side) -> Result<Side, String> {
        if balancer == Side::Blue {
            self.flows.push_back(self.second);
        }
        let now = self.second;
        let healthy: Vec<&BalancerTarget> = self
            .targets
            .get(&balancer)
            .into_iter()
            .flatten()
            .filter(|(_, condition)| matches!(condition, Condition::HealthyFrom(from) if *from <= now))
            .map(|(target, _)| target)
            .collect();
        if healthy.is_empty() {
            return Err("connection refused".into());
        }
        let at = self.rng.random_range(0..healthy.len());
        let cluster = if healthy[at].id.contains("blue") { Side::Blue } else { Side::Green };
        if self.works(cluster) { Ok(cluster) } else { Err("status 503".into()) }
    }

    fn tick(&mut self) {
        self.second += 1;
        let now = self.second;
        while self.pending.front().is_some_and(|(at, _)| *at <= now) {
            self.known = self.pending.pop_front().unwrap().1;
        }
        for targets in self.targets.values_mut() {
            targets.retain(|(_, condition)| !matches!(condition, Condition::GoneFrom(at) if *at <= now));
        }
        while self.flows.front().is_some_and(|at| now.saturating_sub(*at) > 3600) {
            self.flows.pop_front();
        }
        for number in 0..self.clients.len() {
            let client = self.clients[number].clone();
            let answer = match client.answer.filter(|(_, until)| *until > now) {
                Some((side, _)) => Some(side),
                None => {
                    let side = self.answer();
                    self.clients[number].answer = side.map(|side| (side, now + client.keeps));
                    side
                }
            };
            self.served.asked += 1;
            match answer.map(|side| self.connect(side)) {
                Some(Ok(Side::Green)) => self.served.green += 1,
                Some(Ok(Side::Blue)) => {}
                Some(Err(_)) | None => self.served.failed += 1,
            }
        }
    }

    fn change(&mut self, batch: &Batch) -> Result<ChangeId, CallError> {
        let mut left = self.records.clone();
        for gone in &batch.delete {
            let Some(at) = left.iter().position(|record| record == gone) else {
                return Err(CallError::Conflict(format!("{gone} was not found")));
            };
            left.remove(at);
        }
        left.extend(batch.create.iter().cloned());
        if left.is_empty() || left.iter().map(Self::weight).sum::<u64>() == 0 {
            self.broken.push(format!("{NAME} has no answer at {} s: {batch:?}", self.second));
        }
        self.before = std::mem::replace(&mut self.records, left);
        let id = format!("C{}", self.changes.len() + 1);
        let at = self.second + self.rng.random_range(1..60);
        // Changes arrive in their order.
        let at = self.pending.back().map_or(at, |(last, _)| at.max(*last));
        self.pending.push_back((at, self.records.clone()));
        self.changes.insert(id.clone(), at);
        Ok(ChangeId(id))
    }
}

impl Dns for Fake {
    fn zone<'a>(&'a self, _: &'a str) -> Call<'a, Option<Zone>> {
        Box::pin(async { Ok(None) })
    }

    fn records<'a>(&'a self, _: &'a str, _: &'a str) -> Call<'a, Vec<RecordSet>> {
        Box::pin(async {
            self.call(|world| {
                let old = world.awkward.old;
                let is_old = world.rng.random_range(0..100) < old;
                Ok(if is_old { world.before.clone() } else { world.records.clone() })
            })
        })
    }

    fn change<'a>(&'a self, _: &'a str, batch: &'a Batch) -> Call<'a, ChangeId> {
        Box::pin(async { self.call(|world| world.change(batch)) })
    }

    fn is_everywhere<'a>(&'a self, change: &'a ChangeId) -> Call<'a, bool> {
        Box::pin(async { self.call(|world| Ok(world.changes[&change.0] <= world.second)) })
    }
}

impl Balancers for Fake {
    fn find<'a>(&'a self, _: &'a Balancer) -> Call<'a, Option<BalancerFacts>> {
        Box::pin(async { Ok(None) })
    }

    fn targets<'a>(&'a self, of: &'a str) -> Call<'a, Vec<(BalancerTarget, Health)>> {
        Box::pin(async move {
            self.call(|world| {
                let side = Side::BOTH.into_iter().find(|side| group(*side) == of).unwrap();
                let health = |condition: Condition| match condition {
                    Condition::HealthyFrom(from) if from <= world.second => Health::Healthy,
                    Condition::HealthyFrom(_) => Health::Initial,
                    Condition::GoneFrom(_) => Health::Draining,
                };
                Ok(world.targets[&side].iter().map(|(it, state)| (it.clone(), health(*state))).collect())
            })
        })
    }

    fn register<'a>(&'a self, of: &'a str, targets: &'a [BalancerTarget]) -> Call<'a, ()> {
        Box::pin(async move {
            self.call(|world| {
                let side = Side::BOTH.into_iter().find(|side| group(*side) == of).unwrap();
                let healthy = world.second + world.rng.random_range(10..90);
                let there = world.targets.get_mut(&side).unwrap();
                for target in targets {
                    let stays = |(other, state): &(BalancerTarget, Condition)| {
                        other == target && matches!(state, Condition::HealthyFrom(_))
                    };
                    if !there.iter().any(stays) {
                        there.retain(|(other, _)| other != target);
                        there.push((target.clone(), Condition::HealthyFrom(healthy)));
                    }
                }
                Ok(())
            })
        })
    }

    fn deregister<'a>(&'a self, of: &'a str, targets: &'a [BalancerTarget]) -> Call<'a, ()> {
        Box::pin(async move {
            self.call(|world| {
                let side = Side::BOTH.into_iter().find(|side| group(*side) == of).unwrap();
                let gone = world.second + 300;
                for (target, state) in world.targets.get_mut(&side).unwrap() {
                    if targets.contains(target) && matches!(state, Condition::HealthyFrom(_)) {
                        *state = Condition::GoneFrom(gone);
                    }
                }
                Ok(())
            })
        })
    }

    fn new_flows<'a>(&'a self, _: &'a BalancerFacts, seconds: u32) -> Call<'a, Option<u64>> {
        Box::pin(async move {
            self.call(|world| {
                let since = world.second.saturating_sub(seconds.into());
                Ok(Some(world.flows.iter().filter(|at| **at > since).count() as u64))
            })
        })
    }

    fn metric<'a>(&'a self, _: &'a MetricGate) -> Call<'a, Option<f64>> {
        Box::pin(async { Ok(None) })
    }

    fn machines<'a>(&'a self, _: &'a [String]) -> Call<'a, Vec<Machine>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn rules<'a>(&'a self, _: &'a [String]) -> Call<'a, Vec<Rule>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn are_peered<'a>(&'a self, _: &'a str, _: &'a str) -> Call<'a, bool> {
        Box::pin(async { Ok(false) })
    }
}

impl Prober for Fake {
    fn resolve<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Vec<IpAddr>, String>> {
        let side = match name {
            NAME => self.world().answer(),
            other if other.starts_with("old") => Some(Side::Blue),
            _ => Some(Side::Green),
        };
        let found = side.map(|side| vec![address(side)]).ok_or_else(|| "no answer".to_owned());
        Box::pin(async { found })
    }

    fn name_servers<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<Vec<String>, String>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn ask<'a>(&'a self, probe: &'a Probe, at: SocketAddr) -> BoxFuture<'a, Answer> {
        let side = Side::BOTH.into_iter().find(|side| address(*side) == at.ip()).unwrap();
        let mut world = self.world();
        let reached = world.connect(side);
        let cluster = *reached.as_ref().unwrap_or(&side);
        let took = Duration::from_millis(world.latency.get(&cluster).copied().unwrap_or(20));
        let answer = Answer { probe: probe.name.clone(), side: None, led: None, took, error: reached.err() };
        Box::pin(async { answer })
    }
}

impl LocalCommands for Fake {
    fn run<'a>(&'a self, _: &'a LocalCommand) -> BoxFuture<'a, Result<LocalEnd, PortError>> {
        let hangs = self.world().commands_hang;
        Box::pin(async move {
            if hangs {
                std::future::pending::<()>().await;
            }
            Ok(LocalEnd::default())
        })
    }
}

impl Clock for Fake {
    fn now(&self) -> Duration {
        Duration::from_secs(self.world().second)
    }

    fn wait<'a>(&'a self, duration: Duration) -> BoxFuture<'a, ()> {
        // Time has seconds here; a part of one is a whole one.
        self.pass(duration.as_secs_f64().ceil() as u64);
        Box::pin(async {})
    }
}

impl Control for Fake {
    fn wish(&self) -> Wish {
        let world = self.world();
        let wishes = world.wishes.iter().filter(|(from, _)| *from <= world.second);
        wishes.map(|(_, wish)| *wish).next_back().unwrap_or_default()
    }
}

impl Guard for Fake {
    fn arm(&self, back: Option<&WayBack>) -> Result<(), PortError> {
        self.world().armed = back.cloned();
        Ok(())
    }
}

impl Memory for Fake {
    fn remember(&self, replacements: &[Replacement]) -> Result<(), PortError> {
        self.world().memory = replacements.to_vec();
        Ok(())
    }

    fn recall(&self) -> Result<Vec<Replacement>, PortError> {
        Ok(self.world().memory.clone())
    }
}
