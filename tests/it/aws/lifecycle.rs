//! A cluster's resources in moto's AWS: made, changed, destroyed, whatever goes wrong on the way.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::{BehaviorVersion, Region};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use camino::Utf8Path;
use keelwright::cloud::aws::{AwsCloud, look_up};
use keelwright::cloud::permissions::actions;
use keelwright::cloud::plan::{Change, InfraPlan, plan_infra};
use keelwright::cloud::ports::CloudApi;
use keelwright::cloud::resource::DesiredState;
use keelwright::cloud::run::{InfraRun, Pace};
use keelwright::cloud::spec::desired;
use keelwright::exec::SystemClock;
use keelwright::inventory::{AwsInventory, Origin, Wanted, parse_wanted};

use rand::RngExt as _;

use crate::emulator::Cloud;
use crate::emulator::census::{Census, Kind, Thing, census};
use crate::emulator::fixtures;
use crate::emulator::proxy::{Fault, Faults, Moment};

pub(super) const KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIchO8T5RcEPNMKUnR3fjvqKxSP9hSVVPmHzQVFLb0bJ test";

/// moto answers at once, so nobody has to wait long.
pub(super) const PACE: Pace = Pace {
    first: Duration::from_millis(2),
    longest: Duration::from_millis(50),
    patience: Duration::from_secs(20),
    readiness: Duration::from_secs(20),
    visibility: Duration::from_millis(300),
};

/// One operator's view of one account.
pub(super) struct Site {
    pub cloud: Cloud,
    zone: String,
    directory: std::path::PathBuf,
}

