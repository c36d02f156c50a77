//! Holds the lock of a shared state for as long as a run lasts, on a thread of its own: who waits for a host does not
//! let the lock go stale.

use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use futures::future::BoxFuture;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;

use super::{AcquireError, ObjectStore, Session, SharedDocument, Terms};
use crate::exec::Clock;
use crate::exec::ports::{Fence, PortError};
use crate::state::{Holder, Share, ShareError};

/// The lock of a shared state, held until dropped.
pub struct Keeper {
    address: String,
    epoch: u64,
    commands: Option<UnboundedSender<Command>>,
    thread: Option<JoinHandle<()>>,
}

type Reply<T> = mpsc::SyncSender<Result<T, String>>;

enum Command {
    Save(Vec<(String, Option<Vec<u8>>)>, Reply<()>),
    Ensure(oneshot::Sender<Result<(), String>>),
    Upload(String, Utf8PathBuf, Reply<()>),
    Remove(String, Reply<()>),
    List(String, Reply<Vec<(String, u64)>>),
    Note(String),
}

/// Knows of a holder of the lock that he has ended.
pub type HasEnded = Box<dyn Fn(&Holder) -> bool + Send + Sync>;

impl Keeper {
    /// Takes the lock as [`Session::acquire`] does, and gives what is there.
    ///
    /// # Errors
    /// [`AcquireError::Held`] while somebody else works.
    pub fn start(
        store: Arc<dyn ObjectStore>,
        clock: Arc<dyn Clock>,
        terms: Terms,
        who: Holder,
        has_ended: HasEnded,
    ) -> Result<(Keeper, SharedDocument), AcquireError> {
        let (commands, receiver) = unbounded_channel();
        let (sender, acquired) = mpsc::sync_channel(1);
        let address = store.address();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(AcquireError::Thread)?;
        let work = move || {
            runtime.block_on(async {
                let (store, clock) = (store.as_ref(), clock.as_ref());
                match Session::acquire(store, clock, terms, &who, &*has_ended).await {
                    Err(error) => drop(sender.send(Err(error))),
                    Ok(session) => {
                        let _ = sender.send(Ok(session.document().clone()));
                        let tick = terms.lease / 12;
                        let service =
                            Service { session, store, clock, tick, notes: String::new(), is_noted: true };
                        service.run(receiver).await;
                    }
                }
            });
        };
        let thread = std::thread::Builder::new().name("state".to_owned()).spawn(work);
        let thread = thread.map_err(AcquireError::Thread)?;
        // invariant: the thread answers before it ends.
        let document = waiting(|| acquired.recv()).map_err(|_| AcquireError::Gone)??;
        let keeper =
            Keeper { address, epoch: document.epoch, commands: Some(commands), thread: Some(thread) };
        Ok((keeper, document))
    }

    /// Higher than that of every run before.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    fn send(&self, command: Command) {
        if let Some(commands) = &self.commands {
            // Nobody receives it: then nobody answers either.
            let _ = commands.send(command);
        }
    }

    fn call<T>(&self, command: impl FnOnce(Reply<T>) -> Command) -> Result<T, ShareError> {
        let (reply, answer) = mpsc::sync_channel(1);
        self.send(command(reply));
        let answer = waiting(|| answer.recv()).unwrap_or_else(|_| Err("nobody answers".to_owned()));
        answer.map_err(|reason| ShareError { address: self.address.clone(), reason })
    }
}

/// Others of the runtime's tasks go on while this one waits for another thread.
fn waiting<T>(wait: impl FnOnce() -> T) -> T {
    let handle = tokio::runtime::Handle::try_current();
    let multi = tokio::runtime::RuntimeFlavor::MultiThread;
    if handle.is_ok_and(|handle| handle.runtime_flavor() == multi) {
        tokio::task::block_in_place(wait)
    } else {
        wait()
    }
}

impl Share for Keeper {
    fn save(&self, changes: &[(&str, Option<&[u8]>)]) -> Result<(), ShareError> {
        let changes = changes.iter().map(|(name, content)| ((*name).to_owned(), content.map(<[u8]>::to_vec)));
        let changes = changes.collect();
        self.call(|reply| Command::Save(changes, reply))
    }

    fn upload(&self, name: &str, path: &Utf8Path) -> Result<(), ShareError> {
        self.call(|reply| Command::Upload(name.to_owned(), path.to_owned(), reply))
    }

