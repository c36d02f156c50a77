//! At the end of `apply`: machines of worker groups that were made from older templates are made anew.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use serde_json::{Value, json};

use super::operation::Operation;
use super::site::{Site, Survey, cloud_error};
use super::{CommandError, ErrorKind};
use crate::cloud::plan::{Change, InfraPlan};
use crate::cloud::roll::{Groups as _, Limits, Nodes, NodesError, Phase, Roll, RollError, RollEvent};
use crate::cloud::{PhysicalId, ResourceName};
use crate::exec::KubeApi;
use crate::exec::ports::Fence;
use crate::facts::node_is_ready;
use crate::inventory::{CountOrShare, WorkerGroup};

/// Between two looks at a group whose machines come and go.
const PAUSE: Duration = Duration::from_secs(5);

/// A group whose machines are to be made anew.
pub(super) struct ToRoll<'a> {
    group: &'a WorkerGroup,
    machines: usize,
}

impl ToRoll<'_> {
    pub fn line(&self) -> String {
        let WorkerGroup { name, max_surge, max_unavailable, .. } = self.group;
        format!(
            "! scaling-group/{name}: {} made anew when the hosts are as wanted (maxSurge {}, maxUnavailable {})",
            if self.machines == 1 {
                "one machine is".to_owned()
            } else {
                format!("{} machines are", self.machines)
            },
            number(*max_surge),
            number(*max_unavailable),
        )
    }

    pub fn value(&self) -> Value {
        json!({"group": self.group.name, "machines": self.machines})
    }
}

fn number(count: CountOrShare) -> String {
    match count {
        CountOrShare::Count(count) => count.to_string(),
        CountOrShare::Percent(share) => format!("{share}%"),
    }
}

fn name_of(group: &WorkerGroup) -> ResourceName {
    ResourceName::new("scaling-group", &group.name)
}

/// Groups with machines that are older than their template is, or will be when `plan` has been carried out.
pub(super) async fn to_roll<'a>(
    site: &'a Site,
    survey: &Survey,
    plan: &InfraPlan,
) -> Result<Vec<ToRoll<'a>>, CommandError> {
    let mut all = Vec::new();
    for group in &site.inventory.aws.worker_groups {
        let name = name_of(group);
        if !survey.observed.found.contains_key(&name) {
            continue;
        }
        let Some(now) = site.api.group(&name).await.map_err(cloud_error)? else { continue };
        let every = makes_another(plan, &group.name);
        let live = now.members.iter().filter(|member| member.phase != Phase::Leaving);
        let machines = live.filter(|member| every || member.outdated).count();
        if machines > 0 || now.is_stale() {
            all.push(ToRoll { group, machines });
        }
    }
    Ok(all)
}

/// Whether the plan gives a group's template another machine; tags alone make none.
fn makes_another(plan: &InfraPlan, group: &str) -> bool {
    plan.steps.iter().filter(|step| step.name == ResourceName::new("launch-template", group)).any(|step| {
        matches!(&step.change, Change::Update { fields, .. } if fields.iter().any(|field| field.field != "machineTags"))
    })
}

/// Rolls one group after the other.
pub(super) async fn roll(site: &Site, operation: &Operation) -> Result<(), CommandError> {
    let fenced = site.fenced();
    let nodes = ClusterNodes { kube: Arc::clone(&operation.adapters.kube), fence: operation.state.fence() };
    // With nothing to fetch from, machines of groups are nodes only if their image sees to it.
    let join = site.inventory.workers_join();
    for group in &site.inventory.aws.worker_groups {
        let name = name_of(group);
        let events = |event| {
            if let Some(line) = line(&name, &event) {
                eprintln!("{line}");
            }
        };
        let roll = Roll {
            groups: &fenced,
            nodes: join.then_some(&nodes as &dyn Nodes),
            clock: &site.clock,
            pause: PAUSE,
            events: &events,
        };
        roll.roll(&name, &Limits::from(group)).await.map_err(roll_error)?;
    }
    Ok(())
}

fn line(name: &ResourceName, event: &RollEvent) -> Option<String> {
    match event {
        RollEvent::Enlarged { from, to } => Some(format!("{name}: {from} -> {to} machines for a while")),
        RollEvent::Goes { id, left } => {
            Some(format!("{name}: {id} is drained and goes; {left} old machines left"))
        }
        RollEvent::Again { error } => Some(format!("{name}: again: {error}")),
        RollEvent::Done { machines: 0 } => None,
        RollEvent::Done { machines } => Some(format!("{name}: {machines} machines were made anew")),
    }
}

fn roll_error(error: RollError) -> CommandError {
    match error {
        RollError::Cloud(error) => cloud_error(error),
        RollError::Nodes(_) => CommandError::new(ErrorKind::Unreachable, error)
            .hint("what was replaced stays so; go on with\n    keelwright apply"),
        RollError::Stuck { .. } => CommandError::new(ErrorKind::Failed, error)
            .hint("see what a new machine says:\n    aws ec2 get-console-output --latest --instance-id ID")
            .hint("see what keeps an old one:\n    kubectl get pods -A -o wide; kubectl get pdb -A")
            .hint("the others work; go on with\n    keelwright apply"),
    }
}

/// Nodes by their machines.
struct ClusterNodes<'a> {
    kube: Arc<dyn KubeApi>,
    fence: &'a dyn Fence,
}

/// `i-0abc` of `aws:///eu-central-1a/i-0abc`.
fn machine_of(node: &Value) -> Option<PhysicalId> {
    let provider_id = node["spec"]["providerID"].as_str()?.strip_prefix("aws:///")?;
    Some(PhysicalId(provider_id.rsplit('/').next()?.to_owned()))
}

impl ClusterNodes<'_> {
    async fn list(&self) -> Result<Vec<Value>, NodesError> {
        Ok(self.kube.list("v1", "Node").await?)
    }
}

impl Nodes for ClusterNodes<'_> {
    fn ready(&self) -> BoxFuture<'_, Result<BTreeSet<PhysicalId>, NodesError>> {
        Box::pin(async {
            let nodes = self.list().await?;
            Ok(nodes.iter().filter(|node| node_is_ready(node)).filter_map(machine_of).collect())
        })
    }

    fn forget<'a>(&'a self, gone: &'a BTreeSet<PhysicalId>) -> BoxFuture<'a, Result<(), NodesError>> {
        Box::pin(async move {
            if gone.is_empty() {
                return Ok(());
            }
            let nodes = self.list().await?;
            for node in nodes.iter().filter(|node| machine_of(node).is_some_and(|id| gone.contains(&id))) {
                let name = &node["metadata"]["name"];
                let object = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}});
                self.fence.check().await?;
                self.kube.delete(&object).await?;
            }
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nodes_machine_is_the_last_part_of_its_provider_id() {
        let node = |id: &str| json!({"spec": {"providerID": id}});
        let of = |id: &str| machine_of(&node(id)).map(|id| id.0);
        assert_eq!(of("aws:///eu-central-1a/i-0abc").as_deref(), Some("i-0abc"));
        assert_eq!(of("gce://project/zone/name"), None);
        assert_eq!(machine_of(&json!({"spec": {}})), None);
    }
}
