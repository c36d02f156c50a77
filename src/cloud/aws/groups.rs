//! Security groups and their rules.

use std::collections::BTreeSet;

use aws_sdk_ec2::types::{IpPermission, IpRange, Ipv6Range, ResourceType, UserIdGroupPair};
use ipnet::IpNet;

use super::error::{Adjusted as _, Named as _};
use super::observe::{Only, Raw};
use super::{AwsCloud, id_of, tags, theirs};
use crate::cloud::name::ResourceName;
use crate::cloud::ports::{CloudError, Ids, State, Trouble};
use crate::cloud::resource::{Peer, Protocol, Resource, Rule, SecurityGroup, SecurityRules, Tags};

const KIND: &str = "security-group";
const RULES: &str = "security-rules";

impl AwsCloud {
    /// Groups, and the rules of each.
    pub(super) async fn list_groups(&self, only: Only<'_>) -> Result<Vec<Raw>, CloudError> {
        let group = only.map(|name| ResourceName::new(KIND, name.short()));
        let request = self.ec2.describe_security_groups().set_filters(Some(self.filters(group.as_ref())));
        let pages = request.into_paginator().items();
        let groups: Vec<_> =
            pages.send().collect::<Result<Vec<_>, _>>().await.named("ec2:DescribeSecurityGroups")?;
        let mut all = Vec::new();
        for group in &groups {
            let read = tags::read(&self.cluster, tags::pairs(group.tags()));
            let Some(name) = read.name else { continue };
            let rules = SecurityRules {
                group: theirs(group.group_id()),
                ingress: rules(group.ip_permissions()),
                egress: rules(group.ip_permissions_egress()),
            };
            let rules_name = ResourceName::new(RULES, name.short());
            // A group without any rule has had them taken away.
            if !(rules.ingress.is_empty() && rules.egress.is_empty()) {
                let resource = Resource::SecurityRules(rules);
                all.push(Raw::new(rules_name, group.group_id(), resource, Tags::new(), State::Ready));
            }
            let resource = Resource::SecurityGroup(SecurityGroup { vpc: theirs(group.vpc_id()) });
            all.push(Raw::new(name, group.group_id(), resource, read.tags, State::Ready));
        }
        Ok(all)
    }

    pub(super) async fn create_group(
        &self,
        name: &ResourceName,
        group: &SecurityGroup,
        tags: &Tags,
        ids: &Ids,
    ) -> Result<String, CloudError> {
        let request = self
            .ec2
            .create_security_group()
            .group_name(self.physical_name(name.short()))
            .description(format!("{} of cluster {}", name.short(), self.cluster))
            .vpc_id(id_of(&group.vpc, ids)?)
            .tag_specifications(self.specification(ResourceType::SecurityGroup, name, tags));
        let answer = request.send().await.named("ec2:CreateSecurityGroup")?;
        Ok(answer.group_id().unwrap_or_default().to_owned())
    }

    /// New rules first: a rule that is only written another way never leaves a gap.
    pub(super) async fn update_rules(
        &self,
        id: &str,
        from: &SecurityRules,
        to: &SecurityRules,
        ids: &Ids,
    ) -> Result<(), CloudError> {
        let missing = |from: &BTreeSet<Rule>, to: &BTreeSet<Rule>| -> Result<Vec<IpPermission>, CloudError> {
            to.difference(from).map(|rule| permission(rule, ids)).collect()
        };
        let (ingress, egress) = (missing(&from.ingress, &to.ingress)?, missing(&from.egress, &to.egress)?);
        at_once(Trouble::Exists, &ingress, |some| self.authorize_ingress(id, some)).await?;
        at_once(Trouble::Exists, &egress, |some| self.authorize_egress(id, some)).await?;
        let (ingress, egress) = (missing(&to.ingress, &from.ingress)?, missing(&to.egress, &from.egress)?);
        self.revoke(id, ingress, egress).await
    }

    async fn revoke(
        &self,
        id: &str,
        ingress: Vec<IpPermission>,
        egress: Vec<IpPermission>,
    ) -> Result<(), CloudError> {
        at_once(Trouble::NotFound, &ingress, |some| self.revoke_ingress(id, some)).await?;
        at_once(Trouble::NotFound, &egress, |some| self.revoke_egress(id, some)).await
    }

    async fn authorize_ingress(&self, id: &str, permissions: Vec<IpPermission>) -> Result<(), CloudError> {
        let request = self.ec2.authorize_security_group_ingress().group_id(id);
        let request = request.set_ip_permissions(Some(permissions));
        request.send().await.named("ec2:AuthorizeSecurityGroupIngress").map(drop)
    }

    async fn authorize_egress(&self, id: &str, permissions: Vec<IpPermission>) -> Result<(), CloudError> {
        let request = self.ec2.authorize_security_group_egress().group_id(id);
        let request = request.set_ip_permissions(Some(permissions));
        request.send().await.named("ec2:AuthorizeSecurityGroupEgress").map(drop)
    }

