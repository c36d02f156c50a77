//! What something else needs is not deleted.

use crate::emulator::Cloud;
use crate::emulator::census::census;
use crate::emulator::client::Client;
use crate::emulator::fixtures::*;
use crate::emulator::proxy::Delays;

const VIOLATION: Option<&str> = Some("DependencyViolation");

/// A call's error.
async fn refused(client: &Client, action: &str, params: &[(&str, &str)]) -> Option<String> {
    client.ec2(action, params).await.error()
}

fn instant(cloud: &Cloud) {
    cloud.proxy.set(|settings| settings.delays = Delays::none());
}

#[tokio::test]
async fn a_network_goes_only_after_all_that_is_in_it() {
    let Some(cloud) = Cloud::start() else { return };
    instant(&cloud);
    let client = cloud.proxy.client();
    let vpc = vpc(&client).await;
    let (subnet, gateway) = (subnet(&client, &vpc).await, gateway(&client, &vpc).await);
    let group = group(&client, &vpc, "nodes").await;
    let instance = instance(&client, &subnet, &[("SecurityGroupId.1", &group)]).await;
    let balancer = balancer(&client, &subnet, &[("SecurityGroups.member.1", &group)]).await;
    let address = address(&client).await;
    let nat = nat(&client, &subnet, &address).await;
    let delete_subnet = [("SubnetId", subnet.as_str())];
    let delete_group = [("GroupId", group.as_str())];
    let detach = [("InternetGatewayId", gateway.as_str()), ("VpcId", vpc.as_str())];
    let delete_vpc = [("VpcId", vpc.as_str())];
    let release = [("AllocationId", address.as_str())];

    assert_eq!(refused(&client, "DeleteSubnet", &delete_subnet).await.as_deref(), VIOLATION);
    assert_eq!(refused(&client, "DeleteSecurityGroup", &delete_group).await.as_deref(), VIOLATION);
    client.ec2("TerminateInstances", &[("InstanceId.1", &instance)]).await.ok();
    assert_eq!(refused(&client, "DeleteSubnet", &delete_subnet).await.as_deref(), VIOLATION, "NAT, balancer");
    assert_eq!(
        refused(&client, "DeleteSecurityGroup", &delete_group).await.as_deref(),
        VIOLATION,
        "balancer"
    );
    assert_eq!(refused(&client, "ReleaseAddress", &release).await.as_deref(), Some("InvalidIPAddress.InUse"));
    client.ec2("DeleteNatGateway", &[("NatGatewayId", &nat)]).await.ok();
    assert_eq!(refused(&client, "DetachInternetGateway", &detach).await.as_deref(), VIOLATION, "balancer");
    client.balancing("DeleteLoadBalancer", &[("LoadBalancerArn", &balancer)]).await.ok();
    assert_eq!(refused(&client, "ReleaseAddress", &release).await, None);
    assert_eq!(refused(&client, "DeleteSubnet", &delete_subnet).await, None);
    assert_eq!(refused(&client, "DeleteVpc", &delete_vpc).await.as_deref(), VIOLATION, "gateway, group");
    assert_eq!(refused(&client, "DetachInternetGateway", &detach).await, None);
    client.ec2("DeleteInternetGateway", &[("InternetGatewayId", &gateway)]).await.ok();
    assert_eq!(refused(&client, "DeleteVpc", &delete_vpc).await.as_deref(), VIOLATION, "group");
    assert_eq!(refused(&client, "DeleteSecurityGroup", &delete_group).await, None);
    assert_eq!(refused(&client, "DeleteVpc", &delete_vpc).await, None);
    assert!(census(&cloud.moto, "/keelwright").await.is_empty());
}

#[tokio::test]
async fn what_goes_is_in_the_way_until_it_is_gone() {
    let Some(cloud) = Cloud::start() else { return };
    let client = cloud.proxy.client();
    let mut subnets = Vec::new();
    for _ in 0..3 {
        subnets.push(subnet(&client, &vpc(&client).await).await);
    }
    let instance = instance(&client, &subnets[0], &[]).await;
    let nat = nat(&client, &subnets[1], &address(&client).await).await;
    let balancer = balancer(&client, &subnets[2], &[]).await;
    client.ec2("TerminateInstances", &[("InstanceId.1", &instance)]).await.ok();
    client.ec2("DeleteNatGateway", &[("NatGatewayId", &nat)]).await.ok();
    client.balancing("DeleteLoadBalancer", &[("LoadBalancerArn", &balancer)]).await.ok();
    for subnet in subnets {
        let mut answers = Vec::new();
        for _ in 0..3 {
            answers.push(refused(&client, "DeleteSubnet", &[("SubnetId", &subnet)]).await);
        }
        let violation = || VIOLATION.map(str::to_owned);
        assert_eq!(answers, [violation(), violation(), None]);
    }
}

#[tokio::test]
async fn a_security_group_that_another_ones_rules_name_is_in_use() {
    let Some(cloud) = Cloud::start() else { return };
    let client = cloud.proxy.client();
    let vpc = vpc(&client).await;
    let (nodes, other) = (group(&client, &vpc, "nodes").await, group(&client, &vpc, "other").await);
    let rule = |group| {
        [
            ("GroupId", group),
            ("IpPermissions.1.IpProtocol", "tcp"),
            ("IpPermissions.1.FromPort", "22"),
            ("IpPermissions.1.ToPort", "22"),
            ("IpPermissions.1.Groups.1.GroupId", nodes.as_str()),
        ]
    };
    client.ec2("AuthorizeSecurityGroupIngress", &rule(&nodes)).await.ok();
    client.ec2("AuthorizeSecurityGroupIngress", &rule(&other)).await.ok();
    assert_eq!(refused(&client, "DeleteSecurityGroup", &[("GroupId", &nodes)]).await.as_deref(), VIOLATION);
    client.ec2("RevokeSecurityGroupIngress", &rule(&other)).await.ok();
    assert_eq!(refused(&client, "DeleteSecurityGroup", &[("GroupId", &nodes)]).await, None);
    let groups = [("Filter.1.Name", "group-name"), ("Filter.1.Value.1", "default")];
    let default = client.ec2("DescribeSecurityGroups", &groups).await.ok().one("groupId");
    let answer = refused(&client, "DeleteSecurityGroup", &[("GroupId", &default)]).await;
    assert_eq!(answer.as_deref(), Some("CannotDelete"));
}

