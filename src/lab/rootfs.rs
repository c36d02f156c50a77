//! The root file system every machine starts from: Debian, made once and cached by its recipe.

use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::fcntl::{FcntlArg, FdFlag, Flock, FlockArg};
use sha2::{Digest, Sha256};

use super::apt::{Mirror, SUITE};
use super::{LabError, Progress, tool};

/// What is installed beyond debootstrap's minimal set. containerd is absent on purpose: keelwright
/// installs its own.
const PACKAGES: &[&str] = &[
    "ca-certificates",
    "conntrack",
    "containernetworking-plugins",
    "curl",
    "dbus",
    "ebtables",
    "ethtool",
    "haproxy",
    "iproute2",
    "iptables",
    "kmod",
    "nftables",
    "openssh-server",
    "procps",
    "runc",
    "socat",
    "sudo",
    "systemd",
    "systemd-sysv",
    "udev",
];

/// Files laid into the root file system before it is customised, with their modes.
const FILES: &[(&str, u32, &str)] = &[
    (
        "etc/systemd/system/keelwright-lab.service",
        0o644,
        include_str!("../../templates/lab/rootfs/keelwright-lab.service"),
    ),
    ("usr/lib/keelwright-lab/prepare", 0o755, include_str!("../../templates/lab/rootfs/prepare.sh")),
    (
        "etc/ssh/sshd_config.d/keelwright-lab.conf",
        0o644,
        include_str!("../../templates/lab/rootfs/sshd.conf"),
    ),
    (
        "etc/systemd/system/ssh.service.d/after-sessions.conf",
        0o644,
        include_str!("../../templates/lab/rootfs/ssh-after-sessions.conf"),
    ),
];

const CUSTOMISE: &str = include_str!("../../templates/lab/rootfs/customise.sh");

/// The password `deploy` types for sudo. No secret: machines take no passwords over the network and
/// are reached only from the system they run on.
pub(crate) const DEPLOY_PASSWORD: &str = "keelwright-lab";

/// Names what the root file system is made of; another recipe is another directory. The mirror is
/// left out: which one served the packages makes no difference to what is inside.
pub(crate) fn recipe_digest() -> String {
    let mut hash = Sha256::new();
    let mut add = |text: &str| {
        // The length first, so that two texts cannot run into each other.
        hash.update(text.len().to_be_bytes());
        hash.update(text.as_bytes());
    };
    add(SUITE);
    add(std::env::consts::ARCH);
    add(&PACKAGES.join(","));
    for (path, mode, content) in FILES {
        add(path);
        add(&mode.to_string());
        add(content);
    }
    add(CUSTOMISE);
    add(DEPLOY_PASSWORD);
    hex::encode(hash.finalize())[..16].to_owned() // invariant: SHA-256 in hex is 64 bytes of ASCII
}

/// Returns the root file system's directory, making it first if it is not there. `mirror` is asked
/// for only then.
pub(crate) fn ensure(
    cache: &Path,
    mirror: impl FnOnce() -> Result<Mirror, LabError>,
    progress: &Progress,
) -> Result<PathBuf, LabError> {
    let digest = recipe_digest();
    let store = cache.join("rootfs");
    let done = store.join(&digest);
    if done.exists() {
        return Ok(done);
    }
    std::fs::create_dir_all(&store).map_err(|e| LabError::io("create", &store, e))?;
    let lock = std::fs::File::open(&store).map_err(|e| LabError::io("open", &store, e))?;
    // debootstrap inherits the lock: one that outlives a killed `up` keeps the next from its directory.
    nix::fcntl::fcntl(&lock, FcntlArg::F_SETFD(FdFlag::empty()))
        .map_err(|errno| LabError::io("lock", &store, errno.into()))?;
    let lock = Flock::lock(lock, FlockArg::LockExclusiveNonblock).or_else(|(lock, _)| {
        progress.say(None, "root file system: waiting for another `up` that makes it");
        Flock::lock(lock, FlockArg::LockExclusive)
    });
    let _lock = lock.map_err(|(_, errno)| LabError::io("lock", &store, errno.into()))?;
    if done.exists() {
        return Ok(done); // another `up` made it while this one waited
    }
    let making = store.join(format!("making-{digest}"));
    // What an interrupted make left may still have mounts of debootstrap's in it.
    unmount_below(&making)?;
    remove_tree(&making)?;
    make(&making, &mirror()?, progress)?;
    // Everything is on the disk before the name is: after a power cut there is all of it or nothing.
    tool::run(&["sync", "--file-system", &making.to_string_lossy()])?;
    std::fs::rename(&making, &done).map_err(|e| LabError::io("rename", &making, e))?;
    Ok(done)
}

