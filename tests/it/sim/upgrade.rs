//! Upgrades: every intermediate state is legal, whatever fails.

use std::time::Duration;

use keelwright::inventory::Inventory;
use keelwright::plan::show::{Detail, text};
use keelwright::plan::{Action, Goal, Stage};
use keelwright::sim::disk::Entry;
use keelwright::sim::random::Random;
use keelwright::sim::{Fault, Faults, Run, Simulation};

use super::crashes::{everywhere_after, stride};
use super::seeds::{Suite, run};
use super::support::{external_etcd_at, hosts_at, name, settle, stacked_at};

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

/// etcd 3.7 ends on what 3.5 has left in the log, and reads all that came after the log's newest snapshot. One that
/// is only passed keeps snapshots as it goes, and the next waits for one that holds all there was.
#[test]
fn etcd_3_7_never_reads_the_log_of_3_5() {
    const MANIFEST: &str = "/etc/kubernetes/manifests/etcd.yaml";
    let mut simulation = upgrading("v1.34.4", "v1.37.1", 1, 0, Faults::none());
    let change_etcd = |simulation: &Simulation, from: &str, to: &str| {
        let mut world = simulation.fleet.world();
        let host = world.hosts.get_mut(&name("cp-1")).unwrap();
        let text = host.disk.content(MANIFEST).unwrap();
        assert!(text.contains(from), "{text}");
        host.disk.put_durable(MANIFEST, Entry::text(0o600, &text.replace(from, to)));
        host.images.extend(["3.5.35", "3.6.8"].map(|etcd| format!("registry.k8s.io/etcd:{etcd}-0")));
        world.settle(&name("cp-1"));
        drop(world);
        let runtime = &simulation.fleet.runtime;
        runtime.drive(runtime.wait(Duration::from_secs(60))).unwrap();
    };
    let told = |simulation: &mut Simulation, id: &str| -> (Vec<String>, String) {
        let outline = simulation.plan(Goal::Converge).unwrap().outline.unwrap();
        let step = outline.plan.steps.iter().find(|step| step.id.0 == id).unwrap();
        let does = step.actions.iter().map(|planned| told_briefly(&planned.action)).collect();
        (does, serde_json::to_string(&step.actions).unwrap())
    };
    change_etcd(&simulation, "etcd:3.6.5-0", "etcd:3.5.35-0");
    let (passed, text) = told(&mut simulation, "cp-1/etcd-3.6");
    assert!(text.contains("--snapshot-count=10\\n"), "{text}");
    assert!(!passed.contains(&"await-log-snapshot".to_owned()), "{passed:#?}");
    let (last, text) = told(&mut simulation, "cp-1/etcd");
    assert_eq!(last[..2], ["await-spare-voter", "await-log-snapshot"]);
    assert!(text.contains("--snapshot-count=10000\\n"), "what kubeadm has: {text}");
    // An apply that was interrupted between the two waits all the same; one that never met 3.5 does not.
    change_etcd(&simulation, "etcd:3.5.35-0", "etcd:3.6.8-0");
    let (direct, _) = told(&mut simulation, "cp-1/etcd");
    assert!(!direct.contains(&"await-log-snapshot".to_owned()), "{direct:#?}");
    change_etcd(&simulation, "--snapshot-count=10000\n", "--snapshot-count=10\n");
    assert_eq!(told(&mut simulation, "cp-1/etcd").0[..2], ["await-spare-voter", "await-log-snapshot"]);
}

/// What a step does, as the plan's JSON names it: `write-file kubeadm-flags.env`.
fn told_briefly(action: &Action) -> String {
    let value = serde_json::to_value(action).unwrap();
    let of = |key: &str| value[key].as_str().map(|text| text.rsplit('/').next().unwrap_or(text).to_owned());
    let what = ["path", "unit", "pod", "component"].iter().find_map(|key| of(key));
    [of("do"), what].into_iter().flatten().collect::<Vec<_>>().join(" ")
}

