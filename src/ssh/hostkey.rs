//! Whether a server is who it should be: a pure judgement over what is pinned, known and presented.

use russh::keys::ssh_key::certificate::CertType;
use russh::keys::{Algorithm, Certificate, EcdsaCurve, HashAlg, PublicKey, PublicKeyOrCertificate};

use super::config_match::wildcard;
use super::known_hosts::{KnownHosts, Marker, known_name};

/// What is known about one server before it is met.
#[derive(Debug, Clone)]
pub struct Trust<'a> {
    /// Keys from the inventory. When there are any, known_hosts vouches for nothing.
    pub pinned: &'a [PublicKey],
    /// Certificate authorities from the inventory.
    pub authorities: &'a [PublicKey],
    pub known: &'a KnownHosts,
    /// The name to look up: HostKeyAlias, or the address.
    pub host: &'a str,
    pub port: u16,
    pub first_use: bool,
}

/// Why a server is trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Trusted,
    /// Nobody knows it and the operator allows that; to be recorded.
    FirstUse,
}

/// Why a server is not trusted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HostKeyError {
    #[error("{host} presents {algorithm} {fingerprint}, which nothing vouches for")]
    Unknown { host: String, algorithm: String, fingerprint: String, key: String },
    #[error(
        "{host} presents {algorithm} {presented}, but {expected} is expected ({place}); either the \
         machine was made anew or somebody is in between"
    )]
    Changed { host: String, algorithm: String, presented: String, expected: String, place: String },
    #[error("{host} presents {fingerprint}, which is revoked ({place})")]
    Revoked { host: String, fingerprint: String, place: String },
    #[error("{host} presents certificate {id:?} (serial {serial}), which is refused: {reason}")]
    Certificate { host: String, id: String, serial: u64, reason: String },
}

impl HostKeyError {
    /// What the operator can do, to copy.
    pub fn hint(&self) -> String {
        match self {
            HostKeyError::Unknown { host, key, fingerprint, .. } => format!(
                "on the machine's own console run `ssh-keygen -lf` on /etc/ssh/ssh_host_*_key.pub; when it shows \
                 {fingerprint}, add to the host in the inventory\n    hostKeys: [{key:?}]\nor to \
                 ~/.ssh/known_hosts\n    {host} {key}"
            ),
            HostKeyError::Changed { host, place, .. } => format!(
                "compare with the machine's own console; only when the new key is right, remove the old one \
                 ({place}; for known_hosts: ssh-keygen -R '{host}')"
            ),
            HostKeyError::Revoked { place, .. } => {
                format!("give the machine a new host key; {place} says why not")
            }
            HostKeyError::Certificate { .. } => {
                "sign the host key anew: ssh-keygen -s CA -h -I ID -n NAME -V +52w KEY.pub".to_owned()
            }
        }
    }
}

/// Judges what a server presents. `now` is in seconds since 1970.
pub fn judge(
    trust: &Trust<'_>,
    presented: &PublicKeyOrCertificate,
    now: u64,
) -> Result<Verdict, HostKeyError> {
    let (key, certificate) = match presented {
        PublicKeyOrCertificate::PublicKey { key, .. } => (key.clone(), None),
        PublicKeyOrCertificate::Certificate(certificate) => {
            (PublicKey::from(certificate.public_key().clone()), Some(certificate))
        }
    };
    check_revoked(trust, &key, certificate)?;
    if let Some(certificate) = certificate
        && authorities(trust).any(|ca| ca.key_data() == certificate.signature_key())
    {
        check_certificate(trust, certificate, now)?;
        return Ok(Verdict::Trusted);
    }
    if !trust.pinned.is_empty() {
        return check_pinned(trust, &key);
    }
    check_known(trust, &key)
}

/// Host key algorithms to ask for: those that something is known about come first, or a server
/// with several keys would present one that nobody has recorded. Neither DSA nor RSA with SHA-1.
pub fn preferred_algorithms(trust: &Trust<'_>) -> Vec<Algorithm> {
    let known = |algorithm: &Algorithm| {
        let same = |key: &PublicKey| plain(&key.algorithm()) == plain(algorithm);
        trust.pinned.iter().any(same)
            || trust.pinned.is_empty()
                && names(trust).iter().any(|name| {
                    trust.known.matching(name).any(|entry| entry.marker.is_none() && same(&entry.key))
                })
    };
    let (mut first, rest): (Vec<_>, Vec<_>) = all_algorithms().into_iter().partition(known);
    first.extend(rest);
    first
}

/// Algorithms whose certificates to ask for: none when no authority is trusted for this host, as
/// the server would then hide the key that is known behind a certificate that is not.
pub fn certificate_algorithms(trust: &Trust<'_>) -> Vec<Algorithm> {
    if authorities(trust).next().is_some() { all_algorithms() } else { Vec::new() }
}

/// Every algorithm keelwright accepts, cheapest first.
pub(crate) fn all_algorithms() -> Vec<Algorithm> {
    vec![
        Algorithm::Ed25519,
        Algorithm::Ecdsa { curve: EcdsaCurve::NistP256 },
        Algorithm::Ecdsa { curve: EcdsaCurve::NistP384 },
        Algorithm::Ecdsa { curve: EcdsaCurve::NistP521 },
        Algorithm::Rsa { hash: Some(HashAlg::Sha256) },
        Algorithm::Rsa { hash: Some(HashAlg::Sha512) },
    ]
}

