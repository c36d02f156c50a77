//! kill -9 at every boundary, before and after every effect: the next run ends in the same state.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use keelwright::inventory::Inventory;
use keelwright::plan::Goal;
use keelwright::sim::{Fault, Faults, Simulation};

use super::support::{external_etcd, simulation, single_node, stacked, told};

/// A fleet in front of what is disturbed.
pub type Begin<'a> = dyn Fn() -> Simulation + Sync + 'a;

/// The undisturbed run: where it ends, and how many boundaries it passes.
fn undisturbed(begin: &Begin<'_>) -> (BTreeMap<String, String>, u64) {
    let mut simulation = begin();
    super::support::settle(&mut simulation);
    let world = simulation.fleet.world();
    (world.fingerprint(), world.faults.passed)
}

fn differences(wanted: &BTreeMap<String, String>, found: &BTreeMap<String, String>) -> Vec<String> {
    let keys = wanted.keys().chain(found.keys()).collect::<std::collections::BTreeSet<_>>();
    keys.into_iter()
        .filter(|key| wanted.get(*key) != found.get(*key))
        .map(|key| format!("{key}: want {:?}, found {:?}", wanted.get(key), found.get(key)))
        .take(20)
        .collect()
}

/// Runs with one fault at one boundary; None: all is as it should be.
fn with_fault(
    begin: &Begin<'_>,
    wanted: &BTreeMap<String, String>,
    boundary: u64,
    fault: Fault,
) -> Option<String> {
    let mut simulation = begin();
    simulation.fleet.world().faults = Faults::once(boundary, fault);
    let trace = simulation.converge(Goal::Converge);
    let (violations, found) = {
        let world = simulation.fleet.world();
        (world.violations.clone(), world.fingerprint())
    };
    let different = differences(wanted, &found);
    if trace.converged && violations.is_empty() && different.is_empty() {
        return None;
    }
    Some(format!(
        "boundary {boundary}, {fault:?}: converged {}, broken promises {violations:#?}, other state {different:#?}\n{}",
        trace.converged,
        told(&simulation, &trace)
    ))
}

/// Every `stride`-th boundary of an installation.
fn everywhere(inventory: &Inventory, fault: Fault, stride: u64) {
    everywhere_after(&|| simulation(inventory.clone()), fault, stride);
}

/// Every `stride`-th boundary, on all cores; fails with the first bad one.
pub fn everywhere_after(begin: &Begin<'_>, fault: Fault, stride: u64) {
    let (wanted, boundaries) = undisturbed(begin);
    assert!(boundaries > 100, "only {boundaries} boundaries");
    let next = AtomicU64::new(1);
    let failure = std::sync::Mutex::new(None);
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(|| {
                loop {
                    let boundary = next.fetch_add(stride, Ordering::Relaxed);
                    if boundary > boundaries || failure.lock().unwrap().is_some() {
                        return;
                    }
                    if let Some(text) = with_fault(begin, &wanted, boundary, fault) {
                        *failure.lock().unwrap() = Some(text);
                        return;
                    }
                }
            });
        }
    });
    if let Some(text) = failure.into_inner().unwrap() {
        panic!("{text}");
    }
}

/// All boundaries when asked for, else every so many: each dev build would wait minutes.
pub fn stride(default: u64) -> u64 {
    if std::env::var_os("KEELWRIGHT_SIM_ALL").is_some() { 1 } else { default }
}

#[test]
fn a_single_node_survives_a_kill_at_every_boundary() {
    everywhere(&single_node(), Fault::Kill, stride(3));
}

#[test]
fn a_single_node_survives_losing_its_stage_at_every_boundary() {
    everywhere(&single_node(), Fault::KillWithStage, 1);
}

#[test]
fn a_single_node_survives_a_power_cut_at_every_boundary() {
    everywhere(&single_node(), Fault::PowerCut, stride(3));
}

#[test]
fn three_and_two_survive_losing_a_stage() {
    everywhere(&stacked(3, 2), Fault::KillWithStage, stride(29));
}

#[test]
fn three_and_two_survive_a_power_cut() {
    everywhere(&stacked(3, 2), Fault::PowerCut, stride(31));
}

#[test]
fn three_and_two_survive_lost_replies() {
    everywhere(&stacked(3, 2), Fault::LostReply, stride(23));
}

#[test]
fn external_etcd_survives_a_kill() {
    everywhere(&external_etcd(), Fault::Kill, stride(41));
}

/// etcd refuses to add a member it has, or to remove one it has not: a second try must know that.
#[test]
fn a_lost_answer_to_a_member_change_is_no_failure() {
    use super::support::hosts;
    let edit = |fault: Option<u64>| {
        let mut simulation = simulation(hosts(&[1], &[]));
        super::support::settle(&mut simulation);
        simulation.edit(hosts(&[1, 2, 3], &[])).unwrap();
        let passed = simulation.fleet.world().faults.passed;
        if let Some(boundary) = fault {
            simulation.fleet.world().faults.at = Some((passed + boundary, Fault::LostReply));
        }
        let trace = simulation.converge(Goal::Converge);
        let boundaries = simulation.fleet.world().faults.passed - passed;
        let hit = !simulation.fleet.world().faults.seen.is_empty();
        assert!(trace.converged && trace.rounds.len() == 2, "{}", told(&simulation, &trace));
        (boundaries, hit)
    };
    let (boundaries, _) = edit(None);
    let late = boundaries - boundaries / 3;
    let hits = (late..boundaries).step_by(9).filter(|boundary| edit(Some(*boundary)).1).count();
    assert!(hits > 0);
}
