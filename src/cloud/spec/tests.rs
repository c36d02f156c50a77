//! The spec of a few inventories, and what holds for any.

use std::collections::BTreeSet;

use super::*;
use crate::inventory::*;
use crate::pki::spec::tests::cluster;
use crate::release::Arch;
use crate::release::addons::{CLOUD_CONTROLLER, EBS_CSI};

fn disk(size: u32) -> Disk {
    Disk { size, kind: DiskKind::Gp3, iops: None, throughput: None, kms_key: None }
}

pub(crate) fn group(name: &str) -> WorkerGroup {
    WorkerGroup {
        name: name.to_owned(),
        instance_types: vec!["m6i.large".to_owned()],
        arch: Arch::Amd64,
        image: None,
        min: 1,
        max: 20,
        desired: None,
        spot: 0,
        zones: Vec::new(),
        root_volume: disk(50),
        labels: BTreeMap::from([("pool".to_owned(), name.to_owned())]),
        taints: Vec::new(),
        max_surge: CountOrShare::Count(1),
        max_unavailable: CountOrShare::Count(1),
    }
}

/// Three zones, three control planes, one group of workers, a balancer for the API and one for ingress.
pub(crate) fn example() -> Aws {
    Aws {
        region: "eu-central-1".to_owned(),
        zones: Zones::Count(3),
        profile: None,
        assume_role: None,
        network: AwsNetwork::New { cidr: "10.0.0.0/16".parse().unwrap(), nat: Nat::PerZone },
        access: Access {
            ssh: vec!["203.0.113.0/24".parse().unwrap()],
            api: vec!["203.0.113.0/24".parse().unwrap()],
            ingress: vec!["0.0.0.0/0".parse().unwrap()],
        },
        ssh_key: "/home/op/.ssh/id_ed25519.pub".into(),
        image: MachineImage::Newest { owner: "136693071363".into(), name: "debian-12-{arch}-*".into() },
        bastion: Some(BastionMachine {
            instance_type: "t3.micro".to_owned(),
            arch: Arch::Amd64,
            image: None,
            user: "admin".to_owned(),
        }),
        control_planes: ControlPlaneMachines {
            count: 3,
            instance_type: "m6i.large".to_owned(),
            arch: Arch::Amd64,
            image: None,
            user: "admin".to_owned(),
            root_volume: disk(20),
            etcd_volume: disk(20),
        },
        worker_groups: vec![group("workers")],
        api: ApiBalancer {
            internal: false,
            record: Some(ApiRecord { name: "api.example.org".into(), hosted_zone: "Z0123456789".into() }),
        },
        ingress: vec![IngressListener { port: 443, node_port: 30443 }],
        tags: BTreeMap::from([("team".to_owned(), "platform".to_owned())]),
        deletion_protection: false,
    }
}

pub(crate) fn lookups() -> Lookups {
    Lookups {
        partition: "aws".to_owned(),
        account: "123456789012".to_owned(),
        zones: ["a", "b", "c"].map(|zone| format!("eu-central-1{zone}")).into(),
        subnets: BTreeMap::new(),
        public_key: "ssh-ed25519 AAAAC3Nza".to_owned(),
        first_boots: BTreeMap::new(),
    }
}

pub(crate) fn inventory_of(aws: &Aws) -> AwsInventory {
    AwsInventory::of(aws.clone(), cluster(1))
}

pub(crate) fn state_of(aws: &Aws) -> DesiredState {
    desired(&inventory_of(aws), &lookups()).unwrap()
}

fn names(state: &DesiredState, kind: &str) -> Vec<String> {
    let of_kind = state.iter().filter(|(_, desired)| desired.resource.kind() == kind);
    of_kind.map(|(name, _)| name.short().to_owned()).collect()
}

fn find<'a>(state: &'a DesiredState, name: &str) -> &'a Resource {
    &state.get(&ResourceName::parse(name).unwrap()).unwrap_or_else(|| panic!("no {name}")).resource
}

#[test]
fn a_cluster_over_three_zones() {
    insta::assert_json_snapshot!(state_of(&example()));
}

