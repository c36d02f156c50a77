//! Makes keys and signs certificates. `now` is an argument; the system's random source is not.

use aws_lc_rs::encoding::{AsDer, EcPrivateKeyRfc5915Der, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _, RsaKeyPair};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, DnValue, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyIdMethod, KeyUsagePurpose, PublicKeyData, SanType, SerialNumber, SubjectPublicKeyInfo,
};
use sha2::{Digest, Sha256};
use time::OffsetDateTime;
use x509_parser::asn1_rs::{Any, FromDer as _, OctetString, Sequence};
use x509_parser::certificate::X509Certificate;
use zeroize::Zeroizing;

use super::graft;
use super::inspect::{CertificateFacts, InspectError, inspect_der};
use super::pem::{self, PemError};
use super::secret::SecretText;
use super::spec::{CertificateSpec, Usage};
use crate::inventory::KeyAlgorithm;

/// Seconds a certificate is back-dated: the slack for hosts whose clocks are behind (kubeadm's value).
pub const BACKDATE_SECONDS: i64 = 300;
/// Smaller RSA keys are refused by Go's TLS.
const MINIMUM_RSA_BITS: usize = 2048;

/// Why a key or a certificate could not be made or used.
#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    #[error("no key could be made: the crypto library refused")]
    Generate,
    #[error("not a usable private key: {0}")]
    Key(String),
    #[error("{found} keys are not supported by Kubernetes; use RSA-2048 or larger, or ECDSA P-256 or P-384")]
    Algorithm { found: String },
    #[error("`{name}` cannot be put in a certificate: {reason}")]
    Name { name: String, reason: String },
    #[error("the private key does not belong to certificate `{common_name}`")]
    KeyMismatch { common_name: String },
    #[error("certificate `{common_name}` is not a CA (basicConstraints CA:TRUE is missing)")]
    NotAuthority { common_name: String },
    #[error("certificate `{common_name}` may not sign certificates (keyUsage lacks keyCertSign)")]
    MayNotSign { common_name: String },
    #[error("the certificate could not be encoded: {0}")]
    Encode(String),
    #[error(transparent)]
    Pem(#[from] PemError),
    #[error(transparent)]
    Inspect(#[from] InspectError),
}

impl From<rcgen::Error> for IssueError {
    fn from(error: rcgen::Error) -> Self {
        IssueError::Encode(error.to_string())
    }
}

/// A private key as PEM, and its public half.
#[derive(Debug, Clone)]
pub struct PrivateKey {
    pem: SecretText,
    /// SubjectPublicKeyInfo, DER.
    public: Vec<u8>,
}

impl PrivateKey {
    /// Makes a key, in the PEM form kubeadm writes: SEC 1 for ECDSA, PKCS#1 for RSA.
    pub fn generate(algorithm: KeyAlgorithm) -> Result<Self, IssueError> {
        let failed = |_| IssueError::Generate;
        match algorithm {
            KeyAlgorithm::EcdsaP256 => {
                let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).map_err(failed)?;
                let der: EcPrivateKeyRfc5915Der<'_> = pair.private_key().as_der().map_err(failed)?;
                let public: PublicKeyX509Der<'_> = pair.public_key().as_der().map_err(failed)?;
                let pem = SecretText::new(pem::encode("EC PRIVATE KEY", der.as_ref()));
                Ok(PrivateKey { pem, public: public.as_ref().to_vec() })
            }
            KeyAlgorithm::Rsa2048 => {
                let pair = RsaKeyPair::generate(KeySize::Rsa2048).map_err(failed)?;
                let der: Pkcs8V1Der<'_> = pair.as_der().map_err(failed)?;
                let public: PublicKeyX509Der<'_> = pair.public_key().as_der().map_err(failed)?;
                let pem = SecretText::new(pem::encode("RSA PRIVATE KEY", &pkcs1_of(der.as_ref())?));
                Ok(PrivateKey { pem, public: public.as_ref().to_vec() })
            }
        }
    }

    /// Reads a key in PKCS#1, SEC 1 or PKCS#8; other blocks of the text are skipped.
    pub fn parse(text: &str) -> Result<Self, IssueError> {
        let block = pem::first_private_key(text)?;
        let pair = rcgen::KeyPair::try_from(block.der.as_slice())
            .map_err(|error| IssueError::Key(error.to_string()))?;
        let public = pair.subject_public_key_info();
        check_algorithm(&public)?;
        Ok(PrivateKey { pem: SecretText::new(pem::encode(&block.label, &block.der)), public })
    }

    pub fn pem(&self) -> &SecretText {
        &self.pem
    }

    /// SHA-256 of the public key, in hex, as [`CertificateFacts::spki_sha256`] has it.
    pub fn spki_sha256(&self) -> String {
        hex::encode(Sha256::digest(&self.public))
    }

    /// The public key as PEM (`sa.pub`).
    pub fn public_pem(&self) -> String {
        pem::encode("PUBLIC KEY", &self.public)
    }
}

