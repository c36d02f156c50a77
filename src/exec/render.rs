//! Turns a host script into what one SSH exec carries: a launcher, and a tar stream of the
//! generated shell script and the files' bytes.
//!
//! docs/ssh.md ("How a stage runs") tells the same for operators. On the host, `/run/keelwright/ID`
//! (0700, in memory) is the stage: `script`, `files/N`, `lock`, `running`, `progress`, `log`,
//! `status`.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use secrecy::ExposeSecret;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::command::{Command, quote};
use crate::script::{HostScript, Op, Payload};

const LAUNCHER: &str = include_str!("shell/launcher.sh");
const LIBRARY: &str = include_str!("shell/library.sh");

/// Where keelwright keeps its own things on a host, and who owns what it writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// In memory, gone after a reboot: stages that run, and results nobody has fetched yet.
    pub run: String,
    /// Kept: the fencing epoch and the artifact store.
    pub state: String,
    pub uid: u32,
    pub gid: u32,
}

impl Default for Layout {
    fn default() -> Self {
        Layout { run: "/run/keelwright".into(), state: "/var/lib/keelwright".into(), uid: 0, gid: 0 }
    }
}

/// A stage that can be sent.
pub struct RenderedStage {
    /// The tar stream; wiped when dropped, because secret files are in it.
    pub payload: Zeroizing<Vec<u8>>,
    size: usize,
    id: String,
    epoch: u64,
    deadline: u32,
    layout: Layout,
}

/// A host script that cannot be run as it stands.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RenderError {
    #[error("stage id {0:?} is not 1 to 128 letters, digits, '.', '_' or '-', the first a letter or digit")]
    Id(String),
    #[error("epoch {0} is too large for a shell")]
    Epoch(u64),
    #[error("operation {op}: path {path:?} is not absolute and plain (no '//', '.', '..', newline or NUL)")]
    Path { op: usize, path: String },
    #[error("operation {op}: mode {mode:o} is more than permission bits")]
    Mode { op: usize, mode: u32 },
    #[error("operation {op}: {sha256:?} is not a SHA-256 in lower-case hex")]
    Hash { op: usize, sha256: String },
    #[error("operation {op}: a command needs a program that has no '=' in its name, and no NUL in its words")]
    Command { op: usize },
    #[error("operation {op}: a link's target cannot be empty or hold a NUL")]
    Target { op: usize },
    #[error("operation {op}: a secret file cannot be part of a script that is kept")]
    Secret { op: usize },
}

/// Renders a stage.
pub fn render_stage(script: &HostScript, layout: &Layout) -> Result<RenderedStage, RenderError> {
    if !is_stage_id(&script.id) {
        return Err(RenderError::Id(script.id.clone()));
    }
    if script.epoch > i64::MAX as u64 {
        return Err(RenderError::Epoch(script.epoch));
    }
    let text = script_text(script, layout)?;
    let payload = archive(&text, &script.ops);
    Ok(RenderedStage {
        size: payload.len(),
        payload,
        id: script.id.clone(),
        epoch: script.epoch,
        deadline: script.deadline,
        layout: layout.clone(),
    })
}

impl RenderedStage {
    pub fn id(&self) -> &str {
        &self.id
    }

    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The launcher's text. `eager`: the payload follows without being asked for. `boot`: what the
    /// host's boot id was when the stage may have been started, so that it is not started anew
    /// after a reboot.
    pub fn launcher(&self, eager: bool, boot: Option<&str>) -> String {
        format!(
            "R={}\nS={}\nid={}\nepoch={}\ndeadline={}\nsize={}\neager={}\nboot={}\n{LAUNCHER}",
            quote(&self.layout.run),
            quote(&self.layout.state),
            quote(&self.id),
            self.epoch,
            self.deadline.max(1),
            self.size,
            u8::from(eager),
            quote(boot.unwrap_or_default()),
        )
    }
}

