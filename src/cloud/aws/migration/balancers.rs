//! Balancers of the account, and where their listeners send connections.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_ec2::types::Subnet;
use aws_sdk_elasticloadbalancingv2::types::{
    Action, ActionTypeEnum, Listener, LoadBalancer, LoadBalancerSchemeEnum, LoadBalancerStateEnum,
    LoadBalancerTypeEnum, ProtocolEnum, TargetGroup as ThereGroup, TargetTypeEnum,
};
use ipnet::IpNet;

use super::MigrationAws;
use super::error::Told as _;
use crate::inventory::Balancer;
use crate::migrate::ports::{BalancerFacts, BalancerKind, CallError, TargetGroup, TargetKind};
use crate::migrate::record::plain;

const PRESERVE: &str = "preserve_client_ip.enabled";
const DELAY: &str = "deregistration_delay.timeout_seconds";
/// Seconds, of a group that says nothing of it.
const USUAL_DELAY: u32 = 300;
/// Groups that are asked about at once.
const AT_ONCE: usize = 20;

/// How a balancer is looked for.
enum By<'a> {
    Arn(&'a str),
    Name(&'a str),
    DnsName(&'a str),
}

/// None: it cannot be one of this account.
fn by(wanted: &Balancer) -> Option<By<'_>> {
    match wanted {
        Balancer::Arn(arn) => Some(By::Arn(arn)),
        Balancer::Name(name) => Some(By::Name(name)),
        Balancer::Alias { dns_name, .. } => Some(By::DnsName(dns_name)),
        Balancer::DnsName(name) => is_balancers(name).then_some(By::DnsName(name)),
        Balancer::Addresses(_) => None,
    }
}

/// Whether a name is one that AWS gives to balancers. Others need not be looked for, and take no permission.
fn is_balancers(name: &str) -> bool {
    let name = plain(name);
    name.contains(".elb.") && [".amazonaws.com", ".amazonaws.com.cn"].iter().any(|end| name.ends_with(end))
}

impl MigrationAws {
    pub(super) async fn find_balancer(&self, wanted: &Balancer) -> Result<Option<BalancerFacts>, CallError> {
        let Some(by) = by(wanted) else { return Ok(None) };
        let found = match by {
            By::Arn(arn) => self.described(Some(arn), None).await?.into_iter().next(),
            By::Name(name) => self.described(None, Some(name)).await?.into_iter().next(),
            By::DnsName(name) => {
                let all = self.described(None, None).await?;
                all.into_iter().find(|there| there.dns_name().map(plain) == Some(plain(name)))
            }
        };
        match found {
            Some(balancer) => self.facts(&balancer).await.map(Some),
            None => Ok(None),
        }
    }

    /// All of the account and region when neither is given.
    async fn described(&self, arn: Option<&str>, name: Option<&str>) -> Result<Vec<LoadBalancer>, CallError> {
        let one = |text: Option<&str>| text.map(|text| vec![text.to_owned()]);
        let request = self.elb.describe_load_balancers();
        let request = request.set_load_balancer_arns(one(arn)).set_names(one(name));
        let pages = request.into_paginator().items().send().collect::<Result<Vec<_>, _>>().await;
        let found = pages.told_if_there("elasticloadbalancing:DescribeLoadBalancers")?;
        Ok(found.unwrap_or_default())
    }

    async fn facts(&self, balancer: &LoadBalancer) -> Result<BalancerFacts, CallError> {
        let arn = balancer.load_balancer_arn().unwrap_or_default();
        let kind = kind_of(balancer);
        let state = balancer.state().and_then(|state| state.code());
        let subnets = balancer.availability_zones().iter().filter_map(|zone| zone.subnet_id());
        Ok(BalancerFacts {
            arn: arn.to_owned(),
            dns_name: balancer.dns_name().unwrap_or_default().to_owned(),
            hosted_zone: balancer.canonical_hosted_zone_id().unwrap_or_default().to_owned(),
            kind,
            is_internal: balancer.scheme() == Some(&LoadBalancerSchemeEnum::Internal),
            is_active: matches!(
                state,
                Some(LoadBalancerStateEnum::Active | LoadBalancerStateEnum::ActiveImpaired)
            ),
            vpc: balancer.vpc_id().unwrap_or_default().to_owned(),
            subnets: self.ranges(subnets.map(str::to_owned).collect()).await?,
            groups: balancer.security_groups().to_vec(),
            target_groups: self.target_groups(arn, kind).await?,
        })
    }

    /// Of IPv4 and IPv6.
    async fn ranges(&self, subnets: Vec<String>) -> Result<Vec<IpNet>, CallError> {
        if subnets.is_empty() {
            return Ok(Vec::new());
        }
        let request = self.ec2.describe_subnets().set_subnet_ids(Some(subnets));
        let answer = request.send().await.told("ec2:DescribeSubnets")?;
        let mut all: Vec<IpNet> = answer.subnets().iter().flat_map(ranges_of).collect();
        all.sort();
        Ok(all)
    }

    async fn target_groups(&self, balancer: &str, kind: BalancerKind) -> Result<Vec<TargetGroup>, CallError> {
        let request = self.elb.describe_listeners().load_balancer_arn(balancer);
        let pages = request.into_paginator().items().send().collect::<Result<Vec<_>, _>>().await;
        let listeners = pages.told("elasticloadbalancing:DescribeListeners")?;
        let mut forwards: Vec<(u16, String)> = Vec::new();
        for listener in &listeners {
            let port = listener.port().and_then(|port| u16::try_from(port).ok());
            let group = self.forwarded_to(listener, kind).await?;
            forwards.extend(port.zip(group));
        }
        forwards.sort();
        let known = self.groups(forwards.iter().map(|(_, group)| group.clone()).collect(), kind).await?;
        let group = |(port, arn): (u16, String)| Some(TargetGroup { port, ..known.get(&arn)?.clone() });
        Ok(forwards.into_iter().filter_map(group).collect())
    }

    /// The one group that gets all that a listener forwards.
    async fn forwarded_to(
        &self,
        listener: &Listener,
        kind: BalancerKind,
    ) -> Result<Option<String>, CallError> {
        let mut groups = BTreeSet::new();
        match kind {
            // Its rules may send some requests elsewhere. The last of them is what the listener does else.
            BalancerKind::Application => {
                let arn = listener.listener_arn().unwrap_or_default();
                let pages = self.elb.describe_rules().listener_arn(arn).into_paginator().items();
                let rules = pages.send().collect::<Result<Vec<_>, _>>().await;
                for rule in rules.told("elasticloadbalancing:DescribeRules")? {
                    groups.extend(forwarded(rule.actions()));
                }
            }
            BalancerKind::Network | BalancerKind::Gateway => {
                groups.extend(forwarded(listener.default_actions()));
            }
        }
        let mut groups = groups.into_iter();
        Ok(match (groups.next(), groups.next()) {
            (Some(group), None) => Some(group),
            _ => None,
        })
    }

    /// By their ARNs, without the port of a listener.
    async fn groups(
        &self,
        arns: BTreeSet<String>,
        kind: BalancerKind,
    ) -> Result<BTreeMap<String, TargetGroup>, CallError> {
        let arns: Vec<String> = arns.into_iter().collect();
        let mut known = BTreeMap::new();
        for some in arns.chunks(AT_ONCE) {
            let request = self.elb.describe_target_groups().set_target_group_arns(Some(some.to_vec()));
            let answer = request.send().await.told("elasticloadbalancing:DescribeTargetGroups")?;
            for group in answer.target_groups() {
                let arn = group.target_group_arn().unwrap_or_default();
                let attributes = self.attributes(arn).await?;
                known.insert(arn.to_owned(), group_of(group, &attributes, kind));
            }
        }
        Ok(known)
    }

    async fn attributes(&self, group: &str) -> Result<BTreeMap<String, String>, CallError> {
        let request = self.elb.describe_target_group_attributes().target_group_arn(group);
        let answer = request.send().await.told("elasticloadbalancing:DescribeTargetGroupAttributes")?;
        let pairs = answer.attributes().iter();
        Ok(pairs.filter_map(|pair| Some((pair.key()?.to_owned(), pair.value()?.to_owned()))).collect())
    }
}

fn kind_of(balancer: &LoadBalancer) -> BalancerKind {
    match balancer.r#type() {
        Some(LoadBalancerTypeEnum::Application) => BalancerKind::Application,
        Some(LoadBalancerTypeEnum::Gateway) => BalancerKind::Gateway,
        _ => BalancerKind::Network,
    }
}

