//! For tests: a cloud in memory that is as awkward as a real one. What was just made is not seen for a while, answers
//! are lost, calls are throttled, things take time to become ready and to go, and nothing goes that is in use.

mod foreign;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::name::{PhysicalId, Ref, ResourceName};
use super::plan::plan_infra;
use super::ports::{Call, CloudApi, CloudError, Found, Ids, Neighbour, Observed, State, Trouble};
use super::resource::{Desired, DesiredState, Resource};
use super::run::{InfraRun, Pace};
use crate::exec::Clock;
use foreign::Foreign;

/// How awkward it is, in percent of calls.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Awkward {
    pub throttled: u32,
    pub lost_before: u32,
    pub lost_after: u32,
    /// Calls for which what was just made is not seen.
    pub unseen: u32,
    /// What is made goes at once, as an instance does whose disk's key may not be used.
    pub stillborn: bool,
    /// How long each change takes.
    pub slow: Duration,
    /// The call, counted from the first, at which its caller dies.
    pub dies_at: Option<usize>,
}

struct Thing {
    name: ResourceName,
    resource: Resource,
    tags: super::resource::Tags,
    token: String,
    /// Looks until it is ready, looks until it is gone once it goes.
    ready_in: u32,
    gone_in: Option<u32>,
    unseen: u32,
}

#[derive(Default)]
pub(super) struct World {
    things: BTreeMap<PhysicalId, Thing>,
    foreign: BTreeMap<PhysicalId, Foreign>,
    /// What a controller makes when the first machine goes, in the last moments it has.
    pub late: Vec<Neighbour>,
    next: u32,
    pub calls: usize,
    pub mutations: usize,
}

/// The cloud, and its time.
pub(super) struct FakeCloud {
    world: Mutex<World>,
    awkward: Mutex<(Awkward, StdRng)>,
    time: Mutex<Duration>,
}

/// The caller died: a test catches it.
#[derive(Debug)]
pub(super) struct Died;

fn error(trouble: Trouble, message: &str) -> CloudError {
    CloudError { trouble, call: "fake:Call", code: format!("{trouble:?}"), message: message.to_owned() }
}

impl FakeCloud {
    pub fn new() -> Self {
        let awkward = Mutex::new((Awkward::default(), StdRng::seed_from_u64(0)));
        FakeCloud { world: Mutex::default(), awkward, time: Mutex::default() }
    }

    pub fn become_awkward(&self, awkward: Awkward, seed: u64) {
        *self.dice() = (awkward, StdRng::seed_from_u64(seed));
        self.world().calls = 0;
    }

    pub fn awkwardness(&self) -> Awkward {
        self.dice().0
    }

    /// A caller that died may have held it.
    fn dice(&self) -> std::sync::MutexGuard<'_, (Awkward, StdRng)> {
        self.awkward.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    pub fn world(&self) -> std::sync::MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Names of all that is there, one for each thing.
    pub fn census(&self) -> Vec<String> {
        let world = self.world();
        let there = world.things.values().filter(|thing| thing.gone_in.is_none());
        let mut names: Vec<String> = there.map(|thing| thing.name.to_string()).collect();
        names.sort();
        names
    }

    /// Somebody else changes something.
    pub fn meddle(&self, name: &ResourceName, change: impl FnOnce(&mut Resource)) {
        let mut world = self.world();
        let thing = world.things.values_mut().find(|thing| thing.name == *name && thing.gone_in.is_none());
        change(&mut thing.unwrap().resource);
    }

    fn faults(&self, mutates: bool) -> (Option<CloudError>, bool) {
        let mut world = self.world();
        world.calls += 1;
        world.mutations += usize::from(mutates);
        let call = world.calls;
        drop(world);
        if mutates {
            *self.time.lock().unwrap() += self.awkwardness().slow;
        }
        let mut awkward = self.dice();
        let (Awkward { throttled, lost_before, lost_after, dies_at, .. }, rng) = (awkward.0, &mut awkward.1);
        let mut happens = |percent: u32| rng.random_range(0..100) < percent;
        let (throttled, before, after) = (happens(throttled), happens(lost_before), happens(lost_after));
        if dies_at == Some(call) && !after {
            std::panic::panic_any(Died);
        }
        let first = match (throttled, before) {
            (true, _) => Some(error(Trouble::Throttled, "slow down")),
            (false, true) => Some(error(Trouble::Unknown, "connection reset")),
            (false, false) => None,
        };
        (first, after || dies_at == Some(call))
    }

