//! From the versions that run to those that are wanted, with the fewest disruptions that the version-skew
//! policy allows: what runs ([`versions`], `observe`), the moves ([`path`]), what each host's changes disturb
//! (`parts`), and the steps (`roll`).

mod back;
pub mod concerns;
mod cost;
mod etcd;
mod exchange;
mod fleet;
mod hop;
mod observe;
mod obstacle;
mod parts;
pub mod path;
mod roll;
mod search;
mod state;
pub mod versions;
mod waves;

#[cfg(test)]
mod path_exhaustive_tests;
#[cfg(test)]
mod path_property_tests;
#[cfg(test)]
mod path_tests;
#[cfg(test)]
pub(super) mod testing;

use std::collections::{BTreeMap, BTreeSet};

use super::graph::Graph;
use super::host::HostChanges;
use super::model::{Action, Planned, Reason, Stage, Step, StepId, Target};
use super::{PlanError, PlanInput, Rollout, etcd as members};
use crate::blueprint::{ClusterBlueprint, ClusterIdentity, HostBlueprint};
use crate::digest::Digest;
use crate::inventory::{Host, HostName, Inventory};
use crate::release::catalog::Image;
use crate::release::{BundleManifest, KubeVersion, Minor, release_of};

pub use concerns::{Concern, Prospect, Severity, concerns};
pub use obstacle::{Misfit, NoPath, Running};
pub use path::{Move, Releases, path};
pub use versions::{ClusterVersions, HostVersions};

pub(super) use observe::observed;
use parts::Parts;
use roll::Rolling;

/// Why versions are not changed now.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UpgradeError {
    #[error(transparent)]
    NoPath(#[from] NoPath),
    #[error("{} cannot be reached, and nobody knows what runs there", list(.0))]
    Blind(Vec<HostName>),
    #[error("{} leaves the cluster; let it leave at the version that runs, and then upgrade", list(.0))]
    Leaving(Vec<HostName>),
    #[error("{} has lost its etcd member; let it join again at the version that runs, and then upgrade", list(.0))]
    Lost(Vec<HostName>),
}

fn list(hosts: &[HostName]) -> String {
    hosts.iter().map(HostName::as_str).collect::<Vec<_>>().join(", ")
}

/// What there is to know before an upgrade; what blocks is an error.
pub(super) fn before(
    input: &PlanInput<'_>,
    versions: &ClusterVersions,
    steps: &[Step],
) -> Result<Vec<Concern>, PlanError> {
    let target = input.inventory.version;
    let Some(from) = versions.lowest_control_plane().filter(|lowest| *lowest != target) else {
        return Ok(Vec::new());
    };
    let drains = |step: &Step| {
        step.actions.iter().find_map(|planned| match &planned.action {
            Action::Drain { node } => Some(node.clone()),
            _other => None,
        })
    };
    let drained: BTreeSet<HostName> = steps.iter().filter_map(drains).collect();
    let under_way = versions.hosts.values().any(|host| host.api_server.is_some_and(|api| api != from));
    let prospect = Prospect {
        inventory: input.inventory,
        facts: input.facts,
        vault: input.vault,
        upgrade: &input.facts.upgrade,
        from,
        target,
        drained: &drained,
        under_way,
        now: input.now,
    };
    let all = concerns(&prospect);
    let blocking: Vec<Concern> =
        all.iter().filter(|concern| concern.severity == Severity::Blocks).cloned().collect();
    if blocking.is_empty() { Ok(all) } else { Err(PlanError::Concerns(blocking)) }
}

fn names(hosts: Vec<&Host>) -> Vec<HostName> {
    hosts.into_iter().map(|host| host.name.clone()).collect()
}

/// No version may change, not even a worker's, while nobody knows which API servers there are.
fn must_be_seen(input: &PlanInput<'_>) -> Result<(), UpgradeError> {
    let serves = |host: &&Host| {
        host.is_control_plane() || input.inventory.etcd_hosts().any(|etcd| etcd.name == host.name)
    };
    let away = input.inventory.hosts.values().filter(serves);
    let away = names(away.filter(|host| input.facts.host(&host.name).is_none()).collect());
    if away.is_empty() { Ok(()) } else { Err(UpgradeError::Blind(away)) }
}

