//! `provider: aws`: the network, machines and balancers that keelwright makes for a cluster, as wanted.

use std::collections::BTreeMap;

use camino::{Utf8Path, Utf8PathBuf};
use ipnet::{IpNet, Ipv4Net};
use serde::{Deserialize, Serialize};

use super::ids::{ClusterName, HostName};
use super::model::{Addon, CountOrShare, Delivery, Host, Inventory, SelfJoin, SharedState, Ssh, Taint};
use super::network::NetworkPlugin;
use crate::release::{Arch, KubeVersion};

/// The port of the API's balancer.
const API_PORT: u16 = 6443;

/// Everything a cluster has in AWS.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Aws {
    /// Such as `eu-central-1`.
    pub region: String,
    pub zones: Zones,
    /// Profile of `~/.aws/config`; None: the SDK's usual chain.
    pub profile: Option<String>,
    /// ARN of a role to work as.
    pub assume_role: Option<String>,
    pub network: AwsNetwork,
    pub access: Access,
    /// The public key that the machines' first user accepts, absolute path.
    pub ssh_key: Utf8PathBuf,
    /// What machines start from, unless they say otherwise.
    pub image: MachineImage,
    /// None: machines are reached without one, over a VPN or from inside.
    pub bastion: Option<BastionMachine>,
    pub control_planes: ControlPlaneMachines,
    pub worker_groups: Vec<WorkerGroup>,
    pub api: ApiBalancer,
    /// What the ingress balancer listens on; empty: there is none.
    pub ingress: Vec<IngressListener>,
    /// On everything, beside keelwright's own.
    pub tags: BTreeMap<String, String>,
    /// `destroy` refuses, and instances and balancers are protected against deletion.
    pub deletion_protection: bool,
}

/// Availability zones.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Zones {
    /// The first so many of the region that are available, by name.
    Count(u8),
    Names(Vec<String>),
}

/// The network the machines are in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "kind")]
pub enum AwsNetwork {
    /// A VPC of its own, with a public and a private subnet in each zone.
    #[serde(rename_all = "camelCase")]
    New { cidr: Ipv4Net, nat: Nat },
    /// Somebody else's, with subnets in it; one of each kind in each zone.
    #[serde(rename_all = "camelCase")]
    Existing { vpc: String, public_subnets: Vec<String>, private_subnets: Vec<String> },
}

/// How private subnets reach the world.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Nat {
    /// A gateway in each zone: a zone that fails takes only its own with it.
    PerZone,
    /// One for all.
    Single,
    /// They do not.
    None,
}

/// Who outside the VPC may reach what; empty: nobody.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Access {
    /// SSH to the bastion.
    pub ssh: Vec<IpNet>,
    /// The API, port 6443 of its balancer.
    pub api: Vec<IpNet>,
    /// The ports of the ingress balancer.
    pub ingress: Vec<IpNet>,
}

/// The account that publishes Debian's images.
pub(super) const DEBIAN: &str = "136693071363";
/// Canonical's, which publishes Ubuntu's.
pub(super) const UBUNTU: &str = "099720109477";

/// An image of EC2.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "kind")]
pub enum MachineImage {
    /// The newest of a publisher's by name, `*` allowed; `{arch}` is amd64 or arm64.
    Newest { owner: String, name: String },
    /// What a parameter of SSM names.
    Parameter { path: String },
    /// This one, `ami-…`.
    Pinned { id: String },
}

impl MachineImage {
    /// How it is chosen, in words that a resource keeps.
    pub fn words(&self) -> String {
        match self {
            MachineImage::Newest { owner, name } => format!("newest {owner} {name}"),
            MachineImage::Parameter { path } => format!("parameter {path}"),
            MachineImage::Pinned { id } => format!("pinned {id}"),
        }
    }

    /// The user that the image's cloud-init makes; None: it is not known.
    pub fn first_user(&self) -> Option<&'static str> {
        let (debian, ubuntu) = match self {
            MachineImage::Newest { owner, .. } => (owner == DEBIAN, owner == UBUNTU),
            MachineImage::Parameter { path } => {
                (path.starts_with("/aws/service/debian/"), path.starts_with("/aws/service/canonical/ubuntu/"))
            }
            MachineImage::Pinned { .. } => (false, false),
        };
        if debian { Some("admin") } else { ubuntu.then_some("ubuntu") }
    }
}

