//! The cloud port on AWS: one file for each family of resources, each with how to see, make, change and delete
//! them. The SDK repeats calls that only look; one that changes something is made again by who knows what it does
//! ([`super::run`]).

/// A client of one service that repeats only what may be repeated.
macro_rules! client {
    ($sdk:ident, $config:expr) => {
        $sdk::Client::from_conf($sdk::config::Builder::from($config).interceptor(again::OnlyLooks).build())
    };
}

mod addresses;
mod again;
mod artifacts;
mod balancers;
mod error;
mod groups;
mod instances;
mod keys;
mod lookups;
mod made;
pub mod migration;
mod neighbours;
mod network;
mod objects;
mod observe;
mod permissions;
mod records;
mod roles;
mod rolling;
mod routes;
mod scaling;
mod tags;
mod templates;
mod user_data;
mod volumes;

use std::collections::BTreeMap;

use aws_config::retry::RetryConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_smithy_http_client::tls;

use super::name::{PhysicalId, Ref, ResourceName, physical_name};
use super::ports::{Call, CloudApi, CloudError, Found, Ids, Neighbour, Observed, State, Trouble};
use super::resource::{Desired, Resource};
use crate::inventory::Aws;

pub use artifacts::Artifacts;
pub use lookups::{LookupError, look_up};
pub use objects::Bucket;

/// AWS, bound to one cluster in one region.
#[derive(Debug, Clone)]
pub struct AwsCloud {
    cluster: String,
    ec2: aws_sdk_ec2::Client,
    elb: aws_sdk_elasticloadbalancingv2::Client,
    /// Load balancers of the first generation.
    classic: aws_sdk_elasticloadbalancing::Client,
    autoscaling: aws_sdk_autoscaling::Client,
    iam: aws_sdk_iam::Client,
    route53: aws_sdk_route53::Client,
    ssm: aws_sdk_ssm::Client,
    sts: aws_sdk_sts::Client,
    /// Hosted zones that records may be in: those of the inventory.
    hosted_zones: Vec<String>,
    /// Names of records of ours.
    records: BTreeMap<String, ResourceName>,
}

/// How long one call may take.
const CALL_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(30);

impl AwsCloud {
    /// With the credentials of the SDK's usual chain, a profile, or a role to assume. Calls nobody yet.
    pub async fn connect(cluster: &str, aws: &Aws) -> Self {
        let config = sdk_config(&aws.region, aws.profile.as_deref(), aws.assume_role.as_deref()).await;
        AwsCloud::with(cluster, aws, &config)
    }

    /// With a configuration made elsewhere.
    pub fn with(cluster: &str, aws: &Aws, config: &SdkConfig) -> Self {
        let record = aws.api.record.as_ref();
        AwsCloud {
            cluster: cluster.to_owned(),
            ec2: client!(aws_sdk_ec2, config),
            elb: client!(aws_sdk_elasticloadbalancingv2, config),
            classic: client!(aws_sdk_elasticloadbalancing, config),
            autoscaling: client!(aws_sdk_autoscaling, config),
            iam: client!(aws_sdk_iam, config),
            route53: client!(aws_sdk_route53, config),
            ssm: client!(aws_sdk_ssm, config),
            sts: client!(aws_sdk_sts, config),
            hosted_zones: record.map(|record| record.hosted_zone.clone()).into_iter().collect(),
            records: record
                .map(|record| (records::absolute(&record.name), ResourceName::new("record", "api")))
                .into_iter()
                .collect(),
        }
    }

    /// A name of ours in lists that are shared by all clusters of an account.
    fn physical_name(&self, short: &str) -> String {
        physical_name(&self.cluster, short)
    }
}

/// What all clients of one region and one identity share. Calls nobody yet.
async fn sdk_config(region: &str, profile: Option<&str>, assume_role: Option<&str>) -> SdkConfig {
    let client = aws_smithy_http_client::Builder::new()
        .tls_provider(tls::Provider::Rustls(tls::rustls_provider::CryptoMode::AwsLc))
        .build_https();
    let timeouts = aws_config::timeout::TimeoutConfig::builder().operation_timeout(CALL_TIMEOUT).build();
    let mut loader = aws_config::defaults(BehaviorVersion::latest())
        .region(Region::new(region.to_owned()))
        .http_client(client)
        .retry_config(RetryConfig::standard().with_max_attempts(again::LOOKS))
        .timeout_config(timeouts);
    if let Some(profile) = profile {
        loader = loader.profile_name(profile);
    }
    let config = loader.load().await;
    let Some(role) = assume_role else { return config };
    let provider = aws_config::sts::AssumeRoleProvider::builder(role)
        .session_name("keelwright")
        .configure(&config)
        .build()
        .await;
    let provider = aws_sdk_sts::config::SharedCredentialsProvider::new(provider);
    config.into_builder().credentials_provider(provider).build()
}

