//! The real adapters: machines over SSH, the API and etcd through tunnels of the same connections.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use camino::Utf8PathBuf;
use futures::future::BoxFuture;
use secrecy::ExposeSecret as _;

use super::operation::SshArgs;
use super::{CommandError, secret_prompt};
use crate::blueprint::api_server_port;
use crate::exec::ports::{Etcd, KubeApi, Remote, SecretSource as _};
use crate::inventory::{Host, HostName, Inventory, Role};
use crate::kube::client::API_SERVER_NAME;
use crate::kube::{AsyncReadWrite, CredentialSource, Credentials, Dialer, Endpoint, EtcdClient, KubeClient};
use crate::pki::{KeyId, SecretContent};
use crate::ssh::{SshEnvironment, SshRemote};
use crate::state::Vault;

/// What a run uses to touch the world.
pub struct Adapters {
    pub remote: Arc<dyn Remote>,
    pub kube: Arc<dyn KubeApi>,
    /// The same API, for what the port does not offer.
    pub client: kube::Client,
    pub etcd: Arc<dyn Etcd>,
}

/// Puts the adapters together; connects to nothing yet.
pub fn connect(
    inventory: &Inventory,
    dropped: &BTreeMap<HostName, Host>,
    vault: &Arc<Vault>,
    ssh: &SshArgs,
) -> Result<Adapters, CommandError> {
    let hosts = inventory.hosts.values().chain(dropped.values());
    let hosts: BTreeMap<_, _> = hosts.map(|host| (host.name.clone(), host.ssh.clone())).collect();
    let mut environment = SshEnvironment::new(home(), user());
    environment.agent = std::env::var("SSH_AUTH_SOCK").ok().map(Utf8PathBuf::from);
    environment.trust_on_first_use = ssh.ssh_trust_on_first_use;
    environment.prompt = Arc::new(secret_prompt::Operator::new(ssh.sudo_password_file.as_deref())?);
    environment.connect_timeout = Duration::from_secs(inventory.policy.timeouts.connect.into());
    let remote = SshRemote::new(&hosts, environment);
    let tunnels = Arc::new(Tunnels(remote.clone()));
    let port = api_server_port(inventory);
    // Those the inventory dropped come last: they still serve until they are removed.
    let api_servers = inventory
        .control_planes()
        .chain(dropped.values().filter(|host| host.is_control_plane()))
        .map(|host| Endpoint { host: host.name.clone(), port, server_name: API_SERVER_NAME.to_owned() })
        .collect();
    let is_etcd = |host: &&Host| host.is_control_plane() || host.roles.contains(&Role::Etcd);
    let members = inventory
        .etcd_hosts()
        .chain(dropped.values().filter(is_etcd))
        .map(|host| Endpoint { host: host.name.clone(), port: 2379, server_name: host.name.to_string() })
        .collect();
    let identity = |service| Arc::new(Identity { vault: Arc::clone(vault), service });
    let kube = KubeClient::new(tunnels.clone(), api_servers, identity(Service::Api));
    let etcd = EtcdClient::new(tunnels, members, identity(Service::Etcd));
    let client = kube.client();
    Ok(Adapters { remote: Arc::new(remote), kube: Arc::new(kube), client, etcd: Arc::new(etcd) })
}

/// Streams to a host's own loopback, where API server and etcd listen, over its SSH connection.
struct Tunnels(SshRemote);

impl Dialer for Tunnels {
    fn dial<'a>(
        &'a self,
        host: &'a HostName,
        port: u16,
    ) -> BoxFuture<'a, std::io::Result<Box<dyn AsyncReadWrite>>> {
        Box::pin(async move {
            let stream = self.0.open_stream(host, "127.0.0.1", port).await.map_err(std::io::Error::other)?;
            Ok(Box::new(stream) as Box<dyn AsyncReadWrite>)
        })
    }
}

enum Service {
    Api,
    Etcd,
}

/// Who we are to the cluster's servers, from the vault.
struct Identity {
    vault: Arc<Vault>,
    service: Service,
}

impl CredentialSource for Identity {
    fn credentials(&self, host: &HostName) -> Result<Credentials, String> {
        let (authority, key) = match self.service {
            Service::Api => (KeyId::ca(), KeyId::super_admin()),
            Service::Etcd => (KeyId::etcd_ca(), KeyId::of_host(host, "etcd/healthcheck-client")),
        };
        let bytes = |content| self.vault.resolve(&content).map_err(|error| error.to_string());
        let text = |key| {
            let bytes = bytes(SecretContent::Certificate { key })?;
            String::from_utf8(bytes.expose_secret().to_vec()).map_err(|error| error.to_string())
        };
        Ok(Credentials {
            authority: text(authority)?,
            certificate: text(key.clone())?,
            key: bytes(SecretContent::PrivateKey { key })?,
        })
    }
}

fn home() -> String {
    std::env::var("HOME").unwrap_or_else(|_| "/root".to_owned())
}

fn user() -> String {
    std::env::var("USER").or_else(|_| std::env::var("LOGNAME")).unwrap_or_else(|_| "root".to_owned())
}
