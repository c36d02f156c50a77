//! The waves that a plan changes workers in, as data: what its steps are proven against, and what health gates
//! compare with.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::inventory::HostName;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rollout {
    /// Workers that may be out of service at once.
    pub max_unavailable: usize,
    /// In the order they come in.
    pub waves: Vec<Wave>,
    /// By workload, the pods that were available when this was planned. Empty: nothing is compared.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub workloads: BTreeMap<String, u64>,
}

/// Workers that belong together: the next wave begins when all of them are back and well.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Wave {
    /// `canary`, or its number.
    pub name: String,
    pub hosts: Vec<HostName>,
}

/// The name of the wave that comes before all others.
pub const CANARY: &str = "canary";

impl Wave {
    pub fn is_canary(&self) -> bool {
        self.name == CANARY
    }
}