impl Site {
    pub async fn new(name: &str) -> Option<Site> {
        let cloud = Cloud::start()?;
        let zone = fixtures::zone(&cloud.moto, name).await;
        let directory = std::env::temp_dir().join(format!("keelwright-aws-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        std::fs::write(directory.join("key.pub"), KEY).unwrap();
        Some(Site { cloud, zone, directory })
    }

    pub fn inventory(&self, control_planes: &str, workers: &str) -> AwsInventory {
        let text = format!(
            "apiVersion: keelwright.dev/v1
kind: Cluster
metadata: {{name: prod}}
kubernetes: {{version: v1.37.1}}
provider: aws
aws:
  region: eu-central-1
  zones: 3
  access: {{ssh: [203.0.113.0/24], api: [203.0.113.0/24], ingress: [0.0.0.0/0]}}
  sshKey: key.pub
  image: {}
  bastion: {{instanceType: t3.micro, user: admin}}
  controlPlanes: {{count: 3, user: admin, {control_planes}}}
  workerGroups: [{{name: workers, {workers}}}]
  api: {{record: {{name: api.example.org, hostedZone: {}}}}}
  ingress: [{{port: 443, nodePort: 30443}}]
  tags: {{team: platform}}
",
            fixtures::IMAGE,
            self.zone
        );
        let base = Utf8Path::from_path(&self.directory).unwrap();
        let origin = Origin { file: "inventory.yaml", base, home: None };
        match parse_wanted(text.as_bytes(), &origin) {
            Ok((Wanted::Aws(inventory), _)) => *inventory,
            Ok(_) => panic!("not aws"),
            Err(problems) => panic!("{problems}"),
        }
    }

    pub fn connect(&self, inventory: &AwsInventory) -> AwsCloud {
        AwsCloud::with(inventory.name().as_str(), &inventory.aws, &sdk_config(&self.cloud))
    }

    pub async fn census(&self) -> Census {
        census_of(&self.cloud).await
    }
}

/// What clients of the account behind the proxy share.
pub(super) fn sdk_config(cloud: &Cloud) -> aws_config::SdkConfig {
    let credentials = Credentials::new("test", "test", None, None, "test");
    aws_config::SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("eu-central-1"))
        .endpoint_url(cloud.proxy.url())
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .retry_config(RetryConfig::standard().with_max_attempts(8).with_initial_backoff(PACE.first))
        .timeout_config(
            aws_config::timeout::TimeoutConfig::builder().operation_timeout(Duration::from_secs(10)).build(),
        )
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .build()
}

impl Drop for Site {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

async fn look(api: &AwsCloud) -> keelwright::cloud::ports::Observed {
    api.observe().await.unwrap_or_else(|error| panic!("{error:?}"))
}

pub(super) async fn wanted(site: &Site, inventory: &AwsInventory) -> DesiredState {
    let lookups = look_up(&site.connect(inventory), &inventory.aws).await.unwrap();
    desired(inventory, &lookups).unwrap()
}

/// Looks, plans and runs once; the plan that was run.
pub(super) async fn once(
    site: &Site,
    inventory: &AwsInventory,
    wanted: &DesiredState,
    seed: u64,
) -> InfraPlan {
    let api = site.connect(inventory);
    let observed = look(&api).await;
    let plan = plan_infra("prod", wanted, &observed).unwrap_or_else(|refused| panic!("{refused:#?}"));
    let clock = SystemClock::default();
    let force = wanted.is_empty();
    let run = InfraRun { api: &api, clock: &clock, pace: PACE, seed, force, events: &|_| {} };
    let before = site.cloud.proxy.journal().len();
    let outcome = run.carry_out(&plan, &observed).await;
    permissions_were_foretold(site, &plan, before);
    for (at, error) in &outcome.failed {
        let mut text = format!("seed {seed}: {}: {error}", plan.steps[*at].name);
        let mut cause = std::error::Error::source(error);
        while let Some(error) = cause {
            text += &format!(": {error}");
            cause = error.source();
        }
        eprintln!("{text}");
    }
    if !outcome.is_complete() {
        let now = look(&api).await;
        for (at, _) in &outcome.failed {
            eprintln!("{:#?}", now.found.get(&plan.steps[*at].name));
        }
    }
    assert!(outcome.is_complete(), "seed {seed}: {:?} left", outcome.left.len());
    plan
}

/// Every change that a run made is among the actions that its plan was said to take.
pub(super) fn permissions_were_foretold(site: &Site, plan: &InfraPlan, before: usize) {
    let foretold: BTreeSet<&str> =
        actions(plan).into_iter().filter_map(|action| action.split(':').nth(1)).collect();
    for entry in site.cloud.proxy.journal().iter().skip(before) {
        let call = entry.name.split('.').nth(1).unwrap_or_default();
        let looks = ["Describe", "List", "Get"].iter().any(|verb| call.starts_with(verb));
        assert!(looks || foretold.contains(call), "{call} is not among {foretold:?}");
    }
}

pub(super) fn lines(plan: &InfraPlan) -> Vec<String> {
    plan.steps
        .iter()
        .map(|step| match &step.change {
            Change::Create { .. } => format!("+ {}", step.name),
            Change::Update { fields, .. } => {
                let fields: Vec<_> = fields
                    .iter()
                    .map(|change| format!("{} {} -> {}", change.field, change.from, change.to))
                    .collect();
                format!("~ {} ({})", step.name, fields.join(", "))
            }
            Change::Delete { why, .. } => format!("- {} ({why:?})", step.name),
        })
        .collect()
}

pub(super) const SMALL: (&str, &str) =
    ("instanceType: m6i.large", "instanceTypes: [m6i.large], min: 1, max: 5");
const LARGE: (&str, &str) = ("instanceType: m6i.xlarge", "instanceTypes: [m6i.large], min: 2, max: 9");

/// Without the volumes that moto makes for machines of a scaling group and forgets.
pub(super) async fn census_of(cloud: &Cloud) -> Census {
    let mut census = census(&cloud.moto, "/keelwright").await;
    let roots = census.entry(Kind::Volume).or_default();
    roots.retain(|volume| !volume.tags.is_empty());
    census.retain(|_, things| !things.is_empty());
    census
}

/// What there is for each kind when the cluster is whole.
pub(super) fn counts(census: &Census) -> Vec<(Kind, usize)> {
    // Roots of machines come with them, in moto sometimes two.
    let is_counted =
        |kind: &Kind, thing: &&Thing| *kind != Kind::Volume || thing.tags.contains_key("keelwright.dev/name");
    census
        .iter()
        .map(|(kind, things)| (*kind, things.iter().filter(|thing| is_counted(kind, thing)).count()))
        .collect()
}

pub(super) fn whole(workers: usize) -> Vec<(Kind, usize)> {
    vec![
        (Kind::Vpc, 1),
        (Kind::Subnet, 6),
        (Kind::InternetGateway, 1),
        (Kind::Address, 3),
        (Kind::NatGateway, 3),
        (Kind::RouteTable, 4),
        (Kind::SecurityGroup, 5),
        (Kind::KeyPair, 1),
        (Kind::LaunchTemplate, 1),
        (Kind::Instance, 4 + workers),
        (Kind::Volume, 3),
        (Kind::AutoScalingGroup, 1),
        (Kind::LoadBalancer, 2),
        (Kind::TargetGroup, 2),
        (Kind::Listener, 2),
        (Kind::Role, 2),
        (Kind::InstanceProfile, 2),
        (Kind::RecordSet, 1),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_is_made_changed_and_destroyed() {
    let Some(site) = Site::new("life").await else { return };
    let small = site.inventory(SMALL.0, SMALL.1);
    let state = wanted(&site, &small).await;
    let plan = once(&site, &small, &state, 1).await;
    assert_eq!(plan.steps.len(), state.len());
    assert_eq!(counts(&site.census().await), whole(1));
    // Rule by rule, a group with many had not all of them when the patience of a step was at its end (seed 230).
    assert_eq!(site.cloud.proxy.count("EC2.AuthorizeSecurityGroupIngress"), 5, "a call for each group");
    assert_eq!(lines(&once(&site, &small, &state, 2).await), Vec::<String>::new(), "a second plan is empty");

    let large = site.inventory(LARGE.0, LARGE.1);
    let state = wanted(&site, &large).await;
    let plan = once(&site, &large, &state, 3).await;
    let mut changed = lines(&plan);
    changed.sort();
    assert_eq!(
        changed,
        [
            "~ instance/cp-1 (instanceType \"m6i.large\" -> \"m6i.xlarge\")",
            "~ instance/cp-2 (instanceType \"m6i.large\" -> \"m6i.xlarge\")",
            "~ instance/cp-3 (instanceType \"m6i.large\" -> \"m6i.xlarge\")",
            "~ scaling-group/workers (desired 1 -> 2, max 5 -> 9, min 1 -> 2)",
        ]
    );
    assert_eq!(counts(&site.census().await), whole(2));
    assert_eq!(lines(&once(&site, &large, &state, 4).await), Vec::<String>::new(), "a second plan is empty");

    let revoked = || site.cloud.proxy.count("EC2.RevokeSecurityGroupIngress");
    let before = revoked();
    once(&site, &large, &DesiredState::new(), 5).await;
    assert_eq!(site.census().await, Census::new(), "nothing is left");
    // Rule by rule, a group with many was still not rid of them when the patience of a step was at its end (seed 130).
    assert!(revoked() - before <= 5, "a call for each group, and no more: {}", revoked() - before);
}

/// Something at nearly every third call.
pub(super) fn trouble(seed: u64) -> Faults {
    Faults::new(seed, |_, call, random| {
        let changes = !call.contains(".Describe") && !call.contains(".List") && !call.contains(".Get");
        match random.random_range(0..100) {
            0..10 => Fault::Throttle,
            10..14 => Fault::InternalError,
            14..18 => Fault::CutBefore,
            18..26 if changes => Fault::LostReply,
            26..30 if changes => Fault::NotFoundFor(3),
            _ => Fault::None,
        }
    })
}

/// KEELWRIGHT_AWS_SEEDS of them, from KEELWRIGHT_AWS_FIRST on.
fn seeds() -> std::ops::Range<u64> {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let first = number("KEELWRIGHT_AWS_FIRST").unwrap_or(0);
    first..first + number("KEELWRIGHT_AWS_SEEDS").unwrap_or(4)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_calls_meet_there_is_one_of_each_and_in_the_end_none() {
    for seed in seeds() {
        let Some(site) = Site::new(&format!("trouble-{seed}")).await else { return };
        site.cloud.proxy.set_faults(trouble(seed));
        let inventory = site.inventory(SMALL.0, SMALL.1);
        let state = wanted(&site, &inventory).await;
        once(&site, &inventory, &state, seed).await;
        assert_eq!(counts(&site.census().await), whole(1), "seed {seed}");
        assert_eq!(lines(&once(&site, &inventory, &state, seed).await), Vec::<String>::new(), "seed {seed}");
        once(&site, &inventory, &DesiredState::new(), seed).await;
        assert_eq!(site.census().await, Census::new(), "seed {seed}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_who_is_killed_at_any_call_goes_on() {
    for seed in seeds() {
        let Some(site) = Site::new(&format!("killed-{seed}")).await else { return };
        let site = Arc::new(site);
        let inventory = site.inventory(SMALL.0, SMALL.1);
        let state = wanted(&site, &inventory).await;
        for (number, state) in [state, DesiredState::new()].into_iter().enumerate() {
            let moments = [Moment::Before, Moment::After];
            let call = site.cloud.proxy.journal().len() + 20 + usize::try_from(seed * 37 % 150).unwrap();
            site.cloud.proxy.stop_at(call, moments[usize::try_from(seed).unwrap() % 2]);
            let run = tokio::spawn({
                let (site, inventory, state) = (Arc::clone(&site), inventory.clone(), state.clone());
                async move { once(&site, &inventory, &state, seed).await }
            });
            tokio::select! {
                () = site.cloud.proxy.stopped() => {}
                () = tokio::time::sleep(Duration::from_secs(120)) => panic!("seed {seed}: never at call {call}"),
            }
            run.abort();
            let _ = run.await;
            site.cloud.proxy.release();
            once(&site, &inventory, &state, seed).await;
            let left = once(&site, &inventory, &state, seed).await;
            assert_eq!(lines(&left), Vec::<String>::new(), "seed {seed}, {number}");
            let expected = if number == 0 { whole(1) } else { Vec::new() };
            assert_eq!(counts(&site.census().await), expected, "seed {seed}, {number}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_ours_is_left_alone() {
    let Some(site) = Site::new("others").await else { return };
    let vpc = fixtures::vpc(&site.cloud.moto).await;
    let subnet = fixtures::subnet(&site.cloud.moto, &vpc).await;
    fixtures::instance(&site.cloud.moto, &subnet, &[]).await;
    let before = site.census().await;
    let inventory = site.inventory(SMALL.0, SMALL.1);
    let state = wanted(&site, &inventory).await;
    once(&site, &inventory, &state, 1).await;
    once(&site, &inventory, &DesiredState::new(), 2).await;
    assert_eq!(site.census().await, before);
    let ids: BTreeSet<_> = before.values().flatten().map(|thing| thing.id.clone()).collect();
    assert!(ids.contains(&vpc));
}
