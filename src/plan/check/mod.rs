//! Proves a plan before it is shown, without looking at how it was made.

mod changes;
mod order;
mod skew;
#[cfg(test)]
mod skew_property_tests;
#[cfg(test)]
mod skew_tests;
mod snapshot;
#[cfg(test)]
mod testing;
mod waves;

use std::collections::BTreeSet;
use std::fmt;

use super::model::{Action, Plan, Stage, Step, StepId};
use crate::blueprint::Content;
use crate::release::SkewViolation;
use changes::Changes;
use order::{Order, Places};

/// Something that is wrong with a plan: a bug in the planner, never the operator's fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    #[error("step {0} is there twice")]
    Twice(StepId),
    #[error("step {step} comes before {after}, which it waits for")]
    Order { step: StepId, after: StepId },
    #[error("step {0} places a secret before keys are made")]
    SecretBeforeMint(StepId),
    #[error("step {0} writes a static pod before what that reads")]
    ManifestTooEarly(StepId),
    #[error("steps {0} and {1} may change etcd's members at the same time")]
    MembersAtOnce(StepId, StepId),
    #[error("step {0} installs an artifact that no step before it brings")]
    ArtifactMissing(StepId),
    #[error("step {step} may leave the version-skew policy: {violation} (beside {beside})")]
    Skew { step: StepId, violation: SkewViolation, beside: Beside },
    #[error("step {step} leaves out a version: {violation}")]
    Jump { step: StepId, violation: SkewViolation },
    #[error("steps {first} and {second} change {what} in either order")]
    EitherOrder { what: String, first: StepId, second: StepId },
    #[error("steps {0} and {1} may take away API servers or etcd members of two hosts at the same time")]
    ReplacedAtOnce(StepId, StepId),
    #[error("step {last} may begin while {first} runs: more than {allowed} workers would be out of service")]
    TooManyAtOnce { first: StepId, last: StepId, allowed: usize },
    #[error("step {step} does not wait for the canary: {canary}")]
    BeforeCanary { step: StepId, canary: StepId },
    #[error("step {0} may go to another version before there is a snapshot of etcd")]
    NoSnapshot(StepId),
    #[error("step {step} writes {path}, whose version cannot be told")]
    UnknownVersion { step: StepId, path: String },
}

/// What a step does not fit, and from when until when that is so; None: from the start, to the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Beside {
    pub what: String,
    pub since: Option<StepId>,
    pub until: Option<StepId>,
}

impl fmt::Display for Beside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        if let Some(since) = &self.since {
            write!(f, " from {since} on")?;
        }
        match &self.until {
            Some(until) => write!(f, " until {until}"),
            None => Ok(()),
        }
    }
}

/// All flaws of a plan; empty for every plan the planner may show.
pub fn check(plan: &Plan) -> Vec<Flaw> {
    let mut flaws = Vec::new();
    let mut place = Places::new();
    for (index, step) in plan.steps.iter().enumerate() {
        if place.insert(&step.id, index).is_some() {
            flaws.push(Flaw::Twice(step.id.clone()));
        }
    }
    for (index, step) in plan.steps.iter().enumerate() {
        for after in step.after.iter().chain(&step.after_any) {
            if place.get(after).is_none_or(|before| *before >= index) {
                flaws.push(Flaw::Order { step: step.id.clone(), after: after.clone() });
            }
        }
        flaws.extend(manifests_last(step));
    }
    flaws.extend(secrets_after_mint(plan));
    flaws.extend(waves::check(plan, &place));
    let changes = plan.versions.as_ref().map(|versions| Changes::read(plan, versions));
    let mut pivots = membership_steps(plan);
    pivots.extend(changes.iter().flat_map(skew::pivots));
    let order = Order::new(plan, &place, &pivots);
    flaws.extend(one_member_at_a_time(plan, &order));
    flaws.extend(changes.iter().flat_map(|changes| skew::check(changes, &order)));
    flaws.extend(changes.iter().filter_map(|changes| snapshot::check(plan, changes, &order)));
    flaws
}

fn manifests_last(step: &Step) -> Option<Flaw> {
    let is_manifest = |path: &str| path.starts_with("/etc/kubernetes/manifests/");
    let mut seen = false;
    for planned in &step.actions {
        if let Action::WriteFile { path, .. } = &planned.action {
            if seen && !is_manifest(path) {
                return Some(Flaw::ManifestTooEarly(step.id.clone()));
            }
            seen |= is_manifest(path);
        }
    }
    None
}

fn secrets_after_mint(plan: &Plan) -> Vec<Flaw> {
    let Some(mint) = plan.steps.iter().find(|step| step.stage == Stage::Mint) else { return Vec::new() };
    let places_secret = |step: &&Step| {
        step.actions
            .iter()
            .any(|planned| matches!(&planned.action, Action::WriteFile { content: Content::Secret(_), .. }))
    };
    plan.steps
        .iter()
        .filter(places_secret)
        .filter(|step| !step.after.contains(&mint.id))
        .map(|step| Flaw::SecretBeforeMint(step.id.clone()))
        .collect()
}

/// Any two steps that change membership must be ordered by the graph itself.
fn one_member_at_a_time(plan: &Plan, order: &Order<'_>) -> Vec<Flaw> {
    let changes: Vec<usize> = membership_steps(plan).into_iter().collect();
    let pairs = changes.iter().zip(changes.iter().skip(1));
    let unordered = pairs.filter(|(first, second)| !order.certain_steps(**first, **second));
    unordered
        .filter_map(|(first, second)| {
            Some(Flaw::MembersAtOnce(order.id(*first)?.clone(), order.id(*second)?.clone()))
        })
        .collect()
}

fn membership_steps(plan: &Plan) -> BTreeSet<usize> {
    let changes =
        |step: &Step| matches!(step.stage, Stage::AddMember | Stage::PromoteMember | Stage::RemoveMember);
    let steps = plan.steps.iter().enumerate().filter(|(_, step)| changes(step));
    steps.map(|(index, _)| index).collect()
}
