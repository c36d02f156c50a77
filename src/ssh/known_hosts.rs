//! known_hosts files: parsing and matching (sshd(8), "SSH_KNOWN_HOSTS FILE FORMAT"). Pure.
//!
//! russh's own helper knows neither wildcards, negation, nor the two markers, and stops at the
//! first damaged line, so this is ours.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use russh::keys::PublicKey;

use super::config_match::pattern_list;

/// The lines of all known_hosts files that could be read.
#[derive(Debug, Clone, Default)]
pub struct KnownHosts {
    entries: Vec<Entry>,
}

/// One line.
#[derive(Debug, Clone)]
pub struct Entry {
    pub marker: Option<Marker>,
    hosts: Hosts,
    pub key: PublicKey,
    /// File and line, for messages.
    pub place: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Marker {
    CertAuthority,
    Revoked,
}

#[derive(Debug, Clone)]
enum Hosts {
    Patterns(Vec<String>),
    /// `|1|salt|hash`: HMAC-SHA1 of the name.
    Hashed {
        salt: Vec<u8>,
        hash: Vec<u8>,
    },
}

impl KnownHosts {
    /// Adds a file's lines. What cannot be read (an unknown key type, damage) is skipped, as
    /// OpenSSH does: a line that is not understood trusts nobody.
    pub fn add(&mut self, text: &str, file: &str) {
        for (index, line) in text.lines().enumerate() {
            self.entries.extend(Entry::parse(line, format!("{file}:{}", index + 1)));
        }
    }

    /// Lines for a name: `host`, or `[host]:port` for a port other than 22.
    pub fn matching<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Entry> {
        let lower = name.to_lowercase();
        self.entries.iter().filter(move |entry| entry.hosts.matches(&lower))
    }
}

impl Entry {
    fn parse(line: &str, place: String) -> Option<Entry> {
        let line = line.trim();
        if line.starts_with('#') {
            return None;
        }
        let mut words = line.split_whitespace();
        let mut hosts = words.next()?;
        let marker = match hosts {
            "@cert-authority" => Some(Marker::CertAuthority),
            "@revoked" => Some(Marker::Revoked),
            other if other.starts_with('@') => return None,
            _ => None,
        };
        if marker.is_some() {
            hosts = words.next()?;
        }
        let (kind, blob) = (words.next()?, words.next()?);
        let key = PublicKey::from_openssh(&format!("{kind} {blob}")).ok()?;
        let hosts = match hosts.strip_prefix("|1|") {
            Some(hashed) => {
                let (salt, hash) = hashed.split_once('|')?;
                let decode = |text: &str| BASE64_STANDARD.decode(text).ok();
                Hosts::Hashed { salt: decode(salt)?, hash: decode(hash)? }
            }
            None => Hosts::Patterns(hosts.to_lowercase().split(',').map(str::to_owned).collect()),
        };
        Some(Entry { marker, hosts, key, place })
    }
}

impl Hosts {
    fn matches(&self, name: &str) -> bool {
        match self {
            Hosts::Patterns(patterns) => pattern_list(patterns.iter().map(String::as_str), name),
            Hosts::Hashed { salt, hash } => {
                let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, salt);
                hmac::verify(&key, name.as_bytes(), hash).is_ok()
            }
        }
    }
}

/// The name a host has in known_hosts.
pub fn known_name(host: &str, port: u16) -> String {
    if port == 22 { host.to_owned() } else { format!("[{host}]:{port}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ";

    fn known(text: &str) -> KnownHosts {
        let mut known = KnownHosts::default();
        known.add(text, "f");
        known
    }

    #[test]
    fn lines_match_by_name_pattern_port_and_hash() {
        let salt = b"01234567890123456789";
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, salt);
        let tag = hmac::sign(&key, b"[hashed.example.com]:2222");
        let (salt, hash) = (BASE64_STANDARD.encode(salt), BASE64_STANDARD.encode(tag.as_ref()));
        let known = known(&format!(
            "# comment\nweb,10.0.0.? {KEY} c\n*.example.com,!db.example.com {KEY}\n[web]:2222 {KEY}\n\
             |1|{salt}|{hash} {KEY}\n@revoked * {KEY}\nbroken line\nweb ssh-unknown AAAA\n"
        ));
        let places = |name: &str| -> Vec<String> {
            known.matching(name).filter(|e| e.marker.is_none()).map(|e| e.place.clone()).collect()
        };
        assert_eq!(places("WEB"), ["f:2"]);
        assert_eq!(places("10.0.0.7"), ["f:2"]);
        assert_eq!(places("a.example.com"), ["f:3"]);
        assert_eq!(places("db.example.com"), [""; 0]);
        assert_eq!(places(&known_name("web", 2222)), ["f:4"]);
        assert_eq!(places("[hashed.example.com]:2222"), ["f:5"]);
        assert_eq!(known.matching("any").filter(|e| e.marker == Some(Marker::Revoked)).count(), 1);
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in "(@|\\||1|=|AAAA|ssh-ed25519|[a-z*!,]| |\n){0,60}") {
            known(&text).matching("a").count();
        }
    }
}
