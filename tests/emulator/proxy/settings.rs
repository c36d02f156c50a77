//! What a test sets of a proxy.

use std::collections::BTreeSet;

use super::faults::Faults;
use super::launches::Console;
use super::metrics::Metrics;
use super::states::Delays;

pub struct Settings {
    pub faults: Faults,
    pub delays: Delays,
    /// Permissions that the caller does not have, such as `ec2:CreateVpc`.
    pub denied: BTreeSet<String>,
    /// Targets, by id, whose health checks fail.
    pub unhealthy: BTreeSet<String>,
    /// Names of which no record may be changed.
    pub protected: BTreeSet<String>,
    /// What CloudWatch has counted.
    pub metrics: Metrics,
    /// What an instance says on its console.
    pub console: Console,
    /// The longest page of a list.
    pub page: usize,
}

impl Default for Settings {
    /// Slow as AWS is slow, with nothing going wrong.
    fn default() -> Settings {
        Settings {
            faults: Faults::none(),
            delays: Delays::all(2),
            denied: BTreeSet::new(),
            unhealthy: BTreeSet::new(),
            protected: BTreeSet::new(),
            metrics: Metrics::default(),
            console: Box::new(|_| None),
            page: 5,
        }
    }
}
