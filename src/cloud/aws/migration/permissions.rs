//! What a migration has to be allowed, and what of it is not.

use std::collections::BTreeMap;

use super::MigrationAws;
use super::error::meaning;
use crate::cloud::aws::permissions::{Identity, Oracle};
use crate::cloud::permissions::Denied;
use crate::inventory::{Balancer, MakeGreen, Migration};
use crate::migrate::ports::CallError;

/// Names: looking at a zone and its records, and changing those.
pub const ZONE: [&str; 3] =
    ["route53:ChangeResourceRecordSets", "route53:GetHostedZone", "route53:ListResourceRecordSets"];
/// Whether a change is everywhere.
pub const CHANGE: [&str; 1] = ["route53:GetChange"];
/// Looking at balancers and what is behind them.
pub const BALANCERS: [&str; 7] = [
    "ec2:DescribeSubnets",
    "elasticloadbalancing:DescribeListeners",
    "elasticloadbalancing:DescribeLoadBalancers",
    "elasticloadbalancing:DescribeRules",
    "elasticloadbalancing:DescribeTargetGroupAttributes",
    "elasticloadbalancing:DescribeTargetGroups",
    "elasticloadbalancing:DescribeTargetHealth",
];
/// Whether blue's balancer would reach green's machines, and whether anybody still uses it.
pub const TAKE_OVER: [&str; 7] = [
    "cloudwatch:GetMetricData",
    "cloudwatch:ListMetrics",
    "ec2:DescribeInstances",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSecurityGroups",
    "ec2:DescribeVpcPeeringConnections",
    "ec2:GetManagedPrefixListEntries",
];
/// Green's machines into blue's groups, and blue's own out of them.
pub const TARGETS: [&str; 2] =
    ["elasticloadbalancing:DeregisterTargets", "elasticloadbalancing:RegisterTargets"];
/// Values that gates are about.
pub const METRICS: [&str; 1] = ["cloudwatch:GetMetricData"];
/// A cluster of EKS.
pub const CLUSTER: [&str; 3] = ["eks:CreateCluster", "eks:CreateNodegroup", "eks:DescribeCluster"];
/// Its nodes.
pub const NODES: [&str; 1] = ["eks:DescribeNodegroup"];
/// The roles of its control plane and of its nodes.
pub const ROLE: [&str; 2] = ["iam:GetRole", "iam:PassRole"];

/// Where an action has to be allowed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// Actions that only look name no resource.
    Any,
    /// A hosted zone, by its id.
    Zone(String),
    /// Changes of Route 53, whose ids nobody knows beforehand.
    Changes,
    /// A cluster of EKS, by its name.
    Cluster(String),
    /// The node groups of a cluster of EKS, by its name.
    Nodes(String),
    Arn(String),
}

/// An action, and where it is needed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Permission {
    pub scope: Scope,
    pub action: &'static str,
}

/// What a migration has to be allowed. `groups`: blue's target groups, as far as they are known; policies may name
/// them, so it is of no use to ask about targets of any group.
pub fn permissions(migration: &Migration, groups: &[String]) -> Vec<Permission> {
    let mut all = Vec::new();
    let mut add = |scope: Scope, actions: &[&'static str]| {
        all.extend(actions.iter().map(|action| Permission { scope: scope.clone(), action }));
    };
    for name in &migration.names {
        add(Scope::Zone(name.hosted_zone.clone()), &ZONE);
    }
    add(Scope::Changes, &CHANGE);
    let sides = [&migration.blue, &migration.green];
    if sides.iter().any(|side| is_looked_for(&side.balancer)) {
        add(Scope::Any, &BALANCERS);
    }
    if migration.take_over.is_some() {
        add(Scope::Any, &TAKE_OVER);
        for group in groups {
            add(Scope::Arn(group.clone()), &TARGETS);
        }
    }
    if !migration.gates.metrics.is_empty() {
        add(Scope::Any, &METRICS);
    }
    if let Some(MakeGreen::Eks(eks)) = &migration.make {
        add(Scope::Cluster(eks.cluster.clone()), &CLUSTER);
        add(Scope::Nodes(eks.cluster.clone()), &NODES);
        for role in [&eks.role, &eks.node_role] {
            add(Scope::Arn(role.clone()), &ROLE);
        }
    }
    all.sort();
    all.dedup();
    all
}

