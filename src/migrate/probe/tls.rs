//! TLS as a client of a service does it: the certificate has to be valid for the name, and signed by somebody whom
//! this machine trusts.

use std::sync::Arc;

use rustls::client::Resumption;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::failure::{Failure, Stage, broken};
use super::{Deadline, ProberError};

/// Whom certificates are believed of.
pub(super) struct Trust {
    connector: TlsConnector,
    /// This machine trusts nobody, which is more often a package that is missing than a decision.
    is_empty: bool,
}

impl Trust {
    pub(super) fn new(authorities: Option<&[u8]>) -> Result<Self, ProberError> {
        let mut roots = RootCertStore::empty();
        // Certificates there that nothing can be made of are everybody's, and left out by everybody.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        for authority in authorities.map(certificates).transpose()?.into_iter().flatten() {
            roots.add(authority).map_err(ProberError::Authority)?;
        }
        let is_empty = roots.is_empty();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(ProberError::Authority)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        // A session that is resumed shows no certificate.
        config.resumption = Resumption::disabled();
        Ok(Trust { connector: Arc::new(config).into(), is_empty })
    }

    pub(super) async fn handshake(
        &self,
        stream: TcpStream,
        name: ServerName<'static>,
        deadline: Deadline,
    ) -> Result<TlsStream<TcpStream>, Failure> {
        let done = deadline.within(Stage::Handshake, self.connector.connect(name, stream)).await?;
        done.map_err(|error| match broken(Stage::Handshake, &error) {
            Failure::Certificate(why) if self.is_empty => Failure::Certificate(format!(
                "{why}: it has no certificate authorities, install ca-certificates"
            )),
            other => other,
        })
    }

    /// A handshake and nothing else; the server is told that this was all.
    pub(super) async fn greet(
        &self,
        stream: TcpStream,
        name: ServerName<'static>,
        deadline: Deadline,
    ) -> Result<(), Failure> {
        let mut stream = self.handshake(stream, name, deadline).await?;
        // Who has already hung up needs no good-bye.
        let _ = deadline.within(Stage::Handshake, stream.shutdown()).await;
        Ok(())
    }
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, ProberError> {
    let all: Vec<_> =
        CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().map_err(ProberError::Pem)?;
    if all.is_empty() { Err(ProberError::NoAuthorities) } else { Ok(all) }
}

/// # Errors
/// [`Failure::Question`] when it can be no server's name.
pub(super) fn server_name(name: &str) -> Result<ServerName<'static>, Failure> {
    let invalid = |error| Failure::Question(format!("server name {name:?}: {error}"));
    ServerName::try_from(name.to_owned()).map_err(invalid)
}
