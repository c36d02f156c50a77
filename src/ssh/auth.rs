//! Logging in: agent keys, key files and their certificates, in the order OpenSSH would try them.

use std::time::Duration;

use russh::client::{AuthResult, Handle};
use russh::keys::agent::AgentIdentity;
use russh::keys::agent::client::AgentClient;
use russh::keys::{Algorithm, HashAlg, PrivateKeyWithHashAlg, PublicKey};
use tokio::net::UnixStream;

use super::environment::SshEnvironment;
use super::hostkey::fingerprint;
use super::keys::{KeyFileError, KeyRing, LoadedKey, public_half};
use super::route::Hop;
use super::session::Verifier;
use crate::exec::RemoteError;

/// An agent may ask its owner to touch a device.
const AGENT_PATIENCE: Duration = Duration::from_secs(60);

type Agent = AgentClient<UnixStream>;

/// What was offered so far, for the message when nothing helps.
struct Attempt<'a> {
    handle: &'a mut Handle<Verifier>,
    hop: &'a Hop,
    patience: Duration,
    tried: Vec<String>,
    unused: Vec<String>,
    /// The server wants a second factor after a key it accepted.
    partial: bool,
}

/// Logs in on a fresh connection.
pub(crate) async fn log_in(
    handle: &mut Handle<Verifier>,
    hop: &Hop,
    ring: &KeyRing,
    environment: &SshEnvironment,
) -> Result<(), RemoteError> {
    let patience = environment.connect_timeout;
    let mut attempt =
        Attempt { handle, hop, patience, tried: Vec::new(), unused: Vec::new(), partial: false };
    let mut agent = Agents::open(environment, &mut attempt.unused).await;
    if attempt.offer_all(&mut agent, ring).await? {
        return Ok(());
    }
    Err(attempt.failure())
}

/// The agent and what it holds.
struct Agents {
    client: Option<Agent>,
    identities: Vec<AgentIdentity>,
}

impl Agents {
    async fn open(environment: &SshEnvironment, unused: &mut Vec<String>) -> Agents {
        let none = Agents { client: None, identities: Vec::new() };
        let Some(socket) = &environment.agent else { return none };
        let listed = async {
            let mut client = AgentClient::connect_uds(socket).await.map_err(|error| error.to_string())?;
            let identities = client.request_identities().await.map_err(|error| error.to_string())?;
            Ok::<_, String>(Agents { client: Some(client), identities })
        };
        match tokio::time::timeout(environment.connect_timeout, listed).await {
            Ok(Ok(agents)) => agents,
            Ok(Err(reason)) => {
                unused.push(format!("agent {socket}: {reason}"));
                none
            }
            Err(_) => {
                unused.push(format!("agent {socket} does not answer"));
                none
            }
        }
    }

    /// Takes out what the agent holds for a public key: certificates first.
    fn take(&mut self, key: &PublicKey) -> Vec<AgentIdentity> {
        let (mut mine, others): (Vec<_>, Vec<_>) = std::mem::take(&mut self.identities)
            .into_iter()
            .partition(|identity| identity.public_key().key_data() == key.key_data());
        self.identities = others;
        mine.sort_by_key(|identity| matches!(identity, AgentIdentity::PublicKey { .. }));
        mine
    }
}

