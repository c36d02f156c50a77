//! What the outside must have: root, tools, kernel features, and limits high enough for several machines.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::error::MissingTool;
use super::rootfs::{read, write};
use super::{LabError, Progress, tool};

/// The tools the lab calls and the Debian package of each, sorted by package.
const TOOLS: &[MissingTool] = &[
    MissingTool { tool: "debootstrap", package: "debootstrap" },
    MissingTool { tool: "ip", package: "iproute2" },
    MissingTool { tool: "nft", package: "nftables" },
    MissingTool { tool: "ssh", package: "openssh-client" },
    MissingTool { tool: "systemd-nspawn", package: "systemd-container" },
    MissingTool { tool: "nsenter", package: "util-linux" },
    MissingTool { tool: "setsid", package: "util-linux" },
    MissingTool { tool: "unshare", package: "util-linux" },
];

/// Kernel-wide limits that several machines reach together, and the least value they need.
/// inotify's are per user and all machines' root is the same user: systemd, kubelet and containerd
/// of five machines use about 150 instances, 128 is the usual limit. A node's pods have some 500
/// threads, so ten machines come near the usual 32768 pids.
///
/// Connections: kube-proxy asks for 32768 per processor (its `conntrack.maxPerCore`) and fails where
/// it may not raise the limit itself, which no network namespace but the outside's may.
fn limits() -> [(&'static str, u64); 4] {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let connections = u64::try_from(processors).unwrap_or(u64::MAX).saturating_mul(32_768);
    [
        ("fs/inotify/max_user_instances", 8192),
        ("fs/inotify/max_user_watches", 524_288),
        ("kernel/pid_max", 131_072),
        ("net/netfilter/nf_conntrack_max", connections.max(131_072)),
    ]
}

/// A limit that `up` raised, to be put back when the last lab goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RaisedLimit {
    key: String,
    before: u64,
    after: u64,
}

/// Checks that the lab can run here; with `install_missing`, installs the tools that are not there.
pub(crate) fn check(cache: &Path, install_missing: bool, progress: &Progress) -> Result<(), LabError> {
    if !is_root() {
        return Err(LabError::NotRoot);
    }
    let mut missing = missing_tools();
    if !missing.is_empty() && install_missing {
        install(&missing, progress)?;
        missing = missing_tools();
    }
    if !missing.is_empty() {
        return Err(LabError::MissingTools { missing });
    }
    if !read("/proc/filesystems")?.lines().any(|line| line.ends_with("\toverlay")) {
        return Err(LabError::Kernel { what: "overlay file system (modprobe overlay)" });
    }
    // overlayfs separates the directories in its options by these.
    if cache.to_string_lossy().contains([':', ',', ' ', '\\']) {
        return Err(LabError::BadName {
            what: "usable cache directory",
            value: cache.display().to_string(),
            why: "its path may hold no colon, comma, space or backslash",
        });
    }
    std::fs::create_dir_all(cache).map_err(|e| LabError::io("create", cache, e))?;
    let kind = nix::sys::statfs::statfs(cache).map_err(|e| LabError::io("look at", cache, e.into()))?;
    if kind.filesystem_type() == nix::sys::statfs::OVERLAYFS_SUPER_MAGIC {
        return Err(LabError::CacheOnOverlay { path: cache.to_owned() });
    }
    Ok(())
}

/// Whether this process is root on Linux.
pub fn is_root() -> bool {
    cfg!(target_os = "linux") && nix::unistd::geteuid().is_root()
}

/// The tools of the lab that are not on the path.
pub fn missing_tools() -> Vec<MissingTool> {
    TOOLS.iter().copied().filter(|wanted| !tool::exists(wanted.tool)).collect()
}

fn install(missing: &[MissingTool], progress: &Progress) -> Result<(), LabError> {
    let mut packages: Vec<_> = missing.iter().map(|m| m.package).collect();
    packages.dedup();
    progress.say(None, &format!("installing {}", packages.join(" ")));
    tool::run(&["apt-get", "update", "--quiet"])?;
    let mut argv = vec!["apt-get", "install", "--yes", "--no-install-recommends", "--quiet"];
    argv.extend(packages);
    tool::run(&argv)?;
    Ok(())
}

/// Raises the limits that are too low; returns those it raised. Not being allowed to is no error:
/// a small lab may do without.
pub(crate) fn raise_limits(progress: &Progress) -> Vec<RaisedLimit> {
    let mut raised = Vec::new();
    for (key, least) in limits() {
        let path = Path::new("/proc/sys").join(key);
        let Some(before) = read_number(&path) else { continue };
        if before >= least {
            continue;
        }
        match std::fs::write(&path, least.to_string()) {
            Ok(()) => raised.push(RaisedLimit { key: key.to_owned(), before, after: least }),
            Err(error) => progress.say(
                None,
                &format!("{key} is {before}, {least} would be better ({error}); going on without"),
            ),
        }
    }
    raised
}

/// Puts limits back that nobody has changed since.
pub(crate) fn restore_limits(raised: &[RaisedLimit]) {
    for limit in raised {
        let path = Path::new("/proc/sys").join(&limit.key);
        if read_number(&path) == Some(limit.after) {
            // Best effort, as raising was.
            let _ = std::fs::write(&path, limit.before.to_string());
        }
    }
}

fn read_number(path: &Path) -> Option<u64> {
    std::fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// Adds newly raised limits to those in a file.
pub(crate) fn remember_limits(file: &Path, raised: Vec<RaisedLimit>) -> Result<(), LabError> {
    if raised.is_empty() {
        return Ok(());
    }
    let mut all = remembered_limits(file);
    all.retain(|old| !raised.iter().any(|new| new.key == old.key));
    all.extend(raised);
    let text = serde_json::to_string_pretty(&all)
        .map_err(|source| LabError::BadState { path: file.to_owned(), source })?;
    write(file, &(text + "\n"), 0o644)
}

/// The limits in a file; none if there is no such file.
pub(crate) fn remembered_limits(file: &Path) -> Vec<RaisedLimit> {
    std::fs::read_to_string(file).ok().and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default()
}

/// Docker and some firewalls drop bridged traffic too when bridge netfilter is on; lets a lab's pass.
pub(crate) fn allow_bridged_traffic(bridge: &str) -> Result<(), LabError> {
    let filtered = read_number(Path::new("/proc/sys/net/bridge/bridge-nf-call-iptables")) == Some(1);
    if !filtered || !tool::exists("iptables") {
        return Ok(());
    }
    let rules = tool::run(&["iptables", "--wait", "--list-rules", "FORWARD"])?;
    let wanted = format!("-A FORWARD -i {bridge} -o {bridge} -j ACCEPT");
    let harmless = rules.trim() == "-P FORWARD ACCEPT";
    if harmless || rules.lines().any(|rule| rule == wanted) {
        return Ok(());
    }
    tool::run(&["iptables", "--wait", "-I", "FORWARD", "-i", bridge, "-o", bridge, "-j", "ACCEPT"])?;
    Ok(())
}

/// Takes back what [`allow_bridged_traffic`] did.
pub(crate) fn forget_bridged_traffic(bridge: &str) {
    let rule = ["iptables", "--wait", "-D", "FORWARD", "-i", bridge, "-o", bridge, "-j", "ACCEPT"];
    // Fails once there is no such rule left, or no iptables at all.
    while tool::run(&rule).is_ok() {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tools_are_sorted_by_package_so_that_none_is_named_twice() {
        assert!(TOOLS.is_sorted_by_key(|tool| tool.package));
    }
}
