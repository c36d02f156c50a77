//! Proves the waves of workers from the graph alone: never more at once than allowed, and the canary first.

use std::collections::{BTreeMap, BTreeSet};

use super::super::model::{Plan, Stage, StepId, Target};
use super::Flaw;
use super::order::Places;
use crate::inventory::HostName;

/// A worker's step and its place among all of them.
struct Turn<'a> {
    step: usize,
    host: &'a HostName,
}

/// Of any workers in a row of one more than allowed, the last has to wait for the first. A failed step then stops
/// all that come later, too.
pub(super) fn check(plan: &Plan, place: &Places<'_>) -> Vec<Flaw> {
    let turns = turns(plan);
    let allowed = plan.rollout.as_ref().map_or(1, |rollout| rollout.max_unavailable.max(1));
    let prefixes = prefixes(plan, place, &turns);
    let id = |at: usize| turns.get(at).and_then(|turn| plan.steps.get(turn.step)).map(|step| step.id.clone());
    let mut flaws = Vec::new();
    for (at, turn) in turns.iter().enumerate() {
        let waits_for = prefixes.get(turn.step).copied().unwrap_or(0);
        if waits_for + allowed <= at
            && let (Some(first), Some(last)) = (id(waits_for), id(at))
        {
            flaws.push(Flaw::TooManyAtOnce { first, last, allowed });
        }
    }
    flaws.extend(canary_first(plan, &turns, &prefixes));
    flaws
}

fn canary_first(plan: &Plan, turns: &[Turn<'_>], prefixes: &[usize]) -> Vec<Flaw> {
    let waves = plan.rollout.iter().flat_map(|rollout| &rollout.waves);
    let (canary, others): (Vec<_>, Vec<_>) = waves.partition(|wave| wave.is_canary());
    let hosts = |waves: Vec<&super::super::rollout::Wave>| -> BTreeSet<HostName> {
        waves.iter().flat_map(|wave| wave.hosts.iter().cloned()).collect()
    };
    let (canary, others) = (hosts(canary), hosts(others));
    let Some(last) = turns.iter().rposition(|turn| canary.contains(turn.host)) else { return Vec::new() };
    let later = turns.iter().filter(|turn| others.contains(turn.host));
    let early = later.filter(|turn| prefixes.get(turn.step).copied().unwrap_or(0) <= last);
    let flaw = |turn: &Turn<'_>| {
        let id = |step: usize| plan.steps.get(step).map(|step| step.id.clone());
        let canary = turns.get(last).and_then(|turn| id(turn.step));
        Some(Flaw::BeforeCanary { step: id(turn.step)?, canary: canary? })
    };
    early.filter_map(flaw).collect()
}

/// The steps that take a worker out of service, in the order of the plan. Who serves the control plane or etcd
/// has rules of its own.
fn turns(plan: &Plan) -> Vec<Turn<'_>> {
    let versions = plan.versions.as_ref();
    let serves = |host: &HostName| {
        let found = versions.and_then(|versions| versions.hosts.get(host));
        found.is_some_and(|host| host.api_server.is_some() || host.etcd.is_some())
    };
    let steps = plan.steps.iter().enumerate().filter(|(_, step)| step.stage == Stage::Node);
    let of_host = steps.filter_map(|(at, step)| match &step.target {
        Target::Host(host) if !serves(host) => Some(Turn { step: at, host }),
        Target::Host(_) | Target::Operator | Target::Cluster => None,
    });
    of_host.collect()
}

