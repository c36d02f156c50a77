//! One run's hold on the shared state.

use std::time::Duration;

use super::document::{DocumentError, SharedDocument};
use super::{Found, ObjectStore, StoreError, Version};
use crate::exec::Clock;
use crate::state::Holder;

/// How long a lock is believed in, and how it is kept.
#[derive(Debug, Clone, Copy)]
pub struct Terms {
    /// A holder who has written nothing for so long has gone.
    pub lease: Duration,
    /// Between two looks at somebody else's lock.
    pub look: Duration,
    /// Between two attempts at a call that failed.
    pub again: Duration,
}

impl Default for Terms {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Terms { lease: seconds(60), look: seconds(5), again: seconds(1) }
    }
}

/// Why the lock was not had.
#[derive(Debug, thiserror::Error)]
pub enum AcquireError {
    #[error("another run is going on: {0}")]
    Held(Holder),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Document(#[from] DocumentError),
    #[error("no thread to hold the lock")]
    Thread(#[source] std::io::Error),
    #[error("the thread that holds the lock has ended")]
    Gone,
}

/// Why nothing can be written any more.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SessionError {
    #[error("this run has lost its lock to {}", by.as_ref().map_or("somebody else".to_owned(), Holder::to_string))]
    Lost { by: Option<Holder> },
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The lock, and with it the only right to write.
pub struct Session<'a> {
    store: &'a dyn ObjectStore,
    clock: &'a dyn Clock,
    terms: Terms,
    document: SharedDocument,
    version: Version,
    /// When the lock was last known to be held.
    renewed: Duration,
    lost: Option<SessionError>,
}

impl<'a> Session<'a> {
    /// Takes the lock, with a number above all that there were and above that of `who`. A holder who has written nothing for the time of a lease is taken for gone, and `has_ended`
    /// may know it at once. No clock of another machine is read.
    ///
    /// # Errors
    /// [`AcquireError::Held`] while somebody else works.
    pub async fn acquire(
        store: &'a dyn ObjectStore,
        clock: &'a dyn Clock,
        terms: Terms,
        who: &Holder,
        has_ended: &(dyn Fn(&Holder) -> bool + Sync),
    ) -> Result<Session<'a>, AcquireError> {
        loop {
            let found = patiently(store, clock, &terms).await?;
            let (mut document, version) = match found {
                Some((content, version)) => (SharedDocument::parse(&content)?, Some(version)),
                None => (SharedDocument::empty(), None),
            };
            if let (Some(holder), Some(version)) = (&document.holder, &version)
                && !has_ended(holder)
                && !is_silent(store, clock, &terms, version).await?
            {
                match still_held(store, clock, &terms).await? {
                    Some(holder) => return Err(AcquireError::Held(holder)),
                    None => continue,
                }
            }
            document.epoch = document.epoch.max(who.epoch) + 1;
            document.serial += 1;
            document.holder = Some(Holder { epoch: document.epoch, ..who.clone() });
            let began = clock.now();
            let mut session = Session {
                store,
                clock,
                terms,
                version: version.clone().unwrap_or(Version(String::new())),
                document: document.clone(),
                renewed: began,
                lost: None,
            };
            match session.write(document, version.as_ref()).await {
                Ok(()) => return Ok(session),
                // Somebody was faster: see who.
                Err(SessionError::Lost { .. }) => {}
                Err(SessionError::Store(error)) => return Err(error.into()),
            }
        }
    }

    /// Higher than that of every run before.
    pub fn epoch(&self) -> u64 {
        self.document.epoch
    }

    /// What is there.
    pub fn document(&self) -> &SharedDocument {
        &self.document
    }

    /// Writes files (None: they go), durable for everybody on return.
    ///
    /// # Errors
    /// [`SessionError::Lost`] when somebody else has the lock: nothing was written, and nothing can be any more.
    pub async fn save(&mut self, changes: &[(&str, Option<&[u8]>)]) -> Result<(), SessionError> {
        let mut document = self.document.clone();
        for (name, content) in changes {
            document.set(name, *content);
        }
        self.replace(document).await
    }

