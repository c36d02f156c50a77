//! The moment at which a test kills the tool: the proxy says that it has come, and holds everything after it.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;

/// On which side of a call's effect the moment is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Moment {
    /// The call has not happened.
    Before,
    /// It has, and its answer has not gone out.
    After,
}

#[derive(Debug, Clone, Copy, Default)]
struct State {
    closed: Option<(usize, Moment)>,
    reached: bool,
}

#[derive(Debug, Clone)]
pub struct Gate(watch::Sender<State>);

impl Gate {
    pub fn open() -> Gate {
        Gate(watch::Sender::new(State::default()))
    }

    /// From this moment of the call with this number on, nothing passes.
    pub fn close_at(&self, index: usize, moment: Moment) {
        self.0.send_replace(State { closed: Some((index, moment)), reached: false });
    }

    /// Waits for that moment.
    pub async fn reached(&self) {
        let mut state = self.0.subscribe();
        let reached = timeout(Duration::from_secs(120), state.wait_for(|state| state.reached));
        reached.await.expect("the call to stop at does not come").unwrap();
    }

    /// Whether that moment has come; never, where there are fewer calls.
    pub fn is_reached(&self) -> bool {
        self.0.borrow().reached
    }

    /// What waits at the gate does not pass any more: it is from before.
    pub fn release(&self) {
        self.0.send_replace(State::default());
    }

    /// Whether a call passes; if it does not, that is known when the gate is open again.
    pub async fn pass(&self, index: usize, moment: Moment) -> bool {
        let mut state = self.0.subscribe();
        self.0.send_if_modified(|state| {
            let now = state.closed == Some((index, moment)) && !state.reached;
            state.reached |= now;
            now
        });
        let passes = |state: &State| state.closed.is_none_or(|closed| (index, moment) < closed);
        let at_once = passes(&state.borrow_and_update());
        state.wait_for(passes).await.unwrap();
        at_once
    }
}
