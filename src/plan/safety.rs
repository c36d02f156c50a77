//! What must not be touched now, and why. A refusal names the host and carries the facts behind it.

use std::fmt;

use super::model::Goal;
use super::{PlanInput, etcd, reachable, remove};
use crate::facts::HostFacts;
use crate::inventory::{Host, HostName};

/// kubeadm back-dates certificates by five minutes; past that a host would find them not yet valid.
/// One minute leaves room for the drift of a long run.
pub const CLOCK_SKEW_LIMIT_SECONDS: i64 = 60;
/// kubeadm's preflight: NumCPU and Mem.
pub const CONTROL_PLANE_CPUS: u32 = 2;
pub const CONTROL_PLANE_MEMORY_KIB: u64 = 1700 * 1024;
/// Images, unpacked layers and the artifact store of one version, with room for logs.
pub const FREE_DISK_KIB: u64 = 4 * 1024 * 1024;
/// Unpacked layers of the images of a node are some tens of thousands of files.
pub const FREE_INODES: u64 = 100_000;

/// One reason why a plan is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct Refusal {
    pub host: HostName,
    pub why: Why,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why {
    OtherCluster {
        cluster: String,
        uid: String,
    },
    OtherInstaller {
        path: String,
    },
    /// Files of a node, and no marker of ours.
    UnknownNode {
        path: String,
    },
    /// containerd serves somebody else: Docker, say. Ours would take its place and its data.
    UnknownRuntime,
    ForeignEtcdData {
        directory: String,
    },
    /// The cluster knows this member, its disk is empty, and nobody can be asked about the rest.
    EmptyMember,
    NoSystemd,
    ClockSkew {
        seconds: i64,
    },
    WrongArchitecture {
        found: String,
        wanted: String,
    },
    AddressMissing {
        wanted: String,
        found: Vec<String>,
    },
    NotEnough {
        what: &'static str,
        have: u64,
        need: u64,
        unit: &'static str,
    },
    /// A mount option that neither containerd nor the kubelet can work with.
    MountOption {
        directory: &'static str,
        option: &'static str,
    },
    CgroupV1,
    PortTaken {
        port: u16,
        process: String,
    },
    QuorumLost {
        healthy: usize,
        needed: usize,
    },
    TooFewFounders {
        missing: Vec<HostName>,
    },
    ProgramMissing {
        program: &'static str,
    },
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Why::OtherCluster { cluster, uid } => {
                write!(f, "the machine belongs to cluster `{cluster}` ({uid}); reset it from there first")
            }
            Why::OtherInstaller { path } => write!(f, "{path} shows that another installer works here"),
            Why::UnknownNode { path } => write!(
                f,
                "{path} is of a cluster that keelwright did not make; if that may go, `kubeadm reset` the machine \
                 first"
            ),
            Why::UnknownRuntime => f.write_str(
                "containerd runs here already, for something else; keelwright brings its own: when nothing needs \
                 that one, `systemctl disable --now containerd`",
            ),
            Why::ForeignEtcdData { directory } => {
                write!(f, "{directory} holds the data of an etcd member that this cluster does not know")
            }
            Why::EmptyMember => f.write_str(
                "its etcd member has lost its data and no other member answers; starting it would make an empty cluster",
            ),
            Why::NoSystemd => f.write_str("systemd does not run here"),
            Why::ClockSkew { seconds } => {
                write!(f, "its clock is {seconds} s off; certificates would not be valid yet or any more")
            }
            Why::WrongArchitecture { found, wanted } => {
                write!(f, "is a {found} machine; the inventory says {wanted}")
            }
            Why::AddressMissing { wanted, found } => {
                write!(f, "no interface has address {wanted}; there are {}", found.join(", "))
            }
            Why::NotEnough { what, have, need, unit } => {
                write!(f, "has {have} {unit} of {what}, needs {need} {unit}")
            }
            Why::MountOption { directory, option } => {
                write!(f, "{directory} is mounted {option}; remount it without, and in /etc/fstab")
            }
            Why::CgroupV1 => f.write_str(
                "has cgroup v1, which kubelet 1.35 and later refuse; boot with systemd.unified_cgroup_hierarchy=1, \
                 or set kubelet.config.failCgroupV1: false",
            ),
            Why::PortTaken { port, process } => write!(f, "port {port} is taken by {process}"),
            Why::QuorumLost { healthy, needed } => {
                write!(f, "etcd would have {healthy} healthy voters and needs {needed}")
            }
            Why::TooFewFounders { missing } => {
                let names: Vec<String> = missing.iter().map(ToString::to_string).collect();
                write!(f, "most etcd hosts must answer to form the cluster; missing: {}", names.join(", "))
            }
            Why::ProgramMissing { program } => write!(f, "`{program}` is not installed"),
        }
    }
}

