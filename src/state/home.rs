//! Where a cluster's state is: a directory and, where several operators work on the cluster, a store that everything
//! has reached before it counts.

use std::sync::Arc;

use camino::{Utf8Path, Utf8PathBuf};

use super::files::{self, FileError, failed};

/// What operators share.
pub trait Share: Send + Sync {
    /// Gives files of the state their content (None: they go); on return everybody has it.
    ///
    /// # Errors
    /// [`ShareError`]: it may be there or not, and nothing must be made of it.
    fn save(&self, changes: &[(&str, Option<&[u8]>)]) -> Result<(), ShareError>;

    /// Puts a file that may be large beside the state. It is whole or not there.
    ///
    /// # Errors
    /// As [`Share::save`].
    fn upload(&self, name: &str, path: &Utf8Path) -> Result<(), ShareError>;

    /// Takes such a file away; one that is not there is no error.
    ///
    /// # Errors
    /// As [`Share::save`].
    fn remove(&self, name: &str) -> Result<(), ShareError>;

    /// Names and sizes of such files whose name begins so, sorted.
    ///
    /// # Errors
    /// As [`Share::save`].
    fn list(&self, prefix: &str) -> Result<Vec<(String, u64)>, ShareError>;

    /// Adds to the record of this run, some time soon: nothing is decided by it.
    fn note(&self, line: &str);

    /// Its address, for people.
    fn address(&self) -> String;
}

/// Why something is not shared.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{address}: {reason}")]
pub struct ShareError {
    pub address: String,
    pub reason: String,
}

/// Why a file of the state cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum HomeError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error(transparent)]
    Share(#[from] ShareError),
}

/// A cluster's state.
#[derive(Clone)]
pub struct Home {
    directory: Utf8PathBuf,
    share: Option<Arc<dyn Share>>,
}

impl Home {
    /// A directory and nothing else.
    pub fn local(directory: &Utf8Path) -> Self {
        Home { directory: directory.to_owned(), share: None }
    }

    /// A directory that has what `share` has, and is of no use afterwards.
    pub fn shared(directory: &Utf8Path, share: Arc<dyn Share>) -> Self {
        Home { directory: directory.to_owned(), share: Some(share) }
    }

    pub fn directory(&self) -> &Utf8Path {
        &self.directory
    }

    /// Where somebody who looks for a file finds it.
    pub fn address(&self, name: &str) -> String {
        match &self.share {
            Some(share) => format!("{}/{name}", share.address()),
            None => self.directory.join(name).into_string(),
        }
    }

    /// None: there is no such file.
    ///
    /// # Errors
    /// [`FileError`] when it cannot be read.
    pub fn read(&self, name: &str) -> Result<Option<Vec<u8>>, FileError> {
        files::read_optional(&self.directory.join(name))
    }

    /// Gives a file its content, durable on return, for everybody.
    ///
    /// # Errors
    /// [`HomeError`]; then nothing was written here.
    pub fn replace(&self, name: &str, content: &[u8]) -> Result<(), HomeError> {
        self.publish(&[(name, content)])?;
        Ok(files::replace(&self.directory.join(name), content)?)
    }

    /// Takes a file away; one that is not there is no error.
    ///
    /// # Errors
    /// [`HomeError`].
    pub fn remove(&self, name: &str) -> Result<(), HomeError> {
        if let Some(share) = &self.share {
            share.save(&[(name, None)])?;
        }
        let path = self.directory.join(name);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(failed("remove", &path)(error).into())
            }
            _ => Ok(()),
        }
    }

    /// Shares what is about to be written here.
    pub(super) fn publish(&self, files: &[(&str, &[u8])]) -> Result<(), ShareError> {
        let Some(share) = &self.share else { return Ok(()) };
        let changes: Vec<_> = files.iter().map(|(name, content)| (*name, Some(*content))).collect();
        share.save(&changes)
    }

    pub(super) fn share(&self) -> Option<&dyn Share> {
        self.share.as_deref()
    }
}

impl From<&Utf8Path> for Home {
    fn from(directory: &Utf8Path) -> Self {
        Home::local(directory)
    }
}

impl From<&Utf8PathBuf> for Home {
    fn from(directory: &Utf8PathBuf) -> Self {
        Home::local(directory)
    }
}

impl From<&Home> for Home {
    fn from(home: &Home) -> Self {
        home.clone()
    }
}
