//! The sealed vault of a cluster: every key, certificate and token, in one age file.

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use secrecy::SecretSlice;
use sha2::{Digest, Sha256};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::document::{Document, VERSION};
use super::files::{self, FileError, Staged};
use super::home::{Home, HomeError, ShareError};
use super::identity::{self, Identity, IdentityError};
use super::import::{brought, check_same};
use super::mint::mint_due;
use super::resolve::resolve;
use crate::exec::ports::{PortError, SecretSource};
use crate::facts::vault::{Founding, MintReason, VaultFacts};
use crate::inventory::ClusterName;
use crate::pki::authority::BroughtPair;
use crate::pki::encryption::EncryptionKey;
use crate::pki::issue::IssueError;
use crate::pki::{CertificateSpec, KeyId, SecretContent, SecretText};

/// The vault's file in a state directory.
pub const VAULT_FILE: &str = "vault.age";
/// The version before the last write.
pub const PREVIOUS_FILE: &str = "vault.age.1";

/// Tells the seconds since 1970. Only the command line reads a clock.
pub type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// Why the vault cannot do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error(transparent)]
    Share(#[from] ShareError),
    #[error(transparent)]
    Home(#[from] HomeError),
    #[error(transparent)]
    Identity(#[from] IdentityError),
    #[error(
        "vault.age is not sealed for your identity; ask somebody who can open it to add {recipient} to recipients.txt and to write the vault again"
    )]
    NotRecipient { recipient: String },
    #[error("vault.age is damaged: {reason}; vault.age.1 is the version before it")]
    Damaged { reason: String },
    #[error(
        "vault.age has format {version}, this keelwright reads up to {VERSION}; use the newer keelwright that wrote it"
    )]
    Newer { version: u32 },
    #[error("this state directory belongs to cluster `{found}`, not to `{wanted}`")]
    OtherCluster { found: ClusterName, wanted: ClusterName },
    /// A new vault here would be a second CA for a cluster that has one.
    #[error(
        "{VAULT_FILE} is gone but {found} is here; restore it from a backup, or remove {found} if this cluster is to be made anew"
    )]
    Vanished { found: &'static str },
    /// What only looks must leave no trace.
    #[error("the vault was opened to be looked at only")]
    ReadOnly,
    #[error("`{0}` is no cluster id")]
    NotAnId(String),
    #[error("another process has written vault.age since it was read")]
    ChangedOnDisk,
    #[error("the vault has no `{key}`")]
    Missing { key: KeyId },
    #[error("no CA `{issuer}` is there to sign with")]
    NoIssuer { issuer: KeyId },
    #[error("`{key}` cannot be made or used")]
    Issue {
        key: KeyId,
        #[source]
        source: IssueError,
    },
    #[error("{content} cannot be written: {reason}")]
    Render { content: SecretContent, reason: String },
    #[error(
        "the vault has another `{key}` (SHA-256 of its public key {have}) than the one given ({given}); replacing a CA is a rotation, not an import"
    )]
    Differs { key: KeyId, have: String, given: String },
    #[error("the vault cannot be sealed: {0}")]
    Seal(String),
    #[error("the system's random source failed")]
    Random,
}

/// The open vault of one cluster. Every change is on disk before the call that made it returns.
pub struct Vault {
    home: Home,
    identity: Identity,
    clock: Clock,
    state: Mutex<State>,
    pub(super) access: Access,
}

/// What a vault may do to its directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    Write,
    /// Nothing is ever written.
    Look,
    /// There is no vault yet; what is shown is what the first apply would begin with.
    Proposal,
}

struct State {
    document: Document,
    /// What the file held when it was last read or written.
    sealed: Vec<u8>,
}

impl Vault {
    /// Opens the vault at `home`; None: there is none.
    pub fn open(
        home: impl Into<Home>,
        identity: &Identity,
        cluster: &ClusterName,
        clock: Clock,
    ) -> Result<Option<Self>, VaultError> {
        let home = home.into();
        let Some(sealed) = home.read(VAULT_FILE)? else {
            return match home.read(PREVIOUS_FILE)? {
                Some(_) => Err(VaultError::Vanished { found: PREVIOUS_FILE }),
                None => Ok(None),
            };
        };
        let document = Document::unseal(&sealed, identity)?;
        if document.cluster != *cluster {
            return Err(VaultError::OtherCluster { found: document.cluster, wanted: cluster.clone() });
        }
        Ok(Some(Vault::around(home, identity, clock, State { document, sealed })))
    }

