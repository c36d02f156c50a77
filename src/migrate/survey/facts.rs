//! What a survey finds: the world of a migration as plain values, which can be saved and compared.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

use crate::inventory::ServiceName;
use crate::migrate::gates::Answer;
use crate::migrate::plan::NameFacts;
use crate::migrate::ports::{BalancerFacts, BalancerTarget, Health, Machine, Rule, Zone};
use crate::migrate::record::{RecordSet, RecordType, Side, Target};

/// What was seen.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Surveyed {
    /// By name and type of record, for those that exist and that both sides have something for.
    pub names: Vec<NameFacts>,
    /// Records of a type that at least one side has nothing for.
    pub unpaired: Vec<Unpaired>,
    /// What resolvers answer for each name.
    pub answers: Vec<NameAnswer>,
    /// Each zone once, in the order of the names.
    pub zones: Vec<ZoneFacts>,
    pub blue: SideFacts,
    pub green: SideFacts,
    /// Networks of green's that are peered with one of blue's groups: both by their ids, blue's first. Asked only where
    /// blue's balancer is to send to green's machines.
    pub peered: BTreeSet<(String, String)>,
}

/// Records that weights cannot move, because a side has nothing that they could lead to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Unpaired {
    pub service: ServiceName,
    pub record_type: RecordType,
    pub records: Vec<RecordSet>,
    /// Those without.
    pub sides: Vec<Side>,
}

/// Where a name leads by a resolver.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NameAnswer {
    pub name: String,
    pub addresses: Vec<IpAddr>,
    pub error: Option<String>,
}

/// A zone that names are in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ZoneFacts {
    pub id: String,
    /// None: the account has no such zone.
    pub zone: Option<Zone>,
    /// None: nobody was asked, for the zone is private or not there.
    pub delegation: Option<Delegation>,
}

/// Who answers for a zone, by what resolvers say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Delegation {
    Servers(Vec<String>),
    /// They could not be asked.
    Unknown(String),
}

/// One of the two sides.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SideFacts {
    /// None: it is none of AWS in this account, or there is none.
    pub balancer: Option<BalancerFacts>,
    /// What records lead to, by their type.
    pub targets: BTreeMap<RecordType, Target>,
    /// Where it is reached.
    pub addresses: Vec<IpAddr>,
    /// Why there are no addresses.
    pub unresolved: Option<String>,
    /// What the target groups of the balancer have, each once.
    pub groups: Vec<GroupFacts>,
    /// Instances behind the targets.
    pub machines: Vec<Machine>,
    /// What the security groups of these let in.
    pub rules: Vec<Rule>,
    /// What probes straight at its addresses said.
    pub probes: Vec<Asked>,
}

/// The targets of a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GroupFacts {
    pub arn: String,
    pub targets: Vec<(BalancerTarget, Health)>,
}

/// A probe and where it was.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Asked {
    pub at: SocketAddr,
    pub answer: Answer,
}

impl Surveyed {
    pub fn side(&self, side: Side) -> &SideFacts {
        match side {
            Side::Blue => &self.blue,
            Side::Green => &self.green,
        }
    }
}

impl SideFacts {
    pub fn targets_of(&self, group: &str) -> &[(BalancerTarget, Health)] {
        self.groups.iter().find(|facts| facts.arn == group).map_or(&[], |facts| &facts.targets)
    }

    /// The machine that a target is, by its id or its address.
    pub fn machine(&self, target: &str) -> Option<&Machine> {
        let address: Option<IpAddr> = target.parse().ok();
        self.machines.iter().find(|machine| machine.id == target || Some(machine.address) == address)
    }
}
