//! The real adapters: machines over SSH, the API and etcd through tunnels of the same connections.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use camino::Utf8PathBuf;

use super::CommandError;
use crate::exec::ports::{Etcd, KubeApi, Remote};
use crate::inventory::{Host, HostName, Inventory};
use crate::kube::interim::Interim;
use crate::ssh::{SshEnvironment, SshRemote};
use crate::state::Vault;

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
    environment.trust_on_first_use = trust_on_first_use;
    environment.connect_timeout = Duration::from_secs(inventory.policy.timeouts.connect.into());
    let remote = SshRemote::new(&hosts, environment);
    let control_planes = inventory.control_planes().map(|host| host.name.clone()).collect();
    let api = Arc::new(Interim::new(control_planes, remote.clone(), Arc::clone(vault)));
    Ok(Adapters { remote: Arc::new(remote), kube: api.clone(), etcd: api })
}

fn home() -> String {
    std::env::var("HOME").unwrap_or_else(|_| "/root".to_owned())
}

fn user() -> String {
    std::env::var("USER").or_else(|_| std::env::var("LOGNAME")).unwrap_or_else(|_| "root".to_owned())
}