/// What must be mended before a control plane changes: each would be left at a version that the others have
/// gone beyond.
fn must_be_mended(input: &PlanInput<'_>) -> Result<(), UpgradeError> {
    let leaving = names(input.facts.dropped.values().filter(|host| host.is_control_plane()).collect());
    if !leaving.is_empty() {
        return Err(UpgradeError::Leaving(leaving));
    }
    let has_data = |host: &&Host| input.facts.host(&host.name).is_some_and(|facts| facts.etcd.has_data);
    let lost = input.inventory.etcd_hosts().filter(|host| members::is_member(input, host) && !has_data(host));
    let lost = names(lost.collect());
    if lost.is_empty() { Ok(()) } else { Err(UpgradeError::Lost(lost)) }
}

/// The hosts of a cluster that runs, and what has to be replaced on them.
pub(super) struct Members<'a> {
    rolling: Rolling<'a>,
    pub moves: Vec<Move>,
    versions: ClusterVersions,
    /// Serve now: each is touched only while the others do.
    serving: BTreeSet<HostName>,
}

/// The versions that an upgrade can choose from: the newest patch of each minor that there is a bundle of.
fn releases(input: &PlanInput<'_>) -> Result<Releases, PlanError> {
    let etcd_of = |version: KubeVersion| -> Result<semver::Version, PlanError> {
        let text = release_of(version)?.etcd_version();
        semver::Version::parse(text).map_err(|error| PlanError::Inputs(format!("etcd {text}: {error}")))
    };
    let target = input.inventory.version;
    let mut passing: BTreeMap<Minor, (KubeVersion, semver::Version)> = BTreeMap::new();
    for version in input.passing.keys().filter(|version| version.minor() < target.minor()) {
        passing.insert(version.minor(), (*version, etcd_of(*version)?));
    }
    Ok(Releases { target, target_etcd: etcd_of(target)?, passing })
}

impl<'a> Members<'a> {
    /// None: there is no cluster yet, so nobody is disturbed.
    pub fn of(
        input: &'a PlanInput<'a>,
        blueprints: &BTreeMap<HostName, HostBlueprint>,
        versions: Option<ClusterVersions>,
        pod_cidrs: &BTreeMap<HostName, Vec<ipnet::IpNet>>,
    ) -> Result<Option<Self>, PlanError> {
        let Some(versions) = versions else { return Ok(None) };
        let moves = path(&versions, &releases(input)?).map_err(UpgradeError::from)?;
        if !moves.is_empty() {
            must_be_seen(input)?;
        }
        if moves.iter().any(|step| matches!(step, Move::ControlPlane { .. } | Move::Etcd { .. })) {
            must_be_mended(input)?;
        }
        let mut wanted: BTreeSet<KubeVersion> = BTreeSet::from([input.inventory.version]);
        for step in &moves {
            match step {
                Move::ControlPlane { to, .. } => drop(wanted.insert(*to)),
                Move::Etcd { to, .. } => wanted.extend(with_etcd(input, to)),
                Move::Kubelet { .. } | Move::KubeProxy { .. } => {}
            }
        }
        let serving = serving(input);
        for (name, host) in &versions.hosts {
            let at = [host.api_server, host.controller_manager, host.scheduler];
            if !serving.contains(name) {
                wanted.extend(at.into_iter().flatten().filter(|version| release_of(*version).is_ok()));
            }
        }
        let mut all = BTreeMap::new();
        for version in wanted {
            all.insert(version, blueprints_at(input, version, pod_cidrs)?);
        }
        let texts = roll::texts(input, blueprints);
        let rolling = Rolling { input, blueprints: all, parts: BTreeMap::new(), texts, hop: None };
        Ok(Some(Members { rolling, moves, versions, serving }))
    }

