//! The way to a host: inventory and `~/.ssh/config` merged into hops, the host itself last. Pure.

use camino::Utf8PathBuf;
use russh::keys::PublicKey;

use super::config::{HostConfig, Jump, SshConfig, expand_path};
use super::environment::SshEnvironment;
use crate::exec::RemoteError;
use crate::inventory::{Bastion, Ssh};

/// ProxyJump hosts may have a ProxyJump themselves; more than this is a loop.
const MAX_HOPS: usize = 8;

/// One server on the way.
#[derive(Debug, Clone)]
pub(crate) struct Hop {
    /// As the operator calls it.
    pub name: String,
    pub address: String,
    pub port: u16,
    pub user: String,
    /// Key files to offer, in order.
    pub keys: Vec<Utf8PathBuf>,
    /// Whether somebody named the key files: a file that is missing then is worth a word.
    pub keys_named: bool,
    /// Whether the agent's other keys may be offered too.
    pub agent_keys: bool,
    pub pinned: Vec<PublicKey>,
    pub authorities: Vec<PublicKey>,
    /// Known-hosts files that stand in for the usual ones.
    pub known_hosts: Vec<Utf8PathBuf>,
    /// The name in known_hosts and certificates.
    pub key_name: String,
}

impl Hop {
    /// Tells servers apart: what leads to the same name under the same user is one connection.
    pub fn label(&self) -> String {
        format!("{}@{}:{}", self.user, self.address, self.port)
    }
}

/// Works out the hops for a host.
pub(crate) fn resolve_route(
    ssh: &Ssh,
    config: &SshConfig,
    environment: &SshEnvironment,
) -> Result<Vec<Hop>, RemoteError> {
    let own = config.lookup(&ssh.host);
    let target = Wanted {
        host: &ssh.host,
        port: ssh.port,
        user: ssh.user.as_deref(),
        keys: &ssh.keys,
        host_keys: &ssh.host_keys,
        host_cas: &ssh.host_cas,
    };
    let target = target.hop(&own, environment)?;
    let mut hops = Vec::new();
    if ssh.bastions.is_empty() {
        for jump in &own.proxy_jump {
            push_jump(&mut hops, jump, config, environment)?;
        }
    } else {
        for bastion in &ssh.bastions {
            hops.push(Wanted::of(bastion).hop(&config.lookup(&bastion.host), environment)?);
        }
    }
    hops.push(target);
    Ok(hops)
}

fn push_jump(
    hops: &mut Vec<Hop>,
    jump: &Jump,
    config: &SshConfig,
    environment: &SshEnvironment,
) -> Result<(), RemoteError> {
    let found = config.lookup(&jump.host);
    // The first hop's own ProxyJump leads to it; later hops are reached from the one before.
    if hops.is_empty() {
        for before in found.proxy_jump.iter().filter(|before| before.host != jump.host) {
            if chain_length(before, config, 0) > MAX_HOPS {
                return Err(RemoteError::Connect {
                    reason: format!("ProxyJump of {} never ends", jump.host),
                    hint: Some("look for hosts in ~/.ssh/config that jump through each other".into()),
                });
            }
            push_jump(hops, before, config, environment)?;
        }
    }
    let wanted = Wanted {
        host: &jump.host,
        port: jump.port,
        user: jump.user.as_deref(),
        keys: &[],
        host_keys: &[],
        host_cas: &[],
    };
    hops.push(wanted.hop(&found, environment)?);
    Ok(())
}

fn chain_length(jump: &Jump, config: &SshConfig, depth: usize) -> usize {
    match config.lookup(&jump.host).proxy_jump.first() {
        Some(next) if depth <= MAX_HOPS => chain_length(next, config, depth + 1),
        Some(_) | None => depth,
    }
}

/// What the inventory says about one server.
struct Wanted<'a> {
    host: &'a str,
    port: Option<u16>,
    user: Option<&'a str>,
    keys: &'a [Utf8PathBuf],
    host_keys: &'a [String],
    host_cas: &'a [String],
}

impl<'a> Wanted<'a> {
    fn of(bastion: &'a Bastion) -> Self {
        Wanted {
            host: &bastion.host,
            port: bastion.port,
            user: bastion.user.as_deref(),
            keys: &bastion.keys,
            host_keys: &bastion.host_keys,
            host_cas: &bastion.host_cas,
        }
    }

    fn hop(&self, found: &HostConfig, environment: &SshEnvironment) -> Result<Hop, RemoteError> {
        let address = found.host_name.clone().unwrap_or_else(|| self.host.to_owned());
        let user = self.user.map(str::to_owned).or_else(|| found.user.clone());
        let user = user.unwrap_or_else(|| environment.user.clone());
        let expand = |text: &str| expand_path(text, &environment.home, &environment.user, &address, &user);
        let from_config: Vec<Utf8PathBuf> = found.identity_files.iter().map(|file| expand(file)).collect();
        let named = !self.keys.is_empty() || !from_config.is_empty();
        let keys = if !self.keys.is_empty() {
            self.keys.iter().map(|file| expand(file.as_str())).collect()
        } else if named {
            from_config
        } else {
            let usual = ["id_ed25519", "id_ecdsa", "id_rsa"];
            usual.iter().map(|name| environment.home.join(".ssh").join(name)).collect()
        };
        Ok(Hop {
            name: self.host.to_owned(),
            port: self.port.or(found.port).unwrap_or(22),
            keys,
            keys_named: named,
            agent_keys: self.keys.is_empty() && !found.identities_only,
            pinned: public_keys(self.host, self.host_keys)?,
            authorities: public_keys(self.host, self.host_cas)?,
            known_hosts: found.known_hosts.iter().map(|file| expand(file)).collect(),
            key_name: found.host_key_alias.clone().unwrap_or_else(|| address.clone()),
            address,
            user,
        })
    }
}

fn public_keys(host: &str, texts: &[String]) -> Result<Vec<PublicKey>, RemoteError> {
    let parse = |text: &String| {
        PublicKey::from_openssh(text.trim()).map_err(|error| RemoteError::HostKey {
            reason: format!("{text:?}, which the inventory has for {host}, is no public key ({error})"),
            hint: Some("write the key as in the machine's /etc/ssh/ssh_host_ed25519_key.pub".into()),
        })
    };
    texts.iter().map(parse).collect()
}

#[cfg(test)]
#[path = "route_tests.rs"]
mod tests;
