//! Runs against a cloud that is awkward in every way, and callers that die.

use super::*;
use crate::cloud::fake::{Awkward, Died, FakeCloud};
use crate::cloud::plan::plan_infra;
use crate::cloud::resource::DesiredState;
use crate::cloud::spec::tests::{example, group, state_of};
use crate::inventory::Aws;

/// How often a caller that died is started again.
const ATTEMPTS: usize = 12;

/// Looks, plans, runs; None: it died.
fn once(cloud: &FakeCloud, wanted: &DesiredState, seed: u64) -> Option<usize> {
    let work = std::panic::AssertUnwindSafe(|| {
        futures::executor::block_on(async {
            let observed = loop {
                match cloud.observe().await {
                    Ok(observed) => break observed,
                    Err(error) => assert!(passes(error.trouble)),
                }
            };
            let plan = plan_infra("test", wanted, &observed).unwrap();
            let run = InfraRun {
                api: cloud,
                clock: cloud,
                pace: Pace::default(),
                seed,
                force: false,
                events: &|_| {},
            };
            let outcome = run.carry_out(&plan, &observed).await;
            assert!(outcome.is_complete(), "seed {seed}: {outcome:#?}");
            plan.steps.len()
        })
    });
    match std::panic::catch_unwind(work) {
        Ok(steps) => Some(steps),
        Err(panic) if panic.is::<Died>() => None,
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

/// Runs until nothing is left to do.
fn converge(cloud: &FakeCloud, wanted: &DesiredState, seed: u64) {
    for _ in 0..ATTEMPTS {
        if once(cloud, wanted, seed) == Some(0) {
            let wanted: Vec<String> = wanted.keys().map(ToString::to_string).collect();
            assert_eq!(cloud.census(), wanted, "seed {seed}: everything once, and nothing else");
            return;
        }
        // Whoever comes later sees what was made before, and is not killed again.
        let awkward = cloud.awkwardness();
        cloud.become_awkward(Awkward { dies_at: None, ..awkward }, seed ^ 0xABCD);
    }
    panic!("seed {seed}: not converged after {ATTEMPTS} runs");
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

fn changed() -> Aws {
    let mut aws = example();
    aws.control_planes.instance_type = "m6i.xlarge".to_owned();
    aws.worker_groups.push(group("gpu"));
    aws.worker_groups[0].max = 40;
    aws
}

#[test]
fn makes_changes_and_destroys_whatever_the_cloud_does() {
    quietly();
    let seeds = std::env::var("KEELWRIGHT_SIM_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(100);
    for seed in 0..seeds {
        let cloud = FakeCloud::new();
        let awkward = Awkward {
            throttled: 10,
            lost_before: 5,
            lost_after: 10,
            unseen: 6,
            stillborn: false,
            slow: Duration::ZERO,
            dies_at: (seed % 2 == 0).then_some(usize::try_from(seed % 331).unwrap() + 1),
        };
        let states = [state_of(&example()), state_of(&changed()), DesiredState::new()];
        for (number, wanted) in states.iter().enumerate() {
            cloud.become_awkward(awkward, seed * 3 + number as u64);
            converge(&cloud, wanted, seed);
        }
    }
}

#[test]
fn dies_at_every_call_of_a_creation() {
    quietly();
    let calm = FakeCloud::new();
    once(&calm, &state_of(&example()), 1);
    let calls = calm.world().calls;
    assert!(calls > 100);
    // Coprime to how many calls a resource takes, so that all kinds of calls are met.
    for call in (1..calls).step_by(3) {
        let cloud = FakeCloud::new();
        cloud.become_awkward(Awkward { dies_at: Some(call), ..Awkward::default() }, 1);
        converge(&cloud, &state_of(&example()), 1);
    }
}

#[test]
fn somebody_elses_change_is_undone_and_nothing_else_touched() {
    let cloud = FakeCloud::new();
    converge(&cloud, &state_of(&example()), 1);
    let name = ResourceName::parse("scaling-group/workers").unwrap();
    cloud.meddle(&name, |resource| {
        let crate::cloud::Resource::ScalingGroup(group) = resource else { panic!() };
        group.max = 3;
    });
    let before = cloud.world().mutations;
    assert_eq!(once(&cloud, &state_of(&example()), 1), Some(1));
    assert_eq!(cloud.world().mutations, before + 1);
}

/// AWS, seed 230: all rules of a group were there, and the step had failed because they took so long.
#[test]
fn what_is_as_wanted_at_last_is_no_failure_however_long_it_took() {
    let cloud = FakeCloud::new();
    converge(&cloud, &state_of(&example()), 1);
    let slow = Pace::default().readiness + Duration::from_secs(1);
    cloud.become_awkward(Awkward { slow, ..Awkward::default() }, 1);
    assert_eq!(once(&cloud, &state_of(&changed()), 1), Some(6));
    assert_eq!(once(&cloud, &state_of(&changed()), 1), Some(0));
}

#[test]
fn a_step_that_is_refused_stops_only_what_waits_for_it() {
    let cloud = FakeCloud::new();
    let mut wanted = state_of(&example());
    // It names a key that is not wanted, and never comes.
    wanted.remove(&ResourceName::parse("key-pair/operator").unwrap());
    let plan = plan_infra("test", &wanted, &Observed::default()).unwrap();
    let run = InfraRun {
        api: &cloud,
        clock: &cloud,
        pace: Pace::default(),
        seed: 1,
        force: false,
        events: &|_| {},
    };
    let outcome = futures::executor::block_on(run.carry_out(&plan, &Observed::default()));
    let failed: Vec<_> = outcome.failed.iter().map(|(at, _)| plan.steps[*at].name.as_str()).collect();
    assert!(failed.contains(&"instance/cp-1") && failed.contains(&"launch-template/workers"), "{failed:?}");
    assert!(matches!(outcome.failed[0].1, StepError::Patience { .. }));
    assert!(cloud.census().contains(&"nat-gateway/c".to_owned()));
    let left: Vec<_> = outcome.left.iter().map(|at| plan.steps[*at].name.as_str()).collect();
    assert!(left.contains(&"targets/api") && left.contains(&"scaling-group/workers"), "{left:?}");
}

#[test]
fn what_goes_as_soon_as_it_is_made_is_not_made_for_ever() {
    let cloud = FakeCloud::new();
    cloud.become_awkward(Awkward { stillborn: true, ..Awkward::default() }, 1);
    let name = ResourceName::parse("volume/cp-1-etcd").unwrap();
    let wanted = state_of(&example()).into_iter().filter(|(other, _)| *other == name).collect();
    let plan = plan_infra("test", &wanted, &Observed::default()).unwrap();
    let run = InfraRun {
        api: &cloud,
        clock: &cloud,
        pace: Pace::default(),
        seed: 1,
        force: false,
        events: &|_| {},
    };
    let outcome = futures::executor::block_on(run.carry_out(&plan, &Observed::default()));
    assert!(matches!(outcome.failed.as_slice(), [(0, StepError::Broken { .. })]), "{outcome:#?}");
    assert_eq!(cloud.world().mutations, 2, "once for a token that was used before, and once more");
}
