//! What the executor needs of the world. Each port has a real adapter and a simulated one.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use secrecy::SecretSlice;
use serde_json::Value;

use crate::inventory::HostName;
use crate::pki::{CertificateSpec, KeyId, SecretContent};
use crate::release::KubeVersion;
use crate::script::HostScript;

pub use crate::facts::{EtcdMember, Objects};

/// How a run of a script on a host ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StageResult {
    pub status: i32,
    /// Operations that finished; the next one is the one that failed.
    pub completed: usize,
    /// The end of what the failing operation printed, for people.
    pub output: String,
    /// The operation numbers that changed something (a file that was the same is not counted).
    pub changed: Vec<usize>,
}

/// Why a host could not be worked on. Says nothing about what a script did.
#[derive(Debug, Clone, thiserror::Error)]
pub enum RemoteError {
    #[error("cannot connect: {reason}")]
    Connect { reason: String, hint: Option<String> },
    #[error("cannot log in: {reason}")]
    Login { reason: String, hint: Option<String> },
    #[error("host key not trusted: {reason}")]
    HostKey { reason: String, hint: Option<String> },
    #[error("cannot become root: {reason}")]
    Privilege { reason: String, hint: Option<String> },
    /// The connection fell and did not come back within the time allowed.
    #[error("connection lost: {reason}")]
    Lost { reason: String },
    #[error("{what} did not end within {} s", deadline.as_secs())]
    Deadline { what: String, deadline: Duration },
    /// Somebody else took over the cluster's lock; the stage did not run, or stopped between two
    /// operations.
    #[error("fenced: epoch {newest} has taken over from {own}")]
    Fenced { own: u64, newest: u64 },
    #[error("transfer of {name} failed: {reason}")]
    Transfer { name: String, reason: String },
}

impl RemoteError {
    /// What to do about it.
    pub fn hint(&self) -> Option<&str> {
        match self {
            RemoteError::Connect { hint, .. }
            | RemoteError::Login { hint, .. }
            | RemoteError::HostKey { hint, .. }
            | RemoteError::Privilege { hint, .. } => hint.as_deref(),
            RemoteError::Lost { .. }
            | RemoteError::Deadline { .. }
            | RemoteError::Fenced { .. }
            | RemoteError::Transfer { .. } => None,
        }
    }
}

/// Whether this run may still change anything, or somebody else has taken over.
pub trait Fence: Send + Sync {
    /// Asked before anything is changed.
    ///
    /// # Errors
    /// Who has taken over, or why nobody knows.
    fn check(&self) -> BoxFuture<'_, Result<(), PortError>>;
}

/// Of a run whose lock ends only with its process.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoFence;

impl Fence for NoFence {
    fn check(&self) -> BoxFuture<'_, Result<(), PortError>> {
        Box::pin(std::future::ready(Ok(())))
    }
}

/// Machines, by name.
pub trait Remote: Send + Sync {
    /// Runs a read-only script (POSIX sh text) with `stdin`, as root, and returns its stdout.
    fn probe<'a>(
        &'a self,
        host: &'a HostName,
        script: &'a str,
        stdin: &'a [u8],
    ) -> BoxFuture<'a, Result<Vec<u8>, RemoteError>>;

    /// Runs a stage as root under a transient unit. When the connection falls it reconnects and
    /// attaches to the run that was started; it never starts it twice.
    fn run<'a>(
        &'a self,
        host: &'a HostName,
        script: &'a HostScript,
    ) -> BoxFuture<'a, Result<StageResult, RemoteError>>;

    /// Brings a file of `size` bytes into the host's artifact store under its hash. The file is
    /// streamed; `progress` hears the bytes sent so far. What is already there is not sent again.
    fn upload<'a>(
        &'a self,
        host: &'a HostName,
        source: &'a camino::Utf8Path,
        sha256: &'a str,
        progress: &'a (dyn Fn(u64) + Send + Sync),
    ) -> BoxFuture<'a, Result<(), RemoteError>>;
}

/// A failed call of the Kubernetes API or of etcd.
#[derive(Debug, Clone, thiserror::Error)]
pub enum KubeError {
    /// Nobody answered: worth trying again until the deadline.
    #[error("the API server cannot be reached: {0}")]
    Unreachable(String),
    #[error("{what}: {message} (HTTP {code})")]
    Refused { what: String, code: u16, message: String },
}

/// The Kubernetes API, through whichever control plane answers.
pub trait KubeApi: Send + Sync {
    /// Asks one control plane's own `/readyz`.
    fn ready<'a>(&'a self, host: &'a HostName) -> BoxFuture<'a, Result<(), KubeError>>;