#[tokio::test]
async fn the_main_route_table_and_an_interface_in_use_stay() {
    let Some(cloud) = Cloud::start() else { return };
    let client = cloud.proxy.client();
    let vpc = vpc(&client).await;
    let subnet = subnet(&client, &vpc).await;
    let filter = [("Filter.1.Name", "vpc-id"), ("Filter.1.Value.1", vpc.as_str())];
    let main = client.ec2("DescribeRouteTables", &filter).await.ok().one("routeTableId");
    assert_eq!(refused(&client, "DeleteRouteTable", &[("RouteTableId", &main)]).await.as_deref(), VIOLATION);
    let instance = instance(&client, &subnet, &[]).await;
    let interface =
        async || client.ec2("DescribeNetworkInterfaces", &[]).await.ok().all("networkInterfaceId");
    let id = interface().await.remove(0);
    let delete = [("NetworkInterfaceId", id.as_str())];
    assert_eq!(
        refused(&client, "DeleteNetworkInterface", &delete).await.as_deref(),
        Some("InvalidParameterValue")
    );
    instant(&cloud);
    client.ec2("TerminateInstances", &[("InstanceId.1", &instance)]).await.ok();
    assert!(interface().await.is_empty(), "the interfaces of what is gone are gone");
}

#[tokio::test]
async fn the_address_of_a_nat_gateway_is_not_taken_from_it() {
    let Some(cloud) = Cloud::start() else { return };
    let client = cloud.proxy.client();
    let (subnet, allocation) = (subnet(&client, &vpc(&client).await).await, address(&client).await);
    let nat = nat(&client, &subnet, &allocation).await;
    let associations = async || client.ec2("DescribeAddresses", &[]).await.ok().all("associationId");
    let take = associations().await.remove(0);
    let answer = refused(&client, "DisassociateAddress", &[("AssociationId", &take)]).await;
    assert_eq!(answer.as_deref(), Some("AuthFailure"));
    client.ec2("DeleteNatGateway", &[("NatGatewayId", &nat)]).await.ok();
    assert!(associations().await.iter().all(String::is_empty));
}

#[tokio::test]
async fn what_is_protected_or_has_instances_stays() {
    let Some(cloud) = Cloud::start() else { return };
    let client = cloud.proxy.client();
    let subnet = subnet(&client, &vpc(&client).await).await;
    let balancer = balancer(&client, &subnet, &[]).await;
    let named = ("LoadBalancerArn", balancer.as_str());
    let protect = async |value| {
        let key = ("Attributes.member.1.Key", "deletion_protection.enabled");
        let params = [named, key, ("Attributes.member.1.Value", value)];
        client.balancing("ModifyLoadBalancerAttributes", &params).await.ok();
        client.balancing("DeleteLoadBalancer", &[named]).await.error()
    };
    assert_eq!(protect("true").await.as_deref(), Some("OperationNotPermitted"));
    assert_eq!(protect("false").await, None);

    scaling_group(&client, &subnet, &template(&client, "worker", &[]).await).await;
    let name = ("AutoScalingGroupName", "workers");
    let refused = client.scaling("DeleteAutoScalingGroup", &[name]).await.error();
    assert_eq!(refused.as_deref(), Some("ResourceInUse"));
    client.scaling("DeleteAutoScalingGroup", &[name, ("ForceDelete", "true")]).await.ok();
}

#[tokio::test]
async fn a_balancer_of_the_first_generation_is_in_the_way_like_any_other() {
    let Some(cloud) = Cloud::start() else { return };
    instant(&cloud);
    let client = cloud.proxy.client();
    let vpc = vpc(&client).await;
    let subnet = subnet(&client, &vpc).await;
    let group = group(&client, &vpc, "k8s-elb-web").await;
    classic_balancer(&client, "web", &subnet, &group, &[("team", "shop")]).await;
    let listed = client.classic_balancing("DescribeLoadBalancers", &[]).await.ok();
    assert_eq!((listed.one("LoadBalancerName"), listed.one("VPCId")), ("web".to_owned(), vpc));
    assert_eq!(client.balancing("DescribeLoadBalancers", &[]).await.ok().all("LoadBalancerArn").len(), 0);
    for (action, id) in
        [("DeleteSubnet", ("SubnetId", &subnet)), ("DeleteSecurityGroup", ("GroupId", &group))]
    {
        let params = [(id.0, id.1.as_str())];
        assert_eq!(refused(&client, action, &params).await.as_deref(), VIOLATION, "{action}");
    }
    client.classic_balancing("DeleteLoadBalancer", &[("LoadBalancerName", "web")]).await.ok();
    assert_eq!(refused(&client, "DeleteSecurityGroup", &[("GroupId", &group)]).await, None);
    assert_eq!(refused(&client, "DeleteSubnet", &[("SubnetId", &subnet)]).await, None);
}
