//! The part of `~/.ssh/config` that decides how a host is reached. Pure: `Include` asks a closure.
//!
//! Understood: Host (wildcards, negation), Include, HostName, User, Port, IdentityFile,
//! IdentitiesOnly, ProxyJump, UserKnownHostsFile, HostKeyAlias. As in OpenSSH the first value found
//! counts, except that identity files add up. `Match` blocks are skipped, other options ignored.

use camino::{Utf8Path, Utf8PathBuf};

use super::config_match::pattern_list;

/// How deep files may include one another; OpenSSH's own bound.
const MAX_INCLUDES: usize = 16;

/// Parsed configuration: options under the patterns they hold for, in file order.
#[derive(Debug, Clone, Default)]
pub struct SshConfig {
    blocks: Vec<Block>,
    /// What was left out and might have mattered, for the operator.
    pub notes: Vec<String>,
}

#[derive(Debug, Clone)]
struct Block {
    /// One list per enclosing Host line: an included file holds only where its Include stands.
    patterns: Vec<Vec<String>>,
    options: Vec<(String, String)>,
}

/// What the configuration says about one host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HostConfig {
    pub host_name: Option<String>,
    pub user: Option<String>,
    pub port: Option<u16>,
    pub identity_files: Vec<String>,
    pub identities_only: bool,
    /// First hop first; empty also for `none`.
    pub proxy_jump: Vec<Jump>,
    pub known_hosts: Vec<String>,
    pub host_key_alias: Option<String>,
}

/// One hop of a ProxyJump: `[user@]host[:port]` or `ssh://…`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Jump {
    pub host: String,
    pub user: Option<String>,
    pub port: Option<u16>,
}

impl SshConfig {
    /// Adds a file's text after what is there. `include` gives the texts for a pattern of Include.
    pub fn add(&mut self, text: &str, include: &dyn Fn(&str) -> Vec<String>) {
        self.parse(text, &[], include, 0);
    }

    fn parse(
        &mut self,
        text: &str,
        outer: &[Vec<String>],
        include: &dyn Fn(&str) -> Vec<String>,
        depth: usize,
    ) {
        let mut block = Block { patterns: outer.to_vec(), options: Vec::new() };
        let mut skipping = false;
        for line in text.lines() {
            let Some((keyword, words)) = split_line(line) else { continue };
            match keyword.as_str() {
                "host" => {
                    skipping = false;
                    let mut patterns = outer.to_vec();
                    patterns.push(words);
                    self.blocks.push(std::mem::replace(&mut block, Block { patterns, options: Vec::new() }));
                }
                "match" => {
                    // `Match all` holds for every host; other criteria run commands or need state.
                    skipping = words != ["all"];
                    if skipping {
                        self.note(format!("block `Match {}` is not used", words.join(" ")));
                    }
                    let next = Block { patterns: outer.to_vec(), options: Vec::new() };
                    self.blocks.push(std::mem::replace(&mut block, next));
                }
                _ if skipping => {}
                "include" if depth < MAX_INCLUDES => {
                    let patterns = block.patterns.clone();
                    let rest = Block { patterns: patterns.clone(), options: Vec::new() };
                    self.blocks.push(std::mem::replace(&mut block, rest));
                    for text in words.iter().flat_map(|word| include(word)) {
                        self.parse(&text, &patterns, include, depth + 1);
                    }
                }
                "include" => self.note("an Include more than 16 deep is not used".into()),
                "stricthostkeychecking" => {
                    self.note("StrictHostKeyChecking is ignored: host keys are always checked".into());
                }
                "proxycommand" => self.note("ProxyCommand is ignored: use ProxyJump".into()),
                _ => block.options.extend(words.into_iter().map(|word| (keyword.clone(), word))),
            }
        }
        self.blocks.push(block);
    }

    fn note(&mut self, note: String) {
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }

