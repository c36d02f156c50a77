//! Where a migration keeps what has to outlive a run: its lock, its journal, what the operator wishes of a run that goes
//! on, and what stood behind blue's balancer.

use camino::{Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Serialize};

use crate::cli::{CommandError, ErrorKind};
use crate::exec::PortError;
use crate::inventory::Migration;
use crate::migrate::plan::Replacement;
use crate::migrate::run::Memory;
use crate::state::{Holder, RunLock, files};

const WISH_FILE: &str = "wish.json";
const TARGETS_FILE: &str = "blue-targets.json";
const TORN_DOWN_FILE: &str = "torn-down.json";

/// The directory of one migration.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub directory: Utf8PathBuf,
}

/// What an operator has said to a run that goes on, or to the next one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Said {
    pub paused: bool,
    pub back: bool,
}

fn failed(error: impl std::error::Error + Send + Sync + 'static) -> CommandError {
    CommandError::new(ErrorKind::Failed, error)
}

impl Place {
    /// As the operator names it, or beside the migration's file.
    pub fn new(given: Option<&Utf8Path>, file: &Utf8Path, migration: &Migration) -> Self {
        let beside = || {
            let parent = file.parent().unwrap_or(Utf8Path::new("."));
            parent.join(".keelwright").join("migrations").join(&migration.name)
        };
        Place { directory: given.map_or_else(beside, Utf8Path::to_owned) }
    }

    /// The right to change something; whoever has it is named.
    pub fn lock(&self, migration: &Migration) -> Result<RunLock, CommandError> {
        let Holder { who, pid, since, .. } = crate::cli::state::myself();
        RunLock::acquire(&self.directory, &who, pid, since).map_err(|error| {
            CommandError::new(ErrorKind::Refused, error).hint(format!(
                "see how far it is:\n    keelwright migrate status -f FILE (migration {})",
                migration.name
            ))
        })
    }

    /// Whether a run goes on.
    pub fn is_locked(&self) -> bool {
        RunLock::is_held(&self.directory)
    }

    pub fn said(&self) -> Said {
        self.read(WISH_FILE).ok().flatten().unwrap_or_default()
    }

    pub fn say(&self, said: Said) -> Result<(), CommandError> {
        self.write(WISH_FILE, &said).map_err(failed)
    }

    pub fn is_torn_down(&self) -> bool {
        self.directory.join(TORN_DOWN_FILE).exists()
    }

    pub fn note_torn_down(&self) -> Result<(), CommandError> {
        self.write(TORN_DOWN_FILE, &true).map_err(failed)
    }

    fn read<T: serde::de::DeserializeOwned>(&self, name: &str) -> Result<Option<T>, PortError> {
        let path = self.directory.join(name);
        let bytes = files::read_optional(&path).map_err(|error| PortError(words(&error)))?;
        let value = bytes.map(|bytes| serde_json::from_slice(&bytes)).transpose();
        value.map_err(|error| PortError(format!("{path}: {error}")))
    }

    fn write<T: Serialize>(&self, name: &str, value: &T) -> Result<(), PortError> {
        let bytes = serde_json::to_vec_pretty(value).map_err(|error| PortError(error.to_string()))?;
        files::private_directory(&self.directory).map_err(|error| PortError(words(&error)))?;
        files::replace(&self.directory.join(name), &bytes).map_err(|error| PortError(words(&error)))
    }
}

fn words(error: &files::FileError) -> String {
    format!("{error}: {}", error.source)
}

impl Memory for Place {
    fn remember(&self, replacements: &[Replacement]) -> Result<(), PortError> {
        self.write(TARGETS_FILE, &replacements)
    }

    fn recall(&self) -> Result<Vec<Replacement>, PortError> {
        Ok(self.read(TARGETS_FILE)?.unwrap_or_default())
    }
}
