//! What a run asks of the world, answered by the one in memory.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use futures::future::BoxFuture;
use rand::RngExt as _;

use super::world::Condition;
use super::{Fake, NAME, NETWORK, group};
use crate::exec::{Clock, LocalCommand, LocalCommands, LocalEnd, PortError};
use crate::inventory::{Balancer, MetricGate, Probe};
use crate::migrate::gates::Answer;
use crate::migrate::guard::WayBack;
use crate::migrate::plan::Replacement;
use crate::migrate::ports::{
    BalancerFacts, BalancerTarget, Balancers, Call, ChangeId, Dns, Health, Machine, Prober, Rule, Zone,
};
use crate::migrate::record::{Batch, RecordSet, Side};
use crate::migrate::run::{Control, Guard, Memory, Wish};

fn address(side: Side) -> IpAddr {
    IpAddr::from([192, 0, 2, if side == Side::Blue { 1 } else { 2 }])
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

    fn machines<'a>(&'a self, ids: &'a [String]) -> Call<'a, Vec<Machine>> {
        let machine = |id: &String| Machine {
            id: id.clone(),
            address: IpAddr::from([192, 0, 2, 9]),
            vpc: NETWORK.into(),
            groups: Vec::new(),
        };
        Box::pin(async move { self.call(|_| Ok(ids.iter().map(machine).collect())) })
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
