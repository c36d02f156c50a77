//! One simulated machine: disk, units, packages, kernel settings, and the static pods its kubelet runs.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::disk::{Disk, Entry};
use super::manifest::{self, Manifest};
use super::random::Random;
use crate::digest::Digest;
use crate::exec::ports::StageResult;
use crate::inventory::Host;
use crate::plan::lower::ARTIFACT_STORE;
use crate::release::Arch;

/// Directories every machine has from the start.
const BASE: [&str; 16] = [
    "/etc",
    "/etc/default",
    "/etc/modules-load.d",
    "/etc/ssl/certs",
    "/etc/sysctl.d",
    "/etc/systemd/system",
    "/opt",
    "/run",
    "/tmp",
    "/usr/local/bin",
    "/usr/local/sbin",
    "/usr/libexec",
    "/var/lib",
    "/var/log",
    "/usr/share/ca-certificates",
    "/usr/local/share/ca-certificates",
];
const KUBELET: &str = "kubelet.service";
const CONTAINERD: &str = "containerd.service";

/// What systemd knows of a unit.
#[derive(Debug, Clone, Default)]
pub struct UnitState {
    pub active: bool,
    pub enabled: bool,
    /// When it was last started.
    pub since: Duration,
}

/// A static pod that runs.
#[derive(Debug, Clone)]
pub struct Pod {
    pub digest: Digest,
    pub since: Duration,
    pub manifest: Manifest,
    /// Kubernetes' files as they were when it started.
    pub read: BTreeMap<String, Digest>,
    /// The kubelet that started it.
    pub made_by: Option<Digest>,
}

#[derive(Debug, Clone)]
pub struct SimHost {
    pub host: Host,
    /// What the kernel calls it.
    pub hostname: String,
    /// systemd-resolved runs.
    pub resolved: bool,
    pub disk: Disk,
    pub up: bool,
    pub boots: u64,
    /// When it went down the last time, by whatever cause.
    pub down_since: Option<Duration>,
    pub unreachable_until: Duration,
    pub units: BTreeMap<String, UnitState>,
    pub packages: BTreeSet<String>,
    pub held: BTreeSet<String>,
    pub modules: BTreeSet<String>,
    pub sysctls: BTreeMap<String, String>,
    pub swap: Vec<String>,
    pub images: BTreeSet<String>,
    pub pods: BTreeMap<String, Pod>,
    pub clock_offset: i64,
    pub cpus: u32,
    pub memory_kib: u64,
    pub free_kib: u64,
    pub free_inodes: u64,
    /// Of every file system.
    pub mount_options: String,
    pub cgroup_v2: bool,
    /// How much longer everything takes here, in percent.
    pub slowness: u32,
    /// The highest run that has worked here.
    pub epoch: u64,
    /// A stage is between its first and last operation.
    pub busy: bool,
    pub results: BTreeMap<String, StageResult>,
    /// The kubelet that was started last: another one may lie on the disk since.
    pub kubelet: Option<Digest>,
    /// The kubelet has registered its Node since it was started.
    pub registered: bool,
    pub last_sync: Duration,
}

impl SimHost {
    /// A freshly installed Debian machine.
    pub fn new(host: Host) -> Self {
        let mut disk = Disk::default();
        for directory in BASE {
            disk.make_directories(directory);
        }
        disk.put(
            "/etc/fstab",
            Entry::text(0o644, "/dev/vda1 / ext4 defaults 0 1\n/dev/vda2 none swap sw 0 0\n"),
        );
        disk.sync();
        SimHost {
            hostname: host.name.to_string(),
            resolved: false,
            host,
            disk,
            up: true,
            boots: 1,
            down_since: None,
            unreachable_until: Duration::ZERO,
            units: BTreeMap::new(),
            packages: ["mount", "util-linux", "iproute2", "kmod"].map(str::to_owned).into(),
            held: BTreeSet::new(),
            modules: BTreeSet::from(["overlay".to_owned()]),
            sysctls: BTreeMap::from([("net.ipv4.ip_forward".to_owned(), "0".to_owned())]),
            swap: vec!["/dev/vda2".to_owned()],
            images: BTreeSet::new(),
            pods: BTreeMap::new(),
            clock_offset: 0,
            cpus: 4,
            memory_kib: 8 << 20,
            free_kib: 40 << 20,
            free_inodes: 1_000_000,
            mount_options: "rw,relatime".to_owned(),
            cgroup_v2: true,
            slowness: 100,
            epoch: 0,
            busy: false,
            results: BTreeMap::new(),
            kubelet: None,
            registered: false,
            last_sync: Duration::ZERO,
        }
    }

