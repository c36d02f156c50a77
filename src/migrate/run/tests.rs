//! Whole migrations in virtual time, with clients that must notice nothing.

use std::sync::Mutex;

use super::*;
use crate::inventory::{CommandGate, Move, Probe, ProbeKind};
use crate::migrate::event::Closed;
use crate::migrate::fake::{Awkward, Died, Fake, ZONE, behind, machine, machines};
use crate::migrate::guard;
use crate::migrate::plan::tests::{facts, migration};
use crate::migrate::plan::{PlanError, plan};
use crate::migrate::record::{Routing, Side, Weights};

fn wanted() -> Migration {
    let mut wanted = migration();
    wanted.probes = vec![Probe { name: "page".into(), port: 80, kind: ProbeKind::Tcp, timeout: 5 }];
    wanted.schedule = [10, 25, 50, 100].map(|green| Move { green, soak: 300 }).into();
    wanted
}

fn names() -> NameFacts {
    facts("shop.example.org", ZONE)
}

struct Ran {
    ending: Result<Ending, RunError>,
    events: Vec<MigrationEvent>,
}

/// Looks, plans, runs; None: it died.
fn once(fake: &Fake, seed: u64) -> Option<Result<Ran, PlanError>> {
    let wanted = wanted();
    let events = Mutex::new(Vec::new());
    let ran = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let plan = plan(&wanted, &[fake.look(&names())], &behind())?;
        let tell = |event| events.lock().unwrap().push(event);
        let ports = ports(fake, &tell);
        Ok(futures::executor::block_on(carry_out(&wanted, &plan, ports, Pace::default(), seed)))
    }));
    match ran {
        Ok(Ok(ending)) => Some(Ok(Ran { ending, events: events.into_inner().unwrap() })),
        Ok(Err(error)) => Some(Err(error)),
        Err(panic) if panic.is::<Died>() => None,
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

fn ports<'a>(fake: &'a Fake, events: Events<'a>) -> Ports<'a> {
    Ports {
        dns: fake,
        balancers: fake,
        prober: fake,
        nodes: None,
        commands: fake,
        clock: fake,
        control: fake,
        guard: fake,
        memory: fake,
        events,
    }
}

/// Deaths are what is tested, so nobody hears of them.
fn quietly() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let hook = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !info.payload().is::<Died>() {
                hook(info);
            }
        }));
    });
}

fn finished(fake: &Fake, seed: u64) -> Ran {
    once(fake, seed).unwrap().unwrap()
}

/// The old cluster goes, and nobody misses it.
fn blue_goes(fake: &Fake) {
    let now = fake.now().as_secs();
    fake.world().broken_from.insert(Side::Blue, now);
    fake.pass(1800);
}

#[test]
fn a_service_moves_and_no_client_notices() {
    let fake = Fake::new(&names(), 1);
    let ran = finished(&fake, 1);
    assert_eq!(ran.ending.unwrap(), Ending::Done);
    assert!(ran.events.contains(&MigrationEvent::WindowClosed { reason: Closed::Quiet }));
    assert_eq!(fake.look(&names()).point(), Ok(Point::Only(Side::Green)));
    blue_goes(&fake);
    let world = fake.world();
    assert_eq!((world.served.failed, &world.broken), (0, &Vec::new()));
    assert!(world.served.asked > 40_000, "{:?}", world.served);
    drop(world);
    let again = plan(&wanted(), &[fake.look(&names())], &behind()).unwrap();
    assert_eq!(again.steps, []);
}

#[test]
fn the_share_of_green_that_probes_see_follows_the_weights() {
    let fake = Fake::new(&names(), 2);
    let ran = finished(&fake, 2);
    let (mut shares, mut weights) = (Vec::new(), None);
    for event in &ran.events {
        match event {
            MigrationEvent::StepBegan { kind: StepKind::Weigh { weights: next }, .. } => {
                weights = Some(*next);
                shares.push((*next, 0, 0));
            }
            MigrationEvent::StepBegan { .. } => weights = None,
            MigrationEvent::Seen { sample } if sample.weights == weights => {
                let (_, green, all) = shares.last_mut().unwrap();
                *green += sample.name.green;
                *all += sample.name.green + sample.name.blue;
            }
            _ => {}
        }
    }
    assert_eq!(shares.len(), 4);
    for (weights, green, all) in shares {
        let (want, n) = (weights.green_share(), f64::from(all));
        let error = 4.0 * (want * (1.0 - want) / n).sqrt();
        assert!(all > 300, "{weights}: {all}");
        assert!((f64::from(green) / n - want).abs() <= error + 0.02, "{weights}: {green} of {all}");
    }
}