    fn around(home: Home, identity: &Identity, clock: Clock, state: State) -> Self {
        Vault { home, identity: identity.clone(), clock, state: Mutex::new(state), access: Access::Write }
    }

    pub(super) fn home(&self) -> &Home {
        &self.home
    }

    pub(super) fn now(&self) -> i64 {
        (self.clock)()
    }

    /// The vault's file as it is now.
    pub(super) fn sealed(&self) -> Vec<u8> {
        self.lock().sealed.clone()
    }

    /// Everybody who may open what is sealed now.
    pub(super) fn recipients(&self) -> Result<Vec<age::x25519::Recipient>, IdentityError> {
        identity::recipients(&self.home, &self.identity)
    }

    /// A vault that is nowhere but in memory.
    pub(super) fn unwritten(
        home: Home,
        identity: &Identity,
        cluster: &ClusterName,
        clock: Clock,
    ) -> Result<Self, VaultError> {
        let document = Document::new(cluster, new_encryption_key("key-1")?, clock());
        Ok(Vault::around(home, identity, clock, State { document, sealed: Vec::new() }))
    }

    /// Opens the vault, or makes one with a new encryption key, and with the identity that a saved plan
    /// was made for, or a new one.
    pub fn open_or_create(
        home: impl Into<Home>,
        identity: &Identity,
        cluster: &ClusterName,
        clock: Clock,
        founding: Option<&Founding>,
    ) -> Result<Self, VaultError> {
        let home = home.into();
        if let Some(vault) = Self::open(&home, identity, cluster, Arc::clone(&clock))? {
            return Ok(vault);
        }
        files::private_directory(home.directory())?;
        identity::begin_recipients(&home, identity)?;
        let vault = Vault::unwritten(home, identity, cluster, clock)?;
        let mut document = vault.lock().document.clone();
        if let Some(Founding { cluster_uid, etcd_token }) = founding {
            document.cluster_uid =
                cluster_uid.parse().map_err(|_| VaultError::NotAnId(cluster_uid.clone()))?;
            document.etcd_token = etcd_token.clone();
        }
        vault.save(&mut vault.lock(), document)?;
        Ok(vault)
    }