/// A stage as shell text that any machine can run as it is, with no connection to anybody: it makes the stage's
/// directory, runs the stage in the foreground, and ends with the stage's log when it fails.
///
/// # Errors
/// [`RenderError::Secret`] where a file is secret: this text is no place for it.
pub fn standalone(script: &HostScript, layout: &Layout) -> Result<String, RenderError> {
    if !is_stage_id(&script.id) {
        return Err(RenderError::Id(script.id.clone()));
    }
    let directory = quote(&format!("{}/{}", layout.run, script.id));
    let mut text = format!("stage={directory}\nrm -rf \"$stage\" && mkdir -p \"$stage/files\"\n");
    for (op, operation) in script.ops.iter().enumerate() {
        match operation {
            Op::WriteFile { payload: Payload::Text(content), .. } => {
                here(&mut text, &format!("\"$stage/files/{op}\""), content);
            }
            Op::WriteFile { payload: Payload::Secret(_), .. } => return Err(RenderError::Secret { op }),
            _ => {}
        }
    }
    here(&mut text, "\"$stage/script\"", &script_text(script, layout)?);
    text.push_str(
        "sh \"$stage/script\"\n[ \"$(cat \"$stage/status\")\" = 0 ] || { cat \"$stage/log\"; exit 1; }\n",
    );
    Ok(text)
}

/// Writes a file with exactly this content.
fn here(text: &mut String, path: &str, content: &str) {
    const END: &str = "END-OF-FILE";
    let plain = content.ends_with('\n') && content.lines().all(|line| line != END);
    // invariant: writing to a String cannot fail
    let _ = if plain {
        writeln!(text, "cat >{path} <<'{END}'\n{content}{END}")
    } else {
        writeln!(text, "printf %s {} >{path}", quote(content))
    };
}

/// Whether a name is fit for a directory and a systemd unit.
fn is_stage_id(id: &str) -> bool {
    id.len() <= 128
        && id.starts_with(|c: char| c.is_ascii_alphanumeric())
        && id.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
        && !id.ends_with(".done")
}

/// The generated script: settings, the library, one call per operation or run of file operations.
fn script_text(script: &HostScript, layout: &Layout) -> Result<String, RenderError> {
    let mut text = format!(
        "#!/bin/sh\nR={}\nS={}\nD={}\nepoch={}\nuid={}\ngid={}\n{LIBRARY}",
        quote(&layout.run),
        quote(&layout.state),
        quote(&format!("{}/{}", layout.run, script.id)),
        script.epoch,
        layout.uid,
        layout.gid,
    );
    let mut group = FileGroup::default();
    for (op, operation) in script.ops.iter().enumerate() {
        let entry = FileEntry::of(op, operation)?;
        if let Some(entry) = entry {
            // A path that comes twice would be compared before its first write.
            if group.paths.contains(entry.path) {
                group.flush(&mut text);
            }
            group.push(op, entry);
            continue;
        }
        group.flush(&mut text);
        single(&mut text, op, operation)?;
    }
    group.flush(&mut text);
    text.push_str("finish 0\n");
    Ok(text)
}

/// One call for an operation that is not part of a run of files.
fn single(text: &mut String, op: usize, operation: &Op) -> Result<(), RenderError> {
    // invariant: writing to a String cannot fail, so the results of write! are dropped here.
    match operation {
        Op::WriteFile { .. } | Op::Directory { .. } => {}
        Op::Link { path, target } => {
            check_path(op, path)?;
            if target.is_empty() || target.contains('\0') {
                return Err(RenderError::Target { op });
            }
            let _ = writeln!(text, "link {op} {} {}", quote(path), quote(target));
        }
        Op::Remove { path, recursive } => {
            check_path(op, path)?;
            let how = if *recursive { "recursive" } else { "single" };
            let _ = writeln!(text, "remove {op} {} {how}", quote(path));
        }
        Op::Install { sha256, member, path, mode } => {
            check_path(op, path)?;
            check_mode(op, *mode)?;
            if sha256.len() != 64 || !sha256.chars().all(|c| matches!(c, '0'..='9' | 'a'..='f')) {
                return Err(RenderError::Hash { op, sha256: sha256.clone() });
            }
            let member = quote(member.as_deref().unwrap_or_default());
            let _ = writeln!(text, "artifact {op} {sha256} {member} {} {mode:o}", quote(path));
        }
        Op::Run { command, because: _ } => {
            let _ = writeln!(text, "run {op} {}", words(op, command)?);
        }
        Op::Await { command, what, deadline } => {
            let _ = writeln!(text, "await {op} {deadline} {} {}", quote(what), words(op, command)?);
        }
    }
    Ok(())
}

/// A command's words; an empty one stays a word.
fn words(op: usize, command: &Command) -> Result<String, RenderError> {
    let program = command.argv.first().ok_or(RenderError::Command { op })?;
    if program.is_empty() || program.contains('=') || command.argv.iter().any(|w| w.contains('\0')) {
        return Err(RenderError::Command { op });
    }
    Ok(command.to_shell())
}

