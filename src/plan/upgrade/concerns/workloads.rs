//! What runs in the cluster and is disturbed while nodes are drained, or keeps them from being drained.

use std::collections::BTreeMap;

use super::{Concern, Prospect};
use crate::facts::UpgradeFacts;
use crate::facts::upgrade::{Amount, BudgetFacts, NodeLoad, WebhookFacts};

pub(super) fn concerns(prospect: &Prospect<'_>, facts: &UpgradeFacts) -> Vec<Concern> {
    let mut found: Vec<Concern> =
        facts.webhooks.iter().filter_map(|webhook| webhook_concern(prospect, webhook)).collect();
    found.extend(single_control_plane(prospect));
    // Nothing below matters when every pod stays where it is.
    if prospect.drained.is_empty() {
        return found;
    }
    found.extend(facts.budgets.iter().filter_map(|budget| budget_concern(prospect, budget)));
    found.extend(pods_of_two_budgets(prospect, &facts.budgets));
    found.extend(facts.singles.iter().map(|single| {
        Concern::notice(
            format!("{} {}/{}", single.kind, single.namespace, single.name),
            "runs one pod, and is away while that moves to another node",
            "run two on different nodes, or expect a pause",
        )
    }));
    let leaving = facts.bare_pods.iter().filter(|pod| prospect.drains(&pod.node));
    found.extend(leaving.map(|pod| {
        Concern::notice(
            format!("Pod {}/{}", pod.namespace, pod.name),
            format!("nothing makes it again: it is gone for good when {} is drained", pod.node),
            "let a Deployment or a Job make it, or do without it",
        )
    }));
    found.extend(capacity(prospect, &facts.nodes));
    found
}

fn webhook_concern(prospect: &Prospect<'_>, webhook: &WebhookFacts) -> Option<Concern> {
    let about = webhook.configuration.clone();
    let name = format!("{} (service {})", webhook.name, webhook.service);
    let asked: Vec<&str> = webhook.asked_about.iter().map(String::as_str).collect();
    let nodes: Vec<&String> = webhook.endpoints.keys().collect();
    match nodes.as_slice() {
        [] if asked.is_empty() => Some(Concern::notice(
            about,
            format!("nobody answers for webhook {name}, so that what it is asked about is refused"),
            "bring its pods back, or delete the configuration if they are gone for good",
        )),
        [] => Some(prospect.until_begun(Concern::blocks(
            about,
            format!(
                "nobody answers for webhook {name}, so that it is refused whoever {}",
                asked.join(", ")
            ),
            "bring its pods back, or delete the configuration if they are gone for good",
        ))),
        [node] if prospect.drains(node) && webhook.guards_itself => Some(prospect.until_begun(Concern::blocks(
            about,
            format!("webhook {name} runs on {node} alone and is asked about its own pods: when {node} is drained they may never come back"),
            "let its namespaceSelector leave its own namespace out, or run it on two nodes",
        ))),
        [node] if prospect.drains(node) => Some(Concern::notice(
            about,
            format!("webhook {name} runs on {node} alone: what it is asked about is refused while that is drained"),
            "run it on two nodes",
        )),
        _ => None,
    }
}

fn single_control_plane(prospect: &Prospect<'_>) -> Option<Concern> {
    let mut hosts = prospect.inventory.control_planes();
    let (Some(only), None) = (hosts.next(), hosts.next()) else { return None };
    Some(Concern::notice(
        only.name.as_str(),
        "is the only control plane: the API is away each time that one is upgraded",
        "with three, clients notice nothing",
    ))
}

fn budget_concern(prospect: &Prospect<'_>, budget: &BudgetFacts) -> Option<Concern> {
    if budget.allowed > 0 || budget.pods.is_empty() {
        return None;
    }
    let about = format!("PodDisruptionBudget {}/{}", budget.namespace, budget.name);
    let here = budget.pods.iter().find(|(_, node)| prospect.drains(node));
    let BudgetFacts { expected, desired, healthy, .. } = budget;
    // Also when its controller cannot count: then it says 0 to everything.
    let never = desired >= expected;
    let remedy = format!(
        "run more pods than it wants, or lower minAvailable: kubectl -n {} edit poddisruptionbudget {}",
        budget.namespace, budget.name
    );
    match here {
        Some((pod, node)) if never => Some(prospect.until_begun(Concern::blocks(
            about,
            format!(
                "wants {desired} of {expected} pods at any time and never lets one go: {pod} on {node} could not be moved"
            ),
            remedy,
        ))),
        None if never => Some(Concern::notice(
            about,
            format!("wants {desired} of {expected} pods at any time and never lets one go; none is on a node that is drained"),
            remedy,
        )),
        Some((pod, node)) if healthy < expected => Some(Concern::notice(
            about,
            format!("{healthy} of {expected} pods are healthy now: the drain of {node} waits before it moves {pod}"),
            "see to the pods that are not healthy",
        )),
        Some(_) | None => None,
    }
}

/// The eviction API answers such a request with an error.
fn pods_of_two_budgets(prospect: &Prospect<'_>, budgets: &[BudgetFacts]) -> Vec<Concern> {
    let mut by_pod: BTreeMap<(&str, &str), Vec<&str>> = BTreeMap::new();
    for budget in budgets {
        for (pod, _) in budget.pods.iter().filter(|(_, node)| prospect.drains(node)) {
            by_pod.entry((&budget.namespace, pod)).or_default().push(&budget.name);
        }
    }
    let several = by_pod.into_iter().filter(|(_, budgets)| budgets.len() > 1);
    let concern = |((namespace, pod), budgets): ((&str, &str), Vec<&str>)| {
        prospect.until_begun(Concern::blocks(
            format!("Pod {namespace}/{pod}"),
            format!("has more than one disruption budget ({}), and cannot be evicted", budgets.join(", ")),
            "let one of them select it",
        ))
    };
    several.map(concern).collect()
}

/// Whether the others have room for what leaves a node, each node by itself. Only sums are compared: a pod that is
/// larger than any single gap, or that may run on few nodes, can still find no place.
fn capacity(prospect: &Prospect<'_>, nodes: &BTreeMap<String, NodeLoad>) -> Option<Concern> {
    let lacking = nodes.iter().filter(|(name, _)| prospect.drains(name)).filter_map(|(name, load)| {
        let others = nodes.iter().filter(|(other, load)| *other != name && load.schedulable);
        let count = others.clone().count();
        let room: Amount = others.map(|(_, load)| load.allocatable.without(load.requested)).sum();
        (!load.movable.fits(room)).then_some((name, load.movable, count, room))
    });
    let lacking: Vec<_> = lacking.collect();
    let (name, asked, others, room) =
        lacking.iter().max_by_key(|(_, asked, ..)| (asked.memory, asked.cpu_millis))?;
    let asked = shown(*asked);
    let what = match others {
        0 => format!("its pods ask for {asked}, and no other node takes any"),
        1 => format!("its pods ask for {asked}, and the only other node has {} left", shown(*room)),
        others => {
            format!("its pods ask for {asked}, and the {others} other nodes have {} left", shown(*room))
        }
    };
    let also = match lacking.len() - 1 {
        0 => String::new(),
        more => format!("; so it is with {more} more"),
    };
    let remedy = "add a node for the time of the upgrade, or expect pods to wait until the node is back";
    Some(Concern::notice(name.as_str(), format!("{what}{also}"), remedy))
}

fn shown(amount: Amount) -> String {
    let (cores, thousandths) = (amount.cpu_millis / 1000, amount.cpu_millis % 1000);
    format!("{cores}.{:02} CPU and {} MiB", thousandths / 10, amount.memory >> 20)
}
