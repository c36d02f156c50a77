//! A migration's journal: what happened and when, for `status` and `report`.

use serde::{Deserialize, Serialize};

use super::place::Place;
use crate::cli::{CommandError, ErrorKind};
use crate::migrate::event::MigrationEvent;
use crate::state::Journal;

/// One event and its time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Entry {
    /// Seconds since 1970. Events have an `at` of their own.
    #[serde(rename = "time")]
    pub at: i64,
    #[serde(flatten)]
    pub event: MigrationEvent,
}

/// All that has been written down, oldest first.
pub(super) fn read(place: &Place) -> Result<Vec<Entry>, CommandError> {
    let records =
        Journal::read(&place.directory).map_err(|error| CommandError::new(ErrorKind::Failed, error))?;
    // What a later release writes is shown by that release.
    Ok(records.into_iter().filter_map(|record| serde_json::from_value(record.event).ok()).collect())
}
