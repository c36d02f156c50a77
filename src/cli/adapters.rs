//! The real adapters: machines over SSH, the API and etcd through tunnels of the same connections.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use futures::future::BoxFuture;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;
use tokio::sync::OnceCell;

use super::CommandError;
use crate::blueprint::api_server_port;
use crate::exec::ports::{
    Etcd, EtcdMember, KubeApi, KubeError, Objects, PortError, Remote, SecretSource as _,
};
use crate::inventory::{Host, HostName, Inventory};
use crate::kube::{AsyncReadWrite, Credentials, Dialer, Endpoint, EtcdClient, KubeClient};
use crate::pki::{KeyId, SecretContent};
use crate::ssh::{Prompt, SshEnvironment, SshRemote};
use crate::state::Vault;

/// A call that fails in passing is repeated this long by the client itself; longer waits are steps.
const PATIENCE: Duration = Duration::from_secs(2);
const ETCD_CLIENT_PORT: u16 = 2379;

/// What a run uses to touch the world.
pub struct Adapters {
    pub remote: Arc<dyn Remote>,
    pub kube: Arc<dyn KubeApi>,
    pub etcd: Arc<dyn Etcd>,
}

/// Puts the adapters together; connects to nothing yet.
pub fn connect(
    inventory: &Inventory,
    dropped: &BTreeMap<HostName, Host>,
    vault: &Arc<Vault>,
    trust_on_first_use: bool,
) -> Result<Adapters, CommandError> {
    let hosts = inventory.hosts.values().chain(dropped.values());
    let hosts: BTreeMap<_, _> = hosts.map(|host| (host.name.clone(), host.ssh.clone())).collect();
    let mut environment = SshEnvironment::new(home(), user());
    environment.agent = std::env::var("SSH_AUTH_SOCK").ok().map(Utf8PathBuf::from);
    environment.prompt = Arc::new(Terminal);
    environment.trust_on_first_use = trust_on_first_use;
    environment.connect_timeout = Duration::from_secs(inventory.policy.timeouts.connect.into());
    let remote = SshRemote::new(&hosts, environment);
    let endpoint = |host: &Host, port, server_name: &str| Endpoint {
        host: host.name.clone(),
        port,
        server_name: server_name.to_owned(),
    };
    let api = inventory.control_planes();
    let api = api.map(|host| endpoint(host, api_server_port(inventory), "kubernetes")).collect();
    let etcd = inventory.etcd_hosts().chain(dropped.values().filter(|host| host.is_control_plane()));
    let etcd = etcd.map(|host| endpoint(host, ETCD_CLIENT_PORT, host.name.as_str())).collect();
    let clients = Arc::new(Clients {
        dialer: Arc::new(Tunnels(remote.clone())),
        vault: Arc::clone(vault),
        api,
        etcd,
        kube_client: OnceCell::new(),
        etcd_client: OnceCell::new(),
    });
    Ok(Adapters { remote: Arc::new(remote), kube: clients.clone(), etcd: clients })
}

fn home() -> String {
    std::env::var("HOME").unwrap_or_else(|_| "/root".to_owned())
}

fn user() -> String {
    std::env::var("USER").or_else(|_| std::env::var("LOGNAME")).unwrap_or_else(|_| "root".to_owned())
}

/// Asks on the operator's terminal, without echo.
struct Terminal;

impl Prompt for Terminal {
    fn passphrase(&self, key: &Utf8Path) -> Option<SecretString> {
        super::secret_prompt::ask(&format!("Passphrase of {key}: "))
    }

    fn sudo_password(&self, user: &str, host: &str) -> Option<SecretString> {
        super::secret_prompt::ask(&format!("Password of {user} on {host} for sudo: "))
    }
}

/// Streams to a host's own loopback, over the SSH connection that is there anyway.
struct Tunnels(SshRemote);

impl Dialer for Tunnels {
    fn dial<'a>(
        &'a self,
        host: &'a HostName,
        port: u16,
    ) -> BoxFuture<'a, io::Result<Box<dyn AsyncReadWrite>>> {
        Box::pin(async move {
            match self.0.open_stream(host, "127.0.0.1", port).await {
                Ok(stream) => Ok(Box::new(stream) as Box<dyn AsyncReadWrite>),
                Err(error) => Err(io::Error::other(error)),
            }
        })
    }
}

