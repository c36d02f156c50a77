//! The hops before a host.

use std::collections::BTreeMap;

use camino::Utf8PathBuf;

use super::cluster::split_port;
use super::host::{SSH_MOVED, SshDefaults, host_keys, is_host_character, keys, remote_name, user};
use super::reader::{Field, Table};
use super::scalar::quoted;
use crate::inventory::Bastion;

/// One hop, several in a list, or ProxyJump's comma-separated ones; `[]` means no bastion.
pub(super) fn bastions(field: &Field<'_>, keys: &[Utf8PathBuf], defaults: &SshDefaults) -> Vec<Bastion> {
    let mut hops = Vec::new();
    for item in field.items_or_one() {
        if item.is_map() {
            hops.extend(bastion(&item, keys, &defaults.host_cas));
            continue;
        }
        let Some(text) = item.text() else { continue };
        for part in text.split(',').map(str::trim) {
            if let Some(hop) = defaults.named.get(part) {
                hops.push(hop.clone());
                continue;
            }
            let Some((user, host, port)) = jump(part) else {
                let help = "write user@host:port, of which user and port may be left out, or {host, user, port, key}";
                item.error::<()>(format!("{} is not a host to jump over", quoted(part)), help);
                continue;
            };
            hops.push(Bastion {
                host: host.to_owned(),
                port,
                user: user.map(str::to_owned),
                keys: keys.to_vec(),
                host_keys: Vec::new(),
                host_cas: defaults.host_cas.clone(),
            });
        }
    }
    hops
}

/// `[user@]host[:port]`
fn jump(text: &str) -> Option<(Option<&str>, &str, Option<u16>)> {
    let (user, rest) = match text.rsplit_once('@') {
        Some((user, rest)) => (Some(user), rest),
        None => (None, text),
    };
    let (host, port) = split_port(rest)?;
    let port = match port {
        Some(port) => Some(port.parse::<u16>().ok().filter(|port| *port > 0)?),
        None => None,
    };
    let fine = |text: &str, allowed: fn(char) -> bool| {
        !text.is_empty() && !text.starts_with('-') && text.chars().all(allowed)
    };
    let user_is_fine = user.is_none_or(|user| {
        fine(user, |c| c.is_alphanumeric() || matches!(c, '.' | '_' | '-' | '@' | '+' | '\\'))
    });
    (user_is_fine && fine(host, is_host_character)).then_some((user, host, port))
}

fn bastion(field: &Field<'_>, keys: &[Utf8PathBuf], host_cas: &[String]) -> Option<Bastion> {
    let table = field.table()?;
    let host = table.require("host", "jump.example.org").and_then(|field| remote_name(&field));
    let rest = login(&table, keys, host_cas);
    table.moved(SSH_MOVED).finish();
    Some(Bastion { host: host?, ..rest })
}

/// Everything but the host.
fn login(table: &Table<'_>, keys: &[Utf8PathBuf], host_cas: &[String]) -> Bastion {
    Bastion {
        host: String::new(),
        port: table.get("port").and_then(|field| field.port()),
        user: table.get("user").and_then(|field| user(&field)),
        keys: self::keys(table).unwrap_or_else(|| keys.to_vec()),
        host_keys: host_keys(table, "hostKeys").unwrap_or_default(),
        host_cas: host_keys(table, "hostCAs").unwrap_or_else(|| host_cas.to_vec()),
    }
}

/// `bastions` at the top of the file: `{name, address, ssh}`, which hosts then refer to by name.
pub(super) fn named_bastions(field: &Field<'_>, defaults: &SshDefaults) -> BTreeMap<String, Bastion> {
    let mut named = BTreeMap::new();
    for item in field.items().unwrap_or_default() {
        let Some(table) = item.table() else { continue };
        let name = table.require("name", "jump").and_then(|field| remote_name(&field));
        let address = table.get("address").and_then(|field| remote_name(&field));
        let mut hop = Bastion {
            host: String::new(),
            port: None,
            user: None,
            keys: defaults.keys.clone(),
            host_keys: Vec::new(),
            host_cas: defaults.host_cas.clone(),
        };
        if let Some(ssh) = table.get("ssh").and_then(|field| field.table()) {
            hop = login(&ssh, &defaults.keys, &defaults.host_cas);
            if let Some(host) = ssh.get("host").and_then(|field| remote_name(&field)) {
                hop.host = host;
            }
            ssh.moved(SSH_MOVED).finish();
        }
        table.finish();
        let Some(name) = name else { continue };
        if hop.host.is_empty() {
            hop.host = address.unwrap_or_else(|| name.clone());
        }
        if named.insert(name.clone(), hop).is_some() {
            item.error::<()>(format!("bastion {} is given twice", quoted(&name)), "keep one of them");
        }
    }
    named
}
