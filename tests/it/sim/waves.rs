//! Workers in waves: canaries, batches, gates and pauses, whatever happens between them.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use keelwright::exec::{Event, Outcome};
use keelwright::inventory::Inventory;
use keelwright::plan::show::{Detail, text};
use keelwright::plan::{Goal, Outline};
use keelwright::sim::world::World;
use keelwright::sim::{Fault, Faults, Run, Simulation};
use serde_json::{Value, json};

use super::crashes::stride;
use super::support::{hosts_text, inventory_of, name, settle};

const WAVES: &str = "canary: [worker-4], batchSize: 3, pauseBetweenWaves: 5m";

fn wished(version: &str, workers: usize, at_once: u32, upgrade: &str) -> Inventory {
    let workers: Vec<usize> = (1..=workers).collect();
    let policy = format!("policy: {{maxUnavailable: {at_once}, upgrade: {{{upgrade}}}}}\n");
    inventory_of(version, &(hosts_text(&[1], &workers) + &policy))
}

/// A cluster of one control plane that works, and the wish for the next minor.
fn upgrading(workers: usize, at_once: u32, upgrade: &str) -> Simulation {
    let mut simulation =
        Simulation::new(wished("v1.36.4", workers, at_once, upgrade), Faults::none()).unwrap();
    settle(&mut simulation);
    simulation.events.lock().unwrap().clear();
    simulation.edit(wished("v1.37.1", workers, at_once, upgrade)).unwrap();
    simulation
}

fn steps(outline: &Outline) -> Vec<&str> {
    outline.plan.steps.iter().map(|step| step.id.0.as_str()).collect()
}

/// Steps that began or ended, in order.
fn told(simulation: &Simulation) -> Vec<(Duration, String)> {
    let events = simulation.events.lock().unwrap();
    let told = events.iter().filter_map(|(at, event)| match event {
        Event::StepStarted { step, .. } => Some((*at, format!("begin {step}"))),
        Event::StepEnded { step, .. } | Event::StepFailed { step, .. } => Some((*at, format!("end {step}"))),
        _ => None,
    });
    told.collect()
}

fn moment(told: &[(Duration, String)], what: &str) -> Duration {
    told.iter().find(|(_, text)| text == what).unwrap_or_else(|| panic!("no {what} in {told:#?}")).0
}

/// The most workers that were out of service at once.
fn most_at_once(told: &[(Duration, String)]) -> usize {
    let (mut running, mut most) = (BTreeSet::new(), 0);
    for (_, text) in told.iter().filter(|(_, text)| text.contains(" worker-") && text.ends_with("/node")) {
        match text.split_once(' ').unwrap() {
            ("begin", step) => running.insert(step),
            (_, step) => running.remove(step),
        };
        most = most.max(running.len());
    }
    most
}

fn put(world: &mut World, object: Value) {
    let field = |pointer: &str| object.pointer(pointer).unwrap().as_str().unwrap().to_owned();
    let [version, kind, namespace, name] =
        ["/apiVersion", "/kind", "/metadata/namespace", "/metadata/name"].map(field);
    let store = world.clusters.values_mut().find(|cluster| cluster.established).unwrap();
    store.objects.insert(format!("{version}/{kind}/{namespace}/{name}"), object);
}

fn web(available: u64) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"namespace": "default", "name": "web"},
        "spec": {"replicas": 2}, "status": {"availableReplicas": available}})
}

fn failure(outcome: &Outcome, step: &str) -> String {
    let failed: Vec<_> = outcome.failed.iter().collect();
    assert!(matches!(failed.as_slice(), [(id, _)] if id.0 == step), "{failed:#?}");
    failed[0].1.error.clone()
}

fn ran(simulation: &mut Simulation) -> (Outcome, Outline) {
    let round = simulation.apply(Goal::Converge);
    let Run::Ran(outcome) = round.run else { panic!("{:?}", round.run) };
    (outcome, round.outline.unwrap())
}

fn kubelet(simulation: &Simulation, host: &str) -> String {
    simulation.fleet.world().kubelet_version(&name(host)).unwrap().to_string()
}

