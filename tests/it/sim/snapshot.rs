//! Snapshots of etcd as a step of a plan, and what goes wrong with them.

use keelwright::exec::snapshot::Check;
use keelwright::plan::{Action, Goal, Outline, Planned, Reason, Stage, Step, StepId, Target};
use keelwright::release::KubeVersion;
use keelwright::sim::{Fault, Faults, Run, SimSnapshot, Simulation};

use super::support::{settle, simulation, stacked};

const VERSION: KubeVersion = KubeVersion::new(1, 34, 4);

/// A plan of nothing else.
fn plan(simulation: &mut Simulation) -> Outline {
    let mut outline = simulation.plan(Goal::Converge).unwrap().outline.unwrap();
    assert!(outline.plan.is_empty());
    outline.plan.steps.push(Step {
        id: StepId("operator/snapshot".to_owned()),
        target: Target::Operator,
        stage: Stage::Snapshot,
        actions: vec![Planned { action: Action::Snapshot { version: VERSION }, reason: Reason::Precaution }],
        after: Vec::new(),
        after_any: Vec::new(),
        undo: Vec::new(),
        expected: 5,
    });
    outline
}

fn is_whole(snapshot: &SimSnapshot) -> bool {
    let mut check = Check::default();
    check.update(&snapshot.bytes);
    snapshot.version == VERSION && check.finish().is_ok()
}

#[test]
fn a_snapshot_is_a_step_like_others() {
    let mut simulation = simulation(stacked(3, 0));
    settle(&mut simulation);
    let outline = plan(&mut simulation);
    let round = simulation.run(outline, Goal::Converge);
    assert!(matches!(&round.run, Run::Ran(outcome) if outcome.succeeded()), "{:?}", round.run);
    let kept = simulation.vault.snapshots();
    assert!(kept.len() == 1 && kept.iter().all(is_whole));
}

#[test]
fn whatever_happens_to_it_what_is_kept_is_whole() {
    let mut simulation = simulation(stacked(3, 0));
    settle(&mut simulation);
    let faults = [Fault::Kill, Fault::ApiError, Fault::LostReply];
    let (mut silent, mut before) = (0, 0);
    for fault in faults {
        for boundary in 1.. {
            let outline = plan(&mut simulation);
            simulation.fleet.world().faults = Faults::once(boundary, fault);
            let round = simulation.run(outline, Goal::Converge);
            let kept = simulation.vault.snapshots();
            assert!(kept.iter().all(is_whole), "{fault:?} at {boundary}");
            if let Run::Ran(outcome) = &round.run {
                assert!(outcome.succeeded(), "{fault:?} at {boundary}: {outcome:?}");
                assert_eq!(kept.len(), before + 1, "{fault:?} at {boundary}");
            }
            before = kept.len();
            let mut world = simulation.fleet.world();
            silent += world.faults.seen.get("a snapshot was cut off in silence").copied().unwrap_or(0);
            if world.faults.hit.is_empty() {
                world.faults = Faults::none();
                break;
            }
        }
    }
    assert_eq!(silent, 1, "another member was asked after a stream that ended early in silence");
}
