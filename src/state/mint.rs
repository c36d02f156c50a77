//! Makes the key pairs that are due, on all cores.

use std::collections::BTreeMap;
use std::num::NonZero;
use std::thread;

use super::document::{Document, Entry};
use super::vault::VaultError;
use crate::facts::vault::{MintReason, Origin};
use crate::inventory::KeyAlgorithm;
use crate::pki::issue::{Authority, IssueError, PrivateKey, issue_authority};
use crate::pki::spec::bare_keys;
use crate::pki::{CertificateSpec, KeyId};

/// Adds to `document` what is `due` of `wanted`. Nothing that is not due is touched.
pub fn mint_due(
    document: &mut Document,
    wanted: &BTreeMap<KeyId, CertificateSpec>,
    due: &BTreeMap<KeyId, MintReason>,
    now: i64,
) -> Result<(), VaultError> {
    // What signs comes first. A bare key has no specification: it follows the rest of the cluster.
    let algorithm = wanted.values().next().map_or(KeyAlgorithm::EcdsaP256, |spec| spec.algorithm);
    for id in bare_keys().iter().filter(|id| due.contains_key(id)) {
        let key = PrivateKey::generate(algorithm).map_err(failed(id))?;
        document.entries.insert(id.clone(), Entry::bare(&key));
    }
    let (authorities, leaves): (Vec<_>, Vec<_>) =
        wanted.iter().filter(|(id, _)| due.contains_key(id)).partition(|(_, spec)| spec.is_authority());
    for (id, spec) in authorities {
        document.entries.insert(id.clone(), make_authority(spec, now).map_err(failed(id))?);
    }
    let mut signers = BTreeMap::new();
    for issuer in leaves.iter().filter_map(|(_, spec)| spec.issuer.as_ref()) {
        if !signers.contains_key(issuer) {
            signers.insert(issuer.clone(), signer(document, issuer)?);
        }
    }
    for (id, entry) in make_leaves(&leaves, &signers, now)? {
        document.entries.insert(id, entry);
    }
    Ok(())
}

fn signer(document: &Document, id: &KeyId) -> Result<Authority, VaultError> {
    let entry = document.entries.get(id);
    let Some((entry, certificate)) = entry.and_then(|e| Some((e, e.certificate.as_ref()?))) else {
        return Err(VaultError::NoIssuer { issuer: id.clone() });
    };
    Authority::open(certificate, &entry.key).map_err(failed(id))
}

fn make_authority(spec: &CertificateSpec, now: i64) -> Result<Entry, IssueError> {
    let key = PrivateKey::generate(spec.algorithm)?;
    let issued = issue_authority(spec, &key, now)?;
    Ok(Entry {
        origin: Origin::Made,
        spec: Some(spec.clone()),
        certificate: Some(issued.pem),
        key: key.pem().clone(),
        issuer_spki_sha256: None,
        facts: Some(issued.facts),
    })
}

/// An RSA key takes some 100 ms, and a cluster of a hundred nodes has 150 of them: worth the threads.
fn make_leaves(
    leaves: &[(&KeyId, &CertificateSpec)],
    signers: &BTreeMap<KeyId, Authority>,
    now: i64,
) -> Result<Vec<(KeyId, Entry)>, VaultError> {
    let threads = thread::available_parallelism().map_or(1, NonZero::get);
    let share = leaves.len().div_ceil(threads).max(1);
    thread::scope(|scope| {
        let workers: Vec<_> = leaves
            .chunks(share)
            .map(|part| {
                scope.spawn(move || {
                    part.iter()
                        .map(|(id, spec)| make_leaf(id, spec, signers, now))
                        .collect::<Result<Vec<_>, _>>()
                })
            })
            .collect();
        let mut made = Vec::with_capacity(leaves.len());
        for worker in workers {
            match worker.join() {
                Ok(part) => made.extend(part?),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        Ok(made)
    })
}

fn make_leaf(
    id: &KeyId,
    spec: &CertificateSpec,
    signers: &BTreeMap<KeyId, Authority>,
    now: i64,
) -> Result<(KeyId, Entry), VaultError> {
    let issuer = spec.issuer.clone().unwrap_or_else(|| id.clone());
    let authority = signers.get(&issuer).ok_or(VaultError::NoIssuer { issuer })?;
    let key = PrivateKey::generate(spec.algorithm).map_err(failed(id))?;
    let issued = authority.issue(spec, &key, now).map_err(failed(id))?;
    let entry = Entry {
        origin: Origin::Made,
        spec: Some(spec.clone()),
        certificate: Some(issued.pem),
        key: key.pem().clone(),
        issuer_spki_sha256: Some(authority.facts().spki_sha256.clone()),
        facts: Some(issued.facts),
    };
    Ok((id.clone(), entry))
}

fn failed(id: &KeyId) -> impl FnOnce(IssueError) -> VaultError {
    let key = id.clone();
    move |source| VaultError::Issue { key, source }
}
