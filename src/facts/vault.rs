//! What the operator's vault holds, without any secret: dates, serials, digests.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::pki::spec::{bare_keys, renewal_due};
use crate::pki::{CertificateFacts, CertificateSpec, KeyId, SecretContent};

/// The vault as the planner sees it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VaultFacts {
    /// None: there is no vault yet.
    pub cluster_uid: Option<String>,
    /// `--initial-cluster-token`: as unique as the cluster, and new after a restore.
    pub etcd_token: Option<String>,
    /// There is no vault yet: id and token are what a first apply would found the cluster with.
    #[serde(default)]
    pub proposed: bool,
    /// etcd has had a quorum: from now on an empty data directory is a loss, not a beginning.
    pub etcd_established: bool,
    pub entries: BTreeMap<KeyId, VaultEntryFacts>,
    /// SHA-256, in hex, of each content that was asked for and can be produced now.
    #[serde(with = "content_pairs")]
    pub digests: BTreeMap<SecretContent, String>,
}

/// One key pair of the vault.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VaultEntryFacts {
    pub origin: Origin,
    /// None: a key pair without a certificate, or one that was brought.
    pub spec: Option<CertificateSpec>,
    /// Seconds since 1970.
    pub not_before: Option<i64>,
    pub not_after: Option<i64>,
    /// Lower-case hex.
    pub serial: Option<String>,
    /// Signed by the CA key that the vault holds now.
    pub issuer_current: bool,
    /// What a CA says of itself: certificates found on hosts are held against it.
    #[serde(default)]
    pub authority: Option<CertificateFacts>,
}

/// What a plan for a cluster that does not exist yet was made with. Its apply founds the cluster so, or
/// the files it shows would not be the files it writes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Founding {
    pub cluster_uid: String,
    pub etcd_token: String,
}

/// Who made a key pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    Made,
    /// The operator's own, or taken over from a cluster that others made.
    Brought,
}

/// Why a key pair has to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MintReason {
    Missing,
    /// Names, usages, organization or algorithm are not what is wanted.
    Changed,
    /// Its CA has been replaced.
    IssuerReplaced,
    /// Two thirds of its life are over.
    Expired,
}

impl VaultFacts {
    /// None: the cluster's identity is settled.
    pub fn founding(&self) -> Option<Founding> {
        let (cluster_uid, etcd_token) = (self.cluster_uid.clone()?, self.etcd_token.clone()?);
        self.proposed.then_some(Founding { cluster_uid, etcd_token })
    }

    /// What minting `wanted` would make, and why. CAs and bare keys are made once and never again:
    /// replacing one is a rotation of the whole cluster, which no difference in a file may begin.
    ///
    /// `now` in seconds; None leaves expiry out.
    pub fn due(
        &self,
        wanted: &BTreeMap<KeyId, CertificateSpec>,
        now: Option<i64>,
    ) -> BTreeMap<KeyId, MintReason> {
        let mut due: BTreeMap<KeyId, MintReason> = bare_keys()
            .into_iter()
            .filter(|id| !wanted.is_empty() && !self.entries.contains_key(id))
            .map(|id| (id, MintReason::Missing))
            .collect();
        for (id, spec) in wanted {
            if let Some(reason) = self.due_one(id, spec, now) {
                due.insert(id.clone(), reason);
            }
        }
        // A CA that is made now signs none of the certificates that are there.
        for (id, spec) in wanted {
            if spec.issuer.as_ref().is_some_and(|issuer| due.contains_key(issuer)) {
                due.entry(id.clone()).or_insert(MintReason::IssuerReplaced);
            }
        }
        due
    }

    fn due_one(&self, id: &KeyId, spec: &CertificateSpec, now: Option<i64>) -> Option<MintReason> {
        let Some(entry) = self.entries.get(id) else { return Some(MintReason::Missing) };
        if spec.is_authority() {
            return None;
        }
        if entry.origin == Origin::Made && entry.spec.as_ref() != Some(spec) {
            return Some(MintReason::Changed);
        }
        if !entry.issuer_current {
            return Some(MintReason::IssuerReplaced);
        }
        let dates = entry.not_before.zip(entry.not_after).zip(now);
        dates
            .is_some_and(|((not_before, not_after), now)| renewal_due(not_before, not_after, now))
            .then_some(MintReason::Expired)
    }
}