    fn call<T>(
        &self,
        mutates: bool,
        work: impl FnOnce(&mut World) -> Result<T, CloudError>,
    ) -> Result<T, CloudError> {
        let (before, lost) = self.faults(mutates);
        if let Some(error) = before {
            return Err(error);
        }
        let dies = self.awkwardness().dies_at == Some(self.world().calls);
        let result = work(&mut self.world());
        if dies {
            std::panic::panic_any(Died);
        }
        if lost { Err(error(Trouble::Unknown, "the answer was lost")) } else { result }
    }

    fn delay(&self, most: u32) -> u32 {
        let mut awkward = self.dice();
        awkward.1.random_range(0..=most)
    }
}

impl World {
    fn look(&mut self) {
        self.look_at_foreign();
        let mut gone = Vec::new();
        for (id, thing) in &mut self.things {
            thing.unseen = thing.unseen.saturating_sub(1);
            thing.ready_in = thing.ready_in.saturating_sub(1);
            match &mut thing.gone_in {
                Some(0) => gone.push(id.clone()),
                Some(looks) => *looks -= 1,
                None => {}
            }
        }
        for id in &gone {
            self.things.remove(id);
            self.detach_from(id);
        }
    }

    fn found(&self, id: &PhysicalId) -> Option<Found> {
        let thing = self.things.get(id).filter(|thing| thing.unseen == 0)?;
        let state = match (thing.gone_in, thing.ready_in) {
            (Some(_), _) => State::Leaving("going".to_owned()),
            (None, 0) => State::Ready,
            (None, _) => State::Pending("coming".to_owned()),
        };
        // The fake keeps references by physical id, and shows them by name.
        let mut refers = BTreeSet::new();
        let resource = thing.resource.clone().map_refs(&mut |reference| {
            let Ref::Theirs(id) = &reference else { return reference };
            refers.insert(id.clone());
            self.things.get(id).map_or(reference.clone(), |other| Ref::Ours(other.name.clone()))
        });
        Some(Found { id: id.clone(), resource, tags: thing.tags.clone(), state, refers })
    }

    fn users_of(&self, id: &PhysicalId) -> Vec<String> {
        let is_instance =
            self.things.get(id).is_some_and(|thing| matches!(thing.resource, Resource::Instance(_)));
        let uses = |thing: &&Thing| {
            thing.gone_in.is_none_or(|looks| looks > 0)
                // A machine that goes lets go of its volumes.
                && !(is_instance && matches!(thing.resource, Resource::Attachment(_)))
                && thing.resource.needs().iter().any(|need| **need == Ref::Theirs(id.clone()))
        };
        let foreign = self.foreign_users_of(id);
        self.things.values().filter(uses).map(|thing| thing.name.to_string()).chain(foreign).collect()
    }

    /// By physical ids; what is not there is an error.
    fn resolved(&self, resource: &Resource, ids: &Ids) -> Result<Resource, CloudError> {
        let mut missing = None;
        let resolved = resource.clone().map_refs(&mut |reference| {
            let Ref::Ours(name) = &reference else { return reference };
            match ids.get(name).filter(|id| self.found(id).is_some()) {
                Some(id) => Ref::Theirs(id.clone()),
                None => {
                    missing = Some(name.clone());
                    reference
                }
            }
        });
        match missing {
            Some(name) => Err(error(Trouble::NotFound, &format!("{name} does not exist"))),
            None => Ok(resolved),
        }
    }
}

