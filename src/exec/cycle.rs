//! Look, then decide: one observation of everything, and the plan made from it. The command line,
//! `rehearse` and the tests all go through here.

use std::collections::BTreeMap;

use serde_json::Value;

use super::observe::{observe_api, observe_etcd, observe_hosts};
use super::ports::{Etcd, KubeApi, PortError, Remote};
use crate::blueprint::cluster::{ClusterInputs, Manifests, cluster_objects};
use crate::blueprint::{Content, HostBlueprint};
use crate::facts::{ClusterFacts, HostFacts, Observed, VaultFacts};
use crate::inventory::{Host, HostName, Inventory};
use crate::pki::SecretContent;
use crate::plan::{self, Goal, ObjectSet, Outline, PlanError, PlanInput};
use crate::release::{Arch, BundleManifest, KubeVersion, release_of};

/// What planning may know of the vault.
pub trait VaultView: Send + Sync {
    fn facts(&self, contents: &[SecretContent]) -> VaultFacts;
    /// PEM of the cluster's CA, once there is one.
    fn ca_certificate(&self) -> Result<Option<String>, PortError>;
}

/// Everything one look needs.
pub struct Cycle<'a> {
    pub inventory: &'a Inventory,
    pub bundles: &'a BTreeMap<Arch, BundleManifest>,
    /// Of other versions, which an upgrade may pass through.
    pub passing: &'a BTreeMap<KubeVersion, BTreeMap<Arch, BundleManifest>>,
    /// Of the network plugin and the add-ons.
    pub manifests: &'a Manifests,
    /// Hosts an earlier inventory had and this one has not.
    pub dropped: &'a BTreeMap<HostName, Host>,
    pub vault: &'a dyn VaultView,
    pub remote: &'a dyn Remote,
    pub kube: &'a dyn KubeApi,
    pub etcd: &'a dyn Etcd,
    pub goal: Goal,
    /// Tells the seconds since 1970.
    pub clock: &'a (dyn Fn() -> i64 + Sync),
}

/// What was seen, and what follows from it.
pub struct Look {
    pub facts: ClusterFacts,
    pub vault: VaultFacts,
    pub outline: Result<Outline, PlanError>,
}

impl Cycle<'_> {
    /// Probes all hosts, asks API and etcd if there is a cluster, and plans.
    pub async fn look(&self) -> Result<Look, PortError> {
        let nothing = ClusterFacts {
            hosts: BTreeMap::new(),
            dropped: self.dropped.clone(),
            api: Observed::Absent,
            etcd: Observed::Absent,
        };
        let now = (self.clock)();
        let mut vault = self.vault.facts(&[]);
        let objects = BTreeMap::new();
        let expected = match plan::blueprints(&self.input(&nothing, &vault, &objects, now)) {
            Ok(blueprints) => blueprints,
            Err(error) => return Ok(Look { facts: nothing, vault, outline: Err(error) }),
        };
        let mut asked = expected;
        for name in self.dropped.keys() {
            asked.entry(name.clone()).or_insert_with(|| HostBlueprint::empty(name.clone()));
        }
        let hosts = observe_hosts(self.inventory, &asked, self.remote, self.clock).await;
        let mut facts = ClusterFacts { hosts, ..nothing };

        let objects = self.desired_objects(&vault)?;
        if vault.etcd_established || facts.hosts.values().filter_map(Observed::known).any(has_cluster) {
            let wanted: Vec<Value> = objects.values().flatten().cloned().collect();
            let (api, etcd) =
                futures::join!(observe_api(self.inventory, self.kube, &wanted), observe_etcd(self.etcd));
            facts.api = api;
            facts.etcd = etcd;
        }

        let contents = match plan::blueprints(&self.input(&facts, &vault, &objects, now)) {
            Ok(blueprints) => secret_contents(&blueprints),
            Err(error) => return Ok(Look { facts, vault, outline: Err(error) }),
        };
        vault = self.vault.facts(&contents);
        let outline = plan::plan(&self.input(&facts, &vault, &objects, now));
        Ok(Look { facts, vault, outline })
    }

    fn input<'b>(
        &'b self,
        facts: &'b ClusterFacts,
        vault: &'b VaultFacts,
        objects: &'b BTreeMap<ObjectSet, Vec<Value>>,
        now: i64,
    ) -> PlanInput<'b> {
        PlanInput {
            inventory: self.inventory,
            facts,
            vault,
            bundles: self.bundles,
            passing: self.passing,
            manifests: self.manifests,
            objects,
            goal: self.goal,
            now,
        }
    }

    fn desired_objects(&self, vault: &VaultFacts) -> Result<BTreeMap<ObjectSet, Vec<Value>>, PortError> {
        let mut all = BTreeMap::new();
        if let Some(ca) = self.vault.ca_certificate()? {
            let token = vault.etcd_token.clone().unwrap_or_default();
            for set in [ObjectSet::Access, ObjectSet::Config, ObjectSet::Addons] {
                all.insert(set, desired_objects(self.inventory, self.manifests, &ca, &token, set)?);
            }
        }
        Ok(all)
    }
}

/// The wanted objects of one set, in the order they are applied in.
pub fn desired_objects(
    inventory: &Inventory,
    manifests: &Manifests,
    ca_certificate: &str,
    etcd_token: &str,
    set: ObjectSet,
) -> Result<Vec<Value>, PortError> {
    let release = release_of(inventory.version).map_err(|error| PortError(error.to_string()))?;
    let inputs = ClusterInputs { inventory, release, ca_certificate, etcd_token, manifests };
    let objects = cluster_objects(&inputs);
    Ok(match set {
        ObjectSet::Access => objects.access,
        ObjectSet::Config => objects.config,
        ObjectSet::Addons => objects.addons,
    })
}

/// A host on which something of a cluster has run: only then is there anybody to ask.
fn has_cluster(facts: &HostFacts) -> bool {
    facts.etcd.has_data || facts.is_active("kubelet.service")
}

fn secret_contents(blueprints: &BTreeMap<HostName, HostBlueprint>) -> Vec<SecretContent> {
    let files = blueprints.values().flat_map(|blueprint| blueprint.files.values());
    files
        .filter_map(|file| match &file.content {
            Content::Secret(content) => Some(content.clone()),
            Content::Text(_) => None,
        })
        .collect()
}