/// Until 25 % all is well, then green breaks.
#[test]
fn green_that_breaks_is_left_at_once() {
    let fake = Fake::new(&names(), 3);
    // Conversion, 10 %: a bit over twelve minutes.
    fake.world().broken_from.insert(Side::Green, 1100);
    let ran = finished(&fake, 3);
    let Ending::WentBack { to, why } = ran.ending.unwrap() else { panic!("{:#?}", ran.events) };
    assert_eq!(to, Point::Weighted(Weights { blue: 100, green: 0 }), "{why}");
    assert!(why.to_string().contains("of green's probes failed"), "{why}");
    let at = ran.events.iter().find_map(|event| match event {
        MigrationEvent::Seen { sample } if sample.green.failed > 0 => Some(sample.at),
        _ => None,
    });
    let weighed = ran.events.iter().any(|event| {
        matches!(event, MigrationEvent::StepBegan { kind: StepKind::Weigh { weights }, .. } if weights.green == 25)
    });
    assert!(weighed && at.is_none_or(|at| at < 1170.0), "{at:?}");
    assert!(fake.world().served.failed > 0);
    fake.pass(900);
    let before = fake.world().served.failed;
    fake.pass(600);
    assert_eq!(fake.world().served.failed, before, "nobody uses green any more");
}

/// Slow is not dead: the last good weights are those of the step before.
#[test]
fn a_gate_that_shuts_goes_back_one_step() {
    let fake = Fake::new(&names(), 4);
    let mut slow = wanted();
    slow.gates.latency = Some(100);
    let events = Mutex::new(Vec::new());
    let tell = |event| {
        if matches!(&event, MigrationEvent::StepBegan { kind: StepKind::Weigh { weights }, .. } if weights.green == 50)
        {
            fake.world().latency.insert(Side::Green, 400);
        }
        if matches!(&event, MigrationEvent::WentBack { .. }) {
            fake.world().latency.remove(&Side::Green);
        }
        events.lock().unwrap().push(event);
    };
    let plan = plan(&slow, &[names()], &behind()).unwrap();
    let ending =
        futures::executor::block_on(carry_out(&slow, &plan, ports(&fake, &tell), Pace::default(), 4));
    let Ok(Ending::WentBack { to, why }) = ending else { panic!("{ending:?}") };
    assert_eq!(to, Point::Weighted(Weights { blue: 75, green: 25 }), "{why}");
    assert!(why.to_string().contains("took up to 400 ms, at most 100 may be"), "{why}");
    assert_eq!(fake.world().served.failed, 0);
}

/// A command that takes its time keeps nobody from seeing that green fails.
#[test]
fn a_slow_gate_does_not_hold_up_the_probes() {
    let fake = Fake::new(&names(), 10);
    let mut slow = wanted();
    slow.gates.commands =
        vec![CommandGate { name: "smoke".into(), command: vec!["true".into()], timeout: 3600 }];
    let tell = |event| {
        if matches!(&event, MigrationEvent::StepBegan { kind: StepKind::Weigh { weights }, .. } if weights.green == 25)
        {
            let now = fake.now().as_secs();
            let mut world = fake.world();
            world.commands_hang = true;
            world.broken_from.insert(Side::Green, now + 100);
        }
    };
    let plan = plan(&slow, &[names()], &behind()).unwrap();
    let before = fake.now();
    let ending =
        futures::executor::block_on(carry_out(&slow, &plan, ports(&fake, &tell), Pace::default(), 10));
    let Ok(Ending::WentBack { to, .. }) = ending else { panic!("{ending:?}") };
    assert_eq!(to, Point::Weighted(Weights { blue: 100, green: 0 }));
    assert!(fake.now() - before < Duration::from_secs(1500), "{:?}", fake.now());
}

