//! One machine: laying out its disk, booting it, waiting for it, and taking its power away.

use std::fs::OpenOptions;
use std::io::Read;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::Serialize;

use super::names::MachineName;
use super::network::{Cut, End};
use super::rootfs::{read, remove_tree, write};
use super::state::{LabPaths, LabState, Machine};
use super::{LabError, POLL, cgroup, keys, network, tool};

/// A machine boots in two to five seconds; on a machine that is busy compiling in up to thirty.
const SSH_DEADLINE: Duration = Duration::from_secs(90);
/// systemd gives services 90 s to stop before it kills them.
const SHUTDOWN_DEADLINE: Duration = Duration::from_secs(120);
/// How long one attempt to reach sshd may take; a machine on the same system answers at once.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(500);

/// Directories that are the disk's own and not the overlay's: containerd's snapshots are overlays
/// themselves and cannot be made on one; the others are heavy writers, which need no copying up.
const BOUND: &[&str] = &["containerd", "etcd", "keelwright", "kubelet"];

const BOOT: &str = include_str!("../../templates/lab/boot.sh");

/// Whether a machine runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    Running,
    Paused,
    Off,
}

impl Status {
    /// As shown to people.
    pub fn as_str(self) -> &'static str {
        match self {
            Status::Running => "running",
            Status::Paused => "paused",
            Status::Off => "off",
        }
    }
}

/// A machine with what it takes to handle it.
pub(crate) struct Handle<'a> {
    pub state: &'a LabState,
    pub machine: &'a Machine,
    pub directory: PathBuf,
    pub rootfs: PathBuf,
}

/// Makes a new machine's disk and keys. The directory appears whole or not at all.
pub(crate) fn lay_out(paths: &LabPaths, name: MachineName, subnet: u8) -> Result<Machine, LabError> {
    let directory = paths.machine(name);
    let new = directory.with_file_name(format!("{name}.new"));
    // Left by an `up` that was interrupted before the machine was in the state.
    remove_tree(&new)?;
    remove_tree(&directory)?;
    for part in ["work", "root"].iter().chain(BOUND) {
        let part = new.join(part);
        std::fs::create_dir_all(&part).map_err(|e| LabError::io("create", part, e))?;
    }
    let host_key = keys::generate()?;
    let operator = read(paths.key().with_extension("pub"))?;
    let address = name.address(subnet);
    let etc = new.join("upper/etc");
    write(&new.join("boot.sh"), BOOT, 0o755)?;
    write(&etc.join("hostname"), &format!("{name}\n"), 0o644)?;
    let hosts = format!("127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n{address} {name}\n");
    write(&etc.join("hosts"), &hosts, 0o644)?;
    write(&etc.join("machine-id"), &format!("{}\n", keys::machine_id()), 0o444)?;
    write(&etc.join("ssh/ssh_host_ed25519_key"), &host_key.private, 0o600)?;
    write(&etc.join("ssh/ssh_host_ed25519_key.pub"), &format!("{}\n", host_key.public), 0o644)?;
    write(&etc.join("ssh/lab_authorized_keys"), &operator, 0o644)?;
    std::fs::rename(&new, &directory).map_err(|e| LabError::io("rename", &new, e))?;
    Ok(Machine { name, address, ssh_port: 22, host_key: host_key.public })
}

