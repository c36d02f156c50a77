//! Looks at what an upgrade will meet, through the Kubernetes API alone.

use std::collections::BTreeMap;

use futures::future::{join_all, try_join, try_join_all};
use futures::try_join;
use serde_json::Value;

use super::ports::{KubeApi, KubeError};
use crate::facts::Observed;
use crate::facts::upgrade::{Listed, UpgradeFacts, read};
use crate::inventory::{HostName, Inventory};
use crate::release::Minor;
use crate::release::removals::removed_apis;

/// What stands in the way of an upgrade from one minor to another, or will be disturbed by it. An API server that
/// does not answer is asked no metrics; without any API there are no facts.
pub async fn observe_upgrade(
    inventory: &Inventory,
    kube: &dyn KubeApi,
    from: Minor,
    to: Minor,
) -> Observed<UpgradeFacts> {
    match list_upgrade(inventory, kube, from, to).await {
        Ok(listed) => Observed::Known(read(&listed)),
        Err(error) => Observed::Unreachable(error.to_string()),
    }
}

/// The objects that [`observe_upgrade`] reads, as they are.
pub async fn list_upgrade(
    inventory: &Inventory,
    kube: &dyn KubeApi,
    from: Minor,
    to: Minor,
) -> Result<Listed, KubeError> {
    let going = try_join_all(removed_apis(from, to).map(|api| async move {
        // Not served, as most clusters have it: then there are none.
        match kube.list(&api.api_version(), api.kind).await {
            Err(KubeError::Refused { code: 404, .. }) => Ok(Vec::new()),
            other => other,
        }
    }));
    let configurations = try_join(
        kube.list("admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration"),
        kube.list("admissionregistration.k8s.io/v1", "MutatingWebhookConfiguration"),
    );
    let (
        nodes,
        namespaces,
        pods,
        deployments,
        stateful_sets,
        budgets,
        endpoint_slices,
        configurations,
        going,
    ) = try_join!(
        kube.list("v1", "Node"),
        kube.list("v1", "Namespace"),
        kube.list("v1", "Pod"),
        kube.list("apps/v1", "Deployment"),
        kube.list("apps/v1", "StatefulSet"),
        kube.list("policy/v1", "PodDisruptionBudget"),
        kube.list("discovery.k8s.io/v1", "EndpointSlice"),
        configurations,
        going,
    )?;
    let (validating, mutating) = configurations;
    let webhook_configurations: Vec<Value> = validating.into_iter().chain(mutating).collect();
    Ok(Listed {
        nodes,
        namespaces,
        pods,
        deployments,
        stateful_sets,
        budgets,
        webhook_configurations,
        endpoint_slices,
        going: going.into_iter().flatten().collect(),
        metrics: metrics(inventory, kube).await,
    })
}

/// Each API server counts only what it was asked itself.
async fn metrics(inventory: &Inventory, kube: &dyn KubeApi) -> BTreeMap<HostName, String> {
    let asked = inventory.control_planes().map(|host| async move {
        let text = kube.metrics(&host.name).await.ok()?;
        Some((host.name.clone(), text))
    });
    join_all(asked).await.into_iter().flatten().collect()
}