#[test]
fn where_green_is_as_bad_at_the_last_good_weights_it_goes_further_back() {
    let fake = Fake::new(&names(), 5);
    let mut slow = wanted();
    slow.gates.latency = Some(100);
    let tell = |event| {
        if matches!(&event, MigrationEvent::StepBegan { kind: StepKind::Weigh { weights }, .. } if weights.green == 50)
        {
            fake.world().latency.insert(Side::Green, 400);
        }
    };
    let plan = plan(&slow, &[names()], &behind()).unwrap();
    let ending =
        futures::executor::block_on(carry_out(&slow, &plan, ports(&fake, &tell), Pace::default(), 5));
    let Ok(Ending::WentBack { to, .. }) = ending else { panic!("{ending:?}") };
    assert_eq!(to, Point::Weighted(Weights { blue: 100, green: 0 }));
}

#[test]
fn a_paused_migration_stands_still_and_goes_on() {
    let fake = Fake::new(&names(), 6);
    let pause = Wish { paused: true, ..Wish::default() };
    fake.world().wishes = vec![(700, pause), (20_000, Wish::default())];
    let ran = finished(&fake, 6);
    assert_eq!(ran.ending.unwrap(), Ending::Done);
    let position = |wanted: &MigrationEvent| ran.events.iter().position(|event| event == wanted).unwrap();
    let between = &ran.events[position(&MigrationEvent::Paused)..position(&MigrationEvent::Resumed)];
    assert!(!between.iter().any(|event| matches!(event, MigrationEvent::StepBegan { .. })), "{between:#?}");
    assert!(between.len() > 1000, "it watches on");
    assert_eq!(fake.world().served.failed, 0);
}