/// The machine that SSH goes through.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BastionMachine {
    pub instance_type: String,
    /// Its instance type's.
    pub arch: Arch,
    pub image: Option<MachineImage>,
    pub user: String,
}

/// Machines for the control plane, spread over the zones.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ControlPlaneMachines {
    /// 1, 3, 5 or 7.
    pub count: u8,
    pub instance_type: String,
    pub arch: Arch,
    pub image: Option<MachineImage>,
    /// The image's first user.
    pub user: String,
    pub root_volume: Disk,
    /// etcd's own, which outlives its machine.
    pub etcd_volume: Disk,
}

/// An EBS volume; always encrypted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Disk {
    /// GiB.
    pub size: u32,
    pub kind: DiskKind,
    /// Operations a second; None: the kind's own.
    pub iops: Option<u32>,
    /// MiB a second, gp3 only; None: the kind's own.
    pub throughput: Option<u32>,
    /// ARN or alias of a key of KMS; None: the account's key for EBS.
    pub kms_key: Option<String>,
}

#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum DiskKind {
    Gp3,
    Gp2,
    Io1,
    Io2,
}

impl DiskKind {
    pub fn as_str(self) -> &'static str {
        match self {
            DiskKind::Gp3 => "gp3",
            DiskKind::Gp2 => "gp2",
            DiskKind::Io1 => "io1",
            DiskKind::Io2 => "io2",
        }
    }
}

/// Workers that come and go by themselves: an auto scaling group.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkerGroup {
    pub name: String,
    /// The first is preferred; several, or `spot`, make a mixed-instances group.
    pub instance_types: Vec<String>,
    pub arch: Arch,
    pub image: Option<MachineImage>,
    pub min: u32,
    pub max: u32,
    /// None: `min` at first, and afterwards whatever the autoscaler has made of it.
    pub desired: Option<u32>,
    /// Percent of the instances that are spot instances.
    pub spot: u8,
    /// The zones it has instances in; empty: all of the cluster's.
    pub zones: Vec<String>,
    pub root_volume: Disk,
    pub labels: BTreeMap<String, String>,
    pub taints: Vec<Taint>,
    /// How many more than wanted there may be while instances are replaced.
    pub max_surge: CountOrShare,
    /// How many fewer.
    pub max_unavailable: CountOrShare,
}

/// The network load balancer in front of the API servers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ApiBalancer {
    pub internal: bool,
    pub record: Option<ApiRecord>,
}

/// A name for the API in a hosted zone of Route 53.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ApiRecord {
    pub name: String,
    /// `Z…`.
    pub hosted_zone: String,
}

/// A port of the ingress balancer and the NodePort behind it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IngressListener {
    pub port: u16,
    pub node_port: u16,
}

/// The architecture of an instance type: a `g` after the generation is Graviton, as in m6g, c7gn, g5g and
/// p6e-gb200; A1 is older than that rule.
pub(super) fn arch_of_instance(instance_type: &str) -> Arch {
    let family = instance_type.split('.').next().unwrap_or_default();
    let letters = family.trim_start_matches(|c: char| !c.is_ascii_digit());
    let letters = letters.trim_start_matches(|c: char| c.is_ascii_digit());
    if family == "a1" || letters.contains('g') { Arch::Arm64 } else { Arch::Amd64 }
}

/// A cluster in AWS, as wanted: all but its hosts and the names of its balancer, which are known when they have been
/// made.
#[derive(Debug, Clone, PartialEq)]
pub struct AwsInventory {
    pub aws: Aws,
    /// What `ssh` of the file says about all machines: keys, the way to become root, host certificate
    /// authorities, and with `bastion: false` hops of the operator's own. The rest follows from `aws`.
    pub ssh: Ssh,
    /// Without hosts: [`AwsInventory::on`] gives it some.
    pub(super) cluster: Inventory,
}

impl AwsInventory {
    pub fn addons(&self) -> &[Addon] {
        &self.cluster.addons
    }

    /// As [`Wanted::state`].
    pub fn state(&self) -> Option<&SharedState> {
        self.cluster.state.as_ref()
    }

