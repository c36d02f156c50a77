//! Balancers as a migration finds them, with what is behind their listeners.

use keelwright::inventory::Balancer;
use keelwright::migrate::ports::{BalancerFacts, BalancerKind, Balancers as _, TargetGroup, TargetKind};

use super::Scene;
use crate::emulator::client::Client;
use crate::emulator::fixtures::{forward, group, target_group, vpc};
use crate::emulator::proxy::{Delays, Fault, Faults};

/// Two subnets in two zones.
async fn subnets(client: &Client, vpc: &str) -> [String; 2] {
    let subnet = async |range: &str, zone: &str| {
        let params = [("VpcId", vpc), ("CidrBlock", range), ("AvailabilityZone", zone)];
        client.ec2("CreateSubnet", &params).await.ok().one("subnetId")
    };
    [subnet("10.0.1.0/24", "eu-central-1a").await, subnet("10.0.2.0/24", "eu-central-1b").await]
}

async fn balancer(client: &Client, name: &str, kind: &str, subnets: &[String; 2]) -> String {
    let params = [
        ("Name", name),
        ("Type", kind),
        ("Subnets.member.1", &subnets[0]),
        ("Subnets.member.2", &subnets[1]),
    ];
    client.balancing("CreateLoadBalancer", &params).await.ok().one("LoadBalancerArn")
}

async fn attribute(client: &Client, group: &str, key: &str, value: &str) {
    let params =
        [("TargetGroupArn", group), ("Attributes.member.1.Key", key), ("Attributes.member.1.Value", value)];
    client.balancing("ModifyTargetGroupAttributes", &params).await.ok();
}

async fn found(scene: &Scene, wanted: Balancer) -> Option<BalancerFacts> {
    scene.aws.find(&wanted).await.unwrap()
}

#[tokio::test]
async fn a_balancer_is_found_by_its_arn_its_name_and_what_records_say_of_it() {
    let Some(scene) = Scene::new() else { return };
    let moto = &scene.cloud.moto;
    let subnets = subnets(moto, &vpc(moto).await).await;
    // The list has more than one page.
    let mut arns = Vec::new();
    for number in 0..7 {
        arns.push(balancer(moto, &format!("lb-{number}"), "network", &subnets).await);
    }
    let arn = arns.last().unwrap().clone();
    let facts = found(&scene, Balancer::Arn(arn.clone())).await.unwrap();
    assert_eq!(found(&scene, Balancer::Name("lb-6".to_owned())).await.unwrap().arn, arn);
    let alias = |dns_name: String| Balancer::Alias { dns_name, hosted_zone: facts.hosted_zone.clone() };
    for wanted in [
        alias(facts.dns_name.clone()),
        alias(format!("{}.", facts.dns_name)),
        alias(format!("dualstack.{}.", facts.dns_name.to_uppercase())),
        Balancer::DnsName(facts.dns_name.clone()),
    ] {
        assert_eq!(found(&scene, wanted.clone()).await.unwrap().arn, arn, "{wanted:?}");
    }
    let gone = arn.replace("lb-6", "lb-7");
    for nobody in [
        Balancer::Arn(gone),
        Balancer::Name("lb-7".to_owned()),
        alias("lb-7-0123.elb.eu-central-1.amazonaws.com".to_owned()),
    ] {
        assert_eq!(found(&scene, nobody.clone()).await, None, "{nobody:?}");
    }
    let before = scene.cloud.proxy.calls().len();
    assert_eq!(found(&scene, Balancer::DnsName("lb.example.org".to_owned())).await, None);
    assert_eq!(found(&scene, Balancer::Addresses(vec!["192.0.2.1".parse().unwrap()])).await, None);
    assert_eq!(scene.cloud.proxy.calls().len(), before, "nobody is asked about what is not of AWS");
    scene.was_foretold();
}

#[tokio::test]
async fn a_network_balancer_is_told_with_its_networks_and_groups() {
    let Some(scene) = Scene::new() else { return };
    let moto = &scene.cloud.moto;
    let vpc = vpc(moto).await;
    let subnets = subnets(moto, &vpc).await;
    let firewall = group(moto, &vpc, "firewall").await;
    let params = [
        ("Name", "blue"),
        ("Type", "network"),
        ("Scheme", "internal"),
        ("Subnets.member.1", &subnets[0]),
        ("Subnets.member.2", &subnets[1]),
        ("SecurityGroups.member.1", &firewall),
    ];
    let arn = moto.balancing("CreateLoadBalancer", &params).await.ok().one("LoadBalancerArn");
    let by_instance = target_group(moto, &vpc, "by-instance").await;
    let params = [
        ("Name", "by-address"),
        ("Protocol", "TCP"),
        ("Port", "8080"),
        ("VpcId", &vpc),
        ("TargetType", "ip"),
    ];
    let by_address = moto.balancing("CreateTargetGroup", &params).await.ok().one("TargetGroupArn");
    attribute(moto, &by_instance, "preserve_client_ip.enabled", "false").await;
    attribute(moto, &by_instance, "deregistration_delay.timeout_seconds", "17").await;
    for (port, group) in [("443", &by_instance), ("80", &by_address), ("8443", &by_instance)] {
        moto.balancing("CreateListener", &forward(&arn, port, group)).await.ok();
    }
    let facts = found(&scene, Balancer::Arn(arn.clone())).await.unwrap();
    let of = |port| TargetGroup {
        arn: by_instance.clone(),
        port,
        target_port: 6443,
        kind: TargetKind::Instance,
        vpc: vpc.clone(),
        preserves_client_address: false,
        deregistration_delay: 17,
    };
    let address = TargetGroup {
        arn: by_address.clone(),
        target_port: 8080,
        kind: TargetKind::Address,
        deregistration_delay: 300,
        ..of(80)
    };
    let expected = BalancerFacts {
        arn: arn.clone(),
        dns_name: facts.dns_name.clone(),
        hosted_zone: facts.hosted_zone.clone(),
        kind: BalancerKind::Network,
        is_internal: true,
        // It has just been made.
        is_active: false,
        vpc: vpc.clone(),
        subnets: ["10.0.1.0/24", "10.0.2.0/24"].map(|range| range.parse().unwrap()).into(),
        groups: vec![firewall],
        target_groups: vec![address, of(443), of(8443)],
    };
    assert_eq!(facts, expected);
    assert!(!facts.dns_name.is_empty() && !facts.hosted_zone.is_empty());
    for is_active in [false, true] {
        assert_eq!(found(&scene, Balancer::Arn(arn.clone())).await.unwrap().is_active, is_active);
    }
    scene.was_foretold();
}

