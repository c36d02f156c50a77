//! The port `Remote` over SSH: probe, run, upload; and streams to what a host can reach.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use camino::Utf8Path;
use futures::future::BoxFuture;
use secrecy::SecretString;
use tokio::time::{sleep, timeout};

use super::channel::{Become, ExecError, RootExec, run_as_root};
use super::config::SshConfig;
use super::config_files::read_config;
use super::environment::SshEnvironment;
use super::forward::{Forward, RemoteStream, open_forward};
use super::keys::KeyRing;
use super::pool::{Outage, Pool, Slot};
use super::route::{Hop, resolve_route};
use super::run::run_stage;
use super::session::{Connection, Shared};
use super::trust::TrustStore;
use super::upload::Upload;
use crate::exec::{HostScript, Layout, Remote, RemoteError, StageResult};
use crate::inventory::HostName;
use crate::inventory::{Ssh, Sudo};

/// Pauses between attempts to reach a host again: short at first, for a flap.
pub(crate) const BACKOFF: [Duration; 5] = [
    Duration::from_millis(100),
    Duration::from_millis(400),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(5),
];

/// Machines reached over SSH. Clones share their connections.
#[derive(Clone)]
pub struct SshRemote {
    inner: Arc<Inner>,
}

struct Inner {
    hosts: BTreeMap<HostName, Machine>,
    pool: Pool,
    /// By user: a password is asked for once.
    passwords: tokio::sync::Mutex<BTreeMap<String, Option<SecretString>>>,
    notes: Vec<String>,
}

pub(crate) struct Machine {
    route: Result<Vec<Arc<Hop>>, RemoteError>,
    sudo: Sudo,
    pub layout: Layout,
    slot: Slot,
}

impl SshRemote {
    /// Works out the way to each host; connects to none. Reads the configuration files.
    pub fn new(hosts: &BTreeMap<HostName, Ssh>, environment: SshEnvironment) -> SshRemote {
        let layouts = |_: &HostName| Layout::default();
        SshRemote::with_layouts(hosts, environment, &layouts)
    }

    /// The same, with other directories on the hosts: several can then share one machine.
    pub fn with_layouts(
        hosts: &BTreeMap<HostName, Ssh>,
        environment: SshEnvironment,
        layouts: &dyn Fn(&HostName) -> Layout,
    ) -> SshRemote {
        let config = read_config(&environment);
        let machine = |(name, ssh): (&HostName, &Ssh)| {
            let route = resolve_route(ssh, &config, &environment);
            let route = route.map(|hops| hops.into_iter().map(Arc::new).collect());
            let machine = Machine { route, sudo: ssh.sudo, layout: layouts(name), slot: Slot::default() };
            (name.clone(), machine)
        };
        let hosts = hosts.iter().map(machine).collect();
        let trust = Arc::new(TrustStore::new(&environment));
        let keys = KeyRing::new(environment.prompt.clone());
        let pool = Pool::new(Shared { environment, trust, keys });
        let SshConfig { notes, .. } = config;
        SshRemote { inner: Arc::new(Inner { hosts, pool, passwords: tokio::sync::Mutex::default(), notes }) }
    }

    /// Bastions that are down, each with the hosts that were not tried for it.
    pub fn outages(&self) -> Vec<Outage> {
        self.inner.pool.outages()
    }

    /// What was not used of `~/.ssh/config`.
    pub fn notes(&self) -> &[String] {
        &self.inner.notes
    }

    /// A byte stream to an address as the host sees it.
    pub async fn open_stream(
        &self,
        host: &HostName,
        address: &str,
        port: u16,
    ) -> Result<RemoteStream, RemoteError> {
        let machine = self.machine(host)?;
        let connection = self.connection(host, machine).await?;
        let patience = self.environment().connect_timeout;
        let channel = timeout(patience, connection.direct(address, port)).await;
        let channel = channel.map_err(|_| RemoteError::Connect {
            reason: format!("{address}:{port} did not answer through {host}"),
            hint: None,
        })??;
        Ok(RemoteStream::new(channel.into_stream(), connection))
    }

    /// A port on 127.0.0.1 that leads to an address as the host sees it, until dropped.
    pub async fn forward(&self, host: &HostName, address: &str, port: u16) -> Result<Forward, RemoteError> {
        self.machine(host)?;
        open_forward(self.clone(), host.clone(), address.to_owned(), port).await
    }

    pub(crate) fn environment(&self) -> &SshEnvironment {
        &self.inner.pool.shared.environment
    }

    pub(crate) fn machine(&self, host: &HostName) -> Result<&Machine, RemoteError> {
        self.inner.hosts.get(host).ok_or_else(|| RemoteError::Connect {
            reason: format!("{host} is not in the inventory"),
            hint: None,
        })
    }

