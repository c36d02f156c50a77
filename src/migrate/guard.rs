//! Goes back when an operator's run was lost: what a watcher beside the run does once it hears no more of it.

use serde::{Deserialize, Serialize};

use super::event::{Cause, MigrationEvent};
use super::plan::ZoneBatch;
use super::ports::Dns;
use super::record::Point;
use super::run::{Calls, Events, Made, Records, RunError};
use crate::exec::{Clock, Pace};

/// Changes that lead back, from the records as a run is about to leave them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WayBack {
    pub to: Point,
    pub changes: Vec<ZoneBatch>,
}

/// Goes back, where the records are as the lost run has left them; whoever has gone on since is not disturbed. Says
/// whether there was anything to change.
///
/// # Errors
/// [`RunError`] when it cannot be done; `Foreign` when somebody has gone on.
pub async fn go_back(
    back: &WayBack,
    dns: &dyn Dns,
    clock: &dyn Clock,
    pace: Pace,
    events: Events<'_>,
) -> Result<bool, RunError> {
    let records = Records { dns, calls: Calls { clock, pace, seed: 0, events } };
    let mut has_changed = false;
    for change in &back.changes {
        has_changed |= records.make(change).await? != Made::Earlier;
    }
    if has_changed {
        events(MigrationEvent::GoingBack { to: back.to, why: Cause::Lost });
        events(MigrationEvent::WentBack { to: back.to });
    }
    Ok(has_changed)
}
