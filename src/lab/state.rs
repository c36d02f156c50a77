//! What a lab is, on disk: its directory and the `lab.json` in it.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};
use serde::{Deserialize, Serialize};

use super::LabError;
use super::cgroup::CgroupLayout;
use super::names::{LabName, MachineName};
use super::network::Cut;
use super::rootfs::write;

/// Raised when an older keelwright could not read what this one writes.
const FORMAT: u32 = 1;

/// Everything that has to be known to find a lab again and to remove it. Written before what it
/// names is made, so that nothing is made that `down` does not know of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LabState {
    pub format: u32,
    pub name: LabName,
    /// The lab has 198.18.`subnet`.0/24.
    pub subnet: u8,
    /// Which root file system the machines' disks are changes to.
    pub rootfs: String,
    pub kubernetes_version: String,
    pub cgroups: CgroupLayout,
    pub users: Vec<User>,
    pub machines: Vec<Machine>,
    pub cuts: BTreeSet<Cut>,
}

/// A user of every machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    pub name: String,
    /// What sudo asks for; none if it asks for nothing.
    pub sudo_password: Option<String>,
}

/// One machine of a lab.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    pub name: MachineName,
    pub address: Ipv4Addr,
    pub ssh_port: u16,
    /// The public host key, as in known_hosts.
    pub host_key: String,
}

impl LabState {
    pub(crate) fn new(
        name: LabName,
        subnet: u8,
        rootfs: String,
        version: String,
        cgroups: CgroupLayout,
    ) -> Self {
        let user = |name: &str, password: Option<&str>| User {
            name: name.into(),
            sudo_password: password.map(Into::into),
        };
        LabState {
            format: FORMAT,
            name,
            subnet,
            rootfs,
            kubernetes_version: version,
            cgroups,
            users: vec![
                user("root", None),
                user("admin", None),
                user("deploy", Some(super::rootfs::DEPLOY_PASSWORD)),
            ],
            machines: Vec::new(),
            cuts: BTreeSet::new(),
        }
    }
}

/// Where the parts of a lab are on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LabPaths {
    labs: PathBuf,
    root: PathBuf,
}

impl LabPaths {
    pub(crate) fn new(cache: &Path, name: &LabName) -> Self {
        let labs = labs_directory(cache);
        LabPaths { root: labs.join(name.as_str()), labs }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn key(&self) -> PathBuf {
        self.root.join("id_ed25519")
    }

    pub(crate) fn known_hosts(&self) -> PathBuf {
        self.root.join("known_hosts")
    }

    pub(crate) fn inventory(&self) -> PathBuf {
        self.root.join("inventory.yaml")
    }

    pub(crate) fn machine(&self, machine: MachineName) -> PathBuf {
        self.root.join("machines").join(machine.to_string())
    }

    /// Limits that some lab raised; beside the labs because they are the whole system's.
    pub(crate) fn limits(&self) -> PathBuf {
        self.labs.join("limits.json")
    }

    fn state(&self) -> PathBuf {
        self.root.join("lab.json")
    }

    /// Reads the state; none if the lab is not there, or was left before it had any.
    pub(crate) fn load(&self) -> Result<Option<LabState>, LabError> {
        let path = self.state();
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(LabError::io("read", path, error)),
        };
        parse(&text, &path).map(Some)
    }

    /// Writes the state so that a reader sees the old one or the new one, whenever this is interrupted.
    pub(crate) fn save(&self, state: &LabState) -> Result<(), LabError> {
        let path = self.state();
        let text = serde_json::to_string_pretty(state)
            .map_err(|source| LabError::BadState { path: path.clone(), source })?;
        write_atomically(&path, &(text + "\n"), 0o600)
    }

    /// Waits for the right to change this lab; makes its directory if that is not there.
    pub(crate) fn lock(&self) -> Result<Lock, LabError> {
        loop {
            std::fs::create_dir_all(&self.root).map_err(|e| LabError::io("create", &self.root, e))?;
            // Private keys and the machines' disks are in here.
            let private = std::os::unix::fs::PermissionsExt::from_mode(0o700);
            let _ = std::fs::set_permissions(&self.root, private);
            let Some(lock) = Lock::directory(&self.root)? else { continue };
            return Ok(lock);
        }
    }