impl CloudApi for FakeCloud {
    fn observe(&self) -> Call<'_, Observed> {
        let result = self.call(false, |world| {
            world.look();
            let mut observed = Observed::default();
            for id in world.things.keys() {
                let Some(found) = world.found(id) else { continue };
                let name = world.things[id].name.clone();
                observed.found.entry(name).or_default().push(found);
            }
            Ok(observed)
        });
        Box::pin(async { result })
    }

    fn neighbours<'a>(&'a self, _: Option<&'a PhysicalId>) -> Call<'a, Vec<Neighbour>> {
        let result = self.call(false, |world| Ok(world.neighbours()));
        Box::pin(async { result })
    }

    fn create<'a>(
        &'a self,
        name: &'a ResourceName,
        wanted: &'a Desired,
        ids: &'a Ids,
        token: &'a str,
    ) -> Call<'a, PhysicalId> {
        let gone_in = self.awkwardness().stillborn.then_some(u32::MAX);
        let most = self.awkwardness().unseen;
        let (unseen, ready_in) = (self.delay(most), self.delay(3));
        let result = self.call(true, |world| {
            let knows_tokens = matches!(wanted.resource, Resource::Instance(_) | Resource::NatGateway(_));
            let same = world.things.iter().find(|(_, thing)| thing.name == *name && thing.token == token);
            if knows_tokens && let Some((id, _)) = same {
                return Ok(id.clone());
            }
            let by_name = matches!(
                wanted.resource,
                Resource::Balancer(_) | Resource::Role(_) | Resource::SecurityGroup(_)
            );
            if by_name && world.things.values().any(|thing| thing.name == *name) {
                return Err(error(Trouble::Exists, "there is one of that name"));
            }
            let resource = world.resolved(&wanted.resource, ids)?;
            world.next += 1;
            let id = PhysicalId(format!("id-{:04}", world.next));
            let (token, tags) = (token.to_owned(), wanted.tags.clone());
            let name = name.clone();
            world.things.insert(id.clone(), Thing { name, resource, tags, token, ready_in, gone_in, unseen });
            Ok(id)
        });
        Box::pin(async { result })
    }

    fn find<'a>(&'a self, name: &'a ResourceName, _: &'a Resource, _: &'a Ids) -> Call<'a, Vec<Found>> {
        let result = self.call(false, |world| {
            world.look();
            let of_name = world.things.iter().filter(|(_, thing)| thing.name == *name);
            Ok(of_name.filter_map(|(id, _)| world.found(id)).collect())
        });
        Box::pin(async { result })
    }

    fn update<'a>(
        &'a self,
        _: &'a ResourceName,
        there: &'a Found,
        wanted: &'a Desired,
        ids: &'a Ids,
    ) -> Call<'a, ()> {
        let result = self.call(true, |world| {
            let resource = world.resolved(&wanted.resource, ids)?;
            let missing = || error(Trouble::NotFound, "it does not exist");
            let thing =
                world.things.get_mut(&there.id).filter(|thing| thing.unseen == 0).ok_or_else(missing)?;
            thing.resource = resource;
            thing.tags.clone_from(&wanted.tags);
            Ok(())
        });
        Box::pin(async { result })
    }

    fn delete<'a>(&'a self, _: &'a ResourceName, there: &'a Found, _: bool) -> Call<'a, ()> {
        let gone_in = self.delay(3);
        let result = self.call(true, |world| {
            if let Resource::Made(made) = &there.resource {
                return world.delete_made(&there.id, made, gone_in);
            }
            if !world.things.contains_key(&there.id) {
                return Ok(());
            }
            if matches!(there.resource, Resource::Instance(_)) {
                std::mem::take(&mut world.late).into_iter().for_each(|late| world.place(late));
            }
            if let [user, ..] = world.users_of(&there.id).as_slice() {
                return Err(error(Trouble::InUse, &format!("{user} uses it")));
            }
            if let Some(thing) = world.things.get_mut(&there.id) {
                thing.gone_in.get_or_insert(gone_in);
            }
            Ok(())
        });
        Box::pin(async { result })
    }

    fn state<'a>(
        &'a self,
        _: &'a ResourceName,
        id: &'a PhysicalId,
        kind: &'a Resource,
        _: &'a Ids,
    ) -> Call<'a, State> {
        let result = self.call(false, |world| {
            world.look();
            if let Resource::Made(made) = kind {
                return Ok(world.made_state(id, made));
            }
            Ok(world.found(id).map_or(State::Gone, |found| found.state))
        });
        Box::pin(async { result })
    }
}

impl Clock for FakeCloud {
    fn now(&self) -> Duration {
        *self.time.lock().unwrap()
    }

    fn wait<'a>(&'a self, duration: Duration) -> futures::future::BoxFuture<'a, ()> {
        *self.time.lock().unwrap() += duration;
        Box::pin(async {})
    }
}

/// A cloud that has all of this.
pub(super) fn cloud_with(wanted: &DesiredState) -> (FakeCloud, Observed) {
    let cloud = FakeCloud::new();
    let observed = futures::executor::block_on(async {
        let plan = plan_infra("test", wanted, &Observed::default()).unwrap();
        let run = InfraRun {
            api: &cloud,
            clock: &cloud,
            pace: Pace::default(),
            seed: 1,
            force: false,
            events: &|_| {},
        };
        let outcome = run.carry_out(&plan, &Observed::default()).await;
        assert!(outcome.is_complete(), "{outcome:#?}");
        cloud.observe().await.unwrap()
    });
    (cloud, observed)
}
