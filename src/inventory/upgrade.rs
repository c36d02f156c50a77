//! How a change rolls over the workers: `policy.upgrade` of the inventory.

use serde::{Deserialize, Serialize};

use super::ids::HostName;
use super::model::CountOrShare;

/// The waves that workers are changed in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UpgradePolicy {
    /// Workers that are a wave of their own before all others.
    pub canary: Canary,
    /// Workers of one wave; None: as many as may be out of service at once.
    pub batch_size: Option<CountOrShare>,
    /// Seconds for which a finished wave is watched before the next begins; None: not at all.
    pub pause_between_waves: Option<u32>,
    /// Whether a wave has to be well before the next begins.
    pub health_gate: bool,
    /// What is in an upgrade's way and does not stop it all the same: concerns by what they are about.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub accept: Vec<String>,
}

/// Which workers go first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Canary {
    /// That many, by name; 0: none.
    Count(u32),
    Hosts(Vec<HostName>),
}

impl Default for UpgradePolicy {
    fn default() -> Self {
        UpgradePolicy {
            canary: Canary::Count(0),
            batch_size: None,
            pause_between_waves: None,
            health_gate: true,
            accept: Vec::new(),
        }
    }
}
