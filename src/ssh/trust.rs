//! Known host keys on disk: read once, asked by every handshake, written on an allowed first use.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use camino::Utf8PathBuf;
use russh::keys::{Algorithm, PublicKeyOrCertificate};

use super::environment::SshEnvironment;
use super::hostkey::{
    HostKeyError, Trust, Verdict, certificate_algorithms, judge, openssh, preferred_algorithms,
};
use super::known_hosts::{KnownHosts, known_name};
use super::route::Hop;

/// The lists of known hosts, by the files they come from.
pub(crate) struct TrustStore {
    usual: Vec<Utf8PathBuf>,
    first_use: bool,
    lists: Mutex<BTreeMap<Vec<Utf8PathBuf>, Arc<KnownHosts>>>,
}

impl TrustStore {
    pub fn new(environment: &SshEnvironment) -> Self {
        TrustStore {
            usual: environment.known_hosts.clone(),
            first_use: environment.trust_on_first_use,
            lists: Mutex::default(),
        }
    }

    /// Host key algorithms to ask a server for: plain keys, then certificates.
    pub fn algorithms(&self, hop: &Hop) -> (Vec<Algorithm>, Vec<Algorithm>) {
        let known = self.known(hop);
        let trust = self.trust(hop, &known);
        (preferred_algorithms(&trust), certificate_algorithms(&trust))
    }

    /// Judges a server's key and records it when this is an allowed first use.
    pub fn check(&self, hop: &Hop, presented: &PublicKeyOrCertificate) -> Result<(), HostKeyError> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map(|age| age.as_secs()).unwrap_or_default();
        let known = self.known(hop);
        match judge(&self.trust(hop, &known), presented, now)? {
            Verdict::Trusted => Ok(()),
            Verdict::FirstUse => self.record(hop, presented, now),
        }
    }

    fn trust<'a>(&self, hop: &'a Hop, known: &'a KnownHosts) -> Trust<'a> {
        Trust {
            pinned: &hop.pinned,
            authorities: &hop.authorities,
            known,
            host: &hop.key_name,
            port: hop.port,
            first_use: self.first_use,
        }
    }

    fn files<'a>(&'a self, hop: &'a Hop) -> &'a [Utf8PathBuf] {
        if hop.known_hosts.is_empty() { &self.usual } else { &hop.known_hosts }
    }

    fn known(&self, hop: &Hop) -> Arc<KnownHosts> {
        let files = self.files(hop);
        let mut lists = self.lists.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(list) = lists.get(files) {
            return list.clone();
        }
        let list = Arc::new(read_lists(files));
        lists.insert(files.to_vec(), list.clone());
        list
    }

    /// Appends a key. Two connections may meet the same new host at once: the second finds the
    /// first's record under the lock, and must agree with it.
    fn record(&self, hop: &Hop, presented: &PublicKeyOrCertificate, now: u64) -> Result<(), HostKeyError> {
        let files = self.files(hop);
        let mut lists = self.lists.lock().unwrap_or_else(PoisonError::into_inner);
        let mut list = read_lists(files);
        let verdict = judge(&self.trust(hop, &list), presented, now);
        if verdict == Ok(Verdict::FirstUse)
            && let PublicKeyOrCertificate::PublicKey { key, .. } = presented
        {
            let line = format!("{} {}\n", known_name(&hop.key_name, hop.port), openssh(key));
            // When it cannot be written it still holds for this run, so that a second key for the
            // same name is refused.
            if let Some(file) = files.first() {
                let _ = append(file, &line);
            }
            list.add(&line, files.first().map_or("this run", |file| file.as_str()));
        }
        lists.insert(files.to_vec(), Arc::new(list));
        verdict.map(|_| ())
    }
}

fn read_lists(files: &[Utf8PathBuf]) -> KnownHosts {
    let mut list = KnownHosts::default();
    for file in files {
        if let Ok(text) = std::fs::read(file) {
            list.add(&String::from_utf8_lossy(&text), file.as_str());
        }
    }
    list
}

/// One write of one line, so that parallel runs do not mix theirs.
fn append(file: &Utf8PathBuf, line: &str) -> std::io::Result<()> {
    if let Some(directory) = file.parent() {
        std::fs::create_dir_all(directory)?;
    }
    let mut open = std::fs::OpenOptions::new();
    let mut handle = open.append(true).create(true).mode(0o600).open(file)?;
    // A last line without its end would swallow ours.
    let unfinished = std::fs::read(file).is_ok_and(|text| text.last().is_some_and(|byte| *byte != b'\n'));
    handle.write_all(if unfinished { format!("\n{line}") } else { line.to_owned() }.as_bytes())?;
    handle.sync_all()
}
