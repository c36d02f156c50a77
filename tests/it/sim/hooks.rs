//! The operator's own commands: around every host, wave and hop, in order, and a failure stops what it stands before.

use std::time::Duration;

use keelwright::exec::{Event, Failure};
use keelwright::inventory::{HookPlace, Inventory};
use keelwright::plan::show::{Detail, text};
use keelwright::plan::{Goal, Outline};
use keelwright::sim::{Fault, Faults, RanHook, Run, Simulation};

use super::crashes::stride;
use super::support::{hosts_text, inventory_of, settle};

const HOOKS: &str = "hooks:
  - {name: silence, when: before-hop, command: [./silence.sh, \"on\"]}
  - {name: speak, when: after-hop, command: [./silence.sh, \"off\"]}
  - {name: announce, when: before-wave, command: [sh, -c, 'echo \"$KEELWRIGHT_HOSTS\"']}
  - {name: smoke-test, when: after-wave, command: [./smoke-test.sh], timeout: 20m}
  - {name: leave, when: before-host, command: [./balancer.sh, leave]}
  - {name: note, when: before-host, where: host, command: [/usr/local/bin/note], roles: [worker]}
  - {name: join, when: after-host, command: [./balancer.sh, join]}
";

fn wished(version: &str, control_planes: usize, more: &str) -> Inventory {
    let control_planes: Vec<usize> = (1..=control_planes).collect();
    inventory_of(version, &(hosts_text(&control_planes, &[1, 2]) + HOOKS + more))
}

/// A cluster that works, which no hook has seen, and the wish for another one.
fn changing(from: Inventory, to: Inventory) -> Simulation {
    let mut simulation = Simulation::new(from, Faults::none()).unwrap();
    settle(&mut simulation);
    assert_eq!(simulation.fleet.world().hooks, [], "nothing was replaced, so there is nothing around it");
    simulation.events.lock().unwrap().clear();
    simulation.edit(to).unwrap();
    simulation
}

fn upgrading(from: &str, control_planes: usize) -> Simulation {
    changing(wished(from, control_planes, ""), wished("v1.37.1", control_planes, ""))
}

fn outline(simulation: &mut Simulation) -> Outline {
    simulation.plan(Goal::Converge).unwrap().outline.unwrap()
}

/// The one step that failed.
fn failure(simulation: &mut Simulation) -> (String, Failure) {
    let round = simulation.apply(Goal::Converge);
    let Run::Ran(outcome) = round.run else { panic!("{:?}", round.run) };
    let failed: Vec<_> = outcome.failed.into_iter().collect();
    let [(id, failure)] = failed.as_slice() else { panic!("{failed:#?}") };
    (id.0.clone(), failure.clone())
}

/// What a hook is about: a host's turn, a wave or a hop.
fn about(ran: &RanHook) -> String {
    let what = ran.says("WHEN").split_once('-').unwrap().1;
    format!("{what} {}{} {} to {}", ran.says("HOST"), ran.says("WAVE"), ran.says("STAGE"), ran.says("TO"))
}

/// `before-hop etcd 3.6.6 to 3.7.0`, one a line.
fn story(ran: &[RanHook]) -> String {
    let line = |ran: &RanHook| {
        let words =
            ["HOOK", "WHEN", "HOST", "WAVE", "HOSTS", "STAGE", "FROM", "TO"].map(|name| ran.says(name));
        let words: Vec<&str> = words.into_iter().filter(|word| !word.is_empty()).collect();
        format!("{}\n", words.join(" "))
    };
    ran.iter().map(line).collect()
}

#[test]
fn hooks_stand_in_the_plan_where_they_run() {
    let mut simulation = upgrading("v1.35.4", 3);
    let outline = outline(&mut simulation);
    insta::assert_snapshot!(text(&outline, Detail::Steps));
    let everything = text(&outline, Detail::Everything);
    assert!(
        everything.contains(
            "    run hook leave on your machine: asked for\n        /srv/cluster/balancer.sh leave\n"
        )
    );
    assert!(everything.contains("    run hook note on the host: asked for\n        /usr/local/bin/note\n"));
    assert!(everything.contains("        sh -c 'echo \"$KEELWRIGHT_HOSTS\"'\n"), "{everything}");
}

#[test]
fn hooks_run_in_order_around_every_host_wave_and_hop() {
    let mut simulation = upgrading("v1.35.4", 3);
    settle(&mut simulation);
    let ran = simulation.fleet.world().hooks.clone();
    insta::assert_snapshot!(story(&ran));
    let mut open: Vec<String> = Vec::new();
    for hook in &ran {
        let (before, what) = (hook.says("WHEN").starts_with("before"), about(hook));
        // What it is about had not begun, or was over.
        let version = hook.says(if before { "FROM" } else { "TO" });
        let saw: Vec<&str> = hook.saw.iter().map(String::as_str).collect();
        assert_eq!(saw, [version], "{what}: {}", hook.says("HOOK"));
        match before {
            true if open.last() == Some(&what) => {}
            true => open.push(what),
            false => assert_eq!(open.pop(), Some(what), "hooks are nested"),
        }
        let is_note = hook.says("HOOK") == "note";
        assert_eq!(hook.place, if is_note { HookPlace::Host } else { HookPlace::Local });
        assert_eq!(hook.says("CLUSTER"), "sim");
        assert_eq!(hook.environment.len(), 10);
    }
    assert_eq!(open, Vec::<String>::new());
    // Each turn of a host lies between its own hooks, and between nobody else's.
    let events = simulation.events.lock().unwrap();
    let turns = events.iter().filter_map(|(at, event)| match event {
        Event::StepStarted { step, target, .. } => Some((*at, step.0.clone(), target.to_string())),
        _ => None,
    });
    let is_turn = |id: &str| ["/etcd", "/control-plane", "/node"].iter().any(|stage| id.contains(stage));
    let turns: Vec<(Duration, String, String)> = turns.filter(|(_, id, _)| is_turn(id)).collect();
    let around = |hook: &&RanHook| hook.says("WHEN").ends_with("-host") && hook.says("HOOK") != "note";
    let of_hosts: Vec<&RanHook> = ran.iter().filter(around).collect();
    assert_eq!(of_hosts.len(), turns.len() * 2);
    for ((began, id, host), pair) in turns.iter().zip(of_hosts.chunks(2)) {
        assert!(pair[0].at <= *began && *began < pair[1].at, "{id}");
        assert_eq!([pair[0].says("HOST"), pair[1].says("HOST")], [host.as_str(); 2], "{id}");
    }
}

#[test]
fn a_hook_that_fails_keeps_what_comes_after_it_from_beginning() {
    for (hook, step, begins) in [
        (
            "silence",
            "operator/before-hop-1.37",
            "hook silence (before-hop, on your machine) for operator: exit status 3",
        ),
        (
            "leave",
            "cp-1/before-control-plane",
            "hook leave (before-host, on your machine) for cp-1: exit status 3",
        ),
        ("note", "worker-1/before-node", "hook note (before-host, on the host) for worker-1: exit status 3"),
        ("announce", "operator/before-wave-1", "hook announce (before-wave, on your machine) for operator:"),
    ] {
        // One minor of the control plane; etcd stays.
        let mut simulation = changing(wished("v1.37.0", 1, ""), wished("v1.37.1", 1, ""));
        simulation.fleet.world().failing_hook = Some(hook.to_owned());
        let (id, failure) = failure(&mut simulation);
        assert_eq!(id, step);
        assert!(failure.error.starts_with(begins), "{failure}");
        assert!(failure.error.ends_with("\n    as the test wants it"), "{failure}");
        let hint = failure.hint.unwrap();
        assert!(
            hint.contains("nothing that comes after it was begun")
                && hint.ends_with("\n    keelwright apply")
        );
        let world = simulation.fleet.world();
        let last = world.hooks.last().unwrap();
        assert_eq!((last.says("HOOK"), last.says("TO")), (hook, "v1.37.1"));
        assert!(last.saw.contains("v1.37.0") && last.saw.len() == 1, "{hook}: {:?}", last.saw);
        drop(world);
        simulation.fleet.world().failing_hook = None;
        settle(&mut simulation);
    }
}

#[test]
fn a_hook_that_fails_afterwards_stops_the_next_and_undoes_nothing() {
    let mut simulation = changing(wished("v1.37.0", 1, ""), wished("v1.37.1", 1, ""));
    simulation.fleet.world().failing_hook = Some("smoke-test".to_owned());
    let (id, failure) = failure(&mut simulation);
    assert_eq!(id, "operator/after-wave-1");
    assert!(failure.hint.unwrap().contains("run the hook by hand"));
    let kubelets = |simulation: &Simulation| {
        let world = simulation.fleet.world();
        let hosts = world.hosts.keys().filter(|name| name.as_str().starts_with("worker"));
        let versions: Vec<_> = hosts.map(|name| world.kubelet_version(name).unwrap().to_string()).collect();
        versions
    };
    assert_eq!(kubelets(&simulation), ["v1.37.1", "v1.37.0"]);
    simulation.fleet.world().hooks.clear();
    simulation.fleet.world().failing_hook = None;
    settle(&mut simulation);
    let ran = simulation.fleet.world().hooks.clone();
    assert!(ran.iter().all(|hook| hook.says("HOSTS") != "worker-1" && hook.says("HOST") != "worker-1"));
    assert_eq!(ran.last().map(|hook| hook.says("HOSTS")), Some("worker-2"));
}

#[test]
fn a_change_of_settings_has_hosts_and_no_hops() {
    let flag = "apiServer: {extraArgs: {v: 3}}\n";
    let mut simulation = changing(wished("v1.37.1", 3, ""), wished("v1.37.1", 3, flag));
    settle(&mut simulation);
    let ran = simulation.fleet.world().hooks.clone();
    let told: Vec<String> =
        ran.iter().map(|hook| format!("{} {}", hook.says("WHEN"), hook.says("HOST"))).collect();
    let want = ["cp-1", "cp-2", "cp-3"]
        .iter()
        .flat_map(|host| ["before-host", "after-host"].map(|when| format!("{when} {host}")));
    assert_eq!(told, want.collect::<Vec<_>>());
    assert!(ran.iter().all(|hook| hook.says("FROM") == "v1.37.1" && hook.says("TO") == "v1.37.1"));
}

#[test]
fn nothing_is_touched_before_its_hooks_have_run_whenever_the_operator_dies() {
    let make = || changing(wished("v1.37.0", 1, ""), wished("v1.37.1", 1, ""));
    let (boundaries, wanted) = {
        let mut simulation = make();
        let before = simulation.fleet.world().faults.passed;
        settle(&mut simulation);
        let world = simulation.fleet.world();
        (world.faults.passed - before, befores(&world.hooks))
    };
    assert!(wanted.len() > 5, "{wanted:?}");
    for boundary in (1..=boundaries).step_by(usize::try_from(stride(29)).unwrap()) {
        let mut simulation = make();
        simulation.fleet.world().faults = Faults::once(boundary, Fault::Kill);
        settle(&mut simulation);
        let found = befores(&simulation.fleet.world().hooks);
        // A wave that was half done is numbered anew, and a hop that was half done is shorter.
        assert!(
            wanted.iter().all(|what| found.contains(what)),
            "boundary {boundary}: {wanted:#?} {found:#?}"
        );
    }
}

/// The turns of hosts that hooks have run before.
fn befores(ran: &[RanHook]) -> Vec<String> {
    let before = ran.iter().filter(|hook| hook.says("WHEN") == "before-host");
    let mut all: Vec<String> = before
        .map(|hook| format!("{} {} {}", hook.says("HOOK"), hook.says("HOST"), hook.says("STAGE")))
        .collect();
    all.sort();
    all.dedup();
    all
}
