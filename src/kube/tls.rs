//! Mutual TLS from PEM values: whom we trust, and who we are.

use std::sync::Arc;

use rustls::ClientConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use secrecy::{ExposeSecret as _, SecretSlice};

/// A client's side of mutual TLS. Printed, it shows no key.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// PEM of the authority that signed the server's certificate.
    pub authority: String,
    /// PEM of our certificate.
    pub certificate: String,
    /// PEM of its private key.
    pub key: Arc<SecretSlice<u8>>,
}

/// Credentials that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("{what} is not PEM")]
    Pem { what: &'static str, source: rustls::pki_types::pem::Error },
    #[error("{0} is empty")]
    Empty(&'static str),
    #[error("the client certificate cannot be used")]
    Client(#[source] rustls::Error),
}

/// TLS 1.2 or 1.3 with nothing trusted but the given authority: the cluster's CA vouches for its servers,
/// the public ones never do.
pub(super) fn client_config(credentials: &Credentials) -> Result<ClientConfig, TlsError> {
    let authorities = certificates("the certificate authority", &credentials.authority)?;
    let mut roots = rustls::RootCertStore::empty();
    for authority in authorities {
        roots.add(authority).map_err(TlsError::Client)?;
    }
    let chain = certificates("the client certificate", &credentials.certificate)?;
    let key = PrivateKeyDer::from_pem_slice(credentials.key.expose_secret())
        .map_err(|source| TlsError::Pem { what: "the client key", source })?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Client)?
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, key)
        .map_err(TlsError::Client)?;
    Ok(config)
}

fn certificates(what: &'static str, pem: &str) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let all: Vec<_> = CertificateDer::pem_slice_iter(pem.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|source| TlsError::Pem { what, source })?;
    if all.is_empty() { Err(TlsError::Empty(what)) } else { Ok(all) }
}
