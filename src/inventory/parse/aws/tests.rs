use std::collections::BTreeMap;

use crate::inventory::parse::tests::{MINIMAL, parse_text, wanted_text};
use crate::inventory::{
    Access, Arch, ArtifactBucket, Aws, AwsInventory, AwsNetwork, CountOrShare, Delivery, DiskKind,
    MachineImage, Nat, Wanted, Zones,
};

/// As little as there can be.
const SMALL: &str = "\
apiVersion: keelwright.dev/v1
kind: Cluster
metadata: {name: prod}
kubernetes: {version: v1.37.1}
provider: aws
network: {plugin: {name: calico, version: v3.30.3}}
artifacts: {delivery: {bucket: {name: acme}}}
aws: {region: eu-central-1, zones: 3}
";

/// Every field of `aws`, but those of a VPC that is there.
pub(crate) const FULL_AWS: &str = r#"
apiVersion: keelwright.dev/v1
kind: Cluster
metadata: {name: prod}
kubernetes: {version: v1.37.1}
provider: aws
ssh: {keys: [~/.ssh/id_ed25519], sudo: passwordless}
network: {plugin: {name: calico, version: v3.30.3}}
artifacts: {delivery: {bucket: {name: acme, region: eu-west-1, prefix: kubernetes/files}}}
aws:
  region: eu-central-1
  zones: [eu-central-1a, eu-central-1b, eu-central-1c]
  profile: prod
  assumeRole: arn:aws:iam::123456789012:role/keelwright
  network: {cidr: 10.1.0.0/16, nat: single}
  access: {ssh: [203.0.113.0/24], api: [203.0.113.0/24, "2001:db8::/32"], ingress: [0.0.0.0/0]}
  sshKey: keys/ops.pub
  image: ubuntu-24.04
  bastion: {instanceType: t4g.nano, image: {owner: "136693071363", name: "debian-13-{arch}-*"}, user: jump}
  controlPlanes:
    count: 5
    instanceType: m6g.xlarge
    arch: arm64
    image: ami-0123456789abcdef0
    user: ops
    rootVolume: {size: 30, type: gp2}
    etcdVolume: {size: 40, type: gp3, iops: 4000, throughput: 500, kmsKey: alias/prod}
  workerGroups:
    - name: general
      instanceTypes: [m6i.large, m5.large]
      arch: amd64
      image: ssm:/golden/worker
      min: 2
      max: 40
      desired: 3
      spot: 50%
      zones: [eu-central-1a, eu-central-1b]
      rootVolume: {size: 100, type: io2, iops: 5000}
      labels: {disk: ssd}
      taints: ["spot:NoExecute"]
      maxSurge: 25%
      maxUnavailable: 0%
    - {name: arm, arch: arm64, min: 0, maxSurge: 0, maxUnavailable: 2}
  api: {internal: true, record: {name: api.prod.example.org, hostedZone: Z0123456789ABC}}
  ingress: [{port: 80, nodePort: 30080}, {port: 443, nodePort: 30443}]
  tags: {team: platform}
  deletionProtection: true
"#;

fn read(text: &str) -> AwsInventory {
    let (wanted, warnings) = wanted_text(text).unwrap_or_else(|problems| panic!("{problems}"));
    assert!(warnings.iter().all(|warning| warning.path == "aws.access.ssh"), "{warnings:?}");
    match wanted {
        Wanted::Aws(inventory) => *inventory,
        Wanted::Hosts(_) => panic!("hosts"),
    }
}

