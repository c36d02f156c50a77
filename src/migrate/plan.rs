//! The whole way of a migration before its first step: every batch of changes, how long is waited, what is judged, and
//! where it goes back to from there. Pure.

use serde::{Deserialize, Serialize};

use super::ports::{BalancerFacts, BalancerTarget};
use super::record::{Batch, Foreign, Point, RecordSet, RecordType, Side, Sides, Weights, batch_to, point_of};
use crate::inventory::{Migration, ServiceName};

/// How long resolvers may go on with an answer that an alias of a balancer gave: its TTL is not ours to choose.
pub const ALIAS_TTL: u32 = 60;

/// The records of one name and type, and where they may lead.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NameFacts {
    pub service: ServiceName,
    pub record_type: RecordType,
    pub records: Vec<RecordSet>,
    pub sides: Sides,
}

impl NameFacts {
    pub(super) fn absolute(&self) -> String {
        format!("{}.", self.service.name)
    }

    /// Where it is now.
    ///
    /// # Errors
    /// [`Foreign`] when its records are none of a migration's.
    pub fn point(&self) -> Result<Point, Foreign> {
        point_of(&self.absolute(), self.record_type, &self.records, &self.sides)
    }

    /// Resolvers may use an answer for so many seconds.
    pub fn ttl(&self) -> u32 {
        let of = |record: &RecordSet| match &record.target {
            super::record::Target::Alias { .. } => ALIAS_TTL,
            super::record::Target::Values { ttl, .. } => *ttl,
        };
        self.records.iter().map(of).max().unwrap_or(ALIAS_TTL)
    }

    /// The changes that lead to a point.
    pub fn batch(&self, migration: &str, point: Point) -> Batch {
        let identifier = |side: Side| format!("{migration}-{side}");
        batch_to(point, &self.records, &self.absolute(), self.record_type, &self.sides, &identifier)
    }

    /// Whether one of its records leads to this side.
    pub fn leads_to(&self, side: Side) -> bool {
        self.records.iter().any(|record| self.sides.of(side).leads_as(&record.target))
    }

    /// The same after these changes.
    pub fn after(&self, batch: &Batch) -> Self {
        let stays = self.records.iter().filter(|record| !batch.delete.contains(record)).cloned();
        NameFacts { records: stays.chain(batch.create.iter().cloned()).collect(), ..self.clone() }
    }
}

/// A step of a migration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Step {
    pub kind: StepKind,
    /// By hosted zone; each is made as a whole.
    pub changes: Vec<ZoneBatch>,
    /// Seconds after the changes are everywhere, in which resolvers may go on with the old answer.
    pub settle: u32,
    /// Seconds in which gates judge.
    pub soak: u32,
    /// Where a failure here leads to; None: it stays as it is, and stops.
    pub back: Option<Point>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum StepKind {
    /// Simple records become weighted ones, with all of the weight on blue.
    Convert,
    Weigh {
        weights: Weights,
    },
    /// Green's machines behind blue's balancer, blue's own out of it.
    TakeOver {
        quiet: u32,
        deadline: u32,
    },
    /// Blue's records go.
    Finish {
        simple: bool,
    },
    /// The old cluster goes, after a confirmation of its own.
    Teardown,
}

/// Changes of one zone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ZoneBatch {
    pub hosted_zone: String,
    pub batch: Batch,
}

/// What stands behind a target group of blue, and what is to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Replacement {
    pub group: String,
    /// Blue's machines.
    pub own: Vec<BalancerTarget>,
    /// Green's.
    pub green: Vec<BalancerTarget>,
}

impl Replacement {
    /// With what is known of the same group from another time.
    pub fn join(&mut self, other: &Replacement) {
        for (own, others) in [(&mut self.own, &other.own), (&mut self.green, &other.green)] {
            own.extend(others.iter().cloned());
            own.sort();
            own.dedup();
        }
    }
}

/// What is behind the names, beside their records.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Behind {
    pub blue: Option<BalancerFacts>,
    pub green: Option<BalancerFacts>,
    /// Of blue's groups; empty without a take-over.
    pub replacements: Vec<Replacement>,
    /// The old cluster has gone.
    pub is_torn_down: bool,
}

/// What a migration will do from here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MigrationPlan {
    pub migration: String,
    pub from: Point,
    pub names: Vec<NameFacts>,
    pub behind: Behind,
    pub steps: Vec<Step>,
}

impl MigrationPlan {
    /// Whether anything is left but the old cluster's end.
    pub fn moves(&self) -> bool {
        self.steps.iter().any(|step| step.kind != StepKind::Teardown)
    }
}

/// Why there is no plan.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    #[error(transparent)]
    Foreign(#[from] Foreign),
    #[error("{first} is at {at}, and {other} at {elsewhere}: names move together")]
    Apart { first: String, at: Point, other: String, elsewhere: Point },
    #[error("the weights are {weights}, which is no step of the schedule")]
    OffSchedule { weights: Weights },
}

/// The way from what there is to the end.
///
/// # Errors
/// [`PlanError`] when records are not what this migration makes of them.
pub fn plan(migration: &Migration, names: &[NameFacts], behind: &Behind) -> Result<MigrationPlan, PlanError> {
    let from = common_point(names)?;
    let done = reached(migration, from)?;
    let mut draft = Draft { migration, names: names.to_vec(), steps: Vec::new(), good: from };
    let has_blue = names.iter().any(|facts| facts.leads_to(Side::Blue));
    if has_blue {
        draft.move_over(from, done);
    }
    let simple = migration.teardown.simple_record;
    if has_blue || (simple && from != Point::Only(Side::Green)) {
        draft.finish(simple);
    }
    if migration.teardown.by.is_some() && !behind.is_torn_down {
        draft.wait(StepKind::Teardown, None);
    }
    let steps = draft.steps;
    Ok(MigrationPlan {
        migration: migration.name.clone(),
        from,
        names: names.to_vec(),
        behind: behind.clone(),
        steps,
    })
}