    /// Whether a host runs already; others are started as if there were no cluster.
    pub fn has(&self, host: &Host) -> bool {
        let input = self.rolling.input;
        let Some(facts) = input.facts.host(&host.name) else { return false };
        let has_pods = self.rolling.texts.keys().any(|(name, _)| name == &host.name);
        let has_node = input.facts.api.known().is_some_and(|api| api.nodes.contains_key(&host.name));
        facts.marker.is_some() && (has_pods || has_node)
    }

    /// The steps of one host that disturb nobody; the others are kept for [`Members::roll`].
    pub fn host_steps(
        &mut self,
        host: &Host,
        blueprint: &HostBlueprint,
        changes: HostChanges,
        graph: &mut Graph,
    ) {
        let mut parts = parts::split(changes, blueprint);
        self.bring_passing(host, &mut parts);
        parts.start_with_node();
        let files = parts.files.clone();
        let (uploads, prepare) = (std::mem::take(&mut parts.uploads), std::mem::take(&mut parts.prepare));
        self.rolling.parts.insert(host.name.clone(), parts);
        let target = Target::Host(host.name.clone());
        let mut after = Vec::new();
        after.extend(graph.add(target.clone(), Stage::Upload, uploads, Vec::new()));
        let prepared = graph.add(target.clone(), Stage::Prepare, prepare, after.clone());
        after = prepared.into_iter().chain(after).take(1).collect();
        let mut start = files;
        if !self.serving.contains(&host.name) {
            let at = self.versions_at(&host.name);
            let unit = start.iter().position(|planned| matches!(planned.action, Action::StartUnit { .. }));
            // A member that answers has its turn with the others, whatever its API server does.
            let spared = members::is_healthy(self.rolling.input, host);
            let pods = self.rolling.repair(&host.name, &at, spared);
            let place = unit.unwrap_or(start.len());
            start.splice(place..place, pods);
        }
        after.extend(graph.find(&Target::Operator, Stage::Mint));
        graph.add(target, Stage::Start, start, after);
    }

    /// The version that each static pod of a host has now.
    fn versions_at(&self, host: &HostName) -> BTreeMap<String, KubeVersion> {
        let Some(found) = self.versions.hosts.get(host) else { return BTreeMap::new() };
        let pods = [
            ("kube-apiserver", found.api_server),
            ("kube-controller-manager", found.controller_manager),
            ("kube-scheduler", found.scheduler),
        ];
        let etcd = found.etcd.as_ref().and_then(|etcd| with_etcd(self.rolling.input, etcd));
        let pods = pods.into_iter().chain([("etcd", etcd)]);
        pods.filter_map(|(pod, version)| Some((pod.to_owned(), version?))).collect()
    }

    /// Images of the versions that control planes pass through.
    fn bring_passing(&self, host: &Host, parts: &mut Parts) {
        let input = self.rolling.input;
        let facts = input.facts.host(&host.name);
        for (release, image) in self.passing_images(host) {
            let Some(bundle) = input.passing.get(&release).and_then(|bundles| bundles.get(&host.arch)) else {
                continue;
            };
            let Ok(known) = release_of(release) else { continue };
            let reference = known.image(image, release);
            let there =
                facts.and_then(|facts| facts.images.as_ref()).is_some_and(|all| all.contains(&reference));
            if there {
                continue;
            }
            bring(bundle, release, &reference, facts.map(|facts| &facts.artifacts), parts);
        }
    }

    fn passing_images(&self, host: &Host) -> BTreeSet<(KubeVersion, Image)> {
        let input = self.rolling.input;
        let mut images = BTreeSet::new();
        for step in &self.moves {
            match step {
                Move::ControlPlane { host: name, to } if name == &host.name => {
                    images.extend(
                        [Image::ApiServer, Image::ControllerManager, Image::Scheduler]
                            .map(|image| (*to, image)),
                    );
                }
                Move::Etcd { host: name, to } if name == &host.name => {
                    images.extend(with_etcd(input, to).map(|release| (release, Image::Etcd)));
                }
                Move::ControlPlane { .. }
                | Move::Etcd { .. }
                | Move::Kubelet { .. }
                | Move::KubeProxy { .. } => {}
            }
        }
        images.retain(|(release, _)| *release != input.inventory.version);
        images
    }

