//! A vault without cryptography: its PEM texts name the pair, its generation and its issuer, so that
//! two halves that do not belong together can be told apart.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use secrecy::{ExposeSecret as _, SecretSlice};

use super::invariants::CANARY;
use super::ports::Fleet;
use super::snapshot::SimSnapshot;
use crate::digest::Digest;
use crate::exec::VaultView;
use crate::exec::ports::{PortError, SecretSource};
use crate::facts::{Origin, VaultEntryFacts, VaultFacts};
use crate::pki::{CertificateSpec, KeyId, SecretContent};

/// 2026-01-01, when the simulation begins.
pub const EPOCH: i64 = 1_767_225_600;

#[derive(Debug, Clone)]
struct Entry {
    origin: Origin,
    spec: Option<CertificateSpec>,
    generation: u32,
    issuer_generation: u32,
    /// Seconds since 1970, from and until. None: a bare key pair has no certificate that could run out.
    validity: Option<(i64, i64)>,
}

/// What is on the operator's disk.
#[derive(Debug, Clone, Default)]
struct Durable {
    entries: BTreeMap<KeyId, Entry>,
    established: bool,
}

/// The simulated vault; what was not durable is gone when the operator's process is.
pub struct SimVault {
    cluster: String,
    uid: String,
    etcd_token: String,
    pub(super) fleet: Arc<Fleet>,
    durable: Mutex<Durable>,
    pub(super) snapshots: Arc<Mutex<Vec<SimSnapshot>>>,
}

impl SimVault {
    pub fn new(cluster: &str, fleet: Arc<Fleet>) -> Self {
        let (durable, snapshots) = (Mutex::default(), Arc::default());
        let (uid, etcd_token) = (format!("uid-of-{cluster}"), format!("etcd-token-of-{cluster}"));
        SimVault { cluster: cluster.to_owned(), uid, etcd_token, fleet, durable, snapshots }
    }

    /// One that says of its pairs what another vault says of its own at `now`, of seconds since 1970; the
    /// pairs themselves are played. `elapsed`: when in virtual time that moment is.
    pub fn like(cluster: &str, fleet: Arc<Fleet>, facts: &VaultFacts, now: i64, elapsed: i64) -> Self {
        let moved = |at: i64| at.saturating_sub(now).saturating_add(EPOCH + elapsed);
        let entry = |(id, found): (&KeyId, &VaultEntryFacts)| {
            let dates = found.not_before.zip(found.not_after);
            let entry = Entry {
                origin: found.origin,
                spec: found.spec.clone(),
                generation: 1,
                issuer_generation: u32::from(found.issuer_current),
                validity: dates.map(|(not_before, not_after)| (moved(not_before), moved(not_after))),
            };
            (id.clone(), entry)
        };
        let durable = Durable {
            entries: facts.entries.iter().map(entry).collect(),
            established: facts.etcd_established,
        };
        let new = SimVault::new(cluster, fleet);
        SimVault {
            uid: facts.cluster_uid.clone().unwrap_or_default(),
            etcd_token: facts.etcd_token.clone().unwrap_or_default(),
            durable: Mutex::new(durable),
            ..new
        }
    }

