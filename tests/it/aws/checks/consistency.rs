//! What was just created may not be found, or not be listed, for a while.

use crate::emulator::Cloud;
use crate::emulator::fixtures::{balancer, instance, launch, subnet, template, vpc};
use crate::emulator::proxy::{Fault, Faults};

#[tokio::test]
async fn what_was_just_created_is_not_found_for_so_many_calls() {
    let Some(cloud) = Cloud::start() else { return };
    let client = cloud.proxy.client();
    cloud.proxy.set_faults(Faults::first(1, "EC2.CreateVpc", Fault::NotFoundFor(2)));
    let id = vpc(&client).await;
    let filter = [("Filter.1.Name", "vpc-id"), ("Filter.1.Value.1", id.as_str())];
    let tag = [("ResourceId.1", id.as_str()), ("Tag.1.Key", "a"), ("Tag.1.Value", "b")];
    assert_eq!(client.ec2("CreateTags", &tag).await.error().as_deref(), Some("InvalidVpcID.NotFound"));
    client.ec2("DescribeSubnets", &filter).await.ok();
    let create = [("VpcId", id.as_str()), ("CidrBlock", "10.0.1.0/24")];
    assert_eq!(client.ec2("CreateSubnet", &create).await.error().as_deref(), Some("InvalidVpcID.NotFound"));
    client.ec2("CreateTags", &tag).await.ok();

    cloud.proxy.set_faults(Faults::first(1, "ELBv2.CreateLoadBalancer", Fault::NotFoundFor(1)));
    let arn = balancer(&client, &subnet(&client, &id).await, &[]).await;
    let named = [("LoadBalancerArns.member.1", arn.as_str())];
    let refused = client.balancing("DescribeLoadBalancers", &named).await;
    assert_eq!(refused.error().as_deref(), Some("LoadBalancerNotFound"));
    client.balancing("DescribeLoadBalancers", &named).await.ok();
}

#[tokio::test]
async fn ec2_and_auto_scaling_do_not_know_a_new_instance_profile() {
    let Some(cloud) = Cloud::start() else { return };
    let client = cloud.proxy.client();
    let subnet = subnet(&client, &vpc(&client).await).await;
    cloud.proxy.set_faults(Faults::first(1, "IAM.CreateInstanceProfile", Fault::NotFoundFor(3)));
    client.iam("CreateInstanceProfile", &[("InstanceProfileName", "node")]).await.ok();
    assert_eq!(
        client.iam("GetInstanceProfile", &[("InstanceProfileName", "node")]).await.error().as_deref(),
        Some("NoSuchEntity")
    );
    let template = template(&client, "node", &[("LaunchTemplateData.IamInstanceProfile.Name", "node")]).await;
    let from_template = [("LaunchTemplate.LaunchTemplateId", template.as_str())];
    let refused = client.ec2("RunInstances", &launch(&subnet, &from_template)).await;
    assert_eq!(refused.error().as_deref(), Some("InvalidParameterValue"));
    let group = [("AutoScalingGroupName", "a"), ("MinSize", "0"), ("MaxSize", "1"), from_template[0]];
    let refused = client.scaling("CreateAutoScalingGroup", &group).await;
    assert_eq!(refused.error().as_deref(), Some("ValidationError"));
    instance(&client, &subnet, &from_template).await;
}

#[tokio::test]
async fn what_was_just_created_is_missing_from_so_many_lists() {
    let Some(cloud) = Cloud::start() else { return };
    let client = cloud.proxy.client();
    cloud.proxy.set_faults(Faults::first(1, "EC2.CreateVpc", Fault::UnlistedFor(2)));
    let id = vpc(&client).await;
    let mut listed = Vec::new();
    for _ in 0..3 {
        listed.push(client.ec2("DescribeVpcs", &[]).await.ok().all("vpcId").contains(&id));
    }
    assert_eq!(listed, [false, false, true]);
}
