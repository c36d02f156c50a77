//! Calls that moto does not implement, and things it does not miss.

use crate::emulator::Cloud;
use crate::emulator::fixtures::{scaling_group, subnet, template, vpc};
use crate::emulator::proxy::Delays;

#[tokio::test]
async fn versions_of_a_launch_template_are_deleted_but_for_the_default() {
    let Some(cloud) = Cloud::start() else { return };
    let client = cloud.proxy.client();
    let id = template(&client, "node", &[]).await;
    let named = ("LaunchTemplateId", id.as_str());
    let more = [named, ("LaunchTemplateData.InstanceType", "t3.large")];
    client.ec2("CreateLaunchTemplateVersion", &more).await.ok();
    client.ec2("CreateLaunchTemplateVersion", &more).await.ok();
    let delete = [named, ("LaunchTemplateVersion.1", "2"), ("LaunchTemplateVersion.2", "1")];
    let deleted = client.ec2("DeleteLaunchTemplateVersions", &delete).await.ok();
    assert_eq!(deleted.all("versionNumber"), ["2", "1"]);
    assert_eq!(deleted.all("code"), ["unexpectedError"]);
    let left = client.ec2("DescribeLaunchTemplateVersions", &[named]).await.ok();
    assert_eq!(left.all("versionNumber"), ["1", "3"]);
}

#[tokio::test]
async fn an_instance_refresh_replaces_one_instance_after_the_other() {
    let Some(cloud) = Cloud::start() else { return };
    let client = cloud.proxy.client();
    cloud.proxy.set(|settings| settings.delays = Delays::none());
    let subnet = subnet(&client, &vpc(&client).await).await;
    scaling_group(&client, &subnet, &template(&client, "worker", &[]).await).await;
    let instances = async || client.scaling("DescribeAutoScalingGroups", &[]).await.ok().all("InstanceId");
    let old = instances().await;
    let group = [("AutoScalingGroupName", "workers")];
    client.scaling("StartInstanceRefresh", &group).await.ok();
    let again = client.scaling("StartInstanceRefresh", &group).await;
    assert_eq!(again.error().as_deref(), Some("InstanceRefreshInProgress"));
    let mut seen = Vec::new();
    for _ in 0..3 {
        seen.push(client.scaling("DescribeInstanceRefreshes", &group).await.ok().one("Status"));
    }
    assert_eq!(seen, ["Pending", "InProgress", "Successful"]);
    let new = instances().await;
    assert!(new.len() == 2 && new.iter().all(|id| !old.contains(id)), "{old:?} {new:?}");
    let none = client.scaling("CancelInstanceRefresh", &group).await;
    assert_eq!(none.error().as_deref(), Some("ActiveInstanceRefreshNotFound"));
    for action in ["CompleteLifecycleAction", "RecordLifecycleActionHeartbeat"] {
        client.scaling(action, &[("LifecycleHookName", "drain"), group[0]]).await.ok();
    }
}

#[tokio::test]
async fn a_scaling_groups_name_is_taken_once_and_its_sizes_agree() {
    let Some(cloud) = Cloud::start() else { return };
    let client = cloud.proxy.client();
    let subnet = subnet(&client, &vpc(&client).await).await;
    scaling_group(&client, &subnet, &template(&client, "worker", &[]).await).await;
    let create = async |name, min| {
        let params = [("AutoScalingGroupName", name), ("MinSize", min), ("MaxSize", "2")];
        client.scaling("CreateAutoScalingGroup", &params).await.error()
    };
    assert_eq!(create("workers", "1").await.as_deref(), Some("AlreadyExists"));
    assert_eq!(create("others", "3").await.as_deref(), Some("ValidationError"));
}

#[tokio::test]
async fn what_is_not_there_is_an_error() {
    let Some(cloud) = Cloud::start() else { return };
    let client = cloud.proxy.client();
    let error = async |action, param, id| client.ec2(action, &[(param, id)]).await.error();
    let nat = Some("NatGatewayNotFound".to_owned());
    assert_eq!(error("DescribeNatGateways", "NatGatewayId.1", "nat-1").await, nat);
    assert_eq!(error("DeleteNatGateway", "NatGatewayId", "nat-1").await, nat);
    let template = error("DescribeLaunchTemplates", "LaunchTemplateId.1", "lt-1").await;
    assert_eq!(template.as_deref(), Some("InvalidLaunchTemplateId.NotFound"));
}
