//! One scenario a test: it converges, and then there is nothing left to do. The text of its plan is a
//! snapshot.

use keelwright::plan::show::{Detail, text};
use keelwright::plan::{Action, Goal, PlanError, Stage};
use keelwright::sim::disk::Entry;
use keelwright::sim::{Run, Simulation};

use super::support::{external_etcd, hosts, inventory, name, settle, simulation, single_node, stacked, told};

/// The plan that would be shown now.
fn plan_text(simulation: &mut Simulation) -> String {
    let look = simulation.plan(Goal::Converge).unwrap();
    text(&look.outline.unwrap(), Detail::Steps)
}

/// Settles the first inventory, edits it, and returns the plan for the edit.
fn edited(
    first: keelwright::inventory::Inventory,
    then: keelwright::inventory::Inventory,
) -> (Simulation, String) {
    let mut simulation = simulation(first);
    settle(&mut simulation);
    simulation.edit(then).unwrap();
    let plan = plan_text(&mut simulation);
    settle(&mut simulation);
    (simulation, plan)
}

fn members(simulation: &Simulation) -> Vec<String> {
    simulation.fleet.world().membership()
}

#[test]
fn single_node_converges() {
    let mut simulation = simulation(single_node());
    insta::assert_snapshot!(plan_text(&mut simulation));
    settle(&mut simulation);
}

#[test]
fn three_and_two_converges_in_one_run() {
    let mut simulation = simulation(stacked(3, 2));
    insta::assert_snapshot!(plan_text(&mut simulation));
    let trace = settle(&mut simulation);
    assert_eq!(trace.rounds.len(), 2, "{}", told(&simulation, &trace));
}

#[test]
fn external_etcd_converges() {
    let mut simulation = simulation(external_etcd());
    insta::assert_snapshot!(plan_text(&mut simulation));
    settle(&mut simulation);
}

#[test]
fn a_prefetch_brings_artifacts_and_starts_nothing() {
    let mut simulation = simulation(stacked(3, 2));
    let round = simulation.apply(Goal::Prefetch);
    let Run::Ran(outcome) = &round.run else { panic!("{:?}", round.run) };
    assert!(outcome.succeeded(), "{outcome:?}");
    assert!(members(&simulation).is_empty());
    let look = simulation.plan(Goal::Converge).unwrap();
    let left: Vec<Stage> = look.outline.unwrap().plan.steps.iter().map(|step| step.stage).collect();
    assert!(left.contains(&Stage::Start));
    assert!(!left.contains(&Stage::Upload) && !left.contains(&Stage::Prepare), "{left:?}");
    settle(&mut simulation);
    assert_eq!(members(&simulation).len(), 3);
}

#[test]
fn a_second_run_changes_nothing_anywhere() {
    let mut simulation = simulation(stacked(3, 2));
    settle(&mut simulation);
    let before = simulation.fleet.world().writes;
    let round = simulation.apply(Goal::Converge);
    assert!(matches!(round.run, Run::Nothing), "{:?}", round.run);
    assert_eq!(simulation.fleet.world().writes, before);
}

#[test]
fn equal_inputs_give_equal_plans() {
    let plan = || {
        let mut simulation = simulation(stacked(3, 2));
        let look = simulation.plan(Goal::Converge).unwrap();
        serde_json::to_string(&look.outline.unwrap().plan).unwrap()
    };
    assert_eq!(plan(), plan());
}

#[test]
fn equal_seeds_give_equal_runs() {
    let run = || {
        let faults = keelwright::sim::Faults::random(7, keelwright::sim::Amount::Many);
        let mut simulation = Simulation::new(stacked(3, 1), faults).unwrap();
        let trace = simulation.converge(Goal::Converge);
        let events = simulation.events.lock().unwrap().clone();
        (trace.took, format!("{events:?}"))
    };
    assert_eq!(run(), run());
}

#[test]
fn a_worker_joins() {
    let (_, plan) = edited(hosts(&[1], &[1]), hosts(&[1], &[1, 2]));
    insta::assert_snapshot!(plan);
}

#[test]
fn a_control_plane_joins() {
    let (simulation, plan) = edited(hosts(&[1, 2, 3], &[1]), hosts(&[1, 2, 3, 4], &[1]));
    insta::assert_snapshot!(plan);
    assert_eq!(members(&simulation).len(), 4);
    assert!(members(&simulation).iter().all(|member| member.ends_with("learner=false")));
}

