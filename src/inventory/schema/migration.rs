//! The shapes of a migration's file.

use super::*;

/// The JSON Schema of a migration, as published.
pub fn migration_schema() -> String {
    published(&schema_for!(MigrationFile))
}

#[derive(JsonSchema)]
#[allow(dead_code)]
enum MigrationKind {
    Migration,
}

#[derive(JsonSchema)]
#[serde(rename_all = "lowercase")]
#[allow(dead_code)]
enum ProbeType {
    Tcp,
    Tls,
    Http,
    Https,
}

/// A share such as 1% or 0.5%.
#[derive(JsonSchema)]
#[allow(dead_code)]
struct Share(#[schemars(regex(pattern = r"^(100(\.0{1,3})?|(0|[1-9][0-9]?)(\.[0-9]{1,3})?)%$"))] String);

/// A time such as 300ms or 2s.
#[derive(JsonSchema)]
#[allow(dead_code)]
struct Time(#[schemars(regex(pattern = r"^([0-9]+ms|([0-9]+m)?([0-9]+s)?)$"))] String);

shapes! {
    /// A service's way from an old cluster (blue) to a new one (green), behind names that both share.
    MigrationFile {
        api_version: ApiVersion,
        kind: MigrationKind,
        metadata: MigrationMetadata,
        aws: AccountShape,
        /// Names that both sides serve. They move together.
        #[schemars(length(min = 1))]
        names: Vec<ServiceNameShape>,
        /// The old cluster.
        blue: SideShape,
        /// The new one.
        green: SideShape,
        /// Whom probes ask for addresses, as ip or ip:port. Default: the resolvers of your machine.
        resolvers: Option<Vec<String>>,
        /// What a healthy side answers.
        #[schemars(length(min = 1))]
        probes: Vec<ProbeShape>,
        /// Green's share, and how long each is watched. Default: 1, 5, 10, 25, 50 % for 10m each, 100 % for 30m.
        #[schemars(length(min = 1))]
        schedule: Option<Vec<MoveShape>>,
        /// What must hold while a share is watched.
        gates: Option<GatesShape>,
        /// Blue's balancer sends to green's machines for a time. Default: it does not.
        take_over: Option<TakeOverShape>,
        /// What becomes of the old cluster. Default: it stays.
        teardown: Option<TeardownShape>,
        /// Green, when it is not there yet. Default: it is there.
        make: Option<MakeShape>,
        /// What `keelwright migrate copy` brings from blue to green.
        copy: Option<CopyShape>,
    }
    MigrationMetadata {
        /// The migration's name, one DNS label.
        name: String,
    }
    AccountShape {
        /// Of balancers, such as eu-central-1.
        region: String,
        /// A profile of ~/.aws/config. Default: the SDK's usual chain.
        profile: Option<String>,
        /// The ARN of an IAM role to work as.
        assume_role: Option<String>,
    }
    ServiceNameShape {
        /// Such as shop.example.org, without a dot at its end.
        name: String,
        /// The id of its zone in Route 53.
        #[schemars(regex(pattern = r"^[A-Z0-9]+$"))]
        hosted_zone: String,
    }
    SideShape {
        /// Where the side is reached.
        balancer: BalancerShape,
        /// For readiness of nodes, and for objects to be copied.
        kubeconfig: Option<String>,
        /// Of a cluster that keelwright keeps, in place of a kubeconfig.
        inventory: Option<String>,
    }
    /// One of arn, name, alias, dnsName, addresses.
    #[schemars(extend("minProperties" = 1, "maxProperties" = 1))]
    BalancerShape {
        /// Of a network or application load balancer in this account and region.
        arn: Option<String>,
        /// The same by its name.
        #[schemars(regex(pattern = r"^[A-Za-z0-9]([A-Za-z0-9-]{0,30}[A-Za-z0-9])?$"))]
        name: Option<String>,
        /// A load balancer of another account or region.
        alias: Option<AliasShape>,
        /// Any other name: records are CNAMEs.
        dns_name: Option<String>,
        #[schemars(length(min = 1))]
        addresses: Option<Vec<String>>,
    }
    AliasShape {
        /// The balancer's own name.
        dns_name: String,
        /// The zone of that name, which the balancer's description shows.
        #[schemars(regex(pattern = r"^[A-Z0-9]+$"))]
        hosted_zone: String,
    }
    ProbeShape {
        /// What reports call it.
        #[schemars(regex(pattern = r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"))]
        name: String,
        /// Default: https.
        #[serde(rename = "type")]
        kind: Option<ProbeType>,
        /// Default: 80 with http, 443 with tls and https; tcp needs one.
        #[schemars(range(min = 1))]
        port: Option<u16>,
        /// http and https. Default: /.
        path: Option<String>,
        /// http and https: the Host header. Default: the first name.
        host: Option<String>,
        /// tls and https: the name in the handshake and in the certificate. Default: the host, the first name.
        server_name: Option<String>,
        /// http and https: status codes that are fine. Default: 200 to 399.
        #[schemars(length(min = 1))]
        statuses: Option<Vec<StatusShape>>,
        /// At most 60s. Default: 5s.
        timeout: Option<Duration>,
    }
    MoveShape {
        /// Green's share of all answers, more than that of the move before; the last is 100%.
        #[schemars(regex(pattern = r"^([1-9][0-9]?|100)%$"))]
        green: String,
        /// How long it is watched, at most 168h.
        soak: Duration,
    }
    GatesShape {
        /// At most this share of green's probes may fail. Default: 1%.
        error_rate: Option<Share>,
        /// By at most this much may green's share be above blue's. Default: 1%.
        worse_than_blue: Option<Share>,
        /// Within it 95 of 100 of green's answers come. Default: not judged.
        latency: Option<Time>,
        /// Green's 95th of 100 may take so many times blue's. Default: not judged.
        #[schemars(range(min = 1, max = 100))]
        slower_than_blue: Option<f64>,
        /// This share of green's targets has to be healthy. Default: 50%.
        healthy_targets: Option<Share>,
        /// All of green's nodes are Ready. Default: false.
        nodes_ready: Option<bool>,
        /// Answers of each side that have to be there before anything is judged. Default: 20.
        #[schemars(range(min = 1, max = 10_000))]
        samples: Option<u32>,
        /// Between two rounds of probes, at most 1h. Default: 1s.
        interval: Option<String>,
        /// Older answers are not judged; at most 1h. Default: 1m.
        window: Option<String>,
        metrics: Option<Vec<MetricShape>>,
        commands: Option<Vec<GateCommandShape>>,
    }
    /// A metric of CloudWatch.
    #[schemars(extend("anyOf" = [{ "required": ["below"] }, { "required": ["above"] }]))]
    MetricShape {
        namespace: String,
        metric: String,
        dimensions: Option<BTreeMap<String, String>>,
        /// Average, Sum, Minimum, Maximum, SampleCount, or a percentile such as p99. Default: Average.
        statistic: Option<String>,
        /// 1s, 5s, 10s, 20s, 30s, or whole minutes. Default: 1m.
        period: Option<Duration>,
        /// The gate is shut by a value that is more.
        below: Option<f64>,
        /// The gate is shut by a value that is less.
        above: Option<f64>,
    }
    /// A program of yours that ends with 0 while all is well.
    GateCommandShape {
        #[schemars(regex(pattern = r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"))]
        name: String,
        /// A program and its arguments.
        #[schemars(length(min = 1))]
        command: Vec<Literal>,
        /// Default: 1m.
        timeout: Option<Duration>,
    }
    TakeOverShape {
        /// So long without a new connection, nobody uses blue any more. Default: 10m.
        quiet: Option<Duration>,
        /// After it the window ends in any case, at most 168h. Default: 24h.
        deadline: Option<Duration>,
    }
    /// At most one of terraform, kops, reset.
    TeardownShape {
        terraform: Option<TerraformShape>,
        kops: Option<KopsShape>,
        /// Of a cluster that keelwright keeps.
        reset: Option<ResetShape>,
        /// Each name becomes a simple record that leads to green. Default: green's weighted record stays.
        simple_record: Option<bool>,
    }
    TerraformShape {
        /// Where `terraform destroy` is run.
        directory: String,
    }
    KopsShape {
        /// Its name in kops.
        cluster: String,
        /// The state store, such as s3://acme-kops.
        state: String,
    }
    ResetShape {
        /// Default: blue's.
        inventory: Option<String>,
    }
    /// One of inventory, eks.
    #[schemars(extend("minProperties" = 1, "maxProperties" = 1))]
    MakeShape {
        /// As `keelwright apply` makes it.
        inventory: Option<String>,
        eks: Option<EksShape>,
    }
    EksShape {
        cluster: String,
        /// The minor in quotes, such as "1.34".
        #[schemars(regex(pattern = r"^1\.[0-9]{1,3}$"))]
        version: String,
        /// The ARN of the cluster's role.
        role: String,
        /// Two or more, in different zones.
        #[schemars(length(min = 2))]
        subnets: Vec<String>,
        /// The ARN of the nodes' role.
        node_role: String,
        /// Default: m6i.large.
        #[schemars(length(min = 1))]
        instance_types: Option<Vec<String>>,
        /// Default: 1.
        #[schemars(range(max = 450))]
        min: Option<u32>,
        /// Default: 20.
        #[schemars(range(min = 1, max = 450))]
        max: Option<u32>,
        /// Default: min.
        #[schemars(range(max = 450))]
        desired: Option<u32>,
    }
    CopyShape {
        /// Patterns with `*`. Default: all but kube-*.
        namespaces: Option<Vec<String>>,
        /// Patterns of namespaces that stay.
        except: Option<Vec<String>>,
        /// A label selector of Kubernetes. Default: everything.
        selector: Option<String>,
        /// Kinds that stay, such as Job or certificates.cert-manager.io.
        without_kinds: Option<Vec<String>>,
        /// StorageClasses of blue to those of green. Default: the same names.
        storage_classes: Option<BTreeMap<String, String>>,
        /// Volumes are copied by snapshots where both sides can. Default: false.
        snapshots: Option<bool>,
    }
}

/// A status code of HTTP.
#[derive(JsonSchema)]
#[allow(dead_code)]
struct StatusShape(#[schemars(range(min = 100, max = 599))] u16);
