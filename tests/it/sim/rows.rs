//! The catalogue of bad inputs, row by row: what a host itself gets wrong. Nothing is touched then.

use keelwright::plan::show::{Detail, text};
use keelwright::plan::{Goal, PlanError};
use keelwright::sim::disk::Entry;
use keelwright::sim::host::SimHost;
use keelwright::sim::{Run, Simulation};

use super::support::{inventory, name, settle, simulation, single_node, stacked};

fn with(change: impl FnOnce(&mut SimHost)) -> Simulation {
    let simulation = simulation(single_node());
    change(simulation.fleet.world().hosts.get_mut(&name("node-1")).unwrap());
    simulation
}

#[track_caller]
fn refused(mut simulation: Simulation, part: &str) {
    let before = simulation.fleet.world().writes;
    let Run::Refused(PlanError::Refused(all)) = simulation.apply(Goal::Converge).run else {
        panic!("{part:?} was not refused");
    };
    assert_eq!(all.len(), 1, "{all:?}");
    assert!(all[0].to_string().contains(part), "{part:?} is not in {:?}", all[0].to_string());
    assert_eq!(simulation.fleet.world().writes, before);
}

#[test]
fn row_25_an_address_that_is_not_on_the_host() {
    refused(
        with(|host| host.host.address = "192.0.2.99".parse().unwrap()),
        "no interface has address 192.0.2.11; there are 127.0.0.1 on lo, 192.0.2.99 on eth0",
    );
}

#[test]
fn row_32_cgroup_v1_with_a_kubelet_that_refuses_it() {
    refused(with(|host| host.cgroup_v2 = false), "failCgroupV1: false");
    let mut tolerant = simulation(inventory(
        "hosts:\n  - {name: node-1, address: 192.0.2.11, roles: [control-plane, worker]}\nkubelet: {config: {failCgroupV1: false}}\n",
    ));
    tolerant.fleet.world().hosts.get_mut(&name("node-1")).unwrap().cgroup_v2 = false;
    settle(&mut tolerant);
}

#[test]
fn row_33_swap_is_named_and_switched_off() {
    let mut simulation = with(|host| host.swap = vec!["/dev/vda2".to_owned(), "/swapfile".to_owned()]);
    let look = simulation.plan(Goal::Converge).unwrap();
    let plan = text(&look.outline.unwrap(), Detail::Everything);
    assert!(plan.contains("switch swap off: is /dev/vda2, /swapfile, want no swap"), "{plan}");
}

#[test]
fn row_34_too_small_or_not_writable() {
    refused(with(|host| host.cpus = 1), "has 1 cores of CPU, needs 2 cores");
    refused(with(|host| host.memory_kib = 1 << 20), "has 1024 MiB of memory, needs 1700 MiB");
    refused(with(|host| host.free_kib = 1 << 20), "has 1024 MiB of disk under /var/lib, needs 4096 MiB");
    refused(with(|host| host.mount_options = "ro,relatime".to_owned()), "/var/lib is mounted read-only");
    refused(with(|host| host.mount_options = "rw,noexec".to_owned()), "/var/lib is mounted noexec");
}

#[test]
fn row_35_what_others_left_behind() {
    let put = |path: &'static str, content: &'static str| {
        with(move |host| {
            let directory = path.rsplit_once('/').unwrap().0;
            host.disk.make_directories(directory);
            host.disk.put(path, Entry::text(0o644, content));
        })
    };
    refused(
        put("/etc/rancher/k3s/config.yaml", "x"),
        "/etc/rancher/k3s shows that another installer works here",
    );
    refused(
        put("/etc/keelwright/host.json", r#"{"cluster":"other","uid":"not-ours","host":"node-1"}"#),
        "belongs to cluster `other` (not-ours)",
    );
    refused(put("/var/lib/etcd/member/identity", "1 2"), "/var/lib/etcd holds the data of an etcd member");
}

#[test]
fn packages_that_are_held_are_seen() {
    let mut simulation = simulation(stacked(1, 0));
    let held = "conntrack".to_owned();
    simulation.fleet.world().hosts.get_mut(&name("cp-1")).unwrap().held.insert(held.clone());
    let look = simulation.plan(Goal::Converge).unwrap();
    assert!(look.facts.host(&name("cp-1")).unwrap().held.contains(&held));
}
