//! Calls that are made again while they fail for a reason that passes.

use std::time::Duration;

use crate::exec::{Clock, Pace, Waits};
use crate::migrate::event::MigrationEvent;
use crate::migrate::ports::CallError;

use super::error::RunError;

/// Who hears of what happens.
pub type Events<'a> = &'a (dyn Fn(MigrationEvent) + Send + Sync);

/// What all calls of a run share.
#[derive(Clone, Copy)]
pub(in crate::migrate) struct Calls<'a> {
    pub clock: &'a dyn Clock,
    pub pace: Pace,
    pub seed: u64,
    pub events: Events<'a>,
}

/// The tries of one call.
pub(super) struct Tries<'a> {
    calls: Calls<'a>,
    what: String,
    waits: Waits,
    began: Duration,
}

impl<'a> Calls<'a> {
    pub(super) fn tries(&self, what: String) -> Tries<'a> {
        let began = self.clock.now();
        let seed = self.seed ^ u64::from(began.subsec_nanos()) ^ began.as_secs();
        Tries { calls: *self, what, waits: Waits::new(self.pace, seed), began }
    }

    /// A call that may be made again whatever became of it: one that only looks, or that says the same each time.
    pub(super) async fn patiently<T>(
        &self,
        what: String,
        call: impl AsyncFn() -> Result<T, CallError>,
    ) -> Result<T, RunError> {
        let mut tries = self.tries(what);
        loop {
            match call().await {
                Ok(value) => return Ok(value),
                Err(error) => tries.again(error).await?,
            }
        }
    }

    /// Until a condition holds, asked again and again.
    pub(super) async fn until(
        &self,
        what: String,
        deadline: Duration,
        holds: impl AsyncFn() -> Result<bool, RunError>,
    ) -> Result<(), RunError> {
        let began = self.clock.now();
        let mut waits = Waits::new(self.pace, self.seed ^ began.as_secs());
        let mut told = false;
        loop {
            if holds().await? {
                return Ok(());
            }
            let waited = self.clock.now().saturating_sub(began);
            if waited > deadline {
                return Err(RunError::Slow { what, waited });
            }
            if !std::mem::replace(&mut told, true) {
                (self.events)(MigrationEvent::Waiting { what: what.clone() });
            }
            self.clock.wait(waits.next_wait()).await;
        }
    }
}

impl Tries<'_> {
    /// Waits before the next try, or gives up.
    pub async fn again(&mut self, error: CallError) -> Result<(), RunError> {
        let what = || self.what.clone();
        match error {
            CallError::Later(_) | CallError::Unknown(_) => {}
            CallError::Conflict(_) | CallError::Denied(_) | CallError::Refused(_) => {
                return Err(RunError::Call { what: what(), source: error });
            }
        }
        let tried = self.calls.clock.now().saturating_sub(self.began);
        if tried > self.calls.pace.patience {
            return Err(RunError::Patience { what: what(), tried, source: error });
        }
        (self.calls.events)(MigrationEvent::Again { error: format!("{}: {error}", self.what) });
        self.calls.clock.wait(self.waits.next_wait()).await;
        Ok(())
    }
}