#[test]
fn a_canary_goes_first_and_then_batch_after_batch_with_pauses() {
    let mut simulation = upgrading(6, 2, WAVES);
    let outline = simulation.plan(Goal::Converge).unwrap().outline.unwrap();
    insta::assert_snapshot!(text(&outline, Detail::Steps));
    settle(&mut simulation);
    let told = told(&simulation);
    assert_eq!(most_at_once(&told), 2);
    for (earlier, later) in [
        ("end worker-4/node", "begin cluster/gate-canary"),
        ("end cluster/gate-canary", "begin operator/pause-canary"),
        ("end operator/pause-canary", "begin worker-1/node"),
        ("end worker-1/node", "begin worker-3/node"),
        ("end worker-3/node", "begin cluster/gate-1"),
        ("end operator/pause-1", "begin worker-5/node"),
        ("end worker-6/node", "begin cluster/gate-2"),
    ] {
        assert!(moment(&told, earlier) <= moment(&told, later), "{later} before {earlier}");
    }
    for pause in ["canary", "1"] {
        let began = moment(&told, &format!("begin operator/pause-{pause}"));
        let took = moment(&told, &format!("end operator/pause-{pause}")) - began;
        assert!(took >= Duration::from_secs(300) && took < Duration::from_secs(310), "{took:?}");
    }
}

#[test]
fn without_a_gate_waves_follow_each_other_as_nodes_come_back() {
    let mut simulation = upgrading(3, 1, "healthGate: false");
    let outline = simulation.plan(Goal::Converge).unwrap().outline.unwrap();
    assert!(!steps(&outline).iter().any(|step| step.contains("gate") || step.contains("pause")));
    assert!(outline.plan.rollout.as_ref().unwrap().workloads.is_empty());
    settle(&mut simulation);
    assert_eq!(most_at_once(&told(&simulation)), 1);
}

#[test]
fn a_pod_of_the_cluster_that_does_not_start_stops_all_later_waves() {
    let mut simulation = upgrading(4, 1, "canary: 1, pauseBetweenWaves: 1m");
    let waiting = json!([{"state": {"waiting": {"reason": "ImagePullBackOff"}}}]);
    let mut pod = json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": {"namespace": "kube-system", "name": "agent-x1",
            "ownerReferences": [{"kind": "DaemonSet", "name": "agent", "controller": true}]},
        "spec": {"nodeName": "worker-1"}, "status": {"containerStatuses": waiting}});
    put(&mut simulation.fleet.world(), pod.clone());
    let (outcome, _) = ran(&mut simulation);
    let error = failure(&outcome, "cluster/gate-canary");
    assert_eq!(error, "waited 300 s: pod kube-system/agent-x1 on worker-1 is ImagePullBackOff");
    assert_eq!(kubelet(&simulation, "worker-1"), "v1.37.1");
    for worker in ["worker-2", "worker-3", "worker-4"] {
        assert_eq!(kubelet(&simulation, worker), "v1.36.4", "{worker}");
    }
    // As long as it is so, the next run gets no further, and takes no other canary.
    let (outcome, outline) = ran(&mut simulation);
    assert!(failure(&outcome, "cluster/gate-earlier").contains("agent-x1"));
    let waves = outline.plan.rollout.unwrap().waves;
    assert!(waves.iter().all(|wave| !wave.is_canary()), "{waves:?}");
    pod["status"] = json!({"conditions": [{"type": "Ready", "status": "True"}]});
    put(&mut simulation.fleet.world(), pod);
    settle(&mut simulation);
}

/// Spoils or mends the world when a step begins.
fn when_it_begins(simulation: &mut Simulation, step: &'static str, act: fn(&mut World)) {
    let fleet = Arc::clone(&simulation.fleet);
    simulation.listener = Some(Box::new(move |_, event| {
        if matches!(event, Event::StepStarted { step: begun, .. } if begun.0 == step) {
            act(&mut fleet.world());
        }
    }));
}

