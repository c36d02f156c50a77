//! One SSH connection: handshake, host key, login, and the channels opened over it.

use std::borrow::Cow;
use std::sync::Arc;

use russh::client::{self, Config, Handle, Handler};
use russh::keys::PublicKeyOrCertificate;
use russh::{Channel, ChannelOpenFailure, Preferred, cipher, compression, kex, mac};
use tokio::io::{AsyncRead, AsyncWrite};

use super::auth::log_in;
use super::environment::SshEnvironment;
use super::hostkey::HostKeyError;
use super::keys::KeyRing;
use super::route::Hop;
use super::trust::TrustStore;
use crate::exec::RemoteError;

/// Cheapest first: curve25519 costs a tenth of a finite-field exchange. The post-quantum hybrid
/// would cost both sides more than the rest of the handshake; servers that insist get it.
const KEX: &[kex::Name] = &[
    kex::CURVE25519,
    kex::CURVE25519_PRE_RFC_8731,
    kex::ECDH_SHA2_NISTP256,
    kex::MLKEM768X25519_SHA256,
    kex::DH_GEX_SHA256,
    kex::DH_G16_SHA512,
    kex::DH_G14_SHA256,
    kex::EXTENSION_SUPPORT_AS_CLIENT,
    kex::EXTENSION_OPENSSH_STRICT_KEX_AS_CLIENT,
];
const CIPHERS: &[cipher::Name] = &[
    cipher::AES_128_GCM,
    cipher::AES_256_GCM,
    cipher::CHACHA20_POLY1305,
    cipher::AES_128_CTR,
    cipher::AES_256_CTR,
];
const MACS: &[mac::Name] = &[mac::HMAC_SHA256_ETM, mac::HMAC_SHA512_ETM, mac::HMAC_SHA256, mac::HMAC_SHA512];

/// Unanswered keepalives after which a connection is given up.
const KEEPALIVES: usize = 3;
/// Messages a channel may hold before its reader has to catch up: bounds what one connection holds.
const CHANNEL_MESSAGES: usize = 16;

/// A connection that is logged in. Dropping the last owner closes it.
pub(crate) struct Connection {
    handle: Handle<Verifier>,
    /// The connection this one runs through, kept open by it.
    _through: Option<Arc<Connection>>,
    pub user: String,
    pub label: String,
}

/// Judges the server's key during the handshake.
pub(crate) struct Verifier {
    hop: Arc<Hop>,
    trust: Arc<TrustStore>,
}

/// What can go wrong in russh's own task.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SessionError {
    #[error(transparent)]
    Ssh(#[from] russh::Error),
    #[error(transparent)]
    HostKey(#[from] HostKeyError),
}

impl Handler for Verifier {
    type Error = SessionError;

    async fn check_server_key(&mut self, presented: &PublicKeyOrCertificate) -> Result<bool, SessionError> {
        self.trust.check(&self.hop, presented)?;
        Ok(true)
    }
}

/// What every connection of a run shares.
pub(crate) struct Shared {
    pub environment: SshEnvironment,
    pub trust: Arc<TrustStore>,
    pub keys: KeyRing,
}

/// Brings a byte stream to a server up to a logged-in connection.
pub(crate) async fn establish(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    hop: &Arc<Hop>,
    shared: &Shared,
    through: Option<Arc<Connection>>,
) -> Result<Arc<Connection>, RemoteError> {
    let environment = &shared.environment;
    let verifier = Verifier { hop: hop.clone(), trust: shared.trust.clone() };
    let config = Arc::new(configuration(hop, shared));
    let handshake = client::connect_stream(config, stream, verifier);
    let handshake = tokio::time::timeout(environment.connect_timeout, handshake).await;
    let mut handle = match handshake {
        Ok(Ok(handle)) => handle,
        Ok(Err(SessionError::HostKey(error))) => {
            let hint = Some(error.hint());
            return Err(RemoteError::HostKey { reason: error.to_string(), hint });
        }
        Ok(Err(SessionError::Ssh(error))) => {
            let reason = format!("{}: {}", hop.label(), plain_words(&error));
            return Err(RemoteError::Connect { reason, hint: None });
        }
        Err(_) => {
            let seconds = environment.connect_timeout.as_secs();
            let reason =
                format!("{} accepted the connection but no SSH server spoke for {seconds} s", hop.label());
            return Err(RemoteError::Connect { reason, hint: None });
        }
    };
    log_in(&mut handle, hop, &shared.keys, environment).await?;
    Ok(Arc::new(Connection { handle, _through: through, user: hop.user.clone(), label: hop.label() }))
}

fn configuration(hop: &Hop, shared: &Shared) -> Config {
    let (keys, certificates) = shared.trust.algorithms(hop);
    Config {
        preferred: Preferred {
            kex: Cow::Borrowed(KEX),
            key: Cow::Owned(keys),
            host_key_certificates: Cow::Owned(certificates),
            cipher: Cow::Borrowed(CIPHERS),
            mac: Cow::Borrowed(MACS),
            // What is big is compressed already.
            compression: Cow::Borrowed(&[compression::NONE]),
        },
        keepalive_interval: Some(shared.environment.keepalive),
        keepalive_max: KEEPALIVES,
        channel_buffer_size: CHANNEL_MESSAGES,
        nodelay: true,
        ..Config::default()
    }
}

impl Connection {
    pub fn is_closed(&self) -> bool {
        self.handle.is_closed()
    }

    /// A channel for one command.
    pub async fn session(&self) -> Result<Channel<client::Msg>, russh::Error> {
        self.handle.channel_open_session().await
    }

    /// A byte stream to an address as the server sees it.
    pub async fn direct(&self, address: &str, port: u16) -> Result<Channel<client::Msg>, RemoteError> {
        let opened = self.handle.channel_open_direct_tcpip(address, u32::from(port), "127.0.0.1", 0).await;
        opened.map_err(|error| {
            let place = crate::inventory::bracketed(address);
            let (reason, hint) = match &error {
                russh::Error::ChannelOpenFailure(ChannelOpenFailure::AdministrativelyProhibited) => (
                    format!("{} does not allow forwarding to {place}:{port}", self.label),
                    Some("set `AllowTcpForwarding yes` in its sshd_config".to_owned()),
                ),
                russh::Error::ChannelOpenFailure(_) => {
                    (format!("{} cannot reach {place}:{port}", self.label), None)
                }
                other => (format!("{}: {}", self.label, plain_words(other)), None),
            };
            RemoteError::Connect { reason, hint }
        })
    }
}

/// russh's words where they say little.
pub(crate) fn plain_words(error: &russh::Error) -> String {
    match error {
        russh::Error::Disconnect | russh::Error::HUP => "the server closed the connection".into(),
        russh::Error::SendError | russh::Error::RecvError => "the connection is closed".into(),
        russh::Error::KeepaliveTimeout => "no answer to keepalives".into(),
        other => other.to_string(),
    }
}
