//! The steps between what is wanted and what is there.
//!
//! [`plan`] is a pure function: equal inputs give byte-equal plans. It reads as a table of contents;
//! each concern has its file.

pub mod check;
mod clean;
mod cluster;
mod etcd;
mod graph;
mod hooks;
mod host;
pub mod lower;
pub mod model;
mod pods;
pub mod quorum;
mod remove;
pub mod report;
pub mod rollout;
pub mod safety;
pub mod show;
mod stage;
mod trust;
pub mod upgrade;
mod warn;

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;
use serde_json::Value;

use crate::blueprint::cluster::Manifests;
use crate::blueprint::{ClusterBlueprint, ClusterIdentity, HostBlueprint, OsFamily, assign_pod_cidrs};
use crate::digest::Digest;
use crate::facts::{ClusterFacts, HostFacts, Observed, VaultFacts};
use crate::inventory::{Delivery, Host, HostName, Inventory};
use crate::pki::{CertificateSpec, KeyId, spec};
use crate::release::catalog::{IMAGE_REGISTRY, Image};
use crate::release::{Arch, BundleManifest, KubeVersion, Minor, UnsupportedMinor, release_of};

use graph::Graph;
use host::HostChanges;
pub use host::MissingArtifact;
pub use model::{
    Action, Before, Goal, ObjectSet, PLAN_FORMAT, Plan, Planned, Reason, Stage, Step, StepId, Target,
};
pub use report::{Blocked, Report};
pub use rollout::{Rollout, Wave};
pub use safety::{Refusal, Why};
use trust::Trust;
pub use upgrade::ClusterVersions;
use upgrade::Members;
pub use warn::{Warning, warnings};

/// Everything a plan is made from.
pub struct PlanInput<'a> {
    pub inventory: &'a Inventory,
    pub facts: &'a ClusterFacts,
    pub vault: &'a VaultFacts,
    pub bundles: &'a BTreeMap<Arch, BundleManifest>,
    /// Of other versions, which an upgrade may pass through.
    pub passing: &'a BTreeMap<KubeVersion, BTreeMap<Arch, BundleManifest>>,
    /// Of the network plugin and the add-ons: a saved plan is no longer the same when one has changed.
    pub manifests: &'a Manifests,
    /// Cluster objects as wanted; empty before the CA exists.
    pub objects: &'a BTreeMap<ObjectSet, Vec<Value>>,
    pub goal: Goal,
    /// Seconds since 1970, for expiry.
    pub now: i64,
}

/// A plan, and what to say about it.
#[derive(Debug, Clone, PartialEq)]
pub struct Outline {
    pub plan: Plan,
    pub report: Report,
    /// OS family by host: what lowering the plan depends on beside the plan itself.
    pub os: BTreeMap<HostName, OsFamily>,
}