    /// The cluster on machines that are there. `names` are those of the API for clients outside, the one that
    /// they are to use first; nodes reach the API servers by themselves.
    pub fn on(&self, hosts: BTreeMap<HostName, Host>, names: &[String]) -> Inventory {
        let mut inventory = Inventory { hosts, ..self.cluster.clone() };
        inventory.public_endpoint = names.first().map(|name| format!("{name}:{API_PORT}"));
        if !self.aws.worker_groups.is_empty() {
            inventory.self_join = Some(self.self_join());
        }
        let sans = &mut inventory.api_server.cert_sans;
        for name in names {
            if !sans.contains(name) {
                sans.push(name.clone());
            }
        }
        inventory
    }

    /// Where workers find what they join with.
    pub fn self_join(&self) -> SelfJoin {
        SelfJoin { region: self.aws.region.clone(), parameter: node_token_parameter(self.name()) }
    }

    #[cfg(test)]
    pub(crate) fn of(aws: Aws, cluster: Inventory) -> Self {
        let ssh = cluster.hosts.values().next().map(|host| host.ssh.clone());
        AwsInventory { aws, ssh: ssh.expect("a host"), cluster }
    }

    pub fn name(&self) -> &ClusterName {
        &self.cluster.name
    }

    pub fn version(&self) -> KubeVersion {
        self.cluster.version
    }

    pub fn delivery(&self) -> &Delivery {
        &self.cluster.artifacts.delivery
    }

    /// Whether keelwright makes nodes of the machines of worker groups: they have somewhere to fetch from.
    pub fn workers_join(&self) -> bool {
        match self.delivery() {
            Delivery::Mirror { .. } | Delivery::Bucket(_) => true,
            Delivery::Upload => false,
        }
    }

    pub fn etcd_data_dir(&self) -> &Utf8Path {
        &self.cluster.etcd.data_dir
    }

    pub fn network_plugin(&self) -> &NetworkPlugin {
        &self.cluster.network.plugin
    }
}

/// The parameter that has what new nodes of a cluster join with; the machines' policies name it, too.
fn node_token_parameter(cluster: &ClusterName) -> String {
    format!("/keelwright/{cluster}/node-token")
}

/// What an inventory file may want.
#[derive(Debug, Clone, PartialEq)]
pub enum Wanted {
    /// A cluster on machines that somebody else made.
    Hosts(Box<Inventory>),
    Aws(Box<AwsInventory>),
}

impl Wanted {
    pub fn name(&self) -> &ClusterName {
        match self {
            Wanted::Hosts(inventory) => &inventory.name,
            Wanted::Aws(inventory) => inventory.name(),
        }
    }

    /// Where operators share the cluster's state; None: a directory of each.
    pub fn state(&self) -> Option<&SharedState> {
        match self {
            Wanted::Hosts(inventory) => inventory.state.as_ref(),
            Wanted::Aws(inventory) => inventory.state(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn graviton_is_told_by_its_letter() {
        let arm = ["m6g.large", "t4g.micro", "c7gn.xlarge", "x2gd.large", "g5g.xlarge", "im4gn.large"];
        for instance_type in
            arm.into_iter().chain(["is4gen.large", "a1.large", "p6e-gb200.36xlarge", "r8gb.4xlarge"])
        {
            assert_eq!(arch_of_instance(instance_type), Arch::Arm64, "{instance_type}");
        }
        let intel = ["m6i.large", "t3.micro", "g4dn.xlarge", "g5.xlarge", "c5ad.large", "u-6tb1.metal"];
        for instance_type in
            intel.into_iter().chain(["m7i-flex.large", "gr6.4xlarge", "p4d.24xlarge", "", "."])
        {
            assert_eq!(arch_of_instance(instance_type), Arch::Amd64, "{instance_type}");
        }
    }

    #[test]
    fn the_first_user_follows_the_image() {
        let newest = |owner: &str| MachineImage::Newest { owner: owner.into(), name: "x".into() };
        let parameter = |path: &str| MachineImage::Parameter { path: path.into() };
        for (image, want) in [
            (newest(DEBIAN), Some("admin")),
            (newest(UBUNTU), Some("ubuntu")),
            (newest("123456789012"), None),
            (parameter("/aws/service/debian/release/12/latest/amd64"), Some("admin")),
            (
                parameter(
                    "/aws/service/canonical/ubuntu/server/24.04/stable/current/amd64/hvm/ebs-gp3/ami-id",
                ),
                Some("ubuntu"),
            ),
            (parameter("/mine"), None),
            (MachineImage::Pinned { id: "ami-01234567".into() }, None),
        ] {
            assert_eq!(image.first_user(), want, "{image:?}");
        }
    }
}
