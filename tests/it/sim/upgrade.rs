//! Upgrades: every intermediate state is legal, whatever fails.

use keelwright::plan::show::{Detail, text};
use keelwright::plan::{Goal, Stage};
use keelwright::sim::{Faults, Simulation};

use super::support::{settle, stacked_at};

/// A cluster of an older version that works, and the wish for a newer one.
fn upgrading(from: &str, to: &str, control_planes: usize, workers: usize, faults: Faults) -> Simulation {
    let mut simulation = Simulation::new(stacked_at(from, control_planes, workers), Faults::none()).unwrap();
    settle(&mut simulation);
    simulation.edit(stacked_at(to, control_planes, workers)).unwrap();
    simulation.fleet.world().faults = faults;
    simulation
}

#[test]
fn three_minors_in_one_apply() {
    let mut simulation = upgrading("v1.34.4", "v1.37.1", 3, 2, Faults::none());
    let outline = simulation.plan(Goal::Converge).unwrap().outline.unwrap();
    insta::assert_snapshot!(text(&outline, Detail::Steps));
    let drains = |host: &str| {
        let step = outline.plan.steps.iter().find(|step| step.id.0 == format!("{host}/node")).unwrap();
        assert_eq!(step.stage, Stage::Node);
        serde_json::to_string(&step.actions).unwrap().matches("\"do\":\"drain\"").count()
    };
    for host in ["cp-1", "cp-2", "cp-3", "worker-1", "worker-2"] {
        assert_eq!(drains(host), 1, "{host}");
    }
    settle(&mut simulation);
}