    async fn revoke_ingress(&self, id: &str, permissions: Vec<IpPermission>) -> Result<(), CloudError> {
        let request = self.ec2.revoke_security_group_ingress().group_id(id);
        let request = request.set_ip_permissions(Some(permissions));
        request.send().await.named("ec2:RevokeSecurityGroupIngress").map(drop)
    }

    async fn revoke_egress(&self, id: &str, permissions: Vec<IpPermission>) -> Result<(), CloudError> {
        let request = self.ec2.revoke_security_group_egress().group_id(id);
        let request = request.set_ip_permissions(Some(permissions));
        request.send().await.named("ec2:RevokeSecurityGroupEgress").map(drop)
    }

    /// Takes every rule away, whoever made it: groups that name each other could not go.
    pub(super) async fn delete_rules(&self, id: &str) -> Result<(), CloudError> {
        let answer = self.ec2.describe_security_groups().group_ids(id).send().await;
        let groups = match answer.named("ec2:DescribeSecurityGroups") {
            Err(error) if error.trouble == Trouble::NotFound => return Ok(()),
            answer => answer?,
        };
        let Some(group) = groups.security_groups().first() else { return Ok(()) };
        let each = |permissions: &[IpPermission]| -> Result<Vec<IpPermission>, CloudError> {
            rules(permissions).iter().map(|rule| permission(rule, &Ids::new())).collect()
        };
        self.revoke(id, each(group.ip_permissions())?, each(group.ip_permissions_egress())?).await
    }

    pub(super) async fn delete_group(&self, id: &str) -> Result<(), CloudError> {
        let gone = self.ec2.delete_security_group().group_id(id).send().await;
        gone.named("ec2:DeleteSecurityGroup").unless(&[Trouble::NotFound])
    }
}

/// All rules in one call. EC2 refuses all of them for one that is as it should be already; then each is a call of its own.
async fn at_once<F: Future<Output = Result<(), CloudError>>>(
    harmless: Trouble,
    permissions: &[IpPermission],
    call: impl Fn(Vec<IpPermission>) -> F,
) -> Result<(), CloudError> {
    if permissions.is_empty() {
        return Ok(());
    }
    match call(permissions.to_vec()).await {
        Err(error) if error.trouble == harmless => {}
        answer => return answer,
    }
    for permission in permissions {
        call(vec![permission.clone()]).await.unless(&[harmless])?;
    }
    Ok(())
}

/// The rules in EC2's permissions, one for each peer.
fn rules(permissions: &[IpPermission]) -> BTreeSet<Rule> {
    permissions
        .iter()
        .flat_map(|permission| {
            let protocol = protocol(permission);
            let v4 = permission.ip_ranges().iter().filter_map(|range| range.cidr_ip());
            let v6 = permission.ipv6_ranges().iter().filter_map(|range| range.cidr_ipv6());
            let networks = v4.chain(v6).filter_map(|cidr| cidr.parse::<IpNet>().ok()).map(Peer::Network);
            let groups = permission.user_id_group_pairs().iter();
            let groups = groups.map(|pair| Peer::Group(theirs(pair.group_id())));
            networks.chain(groups).map(move |peer| Rule { protocol, peer }).collect::<Vec<_>>()
        })
        .collect()
}

fn protocol(permission: &IpPermission) -> Protocol {
    let port =
        |port: Option<i32>, default: u16| port.and_then(|port| u16::try_from(port).ok()).unwrap_or(default);
    let ports = (port(permission.from_port(), 0), port(permission.to_port(), u16::MAX));
    match permission.ip_protocol().unwrap_or("-1") {
        "tcp" | "6" => Protocol::Tcp(ports.0, ports.1),
        "udp" | "17" => Protocol::Udp(ports.0, ports.1),
        "-1" => Protocol::All,
        other => Protocol::Other(other.parse().unwrap_or(u8::MAX)),
    }
}

fn permission(rule: &Rule, ids: &Ids) -> Result<IpPermission, CloudError> {
    let builder = IpPermission::builder();
    let builder = match rule.protocol {
        Protocol::All => builder.ip_protocol("-1"),
        Protocol::Tcp(from, to) => builder.ip_protocol("tcp").from_port(from.into()).to_port(to.into()),
        Protocol::Udp(from, to) => builder.ip_protocol("udp").from_port(from.into()).to_port(to.into()),
        // Ports mean nothing there, and are asked for all the same.
        Protocol::Other(number) => builder.ip_protocol(number.to_string()).from_port(-1).to_port(-1),
    };
    Ok(match &rule.peer {
        Peer::Network(IpNet::V4(network)) => {
            builder.ip_ranges(IpRange::builder().cidr_ip(network.to_string()).build())
        }
        Peer::Network(IpNet::V6(network)) => {
            builder.ipv6_ranges(Ipv6Range::builder().cidr_ipv6(network.to_string()).build())
        }
        Peer::Group(group) => {
            builder.user_id_group_pairs(UserIdGroupPair::builder().group_id(id_of(group, ids)?).build())
        }
    }
    .build())
}
