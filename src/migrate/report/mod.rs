//! What became of a migration, moment by moment: which share each side was to have, which it had, and what failed. As
//! JSON, and as one picture. Pure.

mod draw;
mod journal;
mod journal;

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use self::draw::draw;
pub use self::journal::of_events;
pub use self::journal::of_events;
use super::record::{Side, Weights};

/// A migration, from its first moment to its last.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    pub title: String,
    pub began: Timestamp,
    /// In the order of time.
    pub samples: Vec<Sample>,
    /// Likewise.
    pub events: Vec<Event>,
}

/// What there was in a part of the time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Sample {
    /// Seconds since it began.
    pub at: f64,
    /// How many of them it is about.
    pub seconds: f64,
    /// Of the name's records; None: it was not looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weights: Option<Weights>,
    /// By who asked, such as `probes` or `clients`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub seen: BTreeMap<String, Seen>,
}

/// Questions by the side that answered them, or should have.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Seen {
    pub blue: Count,
    pub green: Count,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Count {
    pub asked: u32,
    /// Of those that were asked.
    pub failed: u32,
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Event {
    /// Seconds since it began.
    pub at: f64,
    pub label: String,
}

impl Count {
    pub fn add(&mut self, failed: bool) {
        self.asked = self.asked.saturating_add(1);
        self.failed = self.failed.saturating_add(u32::from(failed));
    }

    /// Answers that were good.
    pub fn fine(self) -> u32 {
        self.asked.saturating_sub(self.failed)
    }

    fn plus(self, other: Count) -> Count {
        Count {
            asked: self.asked.saturating_add(other.asked),
            failed: self.failed.saturating_add(other.failed),
        }
    }
}

impl Seen {
    pub fn of(&self, side: Side) -> Count {
        match side {
            Side::Blue => self.blue,
            Side::Green => self.green,
        }
    }

    pub fn add(&mut self, side: Side, failed: bool) {
        match side {
            Side::Blue => self.blue.add(failed),
            Side::Green => self.green.add(failed),
        }
    }

    pub fn plus(&self, other: &Seen) -> Seen {
        Seen { blue: self.blue.plus(other.blue), green: self.green.plus(other.green) }
    }

    /// Of both sides.
    pub fn total(&self) -> Count {
        self.blue.plus(self.green)
    }

    /// Of all that was asked, what went to green; None: nothing was asked.
    pub fn green_share(&self) -> Option<f64> {
        let all = self.total().asked;
        (all > 0).then(|| f64::from(self.green.asked) / f64::from(all))
    }
}

impl Report {
    /// Seconds from its first moment to its last.
    pub fn seconds(&self) -> f64 {
        let samples = self.samples.iter().map(|sample| sample.at + sample.seconds);
        samples.chain(self.events.iter().map(|event| event.at)).fold(0.0, f64::max)
    }

    /// Everybody who asked, with all that they asked.
    pub fn totals(&self) -> BTreeMap<&str, Seen> {
        let mut totals: BTreeMap<&str, Seen> = BTreeMap::new();
        for (who, seen) in self.samples.iter().flat_map(|sample| &sample.seen) {
            let total = totals.entry(who).or_default();
            *total = total.plus(seen);
        }
        totals
    }

    /// Changes of the weights, with the second of each.
    pub fn weights(&self) -> Vec<(f64, Weights)> {
        let mut changes: Vec<(f64, Weights)> = Vec::new();
        for sample in &self.samples {
            let Some(weights) = sample.weights else { continue };
            if changes.last().is_none_or(|(_, last)| *last != weights) {
                changes.push((sample.at, weights));
            }
        }
        changes
    }
}

#[cfg(test)]
mod tests;