    /// The snapshots of etcd that were kept, oldest first.
    pub fn snapshots(&self) -> Vec<SimSnapshot> {
        self.snapshots.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn lock(&self) -> MutexGuard<'_, Durable> {
        self.durable.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn mark_etcd_established(&self) {
        self.lock().established = true;
    }

    pub fn uid(&self) -> String {
        self.uid.clone()
    }

    pub fn etcd_token(&self) -> String {
        self.etcd_token.clone()
    }

    fn now(&self) -> i64 {
        EPOCH + i64::try_from(self.fleet.runtime.now().as_secs()).unwrap_or(0)
    }

    fn text(&self, content: &SecretContent) -> Option<String> {
        let durable = self.lock();
        let entry = |key: &KeyId| durable.entries.get(key);
        let certificate = |key: &KeyId| {
            let found = entry(key)?;
            Some(format!(
                "certificate {key} generation {} by generation {} for {}\n",
                found.generation,
                found.issuer_generation,
                found.spec.as_ref().map(|spec| format!("{:?}", spec.dns_names)).unwrap_or_default()
            ))
        };
        let private = |key: &KeyId| Some(format!("{CANARY} {key} generation {}\n", entry(key)?.generation));
        Some(match content {
            SecretContent::Certificate { key } => certificate(key)?,
            SecretContent::PrivateKey { key } => private(key)?,
            SecretContent::PublicKey { key } => {
                format!("public {key} generation {}\n", entry(key)?.generation)
            }
            SecretContent::ClientPem { key } => certificate(key)? + &private(key)?,
            SecretContent::Kubeconfig { key, user, cluster, server } => {
                format!(
                    "server: {server}\nuser: {user}@{cluster}\nca: {}{}",
                    certificate(&KeyId::ca())?,
                    private(key)?
                )
            }
            SecretContent::KubeletConfig { server, pem } => {
                format!("server: {server}\nclient-certificate: {pem}\nca: {}", certificate(&KeyId::ca())?)
            }
            SecretContent::EncryptionConfiguration => format!("{CANARY} encryption of {}\n", self.cluster),
        })
    }
}

impl VaultView for SimVault {
    fn facts(&self, contents: &[SecretContent]) -> VaultFacts {
        let digest = |content: &SecretContent| {
            Some((content.clone(), Digest::of(self.text(content)?.as_bytes()).to_string()))
        };
        let digests = contents.iter().filter_map(digest).collect();
        let durable = self.lock();
        let entries = durable.entries.iter().map(|(id, entry)| {
            let issuer = entry.spec.as_ref().and_then(|spec| spec.issuer.as_ref());
            let issuer = issuer.and_then(|issuer| durable.entries.get(issuer));
            let facts = VaultEntryFacts {
                origin: entry.origin,
                spec: entry.spec.clone(),
                not_before: entry.validity.map(|(not_before, _)| not_before),
                not_after: entry.validity.map(|(_, not_after)| not_after),
                serial: Some(format!("{:x}", entry.generation)),
                authority: None,
                issuer_current: issuer.is_none_or(|issuer| issuer.generation == entry.issuer_generation),
            };
            (id.clone(), facts)
        });
        VaultFacts {
            cluster_uid: Some(self.uid()),
            etcd_token: Some(self.etcd_token()),
            proposed: false,
            etcd_established: durable.established,
            entries: entries.collect(),
            digests,
        }
    }

    fn ca_certificate(&self) -> Result<Option<String>, PortError> {
        Ok(self.text(&SecretContent::Certificate { key: KeyId::ca() }))
    }
}

impl SecretSource for SimVault {
    fn mint(&self, wanted: &BTreeMap<KeyId, CertificateSpec>) -> Result<(), PortError> {
        if self.fleet.runtime.is_killed() || self.fleet.dies(true) {
            return Err(PortError("killed".to_owned()));
        }
        let facts = self.facts(&[]);
        let now = self.now();
        let due = facts.due(wanted, Some(now));
        {
            // All of it becomes durable in one rename, or nothing does.
            let mut durable = self.lock();
            let mut next = durable.clone();
            for id in due.keys() {
                let generation = next.entries.get(id).map_or(1, |entry| entry.generation + 1);
                let spec = wanted.get(id).cloned();
                let validity = spec.as_ref().map(|spec| (now, now + i64::from(spec.valid_hours) * 3600));
                let entry = Entry { origin: Origin::Made, spec, generation, issuer_generation: 0, validity };
                next.entries.insert(id.clone(), entry);
            }
            let generations: BTreeMap<KeyId, u32> =
                next.entries.iter().map(|(id, entry)| (id.clone(), entry.generation)).collect();
            for id in due.keys() {
                if let Some(entry) = next.entries.get_mut(id) {
                    let issuer = entry.spec.as_ref().and_then(|spec| spec.issuer.clone());
                    let issuer = issuer.unwrap_or_else(|| id.clone());
                    entry.issuer_generation = generations.get(&issuer).copied().unwrap_or(0);
                }
            }
            *durable = next;
        }
        if self.fleet.dies(false) { Err(PortError("killed".to_owned())) } else { Ok(()) }
    }

    fn resolve(&self, content: &SecretContent) -> Result<Arc<SecretSlice<u8>>, PortError> {
        let text = self.text(content).ok_or_else(|| PortError(format!("the vault has no {content}")))?;
        Ok(Arc::new(SecretSlice::from(text.into_bytes())))
    }
}

/// Whether secret bytes are in a text.
pub fn leaks(text: &str) -> bool {
    text.contains(CANARY)
}

/// The digest of a secret's bytes.
pub fn digest_of(secret: &SecretSlice<u8>) -> Digest {
    Digest::of(secret.expose_secret())
}