impl Handle<'_> {
    fn groups(&self) -> Vec<PathBuf> {
        self.state.cgroups.machine(&self.state.name, self.machine.name)
    }

    /// What the machine is doing, from its control groups: there is no pid to go stale.
    pub(crate) fn status(&self) -> Status {
        let groups = self.groups();
        if cgroup::processes(&groups).is_empty() {
            Status::Off
        } else if cgroup::is_frozen(&groups) {
            Status::Paused
        } else {
            Status::Running
        }
    }

    /// Boots the machine; returns as soon as its holder is started.
    pub(crate) fn start(&self) -> Result<(), LabError> {
        let name = self.machine.name;
        self.state.cgroups.create(&self.state.name, name)?;
        let exited = self.directory.join("exited");
        if exited.exists() {
            std::fs::remove_file(&exited).map_err(|e| LabError::io("remove", &exited, e))?;
        }
        let log_path = self.log_path();
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&log_path)
            .map_err(|e| LabError::io("open", &log_path, e))?;
        let log_too = log.try_clone().map_err(|e| LabError::io("open", &log_path, e))?;
        let argv = self.boot_argv();
        let unified = self.state.cgroups.unified();
        // setsid --fork: the holder is nobody's child and outlives this process and its terminal.
        let status = Command::new("setsid")
            .arg("--fork")
            .args(&argv)
            .envs(self.boot_environment())
            .env("SYSTEMD_NSPAWN_API_VFS_WRITABLE", "yes")
            .env("SYSTEMD_NSPAWN_UNIFIED_HIERARCHY", if unified { "1" } else { "0" })
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(log_too)
            .status()
            .map_err(|source| LabError::Spawn { tool: "setsid".to_owned(), source })?;
        if status.success() {
            return Ok(());
        }
        let words: Vec<&str> = argv.iter().map(String::as_str).collect();
        Err(tool::failure(&words, &status.to_string(), &read(&log_path)?))
    }

    /// The command that holds the machine.
    fn boot_argv(&self) -> Vec<String> {
        let mut argv = Vec::new();
        match &self.state.cgroups {
            cgroup::CgroupLayout::Scopes { .. } => argv.extend([
                "systemd-run".to_owned(),
                "--scope".to_owned(),
                "--quiet".to_owned(),
                "--collect".to_owned(),
                "--slice=keelwright.slice".to_owned(),
                "--property=Delegate=yes".to_owned(),
                format!("--unit={}", cgroup::scope(&self.state.name, self.machine.name)),
            ]),
            cgroup::CgroupLayout::V1 { .. } | cgroup::CgroupLayout::V2 { .. } => {}
        }
        let script = self.directory.join("boot.sh");
        argv.extend(["sh".to_owned(), script.to_string_lossy().into_owned(), "supervise".to_owned()]);
        argv.extend(nspawn_argv(&self.directory, self.machine.name));
        argv
    }

    /// What `boot.sh` reads.
    fn boot_environment(&self) -> Vec<(&'static str, String)> {
        let subnet = self.state.subnet;
        let groups: Vec<_> = self.groups().iter().map(|group| group.to_string_lossy().into_owned()).collect();
        let unified = if self.state.cgroups.unified() { "yes" } else { "no" };
        vec![
            ("LAB_ADDRESS", format!("{}/24", self.machine.address)),
            ("LAB_BRIDGE", network::bridge(subnet)),
            ("LAB_CGROUPS", groups.join(" ")),
            ("LAB_DIR", self.directory.to_string_lossy().into_owned()),
            ("LAB_LINK", self.machine.name.link(subnet)),
            ("LAB_MAC", self.machine.name.mac(subnet)),
            ("LAB_ROOTFS", self.rootfs.to_string_lossy().into_owned()),
            ("LAB_SERVICES", network::SERVICE_CIDR.to_owned()),
            ("LAB_UNIFIED", unified.to_owned()),
        ]
    }

    pub(crate) fn log_path(&self) -> PathBuf {
        self.directory.join("console.log")
    }

    /// Whether the operator can hear the machine at all.
    pub(crate) fn is_cut_off(&self) -> bool {
        Cut::new(End::Operator, End::Machine(self.machine.name))
            .is_ok_and(|cut| self.state.cuts.contains(&cut))
    }

    /// Waits until sshd greets; one that is cut off from the operator is not waited for.
    pub(crate) fn wait_for_ssh(&self) -> Result<(), LabError> {
        if self.is_cut_off() {
            return Ok(());
        }
        let address = SocketAddr::from((self.machine.address, self.machine.ssh_port));
        let end = Instant::now() + SSH_DEADLINE;
        while !greets(address) {
            self.fail_if_stopped()?;
            if Instant::now() > end {
                return Err(LabError::NoSsh {
                    machine: self.machine.name,
                    address: self.machine.address,
                    seconds: SSH_DEADLINE.as_secs(),
                    log_path: self.log_path(),
                });
            }
            std::thread::sleep(POLL);
        }
        Ok(())
    }

    /// An error if the holder has written down that it ended.
    fn fail_if_stopped(&self) -> Result<(), LabError> {
        let Ok(code) = std::fs::read_to_string(self.directory.join("exited")) else { return Ok(()) };
        let log_path = self.log_path();
        let log = tool::last_lines(&read(&log_path)?, 3);
        Err(LabError::BootFailed { machine: self.machine.name, code: code.trim().to_owned(), log, log_path })
    }

    /// Takes the power away: everything on the machine is gone at once but its disk.
    pub(crate) fn kill(&self) -> Result<(), LabError> {
        cgroup::kill_all(self.machine.name, &self.groups())?;
        network::remove_link(&self.machine.name.link(self.state.subnet))
    }

    /// Freezes or thaws the machine; a second time changes nothing.
    pub(crate) fn set_paused(&self, paused: bool) -> Result<(), LabError> {
        self.require_power(if paused { "paused" } else { "resumed" })?;
        cgroup::set_frozen(self.machine.name, &self.groups(), paused)
    }

    fn require_power(&self, action: &'static str) -> Result<(), LabError> {
        match self.status() {
            Status::Off => Err(LabError::WrongStatus {
                machine: self.machine.name,
                status: Status::Off.as_str(),
                action,
            }),
            Status::Running | Status::Paused => Ok(()),
        }
    }

    /// Asks the machine's systemd for a reboot and waits until the old one is down.
    pub(crate) fn shut_down_for_reboot(&self) -> Result<(), LabError> {
        // No init yet or any more: the machine is on its way up already.
        let Some(init) = self.init() else { return Ok(()) };
        // What Ctrl-Alt-Del does (systemd(1), SIGINT); needs no network, so a cut machine reboots too.
        kill(Pid::from_raw(init), Signal::SIGINT)
            .map_err(|errno| LabError::io("signal", format!("/proc/{init}"), errno.into()))?;
        let end = Instant::now() + SHUTDOWN_DEADLINE;
        while self.init() == Some(init) {
            if Instant::now() > end {
                let seconds = SHUTDOWN_DEADLINE.as_secs();
                return Err(LabError::Stuck { machine: self.machine.name, action: "shut down", seconds });
            }
            std::thread::sleep(POLL);
        }
        Ok(())
    }

    /// The machine's PID 1, by its number outside.
    fn init(&self) -> Option<i32> {
        cgroup::processes(&self.groups()).into_iter().find(|pid| {
            std::fs::read_to_string(format!("/proc/{pid}/status")).is_ok_and(|status| is_init(&status))
        })
    }
}

