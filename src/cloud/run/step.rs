//! One step: call, see that it is so, wait until it is ready.

use std::sync::Mutex;
use std::time::Duration;

use super::pace::Waits;
use super::{InfraEvent, InfraRun, StepError, known, passes, remember, words};
use crate::cloud::name::PhysicalId;
use crate::cloud::plan::{Change, InfraStep, difference, token_after};
use crate::cloud::ports::{CloudError, Found, Ids, State, Trouble};
use crate::cloud::resource::Desired;

pub(super) struct StepRun<'a> {
    pub run: &'a InfraRun<'a>,
    pub at: usize,
    pub step: &'a InfraStep,
    pub ids: &'a Mutex<Ids>,
}

/// What became of a creation.
enum Made {
    Stays(PhysicalId),
    Gone(PhysicalId),
}

impl StepRun<'_> {
    pub async fn carry_out(&self) -> Result<PhysicalId, StepError> {
        match &self.step.change {
            Change::Create { wanted, token } => self.create(wanted, token).await,
            Change::Update { there, wanted, .. } => {
                self.converge(there.clone(), wanted, true).await?;
                self.ready(&there.id, wanted).await?;
                Ok(there.id.clone())
            }
            Change::Delete { there, .. } => self.delete(there).await,
        }
    }

    /// One that is gone when it is looked for answered a token that was used before, and another token makes another
    /// one. If that goes, too, so will all that follow.
    async fn create(&self, wanted: &Desired, token: &str) -> Result<PhysicalId, StepError> {
        let gone = match self.make(wanted, token).await? {
            Made::Stays(id) => return Ok(id),
            Made::Gone(id) => id,
        };
        match self.make(wanted, &token_after(token, &gone)).await? {
            Made::Stays(id) => Ok(id),
            Made::Gone(id) => Err(StepError::Broken { id, what: "gone as soon as it was made".to_owned() }),
        }
    }

    async fn make(&self, wanted: &Desired, token: &str) -> Result<Made, StepError> {
        let id = self.made(wanted, token).await?;
        let Some(found) = self.seen(&id, wanted).await? else { return Ok(Made::Gone(id)) };
        remember(self.ids, &self.step.name, &found.id);
        self.converge(found, wanted, false).await?;
        self.ready(&id, wanted).await?;
        Ok(Made::Stays(id))
    }

    /// Makes the resource once, whatever becomes of the answers.
    async fn made(&self, wanted: &Desired, token: &str) -> Result<PhysicalId, StepError> {
        let mut tries = self.tries();
        loop {
            let name = &self.step.name;
            let error = match self.run.api.create(name, wanted, &known(self.ids), token).await {
                Ok(id) => return Ok(id),
                Err(error) => error,
            };
            match error.trouble {
                Trouble::Unknown | Trouble::Exists => {
                    if let Some(id) = self.made_after_all(wanted, &mut tries).await? {
                        return Ok(id);
                    }
                    if error.trouble == Trouble::Exists {
                        return Err(error.into());
                    }
                }
                Trouble::Throttled | Trouble::NotFound | Trouble::InUse | Trouble::WrongState => {}
                Trouble::Denied | Trouble::Limit | Trouble::Invalid => return Err(error.into()),
            }
            tries.again(error).await?;
        }
    }

    /// Looks for what a call may have made whose answer was lost, for as long as it may take to be seen.
    async fn made_after_all(
        &self,
        wanted: &Desired,
        tries: &mut Tries<'_>,
    ) -> Result<Option<PhysicalId>, StepError> {
        let began = self.run.clock.now();
        loop {
            match self.run.api.find(&self.step.name, &wanted.resource, &known(self.ids)).await {
                Ok(found) => {
                    let alive = |found: &&Found| matches!(found.state, State::Ready | State::Pending(_));
                    // What is about to be replaced is not what was made.
                    let new = found.iter().filter(alive).min_by_key(|found| &found.id);
                    if let Some(found) = new {
                        return Ok(Some(found.id.clone()));
                    }
                }
                Err(error) if passes(error.trouble) => {
                    tries.again(error).await?;
                    continue;
                }
                Err(error) => return Err(error.into()),
            }
            if self.run.clock.now().saturating_sub(began) > self.run.pace.visibility {
                return Ok(None);
            }
            tries.pause().await;
        }
    }

    /// What was just made, when it is seen; None: it has gone already.
    async fn seen(&self, id: &PhysicalId, wanted: &Desired) -> Result<Option<Found>, StepError> {
        let mut tries = self.tries();
        let began = self.run.clock.now();
        loop {
            match self.run.api.find(&self.step.name, &wanted.resource, &with_id(self, id)).await {
                Ok(all) => match all.into_iter().find(|found| found.id == *id) {
                    Some(found) if matches!(found.state, State::Leaving(_) | State::Gone) => return Ok(None),
                    Some(found) => return Ok(Some(found)),
                    None => {}
                },
                Err(error) => tries.again(error).await?,
            }
            if self.run.clock.now().saturating_sub(began) > self.run.pace.patience {
                let (id, what) = (id.clone(), "not to be seen".to_owned());
                return Err(StepError::Slow { id, what, waited: self.run.pace.patience });
            }
            tries.pause().await;
        }
    }

    /// Gives it what it has not; `first`: also where nothing differs, because what it names is another one now.
    async fn converge(&self, mut there: Found, wanted: &Desired, mut first: bool) -> Result<(), StepError> {
        let mut tries = self.tries();
        loop {
            let field = match difference(&self.step.name, wanted, &there) {
                Ok(None) if !first => return Ok(()),
                Ok(field) => field,
                Err(refusal) => {
                    return Err(StepError::Different { id: there.id, field: refusal.field });
                }
            };
            first = false;
            let ids = known(self.ids);
            match self.run.api.update(&self.step.name, &there, wanted, &ids).await {
                Ok(()) => {}
                Err(error) => tries.again(error).await?,
            }
            match self.run.api.find(&self.step.name, &wanted.resource, &ids).await {
                Ok(all) => there = all.into_iter().find(|found| found.id == there.id).unwrap_or(there),
                Err(error) => tries.again(error).await?,
            }
            let Some(field) = field else { continue };
            // What is as it should be at last is no failure, however long it took.
            if difference(&self.step.name, wanted, &there) == Ok(None) {
                return Ok(());
            }
            if tries.began_before(self.run.pace.readiness) {
                return Err(StepError::Different { id: there.id, field });
            }
            tries.pause().await;
        }
    }

    async fn ready(&self, id: &PhysicalId, wanted: &Desired) -> Result<(), StepError> {
        self.until(id, &wanted.resource, |state| match state {
            State::Ready => Some(true),
            State::Failed(_) | State::Leaving(_) => Some(false),
            // Just made, and not seen by everybody.
            State::Pending(_) | State::Gone => None,
        })
        .await
    }

    async fn until(
        &self,
        id: &PhysicalId,
        kind: &crate::cloud::Resource,
        ends: impl Fn(&State) -> Option<bool>,
    ) -> Result<(), StepError> {
        let mut tries = self.tries();
        let began = self.run.clock.now();
        let mut told = String::new();
        loop {
            match self.run.api.state(&self.step.name, id, kind, &known(self.ids)).await {
                Ok(state) => {
                    let what = words(&state);
                    match ends(&state) {
                        Some(true) => return Ok(()),
                        Some(false) => return Err(StepError::Broken { id: id.clone(), what }),
                        None => {}
                    }
                    let waited = self.run.clock.now().saturating_sub(began);
                    if waited > self.run.pace.readiness {
                        return Err(StepError::Slow { id: id.clone(), what, waited });
                    }
                    if what != told {
                        told.clone_from(&what);
                        (self.run.events)(InfraEvent::Waits { step: self.at, what });
                    }
                }
                Err(error) => tries.again(error).await?,
            }
            tries.pause().await;
        }
    }

    async fn delete(&self, there: &Found) -> Result<PhysicalId, StepError> {
        let mut tries = self.tries();
        loop {
            match self.run.api.delete(&self.step.name, there, self.run.force).await {
                Ok(()) => {}
                Err(error) if error.trouble == Trouble::NotFound => {}
                Err(error) => {
                    tries.again(error).await?;
                    continue;
                }
            }
            // Whoever answered may not have heard of it yet: it is asked again as long as nothing happens.
            match self.run.api.state(&self.step.name, &there.id, &there.resource, &known(self.ids)).await {
                Ok(State::Ready | State::Failed(_)) if !tries.began_before(self.run.pace.readiness) => {
                    tries.pause().await;
                }
                Ok(_) => break,
                Err(error) => tries.again(error).await?,
            }
        }
        let gone = |state: &State| matches!(state, State::Gone).then_some(true);
        self.until(&there.id, &there.resource, gone).await?;
        Ok(there.id.clone())
    }

    fn tries(&self) -> Tries<'_> {
        let seed = self.run.seed ^ (self.at as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        Tries { step: self, waits: Waits::new(self.run.pace, seed), began: self.run.clock.now() }
    }
}

fn with_id(step: &StepRun<'_>, id: &PhysicalId) -> Ids {
    let mut ids = known(step.ids);
    ids.insert(step.step.name.clone(), id.clone());
    ids
}

/// The tries of one thing, and for how long they have gone on.
struct Tries<'a> {
    step: &'a StepRun<'a>,
    waits: Waits,
    began: Duration,
}

impl Tries<'_> {
    /// Waits for another try, where that may help and the patience lasts.
    async fn again(&mut self, error: CloudError) -> Result<(), StepError> {
        if !passes(error.trouble) {
            return Err(error.into());
        }
        let run = self.step.run;
        let tried = run.clock.now().saturating_sub(self.began);
        if tried > run.pace.patience {
            return Err(StepError::Patience { tried, source: error });
        }
        let wait = self.waits.next();
        (run.events)(InfraEvent::Again { step: self.step.at, error, wait });
        run.clock.wait(wait).await;
        Ok(())
    }

    async fn pause(&mut self) {
        let wait = self.waits.next();
        self.step.run.clock.wait(wait).await;
    }

    fn began_before(&self, ago: Duration) -> bool {
        self.step.run.clock.now().saturating_sub(self.began) > ago
    }
}
