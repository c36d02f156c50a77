//! A cluster goes with what its own controllers have made, and somebody else's things in its network stay.

use keelwright::cloud::aws::AwsCloud;
use keelwright::cloud::destroy::{Destroyer, Ended, Keep, Volumes};
use keelwright::exec::SystemClock;
use keelwright::inventory::AwsInventory;

use super::commands::{Operator, text};
use super::lifecycle::{
    PACE, SMALL, Site, census_of, counts, once, permissions_were_foretold, trouble, wanted,
};
use crate::emulator::Cloud;
use crate::emulator::census::{Census, Kind};
use crate::emulator::client::Client;
use crate::emulator::fixtures;

const OWNED: (&str, &str) = ("kubernetes.io/cluster/prod", "owned");
const SERVICE: (&str, &str) = ("kubernetes.io/service-name", "default/web");

/// What there is of a name of keelwright's.
async fn id(cloud: &Cloud, kind: Kind, name: &str) -> String {
    let census = census_of(cloud).await;
    let named = |tags: &std::collections::BTreeMap<String, String>| {
        tags.get("keelwright.dev/name").is_some_and(|tag| tag == name)
    };
    let thing = census[&kind].iter().find(|thing| named(&thing.tags));
    thing.unwrap_or_else(|| panic!("no {name}")).id.clone()
}

async fn tag(moto: &Client, id: &str, tags: &[(&str, &str)]) {
    for (key, value) in tags {
        let params = [("ResourceId.1", id), ("Tag.1.Key", *key), ("Tag.1.Value", *value)];
        moto.ec2("CreateTags", &params).await.ok();
    }
}

async fn tag_balancer(moto: &Client, arn: &str, tags: &[(&str, &str)]) {
    for (key, value) in tags {
        let params =
            [("ResourceArns.member.1", arn), ("Tags.member.1.Key", *key), ("Tags.member.1.Value", *value)];
        moto.balancing("AddTags", &params).await.ok();
    }
}

/// What the cloud controller makes for Services, the AWS Load Balancer Controller for an Ingress, and the driver of
/// volumes for a claim, in moto: past the proxy, because it is not keelwright who calls. The volume's id.
async fn controllers_work(cloud: &Cloud) -> String {
    let moto = &cloud.moto;
    let vpc = id(cloud, Kind::Vpc, "vpc/main").await;
    let subnet = id(cloud, Kind::Subnet, "subnet/public-a").await;
    let workers = id(cloud, Kind::SecurityGroup, "security-group/worker").await;
    let group = fixtures::group(moto, &vpc, "k8s-elb-web").await;
    tag(moto, &group, &[OWNED]).await;
    // Nodes let it through, and it lets nodes through: groups that name each other.
    for (on, from) in [(&workers, &group), (&group, &workers)] {
        let params = [
            ("GroupId", on.as_str()),
            ("IpPermissions.1.IpProtocol", "-1"),
            ("IpPermissions.1.Groups.1.GroupId", from),
        ];
        moto.ec2("AuthorizeSecurityGroupIngress", &params).await.ok();
    }
    fixtures::classic_balancer(moto, "a0web", &subnet, &group, &[OWNED, SERVICE]).await;
    for (name, tags) in [
        ("a1web", [OWNED, SERVICE]),
        ("k8s-shop", [("elbv2.k8s.aws/cluster", "prod"), ("ingress.k8s.aws/stack", "shop/front")]),
    ] {
        let more = [("Name", name), ("SecurityGroups.member.1", &group)];
        let balancer = fixtures::balancer(moto, &subnet, &more).await;
        let targets = fixtures::target_group(moto, &vpc, name).await;
        moto.balancing("CreateListener", &fixtures::forward(&balancer, "80", &targets)).await.ok();
        tag_balancer(moto, &balancer, &tags).await;
        tag_balancer(moto, &targets, &tags).await;
    }
    let params = [("AvailabilityZone", "eu-central-1a"), ("Size", "20"), ("VolumeType", "gp3")];
    let volume = moto.ec2("CreateVolume", &params).await.ok().one("volumeId");
    let claim = [
        OWNED,
        ("ebs.csi.aws.com/cluster", "true"),
        ("kubernetes.io/created-for/pvc/namespace", "shop"),
        ("kubernetes.io/created-for/pvc/name", "data"),
    ];
    tag(moto, &volume, &claim).await;
    let machine = id(cloud, Kind::Instance, "instance/cp-1").await;
    let params = [("VolumeId", volume.as_str()), ("InstanceId", &machine), ("Device", "/dev/sdx")];
    moto.ec2("AttachVolume", &params).await.ok();
    volume
}

/// A balancer for the Internet that nothing says to be the cluster's.
async fn stranger(cloud: &Cloud) -> String {
    let subnet = id(cloud, Kind::Subnet, "subnet/public-b").await;
    let balancer = fixtures::balancer(&cloud.moto, &subnet, &[("Name", "stranger")]).await;
    tag_balancer(&cloud.moto, &balancer, &[("kubernetes.io/cluster/other", "owned")]).await;
    balancer
}

