//! The shapes of what an upgrade is told: waves of workers.

use super::*;

/// A number of workers, or a list of their names.
#[derive(JsonSchema)]
#[serde(untagged)]
#[allow(dead_code)]
enum CanaryShape {
    Count(u32),
    Hosts(Vec<String>),
}

shapes! {
    UpgradeShape {
        /// Workers that are a wave of their own before all others: a number, or their names. Default: 0.
        canary: Option<CanaryShape>,
        /// Workers of one wave. Default: maxUnavailable.
        batch_size: Option<CountOrShare>,
        /// How long a finished wave is watched before the next begins. Default: not at all.
        pause_between_waves: Option<Duration>,
        /// A wave has to be well before the next begins. Default: true.
        health_gate: Option<bool>,
    }
}