/// JSON keys are texts, so the map is written as a list of pairs.
mod content_pairs {
    use super::{BTreeMap, Deserialize, SecretContent, Serialize};
    use serde::{Deserializer, Serializer};

    #[derive(Serialize, Deserialize)]
    struct Pair<C> {
        content: C,
        sha256: String,
    }

    pub fn serialize<S: Serializer>(
        digests: &BTreeMap<SecretContent, String>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer
            .collect_seq(digests.iter().map(|(content, sha256)| Pair { content, sha256: sha256.clone() }))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<BTreeMap<SecretContent, String>, D::Error> {
        let pairs = Vec::<Pair<SecretContent>>::deserialize(deserializer)?;
        Ok(pairs.into_iter().map(|pair| (pair.content, pair.sha256)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inventory::KeyAlgorithm;
    use crate::pki::Usage;

    fn spec(name: &str, issuer: Option<KeyId>) -> CertificateSpec {
        CertificateSpec {
            common_name: name.into(),
            organization: None,
            dns_names: vec![],
            addresses: vec![],
            usages: vec![Usage::ClientAuth],
            issuer,
            valid_hours: 8760,
            algorithm: KeyAlgorithm::EcdsaP256,
        }
    }

    fn entry(spec: Option<CertificateSpec>, origin: Origin) -> VaultEntryFacts {
        VaultEntryFacts {
            origin,
            spec,
            not_before: Some(0),
            not_after: Some(1000),
            serial: Some("01".into()),
            issuer_current: true,
            authority: None,
        }
    }

    #[test]
    fn due_says_why_each_pair_has_to_be_made() {
        let leaf = KeyId::shared("leaf");
        let wanted = BTreeMap::from([
            (KeyId::ca(), spec("kubernetes", None)),
            (leaf.clone(), spec("client", Some(KeyId::ca()))),
        ]);
        let full = VaultFacts {
            entries: BTreeMap::from([
                (KeyId::ca(), entry(Some(spec("a brought name", None)), Origin::Brought)),
                (KeyId::service_account(), entry(None, Origin::Made)),
                (leaf.clone(), entry(Some(wanted[&leaf].clone()), Origin::Made)),
            ]),
            ..VaultFacts::default()
        };
        assert_eq!(full.due(&wanted, Some(665)), BTreeMap::new());
        assert_eq!(full.due(&wanted, None), BTreeMap::new());
        assert_eq!(full.due(&wanted, Some(666)), BTreeMap::from([(leaf.clone(), MintReason::Expired)]));
        assert_eq!(VaultFacts::default().due(&wanted, None).len(), 3);
        assert_eq!(VaultFacts::default().due(&BTreeMap::new(), None), BTreeMap::new());

        let mut changed = full.clone();
        changed.entries.get_mut(&leaf).unwrap().spec.as_mut().unwrap().organization = Some("x".into());
        assert_eq!(changed.due(&wanted, None), BTreeMap::from([(leaf.clone(), MintReason::Changed)]));

        let mut replaced = full.clone();
        replaced.entries.get_mut(&leaf).unwrap().issuer_current = false;
        assert_eq!(replaced.due(&wanted, None), BTreeMap::from([(leaf.clone(), MintReason::IssuerReplaced)]));

        let mut no_ca = full;
        no_ca.entries.remove(&KeyId::ca());
        assert_eq!(
            no_ca.due(&wanted, None),
            BTreeMap::from([(KeyId::ca(), MintReason::Missing), (leaf, MintReason::IssuerReplaced)])
        );
    }

    #[test]
    fn digests_survive_json() {
        let content = SecretContent::Kubeconfig {
            key: KeyId::admin(),
            user: "u".into(),
            cluster: "c".into(),
            server: "https://x".into(),
        };
        let facts = VaultFacts {
            digests: BTreeMap::from([
                (content, "00".into()),
                (SecretContent::EncryptionConfiguration, "11".into()),
            ]),
            ..VaultFacts::default()
        };
        let text = serde_json::to_string(&facts).unwrap();
        assert_eq!(serde_json::from_str::<VaultFacts>(&text).unwrap(), facts);
    }
}
