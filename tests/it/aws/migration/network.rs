//! Machines behind targets, what lets connections in, and which networks reach each other.

use std::net::IpAddr;

use ipnet::IpNet;
use keelwright::migrate::ports::{Balancers as _, Machine, Rule, RuleSource};

use super::Scene;
use crate::emulator::client::Client;
use crate::emulator::fixtures::{group, instance, subnet, vpc};

async fn address_of(client: &Client, instance: &str) -> String {
    let answer = client.ec2("DescribeInstances", &[("InstanceId.1", instance)]).await.ok();
    answer.one("privateIpAddress")
}

#[tokio::test]
async fn machines_are_found_by_their_ids_and_by_their_addresses() {
    let Some(scene) = Scene::new() else { return };
    let moto = &scene.cloud.moto;
    let vpc = vpc(moto).await;
    let subnet = subnet(moto, &vpc).await;
    let group = group(moto, &vpc, "nodes").await;
    let more = [("SecurityGroupId.1", group.as_str())];
    // More of them than one page has.
    let mut ids = Vec::new();
    for _ in 0..6 {
        ids.push(instance(moto, &subnet, &more).await);
    }
    let gone = ids.pop().unwrap();
    let its_address = address_of(moto, &gone).await;
    moto.ec2("TerminateInstances", &[("InstanceId.1", &gone)]).await.ok();
    let mut expected = Vec::new();
    for id in &ids {
        let address: IpAddr = address_of(moto, id).await.parse().unwrap();
        expected.push(Machine { id: id.clone(), address, vpc: vpc.clone(), groups: vec![group.clone()] });
    }
    expected.sort_by(|one, other| one.id.cmp(&other.id));
    let nobody = ["i-0123456789abcdef0", "10.0.1.250", "192.0.2.1"].map(str::to_owned);
    let asked: Vec<String> = ids.iter().chain(&nobody).chain([&gone]).cloned().collect();
    // Those that are gone are going first.
    let until_gone = async |asked: &[String]| {
        let mut found = scene.aws.machines(asked).await.unwrap();
        while found.iter().any(|machine| machine.id == gone) {
            found = scene.aws.machines(asked).await.unwrap();
        }
        found
    };
    assert_eq!(until_gone(&asked).await, expected);
    let by_address: Vec<String> = expected.iter().map(|machine| machine.address.to_string()).collect();
    let asked = [by_address, nobody.to_vec()].concat();
    assert!(!asked.contains(&its_address));
    assert_eq!(scene.aws.machines(&asked).await.unwrap(), expected);
    assert_eq!(scene.aws.machines(&[]).await.unwrap(), []);
    scene.was_foretold();
}

#[tokio::test]
async fn rules_are_told_by_what_they_let_in_over_tcp() {
    let Some(scene) = Scene::new() else { return };
    let moto = &scene.cloud.moto;
    let vpc = vpc(moto).await;
    let (nodes, balancer) = (group(moto, &vpc, "nodes").await, group(moto, &vpc, "balancer").await);
    let list = [
        ("PrefixListName", "offices"),
        ("AddressFamily", "IPv4"),
        ("MaxEntries", "5"),
        ("Entry.1.Cidr", "203.0.113.0/24"),
        ("Entry.2.Cidr", "198.51.100.0/24"),
    ];
    let list = moto.ec2("CreateManagedPrefixList", &list).await.ok().one("prefixListId");
    let allow = async |rule: &[(&str, &str)]| {
        let params: Vec<_> = [("GroupId", nodes.as_str())].into_iter().chain(rule.iter().copied()).collect();
        moto.ec2("AuthorizeSecurityGroupIngress", &params).await.ok();
    };
    let tcp = [
        ("IpPermissions.1.IpProtocol", "tcp"),
        ("IpPermissions.1.FromPort", "30000"),
        ("IpPermissions.1.ToPort", "32767"),
    ];
    let with = |source: (&'static str, String)| (tcp, source);
    for (tcp, (name, value)) in [
        with(("IpPermissions.1.IpRanges.1.CidrIp", "10.0.0.0/16".to_owned())),
        with(("IpPermissions.1.Ipv6Ranges.1.CidrIpv6", "fd00::/8".to_owned())),
        with(("IpPermissions.1.Groups.1.GroupId", balancer.clone())),
        with(("IpPermissions.1.PrefixListIds.1.PrefixListId", list)),
    ] {
        allow(&[&tcp[..], &[(name, value.as_str())]].concat()).await;
    }
    allow(&[("IpPermissions.1.IpProtocol", "-1"), ("IpPermissions.1.IpRanges.1.CidrIp", "10.9.0.0/16")])
        .await;
    allow(&[
        ("IpPermissions.1.IpProtocol", "udp"),
        ("IpPermissions.1.FromPort", "53"),
        ("IpPermissions.1.ToPort", "53"),
        ("IpPermissions.1.IpRanges.1.CidrIp", "10.0.0.0/16"),
    ])
    .await;
    let rules = scene.aws.rules(&[nodes.clone(), "sg-0123456789abcdef0".to_owned()]).await.unwrap();
    let addresses = |range: &str| RuleSource::Addresses(range.parse::<IpNet>().unwrap());
    let rule = |ports, from| Rule { group: nodes.clone(), ports, from };
    let expected = [
        rule((30000, 32767), addresses("10.0.0.0/16")),
        rule((30000, 32767), addresses("fd00::/8")),
        rule((30000, 32767), RuleSource::Group(balancer.clone())),
        rule((30000, 32767), addresses("203.0.113.0/24")),
        rule((30000, 32767), addresses("198.51.100.0/24")),
        rule((0, 65535), addresses("10.9.0.0/16")),
    ];
    assert_eq!(rules.len(), expected.len(), "{rules:#?}");
    assert!(expected.iter().all(|rule| rules.contains(rule)), "{rules:#?}");
    assert_eq!(scene.aws.rules(&[balancer]).await.unwrap(), []);
    assert_eq!(scene.aws.rules(&[]).await.unwrap(), []);
    scene.was_foretold();
}

#[tokio::test]
async fn networks_reach_each_other_when_their_peering_is_accepted_and_while_it_lasts() {
    let Some(scene) = Scene::new() else { return };
    let moto = &scene.cloud.moto;
    let one = vpc(moto).await;
    let other = moto.ec2("CreateVpc", &[("CidrBlock", "10.1.0.0/16")]).await.ok().one("vpcId");
    let both = async || {
        let there = scene.aws.are_peered(&one, &other).await.unwrap();
        assert_eq!(scene.aws.are_peered(&other, &one).await, Ok(there));
        there
    };
    assert!(!both().await);
    let params = [("VpcId", one.as_str()), ("PeerVpcId", other.as_str())];
    let peering = moto.ec2("CreateVpcPeeringConnection", &params).await.ok().one("vpcPeeringConnectionId");
    assert!(!both().await, "nobody has accepted it");
    let params = [("VpcPeeringConnectionId", peering.as_str())];
    moto.ec2("AcceptVpcPeeringConnection", &params).await.ok();
    assert!(both().await);
    assert_eq!(scene.aws.are_peered(&one, "vpc-0123").await, Ok(false));
    assert_eq!(scene.aws.are_peered(&one, &one).await, Ok(true));
    moto.ec2("DeleteVpcPeeringConnection", &params).await.ok();
    assert!(!both().await);
    scene.was_foretold();
}
