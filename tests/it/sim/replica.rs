//! Replicas: a simulated cluster, looked at as a real one is, is built again from what was seen.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use keelwright::digest::Digest;
use keelwright::exec::{Event, KubeApi as _, Look, VaultView as _, list_upgrade};
use keelwright::facts::HostFacts;
use keelwright::inventory::HostName;
use keelwright::plan::{Goal, Outline, Step};
use keelwright::release::KubeVersion;
use keelwright::sim::disk::{Bytes, Node};
use keelwright::sim::vault::EPOCH;
use keelwright::sim::{Faults, Original, ReplicaError, Simulation, played_manifests, stand_in};
use serde_json::{Value, json};

use super::support::{external_etcd_at, name, settle, simulation, stacked, stacked_at};

const TARGET: &str = "v1.37.1";

/// A cluster of 1.35.4 that is to become one of [`TARGET`].
fn upgrading(control_planes: usize, workers: usize) -> Simulation {
    let mut simulation = simulation(stacked_at("v1.35.4", control_planes, workers));
    settle(&mut simulation);
    simulation.edit(stacked_at(TARGET, control_planes, workers)).unwrap();
    simulation
}

fn now(simulation: &Simulation) -> i64 {
    EPOCH + i64::try_from(simulation.fleet.runtime.now().as_secs()).unwrap()
}

/// Looks at a cluster as `rehearse --from observed` does, and builds another from what it saw.
fn observe(original: &mut Simulation) -> (Look, Result<Simulation, ReplicaError>) {
    let look = original.plan(Goal::Converge).unwrap();
    let minor = |text: &str| KubeVersion::parse(text).unwrap().minor();
    let listing = list_upgrade(&original.inventory, &original.ports, minor("v1.35.4"), minor(TARGET));
    let listed = original.fleet.runtime.drive(listing).unwrap().unwrap_or_default();
    let ca = original.vault.ca_certificate().unwrap().unwrap_or_default();
    let seen = Original {
        inventory: &original.inventory,
        facts: &look.facts,
        vault: &look.vault,
        ca_certificate: &ca,
        listed: &listed,
        bundles: original.bundles.clone(),
        passing: original.passing.clone(),
        manifests: original.manifests.clone(),
        now: now(original),
    };
    let replica = Simulation::replica(seen, Faults::none());
    (look, replica)
}

fn patch(simulation: &Simulation, object: &Value, patch: &Value) {
    simulation.fleet.runtime.drive(simulation.ports.patch(object, patch)).unwrap().unwrap();
}

fn cordon(simulation: &Simulation, node: &str) {
    let object = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": node}});
    patch(simulation, &object, &json!({"spec": {"unschedulable": true}}));
}

/// The last of etcd's members leads instead of the first.
fn lead_by_another(simulation: &Simulation) -> u64 {
    let mut world = simulation.fleet.world();
    let cluster = world.clusters.values_mut().next().unwrap();
    let last = *cluster.members.keys().next_back().unwrap();
    cluster.leader = Some(last);
    last
}

/// A PodDisruptionBudget, and two pods of a Deployment that it speaks of.
fn run_a_shop(simulation: &Simulation) {
    let labels = json!({"app": "web"});
    let mut objects = vec![json!({
        "apiVersion": "policy/v1", "kind": "PodDisruptionBudget",
        "metadata": {"namespace": "shop", "name": "web"},
        "spec": {"minAvailable": 1, "selector": {"matchLabels": labels}},
        "status": {"expectedPods": 2, "desiredHealthy": 1, "currentHealthy": 2, "disruptionsAllowed": 1},
    })];
    for node in ["worker-1", "worker-2"] {
        objects.push(json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"namespace": "shop", "name": format!("web-{node}"), "labels": labels},
            "spec": {"nodeName": node, "containers": [{"name": "web", "resources": {"requests": {"cpu": "1"}}}]},
            "status": {"phase": "Running"},
        }));
    }
    for object in &objects {
        simulation.fleet.runtime.drive(simulation.ports.apply(object)).unwrap().unwrap();
    }
}

/// The operator is killed when so many steps have ended; the machines finish what they were doing.
fn kill_after(simulation: &mut Simulation, steps: usize) {
    let (fleet, ended) = (Arc::clone(&simulation.fleet), AtomicUsize::new(0));
    simulation.listener = Some(Box::new(move |_, event| {
        if matches!(event, Event::StepEnded { .. }) && ended.fetch_add(1, Ordering::Relaxed) + 1 == steps {
            fleet.runtime.kill();
        }
    }));
    simulation.apply(Goal::Converge);
    simulation.listener = None;
    simulation.fleet.runtime.drain(Duration::from_secs(600));
}

/// Each step as text. The replica's vault is played: its secrets are in the places of the original's, and have
/// other bytes.
fn steps(outline: &Outline) -> Vec<String> {
    let step = |step: &Step| {
        let mut step = serde_json::to_value(step).unwrap();
        for planned in step["actions"].as_array_mut().unwrap() {
            if planned["action"]["content"].get("secret").is_some() {
                planned["action"]["digest"] = Value::Null;
                planned["action"]["before"]["digest"] = Value::Null;
                planned["reason"]["wanted"] = Value::Null;
                planned["reason"]["found"] = Value::Null;
            }
        }
        step.to_string()
    };
    outline.plan.steps.iter().map(step).collect()
}

