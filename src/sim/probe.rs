//! Answers the probe of a simulated machine in the words of the real script, so that the same parser
//! reads both.

use std::fmt::Write as _;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::disk::{Entry, Node};
use super::host::SimHost;
use super::manifest;
use super::vault::EPOCH;
use crate::plan::lower::ARTIFACT_STORE;

const PROGRAMS: [&str; 9] =
    ["apt-get", "mount", "losetup", "sha256sum", "flock", "tar", "systemd-run", "systemctl", "curl"];
pub const CA_DIRECTORIES: [&str; 3] =
    ["/etc/ca-certificates", "/usr/share/ca-certificates", "/usr/local/share/ca-certificates"];
const FOREIGN: [&str; 5] =
    ["/etc/rancher/k3s", "/etc/rancher/rke2", "/var/snap/microk8s", "/etc/k0s", "/var/lib/k0s"];

/// What the script would print.
pub fn answer(host: &SimHost, questions: &str, now: Duration) -> String {
    let mut out = String::with_capacity(16 << 10);
    let _ = machine(&mut out, host, now);
    for question in questions.lines() {
        let _ = one(&mut out, host, question);
    }
    let _ = rest(&mut out, host);
    out.push_str("end\t1\n");
    out
}

fn machine(out: &mut String, host: &SimHost, now: Duration) -> std::fmt::Result {
    writeln!(out, "probe\t1\nos\tdebian\t12\t\nkernel\t6.1.0\t{}", host.machine())?;
    writeln!(out, "hostname\t{}\nboot\t{}\nsystemd\tyes", host.hostname, host.boot_id())?;
    if host.resolved {
        writeln!(out, "resolved\tyes")?;
    }
    writeln!(out, "cpus\t{}\nmemory\t{}", host.cpus, host.memory_kib)?;
    writeln!(out, "cgroup\t{}", if host.cgroup_v2 { "v2" } else { "v1" })?;
    for device in &host.swap {
        writeln!(out, "swap\t{device}")?;
    }
    let seconds = i64::try_from(now.as_secs()).unwrap_or(0);
    writeln!(out, "clock\t{}\nsynchronised\tyes", EPOCH + seconds + host.clock_offset)?;
    writeln!(out, "address\tlo\t127.0.0.1\naddress\teth0\t{}", host.host.address)?;
    if let Some(second) = host.host.secondary_address {
        writeln!(out, "address\teth0\t{second}")?;
    }
    for (pod, port) in [("kube-apiserver", 6443), ("etcd", 2379), ("etcd", 2380)] {
        if host.pods.contains_key(pod) {
            writeln!(out, "listen\t{port}\t{pod}")?;
        }
    }
    for directory in ["/", "/var/lib", "/run"] {
        let (kib, inodes, options) = (host.free_kib, host.free_inodes, &host.mount_options);
        writeln!(out, "mount\t{directory}\t{kib}\t1024\t{inodes}\t{options}")?;
    }
    for package in &host.held {
        writeln!(out, "held\t{package}")?;
    }
    for directory in CA_DIRECTORIES {
        if host.disk.is_directory(directory) {
            writeln!(out, "cadir\t{directory}")?;
        }
    }
    Ok(())
}

fn stat(out: &mut String, path: &str, entry: &Entry) -> std::fmt::Result {
    let kind = match &entry.node {
        Node::Directory => 0o040_000,
        Node::Link(_) => 0o120_000,
        Node::File { .. } => 0o100_000,
    };
    writeln!(out, "stat\t{path}\t{:x}\t{:o}\t0\t0", kind | entry.mode, entry.mode)?;
    match &entry.node {
        Node::Directory => Ok(()),
        Node::Link(target) => writeln!(out, "link\t{path}\t{target}"),
        Node::File { digest, .. } => writeln!(out, "sum\t{digest}\t{path}"),
    }
}

fn one(out: &mut String, host: &SimHost, question: &str) -> std::fmt::Result {
    let (word, what) = question.split_once(' ').unwrap_or((question, ""));
    match word {
        "program" if PROGRAMS.contains(&what) => writeln!(out, "program\t{what}"),
        "package" if host.packages.contains(what) => writeln!(out, "package\t{what}"),
        "module" if host.modules.contains(what) => writeln!(out, "module\t{what}"),
        "sysctl" => match host.sysctls.get(what) {
            Some(value) => writeln!(out, "sysctl\t{what}\t{value}"),
            None => Ok(()),
        },
        "unit" => {
            let state = host.units.get(what).cloned().unwrap_or_default();
            let load = if host.unit_exists(what) { "loaded" } else { "not-found" };
            let active = if state.active && host.up { "active" } else { "inactive" };
            let enabled = if state.enabled { "enabled" } else { "disabled" };
            writeln!(out, "unit\t{what}\t{load}\t{active}\t{enabled}\t0")
        }
        "file" | "binary" => match host.disk.get(what) {
            Some(entry) => stat(out, what, entry),
            None => Ok(()),
        },
        "text" => {
            let (digest, path) = what.split_once(' ').unwrap_or(("", what));
            let Some(entry) = host.disk.get(path) else { return Ok(()) };
            stat(out, path, entry)?;
            let Node::File { digest: found, .. } = &entry.node else { return Ok(()) };
            match entry.content() {
                Some(text) if found.to_string() != digest && text.len() <= 65536 => {
                    writeln!(out, "content\t{path}\t{}", STANDARD.encode(text))
                }
                Some(_) | None => Ok(()),
            }
        }
        "certificate" => match host.disk.content(what) {
            Some(text) => writeln!(out, "certificate\t{what}\t{}", STANDARD.encode(text)),
            None => Ok(()),
        },
        "pod" => {
            let (pod, paths) = what.split_once(' ').unwrap_or((what, ""));
            let Some(running) = host.pods.get(pod) else { return Ok(()) };
            let now = host.kubernetes_files();
            match paths.split(' ').find(|path| running.read.get(*path) != now.get(*path)) {
                Some(path) => writeln!(out, "stale\t{pod}\t{path}"),
                None => Ok(()),
            }
        }
        "etcd-data" if host.disk.is_directory(&format!("{what}/member")) => writeln!(out, "etcd-data\tyes"),
        _ => Ok(()),
    }
}

fn rest(out: &mut String, host: &SimHost) -> std::fmt::Result {
    for (path, _) in host.disk.below(ARTIFACT_STORE) {
        let name = path.rsplit('/').next().unwrap_or_default();
        if name.len() == 64 {
            writeln!(out, "artifact\t{name}")?;
        }
    }
    if host.is_active("containerd.service") && host.disk.is_file("/usr/local/bin/ctr") {
        writeln!(out, "images\tyes")?;
        for image in &host.images {
            writeln!(out, "image\t{image}")?;
        }
    }
    if let Some(marker) = host.disk.content("/etc/keelwright/host.json") {
        writeln!(out, "marker\t{}", STANDARD.encode(marker))?;
    }
    if let Some(text) = host.disk.content("/etc/kubernetes/manifests/etcd.yaml") {
        let arguments = manifest::parse(&text).arguments;
        let value = |name: &str| arguments.get(name).cloned().unwrap_or_default();
        writeln!(
            out,
            "etcd-cluster\t{}\netcd-state\t{}",
            value("initial-cluster"),
            value("initial-cluster-state")
        )?;
    }
    for path in FOREIGN {
        if host.disk.get(path).is_some() {
            writeln!(out, "foreign\t{path}")?;
        }
    }
    Ok(())
}
