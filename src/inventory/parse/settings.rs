//! Components, storage, delivery and policy: fields with defaults that stand for themselves.

use std::collections::BTreeMap;

use camino::Utf8PathBuf;

use super::draft::Draft;
use super::reader::Field;
use super::scalar::{Plain, quoted};
use crate::inventory::*;
use crate::release::addons::own_manifest;

pub(super) fn default_etcd() -> Etcd {
    Etcd {
        placement: EtcdPlacement::Stacked,
        extra_args: Vec::new(),
        data_dir: Utf8PathBuf::from("/var/lib/etcd"),
    }
}

pub(super) fn etcd(field: &Field<'_>, draft: &mut Draft) {
    let Some(table) = field.table() else { return };
    let placements = [("stacked", EtcdPlacement::Stacked), ("dedicated", EtcdPlacement::Dedicated)];
    draft.etcd_placement = table.get("placement").and_then(|field| field.word("placement", &placements));
    if let Some(field) = table.get("extraArgs") {
        draft.etcd.extra_args = field.extra_args();
    }
    if let Some(text) = table.get("dataDir").and_then(|field| Some(field.text()?.to_owned())) {
        draft.etcd.data_dir = Utf8PathBuf::from(text);
    }
    if let Some(allow) = table.get("allowEvenMembers").and_then(|field| field.boolean()) {
        draft.allow_even_members = allow;
    }
    table.finish();
}

pub(super) fn kubelet(field: &Field<'_>) -> Kubelet {
    let Some(table) = field.table() else { return Kubelet::default() };
    let kubelet = Kubelet {
        config: table.get("config").map(|field| field.settings()).unwrap_or_default(),
        extra_args: table.get("extraArgs").map(|field| field.extra_args()).unwrap_or_default(),
    };
    table.finish();
    kubelet
}

pub(super) fn kube_proxy(field: Option<Field<'_>>) -> KubeProxy {
    let mut proxy = KubeProxy { enabled: true, config: BTreeMap::new() };
    let Some(table) = field.and_then(|field| field.table()) else { return proxy };
    if let Some(enabled) = table.get("enabled").and_then(|field| field.boolean()) {
        proxy.enabled = enabled;
    }
    if let Some(field) = table.get("config") {
        proxy.config = field.settings();
    }
    table.finish();
    proxy
}

pub(super) fn containerd(field: &Field<'_>) -> Containerd {
    let mut containerd = Containerd::default();
    let Some(table) = field.table() else { return containerd };
    if let Some(restrict) = table.get("restrictOomScoreAdj").and_then(|field| field.boolean()) {
        containerd.restrict_oom_score_adj = restrict;
    }
    if let Some(field) = table.get("registryMirrors") {
        for (entry, field) in field.entries().unwrap_or_default() {
            let urls = field.items_or_one().iter().filter_map(url).collect();
            containerd.registry_mirrors.insert(entry.key.to_string(), urls);
        }
    }
    table.finish();
    containerd
}

pub(super) fn pki(field: Option<Field<'_>>) -> Pki {
    let mut pki = Pki { algorithm: KeyAlgorithm::EcdsaP256, external_ca: false, bring_your_own: None };
    let Some(table) = field.and_then(|field| field.table()) else { return pki };
    let algorithms = [("ECDSA-P256", KeyAlgorithm::EcdsaP256), ("RSA-2048", KeyAlgorithm::Rsa2048)];
    if let Some(algorithm) = table.get("algorithm").and_then(|field| field.word("key algorithm", &algorithms))
    {
        pki.algorithm = algorithm;
    }
    if let Some(external) = table.get("externalCA").and_then(|field| field.boolean()) {
        pki.external_ca = external;
    }
    pki.bring_your_own = table.get("bringYourOwn").and_then(|field| field.local_path());
    table.finish();
    pki
}

pub(super) fn security(field: Option<Field<'_>>) -> Security {
    let mut security = Security { encryption_at_rest: true, audit: true, cis: true };
    let Some(table) = field.and_then(|field| field.table()) else { return security };
    for (key, value) in [
        ("encryptionAtRest", &mut security.encryption_at_rest),
        ("audit", &mut security.audit),
        ("cis", &mut security.cis),
    ] {
        if let Some(wanted) = table.get(key).and_then(|field| field.boolean()) {
            *value = wanted;
        }
    }
    table.finish();
    security
}

pub(super) fn addons(field: &Field<'_>) -> Vec<Addon> {
    let mut addons = Vec::new();
    for item in field.items().unwrap_or_default() {
        let Some(table) = item.table() else { continue };
        let name = table.require("name", "metrics-server").and_then(|field| Some(field.text()?.to_owned()));
        let is_ours = name.as_deref().is_some_and(|name| own_manifest(name).is_some());
        let source = match table.get("source") {
            None if is_ours => Some(None),
            _ => table
                .require("source", "addons/metrics-server.yaml")
                .and_then(|field| source(&field))
                .map(Some),
        };
        let sha256 = table.get("sha256").and_then(|field| sha256(&field));
        table.finish();
        if let (Some(name), Some(source)) = (name, source) {
            addons.push(Addon { name, source, sha256 });
        }
    }
    addons
}

