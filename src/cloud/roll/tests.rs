use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::time::Duration;

use futures::future::BoxFuture;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::*;
use crate::cloud::ports::{CloudError, Trouble};
use crate::exec::Clock;

const PAUSE: Duration = Duration::from_secs(5);

fn id(text: &str) -> PhysicalId {
    PhysicalId(text.to_owned())
}

fn limits(surge: u32, unavailable: u32) -> Limits {
    Limits { surge: CountOrShare::Count(surge), unavailable: CountOrShare::Count(unavailable), max: 10 }
}

/// `o` is outdated, `n` is not; capitals are ready; `-` leaves, `+` comes.
fn group(members: &str, desired: u32, before: Option<u32>) -> (Group, BTreeSet<PhysicalId>) {
    let mut group = Group { size: Size { desired, max: 10 }, ..Group::default() };
    group.before = before.map(|desired| Size { desired, max: 10 });
    let mut ready = BTreeSet::new();
    for (at, word) in members.split_whitespace().enumerate() {
        let id = id(&format!("{at}"));
        let phase = match word.chars().nth(1) {
            Some('-') => Phase::Leaving,
            Some('+') => Phase::Coming,
            _ => Phase::Serving,
        };
        let letter = word.chars().next().unwrap();
        if letter.is_uppercase() {
            ready.insert(id.clone());
        }
        group.members.push(Member { id, phase, outdated: letter.eq_ignore_ascii_case(&'o') });
    }
    (group, ready)
}

fn move_of(members: &str, desired: u32, before: Option<u32>, limits: &Limits) -> String {
    let (group, ready) = group(members, desired, before);
    match next(&group, &ready, limits) {
        Move::Enlarge { to, before } => format!("{} -> {}", before.desired, to.desired),
        Move::Replace(going) => {
            let word = |(id, shrink): &(PhysicalId, bool)| format!("{id}{}", if *shrink { "!" } else { "" });
            going.iter().map(word).collect::<Vec<_>>().join(" ")
        }
        Move::Wait => "wait".to_owned(),
        Move::Settle(to) => format!("settle {}", to.desired),
        Move::Done => "done".to_owned(),
    }
}

#[test]
fn each_move_follows_from_what_is_seen() {
    let (one_more, one_less, both) = (limits(1, 0), limits(0, 1), limits(2, 1));
    for (members, desired, before, limits, wanted) in [
        ("N N N", 3, None, &one_more, "done"),
        ("O O O", 3, None, &one_more, "3 -> 4"),
        ("O O O n+", 4, Some(3), &one_more, "wait"),
        ("O O O n", 4, Some(3), &one_more, "wait"),
        ("O O O N", 4, Some(3), &one_more, "0!"),
        ("O- O O N", 3, Some(3), &one_more, "3 -> 4"),
        ("O N N N", 4, Some(3), &one_more, "0!"),
        ("O- N N N", 3, Some(3), &one_more, "wait"),
        ("N N N", 3, Some(3), &one_more, "settle 3"),
        // Cut off between the two: one too many.
        ("N N N N", 4, Some(3), &one_more, "settle 3"),
        // One that does no work goes although none of the others may be missed.
        ("O O o N", 4, Some(3), &one_more, "2!"),
        ("O o o N", 4, Some(3), &one_more, "wait"),
        ("O O O", 3, None, &one_less, "0"),
        ("O- O O n+", 3, None, &one_less, "wait"),
        ("O- O O N", 3, None, &one_less, "1"),
        ("O O O O", 4, None, &both, "4 -> 6"),
        ("O O O O n+ n+", 6, Some(4), &both, "0!"),
        ("O O O O N N", 6, Some(4), &both, "0! 1! 2"),
        ("", 0, None, &one_more, "done"),
        // A new one that does not become ready keeps all others.
        ("n N N", 3, None, &one_more, "wait"),
    ] {
        assert_eq!(move_of(members, desired, before, limits), wanted, "{members} of {desired}, {before:?}");
    }
}

#[test]
fn shares_are_of_the_size_before() {
    let shares = |surge, unavailable| Limits {
        surge: CountOrShare::Percent(surge),
        unavailable: CountOrShare::Percent(unavailable),
        max: 10,
    };
    assert_eq!(move_of("O O O O", 4, None, &shares(25, 0)), "4 -> 5");
    assert_eq!(move_of("O O O O", 4, None, &shares(26, 0)), "4 -> 6");
    assert_eq!(move_of("O O O O", 4, None, &shares(0, 50)), "0 1");
    // Less than one machine: one all the same, or nothing would ever happen.
    assert_eq!(move_of("O O O O", 4, None, &shares(0, 10)), "0");
}

struct Machine {
    outdated: bool,
    boots_in: u32,
    ready_in: u32,
    leaves_in: Option<u32>,
}

