//! A simulated cluster like one that was observed: its machines, its etcd, its API and its vault, as far as
//! facts tell. Planning on it gives the plan that the original would get, and running that plan disturbs
//! nobody.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::bundle::{self, Passing};
use super::converge::Simulation;
use super::etcd::{EtcdCluster, Member};
use super::extras::pod_network;
use super::faults::Faults;
use super::ports::Fleet;
use super::replica_host::{Texts, machine, member_identity};
use super::vault::SimVault;
use super::world::World;
use crate::blueprint::HostBlueprint;
use crate::blueprint::cluster::{Manifests, object_key};
use crate::digest::Digest;
use crate::exec::VaultView as _;
use crate::exec::ports::{EtcdMember, PortError};
use crate::facts::upgrade::Listed;
use crate::facts::{ApiFacts, ClusterFacts, NodeFacts, Observed, VaultFacts};
use crate::inventory::{HostName, Inventory};
use crate::plan::{self, Goal, PlanError, PlanInput};
use crate::release::artifact::Sha256;
use crate::release::{Arch, BundleManifest, KubeVersion};

/// How long the replica runs before anybody looks at it: what runs there has long been ready.
const SETTLED: Duration = Duration::from_secs(60);
/// The one etcd cluster, and what an API server has counted before.
const CLUSTER: u64 = 1;
const REVISION: u64 = 1_000_000;
const KUBELET: &str = "/usr/local/bin/kubelet";

/// A cluster as it was observed.
pub struct Original<'a> {
    /// What is wanted of it.
    pub inventory: &'a Inventory,
    pub facts: &'a ClusterFacts,
    pub vault: &'a VaultFacts,
    /// PEM.
    pub ca_certificate: &'a str,
    /// What runs in it, where an upgrade looks.
    pub listed: &'a Listed,
    pub bundles: BTreeMap<Arch, BundleManifest>,
    pub passing: Passing,
    pub manifests: Manifests,
    /// When it was observed, in seconds since 1970.
    pub now: i64,
}

