//! A cluster's state, opened for one command: the operator's own directory, or a copy of what operators share.

use std::sync::Arc;

use camino::{Utf8Path, Utf8PathBuf};

use super::apply::block_on;
use super::operation::{ClusterArgs, HOSTS_FILE};
use super::site::HOST_KEYS_FILE;
use super::{CommandError, ErrorKind};
use crate::cloud::aws::Bucket;
use crate::exec::SystemClock;
use crate::exec::ports::{Fence, NoFence};
use crate::inventory::{ClusterName, SharedState};
use crate::state::files::FileError;
use crate::state::identity::RECIPIENTS_FILE;
use crate::state::shared::{
    AcquireError, DocumentError, Keeper, ObjectStore as _, SharedDocument, StoreError, Terms,
};
use crate::state::vault::{PREVIOUS_FILE, VAULT_FILE};
use crate::state::{Holder, Home, RunLock, files};

/// A cluster's state, and the right to change it where a command has taken that.
#[derive(Clone)]
pub struct ClusterState {
    home: Home,
    /// For people.
    place: String,
    /// None: the command only looks.
    lock: Option<Lock>,
    /// Goes with the last who uses it.
    _copy: Option<Arc<Copy>>,
}

#[derive(Clone)]
enum Lock {
    /// Of a directory.
    Own(Arc<RunLock>),
    Shared(Arc<Keeper>),
}

/// What moves from a directory into a bucket: the vault last, because it says that the rest is there.
const MOVED: [&str; 5] = [HOSTS_FILE, HOST_KEYS_FILE, RECIPIENTS_FILE, PREVIOUS_FILE, VAULT_FILE];

#[derive(Debug, thiserror::Error)]
enum StateError {
    #[error("the inventory has `state`, so --state {0} is not where the cluster's state is")]
    TwoPlaces(Utf8PathBuf),
    #[error("{address} and {directory} both have keys of this cluster")]
    TwoVaults { address: String, directory: Utf8PathBuf },
    #[error("{address}: {source}")]
    Store { address: String, source: StoreError },
    #[error("{address}: {source}")]
    Document { address: String, source: DocumentError },
    #[error("{address} has a file of the name `{name}`, which is none of keelwright's")]
    Name { address: String, name: String },
}

impl ClusterState {
    /// For a command that only looks: writes nothing that stays, and waits for nobody.
    pub fn look(
        args: &ClusterArgs,
        cluster: &ClusterName,
        place: Option<&SharedState>,
    ) -> Result<Self, CommandError> {
        let Some(place) = one_place(args, place)? else {
            let directory = args.state_directory(cluster);
            let home = Home::local(&directory);
            return Ok(ClusterState { home, place: directory.into_string(), lock: None, _copy: None });
        };
        let bucket = block_on(Bucket::connect(place))?;
        let address = bucket.address();
        let store = |source| store_error(StateError::Store { address: address.clone(), source }, place);
        let document = match block_on(bucket.get())?.map_err(store)? {
            Some((content, _)) => SharedDocument::parse(&content)
                .map_err(|source| failed(StateError::Document { address: address.clone(), source }))?,
            None => SharedDocument::empty(),
        };
        let own = args.state_directory(cluster);
        if document.file(VAULT_FILE).is_none() && own.join(VAULT_FILE).exists() {
            // What the next run that changes something will move there.
            return Ok(ClusterState { home: Home::local(&own), place: address, lock: None, _copy: None });
        }
        let copy = Copy::of(&document, &address)?;
        let home = Home::local(&copy.0);
        Ok(ClusterState { home, place: address, lock: None, _copy: Some(Arc::new(copy)) })
    }

    /// For a command that changes things; another run is refused and named.
    pub fn hold(
        args: &ClusterArgs,
        cluster: &ClusterName,
        place: Option<&SharedState>,
    ) -> Result<Self, CommandError> {
        let Some(place) = one_place(args, place)? else {
            return Self::hold_directory(&args.state_directory(cluster));
        };
        let bucket = block_on(Bucket::connect(place))?;
        let address = bucket.address();
        // A cluster that has lived in a directory moves; nobody may work there meanwhile.
        let old = Old::find(&args.state_directory(cluster))?;
        let who = Holder { epoch: old.as_ref().map_or(0, |old| old.lock.epoch()), ..myself() };
        let (clock, has_ended) = (Arc::new(SystemClock::default()), Box::new(has_ended));
        let acquired = Keeper::start(Arc::new(bucket), clock, Terms::default(), who, has_ended);
        let (keeper, document) = acquired.map_err(|error| acquire_error(error, address.clone(), place))?;
        let keeper = Arc::new(keeper);
        let copy = Copy::of(&document, &address)?;
        let home = Home::shared(&copy.0, Arc::clone(&keeper) as _);
        if let Some(old) = old {
            old.move_to(&home, &address)?;
        }
        let lock = Some(Lock::Shared(keeper));
        Ok(ClusterState { home, place: address, lock, _copy: Some(Arc::new(copy)) })
    }

    fn hold_directory(directory: &Utf8Path) -> Result<Self, CommandError> {
        let lock = Some(Lock::Own(Arc::new(lock(directory)?)));
        Ok(ClusterState { home: Home::local(directory), place: directory.to_string(), lock, _copy: None })
    }

    /// Whether there has never been a cluster.
    pub fn is_new(&self) -> Result<bool, FileError> {
        Ok(self.home.read(VAULT_FILE)?.is_none() && self.home.read(PREVIOUS_FILE)?.is_none())
    }

    pub fn home(&self) -> &Home {
        &self.home
    }

