//! A file system with a page cache: what was not flushed is gone after a power cut.

use std::collections::BTreeMap;
use std::sync::Arc;

use secrecy::{ExposeSecret as _, SecretSlice};

use super::random::Random;
use crate::digest::Digest;

#[derive(Debug, Clone)]
pub struct Entry {
    pub mode: u32,
    pub node: Node,
}

#[derive(Debug, Clone)]
pub enum Node {
    Directory,
    Link(String),
    File { bytes: Bytes, digest: Digest },
}

/// What a file holds; an installed artifact is nothing but its hash.
#[derive(Debug, Clone)]
pub enum Bytes {
    Text(Arc<str>),
    Secret(Arc<SecretSlice<u8>>),
    Artifact,
}

impl Entry {
    pub fn text(mode: u32, text: &str) -> Self {
        let digest = Digest::of(text.as_bytes());
        Entry { mode, node: Node::File { bytes: Bytes::Text(text.into()), digest } }
    }

    pub fn directory(mode: u32) -> Self {
        Entry { mode, node: Node::Directory }
    }

    /// The text of a file that has one, secret or not.
    pub fn content(&self) -> Option<String> {
        match &self.node {
            Node::File { bytes: Bytes::Text(text), .. } => Some(text.to_string()),
            Node::File { bytes: Bytes::Secret(secret), .. } => {
                Some(String::from_utf8_lossy(secret.expose_secret()).into_owned())
            }
            Node::File { bytes: Bytes::Artifact, .. } | Node::Directory | Node::Link(_) => None,
        }
    }
}

/// One machine's file system.
#[derive(Debug, Clone, Default)]
pub struct Disk {
    entries: BTreeMap<String, Entry>,
    /// What the platter has where it differs from the cache.
    unflushed: BTreeMap<String, Option<Entry>>,
}

pub fn parent(path: &str) -> Option<&str> {
    path.rsplit_once('/').map(|(parent, _)| parent).filter(|parent| !parent.is_empty())
}

impl Disk {
    pub fn get(&self, path: &str) -> Option<&Entry> {
        self.entries.get(path)
    }

    /// Follows one link.
    pub fn resolve(&self, path: &str) -> Option<&Entry> {
        match self.entries.get(path) {
            Some(Entry { node: Node::Link(target), .. }) => self.entries.get(target),
            other => other,
        }
    }

    pub fn content(&self, path: &str) -> Option<String> {
        self.resolve(path).and_then(Entry::content)
    }

    pub fn is_directory(&self, path: &str) -> bool {
        matches!(self.get(path), Some(Entry { node: Node::Directory, .. }))
    }

    pub fn is_file(&self, path: &str) -> bool {
        matches!(self.resolve(path), Some(Entry { node: Node::File { .. }, .. }))
    }

    /// Everything below a directory, with its path.
    pub fn below<'a>(&'a self, directory: &'a str) -> impl Iterator<Item = (&'a str, &'a Entry)> {
        let from = format!("{directory}/");
        let begins = from.clone();
        self.entries
            .range(from..)
            .take_while(move |(path, _)| path.starts_with(&begins))
            .map(|(path, entry)| (path.as_str(), entry))
    }

    pub fn entries(&self) -> impl Iterator<Item = (&str, &Entry)> {
        self.entries.iter().map(|(path, entry)| (path.as_str(), entry))
    }

    /// Puts an entry; it reaches the platter with [`Disk::flush`].
    pub fn put(&mut self, path: &str, entry: Entry) {
        let before = self.entries.insert(path.to_owned(), entry);
        self.unflushed.entry(path.to_owned()).or_insert(before);
    }

    /// A file written to a temporary name, flushed and renamed, its directory flushed after it.
    pub fn put_durable(&mut self, path: &str, entry: Entry) {
        self.put(path, entry);
        self.flush(path);
    }

    /// Flushes a path and the directories above it.
    pub fn flush(&mut self, path: &str) {
        let mut at = Some(path);
        while let Some(path) = at {
            self.unflushed.remove(path);
            at = parent(path);
        }
    }

    /// Writes everything back, as the kernel does every few seconds.
    pub fn sync(&mut self) {
        self.unflushed.clear();
    }

    pub fn make_directories(&mut self, path: &str) {
        let mut missing = Vec::new();
        let mut at = Some(path);
        while let Some(path) = at.filter(|path| !self.entries.contains_key(*path)) {
            missing.push(path.to_owned());
            at = parent(path);
        }
        for path in missing.iter().rev() {
            self.put(path, Entry::directory(0o755));
        }
    }

    /// Removes a path and what is below it; false: there was nothing.
    pub fn remove(&mut self, path: &str) -> bool {
        let mut gone: Vec<String> = self.below(path).map(|(path, _)| path.to_owned()).collect();
        gone.push(path.to_owned());
        let mut removed = false;
        for path in gone {
            if let Some(before) = self.entries.remove(&path) {
                self.unflushed.entry(path).or_insert(Some(before));
                removed = true;
            }
        }
        removed
    }

    /// The power goes: each change that was not flushed is lost or, by chance, already written.
    /// Returns how many were lost.
    pub fn power_cut(&mut self, random: &mut Random) -> usize {
        let mut lost = 0;
        for (path, before) in std::mem::take(&mut self.unflushed) {
            if random.chance(300) {
                continue;
            }
            lost += 1;
            match before {
                Some(entry) => self.entries.insert(path, entry),
                None => self.entries.remove(&path),
            };
        }
        // What hangs in the air because its directory is gone was never reachable.
        let orphans: Vec<String> = self
            .entries
            .keys()
            .filter(|path| parent(path).is_some_and(|parent| !self.entries.contains_key(parent)))
            .cloned()
            .collect();
        for path in orphans {
            self.remove(&path);
        }
        self.unflushed.clear();
        lost
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_power_cut_never_takes_what_was_flushed() {
        for seed in 0..50 {
            let mut disk = Disk::default();
            disk.make_directories("/a/b");
            disk.put_durable("/a/b/kept", Entry::text(0o600, "old"));
            disk.put_durable("/a/b/kept", Entry::text(0o600, "new"));
            disk.put("/a/b/lost", Entry::text(0o600, "x"));
            disk.remove("/a/b/kept/none");
            disk.power_cut(&mut Random::new(seed));
            assert_eq!(disk.content("/a/b/kept").as_deref(), Some("new"), "seed {seed}");
            assert!(disk.is_directory("/a/b"));
        }
    }

    #[test]
    fn what_was_not_flushed_comes_back_or_goes() {
        let mut disk = Disk::default();
        disk.put_durable("/a", Entry::directory(0o755));
        disk.put_durable("/a/x", Entry::text(0o600, "x"));
        let seen: std::collections::BTreeSet<bool> = (0..50)
            .map(|seed| {
                let mut disk = disk.clone();
                disk.remove("/a/x");
                disk.power_cut(&mut Random::new(seed));
                disk.is_file("/a/x")
            })
            .collect();
        assert_eq!(seen.len(), 2);
    }
}