    /// What holds for a host, named as the operator wrote it.
    pub fn lookup(&self, host: &str) -> HostConfig {
        let mut found = HostConfig::default();
        let mut identities_only = None;
        let mut jump: Option<&str> = None;
        let lower = host.to_lowercase();
        for block in &self.blocks {
            let holds = |list: &Vec<String>| pattern_list(list.iter().map(String::as_str), &lower);
            if !block.patterns.iter().all(holds) {
                continue;
            }
            let mut known_hosts = Vec::new();
            for (keyword, value) in &block.options {
                let first = |slot: &mut Option<String>| {
                    slot.get_or_insert_with(|| value.clone());
                };
                match keyword.as_str() {
                    "hostname" => first(&mut found.host_name),
                    "user" => first(&mut found.user),
                    "hostkeyalias" => first(&mut found.host_key_alias),
                    "port" => found.port = found.port.or_else(|| value.parse().ok()),
                    "identityfile" if !found.identity_files.contains(value) => {
                        found.identity_files.push(value.clone());
                    }
                    "identitiesonly" => identities_only = identities_only.or(Some(value == "yes")),
                    "proxyjump" => jump = jump.or(Some(value)),
                    "userknownhostsfile" => known_hosts.push(value.clone()),
                    _ => {}
                }
            }
            if found.known_hosts.is_empty() {
                found.known_hosts = known_hosts;
            }
        }
        if let Some(name) = &mut found.host_name {
            *name = name.replace("%h", host).replace("%%", "%");
        }
        found.identity_files.retain(|file| file != "none");
        found.identities_only = identities_only.unwrap_or(false);
        found.proxy_jump = match jump {
            None => Vec::new(),
            Some("none") => Vec::new(),
            Some(list) => list.split(',').filter_map(|hop| Jump::parse(hop.trim())).collect(),
        };
        found
    }
}

impl Jump {
    /// Reads `[user@]host[:port]`; an IPv6 address with a port stands in brackets.
    pub fn parse(text: &str) -> Option<Jump> {
        let text = text.strip_prefix("ssh://").unwrap_or(text).trim_end_matches('/');
        let (user, place) = match text.rsplit_once('@') {
            Some((user, place)) => (Some(user.to_owned()), place),
            None => (None, text),
        };
        let (host, port) = match place.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((host, "")) => (host, None),
            Some((host, rest)) => (host, Some(rest.strip_prefix(':')?.parse().ok()?)),
            None => match place.split_once(':') {
                // More than one colon without brackets: an IPv6 address.
                Some((_, rest)) if rest.contains(':') => (place, None),
                Some((host, port)) => (host, Some(port.parse().ok()?)),
                None => (place, None),
            },
        };
        let fine = !host.is_empty() && user.as_deref() != Some("");
        fine.then(|| Jump { host: host.to_owned(), user, port })
    }
}

/// Replaces `~` and the tokens %d, %h, %r, %u and %% in a file name of the configuration.
pub fn expand_path(text: &str, home: &Utf8Path, local: &str, host: &str, remote: &str) -> Utf8PathBuf {
    let mut path = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (c, c == '%') {
            (_, true) => match chars.next() {
                Some('d') => path.push_str(home.as_str()),
                Some('h') => path.push_str(host),
                Some('r') => path.push_str(remote),
                Some('u') => path.push_str(local),
                Some('%') => path.push('%'),
                Some(other) => path.extend(['%', other]),
                None => path.push('%'),
            },
            (c, false) => path.push(c),
        }
    }
    match path.strip_prefix("~/") {
        Some(rest) => home.join(rest),
        None => Utf8PathBuf::from(path),
    }
}

/// Keyword in lower case and its words; `"` quotes a word, `=` may stand after the keyword.
fn split_line(line: &str) -> Option<(String, Vec<String>)> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return None;
    }
    let end = line.find(|c: char| c.is_whitespace() || c == '=')?;
    let (keyword, rest) = line.split_at(end);
    let rest = rest.trim_start();
    let rest = rest.strip_prefix('=').unwrap_or(rest).trim_start();
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quoted = false;
    for c in rest.chars() {
        match c {
            '"' => {
                quoted = !quoted;
                word.get_or_insert_with(String::new);
            }
            '#' if !quoted && word.is_none() => break,
            c if c.is_whitespace() && !quoted => words.extend(word.take()),
            c => word.get_or_insert_with(String::new).push(c),
        }
    }
    words.extend(word);
    (!words.is_empty()).then(|| (keyword.to_lowercase(), words))
}

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;
