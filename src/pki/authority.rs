//! Reads the operator's own CAs from a directory laid out like `/etc/kubernetes/pki`.

use std::collections::BTreeMap;
use std::io;

use camino::{Utf8Path, Utf8PathBuf};
use zeroize::Zeroizing;

use super::date::date;
use super::issue::{Authority, IssueError, PrivateKey};
use super::secret::SecretText;
use super::spec::KeyId;

/// A pair that somebody else made. `sa` has no certificate.
#[derive(Debug, Clone)]
pub struct BroughtPair {
    /// The whole file: a CA bundle keeps its further certificates, the first one signs.
    pub certificate: Option<String>,
    pub key: SecretText,
}

/// Why a directory of CAs cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    #[error("cannot read {path}")]
    Read {
        path: Utf8PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{directory} has none of ca.crt, front-proxy-ca.crt, etcd/ca.crt, sa.key")]
    Empty { directory: Utf8PathBuf },
    /// Also with `external_ca`: that keeps the key off the hosts, but somebody has to sign.
    #[error("{present} is there but {missing} is not; keelwright signs with it and needs both")]
    Half { present: Utf8PathBuf, missing: Utf8PathBuf },
    #[error("{path} cannot be used")]
    Unusable {
        path: Utf8PathBuf,
        #[source]
        source: IssueError,
    },
    #[error("{path} is not valid now, only from {} to {}", date(*.not_before), date(*.not_after))]
    Expired { path: Utf8PathBuf, not_before: i64, not_after: i64 },
}

/// Loads whichever of the CAs and `sa` the directory has, each checked: the key belongs to the
/// certificate, the certificate is a CA, may sign, and is valid at `now`.
pub fn load(directory: &Utf8Path, now: i64) -> Result<BTreeMap<KeyId, BroughtPair>, AuthorityError> {
    let mut found = BTreeMap::new();
    for id in [KeyId::ca(), KeyId::front_proxy_ca(), KeyId::etcd_ca()] {
        if let Some(pair) = load_authority(directory, &id, now)? {
            found.insert(id, pair);
        }
    }
    let sa = directory.join("sa.key");
    if let Some(text) = read(&sa)? {
        let key = PrivateKey::parse(&text).map_err(|source| AuthorityError::Unusable { path: sa, source })?;
        found.insert(KeyId::service_account(), BroughtPair { certificate: None, key: key.pem().clone() });
    }
    if found.is_empty() {
        return Err(AuthorityError::Empty { directory: directory.to_owned() });
    }
    Ok(found)
}

fn load_authority(directory: &Utf8Path, id: &KeyId, now: i64) -> Result<Option<BroughtPair>, AuthorityError> {
    let certificate_path = directory.join(format!("{id}.crt"));
    let key_path = directory.join(format!("{id}.key"));
    let (certificate, key) = match (read(&certificate_path)?, read(&key_path)?) {
        (None, None) => return Ok(None),
        (Some(_), None) => {
            return Err(AuthorityError::Half { present: certificate_path, missing: key_path });
        }
        (None, Some(_)) => {
            return Err(AuthorityError::Half { present: key_path, missing: certificate_path });
        }
        (Some(certificate), Some(key)) => (certificate, key),
    };
    let key = PrivateKey::parse(&key)
        .map_err(|source| AuthorityError::Unusable { path: key_path, source })?
        .pem()
        .clone();
    let authority = Authority::open(&certificate, &key)
        .map_err(|source| AuthorityError::Unusable { path: certificate_path.clone(), source })?;
    let (not_before, not_after) = (authority.facts().not_before, authority.facts().not_after);
    if now < not_before || now >= not_after {
        return Err(AuthorityError::Expired { path: certificate_path, not_before, not_after });
    }
    Ok(Some(BroughtPair { certificate: Some(certificate.to_string()), key }))
}

/// None: there is no such file.
fn read(path: &Utf8Path) -> Result<Option<Zeroizing<String>>, AuthorityError> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(Zeroizing::new(text))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(AuthorityError::Read { path: path.to_owned(), source }),
    }
}

#[cfg(test)]
#[path = "authority_tests.rs"]
mod tests;
