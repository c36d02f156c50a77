//! Reads what the probe printed. Anything the script could not have printed is an error, so that a
//! half answer is never taken for a whole one.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::host::{
    Address, Cgroup, FileFact, FileKind, HostFacts, KubeconfigFact, Listener, Marker, Mount, UnitFact,
};
use crate::blueprint::{EtcdInitial, OsFamily};
use crate::digest::Digest;

/// Why a probe's answer cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProbeError {
    #[error("the probe's answer is not text (byte {0})")]
    NotText(usize),
    #[error("the probe's answer is cut off: it ends after {0} lines")]
    CutOff(usize),
    #[error("line {line} of the probe's answer makes no sense: {text:?}")]
    Line { line: usize, text: String },
}

/// At most this much of a strange line is repeated in an error.
const EXCERPT: usize = 80;
/// Half of `st_mode` that tells what kind of file it is.
const S_IFMT: u32 = 0o170_000;
const S_IFREG: u32 = 0o100_000;
const S_IFDIR: u32 = 0o040_000;
const S_IFLNK: u32 = 0o120_000;

/// Parses one host's answer.
pub fn host_facts(answer: &[u8]) -> Result<HostFacts, ProbeError> {
    let text = std::str::from_utf8(answer).map_err(|error| ProbeError::NotText(error.valid_up_to()))?;
    let mut facts = HostFacts::default();
    let mut ended = false;
    let mut count = 0;
    for (index, line) in text.lines().enumerate() {
        count = index + 1;
        if ended {
            return Err(strange(count, line));
        }
        let (word, rest) = line.split_once('\t').ok_or_else(|| strange(count, line))?;
        if word == "end" {
            ended = true;
            continue;
        }
        let fields: Vec<&str> = rest.split('\t').collect();
        read_fact(&mut facts, word, &fields).ok_or_else(|| strange(count, line))?;
    }
    if ended { Ok(facts) } else { Err(ProbeError::CutOff(count)) }
}

fn strange(line: usize, text: &str) -> ProbeError {
    ProbeError::Line { line, text: text.chars().take(EXCERPT).collect() }
}

fn read_fact(facts: &mut HostFacts, word: &str, fields: &[&str]) -> Option<()> {
    match (word, fields) {
        ("probe", ["1"]) => {}
        ("os", [id, version, like]) => {
            facts.os_id = (*id).to_owned();
            facts.os_version = (*version).to_owned();
            facts.os_family = os_family(id, like);
        }
        ("kernel", [release, machine]) => {
            facts.kernel = (*release).to_owned();
            facts.machine = (*machine).to_owned();
        }
        ("hostname", [name]) => facts.hostname = (*name).to_owned(),
        ("boot", [id]) => facts.boot_id = (*id).to_owned(),
        ("systemd", ["yes"]) => facts.systemd = true,
        ("cpus", [count]) => facts.cpus = count.parse().ok()?,
        ("memory", [kib]) => facts.memory_kib = kib.parse().ok()?,
        ("cgroup", ["v1"]) => facts.cgroup = Cgroup::V1,
        ("cgroup", ["v2"]) => facts.cgroup = Cgroup::V2,
        ("swap", [device]) => facts.swap.push((*device).to_owned()),
        ("clock", [seconds]) => facts.clock = seconds.parse().ok()?,
        ("synchronised", [answer]) => facts.clock_synchronised = Some(*answer == "yes"),
        ("address", [interface, address]) => facts
            .addresses
            .push(Address { interface: (*interface).to_owned(), address: address.parse().ok()? }),
        ("listen", [port, process]) => facts.listeners.push(Listener {
            port: port.parse().ok()?,
            process: (!process.is_empty()).then(|| (*process).to_owned()),
        }),
        ("mount", [directory, blocks, block_size, inodes, options]) => {
            let bytes = blocks.parse::<u64>().ok()?.checked_mul(block_size.parse().ok()?)?;
            facts.mounts.insert(
                (*directory).to_owned(),
                Mount {
                    free_kib: bytes / 1024,
                    free_inodes: inodes.parse().ok()?,
                    options: (*options).to_owned(),
                },
            );
        }
        ("resolved", ["yes"]) => facts.resolved_active = true,
        ("cadir", [path]) => insert(&mut facts.ca_directories, path),
        ("program", [name]) => insert(&mut facts.programs, name),
        ("package", [name]) => insert(&mut facts.packages, name),
        ("held", [name]) => insert(&mut facts.held, name),
        ("module", [name]) => insert(&mut facts.modules, name),
        ("sysctl", [key, value]) => {
            facts.sysctls.insert((*key).to_owned(), (*value).to_owned());
        }
        ("unit", [id, load, active, enabled, restarts]) => {
            facts.units.insert(
                (*id).to_owned(),
                UnitFact {
                    exists: *load != "not-found",
                    masked: *load == "masked",
                    active: matches!(*active, "active" | "activating" | "reloading"),
                    enabled: matches!(*enabled, "enabled" | "enabled-runtime" | "static"),
                    restarts: restarts.parse().unwrap_or(0),
                },
            );
        }
        ("stat", [path, raw, mode, uid, gid]) => {
            let kind = match u32::from_str_radix(raw, 16).ok()? & S_IFMT {
                S_IFREG => FileKind::Regular,
                S_IFDIR => FileKind::Directory,
                S_IFLNK => FileKind::Link(String::new()),
                _ => FileKind::Other,
            };
            let fact = FileFact {
                kind,
                mode: u32::from_str_radix(mode, 8).ok()?,
                uid: uid.parse().ok()?,
                gid: gid.parse().ok()?,
                digest: None,
                text: None,
            };
            facts.files.insert((*path).to_owned(), fact);
        }
        ("link", [path, target]) => facts.files.get_mut(*path)?.kind = FileKind::Link((*target).to_owned()),
        ("sum", [digest, path]) => facts.files.get_mut(*path)?.digest = Some(Digest::parse(digest).ok()?),
        ("content", [path, encoded]) => {
            let bytes = STANDARD.decode(encoded).ok()?;
            facts.files.get_mut(*path)?.text = Some(String::from_utf8_lossy(&bytes).into_owned());
        }
        ("certificate", [path, encoded]) => {
            let pem = String::from_utf8(STANDARD.decode(encoded).ok()?).ok()?;
            facts.certificates.insert((*path).to_owned(), pem);
        }
        ("kubeconfig", [path, server, authority, certificate]) => {
            let pem = |encoded| String::from_utf8(STANDARD.decode(encoded).ok()?).ok();
            let fact = KubeconfigFact {
                server: (*server).to_owned(),
                authority: pem(*authority)?,
                certificate: pem(*certificate)?,
            };
            facts.kubeconfigs.insert((*path).to_owned(), fact);
        }
        ("stale", [pod, path]) => {
            facts.stale_pods.insert((*pod).to_owned(), (*path).to_owned());
        }
        ("artifact", [digest]) => {
            if let Ok(digest) = Digest::parse(digest) {
                facts.artifacts.insert(digest);
            }
        }
        ("images", ["yes"]) => facts.images = Some(BTreeSet::new()),
        ("image", [reference]) => insert(facts.images.as_mut()?, reference),
        ("marker", [encoded]) => {
            let marker: Marker = serde_json::from_slice(&STANDARD.decode(encoded).ok()?).ok()?;
            facts.marker = Some(marker);
        }
        ("etcd-data", ["yes"]) => facts.etcd.has_data = true,
        ("etcd-cluster", [cluster]) if !cluster.is_empty() => {
            facts.etcd.initial =
                Some(EtcdInitial { cluster: (*cluster).to_owned(), state: "new".to_owned() });
        }
        ("etcd-cluster", [_]) => {}
        ("etcd-state", [state]) => {
            if let (Some(initial), false) = (facts.etcd.initial.as_mut(), state.is_empty()) {
                initial.state = (*state).to_owned();
            }
        }
        ("foreign", [path]) => insert(&mut facts.foreign, path),
        (_, _) => return None,
    }
    Some(())
}

