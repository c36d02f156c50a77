//! Hosts and how they are reached.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use camino::Utf8PathBuf;

use super::bastion::{bastions, named_bastions};
use super::cluster::split_port;
use super::draft::DraftHost;
use super::reader::{Field, Table};
use super::scalar::quoted;
use crate::inventory::{Arch, Bastion, HostName, Role, Ssh, Sudo, Taint, TaintEffect};

/// `ssh` and `bastions` at the top of the file: what hosts have unless they say otherwise.
#[derive(Default)]
pub(super) struct SshDefaults {
    /// `bastions` at the top, by name.
    pub named: BTreeMap<String, Bastion>,
    user: Option<String>,
    port: Option<u16>,
    pub keys: Vec<Utf8PathBuf>,
    bastions: Vec<Bastion>,
    sudo: Option<Sudo>,
    host_keys: Vec<String>,
    pub host_cas: Vec<String>,
}

const SUDO: &[(&str, Sudo)] = &[("passwordless", Sudo::Passwordless), ("password", Sudo::Password)];
pub(super) const ROLES: &[(&str, Role)] =
    &[("control-plane", Role::ControlPlane), ("worker", Role::Worker), ("etcd", Role::Etcd)];
const EFFECTS: &[(&str, TaintEffect)] = &[
    ("NoSchedule", TaintEffect::NoSchedule),
    ("PreferNoSchedule", TaintEffect::PreferNoSchedule),
    ("NoExecute", TaintEffect::NoExecute),
];

/// What people write in `ssh`, and what it is called here.
pub(super) const SSH_MOVED: &[(&str, &str)] = &[
    ("identityFile", "key"),
    ("privateKey", "key"),
    ("keyPath", "key"),
    ("username", "user"),
    ("proxyJump", "bastion"),
    ("jump", "bastion"),
    ("bastions", "bastion"),
    ("password", "sudo: password, and keys or an agent to log in"),
    ("address", "host"),
];

/// Reads `ssh` and `bastions` of the top of the file.
pub(super) fn ssh_defaults(top: &Table<'_>) -> SshDefaults {
    let ssh = top.get("ssh").and_then(|field| field.table());
    let mut defaults = ssh.as_ref().map_or_else(SshDefaults::default, plain_defaults);
    if let Some(field) = top.get("bastions") {
        defaults.named = named_bastions(&field, &defaults);
    }
    if let Some(table) = ssh {
        if let Some(field) = table.get("bastion") {
            defaults.bastions = bastions(&field, &defaults.keys, &defaults);
        }
        table.moved(SSH_MOVED).finish();
    }
    defaults
}

fn plain_defaults(table: &Table<'_>) -> SshDefaults {
    SshDefaults {
        named: BTreeMap::new(),
        user: table.get("user").and_then(|field| user(&field)),
        port: table.get("port").and_then(|field| field.port()),
        keys: keys(table).unwrap_or_default(),
        bastions: Vec::new(),
        sudo: table.get("sudo").and_then(|field| field.word("way to become root", SUDO)),
        host_keys: host_keys(table, "hostKeys").unwrap_or_default(),
        host_cas: host_keys(table, "hostCAs").unwrap_or_default(),
    }
}

pub(super) fn hosts(field: &Field<'_>, defaults: &SshDefaults) -> Vec<DraftHost> {
    let items = field.items().unwrap_or_default();
    items.iter().map(|item| host(item, defaults)).collect()
}

fn host(field: &Field<'_>, defaults: &SshDefaults) -> DraftHost {
    let mut host = DraftHost {
        raw_name: String::new(),
        name: None,
        address: None,
        secondary_address: None,
        roles: BTreeSet::new(),
        arch: Arch::Amd64,
        ssh: ssh_of(defaults),
        labels: BTreeMap::new(),
        taints: Vec::new(),
    };
    let Some(table) = field.table() else { return host };
    if let Some(field) = table.require("name", "worker-1") {
        host.raw_name = field.raw().unwrap_or_default().to_owned();
        host.name = field.text().and_then(|text| match HostName::parse(text) {
            Ok(name) => Some(name),
            Err(error) => field.error(
                format!("not a node name: {error}"),
                "a host's name is its Kubernetes node name: lower-case letters, digits, `-` and `.`",
            ),
        });
    }
    host.address = table.require("address", "192.0.2.21").and_then(|field| field.address());
    host.secondary_address = table.get("secondaryAddress").and_then(|field| field.address());
    match table.get("roles") {
        Some(field) => host.roles = roles(&field),
        None => host.roles = [Role::Worker].into(),
    }
    if let Some(field) = table.get("arch") {
        host.arch = arch(&field).unwrap_or(host.arch);
    }
    if let Some(field) = table.get("ssh") {
        ssh(&field, defaults, &mut host.ssh);
    }
    if let Some(field) = table.get("labels") {
        host.labels = labels(&field);
    }
    if let Some(field) = table.get("taints") {
        host.taints = taints(&field);
    }
    table
        .moved(&[
            ("role", "roles"),
            ("ip", "address"),
            ("internalAddress", "address"),
            ("hostname", "name"),
            ("user", "ssh.user"),
            ("port", "ssh.port"),
        ])
        .finish();
    host
}

