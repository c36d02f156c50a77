//! A cluster's state where several operators reach it: one object that is only ever replaced as a whole, by whoever
//! names the version that is replaced. Who holds the lock, the number of the run and all files are in it, so that
//! whoever has lost the lock has also lost the version, and can write nothing any more.

mod document;
mod keeper;
#[cfg(test)]
mod keeper_tests;
mod session;
#[cfg(test)]
mod tests;

use camino::Utf8Path;
use futures::future::BoxFuture;

pub use document::{DocumentError, SharedDocument};
pub use keeper::{HasEnded, Keeper};
pub use session::{AcquireError, Session, SessionError, Terms};

/// Which content of the object is meant: an ETag, for example.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version(pub String);

/// A content, and which.
pub type Found = (Vec<u8>, Version);

/// Why the object could not be read or written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// It is not the version that was named any more.
    #[error("somebody else has written it")]
    Conflict,
    /// Nothing says whether it was written.
    #[error("{0}")]
    Unknown(String),
    /// It was not.
    #[error("{0}")]
    Refused(String),
}

/// Where the object is.
pub trait ObjectStore: Send + Sync {
    /// None: it has never been written.
    fn get(&self) -> BoxFuture<'_, Result<Option<Found>, StoreError>>;

    /// Replaces the version `expected`; None: makes it, where it is not there.
    fn put<'a>(
        &'a self,
        content: &'a [u8],
        expected: Option<&'a Version>,
    ) -> BoxFuture<'a, Result<Version, StoreError>>;

    /// Writes an object beside it that nothing depends on.
    fn write<'a>(&'a self, name: &'a str, content: &'a [u8]) -> BoxFuture<'a, Result<(), StoreError>>;

    /// Writes a file beside it, whole or not at all.
    fn upload<'a>(&'a self, name: &'a str, path: &'a Utf8Path) -> BoxFuture<'a, Result<(), StoreError>>;

    /// Takes such an object away; one that is not there is no error.
    fn remove<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<(), StoreError>>;

    /// Names and sizes of such objects whose name begins so, sorted.
    fn list<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<Vec<(String, u64)>, StoreError>>;

    /// Where all this is, for people: names are appended after a slash.
    fn address(&self) -> String;
}
