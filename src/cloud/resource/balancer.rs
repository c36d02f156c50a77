//! Balancers, what is behind them, and the names that lead to them.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::cloud::name::Ref;

/// A network load balancer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Balancer {
    pub internal: bool,
    pub subnets: BTreeSet<Ref>,
    pub groups: BTreeSet<Ref>,
    pub cross_zone: bool,
    pub deletion_protection: bool,
}

impl Balancer {
    pub(super) fn needs(&self) -> Vec<&Ref> {
        self.subnets.iter().chain(&self.groups).collect()
    }
}

/// Who a balancer sends to, and how it tells who is well.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TargetGroup {
    pub vpc: Ref,
    /// TCP.
    pub port: u16,
    pub health: Health,
    /// Off where a target may be a client of its own balancer: the answer would not find its way (hairpin).
    pub preserve_client_address: bool,
    /// Seconds in which a target that leaves may finish what it does.
    pub deregistration_delay: u32,
}

/// A health check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Health {
    /// Something accepts connections.
    Tcp,
    /// HTTPS GET answers with 200; the certificate is not looked at.
    Https { path: String },
}

/// The instances of a target group that are named one by one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Targets {
    pub group: Ref,
    pub instances: BTreeSet<Ref>,
}

impl Targets {
    pub(super) fn needs(&self) -> Vec<&Ref> {
        [&self.group].into_iter().chain(&self.instances).collect()
    }
}

/// A TCP port of a balancer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Listener {
    pub balancer: Ref,
    pub port: u16,
    pub group: Ref,
}

/// A name that is an alias of a balancer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    pub hosted_zone: String,
    pub name: String,
    pub balancer: Ref,
}
