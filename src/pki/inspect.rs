//! What a certificate says, and whether that is what a specification asks for.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::FromDer;
use x509_parser::public_key::PublicKey;
use x509_parser::x509::X509Name;

use super::pem::{self, PemError};
use super::spec::{CLUSTER_ADMINS, CertificateSpec, KUBELET_CLIENT, Usage};

/// The fields of a certificate that decide whether it fits. Hashes and identifiers are lower-case hex.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CertificateFacts {
    pub common_name: String,
    pub organization: Option<String>,
    /// Sorted.
    pub dns_names: Vec<String>,
    /// In the certificate's order.
    pub addresses: Vec<IpAddr>,
    /// Sorted.
    pub usages: Vec<Usage>,
    pub issuer_common_name: String,
    pub subject_key_id: Option<String>,
    pub authority_key_id: Option<String>,
    /// Seconds since 1970.
    pub not_before: i64,
    pub not_after: i64,
    pub serial: String,
    /// SHA-256 of the public key, as kubeadm's `--discovery-token-ca-cert-hash` has it.
    pub spki_sha256: String,
    pub is_ca: bool,
    /// `RSA-2048`, `ECDSA-P256`, …
    pub algorithm: String,
}

/// A text that holds no certificate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InspectError {
    #[error(transparent)]
    Pem(#[from] PemError),
    #[error("not an X.509 certificate: {0}")]
    X509(String),
}

/// The first way in which a certificate is not what is wanted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Mismatch {
    #[error("the common name is `{have}`, not `{want}`")]
    CommonName { have: String, want: String },
    #[error("the organization is {}, not {}", shown(have), shown(want))]
    Organization { have: Option<String>, want: Option<String> },
    #[error("the alternative names are {}, not {}", have.join(" "), want.join(" "))]
    Names { have: Vec<String>, want: Vec<String> },
    #[error("the extended key usages are {have:?}, not {want:?}")]
    Usages { have: Vec<Usage>, want: Vec<Usage> },
    #[error("it is {}a CA", if *is_ca { "" } else { "not " })]
    Authority { is_ca: bool },
    #[error("it was signed by another `{have}` than the cluster's")]
    Issuer { have: String },
}

fn shown(organization: &Option<String>) -> &str {
    organization.as_deref().unwrap_or("none")
}

/// Reads the first certificate of a PEM text.
pub fn inspect(text: &str) -> Result<CertificateFacts, InspectError> {
    let block = pem::first_certificate(text)?;
    inspect_der(&block.der)
}

/// Reads one certificate.
pub fn inspect_der(der: &[u8]) -> Result<CertificateFacts, InspectError> {
    let (_, parsed) =
        X509Certificate::from_der(der).map_err(|error| InspectError::X509(error.to_string()))?;
    let mut facts = CertificateFacts {
        common_name: common_name(parsed.subject()),
        organization: parsed
            .subject()
            .iter_organization()
            .next()
            .and_then(|value| value.as_str().ok())
            .map(str::to_owned),
        dns_names: Vec::new(),
        addresses: Vec::new(),
        usages: Vec::new(),
        issuer_common_name: common_name(parsed.issuer()),
        subject_key_id: None,
        authority_key_id: None,
        not_before: parsed.validity().not_before.timestamp(),
        not_after: parsed.validity().not_after.timestamp(),
        serial: serial_text(parsed.raw_serial()),
        spki_sha256: hex::encode(Sha256::digest(parsed.public_key().raw)),
        is_ca: parsed.is_ca(),
        algorithm: algorithm(&parsed),
    };
    for extension in parsed.extensions() {
        read_extension(extension.parsed_extension(), &mut facts);
    }
    facts.dns_names.sort();
    facts.usages.sort();
    Ok(facts)
}

fn read_extension(extension: &ParsedExtension<'_>, facts: &mut CertificateFacts) {
    // The library's enum has some thirty extensions; these four are all that we judge.
    if let ParsedExtension::SubjectAlternativeName(names) = extension {
        for name in &names.general_names {
            if let GeneralName::DNSName(name) = name {
                facts.dns_names.push((*name).to_owned());
            } else if let GeneralName::IPAddress(bytes) = name {
                facts.addresses.extend(address(bytes));
            }
        }
    } else if let ParsedExtension::ExtendedKeyUsage(usages) = extension {
        if usages.server_auth {
            facts.usages.push(Usage::ServerAuth);
        }
        if usages.client_auth {
            facts.usages.push(Usage::ClientAuth);
        }
    } else if let ParsedExtension::SubjectKeyIdentifier(id) = extension {
        facts.subject_key_id = Some(hex::encode(id.0));
    } else if let ParsedExtension::AuthorityKeyIdentifier(id) = extension {
        facts.authority_key_id = id.key_identifier.as_ref().map(|id| hex::encode(id.0));
    }
}

