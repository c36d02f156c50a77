//! Carries out a migration: each step's changes, then a watch over what they did, and back where that is not well.
//! What to do stands in the plan; what is decided here is only whether all is well.

mod back;
mod calls;
mod error;
mod records;
mod take_over;
mod watch;

#[cfg(test)]
mod tests;

use std::time::Duration;

use super::event::{Cause, MigrationEvent};
use super::guard::WayBack;
use super::plan::{Behind, MigrationPlan, NameFacts, Replacement, Step, StepKind, ZoneBatch};
use super::ports::{Balancers, Dns, Nodes, Prober};
use super::record::{Point, Side};
use crate::exec::{Clock, LocalCommands, Pace, PortError};
use crate::inventory::Migration;

pub use calls::Events;
pub use error::RunError;

pub(in crate::migrate) use calls::Calls;
pub(in crate::migrate) use records::{Made, Records};

use watch::{Stop, Watch, Watching};

/// What the operator wants of a run while it goes on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Wish {
    /// No next step; what is watched is watched on.
    pub paused: bool,
    pub back: bool,
    /// The run has to end now.
    pub interrupted: bool,
}

impl Wish {
    /// An operator who has paused has taken the wheel: then everything stays.
    fn stop(self) -> Option<Stop> {
        match self {
            Wish { back: true, .. } => Some(Stop::Back(Cause::Asked)),
            Wish { interrupted: true, paused: true, .. } => Some(Stop::Stay),
            Wish { interrupted: true, .. } => Some(Stop::Back(Cause::Interrupted)),
            Wish { .. } => None,
        }
    }
}

/// How the operator speaks to a run.
pub trait Control: Send + Sync {
    fn wish(&self) -> Wish;
}

/// Goes back when this run is lost without a word.
pub trait Guard: Send + Sync {
    /// From now on this is what leads back; None: everything may stay as it is.
    fn arm(&self, back: Option<&WayBack>) -> Result<(), PortError>;
}

/// What has to outlive a run.
pub trait Memory: Send + Sync {
    /// Durable when it returns.
    fn remember(&self, replacements: &[Replacement]) -> Result<(), PortError>;
    fn recall(&self) -> Result<Vec<Replacement>, PortError>;
}

/// What a run needs of the world.
#[derive(Clone, Copy)]
pub struct Ports<'a> {
    pub dns: &'a dyn Dns,
    pub balancers: &'a dyn Balancers,
    pub prober: &'a dyn Prober,
    /// Of green; None: nobody knows them.
    pub nodes: Option<&'a dyn Nodes>,
    pub commands: &'a dyn LocalCommands,
    pub clock: &'a dyn Clock,
    pub control: &'a dyn Control,
    pub guard: &'a dyn Guard,
    pub memory: &'a dyn Memory,
    pub events: Events<'a>,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Ending {
    Done,
    /// Everything but the old cluster's end, which has a confirmation of its own.
    TeardownLeft,
    WentBack {
        to: Point,
        why: Cause,
    },
    /// The operator had paused it, and then ended it.
    Stayed {
        at: Point,
    },
}

pub(super) struct Run<'a> {
    migration: &'a Migration,
    ports: Ports<'a>,
    pace: Pace,
    seed: u64,
    names: Vec<NameFacts>,
    behind: Behind,
    watch: Watch<'a>,
    began: Duration,
    is_paused: bool,
}

/// Carries out a plan.
///
/// # Errors
/// [`RunError`] when it can neither go on nor does it know a way back.
pub async fn carry_out(
    migration: &Migration,
    plan: &MigrationPlan,
    ports: Ports<'_>,
    pace: Pace,
    seed: u64,
) -> Result<Ending, RunError> {
    let mut run = Run::new(migration, plan, ports, pace, seed);
    run.tell(MigrationEvent::Began {
        migration: plan.migration.clone(),
        from: plan.from,
        steps: plan.steps.len(),
    });
    for (at, step) in plan.steps.iter().enumerate() {
        if step.kind == StepKind::Teardown {
            return Ok(Ending::TeardownLeft);
        }
        run.tell(MigrationEvent::StepBegan {
            number: at + 1,
            steps: plan.steps.len(),
            kind: step.kind.clone(),
        });
        if let Some(stop) = run.step(step).await? {
            return run.stop(step, stop).await;
        }
        run.tell(MigrationEvent::StepEnded { number: at + 1 });
    }
    run.tell(MigrationEvent::Ended { at: run.point() });
    Ok(Ending::Done)
}