    fn remove(&self, name: &str) -> Result<(), ShareError> {
        self.call(|reply| Command::Remove(name.to_owned(), reply))
    }

    fn list(&self, prefix: &str) -> Result<Vec<(String, u64)>, ShareError> {
        self.call(|reply| Command::List(prefix.to_owned(), reply))
    }

    fn note(&self, line: &str) {
        self.send(Command::Note(line.to_owned()));
    }

    fn address(&self) -> String {
        self.address.clone()
    }
}

impl Fence for Keeper {
    fn check(&self) -> BoxFuture<'_, Result<(), PortError>> {
        let (reply, answer) = oneshot::channel();
        self.send(Command::Ensure(reply));
        Box::pin(async move {
            let answer = answer.await.unwrap_or_else(|_| Err("nobody answers".to_owned()));
            answer.map_err(|reason| PortError(format!("{}: {reason}", self.address)))
        })
    }
}

impl Drop for Keeper {
    /// Gives the lock back.
    fn drop(&mut self) {
        drop(self.commands.take());
        if let Some(thread) = self.thread.take() {
            let _ = waiting(|| thread.join());
        }
    }
}

struct Service<'a> {
    session: Session<'a>,
    store: &'a dyn ObjectStore,
    clock: &'a dyn Clock,
    /// Between two looks at what is due.
    tick: Duration,
    /// The record of this run, of which there may be more than has been written.
    notes: String,
    is_noted: bool,
}

impl Service<'_> {
    async fn run(mut self, mut commands: UnboundedReceiver<Command>) {
        loop {
            let command = tokio::select! {
                biased;
                command = commands.recv() => command.map(Some),
                () = self.clock.wait(self.tick) => Some(None),
            };
            match command {
                Some(Some(command)) => self.answer(command).await,
                Some(None) => self.write_notes().await,
                None => break,
            }
            if self.session.is_due() {
                // Whoever asks next is told.
                let _ = self.session.renew().await;
            }
        }
        self.write_notes().await;
        // Else it ends by itself.
        let _ = self.session.release().await;
    }

    /// Who has stopped waiting for the answer does not need it.
    async fn answer(&mut self, command: Command) {
        let text = |error: &dyn std::error::Error| error.to_string();
        match command {
            Command::Save(changes, reply) => {
                let changes: Vec<_> =
                    changes.iter().map(|(name, content)| (name.as_str(), content.as_deref())).collect();
                let saved = self.session.save(&changes).await;
                let _ = reply.send(saved.map_err(|error| text(&error)));
            }
            Command::Ensure(reply) => {
                let ensured = self.session.ensure().await;
                let _ = reply.send(ensured.map_err(|error| text(&error)));
            }
            Command::Upload(name, path, reply) => {
                let _ = reply.send(self.upload(&name, &path).await);
            }
            Command::Remove(name, reply) => {
                let removed = match self.session.ensure().await {
                    Ok(()) => self.store.remove(&name).await.map_err(|error| text(&error)),
                    Err(error) => Err(text(&error)),
                };
                let _ = reply.send(removed);
            }
            Command::List(prefix, reply) => {
                let _ = reply.send(self.store.list(&prefix).await.map_err(|error| text(&error)));
            }
            Command::Note(line) => {
                self.notes.push_str(&line);
                self.is_noted = false;
            }
        }
    }

    /// The lock does not get stale while a large file is on its way.
    async fn upload(&mut self, name: &str, path: &Utf8Path) -> Result<(), String> {
        self.session.ensure().await.map_err(|error| error.to_string())?;
        let mut upload = self.store.upload(name, path);
        loop {
            tokio::select! {
                done = &mut upload => return done.map_err(|error| error.to_string()),
                () = self.clock.wait(self.tick) => if self.session.is_due() {
                    self.session.renew().await.map_err(|error| error.to_string())?;
                },
            }
        }
    }

    /// Nothing is decided by it, so a failure is only tried again.
    async fn write_notes(&mut self) {
        if self.is_noted || self.session.ensure().await.is_err() {
            return;
        }
        let name = format!("journal/{:08}", self.session.epoch());
        self.is_noted = self.store.write(&name, self.notes.as_bytes()).await.is_ok();
    }
}
