//! What machines may ask of the cloud: no more than their work takes.

use serde_json::{Value, json};

use crate::inventory::ArtifactBucket;

/// Where a cluster is, as ARNs say it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    pub partition: &'a str,
    pub region: &'a str,
    pub account: &'a str,
    pub cluster: &'a str,
}

/// Where the token that new workers join with lies, in the Parameter Store.
fn token_parameter(place: Place<'_>) -> String {
    let Place { partition, region, account, cluster } = place;
    format!("arn:{partition}:ssm:{region}:{account}:parameter/keelwright/{cluster}/node-token")
}

/// A worker reads the token it joins with.
pub(super) fn read_token(place: Place<'_>) -> Value {
    policy(&[json!({"Effect": "Allow", "Action": "ssm:GetParameter", "Resource": token_parameter(place)})])
}

/// A control plane puts a new token there before the last one runs out.
pub(super) fn write_token(place: Place<'_>) -> Value {
    policy(&[json!({"Effect": "Allow", "Action": "ssm:PutParameter", "Resource": token_parameter(place)})])
}

/// A machine fetches artifacts, and nothing beside them.
pub(super) fn read_artifacts(partition: &str, bucket: &ArtifactBucket) -> Value {
    let objects = format!("arn:{partition}:s3:::{}/{}", bucket.name, bucket.key('*'));
    policy(&[json!({"Effect": "Allow", "Action": "s3:GetObject", "Resource": objects})])
}

/// A worker that is to go says when it is drained.
pub(super) fn drain(place: Place<'_>) -> Value {
    let Place { partition, region, account, cluster } = place;
    let groups = format!(
        "arn:{partition}:autoscaling:{region}:{account}:autoScalingGroup:*:autoScalingGroupName/{cluster}-*"
    );
    policy(&[json!({
        "Effect": "Allow",
        "Action": ["autoscaling:CompleteLifecycleAction", "autoscaling:RecordLifecycleActionHeartbeat"],
        "Resource": groups,
        "Condition": {"StringEquals": {"aws:ResourceTag/keelwright.dev/cluster": cluster}},
    })])
}

/// The cloud controller: sees machines, and keeps balancers for Services. What it makes carries the cluster's tag, but
/// AWS cannot hold it to that for balancers.
pub(super) fn cloud_controller() -> Value {
    policy(&[
        json!({
            "Effect": "Allow",
            "Action": [
                "autoscaling:DescribeAutoScalingGroups", "autoscaling:DescribeLaunchConfigurations",
                "autoscaling:DescribeTags", "ec2:DescribeAvailabilityZones", "ec2:DescribeInstances",
                "ec2:DescribeInstanceTopology", "ec2:DescribeRegions", "ec2:DescribeRouteTables",
                "ec2:DescribeSecurityGroups", "ec2:DescribeSubnets", "ec2:DescribeVolumes", "ec2:DescribeVpcs",
                "elasticloadbalancing:Describe*", "kms:DescribeKey"
            ],
            "Resource": "*",
        }),
        json!({
            "Effect": "Allow",
            "Action": [
                "ec2:CreateSecurityGroup", "ec2:CreateTags", "ec2:AuthorizeSecurityGroupIngress",
                "ec2:RevokeSecurityGroupIngress", "ec2:DeleteSecurityGroup",
                "elasticloadbalancing:AddTags", "elasticloadbalancing:ApplySecurityGroupsToLoadBalancer",
                "elasticloadbalancing:AttachLoadBalancerToSubnets", "elasticloadbalancing:ConfigureHealthCheck",
                "elasticloadbalancing:CreateListener", "elasticloadbalancing:CreateLoadBalancer",
                "elasticloadbalancing:CreateLoadBalancerListeners", "elasticloadbalancing:CreateLoadBalancerPolicy",
                "elasticloadbalancing:CreateTargetGroup", "elasticloadbalancing:DeleteListener",
                "elasticloadbalancing:DeleteLoadBalancer", "elasticloadbalancing:DeleteLoadBalancerListeners",
                "elasticloadbalancing:DeleteTargetGroup", "elasticloadbalancing:DeregisterInstancesFromLoadBalancer",
                "elasticloadbalancing:DeregisterTargets", "elasticloadbalancing:DetachLoadBalancerFromSubnets",
                "elasticloadbalancing:ModifyListener", "elasticloadbalancing:ModifyLoadBalancerAttributes",
                "elasticloadbalancing:ModifyTargetGroup", "elasticloadbalancing:ModifyTargetGroupAttributes",
                "elasticloadbalancing:RegisterInstancesWithLoadBalancer", "elasticloadbalancing:RegisterTargets",
                "elasticloadbalancing:SetLoadBalancerPoliciesForBackendServer",
                "elasticloadbalancing:SetLoadBalancerPoliciesOfListener"
            ],
            "Resource": "*",
        }),
    ])
}

/// The driver of EBS volumes: makes and attaches any, and takes away only what it has made.
pub(super) fn volumes(place: Place<'_>) -> Value {
    let Place { partition, region, account, .. } = place;
    let of = |kind: &str| format!("arn:{partition}:ec2:{region}:{account}:{kind}/*");
    let made_by_driver = json!({"StringLike": {"aws:ResourceTag/ebs.csi.aws.com/cluster": "true"}});
    policy(&[
        json!({
            "Effect": "Allow",
            "Action": [
                "ec2:DescribeAvailabilityZones", "ec2:DescribeInstances", "ec2:DescribeInstanceTypes",
                "ec2:DescribeTags", "ec2:DescribeVolumes", "ec2:DescribeVolumesModifications",
                "ec2:DescribeVolumeStatus"
            ],
            "Resource": "*",
        }),
        json!({
            "Effect": "Allow",
            "Action": ["ec2:AttachVolume", "ec2:DetachVolume"],
            "Resource": [of("volume"), of("instance")],
        }),
        json!({"Effect": "Allow", "Action": "ec2:ModifyVolume", "Resource": of("volume")}),
        json!({
            "Effect": "Allow",
            "Action": "ec2:CreateVolume",
            "Resource": of("volume"),
            "Condition": {"StringLike": {"aws:RequestTag/ebs.csi.aws.com/cluster": "true"}},
        }),
        json!({
            "Effect": "Allow",
            "Action": "ec2:CreateTags",
            "Resource": of("volume"),
            "Condition": {"StringEquals": {"ec2:CreateAction": "CreateVolume"}},
        }),
        json!({
            "Effect": "Allow", "Action": "ec2:DeleteVolume", "Resource": of("volume"), "Condition": made_by_driver,
        }),
    ])
}

fn policy(statements: &[Value]) -> Value {
    json!({"Version": "2012-10-17", "Statement": statements})
}
