//! The account of a migration: two balancers with targets, and a name that leads to the old one.

use std::collections::BTreeMap;
use std::net::SocketAddrV4;

use super::Side;
use crate::emulator::client::Client;
use crate::emulator::dns::route53::{self, Leads, Record, canonical};
use crate::emulator::fixtures;
use crate::emulator::xml;

pub const REGION: &str = "eu-central-1";
pub const ZONE: &str = "example.org";
/// What clients ask for.
pub const NAME: &str = "shop.example.org";

/// What the name's records are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// As AWS's own balancers usually have them.
    Alias,
    /// With a TTL of one's own, in seconds.
    Cname { ttl: u32 },
}

/// What is behind a balancer.
#[derive(Debug, Clone)]
pub enum Targets {
    /// Instances that are made with these addresses, all on one port.
    Instances { subnet: String, addresses: Vec<SocketAddrV4> },
    /// Addresses, whoever has them.
    Addresses(Vec<SocketAddrV4>),
}

/// A balancer of the account.
#[derive(Debug, Clone)]
pub struct Balanced {
    pub arn: String,
    /// Its own name, with a dot at its end.
    pub dns_name: String,
    pub hosted_zone: String,
    pub group: String,
    /// What is registered at first: ids or addresses, with ports.
    pub targets: Vec<(String, u16)>,
}

pub struct Account {
    /// The hosted zone's id.
    pub zone: String,
    pub style: Style,
    pub sides: BTreeMap<Side, Balanced>,
}

impl Account {
    /// Makes it; `port` is the one that clients use. The name leads to blue alone.
    pub async fn open(
        moto: &Client,
        port: u16,
        style: Style,
        mut behind: BTreeMap<Side, Targets>,
    ) -> Account {
        let moto = &moto.in_region(REGION);
        let vpc = moto.ec2("CreateVpc", &[("CidrBlock", "198.18.0.0/16")]).await.ok().one("vpcId");
        let nodes = fixtures::group(moto, &vpc, "nodes").await;
        let rule = [
            ("GroupId", nodes.as_str()),
            ("IpPermissions.1.IpProtocol", "tcp"),
            ("IpPermissions.1.FromPort", "30000"),
            ("IpPermissions.1.ToPort", "32767"),
            ("IpPermissions.1.IpRanges.1.CidrIp", "0.0.0.0/0"),
        ];
        moto.ec2("AuthorizeSecurityGroupIngress", &rule).await.ok();
        let mut sides = BTreeMap::new();
        for (side, spare) in [(Side::Blue, "198.18.254.0/24"), (Side::Green, "198.18.255.0/24")] {
            let targets = behind.remove(&side).unwrap();
            let range = match &targets {
                Targets::Instances { subnet, .. } => subnet.as_str(),
                Targets::Addresses(_) => spare,
            };
            let place =
                [("VpcId", vpc.as_str()), ("CidrBlock", range), ("AvailabilityZone", "eu-central-1a")];
            let subnet = moto.ec2("CreateSubnet", &place).await.ok().one("subnetId");
            sides.insert(side, balanced(moto, side, &vpc, &subnet, &nodes, port, &targets).await);
        }
        let zone = fixtures::zone(moto, "migration").await;
        let account = Account { zone, style, sides };
        let simple = account.record(Side::Blue, None);
        route53::change(moto, &account.zone, &[("CREATE", &simple)]).await.ok();
        account
    }

    /// What leads to a side.
    pub fn record(&self, side: Side, weighted: Option<(&str, u32)>) -> Record {
        let of = &self.sides[&side];
        let (kind, leads) = match self.style {
            Style::Alias => {
                let (dns_name, hosted_zone) = (of.dns_name.clone(), of.hosted_zone.clone());
                ("A", Leads::Alias { dns_name, hosted_zone })
            }
            Style::Cname { ttl } => ("CNAME", Leads::Values { ttl, values: vec![of.dns_name.clone()] }),
        };
        let weighted = weighted.map(|(identifier, weight)| (identifier.to_owned(), weight));
        Record { name: canonical(NAME), kind: kind.to_owned(), weighted, leads }
    }

    /// The side that a balancer's own name belongs to.
    pub fn side_of(&self, dns_name: &str) -> Option<Side> {
        self.sides.iter().find(|(_, of)| of.dns_name == canonical(dns_name)).map(|(side, _)| *side)
    }
}

async fn balanced(
    moto: &Client,
    side: Side,
    vpc: &str,
    subnet: &str,
    nodes: &str,
    port: u16,
    targets: &Targets,
) -> Balanced {
    // What the file of a migration calls them.
    let name = match side {
        Side::Blue => "shop-old",
        Side::Green => "shop-new",
    };
    let own =
        [("Name", name), ("Type", "network"), ("Scheme", "internet-facing"), ("Subnets.member.1", subnet)];
    let made = moto.balancing("CreateLoadBalancer", &own).await.ok();
    let (kind, addresses) = match targets {
        Targets::Instances { addresses, .. } => ("instance", addresses),
        Targets::Addresses(addresses) => ("ip", addresses),
    };
    let first = addresses[0].port().to_string();
    let group = [
        ("Name", name),
        ("Protocol", "TCP"),
        ("Port", first.as_str()),
        ("VpcId", vpc),
        ("TargetType", kind),
        ("HealthCheckProtocol", "TCP"),
    ];
    let group = moto.balancing("CreateTargetGroup", &group).await.ok().one("TargetGroupArn");
    let arn = made.one("LoadBalancerArn");
    moto.balancing("CreateListener", &fixtures::forward(&arn, &port.to_string(), &group)).await.ok();
    let mut registered = Vec::new();
    for address in addresses {
        let id = match targets {
            Targets::Instances { .. } => {
                let address = address.ip().to_string();
                let more = [("PrivateIpAddress", address.as_str()), ("SecurityGroupId.1", nodes)];
                fixtures::instance(moto, subnet, &more).await
            }
            Targets::Addresses(_) => address.ip().to_string(),
        };
        registered.push((id, address.port()));
    }
    register(moto, &group, &registered).await;
    Balanced {
        dns_name: canonical(&made.one("DNSName")),
        hosted_zone: made.one("CanonicalHostedZoneId"),
        arn,
        group,
        targets: registered,
    }
}

pub async fn register(client: &Client, group: &str, targets: &[(String, u16)]) {
    each(client, "RegisterTargets", group, targets).await;
}

pub async fn deregister(client: &Client, group: &str, targets: &[(String, u16)]) {
    each(client, "DeregisterTargets", group, targets).await;
}

async fn each(client: &Client, call: &str, group: &str, targets: &[(String, u16)]) {
    let client = client.in_region(REGION);
    for (id, port) in targets {
        let port = port.to_string();
        let target = [
            ("TargetGroupArn", group),
            ("Targets.member.1.Id", id.as_str()),
            ("Targets.member.1.Port", port.as_str()),
        ];
        client.balancing(call, &target).await.ok();
    }
}

/// The targets of a group and the state of each.
pub async fn health(client: &Client, group: &str) -> Vec<((String, u16), String)> {
    let answer =
        client.in_region(REGION).balancing("DescribeTargetHealth", &[("TargetGroupArn", group)]).await;
    let answer = answer.ok();
    let document = xml::parse(answer.text());
    let target = |member: roxmltree::Node<'_, '_>| {
        let port = xml::text(member, "Target/Port").parse().unwrap();
        ((xml::text(member, "Target/Id"), port), xml::text(member, "TargetHealth/State"))
    };
    xml::items(&document, "TargetHealthDescriptions").into_iter().map(target).collect()
}