/// An autoscaler works: one comes before blue's own are taken out, one while the window is open.
#[test]
fn machines_that_green_gets_later_come_behind_blues_balancer_too_and_go_with_the_rest() {
    for goes_back in [false, true] {
        let fake = Fake::new(&names(), 11);
        let tell = |event| match &event {
            MigrationEvent::StepBegan { kind: StepKind::Weigh { weights }, .. } if weights.green == 50 => {
                fake.gets_machine(Side::Green, 3);
            }
            MigrationEvent::TakenOut { targets, .. } if targets == &machines(Side::Blue) => {
                fake.gets_machine(Side::Green, 4);
                let back = Wish { back: goes_back, ..Wish::default() };
                let now = fake.now().as_secs();
                fake.world().wishes = vec![(now + 400, back)];
            }
            _ => {}
        };
        let wanted = wanted();
        let plan = plan(&wanted, &[names()], &behind()).unwrap();
        let ended =
            futures::executor::block_on(carry_out(&wanted, &plan, ports(&fake, &tell), Pace::default(), 11));
        match ended.unwrap() {
            Ending::Done => {
                let green: Vec<_> = (1..=4).map(|number| machine(Side::Green, number)).collect();
                assert_eq!((fake.targets(Side::Blue), goes_back), (green, false));
            }
            Ending::WentBack { .. } => {
                assert_eq!((fake.targets(Side::Blue), goes_back), (machines(Side::Blue), true));
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(fake.world().served.failed, 0);
    }
}

#[test]
fn the_operator_can_go_back_and_can_leave() {
    for (wish, paused, end) in [
        (Wish { back: true, ..Wish::default() }, false, Point::Weighted(Weights { blue: 90, green: 10 })),
        (
            Wish { interrupted: true, ..Wish::default() },
            false,
            Point::Weighted(Weights { blue: 90, green: 10 }),
        ),
        (
            Wish { interrupted: true, ..Wish::default() },
            true,
            Point::Weighted(Weights { blue: 75, green: 25 }),
        ),
    ] {
        let fake = Fake::new(&names(), 7);
        let events = Mutex::new(Vec::new());
        let tell = |event: MigrationEvent| {
            let is_25 = matches!(&event, MigrationEvent::Everywhere { weights } if weights.green == 25);
            if is_25 {
                let now = fake.now().as_secs();
                let with = Wish { paused, ..wish };
                let before = Wish { paused, ..Wish::default() };
                fake.world().wishes = vec![(now, before), (now + 100, with)];
            }
            events.lock().unwrap().push(event);
        };
        let plan = plan(&wanted(), &[names()], &behind()).unwrap();
        let wanted = wanted();
        let ran =
            futures::executor::block_on(carry_out(&wanted, &plan, ports(&fake, &tell), Pace::default(), 7));
        match ran.unwrap() {
            Ending::WentBack { to, .. } => assert_eq!((to, paused), (end, false)),
            Ending::Stayed { at } => assert_eq!((at, paused), (end, true)),
            other => panic!("{other:?}"),
        }
        assert_eq!(fake.look(&names()).point(), Ok(end));
        assert_eq!(fake.world().armed, None);
    }
}

#[test]
fn records_that_somebody_else_changes_are_left_and_shown() {
    let fake = Fake::new(&names(), 8);
    let tell = |event: MigrationEvent| {
        if matches!(&event, MigrationEvent::Everywhere { weights } if weights.green == 25) {
            let mut world = fake.world();
            for record in &mut world.records {
                if let Routing::Weighted { weight, .. } = &mut record.routing {
                    *weight = 33;
                }
            }
        }
    };
    let wanted = wanted();
    let plan = plan(&wanted, &[names()], &behind()).unwrap();
    let ran = futures::executor::block_on(carry_out(&wanted, &plan, ports(&fake, &tell), Pace::default(), 8));
    let error = ran.unwrap_err().to_string();
    for line in [
        "somebody else has changed the records of shop.example.org:",
        "- shop.example.org. A weight 75 (shop-blue) -> old.elb",
        "+ shop.example.org. A weight 33 (shop-blue) -> old.elb",
    ] {
        assert!(error.contains(line), "{error}");
    }
    assert!(fake.world().records.iter().all(|record| record.to_string().contains("weight 33")));
}

/// Killed at every call of a whole migration, with somebody who goes back for it or without.
#[test]
fn a_run_that_is_lost_anywhere_goes_back_or_on_and_no_client_notices() {
    quietly();
    let all = {
        let fake = Fake::new(&names(), 9);
        finished(&fake, 9).ending.unwrap();
        fake.calls()
    };
    let step = std::env::var("KEELWRIGHT_SIM_ALL").map_or(7, |_| 1);
    for dies_at in (1..=all).step_by(step) {
        survive(u64::try_from(dies_at).unwrap(), Awkward { dies_at: Some(dies_at), ..Awkward::default() });
    }
}

#[test]
fn whatever_the_cloud_does_it_converges_and_no_client_notices() {
    quietly();
    let seeds =
        std::env::var("KEELWRIGHT_SIM_SEEDS").ok().and_then(|text| text.parse::<u64>().ok()).unwrap_or(60);
    let first = std::env::var("KEELWRIGHT_SIM_FROM").ok().and_then(|text| text.parse().ok()).unwrap_or(0_u64);
    for seed in first..first + seeds {
        let awkward = Awkward {
            throttled: 10,
            lost_before: 5,
            lost_after: 10,
            old: 5,
            dies_at: (!seed.is_multiple_of(3)).then_some(usize::try_from(seed * 7 % 331).unwrap() + 1),
        };
        survive(seed, awkward);
    }
}

/// Runs until it is done; each failure prints its seed.
fn survive(seed: u64, awkward: Awkward) {
    let fake = Fake::new(&names(), seed);
    fake.become_awkward(awkward);
    for attempt in 0..12 {
        match once(&fake, seed + attempt) {
            Some(Ok(Ran { ending: Ok(Ending::Done), .. })) => {
                let again = plan(&wanted(), &[fake.look(&names())], &behind()).unwrap();
                assert_eq!(again.steps, [], "seed {seed}");
                blue_goes(&fake);
                let world = fake.world();
                assert_eq!((world.served.failed, &world.broken), (0, &Vec::new()), "seed {seed}");
                return;
            }
            Some(Ok(Ran { ending: Ok(other), events })) => panic!("seed {seed}: {other:?} {events:#?}"),
            // An old list is one that somebody has changed, as far as anybody can tell.
            Some(Ok(Ran { ending: Err(RunError::Foreign { .. }), .. })) if awkward.old > 0 => {}
            Some(Ok(Ran { ending: Err(error), events })) => panic!("seed {seed}: {error} {events:#?}"),
            Some(Err(error)) => panic!("seed {seed}: {error}"),
            None => {}
        }
        fake.become_awkward(Awkward { dies_at: None, ..awkward });
        // The machine of the operator has gone with the run, or somebody watches beside it.
        let armed = fake.world().armed.take();
        if let Some(back) = armed.filter(|_| seed.is_multiple_of(2)) {
            let guard = guard::go_back(&back, &fake, &fake, Pace::default(), &|_| {});
            let went = futures::executor::block_on(guard);
            assert!(went.is_ok() || awkward.old > 0, "seed {seed}: {went:?}");
        }
        fake.pass(seed % 1000);
    }
    panic!("seed {seed}: not converged");
}
