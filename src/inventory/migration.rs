//! What an operator wants of a migration: a file of its own, read like an inventory.

use std::net::{IpAddr, SocketAddr};

use camino::Utf8PathBuf;
use serde::{Deserialize, Serialize};

/// A service's way from an old cluster to a new one, behind names that both share.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Migration {
    /// One DNS label: records and state are told apart by it.
    pub name: String,
    pub aws: Account,
    /// At least one.
    pub names: Vec<ServiceName>,
    pub blue: MigrationSide,
    pub green: MigrationSide,
    /// Whom probes ask for addresses of names; empty: the resolvers of the operator's machine.
    pub resolvers: Vec<SocketAddr>,
    /// Asked of both sides, straight and through the name.
    pub probes: Vec<Probe>,
    /// Green's share grows; the last has all.
    pub schedule: Vec<Move>,
    pub gates: Gates,
    /// None: blue's balancer never sends to green's machines.
    pub take_over: Option<TakeOver>,
    pub teardown: Teardown,
    /// Made before anything else when it is not there.
    pub make: Option<MakeGreen>,
    /// What `migrate copy` brings from blue to green; None: nothing is said of it.
    pub copy: Option<CopySelection>,
}

/// Where calls to AWS go, and as whom.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Account {
    pub region: String,
    pub profile: Option<String>,
    pub assume_role: Option<String>,
}

/// A name that both sides serve, and the zone that has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServiceName {
    /// Without a dot at its end.
    pub name: String,
    pub hosted_zone: String,
}

/// One of the two clusters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MigrationSide {
    pub balancer: Balancer,
    /// For readiness and for objects to be copied.
    pub kubeconfig: Option<Utf8PathBuf>,
    /// Of a cluster that keelwright keeps.
    pub inventory: Option<Utf8PathBuf>,
}

/// Where a side is reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Balancer {
    /// Of AWS: its records are aliases, its targets can be seen and changed.
    Arn(String),
    /// The same by its name, for a balancer that is not there yet when the file is written.
    Name(String),
    /// Of AWS in another account or region: aliases only.
    Alias {
        dns_name: String,
        hosted_zone: String,
    },
    /// Any other name.
    DnsName(String),
    Addresses(Vec<IpAddr>),
}

/// A question that a healthy side answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Probe {
    pub name: String,
    pub port: u16,
    pub kind: ProbeKind,
    /// Seconds after which there is no answer.
    pub timeout: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum ProbeKind {
    /// A connection.
    Tcp,
    /// A handshake, and a certificate that is valid for `server_name`.
    Tls { server_name: String },
    Http {
        path: String,
        host: String,
        /// None: without TLS.
        server_name: Option<String>,
        /// Status codes that are fine; empty: 200 to 399.
        statuses: Vec<u16>,
    },
}

/// A share of green, and how long it is watched before the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Move {
    /// Hundredths of all answers; 1 to 100.
    pub green: u8,
    /// Seconds.
    pub soak: u32,
}

/// What must hold while a share is watched, and at its end.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Gates {
    /// Of green's probes, at most this share may fail.
    pub error_rate: f64,
    /// By at most this much may green's share be above blue's.
    pub worse_than_blue: f64,
    /// Milliseconds within which 95 of 100 of green's answers come; None: not judged.
    pub latency: Option<u32>,
    /// Green's 95th of 100 may take so many times blue's; None: not judged.
    pub slower_than_blue: Option<f64>,
    /// Of green's targets, this share has to be healthy, where they can be seen.
    pub healthy_targets: f64,
    /// All of green's nodes are Ready; with a kubeconfig or an inventory.
    pub nodes_ready: bool,
    pub metrics: Vec<MetricGate>,
    pub commands: Vec<CommandGate>,
    /// So many of green's answers have to be there before anything is judged.
    pub samples: u32,
    /// Seconds between two rounds of probes.
    pub interval: u32,
    /// Seconds: older answers are not judged, so that a long good time hides no bad one.
    pub window: u32,
}

/// A metric of CloudWatch and what it must not pass.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MetricGate {
    pub namespace: String,
    pub metric: String,
    pub dimensions: Vec<(String, String)>,
    pub statistic: String,
    /// Seconds.
    pub period: u32,
    pub below: Option<f64>,
    pub above: Option<f64>,
}

/// A program that ends with 0 while all is well.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CommandGate {
    pub name: String,
    pub command: Vec<String>,
    /// Seconds.
    pub timeout: u32,
}

/// For resolvers that go on using the old answer: blue's balancer sends to green's machines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TakeOver {
    /// Seconds without a new connection after which nobody uses blue any more.
    pub quiet: u32,
    /// Seconds after which it ends in any case.
    pub deadline: u32,
}

/// What becomes of the old cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Teardown {
    /// None: it stays.
    pub by: Option<TeardownBy>,
    /// The name becomes a simple record that leads to green.
    pub simple_record: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum TeardownBy {
    /// `terraform destroy` there.
    Terraform { directory: Utf8PathBuf },
    /// `kops delete cluster`.
    Kops { cluster: String, state: String },
    /// `keelwright reset`, or `destroy` of a cluster in AWS.
    Reset { inventory: Utf8PathBuf },
}

/// Green, when it is not there yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum MakeGreen {
    /// As `keelwright apply` makes it.
    Inventory {
        inventory: Utf8PathBuf,
    },
    Eks(Eks),
}

/// A cluster of EKS.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Eks {
    pub cluster: String,
    /// `1.34`
    pub version: String,
    pub role: String,
    pub subnets: Vec<String>,
    pub node_role: String,
    pub instance_types: Vec<String>,
    pub min: u32,
    pub max: u32,
    pub desired: u32,
}

/// Objects of a cluster, by what they are and where.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CopySelection {
    /// Patterns with `*`; empty: all but those of the cluster itself (`kube-*`).
    pub namespaces: Vec<String>,
    /// Patterns of namespaces that stay.
    pub except: Vec<String>,
    /// A label selector of Kubernetes that objects have to match; None: all do.
    pub selector: Option<String>,
    /// Kinds that stay, such as `Job` or `certificates.cert-manager.io`.
    pub without_kinds: Vec<String>,
    /// StorageClasses of blue, and what they are called in green; others keep their names.
    pub storage_classes: Vec<(String, String)>,
    /// Volumes are copied by snapshots where both sides can.
    pub snapshots: bool,
}
