//! What happened, once: terminal, JSON lines, journal and summary all read this one stream.

use serde::{Deserialize, Serialize};

use crate::plan::{StepId, Target};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "event")]
pub enum Event {
    /// The run begins with this many steps.
    Began {
        cluster: String,
        steps: usize,
    },
    StepStarted {
        step: StepId,
        target: Target,
        doing: String,
    },
    /// Bytes sent of an upload.
    Progress {
        step: StepId,
        name: String,
        sent: u64,
        size: u64,
    },
    /// What a step is waiting for.
    Waiting {
        step: StepId,
        what: String,
    },
    StepEnded {
        step: StepId,
        target: Target,
        seconds: f64,
        changed: usize,
    },
    StepFailed {
        step: StepId,
        target: Target,
        seconds: f64,
        error: String,
        hint: Option<String>,
    },
    /// Never started, because a step it needs failed.
    StepSkipped {
        step: StepId,
        target: Target,
        because: StepId,
    },
    Ended {
        done: usize,
        failed: usize,
        skipped: usize,
        interrupted: bool,
    },
}
