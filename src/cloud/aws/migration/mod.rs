//! What a migration needs of AWS: one file for each of its ports' families of calls, and a cluster of EKS to move to.

mod balancers;
mod dns;
pub mod eks;
mod error;
mod machines;
mod metrics;
mod names;
mod network;
mod permissions;
mod records;
mod targets;

use aws_config::SdkConfig;

use super::{again, sdk_config};
use crate::inventory::{Account, Balancer, MetricGate};
use crate::migrate::ports::{BalancerFacts, BalancerTarget, Balancers, Call, Health, Machine, Rule};

pub use permissions::{Permission, Scope, permissions};

/// An account and region, as a migration sees them.
#[derive(Debug, Clone)]
pub struct MigrationAws {
    region: String,
    route53: aws_sdk_route53::Client,
    elb: aws_sdk_elasticloadbalancingv2::Client,
    ec2: aws_sdk_ec2::Client,
    cloudwatch: aws_sdk_cloudwatch::Client,
    eks: aws_sdk_eks::Client,
    iam: aws_sdk_iam::Client,
    sts: aws_sdk_sts::Client,
}

impl MigrationAws {
    /// With the credentials of the SDK's usual chain, a profile, or a role to assume. Calls nobody yet.
    pub async fn connect(account: &Account) -> Self {
        let config =
            sdk_config(&account.region, account.profile.as_deref(), account.assume_role.as_deref()).await;
        MigrationAws::with(&config)
    }

    /// With a configuration made elsewhere.
    pub fn with(config: &SdkConfig) -> Self {
        MigrationAws {
            region: config.region().map(ToString::to_string).unwrap_or_default(),
            route53: client!(aws_sdk_route53, config),
            elb: client!(aws_sdk_elasticloadbalancingv2, config),
            ec2: client!(aws_sdk_ec2, config),
            cloudwatch: client!(aws_sdk_cloudwatch, config),
            eks: client!(aws_sdk_eks, config),
            iam: client!(aws_sdk_iam, config),
            sts: client!(aws_sdk_sts, config),
        }
    }
}

impl Balancers for MigrationAws {
    fn find<'a>(&'a self, wanted: &'a Balancer) -> Call<'a, Option<BalancerFacts>> {
        Box::pin(self.find_balancer(wanted))
    }

    fn targets<'a>(&'a self, group: &'a str) -> Call<'a, Vec<(BalancerTarget, Health)>> {
        Box::pin(self.list_targets(group))
    }

    fn register<'a>(&'a self, group: &'a str, targets: &'a [BalancerTarget]) -> Call<'a, ()> {
        Box::pin(self.register_targets(group, targets))
    }

    fn deregister<'a>(&'a self, group: &'a str, targets: &'a [BalancerTarget]) -> Call<'a, ()> {
        Box::pin(self.deregister_targets(group, targets))
    }

    fn new_flows<'a>(&'a self, balancer: &'a BalancerFacts, seconds: u32) -> Call<'a, Option<u64>> {
        Box::pin(self.count_flows(balancer, seconds))
    }

    fn metric<'a>(&'a self, gate: &'a MetricGate) -> Call<'a, Option<f64>> {
        Box::pin(self.newest_value(gate))
    }

    fn machines<'a>(&'a self, ids: &'a [String]) -> Call<'a, Vec<Machine>> {
        Box::pin(self.list_machines(ids))
    }

    fn rules<'a>(&'a self, groups: &'a [String]) -> Call<'a, Vec<Rule>> {
        Box::pin(self.list_rules(groups))
    }

    fn are_peered<'a>(&'a self, one: &'a str, other: &'a str) -> Call<'a, bool> {
        Box::pin(self.has_peering(one, other))
    }
}