struct World {
    size: Size,
    before: Option<Size>,
    machines: BTreeMap<PhysicalId, Machine>,
    next: u32,
    dice: StdRng,
    nodes: BTreeSet<PhysicalId>,
    limits: Limits,
    base: u32,
    /// Percent of calls that fail, half of them after they have been carried out.
    trouble: u32,
    time: Duration,
    seed: u64,
}

/// A scaling group in memory: machines take a while to come, to be nodes and to go.
struct Fake(Mutex<World>);

impl World {
    fn new(seed: u64) -> Self {
        let mut dice = StdRng::seed_from_u64(seed);
        let base = dice.random_range(0..9);
        let surge = dice.random_range(0..4);
        let unavailable = dice.random_range(u32::from(surge == 0)..3);
        let limits = Limits { max: base + 1, ..limits(surge, unavailable) };
        let size = Size { desired: base, max: limits.max };
        let trouble = dice.random_range(0..30);
        let mut world = World {
            size,
            before: None,
            machines: BTreeMap::new(),
            next: 0,
            dice,
            nodes: BTreeSet::new(),
            limits,
            base,
            trouble,
            time: Duration::ZERO,
            seed,
        };
        for _ in 0..base {
            world.launch(true);
        }
        for machine in world.machines.values_mut() {
            (machine.boots_in, machine.ready_in) = (0, 0);
        }
        world.nodes = world.machines.keys().cloned().collect();
        world
    }

    fn launch(&mut self, outdated: bool) {
        self.next += 1;
        let (boots_in, ready_in) = (self.dice.random_range(0..4), self.dice.random_range(0..4));
        let machine = Machine { outdated, boots_in, ready_in, leaves_in: None };
        self.machines.insert(id(&format!("i-{}", self.next)), machine);
    }

    fn live(&self) -> usize {
        self.machines.values().filter(|machine| machine.leaves_in.is_none()).count()
    }

    /// What a cloud does by itself between two looks.
    fn goes_on(&mut self) {
        for (id, machine) in &mut self.machines {
            match &mut machine.leaves_in {
                Some(left) => *left = left.saturating_sub(1),
                None if machine.boots_in > 0 => machine.boots_in -= 1,
                None if machine.ready_in > 0 => machine.ready_in -= 1,
                None => drop(self.nodes.insert(id.clone())),
            }
        }
        self.machines.retain(|_, machine| machine.leaves_in != Some(0));
        let desired = usize::try_from(self.size.desired).unwrap();
        while self.live() < desired {
            self.launch(false);
        }
        while self.live() > desired {
            let live = self.machines.values_mut().find(|machine| machine.leaves_in.is_none());
            live.unwrap().leaves_in = Some(2);
        }
        self.bounds();
    }

    fn bounds(&self) {
        let seed = self.seed;
        let most = self.base + self.limits_in_numbers().0;
        assert!(self.live() <= usize::try_from(most).unwrap(), "seed {seed}: {} machines", self.live());
        let works =
            |(id, machine): &(&PhysicalId, &Machine)| machine.leaves_in.is_none() && self.nodes.contains(*id);
        let working = self.machines.iter().filter(works).count();
        let least = self.base.saturating_sub(self.limits_in_numbers().1);
        assert!(working >= usize::try_from(least).unwrap(), "seed {seed}: {working} of {least} work");
    }

    fn limits_in_numbers(&self) -> (u32, u32) {
        match (self.limits.surge, self.limits.unavailable) {
            (CountOrShare::Count(surge), CountOrShare::Count(unavailable)) => (surge, unavailable),
            _ => unreachable!(),
        }
    }
}

impl Fake {
    fn world(&self) -> std::sync::MutexGuard<'_, World> {
        self.0.lock().unwrap()
    }

    fn call<T>(&self, act: impl FnOnce(&mut World) -> T) -> Result<T, CloudError> {
        let mut world = self.world();
        let trouble = world.trouble;
        let fails = world.dice.random_range(0..100) < trouble;
        let error = |trouble| CloudError {
            trouble,
            call: "fake:Call",
            code: "Fault".to_owned(),
            message: "as asked".to_owned(),
        };
        if fails && world.dice.random_bool(0.5) {
            return Err(error(Trouble::Throttled));
        }
        let done = act(&mut world);
        if fails { Err(error(Trouble::Unknown)) } else { Ok(done) }
    }
}

impl Groups for Fake {
    fn group<'a>(&'a self, _: &'a ResourceName) -> Call<'a, Option<Group>> {
        let mut world = self.world();
        world.goes_on();
        let members = world.machines.iter().map(|(id, machine)| Member {
            id: id.clone(),
            outdated: machine.outdated,
            phase: match (machine.leaves_in, machine.boots_in) {
                (Some(_), _) => Phase::Leaving,
                (None, 0) => Phase::Serving,
                (None, _) => Phase::Coming,
            },
        });
        let group = Group { size: world.size, before: world.before, members: members.collect() };
        Box::pin(async { Ok(Some(group)) })
    }

