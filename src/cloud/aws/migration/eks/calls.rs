//! The calls to EKS, and its answers in our words.

use std::collections::BTreeSet;

use aws_sdk_eks::operation::create_cluster::CreateClusterError;
use aws_sdk_eks::operation::create_nodegroup::CreateNodegroupError;
use aws_sdk_eks::types::{
    Cluster, ClusterStatus, Nodegroup, NodegroupScalingConfig, NodegroupStatus, VpcConfigRequest,
};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

use super::super::MigrationAws;
use super::super::error::Told;
use super::next::{Part, Phase, Seen, SeenCluster, SeenNodes};
use super::{Made, NODE_GROUP};
use crate::inventory::Eks;
use crate::migrate::ports::CallError;

/// What EKS says when a name is taken, and also while something else is done to the same cluster.
const IN_USE: &str = "ResourceInUseException";

impl MigrationAws {
    pub(super) async fn see(&self, wanted: &Eks) -> Result<Seen, CallError> {
        let answer = self.eks.describe_cluster().name(&wanted.cluster).send().await;
        let answer = answer.told_if_there("eks:DescribeCluster")?;
        let Some(cluster) = answer.as_ref().and_then(|answer| answer.cluster()) else {
            return Ok(Seen::default());
        };
        let request = self.eks.describe_nodegroup().cluster_name(&wanted.cluster);
        let answer = request.nodegroup_name(NODE_GROUP).send().await;
        let answer = answer.told_if_there("eks:DescribeNodegroup")?;
        let nodes = answer.as_ref().and_then(|answer| answer.nodegroup());
        Ok(Seen { cluster: Some(seen_cluster(cluster)), nodes: nodes.map(seen_nodes) })
    }

    pub(super) async fn make(&self, wanted: &Eks, part: Part) -> Result<Made, CallError> {
        match part {
            Part::Cluster => made(self.create_cluster(wanted).await, "eks:CreateCluster"),
            Part::Nodes => made(self.create_nodes(wanted).await, "eks:CreateNodegroup"),
        }
    }

    async fn create_cluster(&self, wanted: &Eks) -> Result<(), SdkError<CreateClusterError, HttpResponse>> {
        let network = VpcConfigRequest::builder().set_subnet_ids(Some(wanted.subnets.clone())).build();
        let request = self
            .eks
            .create_cluster()
            .name(&wanted.cluster)
            .version(&wanted.version)
            .role_arn(&wanted.role)
            .resources_vpc_config(network);
        request.send().await.map(drop)
    }

    async fn create_nodes(&self, wanted: &Eks) -> Result<(), SdkError<CreateNodegroupError, HttpResponse>> {
        let size = |count: u32| i32::try_from(count).unwrap_or(i32::MAX);
        let scaling = NodegroupScalingConfig::builder()
            .min_size(size(wanted.min))
            .max_size(size(wanted.max))
            .desired_size(size(wanted.desired))
            .build();
        let request = self
            .eks
            .create_nodegroup()
            .cluster_name(&wanted.cluster)
            .nodegroup_name(NODE_GROUP)
            .version(&wanted.version)
            .node_role(&wanted.node_role)
            .set_subnets(Some(wanted.subnets.clone()))
            .set_instance_types(Some(wanted.instance_types.clone()))
            .scaling_config(scaling);
        request.send().await.map(drop)
    }
}

fn made<E>(answer: Result<(), SdkError<E, HttpResponse>>, call: &'static str) -> Result<Made, CallError>
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    let is_taken =
        matches!(&answer, Err(SdkError::ServiceError(error)) if error.err().code() == Some(IN_USE));
    match answer.told(call) {
        Ok(()) => Ok(Made::Yes),
        Err(CallError::Later(why) | CallError::Unknown(why)) => Ok(Made::Perhaps(why)),
        Err(CallError::Refused(why)) if is_taken => Ok(Made::Perhaps(why)),
        Err(error) => Err(error),
    }
}

fn text(text: Option<&str>) -> String {
    text.unwrap_or_default().to_owned()
}

fn set(items: &[String]) -> BTreeSet<String> {
    items.iter().cloned().collect()
}

fn seen_cluster(cluster: &Cluster) -> SeenCluster {
    let issues = cluster.health().map(|health| health.issues()).unwrap_or_default();
    let issues = issues.iter().map(|issue| {
        format!("{}: {}", issue.code().map_or("", |code| code.as_str()), issue.message().unwrap_or_default())
    });
    let network = cluster.resources_vpc_config();
    let filled = |text: Option<&str>| text.filter(|text| !text.is_empty()).map(str::to_owned);
    SeenCluster {
        phase: match cluster.status() {
            Some(ClusterStatus::Active) => Phase::Ready,
            Some(status @ (ClusterStatus::Failed | ClusterStatus::Deleting)) => {
                Phase::Broken(status.as_str().to_owned(), issues.collect())
            }
            status => Phase::Pending(status.map_or("unknown", |status| status.as_str()).to_owned()),
        },
        version: text(cluster.version()),
        role: text(cluster.role_arn()),
        subnets: set(network.map(|network| network.subnet_ids()).unwrap_or_default()),
        vpc: text(network.and_then(|network| network.vpc_id())),
        endpoint: filled(cluster.endpoint()),
        authority: filled(cluster.certificate_authority().and_then(|authority| authority.data())),
    }
}

fn seen_nodes(nodes: &Nodegroup) -> SeenNodes {
    let issues = nodes.health().map(|health| health.issues()).unwrap_or_default();
    let issues = issues.iter().map(|issue| {
        format!("{}: {}", issue.code().map_or("", |code| code.as_str()), issue.message().unwrap_or_default())
    });
    let scaling = nodes.scaling_config();
    let size = |size: Option<i32>| size.and_then(|size| u32::try_from(size).ok()).unwrap_or_default();
    let groups = nodes.resources().map(|resources| resources.auto_scaling_groups()).unwrap_or_default();
    SeenNodes {
        phase: match nodes.status() {
            Some(NodegroupStatus::Active) => Phase::Ready,
            Some(
                status @ (NodegroupStatus::CreateFailed
                | NodegroupStatus::Degraded
                | NodegroupStatus::DeleteFailed
                | NodegroupStatus::Deleting),
            ) => Phase::Broken(status.as_str().to_owned(), issues.collect()),
            status => Phase::Pending(status.map_or("unknown", |status| status.as_str()).to_owned()),
        },
        version: text(nodes.version()),
        role: text(nodes.node_role()),
        subnets: set(nodes.subnets()),
        instance_types: set(nodes.instance_types()),
        min: size(scaling.and_then(|scaling| scaling.min_size())),
        max: size(scaling.and_then(|scaling| scaling.max_size())),
        scaling_groups: groups.iter().filter_map(|group| group.name()).map(str::to_owned).collect(),
    }
}
