//! Networks: who can reach whom.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::{IpNet, Ipv4Net};
use serde::{Deserialize, Serialize};

use crate::cloud::name::Ref;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Vpc {
    pub cidr: Ipv4Net,
    pub dns_support: bool,
    pub dns_hostnames: bool,
}

/// Made and attached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InternetGateway {
    pub vpc: Ref,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Subnet {
    pub vpc: Ref,
    pub zone: String,
    pub cidr: Ipv4Net,
    /// Machines in it get public addresses.
    pub public_addresses: bool,
}

/// A public address that stays.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ElasticIp {}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NatGateway {
    /// A public one.
    pub subnet: Ref,
    pub address: Ref,
    /// What the subnet's way out is: a gateway without one would be made and fail.
    pub internet_gateway: Ref,
}

impl NatGateway {
    pub(super) fn needs(&self) -> Vec<&Ref> {
        vec![&self.subnet, &self.address, &self.internet_gateway]
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RouteTable {
    pub vpc: Ref,
    /// Beside the VPC's own: where to, through which gateway.
    pub routes: BTreeMap<Ipv4Net, Ref>,
    pub subnets: BTreeSet<Ref>,
}

impl RouteTable {
    pub(super) fn needs(&self) -> Vec<&Ref> {
        [&self.vpc].into_iter().chain(self.routes.values()).chain(&self.subnets).collect()
    }
}

/// A group without its rules.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SecurityGroup {
    pub vpc: Ref,
}

/// All rules of a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SecurityRules {
    pub group: Ref,
    pub ingress: BTreeSet<Rule>,
    pub egress: BTreeSet<Rule>,
}

impl SecurityRules {
    pub(super) fn needs(&self) -> Vec<&Ref> {
        let others = self.ingress.iter().chain(&self.egress).filter_map(|rule| match &rule.peer {
            Peer::Group(group) => Some(group),
            Peer::Network(_) => None,
        });
        [&self.group].into_iter().chain(others).collect()
    }
}

/// Traffic that is let through.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rule {
    pub protocol: Protocol,
    pub peer: Peer,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Protocol {
    All,
    /// First and last port.
    Tcp(u16, u16),
    Udp(u16, u16),
    /// IP-in-IP and the like, by number.
    Other(u8),
}

/// The other end.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Peer {
    Network(IpNet),
    Group(Ref),
}
