//! Upgrades: every intermediate state is legal, whatever fails.

use keelwright::inventory::Inventory;
use keelwright::plan::show::{Detail, text};
use keelwright::plan::{Goal, Stage};
use keelwright::sim::random::Random;
use keelwright::sim::{Faults, Simulation};

use super::seeds::{Suite, run};
use super::support::{external_etcd_at, hosts_at, settle, stacked_at};

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

fn scenario(random: &mut Random) -> (&'static str, Inventory, Option<Inventory>) {
    let target = "v1.37.1";
    match random.below(7) {
        0 => ("1+1 over three minors", stacked_at("v1.34.4", 1, 1), Some(stacked_at(target, 1, 1))),
        1 => ("3+1 over three minors", stacked_at("v1.34.4", 3, 1), Some(stacked_at(target, 3, 1))),
        2 => ("3+2 over one minor", stacked_at("v1.36.4", 3, 2), Some(stacked_at(target, 3, 2))),
        3 => ("external etcd", external_etcd_at("v1.35.4"), Some(external_etcd_at(target))),
        4 => ("a new patch", stacked_at("v1.37.0", 3, 1), Some(stacked_at(target, 3, 1))),
        5 => (
            "others join meanwhile",
            hosts_at("v1.35.4", &[1, 2, 3], &[1]),
            Some(hosts_at(target, &[1, 2, 3, 4, 5], &[1, 2])),
        ),
        _ => ("5+0 over two minors", stacked_at("v1.35.4", 5, 0), Some(stacked_at(target, 5, 0))),
    }
}

#[test]
fn random_faults_never_leave_the_policy_and_every_upgrade_ends() {
    run(&Suite { test: "sim::upgrade", scenario, late: true, once_broken: &[] });
}