fn common_point(names: &[NameFacts]) -> Result<Point, PlanError> {
    let mut first: Option<(&NameFacts, Point)> = None;
    for facts in names {
        let point = facts.point()?;
        match first {
            None => first = Some((facts, point)),
            Some((one, at)) if at != point => {
                return Err(PlanError::Apart {
                    first: one.service.name.clone(),
                    at,
                    other: facts.service.name.clone(),
                    elsewhere: point,
                });
            }
            Some(_) => {}
        }
    }
    Ok(first.map_or(Point::Only(Side::Blue), |(_, point)| point))
}

/// How many moves of the schedule have been made.
fn reached(migration: &Migration, from: Point) -> Result<usize, PlanError> {
    let weights = match from {
        Point::Only(Side::Blue) => return Ok(0),
        Point::Only(Side::Green) => return Ok(usize::MAX),
        Point::Weighted(weights) => weights,
    };
    if weights.green == 0 {
        return Ok(0);
    }
    let same = |green: u8| {
        let wanted = Weights::of_green(green);
        // Others may count in other units: what matters are shares.
        u16::from(wanted.green) * u16::from(weights.blue) == u16::from(wanted.blue) * u16::from(weights.green)
    };
    let at = migration.schedule.iter().position(|wanted| same(wanted.green));
    at.map(|at| at + 1).ok_or(PlanError::OffSchedule { weights })
}

struct Draft<'a> {
    migration: &'a Migration,
    names: Vec<NameFacts>,
    steps: Vec<Step>,
    /// Where all was well last.
    good: Point,
}

impl Draft<'_> {
    /// From where the names are to green alone, also for those that still use blue's balancer.
    fn move_over(&mut self, from: Point, done: usize) {
        if from == Point::Only(Side::Blue) {
            self.weigh(StepKind::Convert, Weights::of_green(0), 0);
        }
        let schedule = self.migration.schedule.clone();
        // The one that is reached is watched again: nobody knows for how long it was. What was well before it is the
        // one before.
        if let Some(before) = done.checked_sub(1) {
            let green =
                before.checked_sub(1).and_then(|at| schedule.get(at)).map_or(0, |wanted| wanted.green);
            self.good = Point::Weighted(Weights::of_green(green));
        }
        for wanted in schedule.iter().skip(done.saturating_sub(1)) {
            let weights = Weights::of_green(wanted.green);
            self.weigh(StepKind::Weigh { weights }, weights, wanted.soak);
        }
        if let Some(window) = &self.migration.take_over {
            let kind = StepKind::TakeOver { quiet: window.quiet, deadline: window.deadline };
            self.wait(kind, Some(self.good));
        }
    }

    /// A step that changes no records.
    fn wait(&mut self, kind: StepKind, back: Option<Point>) {
        self.steps.push(Step { kind, changes: Vec::new(), settle: 0, soak: 0, back });
    }

    fn weigh(&mut self, kind: StepKind, weights: Weights, soak: u32) {
        let settle = self.names.iter().map(NameFacts::ttl).max().unwrap_or(ALIAS_TTL);
        let changes = self.change_to(Point::Weighted(weights));
        self.steps.push(Step { kind, changes, settle, soak, back: Some(self.good) });
        self.good = Point::Weighted(weights);
    }

    fn finish(&mut self, simple: bool) {
        let settle = self.names.iter().map(NameFacts::ttl).max().unwrap_or(ALIAS_TTL);
        let changes = if simple { self.change_to(Point::Only(Side::Green)) } else { self.remove_blue() };
        let kind = StepKind::Finish { simple };
        self.steps.push(Step { kind, changes, settle, soak: 0, back: Some(self.good) });
    }

    fn change_to(&mut self, point: Point) -> Vec<ZoneBatch> {
        let name = self.migration.name.clone();
        self.change(|facts| facts.batch(&name, point))
    }

    fn remove_blue(&mut self) -> Vec<ZoneBatch> {
        self.change(|facts| {
            let is_blue = |record: &&RecordSet| facts.sides.of(Side::Blue).leads_as(&record.target);
            let stays = facts.records.iter().filter(|record| !is_blue(record)).cloned().collect();
            Batch::between(&facts.records, stays)
        })
    }

    fn change(&mut self, batch_of: impl Fn(&NameFacts) -> Batch) -> Vec<ZoneBatch> {
        let batches: Vec<Batch> = self.names.iter().map(batch_of).collect();
        let changes = zone_batches(self.names.iter().zip(batches.iter().cloned()));
        for (facts, batch) in self.names.iter_mut().zip(&batches) {
            *facts = facts.after(batch);
        }
        changes
    }
}

/// One batch a zone, so that names of one zone move at once; none for a zone without changes.
pub(super) fn zone_batches<'a>(batches: impl Iterator<Item = (&'a NameFacts, Batch)>) -> Vec<ZoneBatch> {
    let mut zones: Vec<ZoneBatch> = Vec::new();
    for (facts, batch) in batches.filter(|(_, batch)| !batch.is_empty()) {
        let hosted_zone = &facts.service.hosted_zone;
        match zones.iter_mut().find(|zone| zone.hosted_zone == *hosted_zone) {
            Some(zone) => zone.batch.extend(batch),
            None => zones.push(ZoneBatch { hosted_zone: hosted_zone.clone(), batch }),
        }
    }
    zones
}

#[cfg(test)]
#[path = "plan_tests.rs"]
pub(super) mod tests;
