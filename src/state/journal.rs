//! The append-only journal of a cluster: what was done, by whom, when. For people and audit; nothing
//! is decided by it.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};

use camino::{Utf8Path, Utf8PathBuf};
use serde_json::Value;

use super::files::{self, FileError, failed, sync_directory_of};
use super::home::Home;
use super::record::{self, JournalDamage, Link, Record};

/// The journal's file in a state directory.
pub const JOURNAL_FILE: &str = "journal";

/// Why the journal cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error("{path} cannot be read; move it away to begin a new one, nothing depends on it")]
    Damage {
        path: Utf8PathBuf,
        #[source]
        source: JournalDamage,
    },
    /// After a failed write nobody knows what is in the file; the next run looks.
    #[error("the journal {path} is closed because a write to it failed")]
    Closed { path: Utf8PathBuf },
}

/// A journal open for appending. Whoever opens it holds the [`super::RunLock`].
pub struct Journal {
    home: Home,
    path: Utf8PathBuf,
    file: File,
    last: Link,
    number: u64,
    broken: bool,
}

impl Journal {
    /// Opens or makes the journal at `home`, cuts off what a crash left half written, and
    /// returns what was recorded before.
    pub fn open(home: impl Into<Home>) -> Result<(Self, Vec<Record>), JournalError> {
        let home = home.into();
        let path = home.directory().join(JOURNAL_FILE);
        let mut file = files::open_private(&path)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(failed("read", &path))?;
        let parsed =
            record::parse(&bytes).map_err(|source| JournalError::Damage { path: path.clone(), source })?;
        if parsed.length < bytes.len() {
            file.set_len(parsed.length as u64).map_err(failed("truncate", &path))?;
        }
        file.seek(SeekFrom::Start(parsed.length as u64)).map_err(failed("read", &path))?;
        file.sync_all().map_err(failed("sync", &path))?;
        sync_directory_of(&path)?;
        let number = parsed.records.len() as u64;
        Ok((Journal { home, path, file, last: parsed.last, number, broken: false }, parsed.records))
    }

    /// Reads the journal without changing it; empty when there is none.
    pub fn read(directory: &Utf8Path) -> Result<Vec<Record>, JournalError> {
        let path = directory.join(JOURNAL_FILE);
        let bytes = files::read_optional(&path)?.unwrap_or_default();
        match record::parse(&bytes) {
            Ok(parsed) => Ok(parsed.records),
            Err(source) => Err(JournalError::Damage { path, source }),
        }
    }

    /// Appends one event; durable when it returns its number.
    pub fn append(&mut self, event: &Value) -> Result<u64, JournalError> {
        if self.broken {
            return Err(JournalError::Closed { path: self.path.clone() });
        }
        let (line, link) = record::encode(self.number + 1, self.last, event);
        self.broken = true;
        self.file.write_all(line.as_bytes()).map_err(failed("write", &self.path))?;
        self.file.sync_data().map_err(failed("sync", &self.path))?;
        self.broken = false;
        if let Some(share) = self.home.share() {
            share.note(&line);
        }
        self.last = link;
        self.number += 1;
        Ok(self.number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::files::tests::{Scratch, mode};
    use serde_json::json;

    fn events(records: &[Record]) -> Vec<Value> {
        records.iter().map(|record| record.event.clone()).collect()
    }

    #[test]
    fn what_was_appended_is_read_again() {
        let scratch = Scratch::new();
        let (mut journal, before) = Journal::open(&scratch.0).unwrap();
        assert_eq!(before, []);
        assert_eq!(journal.append(&json!({"step": "a\nb"})).unwrap(), 1);
        assert_eq!(journal.append(&json!(2)).unwrap(), 2);
        assert_eq!(mode(&scratch.0.join(JOURNAL_FILE)), 0o600);
        drop(journal);
        let (mut journal, before) = Journal::open(&scratch.0).unwrap();
        assert_eq!(events(&before), [json!({"step": "a\nb"}), json!(2)]);
        assert_eq!(journal.append(&json!(3)).unwrap(), 3);
        assert_eq!(Journal::read(&scratch.0).unwrap().len(), 3);
    }

    #[test]
    fn a_crash_at_every_byte_of_a_write_loses_at_most_that_record() {
        let scratch = Scratch::new();
        let (mut journal, _) = Journal::open(&scratch.0).unwrap();
        journal.append(&json!("first")).unwrap();
        let path = scratch.0.join(JOURNAL_FILE);
        let whole = std::fs::read(&path).unwrap().len();
        journal.append(&json!("second")).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        for cut in whole..bytes.len() {
            std::fs::write(&path, &bytes[..cut]).unwrap();
            let (mut journal, before) = Journal::open(&scratch.0).unwrap();
            assert_eq!(events(&before), [json!("first")], "cut at {cut}");
            assert_eq!(journal.append(&json!("again")).unwrap(), 2);
            assert_eq!(Journal::read(&scratch.0).unwrap().len(), 2);
        }
    }
}
