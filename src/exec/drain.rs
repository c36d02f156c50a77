//! Empties a node: no new pods, then every pod evicted within its disruption budget.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};

use crate::exec::{Clock, KubeApi, KubeError};
use crate::facts::CORDONED_ANNOTATION;
use crate::facts::pod::{leaves_on_drain, selects};
use crate::inventory::HostName;

/// How often pods that are leaving, or that a budget keeps, are looked at.
const POLL: Duration = Duration::from_secs(1);

/// How a drain ended well.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Drained {
    /// Pods that were asked to leave, as `namespace/name`.
    pub evicted: BTreeSet<String>,
    /// Somebody else had cordoned the node before; it will stay cordoned.
    pub was_cordoned: bool,
}

/// A pod that has not left, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remaining {
    /// `namespace/name`
    pub pod: String,
    /// The budgets that select it, when one forbids its eviction; empty while it is merely terminating.
    pub budgets: Vec<String>,
    pub message: String,
}

impl std::fmt::Display for Remaining {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.budgets.as_slice() {
            [] => write!(f, "pod {} ({})", self.pod, self.message),
            budgets => write!(f, "pod {} (kept by disruption budget {})", self.pod, budgets.join(", ")),
        }
    }
}

/// Why a node is not empty.
#[derive(Debug, thiserror::Error)]
pub enum DrainError {
    #[error("node {node} could not be drained")]
    Api { node: HostName, source: KubeError },
    #[error("node {node} still had {} after {} s", list(remaining), deadline.as_secs())]
    Deadline { node: HostName, deadline: Duration, remaining: Vec<Remaining> },
}

fn list(remaining: &[Remaining]) -> String {
    remaining.iter().map(Remaining::to_string).collect::<Vec<_>>().join("; ")
}

/// Cordons `node` and evicts all its pods but those of DaemonSets, mirror pods and finished ones; returns
/// when they are gone. A node that does not exist is empty.
pub async fn drain(
    kube: &dyn KubeApi,
    clock: &dyn Clock,
    node: &HostName,
    deadline: Duration,
) -> Result<Drained, DrainError> {
    let failed = |source| DrainError::Api { node: node.clone(), source };
    let end = clock.now() + deadline;
    let mut drained = Drained::default();
    match cordon(kube, node).await.map_err(failed)? {
        Cordon::NoNode => return Ok(drained),
        Cordon::Ours => {}
        Cordon::Theirs => drained.was_cordoned = true,
    }
    loop {
        let pods = kube.list("v1", "Pod").await.map_err(failed)?;
        let leaving: Vec<&Value> = pods.iter().filter(|pod| must_leave(pod, node)).collect();
        let mut remaining = Vec::new();
        for pod in &leaving {
            let (namespace, name) = (text(pod, "/metadata/namespace"), text(pod, "/metadata/name"));
            let title = format!("{namespace}/{name}");
            if pod.pointer("/metadata/deletionTimestamp").is_some() {
                let message = "terminating".to_owned();
                remaining.push((*pod, Remaining { pod: title, budgets: Vec::new(), message }));
                continue;
            }
            match kube.evict(namespace, name).await {
                Ok(()) => {
                    drained.evicted.insert(title.clone());
                    let message = "terminating".to_owned();
                    remaining.push((*pod, Remaining { pod: title, budgets: Vec::new(), message }));
                }
                // Forbidden now, or the server is busy; both may pass.
                Err(
                    KubeError::Refused { code: 429 | 500..=599, message, .. }
                    | KubeError::Unreachable(message),
                ) => {
                    remaining.push((*pod, Remaining { pod: title, budgets: Vec::new(), message }));
                }
                Err(error @ KubeError::Refused { .. }) => return Err(failed(error)),
            }
        }
        if remaining.is_empty() {
            return Ok(drained);
        }
        if clock.now() >= end {
            let budgets = kube.list("policy/v1", "PodDisruptionBudget").await.unwrap_or_default();
            let remaining = remaining
                .into_iter()
                .map(|(pod, mut remaining)| {
                    if remaining.message != "terminating" {
                        remaining.budgets = budgets_of(pod, &budgets);
                    }
                    remaining
                })
                .collect();
            return Err(DrainError::Deadline { node: node.clone(), deadline, remaining });
        }
        clock.wait(POLL).await;
    }
}

/// Lets pods come back, unless somebody else had cordoned the node.
pub async fn uncordon(kube: &dyn KubeApi, node: &HostName) -> Result<(), KubeError> {
    let Some(live) = fetch_node(kube, node).await? else { return Ok(()) };
    if annotation(&live).is_none() {
        return Ok(());
    }
    let patch = json!({
        "metadata": {"annotations": {CORDONED_ANNOTATION: null}},
        "spec": {"unschedulable": null},
    });
    kube.patch(&skeleton(node), &patch).await
}

enum Cordon {
    NoNode,
    Ours,
    Theirs,
}

async fn cordon(kube: &dyn KubeApi, node: &HostName) -> Result<Cordon, KubeError> {
    let Some(live) = fetch_node(kube, node).await? else { return Ok(Cordon::NoNode) };
    let unschedulable = live.pointer("/spec/unschedulable").and_then(Value::as_bool).unwrap_or(false);
    match (unschedulable, annotation(&live).is_some()) {
        (true, true) => Ok(Cordon::Ours),
        (true, false) => Ok(Cordon::Theirs),
        (false, _) => {
            let patch = json!({
                "metadata": {"annotations": {CORDONED_ANNOTATION: "drain"}},
                "spec": {"unschedulable": true},
            });
            kube.patch(&skeleton(node), &patch).await?;
            Ok(Cordon::Ours)
        }
    }
}

async fn fetch_node(kube: &dyn KubeApi, node: &HostName) -> Result<Option<Value>, KubeError> {
    Ok(kube.fetch(&[skeleton(node)]).await?.into_values().next())
}

fn skeleton(node: &HostName) -> Value {
    json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": node}})
}

fn annotation(node: &Value) -> Option<&Value> {
    node.pointer("/metadata/annotations").and_then(|annotations| annotations.get(CORDONED_ANNOTATION))
}

fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn must_leave(pod: &Value, node: &HostName) -> bool {
    text(pod, "/spec/nodeName") == node.as_str() && leaves_on_drain(pod)
}

/// The names of the budgets of the pod's namespace whose selector has it.
fn budgets_of(pod: &Value, budgets: &[Value]) -> Vec<String> {
    let empty = Value::Null;
    let labels = pod.pointer("/metadata/labels").unwrap_or(&empty);
    budgets
        .iter()
        .filter(|budget| text(budget, "/metadata/namespace") == text(pod, "/metadata/namespace"))
        .filter(|budget| budget.pointer("/spec/selector").is_some_and(|selector| selects(selector, labels)))
        .map(|budget| text(budget, "/metadata/name").to_owned())
        .collect()
}

#[cfg(test)]
#[path = "drain_tests.rs"]
mod tests;
