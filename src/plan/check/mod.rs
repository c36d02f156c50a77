//! Proves a plan before it is shown, without looking at how it was made.

use std::collections::{BTreeMap, BTreeSet};

use super::model::{Action, Plan, Stage, Step, StepId};
use crate::blueprint::Content;

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
}

/// All flaws of a plan; empty for every plan the planner may show.
pub fn check(plan: &Plan) -> Vec<Flaw> {
    let mut flaws = Vec::new();
    let mut place = BTreeMap::new();
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
    flaws.extend(one_member_at_a_time(plan));
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
fn one_member_at_a_time(plan: &Plan) -> Vec<Flaw> {
    let changes: Vec<&Step> = plan
        .steps
        .iter()
        .filter(|step| matches!(step.stage, Stage::AddMember | Stage::PromoteMember | Stage::RemoveMember))
        .collect();
    let mut flaws = Vec::new();
    for pair in changes.windows(2) {
        if let [first, second] = pair
            && !reaches(plan, &second.id, &first.id)
        {
            flaws.push(Flaw::MembersAtOnce(first.id.clone(), second.id.clone()));
        }
    }
    flaws
}

fn reaches(plan: &Plan, from: &StepId, to: &StepId) -> bool {
    let mut open = vec![from];
    let mut seen = BTreeSet::new();
    while let Some(id) = open.pop() {
        if id == to {
            return true;
        }
        if seen.insert(id)
            && let Some(step) = plan.step(id)
        {
            open.extend(&step.after);
        }
    }
    false
}