#[test]
fn a_small_cluster_in_aws_gets_its_defaults() {
    let AwsInventory { aws, ssh, .. } = read(SMALL);
    assert_eq!((aws.region.as_str(), &aws.zones), ("eu-central-1", &Zones::Count(3)));
    assert_eq!(aws.network, AwsNetwork::New { cidr: "10.0.0.0/16".parse().unwrap(), nat: Nat::PerZone });
    assert_eq!((&aws.access, aws.deletion_protection), (&Access::default(), false));
    assert_eq!(aws.ssh_key, "/home/me/.ssh/id_ed25519.pub");
    let debian = MachineImage::Newest { owner: "136693071363".into(), name: "debian-12-{arch}-*".into() };
    assert_eq!(aws.image, debian);
    let bastion = aws.bastion.unwrap();
    let shown = (bastion.instance_type.as_str(), bastion.arch, bastion.user.as_str(), bastion.image);
    assert_eq!(shown, ("t3.micro", Arch::Amd64, "admin", None));
    let machines = aws.control_planes;
    assert_eq!(
        (machines.count, machines.instance_type.as_str(), machines.arch),
        (3, "m6i.large", Arch::Amd64)
    );
    assert_eq!(
        (machines.user.as_str(), machines.root_volume.size, machines.etcd_volume.size),
        ("admin", 20, 20)
    );
    assert_eq!(aws.worker_groups.len(), 1);
    let group = &aws.worker_groups[0];
    assert_eq!((group.name.as_str(), &group.instance_types), ("workers", &vec!["m6i.large".to_owned()]));
    assert_eq!((group.min, group.max, group.desired, group.spot), (1, 20, None, 0));
    assert_eq!((group.root_volume.size, group.root_volume.kind), (50, DiskKind::Gp3));
    assert_eq!((group.max_surge, group.max_unavailable), (CountOrShare::Count(1), CountOrShare::Count(0)));
    assert!(aws.ingress.is_empty() && aws.tags.is_empty() && !aws.api.internal && aws.api.record.is_none());
    assert!(ssh.keys.is_empty() && ssh.bastions.is_empty());
}

#[test]
fn every_field_of_aws_is_read() {
    let AwsInventory { aws, ssh, .. } = read(FULL_AWS);
    assert_eq!(ssh.keys, ["/home/me/.ssh/id_ed25519"]);
    assert_eq!(aws.profile.as_deref(), Some("prod"));
    assert_eq!(aws.assume_role.as_deref(), Some("arn:aws:iam::123456789012:role/keelwright"));
    assert_eq!(aws.network, AwsNetwork::New { cidr: "10.1.0.0/16".parse().unwrap(), nat: Nat::Single });
    assert_eq!((aws.access.ssh.len(), aws.access.api.len(), aws.access.ingress.len()), (1, 2, 1));
    assert_eq!(aws.ssh_key, "/srv/cluster/keys/ops.pub");
    assert_eq!(aws.image.first_user(), Some("ubuntu"));
    let bastion = aws.bastion.as_ref().unwrap();
    assert_eq!((bastion.arch, bastion.user.as_str(), bastion.image.is_some()), (Arch::Arm64, "jump", true));
    let machines = &aws.control_planes;
    assert_eq!((machines.count, machines.user.as_str()), (5, "ops"));
    assert_eq!(machines.image, Some(MachineImage::Pinned { id: "ami-0123456789abcdef0".into() }));
    assert_eq!((machines.root_volume.size, machines.root_volume.kind), (30, DiskKind::Gp2));
    let etcd = &machines.etcd_volume;
    assert_eq!((etcd.size, etcd.iops, etcd.throughput), (40, Some(4000), Some(500)));
    assert_eq!(etcd.kms_key.as_deref(), Some("alias/prod"));
    let group = &aws.worker_groups[0];
    assert_eq!(group.image, Some(MachineImage::Parameter { path: "/golden/worker".into() }));
    assert_eq!((group.min, group.max, group.desired, group.spot), (2, 40, Some(3), 50));
    assert_eq!((group.zones.len(), group.labels["disk"].as_str(), group.taints.len()), (2, "ssd", 1));
    assert_eq!(
        (group.max_surge, group.max_unavailable),
        (CountOrShare::Percent(25), CountOrShare::Percent(0))
    );
    let arm = &aws.worker_groups[1];
    assert_eq!((arm.instance_types[0].as_str(), arm.min), ("m6g.large", 0));
    assert_eq!((arm.max_surge, arm.max_unavailable), (CountOrShare::Count(0), CountOrShare::Count(2)));
    assert_eq!(aws.api.record.as_ref().unwrap().hosted_zone, "Z0123456789ABC");
    assert_eq!((aws.ingress[1].port, aws.ingress[1].node_port), (443, 30443));
    assert_eq!(aws.tags["team"], "platform");
    assert!(aws.api.internal && aws.deletion_protection);
    let json = serde_json::to_string(&aws).unwrap();
    assert_eq!(serde_json::from_str::<Aws>(&json).unwrap(), aws);
}