/// PKCS#1 inside PKCS#8: SEQUENCE { version, algorithm, OCTET STRING }.
fn pkcs1_of(pkcs8: &[u8]) -> Result<Zeroizing<Vec<u8>>, IssueError> {
    let unreadable = |error: x509_parser::asn1_rs::Err<x509_parser::asn1_rs::Error>| {
        IssueError::Key(format!("PKCS#8: {error}"))
    };
    let (_, outer) = Sequence::from_der(pkcs8).map_err(unreadable)?;
    let (rest, _version) = Any::from_der(&outer.content).map_err(unreadable)?;
    let (rest, _algorithm) = Any::from_der(rest).map_err(unreadable)?;
    let (_, key) = OctetString::from_der(rest).map_err(unreadable)?;
    Ok(Zeroizing::new(key.as_ref().to_vec()))
}

fn check_algorithm(public: &[u8]) -> Result<(), IssueError> {
    use x509_parser::public_key::PublicKey;
    let (_, info) = x509_parser::x509::SubjectPublicKeyInfo::from_der(public)
        .map_err(|error| IssueError::Key(error.to_string()))?;
    match info.parsed() {
        Ok(PublicKey::EC(_)) => Ok(()),
        Ok(PublicKey::RSA(key)) if key.key_size() >= MINIMUM_RSA_BITS => Ok(()),
        Ok(PublicKey::RSA(key)) => Err(IssueError::Algorithm { found: format!("RSA-{}", key.key_size()) }),
        Ok(_) | Err(_) => Err(IssueError::Algorithm { found: "Ed25519 and other".to_owned() }),
    }
}

/// A certificate that was just made.
#[derive(Debug, Clone)]
pub struct Issued {
    pub pem: String,
    pub facts: CertificateFacts,
}

/// A CA with its key, ready to sign.
pub struct Authority {
    facts: CertificateFacts,
    /// Subject as DER: what it signs must carry exactly these bytes as issuer.
    subject: Vec<u8>,
    issuer: Issuer<'static, rcgen::KeyPair>,
}

impl Authority {
    /// Checks that the key belongs to the certificate and that the certificate may sign.
    pub fn open(certificate: &str, key: &SecretText) -> Result<Self, IssueError> {
        let block = pem::first_certificate(certificate)?;
        let facts = inspect_der(&block.der)?;
        let common_name = || facts.common_name.clone();
        if !facts.is_ca {
            return Err(IssueError::NotAuthority { common_name: common_name() });
        }
        let key_block = pem::first_private_key(key.expose())?;
        let pair = rcgen::KeyPair::try_from(key_block.der.as_slice())
            .map_err(|error| IssueError::Key(error.to_string()))?;
        if hex::encode(Sha256::digest(pair.subject_public_key_info())) != facts.spki_sha256 {
            return Err(IssueError::KeyMismatch { common_name: common_name() });
        }
        let unreadable = |error: String| IssueError::Inspect(InspectError::X509(error));
        let (_, parsed) =
            X509Certificate::from_der(&block.der).map_err(|error| unreadable(error.to_string()))?;
        let usage = parsed.key_usage().map_err(|error| unreadable(error.to_string()))?;
        if usage.is_some_and(|usage| !usage.value.key_cert_sign()) {
            return Err(IssueError::MayNotSign { common_name: common_name() });
        }
        let subject = parsed.subject().as_raw().to_vec();
        let mut parameters = CertificateParams::default();
        parameters.distinguished_name = DistinguishedName::new();
        parameters.distinguished_name.push(DnType::CommonName, text_value(&facts.common_name));
        if let Some(id) = facts.subject_key_id.as_ref().and_then(|id| hex::decode(id).ok()) {
            parameters.key_identifier_method = KeyIdMethod::PreSpecified(id);
        }
        let issuer = Issuer::new(parameters, pair);
        Ok(Authority { facts, subject, issuer })
    }

