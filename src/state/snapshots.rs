//! Snapshots of etcd on the operator's side: sealed as the vault is, whole or not there, and only so many.

use std::fs::{self, File};
use std::io::Write as _;

use age::stream::StreamWriter;
use camino::{Utf8Path, Utf8PathBuf};

use super::files::{self, FileError, failed, open_private, private_directory, sync_directory_of};
use super::home::{Home, HomeError};
use super::vault::{Access, Vault, VaultError, port_error};
use crate::exec::ports::{PortError, SnapshotDraft, Snapshots};
use crate::release::KubeVersion;

/// Where they are in a state directory.
pub const SNAPSHOTS_DIRECTORY: &str = "snapshots";
/// How many are kept. An upgrade takes one; with fewer, trying it again and again after a failure would soon throw
/// away the one from before the first try.
pub const KEEP: usize = 5;

const DATABASE: &str = ".db.age";
/// The vault as it was then: keys that encrypt Secrets in the snapshot may have been replaced since.
const VAULT: &str = ".vault.age";
const TEMPORARY: &str = ".new";
/// A time in a file's name, in UTC; names in order are times in order.
const TIME: &str = "%Y-%m-%dT%H-%M-%SZ";
/// Brought to the disk at least this often, so that the end of a large snapshot does not wait for all of it.
const SYNC_EVERY: usize = 64 << 20;

/// A snapshot that is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptSnapshot {
    /// Its path, or its address where operators share it.
    pub place: String,
    /// Seconds since 1970.
    pub taken: i64,
    /// What the cluster ran.
    pub version: KubeVersion,
    /// Of the sealed file.
    pub bytes: u64,
}

/// The snapshots of a cluster, oldest first. What has another name than [`Vault`] gives is left out.
///
/// # Errors
/// [`HomeError`] when they cannot be listed.
pub fn list(home: &Home) -> Result<Vec<KeptSnapshot>, HomeError> {
    let kept = |name: &str, bytes: u64| {
        let (taken, version) = name.strip_suffix(DATABASE).and_then(parse_stem)?;
        let place = home.address(&format!("{SNAPSHOTS_DIRECTORY}/{name}"));
        Some(KeptSnapshot { place, taken, version, bytes })
    };
    Ok(files_of(home)?.iter().filter_map(|(name, bytes)| kept(name, *bytes)).collect())
}

/// Names and sizes of all files in the directory of snapshots, sorted.
fn files_of(home: &Home) -> Result<Vec<(String, u64)>, HomeError> {
    if let Some(share) = home.share() {
        let prefix = format!("{SNAPSHOTS_DIRECTORY}/");
        let short = |(name, bytes): (String, u64)| Some((name.strip_prefix(&prefix)?.to_owned(), bytes));
        return Ok(share.list(&prefix)?.into_iter().filter_map(short).collect());
    }
    let directory = home.directory().join(SNAPSHOTS_DIRECTORY);
    let mut all = Vec::new();
    for name in names(&directory)? {
        let path = directory.join(&name);
        let bytes = fs::metadata(&path).map_err(failed("read", &path))?.len();
        all.push((name, bytes));
    }
    Ok(all)
}

/// The names in a directory, sorted; none, when it is not there.
fn names(directory: &Utf8Path) -> Result<Vec<String>, FileError> {
    let entries = match directory.read_dir_utf8() {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed("read", directory)(error)),
    };
    let mut names = entries
        .map(|entry| entry.map(|entry| entry.file_name().to_owned()))
        .collect::<Result<Vec<String>, _>>()
        .map_err(failed("read", directory))?;
    names.sort();
    Ok(names)
}

fn stem(taken: i64, version: KubeVersion) -> Result<String, PortError> {
    let time = jiff::Timestamp::from_second(taken).map_err(|error| PortError(error.to_string()))?;
    Ok(format!("{}-{version}", time.strftime(TIME)))
}

fn parse_stem(stem: &str) -> Option<(i64, KubeVersion)> {
    let (time, version) = stem.rsplit_once('-')?;
    let time = jiff::civil::DateTime::strptime(TIME, time).ok()?;
    let taken = time.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp().as_second();
    Some((taken, version.parse().ok()?))
}

impl Snapshots for Vault {
    /// Whoever begins one holds the [`super::RunLock`]: what a run before left half written goes.
    fn begin(&self, version: KubeVersion) -> Result<Box<dyn SnapshotDraft>, PortError> {
        if self.access != Access::Write {
            return Err(port_error(VaultError::ReadOnly));
        }
        let stem = stem(self.now(), version)?;
        let draft = self.begin_draft(&stem).map_err(port_error)?;
        Ok(Box::new(draft))
    }
}

