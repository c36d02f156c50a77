//! The way back: to the last good weights, and where green itself does not answer, to blue alone.

use super::error::RunError;
use super::watch::{Stop, Watching};
use super::{Ending, Run, after, seconds};
use crate::migrate::event::{Cause, MigrationEvent};
use crate::migrate::gates::Shut;
use crate::migrate::guard::WayBack;
use crate::migrate::plan::{NameFacts, Step, zone_batches};
use crate::migrate::record::{Point, Side, Weights};

/// Nothing to green, with its record still there.
const ALL_BLUE: Point = Point::Weighted(Weights { blue: 100, green: 0 });

impl Run<'_> {
    /// What is done when a step stops before its end.
    pub(super) async fn stop(&mut self, step: &Step, stop: Stop) -> Result<Ending, RunError> {
        let cause = match stop {
            Stop::Stay => {
                self.ports.guard.arm(None).map_err(RunError::Guard)?;
                return Ok(Ending::Stayed { at: self.point() });
            }
            Stop::Back(cause) => cause,
        };
        let to = way_back(step.back.unwrap_or_else(|| self.point()), &cause);
        self.back_to(to, cause).await
    }

    /// Back, and further back while that is not well either.
    pub(super) async fn back_to(&mut self, to: Point, why: Cause) -> Result<Ending, RunError> {
        let mut to = to;
        loop {
            self.tell(MigrationEvent::GoingBack { to, why: why.clone() });
            self.change_back(to, &why).await?;
            self.tell(MigrationEvent::WentBack { to });
            if to.weights().green == 0 || !self.is_still_bad().await? {
                break;
            }
            to = ALL_BLUE;
        }
        self.ports.guard.arm(None).map_err(RunError::Guard)?;
        Ok(Ending::WentBack { to, why })
    }

    async fn change_back(&mut self, to: Point, why: &Cause) -> Result<(), RunError> {
        // Who only leaves comes again, and the window goes on.
        if to.weights().blue > 0 || *why != Cause::Interrupted {
            self.undo_take_over().await?;
        }
        let back = self.way(&self.names, to);
        // A run that is lost on its way back is brought there all the same.
        self.ports.guard.arm(Some(&back)).map_err(RunError::Guard)?;
        let mut made = Vec::new();
        for change in &back.changes {
            made.push(self.records().make(change).await?);
        }
        self.names = after(&self.names, back.changes.iter());
        self.records().await_everywhere(&made).await
    }

    /// Whether green fails there too; as long as the gates look back.
    async fn is_still_bad(&mut self) -> Result<bool, RunError> {
        let since = self.ports.clock.now();
        let long = seconds(self.migration.gates.samples * self.migration.gates.interval.max(1));
        let watching = Watching { long, since, blue: true, judged: true };
        let stop = self.watch(watching).await?;
        Ok(matches!(stop, Some(Stop::Back(Cause::Shut { .. } | Cause::Blind { .. }))))
    }

    /// The changes that lead from these records to a point.
    pub(super) fn way(&self, names: &[NameFacts], to: Point) -> WayBack {
        let batches = names.iter().map(|facts| (facts, facts.batch(&self.migration.name, to)));
        WayBack { to, changes: zone_batches(batches) }
    }
}

/// The last good weights, by what is wrong: where green itself does not answer, no share of it is good.
fn way_back(last_good: Point, cause: &Cause) -> Point {
    let green_is_bad = match cause {
        Cause::Shut { gates } => gates.iter().any(|gate| match gate {
            Shut::ErrorRate { .. } | Shut::WorseThanBlue { .. } => true,
            Shut::Targets { healthy, .. } => *healthy == 0,
            Shut::Latency { .. }
            | Shut::SlowerThanBlue { .. }
            | Shut::Nodes { .. }
            | Shut::Metric { .. }
            | Shut::Command { .. } => false,
        }),
        Cause::Blind { .. } | Cause::Asked | Cause::Interrupted | Cause::Lost | Cause::Failed { .. } => false,
    };
    match last_good {
        Point::Weighted(weights) if green_is_bad && weights.green > 0 => ALL_BLUE,
        Point::Weighted(_) | Point::Only(Side::Blue | Side::Green) => last_good,
    }
}