/// One RSA key serves several signature algorithms.
fn plain(algorithm: &Algorithm) -> Algorithm {
    match algorithm {
        Algorithm::Rsa { .. } => Algorithm::Rsa { hash: None },
        other => other.clone(),
    }
}

/// Names to look up; OpenSSH too falls back to the one without a port.
fn names(trust: &Trust<'_>) -> Vec<String> {
    let mut names = vec![known_name(trust.host, trust.port)];
    if trust.port != 22 {
        names.push(trust.host.to_owned());
    }
    names
}

fn authorities<'a>(trust: &'a Trust<'a>) -> impl Iterator<Item = &'a PublicKey> {
    let known = trust.known.matching(trust.host);
    let known = known.filter(|entry| entry.marker == Some(Marker::CertAuthority)).map(|entry| &entry.key);
    trust.authorities.iter().chain(known)
}

fn check_revoked(
    trust: &Trust<'_>,
    key: &PublicKey,
    certificate: Option<&Certificate>,
) -> Result<(), HostKeyError> {
    for name in names(trust) {
        let revoked = trust.known.matching(&name).find(|entry| {
            entry.marker == Some(Marker::Revoked)
                && (entry.key.key_data() == key.key_data()
                    || certificate.is_some_and(|c| c.signature_key() == entry.key.key_data()))
        });
        if let Some(entry) = revoked {
            return Err(HostKeyError::Revoked {
                host: known_name(trust.host, trust.port),
                fingerprint: fingerprint(&entry.key),
                place: entry.place.clone(),
            });
        }
    }
    Ok(())
}

fn check_certificate(trust: &Trust<'_>, certificate: &Certificate, now: u64) -> Result<(), HostKeyError> {
    let refuse = |reason: String| {
        Err(HostKeyError::Certificate {
            host: known_name(trust.host, trust.port),
            id: certificate.key_id().to_owned(),
            serial: certificate.serial(),
            reason,
        })
    };
    if certificate.cert_type() != CertType::Host {
        return refuse("it is for a user, not for a host".into());
    }
    if !certificate.valid_principals().iter().any(|name| wildcard(name, trust.host)) {
        let names = certificate.valid_principals().join(", ");
        return refuse(format!("it is for {names:?}, not for {:?}", trust.host));
    }
    if let Some(option) = certificate.critical_options().keys().next() {
        return refuse(format!("critical option {option:?} is not understood"));
    }
    if now < certificate.valid_after() || now >= certificate.valid_before() {
        return refuse("it is outside its time of validity".into());
    }
    let authority = certificate.signature_key().fingerprint(HashAlg::Sha256);
    match certificate.validate_at(now, [&authority]) {
        Ok(()) => Ok(()),
        Err(error) => refuse(error.to_string()),
    }
}

fn check_pinned(trust: &Trust<'_>, key: &PublicKey) -> Result<Verdict, HostKeyError> {
    if trust.pinned.iter().any(|pinned| pinned.key_data() == key.key_data()) {
        return Ok(Verdict::Trusted);
    }
    Err(changed(trust, key, trust.pinned.iter().map(fingerprint), "hostKeys in the inventory"))
}

fn check_known(trust: &Trust<'_>, key: &PublicKey) -> Result<Verdict, HostKeyError> {
    let own = known_name(trust.host, trust.port);
    for name in names(trust) {
        let mut plain_entries = trust.known.matching(&name).filter(|entry| entry.marker.is_none());
        if plain_entries.any(|entry| entry.key.key_data() == key.key_data()) {
            return Ok(Verdict::Trusted);
        }
    }
    // Only the exact name says "changed": the one without a port may be another server.
    let others: Vec<_> = trust.known.matching(&own).filter(|entry| entry.marker.is_none()).collect();
    if let Some(first) = others.first() {
        let expected = others.iter().map(|entry| fingerprint(&entry.key));
        return Err(changed(trust, key, expected, &first.place));
    }
    if trust.first_use {
        return Ok(Verdict::FirstUse);
    }
    Err(HostKeyError::Unknown {
        host: own,
        algorithm: key.algorithm().to_string(),
        fingerprint: fingerprint(key),
        key: openssh(key),
    })
}

fn changed(
    trust: &Trust<'_>,
    key: &PublicKey,
    expected: impl Iterator<Item = String>,
    place: &str,
) -> HostKeyError {
    HostKeyError::Changed {
        host: known_name(trust.host, trust.port),
        algorithm: key.algorithm().to_string(),
        presented: fingerprint(key),
        expected: expected.collect::<Vec<_>>().join(" or "),
        place: place.to_owned(),
    }
}

/// `SHA256:…`, as ssh-keygen shows it.
pub fn fingerprint(key: &PublicKey) -> String {
    key.fingerprint(HashAlg::Sha256).to_string()
}

/// `ssh-ed25519 AAAA…`, without a comment.
pub(crate) fn openssh(key: &PublicKey) -> String {
    PublicKey::from(key.key_data().clone()).to_openssh().unwrap_or_default().trim().to_owned()
}

#[cfg(test)]
#[path = "hostkey_tests.rs"]
mod tests;
