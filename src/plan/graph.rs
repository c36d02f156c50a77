//! Builds a list of steps that is acyclic by construction: a step can only come after steps that
//! are already there.

use std::collections::{BTreeMap, BTreeSet};

use super::model::{Action, Planned, Stage, Step, StepId, Target};

/// Seconds a stage is expected to take when nothing better is known; measured in the lab, 3+2.
fn expected_seconds(stage: Stage, actions: &[Planned]) -> u32 {
    match stage {
        Stage::Upload => 1 + actions.len() as u32,
        Stage::Pause => actions.iter().map(|planned| pause(&planned.action)).sum(),
        Stage::Snapshot => 5,
        Stage::Prepare => 5,
        Stage::Start => 2,
        Stage::ApiReady => 12,
        Stage::Ready => 5,
        Stage::Serve => 10,
        Stage::Drain => 30,
        Stage::Clean => 5,
        Stage::PromoteMember => 5,
        Stage::Etcd => 8,
        Stage::ControlPlane => 15,
        Stage::Node => 15,
        Stage::Mint
        | Stage::Before
        | Stage::After
        | Stage::Gate
        | Stage::AddMember
        | Stage::Access
        | Stage::Objects
        | Stage::Register
        | Stage::Addons
        | Stage::RemoveMember
        | Stage::DeleteNode => 1,
    }
}

fn pause(action: &Action) -> u32 {
    match action {
        Action::WatchWave { seconds, .. } => *seconds,
        _other => 0,
    }
}

fn step_id(target: &Target, stage: Stage) -> StepId {
    StepId(format!("{target}/{}", stage.as_str()))
}

/// What a stage of a target is called that happens more than once: `cp-1/control-plane-1.35`.
fn labelled(target: &Target, stage: Stage, label: &str) -> StepId {
    StepId(format!("{target}/{}-{label}", stage.as_str()))
}

#[derive(Debug, Default)]
pub(super) struct Graph {
    steps: Vec<Step>,
    index: BTreeMap<StepId, usize>,
}

impl Graph {
    /// Adds a step, unless it has no actions; unknown ids in `after` are ignored, because the step
    /// they would name had nothing to do.
    pub fn add(
        &mut self,
        target: Target,
        stage: Stage,
        actions: Vec<Planned>,
        after: Vec<StepId>,
    ) -> Option<StepId> {
        self.insert(step_id(&target, stage), target, stage, actions, after, Vec::new())
    }

    /// Like [`Graph::add`], for a stage that the target goes through more than once.
    pub fn add_labelled(
        &mut self,
        target: Target,
        stage: Stage,
        label: &str,
        actions: Vec<Planned>,
        after: Vec<StepId>,
    ) -> Option<StepId> {
        self.insert(labelled(&target, stage, label), target, stage, actions, after, Vec::new())
    }

    /// What puts the target back when the step fails.
    pub fn undo_with(&mut self, step: &StepId, undo: Vec<Planned>) {
        if let Some(step) = self.index.get(step).and_then(|at| self.steps.get_mut(*at)) {
            step.undo = undo;
        }
    }

    /// Like [`Graph::add`], for a step that needs only one of `after_any` to have ended well.
    pub fn add_after_any(
        &mut self,
        target: Target,
        stage: Stage,
        actions: Vec<Planned>,
        after: Vec<StepId>,
        after_any: Vec<StepId>,
    ) -> Option<StepId> {
        self.insert(step_id(&target, stage), target, stage, actions, after, after_any)
    }

    fn insert(
        &mut self,
        id: StepId,
        target: Target,
        stage: Stage,
        actions: Vec<Planned>,
        after: Vec<StepId>,
        after_any: Vec<StepId>,
    ) -> Option<StepId> {
        if actions.is_empty() {
            return None;
        }
        let known = |ids: Vec<StepId>| -> Vec<StepId> {
            let ids: BTreeSet<StepId> = ids.into_iter().filter(|id| self.contains(id)).collect();
            ids.into_iter().collect()
        };
        let step = Step {
            id: id.clone(),
            expected: expected_seconds(stage, &actions),
            after: known(after),
            after_any: known(after_any),
            target,
            stage,
            actions,
            undo: Vec::new(),
        };
        self.index.insert(id.clone(), self.steps.len());
        self.steps.push(step);
        Some(id)
    }

    /// Makes an existing step wait for another existing step. The caller must not make a circle:
    /// [`super::check`] proves that nobody did.
    pub fn wait_for(&mut self, step: &StepId, after: StepId) {
        if self.contains(&after)
            && let Some(step) = self.index.get(step).and_then(|at| self.steps.get_mut(*at))
            && !step.after.contains(&after)
        {
            step.after.push(after);
        }
    }

    /// The same for steps of which one is enough.
    pub fn wait_for_any(&mut self, step: &StepId, any: &[StepId]) {
        if let Some(step) = self.index.get(step).and_then(|at| self.steps.get_mut(*at)) {
            step.after_any.extend(any.iter().cloned());
        }
    }

    pub fn contains(&self, id: &StepId) -> bool {
        self.index.contains_key(id)
    }

    /// The id of a target's stage, if it is in the plan.
    pub fn find(&self, target: &Target, stage: Stage) -> Option<StepId> {
        Some(step_id(target, stage)).filter(|id| self.contains(id))
    }

    /// The ids of all steps of a stage.
    pub fn of_stage(&self, stage: Stage) -> Vec<StepId> {
        self.steps.iter().filter(|step| step.stage == stage).map(|step| step.id.clone()).collect()
    }

    /// Puts the steps in an order that respects `after`, stable in the order they were added.
    pub fn into_steps(self) -> Vec<Step> {
        let mut done = BTreeSet::new();
        let mut rest = self.steps;
        let mut ordered = Vec::with_capacity(rest.len());
        while !rest.is_empty() {
            let before = ordered.len();
            let (ready, blocked): (Vec<Step>, Vec<Step>) = rest
                .into_iter()
                .partition(|step| step.after.iter().chain(&step.after_any).all(|id| done.contains(id)));
            for step in ready {
                done.insert(step.id.clone());
                ordered.push(step);
            }
            rest = blocked;
            if ordered.len() == before {
                // A circle; check() names it. The steps stay in the plan so that it can.
                ordered.append(&mut rest);
            }
        }
        ordered
    }
}
