//! `probes`: what HTTP and TLS take for a host, a server's name and a path.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::{names, top};
use crate::inventory::check::Rules;
use crate::inventory::parse::cluster::split_port;
use crate::inventory::parse::migration::draft::DraftMigration;
use crate::inventory::parse::path::Path;
use crate::inventory::parse::scalar::quoted;
use crate::inventory::{Probe, ProbeKind};

/// Seconds. One that is asked for a minute has failed for every client.
const TIMEOUT_LIMIT: u32 = 60;
const PATH_LIMIT: usize = 2048;

/// Fields that only some types have, and which.
const FIELDS: [(&str, &str); 4] = [
    ("path", "http and https"),
    ("host", "http and https"),
    ("statuses", "http and https"),
    ("serverName", "tls and https"),
];

impl Rules<'_, DraftMigration> {
    pub(super) fn probes(&self) {
        if self.is_empty_list("probes", self.draft.probes.len()) {
            let message = "no probes; need at least one that tells whether green is well";
            self.error(&top("probes"), message, "add `- {name: page}`: https, port 443, path /");
        }
        let mut first: BTreeMap<&str, usize> = BTreeMap::new();
        for (index, probe) in self.draft.probes.iter().enumerate() {
            let Some(probe) = probe else { continue };
            let path = top("probes").index(index);
            if let Some(earlier) = first.insert(&probe.name, index) {
                let other = top("probes").index(earlier).key("name");
                let lines = self.lines(&other, &path.key("name"));
                let message = format!("two probes are called `{}` ({lines})", probe.name);
                self.error(&path.key("name"), message, "each needs a name of its own: reports say it");
            }
            self.probe(&path, probe);
        }
    }

    fn probe(&self, path: &Path, probe: &Probe) {
        if probe.timeout > TIMEOUT_LIMIT {
            let message =
                format!("{} s is longer than the 60 s after which a probe has failed", probe.timeout);
            self.error(&path.key("timeout"), message, "for example 5s");
        }
        match &probe.kind {
            ProbeKind::Tcp => self.not_for("tcp", path, &["path", "host", "statuses", "serverName"]),
            ProbeKind::Tls { server_name } => {
                self.not_for("tls", path, &["path", "host", "statuses"]);
                self.server_name(path, server_name);
            }
            ProbeKind::Http { path: page, host, server_name, .. } => {
                if let Err((message, help)) = page_path(page) {
                    self.error(&path.key("path"), message, help);
                }
                let wrong_host = self.root.has(&path.key("host")).then(|| host_header(host).err()).flatten();
                if let Some(reason) = &wrong_host {
                    let message = format!("{} is not a Host header: {reason}", quoted(host));
                    self.error(&path.key("host"), message, "for example shop.example.org");
                }
                match server_name {
                    None => self.not_for("http", path, &["serverName"]),
                    // It is the host's, of which enough has been said.
                    Some(_) if wrong_host.is_some() && !self.root.has(&path.key("serverName")) => {}
                    Some(name) => self.server_name(path, name),
                }
            }
        }
    }

    fn not_for(&self, wanted: &str, path: &Path, keys: &[&str]) {
        for (key, types) in FIELDS.into_iter().filter(|(key, _)| keys.contains(key)) {
            if self.root.has(&path.key(key)) {
                let message = format!("`{key}` is for {types}, and this probe is of type {wanted}");
                self.error(&path.key(key), message, "remove it, or choose another type");
            }
        }
    }

    /// A certificate's name; what comes from `names` has been judged there.
    fn server_name(&self, path: &Path, name: &str) {
        let is_given = self.root.has(&path.key("serverName")) || self.root.has(&path.key("host"));
        if !is_given {
            return;
        }
        let is_address = name.parse::<IpAddr>().is_ok();
        if is_address {
            let message = format!("{name} is an address, and a certificate is asked for by a name");
            let help = "write `serverName: shop.example.org`: the name that clients use";
            self.error(&path.key("serverName"), message, help);
        } else if let Err((message, help)) = names::dns_name(name, "shop.example.org") {
            self.error(&path.key("serverName"), message, help);
        }
    }
}

/// A name or an address, perhaps with a port.
fn host_header(text: &str) -> Result<(), String> {
    let Some((host, port)) = split_port(text) else { return Err("it has no name".to_owned()) };
    if let Some(port) = port
        && !port.parse::<u16>().is_ok_and(|number| number > 0 && number.to_string() == port)
    {
        return Err(format!("{} is not a port", quoted(port)));
    }
    match host.parse::<IpAddr>() {
        Ok(IpAddr::V6(_)) if !text.starts_with('[') => Err("an IPv6 address is in brackets".to_owned()),
        Ok(_) => Ok(()),
        Err(_) => crate::inventory::check::syntax::dns_subdomain(host),
    }
}

/// What stands behind the method in a request's first line (RFC 9112, 3.2.1): no blank, nothing that is not visible, and
/// no fragment, which is never sent.
fn page_path(text: &str) -> Result<(), (String, String)> {
    let example = "for example /healthz".to_owned();
    if !text.starts_with('/') {
        return Err((format!("{} does not begin with `/`", quoted(text)), example));
    }
    if text.len() > PATH_LIMIT {
        return Err((format!("has {} characters; at most {PATH_LIMIT} are allowed", text.len()), example));
    }
    let is_fine = |c: char| c.is_ascii_alphanumeric() || "-._~!$&'()*+,;=:@/?%".contains(c);
    if let Some((index, bad)) = text.chars().enumerate().find(|(_, c)| !is_fine(*c)) {
        let message = format!("{}: illegal character {bad:?} at column {}", quoted(text), index + 1);
        return Err((message, "percent-encode it".to_owned()));
    }
    let escapes = text.split('%').skip(1);
    let is_escape = |rest: &str| rest.get(..2).is_some_and(|two| two.bytes().all(|b| b.is_ascii_hexdigit()));
    if escapes.into_iter().any(|rest| !is_escape(rest)) {
        let message = format!("{}: a `%` is not followed by two hexadecimal digits", quoted(text));
        return Err((message, "write %25 for a `%`".to_owned()));
    }
    Ok(())
}
