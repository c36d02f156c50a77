//! Carries out the operations of a stage on a simulated machine.

use std::time::Duration;

use super::disk::{Bytes, Entry, Node, parent};
use super::host::SimHost;
use super::host_command::{CommandResult, run_command};
use super::vault::digest_of;
use super::world::World;
use crate::digest::Digest;
use crate::inventory::HostName;
use crate::script::{Op, Payload};

/// What one operation came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OpResult {
    pub status: i32,
    pub output: String,
    pub changed: bool,
}

fn failed(output: impl Into<String>) -> OpResult {
    OpResult { status: 1, output: output.into(), changed: false }
}

fn done(changed: bool) -> OpResult {
    OpResult { status: 0, output: String::new(), changed }
}

/// How long an operation takes on an ordinary machine.
pub fn cost(op: &Op) -> Duration {
    let milliseconds = match op {
        Op::WriteFile { .. } => 4,
        Op::Directory { .. } | Op::Link { .. } => 2,
        Op::Remove { .. } => 20,
        Op::Install { .. } => 60,
        Op::Run { command, .. } => super::host_command::milliseconds(&command.argv),
        Op::Await { .. } => 30,
    };
    Duration::from_millis(milliseconds)
}

impl World {
    /// The effect of one operation.
    pub fn run_op(&mut self, name: &HostName, op: &Op) -> OpResult {
        self.before_op(name, op);
        let now = self.now;
        let Some(host) = self.hosts.get_mut(name) else { return failed("no such host") };
        host.write_back(now);
        let result = match op {
            Op::WriteFile { path, mode, payload } => write_file(host, path, *mode, payload),
            Op::Directory { path, mode } => directory(host, path, *mode),
            Op::Link { path, target } => link(host, path, target),
            Op::Remove { path, .. } => done(host.disk.remove(path)),
            Op::Install { sha256, path, mode, member: _ } => install(host, sha256, path, *mode),
            Op::Run { command, .. } | Op::Await { command, .. } => {
                let CommandResult { status, output, changed } = run_command(self, name, &command.argv);
                OpResult { status, output, changed }
            }
        };
        if result.status == 0 && result.changed {
            self.writes += 1;
        }
        if result.status == 0
            && let Op::WriteFile { path, .. } = op
            && path.starts_with("/etc/kubernetes/manifests/")
        {
            self.manifest_complete(name, path);
        }
        self.settle(name);
        result
    }

    /// A manifest may only appear when everything it reads is there: the kubelet acts on it at once.
    fn manifest_complete(&mut self, name: &HostName, path: &str) {
        let Some(host) = self.hosts.get(name) else { return };
        let Some(text) = host.disk.content(path) else { return };
        let manifest = super::manifest::parse(&text);
        if let Some(why) = host.pod_obstacle(&manifest) {
            self.violation(self.now, format!("{name}: {path} was written although {why}"));
        }
    }
}

fn write_file(host: &mut SimHost, path: &str, mode: u32, payload: &Payload) -> OpResult {
    let (bytes, digest) = match payload {
        Payload::Text(text) => (Bytes::Text(text.clone()), Digest::of(text.as_bytes())),
        Payload::Secret(secret) => (Bytes::Secret(secret.clone()), digest_of(secret)),
    };
    if let Some(Entry { mode: old_mode, node: Node::File { digest: old, .. } }) = host.disk.get(path)
        && *old == digest
        && *old_mode == mode
    {
        host.disk.flush(path);
        return done(false);
    }
    if host.disk.is_directory(path) {
        return failed(format!("{path} is a directory"));
    }
    if let Some(directory) = parent(path)
        && !host.disk.is_directory(directory)
    {
        return failed(format!("{directory}: no such directory"));
    }
    host.disk.put_durable(path, Entry { mode, node: Node::File { bytes, digest } });
    done(true)
}

fn directory(host: &mut SimHost, path: &str, mode: u32) -> OpResult {
    if let Some(entry) = host.disk.get(path)
        && entry.mode == mode
        && host.disk.is_directory(path)
    {
        return done(false);
    }
    if host.disk.get(path).is_some() && !host.disk.is_directory(path) {
        return failed(format!("{path} is not a directory"));
    }
    host.disk.make_directories(path);
    host.disk.put(path, Entry::directory(mode));
    done(true)
}

fn link(host: &mut SimHost, path: &str, target: &str) -> OpResult {
    match host.disk.get(path).map(|entry| &entry.node) {
        Some(Node::Link(old)) if old == target => done(false),
        Some(Node::File { .. } | Node::Directory) => failed(format!("{path} is not a link")),
        Some(Node::Link(_)) | None => {
            host.disk.put(path, Entry { mode: 0o777, node: Node::Link(target.to_owned()) });
            done(true)
        }
    }
}

fn install(host: &mut SimHost, sha256: &str, path: &str, mode: u32) -> OpResult {
    let source = SimHost::artifact_path(sha256);
    let Some(Entry { node: Node::File { digest, .. }, .. }) = host.disk.get(&source) else {
        return failed(format!("{source}: no such file"));
    };
    if digest.to_string() != sha256 {
        return failed(format!("{source} has another hash"));
    }
    let digest = *digest;
    if let Some(Entry { mode: old_mode, node: Node::File { digest: old, .. } }) = host.disk.get(path)
        && *old == digest
        && *old_mode == mode
    {
        return done(false);
    }
    if let Some(directory) = parent(path)
        && !host.disk.is_directory(directory)
    {
        return failed(format!("{directory}: no such directory"));
    }
    host.disk.put_durable(path, Entry { mode, node: Node::File { bytes: Bytes::Artifact, digest } });
    done(true)
}
