//! Throwaway machines on this Linux box (systemd-nspawn): real systemd, sshd and kernel network.
//!
//! [`Lab::up`] makes a lab or puts right what is there of it; everything else is an action on a
//! [`Lab`]. docs/lab.md explains how the machines are made.

mod apt;
mod cgroup;
mod error;
mod host;
mod inventory;
mod keys;
mod machine;
mod names;
mod network;
mod rootfs;
mod state;
mod tool;
mod up;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

pub use apt::Mirror;
pub use error::{LabError, LabErrorKind, MissingTool};
pub use host::{is_root, missing_tools};
pub use machine::Status;
pub use names::{LabName, MachineName, Role};
pub use network::{Cut, End};
pub use state::{Machine, User};
pub use up::LabSpec;

use machine::Handle;
use state::{LabPaths, LabState};

/// How long to let go of the processor between two looks at a condition that is being waited for.
const POLL: Duration = Duration::from_millis(20);

/// Where a lab tells what it is doing: which machine (none: the lab as a whole), and what.
pub struct Progress {
    say: Box<Say>,
}

type Say = dyn Fn(Option<MachineName>, &str) + Send + Sync;

impl Progress {
    /// Sends what happens to a function; machines' threads call it as they come.
    pub fn new(say: impl Fn(Option<MachineName>, &str) + Send + Sync + 'static) -> Self {
        Progress { say: Box::new(say) }
    }

    /// Keeps quiet.
    pub fn none() -> Self {
        Progress::new(|_, _| {})
    }

    fn say(&self, machine: Option<MachineName>, what: &str) {
        (self.say)(machine, what);
    }
}

/// A lab: machines with one network and one operator's key.
#[derive(Debug, Clone)]
pub struct Lab {
    cache: PathBuf,
    paths: LabPaths,
    state: LabState,
}

impl Lab {
    /// Makes a lab, or adds to one what the specification has more of, starts what is off, and
    /// changes nothing else. Returns when every machine that is not paused answers on SSH.
    pub fn up(spec: &LabSpec, progress: &Progress) -> Result<Lab, LabError> {
        up::up(spec, progress)
    }

    /// The root file system that machines are made of, made when it is not there yet. Needs root.
    pub fn rootfs(cache: &Path, progress: &Progress) -> Result<PathBuf, LabError> {
        rootfs::ensure(cache, || apt::find_mirror(Path::new("/etc/apt")), progress)
    }

    /// Finds a lab by its name; `cache` is keelwright's cache directory.
    pub fn open(cache: &Path, name: &LabName) -> Result<Lab, LabError> {
        let paths = LabPaths::new(cache, name);
        let state = paths.load()?.ok_or_else(|| LabError::NoLab { name: name.clone() })?;
        Ok(Lab { cache: cache.to_owned(), paths, state })
    }

    /// The names of all labs, also of those left half made, which [`Lab::remove`] can remove.
    pub fn names(cache: &Path) -> Result<BTreeSet<LabName>, LabError> {
        state::names(cache)
    }

    /// The lab's name.
    pub fn name(&self) -> &LabName {
        &self.state.name
    }

    /// Its machines, by role and number.
    pub fn machines(&self) -> &[Machine] {
        &self.state.machines
    }

    /// The users every machine has.
    pub fn users(&self) -> &[User] {
        &self.state.users
    }

    /// Who does not hear whom.
    pub fn cuts(&self) -> &BTreeSet<Cut> {
        &self.state.cuts
    }

    /// The lab's directory: state, keys, inventory and disks.
    pub fn directory(&self) -> &Path {
        self.paths.root()
    }

    /// The operator's private key.
    pub fn key(&self) -> PathBuf {
        self.paths.key()
    }

    /// A known_hosts file with all machines' keys.
    pub fn known_hosts(&self) -> PathBuf {
        self.paths.known_hosts()
    }

    /// The inventory that [`Lab::up`] writes unless told another place.
    pub fn inventory(&self) -> PathBuf {
        self.paths.inventory()
    }

    /// Whether a machine runs.
    pub fn status(&self, machine: MachineName) -> Result<Status, LabError> {
        Ok(self.handle(machine)?.status())
    }

    /// Freezes a machine: it keeps its connections and answers nothing.
    pub fn pause(&self, machine: MachineName) -> Result<(), LabError> {
        let _lock = self.paths.lock()?;
        self.handle(machine)?.set_paused(true)
    }

    /// Thaws a machine.
    pub fn resume(&self, machine: MachineName) -> Result<(), LabError> {
        let _lock = self.paths.lock()?;
        self.handle(machine)?.set_paused(false)
    }

    /// Cuts a machine's power: it is gone at once, its disk stays as it was at that moment.
    pub fn kill(&self, machine: MachineName) -> Result<(), LabError> {
        let _lock = self.paths.lock()?;
        self.handle(machine)?.kill()
    }

    /// Boots a machine again, by a power cut if `hard`; one that is off is started. Returns when it
    /// answers on SSH.
    pub fn reboot(&self, machine: MachineName, hard: bool) -> Result<(), LabError> {
        let _lock = self.paths.lock()?;
        let handle = self.handle(machine)?;
        match (handle.status(), hard) {
            (Status::Off, _) => handle.start()?,
            // A frozen machine cannot shut down.
            (Status::Paused, _) | (Status::Running, true) => {
                handle.kill()?;
                handle.start()?;
            }
            (Status::Running, false) => handle.shut_down_for_reboot()?,
        }
        handle.wait_for_ssh()
    }