/// The plan made on the replica is the original's, and leads to what the inventory says.
fn is_planned_alike(original: &mut Simulation, about: &str) {
    let (look, replica) = observe(original);
    let mut replica = replica.unwrap_or_else(|error| panic!("{about}: {error}"));
    let wanted = look.outline.unwrap_or_else(|error| panic!("{about}: {error}"));
    let planned =
        replica.plan(Goal::Converge).unwrap().outline.unwrap_or_else(|error| panic!("{about}: {error}"));
    let (wanted_steps, planned_steps) = (steps(&wanted), steps(&planned));
    let only = |these: &[String], those: &[String]| -> Vec<String> {
        these.iter().filter(|step| !those.contains(step)).cloned().collect()
    };
    assert!(
        wanted_steps == planned_steps,
        "{about}: only the original: {:#?}\nonly the replica: {:#?}",
        only(&wanted_steps, &planned_steps),
        only(&planned_steps, &wanted_steps)
    );
    assert_eq!(wanted.plan.versions, planned.plan.versions, "{about}");
    assert_eq!(wanted.report, planned.report, "{about}");
    settle(&mut replica);
}

#[test]
fn a_fresh_cluster_is_planned_alike() {
    is_planned_alike(&mut upgrading(3, 2), "3+2");
    is_planned_alike(&mut upgrading(1, 0), "1+0");
    let mut external = simulation(external_etcd_at("v1.35.4"));
    settle(&mut external);
    external.edit(external_etcd_at(TARGET)).unwrap();
    is_planned_alike(&mut external, "external etcd");
}

#[test]
fn a_cluster_in_an_odd_state_is_planned_alike() {
    let mut original = upgrading(3, 2);
    cordon(&original, "worker-1");
    run_a_shop(&original);
    let led = lead_by_another(&original);
    // cp-1 is of the next minor, and cp-2 cannot follow.
    let poison = (name("cp-2"), "registry.k8s.io/kube-apiserver:v1.36.4".to_owned());
    original.fleet.world().poisoned = Some(poison);
    original.apply(Goal::Converge);
    original.fleet.world().poisoned = None;
    let image =
        |host: &str| original.fleet.world().hosts[&name(host)].pods["kube-apiserver"].manifest.image.clone();
    assert!(image("cp-1").ends_with(":v1.36.4") && image("cp-2").ends_with(":v1.35.4"));
    is_planned_alike(&mut original, "half-way");
    let etcd = original.plan(Goal::Converge).unwrap().facts.etcd;
    assert!(etcd.known().unwrap().members.iter().any(|member| member.leader && member.id == led));
}

#[test]
fn wherever_an_upgrade_was_cut_off_the_rest_is_planned_alike() {
    let mut cut = 0;
    for after in [1, 7, 13, 18] {
        let mut original = upgrading(3, 1);
        kill_after(&mut original, after);
        cut += usize::from(
            original.plan(Goal::Converge).unwrap().outline.is_ok_and(|outline| !outline.plan.is_empty()),
        );
        is_planned_alike(&mut original, &format!("cut off after {after} steps"));
    }
    assert!(cut >= 3, "only {cut} of the upgrades had anything left to do");
}

#[test]
fn what_was_changed_by_hand_is_seen_in_the_replica() {
    let mut original = upgrading(1, 1);
    {
        let mut world = original.fleet.world();
        let host = world.hosts.get_mut(&name("worker-1")).unwrap();
        host.sysctls.insert("net.ipv4.ip_forward".to_owned(), "0".to_owned());
        host.disk.remove("/etc/sysctl.d/99-keelwright.conf");
        host.held.insert("containerd".to_owned());
        host.images.clear();
    }
    is_planned_alike(&mut original, "changed by hand");
}

/// What a probe says, without what differs between any two machines and moments. Of a secret it counts whether
/// it is the one that the vault has.
fn comparable(look: &Look, host: &HostName) -> HostFacts {
    let facts = look.facts.host(host).unwrap().clone();
    let is_secret = |path: &str| path.starts_with("/etc/kubernetes/") && !path.ends_with(".yaml");
    let in_vault: BTreeSet<&String> = look.vault.digests.values().collect();
    let mut files = facts.files;
    for (path, file) in &mut files {
        if let Some(digest) = file.digest.filter(|_| is_secret(path)) {
            let is_the_vaults = in_vault.contains(&digest.to_string());
            file.digest = Some(Digest::of(if is_the_vaults { b"the vault's" } else { b"another" }));
        }
    }
    let certificates = facts.certificates.into_keys().map(|path| (path, String::new())).collect();
    HostFacts { boot_id: String::new(), clock: 0, files, certificates, ..facts }
}

