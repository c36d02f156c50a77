//! Control groups of machines, outside: where they are, and finding, freezing and killing what is in them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

use super::names::{LabName, MachineName};
use super::rootfs::read;
use super::{LabError, POLL};

/// Processes that were killed are gone within milliseconds, except those in the middle of disk writes.
const KILL_DEADLINE: Duration = Duration::from_secs(30);
const FREEZE_DEADLINE: Duration = Duration::from_secs(10);

/// How this system mounts control groups, and where in them a lab lives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub(crate) enum CgroupLayout {
    /// Version 1 controllers (also "hybrid"): the lab's directory in each hierarchy.
    V1 { directories: Vec<PathBuf> },
    /// Only version 2, and systemd outside: each machine is a delegated scope in this slice.
    Scopes { directory: PathBuf },
    /// Only version 2, and no systemd outside: the lab's directory below our own group.
    V2 { directory: PathBuf },
}

impl CgroupLayout {
    /// Looks at how this system does it; the lab's groups go below the caller's own.
    pub(crate) fn detect(lab: &LabName) -> Result<Self, LabError> {
        let systemd = Path::new("/run/systemd/system").exists();
        Self::from_proc(&read("/proc/self/mountinfo")?, &read("/proc/self/cgroup")?, systemd, lab)
    }

    fn from_proc(mountinfo: &str, own: &str, systemd: bool, lab: &LabName) -> Result<Self, LabError> {
        let group = format!("keelwright-lab-{lab}");
        let mut v1 = Vec::new();
        let mut v2 = None;
        for line in own.lines() {
            let mut fields = line.splitn(3, ':');
            let (Some(id), Some(controllers), Some(path)) = (fields.next(), fields.next(), fields.next())
            else {
                continue;
            };
            let Some((root, mount)) = find_mount(mountinfo, id == "0", controllers) else { continue };
            // In a container the mount may show only the part of the tree below `root`.
            let below = path.strip_prefix(root.trim_end_matches('/')).unwrap_or(path);
            let directory = Path::new(mount).join(below.trim_start_matches('/'));
            if id == "0" { v2 = Some((mount, directory)) } else { v1.push(directory.join(&group)) }
        }
        if !v1.is_empty() {
            return Ok(CgroupLayout::V1 { directories: v1 });
        }
        match v2 {
            Some((mount, _)) if systemd => {
                Ok(CgroupLayout::Scopes { directory: Path::new(mount).join("keelwright.slice") })
            }
            Some((_, directory)) => Ok(CgroupLayout::V2 { directory: directory.join(group) }),
            None => Err(LabError::Cgroups { why: "none are mounted".to_owned() }),
        }
    }

    /// Whether machines see version 2.
    pub(crate) fn unified(&self) -> bool {
        match self {
            CgroupLayout::V1 { .. } => false,
            CgroupLayout::Scopes { .. } | CgroupLayout::V2 { .. } => true,
        }
    }

    /// A machine's directories, one per hierarchy.
    pub(crate) fn machine(&self, lab: &LabName, machine: MachineName) -> Vec<PathBuf> {
        match self {
            CgroupLayout::V1 { directories } => {
                directories.iter().map(|directory| directory.join(machine.to_string())).collect()
            }
            CgroupLayout::Scopes { directory } => {
                vec![directory.join(format!("{}.scope", scope(lab, machine)))]
            }
            CgroupLayout::V2 { directory } => vec![directory.join(machine.to_string())],
        }
    }

    /// Makes a machine's directories, ready to take processes. systemd makes those of scopes.
    pub(crate) fn create(&self, lab: &LabName, machine: MachineName) -> Result<(), LabError> {
        if let CgroupLayout::Scopes { .. } = self {
            return Ok(());
        }
        for directory in self.machine(lab, machine) {
            std::fs::create_dir_all(&directory).map_err(|e| LabError::io("create", &directory, e))?;
            // The lab's own directory first: the machine's takes its values from there.
            for level in directory.ancestors().take(2).collect::<Vec<_>>().into_iter().rev() {
                match self {
                    CgroupLayout::V1 { .. } => fill_cpuset(level)?,
                    CgroupLayout::Scopes { .. } | CgroupLayout::V2 { .. } => enable_controllers(level)?,
                }
            }
        }
        Ok(())
    }

    /// Removes the lab's own directories once all machines' are gone.
    pub(crate) fn remove(&self) -> Result<(), LabError> {
        match self {
            CgroupLayout::V1 { directories } => directories.iter().try_for_each(|d| remove_group(d)),
            // Scopes go with their last process, but the slice has an owner: systemd.
            CgroupLayout::Scopes { .. } => Ok(()),
            CgroupLayout::V2 { directory } => remove_group(directory),
        }
    }
}

