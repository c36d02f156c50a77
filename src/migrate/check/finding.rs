//! What is in a migration's way, in words: each finding with the facts that caused it, and what to do about it.

use std::net::SocketAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::migrate::record::{Foreign, RecordType, Side};

/// Something that is not as a migration needs it, or that its operator should know.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    pub severity: Severity,
    pub what: What,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Severity {
    /// Nothing is changed before it is mended.
    Blocks,
    Warns,
}

/// `Display` says what was found, [`What::hint`] what to do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum What {
    #[error("zone {zone} of {name} is not in this account")]
    ZoneMissing { zone: String, name: String },
    #[error("{name} is not in zone {zone}, which is that of {zone_name}")]
    NotInZone { name: String, zone: String, zone_name: String },
    #[error("zone {zone} of {name} is private: nobody outside its networks sees what changes")]
    Private { zone: String, name: String },
    #[error("zone {zone} of {name} is private, and the resolvers here do not answer for the name: {error}")]
    PrivateUnseen { zone: String, name: String, error: String },
    #[error("no name server answers for {zone_name}: changes of zone {zone} would reach nobody")]
    NotDelegated { zone: String, zone_name: String, wanted: Vec<String> },
    #[error("{zone_name} is answered for by {}, none of them of zone {zone}: changes would reach nobody", .found.join(", "))]
    DelegatedElsewhere { zone: String, zone_name: String, found: Vec<String>, wanted: Vec<String> },
    #[error("{zone_name} is answered for by {} too, which is not of zone {zone}: changes would not reach everybody", .others.join(", "))]
    DelegatedTwice { zone: String, zone_name: String, others: Vec<String> },
    #[error("resolvers do not say who answers for {zone_name}: {error}")]
    DelegationUnknown { zone_name: String, error: String, wanted: Vec<String> },

    #[error("{name} has no A, AAAA or CNAME record in zone {zone}")]
    NoRecords { name: String, zone: String },
    #[error("{0}")]
    Foreign(Foreign),
    #[error("{name} has {record_type} records, and {side} has nothing that one leads to")]
    NoTarget { name: String, record_type: RecordType, side: Side },
    #[error("{name} is the top of its zone, where no CNAME can be, and {side} is known by a DNS name alone")]
    ApexCname { name: String, side: Side },
    #[error("{name} has AAAA records, and {side}'s balancer has no IPv6 address")]
    NoIpv6 { name: String, side: Side },
    #[error("{name} {record_type} has records with TTLs of {} s: weights are right among equal ones only", list(.ttls))]
    TtlsDiffer { name: String, record_type: RecordType, ttls: Vec<u32> },
    #[error(
        "{name} {record_type} has a TTL of {ttl} s beside an alias, whose own is 60 s: shares would not be as the weights say"
    )]
    TtlBesideAlias { name: String, record_type: RecordType, ttl: u32 },
    #[error(
        "{name} {record_type} has a TTL of {ttl} s: so long old answers are used after each move, also on the way back"
    )]
    LongTtl { name: String, record_type: RecordType, ttl: u32 },
    #[error("resolvers do not answer for {name}: {error}")]
    Unanswered { name: String, error: String },

    #[error("{side}'s balancer {wanted} is not in this account and region")]
    BalancerMissing { side: Side, wanted: String },
    #[error("blue and green are the same balancer, {arn}")]
    SameBalancer { arn: String },
    #[error("{side}'s balancer cannot be used yet, or no longer: {arn}")]
    BalancerInactive { side: Side, arn: String },
    #[error("{side}'s balancer is a gateway load balancer, which serves no clients: {arn}")]
    BalancerKind { side: Side, arn: String },
    #[error(
        "{side}'s balancer is internal, and {name} is in a public zone: clients outside its network cannot reach it"
    )]
    Internal { side: Side, name: String },
    #[error("{side} has no addresses: {error}")]
    Unresolved { side: Side, error: String },

    #[error("blue's balancer listens on port {port}, and green's does not")]
    NoListener { port: u16 },
    #[error("the group behind port {port} of {side}'s balancer has no targets")]
    NoTargets { side: Side, port: u16, group: String },
    #[error("the group behind port {port} of green's balancer has no targets, and the alias of {} heeds that: green would never be the answer", .names.join(", "))]
    Poisons { port: u16, group: String, names: Vec<String> },
    #[error("none of the {targets} targets behind port {port} of {side}'s balancer is healthy")]
    Unhealthy { side: Side, port: u16, targets: usize },

    #[error("blue's group behind port {port} takes no machines, so green's cannot take over")]
    TakesNoMachines { port: u16 },
    #[error("blue's group behind port {port} takes instances, and green's {} {} none that can be seen", .targets.join(", "), is_are(.targets))]
    NoInstance { port: u16, targets: Vec<String> },
    #[error("blue's group behind port {port} takes instances of {network} only, and green's {} {} in {other}", .machines.join(", "), is_are(.machines))]
    OtherNetwork { port: u16, network: String, other: String, machines: Vec<String> },
    #[error("green's {} {} in {other}, which is not peered with {network} of blue's group behind port {port}", .targets.join(", "), is_are(.targets))]
    NotPeered { port: u16, network: String, other: String, targets: Vec<String> },
    #[error("nobody can see which network green's {} {} in, so blue's group behind port {port} cannot take {}", .targets.join(", "), is_are(.targets), it_them(.targets))]
    NetworkUnknown { port: u16, targets: Vec<String> },
    #[error("green's {} {} no private address, and blue's group behind port {port} takes no other from outside its network", .targets.join(", "), is_are(.targets))]
    PublicAddress { port: u16, targets: Vec<String> },
    #[error("blue's balancer sends ports {} to one group, and green serves them at different ports", list(.ports))]
    SharedGroup { group: String, ports: Vec<u16> },
    #[error(
        "behind port {port}, green's machines see the address of blue's balancer in place of the clients' while they take over"
    )]
    ClientsHidden { port: u16 },
    #[error("security groups of green's {} do not let blue's balancer in at port {target_port}", .machines.join(", "))]
    ShutToBalancer { target_port: u16, machines: Vec<String>, groups: Vec<String>, subnets: Vec<IpNet> },
    #[error("blue's balancer keeps clients' addresses, and security groups of green's {} let in at port {target_port} {}", .machines.join(", "), only(.from))]
    ShutToClients { target_port: u16, machines: Vec<String>, from: Vec<IpNet> },
    #[error("nobody can see who may reach green's {} at port {target_port}", .targets.join(", "))]
    FirewallUnknown { target_port: u16, targets: Vec<String> },

    #[error("probe {probe} straight at {side} failed at {failed} of {asked} addresses; {at} said: {said}")]
    ProbeFailed { side: Side, probe: String, at: SocketAddr, said: String, failed: usize, asked: usize },
    #[error("no probe of either side got an answer over IPv6, so nothing is known of it; {at} said: {said}")]
    NoIpv6Here { at: SocketAddr, said: String },
}

