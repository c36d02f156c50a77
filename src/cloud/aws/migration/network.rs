//! What security groups let in, and which networks reach each other.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_ec2::types::{
    Filter, IpPermission, SecurityGroup, VpcPeeringConnection, VpcPeeringConnectionStateReasonCode,
};
use ipnet::IpNet;

use super::MigrationAws;
use super::error::Told as _;
use crate::migrate::ports::{CallError, Rule, RuleSource};

/// Values of one filter.
pub(super) const FILTERED: usize = 200;

impl MigrationAws {
    pub(super) async fn list_rules(&self, groups: &[String]) -> Result<Vec<Rule>, CallError> {
        let mut found: Vec<SecurityGroup> = Vec::new();
        for some in groups.chunks(FILTERED) {
            // By a filter: groups that have gone let nothing in, and are no error.
            let filter = Filter::builder().name("group-id").set_values(Some(some.to_vec())).build();
            let pages = self.ec2.describe_security_groups().filters(filter).into_paginator().items();
            let page = pages.send().collect::<Result<Vec<_>, _>>().await;
            found.extend(page.told("ec2:DescribeSecurityGroups")?);
        }
        let mut lists = BTreeMap::new();
        for id in found.iter().flat_map(lists_of).collect::<BTreeSet<_>>() {
            lists.insert(id.clone(), self.prefix_list(&id).await?);
        }
        Ok(found.iter().flat_map(|group| rules_of(group, &lists)).collect())
    }

    async fn prefix_list(&self, id: &str) -> Result<Vec<IpNet>, CallError> {
        let request = self.ec2.get_managed_prefix_list_entries().prefix_list_id(id);
        let pages = request.into_paginator().items().send().collect::<Result<Vec<_>, _>>().await;
        let entries = pages.told("ec2:GetManagedPrefixListEntries")?;
        Ok(entries.iter().filter_map(|entry| entry.cidr()?.parse().ok()).collect())
    }

    /// A network reaches itself.
    pub(super) async fn has_peering(&self, one: &str, other: &str) -> Result<bool, CallError> {
        if one == other {
            return Ok(true);
        }
        let active = Filter::builder().name("status-code").values("active").build();
        let pages = self.ec2.describe_vpc_peering_connections().filters(active).into_paginator().items();
        let all = pages.send().collect::<Result<Vec<_>, _>>().await;
        let all = all.told("ec2:DescribeVpcPeeringConnections")?;
        Ok(all.iter().any(|peering| is_between(peering, one, other)))
    }
}

fn is_between(peering: &VpcPeeringConnection, one: &str, other: &str) -> bool {
    let status = peering.status().and_then(|status| status.code());
    let ends = [peering.requester_vpc_info(), peering.accepter_vpc_info()];
    let ends = ends.map(|end| end.and_then(|end| end.vpc_id()));
    let is_active = status == Some(&VpcPeeringConnectionStateReasonCode::Active);
    is_active && (ends == [Some(one), Some(other)] || ends == [Some(other), Some(one)])
}

fn lists_of(group: &SecurityGroup) -> Vec<String> {
    let lists = group.ip_permissions().iter().flat_map(|permission| permission.prefix_list_ids());
    lists.filter_map(|list| list.prefix_list_id()).map(str::to_owned).collect()
}

fn rules_of(group: &SecurityGroup, lists: &BTreeMap<String, Vec<IpNet>>) -> Vec<Rule> {
    let id = group.group_id().unwrap_or_default();
    let mut rules = Vec::new();
    for permission in group.ip_permissions() {
        let Some(ports) = tcp_ports(permission) else { continue };
        let from = sources_of(permission, lists);
        rules.extend(from.into_iter().map(|from| Rule { group: id.to_owned(), ports, from }));
    }
    rules
}

fn sources_of(permission: &IpPermission, lists: &BTreeMap<String, Vec<IpNet>>) -> Vec<RuleSource> {
    let four = permission.ip_ranges().iter().filter_map(|range| range.cidr_ip());
    let six = permission.ipv6_ranges().iter().filter_map(|range| range.cidr_ipv6());
    let ranges = four.chain(six).filter_map(|range| range.parse().ok());
    let named = permission.prefix_list_ids().iter().filter_map(|list| lists.get(list.prefix_list_id()?));
    let groups = permission.user_id_group_pairs().iter().filter_map(|pair| pair.group_id());
    let addresses = ranges.chain(named.flatten().copied()).map(RuleSource::Addresses);
    addresses.chain(groups.map(|group| RuleSource::Group(group.to_owned()))).collect()
}