/// A file or directory operation as the library's `files` takes it.
struct FileEntry<'a> {
    kind: char,
    path: &'a str,
    mode: u32,
    sum: String,
}

impl<'a> FileEntry<'a> {
    fn of(op: usize, operation: &'a Op) -> Result<Option<Self>, RenderError> {
        let entry = match operation {
            Op::WriteFile { path, mode, payload } => {
                let sum = hex::encode(Sha256::digest(bytes(payload)));
                FileEntry { kind: 'f', path, mode: *mode, sum }
            }
            Op::Directory { path, mode } => FileEntry { kind: 'd', path, mode: *mode, sum: "-".into() },
            Op::Link { .. } | Op::Remove { .. } | Op::Install { .. } => return Ok(None),
            Op::Run { .. } | Op::Await { .. } => return Ok(None),
        };
        check_path(op, entry.path)?;
        check_mode(op, entry.mode)?;
        Ok(Some(entry))
    }
}

/// A run of file operations that is compared, written, flushed and renamed together.
#[derive(Default)]
struct FileGroup<'a> {
    first: usize,
    paths: BTreeSet<&'a str>,
    calls: String,
}

impl<'a> FileGroup<'a> {
    fn push(&mut self, op: usize, entry: FileEntry<'a>) {
        if self.paths.is_empty() {
            self.first = op;
        }
        self.paths.insert(entry.path);
        let _ =
            write!(self.calls, " \\\n\t{} {} {:o} {}", entry.kind, quote(entry.path), entry.mode, entry.sum);
    }

    fn flush(&mut self, text: &mut String) {
        if !self.paths.is_empty() {
            let _ = writeln!(text, "files {} {}{}", self.first, self.paths.len(), self.calls);
        }
        *self = FileGroup::default();
    }
}

fn check_path(op: usize, path: &str) -> Result<(), RenderError> {
    let plain = path
        .strip_prefix('/')
        .is_some_and(|rest| !rest.is_empty() && rest.split('/').all(|part| !matches!(part, "" | "." | "..")));
    if plain && !path.contains(['\0', '\n']) {
        Ok(())
    } else {
        Err(RenderError::Path { op, path: path.to_owned() })
    }
}

fn check_mode(op: usize, mode: u32) -> Result<(), RenderError> {
    if mode <= 0o7777 { Ok(()) } else { Err(RenderError::Mode { op, mode }) }
}

fn bytes(payload: &Payload) -> &[u8] {
    match payload {
        Payload::Text(text) => text.as_bytes(),
        Payload::Secret(secret) => secret.expose_secret(),
    }
}

/// The tar stream. `complete` comes last: a stream cut between two members is no stage.
fn archive(script: &str, ops: &[Op]) -> Zeroizing<Vec<u8>> {
    let files = || {
        ops.iter().enumerate().filter_map(|(op, operation)| match operation {
            Op::WriteFile { payload, .. } => Some((format!("files/{op}"), bytes(payload))),
            Op::Directory { .. } | Op::Link { .. } | Op::Remove { .. } => None,
            Op::Install { .. } | Op::Run { .. } | Op::Await { .. } => None,
        })
    };
    // Room for everything at once: a vector that grows leaves copies of secrets behind.
    let room = files().map(|(_, content)| content.len() + 1536).sum::<usize>() + script.len() + 8192;
    let mut out = Zeroizing::new(Vec::with_capacity(room));
    member(&mut out, "files/", b"", true);
    member(&mut out, "script", script.as_bytes(), false);
    for (name, content) in files() {
        member(&mut out, &name, content, false);
    }
    member(&mut out, "complete", b"", false);
    out.extend_from_slice(&[0; 1024]);
    out
}

/// One ustar member, owned by root and readable by nobody else.
fn member(out: &mut Vec<u8>, name: &str, content: &[u8], directory: bool) {
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(if directory { tar::EntryType::Directory } else { tar::EntryType::Regular });
    // invariant: names are ours and short, so the path always fits.
    let _ = header.set_path(name);
    header.set_mode(if directory { 0o700 } else { 0o600 });
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(content.len() as u64);
    header.set_cksum();
    out.extend_from_slice(header.as_bytes());
    out.extend_from_slice(content);
    out.resize(out.len().next_multiple_of(512), 0);
}

#[cfg(test)]
#[path = "render_tests.rs"]
mod tests;
