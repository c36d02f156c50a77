//! What a vault holds, and its sealed form: versioned JSON inside one age file.

use std::collections::BTreeMap;
use std::io::{Read, Write};

use age::x25519::Recipient;
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::identity::Identity;
use super::vault::VaultError;
use crate::facts::vault::{Origin, VaultEntryFacts};
use crate::inventory::ClusterName;
use crate::pki::encryption::EncryptionKey;
use crate::pki::inspect::{CertificateFacts, inspect};
use crate::pki::issue::PrivateKey;
use crate::pki::{CertificateSpec, KeyId, SecretText};

/// The only version so far. A change that an older keelwright would misread raises it.
pub const VERSION: u32 = 1;
/// Room for what is not entries.
const BASE_SIZE: usize = 4096;

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Document {
    pub version: u32,
    pub cluster: ClusterName,
    pub cluster_uid: Uuid,
    pub etcd_token: String,
    #[serde(default)]
    pub etcd_established: bool,
    /// Seconds since 1970.
    pub created: i64,
    pub entries: BTreeMap<KeyId, Entry>,
    /// The first one writes.
    pub encryption_keys: Vec<EncryptionKey>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    pub origin: Origin,
    pub spec: Option<CertificateSpec>,
    /// PEM; None: a bare key pair.
    pub certificate: Option<String>,
    /// PEM.
    pub key: SecretText,
    /// The public key of the CA that signed it.
    pub issuer_spki_sha256: Option<String>,
    #[serde(skip)]
    pub facts: Option<CertificateFacts>,
}

/// Just enough to tell a newer document from a damaged one.
#[derive(Deserialize)]
struct Version {
    version: u32,
}

impl Document {
    pub fn new(cluster: &ClusterName, encryption_key: EncryptionKey, now: i64) -> Self {
        Document {
            version: VERSION,
            cluster: cluster.clone(),
            cluster_uid: Uuid::new_v4(),
            etcd_token: Uuid::new_v4().to_string(),
            etcd_established: false,
            created: now,
            entries: BTreeMap::new(),
            encryption_keys: vec![encryption_key],
        }
    }

    pub fn seal(&self, recipients: &[Recipient]) -> Result<Vec<u8>, VaultError> {
        // Sized beforehand: a buffer that grows leaves unwiped copies of keys behind.
        let size =
            BASE_SIZE + self.entries.iter().map(|(id, entry)| entry.size() + id.0.len()).sum::<usize>();
        let mut plain = Zeroizing::new(Vec::with_capacity(size));
        serde_json::to_writer(&mut *plain, self).map_err(|error| VaultError::Seal(error.to_string()))?;
        let all = recipients.iter().map(|recipient| recipient as &dyn age::Recipient);
        let encryptor =
            age::Encryptor::with_recipients(all).map_err(|error| VaultError::Seal(error.to_string()))?;
        let mut sealed = Vec::with_capacity(plain.len() + BASE_SIZE);
        let finished = encryptor.wrap_output(&mut sealed).and_then(|mut writer| {
            writer.write_all(&plain)?;
            writer.finish()
        });
        finished.map_err(|error| VaultError::Seal(error.to_string()))?;
        Ok(sealed)
    }

    pub fn unseal(sealed: &[u8], identity: &Identity) -> Result<Self, VaultError> {
        let damaged = |reason: String| VaultError::Damaged { reason };
        let mut reader = identity.decrypt(sealed).map_err(|error| match error {
            age::DecryptError::NoMatchingKeys => VaultError::NotRecipient { recipient: identity.recipient() },
            other => damaged(other.to_string()),
        })?;
        let mut plain = Zeroizing::new(Vec::with_capacity(sealed.len()));
        reader.read_to_end(&mut plain).map_err(|error| damaged(error.to_string()))?;
        let Version { version } = serde_json::from_slice(&plain).map_err(|error| damaged(shape(&error)))?;
        if version > VERSION {
            return Err(VaultError::Newer { version });
        }
        let mut document: Document =
            serde_json::from_slice(&plain).map_err(|error| damaged(shape(&error)))?;
        for (id, entry) in &mut document.entries {
            if let Some(certificate) = &entry.certificate {
                let facts = inspect(certificate).map_err(|error| damaged(format!("{id}: {error}")))?;
                entry.facts = Some(facts);
            }
        }
        Ok(document)
    }

    /// Dates, serials and specifications of everything.
    pub fn entry_facts(&self) -> BTreeMap<KeyId, VaultEntryFacts> {
        self.entries.iter().map(|(id, entry)| (id.clone(), self.facts_of(entry))).collect()
    }

    fn facts_of(&self, entry: &Entry) -> VaultEntryFacts {
        let issuer = entry.spec.as_ref().and_then(|spec| spec.issuer.as_ref());
        let issuer_current = issuer.is_none_or(|id| {
            let ca = self.entries.get(id).and_then(|ca| ca.facts.as_ref());
            ca.map(|ca| &ca.spki_sha256) == entry.issuer_spki_sha256.as_ref()
        });
        VaultEntryFacts {
            origin: entry.origin,
            spec: entry.spec.clone(),
            not_before: entry.facts.as_ref().map(|facts| facts.not_before),
            not_after: entry.facts.as_ref().map(|facts| facts.not_after),
            serial: entry.facts.as_ref().map(|facts| facts.serial.clone()),
            issuer_current,
            authority: entry.facts.clone().filter(|facts| facts.is_ca),
        }
    }
}

impl Entry {
    /// A pair without a certificate.
    pub fn bare(key: &PrivateKey) -> Self {
        Entry {
            origin: Origin::Made,
            spec: None,
            certificate: None,
            key: key.pem().clone(),
            issuer_spki_sha256: None,
            facts: None,
        }
    }

    /// Bytes it takes as JSON, at most: PEM's line ends become two bytes each.
    fn size(&self) -> usize {
        let names = self.spec.as_ref().map_or(0, |spec| {
            spec.dns_names.iter().map(|name| name.len() + 3).sum::<usize>()
                + spec.addresses.len() * 48
                + spec.common_name.len()
        });
        2 * (self.key.expose().len() + self.certificate.as_ref().map_or(0, String::len)) + names + 512
    }
}

/// serde_json may quote what it read; a position is all that may be told of a vault's inside.
fn shape(error: &serde_json::Error) -> String {
    format!("its contents are not a vault's (line {}, column {})", error.line(), error.column())
}
