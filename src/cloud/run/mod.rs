//! Carries out a plan: steps that wait for nothing run at the same time, and a failed one stops only those that
//! wait for it.

mod step;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;

use super::name::{PhysicalId, ResourceName};
use super::plan::{InfraPlan, InfraStep};
use super::ports::{CloudApi, CloudError, Ids, Observed, State, Trouble};
use crate::exec::Clock;

pub use crate::exec::Pace;

/// What happens, for people.
#[derive(Debug, Clone, PartialEq)]
pub enum InfraEvent {
    Begins {
        step: usize,
    },
    /// Not there yet: what it waits for.
    Waits {
        step: usize,
        what: String,
    },
    Again {
        step: usize,
        error: CloudError,
        wait: Duration,
    },
    Done {
        step: usize,
        id: PhysicalId,
    },
    Failed {
        step: usize,
        error: StepError,
    },
}

/// Why a step was given up.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StepError {
    #[error(transparent)]
    Refused(#[from] CloudError),
    /// It was tried for as long as anybody waits.
    #[error("tried for {} s", tried.as_secs())]
    Patience { tried: Duration, source: CloudError },
    #[error("{id} is {what}")]
    Broken { id: PhysicalId, what: String },
    #[error("{id} is still {what} after {} s", waited.as_secs())]
    Slow { id: PhysicalId, what: String, waited: Duration },
    #[error("{id} does not keep {field}")]
    Different { id: PhysicalId, field: String },
}

/// How a run ended, by places of steps.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct InfraOutcome {
    pub done: BTreeSet<usize>,
    pub failed: Vec<(usize, StepError)>,
    /// Never begun, because what they wait for failed.
    pub left: BTreeSet<usize>,
}

impl InfraOutcome {
    pub fn is_complete(&self) -> bool {
        self.failed.is_empty() && self.left.is_empty()
    }
}

/// What a run works with.
pub struct InfraRun<'a> {
    pub api: &'a dyn CloudApi,
    pub clock: &'a dyn Clock,
    pub pace: Pace,
    pub seed: u64,
    /// Everything goes, so nothing is drained.
    pub force: bool,
    pub events: &'a (dyn Fn(InfraEvent) + Sync),
}

/// Calls to a cloud are cheap, and its limits low: more at once are throttled.
const AT_ONCE: usize = 8;

impl InfraRun<'_> {
    /// Does all that can be done of a plan.
    pub async fn carry_out(&self, plan: &InfraPlan, observed: &Observed) -> InfraOutcome {
        let ids = Mutex::new(ids_of(observed, plan));
        let mut outcome = InfraOutcome::default();
        let mut begun: BTreeSet<usize> = BTreeSet::new();
        let mut running = FuturesUnordered::new();
        loop {
            for (at, step) in plan.steps.iter().enumerate() {
                let ready = step.after.iter().all(|before| outcome.done.contains(before));
                if ready && !begun.contains(&at) && running.len() < AT_ONCE {
                    begun.insert(at);
                    running.push(self.step(at, step, &ids));
                }
            }
            let Some((at, result)) = running.next().await else { break };
            match result {
                Ok(id) => {
                    outcome.done.insert(at);
                    (self.events)(InfraEvent::Done { step: at, id });
                }
                Err(error) => {
                    (self.events)(InfraEvent::Failed { step: at, error: error.clone() });
                    outcome.failed.push((at, error));
                }
            }
        }
        outcome.left = (0..plan.steps.len()).filter(|at| !begun.contains(at)).collect();
        outcome
    }

    async fn step(
        &self,
        at: usize,
        step: &InfraStep,
        ids: &Mutex<Ids>,
    ) -> (usize, Result<PhysicalId, StepError>) {
        (self.events)(InfraEvent::Begins { step: at });
        (at, step::StepRun { run: self, at, step, ids }.carry_out().await)
    }
}

/// What names lead to before the run: to those that stay, where a name has several.
fn ids_of(observed: &Observed, plan: &InfraPlan) -> Ids {
    use super::plan::Change;
    let going: BTreeSet<&PhysicalId> = plan
        .steps
        .iter()
        .filter_map(|step| match &step.change {
            Change::Delete { there, .. } => Some(&there.id),
            Change::Create { .. } | Change::Update { .. } => None,
        })
        .collect();
    let mut ids = Ids::new();
    for (name, all) in &observed.found {
        let stays = all.iter().find(|found| !going.contains(&found.id)).or(all.first());
        ids.extend(stays.map(|found| (name.clone(), found.id.clone())));
    }
    ids
}

fn with<T>(ids: &Mutex<Ids>, work: impl FnOnce(&mut Ids) -> T) -> T {
    work(&mut ids.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
}

fn known(ids: &Mutex<Ids>) -> Ids {
    with(ids, |ids| ids.clone())
}

fn remember(ids: &Mutex<Ids>, name: &ResourceName, id: &PhysicalId) {
    with(ids, |ids| ids.insert(name.clone(), id.clone()));
}

/// What a state is called while it is waited for.
fn words(state: &State) -> String {
    match state {
        State::Ready => "ready".to_owned(),
        State::Pending(what) | State::Leaving(what) | State::Failed(what) => what.clone(),
        State::Gone => "gone".to_owned(),
    }
}

/// Whether another try may help, and nothing but another try.
pub(super) fn passes(trouble: Trouble) -> bool {
    match trouble {
        Trouble::Throttled | Trouble::Unknown | Trouble::NotFound | Trouble::InUse | Trouble::WrongState => {
            true
        }
        Trouble::Exists | Trouble::Denied | Trouble::Limit | Trouble::Invalid => false,
    }
}