/// The systemd unit (without its suffix) that holds a machine where systemd runs outside.
pub(crate) fn scope(lab: &LabName, machine: MachineName) -> String {
    format!("keelwright-lab-{lab}-{machine}")
}

/// The root and mount point of a hierarchy. mountinfo(5): fields 4 and 5, then ` - type source options`.
fn find_mount<'a>(mountinfo: &'a str, v2: bool, controllers: &str) -> Option<(&'a str, &'a str)> {
    let wanted: Vec<_> = controllers.split(',').collect();
    mountinfo.lines().find_map(|line| {
        let (left, right) = line.split_once(" - ")?;
        let mut right = right.split(' ');
        let (kind, options) = (right.next()?, right.nth(1)?);
        let hit = match kind {
            "cgroup2" => v2,
            "cgroup" => !v2 && wanted.iter().all(|name| options.split(',').any(|option| option == *name)),
            _ => false,
        };
        let mut left = left.split(' ');
        hit.then(|| Some((left.nth(3)?, left.next()?)))?
    })
}

/// A new cpuset group has neither processors nor memory and takes no process until it has.
fn fill_cpuset(directory: &Path) -> Result<(), LabError> {
    let Some(parent) = directory.parent() else { return Ok(()) };
    for file in ["cpuset.cpus", "cpuset.mems"] {
        let path = directory.join(file);
        if path.exists() && read(&path)?.trim().is_empty() {
            let value = read(parent.join(file))?;
            std::fs::write(&path, value.trim()).map_err(|e| LabError::io("write", &path, e))?;
        }
    }
    // For the groups that systemd and container runtimes will make inside.
    let clone = directory.join("cgroup.clone_children");
    if directory.join("cpuset.cpus").exists() {
        std::fs::write(&clone, "1").map_err(|e| LabError::io("write", &clone, e))?;
    }
    Ok(())
}

/// Passes all controllers of the group above on to this one (version 2).
fn enable_controllers(directory: &Path) -> Result<(), LabError> {
    let Some(parent) = directory.parent() else { return Ok(()) };
    let control = parent.join("cgroup.subtree_control");
    for controller in read(parent.join("cgroup.controllers"))?.split_whitespace() {
        std::fs::write(&control, format!("+{controller}")).map_err(|e| LabError::io("write", &control, e))?;
    }
    Ok(())
}

/// Every process in these groups and in those below them.
pub(crate) fn processes(directories: &[PathBuf]) -> BTreeSet<i32> {
    let mut found = BTreeSet::new();
    let mut queue = directories.to_vec();
    while let Some(directory) = queue.pop() {
        // Groups come and go while we look; one that is gone has no processes.
        if let Ok(text) = std::fs::read_to_string(directory.join("cgroup.procs")) {
            found.extend(text.lines().filter_map(|line| line.parse::<i32>().ok()).filter(|pid| *pid > 0));
        }
        queue.extend(children(&directory));
    }
    found
}

fn children(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(directory) else { return Vec::new() };
    entries.flatten().filter(|e| e.file_type().is_ok_and(|kind| kind.is_dir())).map(|e| e.path()).collect()
}

/// Kills everything in a machine's groups, frozen or not, and removes the groups.
pub(crate) fn kill_all(machine: MachineName, directories: &[PathBuf]) -> Result<(), LabError> {
    let end = Instant::now() + KILL_DEADLINE;
    loop {
        let pids = processes(directories);
        if pids.is_empty() {
            break;
        }
        for pid in &pids {
            // It may have ended since; whether it has is what the loop looks at.
            let _ = kill(Pid::from_raw(*pid), Signal::SIGKILL);
        }
        // In version 1 a frozen process notices its death only when thawed.
        let _ = write_frozen(directories, false);
        if Instant::now() > end {
            let pids = pids.into_iter().collect();
            return Err(LabError::StillRunning { machine, pids, seconds: KILL_DEADLINE.as_secs() });
        }
        std::thread::sleep(POLL);
    }
    directories.iter().try_for_each(|directory| remove_group(directory))
}