async fn destroy(site: &Site, inventory: &AwsInventory, volumes: Volumes, seed: u64) -> Ended {
    let api: AwsCloud = site.connect(inventory);
    let clock = SystemClock::default();
    let destroyer = Destroyer {
        api: &api,
        clock: &clock,
        pace: PACE,
        seed,
        cluster: "prod",
        network: None,
        volumes,
        events: &|_, _| {},
    };
    let first = destroyer.look().await.unwrap();
    let before = site.cloud.proxy.journal().len();
    let plan = first.destruction.plan.clone();
    let ended = destroyer.carry_out(first).await.unwrap();
    permissions_were_foretold(site, &plan, before);
    ended
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_controllers_have_made_goes_with_the_cluster_whatever_calls_meet() {
    for seed in 0..2 {
        let Some(site) = Site::new(&format!("made-{seed}")).await else { return };
        let inventory = site.inventory(SMALL.0, SMALL.1);
        let state = wanted(&site, &inventory).await;
        once(&site, &inventory, &state, seed).await;
        controllers_work(&site.cloud).await;
        // The wishes of the inventory are none of their business.
        assert_eq!(once(&site, &inventory, &state, seed).await.steps.len(), 1, "the rule on nodes");
        site.cloud.proxy.set_faults(trouble(seed));
        let ended = destroy(&site, &inventory, Volumes::Delete, seed).await;
        assert!(ended.is_complete(), "seed {seed}: {:#?}", ended.outcome);
        assert_eq!(site.census().await, Census::new(), "seed {seed}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_balancer_of_somebody_else_stays_with_its_subnet_and_is_named() {
    let Some(site) = Site::new("stranger").await else { return };
    let inventory = site.inventory(SMALL.0, SMALL.1);
    let state = wanted(&site, &inventory).await;
    once(&site, &inventory, &state, 1).await;
    let volume = controllers_work(&site.cloud).await;
    let stranger = stranger(&site.cloud).await;
    let ended = destroy(&site, &inventory, Volumes::Keep, 1).await;
    assert!(!ended.is_complete());
    assert!(ended.outcome.is_complete(), "{:#?}", ended.outcome);
    let [held] = ended.scene.destruction.held.as_slice() else { panic!("{:#?}", ended.scene.destruction) };
    let what: Vec<_> = held.what.iter().map(ToString::to_string).collect();
    assert_eq!((held.by.id.as_str(), held.by.name.as_str()), (stranger.as_str(), "stranger"));
    assert_eq!(what, ["internet-gateway/main", "subnet/public-b", "vpc/main"]);
    let kept: Vec<_> = ended.kept.iter().map(|kept| (kept.volume.id.as_str(), &kept.why)).collect();
    assert_eq!(kept, [(volume.as_str(), &Keep::Data)]);
    let left = [
        (Kind::Vpc, 1),
        (Kind::Subnet, 1),
        (Kind::InternetGateway, 1),
        // Only keelwright's are counted.
        (Kind::Volume, 0),
        (Kind::LoadBalancer, 1),
    ];
    assert_eq!(counts(&site.census().await), left);

    site.cloud.moto.balancing("DeleteLoadBalancer", &[("LoadBalancerArn", &stranger)]).await.ok();
    let ended = destroy(&site, &inventory, Volumes::Delete, 2).await;
    assert!(ended.is_complete(), "{:#?}", ended.outcome);
    assert_eq!(site.census().await, Census::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_sees_what_goes_and_what_stays_and_how_that_goes() {
    let Some(operator) = Operator::new("destroys", "").await else { return };
    operator.machines_say_their_keys();
    operator.until(&["apply", "--yes"], "waiting for cp-");
    let volume = controllers_work(&operator.cloud).await;
    let stranger = stranger(&operator.cloud).await;
    let shown = text(&operator.run(&["destroy"]).stdout);
    for line in [
        "- made-classic-balancer/a0web a0web: made by the cluster for Service default/web\n".to_owned(),
        format!(
            "! load balancer stranger ({stranger}) is not keelwright's to take, and keeps internet-gateway/main, subnet/public-b, vpc/main\n"
        ),
        format!("= volume {volume} (claim shop/data) stays: it holds data\n"),
    ] {
        assert!(shown.contains(&line), "{line} is not in\n{shown}");
    }
    assert!(shown.contains("- made-target-group/k8s-shop arn:"), "{shown}");
    assert!(!shown.contains("- subnet/public-b"), "{shown}");

    let destroyed = operator.run(&["destroy", "--confirm", "prod"]);
    let said = text(&destroyed.stderr);
    assert_eq!(destroyed.status.code(), Some(1), "{said}");
    for part in [
        "3 of the cluster's resources are left, because somebody else needs them".to_owned(),
        format!("aws elbv2 delete-load-balancer --load-balancer-arn {stranger}"),
        format!(
            "left: volume {volume} (claim shop/data): it holds data; aws ec2 delete-volume --volume-id {volume}\n"
        ),
        "keelwright destroy --confirm prod --delete-volumes".to_owned(),
    ] {
        assert!(said.contains(&part), "{part} is not in\n{said}");
    }

    operator.cloud.moto.balancing("DeleteLoadBalancer", &[("LoadBalancerArn", &stranger)]).await.ok();
    let destroyed = operator.run(&["destroy", "--confirm", "prod"]);
    assert_eq!(destroyed.status.code(), Some(0), "{}", text(&destroyed.stderr));
    let left = census_of(&operator.cloud).await;
    assert_eq!(left.keys().collect::<Vec<_>>(), [&Kind::Volume], "{left:#?}");
    let destroyed = operator.run(&["destroy", "--confirm", "prod", "--delete-volumes"]);
    assert_eq!(destroyed.status.code(), Some(0), "{}", text(&destroyed.stderr));
    assert_eq!(census_of(&operator.cloud).await, Census::new());
}