/// A manifest: an https URL, or a path of the operator's machine.
pub(super) fn source(field: &Field<'_>) -> Option<String> {
    let text = field.text()?;
    match text.split_once("://") {
        None => Some(field.local_path()?.into_string()),
        Some(("https", _)) => url(field),
        Some((scheme, rest)) => field.error(
            format!("a manifest comes by https or from a file; got {}", quoted(scheme)),
            format!("write {}", quoted(&format!("https://{rest}"))),
        ),
    }
}

/// An http or https URL with a host and without credentials, white space or quotes.
pub(super) fn url(field: &Field<'_>) -> Option<String> {
    let text = field.text()?;
    let example = "for example https://mirror.example.org/path";
    let Some(rest) = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")) else {
        return field.error(format!("{} is not an http or https URL", quoted(text)), example);
    };
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-._~:/?#[]@!&()*+,;=%".contains(c);
    if let Some((index, bad)) = text.chars().enumerate().find(|(_, c)| !allowed(*c)) {
        let message = format!("{}: illegal character {bad:?} at column {}", quoted(text), index + 1);
        return field.error(message, "percent-encode it");
    }
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.contains('@') {
        return field.error("the URL has credentials", "an inventory is no place for secrets; remove them");
    }
    let named = super::cluster::split_port(authority).is_some_and(|(host, port)| {
        !host.is_empty() && port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0))
    });
    if !named {
        return field.error(format!("{} has no host, or a wrong port", quoted(text)), example);
    }
    Some(text.trim_end_matches('/').to_owned())
}

pub(super) fn sha256(field: &Field<'_>) -> Option<String> {
    // Sixty-four digits without a letter would be a number to YAML; rare, and worth a clear word.
    if field.plain().is_some_and(|plain| plain != Plain::Text) {
        let help = "write the checksum in quotes";
        return field.error(format!("want a quoted string; got {}", field.got()), help);
    }
    let text = field.text()?;
    if text.len() == 64 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)) {
        return Some(text.to_owned());
    }
    let help = match text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit()) {
        true => "write it in lower case",
        false => "write what `sha256sum FILE` shows: 64 hexadecimal digits",
    };
    field.error(format!("{} is not a SHA-256 checksum", quoted(text)), help)
}

/// Whether a text is a release's tag: digits and dots after an optional `v`, then perhaps a suffix.
pub(super) fn is_release_tag(text: &str) -> bool {
    let numbers = text.strip_prefix('v').unwrap_or(text);
    let (numbers, suffix) = match numbers.split_once('-') {
        Some((numbers, suffix)) => (numbers, Some(suffix)),
        None => (numbers, None),
    };
    let part = |part: &str| !part.is_empty() && part.len() < 10 && part.bytes().all(|b| b.is_ascii_digit());
    numbers.split('.').count() == 3
        && numbers.split('.').all(part)
        && suffix.is_none_or(|s| {
            !s.is_empty() && s.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'.' || b == b'-')
        })
}

pub(super) fn policy(field: Option<Field<'_>>) -> Policy {
    let mut policy = Policy {
        parallelism: 64,
        max_unavailable: CountOrShare::Count(1),
        upgrade: UpgradePolicy::default(),
        timeouts: Timeouts { connect: 10, stage: 600, api_ready: 300, node_ready: 300, drain: 600 },
    };
    let Some(table) = field.and_then(|field| field.table()) else { return policy };
    let parallelism = table.get("parallelism").and_then(|field| field.integer("a number of hosts", 1..=1024));
    if let Some(parallelism) = parallelism.and_then(|value| u32::try_from(value).ok()) {
        policy.parallelism = parallelism;
    }
    if let Some(value) = table.get("maxUnavailable").and_then(|field| field.count_or_share()) {
        policy.max_unavailable = value;
    }
    if let Some(field) = table.get("upgrade") {
        policy.upgrade = super::upgrade::upgrade(&field);
    }
    if let Some(timeouts) = table.get("timeouts").and_then(|field| field.table()) {
        for (key, value) in [
            ("connect", &mut policy.timeouts.connect),
            ("stage", &mut policy.timeouts.stage),
            ("apiReady", &mut policy.timeouts.api_ready),
            ("nodeReady", &mut policy.timeouts.node_ready),
            ("drain", &mut policy.timeouts.drain),
        ] {
            if let Some(seconds) = timeouts.get(key).and_then(|field| field.duration()) {
                *value = seconds;
            }
        }
        timeouts.finish();
    }
    table.finish();
    policy
}
