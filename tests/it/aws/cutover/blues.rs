//! Old clusters by who made them: what a plan makes of each. None of these tools is run here; what they leave in an account
//! is made as they leave it.

use super::stage::{BLUE, GREEN, Sides, Stage, text, until};
use crate::emulator::client::Client;
use crate::emulator::dns::route53::Leads;
use crate::emulator::fixtures;

const REGION: &str = "eu-central-1";

/// What a Service of type LoadBalancer has there: the hash of its id.
pub const KOPS_NAMED: &str = "a3f1c0b2d4e5f60718293a4b5c6d7e8f";

/// A balancer with one machine behind it.
pub struct Balanced {
    pub arn: String,
    dns_name: String,
    hosted_zone: String,
    machine: String,
}

struct Network {
    vpc: String,
    subnet: String,
    nodes: String,
}

async fn network(moto: &Client) -> Network {
    let vpc = fixtures::vpc(moto).await;
    let subnet = fixtures::subnet(moto, &vpc).await;
    let nodes = fixtures::group(moto, &vpc, "nodes").await;
    let rule = [
        ("GroupId", nodes.as_str()),
        ("IpPermissions.1.IpProtocol", "tcp"),
        ("IpPermissions.1.FromPort", "30000"),
        ("IpPermissions.1.ToPort", "32767"),
        ("IpPermissions.1.IpRanges.1.CidrIp", "0.0.0.0/0"),
    ];
    moto.ec2("AuthorizeSecurityGroupIngress", &rule).await.ok();
    Network { vpc, subnet, nodes }
}

async fn balanced(moto: &Client, network: &Network, name: &str, port: u16, node_port: &str) -> Balanced {
    let own = [("Name", name), ("Type", "network"), ("Subnets.member.1", network.subnet.as_str())];
    let own: Vec<_> = own.into_iter().chain([("Scheme", "internet-facing")]).collect();
    let made = moto.balancing("CreateLoadBalancer", &own).await.ok();
    let group = [
        ("Name", name),
        ("Protocol", "TCP"),
        ("Port", node_port),
        ("VpcId", network.vpc.as_str()),
        ("TargetType", "instance"),
    ];
    let group = moto.balancing("CreateTargetGroup", &group).await.ok().one("TargetGroupArn");
    let arn = made.one("LoadBalancerArn");
    moto.balancing("CreateListener", &fixtures::forward(&arn, &port.to_string(), &group)).await.ok();
    let more = [("SecurityGroupId.1", network.nodes.as_str())];
    let machine = fixtures::instance(moto, &network.subnet, &more).await;
    let target = [("TargetGroupArn", group.as_str()), ("Targets.member.1.Id", machine.as_str())];
    moto.balancing("RegisterTargets", &target).await.ok();
    let (dns_name, hosted_zone) = (made.one("DNSName"), made.one("CanonicalHostedZoneId"));
    Balanced { arn, dns_name, hosted_zone, machine }
}

fn alias(balanced: &Balanced) -> Leads {
    let (dns_name, hosted_zone) = (format!("{}.", balanced.dns_name), balanced.hosted_zone.clone());
    Leads::Alias { dns_name, hosted_zone }
}

/// Two balancers of AWS with a machine behind each, and those machines.
pub async fn in_aws(
    test: &str,
    blue_name: &str,
    more: &str,
    found: impl Fn(&Balanced) -> String,
) -> Option<(Stage, [String; 2])> {
    let mut machines = [String::new(), String::new()];
    let stage = Stage::with(test, more, async |moto, port| {
        let moto = &moto.in_region(REGION);
        let network = network(moto).await;
        let blue = balanced(moto, &network, blue_name, port, "31080").await;
        let green = balanced(moto, &network, "prod-ingress", port, "30080").await;
        machines = [blue.machine.clone(), green.machine.clone()];
        let balancers = [(blue.dns_name.clone(), BLUE), (green.dns_name.clone(), GREEN)].into();
        Sides { blue: found(&blue), green: "name: prod-ingress".to_owned(), leads: alias(&blue), balancers }
    })
    .await?;
    Some((stage, machines))
}

/// What is planned for a blue in AWS that is called so, and is found in this way.
async fn planned(
    test: &str,
    blue_name: &str,
    found: impl Fn(&Balanced) -> String,
) -> Option<(String, [String; 2])> {
    let more = "takeOver: {quiet: 5m, deadline: 1h}\n";
    let (stage, machines) = in_aws(test, blue_name, more, found).await?;
    let refused = stage.run(&["plan", "--check"]);
    assert_eq!(refused.status.code(), Some(4), "targets are not healthy at once");
    assert!(text(&refused.stderr).contains("healthy"), "{}", text(&refused.stderr));
    let said = until("targets are not healthy", async || {
        let planned = stage.run(&["plan", "--check"]);
        (planned.status.code() == Some(3)).then(|| text(&planned.stdout))
    })
    .await;
    Some((said, machines))
}

fn goes_to_green(said: &str, [blue, green]: &[String; 2]) {
    for line in [
        "weights 75/25".to_owned(),
        "A weight 75 (shop-blue)".to_owned(),
        format!("+ {green}:30080"),
        format!("- {blue}:31080"),
        "blue's balancer sends to green".to_owned(),
    ] {
        assert!(said.contains(&line), "{line}: {said}");
    }
}

/// Its record is an alias.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_that_kops_made_is_moved_by_its_balancers_arn() {
    let by_arn = |blue: &Balanced| format!("arn: \"{}\"", blue.arn);
    let Some((said, machines)) = planned("kops", KOPS_NAMED, by_arn).await else {
        return;
    };
    goes_to_green(&said, &machines);
}

/// keelwright names balancers after their clusters.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_that_keelwright_made_is_moved_by_its_balancers_name() {
    let by_name = |_: &Balanced| "name: old-ingress".to_owned();
    let Some((said, machines)) = planned("keelwright", "old-ingress", by_name).await else { return };
    goes_to_green(&said, &machines);
}

/// kubeadm makes no balancer: somebody's haproxy stands before it, which nobody but its owner can change.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_that_kubeadm_made_is_moved_by_its_balancers_addresses() {
    let Some(stage) = Stage::new("kubeadm", "takeOver: {quiet: 5m, deadline: 1h}\n").await else { return };
    let refused = stage.run(&["plan"]);
    assert_eq!(refused.status.code(), Some(2), "{}", text(&refused.stdout));
    assert!(text(&refused.stderr).contains("takeOver"), "{}", text(&refused.stderr));
    let Some(stage) = Stage::new("kubeadm-alone", "").await else { return };
    let planned = stage.run(&["plan"]);
    let said = text(&planned.stdout);
    assert_eq!(planned.status.code(), Some(0), "{}", text(&planned.stderr));
    assert!(said.contains("A weight 75 (shop-blue) -> 127.0.0.2"), "{said}");
}