    /// Everything that has its turn: etcd, control planes, their nodes, add-ons, workers.
    pub fn roll(&mut self, graph: &mut Graph) -> Rolled {
        let input = self.rolling.input;
        let of = |serves: bool, hosts: Vec<&'a Host>| -> Vec<&'a Host> {
            hosts.into_iter().filter(|host| self.serving.contains(&host.name) == serves).collect()
        };
        let answers = |host: &&Host| self.serving.contains(&host.name) || members::is_healthy(input, host);
        let etcd: Vec<&Host> = input.inventory.etcd_hosts().filter(answers).collect();
        let control_planes = of(true, input.inventory.control_planes().collect());
        let here = |host: &&&Host| self.rolling.parts.contains_key(&host.name);
        let is_special = |host: &&&Host| {
            host.is_control_plane() || input.inventory.etcd_hosts().any(|etcd| etcd.name == host.name)
        };
        let all: Vec<&Host> = input.inventory.hosts.values().collect();
        let special: Vec<&Host> = all.iter().filter(is_special).filter(here).copied().collect();
        let workers: Vec<&Host> = all.iter().filter(|host| !is_special(host)).filter(here).copied().collect();
        let drained: BTreeSet<HostName> = self
            .moves
            .iter()
            .filter(|step| step.drains(&self.versions))
            .filter_map(|step| step.host().cloned())
            .collect();
        let moves = self.moves.clone();
        let mut last: Vec<StepId> = Vec::new();
        // Whoever is repaired serves before anybody else is taken down.
        let repaired = self.rolling.parts.keys().map(|host| Target::Host(host.clone()));
        last.extend(repaired.filter_map(|target| graph.find(&target, Stage::ApiReady)));
        let rolls = moves.iter().any(|step| matches!(step, Move::ControlPlane { .. } | Move::Etcd { .. }));
        if rolls {
            last.extend(super::cluster::access_objects(input, graph));
            last.extend(self.snapshot(graph, last.clone()));
        }
        // More voters can spare one more easily, unless those that join wait for the new version.
        if !rolls {
            last.extend(graph.of_stage(Stage::PromoteMember));
        }
        last = self.rolling.etcd(&moves, &etcd, graph, last);
        last = self.rolling.control_planes(&moves, &control_planes, graph, last);
        last = self.rolling.end_hop(graph, last);
        let control_planes_done = last.clone();
        last = self.rolling.serving_nodes(&special, &drained, graph, last);
        if rolls {
            self.hold_joining(graph, &control_planes_done);
        }
        Rolled {
            control_planes: control_planes_done,
            nodes: last,
            workers: workers.into_iter().map(|host| host.name.clone()).collect(),
            drained,
        }
    }

    /// etcd as it is before anything of another version writes to it.
    fn snapshot(&self, graph: &mut Graph, after: Vec<StepId>) -> Option<StepId> {
        let version = self.versions.hosts.values().filter_map(|host| host.api_server).min()?;
        let taken = Planned { action: Action::Snapshot { version }, reason: Reason::Precaution };
        graph.add(Target::Operator, Stage::Snapshot, vec![taken], after)
    }

    /// Hosts that join are of the new version from the start, so they wait until all API servers are.
    fn hold_joining(&self, graph: &mut Graph, control_planes: &[StepId]) {
        let hosts = self.rolling.input.inventory.hosts.keys();
        for host in hosts.filter(|host| !self.rolling.parts.contains_key(*host)) {
            let target = Target::Host(host.clone());
            for stage in [Stage::Prepare, Stage::AddMember, Stage::Start] {
                let Some(step) = graph.find(&target, stage) else { continue };
                control_planes.iter().for_each(|after| graph.wait_for(&step, after.clone()));
            }
        }
    }

