//! Targets are unused, initial, healthy or not, draining, gone.

use crate::emulator::Cloud;
use crate::emulator::client::Client;
use crate::emulator::fixtures::{balancer, forward, instance, subnet, target_group, vpc};

/// The states of the targets of a group in so many answers.
async fn looks(client: &Client, group: &str, times: usize) -> Vec<String> {
    let mut states = Vec::new();
    for _ in 0..times {
        let answer = client.balancing("DescribeTargetHealth", &[("TargetGroupArn", group)]).await.ok();
        states.push(answer.all("State").join(" "));
    }
    states
}

/// A running instance, a target group and a load balancer.
async fn parts(cloud: &Cloud) -> (String, String, String) {
    let client = cloud.proxy.client();
    let vpc = vpc(&client).await;
    let subnet = subnet(&client, &vpc).await;
    let instance = instance(&client, &subnet, &[]).await;
    (instance, target_group(&client, &vpc, "api").await, balancer(&client, &subnet, &[]).await)
}

#[tokio::test]
async fn a_target_is_initial_then_healthy_and_drains_before_it_is_gone() {
    let Some(cloud) = Cloud::start() else { return };
    let client = cloud.proxy.client();
    let (instance, group, balancer) = parts(&cloud).await;
    let target = [("TargetGroupArn", group.as_str()), ("Targets.member.1.Id", instance.as_str())];
    let mut refused = Vec::new();
    for _ in 0..3 {
        refused.push(client.balancing("RegisterTargets", &target).await.error());
    }
    let not_running = || Some("InvalidTarget".to_owned());
    assert_eq!(refused, [not_running(), not_running(), None]);
    assert_eq!(looks(&client, &group, 1).await, ["unused"], "without a listener there are no checks");
    client.balancing("CreateListener", &forward(&balancer, "6443", &group)).await.ok();
    assert_eq!(looks(&client, &group, 3).await, ["initial", "initial", "healthy"]);
    cloud.proxy.set(|settings| settings.unhealthy = [instance.clone()].into());
    assert_eq!(looks(&client, &group, 1).await, ["unhealthy"]);
    client.balancing("DeregisterTargets", &target).await.ok();
    let asked = client.balancing("DescribeTargetHealth", &target).await.ok();
    assert_eq!((asked.one("State"), asked.one("Id")), ("draining".into(), instance));
    assert_eq!(looks(&client, &group, 2).await, ["draining", ""]);
}

#[tokio::test]
async fn a_target_whose_instance_is_terminated_drains() {
    let Some(cloud) = Cloud::start() else { return };
    let client = cloud.proxy.client();
    let (instance, group, balancer) = parts(&cloud).await;
    client.balancing("CreateListener", &forward(&balancer, "6443", &group)).await.ok();
    let target = [("TargetGroupArn", group.as_str()), ("Targets.member.1.Id", instance.as_str())];
    cloud.moto.balancing("RegisterTargets", &target).await.ok();
    assert_eq!(looks(&client, &group, 3).await, ["initial", "initial", "healthy"]);
    client.ec2("TerminateInstances", &[("InstanceId.1", &instance)]).await.ok();
    assert_eq!(looks(&client, &group, 3).await, ["draining", "draining", ""]);
}

#[tokio::test]
async fn targets_are_in_the_network_of_their_group_or_said_to_be_outside() {
    let Some(cloud) = Cloud::start() else { return };
    let client = cloud.proxy.client();
    let vpc = vpc(&client).await;
    subnet(&client, &vpc).await;
    let params = [("Name", "ip"), ("Protocol", "TCP"), ("Port", "80"), ("VpcId", &vpc), ("TargetType", "ip")];
    let group = client.balancing("CreateTargetGroup", &params).await.ok().one("TargetGroupArn");
    let register = async |id: &str, zone: &str| {
        let mut params = vec![("TargetGroupArn", group.as_str()), ("Targets.member.1.Id", id)];
        if !zone.is_empty() {
            params.push(("Targets.member.1.AvailabilityZone", zone));
        }
        client.balancing("RegisterTargets", &params).await.error()
    };
    let invalid = |code: &str| Some(code.to_owned());
    assert_eq!(register("10.0.1.7", "all").await, invalid("ValidationError"));
    assert_eq!(register("10.1.0.7", "").await, invalid("ValidationError"));
    assert_eq!(register("203.0.113.7", "all").await, invalid("InvalidTarget"));
    assert_eq!((register("10.0.1.7", "").await, register("10.1.0.7", "all").await), (None, None));
    let health = client.balancing("DescribeTargetHealth", &[("TargetGroupArn", &group)]).await.ok();
    assert_eq!(health.all("AvailabilityZone"), ["all"]);
}

#[tokio::test]
async fn taking_out_a_target_that_is_not_there_is_no_error() {
    let Some(cloud) = Cloud::start() else { return };
    let client = cloud.proxy.client();
    let (instance, group, _) = parts(&cloud).await;
    let target = [("TargetGroupArn", group.as_str()), ("Targets.member.1.Id", instance.as_str())];
    client.balancing("DeregisterTargets", &target).await.ok();
    cloud.moto.balancing("RegisterTargets", &target).await.ok();
    let other_port = [&target[..], &[("Targets.member.1.Port", "1")]].concat();
    client.balancing("DeregisterTargets", &other_port).await.ok();
    let there = cloud.moto.balancing("DescribeTargetHealth", &target[..1]).await.ok();
    assert_eq!(there.all("Id"), [instance]);
}
