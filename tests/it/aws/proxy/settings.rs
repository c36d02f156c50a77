//! What a test sets of a proxy.

use std::collections::BTreeSet;

use super::faults::Faults;
use super::launches::Console;

pub struct Settings {
    pub faults: Faults,
    /// Permissions that the caller does not have, such as `ec2:CreateVpc`.
    pub denied: BTreeSet<String>,
    /// What an instance says on its console.
    pub console: Console,
}

impl Default for Settings {
    /// Nothing going wrong.
    fn default() -> Settings {
        Settings { faults: Faults::none(), denied: BTreeSet::new(), console: Box::new(|_| None) }
    }
}
