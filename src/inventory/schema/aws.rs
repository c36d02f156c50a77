//! The shapes of what keelwright makes in AWS.

use super::*;
use crate::inventory::aws::{DiskKind, Nat};

#[derive(JsonSchema)]
#[serde(rename_all = "lowercase")]
#[allow(dead_code)]
pub(super) enum ProviderShape {
    Aws,
}

/// How many, or their names.
#[derive(JsonSchema)]
#[serde(untagged)]
#[allow(dead_code)]
enum ZonesShape {
    Count(#[schemars(range(min = 1, max = 6))] u8),
    Names(#[schemars(length(min = 1, max = 6))] Vec<String>),
}

/// debian-12, debian-13, ubuntu-24.04, ami-…, ssm:/path, or the newest image of a publisher's by name.
#[derive(JsonSchema)]
#[serde(untagged)]
#[allow(dead_code)]
enum Image {
    Text(
        #[schemars(regex(
            pattern = r"^(debian-12|debian-13|ubuntu-24\.04|ami-([0-9a-f]{8}|[0-9a-f]{17})|ssm:/.+)$"
        ))]
        String,
    ),
    Settings(ImageShape),
}

/// `false`, or what is different about it.
#[derive(JsonSchema)]
#[serde(untagged)]
#[allow(dead_code)]
enum BastionMachine {
    Made(bool),
    Settings(BastionMachineShape),
}

/// A number of workers, or a share of them such as 10%; none at all is allowed.
#[derive(JsonSchema)]
#[serde(untagged)]
#[allow(dead_code)]
enum CountOrShareOrZero {
    Count(u32),
    Share(#[schemars(regex(pattern = r"^([0-9]|[1-9][0-9]|100)%$"))] String),
}

shapes! {
    AwsShape {
        /// Such as eu-central-1.
        region: String,
        zones: ZonesShape,
        /// A profile of ~/.aws/config. Default: the SDK's usual chain.
        profile: Option<String>,
        /// The ARN of an IAM role to work as.
        assume_role: Option<String>,
        /// A VPC to be made (cidr, nat), or one that is there (vpc, publicSubnets, privateSubnets).
        network: Option<AwsNetworkShape>,
        /// Who outside the VPC may reach what. Default: nobody.
        access: Option<AccessShape>,
        /// A public key file. Default: ~/.ssh/id_ed25519.pub.
        ssh_key: Option<String>,
        /// What machines start from, unless they say otherwise. Default: debian-12.
        image: Option<Image>,
        bastion: Option<BastionMachine>,
        control_planes: Option<ControlPlanesShape>,
        /// Default: one group `workers` of 1 to 20.
        worker_groups: Option<Vec<WorkerGroupShape>>,
        /// The balancer in front of the API servers.
        api: Option<ApiBalancerShape>,
        /// What the ingress balancer listens on. Default: there is none.
        ingress: Option<Vec<ListenerShape>>,
        /// On everything, beside keelwright's own.
        tags: Option<BTreeMap<String, String>>,
        /// `destroy` refuses, and instances and balancers are protected against deletion. Default: false.
        deletion_protection: Option<bool>,
    }
    AwsNetworkShape {
        /// /16 to /22. Default: 10.0.0.0/16.
        cidr: Option<String>,
        /// How private subnets reach the world. Default: per-zone.
        nat: Option<Nat>,
        /// A VPC that is there.
        #[schemars(regex(pattern = r"^vpc-([0-9a-f]{8}|[0-9a-f]{17})$"))]
        vpc: Option<String>,
        /// One in each zone, when there is anything that faces the internet.
        public_subnets: Option<Vec<String>>,
        /// One in each zone.
        private_subnets: Option<Vec<String>>,
    }
    AccessShape {
        /// SSH to the bastion.
        ssh: Option<Vec<String>>,
        /// The API.
        api: Option<Vec<String>>,
        /// The ports of the ingress balancer.
        ingress: Option<Vec<String>>,
    }
    ImageShape {
        /// The publisher's account, in quotes.
        owner: String,
        /// `*` is anything, `{arch}` is amd64 or arm64.
        name: String,
    }
    BastionMachineShape {
        /// Default: t3.micro, t4g.micro beside control planes with arch arm64.
        instance_type: Option<String>,
        image: Option<Image>,
        /// The image's first user. Default: known for Debian and Ubuntu.
        user: Option<String>,
    }
    ControlPlanesShape {
        /// 1, 3, 5 or 7. Default: 3.
        #[schemars(range(min = 1, max = 7))]
        count: Option<u8>,
        /// Default: m6i.large, with arm64 m6g.large.
        instance_type: Option<String>,
        /// Default: amd64.
        arch: Option<Arch>,
        image: Option<Image>,
        /// The image's first user. Default: known for Debian and Ubuntu.
        user: Option<String>,
        /// Default: 20 GiB.
        root_volume: Option<VolumeShape>,
        /// etcd's own, which outlives its machine. Default: 20 GiB.
        etcd_volume: Option<VolumeShape>,
    }
    VolumeShape {
        /// GiB.
        #[schemars(range(min = 4, max = 16384))]
        size: Option<u32>,
        /// Default: gp3.
        #[serde(rename = "type")]
        kind: Option<DiskKind>,
        /// Operations a second; io1 and io2 need it. Default: the type's own.
        iops: Option<u32>,
        /// MiB a second, gp3 only. Default: the type's own.
        throughput: Option<u32>,
        /// ARN or alias of a key of KMS. Default: the account's key for EBS.
        kms_key: Option<String>,
    }
    WorkerGroupShape {
        #[schemars(regex(pattern = r"^[a-z0-9]([a-z0-9-]{0,28}[a-z0-9])?$"))]
        name: String,
        /// The first is preferred. Default: m6i.large, with arm64 m6g.large.
        #[schemars(length(min = 1, max = 40))]
        instance_types: Option<Vec<String>>,
        /// Default: amd64.
        arch: Option<Arch>,
        image: Option<Image>,
        /// Default: 1.
        #[schemars(range(max = 1000))]
        min: Option<u32>,
        /// Default: 20.
        #[schemars(range(max = 1000))]
        max: Option<u32>,
        /// Default: min at first, and afterwards whatever an autoscaler has made of it.
        #[schemars(range(max = 1000))]
        desired: Option<u32>,
        /// The share of spot instances, such as 50%. Default: 0%.
        #[schemars(regex(pattern = r"^([0-9]|[1-9][0-9]|100)%$"))]
        spot: Option<String>,
        /// Default: all of the cluster's.
        zones: Option<Vec<String>>,
        /// Default: 50 GiB.
        root_volume: Option<VolumeShape>,
        labels: Option<BTreeMap<String, String>>,
        /// `{key, value, effect}` or `key=value:Effect`.
        taints: Option<Vec<TaintEntry>>,
        /// How many more than wanted there may be while instances are replaced. Default: 1.
        max_surge: Option<CountOrShareOrZero>,
        /// How many fewer. Default: 0.
        max_unavailable: Option<CountOrShareOrZero>,
    }
    ApiBalancerShape {
        /// Reached from inside the VPC only. Default: false.
        internal: Option<bool>,
        record: Option<RecordShape>,
    }
    RecordShape {
        /// The API's name, in the zone.
        name: String,
        /// The id of a hosted zone of Route 53.
        #[schemars(regex(pattern = r"^Z[A-Z0-9]+$"))]
        hosted_zone: String,
    }
    ListenerShape {
        #[schemars(range(min = 1))]
        port: u16,
        #[schemars(range(min = 30000, max = 32767))]
        node_port: u16,
    }
}
