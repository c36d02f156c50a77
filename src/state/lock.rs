//! One run at a time per state directory, and a number that fences the runs before it.

use std::fmt;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};

use camino::{Utf8Path, Utf8PathBuf};
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use serde::{Deserialize, Serialize};

use super::files::{self, FileError, failed};

const LOCK_FILE: &str = "lock";
const EPOCH_FILE: &str = "epoch";

/// Who holds, or last held, the lock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// `user@host`
    pub who: String,
    pub pid: u32,
    /// Seconds since 1970.
    pub since: i64,
    pub epoch: u64,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Holder { who, pid, since, epoch } = self;
        match jiff::Timestamp::from_second(*since) {
            Ok(since) => write!(f, "{who}, process {pid}, since {since}, run {epoch}"),
            Err(_) => write!(f, "{who}, process {pid}, run {epoch}"),
        }
    }
}

/// Why the lock was not had.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    #[error("another run is going on: {}", holder.as_ref().map_or("by an unknown process".to_owned(), Holder::to_string))]
    Held { holder: Option<Holder> },
    /// Guessing would let a stale run through the fence.
    #[error("{path} is not a number; write the highest into it that a host has in /var/lib/keelwright/epoch")]
    Epoch { path: Utf8PathBuf },
    #[error(transparent)]
    File(#[from] FileError),
}

/// The lock, held until dropped; the kernel lets go of it when the process dies.
#[derive(Debug)]
pub struct RunLock {
    _file: Flock<File>,
    holder: Holder,
}

impl RunLock {
    /// Takes the lock and begins a new epoch, durable on return. A second run is refused at once.
    pub fn acquire(directory: &Utf8Path, who: &str, pid: u32, now: i64) -> Result<Self, LockError> {
        files::private_directory(directory)?;
        let path = directory.join(LOCK_FILE);
        let file = files::open_private(&path)?;
        let mut file = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(file) => file,
            Err((mut file, Errno::EWOULDBLOCK)) => {
                return Err(LockError::Held { holder: read_holder(&mut file) });
            }
            Err((_, errno)) => return Err(failed("lock", &path)(errno.into()).into()),
        };
        let holder = Holder { who: who.to_owned(), pid, since: now, epoch: next_epoch(directory)? };
        write_holder(&mut file, &holder).map_err(failed("write", &path))?;
        Ok(RunLock { _file: file, holder })
    }

    /// Whether a run goes on there. Nothing is taken, and nothing is written.
    pub fn is_held(directory: &Utf8Path) -> bool {
        let Ok(file) = File::open(directory.join(LOCK_FILE)) else { return false };
        matches!(Flock::lock(file, FlockArg::LockSharedNonblock), Err((_, Errno::EWOULDBLOCK)))
    }

    pub fn holder(&self) -> &Holder {
        &self.holder
    }

    /// Higher than that of every run before. Hosts refuse work of a lower one.
    pub fn epoch(&self) -> u64 {
        self.holder.epoch
    }
}

fn next_epoch(directory: &Utf8Path) -> Result<u64, LockError> {
    let path = directory.join(EPOCH_FILE);
    let last = match files::read_optional(&path)? {
        None => 0,
        Some(bytes) => std::str::from_utf8(&bytes)
            .ok()
            .and_then(|text| text.trim().parse::<u64>().ok())
            .ok_or(LockError::Epoch { path: path.clone() })?,
    };
    let epoch = last.checked_add(1).ok_or(LockError::Epoch { path: path.clone() })?;
    files::replace(&path, format!("{epoch}\n").as_bytes())?;
    Ok(epoch)
}

/// Only for the message to the one who is refused: half a text is no harm.
fn read_holder(file: &mut File) -> Option<Holder> {
    let mut text = String::new();
    file.read_to_string(&mut text).ok()?;
    serde_json::from_str(&text).ok()
}

fn write_holder(file: &mut File, holder: &Holder) -> std::io::Result<()> {
    let text = serde_json::to_vec(holder)?;
    file.set_len(0)?;
    file.seek(SeekFrom::Start(0))?;
    file.write_all(&text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::files::tests::{Scratch, mode};

    #[test]
    fn row_38_a_second_run_is_refused_and_told_by_whom() {
        let scratch = Scratch::new();
        let first = RunLock::acquire(&scratch.0, "ann@desk", 7, 1_700_000_000).unwrap();
        let error = RunLock::acquire(&scratch.0, "bob@lap", 8, 1_700_000_001).unwrap_err();
        assert_eq!(
            error.to_string(),
            "another run is going on: ann@desk, process 7, since 2023-11-14T22:13:20Z, run 1"
        );
        assert_eq!(mode(&scratch.0.join(LOCK_FILE)), 0o600);
        drop(first);
        assert_eq!(RunLock::acquire(&scratch.0, "bob@lap", 8, 0).unwrap().epoch(), 2);
    }

    #[test]
    fn epochs_only_grow_and_are_never_guessed() {
        let scratch = Scratch::new();
        for epoch in 1..5 {
            assert_eq!(RunLock::acquire(&scratch.0, "a", 1, 0).unwrap().epoch(), epoch);
        }
        for damage in [&b""[..], b"x", b"18446744073709551615"] {
            files::replace(&scratch.0.join(EPOCH_FILE), damage).unwrap();
            let error = RunLock::acquire(&scratch.0, "a", 1, 0).unwrap_err();
            assert!(matches!(error, LockError::Epoch { .. }), "{error}");
        }
    }
}
