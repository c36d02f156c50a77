//! The VPC, who may reach what in it, and the balancers.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::{IpNet, Ipv4Net};

use super::{Rules, aws, syntax};
use crate::inventory::check::network::{API_PORT, NODE_PORTS, overlaps};
use crate::inventory::check::syntax::dns_subdomain;
use crate::inventory::parse::aws::DraftAws;
use crate::inventory::parse::path::Path;
use crate::inventory::parse::scalar::quoted;
use crate::inventory::{ApiRecord, AwsNetwork, Zones};

/// AWS has /16 at most.
const VPC_WIDEST: u8 = 16;
/// Six zones with two subnets each, of 64 addresses at least: more than the balancers' own need.
const VPC_NARROWEST: u8 = 22;

/// RFC 1918, and the shared range of RFC 6598.
const PRIVATE: [Ipv4Net; 4] = [
    Ipv4Net::new_assert(std::net::Ipv4Addr::new(10, 0, 0, 0), 8),
    Ipv4Net::new_assert(std::net::Ipv4Addr::new(172, 16, 0, 0), 12),
    Ipv4Net::new_assert(std::net::Ipv4Addr::new(192, 168, 0, 0), 16),
    Ipv4Net::new_assert(std::net::Ipv4Addr::new(100, 64, 0, 0), 10),
];

