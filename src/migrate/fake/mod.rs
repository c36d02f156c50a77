//! For tests: a service that moves, with its name, its balancers, its clients and its time, all in memory. Clients ask
//! the name as real ones do: some keep an answer for its TTL, some for many minutes. Calls are throttled, answers are
//! lost, lists are old, and the caller dies.
mod ports;
mod world;

use std::sync::{Mutex, MutexGuard, PoisonError};

use rand::RngExt as _;

use super::plan::{Behind, NameFacts, Replacement};
use super::ports::{BalancerFacts, BalancerKind, BalancerTarget, CallError, TargetGroup, TargetKind};
use super::record::Side;
use world::{Condition, World};

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

/// The world, and how its ports are called.
pub(super) struct Fake(Mutex<World>);

pub(super) const NAME: &str = "shop.example.org";
pub(super) const ZONE: &str = "Z1";
const NETWORK: &str = "vpc-1";

pub(super) fn machine(side: Side, number: u8) -> BalancerTarget {
    BalancerTarget { id: format!("i-{side}-{number}"), port: 30080, is_outside: false }
}

pub(super) fn machines(side: Side) -> Vec<BalancerTarget> {
    vec![machine(side, 1), machine(side, 2)]
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
        vpc: NETWORK.into(),
        subnets: Vec::new(),
        groups: Vec::new(),
        target_groups: vec![TargetGroup {
            arn: group(side),
            port: 80,
            target_port: 30080,
            kind: TargetKind::Instance,
            vpc: NETWORK.into(),
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
        Fake(Mutex::new(World::new(names, seed)))
    }

    pub fn become_awkward(&self, awkward: Awkward) {
        let mut world = self.world();
        (world.awkward, world.calls) = (awkward, 0);
    }

    /// A caller that died may have held it.
    pub fn world(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A side gets another machine, and its balancer finds it healthy.
    pub fn gets_machine(&self, side: Side, number: u8) {
        let mut world = self.world();
        let from = Condition::HealthyFrom(world.second);
        world.targets.entry(side).or_default().push((machine(side, number), from));
    }

    /// What is behind a side's balancer, but for what goes.
    pub fn targets(&self, side: Side) -> Vec<BalancerTarget> {
        let stays = |(target, condition): &(BalancerTarget, Condition)| {
            matches!(condition, Condition::HealthyFrom(_)).then(|| target.clone())
        };
        self.world().targets[&side].iter().filter_map(stays).collect()
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