impl Vault {
    fn begin_draft(&self, stem: &str) -> Result<Draft, VaultError> {
        let directory = self.home().directory().join(SNAPSHOTS_DIRECTORY);
        private_directory(&directory)?;
        for name in
            names(&directory)?.iter().filter(|name| name.starts_with('.') && name.ends_with(TEMPORARY))
        {
            let path = directory.join(name);
            fs::remove_file(&path).map_err(failed("remove", &path))?;
        }
        let target = directory.join(format!("{stem}{DATABASE}"));
        let temporary = directory.join(format!(".{stem}{DATABASE}{TEMPORARY}"));
        let file = open_private(&temporary)?;
        let mut draft = Draft {
            home: self.home().clone(),
            vault_target: directory.join(format!("{stem}{VAULT}")),
            vault: self.sealed(),
            file: file.try_clone().map_err(failed("open", &temporary))?,
            target,
            temporary,
            writer: None,
            unsynced: 0,
        };
        let recipients = self.recipients()?;
        let all = recipients.iter().map(|recipient| recipient as &dyn age::Recipient);
        let encryptor =
            age::Encryptor::with_recipients(all).map_err(|error| VaultError::Seal(error.to_string()))?;
        let writer = encryptor.wrap_output(file).map_err(failed("write", &draft.temporary))?;
        draft.writer = Some(writer);
        Ok(draft)
    }
}

/// A snapshot under a temporary name.
struct Draft {
    home: Home,
    target: Utf8PathBuf,
    temporary: Utf8PathBuf,
    vault_target: Utf8PathBuf,
    vault: Vec<u8>,
    file: File,
    /// None: it has been kept.
    writer: Option<StreamWriter<File>>,
    unsynced: usize,
}

impl Draft {
    fn add(&mut self, bytes: &[u8]) -> Result<(), FileError> {
        let Some(writer) = &mut self.writer else { return Ok(()) };
        writer.write_all(bytes).map_err(failed("write", &self.target))?;
        self.unsynced += bytes.len();
        if self.unsynced >= SYNC_EVERY {
            self.file.sync_data().map_err(failed("sync", &self.target))?;
            self.unsynced = 0;
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<(), HomeError> {
        let Some(writer) = self.writer.take() else { return Ok(()) };
        let kept = (|| {
            writer.finish().map_err(failed("write", &self.target))?;
            self.file.sync_all().map_err(failed("sync", &self.target))?;
            // First: a snapshot is never there without it.
            files::replace(&self.vault_target, &self.vault)?;
            fs::rename(&self.temporary, &self.target).map_err(failed("replace", &self.target))?;
            sync_directory_of(&self.target)?;
            self.upload()
        })();
        kept.inspect_err(|_| self.discard())
    }

    /// Here it is gone with this run, where operators share the state.
    fn upload(&self) -> Result<(), HomeError> {
        let Some(share) = self.home.share() else { return Ok(()) };
        for path in [&self.vault_target, &self.target] {
            share.upload(&format!("{SNAPSHOTS_DIRECTORY}/{}", path.file_name().unwrap_or_default()), path)?;
        }
        Ok(())
    }

    /// What cannot be removed now is when the next one begins.
    fn discard(&self) {
        let _ = fs::remove_file(&self.temporary);
    }

    /// Removes all but the newest. One that cannot be removed is no reason to fail now that the new one is
    /// durable; the next snapshot tries again.
    fn let_go(&self) {
        let all = files_of(&self.home).unwrap_or_default();
        let stems = all.iter().filter_map(|(name, _)| name.strip_suffix(DATABASE));
        let stems: Vec<&str> = stems.filter(|stem| parse_stem(stem).is_some()).collect();
        for stem in stems.iter().rev().skip(KEEP) {
            for ending in [DATABASE, VAULT] {
                let name = format!("{SNAPSHOTS_DIRECTORY}/{stem}{ending}");
                let _ = match self.home.share() {
                    Some(share) => share.remove(&name).map_err(HomeError::from),
                    None => self.home.remove(&name),
                };
            }
        }
    }
}

impl SnapshotDraft for Draft {
    fn write(&mut self, bytes: &[u8]) -> Result<(), PortError> {
        self.add(bytes).map_err(|error| port_error(error.into()))
    }

    fn keep(mut self: Box<Self>) -> Result<String, PortError> {
        self.finish().map_err(|error| port_error(error.into()))?;
        self.let_go();
        let name = self.target.file_name().unwrap_or_default();
        Ok(self.home.address(&format!("{SNAPSHOTS_DIRECTORY}/{name}")))
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if self.writer.is_some() {
            self.discard();
        }
    }
}

#[cfg(test)]
#[path = "snapshots_tests.rs"]
mod tests;
