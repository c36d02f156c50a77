//! Keys and certificates: which are to be made, and which that others renewed on a host are as good.

use std::collections::{BTreeMap, BTreeSet};

use super::model::Reason;
use super::{PlanInput, reachable};
use crate::blueprint::{Content, FilePolicy, HostBlueprint};
use crate::facts::{HostFacts, MintReason};
use crate::inventory::{Host, HostName};
use crate::pki::inspect::{inspect, satisfies};
use crate::pki::spec::renewal_due;
use crate::pki::{CertificateFacts, CertificateSpec, KeyId, SecretContent};

/// What the vault has to make, and what may stay as it is on the hosts.
pub(super) struct Trust {
    pub due: BTreeMap<KeyId, MintReason>,
    /// By host: paths of files that differ from the vault's and are fine.
    pub accepted: BTreeMap<HostName, BTreeSet<String>>,
}

/// Decides both, from what the vault has and what was found.
pub(super) fn trust(
    input: &PlanInput<'_>,
    wanted: &BTreeMap<KeyId, CertificateSpec>,
    blueprints: &BTreeMap<HostName, HostBlueprint>,
) -> Trust {
    let mut accepted = BTreeMap::new();
    for host in reachable(input) {
        if let (Some(blueprint), Some(facts)) = (blueprints.get(&host.name), input.facts.host(&host.name)) {
            accepted.insert(host.name.clone(), accepted_on(input, wanted, blueprint, facts));
        }
    }
    let mut due = input.vault.due(wanted, Some(input.now));
    let used = |key: &KeyId| {
        is_our_own(input, key)
            || input.inventory.hosts.values().any(|host| is_used(input, blueprints, &accepted, host, key))
    };
    due.retain(|key, reason| *reason != MintReason::Expired || used(key));
    Trust { due, accepted }
}

/// keelwright itself speaks to the cluster with these, from the vault.
fn is_our_own(input: &PlanInput<'_>, key: &KeyId) -> bool {
    *key == KeyId::admin()
        || *key == KeyId::super_admin()
        || input
            .inventory
            .etcd_hosts()
            .any(|host| *key == KeyId::of_host(&host.name, "etcd/healthcheck-client"))
}

/// Whether a file of this host has, or is to get, what the vault holds under `key`.
fn is_used(
    input: &PlanInput<'_>,
    blueprints: &BTreeMap<HostName, HostBlueprint>,
    accepted: &BTreeMap<HostName, BTreeSet<String>>,
    host: &Host,
    key: &KeyId,
) -> bool {
    let Some(blueprint) = blueprints.get(&host.name) else { return false };
    let facts = input.facts.host(&host.name);
    blueprint.files.iter().any(|(path, file)| {
        let Content::Secret(content) = &file.content else { return false };
        // The kubelet has long rotated the pair it was given.
        let theirs =
            file.policy == FilePolicy::CreateOnly && facts.is_none_or(|facts| facts.files.contains_key(path));
        let fine = accepted.get(&host.name).is_some_and(|paths| paths.contains(path));
        content.key() == Some(key) && !theirs && !fine
    })
}

/// Files of one host that `kubeadm certs renew`, or somebody else with the cluster's CA, has renewed.
fn accepted_on(
    input: &PlanInput<'_>,
    wanted: &BTreeMap<KeyId, CertificateSpec>,
    blueprint: &HostBlueprint,
    facts: &HostFacts,
) -> BTreeSet<String> {
    let mut paths = BTreeSet::new();
    let judge = Judge { input, wanted };
    for (path, file) in &blueprint.files {
        match &file.content {
            Content::Secret(SecretContent::Certificate { key }) => {
                let key_path = path.replace(".crt", ".key");
                // Of a renewal that was cut off the key is the vault's still, and does not belong to it.
                let ours = input.vault.digests.get(&SecretContent::PrivateKey { key: key.clone() });
                let has_own_key = facts
                    .files
                    .get(&key_path)
                    .and_then(|file| file.digest)
                    .is_some_and(|digest| ours.is_some_and(|ours| *ours != digest.to_string()));
                if has_own_key && facts.certificates.get(path).is_some_and(|pem| judge.accepts(key, pem)) {
                    paths.extend([path.clone(), key_path]);
                }
            }
            Content::Secret(SecretContent::Kubeconfig { key, server, .. }) => {
                let fits = facts.kubeconfigs.get(path).is_some_and(|found| {
                    found.server == *server
                        && judge.is_the_ca(&found.authority)
                        && judge.accepts(key, &found.certificate)
                });
                if fits {
                    paths.insert(path.clone());
                }
            }
            Content::Secret(
                SecretContent::PrivateKey { .. }
                | SecretContent::PublicKey { .. }
                | SecretContent::ClientPem { .. }
                | SecretContent::KubeletConfig { .. }
                | SecretContent::EncryptionConfiguration,
            )
            | Content::Text(_) => {}
        }
    }
    paths
}

struct Judge<'a> {
    input: &'a PlanInput<'a>,
    wanted: &'a BTreeMap<KeyId, CertificateSpec>,
}

impl Judge<'_> {
    fn authority(&self, id: &KeyId) -> Option<&CertificateFacts> {
        self.input.vault.entries.get(id)?.authority.as_ref()
    }

    fn is_the_ca(&self, pem: &str) -> bool {
        let found = inspect(pem).ok().map(|facts| facts.spki_sha256);
        found.is_some() && found.as_ref() == self.authority(&KeyId::ca()).map(|ca| &ca.spki_sha256)
    }

    /// Says what is wanted, lives longer than the vault's own, and is not about to run out. One that is
    /// older than the vault's was replaced there for a reason.
    fn accepts(&self, key: &KeyId, pem: &str) -> bool {
        let (Some(spec), Ok(found)) = (self.wanted.get(key), inspect(pem)) else { return false };
        let Some(issuer) = spec.issuer.as_ref().and_then(|id| self.authority(id)) else { return false };
        let held = self.input.vault.entries.get(key).and_then(|entry| entry.not_after);
        // kubeadm dates the certificate of a kubeconfig back to its CA's beginning; its life does not count.
        let began = found.not_after.saturating_sub(i64::from(spec.valid_hours) * 3600);
        satisfies(&found, spec, issuer).is_ok()
            && found.algorithm == spec.algorithm.as_str()
            && held.is_some_and(|held| found.not_after > held)
            && !renewal_due(began, found.not_after, self.input.now)
    }
}

/// Why the plan makes a key pair, in the plan's words.
pub(super) fn mint_reason(
    input: &PlanInput<'_>,
    keys: &BTreeMap<KeyId, CertificateSpec>,
    why: MintReason,
) -> Reason {
    match why {
        MintReason::Missing => Reason::Missing,
        MintReason::Changed => Reason::Changed { what: "what they must say".to_owned() },
        MintReason::IssuerReplaced => Reason::Changed { what: "their CA".to_owned() },
        MintReason::Expired => {
            let ends = keys.keys().filter_map(|key| input.vault.entries.get(key)?.not_after);
            Reason::Expires { at: ends.min().unwrap_or(input.now) }
        }
    }
}

#[cfg(test)]
#[path = "trust_tests.rs"]
mod tests;
