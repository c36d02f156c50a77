//! Records, balancers, clusters and clients, and what a second does to them.

use std::collections::{BTreeMap, VecDeque};

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::{Awkward, NAME, machines};
use crate::migrate::guard::WayBack;
use crate::migrate::plan::{NameFacts, Replacement};
use crate::migrate::ports::{BalancerTarget, CallError, ChangeId};
use crate::migrate::record::{Batch, RecordSet, Routing, Side, Target};
use crate::migrate::run::Wish;

/// Seconds.
const TTL: u64 = 60;
const CLIENTS: usize = 40;

/// Somebody who uses the service.
#[derive(Debug, Clone)]
pub(in crate::migrate) struct Client {
    /// For how long it goes on with an answer, at least the TTL.
    keeps: u64,
    answer: Option<(Side, u64)>,
}

/// What became of the clients' requests.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::migrate) struct Served {
    pub asked: u64,
    pub failed: u64,
    pub green: u64,
}

pub(in crate::migrate) struct World {
    pub records: Vec<RecordSet>,
    /// What name servers answer with.
    pub known: Vec<RecordSet>,
    /// Changes on their way, and when they are everywhere.
    pub pending: VecDeque<(u64, Vec<RecordSet>)>,
    pub changes: BTreeMap<String, u64>,
    pub before: Vec<RecordSet>,
    /// Of blue's balancer and green's, with when they become healthy, or go.
    pub targets: BTreeMap<Side, Vec<(BalancerTarget, Condition)>>,
    pub clients: Vec<Client>,
    pub served: Served,
    /// When connections to blue's balancer began, by second.
    pub flows: VecDeque<u64>,
    /// From when a cluster does not work.
    pub broken_from: BTreeMap<Side, u64>,
    pub latency: BTreeMap<Side, u64>,
    /// From when the operator wishes what.
    pub wishes: Vec<(u64, Wish)>,
    pub armed: Option<WayBack>,
    pub memory: Vec<Replacement>,
    pub second: u64,
    pub calls: usize,
    pub awkward: Awkward,
    pub rng: StdRng,
    /// Commands of the operator's do not end.
    pub commands_hang: bool,
    /// What should never be.
    pub broken: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::migrate) enum Condition {
    HealthyFrom(u64),
    GoneFrom(u64),
}

impl World {
    pub fn new(names: &NameFacts, seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut client = |number: usize| {
            let keeps = if number.is_multiple_of(4) { rng.random_range(120..900) } else { TTL };
            Client { keeps, answer: None }
        };
        let healthy = |side| machines(side).into_iter().map(|it| (it, Condition::HealthyFrom(0))).collect();
        World {
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
        }
    }

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
    pub fn answer(&mut self) -> Option<Side> {
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
    pub fn connect(&mut self, balancer: Side) -> Result<Side, String> {
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

    pub fn tick(&mut self) {
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

    pub fn change(&mut self, batch: &Batch) -> Result<ChangeId, CallError> {
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
