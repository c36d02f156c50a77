//! How long to wait before the next try, and for how long to try at all.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

/// Waits between tries: each up to twice as long as the last, at random, so that many that were throttled
/// together do not come again together ("full jitter").
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    pub first: Duration,
    pub longest: Duration,
    /// For how long a call that fails is tried again.
    pub patience: Duration,
    /// For how long a resource may take to become ready, or to go.
    pub readiness: Duration,
    /// For how long what was just made may not be seen (the cloud is eventually consistent).
    pub visibility: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Pace {
            first: Duration::from_millis(500),
            longest: Duration::from_secs(20),
            patience: Duration::from_secs(5 * 60),
            // A NAT gateway takes two to three minutes, a balancer up to five, an instance's end several.
            readiness: Duration::from_secs(15 * 60),
            visibility: Duration::from_secs(40),
        }
    }
}

/// The waits of one step.
pub(in crate::cloud) struct Waits {
    pace: Pace,
    tries: u32,
    rng: StdRng,
}

impl Waits {
    pub fn new(pace: Pace, seed: u64) -> Self {
        Waits { pace, tries: 0, rng: StdRng::seed_from_u64(seed) }
    }

    pub fn next(&mut self) -> Duration {
        let ceiling = self.pace.first.saturating_mul(1 << self.tries.min(16)).min(self.pace.longest);
        self.tries += 1;
        // Never nothing: a wait of none is a busy loop.
        ceiling.mul_f64(self.rng.random_range(0.1..=1.0))
    }
}