    /// Drops everything between two ends, both ways; stays across reboots.
    pub fn cut(&mut self, one: End, other: End) -> Result<(), LabError> {
        self.change_cuts(one, other, |cuts, cut| cuts.insert(cut))
    }

    /// Takes a cut back.
    pub fn mend(&mut self, one: End, other: End) -> Result<(), LabError> {
        self.change_cuts(one, other, |cuts, cut| cuts.remove(&cut))
    }

    fn change_cuts(
        &mut self,
        one: End,
        other: End,
        change: impl FnOnce(&mut BTreeSet<Cut>, Cut) -> bool,
    ) -> Result<(), LabError> {
        let cut = Cut::new(one, other)?;
        for end in cut.ends() {
            match end {
                End::Operator => {}
                End::Machine(machine) => drop(self.handle(machine)?),
            }
        }
        let _lock = self.paths.lock()?;
        // Another command may have changed the cuts since this lab was opened.
        self.state = Lab::open(&self.cache, &self.state.name)?.state;
        change(&mut self.state.cuts, cut);
        self.paths.save(&self.state)?;
        network::apply_cuts(self.state.subnet, self.state.cuts.iter().copied())
    }

    /// An `ssh` command to a machine that trusts exactly the machine's own key.
    pub fn ssh(&self, machine: MachineName, user: &str) -> Result<Command, LabError> {
        let handle = self.handle(machine)?;
        let mut command = Command::new("ssh");
        // -F none: the operator's own configuration must not send this elsewhere.
        command.args(["-F", "none", "-o", "StrictHostKeyChecking=yes", "-o", "IdentitiesOnly=yes"]);
        command.args(["-o", "GlobalKnownHostsFile=none", "-o", "ConnectTimeout=10", "-o", "LogLevel=ERROR"]);
        command.arg("-o").arg(format!("UserKnownHostsFile={}", self.known_hosts().display()));
        command.arg("-i").arg(self.key()).arg("-p").arg(handle.machine.ssh_port.to_string());
        command.arg(format!("{user}@{}", handle.machine.address));
        Ok(command)
    }

    /// Removes the lab and everything that belongs to it.
    pub fn down(self) -> Result<(), LabError> {
        Lab::remove(&self.cache, &self.state.name, &Progress::none())
    }

    /// Removes a lab by name, whatever state it was left in.
    pub fn remove(cache: &Path, name: &LabName, progress: &Progress) -> Result<(), LabError> {
        let paths = LabPaths::new(cache, name);
        if !paths.root().exists() {
            return Err(LabError::NoLab { name: name.clone() });
        }
        // All labs: the last one to go puts the system's limits back.
        let _all = paths.lock_all()?;
        let _lock = paths.lock()?;
        if let Some(state) = paths.load()? {
            let lab = Lab { cache: cache.to_owned(), paths: paths.clone(), state };
            lab.in_parallel(&lab.state.machines, |handle| {
                handle.kill()?;
                progress.say(Some(handle.machine.name), "gone");
                Ok(())
            })?;
            host::forget_bridged_traffic(&network::bridge(lab.state.subnet));
            network::remove_bridge(lab.state.subnet)?;
            lab.state.cgroups.remove()?;
        }
        // Without a state nothing but this directory was ever made.
        rootfs::remove_tree(paths.root())?;
        if state::names(cache)?.is_empty() {
            host::restore_limits(&host::remembered_limits(&paths.limits()));
            rootfs::remove_tree(&state::labs_directory(cache))?;
        }
        Ok(())
    }

    fn handle(&self, machine: MachineName) -> Result<Handle<'_>, LabError> {
        let found = self.state.machines.iter().find(|known| known.name == machine);
        let machine = found.ok_or_else(|| LabError::NoMachine {
            lab: self.state.name.clone(),
            machine: machine.to_string(),
            known: self.state.machines.iter().map(|known| known.name).collect(),
        })?;
        Ok(self.handle_of(machine))
    }

    fn handle_of<'a>(&'a self, machine: &'a Machine) -> Handle<'a> {
        Handle {
            state: &self.state,
            machine,
            directory: self.paths.machine(machine.name),
            rootfs: self.cache.join("rootfs").join(&self.state.rootfs),
        }
    }

    /// Does the same to several machines at once; one machine's failure does not hide another's.
    fn in_parallel(
        &self,
        machines: &[Machine],
        action: impl Fn(&Handle<'_>) -> Result<(), LabError> + Sync,
    ) -> Result<(), LabError> {
        let action = &action;
        let mut failed: Vec<LabError> = std::thread::scope(|scope| {
            let threads: Vec<_> = machines
                .iter()
                .map(|machine| scope.spawn(move || action(&self.handle_of(machine))))
                .collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
                .filter_map(Result::err)
                .collect()
        });
        match failed.len() {
            0 => Ok(()),
            1 => Err(failed.remove(0)),
            _ => Err(LabError::Machines { total: machines.len(), failed }),
        }
    }
}
