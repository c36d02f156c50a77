//! One stage on one host: the operations that travel as one script in one SSH exec.

use std::sync::Arc;

use secrecy::SecretSlice;

use crate::command::Command;

/// What one host does in one stage, in order; the first operation that fails ends it.
#[derive(Debug, Clone)]
pub struct HostScript {
    /// Unique for plan, step and attempt epoch: names the transient unit, so that a second
    /// connection finds the run that a first one started.
    pub id: String,
    /// The run this belongs to; a host that has seen a higher one refuses.
    pub epoch: u64,
    /// Seconds after which the host itself ends the run.
    pub deadline: u32,
    pub ops: Vec<Op>,
}

/// One idempotent operation. Files are written to a temporary name, flushed, and renamed.
#[derive(Debug, Clone)]
pub enum Op {
    /// Writes a file unless it is already the same (content, mode, owner root:root).
    WriteFile { path: String, mode: u32, payload: Payload },
    /// Makes a directory and its parents; sets mode and owner of the last.
    Directory { path: String, mode: u32 },
    /// Makes `path` point at `target`, replacing another link, never a file.
    Link { path: String, target: String },
    /// Removes files, links and, when `recursive`, trees. What is absent is fine. Never crosses
    /// into a mounted file system.
    Remove { path: String, recursive: bool },
    /// Copies an artifact from the host's store (`/var/lib/keelwright/artifacts/<sha256>`) to
    /// `path`, checking its hash first; `member` takes one file out of a tar.gz archive.
    Install { sha256: String, member: Option<String>, path: String, mode: u32 },
    /// Runs a command; a status other than 0 fails the stage.
    Run { command: Command, because: String },
    /// Repeats a command until it exits 0, at most `deadline` seconds; `what` is waited for. Status
    /// [`WILL_NOT_COME`] ends the wait at once.
    Await { command: Command, what: String, deadline: u32 },
}

/// What a command that is waited for exits with when waiting on is in vain: EX_UNAVAILABLE of sysexits.
pub const WILL_NOT_COME: u8 = 69;

/// A file's bytes; secret ones are wiped from memory and never printed.
#[derive(Debug, Clone)]
pub enum Payload {
    Text(Arc<str>),
    Secret(Arc<SecretSlice<u8>>),
}
