//! Changes of records that replace exactly what was seen, whatever becomes of the answers.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::migrate::event::MigrationEvent;
use crate::migrate::plan::{NameFacts, ZoneBatch};
use crate::migrate::ports::{CallError, ChangeId, Dns};
use crate::migrate::record::{RecordSet, RecordType, difference, same};

use super::calls::Calls;
use super::error::RunError;

/// A change is on all name servers within a minute, mostly; this is when somebody has to look.
const PROPAGATION: Duration = Duration::from_secs(15 * 60);
/// For a change whose answer was lost with its number: nobody can ask for it, and Route 53 says a minute.
const UNNUMBERED: Duration = Duration::from_secs(120);

/// A list may be older than the zone: somebody else has changed something only when it is seen so many times.
const LOOKS: usize = 3;
const PAUSE: Duration = Duration::from_secs(10);

/// The records of a run.
#[derive(Clone, Copy)]
pub(in crate::migrate) struct Records<'a> {
    pub dns: &'a dyn Dns,
    pub calls: Calls<'a>,
}

/// Whether a change has been made.
enum Standing {
    Before,
    After,
    Neither { name: String, difference: Vec<String> },
}

/// A change that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::migrate) enum Made {
    Numbered(ChangeId),
    /// Its answer was lost.
    Unnumbered,
    /// It had been made before.
    Earlier,
}

impl<'a> Records<'a> {
    /// Refuses a name whose records are others than these.
    pub async fn refuse_foreign(&self, facts: &NameFacts) -> Result<(), RunError> {
        let service = &facts.service;
        let mut looks = 0;
        loop {
            let found = self.of(&service.hosted_zone, &service.name, facts.record_type).await?;
            if same(&found, &facts.records) {
                return Ok(());
            }
            looks += 1;
            if looks == LOOKS {
                let difference = difference(&facts.records, &found);
                return Err(RunError::Foreign { name: service.name.clone(), difference });
            }
            self.calls.clock.wait(PAUSE).await;
        }
    }

    async fn of(&self, zone: &str, name: &str, of_type: RecordType) -> Result<Vec<RecordSet>, RunError> {
        let plain = name.trim_end_matches('.').to_owned();
        let what = format!("reading the records of {plain}");
        let found = self.calls.patiently(what, async || self.dns.records(zone, &plain).await).await?;
        Ok(found.into_iter().filter(|record| record.record_type == of_type).collect())
    }

    /// Makes a change, or finds that it was made.
    pub async fn make(&self, change: &ZoneBatch) -> Result<Made, RunError> {
        let zone = &change.hosted_zone;
        if matches!(self.standing(change).await?, Standing::After) {
            return Ok(Made::Earlier);
        }
        let mut tries = self.calls.tries(format!("changing records of zone {zone}"));
        let mut foreign = 0;
        loop {
            let error = match self.dns.change(zone, &change.batch).await {
                Ok(id) => {
                    (self.calls.events)(MigrationEvent::Changed { change: change.clone() });
                    return Ok(Made::Numbered(id));
                }
                Err(error) => error,
            };
            if matches!(error, CallError::Unknown(_) | CallError::Conflict(_)) {
                match self.standing(change).await? {
                    Standing::After => {
                        (self.calls.events)(MigrationEvent::Changed { change: change.clone() });
                        return Ok(Made::Unnumbered);
                    }
                    Standing::Neither { name, difference } => {
                        foreign += 1;
                        if foreign == LOOKS {
                            return Err(RunError::Foreign { name, difference });
                        }
                        self.calls.clock.wait(PAUSE).await;
                    }
                    Standing::Before => {}
                }
            }
            // A conflict with what is there as it was seen is a list that is older than the zone.
            let error = match error {
                CallError::Conflict(message) => CallError::Later(message),
                other => other,
            };
            tries.again(error).await?;
        }
    }

    async fn standing(&self, change: &ZoneBatch) -> Result<Standing, RunError> {
        let batch = &change.batch;
        let keys: BTreeSet<(String, RecordType)> = batch
            .delete
            .iter()
            .chain(&batch.create)
            .map(|record| (record.name.clone(), record.record_type))
            .collect();
        let (mut other, mut after) = (None, true);
        for (name, of_type) in keys {
            let there = self.of(&change.hosted_zone, &name, of_type).await?;
            let own = batch.of(&name, of_type);
            after &= same(&own.create, &there);
            if !same(&own.delete, &there) {
                let difference = difference(&own.delete, &there);
                other.get_or_insert(Standing::Neither { name, difference });
            }
        }
        Ok(if after { Standing::After } else { other.unwrap_or(Standing::Before) })
    }

    /// Waits until all name servers know these changes.
    pub async fn await_everywhere(&self, made: &[Made]) -> Result<(), RunError> {
        for change in made {
            match change {
                Made::Numbered(id) => {
                    let what = format!("change {} is not on all name servers", id.0);
                    let asking = format!("asking for change {}", id.0);
                    let known = async || {
                        self.calls.patiently(asking.clone(), async || self.dns.is_everywhere(id).await).await
                    };
                    self.calls.until(what, PROPAGATION, known).await?;
                }
                Made::Unnumbered => {
                    let what = format!("{} s: the answer to the change was lost", UNNUMBERED.as_secs());
                    (self.calls.events)(MigrationEvent::Waiting { what });
                    self.calls.clock.wait(UNNUMBERED).await;
                }
                Made::Earlier => {}
            }
        }
        Ok(())
    }
}