    /// Waits for the right to add or remove labs.
    pub(crate) fn lock_all(&self) -> Result<Lock, LabError> {
        loop {
            std::fs::create_dir_all(&self.labs).map_err(|e| LabError::io("create", &self.labs, e))?;
            if let Some(lock) = Lock::directory(&self.labs)? {
                return Ok(lock);
            }
        }
    }
}

/// A lock that goes with the process, so that a crash leaves none behind.
pub(crate) struct Lock {
    _held: Flock<std::fs::File>,
}

impl Lock {
    /// None if the directory was removed while this waited; whoever held it was `down`.
    fn directory(path: &Path) -> Result<Option<Lock>, LabError> {
        use std::os::unix::fs::MetadataExt;
        let Ok(file) = std::fs::File::open(path) else { return Ok(None) };
        let held = Flock::lock(file, FlockArg::LockExclusive)
            .map_err(|(_, errno)| LabError::io("lock", path, errno.into()))?;
        let locked = held.metadata().map_err(|e| LabError::io("look at", path, e))?.ino();
        let still_there = std::fs::metadata(path).is_ok_and(|now| now.ino() == locked);
        Ok(still_there.then_some(Lock { _held: held }))
    }
}

fn parse(text: &str, path: &Path) -> Result<LabState, LabError> {
    #[derive(Deserialize)]
    struct Head {
        format: u32,
    }
    let bad = |source| LabError::BadState { path: path.to_owned(), source };
    // The format first: what another one looks like cannot be known.
    let found = serde_json::from_str::<Head>(text).map_err(bad)?.format;
    if found != FORMAT {
        return Err(LabError::OtherFormat { path: path.to_owned(), found, known: FORMAT });
    }
    serde_json::from_str(text).map_err(bad)
}

/// Replaces a file in one step.
pub(crate) fn write_atomically(path: &Path, content: &str, mode: u32) -> Result<(), LabError> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let new = path.with_file_name(name);
    write(&new, content, mode)?;
    std::fs::rename(&new, path).map_err(|e| LabError::io("rename", new, e))
}

/// Where all labs are.
pub(crate) fn labs_directory(cache: &Path) -> PathBuf {
    cache.join("labs")
}

/// The names of the labs there are, also of those that were left half made.
pub(crate) fn names(cache: &Path) -> Result<BTreeSet<LabName>, LabError> {
    let directory = labs_directory(cache);
    match std::fs::read_dir(&directory) {
        Ok(entries) => Ok(entries
            .flatten()
            .filter(|entry| entry.path().is_dir())
            .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
            .collect()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(BTreeSet::new()),
        Err(error) => Err(LabError::io("read", directory, error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state() -> LabState {
        let cgroups = CgroupLayout::V1 { directories: vec!["/sys/fs/cgroup/pids/x".into()] };
        let mut state = LabState::new("lab".parse().unwrap(), 1, "0123".into(), "v1.37.1".into(), cgroups);
        let name: MachineName = "cp-1".parse().unwrap();
        state.machines.push(Machine {
            name,
            address: name.address(1),
            ssh_port: 22,
            host_key: "ssh-ed25519 AAAA".into(),
        });
        state.cuts.insert(Cut::new("cp-1".parse().unwrap(), "operator".parse().unwrap()).unwrap());
        state
    }

    #[test]
    fn state_reads_back() {
        let text = serde_json::to_string(&state()).unwrap();
        assert_eq!(parse(&text, Path::new("lab.json")).unwrap(), state());
    }

    #[test]
    fn another_format_is_refused_by_name_and_nonsense_by_position() {
        let error = parse(r#"{"format": 9, "machines": 3}"#, Path::new("lab.json")).unwrap_err();
        assert!(matches!(error, LabError::OtherFormat { found: 9, known: 1, .. }));
        assert!(matches!(parse("{", Path::new("lab.json")).unwrap_err(), LabError::BadState { .. }));
    }

    #[test]
    fn a_name_in_the_state_that_leaves_the_lab_is_refused() {
        let text = serde_json::to_string(&state()).unwrap().replace("\"lab\"", "\"../x\"");
        assert!(matches!(parse(&text, Path::new("lab.json")), Err(LabError::BadState { .. })));
    }
}