#[test]
fn a_bucket_of_artifacts_is_where_the_machines_are_unless_it_is_said() {
    let bucket = |text: &str| match read(text).delivery() {
        Delivery::Bucket(ArtifactBucket { name, region, prefix }) => {
            (name.clone(), region.clone(), prefix.clone())
        }
        other => panic!("{other:?}"),
    };
    let of = |name: &str, region: &str, prefix: &str| (name.to_owned(), region.to_owned(), prefix.to_owned());
    assert_eq!(bucket(SMALL), of("acme", "eu-central-1", "artifacts"));
    assert_eq!(bucket(FULL_AWS), of("acme", "eu-west-1", "kubernetes/files"));
}

#[test]
fn a_vpc_that_is_there_is_read() {
    let network = "{vpc: vpc-0abc1234, publicSubnets: [subnet-0abc1230], privateSubnets: [subnet-0abc1231]}";
    let text =
        SMALL.replace("zones: 3", &format!("zones: 1, controlPlanes: {{count: 1}}, network: {network}"));
    let AwsNetwork::Existing { vpc, public_subnets, private_subnets } = read(&text).aws.network else {
        panic!("not there")
    };
    assert_eq!(
        (vpc.as_str(), public_subnets.len(), private_subnets[0].as_str()),
        ("vpc-0abc1234", 1, "subnet-0abc1231")
    );
}

#[test]
fn bastions_are_made_or_not() {
    let bastion = |text: &str| read(&SMALL.replace("zones: 3", &format!("zones: 3, {text}"))).aws.bastion;
    assert_eq!(bastion("bastion: false"), None);
    assert_eq!(bastion("bastion: true"), bastion("profile: x"));
    assert_eq!(bastion("controlPlanes: {arch: arm64}").unwrap().instance_type, "t4g.micro");
    let shared = "image: ami-01234567, controlPlanes: {user: me}, bastion: {}";
    assert_eq!(bastion(shared).unwrap().user, "me");
    let own = read(
        &SMALL
            .replace("zones: 3", "zones: 3, bastion: false")
            .replace("provider", "ssh: {bastion: ops@jump}\nprovider"),
    );
    assert_eq!(own.ssh.bastions[0].host, "jump");
}

#[test]
fn a_cluster_in_aws_becomes_one_on_machines() {
    let wanted = read(SMALL);
    let (there, _) = parse_text(MINIMAL).unwrap();
    let inventory = wanted.on(there.hosts.clone(), &["api.example.org".into(), "api-1.elb.example".into()]);
    assert_eq!((&inventory.hosts, &inventory.endpoint), (&there.hosts, &there.endpoint));
    assert_eq!(inventory.public_endpoint.as_deref(), Some("api.example.org:6443"));
    assert_eq!(inventory.api_server.cert_sans, ["api.example.org", "api-1.elb.example"]);
    assert_eq!((inventory.name.as_str(), wanted.name().as_str()), ("prod", "prod"));
    assert_eq!(wanted.version(), inventory.version);
    assert!(wanted.on(BTreeMap::new(), &[]).hosts.is_empty());
}

#[test]
fn whoever_needs_hosts_is_told_at_provider() {
    let problems = parse_text(SMALL).unwrap_err();
    let errors: Vec<_> = problems.list.iter().filter(|problem| problem.path == "provider").collect();
    assert_eq!((errors.len(), problems.error_count()), (1, 1), "{problems}");
    assert!(errors[0].message.contains("machines are to be made in AWS"), "{problems}");
    assert_eq!(errors[0].position.unwrap().line, 5);
    assert!(matches!(wanted_text(MINIMAL), Ok((Wanted::Hosts(_), _))));
}
