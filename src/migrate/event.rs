//! What happens in a migration, once: the terminal, JSON lines, the journal and the report read this one stream.

use serde::{Deserialize, Serialize};

use super::gates::{Shut, Tally};
use super::plan::{StepKind, ZoneBatch};
use super::ports::BalancerTarget;
use super::record::{Point, Weights};

/// Something happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", rename_all_fields = "camelCase", tag = "event")]
pub enum MigrationEvent {
    Began {
        migration: String,
        from: Point,
        steps: usize,
    },
    /// Steps count from 1.
    StepBegan {
        number: usize,
        steps: usize,
        kind: StepKind,
    },
    /// The zone has taken these changes.
    Changed {
        change: ZoneBatch,
    },
    /// All name servers know the step's changes.
    Everywhere {
        weights: Weights,
    },
    Waiting {
        what: String,
    },
    /// A call failed and is made again.
    Again {
        error: String,
    },
    /// What probes have seen since the last sample.
    Seen {
        sample: Sample,
    },
    Paused,
    Resumed,
    /// Green's machines are behind a target group of blue.
    Registered {
        group: String,
        targets: Vec<BalancerTarget>,
    },
    /// Targets get no connections any more.
    TakenOut {
        group: String,
        targets: Vec<BalancerTarget>,
    },
    /// The window for those who still use blue's balancer has closed.
    WindowClosed {
        reason: Closed,
    },
    StepEnded {
        number: usize,
    },
    GoingBack {
        to: Point,
        why: Cause,
    },
    WentBack {
        to: Point,
    },
    Ended {
        at: Point,
    },
}

/// What probes and the operator's own gates have seen in a while.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Sample {
    /// Seconds since the run began.
    pub at: f64,
    pub weights: Option<Weights>,
    pub blue: Tally,
    pub green: Tally,
    pub name: NameTally,
    /// Seconds until the step ends, if all stays well; None: nobody knows.
    pub left: Option<u32>,
    pub paused: bool,
}

/// How questions through the name were answered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NameTally {
    pub asked: u32,
    pub failed: u32,
    /// Of those asked, those that the name led there, and of these those that failed.
    pub blue: u32,
    pub blue_failed: u32,
    pub green: u32,
    pub green_failed: u32,
}

/// Why the window of a take-over ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Closed {
    /// No new connection for the wanted time.
    Quiet,
    Deadline,
}

/// Why the weights go back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum Cause {
    /// Gates do not hold.
    Shut { gates: Vec<Shut> },
    /// Too little was seen to judge by.
    Blind { answers: u32, wanted: u32, has_looked: bool },
    /// The operator asked for it.
    Asked,
    /// The operator's run was told to stop.
    Interrupted,
    /// The operator's run ended without a word.
    Lost,
    /// A step could not be carried out to its end.
    Failed { error: String },
}

impl std::fmt::Display for Cause {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Cause::Shut { gates } => {
                let said: Vec<String> = gates.iter().map(ToString::to_string).collect();
                f.write_str(&said.join("; "))
            }
            Cause::Blind { answers, wanted, has_looked: true } => {
                write!(f, "green gave {answers} answers in time, {wanted} are wanted to judge by")
            }
            Cause::Blind { has_looked: false, .. } => {
                f.write_str("targets, nodes, metrics and commands could not be looked at in time")
            }
            Cause::Asked => f.write_str("the operator asked for it"),
            Cause::Interrupted => f.write_str("the run was told to stop"),
            Cause::Lost => f.write_str("the operator's run ended without a word"),
            Cause::Failed { error } => f.write_str(error),
        }
    }
}
