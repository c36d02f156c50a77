//! The whole way of a migration before its first step: every batch of changes, how long is waited, what is judged, and
//! where it goes back to from there. Pure.

use serde::{Deserialize, Serialize};

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
    fn absolute(&self) -> String {
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

    /// The same after these changes.
    fn after(&self, batch: &Batch) -> Self {
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

/// What a migration will do from here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MigrationPlan {
    pub migration: String,
    pub from: Point,
    pub steps: Vec<Step>,
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
pub fn plan(migration: &Migration, names: &[NameFacts]) -> Result<MigrationPlan, PlanError> {
    let from = common_point(names)?;
    let mut draft = Draft { migration, names: names.to_vec(), steps: Vec::new(), good: from };
    let done = reached(migration, from)?;
    if from == Point::Only(Side::Blue) {
        draft.weigh(StepKind::Convert, Weights::of_green(0), 0);
    }
    for (number, wanted) in migration.schedule.iter().enumerate() {
        // The one that is reached is watched again: nobody knows for how long it was.
        if number + 1 >= done {
            let weights = Weights::of_green(wanted.green);
            draft.weigh(StepKind::Weigh { weights }, weights, wanted.soak);
        }
    }
    if from != Point::Only(Side::Green) {
        if let Some(window) = &migration.take_over {
            let kind = StepKind::TakeOver { quiet: window.quiet, deadline: window.deadline };
            draft.steps.push(Step { kind, changes: Vec::new(), settle: 0, soak: 0, back: Some(draft.good) });
        }
        let simple = migration.teardown.simple_record;
        draft.finish(simple);
    }
    if migration.teardown.by.is_some() {
        let kind = StepKind::Teardown;
        draft.steps.push(Step { kind, changes: Vec::new(), settle: 0, soak: 0, back: None });
    }
    Ok(MigrationPlan { migration: migration.name.clone(), from, steps: draft.steps })
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

    /// One batch a zone, so that names of one zone move at once.
    fn change(&mut self, batch_of: impl Fn(&NameFacts) -> Batch) -> Vec<ZoneBatch> {
        let mut zones: Vec<ZoneBatch> = Vec::new();
        for facts in &mut self.names {
            let batch = batch_of(facts);
            *facts = facts.after(&batch);
            if batch.is_empty() {
                continue;
            }
            match zones.iter_mut().find(|zone| zone.hosted_zone == facts.service.hosted_zone) {
                Some(zone) => zone.batch.extend(batch),
                None => zones.push(ZoneBatch { hosted_zone: facts.service.hosted_zone.clone(), batch }),
            }
        }
        zones
    }
}

#[cfg(test)]
#[path = "plan_tests.rs"]
pub(super) mod tests;
