//! Things take as many looks as the test says to become what they are to be, and to go.

use http::Method;

use crate::emulator::Cloud;
use crate::emulator::client::Client;
use crate::emulator::fixtures::{address, balancer, change, instance, nat, subnet, vpc, zone};
use crate::emulator::proxy::Delays;
use crate::emulator::service::Service;

/// What one element says in so many answers to one call.
async fn looks<const N: usize>(
    client: &Client,
    action: &str,
    params: &[(&str, &str)],
    element: &str,
) -> [String; N] {
    let mut states = [const { String::new() }; N];
    for state in &mut states {
        *state = client.ec2(action, params).await.ok().all(element).join(" ");
    }
    states
}

#[tokio::test]
async fn nat_gateways_are_pending_and_deleting_for_a_while() {
    let Some(cloud) = Cloud::start() else { return };
    let client = cloud.proxy.client();
    let (subnet, address) = (subnet(&client, &vpc(&client).await).await, address(&client).await);
    let id = nat(&client, &subnet, &address).await;
    let named = [("NatGatewayId.1", id.as_str())];
    let up = looks(&client, "DescribeNatGateways", &named, "state").await;
    assert_eq!(up, ["pending", "pending", "available"]);
    client.ec2("DeleteNatGateway", &[("NatGatewayId", &id)]).await.ok();
    let down = looks(&client, "DescribeNatGateways", &named, "state").await;
    assert_eq!(down, ["deleting", "deleting", "deleted"]);
}

#[tokio::test]
async fn instances_are_pending_and_shutting_down_for_a_while() {
    let Some(cloud) = Cloud::start() else { return };
    let client = cloud.proxy.client();
    let id = instance(&client, &subnet(&client, &vpc(&client).await).await, &[]).await;
    let named = [("InstanceId.1", id.as_str())];
    let instances = async || looks(&client, "DescribeInstances", &named, "name").await;
    assert_eq!(instances().await, ["pending", "pending", "running"]);
    client.ec2("StopInstances", &named).await.ok();
    assert_eq!(instances().await, ["stopping", "stopping", "stopped"]);
    client.ec2("StartInstances", &named).await.ok();
    assert_eq!(instances().await, ["pending", "pending", "running"]);
    client.ec2("TerminateInstances", &named).await.ok();
    assert_eq!(instances().await, ["shutting-down", "shutting-down", "terminated"]);
}

#[tokio::test]
async fn filters_go_by_the_states_that_are_shown() {
    let Some(cloud) = Cloud::start() else { return };
    let client = cloud.proxy.client();
    instance(&client, &subnet(&client, &vpc(&client).await).await, &[]).await;
    let state = |state| [("Filter.1.Name", "instance-state-name"), ("Filter.1.Value.1", state)];
    let (running, pending) = (state("running"), state("pending"));
    let count =
        async |filter: &[_]| client.ec2("DescribeInstances", filter).await.ok().all("reservationId").len();
    assert_eq!((count(&running).await, count(&pending).await, count(&running).await), (0, 1, 1));
    let statuses = client.ec2("DescribeInstanceStatus", &[]).await.ok();
    assert_eq!(statuses.all("instanceId").len(), 1);
}

#[tokio::test]
async fn an_instance_that_is_pending_is_no_running_one_to_the_status_call() {
    let Some(cloud) = Cloud::start() else { return };
    let client = cloud.proxy.client();
    instance(&client, &subnet(&client, &vpc(&client).await).await, &[]).await;
    assert!(client.ec2("DescribeInstanceStatus", &[]).await.ok().all("instanceId").is_empty());
    let all = client.ec2("DescribeInstanceStatus", &[("IncludeAllInstances", "true")]).await.ok();
    assert_eq!(all.all("code"), ["0"]);
}

#[tokio::test]
async fn volumes_and_load_balancers_take_a_while() {
    let Some(cloud) = Cloud::start() else { return };
    let client = cloud.proxy.client();
    cloud.proxy.set(|settings| settings.delays = Delays { volume: 1, balancer: 1, ..Delays::none() });
    let create = [("Size", "1"), ("AvailabilityZone", "eu-central-1a")];
    assert_eq!(client.ec2("CreateVolume", &create).await.ok().one("status"), "creating");
    assert_eq!(looks(&client, "DescribeVolumes", &[], "status").await, ["creating", "available"]);
    balancer(&client, &subnet(&client, &vpc(&client).await).await, &[]).await;
    let mut states = Vec::new();
    for _ in 0..2 {
        states.push(client.balancing("DescribeLoadBalancers", &[]).await.ok().one("Code"));
    }
    assert_eq!(states, ["provisioning", "active"]);
}

#[tokio::test]
async fn a_volume_is_not_attached_before_it_and_its_instance_are_ready() {
    let Some(cloud) = Cloud::start() else { return };
    let client = cloud.proxy.client();
    let instance = instance(&client, &subnet(&client, &vpc(&client).await).await, &[]).await;
    let create = [("Size", "1"), ("AvailabilityZone", "eu-central-1a")];
    let volume = client.ec2("CreateVolume", &create).await.ok().one("volumeId");
    let attach = [("VolumeId", volume.as_str()), ("InstanceId", &instance), ("Device", "/dev/sdf")];
    let mut answers = Vec::new();
    for _ in 0..5 {
        answers.push(client.ec2("AttachVolume", &attach).await.error());
    }
    let not_yet = || Some("IncorrectState".to_owned());
    assert_eq!(answers, [not_yet(), not_yet(), not_yet(), not_yet(), None]);
}

#[tokio::test]
async fn changes_of_records_have_ids_of_their_own_and_are_pending_for_a_while() {
    let Some(cloud) = Cloud::start() else { return };
    let client = cloud.proxy.client();
    let zone = zone(&client, "first").await;
    let path = format!("/2013-04-01/hostedzone/{zone}/rrset/");
    let mut ids = Vec::new();
    for name in ["a.example.org.", "b.example.org."] {
        let body = change("UPSERT", name, "192.0.2.1");
        let answer = client.rest(Service::Route53, Method::POST, &path, &body).await.ok();
        assert_eq!(answer.one("Status"), "PENDING");
        ids.push(answer.one("Id"));
    }
    assert_ne!(ids[0], ids[1]);
    let mut states = Vec::new();
    for _ in 0..3 {
        let answer = client.get(Service::Route53, &format!("/2013-04-01{}", ids[0])).await.ok();
        assert_eq!(answer.one("Id"), ids[0]);
        states.push(answer.one("Status"));
    }
    assert_eq!(states, ["PENDING", "PENDING", "INSYNC"]);
    let unknown = client.get(Service::Route53, "/2013-04-01/change/C2682N5HXP0BZ4").await;
    assert_eq!(unknown.error().as_deref(), Some("NoSuchChange"));
}