fn list<T: ToString>(all: &[T]) -> String {
    all.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn is_are(all: &[String]) -> &'static str {
    if all.len() == 1 { "is" } else { "are" }
}

fn it_them(all: &[String]) -> &'static str {
    if all.len() == 1 { "it" } else { "them" }
}

fn only(from: &[IpNet]) -> String {
    if from.is_empty() { "no client".to_owned() } else { format!("those of {} only", list(from)) }
}

impl What {
    /// What to do about it.
    pub fn hint(&self) -> String {
        match self {
            What::ZoneMissing { .. } => "compare `hostedZone` with `aws route53 list-hosted-zones`, and `aws.profile` and `aws.assumeRole` with its account".into(),
            What::NotInZone { .. } => "write the id of the zone that the name is in".into(),
            What::Private { .. } => "go on if all clients are in networks of the zone".into(),
            What::PrivateUnseen { .. } => "run it in a network of the zone, or name one of its resolvers in `resolvers`".into(),
            What::NotDelegated { wanted, .. } | What::DelegatedElsewhere { wanted, .. } => {
                format!("change the records that clients see, or delegate the zone to {}", wanted.join(", "))
            }
            What::DelegatedTwice { .. } => "take the others out of the delegation until the migration is over".into(),
            What::DelegationUnknown { wanted, .. } => {
                format!("make sure that clients are sent to {}; `resolvers` names others to ask", wanted.join(", "))
            }
            What::NoRecords { .. } => "make the record that leads to blue; it is taken over from there".into(),
            What::Foreign(foreign) => hint_of_foreign(foreign),
            What::NoTarget { record_type, side, .. } => match record_type {
                RecordType::Cname => format!("write {side}'s balancer as `arn`, `name`, `alias` or `dnsName`"),
                RecordType::A => format!("write {side}'s balancer as `arn`, `name`, `alias` or `addresses` with IPv4"),
                RecordType::Aaaa => format!("give {side} IPv6, or take the AAAA records away first"),
            },
            What::ApexCname { side, .. } => format!("write {side}'s balancer as `arn`, `name`, `alias` or `addresses`"),
            What::NoIpv6 { side, .. } => {
                format!("make {side}'s balancer a dual-stack one, or take the AAAA records away first")
            }
            What::TtlsDiffer { .. } => "give all of them the same TTL, 60 s or less".into(),
            What::TtlBesideAlias { .. } => "set it to 60 s, and wait for the old TTL to run out".into(),
            What::LongTtl { ttl, .. } => format!("set it to 60 s, and wait {ttl} s before you begin"),
            What::Unanswered { .. } => "name others in `resolvers`: probes through the name need an answer".into(),
            What::BalancerMissing { side, .. } => {
                format!("compare `{side}.balancer`, `aws.region` and `aws.profile` with the account; `make` makes green first")
            }
            What::SameBalancer { .. } => "name the new cluster's balancer in `green.balancer`".into(),
            What::BalancerInactive { .. } => "wait until its state is active, and run it again".into(),
            What::BalancerKind { side, .. } => format!("name the network or application load balancer in `{side}.balancer`"),
            What::Internal { .. } => "go on if all clients are inside".into(),
            What::Unresolved { side, .. } => format!("compare `{side}.balancer` with what the name is, or name others in `resolvers`"),
            What::NoListener { port } => format!("make a listener of green's on port {port}, or remove blue's if nobody uses it"),
            What::NoTargets { .. } => "register targets, or remove the listener if nobody uses it".into(),
            What::Poisons { .. } => "register targets, remove the listener, or let the alias not evaluate target health".into(),
            What::Unhealthy { .. } => "`aws elbv2 describe-target-health` says why".into(),
            What::TakesNoMachines { .. } | What::PublicAddress { .. } => "leave `takeOver` out, or put a group of addresses behind blue's listener".into(),
            What::NoInstance { .. } => "leave `takeOver` out, or put a group of addresses behind blue's listener: it takes what is no instance".into(),
            What::OtherNetwork { network, other, .. } => {
                format!("peer {network} and {other} and put a group of addresses behind blue's listener, or leave `takeOver` out")
            }
            What::NotPeered { network, other, .. } => {
                format!("peer {network} and {other}, with routes both ways, or leave `takeOver` out")
            }
            What::NetworkUnknown { .. } => "leave `takeOver` out, or register green's machines by their instances".into(),
            What::SharedGroup { .. } => "give each of blue's ports a group of its own, or leave `takeOver` out".into(),
            What::ClientsHidden { .. } => "go on if green does not need the clients' addresses for that time".into(),
            What::ShutToBalancer { target_port, groups, subnets, .. } => {
                let from = if groups.is_empty() { list(subnets) } else { groups.join(", ") };
                format!("allow TCP {target_port} from {from}")
            }
            What::ShutToClients { target_port, .. } => format!("allow TCP {target_port} from 0.0.0.0/0 if all clients are to get in"),
            What::FirewallUnknown { target_port, .. } => format!("make sure that TCP {target_port} is open to blue's balancer"),
            What::ProbeFailed { side, .. } => match side {
                Side::Green => "green has to answer every probe before it gets any clients; mend it, or the probe".into(),
                Side::Blue => "gates compare green with blue; mend the probe if blue is well".into(),
            },
            What::NoIpv6Here { .. } => "run it where there is IPv6, if clients use it".into(),
        }
    }
}

fn hint_of_foreign(foreign: &Foreign) -> String {
    match foreign {
        Foreign::Missing { .. } => "make the record that leads to blue; it is taken over from there".into(),
        Foreign::Elsewhere { .. } => {
            "name its balancer in `blue.balancer`, or remove the record if nobody needs it".into()
        }
        Foreign::OtherPolicy { .. } => "make it a simple or a weighted record first".into(),
        Foreign::Twice { .. } => "remove one of the two".into(),
        Foreign::AllZero { .. } => "give the record of blue a weight".into(),
    }
}