    async fn connection(&self, host: &HostName, machine: &Machine) -> Result<Arc<Connection>, RemoteError> {
        let route = machine.route.as_ref().map_err(Clone::clone)?;
        self.inner.pool.connect(host, &machine.slot, route).await
    }

    /// How to become root with the user that is logged in.
    async fn how(&self, machine: &Machine, connection: &Connection) -> Result<Become, RemoteError> {
        if connection.user == "root" {
            return Ok(Become::Already);
        }
        match machine.sudo {
            Sudo::Passwordless => Ok(Become::Sudo),
            Sudo::Password => {
                let mut passwords = self.inner.passwords.lock().await;
                let user = connection.user.clone();
                let known = match passwords.get(&user) {
                    Some(known) => known.clone(),
                    None => {
                        let prompt = self.environment().prompt.clone();
                        let (asked, label) = (user.clone(), connection.label.clone());
                        let ask = move || prompt.sudo_password(&asked, &label);
                        let given = tokio::task::spawn_blocking(ask).await.unwrap_or(None);
                        passwords.insert(user.clone(), given.clone());
                        given
                    }
                };
                known.map(Become::SudoPassword).ok_or_else(|| RemoteError::Privilege {
                    reason: format!("sudo needs a password for {}, and none was given", connection.label),
                    hint: None,
                })
            }
        }
    }

    /// A command as root over the host's connection.
    pub(crate) async fn start(&self, host: &HostName, text: &str) -> Result<RootExec, ExecError> {
        let machine = self.machine(host)?;
        let connection = self.connection(host, machine).await?;
        let how = self.how(machine, &connection).await?;
        run_as_root(&connection, &how, text).await
    }

    async fn probe_once(&self, host: &HostName, script: &str, stdin: &[u8]) -> Result<Vec<u8>, ExecError> {
        let mut exec = self.start(host, script).await?;
        let output = exec.exchange(Bytes::copy_from_slice(stdin)).await?;
        match exec.output.status {
            Some(0) => Ok(output),
            status => Err(ExecError::Fatal(RemoteError::Transfer {
                name: "probe".into(),
                reason: format!(
                    "it ended with status {}: {}",
                    status.unwrap_or(255),
                    exec.output.complaint()
                ),
            })),
        }
    }

    /// Read-only, so it may be asked again; once, as a cached connection may have been dead.
    async fn probe_retried(
        &self,
        host: &HostName,
        script: &str,
        stdin: &[u8],
    ) -> Result<Vec<u8>, RemoteError> {
        match self.probe_once(host, script, stdin).await {
            Ok(output) => return Ok(output),
            Err(ExecError::Fatal(error)) => return Err(error),
            Err(ExecError::Lost(_)) => {}
        }
        self.probe_once(host, script, stdin).await.map_err(|error| match error {
            ExecError::Fatal(error) => error,
            ExecError::Lost(reason) => RemoteError::Lost { reason },
        })
    }

    async fn upload_retried(&self, host: &HostName, upload: Upload<'_>) -> Result<(), RemoteError> {
        let mut pauses = BACKOFF.into_iter();
        loop {
            let machine = self.machine(host)?;
            let attempt = async {
                let connection = self.connection(host, machine).await?;
                let how = self.how(machine, &connection).await?;
                upload.send(&connection, &how).await
            };
            match (attempt.await, pauses.next()) {
                (Ok(()), _) => return Ok(()),
                (Err(ExecError::Fatal(error)), _) => return Err(error),
                (Err(ExecError::Lost(_)), Some(pause)) => sleep(pause).await,
                (Err(ExecError::Lost(reason)), None) => return Err(RemoteError::Lost { reason }),
            }
        }
    }
}

impl Remote for SshRemote {
    fn probe<'a>(
        &'a self,
        host: &'a HostName,
        script: &'a str,
        stdin: &'a [u8],
    ) -> BoxFuture<'a, Result<Vec<u8>, RemoteError>> {
        Box::pin(self.probe_retried(host, script, stdin))
    }

    fn run<'a>(
        &'a self,
        host: &'a HostName,
        script: &'a HostScript,
    ) -> BoxFuture<'a, Result<StageResult, RemoteError>> {
        Box::pin(run_stage(self, host, script))
    }

    fn upload<'a>(
        &'a self,
        host: &'a HostName,
        source: &'a Utf8Path,
        sha256: &'a str,
        progress: &'a (dyn Fn(u64) + Send + Sync),
    ) -> BoxFuture<'a, Result<(), RemoteError>> {
        Box::pin(async move {
            let layout = &self.machine(host)?.layout;
            self.upload_retried(host, Upload { source, sha256, layout, progress }).await
        })
    }
}
