//! The operator's own commands around an upgrade: `hooks` of the inventory.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::ids::HostName;
use super::model::{Host, Role};

/// One command and when it runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Hook {
    /// What plans and errors call it.
    pub name: String,
    pub when: HookPoint,
    #[serde(rename = "where")]
    pub place: HookPlace,
    /// A program and its arguments; never a text for a shell.
    pub command: Vec<String>,
    /// Seconds after which it has failed.
    pub timeout: u32,
    pub hosts: HookHosts,
}

#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum HookPoint {
    BeforeHost,
    AfterHost,
    BeforeWave,
    AfterWave,
    BeforeHop,
    AfterHop,
}

#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum HookPlace {
    /// On the operator's own machine.
    Local,
    /// On the host it is about, as root.
    Host,
}

/// The hosts that a hook is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum HookHosts {
    All,
    Names(BTreeSet<HostName>),
    /// Those that have any of these roles.
    Roles(BTreeSet<Role>),
}

impl HookPoint {
    pub fn as_str(self) -> &'static str {
        match self {
            HookPoint::BeforeHost => "before-host",
            HookPoint::AfterHost => "after-host",
            HookPoint::BeforeWave => "before-wave",
            HookPoint::AfterWave => "after-wave",
            HookPoint::BeforeHop => "before-hop",
            HookPoint::AfterHop => "after-hop",
        }
    }

    /// Whether what it is about has not begun yet.
    pub fn is_before(self) -> bool {
        match self {
            HookPoint::BeforeHost | HookPoint::BeforeWave | HookPoint::BeforeHop => true,
            HookPoint::AfterHost | HookPoint::AfterWave | HookPoint::AfterHop => false,
        }
    }

    /// Whether it is about one host.
    pub fn is_of_host(self) -> bool {
        match self {
            HookPoint::BeforeHost | HookPoint::AfterHost => true,
            HookPoint::BeforeWave | HookPoint::AfterWave | HookPoint::BeforeHop | HookPoint::AfterHop => {
                false
            }
        }
    }
}

impl HookHosts {
    pub fn has(&self, host: &Host) -> bool {
        match self {
            HookHosts::All => true,
            HookHosts::Names(names) => names.contains(&host.name),
            HookHosts::Roles(roles) => host.roles.iter().any(|role| roles.contains(role)),
        }
    }
}
