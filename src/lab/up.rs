//! Makes a lab, or puts right what is there of it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::machine::{self, Status};
use super::names::{LabName, MachineName, Role};
use super::rootfs::{self, write};
use super::state::{self, LabPaths, LabState, Machine, write_atomically};
use super::{Lab, LabError, Mirror, Progress, apt, cgroup, host, inventory, keys, network};

/// What a lab should have at least.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabSpec {
    /// keelwright's cache directory: the root file system and the labs are in it.
    pub cache: PathBuf,
    pub name: LabName,
    /// How many machines of each role; machines beyond that stay.
    pub counts: BTreeMap<Role, u8>,
    /// Into the inventory, as `vX.Y.Z`; none leaves what the lab has.
    pub kubernetes_version: Option<String>,
    /// Where to write the inventory; the lab's directory if none.
    pub inventory: Option<PathBuf>,
    /// Where Debian comes from; this system's apt sources tell if none.
    pub mirror: Option<String>,
    /// Install the tools that are missing instead of naming them.
    pub install_missing: bool,
}

/// The version a lab's inventory asks for unless told another.
const KUBERNETES_VERSION: &str = "v1.37.1";

impl LabSpec {
    /// A lab of so many control planes and workers, everything else by default.
    pub fn new(cache: impl Into<PathBuf>, name: LabName, control_planes: u8, workers: u8) -> Self {
        LabSpec {
            cache: cache.into(),
            name,
            counts: BTreeMap::from([(Role::ControlPlane, control_planes), (Role::Worker, workers)]),
            kubernetes_version: None,
            inventory: None,
            mirror: None,
            install_missing: false,
        }
    }

    /// The names of the machines there should be, in order.
    fn machines(&self) -> Result<Vec<MachineName>, LabError> {
        let mut names = Vec::new();
        for (role, count) in &self.counts {
            for number in 1..=*count {
                names.push(MachineName::new(*role, number).map_err(|_| LabError::TooMany {
                    role: role.prefix(),
                    limit: role.limit(),
                    asked: *count,
                })?);
            }
        }
        Ok(names)
    }
}

/// See [`Lab::up`].
pub(super) fn up(spec: &LabSpec, progress: &Progress) -> Result<Lab, LabError> {
    let wanted = spec.machines()?;
    host::check(&spec.cache, spec.install_missing, progress)?;
    let rootfs = rootfs::ensure(&spec.cache, || mirror(spec), progress)?;
    let paths = LabPaths::new(&spec.cache, &spec.name);
    let all = paths.lock_all()?;
    let _lock = paths.lock()?;
    let mut lab = open_or_create(spec, &paths, &rootfs)?;
    host::remember_limits(&paths.limits(), host::raise_limits(progress))?;
    drop(all); // others may choose their subnet while ours boots

    network::ensure_bridge(lab.state.subnet)?;
    host::allow_bridged_traffic(&network::bridge(lab.state.subnet))?;
    network::apply_cuts(lab.state.subnet, lab.state.cuts.iter().copied())?;
    add_machines(&mut lab, &wanted)?;
    start_machines(&lab, progress)?;
    let target = spec.inventory.clone().unwrap_or_else(|| paths.inventory());
    write_atomically(&target, &inventory::render(&lab.state, &paths.key())?, 0o644)?;
    Ok(lab)
}

fn mirror(spec: &LabSpec) -> Result<Mirror, LabError> {
    match &spec.mirror {
        Some(uri) => Ok(Mirror { uri: uri.clone(), keyring: None }),
        None => apt::find_mirror(Path::new("/etc/apt")),
    }
}