    pub fn boot_id(&self) -> String {
        format!("{}-boot-{}", self.host.name, self.boots)
    }

    pub fn machine(&self) -> &'static str {
        match self.host.arch {
            Arch::Amd64 => "x86_64",
            Arch::Arm64 => "aarch64",
        }
    }

    pub fn is_reachable(&self, now: Duration) -> bool {
        self.up && now >= self.unreachable_until
    }

    pub fn is_active(&self, unit: &str) -> bool {
        self.up && self.units.get(unit).is_some_and(|state| state.active)
    }

    pub fn artifact_path(digest: &str) -> String {
        format!("{ARTIFACT_STORE}/{digest}")
    }

    /// systemd finds a file for the unit.
    pub fn unit_exists(&self, unit: &str) -> bool {
        let package = unit.strip_suffix(".service").unwrap_or(unit);
        let packaged = matches!(package, "haproxy" | "keepalived") && self.packages.contains(package);
        packaged || self.disk.is_file(&format!("/etc/systemd/system/{unit}"))
    }

    /// Starts or restarts; false: there is no such unit, or its program is missing.
    pub fn start_unit(&mut self, unit: &str, now: Duration) -> bool {
        if !self.unit_exists(unit) || !self.program_of(unit).is_none_or(|program| self.disk.is_file(program))
        {
            return false;
        }
        if unit == KUBELET {
            self.registered = false;
            self.kubelet = self.digest_of("/usr/local/bin/kubelet");
        }
        let state = self.units.entry(unit.to_owned()).or_default();
        state.active = true;
        state.since = now;
        true
    }

    /// The hash of a file on the disk.
    pub fn digest_of(&self, path: &str) -> Option<Digest> {
        match &self.disk.get(path)?.node {
            super::disk::Node::File { digest, .. } => Some(*digest),
            super::disk::Node::Directory | super::disk::Node::Link(_) => None,
        }
    }

    fn program_of(&self, unit: &str) -> Option<&'static str> {
        match unit {
            KUBELET => Some("/usr/local/bin/kubelet"),
            CONTAINERD => Some("/usr/local/bin/containerd"),
            _ => None,
        }
    }

    pub fn stop_unit(&mut self, unit: &str) {
        if let Some(state) = self.units.get_mut(unit) {
            state.active = false;
        }
    }

    pub fn enable_unit(&mut self, unit: &str, enabled: bool) {
        let link = format!("/etc/systemd/system/multi-user.target.wants/{unit}");
        if enabled {
            self.disk.make_directories("/etc/systemd/system/multi-user.target.wants");
            let target = format!("/etc/systemd/system/{unit}");
            self.disk.put(&link, Entry { mode: 0o777, node: super::disk::Node::Link(target) });
        } else {
            self.disk.remove(&link);
        }
        self.units.entry(unit.to_owned()).or_default().enabled = enabled;
    }

    /// The kernel writes its cache back every five seconds.
    pub fn write_back(&mut self, now: Duration) {
        if now.saturating_sub(self.last_sync) >= Duration::from_secs(5) {
            self.disk.sync();
            self.last_sync = now;
        }
    }

    /// The power goes.
    pub fn power_cut(&mut self, random: &mut Random, now: Duration) -> usize {
        self.up = false;
        self.down_since = Some(now);
        self.busy = false;
        self.registered = false;
        self.pods.clear();
        let lost = self.disk.power_cut(random);
        self.disk.remove("/run/keelwright");
        lost
    }

    /// The machine comes up again with what its disk holds.
    pub fn boot(&mut self, now: Duration) {
        self.up = true;
        self.boots += 1;
        self.results.clear();
        self.modules = BTreeSet::from(["overlay".to_owned()]);
        let modules = self.disk.content("/etc/modules-load.d/keelwright.conf").unwrap_or_default();
        self.modules.extend(modules.lines().map(str::to_owned));
        self.sysctls = BTreeMap::from([("net.ipv4.ip_forward".to_owned(), "0".to_owned())]);
        self.apply_sysctls();
        let fstab = self.disk.content("/etc/fstab").unwrap_or_default();
        let swap = fstab.lines().filter(|line| !line.starts_with('#') && line.contains(" swap "));
        self.swap = swap.filter_map(|line| line.split(' ').next()).map(str::to_owned).collect();
        let names: Vec<String> = self.units.keys().cloned().collect();
        for name in names {
            let link = format!("/etc/systemd/system/multi-user.target.wants/{name}");
            let enabled =
                self.disk.get(&link).is_some() || (name == "haproxy.service" && self.units[&name].enabled);
            self.units.insert(name.clone(), UnitState { active: false, enabled, since: now });
            if enabled {
                self.start_unit(&name, now);
            }
        }
    }

    pub fn apply_sysctls(&mut self) {
        let text = self.disk.content("/etc/sysctl.d/99-keelwright.conf").unwrap_or_default();
        for (key, value) in text.lines().filter_map(|line| line.split_once(" = ")) {
            self.sysctls.insert(key.to_owned(), value.to_owned());
        }
    }

    /// The kubelet runs and can start containers.
    pub fn runs_pods(&self) -> bool {
        self.is_active(KUBELET)
            && self.is_active(CONTAINERD)
            && self.disk.is_file("/var/lib/kubelet/config.yaml")
    }

    /// Static pods whose manifest is new, gone, or changed: `(name, manifest)`; None: it has to stop.
    pub fn pod_changes(&self) -> Vec<(String, Option<(Digest, Manifest)>)> {
        if !self.runs_pods() {
            return Vec::new();
        }
        let mut changes = Vec::new();
        let mut wanted = BTreeSet::new();
        for (path, entry) in self.disk.below("/etc/kubernetes/manifests") {
            let super::disk::Node::File { digest, .. } = &entry.node else { continue };
            let name = path.rsplit('/').next().unwrap_or_default().trim_end_matches(".yaml").to_owned();
            wanted.insert(name.clone());
            if self.pods.get(&name).is_some_and(|pod| pod.digest == *digest) {
                continue;
            }
            if let Some(text) = entry.content() {
                changes.push((name, Some((*digest, manifest::parse(&text)))));
            }
        }
        let gone = self.pods.keys().filter(|name| !wanted.contains(*name));
        changes.extend(gone.map(|name| (name.clone(), None)));
        changes
    }

    /// What a pod that starts now finds below `/etc/kubernetes`.
    pub fn kubernetes_files(&self) -> BTreeMap<String, Digest> {
        let file = |(path, entry): (&str, &Entry)| match &entry.node {
            super::disk::Node::File { digest, .. } => Some((path.to_owned(), *digest)),
            super::disk::Node::Directory | super::disk::Node::Link(_) => None,
        };
        self.disk.below("/etc/kubernetes").filter_map(file).collect()
    }

    /// Why a pod's containers cannot start; None: they can.
    pub fn pod_obstacle(&self, manifest: &Manifest) -> Option<String> {
        if !self.images.contains(&manifest.image) {
            return Some(format!("image {} is missing", manifest.image));
        }
        manifest
            .arguments
            .values()
            .filter(|value| value.starts_with("/etc/kubernetes/"))
            .find(|path| !self.disk.is_file(path))
            .map(|path| format!("{path} is missing"))
    }
}