#[test]
fn a_workload_that_loses_a_pod_in_the_pause_ends_it() {
    let mut simulation = upgrading(2, 1, "pauseBetweenWaves: 30m");
    put(&mut simulation.fleet.world(), web(2));
    when_it_begins(&mut simulation, "operator/pause-1", |world| put(world, web(1)));
    let (outcome, _) = ran(&mut simulation);
    let error = failure(&outcome, "operator/pause-1");
    assert_eq!(error, "after 0 s of the pause: Deployment default/web has 1 pods available, and had 2");
    let told = told(&simulation);
    let took = moment(&told, "end operator/pause-1") - moment(&told, "begin operator/pause-1");
    assert!(took >= Duration::from_secs(30) && took < Duration::from_secs(60), "{took:?}");
    assert_eq!(kubelet(&simulation, "worker-2"), "v1.36.4");
    // It is as it was when the next run looks: that one is about the nodes alone.
    simulation.listener = None;
    settle(&mut simulation);
}

#[test]
fn what_is_wrong_for_a_moment_ends_no_pause() {
    let mut simulation = upgrading(2, 1, "pauseBetweenWaves: 5m");
    put(&mut simulation.fleet.world(), web(2));
    let fleet = Arc::clone(&simulation.fleet);
    simulation.listener = Some(Box::new(move |_, event| {
        if matches!(event, Event::StepStarted { step, .. } if step.0 == "operator/pause-1") {
            put(&mut fleet.world(), web(1));
            let later = Arc::clone(&fleet);
            fleet.runtime.spawn(Box::pin(async move {
                later.runtime.wait(Duration::from_secs(20)).await;
                put(&mut later.world(), web(2));
            }));
        }
    }));
    let (outcome, _) = ran(&mut simulation);
    assert!(outcome.succeeded(), "{:?}", outcome.failed);
}

#[test]
fn a_run_that_is_killed_in_a_pause_is_taken_up_with_a_whole_one() {
    let mut simulation = upgrading(3, 1, "canary: 1, pauseBetweenWaves: 5m");
    let fleet = Arc::clone(&simulation.fleet);
    simulation.listener = Some(Box::new(move |_, event| {
        if matches!(event, Event::StepStarted { step, .. } if step.0 == "operator/pause-canary") {
            fleet.runtime.kill();
        }
    }));
    assert!(matches!(simulation.apply(Goal::Converge).run, Run::Killed));
    simulation.listener = None;
    let outline = simulation.plan(Goal::Converge).unwrap().outline.unwrap();
    let found = steps(&outline);
    let at = |step: &str| found.iter().position(|found| *found == step);
    assert!(at("cluster/gate-earlier") < at("operator/pause-earlier"), "{found:?}");
    assert!(at("operator/pause-earlier") < at("worker-2/node"), "{found:?}");
    assert_eq!(at("worker-1/node"), None);
    let before = simulation.fleet.runtime.now();
    settle(&mut simulation);
    assert!(simulation.fleet.runtime.now() - before > Duration::from_secs(600), "two whole pauses");
}

#[test]
fn no_more_workers_than_allowed_are_away_whatever_dies_meanwhile() {
    let boundaries = {
        let mut simulation = upgrading(4, 2, "canary: 1, pauseBetweenWaves: 1m");
        let before = simulation.fleet.world().faults.passed;
        settle(&mut simulation);
        simulation.fleet.world().faults.passed - before
    };
    for fault in [Fault::Kill, Fault::PowerCut, Fault::Fail] {
        for boundary in (1..=boundaries).step_by(usize::try_from(stride(61)).unwrap()) {
            let mut simulation = upgrading(4, 2, "canary: 1, pauseBetweenWaves: 1m");
            simulation.fleet.world().faults = Faults::once(boundary, fault);
            let trace = settle(&mut simulation);
            for (round, next) in trace.rounds.iter().zip(trace.rounds.iter().skip(1)) {
                let waves = |round: &keelwright::sim::Round| {
                    let rollout = round.outline.as_ref().and_then(|outline| outline.plan.rollout.clone());
                    rollout.map(|rollout| rollout.waves).unwrap_or_default()
                };
                let canaries = |round| waves(round).iter().filter(|wave| wave.is_canary()).cloned().collect();
                let (first, second): (Vec<_>, Vec<_>) = (canaries(round), canaries(next));
                assert!(second.is_empty() || first == second, "boundary {boundary}, {fault:?}");
            }
            if fault != Fault::Kill {
                assert!(most_at_once(&told(&simulation)) <= 2, "boundary {boundary}, {fault:?}");
            }
        }
    }
}
