//! Tests of what is read from the API before an upgrade.

use serde_json::json;

use super::*;

fn pod(name: &str, node: &str, change: Value) -> Value {
    let mut pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"namespace": "default", "name": name, "labels": {"app": "a"}},
        "spec": {"nodeName": node, "containers": [{"resources": {"requests": {"cpu": "100m", "memory": "1Mi"}}}]},
        "status": {"phase": "Running"},
    });
    merge(&mut pod, &change);
    pod
}

fn merge(target: &mut Value, change: &Value) {
    for (key, value) in change.as_object().unwrap() {
        if value.is_object() && target[key].is_object() {
            merge(&mut target[key], value);
        } else {
            target[key] = value.clone();
        }
    }
}

fn owned(kind: &str) -> Value {
    json!({"metadata": {"ownerReferences": [{"kind": kind, "controller": true}]}})
}

#[test]
fn pods_that_nothing_would_make_again_are_found() {
    let mirror = json!({"metadata": {"annotations": {"kubernetes.io/config.mirror": "x"}}});
    let listed = Listed {
        pods: vec![
            pod("bare", "w-1", json!({})),
            pod("of-a-set", "w-1", owned("ReplicaSet")),
            pod("daemon", "w-1", owned("DaemonSet")),
            pod("mirror", "w-1", mirror),
            pod("finished", "w-1", json!({"status": {"phase": "Succeeded"}})),
            pod("pending", "", json!({})),
        ],
        ..Listed::default()
    };
    let found: Vec<String> = read(&listed).bare_pods.into_iter().map(|pod| pod.name).collect();
    assert_eq!(found, ["bare"]);
}

#[test]
fn workloads_of_one_pod_are_found_outside_of_the_clusters_own() {
    let workload = |kind: &str, namespace: &str, name: &str, spec: Value| json!({"kind": kind, "metadata": {"namespace": namespace, "name": name}, "spec": spec});
    let listed = Listed {
        deployments: vec![
            workload("Deployment", "b", "default", json!({})),
            workload("Deployment", "a", "one", json!({"replicas": 1})),
            workload("Deployment", "a", "two", json!({"replicas": 2})),
            workload("Deployment", "a", "none", json!({"replicas": 0})),
            workload("Deployment", "kube-system", "one", json!({"replicas": 1})),
        ],
        stateful_sets: vec![workload("StatefulSet", "a", "db", json!({"replicas": 1}))],
        ..Listed::default()
    };
    let found: Vec<String> = read(&listed)
        .singles
        .into_iter()
        .map(|single| format!("{} {}/{}", single.kind, single.namespace, single.name))
        .collect();
    assert_eq!(found, ["Deployment a/one", "Deployment b/default", "StatefulSet a/db"]);
}

#[test]
fn a_budget_is_read_with_the_pods_a_drain_would_move() {
    let budget = |name: &str, selector: Value| {
        json!({
            "metadata": {"namespace": "default", "name": name},
            "spec": {"selector": selector},
            "status": {"expectedPods": 2, "desiredHealthy": 2, "currentHealthy": 1, "disruptionsAllowed": 0},
        })
    };
    let mut elsewhere = pod("elsewhere", "w-1", json!({}));
    elsewhere["metadata"]["namespace"] = "other".into();
    let listed = Listed {
        budgets: vec![
            budget("b", json!({"matchLabels": {"app": "a"}})),
            budget("a", json!({})),
            budget("c", Value::Null),
        ],
        pods: vec![
            pod("p", "w-1", json!({})),
            pod("q", "w-2", json!({"metadata": {"labels": {"app": "b"}}})),
            pod("daemon", "w-1", owned("DaemonSet")),
            elsewhere,
        ],
        ..Listed::default()
    };
    let budgets = read(&listed).budgets;
    let pods: Vec<Vec<&str>> =
        budgets.iter().map(|budget| budget.pods.keys().map(String::as_str).collect()).collect();
    assert_eq!(pods, [vec!["p", "q"], vec!["p"], vec![]]);
    let BudgetFacts { expected, desired, healthy, allowed, .. } = budgets[0];
    assert_eq!((expected, desired, healthy, allowed), (2, 2, 1, 0));
    assert_eq!(budgets[0].pods["p"], "w-1");
}

#[test]
fn nodes_have_what_their_pods_ask_for() {
    let node = json!({
        "metadata": {"name": "w-1"},
        "status": {
            "conditions": [{"type": "Ready", "status": "True"}],
            "allocatable": {"cpu": "2", "memory": "4Gi"},
        },
    });
    let listed = Listed {
        nodes: vec![node],
        pods: vec![
            pod("p", "w-1", json!({})),
            pod("daemon", "w-1", owned("DaemonSet")),
            pod("finished", "w-1", json!({"status": {"phase": "Failed"}})),
            pod("elsewhere", "w-2", json!({})),
        ],
        ..Listed::default()
    };
    let load = read(&listed).nodes["w-1"].clone();
    assert!(load.schedulable);
    assert_eq!(load.allocatable, Amount { cpu_millis: 2000, memory: 4 << 30 });
    assert_eq!(load.requested, Amount { cpu_millis: 200, memory: 2 << 20 });
    assert_eq!(load.movable, Amount { cpu_millis: 100, memory: 1 << 20 });
}

#[test]
fn stored_objects_are_counted_and_the_first_few_named() {
    let object = |kind: &str, name: &str| json!({"apiVersion": "scheduling.k8s.io/v1alpha2", "kind": kind, "metadata": {"namespace": "n", "name": name}});
    let mut going: Vec<Value> = ["d", "c", "b", "a"].iter().map(|name| object("Workload", name)).collect();
    going.push(object("PodGroup", "g"));
    let stored = read(&Listed { going, ..Listed::default() }).stored;
    assert_eq!(stored.len(), 2);
    assert_eq!((stored[0].kind.as_str(), stored[0].count), ("PodGroup", 1));
    assert_eq!((stored[1].count, stored[1].examples.join(" ")), (4, "n/a n/b n/c".to_owned()));
}

#[test]
fn facts_carry_names_and_no_contents() {
    let mut secretive = pod("p", "w-1", json!({}));
    secretive["spec"]["containers"][0]["env"] = json!([{"name": "A", "value": "canary"}]);
    let configuration = json!({
        "kind": "MutatingWebhookConfiguration", "metadata": {"name": "a"},
        "webhooks": [{"name": "w", "clientConfig": {"caBundle": "canary", "service": {"namespace": "n", "name": "s"}}}],
    });
    let listed =
        Listed { pods: vec![secretive], webhook_configurations: vec![configuration], ..Listed::default() };
    let facts = read(&listed);
    let text = serde_json::to_string(&facts).unwrap();
    assert!(!text.contains("canary") && text.contains("default"), "{text}");
    assert_eq!(serde_json::from_str::<UpgradeFacts>(&text).unwrap(), facts);
}
