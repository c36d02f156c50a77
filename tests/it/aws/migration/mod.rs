//! What a migration asks of AWS, against the emulator.

mod balancers;
mod changes;
mod clusters;
mod faults;
mod flows;
mod network;
mod permissions;
mod records;
mod take_over;

use std::collections::BTreeSet;

use keelwright::cloud::aws::migration::{MigrationAws, permissions as needed};
use keelwright::inventory::{
    Account, Balancer, Eks, Gates, MakeGreen, MetricGate, Migration, MigrationSide, ServiceName, TakeOver,
    Teardown,
};
use keelwright::migrate::ports::{CallError, Dns as _};
use keelwright::migrate::record::{Batch, RecordSet, RecordType, Routing, Target};

use super::lifecycle::sdk_config;
use crate::emulator::Cloud;
use crate::emulator::fixtures;

/// An account, and a migration's way to it through the proxy. What tests make for themselves they make past it, so
/// that all calls of its journal are keelwright's.
struct Scene {
    cloud: Cloud,
    aws: MigrationAws,
}

impl Scene {
    fn new() -> Option<Scene> {
        let cloud = Cloud::start()?;
        let aws = MigrationAws::with(&sdk_config(&cloud));
        Some(Scene { cloud, aws })
    }

    /// The id of a zone of `example.org`.
    async fn zone(&self) -> String {
        fixtures::zone(&self.cloud.moto, "once").await
    }

    async fn records(&self, zone: &str, name: &str) -> Vec<RecordSet> {
        self.aws.records(zone, name).await.unwrap()
    }

    async fn create(&self, zone: &str, records: &[RecordSet]) {
        let batch = Batch { delete: Vec::new(), create: records.to_vec() };
        self.aws.change(zone, &batch).await.unwrap();
    }

    /// The calls were all among those that a migration is said to need.
    fn was_foretold(&self) {
        let foretold: BTreeSet<&str> = needed(&everything(), &["arn".to_owned()])
            .into_iter()
            .map(|permission| permission.action.split(':').nth(1).unwrap())
            .collect();
        // Who asks about permissions.
        let asks = ["GetCallerIdentity", "SimulatePrincipalPolicy"];
        for call in self.cloud.proxy.calls() {
            let name = call.split('.').nth(1).unwrap();
            assert!(foretold.contains(name) || asks.contains(&name), "{call} is not among {foretold:?}");
        }
    }
}

/// A migration with all that one can have.
fn everything() -> Migration {
    let text = str::to_owned;
    let side = |name: &str| MigrationSide {
        balancer: Balancer::Name(text(name)),
        kubeconfig: None,
        inventory: None,
    };
    Migration {
        name: text("shop"),
        aws: Account { region: text("eu-central-1"), profile: None, assume_role: None },
        names: vec![ServiceName { name: text("shop.example.org"), hosted_zone: text("Z1") }],
        blue: side("blue"),
        green: side("green"),
        resolvers: Vec::new(),
        probes: Vec::new(),
        schedule: Vec::new(),
        gates: Gates {
            error_rate: 0.01,
            worse_than_blue: 0.01,
            latency: None,
            slower_than_blue: None,
            healthy_targets: 1.0,
            nodes_ready: false,
            metrics: vec![gate("Average", 60)],
            commands: Vec::new(),
            samples: 20,
            interval: 1,
            window: 60,
        },
        take_over: Some(TakeOver { quiet: 600, deadline: 3600 }),
        teardown: Teardown { by: None, simple_record: true },
        make: Some(MakeGreen::Eks(eks(&[]))),
        copy: None,
    }
}

fn gate(statistic: &str, period: u32) -> MetricGate {
    MetricGate {
        namespace: "Shop".to_owned(),
        metric: "Errors".to_owned(),
        dimensions: vec![("Side".to_owned(), "green".to_owned())],
        statistic: statistic.to_owned(),
        period,
        below: Some(1.0),
        above: None,
    }
}

fn eks(subnets: &[String]) -> Eks {
    Eks {
        cluster: "green".to_owned(),
        version: "1.34".to_owned(),
        role: "arn:aws:iam::123456789012:role/eks".to_owned(),
        subnets: subnets.to_vec(),
        node_role: "arn:aws:iam::123456789012:role/nodes".to_owned(),
        instance_types: vec!["m6i.large".to_owned()],
        min: 2,
        max: 6,
        desired: 3,
    }
}

fn record(name: &str, routing: Routing, target: Target) -> RecordSet {
    RecordSet { name: name.to_owned(), record_type: RecordType::A, routing, target, health_check: None }
}

fn weighted(identifier: &str, weight: u8) -> Routing {
    Routing::Weighted { identifier: identifier.to_owned(), weight }
}

fn alias(balancer: &str) -> Target {
    Target::Alias {
        dns_name: format!("{balancer}.elb.eu-central-1.amazonaws.com."),
        hosted_zone: "Z3F0SRJ5LGBH90".to_owned(),
        evaluate_target_health: true,
    }
}

fn values(values: &[&str]) -> Target {
    Target::Values { ttl: 60, values: values.iter().map(|value| (*value).to_owned()).collect() }
}

fn is_later<T>(answer: &Result<T, CallError>) -> bool {
    matches!(answer, Err(CallError::Later(_)))
}

fn is_unknown<T>(answer: &Result<T, CallError>) -> bool {
    matches!(answer, Err(CallError::Unknown(_)))
}

/// What was said of a call that was refused for good.
#[track_caller]
fn refusal<T: std::fmt::Debug>(answer: Result<T, CallError>) -> String {
    match answer {
        Err(CallError::Refused(said)) => said,
        other => panic!("not refused: {other:?}"),
    }
}
