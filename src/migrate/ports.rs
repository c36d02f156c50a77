//! What a migration needs of the world. Each port has a real adapter and a simulated one.

use std::net::SocketAddr;
use std::time::Duration;

use futures::future::BoxFuture;

use super::gates::Answer;
use super::record::{Batch, RecordSet, Side};
use crate::inventory::{MetricGate, Probe};

/// Why a call failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// It was not carried out, and may be tried again.
    #[error("{0}")]
    Later(String),
    /// Nothing says whether it was carried out.
    #[error("{0}")]
    Unknown(String),
    /// It was not, and will not be.
    #[error("{0}")]
    Refused(String),
}

pub type Call<'a, T> = BoxFuture<'a, Result<T, CallError>>;

/// A hosted zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Zone {
    /// Without a dot at its end.
    pub name: String,
    pub is_private: bool,
}

/// A change on its way to the name servers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangeId(pub String);

/// The service that answers for names.
pub trait Dns: Send + Sync {
    fn zone<'a>(&'a self, id: &'a str) -> Call<'a, Zone>;

    /// All address and alias records of exactly this name.
    fn records<'a>(&'a self, zone: &'a str, name: &'a str) -> Call<'a, Vec<RecordSet>>;

    /// Makes all changes of a batch, or none: when something that is to go is not there, or not as it is said to be.
    fn change<'a>(&'a self, zone: &'a str, batch: &'a Batch) -> Call<'a, ChangeId>;

    /// Whether all name servers know it.
    fn is_everywhere<'a>(&'a self, change: &'a ChangeId) -> Call<'a, bool>;
}

/// A target of a balancer.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct BalancerTarget {
    /// An instance or an address.
    pub id: String,
    pub port: u16,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    Healthy,
    /// It has not been asked often enough yet.
    Initial,
    Unhealthy,
    /// It gets no new connections, and keeps those that it has.
    Draining,
}

/// Balancers of AWS.
pub trait Balancers: Send + Sync {
    /// Its target groups.
    fn groups<'a>(&'a self, balancer: &'a str) -> Call<'a, Vec<TargetGroup>>;

    fn targets<'a>(&'a self, group: &'a str) -> Call<'a, Vec<(BalancerTarget, Health)>>;

    fn register<'a>(&'a self, group: &'a str, targets: &'a [BalancerTarget]) -> Call<'a, ()>;

    fn deregister<'a>(&'a self, group: &'a str, targets: &'a [BalancerTarget]) -> Call<'a, ()>;

    /// Connections that were begun in the last minutes; None: nobody counts them.
    fn new_flows<'a>(&'a self, balancer: &'a str, minutes: u32) -> Call<'a, Option<u64>>;

    fn metric<'a>(&'a self, gate: &'a MetricGate) -> Call<'a, Option<f64>>;
}

/// Where a listener of a balancer sends connections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetGroup {
    pub arn: String,
    /// Of the listener.
    pub port: u16,
    /// Of its targets, unless they have their own.
    pub target_port: u16,
    pub kind: TargetKind,
    pub vpc: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TargetKind {
    Instance,
    Address,
}

/// Asks services as a client does.
pub trait Prober: Send + Sync {
    /// Where a name leads this time, by the answer of a resolver.
    fn resolve<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Vec<SocketAddr>, String>>;

    /// One question, at an address of a side or wherever the name leads.
    fn ask<'a>(
        &'a self,
        probe: &'a Probe,
        name: &'a str,
        at: Option<(Side, SocketAddr)>,
    ) -> BoxFuture<'a, Answer>;
}

/// The nodes of green.
pub trait Nodes: Send + Sync {
    /// Names of those that are not Ready.
    fn unready(&self) -> BoxFuture<'_, Result<Vec<String>, String>>;
}

/// The operator's own gates.
pub trait Commands: Send + Sync {
    /// None: it ended with 0; else what it said.
    fn run<'a>(&'a self, command: &'a [String], timeout: Duration) -> BoxFuture<'a, Option<String>>;
}
