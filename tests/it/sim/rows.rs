//! The catalogue of bad inputs, row by row: machines that must not be worked on.

use std::time::Duration;

use keelwright::plan::{Goal, PlanError};
use keelwright::sim::Run;
use keelwright::sim::disk::Entry;
use keelwright::sim::host::{SimHost, UnitState};

use super::support::{inventory, name, simulation, stacked};

const SINGLE: &str = "hosts:\n  - {name: node-1, address: 192.0.2.11, roles: [control-plane, worker]}\n";

/// That a machine like this is refused with all of these words, and nothing is touched.
#[track_caller]
fn refused(spoil: impl Fn(&mut SimHost), words: &[&str]) {
    let mut simulation = simulation(inventory(SINGLE));
    spoil(simulation.fleet.world().hosts.get_mut(&name("node-1")).unwrap());
    let round = simulation.apply(Goal::Converge);
    let Run::Refused(PlanError::Refused(refusals)) = &round.run else { panic!("{:?}", round.run) };
    let said: Vec<String> = refusals.iter().map(ToString::to_string).collect();
    for word in words {
        assert!(said.iter().any(|line| line.contains(word)), "{word:?} is not in {said:#?}");
    }
    assert_eq!(simulation.fleet.world().writes, 0);
}

#[test]
fn row_25_advertise_address_not_on_the_host() {
    refused(
        |host| host.host.address = "192.0.2.99".parse().unwrap(),
        &["no interface has address 192.0.2.11; there are 127.0.0.1 on lo, 192.0.2.99 on eth0"],
    );
}

#[test]
fn a_clock_that_is_off_is_a_warning_and_past_a_minute_a_refusal() {
    for seconds in [-61, 61] {
        refused(|host| host.clock_offset = seconds, &[&format!("its clock is {seconds} s off")]);
    }
    let mut simulation = simulation(inventory(SINGLE));
    simulation.fleet.world().hosts.get_mut(&name("node-1")).unwrap().clock_offset = -60;
    let outline = simulation.plan(Goal::Converge).unwrap().outline.unwrap();
    let text = keelwright::plan::show::text(&outline, keelwright::plan::show::Detail::Steps);
    assert!(text.contains("! node-1: its clock is 60 s behind yours"), "{text}");
}

#[test]
fn row_32_cgroup_v1_says_how_to_go_on() {
    let words = ["has cgroup v1", "systemd.unified_cgroup_hierarchy=1", "failCgroupV1: false"];
    refused(|host| host.cgroup_v2 = false, &words);
    let mut tolerant =
        simulation(inventory(&format!("{SINGLE}kubelet: {{config: {{failCgroupV1: false}}}}\n")));
    tolerant.fleet.world().hosts.get_mut(&name("node-1")).unwrap().cgroup_v2 = false;
    assert!(tolerant.plan(Goal::Converge).unwrap().outline.is_ok());
}

#[test]
fn row_33_swap_is_named_and_switched_off() {
    let mut simulation = simulation(inventory(SINGLE));
    let outline = simulation.plan(Goal::Converge).unwrap().outline.unwrap();
    let text = keelwright::plan::show::text(&outline, keelwright::plan::show::Detail::Everything);
    assert!(text.contains("/dev/vda2"), "{text}");
}

#[test]
fn row_34_too_small_machines_and_file_systems_that_cannot_be_worked_on() {
    refused(|host| host.cpus = 1, &["has 1 cores of CPU, needs 2 cores"]);
    refused(|host| host.memory_kib = 1 << 20, &["has 1024 MiB of memory, needs 1700 MiB"]);
    refused(|host| host.free_kib = 1 << 20, &["has 1024 MiB of disk under /var/lib, needs 4096 MiB"]);
    refused(|host| host.free_inodes = 10, &["has 10 files of free inodes under /var/lib, needs 100000"]);
    for option in ["ro", "noexec"] {
        let words = format!("/var/lib is mounted {option}");
        refused(|host| host.mount_options = format!("nosuid,{option},relatime"), &[&words]);
    }
}

#[test]
fn row_34_all_that_is_wrong_with_all_machines_is_said_at_once() {
    let mut simulation = simulation(stacked(3, 0));
    for host in simulation.fleet.world().hosts.values_mut() {
        host.cpus = 1;
        host.memory_kib = 1 << 20;
    }
    let round = simulation.apply(Goal::Converge);
    let Run::Refused(PlanError::Refused(refusals)) = &round.run else { panic!("{:?}", round.run) };
    assert_eq!(refusals.len(), 6);
}

#[test]
fn row_35_foreign_data_names_what_was_found() {
    let marker = r#"{"cluster":"other","uid":"not-ours","host":"node-1"}"#;
    refused(
        |host| {
            host.disk.make_directories("/etc/keelwright");
            host.disk.put("/etc/keelwright/host.json", Entry::text(0o644, marker));
        },
        &["belongs to cluster `other` (not-ours)"],
    );
    refused(|host| host.disk.make_directories("/etc/rancher/k3s"), &["/etc/rancher/k3s"]);
}

#[test]
fn row_35_a_node_that_another_tool_made_is_left_alone() {
    for path in ["/etc/kubernetes/kubelet.conf", "/etc/kubernetes/pki/ca.crt"] {
        refused(
            |host| {
                host.disk.make_directories(path.rsplit_once('/').unwrap().0);
                host.disk.put(path, Entry::text(0o600, "not ours"));
            },
            &[&format!("{path} is of a cluster that keelwright did not make"), "kubeadm reset"],
        );
    }
}

#[test]
fn row_36_a_runtime_that_others_use_is_not_taken_over() {
    let running = UnitState { active: true, enabled: true, since: Duration::ZERO };
    refused(
        |host| {
            host.units.insert("containerd.service".to_owned(), running.clone());
        },
        &["containerd runs here already", "systemctl disable --now containerd"],
    );
}

#[test]
fn packages_that_are_held_are_seen() {
    let mut simulation = simulation(stacked(1, 0));
    let held = "conntrack".to_owned();
    simulation.fleet.world().hosts.get_mut(&name("cp-1")).unwrap().held.insert(held.clone());
    let look = simulation.plan(Goal::Converge).unwrap();
    assert!(look.facts.host(&name("cp-1")).unwrap().held.contains(&held));
}