/// The API and etcd; made at the first call, because the keys they need may be made by the same run.
struct Clients {
    dialer: Arc<dyn Dialer>,
    vault: Arc<Vault>,
    api: Vec<Endpoint>,
    etcd: Vec<Endpoint>,
    kube_client: OnceCell<KubeClient>,
    etcd_client: OnceCell<EtcdClient>,
}

fn unusable(error: impl std::fmt::Display) -> KubeError {
    KubeError::Unreachable(error.to_string())
}

impl Clients {
    fn credentials(&self, ca: KeyId, key: &KeyId) -> Result<Credentials, KubeError> {
        let read = |content| -> Result<String, PortError> {
            let bytes = self.vault.resolve(&content)?;
            String::from_utf8(bytes.expose_secret().to_vec()).map_err(|error| PortError(error.to_string()))
        };
        let text = |content| read(content).map_err(unusable);
        Ok(Credentials {
            authority: text(SecretContent::Certificate { key: ca })?,
            certificate: text(SecretContent::Certificate { key: key.clone() })?,
            key: self.vault.resolve(&SecretContent::PrivateKey { key: key.clone() }).map_err(unusable)?,
        })
    }

    async fn kube(&self) -> Result<&KubeClient, KubeError> {
        let make = async || {
            let credentials = self.credentials(KeyId::ca(), &KeyId::super_admin())?;
            let client = KubeClient::new(Arc::clone(&self.dialer), self.api.clone(), &credentials);
            client.map(|client| client.patient(PATIENCE)).map_err(unusable)
        };
        self.kube_client.get_or_try_init(make).await
    }

    async fn etcd(&self) -> Result<&EtcdClient, KubeError> {
        let make = async || {
            let first = self.etcd.first().ok_or_else(|| unusable("there is no etcd host"))?;
            let key = KeyId::of_host(&first.host, "etcd/healthcheck-client");
            let credentials = self.credentials(KeyId::etcd_ca(), &key)?;
            EtcdClient::new(Arc::clone(&self.dialer), self.etcd.clone(), &credentials).map_err(unusable)
        };
        self.etcd_client.get_or_try_init(make).await
    }
}

impl KubeApi for Clients {
    fn ready<'a>(&'a self, host: &'a HostName) -> BoxFuture<'a, Result<(), KubeError>> {
        Box::pin(async move { self.kube().await?.ready(host).await })
    }

    fn fetch<'a>(&'a self, wanted: &'a [Value]) -> BoxFuture<'a, Result<Objects, KubeError>> {
        Box::pin(async move { self.kube().await?.fetch(wanted).await })
    }

    fn list<'a>(
        &'a self,
        api_version: &'a str,
        kind: &'a str,
    ) -> BoxFuture<'a, Result<Vec<Value>, KubeError>> {
        Box::pin(async move { self.kube().await?.list(api_version, kind).await })
    }

    fn apply<'a>(&'a self, object: &'a Value) -> BoxFuture<'a, Result<Value, KubeError>> {
        Box::pin(async move { self.kube().await?.apply(object).await })
    }

    fn patch<'a>(&'a self, object: &'a Value, patch: &'a Value) -> BoxFuture<'a, Result<(), KubeError>> {
        Box::pin(async move { self.kube().await?.patch(object, patch).await })
    }

    fn delete<'a>(&'a self, object: &'a Value) -> BoxFuture<'a, Result<(), KubeError>> {
        Box::pin(async move { self.kube().await?.delete(object).await })
    }

    fn evict<'a>(&'a self, namespace: &'a str, pod: &'a str) -> BoxFuture<'a, Result<(), KubeError>> {
        Box::pin(async move { self.kube().await?.evict(namespace, pod).await })
    }
}

impl Etcd for Clients {
    fn members<'a>(&'a self) -> BoxFuture<'a, Result<Vec<EtcdMember>, KubeError>> {
        Box::pin(async move { self.etcd().await?.members().await })
    }

    fn add_learner<'a>(&'a self, peer_url: &'a str) -> BoxFuture<'a, Result<Vec<EtcdMember>, KubeError>> {
        Box::pin(async move { self.etcd().await?.add_learner(peer_url).await })
    }

    fn promote<'a>(&'a self, id: u64) -> BoxFuture<'a, Result<(), KubeError>> {
        Box::pin(async move { self.etcd().await?.promote(id).await })
    }

    fn remove<'a>(&'a self, id: u64) -> BoxFuture<'a, Result<(), KubeError>> {
        Box::pin(async move { self.etcd().await?.remove(id).await })
    }
}