    fn resize<'a>(&'a self, _: &'a ResourceName, to: Size, before: Option<Size>) -> Call<'a, ()> {
        assert!(to.desired <= to.max);
        let result = self.call(|world| (world.size, world.before) = (to, before));
        Box::pin(async { result })
    }

    fn terminate<'a>(&'a self, id: &'a PhysicalId, shrink: bool) -> Call<'a, ()> {
        let result = self.call(|world| {
            let leaves_in = Some(world.dice.random_range(1..4));
            let machine = world.machines.get_mut(id).unwrap();
            assert!(machine.leaves_in.is_none() && machine.outdated, "seed {}: {id}", world.seed);
            machine.leaves_in = leaves_in;
            world.size.desired -= u32::from(shrink);
            world.bounds();
        });
        Box::pin(async { result })
    }
}

impl Nodes for Fake {
    fn ready(&self) -> BoxFuture<'_, Result<BTreeSet<PhysicalId>, NodesError>> {
        let nodes = self.world().nodes.clone();
        Box::pin(async { Ok(nodes) })
    }

    fn forget<'a>(&'a self, gone: &'a BTreeSet<PhysicalId>) -> BoxFuture<'a, Result<(), NodesError>> {
        let mut world = self.world();
        for id in gone {
            assert!(!world.machines.contains_key(id), "{id} is still there");
            world.nodes.remove(id);
        }
        Box::pin(async { Ok(()) })
    }
}

impl Clock for Fake {
    fn now(&self) -> Duration {
        self.world().time
    }

    fn wait<'a>(&'a self, duration: Duration) -> BoxFuture<'a, ()> {
        self.world().time += duration;
        Box::pin(async {})
    }
}

fn rolled(fake: &Fake) -> Result<usize, RollError> {
    let limits = fake.world().limits;
    let roll = Roll { groups: fake, nodes: Some(fake), clock: fake, pause: PAUSE, events: &|_| {} };
    futures::executor::block_on(roll.roll(&ResourceName::new("scaling-group", "workers"), &limits))
}

#[test]
fn whatever_happens_all_are_made_anew_and_never_too_many_or_too_few_work() {
    for seed in 0..2_000 {
        let fake = Fake(Mutex::new(World::new(seed)));
        rolled(&fake).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        let world = fake.world();
        assert!(world.machines.values().all(|machine| !machine.outdated), "seed {seed}");
        assert_eq!(world.before, None, "seed {seed}");
        assert_eq!(world.size, Size { desired: world.base, max: world.base + 1 }, "seed {seed}");
        let there: BTreeSet<_> = world.machines.keys().cloned().collect();
        assert_eq!(world.nodes, there, "seed {seed}: nodes of machines that have gone");
    }
}

#[test]
fn a_run_that_was_cut_off_is_taken_up_and_the_size_comes_back() {
    for seed in 0..500 {
        let fake = Fake(Mutex::new(World::new(seed)));
        for cut in 1..6 {
            let limits = fake.world().limits;
            let looks = std::sync::atomic::AtomicU32::new(0);
            let events = |_| {
                if looks.fetch_add(1, std::sync::atomic::Ordering::Relaxed) >= cut {
                    std::panic::panic_any("cut off");
                }
            };
            let roll =
                Roll { groups: &fake, nodes: Some(&fake), clock: &fake, pause: PAUSE, events: &events };
            let name = ResourceName::new("scaling-group", "workers");
            let run = std::panic::AssertUnwindSafe(|| {
                let _ = futures::executor::block_on(roll.roll(&name, &limits));
            });
            let _ = std::panic::catch_unwind(run);
            // Nobody starts it again at once.
            fake.world().time += Duration::from_secs(300);
        }
        rolled(&fake).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        let world = fake.world();
        assert!(world.machines.values().all(|machine| !machine.outdated), "seed {seed}");
        assert_eq!(world.size.desired, world.base, "seed {seed}");
    }
}

#[test]
fn machines_that_do_not_become_ready_stop_it_and_are_named() {
    let mut world = World::new(1);
    (world.base, world.trouble) = (3, 0);
    world.limits = Limits { max: 5, ..limits(1, 0) };
    world.size = Size { desired: 3, max: 5 };
    world.machines.clear();
    for _ in 0..3 {
        world.launch(true);
    }
    world.machines.values_mut().for_each(|machine| (machine.boots_in, machine.ready_in) = (0, 0));
    world.nodes = world.machines.keys().cloned().collect();
    world.launch(false);
    world.size.desired = 4;
    world.before = Some(Size { desired: 3, max: 5 });
    world.machines.values_mut().find(|machine| !machine.outdated).unwrap().ready_in = u32::MAX;
    let fake = Fake(Mutex::new(world));
    let error = rolled(&fake).unwrap_err().to_string();
    assert!(error.contains("3 still old") && error.contains("not ready: i-"), "{error}");
    assert_eq!(fake.world().machines.values().filter(|machine| machine.outdated).count(), 3);
}