/// The id behind a reference.
fn id_of(reference: &Ref, ids: &Ids) -> Result<String, CloudError> {
    match reference {
        Ref::Theirs(id) => Ok(id.0.clone()),
        Ref::Ours(name) => ids.get(name).map(|id| id.0.clone()).ok_or_else(|| CloudError {
            trouble: Trouble::Invalid,
            call: "keelwright",
            code: "NoId".to_owned(),
            message: format!("{name} has not been made"),
        }),
    }
}

fn ids_of<'a>(references: impl IntoIterator<Item = &'a Ref>, ids: &Ids) -> Result<Vec<String>, CloudError> {
    references.into_iter().map(|reference| id_of(reference, ids)).collect()
}

/// Somebody's, until a name of ours is found for it.
fn theirs(id: Option<&str>) -> Ref {
    Ref::Theirs(PhysicalId(id.unwrap_or_default().to_owned()))
}

impl CloudApi for AwsCloud {
    fn observe(&self) -> Call<'_, Observed> {
        Box::pin(self.observe_all())
    }

    fn neighbours<'a>(&'a self, network: Option<&'a PhysicalId>) -> Call<'a, Vec<Neighbour>> {
        Box::pin(self.all_neighbours(network))
    }

    fn create<'a>(
        &'a self,
        name: &'a ResourceName,
        wanted: &'a Desired,
        ids: &'a Ids,
        token: &'a str,
    ) -> Call<'a, PhysicalId> {
        Box::pin(async move {
            let made = match &wanted.resource {
                Resource::Vpc(vpc) => self.create_vpc(name, vpc, &wanted.tags).await?,
                Resource::InternetGateway(_) => self.create_gateway(name, &wanted.tags).await?,
                Resource::Subnet(subnet) => self.create_subnet(name, subnet, &wanted.tags, ids).await?,
                Resource::ElasticIp(_) => self.create_address(name, &wanted.tags).await?,
                Resource::NatGateway(nat) => self.create_nat(name, nat, &wanted.tags, ids, token).await?,
                Resource::RouteTable(table) => {
                    self.create_route_table(name, table, &wanted.tags, ids, token).await?
                }
                Resource::SecurityGroup(group) => self.create_group(name, group, &wanted.tags, ids).await?,
                // A group has rules from the start; those it is to have come with the first change.
                Resource::SecurityRules(rules) => id_of(&rules.group, ids)?,
                Resource::KeyPair(key) => self.create_key(name, key, &wanted.tags).await?,
                Resource::Role(_) => self.create_role(name, &wanted.tags).await?,
                Resource::InstanceProfile(_) => self.create_profile(name, &wanted.tags).await?,
                Resource::Volume(volume) => self.create_volume(name, volume, &wanted.tags, token).await?,
                Resource::Instance(instance) => {
                    self.create_instance(name, instance, &wanted.tags, ids, token).await?
                }
                Resource::Attachment(attachment) => self.attach(attachment, ids).await?,
                Resource::LaunchTemplate(template) => {
                    self.create_template(name, template, &wanted.tags, ids, token).await?
                }
                Resource::ScalingGroup(group) => {
                    self.create_scaling_group(name, group, &wanted.tags, ids).await?
                }
                Resource::Balancer(balancer) => {
                    self.create_balancer(name, balancer, &wanted.tags, ids).await?
                }
                Resource::TargetGroup(group) => {
                    self.create_target_group(name, group, &wanted.tags, ids).await?
                }
                Resource::Targets(targets) => self.create_targets(targets, ids).await?,
                Resource::Listener(listener) => self.create_listener(name, listener, ids).await?,
                Resource::Record(record) => self.create_record(record, ids).await?,
                Resource::Made(_) => return Err(AwsCloud::never_made(name)),
            };
            Ok(PhysicalId(made))
        })
    }

    fn find<'a>(
        &'a self,
        name: &'a ResourceName,
        wanted: &'a Resource,
        ids: &'a Ids,
    ) -> Call<'a, Vec<Found>> {
        Box::pin(self.find_named(name, wanted, ids))
    }

    fn update<'a>(
        &'a self,
        name: &'a ResourceName,
        there: &'a Found,
        wanted: &'a Desired,
        ids: &'a Ids,
    ) -> Call<'a, ()> {
        Box::pin(async move {
            let id = there.id.as_str();
            match (&there.resource, &wanted.resource) {
                (Resource::Vpc(from), Resource::Vpc(to)) => self.update_vpc(id, from, to).await?,
                (Resource::InternetGateway(from), Resource::InternetGateway(to)) => {
                    self.update_gateway(id, from, to, ids).await?;
                }
                (Resource::Subnet(from), Resource::Subnet(to)) => self.update_subnet(id, from, to).await?,
                (Resource::RouteTable(from), Resource::RouteTable(to)) => {
                    self.update_route_table(id, from, to, ids).await?;
                }
                (Resource::SecurityRules(from), Resource::SecurityRules(to)) => {
                    self.update_rules(id, from, to, ids).await?;
                }
                (Resource::Role(from), Resource::Role(to)) => self.update_role(id, from, to).await?,
                (Resource::InstanceProfile(from), Resource::InstanceProfile(to)) => {
                    self.update_profile(id, from, to, ids).await?;
                }
                (Resource::Volume(from), Resource::Volume(to)) => self.update_volume(id, from, to).await?,
                (Resource::Instance(from), Resource::Instance(to)) => {
                    self.update_instance(id, from, to, ids).await?;
                }
                (Resource::LaunchTemplate(from), Resource::LaunchTemplate(to)) if from != to => {
                    self.update_template(id, to, ids).await?;
                }
                (Resource::ScalingGroup(from), Resource::ScalingGroup(to)) => {
                    self.update_scaling_group(id, from, to, ids).await?;
                }
                (Resource::Balancer(from), Resource::Balancer(to)) => {
                    self.update_balancer(id, from, to, ids).await?;
                }
                (Resource::TargetGroup(from), Resource::TargetGroup(to)) => {
                    self.update_target_group(id, from, to).await?;
                }
                (Resource::Targets(from), Resource::Targets(to)) => {
                    self.update_targets(id, from, to, ids).await?;
                }
                (Resource::Listener(from), Resource::Listener(to)) if from.group != to.group => {
                    self.update_listener(id, to, ids).await?;
                }
                // The rest has nothing that changes in place.
                _ => {}
            }
            self.update_tags(name, there, wanted).await
        })
    }

    fn delete<'a>(&'a self, _: &'a ResourceName, there: &'a Found, force: bool) -> Call<'a, ()> {
        Box::pin(async move {
            let id = there.id.as_str();
            match &there.resource {
                Resource::Vpc(_) => self.delete_vpc(id).await,
                Resource::InternetGateway(gateway) => self.delete_gateway(id, gateway, there).await,
                Resource::Subnet(_) => self.delete_subnet(id).await,
                Resource::ElasticIp(_) => self.delete_address(id).await,
                Resource::NatGateway(_) => self.delete_nat(id).await,
                Resource::RouteTable(_) => self.delete_route_table(id).await,
                Resource::SecurityGroup(_) => self.delete_group(id).await,
                Resource::SecurityRules(_) => self.delete_rules(id).await,
                Resource::KeyPair(_) => self.delete_key(id).await,
                Resource::Role(role) => self.delete_role(id, role).await,
                Resource::InstanceProfile(_) => self.delete_profile(id).await,
                Resource::Volume(_) => self.delete_volume(id).await,
                Resource::Instance(instance) => self.delete_instance(id, instance).await,
                Resource::Attachment(_) => self.detach(id).await,
                Resource::LaunchTemplate(_) => self.delete_template(id).await,
                Resource::ScalingGroup(_) => self.delete_scaling_group(id, force).await,
                Resource::Balancer(balancer) => self.delete_balancer(id, balancer).await,
                Resource::TargetGroup(_) => self.delete_target_group(id).await,
                Resource::Targets(_) => self.delete_targets(id).await,
                Resource::Listener(_) => self.delete_listener(id).await,
                Resource::Record(record) => self.delete_record(record, there).await,
                Resource::Made(made) => self.delete_made(id, made).await,
            }
        })
    }

    fn state<'a>(
        &'a self,
        name: &'a ResourceName,
        there: &'a PhysicalId,
        kind: &'a Resource,
        ids: &'a Ids,
    ) -> Call<'a, State> {
        Box::pin(async move {
            if let Resource::Made(made) = kind {
                return self.made_state(there.as_str(), made).await;
            }
            let found = self.find_named(name, kind, ids).await?;
            let it = found.into_iter().find(|found| found.id == *there);
            Ok(it.map_or(State::Gone, |found| found.state))
        })
    }
}
