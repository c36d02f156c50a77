//! What can go wrong in the lab, and what to do about each.

use std::net::Ipv4Addr;
use std::path::PathBuf;

use super::names::{LabName, MachineName};

/// Who has to act on a [`LabError`]; the command line turns it into an exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LabErrorKind {
    /// What was asked for does not make sense here; nothing was touched.
    Usage,
    /// A machine is there and does not answer.
    Unreachable,
    /// Something was tried and failed.
    Failed,
}

/// A tool of the outside that the lab calls, and the Debian package it comes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MissingTool {
    pub tool: &'static str,
    pub package: &'static str,
}

/// Why a lab command stopped.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    #[error("the lab makes namespaces and mounts, which takes root on Linux")]
    NotRoot,
    #[error("this system lacks {}", missing.iter().map(|m| m.tool).collect::<Vec<_>>().join(", "))]
    MissingTools { missing: Vec<MissingTool> },
    #[error("the kernel has no {what}")]
    Kernel { what: &'static str },
    #[error("{path} is on an overlay file system, which cannot hold another one's changes")]
    CacheOnOverlay { path: PathBuf },
    #[error("`{value}` is not a {what}: {why}")]
    BadName { what: &'static str, value: String, why: &'static str },
    #[error("a lab has at most {limit} {role} machines, not {asked}")]
    TooMany { role: &'static str, limit: u8, asked: u8 },
    #[error("there is no lab `{name}`")]
    NoLab { name: LabName },
    #[error("lab `{lab}` has no machine `{machine}`")]
    NoMachine { lab: LabName, machine: String, known: Vec<MachineName> },
    #[error("`{machine}` cannot be cut from itself")]
    CutFromItself { machine: String },
    #[error("apt's sources name no Debian mirror")]
    NoMirror,
    #[error("all of 198.18.0.0/16 is taken")]
    NoSubnet,
    #[error("cannot tell how control groups are mounted: {why}")]
    Cgroups { why: String },
    #[error("cannot {action} {path}")]
    Io { action: &'static str, path: PathBuf, source: std::io::Error },
    #[error("cannot run {tool}")]
    Spawn { tool: String, source: std::io::Error },
    #[error("`{command}` failed ({status}): {output}")]
    Tool { command: String, status: String, output: String },
    #[error("{path} is not the state of a lab")]
    BadState { path: PathBuf, source: serde_json::Error },
    #[error("{path} was written by another version of keelwright (format {found}, this one reads {known})")]
    OtherFormat { path: PathBuf, found: u32, known: u32 },
    #[error("{path}, which the lab's disks are changes to, is gone")]
    RootfsGone { path: PathBuf },
    #[error("cannot make an SSH key: {why}")]
    Key { why: String },
    #[error("{machine} stopped while it booted (exit code {code}): {log}")]
    BootFailed { machine: MachineName, code: String, log: String, log_path: PathBuf },
    #[error("{machine} ({address}) did not answer on port 22 within {seconds} s")]
    NoSsh { machine: MachineName, address: Ipv4Addr, seconds: u64, log_path: PathBuf },
    #[error("{machine} still has processes {pids:?} {seconds} s after they were killed")]
    StillRunning { machine: MachineName, pids: Vec<i32>, seconds: u64 },
    #[error("{machine} did not {action} within {seconds} s")]
    Stuck { machine: MachineName, action: &'static str, seconds: u64 },
    #[error("{machine} is {status}, so it cannot be {action}")]
    WrongStatus { machine: MachineName, status: &'static str, action: &'static str },
    #[error("{} of {total} machines failed: {}", failed.len(), join(failed))]
    Machines { total: usize, failed: Vec<LabError> },
}

fn join(failed: &[LabError]) -> String {
    failed
        .iter()
        .map(|error| match std::error::Error::source(error) {
            Some(source) => format!("{error}: {source}"),
            None => error.to_string(),
        })
        .collect::<Vec<_>>()
        .join("; ")
}

impl LabError {
    pub(crate) fn io(action: &'static str, path: impl Into<PathBuf>, source: std::io::Error) -> Self {
        LabError::Io { action, path: path.into(), source }
    }

    /// Who has to act.
    pub fn kind(&self) -> LabErrorKind {
        match self {
            LabError::NotRoot
            | LabError::MissingTools { .. }
            | LabError::Kernel { .. }
            | LabError::CacheOnOverlay { .. }
            | LabError::BadName { .. }
            | LabError::TooMany { .. }
            | LabError::NoLab { .. }
            | LabError::NoMachine { .. }
            | LabError::CutFromItself { .. }
            | LabError::NoMirror
            | LabError::WrongStatus { .. } => LabErrorKind::Usage,
            LabError::NoSsh { .. } => LabErrorKind::Unreachable,
            LabError::NoSubnet
            | LabError::Cgroups { .. }
            | LabError::Io { .. }
            | LabError::Spawn { .. }
            | LabError::Tool { .. }
            | LabError::BadState { .. }
            | LabError::OtherFormat { .. }
            | LabError::RootfsGone { .. }
            | LabError::Key { .. }
            | LabError::BootFailed { .. }
            | LabError::StillRunning { .. }
            | LabError::Stuck { .. } => LabErrorKind::Failed,
            LabError::Machines { failed, .. } => {
                if failed.iter().all(|error| error.kind() == LabErrorKind::Unreachable) {
                    LabErrorKind::Unreachable
                } else {
                    LabErrorKind::Failed
                }
            }
        }
    }

    /// What to do next: a sentence, or a sentence and a command on a line of its own.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            LabError::NotRoot => "run it again as root: sudo keelwright lab ...".to_owned(),
            LabError::MissingTools { missing } => {
                let mut packages: Vec<_> = missing.iter().map(|m| m.package).collect();
                packages.dedup();
                format!(
                    "install what is missing, or pass --install-missing\n    apt-get install {}",
                    packages.join(" ")
                )
            }
            LabError::CacheOnOverlay { .. } => {
                "set KEELWRIGHT_CACHE to a directory on a disk (ext4, xfs, btrfs) or a volume".to_owned()
            }
            LabError::NoLab { .. } => "see which labs there are\n    keelwright lab list".to_owned(),
            LabError::NoMachine { known, .. } => format!(
                "its machines are {}",
                known.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
            ),
            LabError::NoMirror => "name one\n    keelwright lab up --mirror http://MIRROR/debian".to_owned(),
            LabError::NoSubnet => "remove a lab\n    keelwright lab down --name NAME".to_owned(),
            LabError::BootFailed { log_path, .. } => format!("read {}", log_path.display()),
            LabError::NoSsh { machine, log_path, .. } => format!(
                "read {}, then start it again\n    keelwright lab reboot {machine} --hard",
                log_path.display()
            ),
            LabError::WrongStatus { machine, .. } => {
                format!("start it first\n    keelwright lab reboot {machine}")
            }
            LabError::OtherFormat { .. } => "remove the lab with the version that made it".to_owned(),
            LabError::RootfsGone { .. } | LabError::StillRunning { .. } => {
                "remove the lab and make it again\n    keelwright lab down".to_owned()
            }
            LabError::Machines { failed, .. } => return failed.iter().find_map(LabError::hint),
            LabError::Kernel { .. }
            | LabError::BadName { .. }
            | LabError::TooMany { .. }
            | LabError::CutFromItself { .. }
            | LabError::Cgroups { .. }
            | LabError::Io { .. }
            | LabError::Spawn { .. }
            | LabError::Tool { .. }
            | LabError::BadState { .. }
            | LabError::Key { .. }
            | LabError::Stuck { .. } => return None,
        };
        Some(hint)
    }
}