#[test]
fn what_is_observed_of_a_replica_is_what_it_was_built_from() {
    let mut original = upgrading(3, 2);
    cordon(&original, "worker-2");
    run_a_shop(&original);
    lead_by_another(&original);
    kill_after(&mut original, 8);
    let (seen, replica) = observe(&mut original);
    let again = replica.unwrap().plan(Goal::Converge).unwrap();
    for host in seen.facts.hosts.keys() {
        let (one, other) = (comparable(&seen, host), comparable(&again, host));
        assert!(one.files.len() > 40, "{host} has only {} files", one.files.len());
        for (path, file) in &one.files {
            assert_eq!(Some(file), other.files.get(path), "{host}: {path}");
        }
        assert_eq!(one, other, "{host}");
    }
    assert_eq!(seen.facts.upgrade, again.facts.upgrade);
    let members = |look: &Look| look.facts.etcd.known().unwrap().members.clone();
    assert_eq!(members(&seen), members(&again));
    let nodes = |look: &Look| look.facts.api.known().unwrap().nodes.clone();
    assert_eq!(nodes(&seen), nodes(&again));
    assert_eq!(seen.vault.entries.keys().collect::<Vec<_>>(), again.vault.entries.keys().collect::<Vec<_>>());
    let contents = |look: &Look| look.vault.digests.keys().cloned().collect::<Vec<_>>();
    assert_eq!(contents(&seen), contents(&again));
}

#[test]
fn without_bundles_the_runtime_on_the_hosts_counts_as_the_right_one() {
    let mut original = upgrading(1, 1);
    {
        // Executables of real bundles: no simulated one has their hashes.
        let mut world = original.fleet.world();
        for host in world.hosts.values_mut() {
            for program in ["kubelet", "containerd", "ctr", "runc"] {
                let path = format!("/usr/local/bin/{program}");
                let Some(mut entry) = host.disk.get(&path).cloned() else { continue };
                let digest = Digest::of(program.as_bytes());
                entry.node = Node::File { bytes: Bytes::Artifact, digest };
                host.disk.put(&path, entry);
            }
        }
    }
    let (look, replica) = observe(&mut original);
    let installs = |outline: &Outline, program: &str| {
        let plan = serde_json::to_string(&outline.plan.steps).unwrap();
        plan.contains(&format!("\"do\":\"install-binary\",\"path\":\"/usr/local/bin/{program}\""))
    };
    let real = look.outline.unwrap();
    assert!(installs(&real, "kubelet") && installs(&real, "containerd"));
    let mut replica = replica.unwrap();
    let played = replica.plan(Goal::Converge).unwrap().outline.unwrap();
    assert!(installs(&played, "kubelet") && !installs(&played, "containerd"));
    settle(&mut replica);
}

#[test]
fn bundles_that_are_missing_are_played_and_named() {
    let inventory = stacked_at(TARGET, 1, 0);
    let version = |text: &str| KubeVersion::parse(text).unwrap();
    let (mut wanted, mut older) = (BTreeMap::new(), BTreeMap::new());
    let manifests = played_manifests(&inventory);
    let played = stand_in(&inventory, &manifests, &mut wanted, &mut older).unwrap();
    assert_eq!(played, ["v1.34.4", "v1.35.4", "v1.36.4", TARGET].map(version));
    older.remove(&version("v1.35.4"));
    let kept = older[&version("v1.36.4")].clone();
    let played = stand_in(&inventory, &manifests, &mut wanted, &mut older).unwrap();
    assert_eq!(played, [version("v1.35.4")]);
    assert_eq!(older[&version("v1.36.4")], kept);
}

#[test]
fn a_worker_that_does_not_answer_is_left_out_of_the_replica_too() {
    let mut original = upgrading(3, 2);
    original.fleet.world().hosts.get_mut(&name("worker-2")).unwrap().unreachable_until = Duration::MAX;
    let (look, replica) = observe(&mut original);
    let planned = replica.unwrap().plan(Goal::Converge).unwrap().outline.unwrap();
    let blocked: Vec<&HostName> = planned.report.blocked.iter().map(|blocked| &blocked.host).collect();
    assert_eq!(blocked, [&name("worker-2")]);
    assert_eq!(steps(&look.outline.unwrap()), steps(&planned));
}

#[test]
fn what_cannot_be_built_again_says_why() {
    let mut fresh = simulation(stacked(1, 0));
    assert!(matches!(observe(&mut fresh).1, Err(ReplicaError::NoCluster)));
    let mut silent = upgrading(3, 0);
    for host in ["cp-1", "cp-2"] {
        silent.fleet.world().hosts.get_mut(&name(host)).unwrap().up = false;
    }
    assert!(matches!(observe(&mut silent).1, Err(ReplicaError::Api(_))));
}

#[test]
fn a_replica_is_another_cluster() {
    let mut original = upgrading(3, 1);
    let (_, replica) = observe(&mut original);
    let before = original.fleet.world().fingerprint();
    settle(&mut replica.unwrap());
    assert_eq!(original.fleet.world().fingerprint(), before);
}