/// Everything that stands against planning, for all hosts at once.
pub fn refusals(input: &PlanInput<'_>) -> Vec<Refusal> {
    let mut all = Vec::new();
    for host in reachable(input) {
        if let Some(facts) = input.facts.host(&host.name) {
            all.extend(ownership(input, host, facts));
            if input.goal != Goal::Reset {
                all.extend(machine(input, host, facts));
                all.extend(data(input, host, facts));
            }
        }
    }
    if input.goal != Goal::Reset {
        all.extend(quorum(input));
    }
    all
}

fn refuse(host: &Host, why: Why) -> Refusal {
    Refusal { host: host.name.clone(), why }
}

fn ownership(input: &PlanInput<'_>, host: &Host, facts: &HostFacts) -> Vec<Refusal> {
    let mut found = Vec::new();
    if let Some(marker) = &facts.marker
        && input.vault.cluster_uid.as_ref() != Some(&marker.uid)
    {
        found.push(refuse(
            host,
            Why::OtherCluster { cluster: marker.cluster.clone(), uid: marker.uid.clone() },
        ));
    }
    if facts.marker.is_none() {
        let node = ["/etc/kubernetes/kubelet.conf", "/etc/kubernetes/pki/ca.crt"];
        if let Some(path) = node.into_iter().find(|path| facts.files.contains_key(*path)) {
            found.push(refuse(host, Why::UnknownNode { path: path.to_owned() }));
        }
        if facts.is_active("containerd.service") && input.goal != Goal::Reset {
            found.push(refuse(host, Why::UnknownRuntime));
        }
    }
    if let Some(path) = facts.foreign.first() {
        found.push(refuse(host, Why::OtherInstaller { path: path.clone() }));
    }
    found
}

fn machine(input: &PlanInput<'_>, host: &Host, facts: &HostFacts) -> Vec<Refusal> {
    let mut found = Vec::new();
    if !facts.systemd {
        found.push(refuse(host, Why::NoSystemd));
    }
    if facts.clock_offset.abs() > CLOCK_SKEW_LIMIT_SECONDS {
        found.push(refuse(host, Why::ClockSkew { seconds: facts.clock_offset }));
    }
    let wanted = match host.arch {
        crate::release::Arch::Amd64 => "x86_64",
        crate::release::Arch::Arm64 => "aarch64",
    };
    if facts.machine != wanted {
        let why = Why::WrongArchitecture { found: facts.machine.clone(), wanted: wanted.to_owned() };
        found.push(refuse(host, why));
    }
    if !facts.addresses.iter().any(|address| address.address == host.address) {
        let names = facts.addresses.iter().map(|a| format!("{} on {}", a.address, a.interface)).collect();
        found.push(refuse(host, Why::AddressMissing { wanted: host.address.to_string(), found: names }));
    }
    if host.is_control_plane() {
        let (cpus, memory) = (u64::from(facts.cpus), facts.memory_kib);
        if facts.cpus < CONTROL_PLANE_CPUS {
            let why =
                Why::NotEnough { what: "CPU", have: cpus, need: CONTROL_PLANE_CPUS.into(), unit: "cores" };
            found.push(refuse(host, why));
        }
        if memory < CONTROL_PLANE_MEMORY_KIB {
            let need = CONTROL_PLANE_MEMORY_KIB / 1024;
            let why = Why::NotEnough { what: "memory", have: memory / 1024, need, unit: "MiB" };
            found.push(refuse(host, why));
        }
    }
    found.extend(disk(facts).into_iter().map(|why| refuse(host, why)));
    let tolerates_v1 = input.inventory.kubelet.config.get("failCgroupV1") == Some(&false.into());
    let refuses_v1 = input.inventory.version.minor >= 35 && host.is_node();
    if facts.cgroup == crate::facts::Cgroup::V1 && refuses_v1 && !tolerates_v1 {
        found.push(refuse(host, Why::CgroupV1));
    }
    for program in ["sha256sum", "flock", "tar", "systemd-run"] {
        if !facts.programs.contains(program) {
            found.push(refuse(host, Why::ProgramMissing { program }));
        }
    }
    found.extend(ports(host, facts));
    found
}