    pub fn facts(&self) -> &CertificateFacts {
        &self.facts
    }

    /// Signs a certificate for `key`. It may outlive its CA, as kubeadm's may: a shorter one would be
    /// due for renewal at once, for ever.
    pub fn issue(&self, spec: &CertificateSpec, key: &PrivateKey, now: i64) -> Result<Issued, IssueError> {
        let public = SubjectPublicKeyInfo::from_der(&key.public)?;
        let certificate = parameters(spec, now)?.signed_by(&public, &self.issuer)?;
        let (_, parsed) = X509Certificate::from_der(certificate.der())
            .map_err(|error| IssueError::Encode(error.to_string()))?;
        if parsed.issuer().as_raw() == self.subject {
            return issued(certificate.der());
        }
        issued(&graft::with_issuer(certificate.der(), &self.subject, self.issuer.key())?)
    }
}

/// Makes a CA certificate that signs itself.
pub fn issue_authority(spec: &CertificateSpec, key: &PrivateKey, now: i64) -> Result<Issued, IssueError> {
    let block = pem::first_private_key(key.pem.expose())?;
    let pair =
        rcgen::KeyPair::try_from(block.der.as_slice()).map_err(|error| IssueError::Key(error.to_string()))?;
    issued(parameters(spec, now)?.self_signed(&pair)?.der())
}

fn issued(der: &[u8]) -> Result<Issued, IssueError> {
    Ok(Issued { pem: pem::encode("CERTIFICATE", der), facts: inspect_der(der)? })
}

fn parameters(spec: &CertificateSpec, now: i64) -> Result<CertificateParams, IssueError> {
    let date = |seconds| {
        OffsetDateTime::from_unix_timestamp(seconds).map_err(|error| IssueError::Encode(error.to_string()))
    };
    let mut parameters = CertificateParams::default();
    parameters.not_before = date(now.saturating_sub(BACKDATE_SECONDS))?;
    parameters.not_after = date(now.saturating_add(i64::from(spec.valid_hours) * 3600))?;
    parameters.serial_number = Some(random_serial()?);
    parameters.distinguished_name = subject(spec);
    parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
    if spec.is_authority() {
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        parameters.key_usages.push(KeyUsagePurpose::KeyCertSign);
    } else {
        parameters.is_ca = IsCa::ExplicitNoCa;
        parameters.use_authority_key_identifier_extension = true;
    }
    for usage in &spec.usages {
        parameters.extended_key_usages.push(match usage {
            Usage::ServerAuth => ExtendedKeyUsagePurpose::ServerAuth,
            Usage::ClientAuth => ExtendedKeyUsagePurpose::ClientAuth,
        });
    }
    for name in &spec.dns_names {
        let text = name.as_str().try_into().map_err(|error: rcgen::Error| IssueError::Name {
            name: name.clone(),
            reason: error.to_string(),
        })?;
        parameters.subject_alt_names.push(SanType::DnsName(text));
    }
    parameters.subject_alt_names.extend(spec.addresses.iter().copied().map(SanType::IpAddress));
    Ok(parameters)
}

/// Organization before common name, in the narrowest string type, both as Go encodes them.
fn subject(spec: &CertificateSpec) -> DistinguishedName {
    let mut subject = DistinguishedName::new();
    if let Some(organization) = &spec.organization {
        subject.push(DnType::OrganizationName, text_value(organization));
    }
    subject.push(DnType::CommonName, text_value(&spec.common_name));
    subject
}

fn text_value(text: &str) -> DnValue {
    match text.try_into() {
        Ok(printable) => DnValue::PrintableString(printable),
        Err(_) => DnValue::Utf8String(text.to_owned()),
    }
}

/// Random, positive and below 2^63, as kubeadm's.
fn random_serial() -> Result<SerialNumber, IssueError> {
    let mut bytes = [0_u8; 8];
    loop {
        SystemRandom::new().fill(&mut bytes).map_err(|_| IssueError::Generate)?;
        let serial = u64::from_be_bytes(bytes) >> 1;
        if serial != 0 {
            return Ok(SerialNumber::from(serial));
        }
    }
}

#[cfg(test)]
#[path = "issue_tests.rs"]
mod tests;
