//! A simulated machine like one that was probed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretSlice};
use serde_json::json;

use super::disk::{Bytes, Entry, Node, parent};
use super::host::{Pod, SimHost, UnitState};
use super::manifest;
use super::probe::CA_DIRECTORIES;
use super::vault::{SimVault, digest_of};
use crate::blueprint::{Content, FilePolicy, HostBlueprint};
use crate::digest::Digest;
use crate::exec::ports::{EtcdMember, SecretSource as _};
use crate::facts::{Cgroup, FileFact, FileKind, HostFacts};
use crate::inventory::{Host, HostName, bracketed};
use crate::pki::SecretContent;
use crate::plan::lower::ARTIFACT_STORE;

const MARKER: &str = "/etc/keelwright/host.json";
const MANIFESTS: &str = "/etc/kubernetes/manifests";

/// What the content of a file can be taken from.
pub struct Texts {
    /// What the probe compared with.
    pub asked: BTreeMap<HostName, HostBlueprint>,
    pub wanted: BTreeMap<HostName, HostBlueprint>,
    /// Files that differ from the vault's and are as good.
    pub accepted: BTreeMap<HostName, BTreeSet<String>>,
    /// SHA-256, in hex, of what the original's vault would write.
    pub digests: BTreeMap<SecretContent, String>,
}

/// What etcd's data says of whose it is.
pub fn member_identity(cluster: u64, host: &Host, members: &[EtcdMember]) -> String {
    let own = format!("//{}:", bracketed(&host.address.to_string()));
    let is_own = |member: &&EtcdMember| member.peer_urls.iter().any(|url| url.contains(&own));
    // Data of a member that was removed: it does not start.
    let id = members.iter().find(is_own).map_or(0, |member| member.id);
    format!("{cluster} {id}")
}

/// `kubelet`: the executable that runs. `etcd`: the data directory and what it says of whose it is.
pub fn machine(
    host: &Host,
    facts: &HostFacts,
    texts: &Texts,
    vault: &SimVault,
    kubelet: Option<Digest>,
    etcd: Option<(&str, &str)>,
) -> SimHost {
    let mut machine = SimHost::new(host.clone());
    hardware(&mut machine, facts);
    for (path, fact) in &facts.files {
        if let Some(directory) = parent(path) {
            machine.disk.make_directories(directory);
        }
        let node = match &fact.kind {
            FileKind::Directory => Node::Directory,
            FileKind::Link(target) => Node::Link(target.clone()),
            FileKind::Regular => file(&host.name, path, fact, texts, vault),
            FileKind::Other => continue,
        };
        machine.disk.put(path, Entry { mode: fact.mode, node });
    }
    rest_of_disk(&mut machine, facts, etcd);
    for (name, fact) in &facts.units {
        let enabled = fact.enabled && !fact.masked;
        if enabled {
            machine.enable_unit(name, true);
        }
        let state = UnitState { active: fact.active, enabled, since: Duration::ZERO };
        machine.units.insert(name.clone(), state);
    }
    machine.kubelet = kubelet;
    machine.registered = machine.is_active("kubelet.service");
    machine.pods = pods(&machine, facts);
    machine.disk.sync();
    machine
}

fn hardware(machine: &mut SimHost, facts: &HostFacts) {
    machine.hostname.clone_from(&facts.hostname);
    machine.resolved = facts.resolved_active;
    machine.cpus = facts.cpus;
    machine.memory_kib = facts.memory_kib;
    machine.cgroup_v2 = facts.cgroup == Cgroup::V2;
    machine.swap.clone_from(&facts.swap);
    machine.packages.clone_from(&facts.packages);
    machine.held.clone_from(&facts.held);
    machine.modules.clone_from(&facts.modules);
    machine.sysctls.clone_from(&facts.sysctls);
    machine.clock_offset = facts.clock_offset;
    machine.images = facts.images.clone().unwrap_or_default();
    // The simulation has one file system: the fullest one counts.
    if let Some(free) = facts.mounts.values().map(|mount| mount.free_kib).min() {
        machine.free_kib = free;
    }
    if let Some(free) = facts.mounts.values().map(|mount| mount.free_inodes).min() {
        machine.free_inodes = free;
    }
    if let Some(mount) = facts.mounts.get("/var/lib") {
        machine.mount_options.clone_from(&mount.options);
    }
}