/// Of each step, how many of the first turns certainly end before it begins. A step that waits for any of
/// several is not counted on: that can only find more.
fn prefixes(plan: &Plan, place: &Places<'_>, turns: &[Turn<'_>]) -> Vec<usize> {
    let number: BTreeMap<usize, usize> = turns.iter().enumerate().map(|(at, turn)| (turn.step, at)).collect();
    let mut found: Vec<usize> = Vec::with_capacity(plan.steps.len());
    for (at, step) in plan.steps.iter().enumerate() {
        // What is not before a step is a flaw of its own, and orders nothing.
        let before = |id: &StepId| place.get(id).copied().filter(|earlier| *earlier < at);
        let waits: Vec<usize> = step.after.iter().filter_map(before).collect();
        let mut prefix = waits.iter().filter_map(|earlier| found.get(*earlier)).max().copied().unwrap_or(0);
        let direct: BTreeSet<usize> =
            waits.iter().filter_map(|earlier| number.get(earlier)).copied().collect();
        while direct.contains(&prefix) {
            prefix += 1;
        }
        found.push(prefix);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::testing::{plan, step};
    use super::*;
    use crate::plan::check::check;
    use crate::plan::rollout::{CANARY, Rollout, Wave};
    use crate::plan::upgrade::testing::{cluster, host};

    /// `w-1` and so on, each with the steps it waits for; `gate` is a step of the cluster's.
    fn said(allowed: usize, canary: &str, steps: &str) -> Vec<String> {
        let mut steps: Vec<_> = steps
            .split("; ")
            .map(|text| {
                let (name, after) = text.split_once(" < ").unwrap_or((text, "-"));
                let what = if name.starts_with('w') { "restart" } else { "wait" };
                let target = if name.starts_with('g') { "cluster" } else { name };
                step(&format!("{name} {target} {}: {what}", after.replace(' ', ",")))
            })
            .collect();
        for step in &mut steps {
            step.stage = if step.target == Target::Cluster { Stage::Gate } else { Stage::Node };
        }
        let workers = steps.iter().filter(|step| step.stage == Stage::Node).map(|step| step.id.0.clone());
        let (first, others) = workers.partition(|name| canary.contains(name.as_str()));
        let wave = |name: &str, hosts: Vec<String>| Wave {
            name: name.to_owned(),
            hosts: hosts.iter().map(|name| host(name)).collect(),
        };
        let start = "cp-1 c36 e3.6.6; w-1 k36; w-2 k36; w-3 k36; w-4 k36; w-5 k36";
        let mut plan = plan(Some(cluster(start)), "37", steps);
        let waves = vec![wave(CANARY, first), wave("1", others)];
        plan.rollout = Some(Rollout { max_unavailable: allowed, waves, workloads: BTreeMap::new() });
        check(&plan).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn waves_that_keep_to_the_policy_are_proven() {
        for (allowed, canary, steps) in [
            (1, "", "w-1; w-2 < w-1; w-3 < w-2"),
            (1, "", "w-1; gate < w-1; w-2 < gate; w-3 < w-2"),
            (2, "", "w-1; w-2; w-3 < w-1 w-2; w-4 < w-1 w-2; w-5 < w-3 w-4"),
            (2, "", "w-1; w-2; gate < w-1 w-2; w-3 < gate; w-4 < gate; w-5 < w-3 w-4"),
            // A wave of three, two of them at once, and a smaller one before.
            (2, "w-1", "w-1; gate < w-1; w-2 < gate; w-3 < gate; w-4 < w-2 w-3; w-5 < w-4"),
            (3, "w-1 w-2", "w-1; w-2; gate < w-1 w-2; w-3 < gate; w-4 < gate; w-5 < gate"),
            (5, "", "w-1; w-2; w-3; w-4; w-5"),
        ] {
            assert_eq!(said(allowed, canary, steps), Vec::<String>::new(), "{allowed} {steps}");
        }
    }

    #[test]
    fn waves_that_do_not_are_flawed() {
        let many = |first: &str, last: &str, allowed: usize| {
            format!(
                "step {last} may begin while {first} runs: more than {allowed} workers would be out of service"
            )
        };
        let early = |step: &str, canary: &str| format!("step {step} does not wait for the canary: {canary}");
        for (allowed, canary, steps, want) in [
            (1, "", "w-1; w-2", vec![many("w-1", "w-2", 1)]),
            (1, "", "w-1; w-2 < w-1; w-3 < w-1", vec![many("w-2", "w-3", 1)]),
            (2, "", "w-1; w-2; w-3 < w-1; gate < w-2; w-4 < w-3 gate", vec![many("w-2", "w-4", 2)]),
            (2, "", "w-1; w-2; gate; w-3 < gate", vec![many("w-1", "w-3", 2)]),
            (2, "w-1", "w-1; w-2", vec![early("w-2", "w-1")]),
            (2, "w-2", "w-1; w-2 < w-1", vec![early("w-1", "w-2")]),
            (3, "w-1 w-2", "w-1; w-2; gate < w-1; w-3 < gate", vec![early("w-3", "w-2")]),
        ] {
            assert_eq!(said(allowed, canary, steps), want, "{allowed} {canary} {steps}");
        }
    }

    #[test]
    fn a_plan_that_says_nothing_of_waves_may_take_one_worker_at_a_time() {
        let mut steps = vec![step("w-1 w-1 -: restart"), step("w-2 w-2 -: restart")];
        steps.iter_mut().for_each(|step| step.stage = Stage::Node);
        let plan = plan(Some(cluster("cp-1 c36 e3.6.6; w-1 k36; w-2 k36")), "37", steps);
        assert!(matches!(check(&plan).as_slice(), [Flaw::TooManyAtOnce { allowed: 1, .. }]));
    }
}