fn is_looked_for(balancer: &Balancer) -> bool {
    match balancer {
        Balancer::Arn(_) | Balancer::Name(_) | Balancer::Alias { .. } => true,
        Balancer::DnsName(_) | Balancer::Addresses(_) => false,
    }
}

impl MigrationAws {
    /// Which of these would be refused. The account's root user may do everything.
    ///
    /// # Errors
    /// [`CallError::Denied`] when the credentials may not ask.
    pub async fn denied(&self, wanted: &[Permission]) -> Result<Vec<Denied>, CallError> {
        let oracle = Oracle { sts: &self.sts, iam: &self.iam };
        let identity = oracle.identity().await.map_err(|error| meaning(&error, None))?;
        let principal = oracle.principal(&identity.arn).await.map_err(|error| meaning(&error, None))?;
        let Some(principal) = principal else { return Ok(Vec::new()) };
        let mut denied = Vec::new();
        for (resources, actions) in questions(wanted, &identity, &self.region) {
            let answer = oracle.denied(&principal, &actions, &resources).await;
            denied.extend(answer.map_err(|error| meaning(&error, None))?);
        }
        denied.sort();
        denied.dedup();
        Ok(denied)
    }
}

/// Actions that are needed on the same resources make one question.
fn questions<'a>(
    wanted: &'a [Permission],
    identity: &Identity,
    region: &str,
) -> BTreeMap<Vec<String>, Vec<&'a str>> {
    let mut by_action: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for permission in wanted {
        let resources = by_action.entry(permission.action).or_default();
        resources.extend(resource(&permission.scope, identity, region));
    }
    let mut questions: BTreeMap<Vec<String>, Vec<&str>> = BTreeMap::new();
    for (action, resources) in by_action {
        questions.entry(resources).or_default().push(action);
    }
    questions
}

/// None: any.
fn resource(scope: &Scope, identity: &Identity, region: &str) -> Option<String> {
    let partition = identity.arn.split(':').nth(1).unwrap_or("aws");
    let eks = |rest: String| format!("arn:{partition}:eks:{region}:{}:{rest}", identity.account);
    match scope {
        Scope::Any => None,
        Scope::Zone(id) => Some(format!("arn:{partition}:route53:::hostedzone/{id}")),
        Scope::Changes => Some(format!("arn:{partition}:route53:::change/*")),
        Scope::Cluster(name) => Some(eks(format!("cluster/{name}"))),
        Scope::Nodes(cluster) => Some(eks(format!("nodegroup/{cluster}/*"))),
        Scope::Arn(arn) => Some(arn.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn permission(scope: Scope, action: &'static str) -> Permission {
        Permission { scope, action }
    }

    #[test]
    fn actions_are_asked_about_where_they_are_needed() {
        let identity = Identity { arn: "arn:aws-cn:iam::12:user/me".to_owned(), account: "12".to_owned() };
        let wanted = [
            permission(Scope::Zone("Z1".to_owned()), "route53:GetHostedZone"),
            permission(Scope::Zone("Z2".to_owned()), "route53:GetHostedZone"),
            permission(Scope::Changes, "route53:GetChange"),
            permission(Scope::Any, "ec2:DescribeSubnets"),
            permission(Scope::Any, "ec2:DescribeInstances"),
            permission(Scope::Cluster("green".to_owned()), "eks:CreateCluster"),
            permission(Scope::Arn("arn:aws-cn:iam::12:role/eks".to_owned()), "iam:PassRole"),
        ];
        let zones = ["arn:aws-cn:route53:::hostedzone/Z1", "arn:aws-cn:route53:::hostedzone/Z2"];
        let expected: Vec<(Vec<String>, Vec<&str>)> = [
            (vec![], vec!["ec2:DescribeInstances", "ec2:DescribeSubnets"]),
            (vec!["arn:aws-cn:eks:cn-north-1:12:cluster/green"], vec!["eks:CreateCluster"]),
            (vec!["arn:aws-cn:iam::12:role/eks"], vec!["iam:PassRole"]),
            (vec!["arn:aws-cn:route53:::change/*"], vec!["route53:GetChange"]),
            (zones.to_vec(), vec!["route53:GetHostedZone"]),
        ]
        .into_iter()
        .map(|(resources, actions)| (resources.into_iter().map(str::to_owned).collect(), actions))
        .collect();
        assert_eq!(questions(&wanted, &identity, "cn-north-1").into_iter().collect::<Vec<_>>(), expected);
    }
}
