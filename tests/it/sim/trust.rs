//! Keys, certificates and manifests that others have touched, and those that run out.

use std::time::Duration;

use keelwright::plan::Goal;
use keelwright::plan::show::{Detail, text};
use keelwright::sim::disk::Entry;
use keelwright::sim::{Run, Simulation};

use super::support::{name, settle, simulation, stacked};

const ETCD_MANIFEST: &str = "/etc/kubernetes/manifests/etcd.yaml";

fn manifest(simulation: &Simulation, host: &str) -> String {
    simulation.fleet.world().hosts[&name(host)].disk.content(ETCD_MANIFEST).unwrap()
}

/// What `kubeadm upgrade` leaves: the member alone in its list.
fn upgrade_by_kubeadm(simulation: &Simulation, host: &str, own: &str) {
    let text: String = manifest(simulation, host)
        .lines()
        .filter(|line| !line.contains("--initial-cluster-token="))
        .map(|line| match line.split_once("--initial-cluster=") {
            Some((head, _)) => format!("{head}--initial-cluster={own}\n"),
            None => format!("{line}\n"),
        })
        .collect();
    let mut world = simulation.fleet.world();
    let found = world.hosts.get_mut(&name(host)).unwrap();
    found.disk.put_durable(ETCD_MANIFEST, Entry::text(0o600, &text));
    world.settle(&name(host));
    drop(world);
    pass(simulation, 60);
}

fn pass(simulation: &Simulation, seconds: u64) {
    let runtime = &simulation.fleet.runtime;
    runtime.drive(runtime.wait(Duration::from_secs(seconds))).unwrap();
}

#[test]
fn a_partial_member_list_of_kubeadms_restarts_nobody() {
    let mut simulation = simulation(stacked(3, 0));
    settle(&mut simulation);
    upgrade_by_kubeadm(&simulation, "cp-2", "cp-2=https://192.0.2.12:2380");
    assert!(!manifest(&simulation, "cp-2").contains("cp-1="));
    let round = simulation.apply(Goal::Converge);
    assert!(matches!(round.run, Run::Nothing), "{}", text(&round.outline.unwrap(), Detail::Everything));
}

#[test]
fn a_manifest_that_is_written_again_names_all_members() {
    let mut simulation = simulation(stacked(3, 0));
    settle(&mut simulation);
    upgrade_by_kubeadm(&simulation, "cp-2", "cp-2=https://192.0.2.12:2380");
    let mut changed = stacked(3, 0);
    changed.etcd.extra_args.push(keelwright::inventory::ExtraArg {
        name: "heartbeat-interval".to_owned(),
        value: "200".to_owned(),
    });
    simulation.edit(changed).unwrap();
    settle(&mut simulation);
    for host in ["cp-1", "cp-2", "cp-3"] {
        let text = manifest(&simulation, host);
        assert!(["cp-1=", "cp-2=", "cp-3="].iter().all(|peer| text.contains(peer)), "{text}");
        assert!(text.contains("--initial-cluster-token=etcd-token-of-sim"), "{text}");
    }
}

/// Nine months: past two thirds of a leaf's year.
const NINE_MONTHS: u64 = 270 * 86_400;

#[test]
fn certificates_are_renewed_one_control_plane_at_a_time() {
    let mut simulation = simulation(stacked(3, 1));
    settle(&mut simulation);
    pass(&simulation, NINE_MONTHS);
    let look = simulation.plan(Goal::Converge).unwrap();
    insta::assert_snapshot!(text(&look.outline.unwrap(), Detail::Everything));
    settle(&mut simulation);
    let world = simulation.fleet.world();
    for host in ["cp-1", "cp-2", "cp-3"] {
        let host = &world.hosts[&name(host)];
        let now = host.kubernetes_files();
        for pod in ["kube-apiserver", "kube-controller-manager", "kube-scheduler"] {
            assert!(host.pods[pod].read == now, "{}: {pod} runs with old certificates", host.host.name);
        }
    }
}

#[test]
fn eight_months_are_too_early_to_renew() {
    let mut simulation = simulation(stacked(1, 1));
    settle(&mut simulation);
    pass(&simulation, 240 * 86_400);
    assert!(matches!(simulation.apply(Goal::Converge).run, Run::Nothing));
}

#[test]
fn a_restart_that_a_crash_left_out_is_made_up_for() {
    let mut simulation = simulation(stacked(1, 0));
    settle(&mut simulation);
    {
        let mut world = simulation.fleet.world();
        let host = world.hosts.get_mut(&name("cp-1")).unwrap();
        // The certificate was written, and then the operator's machine was gone.
        let path = "/etc/kubernetes/pki/apiserver.crt".to_owned();
        let old = keelwright::digest::Digest::of(b"what it held before");
        host.pods.get_mut("kube-apiserver").unwrap().read.insert(path, old);
    }
    let look = simulation.plan(Goal::Converge).unwrap();
    insta::assert_snapshot!(text(&look.outline.unwrap(), Detail::Everything));
    settle(&mut simulation);
}

fn with_an_external_ca(mut inventory: keelwright::inventory::Inventory) -> keelwright::inventory::Inventory {
    inventory.pki.external_ca = true;
    inventory
}

#[test]
fn the_key_of_an_external_ca_is_on_no_machine_and_kubelets_are_renewed_by_us() {
    let mut simulation = simulation(with_an_external_ca(stacked(3, 1)));
    settle(&mut simulation);
    {
        let world = simulation.fleet.world();
        for host in world.hosts.values() {
            let keys: Vec<_> =
                host.disk.below("/etc/kubernetes/pki").filter(|(path, _)| path.ends_with("ca.key")).collect();
            assert!(keys.is_empty(), "{}: {keys:?}", host.host.name);
        }
        let path = "/etc/kubernetes/manifests/kube-controller-manager.yaml";
        let text = world.hosts[&name("cp-1")].disk.content(path).unwrap();
        assert!(text.lines().any(|line| line.trim() == "- --cluster-signing-key-file="), "{text}");
    }
    pass(&simulation, NINE_MONTHS);
    let look = simulation.plan(Goal::Converge).unwrap();
    let plan = text(&look.outline.unwrap(), Detail::Everything);
    let worker: Vec<&str> = plan.split("worker-1/node").nth(1).unwrap().lines().take(3).collect();
    insta::assert_snapshot!(worker.join("\n"));
    settle(&mut simulation);
}