#[test]
fn one_control_plane_becomes_three() {
    let (simulation, plan) = edited(hosts(&[1], &[]), hosts(&[1, 2, 3], &[]));
    insta::assert_snapshot!(plan);
    assert_eq!(members(&simulation).len(), 3);
}

#[test]
fn the_first_control_plane_is_replaced() {
    let (simulation, plan) = edited(hosts(&[1, 2, 3], &[1]), hosts(&[2, 3, 4], &[1]));
    insta::assert_snapshot!(plan);
    let members = members(&simulation);
    assert_eq!(members.len(), 3);
    assert!(members.iter().all(|member| !member.contains("cp-1")), "{members:?}");
    let world = simulation.fleet.world();
    assert!(!world.hosts[&name("cp-1")].disk.is_directory("/etc/kubernetes"));
    assert!(!world.stored().contains_key(&"v1/Node//cp-1".to_owned()));
}

#[test]
fn a_worker_is_removed() {
    let (simulation, plan) = edited(hosts(&[1], &[1, 2]), hosts(&[1], &[2]));
    insta::assert_snapshot!(plan);
    let world = simulation.fleet.world();
    assert!(!world.stored().contains_key(&"v1/Node//worker-1".to_owned()));
    assert!(world.hosts[&name("worker-1")].disk.get("/etc/keelwright").is_none());
}

#[test]
fn a_host_that_cannot_be_reached_blocks_nobody() {
    let mut simulation = simulation(stacked(3, 2));
    simulation.lost = vec![name("worker-2"), name("cp-3")];
    for lost in simulation.lost.clone() {
        simulation.fleet.world().hosts.get_mut(&lost).unwrap().unreachable_until = std::time::Duration::MAX;
    }
    insta::assert_snapshot!(plan_text(&mut simulation));
    settle(&mut simulation);
    let mut world = simulation.fleet.world();
    assert!(world.kube_ready(&name("cp-1")).is_ok());
    // When they come back they are caught up with.
    for lost in simulation.lost.clone() {
        world.hosts.get_mut(&lost).unwrap().unreachable_until = std::time::Duration::ZERO;
    }
    drop(world);
    simulation.lost.clear();
    settle(&mut simulation);
    assert_eq!(members(&simulation).len(), 3);
}

#[test]
fn reset_leaves_nothing_of_ours() {
    let mut simulation = simulation(stacked(3, 2));
    let before = simulation.fleet.world().fingerprint();
    settle(&mut simulation);
    let round = simulation.apply(Goal::Reset);
    let Run::Ran(outcome) = &round.run else { panic!("{:?}", round.run) };
    assert!(outcome.succeeded(), "{outcome:?}");
    let after = simulation.fleet.world().fingerprint();
    let left: Vec<&String> = after
        .keys()
        .filter(|key| key.contains(":/") && !key.starts_with("member ") && !before.contains_key(*key))
        .filter(|key| !key.contains("/etc/systemd/system"))
        .collect();
    assert!(left.is_empty(), "{left:#?}");
    let ours =
        |key: &&String| key.contains(" unit ") && (key.contains("kubelet") || key.contains("keelwright"));
    assert_eq!(after.keys().find(ours), None);
}