#[test]
fn the_control_planes_role_may_what_the_addons_do_and_nobody_elses() {
    let policies = |addons: &[&str], role: &str| {
        let mut cluster = cluster(1);
        let addon = |name: &&str| Addon { name: (*name).to_owned(), source: None, sha256: None };
        cluster.addons = addons.iter().map(addon).collect();
        let state = desired(&AwsInventory::of(example(), cluster), &lookups()).unwrap();
        let Resource::Role(role) = find(&state, role) else { panic!() };
        role.policies.clone()
    };
    let names = |addons: &[&str], role: &str| policies(addons, role).into_keys().collect::<Vec<_>>();
    assert_eq!(names(&[], "role/control-plane"), ["node-token"]);
    assert_eq!(names(&[EBS_CSI], "role/control-plane"), ["node-token", "volumes"]);
    let both = policies(&[CLOUD_CONTROLLER, EBS_CSI], "role/control-plane");
    assert_eq!(both.keys().collect::<Vec<_>>(), ["cloud-controller", "node-token", "volumes"]);
    assert_eq!(names(&[CLOUD_CONTROLLER, EBS_CSI], "role/worker"), names(&[], "role/worker"));
    // What IAM takes of all inline policies of a role.
    let size: usize = both.values().map(|policy| policy.to_string().len()).sum();
    assert!(size < 10_240, "{size} characters");
    let wide = ["*", "ec2:*", "elasticloadbalancing:*", "iam:"];
    let text = serde_json::to_string(&both).unwrap();
    assert!(wide.iter().all(|action| !text.contains(&format!("\"{action}\",\""))), "{text}");
}

#[test]
fn machines_may_read_artifacts_where_they_lie_in_a_bucket_and_nothing_else_there() {
    let roles = |delivery: Delivery| {
        let mut cluster = cluster(1);
        cluster.artifacts.delivery = delivery;
        let state = desired(&AwsInventory::of(example(), cluster), &lookups()).unwrap();
        ["role/control-plane", "role/worker"].map(|name| {
            let Resource::Role(role) = find(&state, name) else { panic!() };
            role.policies.get("artifacts").cloned()
        })
    };
    let mirror = Delivery::Mirror { url: "https://mirror.example.org".to_owned() };
    assert_eq!([roles(Delivery::Upload), roles(mirror)], [[None, None], [None, None]]);
    let (name, region, prefix) = ("acme".to_owned(), "eu-west-1".to_owned(), "kubernetes/files".to_owned());
    let both = roles(Delivery::Bucket(ArtifactBucket { name, region, prefix }));
    let policy = serde_json::json!({
        "Version": "2012-10-17",
        "Statement": [{
            "Effect": "Allow",
            "Action": "s3:GetObject",
            "Resource": "arn:aws:s3:::acme/kubernetes/files/*",
        }],
    });
    assert_eq!(both, [Some(policy.clone()), Some(policy)]);
}

#[test]
fn everything_that_is_named_is_wanted_too() {
    let mut variants = vec![example()];
    for nat in [Nat::Single, Nat::None] {
        let network = AwsNetwork::New { cidr: "10.0.0.0/20".parse().unwrap(), nat };
        variants.push(Aws { network, ..example() });
    }
    variants.push(Aws { bastion: None, ingress: Vec::new(), worker_groups: Vec::new(), ..example() });
    variants.push(Aws { zones: Zones::Count(1), ..example() });
    variants.push(Aws { api: ApiBalancer { internal: true, record: None }, ..example() });
    for aws in variants {
        let state = state_of(&aws);
        for (name, desired) in &state {
            assert!(name.as_str().starts_with(&format!("{}/", desired.resource.kind())), "{name}");
            for need in desired.resource.needs() {
                let Ref::Ours(need) = need else { panic!("{name} needs {need}") };
                assert!(state.contains_key(need), "{name} needs {need}");
            }
            let text = serde_json::to_string(desired).unwrap();
            assert!(text.starts_with(&format!("{{\"kind\":\"{}\"", desired.resource.kind())), "{text}");
            assert_eq!(serde_json::from_str::<Desired>(&text).unwrap(), *desired, "{name}");
        }
    }
}

#[test]
fn subnets_share_no_address_and_fit_the_network() {
    for (cidr, zones) in [("10.0.0.0/16", 6), ("100.64.0.0/22", 6), ("192.168.0.0/18", 2)] {
        let network = AwsNetwork::New { cidr: cidr.parse().unwrap(), nat: Nat::PerZone };
        let aws = Aws { network, zones: Zones::Count(zones), ..example() };
        let there = ["a", "b", "c", "d", "e", "f"].map(|zone| format!("eu-central-1{zone}"));
        let lookups = Lookups { zones: there.into(), ..lookups() };
        let state = desired(&AwsInventory::of(aws, cluster(1)), &lookups).unwrap();
        let subnets: Vec<Ipv4Net> = state
            .values()
            .filter_map(|desired| match &desired.resource {
                Resource::Subnet(subnet) => Some(subnet.cidr),
                _ => None,
            })
            .collect();
        assert_eq!(subnets.len(), usize::from(zones) * 2);
        let whole: Ipv4Net = cidr.parse().unwrap();
        for (index, subnet) in subnets.iter().enumerate() {
            assert!(whole.contains(subnet) && subnet.prefix_len() <= 28, "{subnet}");
            assert!(!subnets[..index].iter().any(|other| other.contains(subnet) || subnet.contains(other)));
        }
    }
}

