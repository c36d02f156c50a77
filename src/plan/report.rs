//! What to say about a plan beside its steps: what is blocked and why, and how long it may take.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::PlanInput;
use super::model::{Step, StepId};
use super::upgrade::Concern;
use super::warn::{Warning, warnings};
use crate::facts::Observed;
use crate::inventory::HostName;

/// A host that this plan cannot do anything for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blocked {
    pub host: HostName,
    pub why: String,
}

/// Said with the plan, and again in the summary.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    pub blocked: Vec<Blocked>,
    pub warnings: Vec<Warning>,
    /// Before an upgrade: what its operator should know.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub concerns: Vec<Concern>,
    /// The longest chain of steps, in seconds.
    pub expected_seconds: u32,
}

pub(super) fn report(input: &PlanInput<'_>, steps: &[Step], concerns: Vec<Concern>) -> Report {
    let blocked = input
        .facts
        .hosts
        .iter()
        .filter_map(|(host, observed)| match observed {
            Observed::Unreachable(why) => Some(Blocked { host: host.clone(), why: why.clone() }),
            Observed::Known(_) | Observed::Absent => None,
        })
        .collect();
    Report {
        blocked,
        warnings: warnings(input.inventory, input.facts),
        concerns,
        expected_seconds: longest_chain(steps),
    }
}

fn longest_chain(steps: &[Step]) -> u32 {
    let mut ends: BTreeMap<&StepId, u32> = BTreeMap::new();
    for step in steps {
        let starts = step.after.iter().filter_map(|id| ends.get(id)).max().copied().unwrap_or(0);
        let any = step.after_any.iter().filter_map(|id| ends.get(id)).min().copied().unwrap_or(0);
        ends.insert(&step.id, starts.max(any) + step.expected);
    }
    ends.values().max().copied().unwrap_or(0)
}