/// Why there is no plan.
#[derive(Debug, Clone, thiserror::Error)]
pub enum PlanError {
    #[error("{} would be unsafe", list(.0))]
    Refused(Vec<Refusal>),
    #[error("host {host}")]
    Artifact {
        host: HostName,
        #[source]
        source: MissingArtifact,
    },
    #[error("there is no bundle for {}, which {host} needs", arch.as_str())]
    NoBundle { host: HostName, arch: Arch },
    #[error(transparent)]
    Release(#[from] UnsupportedMinor),
    #[error("the cluster cannot be upgraded to what the inventory says")]
    Upgrade(#[from] upgrade::UpgradeError),
    #[error("{} in the way of the upgrade", count(.0.len()))]
    Concerns(Vec<upgrade::Concern>),
    #[error("pod addresses cannot be given out: {0}")]
    PodCidrs(String),
    #[error("the inputs cannot be hashed: {0}")]
    Inputs(String),
}

fn count(things: usize) -> String {
    if things == 1 { "one thing is".to_owned() } else { format!("{things} things are") }
}

fn list(refusals: &[Refusal]) -> String {
    match refusals {
        [one] => format!("{}: {one}", one.host),
        many => format!("{} things", many.len()),
    }
}

/// The blueprint of every host that will be a member, from what was observed.
pub fn blueprints(input: &PlanInput<'_>) -> Result<BTreeMap<HostName, HostBlueprint>, PlanError> {
    let release = release_of(input.inventory.version)?;
    let pod_cidrs = pod_cidrs(input)?;
    let identity = ClusterIdentity {
        uid: input.vault.cluster_uid.as_deref().unwrap_or_default(),
        etcd_token: input.vault.etcd_token.as_deref().unwrap_or_default(),
    };
    let mut all = BTreeMap::new();
    let cluster = ClusterBlueprint::new(input.inventory, release, identity, &pod_cidrs);
    for (name, host) in &input.inventory.hosts {
        all.insert(name.clone(), cluster.host(host, &etcd::traits(input, host)));
    }
    Ok(all)
}

/// Files that differ from the vault's and stay: by host, the paths of what others have renewed there.
pub fn accepted(
    input: &PlanInput<'_>,
    blueprints: &BTreeMap<HostName, HostBlueprint>,
) -> Result<BTreeMap<HostName, BTreeSet<String>>, PlanError> {
    Ok(trust::trust(input, &certificates(input.inventory)?, blueprints).accepted)
}

/// Keys and certificates the cluster must have.
pub fn certificates(inventory: &Inventory) -> Result<BTreeMap<KeyId, CertificateSpec>, PlanError> {
    let release = release_of(inventory.version)?;
    Ok(spec::certificates(inventory, release.apiserver_kubelet_client_organization))
}

/// The pod addresses of every node: what the API says, and the next free ones for new nodes.
fn pod_cidrs(input: &PlanInput<'_>) -> Result<BTreeMap<HostName, Vec<IpNet>>, PlanError> {
    let observed: BTreeMap<_, _> = input
        .facts
        .api
        .known()
        .map(|api| api.nodes.iter().map(|(name, node)| (name.clone(), node.pod_cidrs.clone())).collect())
        .unwrap_or_default();
    assign_pod_cidrs(input.inventory, &observed).map_err(|error| PlanError::PodCidrs(error.to_string()))
}

/// The minors that control planes would go from and to, when any is not what is wanted.
pub fn pending_upgrade(input: &PlanInput<'_>) -> Option<(Minor, Minor)> {
    let versions = upgrade::observed(input, &blueprints(input).ok()?)?;
    let lowest = versions.lowest_control_plane()?;
    (lowest != input.inventory.version).then(|| (lowest.minor(), input.inventory.version.minor()))
}

/// Computes the steps. Refuses rather than plan anything unsafe.
pub fn plan(input: &PlanInput<'_>) -> Result<Outline, PlanError> {
    let refusals = safety::refusals(input);
    if !refusals.is_empty() {
        return Err(PlanError::Refused(refusals));
    }
    let mut graph = Graph::default();
    let versions = upgrade::observed(input, &blueprints(input)?);
    let rollout = match input.goal {
        Goal::Converge => converge(input, versions.clone(), &mut graph)?,
        // What is only brought rolls over nobody.
        Goal::Prefetch => converge(input, versions.clone(), &mut graph).map(|_| None)?,
        Goal::Reset => {
            remove::reset(input, &mut graph);
            None
        }
    };
    let mut steps = graph.into_steps();
    if input.goal == Goal::Prefetch {
        prefetch(input, &mut steps);
    }
    let concerns = match (input.goal, &versions) {
        (Goal::Converge, Some(versions)) => upgrade::before(input, versions, &steps)?,
        (Goal::Converge | Goal::Prefetch | Goal::Reset, _) => Vec::new(),
    };
    let report = report::report(input, &steps, concerns);
    let plan = Plan {
        format: PLAN_FORMAT,
        cluster: input.inventory.name.clone(),
        goal: input.goal,
        inputs: inputs_digest(input)?,
        founding: input.vault.founding(),
        versions,
        target: input.inventory.version,
        rollout,
        steps,
    };
    let known = |(name, observed): (&HostName, &Observed<HostFacts>)| {
        observed.known().map(|facts| (name.clone(), facts.os_family))
    };
    let os = input.facts.hosts.iter().filter_map(known).collect();
    Ok(Outline { plan, report, os })
}

/// Leaves what disturbs nobody: uploads, and the preparation of machines that run nothing yet.
fn prefetch(input: &PlanInput<'_>, steps: &mut Vec<Step>) {
    let is_new = |target: &Target| match (target, input.facts.api.known()) {
        (Target::Host(host), Some(api)) => !api.nodes.contains_key(host),
        (Target::Host(_), None) => !input.vault.etcd_established,
        (Target::Operator | Target::Cluster, _) => false,
    };
    steps
        .retain(|step| step.stage == Stage::Upload || (step.stage == Stage::Prepare && is_new(&step.target)));
    let left: BTreeSet<StepId> = steps.iter().map(|step| step.id.clone()).collect();
    for step in steps {
        step.after.retain(|id| left.contains(id));
    }
}

fn converge(
    input: &PlanInput<'_>,
    versions: Option<ClusterVersions>,
    graph: &mut Graph,
) -> Result<Option<Rollout>, PlanError> {
    let blueprints = blueprints(input)?;
    let certificates = certificates(input.inventory)?;
    let trust = trust::trust(input, &certificates, &blueprints);
    cluster::mint(input, &certificates, &trust.due, graph);
    let mut members = Members::of(input, &blueprints, versions, &pod_cidrs(input)?)?;
    for host in reachable(input) {
        let Some(blueprint) = blueprints.get(&host.name) else { continue };
        let Some(changes) = changes(input, blueprint, host, &trust)? else { continue };
        match members.as_mut().filter(|members| members.has(host)) {
            Some(members) => members.host_steps(host, blueprint, changes, graph),
            None => start_steps(host, changes, graph),
        }
    }
    etcd::join_members(input, graph);
    cluster::await_api(input, graph);
    let rolled = members.as_mut().map(|members| members.roll(graph));
    let (control_planes, nodes) = rolled
        .as_ref()
        .map(|rolled| (rolled.control_planes.as_slice(), rolled.nodes.as_slice()))
        .unwrap_or_default();
    cluster::base_objects(input, graph, control_planes);
    cluster::register_nodes(input, &blueprints, graph)?;
    cluster::addons(input, graph, nodes);
    let mut rollout = None;
    if let (Some(members), Some(rolled)) = (members.as_mut(), &rolled) {
        let addons = graph.find(&Target::Cluster, Stage::Addons);
        rollout = members.workers(rolled, graph, nodes.iter().cloned().chain(addons).collect());
    }
    cluster::await_nodes(input, graph);
    cluster::await_serving(graph);
    remove::dropped_hosts(input, graph);
    Ok(rollout)
}

/// Hosts of the inventory that answered their probe, by name.
fn reachable<'a>(input: &'a PlanInput<'_>) -> impl Iterator<Item = &'a Host> {
    input.inventory.hosts.values().filter(|host| input.facts.host(&host.name).is_some())
}

/// What differs on one host; None: it was not looked at.
fn changes(
    input: &PlanInput<'_>,
    blueprint: &HostBlueprint,
    host: &Host,
    trust: &Trust,
) -> Result<Option<HostChanges>, PlanError> {
    let Some(facts) = input.facts.host(&host.name) else { return Ok(None) };
    let bundle = input
        .bundles
        .get(&host.arch)
        .ok_or_else(|| PlanError::NoBundle { host: host.name.clone(), arch: host.arch })?;
    let mut blueprint = blueprint.clone();
    if host.is_node() {
        blueprint.images.extend(workload_images(bundle));
    }
    // What this plan makes anew has bytes that nobody knows yet.
    let secret_digest = |content: &crate::pki::SecretContent| {
        if content.key().is_some_and(|key| trust.due.contains_key(key)) {
            return None;
        }
        input.vault.digests.get(content).and_then(|hex| Digest::parse(hex).ok())
    };
    let none = BTreeSet::new();
    let sources = host::Sources {
        accepted: trust.accepted.get(&host.name).unwrap_or(&none),
        bundle,
        secret_digest: &secret_digest,
        delivery: &input.inventory.artifacts.delivery,
    };
    host::host_changes(&blueprint, facts, &sources)
        .map(Some)
        .map_err(|source| PlanError::Artifact { host: host.name.clone(), source })
}

/// All that a machine needs on which nothing of ours is yet.
pub(crate) fn new_host(
    mut blueprint: HostBlueprint,
    bundle: &BundleManifest,
    delivery: &Delivery,
) -> Result<HostChanges, MissingArtifact> {
    blueprint.images.extend(workload_images(bundle));
    let accepted = BTreeSet::new();
    let sources = host::Sources { accepted: &accepted, bundle, secret_digest: &|_| None, delivery };
    host::host_changes(&blueprint, &HostFacts::default(), &sources)
}

/// The steps of a host that runs nothing yet.
fn start_steps(host: &Host, changes: HostChanges, graph: &mut Graph) {
    let target = Target::Host(host.name.clone());
    let mut last = None;
    for (stage, actions) in
        [(Stage::Upload, changes.uploads), (Stage::Prepare, changes.prepare), (Stage::Start, changes.start)]
    {
        let mut after: Vec<StepId> = last.iter().cloned().collect();
        if stage == Stage::Start {
            after.extend(graph.find(&Target::Operator, Stage::Mint));
        }
        if let Some(id) = graph.add(target.clone(), stage, actions, after) {
            last = Some(id);
        }
    }
}

/// Images of the bundle that are no component's: those of network plugins, add-ons and workloads.
fn workload_images(bundle: &BundleManifest) -> impl Iterator<Item = String> {
    let of_component = |reference: &str| {
        Image::ALL.iter().filter(|image| **image != Image::Agnhost).any(|image| {
            reference.strip_prefix(IMAGE_REGISTRY).and_then(|rest| rest.strip_prefix('/')).is_some_and(
                |rest| rest.strip_prefix(image.repository()).is_some_and(|rest| rest.starts_with(':')),
            )
        })
    };
    bundle
        .images
        .iter()
        .map(|image| image.reference.clone())
        .filter(move |reference| !of_component(reference))
}

fn inputs_digest(input: &PlanInput<'_>) -> Result<Digest, PlanError> {
    let wanted = Digest::of_json(input.inventory).map_err(|error| PlanError::Inputs(error.to_string()))?;
    let bundles = Digest::of_json(input.bundles).map_err(|error| PlanError::Inputs(error.to_string()))?;
    let manifests = Digest::of_json(input.manifests).map_err(|error| PlanError::Inputs(error.to_string()))?;
    Ok(Digest::of(format!("{wanted}{bundles}{manifests}").as_bytes()))
}