/// A kubelet of another minor makes every static pod anew, etcd too; and one of 1.35 or later ends when its flags
/// name the pause image, as those of 1.34 do.
#[test]
fn a_kubelet_is_exchanged_behind_the_quorum_and_with_flags_that_it_knows() {
    let mut simulation = upgrading("v1.34.4", "v1.37.1", 3, 1, Faults::none());
    let outline = simulation.plan(Goal::Converge).unwrap().outline.unwrap();
    let does = |id: &str| -> Vec<String> {
        let step = outline.plan.steps.iter().find(|step| step.id.0 == id).unwrap();
        step.actions.iter().map(|planned| told_briefly(&planned.action)).collect()
    };
    insta::assert_snapshot!(format!("{}\n\n{}", does("cp-2/node").join("\n"), does("worker-1/node").join("\n")), @r"
    await-spare-voter
    drain
    pause-kubelet
    restart-pod kube-scheduler
    restart-pod kube-controller-manager
    restart-pod kube-apiserver
    restart-pod etcd
    install-binary kubelet
    write-file config.toml
    restart-unit containerd.service
    write-file kubeadm-flags.env
    restart-unit kubelet.service
    await-pod etcd
    await-endpoint etcd
    await-pod kube-apiserver
    await-endpoint kube-apiserver
    await-pod kube-controller-manager
    await-endpoint kube-controller-manager
    await-pod kube-scheduler
    await-endpoint kube-scheduler
    await-node
    await-spare-voter
    uncordon

    drain
    install-binary kubelet
    write-file config.toml
    restart-unit containerd.service
    write-file kubeadm-flags.env
    restart-unit kubelet.service
    await-node
    uncordon
    ");
}

/// What runs on a control plane: etcd's and the API server's image.
fn images(simulation: &Simulation, host: &str) -> Vec<String> {
    let world = simulation.fleet.world();
    let pods = &world.hosts[&name(host)].pods;
    ["etcd", "kube-apiserver"].map(|pod| pods[pod].manifest.image.clone()).into()
}

#[test]
fn a_control_plane_that_does_not_come_up_is_put_back_and_the_others_are_left_alone() {
    let mut simulation = upgrading("v1.36.4", "v1.37.1", 3, 1, Faults::none());
    let poison = (name("cp-2"), "registry.k8s.io/kube-apiserver:v1.37.1".to_owned());
    simulation.fleet.world().poisoned = Some(poison);
    let round = simulation.apply(Goal::Converge);
    let Run::Ran(outcome) = &round.run else { panic!("{:?}", round.run) };
    let failed: Vec<String> = outcome.failed.iter().map(|(id, failure)| format!("{id}: {failure}")).collect();
    assert!(
        matches!(failed.as_slice(), [one] if one.starts_with("cp-2/control-plane") && one.ends_with("what was there before is back")),
        "{failed:#?}"
    );
    let api = |version: &str| {
        vec!["registry.k8s.io/etcd:3.7.0-0".to_owned(), format!("registry.k8s.io/kube-apiserver:{version}")]
    };
    assert_eq!(images(&simulation, "cp-1"), api("v1.37.1"));
    assert_eq!(images(&simulation, "cp-2"), api("v1.36.4"));
    assert_eq!(images(&simulation, "cp-3"), api("v1.36.4"));
    for host in ["cp-1", "cp-2", "cp-3"] {
        assert!(simulation.fleet.world().kube_ready(&name(host)).is_ok(), "{host}");
    }
    simulation.fleet.world().poisoned = None;
    settle(&mut simulation);
}

#[test]
fn a_kubelet_that_does_not_come_up_is_put_back_and_no_other_worker_begins() {
    let mut simulation = upgrading("v1.36.4", "v1.37.1", 1, 3, Faults::none());
    simulation.fleet.world().poisoned = Some((name("worker-1"), "kubelet:v1.37.1".to_owned()));
    let round = simulation.apply(Goal::Converge);
    let Run::Ran(outcome) = &round.run else { panic!("{:?}", round.run) };
    let failed: Vec<String> = outcome.failed.iter().map(|(id, failure)| format!("{id}: {failure}")).collect();
    assert!(
        matches!(failed.as_slice(), [one] if one.starts_with("worker-1/node") && one.ends_with("what was there before is back")),
        "{failed:#?}"
    );
    let kubelets = |simulation: &Simulation| {
        let world = simulation.fleet.world();
        ["cp-1", "worker-1", "worker-2", "worker-3"]
            .map(|host| world.kubelet_version(&name(host)).unwrap().to_string())
    };
    assert_eq!(kubelets(&simulation), ["v1.37.1", "v1.36.4", "v1.36.4", "v1.36.4"]);
    simulation.fleet.world().poisoned = None;
    settle(&mut simulation);
    assert_eq!(kubelets(&simulation), ["v1.37.1"; 4]);
}

#[test]
fn downgrades_skips_and_blind_upgrades_are_refused() {
    let refused = |simulation: &mut Simulation, part: &str| {
        let before = simulation.fleet.world().writes;
        let round = simulation.apply(Goal::Converge);
        let Run::Refused(error) = &round.run else { panic!("{:?}", round.run) };
        let said = std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string);
        assert!(said.contains(part), "{part:?} is not in {said:?}");
        assert_eq!(simulation.fleet.world().writes, before);
    };
    let mut back = upgrading("v1.37.1", "v1.36.4", 1, 0, Faults::none());
    refused(&mut back, "downgrades are not supported");
    let mut skipping = upgrading("v1.34.4", "v1.37.1", 1, 0, Faults::none());
    skipping.passing.clear();
    refused(&mut skipping, "passes 1.35, 1.36");
    let mut blind = upgrading("v1.36.4", "v1.37.1", 3, 0, Faults::none());
    blind.fleet.world().hosts.get_mut(&name("cp-3")).unwrap().unreachable_until = Duration::MAX;
    refused(&mut blind, "cp-3 cannot be reached");
}

/// From whatever half of an upgrade is there, it goes on to the same end.
#[test]
fn an_upgrade_survives_a_kill_at_every_boundary() {
    let begin = || upgrading("v1.35.4", "v1.37.1", 1, 1, Faults::none());
    everywhere_after(&begin, Fault::Kill, stride(13));
}

#[test]
fn an_upgrade_survives_losing_its_stage_at_every_boundary() {
    let begin = || upgrading("v1.34.4", "v1.36.4", 1, 1, Faults::none());
    everywhere_after(&begin, Fault::KillWithStage, stride(13));
}

#[test]
fn an_upgrade_survives_a_power_cut_at_every_boundary() {
    let begin = || upgrading("v1.36.4", "v1.37.1", 3, 1, Faults::none());
    everywhere_after(&begin, Fault::PowerCut, stride(83));
}

#[test]
fn an_upgrade_survives_lost_replies_at_every_boundary() {
    let begin = || upgrading("v1.36.4", "v1.37.1", 3, 1, Faults::none());
    everywhere_after(&begin, Fault::LostReply, stride(79));
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
    run(&Suite { test: "sim::upgrade", scenario, late: true, once_broken: &[11, 14, 23, 29, 59] });
}