    /// The text of one control plane's own `/metrics`.
    fn metrics<'a>(&'a self, host: &'a HostName) -> BoxFuture<'a, Result<String, KubeError>>;

    /// Fetches the objects with these `(apiVersion, kind, namespace, name)`; absent ones are left out.
    fn fetch<'a>(&'a self, wanted: &'a [Value]) -> BoxFuture<'a, Result<Objects, KubeError>>;

    /// Lists all objects of a kind, in all namespaces.
    fn list<'a>(
        &'a self,
        api_version: &'a str,
        kind: &'a str,
    ) -> BoxFuture<'a, Result<Vec<Value>, KubeError>>;

    /// Server-side apply as field manager `keelwright`, forced.
    fn apply<'a>(&'a self, object: &'a Value) -> BoxFuture<'a, Result<Value, KubeError>>;

    /// Merge-patches one object, named by a skeleton with apiVersion, kind and metadata.
    fn patch<'a>(&'a self, object: &'a Value, patch: &'a Value) -> BoxFuture<'a, Result<(), KubeError>>;

    /// Deletes; absent is fine.
    fn delete<'a>(&'a self, object: &'a Value) -> BoxFuture<'a, Result<(), KubeError>>;

    /// Evicts a pod through the eviction API; HTTP 429 comes back as `Refused`.
    fn evict<'a>(&'a self, namespace: &'a str, pod: &'a str) -> BoxFuture<'a, Result<(), KubeError>>;
}

/// etcd membership, through whichever member answers.
pub trait Etcd: Send + Sync {
    fn members<'a>(&'a self) -> BoxFuture<'a, Result<Vec<EtcdMember>, KubeError>>;
    /// Adds a learner; returns the member list with it.
    fn add_learner<'a>(&'a self, peer_url: &'a str) -> BoxFuture<'a, Result<Vec<EtcdMember>, KubeError>>;
    /// Makes a caught-up learner a voter.
    fn promote<'a>(&'a self, id: u64) -> BoxFuture<'a, Result<(), KubeError>>;
    fn remove<'a>(&'a self, id: u64) -> BoxFuture<'a, Result<(), KubeError>>;
    /// Streams the database of one member into `sink` as it comes, never all of it in memory, and after it the
    /// SHA-256 that etcd appends. Ok says that etcd ended the stream, not that what came is whole:
    /// [`super::take_snapshot`] looks at that. An error of `sink` ends the stream.
    fn snapshot<'a>(
        &'a self,
        member: &'a EtcdMember,
        sink: &'a mut (dyn FnMut(&[u8]) -> Result<(), PortError> + Send),
    ) -> BoxFuture<'a, Result<(), KubeError>>;
}

/// A program to be run on the operator's own machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalCommand {
    pub argv: Vec<String>,
    /// Beside what the operator's own environment has.
    pub environment: BTreeMap<String, String>,
    /// After which it is ended, with all that it has started.
    pub timeout: Duration,
}

/// How it ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LocalEnd {
    /// The exit code; 128 + signal for a killed program, 124 for one whose time was over.
    pub status: i32,
    /// The end of what it printed, for people.
    pub output: String,
}

/// The operator's own machine.
pub trait LocalCommands: Send + Sync {
    /// Runs a program to its end, without a terminal. The error says why it could not be started.
    fn run<'a>(&'a self, command: &'a LocalCommand) -> BoxFuture<'a, Result<LocalEnd, PortError>>;
}

/// Where the operator keeps snapshots of etcd. They hold every Secret of the cluster.
pub trait Snapshots: Send + Sync {
    /// Begins a snapshot of a cluster that runs `version`; there is nothing to be seen of it until it is kept.
    fn begin(&self, version: KubeVersion) -> Result<Box<dyn SnapshotDraft>, PortError>;
}

/// A snapshot on its way to the operator. Dropped before it is kept, it leaves nothing.
pub trait SnapshotDraft: Send {
    fn write(&mut self, bytes: &[u8]) -> Result<(), PortError>;
    /// Puts it under its name, durable when this returns with where that is; only then lets the oldest go.
    fn keep(self: Box<Self>) -> Result<String, PortError>;
}

/// The operator's vault of keys.
pub trait SecretSource: Send + Sync {
    /// Makes what is missing or no longer matches; durable on disk when it returns.
    fn mint(&self, wanted: &BTreeMap<KeyId, CertificateSpec>) -> Result<(), PortError>;
    /// The bytes of a secret file.
    fn resolve(&self, content: &SecretContent) -> Result<Arc<SecretSlice<u8>>, PortError>;
}

/// A local failure of an adapter: an I/O error, a damaged store.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct PortError(pub String);