#[tokio::test]
async fn only_listeners_that_forward_to_one_group_count() {
    let Some(scene) = Scene::new() else { return };
    let moto = &scene.cloud.moto;
    let vpc = vpc(moto).await;
    let subnets = subnets(moto, &vpc).await;
    let (one, two) = (target_group(moto, &vpc, "one").await, target_group(moto, &vpc, "two").await);
    let network = balancer(moto, "network", "network", &subnets).await;
    moto.balancing("CreateListener", &forward(&network, "80", &one)).await.ok();
    let first = "DefaultActions.member.1.ForwardConfig.TargetGroups.member.1";
    let second = "DefaultActions.member.1.ForwardConfig.TargetGroups.member.2";
    let names =
        ["TargetGroupArn", "Weight"].map(|part| [format!("{first}.{part}"), format!("{second}.{part}")]);
    let [arns, weights] = &names;
    for (port, share) in [("443", "1"), ("8443", "0")] {
        let params = [
            ("LoadBalancerArn", network.as_str()),
            ("Port", port),
            ("Protocol", "TCP"),
            ("DefaultActions.member.1.Type", "forward"),
            (&arns[0], &one),
            (&weights[0], "1"),
            (&arns[1], &two),
            (&weights[1], share),
        ];
        moto.balancing("CreateListener", &params).await.ok();
    }
    let ports =
        |facts: &BalancerFacts| facts.target_groups.iter().map(|group| group.port).collect::<Vec<_>>();
    assert_eq!(ports(&found(&scene, Balancer::Arn(network)).await.unwrap()), [80, 8443]);

    let web = balancer(moto, "web", "application", &subnets).await;
    let params = [("Name", "pages"), ("Protocol", "HTTP"), ("Port", "8080"), ("VpcId", &vpc)];
    let pages = moto.balancing("CreateTargetGroup", &params).await.ok().one("TargetGroupArn");
    let params = [("Name", "images"), ("Protocol", "HTTP"), ("Port", "8081"), ("VpcId", &vpc)];
    let images = moto.balancing("CreateTargetGroup", &params).await.ok().one("TargetGroupArn");
    for port in ["80", "8080"] {
        let mut params = forward(&web, port, &pages);
        params[2] = ("Protocol", "HTTP");
        let listener = moto.balancing("CreateListener", &params).await.ok().one("ListenerArn");
        // One has a rule that sends some requests elsewhere, the other one that sends them to the same.
        let to = if port == "80" { &images } else { &pages };
        let rule = [
            ("ListenerArn", listener.as_str()),
            ("Priority", "1"),
            ("Conditions.member.1.Field", "path-pattern"),
            ("Conditions.member.1.Values.member.1", "/images/*"),
            ("Actions.member.1.Type", "forward"),
            ("Actions.member.1.TargetGroupArn", to),
        ];
        moto.balancing("CreateRule", &rule).await.ok();
    }
    let facts = found(&scene, Balancer::Arn(web)).await.unwrap();
    assert_eq!((facts.kind, ports(&facts)), (BalancerKind::Application, vec![8080]));
    assert!(!facts.target_groups[0].preserves_client_address);
    scene.was_foretold();
}

#[tokio::test]
async fn a_balancer_is_found_though_calls_fail_on_the_way() {
    let Some(scene) = Scene::new() else { return };
    scene.cloud.proxy.set(|settings| settings.delays = Delays::none());
    let moto = &scene.cloud.moto;
    let vpc = vpc(moto).await;
    let arn = balancer(moto, "blue", "network", &subnets(moto, &vpc).await).await;
    let behind = target_group(moto, &vpc, "behind").await;
    moto.balancing("CreateListener", &forward(&arn, "443", &behind)).await.ok();
    let expected = found(&scene, Balancer::Arn(arn.clone())).await.unwrap();
    for seed in 0..8 {
        let faults = [Fault::Throttle, Fault::InternalError, Fault::CutBefore, Fault::LostReply];
        scene.cloud.proxy.set_faults(Faults::one_in(3, seed, &faults));
        let facts = found(&scene, Balancer::Arn(arn.clone())).await.unwrap();
        assert_eq!(facts, expected, "seed {seed}");
    }
}