#[test]
fn control_planes_are_spread_over_the_zones_and_keep_their_addresses() {
    let mut aws = example();
    aws.control_planes.count = 5;
    let state = state_of(&aws);
    let places: Vec<_> = ["cp-1", "cp-2", "cp-3", "cp-4", "cp-5"]
        .iter()
        .map(|name| match find(&state, &format!("instance/{name}")) {
            Resource::Instance(instance) => {
                (instance.subnet.to_string(), instance.private_address.unwrap().to_string())
            }
            other => panic!("{other:?}"),
        })
        .collect();
    let place = |zone: &str, address: &str| (format!("subnet/private-{zone}"), address.to_owned());
    assert_eq!(
        places,
        [
            place("a", "10.0.0.10"),
            place("b", "10.0.32.10"),
            place("c", "10.0.64.10"),
            place("a", "10.0.0.11"),
            place("b", "10.0.32.11")
        ]
    );
    assert_eq!(names(&state, "volume"), ["cp-1-etcd", "cp-2-etcd", "cp-3-etcd", "cp-4-etcd", "cp-5-etcd"]);
}

#[test]
fn ssh_and_the_api_are_open_only_where_asked() {
    let open = |aws: &Aws, role: &str| -> BTreeSet<String> {
        let state = state_of(aws);
        let Resource::SecurityRules(rules) = find(&state, &format!("security-rules/{role}")) else {
            panic!()
        };
        let words = |rule: &crate::cloud::resource::Rule| match &rule.peer {
            crate::cloud::resource::Peer::Network(network) => Some(format!("{:?} {network}", rule.protocol)),
            crate::cloud::resource::Peer::Group(_) => None,
        };
        rules.ingress.iter().filter_map(words).collect()
    };
    let none = BTreeSet::new();
    let only = |text: &str| BTreeSet::from([text.to_owned()]);
    let aws = example();
    assert_eq!(open(&aws, "bastion"), only("Tcp(22, 22) 203.0.113.0/24"));
    assert_eq!(open(&aws, "api"), only("Tcp(6443, 6443) 203.0.113.0/24"));
    assert_eq!(open(&aws, "ingress"), only("Tcp(443, 443) 0.0.0.0/0"));
    assert_eq!((open(&aws, "control-plane"), open(&aws, "worker")), (none.clone(), none.clone()));
    let closed = Aws { access: Access::default(), ..example() };
    assert_eq!((open(&closed, "bastion"), open(&closed, "api")), (none.clone(), none));
    let straight = Aws { bastion: None, ..example() };
    assert_eq!(open(&straight, "worker"), only("Tcp(22, 22) 203.0.113.0/24"));
}

#[test]
fn somebody_elses_network_is_used_as_it_is() {
    let subnet = |zone: &str, cidr: &str| KnownSubnet { zone: zone.to_owned(), cidr: cidr.parse().unwrap() };
    let id = |text: &str| PhysicalId(text.to_owned());
    let lookups = Lookups {
        subnets: BTreeMap::from([
            (id("subnet-1"), subnet("eu-central-1a", "172.16.0.0/20")),
            (id("subnet-2"), subnet("eu-central-1b", "172.16.16.0/20")),
            (id("subnet-3"), subnet("eu-central-1a", "172.16.32.0/24")),
        ]),
        ..lookups()
    };
    let network = AwsNetwork::Existing {
        vpc: "vpc-1".to_owned(),
        public_subnets: vec!["subnet-3".to_owned()],
        private_subnets: vec!["subnet-1".to_owned(), "subnet-2".to_owned()],
    };
    let aws = Aws { network, zones: Zones::Count(2), ..example() };
    let state = desired(&AwsInventory::of(aws.clone(), cluster(1)), &lookups).unwrap();
    for kind in ["vpc", "subnet", "internet-gateway", "nat-gateway", "route-table", "address"] {
        assert_eq!(names(&state, kind), Vec::<String>::new());
    }
    let Resource::Instance(instance) = find(&state, "instance/cp-2") else { panic!() };
    assert_eq!((instance.subnet.to_string().as_str(), instance.private_address), ("=subnet-2", None));
    let three = Aws { zones: Zones::Count(3), ..aws };
    let error = desired(&AwsInventory::of(three, cluster(1)), &lookups).unwrap_err();
    assert_eq!(error.to_string(), "none of the private subnets is in eu-central-1c");
}

#[test]
fn zones_that_the_region_has_not_are_named() {
    let error = |zones| {
        let aws = Aws { zones, ..example() };
        desired(&AwsInventory::of(aws, cluster(1)), &lookups()).unwrap_err().to_string()
    };
    assert_eq!(
        error(Zones::Count(4)),
        "eu-central-1 has 3 availability zones (eu-central-1a, eu-central-1b, eu-central-1c), and the inventory wants 4"
    );
    assert!(
        error(Zones::Names(vec!["eu-central-1z".to_owned()])).contains("no availability zone eu-central-1z")
    );
}
