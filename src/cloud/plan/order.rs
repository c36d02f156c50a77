//! Which step waits for which, and all of them in a row.

use std::collections::{BTreeMap, BTreeSet};

use super::compare::needs;
use super::{Change, InfraPlan, InfraStep};
use crate::cloud::name::ResourceName;
use crate::cloud::ports::Found;
use crate::cloud::resource::Resource;

/// Orders steps: what is needed comes first, and goes last.
pub(super) fn ordered(
    steps: Vec<(ResourceName, Change)>,
    kept: &BTreeMap<&ResourceName, &Found>,
) -> InfraPlan {
    let waits: Vec<BTreeSet<usize>> =
        steps.iter().enumerate().map(|(at, step)| waits_for(at, step, &steps, kept)).collect();
    let mut places: BTreeMap<usize, usize> = BTreeMap::new();
    let mut rows: Vec<usize> = Vec::new();
    while rows.len() < steps.len() {
        let is_next = |at: &usize| {
            !places.contains_key(at)
                && waits.get(*at).is_none_or(|waits| waits.iter().all(|before| places.contains_key(before)))
        };
        // invariant: needs form no circle (rules are apart from their groups), so there is always a next one.
        let Some(next) = (0..steps.len()).find(is_next) else { break };
        places.insert(next, rows.len());
        rows.push(next);
    }
    let step = |at: &usize| {
        let (name, change) = steps.get(*at)?.clone();
        let after = waits.get(*at)?.iter().filter_map(|before| places.get(before).copied()).collect();
        Some(InfraStep { name, change, after })
    };
    InfraPlan { steps: rows.iter().filter_map(step).collect() }
}

fn waits_for(
    at: usize,
    (name, change): &(ResourceName, Change),
    steps: &[(ResourceName, Change)],
    kept: &BTreeMap<&ResourceName, &Found>,
) -> BTreeSet<usize> {
    let others = steps.iter().enumerate().filter(|(other, _)| *other != at);
    let waits = others.filter(|(other, (other_name, other_change))| match (change, other_change) {
        // What is needed is there before it is named; a name is free before it is taken again.
        (Change::Create { wanted, .. }, Change::Create { .. }) => {
            needs(&wanted.resource).contains(&other_name)
        }
        (Change::Create { .. }, Change::Delete { .. }) => name == other_name,
        (Change::Update { wanted, .. }, Change::Create { .. }) => {
            needs(&wanted.resource).contains(&other_name)
        }
        // Machines that stop do so one after another, in the order of their names.
        (Change::Update { stops: true, .. }, Change::Update { stops: true, .. }) => other < &at,
        // What names it goes, or is told to name something else.
        (Change::Delete { there, .. }, Change::Delete { there: other, .. }) => {
            match (&there.resource, &other.resource) {
                // A volume that is in use does not let go: its machine goes first, and lets go of it.
                (Resource::Attachment(_), Resource::Instance(_)) => {
                    needs(&there.resource).contains(&other_name)
                }
                (Resource::Instance(_), Resource::Attachment(_)) => false,
                // As long as the controller that made it runs, it would make it again; and volumes of claims are
                // attached to machines.
                (Resource::Made(_), Resource::Instance(_) | Resource::ScalingGroup(_)) => true,
                _ => there.id != other.id && needs(&other.resource).contains(&name),
            }
        }
        (Change::Delete { .. }, Change::Update { wanted, .. }) => {
            let named = |resource: &Resource| needs(resource).contains(&name);
            kept.get(other_name).is_some_and(|found| named(&found.resource)) && !named(&wanted.resource)
        }
        (Change::Create { .. } | Change::Update { .. } | Change::Delete { .. }, _) => false,
    });
    waits.map(|(other, _)| other).collect()
}