/// The lab as it is written down, or a new one, written down.
fn open_or_create(spec: &LabSpec, paths: &LabPaths, rootfs: &Path) -> Result<Lab, LabError> {
    let detected = cgroup::CgroupLayout::detect(&spec.name)?;
    let state = match paths.load()? {
        Some(mut state) => {
            // Another recipe since: these machines' disks are changes to the old one.
            let own = spec.cache.join("rootfs").join(&state.rootfs);
            if !own.exists() {
                return Err(LabError::RootfsGone { path: own });
            }
            let lab = Lab { cache: spec.cache.clone(), paths: paths.clone(), state: state.clone() };
            let is_off = |machine: &Machine| lab.handle_of(machine).status() == Status::Off;
            // While nothing runs the lab may move to where this `up` runs: the group it was first
            // made in may have ended, as a login session's does.
            if state.cgroups != detected && state.machines.iter().all(is_off) {
                state.cgroups.remove()?;
                state.cgroups = detected;
            }
            if let Some(version) = &spec.kubernetes_version {
                state.kubernetes_version.clone_from(version);
            }
            state
        }
        None => {
            let mut taken = Vec::new();
            for name in state::names(&spec.cache)? {
                if let Some(other) = LabPaths::new(&spec.cache, &name).load()? {
                    taken.push(other.subnet);
                }
            }
            let subnet = network::free_subnet(&taken)?;
            let rootfs = rootfs.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let version = spec.kubernetes_version.clone().unwrap_or_else(|| KUBERNETES_VERSION.to_owned());
            LabState::new(spec.name.clone(), subnet, rootfs, version, detected)
        }
    };
    paths.save(&state)?;
    Ok(Lab { cache: spec.cache.clone(), paths: paths.clone(), state })
}

/// Lays out the machines that are not there yet, and the keys and known_hosts of all.
fn add_machines(lab: &mut Lab, wanted: &[MachineName]) -> Result<(), LabError> {
    let key = lab.paths.key();
    if !key.exists() {
        let pair = keys::generate()?;
        write(&key.with_extension("pub"), &format!("{} keelwright-lab\n", pair.public), 0o644)?;
        // The private half last: it being there means both are.
        write_atomically(&key, &pair.private, 0o600)?;
    }
    for name in wanted {
        if lab.state.machines.iter().any(|machine| machine.name == *name) {
            continue;
        }
        lab.state.machines.push(machine::lay_out(&lab.paths, *name, lab.state.subnet)?);
        lab.state.machines.sort_by_key(|machine| machine.name);
        lab.paths.save(&lab.state)?;
    }
    let line = |machine: &Machine| format!("{},{} {}\n", machine.address, machine.name, machine.host_key);
    let known_hosts: String = lab.state.machines.iter().map(line).collect();
    write_atomically(&lab.paths.known_hosts(), &known_hosts, 0o644)
}

/// Starts the machines that are off and waits for all that are not paused.
fn start_machines(lab: &Lab, progress: &Progress) -> Result<(), LabError> {
    lab.in_parallel(&lab.state.machines, |handle| {
        let say = |what: &str| progress.say(Some(handle.machine.name), what);
        let begin = Instant::now();
        match handle.status() {
            Status::Paused => {
                say("paused; left as it is");
                return Ok(());
            }
            Status::Off => {
                say("booting");
                handle.start()?;
                handle.wait_for_ssh()?;
                say(&format!("up at {} ({:.1} s)", handle.machine.address, begin.elapsed().as_secs_f64()));
            }
            Status::Running => {
                handle.wait_for_ssh()?;
                say(&format!("runs already at {}", handle.machine.address));
            }
        }
        if handle.is_cut_off() {
            say("cut from the operator, so whether it answers is not known");
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn machines_come_by_role_and_number() {
        let mut spec = LabSpec::new("/c", "lab".parse().unwrap(), 2, 1);
        spec.counts.insert(Role::Spare, 1);
        let names: Vec<_> = spec.machines().unwrap().iter().map(ToString::to_string).collect();
        assert_eq!(names, ["cp-1", "cp-2", "worker-1", "spare-1"]);
    }

    #[test]
    fn too_many_machines_are_refused_by_the_number_asked_for() {
        let spec = LabSpec::new("/c", "lab".parse().unwrap(), 200, 0);
        assert!(matches!(spec.machines(), Err(LabError::TooMany { limit: 29, asked: 200, .. })));
    }
}