    /// A directory or an address, for people.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// Higher than that of every run before; 0 of a command that only looks.
    pub fn epoch(&self) -> u64 {
        match &self.lock {
            Some(Lock::Own(lock)) => lock.epoch(),
            Some(Lock::Shared(keeper)) => keeper.epoch(),
            None => 0,
        }
    }

    /// Asked before anything is changed. A lock on a directory ends only with its process.
    pub fn fence(&self) -> &dyn Fence {
        match &self.lock {
            Some(Lock::Shared(keeper)) => keeper.as_ref(),
            Some(Lock::Own(_)) | None => &NoFence,
        }
    }
}

/// The place that operators share, unless the operator names another.
fn one_place<'a>(
    args: &ClusterArgs,
    place: Option<&'a SharedState>,
) -> Result<Option<&'a SharedState>, CommandError> {
    match (place, &args.reach.state) {
        (Some(_), Some(directory)) => {
            Err(CommandError::new(ErrorKind::Usage, StateError::TwoPlaces(directory.clone()))
                .hint("leave --state out, or take `state` out of the inventory"))
        }
        (place, _) => Ok(place),
    }
}

fn failed(error: impl std::error::Error + Send + Sync + 'static) -> CommandError {
    CommandError::new(ErrorKind::Failed, error)
}

fn store_error(error: StateError, place: &SharedState) -> CommandError {
    CommandError::new(ErrorKind::Unreachable, error).hint(format!(
        "the bucket has to be there, and you need s3:GetObject, s3:PutObject, s3:DeleteObject and s3:ListBucket:\n    \
         aws s3 ls s3://{}/{}/ --region {}",
        place.bucket, place.prefix, place.region
    ))
}

fn acquire_error(error: AcquireError, address: String, place: &SharedState) -> CommandError {
    match error {
        AcquireError::Store(source) => store_error(StateError::Store { address, source }, place),
        AcquireError::Document(source) => failed(StateError::Document { address, source }),
        AcquireError::Held(_) => CommandError::new(ErrorKind::Refused, error).hint(format!(
            "it works in {address}; a run that was killed counts as gone after a minute of silence"
        )),
        AcquireError::Thread(_) | AcquireError::Gone => failed(error),
    }
}

fn lock(directory: &Utf8Path) -> Result<RunLock, CommandError> {
    let Holder { who, pid, since, .. } = myself();
    RunLock::acquire(directory, &who, pid, since)
        .map_err(|error| CommandError::new(ErrorKind::Refused, error))
}

pub(super) fn myself() -> Holder {
    let user =
        std::env::var("USER").or_else(|_| std::env::var("LOGNAME")).unwrap_or_else(|_| "root".to_owned());
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let since = jiff::Timestamp::now().as_second();
    Holder { who: format!("{user}@{}", host.trim()), pid: std::process::id(), since, epoch: 0 }
}

/// Whether a holder was a process of this machine that is there no more.
fn has_ended(holder: &Holder) -> bool {
    let me = myself();
    let Ok(pid) = i32::try_from(holder.pid) else { return false };
    let is_gone =
        || nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), None) == Err(nix::errno::Errno::ESRCH);
    holder.who == me.who && (holder.pid == me.pid || is_gone())
}

/// What a cluster has in a directory although its inventory says a bucket.
struct Old {
    directory: Utf8PathBuf,
    lock: RunLock,
}

impl Old {
    fn find(directory: &Utf8Path) -> Result<Option<Self>, CommandError> {
        if !directory.join(VAULT_FILE).exists() {
            return Ok(None);
        }
        let lock = lock(directory)?;
        Ok(Some(Old { directory: directory.to_owned(), lock }))
    }

    /// Whoever goes on with the directory afterwards is told that its vault has gone.
    fn move_to(self, home: &Home, address: &str) -> Result<(), CommandError> {
        if home.read(VAULT_FILE).map_err(failed)?.is_some() {
            let (directory, address) = (self.directory, address.to_owned());
            return Err(CommandError::new(ErrorKind::Refused, StateError::TwoVaults { address, directory })
                .hint("move the directory away if the bucket is right"));
        }
        let old = Home::local(&self.directory);
        for name in MOVED {
            if let Some(content) = old.read(name).map_err(failed)? {
                home.replace(name, &content).map_err(failed)?;
            }
        }
        let vault = self.directory.join(VAULT_FILE);
        if old.read(PREVIOUS_FILE).map_err(failed)?.is_none() {
            std::fs::copy(&vault, self.directory.join(PREVIOUS_FILE)).map_err(failed)?;
        }
        std::fs::rename(&vault, self.directory.join("vault.age.moved")).map_err(failed)?;
        eprintln!(
            "the cluster's state has moved from {} to {address}; snapshots and journal stay",
            self.directory
        );
        Ok(())
    }
}

/// A private directory with a copy of what operators share. Keys are sealed in it as they are there.
struct Copy(Utf8PathBuf);

impl Copy {
    fn of(document: &SharedDocument, address: &str) -> Result<Self, CommandError> {
        let base = Utf8PathBuf::from_path_buf(std::env::temp_dir()).unwrap_or_else(|_| "/tmp".into());
        let copy = Copy(base.join(format!("keelwright-state-{}", uuid::Uuid::new_v4())));
        files::private_directory(&copy.0).map_err(failed)?;
        for name in document.names() {
            // Whoever may write the bucket must not write elsewhere on this machine.
            if name.starts_with('.') || name.contains('/') {
                let (address, name) = (address.to_owned(), name.to_owned());
                return Err(failed(StateError::Name { address, name }));
            }
            let content = document.file(name).unwrap_or_default();
            files::replace(&copy.0.join(name), &content).map_err(failed)?;
        }
        Ok(copy)
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