impl Attempt<'_> {
    async fn offer_all(&mut self, agent: &mut Agents, ring: &KeyRing) -> Result<bool, RemoteError> {
        for path in self.hop.keys.clone() {
            // The agent spares asking for the passphrase of a key that it holds.
            let held = if agent.client.is_some() { public_half(&path) } else { None };
            let held = held.map(|key| agent.take(&key)).unwrap_or_default();
            if !held.is_empty() {
                for identity in held {
                    if self.offer_agent(agent, identity).await? {
                        return Ok(true);
                    }
                }
                continue;
            }
            match ring.load(&path).await {
                Ok(key) => {
                    if self.offer_file(&key, path.as_str()).await? {
                        return Ok(true);
                    }
                }
                Err(KeyFileError::Missing { .. }) if !self.hop.keys_named => {}
                Err(error) => self.unused.push(error.to_string()),
            }
        }
        if self.hop.agent_keys {
            for identity in std::mem::take(&mut agent.identities) {
                if self.offer_agent(agent, identity).await? {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    async fn offer_file(&mut self, key: &LoadedKey, path: &str) -> Result<bool, RemoteError> {
        let public = key.private.public_key();
        let hash = match self.rsa_hash(public).await? {
            RsaHash::Use(hash) => hash,
            RsaHash::Refused => return Ok(false),
        };
        if let Some(certificate) = &key.certificate {
            self.tried.push(format!("{} certificate ({path}-cert.pub)", fingerprint(public)));
            let offer = self.handle.authenticate_openssh_cert(
                self.hop.user.clone(),
                key.private.clone(),
                certificate.clone(),
            );
            let result = tokio::time::timeout(self.patience, offer).await;
            if self.settle(result.map(|r| r.map_err(|error| error.to_string())))? {
                return Ok(true);
            }
        }
        self.tried.push(format!("{} ({path})", fingerprint(public)));
        let with_hash = PrivateKeyWithHashAlg::new(key.private.clone(), hash);
        let offer = self.handle.authenticate_publickey(self.hop.user.clone(), with_hash);
        let result = tokio::time::timeout(self.patience, offer).await;
        self.settle(result.map(|r| r.map_err(|error| error.to_string())))
    }

    async fn offer_agent(
        &mut self,
        agent: &mut Agents,
        identity: AgentIdentity,
    ) -> Result<bool, RemoteError> {
        let Some(client) = &mut agent.client else { return Ok(false) };
        let public = identity.public_key().into_owned();
        let hash = match self.rsa_hash(&public).await? {
            RsaHash::Use(hash) => hash,
            RsaHash::Refused => return Ok(false),
        };
        let user = self.hop.user.clone();
        let result = match identity {
            AgentIdentity::PublicKey { key, comment } => {
                self.tried.push(format!("{} (agent: {comment})", fingerprint(&public)));
                let offer = self.handle.authenticate_publickey_with(user, key, hash, client);
                tokio::time::timeout(AGENT_PATIENCE, offer).await
            }
            AgentIdentity::Certificate { certificate, comment } => {
                self.tried.push(format!("{} certificate (agent: {comment})", fingerprint(&public)));
                let offer = self.handle.authenticate_certificate_with(user, certificate, hash, client);
                tokio::time::timeout(AGENT_PATIENCE, offer).await
            }
        };
        match result {
            // An agent that will not sign says nothing about the next key.
            Ok(Err(error)) if !self.handle.is_closed() => {
                self.unused.push(format!("{}: agent: {error}", fingerprint(&public)));
                Ok(false)
            }
            result => self.settle(result.map(|r| r.map_err(|error| error.to_string()))),
        }
    }

    /// Whether that was it. A server that has hung up ends the search.
    fn settle(
        &mut self,
        result: Result<Result<AuthResult, String>, tokio::time::error::Elapsed>,
    ) -> Result<bool, RemoteError> {
        let lost = |reason: String| RemoteError::Connect { reason, hint: None };
        match result {
            Ok(Ok(AuthResult::Success)) => Ok(true),
            Ok(Ok(AuthResult::Failure { partial_success, .. })) => {
                self.partial = self.partial || partial_success;
                if self.handle.is_closed() { Err(self.failure()) } else { Ok(false) }
            }
            Ok(Err(reason)) => Err(lost(format!("{}: {reason}", self.hop.label()))),
            Err(_) => Err(lost(format!("{} does not answer to a login", self.hop.label()))),
        }
    }

    /// RSA keys sign with SHA-2 only: SHA-1 signatures can be forged.
    async fn rsa_hash(&mut self, key: &PublicKey) -> Result<RsaHash, RemoteError> {
        if !matches!(key.algorithm(), Algorithm::Rsa { .. }) {
            return Ok(RsaHash::Use(None));
        }
        match self.handle.best_supported_rsa_hash().await {
            Ok(Some(Some(hash))) => Ok(RsaHash::Use(Some(hash))),
            Ok(None) => Ok(RsaHash::Use(Some(HashAlg::Sha512))),
            Ok(Some(None)) => {
                self.unused.push(format!("{}: the server takes RSA only with SHA-1", fingerprint(key)));
                Ok(RsaHash::Refused)
            }
            Err(error) => Err(RemoteError::Connect { reason: error.to_string(), hint: None }),
        }
    }

    fn failure(&self) -> RemoteError {
        let mut reason = format!("{} refused every key", self.hop.label());
        if self.tried.is_empty() {
            reason = format!("there is no key to offer to {}", self.hop.label());
        } else {
            reason.push_str(&format!("; tried {}", self.tried.join(", ")));
        }
        if !self.unused.is_empty() {
            reason.push_str(&format!("; not used: {}", self.unused.join("; ")));
        }
        if self.partial {
            reason.push_str("; it wants a second factor, which keelwright cannot give");
        }
        let hint = if self.tried.len() > 4 {
            "the server may cut off after MaxAuthTries keys: name the right one in the inventory (ssh.keys)"
        } else {
            "put the right public key into ~/.ssh/authorized_keys of that user, or name another key or user in \
             the inventory (ssh.keys, ssh.user)"
        };
        RemoteError::Login { reason, hint: Some(hint.into()) }
    }
}

enum RsaHash {
    Use(Option<HashAlg>),
    Refused,
}