/// Whether a process is PID 1 one namespace below ours; containers in the machine are two below.
fn is_init(status: &str) -> bool {
    let numbers = status.lines().find_map(|line| line.strip_prefix("NSpid:"));
    numbers.is_some_and(|numbers| {
        let numbers: Vec<_> = numbers.split_whitespace().collect();
        matches!(numbers.as_slice(), [_, "1"])
    })
}

/// Whether an SSH server greets at an address (RFC 4253, 4.2).
fn greets(address: SocketAddr) -> bool {
    let Ok(mut stream) = TcpStream::connect_timeout(&address, CONNECT_TIMEOUT) else { return false };
    let mut greeting = [0; 4];
    stream.set_read_timeout(Some(CONNECT_TIMEOUT)).is_ok()
        && stream.read_exact(&mut greeting).is_ok()
        && &greeting == b"SSH-"
}

/// The systemd-nspawn command of a machine whose root is mounted below `directory`.
fn nspawn_argv(directory: &Path, name: MachineName) -> Vec<String> {
    let directory = directory.to_string_lossy();
    let mut argv: Vec<String> = [
        "systemd-nspawn",
        "--boot",
        "--quiet",
        // The control groups were prepared by us, and there may be no systemd outside to ask.
        "--register=no",
        "--keep-unit",
        // A machine that runs containers does what a container may not.
        "--capability=all",
        "--system-call-filter=@keyring",
        // kubelet reads the kernel's log for out-of-memory kills.
        "--bind=/dev/kmsg",
        "--console=pipe",
        "--link-journal=no",
        // Empty, as made: with a name server, image look-ups would leave the lab.
        "--resolv-conf=off",
        "--timezone=off",
        // boot.sh has made the namespace and the address in it.
        "--network-namespace-path=/proc/self/ns/net",
    ]
    .map(str::to_owned)
    .to_vec();
    if Path::new("/lib/modules").is_dir() {
        argv.push("--bind-ro=/lib/modules".to_owned());
    }
    argv.extend(BOUND.iter().map(|part| format!("--bind={directory}/{part}:/var/lib/{part}")));
    argv.push(format!("--machine={name}"));
    argv.push(format!("--directory={directory}/root"));
    argv
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nspawn_binds_what_cannot_be_on_an_overlay() {
        let argv = nspawn_argv(Path::new("/c/labs/lab/machines/cp-1"), "cp-1".parse().unwrap());
        assert_eq!(argv.first().map(String::as_str), Some("systemd-nspawn"));
        for wanted in [
            "--bind=/c/labs/lab/machines/cp-1/containerd:/var/lib/containerd",
            "--bind=/dev/kmsg",
            "--keep-unit",
            "--machine=cp-1",
            "--directory=/c/labs/lab/machines/cp-1/root",
        ] {
            assert!(argv.iter().any(|word| word == wanted), "{wanted} is not in {argv:?}");
        }
    }

    #[test]
    fn init_is_pid_1_one_namespace_down() {
        assert!(is_init("Name:\tsystemd\nNSpid:\t4952\t1\n"));
        assert!(!is_init("NSpid:\t1\n"), "our own init");
        assert!(!is_init("NSpid:\t5000\t77\t1\n"), "a pod's");
        assert!(!is_init("NSpid:\t5000\t11\n"));
    }
}