    /// Says that this run is still there.
    ///
    /// # Errors
    /// As [`Session::save`].
    pub async fn renew(&mut self) -> Result<(), SessionError> {
        self.replace(self.document.clone()).await
    }

    /// Whether it is time to renew.
    pub fn is_due(&self) -> bool {
        self.lost.is_none() && self.clock.now() - self.renewed > self.terms.lease / 4
    }

    /// Whether somebody else may believe that this run has gone: then the lock has to be renewed before anything is
    /// done.
    pub fn is_stale(&self) -> bool {
        self.clock.now() - self.renewed > self.terms.lease / 2
    }

    /// Before something is done that cannot be taken back.
    ///
    /// # Errors
    /// As [`Session::save`].
    pub async fn ensure(&mut self) -> Result<(), SessionError> {
        match (&self.lost, self.is_stale()) {
            (Some(error), _) => Err(error.clone()),
            (None, true) => self.renew().await,
            (None, false) => Ok(()),
        }
    }

    /// Gives the lock back.
    ///
    /// # Errors
    /// As [`Session::save`]; the lock then ends with its lease.
    pub async fn release(mut self) -> Result<(), SessionError> {
        let mut document = self.document.clone();
        document.holder = None;
        self.replace(document).await
    }

    async fn replace(&mut self, mut document: SharedDocument) -> Result<(), SessionError> {
        if let Some(error) = &self.lost {
            return Err(error.clone());
        }
        document.serial += 1;
        let version = self.version.clone();
        let result = self.write(document, Some(&version)).await;
        if let Err(error @ SessionError::Lost { .. }) = &result {
            self.lost = Some(error.clone());
        }
        result
    }

    /// Writes until it is known to be written, or somebody else has written, or the lease is over.
    async fn write(
        &mut self,
        document: SharedDocument,
        expected: Option<&Version>,
    ) -> Result<(), SessionError> {
        let content = document.encode();
        let began = self.clock.now();
        loop {
            // Before the call: what others count from is not later than this.
            let now = self.clock.now();
            let error = match self.store.put(&content, expected).await {
                Ok(version) => {
                    (self.document, self.version, self.renewed) = (document, version, now);
                    return Ok(());
                }
                // It may be this very content, written by a call whose answer was lost.
                Err(error) => error,
            };
            if let StoreError::Refused(_) = error {
                return Err(error.into());
            }
            match self.store.get().await {
                Ok(Some((found, version))) if found == content => {
                    (self.document, self.version, self.renewed) = (document, version, now);
                    return Ok(());
                }
                Ok(found) if found.as_ref().map(|(_, version)| version) != expected => {
                    let other = found.and_then(|(content, _)| SharedDocument::parse(&content).ok());
                    return Err(SessionError::Lost { by: other.and_then(|document| document.holder) });
                }
                Ok(_) | Err(_) => {}
            }
            if self.clock.now() - began > self.terms.lease {
                return Err(error.into());
            }
            self.clock.wait(self.terms.again).await;
        }
    }
}

/// A look that is repeated for as long as a lease lasts.
async fn patiently(
    store: &dyn ObjectStore,
    clock: &dyn Clock,
    terms: &Terms,
) -> Result<Option<Found>, StoreError> {
    let began = clock.now();
    loop {
        match store.get().await {
            Err(StoreError::Unknown(_)) if clock.now() - began < terms.lease => {
                clock.wait(terms.again).await;
            }
            other => return other,
        }
    }
}

/// Whether nothing is written for a whole lease.
async fn is_silent(
    store: &dyn ObjectStore,
    clock: &dyn Clock,
    terms: &Terms,
    seen: &Version,
) -> Result<bool, StoreError> {
    let began = clock.now();
    while clock.now() - began <= terms.lease {
        clock.wait(terms.look).await;
        match patiently(store, clock, terms).await? {
            Some((_, version)) if version == *seen => {}
            _ => return Ok(false),
        }
    }
    Ok(true)
}

async fn still_held(
    store: &dyn ObjectStore,
    clock: &dyn Clock,
    terms: &Terms,
) -> Result<Option<Holder>, AcquireError> {
    let Some((content, _)) = patiently(store, clock, terms).await? else { return Ok(None) };
    Ok(SharedDocument::parse(&content)?.holder)
}
