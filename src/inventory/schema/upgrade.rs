//! The shapes of what an upgrade is told: waves of workers, and hooks.

use super::*;
use crate::inventory::hooks::{HookPlace, HookPoint};

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
        /// What is in an upgrade's way and does not stop it all the same, by the words before the colon in its message.
        accept: Option<Vec<String>>,
    }
    HookShape {
        /// What plans and errors call it.
        #[schemars(regex(pattern = r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"))]
        name: String,
        when: HookPoint,
        /// On your machine, or on the host it is about. Default: local.
        #[serde(rename = "where")]
        place: Option<HookPlace>,
        /// A program and its arguments.
        #[schemars(length(min = 1))]
        command: Vec<Literal>,
        /// Default: 5m.
        timeout: Option<Duration>,
        /// Names of the hosts it is about. Default: all.
        hosts: Option<Vec<String>>,
        /// Roles of the hosts it is about. Default: all.
        roles: Option<OneOrMany<Role>>,
    }
}