/// None: it is about another protocol.
fn tcp_ports(permission: &IpPermission) -> Option<(u16, u16)> {
    match permission.ip_protocol() {
        Some("-1") => Some((0, u16::MAX)),
        // 6 is TCP's number.
        Some("tcp" | "6") => {
            let port = |number: Option<i32>, else_: u16| {
                number.and_then(|number| u16::try_from(number).ok()).unwrap_or(else_)
            };
            Some((port(permission.from_port(), 0), port(permission.to_port(), u16::MAX)))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_ec2::types::{
        IpRange, Ipv6Range, PrefixListId, UserIdGroupPair, VpcPeeringConnectionStateReason,
        VpcPeeringConnectionVpcInfo,
    };

    use super::*;

    fn permission(protocol: &str, ports: Option<(i32, i32)>) -> IpPermission {
        let (from, to) = ports.unzip();
        IpPermission::builder()
            .ip_protocol(protocol)
            .set_from_port(from)
            .set_to_port(to)
            .ip_ranges(IpRange::builder().cidr_ip("10.0.0.0/16").build())
            .build()
    }

    #[test]
    fn rules_for_tcp_and_for_everything_count() {
        for (protocol, ports, expected) in [
            ("tcp", Some((80, 443)), Some((80, 443))),
            ("6", Some((22, 22)), Some((22, 22))),
            ("tcp", None, Some((0, 65535))),
            ("tcp", Some((-1, -1)), Some((0, 65535))),
            ("-1", None, Some((0, 65535))),
            ("udp", Some((53, 53)), None),
            ("icmp", Some((8, -1)), None),
        ] {
            assert_eq!(tcp_ports(&permission(protocol, ports)), expected, "{protocol} {ports:?}");
        }
    }

    #[test]
    fn a_rule_is_told_for_each_of_its_sources() {
        let permission = IpPermission::builder()
            .ip_protocol("tcp")
            .from_port(30443)
            .to_port(30443)
            .ip_ranges(IpRange::builder().cidr_ip("10.0.0.0/16").build())
            .ipv6_ranges(Ipv6Range::builder().cidr_ipv6("fd00::/8").build())
            .prefix_list_ids(PrefixListId::builder().prefix_list_id("pl-1").build())
            .user_id_group_pairs(UserIdGroupPair::builder().group_id("sg-2").build())
            .build();
        let group = SecurityGroup::builder().group_id("sg-1").ip_permissions(permission).build();
        assert_eq!(lists_of(&group), ["pl-1"]);
        let lists = [("pl-1".to_owned(), vec!["192.0.2.0/24".parse().unwrap()])].into();
        let addresses = |range: &str| RuleSource::Addresses(range.parse().unwrap());
        let expected = [
            addresses("10.0.0.0/16"),
            addresses("fd00::/8"),
            addresses("192.0.2.0/24"),
            RuleSource::Group("sg-2".to_owned()),
        ];
        let rules = rules_of(&group, &lists);
        assert!(rules.iter().all(|rule| rule.group == "sg-1" && rule.ports == (30443, 30443)));
        assert_eq!(rules.into_iter().map(|rule| rule.from).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_peering_counts_in_both_directions_and_when_it_is_active() {
        let peering = |code| {
            let end = |vpc: &str| VpcPeeringConnectionVpcInfo::builder().vpc_id(vpc).build();
            VpcPeeringConnection::builder()
                .requester_vpc_info(end("vpc-1"))
                .accepter_vpc_info(end("vpc-2"))
                .status(VpcPeeringConnectionStateReason::builder().code(code).build())
                .build()
        };
        let active = peering(VpcPeeringConnectionStateReasonCode::Active);
        assert!(is_between(&active, "vpc-1", "vpc-2") && is_between(&active, "vpc-2", "vpc-1"));
        assert!(!is_between(&active, "vpc-1", "vpc-3"));
        let pending = peering(VpcPeeringConnectionStateReasonCode::PendingAcceptance);
        assert!(!is_between(&pending, "vpc-1", "vpc-2"));
    }
}
