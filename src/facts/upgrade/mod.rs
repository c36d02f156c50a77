//! What an upgrade meets in a cluster that runs: who asks for API versions that go, what a drained node takes
//! along, what refuses while a node is away. Names and numbers only; no object's contents.

mod load;
mod metrics;
mod webhooks;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::pod::{controller, is_finished, leaves_on_drain, selects};
use crate::inventory::HostName;
use crate::release::Minor;

pub use load::{Amount, NodeLoad};
pub use metrics::requested_apis;
pub use webhooks::WebhookFacts;

/// How many objects are named where the number is what counts.
const EXAMPLES: usize = 3;
/// What belongs to the cluster itself is looked after by those who run it.
pub(super) const SYSTEM_NAMESPACE: &str = "kube-system";

/// Everything one look found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UpgradeFacts {
    /// Control planes whose API server said what was requested of it.
    pub asked: BTreeSet<HostName>,
    /// Deprecated API versions that somebody asked one of these for since it started.
    pub requested: BTreeSet<RequestedApi>,
    /// Objects of the API versions that were asked about, where there are any.
    pub stored: Vec<StoredObjects>,
    /// Webhooks whose absence refuses requests, and that run behind a Service.
    pub webhooks: Vec<WebhookFacts>,
    pub budgets: Vec<BudgetFacts>,
    /// Deployments and StatefulSets that run a single pod, but for those of the cluster itself.
    pub singles: Vec<Single>,
    /// Pods that nothing would make again, on their nodes.
    pub bare_pods: Vec<PlacedPod>,
    pub nodes: BTreeMap<String, NodeLoad>,
}

/// A deprecated API version, as an API server counts it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RequestedApi {
    /// Empty for the core group.
    pub group: String,
    pub version: String,
    pub resource: String,
    /// Empty for the resource itself.
    pub subresource: String,
    /// The first minor that does not serve it, if that is known.
    pub removed: Option<Minor>,
}

/// How many objects of a kind there are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StoredObjects {
    pub api_version: String,
    pub kind: String,
    pub count: usize,
    /// The first few, as `namespace/name`.
    pub examples: Vec<String>,
}

/// A PodDisruptionBudget, and the pods of it that a drain makes leave.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BudgetFacts {
    pub namespace: String,
    pub name: String,
    /// Pods it counts on.
    pub expected: u64,
    /// Those that must be healthy at any time.
    pub desired: u64,
    pub healthy: u64,
    /// Evictions it would let happen now.
    pub allowed: u64,
    /// By pod, the node.
    pub pods: BTreeMap<String, String>,
}

/// A workload of one pod.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Single {
    pub kind: String,
    pub namespace: String,
    pub name: String,
}

/// A pod and where it runs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlacedPod {
    pub namespace: String,
    pub name: String,
    pub node: String,
}

/// Objects as the API lists them, to be read by [`read`].
#[derive(Debug, Clone, Default)]
pub struct Listed {
    pub nodes: Vec<Value>,
    pub namespaces: Vec<Value>,
    pub pods: Vec<Value>,
    pub deployments: Vec<Value>,
    pub stateful_sets: Vec<Value>,
    pub budgets: Vec<Value>,
    /// Validating and mutating ones.
    pub webhook_configurations: Vec<Value>,
    pub endpoint_slices: Vec<Value>,
    /// Of API versions that go.
    pub going: Vec<Value>,
    /// What each API server's `/metrics` says.
    pub metrics: BTreeMap<HostName, String>,
}

/// Takes what counts out of the objects.
pub fn read(listed: &Listed) -> UpgradeFacts {
    let mut singles: Vec<Single> =
        listed.deployments.iter().chain(&listed.stateful_sets).filter_map(single).collect();
    singles.sort();
    let mut bare_pods: Vec<PlacedPod> = listed.pods.iter().filter(|pod| is_bare(pod)).map(placed).collect();
    bare_pods.sort();
    UpgradeFacts {
        asked: listed.metrics.keys().cloned().collect(),
        requested: listed.metrics.values().flat_map(|text| requested_apis(text)).collect(),
        stored: stored(&listed.going),
        webhooks: webhooks::read(listed),
        budgets: budgets(listed),
        singles,
        bare_pods,
        nodes: load::read(&listed.nodes, &listed.pods),
    }
}

pub(super) fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// `namespace/name`, or the name alone.
pub(super) fn title(object: &Value) -> String {
    match (text(object, "/metadata/namespace"), text(object, "/metadata/name")) {
        ("", name) => name.to_owned(),
        (namespace, name) => format!("{namespace}/{name}"),
    }
}

fn single(object: &Value) -> Option<Single> {
    let namespace = text(object, "/metadata/namespace");
    let replicas = object.pointer("/spec/replicas").and_then(Value::as_u64).unwrap_or(1);
    (replicas == 1 && namespace != SYSTEM_NAMESPACE).then(|| Single {
        kind: text(object, "/kind").to_owned(),
        namespace: namespace.to_owned(),
        name: text(object, "/metadata/name").to_owned(),
    })
}

fn is_bare(pod: &Value) -> bool {
    leaves_on_drain(pod) && controller(pod).is_none() && !text(pod, "/spec/nodeName").is_empty()
}

fn placed(pod: &Value) -> PlacedPod {
    PlacedPod {
        namespace: text(pod, "/metadata/namespace").to_owned(),
        name: text(pod, "/metadata/name").to_owned(),
        node: text(pod, "/spec/nodeName").to_owned(),
    }
}

fn stored(objects: &[Value]) -> Vec<StoredObjects> {
    let mut found: BTreeMap<(&str, &str), Vec<String>> = BTreeMap::new();
    for object in objects {
        found.entry((text(object, "/apiVersion"), text(object, "/kind"))).or_default().push(title(object));
    }
    let stored = |((api_version, kind), mut names): ((&str, &str), Vec<String>)| {
        names.sort();
        let count = names.len();
        names.truncate(EXAMPLES);
        StoredObjects { api_version: api_version.to_owned(), kind: kind.to_owned(), count, examples: names }
    };
    found.into_iter().map(stored).collect()
}

fn budgets(listed: &Listed) -> Vec<BudgetFacts> {
    let empty = Value::Null;
    let mut found: Vec<BudgetFacts> = listed
        .budgets
        .iter()
        .map(|budget| {
            let namespace = text(budget, "/metadata/namespace");
            let selector = budget.pointer("/spec/selector").filter(|selector| !selector.is_null());
            let is_of = |pod: &&Value| {
                let labels = pod.pointer("/metadata/labels").unwrap_or(&empty);
                text(pod, "/metadata/namespace") == namespace
                    && selector.is_some_and(|selector| selects(selector, labels))
                    && leaves_on_drain(pod)
                    && !text(pod, "/spec/nodeName").is_empty()
            };
            let pods = listed.pods.iter().filter(is_of).map(placed).map(|pod| (pod.name, pod.node)).collect();
            let count = |field: &str| budget["status"][field].as_u64().unwrap_or(0);
            BudgetFacts {
                namespace: namespace.to_owned(),
                name: text(budget, "/metadata/name").to_owned(),
                expected: count("expectedPods"),
                desired: count("desiredHealthy"),
                healthy: count("currentHealthy"),
                allowed: count("disruptionsAllowed"),
                pods,
            }
        })
        .collect();
    found.sort_by(|a, b| (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name)));
    found
}

#[cfg(test)]
mod tests;
