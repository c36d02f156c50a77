//! The timeline of a simulated upgrade.

use keelwright::exec::Event;
use keelwright::sim::{Faults, Simulation};
use keelwright::timeline::{Component, HostTimeline, Running, Timeline};

use super::support::{settle, simulation, stacked_at};

fn upgrading() -> Simulation {
    let mut simulation = simulation(stacked_at("v1.34.4", 3, 2));
    settle(&mut simulation);
    simulation.edit(stacked_at("v1.37.1", 3, 2)).unwrap();
    simulation
}

fn events(simulation: &Simulation) -> Vec<String> {
    let events = simulation.events.lock().unwrap();
    let told = |(at, event): &(std::time::Duration, Event)| format!("{at:?} {event:?}");
    events.iter().map(told).collect()
}

/// The versions a component went through, as `1.34.4 1.35.4`; one that was made anew counts once.
fn versions(host: &HostTimeline, component: Component) -> String {
    let found = host.components.iter().find(|found| found.component == component).unwrap();
    let versions = found.spans.iter().filter(|span| span.version != Running::Away);
    let mut versions: Vec<&str> = versions.map(|span| span.version.as_str()).collect();
    versions.dedup();
    versions.join(" ")
}

fn check_spans(timeline: &Timeline) {
    for host in &timeline.hosts {
        for found in &host.components {
            for span in &found.spans {
                assert!(span.from < span.to && span.to <= timeline.seconds, "{} {found:?}", host.host);
            }
            for pair in found.spans.windows(2) {
                assert!(pair[0].to <= pair[1].from && pair[0].version != pair[1].version, "{pair:?}");
            }
        }
    }
}

#[test]
fn an_upgrade_over_three_minors_is_seen_component_by_component() {
    let mut simulation = upgrading();
    let watch = simulation.watch();
    let trace = settle(&mut simulation);
    let timeline = watch.timeline(&simulation, "three minors");
    check_spans(&timeline);
    assert!((timeline.seconds - trace.took.as_secs_f64()).abs() < 1e-6);
    let names: Vec<&str> = timeline.hosts.iter().map(|host| host.host.as_str()).collect();
    assert_eq!(names, ["cp-1", "cp-2", "cp-3", "worker-1", "worker-2"]);
    for host in &timeline.hosts {
        let is_worker = host.host.as_str().starts_with("worker");
        if is_worker {
            assert_eq!(host.components.len(), 2, "{}", host.host);
            assert_eq!(versions(host, Component::KubeProxy), "1.34.4 1.37.1");
            assert_eq!((host.cordoned.len(), host.drained.len()), (1, 1), "{}", host.host);
        } else {
            let api = versions(host, Component::KubeApiserver);
            assert_eq!(api, "1.34.4 1.35.4 1.36.4 1.37.1", "{}", host.host);
            assert!(versions(host, Component::Etcd).ends_with("3.7.0"), "{}", host.host);
        }
        assert!(versions(host, Component::Kubelet).ends_with("1.37.1"), "{}", host.host);
    }
    let api = &timeline.clients[0];
    let (ok, retried, failed) = api.total();
    assert_eq!(failed, 0, "some API server always answers");
    assert!(retried > 0 && ok > retried, "{ok} {retried}");
    assert_eq!(api.seconds.len() as u64, ok + retried, "one call a second");
    assert!(timeline.svg().contains("1.36.4"));
}

#[test]
fn watching_changes_nothing() {
    let (mut alone, mut watched) = (upgrading(), upgrading());
    for simulation in [&mut alone, &mut watched] {
        simulation.fleet.world().faults = Faults::random(7, keelwright::sim::Amount::Some);
    }
    let watch = watched.watch();
    settle(&mut alone);
    settle(&mut watched);
    assert_eq!(events(&alone), events(&watched));
    assert_eq!(alone.fleet.world().fingerprint(), watched.fleet.world().fingerprint());
    let timeline = watch.timeline(&watched, "");
    assert_eq!(timeline, watch.timeline(&watched, ""));
}

#[test]
fn before_a_cluster_is_there_nobody_calls_and_nothing_is_away() {
    let mut simulation = simulation(stacked_at("v1.37.1", 1, 1));
    let watch = simulation.watch();
    settle(&mut simulation);
    let timeline = watch.timeline(&simulation, "install");
    check_spans(&timeline);
    for found in timeline.hosts.iter().flat_map(|host| &host.components) {
        assert_ne!(found.spans[0].version, Running::Away);
        assert!(found.spans[0].from > 0.0, "{found:?}");
    }
    let first = timeline.clients[0].seconds[0];
    assert!(first.at > 0 && first.calls() == 1, "{first:?}");
}