#[test]
fn another_clusters_machine_is_refused_and_not_touched() {
    for (path, content) in [
        ("/etc/keelwright/host.json", r#"{"cluster":"other","uid":"not-ours","host":"worker-1"}"#),
        ("/etc/rancher/k3s", "x"),
        ("/etc/kubernetes/kubelet.conf", "of kubeadm"),
    ] {
        let mut simulation = simulation(stacked(1, 1));
        {
            let mut world = simulation.fleet.world();
            let host = world.hosts.get_mut(&name("worker-1")).unwrap();
            host.disk.make_directories(path.rsplit_once('/').unwrap().0);
            host.disk.put(path, Entry::text(0o644, content));
        }
        for goal in [Goal::Converge, Goal::Reset] {
            let before = simulation.fleet.world().writes;
            let round = simulation.apply(goal);
            assert!(matches!(round.run, Run::Refused(PlanError::Refused(_))), "{path}: {:?}", round.run);
            assert_eq!(simulation.fleet.world().writes, before);
        }
    }
}

#[test]
fn a_wiped_member_is_joined_anew_and_never_started_empty() {
    let mut simulation = simulation(stacked(3, 0));
    settle(&mut simulation);
    simulation.fleet.world().wipe(&name("cp-2"));
    let look = simulation.plan(Goal::Converge).unwrap();
    let outline = look.outline.unwrap();
    insta::assert_snapshot!(text(&outline, Detail::Steps));
    settle(&mut simulation);
    let members = members(&simulation);
    assert_eq!(members.len(), 3);
    assert!(members.iter().all(|member| member.ends_with("learner=false")), "{members:?}");
}

#[test]
fn a_changed_flag_rolls_one_control_plane_at_a_time() {
    let base = stacked(3, 0);
    let mut changed = base.clone();
    changed.etcd.extra_args.push(keelwright::inventory::ExtraArg {
        name: "heartbeat-interval".to_owned(),
        value: "200".to_owned(),
    });
    let (_, plan) = edited(base, changed);
    insta::assert_snapshot!(plan);
}

#[test]
fn an_upload_is_planned_once_for_a_host() {
    let mut simulation = simulation(single_node());
    let look = simulation.plan(Goal::Converge).unwrap();
    let plan = look.outline.unwrap().plan;
    let mut digests = std::collections::BTreeSet::new();
    for planned in plan.steps.iter().filter(|step| step.stage == Stage::Upload).flat_map(|step| &step.actions)
    {
        let Action::Upload { sha256, .. } = &planned.action else { panic!("{planned:?}") };
        assert!(digests.insert(*sha256));
    }
    assert!(digests.len() > 10);
}

#[test]
fn clocks_that_differ_too_much_are_refused() {
    let mut simulation = simulation(inventory(
        "hosts:\n  - {name: node-1, address: 192.0.2.11, roles: [control-plane, worker]}\n",
    ));
    for offset in [600, -600, -90] {
        simulation.fleet.world().hosts.get_mut(&name("node-1")).unwrap().clock_offset = offset;
        let round = simulation.apply(Goal::Converge);
        assert!(matches!(round.run, Run::Refused(_)), "{offset}: {:?}", round.run);
    }
}

/// An inventory of one control plane and one worker with this pod network, and an add-on.
fn with_manifests(plugin: &str) -> keelwright::inventory::Inventory {
    inventory(&format!(
        "hosts:
  - {{name: cp-1, address: 192.0.2.11, roles: [control-plane]}}
  - {{name: worker-1, address: 192.0.2.101}}
network: {{podCidrs: [10.64.0.0/16], plugin: {plugin}}}
addons: [{{name: metrics, source: metrics.yaml}}]
"
    ))
}

#[test]
fn a_network_plugin_and_an_addon_come_from_their_manifests() {
    let mut simulation = simulation(with_manifests("{name: manifest, source: cni.yaml}"));
    let look = simulation.plan(Goal::Converge).unwrap();
    insta::assert_snapshot!(text(&look.outline.unwrap(), Detail::Steps));
    settle(&mut simulation);
    let world = simulation.fleet.world();
    for image in ["registry.example/pod-network:v1", "registry.example/metrics:v1"] {
        assert!(world.hosts.values().all(|host| host.images.contains(image)), "{image}");
    }
    let stored = world.stored();
    for key in ["apps/v1/DaemonSet/kube-system/pod-network", "apps/v1/Deployment/metrics/metrics"] {
        assert!(stored.contains_key(&key.to_owned()), "{key}");
    }
}

#[test]
fn every_network_plugin_converges_and_is_told_the_pod_range() {
    for (plugin, place) in [
        ("{name: calico, version: v3.30.3}", "CALICO_IPV4POOL_CIDR"),
        ("{name: flannel, version: v0.27.4}", "net-conf.json"),
        ("{name: cilium, version: v1.18.1, source: cilium.yaml}", "cluster-pool-ipv4-cidr"),
    ] {
        let mut simulation = simulation(with_manifests(plugin));
        settle(&mut simulation);
        let world = simulation.fleet.world();
        let told = |object: &serde_json::Value| {
            object.to_string().contains(place) && object.to_string().contains("10.64.0.0/16")
        };
        assert!(world.stored().values().any(|object| told(object)), "{plugin}");
    }
}

#[test]
fn an_addon_that_is_added_later_is_all_that_is_planned() {
    let with = with_manifests("routes");
    let mut without = with.clone();
    without.addons.clear();
    let (_, plan) = edited(without, with);
    // Its images are on every node before any pod asks for them.
    insta::assert_snapshot!(plan);
}
