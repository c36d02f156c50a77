//! Looks at everything a plan is made from: one probe per host, all hosts at once, then the API and
//! etcd, when there is a cluster that can answer.

use std::collections::BTreeMap;

use futures::StreamExt as _;
use serde_json::{Value, json};

use super::ports::{Etcd, KubeApi, KubeError, Remote};
use crate::blueprint::HostBlueprint;
use crate::facts::health::availability;
use crate::facts::{ApiFacts, EtcdFacts, HostFacts, NodeFacts, Observed, parse, probe};
use crate::inventory::{HostName, Inventory};

/// Probes every host that has a blueprint, at most `parallelism` at a time.
pub async fn observe_hosts(
    inventory: &Inventory,
    blueprints: &BTreeMap<HostName, HostBlueprint>,
    remote: &dyn Remote,
    clock: &(dyn Fn() -> i64 + Sync),
) -> BTreeMap<HostName, Observed<HostFacts>> {
    let limit = usize::try_from(inventory.policy.parallelism).unwrap_or(usize::MAX).max(1);
    futures::stream::iter(blueprints)
        .map(|(name, blueprint)| async move {
            let questions = probe::questions(blueprint, inventory.etcd.data_dir.as_str());
            let asked_at = clock();
            let observed = match remote.probe(name, probe::SCRIPT, questions.as_bytes()).await {
                Err(error) => Observed::Unreachable(match error.hint() {
                    Some(hint) => format!("{error}; {hint}"),
                    None => error.to_string(),
                }),
                Ok(answer) => match parse::host_facts(&answer) {
                    Ok(facts) => {
                        let clock_offset = offset(asked_at, facts.clock, clock());
                        Observed::Known(HostFacts { clock_offset, ..facts })
                    }
                    Err(error) => Observed::Unreachable(format!("the probe failed: {error}")),
                },
            };
            (name.clone(), observed)
        })
        .buffer_unordered(limit)
        .collect()
        .await
}

/// How far a host's clock is off at least, when it was read at some moment between two of ours.
fn offset(before: i64, host: i64, after: i64) -> i64 {
    host - host.clamp(before, after.max(before))
}

/// Asks the API for its nodes and for the live form of every wanted object.
pub async fn observe_api(inventory: &Inventory, kube: &dyn KubeApi, wanted: &[Value]) -> Observed<ApiFacts> {
    let nodes = match kube.list("v1", "Node").await {
        Ok(nodes) => nodes,
        Err(error) => return Observed::Unreachable(error.to_string()),
    };
    let objects = match kube.fetch(wanted).await {
        Ok(objects) => objects,
        Err(error) => return Observed::Unreachable(error.to_string()),
    };
    let workloads = match inventory.policy.upgrade.health_gate {
        true => list_workloads(kube).await,
        false => Ok(Vec::new()),
    };
    let workloads = match workloads {
        Ok(workloads) => availability(&workloads),
        Err(error) => return Observed::Unreachable(error.to_string()),
    };
    let asked =
        inventory.control_planes().map(|host| async { (host.name.clone(), kube.ready(&host.name).await) });
    let ready = futures::future::join_all(asked).await;
    Observed::Known(ApiFacts {
        ready: ready.into_iter().filter(|(_, answer)| answer.is_ok()).map(|(name, _)| name).collect(),
        nodes: nodes.into_iter().filter_map(node_facts).collect(),
        objects,
        workloads,
    })
}

/// Whatever keeps a number of pods running.
pub(super) async fn list_workloads(kube: &dyn KubeApi) -> Result<Vec<Value>, KubeError> {
    let (deployments, stateful_sets) =
        futures::try_join!(kube.list("apps/v1", "Deployment"), kube.list("apps/v1", "StatefulSet"))?;
    Ok(deployments.into_iter().chain(stateful_sets).collect())
}

/// Asks etcd for its members.
pub async fn observe_etcd(etcd: &dyn Etcd) -> Observed<EtcdFacts> {
    match etcd.members().await {
        Ok(members) => Observed::Known(EtcdFacts { members }),
        Err(error) => Observed::Unreachable(error.to_string()),
    }
}

fn node_facts(node: Value) -> Option<(HostName, NodeFacts)> {
    let name = HostName::parse(node["metadata"]["name"].as_str()?).ok()?;
    let cidrs = node["spec"]["podCIDRs"].as_array().cloned().unwrap_or_default();
    let facts = NodeFacts {
        ready: crate::facts::node_is_ready(&node),
        unschedulable: node["spec"]["unschedulable"].as_bool().unwrap_or(false),
        kubelet_version: node["status"]["nodeInfo"]["kubeletVersion"].as_str().unwrap_or("").to_owned(),
        pod_cidrs: cidrs.iter().filter_map(|cidr| cidr.as_str()?.parse().ok()).collect(),
        live: json!({
            "metadata": {
                "labels": node["metadata"]["labels"],
                "annotations": node["metadata"]["annotations"],
            },
            "spec": node["spec"],
        }),
    };
    Some((name, facts))
}

#[cfg(test)]
mod tests {
    use super::offset;

    #[test]
    fn a_clock_is_off_by_what_the_answers_way_cannot_explain() {
        // asked at, the host's clock, answered at, off
        for (before, host, after, off) in [
            (100, 100, 100, 0),
            (100, 103, 105, 0),
            (100, 99, 105, -1),
            (100, 40, 105, -60),
            (100, 106, 105, 1),
            (100, 165, 105, 60),
            // The operator's clock was set back meanwhile.
            (100, 100, 90, 0),
        ] {
            assert_eq!(offset(before, host, after), off, "{before} {host} {after}");
        }
    }
}