    /// The workers, when all the rest is as it should be.
    pub fn workers(&mut self, rolled: &Rolled, graph: &mut Graph, after: Vec<StepId>) -> Option<Rollout> {
        let hosts = &self.rolling.input.inventory.hosts;
        let workers: Vec<&Host> = rolled.workers.iter().filter_map(|name| hosts.get(name)).collect();
        self.rolling.workers(&workers, &rolled.drained, graph, after)
    }
}

/// What the rest of the plan has to wait for.
pub(super) struct Rolled {
    pub control_planes: Vec<StepId>,
    pub nodes: Vec<StepId>,
    workers: Vec<HostName>,
    drained: BTreeSet<HostName>,
}

/// The release, target first, that has this etcd.
fn with_etcd(input: &PlanInput<'_>, etcd: &semver::Version) -> Option<KubeVersion> {
    let target = [input.inventory.version];
    let has = |version: &&KubeVersion| {
        release_of(**version).is_ok_and(|release| release.etcd_version() == etcd.to_string())
    };
    target.iter().chain(input.passing.keys().rev()).find(has).copied()
}

/// Control planes whose API server is ready, and etcd hosts whose member is healthy.
fn serving(input: &PlanInput<'_>) -> BTreeSet<HostName> {
    let Some(api) = input.facts.api.known() else { return BTreeSet::new() };
    let is_member = |host: &&Host| members::is_healthy(input, host);
    let etcd_only = input.inventory.etcd_hosts().filter(|host| !host.is_control_plane()).filter(is_member);
    let workers = input.inventory.hosts.values().filter(|host| {
        !host.is_control_plane() && !input.inventory.etcd_hosts().any(|etcd| etcd.name == host.name)
    });
    let all = api.ready.iter().cloned().chain(etcd_only.map(|host| host.name.clone()));
    all.chain(workers.map(|host| host.name.clone())).collect()
}

/// Blueprints of control planes and etcd hosts as another version wants them.
fn blueprints_at(
    input: &PlanInput<'_>,
    version: KubeVersion,
    pod_cidrs: &BTreeMap<HostName, Vec<ipnet::IpNet>>,
) -> Result<BTreeMap<HostName, HostBlueprint>, PlanError> {
    let mut inventory = Inventory { version, ..input.inventory.clone() };
    if version != input.inventory.version {
        inventory.etcd.extra_args.push(exchange::early_snapshots());
    }
    let identity = ClusterIdentity {
        uid: input.vault.cluster_uid.as_deref().unwrap_or_default(),
        etcd_token: input.vault.etcd_token.as_deref().unwrap_or_default(),
    };
    let cluster = ClusterBlueprint::new(&inventory, release_of(version)?, identity, pod_cidrs);
    let is_special =
        |host: &&Host| host.is_control_plane() || inventory.etcd_hosts().any(|etcd| etcd.name == host.name);
    let hosts = inventory.hosts.values().filter(is_special);
    Ok(hosts.map(|host| (host.name.clone(), cluster.host(host, &members::traits(input, host)))).collect())
}

/// Brings one image of another version's bundle.
fn bring(
    bundle: &BundleManifest,
    release: KubeVersion,
    reference: &str,
    there: Option<&BTreeSet<Digest>>,
    parts: &mut Parts,
) {
    let Some(image) = bundle.image(reference) else { return };
    let Ok(sha256) = Digest::parse(image.sha256.as_str()) else { return };
    let missing = |action| Planned { action, reason: Reason::Missing };
    if !there.is_some_and(|there| there.contains(&sha256)) {
        let (name, path) = (reference.to_owned(), image.path.to_string());
        parts.uploads.push(missing(Action::Upload { name, release, path, sha256, size: image.size }));
    }
    let waits = parts.prepare.iter().any(|planned| matches!(planned.action, Action::AwaitRuntime));
    if !waits {
        parts.prepare.push(Planned { action: Action::AwaitRuntime, reason: Reason::Follows });
    }
    parts.prepare.push(missing(Action::ImportImage { reference: reference.to_owned(), sha256 }));
}
