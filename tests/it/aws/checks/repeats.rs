//! A call that is repeated with its token makes nothing new.

use http::Method;

use crate::emulator::Cloud;
use crate::emulator::census::{Kind, census};
use crate::emulator::fixtures::{
    address, balancer, forward, launch, subnet, target_group, vpc, zone, zone_body,
};
use crate::emulator::proxy::{Fault, Faults};
use crate::emulator::service::Service;

const MISMATCH: Option<&str> = Some("IdempotentParameterMismatch");

#[tokio::test]
async fn the_same_token_gives_the_same_answer() {
    let Some(cloud) = Cloud::start() else { return };
    let client = cloud.proxy.client();
    let (subnet, address) = (subnet(&client, &vpc(&client).await).await, address(&client).await);
    let token = ("ClientToken", "once");
    let calls = [
        ("RunInstances", launch(&subnet, &[token]), ("EbsOptimized", "true")),
        ("CreateVolume", vec![("Size", "1"), ("AvailabilityZone", "eu-central-1a"), token], ("Iops", "100")),
        ("CreateNatGateway", vec![("SubnetId", &subnet), ("AllocationId", &address), token], ("A", "b")),
        (
            "CreateLaunchTemplate",
            vec![("LaunchTemplateName", "a"), ("LaunchTemplateData.InstanceType", "t3.micro"), token],
            ("LaunchTemplateData.ImageId", "ami-1"),
        ),
    ];
    for (action, mut params, other) in calls {
        let first = client.ec2(action, &params).await.ok();
        assert_eq!(client.ec2(action, &params).await, first);
        params.push(other);
        assert_eq!(client.ec2(action, &params).await.error().as_deref(), MISMATCH, "{action}");
    }
    let there = census(&cloud.moto, "/keelwright").await;
    let count = |kind| there.get(&kind).map_or(0, Vec::len);
    // One volume is the instance's own.
    assert_eq!(
        [Kind::Instance, Kind::Volume, Kind::NatGateway, Kind::LaunchTemplate].map(count),
        [1, 2, 1, 1]
    );
}

#[tokio::test]
async fn a_lost_reply_is_given_to_whoever_asks_again() {
    let Some(cloud) = Cloud::start() else { return };
    let client = cloud.proxy.client();
    let subnet = subnet(&client, &vpc(&client).await).await;
    cloud.proxy.set_faults(Faults::first(1, "EC2.RunInstances", Fault::LostReply));
    let params = launch(&subnet, &[("ClientToken", "once")]);
    assert!(client.try_query(Service::Ec2, "RunInstances", &params).await.is_err());
    let id = client.ec2("RunInstances", &params).await.ok().one("instanceId");
    assert_eq!(census(&cloud.moto, "/keelwright").await[&Kind::Instance][0].id, id);
    assert_eq!(cloud.moto.ec2("DescribeInstances", &[]).await.ok().all("instanceId").len(), 1);
}

#[tokio::test]
async fn a_call_whose_caller_is_gone_is_done_and_remembered() {
    let Some(cloud) = Cloud::start() else { return };
    let client = cloud.proxy.client();
    let subnet = subnet(&client, &vpc(&client).await).await;
    let params = launch(&subnet, &[("ClientToken", "once")]);
    let called = async {
        while cloud.proxy.count("EC2.RunInstances") == 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        _ = client.ec2("RunInstances", &params) => panic!("it was to be given up"),
        () = called => {}
    }
    client.ec2("RunInstances", &params).await.ok();
    assert_eq!(cloud.moto.ec2("DescribeInstances", &[]).await.ok().all("instanceId").len(), 1);
}

#[tokio::test]
async fn a_zones_reference_is_good_for_one_zone() {
    let Some(cloud) = Cloud::start() else { return };
    let client = cloud.proxy.client();
    zone(&client, "once").await;
    let again =
        client.rest(Service::Route53, Method::POST, "/2013-04-01/hostedzone", &zone_body("once")).await;
    assert_eq!((again.status, again.error().as_deref()), (409, Some("HostedZoneAlreadyExists")));
    zone(&client, "twice").await;
}

#[tokio::test]
async fn load_balancing_gives_back_what_is_there() {
    let Some(cloud) = Cloud::start() else { return };
    let client = cloud.proxy.client();
    let vpc = vpc(&client).await;
    let subnet = subnet(&client, &vpc).await;
    let arn = balancer(&client, &subnet, &[]).await;
    assert_eq!(balancer(&client, &subnet, &[]).await, arn);
    let other = [("Name", "api"), ("Type", "network"), ("Scheme", "internal"), ("Subnets.member.1", &subnet)];
    let refused = client.balancing("CreateLoadBalancer", &other).await.error();
    assert_eq!(refused.as_deref(), Some("DuplicateLoadBalancerName"));

    let group = target_group(&client, &vpc, "api").await;
    assert_eq!(target_group(&client, &vpc, "api").await, group);
    let other = [("Name", "api"), ("Protocol", "TCP"), ("Port", "1"), ("VpcId", vpc.as_str())];
    let refused = client.balancing("CreateTargetGroup", &other).await.error();
    assert_eq!(refused.as_deref(), Some("DuplicateTargetGroupName"));

    let listen = async |group: &str| client.balancing("CreateListener", &forward(&arn, "6443", group)).await;
    let listener = listen(&group).await.ok().one("ListenerArn");
    assert_eq!(listen(&group).await.ok().one("ListenerArn"), listener);
    let other = target_group(&client, &vpc, "other").await;
    assert_eq!(listen(&other).await.error().as_deref(), Some("DuplicateListener"));
    let there = census(&cloud.moto, "/keelwright").await;
    assert_eq!(
        [Kind::LoadBalancer, Kind::TargetGroup, Kind::Listener].map(|kind| there[&kind].len()),
        [1, 2, 1]
    );
}