/// Goes back to a point from wherever the records are.
///
/// # Errors
/// [`RunError`] when that cannot be done.
pub async fn go_back(
    migration: &Migration,
    plan: &MigrationPlan,
    to: Point,
    ports: Ports<'_>,
    pace: Pace,
    seed: u64,
) -> Result<Ending, RunError> {
    let mut run = Run::new(migration, plan, ports, pace, seed);
    run.back_to(to, Cause::Asked).await
}

impl<'a> Run<'a> {
    fn new(migration: &'a Migration, plan: &MigrationPlan, ports: Ports<'a>, pace: Pace, seed: u64) -> Self {
        Run {
            migration,
            ports,
            pace,
            seed,
            names: plan.names.clone(),
            behind: plan.behind.clone(),
            watch: Watch::default(),
            began: ports.clock.now(),
            is_paused: false,
        }
    }

    /// None: it is done, and all is well.
    async fn step(&mut self, step: &Step) -> Result<Option<Stop>, RunError> {
        if let Some(stop) = self.hold().await? {
            return Ok(Some(stop));
        }
        match step.kind {
            StepKind::Convert | StepKind::Weigh { .. } | StepKind::Finish { .. } => self.weigh(step).await,
            StepKind::TakeOver { quiet, deadline } => self.take_over(quiet, deadline).await,
            StepKind::Teardown => Ok(None),
        }
    }

    /// While the operator has paused, before a step.
    async fn hold(&mut self) -> Result<Option<Stop>, RunError> {
        let wish = self.ports.control.wish();
        match wish.stop() {
            None if wish.paused => {
                let now = self.ports.clock.now();
                self.watch(Watching { long: Duration::ZERO, since: now, blue: true, judged: false }).await
            }
            // Nothing of this step has been done, so there is nothing to go back from.
            Some(Stop::Back(Cause::Interrupted)) => Ok(Some(Stop::Stay)),
            stop => Ok(stop),
        }
    }

    /// Changes the records, waits until resolvers have noticed, and watches.
    async fn weigh(&mut self, step: &Step) -> Result<Option<Stop>, RunError> {
        let wanted = after(&self.names, step.changes.iter());
        let back = step.back.map(|back| self.way(&wanted, back));
        self.ports.guard.arm(back.as_ref()).map_err(RunError::Guard)?;
        let mut made = Vec::new();
        for change in &step.changes {
            match self.records().make(change).await {
                Ok(one) => made.push(one),
                Err(error) if made.is_empty() => {
                    self.ports.guard.arm(None).map_err(RunError::Guard)?;
                    return Err(error);
                }
                // Names of several zones move together or not at all.
                Err(error) => {
                    self.names = after(&self.names, step.changes.iter().take(made.len()));
                    return Ok(Some(Stop::Back(Cause::Failed { error: error.to_string() })));
                }
            }
        }
        self.names = wanted;
        let changed = self.ports.clock.now();
        self.records().await_everywhere(&made).await?;
        self.tell(MigrationEvent::Everywhere { weights: self.point().weights() });
        let finishes = matches!(step.kind, StepKind::Finish { .. });
        let watching = Watching {
            long: seconds(step.settle) + seconds(step.soak),
            since: changed,
            // Whoever goes away need not answer any more.
            blue: !finishes,
            judged: true,
        };
        let stop = self.watch(watching).await?;
        if stop.is_none() {
            self.ports.guard.arm(None).map_err(RunError::Guard)?;
        }
        Ok(stop)
    }

    fn calls(&self) -> Calls<'a> {
        Calls { clock: self.ports.clock, pace: self.pace, seed: self.seed, events: self.ports.events }
    }

    fn records(&self) -> Records<'a> {
        Records { dns: self.ports.dns, calls: self.calls() }
    }

    fn tell(&self, event: MigrationEvent) {
        (self.ports.events)(event);
    }

    /// Where the names are; they are together.
    fn point(&self) -> Point {
        let first = self.names.first().and_then(|facts| facts.point().ok());
        first.unwrap_or(Point::Only(Side::Blue))
    }
}

/// The names once these changes are made.
fn after<'a>(names: &[NameFacts], changes: impl Iterator<Item = &'a ZoneBatch> + Clone) -> Vec<NameFacts> {
    let mut names = names.to_vec();
    for facts in &mut names {
        let (absolute, zone) = (facts.absolute(), facts.service.hosted_zone.clone());
        for change in changes.clone().filter(|change| change.hosted_zone == zone) {
            *facts = facts.after(&change.batch.of(&absolute, facts.record_type));
        }
    }
    names
}

fn seconds(number: u32) -> Duration {
    Duration::from_secs(number.into())
}
