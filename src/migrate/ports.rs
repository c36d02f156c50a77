//! What a migration needs of the world. Each port has a real adapter and a simulated one.

use std::net::{IpAddr, SocketAddr};

use futures::future::BoxFuture;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::gates::Answer;
use super::record::{Batch, RecordSet};
use crate::inventory::{Balancer, MetricGate, Probe};

/// Why a call failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// It was not carried out, and may be tried again.
    #[error("{0}")]
    Later(String),
    /// Nothing says whether it was carried out.
    #[error("{0}")]
    Unknown(String),
    /// It contradicts what is there: what was to be replaced is not as it was seen. Nothing was changed.
    #[error("{0}")]
    Conflict(String),
    /// The credentials do not allow it.
    #[error("{0}")]
    Denied(String),
    /// It was not carried out, and will not be.
    #[error("{0}")]
    Refused(String),
}

pub type Call<'a, T> = BoxFuture<'a, Result<T, CallError>>;

/// A hosted zone of the account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Zone {
    /// Without a dot at its end.
    pub name: String,
    pub is_private: bool,
    /// Those that answer for it, without dots at their ends; none for a private one.
    pub name_servers: Vec<String>,
}

/// A change on its way to the name servers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangeId(pub String);

/// The service that answers for names.
pub trait Dns: Send + Sync {
    /// None: the account has no such zone.
    fn zone<'a>(&'a self, id: &'a str) -> Call<'a, Option<Zone>>;

    /// All records of exactly this name that are of a type of [`super::record::RecordType`].
    fn records<'a>(&'a self, zone: &'a str, name: &'a str) -> Call<'a, Vec<RecordSet>>;

    /// Makes all changes of a batch, or none: [`CallError::Conflict`] when something that is to go is not there, or not
    /// exactly as it is said to be.
    fn change<'a>(&'a self, zone: &'a str, batch: &'a Batch) -> Call<'a, ChangeId>;

    /// Whether all name servers know it.
    fn is_everywhere<'a>(&'a self, change: &'a ChangeId) -> Call<'a, bool>;
}

/// A balancer of AWS.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BalancerFacts {
    pub arn: String,
    /// What an alias of it names.
    pub dns_name: String,
    /// Of the balancer's own name, for an alias.
    pub hosted_zone: String,
    pub kind: BalancerKind,
    pub is_internal: bool,
    /// It can be used.
    pub is_active: bool,
    pub vpc: String,
    /// Of the subnets that it is in: where its connections to targets come from when it hides its clients.
    pub subnets: Vec<IpNet>,
    /// Its security groups; it may have none.
    pub groups: Vec<String>,
    /// One for each listener that forwards to one group.
    pub target_groups: Vec<TargetGroup>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum BalancerKind {
    Network,
    Application,
    Gateway,
}

/// Where a listener of a balancer sends connections.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TargetGroup {
    pub arn: String,
    /// Of the listener.
    pub port: u16,
    /// Of its targets, unless they have their own.
    pub target_port: u16,
    pub kind: TargetKind,
    pub vpc: String,
    /// Targets see the clients' own addresses, and so do their firewalls.
    pub preserves_client_address: bool,
    /// Seconds that a target which is taken out keeps its connections.
    pub deregistration_delay: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum TargetKind {
    Instance,
    Address,
    /// A function, or another balancer.
    Other,
}

/// A target of a balancer.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BalancerTarget {
    /// An instance's id or an address.
    pub id: String,
    pub port: u16,
    /// It is an address outside the network of its group.
    pub is_outside: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Health {
    Healthy,
    /// It has not been asked often enough yet.
    Initial,
    Unhealthy,
    /// It gets no new connections, and keeps those that it has.
    Draining,
}

/// A machine behind a target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Machine {
    /// Of the instance.
    pub id: String,
    pub address: IpAddr,
    pub vpc: String,
    pub groups: Vec<String>,
}

/// What a security group lets in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rule {
    /// The one that has the rule.
    pub group: String,
    /// First and last of the TCP ports that it lets in.
    pub ports: (u16, u16),
    pub from: RuleSource,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum RuleSource {
    Addresses(IpNet),
    Group(String),
}

/// Balancers of AWS, and what is behind them.
pub trait Balancers: Send + Sync {
    /// None: this account and region have no such balancer. Addresses and names of others have none.
    fn find<'a>(&'a self, wanted: &'a Balancer) -> Call<'a, Option<BalancerFacts>>;

    fn targets<'a>(&'a self, group: &'a str) -> Call<'a, Vec<(BalancerTarget, Health)>>;

    /// Those that are there already stay as they are.
    fn register<'a>(&'a self, group: &'a str, targets: &'a [BalancerTarget]) -> Call<'a, ()>;

    /// Begins to take them out; those that are not there are no error.
    fn deregister<'a>(&'a self, group: &'a str, targets: &'a [BalancerTarget]) -> Call<'a, ()>;

    /// Connections that were begun in the last so many seconds; None: nobody counts them.
    fn new_flows<'a>(&'a self, balancer: &'a BalancerFacts, seconds: u32) -> Call<'a, Option<u64>>;

    /// The newest value of a metric; None: there is none yet.
    fn metric<'a>(&'a self, gate: &'a MetricGate) -> Call<'a, Option<f64>>;

    /// Instances by id or private address; those that are no instances are left out.
    fn machines<'a>(&'a self, ids: &'a [String]) -> Call<'a, Vec<Machine>>;

    /// What these security groups let in over TCP.
    fn rules<'a>(&'a self, groups: &'a [String]) -> Call<'a, Vec<Rule>>;

    /// Whether two networks are peered, and that is in use.
    fn are_peered<'a>(&'a self, one: &'a str, other: &'a str) -> Call<'a, bool>;
}

/// Asks services as a client does.
pub trait Prober: Send + Sync {
    /// Addresses of a name, by the answer that a resolver gives this time.
    fn resolve<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Vec<IpAddr>, String>>;

    /// Who answers for a zone, by what resolvers say; without dots at their ends.
    fn name_servers<'a>(&'a self, zone: &'a str) -> BoxFuture<'a, Result<Vec<String>, String>>;

    /// One question at an address. The answer's side is for the caller to fill in.
    fn ask<'a>(&'a self, probe: &'a Probe, at: SocketAddr) -> BoxFuture<'a, Answer>;
}

/// The nodes of green.
pub trait Nodes: Send + Sync {
    /// Names of those that are not Ready.
    fn unready(&self) -> BoxFuture<'_, Result<Vec<String>, String>>;
}