fn ranges_of(subnet: &Subnet) -> Vec<IpNet> {
    let later = subnet.ipv6_cidr_block_association_set().iter().filter_map(|block| block.ipv6_cidr_block());
    subnet.cidr_block().into_iter().chain(later).filter_map(|range| range.parse().ok()).collect()
}

/// The groups that get something by these actions.
fn forwarded(actions: &[Action]) -> Vec<String> {
    let forwards = actions.iter().filter(|action| action.r#type() == Some(&ActionTypeEnum::Forward));
    let mut groups = Vec::new();
    for action in forwards {
        // With several groups they are told here alone; with one, in both places.
        let shares = action.forward_config().map(|config| config.target_groups()).unwrap_or_default();
        let some = shares.iter().filter(|share| share.weight() != Some(0));
        match shares {
            [] => groups.extend(action.target_group_arn().map(str::to_owned)),
            _ => groups.extend(some.filter_map(|share| share.target_group_arn()).map(str::to_owned)),
        }
    }
    groups
}

fn group_of(group: &ThereGroup, attributes: &BTreeMap<String, String>, kind: BalancerKind) -> TargetGroup {
    let port = group.port().and_then(|port| u16::try_from(port).ok()).unwrap_or_default();
    let delay = attributes.get(DELAY).and_then(|seconds| seconds.parse().ok());
    TargetGroup {
        arn: group.target_group_arn().unwrap_or_default().to_owned(),
        port,
        target_port: port,
        kind: target_kind(group),
        vpc: group.vpc_id().unwrap_or_default().to_owned(),
        preserves_client_address: preserves(group, attributes, kind),
        deregistration_delay: delay.unwrap_or(USUAL_DELAY),
    }
}

fn target_kind(group: &ThereGroup) -> TargetKind {
    match (group.target_type(), group.protocol()) {
        // Targets of QUIC have ids of their own servers, which nobody could register again.
        (_, Some(ProtocolEnum::Quic | ProtocolEnum::TcpQuic)) => TargetKind::Other,
        (Some(TargetTypeEnum::Instance), _) => TargetKind::Instance,
        (Some(TargetTypeEnum::Ip), _) => TargetKind::Address,
        _ => TargetKind::Other,
    }
}

/// A group that says nothing of it does as its kind does: <https://docs.aws.amazon.com/elasticloadbalancing/latest/network/edit-target-group-attributes.html#client-ip-preservation>
fn preserves(group: &ThereGroup, attributes: &BTreeMap<String, String>, kind: BalancerKind) -> bool {
    match (kind, attributes.get(PRESERVE)) {
        // It speaks to targets for itself.
        (BalancerKind::Application, _) => false,
        (BalancerKind::Gateway, _) => true,
        (BalancerKind::Network, Some(said)) => said == "true",
        (BalancerKind::Network, None) => {
            let is_answered = matches!(group.protocol(), Some(ProtocolEnum::Tcp | ProtocolEnum::Tls));
            group.target_type() != Some(&TargetTypeEnum::Ip) || !is_answered
        }
    }
}

#[cfg(test)]
#[path = "balancers_tests.rs"]
mod tests;