fn make(target: &Path, mirror: &Mirror, progress: &Progress) -> Result<(), LabError> {
    let target_text = target.to_string_lossy().into_owned();
    let include = format!("--include={}", PACKAGES.join(","));
    let mut argv = vec!["debootstrap".to_owned(), "--variant=minbase".to_owned(), include];
    if let Some(keyring) = &mirror.keyring {
        argv.push(format!("--keyring={keyring}"));
    }
    argv.extend([SUITE.to_owned(), target_text.clone(), mirror.uri.clone()]);
    progress.say(None, &format!("making the root file system: Debian {SUITE}, about a minute, once"));
    debootstrap(&argv, progress)?;

    progress.say(None, "root file system: customising");
    for (path, mode, content) in FILES {
        write(&target.join(path), content, *mode)?;
    }
    let script = target.join("customise.sh");
    write(&script, CUSTOMISE, 0o755)?;
    tool::run_with_input(&["chroot", &target_text, "/customise.sh"], &format!("{DEPLOY_PASSWORD}\n"))?;
    std::fs::remove_file(&script).map_err(|e| LabError::io("remove", &script, e))?;
    unmount_below(target)
}

/// Runs debootstrap, telling of each of its phases once.
fn debootstrap(argv: &[String], progress: &Progress) -> Result<(), LabError> {
    let words: Vec<&str> = argv.iter().map(String::as_str).collect();
    let spawn_error = |source| LabError::Spawn { tool: "debootstrap".to_owned(), source };
    let mut command = Command::new("debootstrap");
    command.args(&argv[1..]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    if let Some(proxy) = apt_proxy() {
        command.env("http_proxy", proxy);
    }
    let mut child = command.spawn().map_err(spawn_error)?;
    let mut said = String::new();
    let mut phase = String::new();
    if let Some(stdout) = child.stdout.take() {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            let now = line.split_whitespace().nth(1).unwrap_or_default();
            if line.starts_with("I: ") && now.ends_with("ing") && now != phase {
                phase = now.to_owned();
                // "Configuring" and "Unpacking" alternate at the end; "Retrieving" and "Validating" throughout.
                if !matches!(now, "Validating" | "Checking" | "Resolving")
                    && !said.contains(&format!("I: {now} "))
                {
                    progress.say(None, &format!("root file system: {} packages", now.to_lowercase()));
                }
            }
            said.push_str(&line);
            said.push('\n');
        }
    }
    let status = child.wait().map_err(spawn_error)?;
    if status.success() { Ok(()) } else { Err(tool::failure(&words, &status.to_string(), &said)) }
}

/// The proxy apt itself uses; debootstrap fetches with wget, which does not read apt's settings.
fn apt_proxy() -> Option<String> {
    let said = tool::run(&["apt-config", "shell", "PROXY", "Acquire::http::Proxy"]).ok()?;
    let value = said.trim().strip_prefix("PROXY='")?.strip_suffix('\'')?;
    (!value.is_empty() && value != "DIRECT").then(|| value.to_owned())
}

/// Unmounts whatever is mounted below a directory, innermost first.
fn unmount_below(directory: &Path) -> Result<(), LabError> {
    for mount in mounts_below(&read("/proc/self/mountinfo")?, directory) {
        tool::run(&["umount", "--lazy", &mount])?;
    }
    Ok(())
}

/// The mount points below a directory in a mountinfo text, innermost first.
fn mounts_below(mountinfo: &str, directory: &Path) -> Vec<String> {
    let mut found: Vec<String> = mountinfo
        .lines()
        .filter_map(|line| line.split(' ').nth(4))
        .filter(|mount| Path::new(mount).starts_with(directory))
        .map(str::to_owned)
        .collect();
    found.sort_by_key(|mount| std::cmp::Reverse(mount.len()));
    found
}

pub(crate) fn read(path: impl AsRef<Path>) -> Result<String, LabError> {
    std::fs::read_to_string(&path).map_err(|e| LabError::io("read", path.as_ref(), e))
}

/// Writes a file and the directories above it; the mode does not depend on the umask.
pub(crate) fn write(path: &Path, content: &str, mode: u32) -> Result<(), LabError> {
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).map_err(|e| LabError::io("create", parent, e))?;
    }
    std::fs::write(path, content).map_err(|e| LabError::io("write", path, e))?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
        .map_err(|e| LabError::io("change the mode of", path, e))
}

/// Removes a directory and everything in it; one that is not there is fine.
pub(crate) fn remove_tree(directory: &Path) -> Result<(), LabError> {
    match std::fs::remove_dir_all(directory) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(LabError::io("remove", directory, error))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_recipe_has_a_stable_short_name() {
        assert_eq!(recipe_digest().len(), 16);
        assert_eq!(recipe_digest(), recipe_digest());
    }

    #[test]
    fn containerd_is_not_in_the_recipe() {
        assert!(!PACKAGES.contains(&"containerd"));
        assert!(PACKAGES.is_sorted());
    }

    #[test]
    fn inner_mounts_go_first_and_neighbours_stay() {
        let mountinfo = "\
22 1 254:0 / / rw - ext4 /dev/vda rw
30 22 0:5 / /c/making-1/proc rw - proc proc rw
31 30 0:6 / /c/making-1/proc/sys rw - proc proc rw
32 22 0:7 / /c/making-12/proc rw - proc proc rw
";
        let found = mounts_below(mountinfo, Path::new("/c/making-1"));
        assert_eq!(found, ["/c/making-1/proc/sys", "/c/making-1/proc"]);
    }
}