    /// What the planner may know: no secret, and the digests of `contents` that can be made now.
    pub fn facts<'a>(&self, contents: impl Iterator<Item = &'a SecretContent>) -> VaultFacts {
        let state = self.lock();
        let document = &state.document;
        let mut digests = BTreeMap::new();
        for content in contents {
            if digests.contains_key(content) {
                continue;
            }
            if let Ok(bytes) = resolve(document, content) {
                digests.insert(content.clone(), hex::encode(Sha256::digest(&*bytes)));
            }
        }
        VaultFacts {
            cluster_uid: Some(document.cluster_uid.to_string()),
            etcd_token: Some(document.etcd_token.clone()),
            proposed: self.access == Access::Proposal,
            etcd_established: document.etcd_established,
            entries: document.entry_facts(),
            digests,
        }
    }

    /// Makes these anew although they are fine: renewal. CAs and bare keys are left alone.
    pub fn renew(&self, wanted: &BTreeMap<KeyId, CertificateSpec>) -> Result<(), VaultError> {
        self.make(wanted, |_, _| {
            let leaves = wanted.iter().filter(|(_, spec)| !spec.is_authority());
            leaves.map(|(id, _)| (id.clone(), MintReason::Expired)).collect()
        })
    }

    /// Takes in pairs that were made elsewhere (see [`crate::pki::authority::load`]). One that the
    /// vault has already must be the same. A vault that may only look takes them into memory.
    pub fn import(&self, pairs: &BTreeMap<KeyId, BroughtPair>) -> Result<(), VaultError> {
        let mut state = self.lock();
        let mut document = state.document.clone();
        let mut changed = false;
        for (id, pair) in pairs {
            let entry = brought(id, pair)?;
            match document.entries.get(id) {
                None => {
                    document.entries.insert(id.clone(), entry);
                    changed = true;
                }
                Some(held) => check_same(id, held, &entry)?,
            }
        }
        match (changed, self.access) {
            (false, _) => Ok(()),
            (true, Access::Write) => self.save(&mut state, document),
            (true, Access::Look | Access::Proposal) => {
                state.document = document;
                Ok(())
            }
        }
    }

    /// Notes that etcd has had its first quorum.
    pub fn mark_etcd_established(&self) -> Result<(), VaultError> {
        let mut state = self.lock();
        if state.document.etcd_established {
            return Ok(());
        }
        let mut document = state.document.clone();
        document.etcd_established = true;
        self.save(&mut state, document)
    }

    /// A new etcd token, for members restored from a snapshot: they must never meet the old ones.
    pub fn renew_etcd_token(&self) -> Result<(), VaultError> {
        let mut state = self.lock();
        let mut document = state.document.clone();
        document.etcd_token = Uuid::new_v4().to_string();
        document.etcd_established = false;
        self.save(&mut state, document)
    }

    /// Writes the vault again, for the recipients that `recipients.txt` names now.
    pub fn reseal(&self) -> Result<(), VaultError> {
        let mut state = self.lock();
        let document = state.document.clone();
        self.save(&mut state, document)
    }

    /// What is due is decided under the lock: two steps that mint at once must not each make a key
    /// and hand out different ones.
    fn make(
        &self,
        wanted: &BTreeMap<KeyId, CertificateSpec>,
        due: impl FnOnce(&VaultFacts, i64) -> BTreeMap<KeyId, MintReason>,
    ) -> Result<(), VaultError> {
        let mut state = self.lock();
        let entries = state.document.entry_facts();
        let now = self.now();
        let due = due(&VaultFacts { entries, ..VaultFacts::default() }, now);
        if due.is_empty() {
            return Ok(());
        }
        let mut document = state.document.clone();
        mint_due(&mut document, wanted, &due, now)?;
        self.save(&mut state, document)
    }

    fn save(&self, state: &mut State, document: Document) -> Result<(), VaultError> {
        let (staged, sealed) = self.stage(state, &document)?;
        // First: a key that only this machine has would be lost with it.
        let both = [(VAULT_FILE, sealed.as_slice()), (PREVIOUS_FILE, state.sealed.as_slice())];
        self.home.publish(if state.sealed.is_empty() { &both[..1] } else { &both })?;
        staged.commit()?;
        *state = State { document, sealed };
        Ok(())
    }

    /// All of a write but its last step: up to here a crash changes nothing.
    fn stage(&self, state: &State, document: &Document) -> Result<(Staged, Vec<u8>), VaultError> {
        if self.access != Access::Write {
            return Err(VaultError::ReadOnly);
        }
        let directory = self.home.directory();
        let on_disk = self.home.read(VAULT_FILE)?.unwrap_or_default();
        if on_disk != state.sealed {
            return Err(VaultError::ChangedOnDisk);
        }
        let sealed = document.seal(&self.recipients()?)?;
        if !on_disk.is_empty() {
            // A copy, not a rename: vault.age itself is never absent, not even for a moment.
            files::replace(&directory.join(PREVIOUS_FILE), &on_disk)?;
        }
        Ok((files::stage(&directory.join(VAULT_FILE), &sealed)?, sealed))
    }

    /// A panic elsewhere leaves the state as it was: it is only ever replaced as a whole.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SecretSource for Vault {
    fn mint(&self, wanted: &BTreeMap<KeyId, CertificateSpec>) -> Result<(), PortError> {
        self.make(wanted, |held, now| held.due(wanted, Some(now))).map_err(port_error)
    }

    fn resolve(&self, content: &SecretContent) -> Result<Arc<SecretSlice<u8>>, PortError> {
        let mut bytes = resolve(&self.lock().document, content).map_err(port_error)?;
        Ok(Arc::new(SecretSlice::from(std::mem::take(&mut *bytes))))
    }
}

/// The port's error is one text: the whole chain goes into it.
pub(super) fn port_error(error: VaultError) -> PortError {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    PortError(text)
}

fn new_encryption_key(name: &str) -> Result<EncryptionKey, VaultError> {
    let mut bytes = Zeroizing::new([0_u8; 32]);
    SystemRandom::new().fill(&mut *bytes).map_err(|_| VaultError::Random)?;
    Ok(EncryptionKey { name: name.to_owned(), secret: SecretText::new(STANDARD.encode(*bytes)) })
}

#[cfg(test)]
#[path = "vault_tests.rs"]
mod tests;
