//! What is looked at before an upgrade, in a simulated cluster that runs something.

use std::collections::BTreeSet;

use keelwright::exec::{KubeApi as _, observe_upgrade};
use keelwright::facts::UpgradeFacts;
use keelwright::inventory::HostName;
use keelwright::plan::Goal;
use keelwright::plan::upgrade::{Concern, Prospect, Severity, concerns};
use keelwright::release::KubeVersion;
use keelwright::sim::Simulation;
use serde_json::{Value, json};

use super::support::{name, settle, simulation, stacked};

const FROM: KubeVersion = KubeVersion::new(1, 34, 4);
const TARGET: KubeVersion = KubeVersion::new(1, 37, 1);

fn put(simulation: &Simulation, object: &Value) {
    simulation.fleet.runtime.drive(simulation.ports.apply(object)).unwrap().unwrap();
}

fn look(simulation: &mut Simulation) -> (UpgradeFacts, Vec<Concern>) {
    let upgrade = {
        let observed =
            observe_upgrade(&simulation.inventory, &simulation.ports, FROM.minor(), TARGET.minor());
        simulation.fleet.runtime.drive(observed).unwrap()
    };
    let seen = simulation.plan(Goal::Converge).unwrap();
    let drained: BTreeSet<HostName> = simulation.inventory.hosts.keys().cloned().collect();
    let found = concerns(&Prospect {
        inventory: &simulation.inventory,
        facts: &seen.facts,
        vault: &seen.vault,
        upgrade: &upgrade,
        from: FROM,
        target: TARGET,
        drained: &drained,
        under_way: false,
        now: keelwright::sim::vault::EPOCH,
    });
    (upgrade.known().unwrap().clone(), found)
}

#[test]
fn a_cluster_of_nothing_but_itself_has_nothing_in_the_way() {
    let mut simulation = simulation(stacked(3, 2));
    settle(&mut simulation);
    let (facts, found) = look(&mut simulation);
    assert_eq!(facts.asked.len(), 3);
    assert_eq!(facts.nodes.len(), 5);
    assert_eq!(found, []);
}

#[test]
fn what_runs_there_is_seen_and_judged() {
    let mut simulation = simulation(stacked(3, 2));
    settle(&mut simulation);
    put(
        &simulation,
        &json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"namespace": "shop", "name": "db-0", "labels": {"app": "db"}},
            "spec": {"nodeName": "worker-1", "containers": [{"resources": {"requests": {"cpu": "1"}}}]},
            "status": {"phase": "Running"},
        }),
    );
    put(
        &simulation,
        &json!({
            "apiVersion": "policy/v1", "kind": "PodDisruptionBudget",
            "metadata": {"namespace": "shop", "name": "db"},
            "spec": {"maxUnavailable": 0, "selector": {"matchLabels": {"app": "db"}}},
            "status": {"expectedPods": 1, "desiredHealthy": 1, "currentHealthy": 1, "disruptionsAllowed": 0},
        }),
    );
    put(
        &simulation,
        &json!({
            "apiVersion": "scheduling.k8s.io/v1alpha2", "kind": "Workload",
            "metadata": {"namespace": "shop", "name": "train"},
        }),
    );
    let metric = "apiserver_requested_deprecated_apis{group=\"storage.k8s.io\",removed_release=\"1.37\",resource=\"volumeattributesclasses\",subresource=\"\",version=\"v1beta1\"} 1\n";
    simulation.fleet.world().metrics.insert(name("cp-2"), metric.to_owned());

    let (_, found) = look(&mut simulation);
    let told: Vec<(Severity, &str)> =
        found.iter().map(|concern| (concern.severity, concern.about.as_str())).collect();
    assert_eq!(
        told,
        [
            (Severity::Blocks, "PodDisruptionBudget shop/db"),
            (Severity::Blocks, "scheduling.k8s.io/v1alpha2 Workload"),
            (Severity::Notice, "Pod shop/db-0"),
            (Severity::Notice, "storage.k8s.io/v1beta1 volumeattributesclasses"),
            (Severity::Notice, "worker-1"),
        ]
    );
}