fn common_name(name: &X509Name<'_>) -> String {
    name.iter_common_name().next().and_then(|value| value.as_str().ok()).unwrap_or_default().to_owned()
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    if let Ok(octets) = <[u8; 4]>::try_from(bytes) {
        return Some(IpAddr::from(octets));
    }
    <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from)
}

/// Hex without the zero bytes that DER puts before a high bit.
fn serial_text(raw: &[u8]) -> String {
    let start = raw.iter().position(|byte| *byte != 0).unwrap_or(raw.len());
    hex::encode(raw.get(start..).unwrap_or_default())
}

fn algorithm(certificate: &X509Certificate<'_>) -> String {
    match certificate.public_key().parsed() {
        Ok(PublicKey::RSA(key)) => format!("RSA-{}", key.key_size()),
        // 521 bits fill 66 bytes.
        Ok(PublicKey::EC(point)) => format!("ECDSA-P{}", point.key_size().min(521)),
        Ok(_) | Err(_) => certificate.public_key().algorithm.algorithm.to_id_string(),
    }
}

/// kubeadm gave this certificate an organization until 1.35 and none since, and a renewal keeps the subject:
/// both are right in every version, and an upgrade renews nothing for it.
fn is_either_way(facts: &CertificateFacts) -> bool {
    facts.common_name == KUBELET_CLIENT
        && facts.organization.as_deref().is_none_or(|organization| organization == CLUSTER_ADMINS)
}

/// Whether a certificate says what `spec` wants and was signed by `issuer` (by itself: for a CA).
///
/// Dates are not judged (that takes a clock, see [`super::spec::renewal_due`]), nor is the key's
/// algorithm: the kubelet makes P-256 keys whatever the cluster uses, and brought CAs have their own.
pub fn satisfies(
    facts: &CertificateFacts,
    spec: &CertificateSpec,
    issuer: &CertificateFacts,
) -> Result<(), Mismatch> {
    if facts.common_name != spec.common_name {
        return Err(Mismatch::CommonName { have: facts.common_name.clone(), want: spec.common_name.clone() });
    }
    if facts.organization != spec.organization && !is_either_way(facts) {
        return Err(Mismatch::Organization {
            have: facts.organization.clone(),
            want: spec.organization.clone(),
        });
    }
    let (have, want) = (names(&facts.dns_names, &facts.addresses), names(&spec.dns_names, &spec.addresses));
    if have != want {
        return Err(Mismatch::Names { have, want });
    }
    let mut usages = spec.usages.clone();
    usages.sort();
    if facts.usages != usages {
        return Err(Mismatch::Usages { have: facts.usages.clone(), want: usages });
    }
    if facts.is_ca != spec.is_authority() {
        return Err(Mismatch::Authority { is_ca: facts.is_ca });
    }
    if !signed_by(facts, issuer) {
        return Err(Mismatch::Issuer { have: facts.issuer_common_name.clone() });
    }
    Ok(())
}

/// By name, and by key identifier where both sides have one. Two CAs of the same name are told apart
/// only by the identifier.
fn signed_by(facts: &CertificateFacts, issuer: &CertificateFacts) -> bool {
    let identifier = match (&facts.authority_key_id, &issuer.subject_key_id) {
        (Some(have), Some(want)) => have == want,
        (None, _) | (_, None) => true,
    };
    facts.issuer_common_name == issuer.common_name && identifier
}

fn names(dns_names: &[String], addresses: &[IpAddr]) -> Vec<String> {
    let mut all: Vec<String> =
        dns_names.iter().cloned().chain(addresses.iter().map(IpAddr::to_string)).collect();
    all.sort();
    all.dedup();
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serials_have_no_leading_zeros() {
        assert_eq!(serial_text(&[0, 0x80, 1]), "8001");
        assert_eq!(serial_text(&[0x0a]), "0a");
        assert_eq!(serial_text(&[0]), "");
    }

    #[test]
    fn refuses_what_is_no_certificate() {
        assert!(matches!(inspect("hello"), Err(InspectError::Pem(PemError::Empty))));
        assert!(matches!(
            inspect("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----"),
            Err(InspectError::X509(_))
        ));
    }
}
