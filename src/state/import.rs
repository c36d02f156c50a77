//! Key pairs that were made elsewhere, on their way into the vault.

use super::document::Entry;
use super::vault::VaultError;
use crate::facts::vault::Origin;
use crate::pki::KeyId;
use crate::pki::authority::BroughtPair;
use crate::pki::inspect::inspect;
use crate::pki::issue::{IssueError, PrivateKey};

/// The entry for a pair that somebody brought.
pub(super) fn brought(id: &KeyId, pair: &BroughtPair) -> Result<Entry, VaultError> {
    let facts = match &pair.certificate {
        Some(text) => Some(
            inspect(text)
                .map_err(|source| VaultError::Issue { key: id.clone(), source: IssueError::from(source) })?,
        ),
        None => None,
    };
    Ok(Entry {
        origin: Origin::Brought,
        spec: None,
        certificate: pair.certificate.clone(),
        key: pair.key.clone(),
        issuer_spki_sha256: None,
        facts,
    })
}

/// By public key: a CA certificate may be renewed around the same key.
pub(super) fn check_same(id: &KeyId, held: &Entry, given: &Entry) -> Result<(), VaultError> {
    let (have, given) = (spki(id, held)?, spki(id, given)?);
    if have == given { Ok(()) } else { Err(VaultError::Differs { key: id.clone(), have, given }) }
}

fn spki(id: &KeyId, entry: &Entry) -> Result<String, VaultError> {
    let key = PrivateKey::parse(entry.key.expose())
        .map_err(|source| VaultError::Issue { key: id.clone(), source })?;
    Ok(key.spki_sha256())
}
