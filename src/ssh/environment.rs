//! What the operator's side is like: files, the agent, prompts and time limits, as values.

use std::sync::Arc;
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use secrecy::SecretString;

/// Asks the operator. Called from a blocking thread, one call at a time.
pub trait Prompt: Send + Sync {
    /// The passphrase of a private key file; None: do without this key.
    fn passphrase(&self, key: &Utf8Path) -> Option<SecretString>;
    /// The password of `user` on `host` for sudo; None: give up.
    fn sudo_password(&self, user: &str, host: &str) -> Option<SecretString>;
}

/// Answers nothing: for runs that nobody watches.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoPrompt;

impl Prompt for NoPrompt {
    fn passphrase(&self, _key: &Utf8Path) -> Option<SecretString> {
        None
    }
    fn sudo_password(&self, _user: &str, _host: &str) -> Option<SecretString> {
        None
    }
}

/// The operator's side.
#[derive(Clone)]
pub struct SshEnvironment {
    pub home: Utf8PathBuf,
    /// The operator's own user name, used where neither inventory nor configuration has one.
    pub user: String,
    /// Configuration files in order of precedence; those that are missing are skipped.
    pub config_files: Vec<Utf8PathBuf>,
    /// Host key files; the first is where a first use is recorded.
    pub known_hosts: Vec<Utf8PathBuf>,
    /// The socket of ssh-agent.
    pub agent: Option<Utf8PathBuf>,
    pub prompt: Arc<dyn Prompt>,
    /// Accept and record a host that is in no list. Off unless the operator asked for it: whoever
    /// sits between is trusted from then on.
    pub trust_on_first_use: bool,
    /// For TCP, for the handshake, and for one login attempt, each.
    pub connect_timeout: Duration,
    /// Silence after which a keepalive is sent; three without an answer end the connection.
    pub keepalive: Duration,
    /// How long a host may be out of reach while a stage runs on it. A reboot fits in it.
    pub lost_after: Duration,
    /// How long a dead bastion is not tried again.
    pub bastion_rest: Duration,
}

impl SshEnvironment {
    /// The usual places under a home directory, no agent and no prompts.
    pub fn new(home: impl Into<Utf8PathBuf>, user: impl Into<String>) -> Self {
        let home = home.into();
        SshEnvironment {
            config_files: vec![home.join(".ssh/config"), "/etc/ssh/ssh_config".into()],
            known_hosts: vec![
                home.join(".ssh/known_hosts"),
                home.join(".ssh/known_hosts2"),
                "/etc/ssh/ssh_known_hosts".into(),
            ],
            home,
            user: user.into(),
            agent: None,
            prompt: Arc::new(NoPrompt),
            trust_on_first_use: false,
            connect_timeout: Duration::from_secs(10),
            keepalive: Duration::from_secs(15),
            lost_after: Duration::from_secs(300),
            bastion_rest: Duration::from_secs(30),
        }
    }
}