/// Removes a group and those below it. The kernel lets go of a group a moment after its last process.
fn remove_group(directory: &Path) -> Result<(), LabError> {
    for child in children(directory) {
        remove_group(&child)?;
    }
    let end = Instant::now() + KILL_DEADLINE;
    loop {
        match std::fs::remove_dir(directory) {
            Ok(()) => return Ok(()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(error) if Instant::now() > end => return Err(LabError::io("remove", directory, error)),
            Err(_) => std::thread::sleep(POLL),
        }
    }
}

/// Freezes or thaws everything in a machine's groups, and waits until it is so.
pub(crate) fn set_frozen(
    machine: MachineName,
    directories: &[PathBuf],
    frozen: bool,
) -> Result<(), LabError> {
    write_frozen(directories, frozen)?;
    let end = Instant::now() + FREEZE_DEADLINE;
    while is_frozen(directories) != frozen {
        if Instant::now() > end {
            let action = if frozen { "freeze" } else { "thaw" };
            return Err(LabError::Stuck { machine, action, seconds: FREEZE_DEADLINE.as_secs() });
        }
        std::thread::sleep(POLL);
    }
    Ok(())
}

fn write_frozen(directories: &[PathBuf], frozen: bool) -> Result<(), LabError> {
    for directory in directories {
        let (v1, v2) = (directory.join("freezer.state"), directory.join("cgroup.freeze"));
        let (path, value) = if v1.exists() {
            (v1, if frozen { "FROZEN" } else { "THAWED" })
        } else if v2.exists() {
            (v2, if frozen { "1" } else { "0" })
        } else {
            continue;
        };
        std::fs::write(&path, value).map_err(|e| LabError::io("write", &path, e))?;
    }
    Ok(())
}

/// Whether a machine is frozen, all of it.
pub(crate) fn is_frozen(directories: &[PathBuf]) -> bool {
    directories.iter().any(|directory| {
        let holds = |file: &str, wanted: &str| {
            std::fs::read_to_string(directory.join(file))
                .is_ok_and(|text| text.lines().any(|line| line.trim() == wanted))
        };
        holds("freezer.state", "FROZEN") || holds("cgroup.events", "frozen 1")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID: &str = "\
30 20 0:26 / /sys/fs/cgroup ro - tmpfs tmpfs ro
31 30 0:27 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct
32 30 0:28 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
33 30 0:29 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd
34 30 0:30 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw
";
    const UNIFIED: &str = "31 30 0:27 / /sys/fs/cgroup rw shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";

    fn detect(mountinfo: &str, own: &str, systemd: bool) -> CgroupLayout {
        CgroupLayout::from_proc(mountinfo, own, systemd, &"lab".parse().unwrap()).unwrap()
    }

    #[test]
    fn hybrid_uses_each_version_1_hierarchy_below_our_own_group() {
        let own = "3:cpu,cpuacct:/\n2:memory:/session/a\n1:name=systemd:/\n0::/\n";
        let CgroupLayout::V1 { directories } = detect(HYBRID, own, false) else { panic!("not v1") };
        let expected = [
            "/sys/fs/cgroup/cpu,cpuacct/keelwright-lab-lab",
            "/sys/fs/cgroup/memory/session/a/keelwright-lab-lab",
            "/sys/fs/cgroup/systemd/keelwright-lab-lab",
        ];
        assert_eq!(directories, expected.map(PathBuf::from));
    }

    #[test]
    fn a_container_that_sees_only_its_own_part_of_a_hierarchy() {
        let mountinfo = "32 30 0:28 /docker/1 /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n";
        let CgroupLayout::V1 { directories } = detect(mountinfo, "2:memory:/docker/1/x\n", false) else {
            panic!("not v1")
        };
        assert_eq!(directories, [PathBuf::from("/sys/fs/cgroup/memory/x/keelwright-lab-lab")]);
    }

    #[test]
    fn unified_uses_scopes_where_systemd_runs_and_plain_directories_elsewhere() {
        let own = "0::/user.slice/session-1.scope\n";
        let lab = "lab".parse().unwrap();
        let machine = "cp-1".parse().unwrap();
        assert_eq!(
            detect(UNIFIED, own, true).machine(&lab, machine),
            [PathBuf::from("/sys/fs/cgroup/keelwright.slice/keelwright-lab-lab-cp-1.scope")]
        );
        assert_eq!(
            detect(UNIFIED, own, false).machine(&lab, machine),
            [PathBuf::from("/sys/fs/cgroup/user.slice/session-1.scope/keelwright-lab-lab/cp-1")]
        );
    }

    #[test]
    fn no_control_groups_is_an_error() {
        assert!(CgroupLayout::from_proc("", "0::/\n", false, &"lab".parse().unwrap()).is_err());
    }
}