/// What is on a disk beside the files that were asked for.
fn rest_of_disk(machine: &mut SimHost, facts: &HostFacts, etcd: Option<(&str, &str)>) {
    for directory in CA_DIRECTORIES {
        if facts.ca_directories.contains(directory) {
            machine.disk.make_directories(directory);
        } else {
            machine.disk.remove(directory);
        }
    }
    let artifact =
        |digest: &Digest| Entry { mode: 0o600, node: Node::File { bytes: Bytes::Artifact, digest: *digest } };
    for digest in &facts.artifacts {
        machine.disk.make_directories(ARTIFACT_STORE);
        machine.disk.put(&SimHost::artifact_path(&digest.to_string()), artifact(digest));
    }
    if let Some(marker) = facts.marker.as_ref().filter(|_| !machine.disk.is_file(MARKER)) {
        let text = json!({"cluster": marker.cluster, "uid": marker.uid, "host": marker.host});
        machine.disk.make_directories("/etc/keelwright");
        machine.disk.put(MARKER, Entry::text(0o644, &text.to_string()));
    }
    if let Some((directory, identity)) = etcd {
        let member = format!("{directory}/member");
        machine.disk.make_directories(&member);
        machine.disk.put(&format!("{member}/identity"), Entry::text(0o600, identity));
    }
    for path in &facts.foreign {
        machine.disk.make_directories(path);
    }
}

fn file(host: &HostName, path: &str, fact: &FileFact, texts: &Texts, vault: &SimVault) -> Node {
    if let Some(text) = &fact.text {
        return Entry::text(fact.mode, text).node;
    }
    let unknown = Node::File { bytes: Bytes::Artifact, digest: fact.digest.unwrap_or(Digest::of(b"")) };
    let all = [texts.wanted.get(host), texts.asked.get(host)];
    for wanted in all.into_iter().flatten().filter_map(|blueprint| blueprint.files.get(path)) {
        match &wanted.content {
            Content::Text(text) if fact.digest == Some(Digest::of(text.as_bytes())) => {
                return Entry::text(fact.mode, text).node;
            }
            Content::Text(_) => {}
            Content::Secret(content) => {
                let digest = fact.digest.map(|digest| digest.to_string());
                let is_the_vaults = digest.is_some() && digest.as_ref() == texts.digests.get(content);
                let is_as_good = texts.accepted.get(host).is_some_and(|paths| paths.contains(path))
                    || wanted.policy == FilePolicy::CreateOnly;
                return secret(vault, content, is_the_vaults || is_as_good).unwrap_or(unknown);
            }
        }
    }
    unknown
}

/// What the played vault has in place of a secret; one that is not the original vault's is not this one's.
fn secret(vault: &SimVault, content: &SecretContent, is_the_vaults: bool) -> Option<Node> {
    let played = vault.resolve(content).ok()?;
    let secret = if is_the_vaults {
        played
    } else {
        let mut bytes = played.expose_secret().to_vec();
        bytes.extend_from_slice(b"of another vault\n");
        Arc::new(SecretSlice::from(bytes))
    };
    Some(Node::File { digest: digest_of(&secret), bytes: Bytes::Secret(secret) })
}

/// Static pods run for as long as the machine does, whatever became of the kubelet that started them.
fn pods(machine: &SimHost, facts: &HostFacts) -> BTreeMap<String, Pod> {
    if !machine.is_active("containerd.service") {
        return BTreeMap::new();
    }
    let files = machine.kubernetes_files();
    let pod = |(path, entry): (&str, &Entry)| {
        let Node::File { digest, .. } = &entry.node else { return None };
        let name = path.rsplit('/').next()?.strip_suffix(".yaml")?.to_owned();
        let mut read = files.clone();
        // It was started before this file was written.
        if let Some(stale) = facts.stale_pods.get(&name) {
            read.remove(stale);
        }
        let manifest = manifest::parse(&entry.content()?);
        let pod = Pod { digest: *digest, since: Duration::ZERO, manifest, read, made_by: machine.kubelet };
        Some((name, pod))
    };
    machine.disk.below(MANIFESTS).filter_map(pod).collect()
}