/// The file system of /var/lib: what containers run from, and room for a first installation.
fn disk(facts: &HostFacts) -> Vec<Why> {
    let Some(mount) = facts.mounts.get("/var/lib") else { return Vec::new() };
    let options =
        ["ro", "noexec"].into_iter().filter(|option| mount.options.split(',').any(|it| it == *option));
    let mut found: Vec<Why> =
        options.map(|option| Why::MountOption { directory: "/var/lib", option }).collect();
    if !facts.artifacts.is_empty() {
        return found;
    }
    if mount.free_kib < FREE_DISK_KIB {
        let (have, need) = (mount.free_kib / 1024, FREE_DISK_KIB / 1024);
        found.push(Why::NotEnough { what: "disk under /var/lib", have, need, unit: "MiB" });
    }
    // btrfs counts none and says 0.
    if (1..FREE_INODES).contains(&mount.free_inodes) {
        let (have, need) = (mount.free_inodes, FREE_INODES);
        found.push(Why::NotEnough { what: "free inodes under /var/lib", have, need, unit: "files" });
    }
    found
}

/// Ports of a machine that is not ours yet must be free.
fn ports(host: &Host, facts: &HostFacts) -> Vec<Refusal> {
    if facts.marker.is_some() {
        return Vec::new();
    }
    let control_plane: &[u16] = &[6443, 10257, 10259, 2379, 2380];
    let wanted = if host.is_control_plane() { control_plane } else { &[] };
    let taken = |port: &&u16| facts.listeners.iter().find(|listener| listener.port == **port);
    wanted
        .iter()
        .chain(&[10250_u16])
        .filter_map(|port| taken(&port))
        .map(|listener| {
            let process = listener.process.clone().unwrap_or_else(|| "another program".to_owned());
            refuse(host, Why::PortTaken { port: listener.port, process })
        })
        .collect()
}

fn data(input: &PlanInput<'_>, host: &Host, facts: &HostFacts) -> Vec<Refusal> {
    if !input.inventory.etcd_hosts().any(|etcd| etcd.name == host.name) {
        return Vec::new();
    }
    let directory = input.inventory.etcd.data_dir.to_string();
    let listed = etcd::is_member(input, host);
    match (facts.etcd.has_data, input.facts.etcd.known().is_some(), listed) {
        (true, true, false) => vec![refuse(host, Why::ForeignEtcdData { directory })],
        (true, false, _) if facts.marker.is_none() => {
            vec![refuse(host, Why::ForeignEtcdData { directory })]
        }
        (false, false, _) if input.vault.etcd_established && !etcd::anyone_has_data(input) => {
            vec![refuse(host, Why::EmptyMember)]
        }
        (_, _, _) => Vec::new(),
    }
}

fn quorum(input: &PlanInput<'_>) -> Vec<Refusal> {
    let mut found = Vec::new();
    for name in remove::names(input) {
        if etcd::dropped_member(input, &name).is_some() {
            let (healthy, needed) = etcd::voters_without(input, &name);
            if healthy < needed {
                found.push(Refusal { host: name, why: Why::QuorumLost { healthy, needed } });
            }
        }
    }
    if input.facts.etcd.known().is_none() && !input.vault.etcd_established {
        let missing = etcd::unreachable_founders(input);
        let all = input.inventory.etcd_hosts().count();
        if let (Some(first), true) = (missing.first(), (all - missing.len()) * 2 <= all) {
            found
                .push(Refusal { host: first.clone(), why: Why::TooFewFounders { missing: missing.clone() } });
        }
    }
    found
}