/// A map of free keys to texts, which may be empty.
pub(super) fn labels(field: &Field<'_>) -> BTreeMap<String, String> {
    let label = |(entry, field): &(&super::tree::Entry, Field<'_>)| {
        Some((entry.key.to_string(), field.text_or_empty()?.to_owned()))
    };
    field.entries().unwrap_or_default().iter().filter_map(label).collect()
}

fn roles(field: &Field<'_>) -> BTreeSet<Role> {
    let mut roles = BTreeSet::new();
    for item in field.items_or_one() {
        let help = match item.raw() {
            Some("master" | "controlplane" | "controller" | "server") => Some("control-plane"),
            Some("node" | "agent" | "minion") => Some("worker"),
            _ => None,
        };
        if let Some(name) = help {
            let got = quoted(item.raw().unwrap_or_default());
            item.error::<()>(format!("unknown role {got}"), format!("write `{name}`"));
            continue;
        }
        let Some(role) = item.word("role", ROLES) else { continue };
        if !roles.insert(role) {
            item.error::<()>("role given twice", "remove it");
        }
    }
    roles
}

pub(super) fn arch(field: &Field<'_>) -> Option<Arch> {
    match field.raw() {
        Some("x86_64" | "x86-64" | "x64") => {
            field.error("arch is named as in Kubernetes releases", "write amd64")
        }
        Some("aarch64" | "armv8") => field.error("arch is named as in Kubernetes releases", "write arm64"),
        _ => field.word("architecture", &[("amd64", Arch::Amd64), ("arm64", Arch::Arm64)]),
    }
}

pub(super) fn taints(field: &Field<'_>) -> Vec<Taint> {
    field.items().unwrap_or_default().iter().filter_map(taint).collect()
}

/// `{key, value, effect}`, or kubectl's `key=value:Effect`.
fn taint(field: &Field<'_>) -> Option<Taint> {
    if !field.is_map() {
        let text = field.text()?;
        let help = "write key=value:NoSchedule, or {key, value, effect}";
        let Some((rest, effect)) = text.rsplit_once(':') else {
            return field.error(format!("taint {} has no effect", quoted(text)), help);
        };
        let Some((_, effect)) = EFFECTS.iter().find(|(name, _)| *name == effect) else {
            let names = "NoSchedule, PreferNoSchedule, NoExecute";
            return field.error(format!("unknown effect {}; want one of {names}", quoted(effect)), help);
        };
        let (key, value) = match rest.split_once('=') {
            Some((key, value)) => (key, Some(value.to_owned())),
            None => (rest, None),
        };
        return Some(Taint { key: key.to_owned(), value, effect: *effect });
    }
    let table = field.table()?;
    let key = table.require("key", "dedicated").and_then(|field| Some(field.text()?.to_owned()));
    let value = table.get("value").and_then(|field| Some(field.text_or_empty()?.to_owned()));
    let effect = table.require("effect", "NoSchedule").and_then(|field| field.word("effect", EFFECTS));
    table.finish();
    Some(Taint { key: key?, value, effect: effect? })
}

/// What a host has that says nothing itself.
pub(super) fn ssh_of(defaults: &SshDefaults) -> Ssh {
    Ssh {
        host: String::new(),
        port: defaults.port,
        user: defaults.user.clone(),
        keys: defaults.keys.clone(),
        bastions: defaults.bastions.clone(),
        sudo: defaults.sudo.unwrap_or(Sudo::Passwordless),
        host_keys: defaults.host_keys.clone(),
        host_cas: defaults.host_cas.clone(),
    }
}

/// Lays a host's own `ssh` over the defaults; a list replaces the default list.
fn ssh(field: &Field<'_>, defaults: &SshDefaults, ssh: &mut Ssh) {
    let Some(table) = field.table() else { return };
    if let Some(host) = table.get("host").and_then(|field| remote_name(&field)) {
        ssh.host = host;
    }
    if let Some(port) = table.get("port").and_then(|field| field.port()) {
        ssh.port = Some(port);
    }
    if let Some(user) = table.get("user").and_then(|field| user(&field)) {
        ssh.user = Some(user);
    }
    if let Some(keys) = keys(&table) {
        ssh.keys = keys;
    }
    if let Some(sudo) = table.get("sudo").and_then(|field| field.word("way to become root", SUDO)) {
        ssh.sudo = sudo;
    }
    if let Some(keys) = host_keys(&table, "hostKeys") {
        ssh.host_keys = keys;
    }
    if let Some(keys) = host_keys(&table, "hostCAs") {
        ssh.host_cas = keys;
    }
    if let Some(field) = table.get("bastion") {
        ssh.bastions = bastions(&field, &ssh.keys, defaults);
    }
    table.moved(SSH_MOVED).finish();
}

