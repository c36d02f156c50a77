//! The census counts what there is, of every kind, and not what AWS puts there itself.

use http::Method;
use serde_json::json;

use crate::emulator::Cloud;
use crate::emulator::census::{Kind, census};
use crate::emulator::client::Client;
use crate::emulator::fixtures::*;
use crate::emulator::service::Service;

async fn ec2_things(client: &Client) -> (String, String) {
    let tags = [
        ("CidrBlock", "10.0.0.0/16"),
        ("TagSpecification.1.ResourceType", "vpc"),
        ("TagSpecification.1.Tag.1.Key", "cluster"),
        ("TagSpecification.1.Tag.1.Value", "blue"),
    ];
    let vpc = client.ec2("CreateVpc", &tags).await.ok().one("vpcId");
    let subnet = subnet(client, &vpc).await;
    gateway(client, &vpc).await;
    group(client, &vpc, "nodes").await;
    nat(client, &subnet, &address(client).await).await;
    client.ec2("CreateRouteTable", &[("VpcId", &vpc)]).await.ok();
    client.ec2("CreateKeyPair", &[("KeyName", "ssh")]).await.ok();
    // Its root volume counts too.
    instance(client, &subnet, &[]).await;
    let gone = instance(client, &subnet, &[]).await;
    client.ec2("TerminateInstances", &[("InstanceId.1", &gone)]).await.ok();
    (vpc, subnet)
}

#[tokio::test]
async fn the_census_has_everything_of_every_kind() {
    let Some(cloud) = Cloud::start() else { return };
    let moto = &cloud.moto;
    assert!(census(moto, "/keelwright").await.is_empty());
    let (vpc, subnet) = ec2_things(moto).await;
    let template = template(moto, "worker", &[]).await;
    let group = [
        ("AutoScalingGroupName", "workers"),
        ("MinSize", "0"),
        ("MaxSize", "1"),
        ("VPCZoneIdentifier", &subnet),
        ("LaunchTemplate.LaunchTemplateId", &template),
    ];
    moto.scaling("CreateAutoScalingGroup", &group).await.ok();
    let tags = [("Tags.member.1.Key", "cluster"), ("Tags.member.1.Value", "blue")];
    let balancer = balancer(moto, &subnet, &tags).await;
    let target_group = target_group(moto, &vpc, "api").await;
    moto.balancing("CreateListener", &forward(&balancer, "6443", &target_group)).await.ok();
    moto.iam("CreateRole", &[("RoleName", "node"), ("AssumeRolePolicyDocument", "{}")]).await.ok();
    moto.iam("CreateInstanceProfile", &[("InstanceProfileName", "node")]).await.ok();
    let zone = zone(moto, "once").await;
    let record = change("CREATE", "api.example.org.", "192.0.2.1");
    let path = format!("/2013-04-01/hostedzone/{zone}/rrset/");
    moto.rest(Service::Route53, Method::POST, &path, &record).await.ok();
    for name in ["/keelwright/a", "/other/b"] {
        moto.parameters("PutParameter", &json!({"Name": name, "Value": "1", "Type": "String"})).await.ok();
    }
    let bucket = "/keelwright-census";
    let place = "<CreateBucketConfiguration><LocationConstraint>eu-central-1</LocationConstraint>\
                 </CreateBucketConfiguration>";
    moto.rest(Service::S3, Method::PUT, bucket, place).await.ok();

    let census = census(moto, "/keelwright").await;
    let counts: Vec<_> = census.iter().map(|(kind, things)| (*kind, things.len())).collect();
    // All kinds, in the order in which they are declared.
    let all = [
        Kind::Vpc,
        Kind::Subnet,
        Kind::InternetGateway,
        Kind::Address,
        Kind::NatGateway,
        Kind::RouteTable,
        Kind::SecurityGroup,
        Kind::KeyPair,
        Kind::LaunchTemplate,
        Kind::Instance,
        Kind::Volume,
        Kind::AutoScalingGroup,
        Kind::LoadBalancer,
        Kind::TargetGroup,
        Kind::Listener,
        Kind::Role,
        Kind::InstanceProfile,
        Kind::RecordSet,
        Kind::Parameter,
        Kind::Bucket,
    ];
    assert_eq!(counts, all.map(|kind| (kind, 1)));
    assert_eq!(census[&Kind::Vpc][0].tags["cluster"], "blue");
    assert_eq!(census[&Kind::LoadBalancer][0].tags["cluster"], "blue");
    assert_eq!(census[&Kind::Instance][0].state, "running");
    let record = &census[&Kind::RecordSet][0];
    assert_eq!((record.id.as_str(), record.state.as_str()), ("api.example.org. A", "192.0.2.1"));
}