fn insert(set: &mut BTreeSet<String>, text: &str) {
    set.insert(text.to_owned());
}

fn os_family(id: &str, like: &str) -> OsFamily {
    let red_hat = |word: &str| matches!(word, "rhel" | "fedora" | "centos" | "rocky" | "almalinux" | "amzn");
    if red_hat(id) || like.split(' ').any(red_hat) { OsFamily::RedHat } else { OsFamily::Debian }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ANSWER: &str = "probe\t1\nos\tdebian\t12\t\nkernel\t6.1\tx86_64\nhostname\tcp-1\ncgroup\tv1\n\
        stat\t/etc/a\t81a4\t644\t0\t0\nsum\taf5570f5a1810b7af78caf4bc70a660f0df51e42baf91d4de5b2328de0e83dfc\t/etc/a\n\
        stat\t/etc/l\ta1ff\t777\t0\t0\nlink\t/etc/l\t/etc/a\nunit\tkubelet.service\tloaded\tactive\tenabled\t3\n\
        images\tyes\nimage\tregistry.k8s.io/pause:3.10\nend\t1\n";

    #[test]
    fn reads_a_whole_answer() {
        let facts = host_facts(ANSWER.as_bytes()).unwrap();
        assert_eq!(facts.os_id, "debian");
        assert_eq!(facts.cgroup, Cgroup::V1);
        assert_eq!(facts.files["/etc/a"].mode, 0o644);
        assert_eq!(facts.files["/etc/l"].kind, FileKind::Link("/etc/a".into()));
        assert!(facts.is_active("kubelet.service"));
        assert_eq!(facts.images.unwrap().len(), 1);
    }

    #[test]
    fn refuses_an_answer_that_is_cut_off_at_any_line() {
        let lines: Vec<&str> = ANSWER.lines().collect();
        for cut in 0..lines.len() {
            assert_eq!(host_facts(lines[..cut].join("\n").as_bytes()), Err(ProbeError::CutOff(cut)));
        }
    }

    #[test]
    fn the_script_runs_here_and_its_answer_parses() {
        let output = std::process::Command::new("sh")
            .arg("-c")
            .arg(super::super::probe::SCRIPT)
            .stdin(std::process::Stdio::null())
            .output()
            .unwrap();
        let facts = host_facts(&output.stdout).unwrap();
        assert!(facts.cpus > 0 && facts.memory_kib > 0 && !facts.boot_id.is_empty());
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = host_facts(&bytes);
        }

        #[test]
        fn no_damaged_answer_makes_it_panic(at in 0..ANSWER.len(), byte in any::<u8>()) {
            let mut bytes = ANSWER.as_bytes().to_vec();
            bytes[at] = byte;
            let _ = host_facts(&bytes);
        }
    }
}