/// `key` or `keys`; None when neither is given.
pub(super) fn keys(table: &Table<'_>) -> Option<Vec<Utf8PathBuf>> {
    let (one, many) = (table.get("key"), table.get("keys"));
    if let (Some(field), Some(_)) = (&one, &many) {
        field.error::<()>("`key` and `keys` are both given", "put all of them into `keys`");
    }
    match (one, many) {
        (_, Some(field)) => Some(field.items().unwrap_or_default().iter().filter_map(key_path).collect()),
        (Some(field), None) => Some(key_path(&field).into_iter().collect()),
        (None, None) => None,
    }
}

fn key_path(field: &Field<'_>) -> Option<Utf8PathBuf> {
    let text = field.text()?;
    if text.contains("PRIVATE KEY") {
        return field.error_at(
            field.node.position,
            "this is a private key, not the path of one",
            "keep the key in a file of mode 0600 and name the file here; treat this key as leaked",
        );
    }
    if text.ends_with(".pub") {
        return field.error("this is the public key", format!("write {}", text.trim_end_matches(".pub")));
    }
    field.local_path()
}

/// A login name: what useradd takes, and the `@`, `\` and `+` of directory accounts.
pub(super) fn user(field: &Field<'_>) -> Option<String> {
    let allowed = |c: char| c.is_alphanumeric() || matches!(c, '.' | '_' | '-' | '@' | '+' | '\\' | '$');
    checked(field, allowed, "a login name, such as admin")
}

/// A DNS name, an address or an alias of `~/.ssh/config`.
pub(super) fn remote_name(field: &Field<'_>) -> Option<String> {
    let text = field.text()?;
    if let Some((_, rest)) = text.split_once("://") {
        return field.error(format!("{} has a scheme", quoted(text)), format!("write {}", quoted(rest)));
    }
    if text.contains('@') {
        return field.error(format!("{} has a user", quoted(text)), "write the user to `user`");
    }
    if let Some((host, Some(port))) = split_port(text)
        && text.parse::<std::net::IpAddr>().is_err()
    {
        return field.error(
            format!("{} has a port", quoted(text)),
            format!("write `host: {host}` and `port: {port}`"),
        );
    }
    checked(field, is_host_character, "a name, an address or an alias of ~/.ssh/config")
}

pub(super) fn is_host_character(character: char) -> bool {
    character.is_alphanumeric() || matches!(character, '.' | '_' | '-' | ':' | '%')
}

fn checked(field: &Field<'_>, allowed: impl Fn(char) -> bool, want: &str) -> Option<String> {
    let text = field.text()?;
    let bad = text.chars().enumerate().find(|(index, c)| !allowed(*c) || (*index == 0 && *c == '-'));
    match bad {
        None => Some(text.to_owned()),
        Some((index, character)) => field.error(
            format!("{}: illegal character {character:?} at column {}", quoted(text), index + 1),
            format!("want {want}"),
        ),
    }
}

/// Public keys in the form `type base64 [comment]`; the comment is dropped.
pub(super) fn host_keys(table: &Table<'_>, name: &'static str) -> Option<Vec<String>> {
    let items = table.get(name)?.items()?;
    Some(items.iter().filter_map(host_key).collect())
}

/// Host key types that are neither broken nor for tokens.
const KEY_TYPES: &[&str] =
    &["ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521", "ssh-rsa"];

fn host_key(field: &Field<'_>) -> Option<String> {
    let text = field.text()?;
    let help = "write what `ssh-keyscan HOST` shows after the host, such as `ssh-ed25519 AAAA…`";
    let mut words = text.split_ascii_whitespace();
    let (Some(kind), Some(data)) = (words.next(), words.next()) else {
        return field.error(format!("{} is not a public key", quoted(text)), help);
    };
    if !KEY_TYPES.contains(&kind) {
        let message = format!("key type {} is not one of {}", quoted(kind), KEY_TYPES.join(", "));
        return field.error(message, help);
    }
    let Ok(blob) = base64::engine::general_purpose::STANDARD.decode(data) else {
        return field.error("the key is not base64", help);
    };
    // RFC 4253, 6.6: the blob begins with the length and the name of the type.
    let length = u32::try_from(kind.len()).unwrap_or(0).to_be_bytes();
    if !blob.strip_prefix(&length).is_some_and(|rest| rest.starts_with(kind.as_bytes())) {
        return field.error(format!("the key is not of the type {kind} that stands before it"), help);
    }
    Some(format!("{kind} {data}"))
}