/// Why there is no replica.
#[derive(Debug, thiserror::Error)]
pub enum ReplicaError {
    #[error("no cluster runs there")]
    NoCluster,
    #[error("the Kubernetes API could not be asked: {0}")]
    Api(String),
    #[error("etcd could not be asked: {0}")]
    Etcd(String),
    #[error("what its hosts should be like is not known")]
    Plan(#[from] PlanError),
    #[error("its keys cannot be played")]
    Vault(#[from] PortError),
}

impl Simulation {
    /// Builds the replica; nothing of the original is touched. With `faults` from its first moment on.
    pub fn replica(original: Original<'_>, faults: Faults) -> Result<Self, ReplicaError> {
        let (api, members) = running(original.facts)?;
        let texts = texts(&original)?;
        let mut bundles = original.bundles.clone();
        as_on_hosts(&mut bundles, &original, &texts);

        let hosts = original.inventory.hosts.values().chain(original.facts.dropped.values());
        let mut world = World::new(hosts.cloned(), Faults::none());
        world.learn(bundles.values().chain(original.passing.values().flat_map(BTreeMap::values)));
        world.network = pod_network(original.inventory, &original.manifests);
        world.metrics = original.listed.metrics.clone();
        let cluster = original.inventory.name.as_str();
        let fleet = Fleet::new(world);
        let elapsed = i64::try_from(SETTLED.as_secs()).unwrap_or(0);
        let vault = SimVault::like(cluster, Arc::clone(&fleet), original.vault, original.now, elapsed);
        {
            let mut world = fleet.world();
            let ca = vault.ca_certificate()?.unwrap_or_default();
            world.clusters.insert(CLUSTER, etcd_cluster(&original, api, members, &ca));
            for (name, observed) in &original.facts.hosts {
                add_machine(&mut world, &original, &texts, &vault, name, observed, members);
            }
        }
        let mut simulation = Simulation::of(
            Arc::clone(&fleet),
            vault,
            original.inventory.clone(),
            bundles,
            original.passing,
            original.manifests,
        );
        simulation.known = original.facts.dropped.clone();
        let _ = fleet.runtime.drive(fleet.runtime.wait(SETTLED));
        fleet.world().faults = faults;
        Ok(simulation)
    }
}

fn running(facts: &ClusterFacts) -> Result<(&ApiFacts, &[EtcdMember]), ReplicaError> {
    let api = match &facts.api {
        Observed::Known(api) => api,
        Observed::Absent => return Err(ReplicaError::NoCluster),
        Observed::Unreachable(why) => return Err(ReplicaError::Api(why.clone())),
    };
    match &facts.etcd {
        Observed::Known(etcd) => Ok((api, &etcd.members)),
        Observed::Absent => Err(ReplicaError::NoCluster),
        Observed::Unreachable(why) => Err(ReplicaError::Etcd(why.clone())),
    }
}

/// A probe tells a text only where it is not the one it was asked about: that was made knowing nothing of
/// the hosts, and what is wanted now is made knowing them.
fn texts(original: &Original<'_>) -> Result<Texts, ReplicaError> {
    let nothing = ClusterFacts {
        hosts: BTreeMap::new(),
        dropped: BTreeMap::new(),
        api: Observed::Absent,
        etcd: Observed::Absent,
        upgrade: Observed::Absent,
    };
    let objects = BTreeMap::new();
    let input = |facts| PlanInput {
        inventory: original.inventory,
        facts,
        vault: original.vault,
        bundles: &original.bundles,
        passing: &original.passing,
        manifests: &original.manifests,
        objects: &objects,
        goal: Goal::Converge,
        now: original.now,
    };
    let wanted = plan::blueprints(&input(original.facts))?;
    let accepted = plan::accepted(&input(original.facts), &wanted)?;
    let digests = original.vault.digests.clone();
    Ok(Texts { asked: plan::blueprints(&input(&nothing))?, wanted, accepted, digests })
}

/// A bundle that is played has a runtime of no real hash. It is taken to be the one that the hosts have, where
/// they agree: else the rehearsal would replace it everywhere.
fn as_on_hosts(bundles: &mut BTreeMap<Arch, BundleManifest>, original: &Original<'_>, texts: &Texts) {
    for (arch, bundle) in bundles {
        for file in bundle.files.iter_mut().filter(|file| bundle::is_any(file)) {
            let on_host = |blueprint: &HostBlueprint| -> Option<Digest> {
                let host = original.inventory.hosts.get(&blueprint.host).filter(|host| host.arch == *arch)?;
                let mut binaries = blueprint.binaries.iter();
                let (path, _) = binaries.find(|(_, binary)| binary.artifact == file.name)?;
                original.facts.host(&host.name)?.files.get(path)?.digest
            };
            let found: BTreeSet<String> =
                texts.wanted.values().filter_map(on_host).map(|digest| digest.to_string()).collect();
            let mut bytes = [0; 32];
            if let (1, Some(one)) = (found.len(), found.first())
                && hex::decode_to_slice(one, &mut bytes).is_ok()
            {
                file.sha256 = Sha256::from_bytes(&bytes);
            }
        }
    }
}

/// Everything the API servers keep, with the played CA in place of the real one.
fn etcd_cluster(
    original: &Original<'_>,
    api: &ApiFacts,
    members: &[EtcdMember],
    played_ca: &str,
) -> EtcdCluster {
    let member = |found: &EtcdMember| {
        let url = found.peer_urls.first().cloned().unwrap_or_default();
        let started = (!found.client_urls.is_empty()).then_some(Duration::ZERO);
        (found.id, Member { name: found.name.clone(), url, learner: found.learner, started })
    };
    let nodes = api.nodes.iter().map(|(name, facts)| node(name, facts, &original.listed.nodes));
    let listed = original.listed;
    let workloads = [
        &listed.namespaces,
        &listed.pods,
        &listed.deployments,
        &listed.stateful_sets,
        &listed.budgets,
        &listed.webhook_configurations,
        &listed.endpoint_slices,
        &listed.going,
    ];
    let workloads = workloads.into_iter().flatten().cloned();
    // What the inventory wants comes last: it was fetched one by one, with all its fields.
    let objects = workloads.chain(nodes).chain(api.objects.values().cloned()).map(|mut object| {
        with_ca(&mut object, original.ca_certificate, played_ca);
        (object_key(&object), object)
    });
    EtcdCluster {
        members: members.iter().map(member).collect(),
        leader: members.iter().find(|member| member.leader).map(|member| member.id),
        established: true,
        objects: objects.collect(),
        revision: REVISION,
    }
}

/// As it was listed, or else from what was kept of it.
fn node(name: &HostName, facts: &NodeFacts, listed: &[Value]) -> Value {
    if let Some(found) = listed.iter().find(|node| node["metadata"]["name"] == name.as_str()) {
        return found.clone();
    }
    let mut metadata = facts.live["metadata"].clone();
    metadata["name"] = name.as_str().into();
    json!({
        "apiVersion": "v1", "kind": "Node", "metadata": metadata, "spec": facts.live["spec"],
        "status": {"nodeInfo": {"kubeletVersion": facts.kubelet_version}},
    })
}

fn with_ca(value: &mut Value, real: &str, played: &str) {
    match value {
        Value::String(text) => {
            let (encoded, other) = (STANDARD.encode(real), STANDARD.encode(played));
            // An empty text would be found everywhere.
            if !real.is_empty() && (text.contains(real) || text.contains(&encoded)) {
                *text = text.replace(real, played).replace(&encoded, &other);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| with_ca(item, real, played)),
        Value::Object(fields) => fields.values_mut().for_each(|field| with_ca(field, real, played)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn add_machine(
    world: &mut World,
    original: &Original<'_>,
    texts: &Texts,
    vault: &SimVault,
    name: &HostName,
    observed: &Observed<crate::facts::HostFacts>,
    members: &[EtcdMember],
) {
    let Some(host) = world.hosts.get(name).map(|found| found.host.clone()) else { return };
    let Observed::Known(facts) = observed else {
        if let Some(found) = world.hosts.get_mut(name) {
            found.unreachable_until = Duration::MAX;
        }
        return;
    };
    let version = original.facts.api.known().and_then(|api| api.nodes.get(name));
    let version = version.and_then(|node| KubeVersion::parse(&node.kubelet_version).ok());
    let kubelet = running_kubelet(world, facts.files.get(KUBELET).and_then(|file| file.digest), version);
    let data_dir = original.inventory.etcd.data_dir.as_str();
    let identity = facts.etcd.has_data.then(|| member_identity(CLUSTER, &host, members));
    let machine =
        machine(&host, facts, texts, vault, kubelet, identity.as_deref().map(|text| (data_dir, text)));
    if machine.pods.contains_key("kube-apiserver") {
        world.api_hosts.insert(name.clone());
    }
    if facts.etcd.has_data {
        world.etcd_hosts.insert(name.clone());
    }
    world.hosts.insert(name.clone(), machine);
}

/// The executable whose version a Node tells: the one on the disk, or one that was there before it.
fn running_kubelet(world: &mut World, on_disk: Option<Digest>, node: Option<KubeVersion>) -> Option<Digest> {
    let Some(version) = node.map(|version| version.to_string()) else { return on_disk };
    let on_disk = on_disk?;
    let known = world.versions.entry(on_disk).or_insert_with(|| version.clone());
    if *known == version {
        return Some(on_disk);
    }
    let before = Digest::of(format!("kubelet {version}").as_bytes());
    world.versions.insert(before, version);
    Some(before)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_real_ca_is_replaced_wherever_it_is_and_in_both_forms() {
        let mut object =
            json!({"data": {"ca.crt": "REAL\n", "list": [STANDARD.encode("REAL\n"), 1, "other"]}});
        with_ca(&mut object, "REAL\n", "PLAYED");
        assert_eq!(
            object,
            json!({"data": {"ca.crt": "PLAYED", "list": [STANDARD.encode("PLAYED"), 1, "other"]}})
        );
        let before = object.clone();
        with_ca(&mut object, "", "PLAYED");
        assert_eq!(object, before, "a cluster without a CA has nothing to replace");
    }

    #[test]
    fn a_kubelet_is_of_the_version_its_node_tells() {
        let version = |text: &str| KubeVersion::parse(text).unwrap();
        let (old, new) = (Digest::of(b"old"), Digest::of(b"new"));
        let mut world = World::new(std::iter::empty(), Faults::none());
        world.versions.insert(new, "v1.37.1".to_owned());
        // Known, and it runs; unknown, so the Node says what it is; on the disk, and not started yet.
        assert_eq!(running_kubelet(&mut world, Some(new), Some(version("v1.37.1"))), Some(new));
        assert_eq!(running_kubelet(&mut world, Some(old), Some(version("v1.35.2"))), Some(old));
        assert_eq!(world.versions[&old], "v1.35.2");
        let before = running_kubelet(&mut world, Some(new), Some(version("v1.35.2"))).unwrap();
        assert_ne!(before, new);
        assert_eq!(world.versions[&before], "v1.35.2");
        assert_eq!(running_kubelet(&mut world, None, Some(version("v1.35.2"))), None);
        assert_eq!(running_kubelet(&mut world, Some(new), None), Some(new));
    }
}
