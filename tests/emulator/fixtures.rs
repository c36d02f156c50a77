//! Small things made by raw calls, for the tests of this directory.

use super::client::Client;
use super::service::Service;

pub const IMAGE: &str = "ami-03cf127a";

pub async fn vpc(client: &Client) -> String {
    client.ec2("CreateVpc", &[("CidrBlock", "10.0.0.0/16")]).await.ok().one("vpcId")
}

pub async fn subnet(client: &Client, vpc: &str) -> String {
    let params = [("VpcId", vpc), ("CidrBlock", "10.0.1.0/24"), ("AvailabilityZone", "eu-central-1a")];
    client.ec2("CreateSubnet", &params).await.ok().one("subnetId")
}

pub async fn gateway(client: &Client, vpc: &str) -> String {
    let gateway = client.ec2("CreateInternetGateway", &[]).await.ok().one("internetGatewayId");
    client.ec2("AttachInternetGateway", &[("InternetGatewayId", &gateway), ("VpcId", vpc)]).await.ok();
    gateway
}

pub async fn group(client: &Client, vpc: &str, name: &str) -> String {
    let params = [("VpcId", vpc), ("GroupName", name), ("GroupDescription", name)];
    client.ec2("CreateSecurityGroup", &params).await.ok().one("groupId")
}

pub async fn address(client: &Client) -> String {
    client.ec2("AllocateAddress", &[("Domain", "vpc")]).await.ok().one("allocationId")
}

pub async fn nat(client: &Client, subnet: &str, allocation: &str) -> String {
    let params = [("SubnetId", subnet), ("AllocationId", allocation)];
    client.ec2("CreateNatGateway", &params).await.ok().one("natGatewayId")
}

/// The parameters of a launch of one instance.
pub fn launch<'a>(subnet: &'a str, more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let own = [("MinCount", "1"), ("MaxCount", "1"), ("ImageId", IMAGE), ("InstanceType", "t3.micro")];
    own.into_iter().chain([("SubnetId", subnet)]).chain(more.iter().copied()).collect()
}

pub async fn instance(client: &Client, subnet: &str, more: &[(&str, &str)]) -> String {
    client.ec2("RunInstances", &launch(subnet, more)).await.ok().one("instanceId")
}

pub async fn balancer(client: &Client, subnet: &str, more: &[(&str, &str)]) -> String {
    let own = [("Name", "api"), ("Type", "network"), ("Subnets.member.1", subnet)];
    let own = own.into_iter().filter(|(name, _)| more.iter().all(|(other, _)| other != name));
    let params: Vec<_> = own.chain(more.iter().copied()).collect();
    client.balancing("CreateLoadBalancer", &params).await.ok().one("LoadBalancerArn")
}

/// One of the first generation, which has a name and no ARN.
pub async fn classic_balancer(client: &Client, name: &str, subnet: &str, group: &str, tags: &[(&str, &str)]) {
    let tags: Vec<(String, &str)> = (1..)
        .zip(tags)
        .flat_map(|(number, (key, value))| {
            [(format!("Tags.member.{number}.Key"), *key), (format!("Tags.member.{number}.Value"), *value)]
        })
        .collect();
    let own = [
        ("LoadBalancerName", name),
        ("Listeners.member.1.Protocol", "TCP"),
        ("Listeners.member.1.LoadBalancerPort", "80"),
        ("Listeners.member.1.InstancePort", "30080"),
        ("Subnets.member.1", subnet),
        ("SecurityGroups.member.1", group),
    ];
    let params: Vec<_> =
        own.into_iter().chain(tags.iter().map(|(key, value)| (key.as_str(), *value))).collect();
    client.classic_balancing("CreateLoadBalancer", &params).await.ok();
}

pub async fn target_group(client: &Client, vpc: &str, name: &str) -> String {
    let params = [("Name", name), ("Protocol", "TCP"), ("Port", "6443"), ("VpcId", vpc)];
    client.balancing("CreateTargetGroup", &params).await.ok().one("TargetGroupArn")
}

/// The parameters of a listener that forwards to one target group.
pub fn forward<'a>(balancer: &'a str, port: &'a str, group: &'a str) -> [(&'a str, &'a str); 5] {
    [
        ("LoadBalancerArn", balancer),
        ("Port", port),
        ("Protocol", "TCP"),
        ("DefaultActions.member.1.Type", "forward"),
        ("DefaultActions.member.1.TargetGroupArn", group),
    ]
}

pub async fn template(client: &Client, name: &str, more: &[(&str, &str)]) -> String {
    let own = [
        ("LaunchTemplateName", name),
        ("LaunchTemplateData.ImageId", IMAGE),
        ("LaunchTemplateData.InstanceType", "t3.micro"),
    ];
    let params: Vec<_> = own.into_iter().chain(more.iter().copied()).collect();
    client.ec2("CreateLaunchTemplate", &params).await.ok().one("launchTemplateId")
}

/// An auto scaling group of two from a launch template.
pub async fn scaling_group(client: &Client, subnet: &str, template: &str) {
    let params = [
        ("AutoScalingGroupName", "workers"),
        ("MinSize", "2"),
        ("MaxSize", "4"),
        ("VPCZoneIdentifier", subnet),
        ("LaunchTemplate.LaunchTemplateId", template),
        ("LaunchTemplate.Version", "$Latest"),
    ];
    client.scaling("CreateAutoScalingGroup", &params).await.ok();
}

/// The id of a new hosted zone.
pub async fn zone(client: &Client, reference: &str) -> String {
    let body = zone_body(reference);
    let answer =
        client.rest(Service::Route53, http::Method::POST, "/2013-04-01/hostedzone", &body).await.ok();
    answer.one("Id").trim_start_matches("/hostedzone/").to_owned()
}

pub fn zone_body(reference: &str) -> String {
    let inner = format!("<Name>example.org.</Name><CallerReference>{reference}</CallerReference>");
    format!("<CreateHostedZoneRequest>{inner}</CreateHostedZoneRequest>")
}

/// A change of one record.
pub fn change(action: &str, name: &str, value: &str) -> String {
    let values =
        format!("<ResourceRecords><ResourceRecord><Value>{value}</Value></ResourceRecord></ResourceRecords>");
    let set = format!("<Name>{name}</Name><Type>A</Type><TTL>60</TTL>{values}");
    let change = format!("<Action>{action}</Action><ResourceRecordSet>{set}</ResourceRecordSet>");
    let batch = format!("<ChangeBatch><Changes><Change>{change}</Change></Changes></ChangeBatch>");
    format!("<ChangeResourceRecordSetsRequest>{batch}</ChangeResourceRecordSetsRequest>")
}
