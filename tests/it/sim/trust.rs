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

/// What `kubeadm upgrade` leaves: the member alone in its list, and Go's YAML.
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
    found.disk.put_durable(ETCD_MANIFEST, Entry::text(0o600, &format!("{text}status: {{}}\n")));
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
