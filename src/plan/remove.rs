//! Taking hosts out: those the inventory dropped, or all of them.

use super::graph::Graph;
use super::model::{Action, Goal, Planned, Reason, Stage, StepId, Target};
use super::{PlanInput, etcd, reachable};
use crate::facts::Observed;
use crate::inventory::{Host, HostName};

fn planned(action: Action, goal: Goal) -> Planned {
    let reason = match goal {
        Goal::Converge | Goal::Prefetch => Reason::Dropped,
        Goal::Reset => Reason::Asked,
    };
    Planned { action, reason }
}

/// Drains, removes the etcd member, cleans the machine, deletes the Node: after everything that
/// joins has joined, and one host after another, so that quorum is never thinner than it must be.
pub(super) fn dropped_hosts(input: &PlanInput<'_>, graph: &mut Graph) {
    let goal = Goal::Converge;
    let joined: Vec<StepId> =
        [Stage::Ready, Stage::PromoteMember].iter().flat_map(|stage| graph.of_stage(*stage)).collect();
    let mut previous: Vec<StepId> = joined;
    for name in names(input) {
        let target = Target::Host(name.clone());
        let has_node = input.facts.api.known().is_some_and(|api| api.nodes.contains_key(&name));
        let mut last = previous.clone();
        if has_node {
            let drain = vec![planned(Action::Drain { node: name.clone() }, goal)];
            last = graph.add(target.clone(), Stage::Drain, drain, last).into_iter().collect();
        }
        if let Some(member) = etcd::dropped_member(input, &name) {
            let action = Action::RemoveMember { name: name.clone(), id: member.id };
            last = graph
                .add(target.clone(), Stage::RemoveMember, vec![planned(action, goal)], last)
                .into_iter()
                .collect();
        }
        if let Some(Observed::Known(_)) = input.facts.hosts.get(&name) {
            last =
                graph.add(target.clone(), Stage::Clean, vec![clean(input, goal)], last).into_iter().collect();
        }
        if has_node {
            let delete = vec![planned(Action::DeleteNode { node: name.clone() }, goal)];
            last = graph.add(target, Stage::DeleteNode, delete, last).into_iter().collect();
        }
        if !last.is_empty() {
            previous = last;
        }
    }
}

/// Hosts that the inventory no longer names, whoever still remembers them.
pub(super) fn names(input: &PlanInput<'_>) -> Vec<HostName> {
    let known = |name: &HostName| input.inventory.hosts.contains_key(name);
    let mut names: Vec<HostName> = input.facts.dropped.keys().cloned().collect();
    names.retain(|name| !known(name));
    names
}

fn clean(input: &PlanInput<'_>, goal: Goal) -> Planned {
    planned(Action::CleanMachine { etcd_data_dir: input.inventory.etcd.data_dir.to_string() }, goal)
}

/// Cleans every machine that can be reached: workers and control planes alike, all at once.
pub(super) fn reset(input: &PlanInput<'_>, graph: &mut Graph) {
    // The marker comes before anything else but artifacts, and goes last.
    let ours = |host: &&Host| {
        input
            .facts
            .host(&host.name)
            .is_some_and(|facts| facts.marker.is_some() || !facts.artifacts.is_empty())
    };
    for host in reachable(input).filter(ours) {
        let action = clean(input, Goal::Reset);
        graph.add(Target::Host(host.name.clone()), Stage::Clean, vec![action], Vec::new());
    }
}
