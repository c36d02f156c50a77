//! The shape of an inventory file as JSON Schema, for editors: docs/schema/inventory.schema.json, and that of a
//! migration's: docs/schema/migration.schema.json.
//!
//! These types are read by schemars only. The parser reads a tree with places instead; a test asks
//! it for the fields it knows at each place and compares them with these.

use std::collections::BTreeMap;

use schemars::{JsonSchema, schema_for};

use super::model::{Arch, KeyAlgorithm, Role, Sudo, TaintEffect};

/// The JSON Schema of an inventory, as published.
pub fn inventory_schema() -> String {
    published(&schema_for!(ClusterFile))
}

fn published(schema: &schemars::Schema) -> String {
    // invariant: a schema is plain JSON, which always serialises.
    let mut text = serde_json::to_string_pretty(schema).unwrap_or_default();
    text.push('\n');
    text
}

macro_rules! shapes {
    ($($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident : $type:ty,)* })*) => {$(
        #[derive(JsonSchema)]
        $(#[$doc])*
        #[serde(rename_all = "camelCase", deny_unknown_fields)]
        #[allow(dead_code)]
        pub(super) struct $name { $($(#[$field_doc])* $field: $type,)* }
    )*};
}

#[derive(JsonSchema)]
#[allow(dead_code)]
enum ApiVersion {
    #[serde(rename = "keelwright.dev/v1")]
    V1,
}

#[derive(JsonSchema)]
#[allow(dead_code)]
enum Kind {
    Cluster,
}

#[derive(JsonSchema)]
#[serde(untagged)]
#[allow(dead_code)]
enum OneOrMany<T> {
    One(T),
    Many(Vec<T>),
}

/// Text, or a number or boolean that is passed on as written.
#[derive(JsonSchema)]
#[serde(untagged)]
#[allow(dead_code)]
enum Literal {
    Text(String),
    Number(i64),
    Boolean(bool),
}

/// Flags: a list, because order counts and a flag may be given twice; or a map.
#[derive(JsonSchema)]
#[serde(untagged)]
#[allow(dead_code)]
enum ExtraArgs {
    List(Vec<ExtraArgShape>),
    Map(BTreeMap<String, Literal>),
}

/// A ProxyJump text, or a hop with its settings.
#[derive(JsonSchema)]
#[serde(untagged)]
#[allow(dead_code)]
enum Hop {
    Text(String),
    Settings(HopShape),
}

#[derive(JsonSchema)]
#[serde(untagged)]
#[allow(dead_code)]
enum TaintEntry {
    Text(String),
    Settings(TaintShape),
}

#[derive(JsonSchema)]
#[serde(untagged)]
#[allow(dead_code)]
enum External {
    Text(String),
    Settings(ExternalShape),
}

#[derive(JsonSchema)]
#[serde(untagged)]
#[allow(dead_code)]
enum Plugin {
    Name(PluginName),
    Settings(PluginShape),
}

#[derive(JsonSchema)]
#[serde(rename_all = "lowercase")]
#[allow(dead_code)]
enum PluginName {
    Routes,
    Calico,
    Cilium,
    Flannel,
    Manifest,
    None,
}

#[derive(JsonSchema)]
#[serde(rename_all = "lowercase")]
#[allow(dead_code)]
enum Placement {
    Stacked,
    Dedicated,
}

#[derive(JsonSchema)]
#[serde(untagged)]
#[allow(dead_code)]
enum Delivery {
    Name(DeliveryName),
    Settings(DeliveryShape),
}

#[derive(JsonSchema)]
#[serde(rename_all = "lowercase")]
#[allow(dead_code)]
enum DeliveryName {
    Upload,
}

/// A number of workers, or a share of them such as 10%.
#[derive(JsonSchema)]
#[serde(untagged)]
#[allow(dead_code)]
enum CountOrShare {
    Count(#[schemars(range(min = 1))] u32),
    Share(#[schemars(regex(pattern = r"^([1-9][0-9]?|100)%$"))] String),
}

/// A duration such as 30s, 5m or 1h30m.
#[derive(JsonSchema)]
#[allow(dead_code)]
struct Duration(#[schemars(regex(pattern = r"^([0-9]+h)?([0-9]+m)?([0-9]+s)?$"))] String);

mod aws;
mod migration;
mod upgrade;

pub use migration::migration_schema;

shapes! {
    /// A Kubernetes cluster as keelwright is to make and keep it.
    #[schemars(extend("oneOf" = [{ "required": ["hosts"] }, { "required": ["provider", "aws"] }]))]
    ClusterFile {
        api_version: ApiVersion,
        kind: Kind,
        metadata: Metadata,
        kubernetes: KubernetesShape,
        /// How hosts are reached, unless they say otherwise.
        ssh: Option<SshDefaultsShape>,
        /// Bastions that `ssh.bastion` can refer to by name.
        bastions: Option<Vec<BastionShape>>,
        /// Who makes the machines. Default: nobody, they are named in `hosts`.
        provider: Option<aws::ProviderShape>,
        /// The machines; not with a provider, which makes them.
        hosts: Option<Vec<HostShape>>,
        /// With `provider: aws`: what is made there.
        aws: Option<aws::AwsShape>,
        /// Where clients and nodes find the API: one of nodeLocal, external, vip. Default: a balancer on every node.
        endpoint: Option<EndpointShape>,
        network: Option<NetworkShape>,
        etcd: Option<EtcdShape>,
        api_server: Option<ApiServerShape>,
        controller_manager: Option<ComponentShape>,
        scheduler: Option<ComponentShape>,
        kubelet: Option<KubeletShape>,
        kube_proxy: Option<KubeProxyShape>,
        containerd: Option<ContainerdShape>,
        pki: Option<PkiShape>,
        /// What is hardened beyond kubeadm.
        security: Option<SecurityShape>,
        artifacts: Option<ArtifactsShape>,
        /// Manifests applied after the cluster is up.
        addons: Option<Vec<AddonShape>>,
        policy: Option<PolicyShape>,
        /// Where operators share keys, lock and journal. Default: a directory beside the inventory, of one operator.
        state: Option<StateShape>,
        /// Your own commands around hosts, waves and hops of an upgrade.
        hooks: Option<Vec<upgrade::HookShape>>,
    }
    StateShape {
        /// An S3 bucket that is there.
        bucket: String,
        /// What names of objects begin with. Default: the cluster's name.
        prefix: Option<String>,
        /// Default: aws.region; needed where the inventory has none.
        region: Option<String>,
        /// Default: aws.profile, else what the environment names.
        profile: Option<String>,
        /// The ARN of a role to assume. Default: aws.assumeRole.
        assume_role: Option<String>,
    }
    Metadata {
        /// The cluster's name, one DNS label.
        name: String,
    }
    KubernetesShape {
        /// vMAJOR.MINOR.PATCH
        #[schemars(regex(pattern = r"^v[0-9]+\.[0-9]+\.[0-9]+$"))]
        version: String,
    }
    SshDefaultsShape {
        /// Default: ~/.ssh/config, then your own name.
        user: Option<String>,
        /// Default: ~/.ssh/config, then 22.
        #[schemars(range(min = 1))]
        port: Option<u16>,
        /// A private key file; relative to the inventory, or ~/. Default: ~/.ssh/config, the agent, the usual files.
        key: Option<String>,
        /// Several private key files.
        keys: Option<Vec<String>>,
        /// The hops before a host, first hop first.
        bastion: Option<OneOrMany<Hop>>,
        /// How root is reached. Default: passwordless.
        sudo: Option<Sudo>,
        /// Trusted host keys, as `ssh-ed25519 AAAA…`. Default: known_hosts.
        host_keys: Option<Vec<String>>,
        /// Authorities whose host certificates are trusted.
        #[serde(rename = "hostCAs")]
        host_cas: Option<Vec<String>>,
    }
    SshShape {
        /// A name, an address or an alias of ~/.ssh/config. Default: the host's address.
        host: Option<String>,
        user: Option<String>,
        #[schemars(range(min = 1))]
        port: Option<u16>,
        key: Option<String>,
        keys: Option<Vec<String>>,
        /// `[]`: no bastion, whatever the default is.
        bastion: Option<OneOrMany<Hop>>,
        sudo: Option<Sudo>,
        host_keys: Option<Vec<String>>,
        #[serde(rename = "hostCAs")]
        host_cas: Option<Vec<String>>,
    }
    HopShape {
        host: String,
        #[schemars(range(min = 1))]
        port: Option<u16>,
        user: Option<String>,
        key: Option<String>,
        keys: Option<Vec<String>>,
        host_keys: Option<Vec<String>>,
        #[serde(rename = "hostCAs")]
        host_cas: Option<Vec<String>>,
    }
    BastionShape {
        /// What `ssh.bastion` calls it.
        name: String,
        /// Default: the name.
        address: Option<String>,
        ssh: Option<BastionSshShape>,
    }
    BastionSshShape {
        /// Default: the bastion's address.
        host: Option<String>,
        #[schemars(range(min = 1))]
        port: Option<u16>,
        user: Option<String>,
        key: Option<String>,
        keys: Option<Vec<String>>,
        host_keys: Option<Vec<String>>,
        #[serde(rename = "hostCAs")]
        host_cas: Option<Vec<String>>,
    }
    HostShape {
        /// The machine's name and its Kubernetes node name.
        name: String,
        /// The address other nodes reach it at.
        address: String,
        /// Its address of the other family, in a dual-stack cluster.
        secondary_address: Option<String>,
        /// Default: worker.
        roles: Option<OneOrMany<Role>>,
        /// Default: amd64.
        arch: Option<Arch>,
        ssh: Option<SshShape>,
        labels: Option<BTreeMap<String, String>>,
        /// `{key, value, effect}` or `key=value:Effect`.
        taints: Option<Vec<TaintEntry>>,
    }
    TaintShape {
        key: String,
        value: Option<String>,
        effect: TaintEffect,
    }
    EndpointShape {
        /// haproxy on every node's loopback.
        node_local: Option<NodeLocalShape>,
        /// A balancer that somebody else looks after: `host:port`, or {host, port}.
        external: Option<External>,
        /// An address that keepalived moves among the control planes.
        vip: Option<VipShape>,
    }
    NodeLocalShape {
        /// Default: 7443.
        #[schemars(range(min = 1))]
        port: Option<u16>,
    }
    ExternalShape {
        host: String,
        /// Default: 6443.
        #[schemars(range(min = 1))]
        port: Option<u16>,
    }
    VipShape {
        address: String,
        /// Default: the interface that has the host's address.
        interface: Option<String>,
        /// Default: 6443.
        #[schemars(range(min = 1))]
        port: Option<u16>,
    }
    NetworkShape {
        /// One, or one of each family. Default: 10.244.0.0/16.
        pod_cidrs: Option<Vec<String>>,
        /// Default: 10.96.0.0/12.
        service_cidrs: Option<Vec<String>>,
        /// Default: cluster.local.
        dns_domain: Option<String>,
        /// Default: routes.
        plugin: Option<Plugin>,
    }
    PluginShape {
        name: PluginName,
        /// routes only, in bytes. Default: the interface's.
        #[schemars(range(min = 576))]
        mtu: Option<u16>,
        /// calico, cilium, flannel: the release.
        version: Option<String>,
        /// manifest, cilium, and instead of what calico and flannel publish: a file or an https URL.
        source: Option<String>,
        /// Of what is at the source, or published.
        sha256: Option<String>,
    }
    EtcdShape {
        /// Default: dedicated when a host has role etcd, else stacked.
        placement: Option<Placement>,
        extra_args: Option<ExtraArgs>,
        /// Default: /var/lib/etcd.
        data_dir: Option<String>,
        /// Accept 4 or 6 members while one is being replaced. Default: false.
        allow_even_members: Option<bool>,
    }
    ExtraArgShape {
        /// Without dashes.
        name: String,
        value: Literal,
    }
    ComponentShape {
        extra_args: Option<ExtraArgs>,
    }
    ApiServerShape {
        extra_args: Option<ExtraArgs>,
        /// More names and addresses of the API server's certificate.
        #[serde(rename = "certSANs")]
        cert_sans: Option<Vec<String>>,
    }
    KubeletShape {
        /// Fields of KubeletConfiguration laid over keelwright's.
        config: Option<BTreeMap<String, serde_json::Value>>,
        extra_args: Option<ExtraArgs>,
    }
    KubeProxyShape {
        /// Default: true.
        enabled: Option<bool>,
        /// Fields of KubeProxyConfiguration laid over keelwright's.
        config: Option<BTreeMap<String, serde_json::Value>>,
    }
    ContainerdShape {
        /// For machines whose root lacks CAP_SYS_RESOURCE. Default: false.
        restrict_oom_score_adj: Option<bool>,
        /// Registry host to the URLs of its mirrors; the first that answers wins.
        registry_mirrors: Option<BTreeMap<String, OneOrMany<String>>>,
    }
    PkiShape {
        /// Default: ECDSA-P256.
        algorithm: Option<KeyAlgorithm>,
        /// CA keys never leave the operator. Default: false.
        #[serde(rename = "externalCA")]
        external_ca: Option<bool>,
        /// Directory with your own ca.crt, ca.key, front-proxy-ca.*, etcd/ca.*.
        bring_your_own: Option<String>,
    }
    SecurityShape {
        /// Secrets are encrypted in etcd. Default: true.
        encryption_at_rest: Option<bool>,
        /// API requests are logged. Default: true.
        audit: Option<bool>,
        /// The settings of the CIS benchmark. Default: true.
        cis: Option<bool>,
    }
    ArtifactsShape {
        /// Directory of a bundle. Default: the cache.
        bundle: Option<String>,
        /// How hosts get artifacts. Default: upload.
        delivery: Option<Delivery>,
    }
    DeliveryShape {
        /// Over SSH.
        upload: Option<UploadShape>,
        /// Hosts fetch from a mirror.
        mirror: Option<MirrorShape>,
        /// Machines in AWS fetch from a bucket, into which keelwright brings the files.
        bucket: Option<BucketShape>,
    }
    UploadShape {}
    MirrorShape {
        url: String,
    }
    BucketShape {
        /// Of a bucket that is there.
        #[schemars(regex(pattern = r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$"))]
        name: String,
        /// Default: aws.region.
        region: Option<String>,
        /// What names of objects begin with. Default: artifacts.
        #[schemars(regex(pattern = r"^[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*$"))]
        prefix: Option<String>,
    }
    AddonShape {
        name: String,
        /// A manifest's file or https URL. Not needed for aws-cloud-controller-manager and aws-ebs-csi-driver.
        source: Option<String>,
        /// SHA-256 of the manifest.
        #[schemars(regex(pattern = r"^[0-9a-f]{64}$"))]
        sha256: Option<String>,
    }
    PolicyShape {
        /// Hosts worked on at once. Default: 64.
        #[schemars(range(min = 1, max = 1024))]
        parallelism: Option<u32>,
        /// Workers that may be out of service at once. Default: 1.
        max_unavailable: Option<CountOrShare>,
        /// How a change rolls over the workers.
        upgrade: Option<upgrade::UpgradeShape>,
        timeouts: Option<TimeoutsShape>,
    }
    TimeoutsShape {
        /// One connection attempt. Default: 10s.
        connect: Option<Duration>,
        /// One stage on one host. Default: 10m.
        stage: Option<Duration>,
        /// An API server to be ready. Default: 5m.
        api_ready: Option<Duration>,
        /// A node to be Ready. Default: 5m.
        node_ready: Option<Duration>,
        /// One node to drain. Default: 10m.
        drain: Option<Duration>,
    }
}

#[cfg(test)]
mod tests;