impl Rules<'_> {
    pub(super) fn vpc(&self, wanted: &DraftAws) {
        match &wanted.network {
            None => {}
            Some(AwsNetwork::New { cidr, nat: _ }) => self.range_of_vpc(*cidr),
            Some(AwsNetwork::Existing { vpc, public_subnets, private_subnets }) => {
                let path = aws().key("network");
                if !syntax::is_id(vpc, "vpc-") {
                    let message = format!("{} is not the id of a VPC", quoted(vpc));
                    self.error(&path.key("vpc"), message, "for example vpc-0123456789abcdef0");
                }
                self.subnets(wanted, public_subnets, private_subnets);
                self.public_subnets(wanted, public_subnets);
            }
        }
    }

    fn range_of_vpc(&self, range: Ipv4Net) {
        let path = aws().key("network").key("cidr");
        let prefix = range.prefix_len();
        if !(VPC_WIDEST..=VPC_NARROWEST).contains(&prefix) {
            let message = format!("{range} is not between /{VPC_WIDEST} and /{VPC_NARROWEST}");
            let help = "AWS has no wider VPC, and a narrower one has no room for subnets in each zone";
            self.error(&path, message, help);
        }
        if !PRIVATE.iter().any(|private| private.contains(&range)) {
            let message =
                format!("{range} is not a private range: machines could not reach who has it in the world");
            self.warning(&path, message, "choose one of RFC 1918 or RFC 6598, such as 10.0.0.0/16");
        }
        self.special(&path, IpNet::V4(range));
        for (whose, ranges) in [("pods'", self.draft.pods()), ("services'", self.draft.services())] {
            if let Some(other) = ranges.iter().find(|other| overlaps(IpNet::V4(range), **other)) {
                let message = format!("{range} overlaps {whose} {other}");
                self.error(&path, message, "choose ranges that share no address");
            }
        }
    }

    fn subnets(&self, wanted: &DraftAws, public: &[String], private: &[String]) {
        let mut seen = BTreeSet::new();
        for (key, subnets) in [("publicSubnets", public), ("privateSubnets", private)] {
            let path = aws().key("network").key(key);
            if self.context.is_broken(&path.to_string()) {
                return;
            }
            for (index, subnet) in subnets.iter().enumerate() {
                if !syntax::is_id(subnet, "subnet-") {
                    let message = format!("{} is not the id of a subnet", quoted(subnet));
                    self.error(&path.index(index), message, "for example subnet-0123456789abcdef0");
                } else if !seen.insert(subnet) {
                    let message = format!("{subnet} is given twice");
                    self.error(
                        &path.index(index),
                        message,
                        "a subnet is either public or private; remove one",
                    );
                }
            }
            self.subnets_per_zone(wanted, &path, subnets.len());
        }
        if private.is_empty() {
            let path = aws().key("network").key("privateSubnets");
            self.error(&path, "has no subnet, and nodes are in private ones", "name one in each zone");
        }
    }

    fn subnets_per_zone(&self, wanted: &DraftAws, path: &Path, subnets: usize) {
        let (zones, enough) = match &wanted.zones {
            Some(Zones::Count(zones)) => (usize::from(*zones), subnets == usize::from(*zones)),
            // Which of them is where is not known here.
            Some(Zones::Names(names)) => (names.len(), subnets >= names.len()),
            None => return,
        };
        if subnets > 0 && !enough {
            self.error(path, format!("{subnets} subnets for {zones} zones"), "name one in each zone");
        }
    }

    fn public_subnets(&self, wanted: &DraftAws, subnets: &[String]) {
        let path = aws().key("network").key("publicSubnets");
        if !subnets.is_empty() || self.context.is_broken("aws.network") {
            return;
        }
        let needs: Vec<&str> = [
            (wanted.bastion.is_some(), "the bastion"),
            (!wanted.api.internal, "the API's balancer"),
            (!wanted.ingress.is_empty(), "the ingress balancer"),
        ]
        .into_iter()
        .filter_map(|(is_there, what)| is_there.then_some(what))
        .collect();
        if !needs.is_empty() {
            let message = format!("has no subnet, and these face the internet: {}", needs.join(", "));
            let help =
                "name one in each zone, or use `bastion: false`, `api: {internal: true}` and no ingress";
            self.error(&path, message, help);
        }
    }

    pub(super) fn access(&self, wanted: &DraftAws) {
        let path = aws().key("access");
        let access = &wanted.access;
        for (key, ranges) in [("ssh", &access.ssh), ("api", &access.api), ("ingress", &access.ingress)] {
            let list = path.key(key);
            if self.context.is_broken(&list.to_string()) {
                continue;
            }
            let mut seen = BTreeSet::new();
            for (index, range) in ranges.iter().enumerate() {
                if range.prefix_len() == 0 && key != "ingress" {
                    let message = format!("{range} is the whole internet");
                    self.warning(&list.index(index), message, "name the networks that you come from");
                }
                if !seen.insert(*range) {
                    let message = format!("{range} is given twice");
                    self.warning(&list.index(index), message, "remove one of the two");
                }
            }
        }
        self.access_and_use(wanted);
    }

    /// Somebody has to be let in where there is a door, and only there.
    fn access_and_use(&self, wanted: &DraftAws) {
        let path = aws().key("access");
        let access = &wanted.access;
        for (key, ranges, used, door) in [
            ("ssh", &access.ssh, wanted.bastion.is_some(), "bastion"),
            ("ingress", &access.ingress, !wanted.ingress.is_empty(), "ingress balancer"),
        ] {
            let path = path.key(key);
            if self.context.is_broken("aws.access") {
                return;
            }
            if used && ranges.is_empty() {
                let message = format!("is empty: nobody can reach the {door}");
                self.warning(
                    &path,
                    message,
                    format!("add `access: {{{key}: [203.0.113.0/24]}}` with your networks"),
                );
            } else if !used && !ranges.is_empty() {
                self.warning(&path, format!("there is no {door} to reach"), "remove it");
            }
        }
    }

    pub(super) fn balancers(&self, wanted: &DraftAws) {
        if let Some(record) = &wanted.api.record {
            self.record(record);
        }
        let (mut ports, mut node_ports) = (BTreeMap::new(), BTreeMap::new());
        for (index, listener) in wanted.ingress.iter().enumerate() {
            let Some(listener) = listener else { continue };
            let path = aws().key("ingress").index(index);
            self.unique_port(&mut ports, &path.key("port"), listener.port);
            self.unique_port(&mut node_ports, &path.key("nodePort"), listener.node_port);
            if listener.port == API_PORT {
                let message = format!("port {API_PORT} is the API's, which has a balancer of its own");
                self.error(&path.key("port"), message, "choose another port");
            }
            if !NODE_PORTS.contains(&listener.node_port) {
                let message = format!("{} is not in the range of NodePorts", listener.node_port);
                self.error(&path.key("nodePort"), message, "choose one of 30000 to 32767");
            }
        }
    }

    fn unique_port(&self, seen: &mut BTreeMap<u16, Path>, path: &Path, port: u16) {
        if let Some(earlier) = seen.insert(port, path.clone()) {
            let message = format!("port {port} is given twice ({})", self.lines(&earlier, path));
            self.error(path, message, "remove one of the two");
        }
    }

    fn record(&self, record: &ApiRecord) {
        let path = aws().key("api").key("record");
        if let Err(reason) = dns_subdomain(&record.name) {
            let message = format!("{} is not a DNS name: {reason}", quoted(&record.name));
            self.error(&path.key("name"), message, "for example api.prod.example.org");
        } else if !record.name.contains('.') || record.name.parse::<std::net::IpAddr>().is_ok() {
            let message = format!("{} is not the name of a record in a zone", quoted(&record.name));
            self.error(&path.key("name"), message, "for example api.prod.example.org");
        }
        if !syntax::is_hosted_zone(&record.hosted_zone) {
            let id = record.hosted_zone.rsplit('/').next().filter(|id| syntax::is_hosted_zone(id));
            let message = format!("{} is not the id of a hosted zone", quoted(&record.hosted_zone));
            self.error(
                &path.key("hostedZone"),
                message,
                format!("write {}", id.unwrap_or("the id, such as Z0123456789ABC")),
            );
        }
    }
}
