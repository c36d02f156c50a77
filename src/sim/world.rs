//! The whole simulated fleet: machines, etcd clusters, and what follows when one of them changes.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use super::etcd::EtcdCluster;
use super::faults::Faults;
use super::hooks::RanHook;
use super::host::{Pod, SimHost};
use crate::digest::Digest;
use crate::inventory::{Host, HostName};

/// Between an API server's start and its first `/readyz`, once etcd answers.
const API_START: Duration = Duration::from_secs(3);

/// Where a node's pod network comes from: without one it never becomes Ready.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PodNetwork {
    /// A CNI configuration on the host.
    Files,
    /// Objects in the API, by key, whose pods run these images.
    Objects { keys: Vec<String>, images: Vec<String> },
    /// Somebody else looks after it.
    Others,
}

pub struct World {
    pub now: Duration,
    pub hosts: BTreeMap<HostName, SimHost>,
    pub clusters: BTreeMap<u64, EtcdCluster>,
    /// Hosts that have started a member.
    pub etcd_hosts: BTreeSet<HostName>,
    /// Hosts that have started an API server.
    pub api_hosts: BTreeSet<HostName>,
    pub faults: Faults,
    /// Broken promises, each with the moment it was broken.
    pub violations: Vec<String>,
    /// What happened to machines, for people.
    pub incidents: Vec<(Duration, String)>,
    /// Reference of each image archive, by the archive's hash.
    pub archives: BTreeMap<Digest, String>,
    pub sizes: BTreeMap<Digest, u64>,
    /// Version of each executable.
    pub versions: BTreeMap<Digest, String>,
    pub network: PodNetwork,
    /// What API servers say at `/metrics`, of what the simulation does not count itself.
    pub metrics: BTreeMap<HostName, String>,
    pub by_address: BTreeMap<IpAddr, HostName>,
    pub serial: u64,
    /// When the operator last looked.
    pub observed_at: Duration,
    /// Changes made anywhere: files written, units started, API writes. A second run makes none.
    pub writes: u64,
    /// The operator asked for the whole cluster to go.
    pub resetting: bool,
    /// An image, or `kubelet:VERSION`, that never becomes ready on a host.
    pub poisoned: Option<(HostName, String)>,
    /// How often each static pod was started, by host.
    pub starts: BTreeMap<(HostName, String), u32>,
    /// The operator's own commands that ran, in order.
    pub hooks: Vec<RanHook>,
    /// A hook that fails wherever it runs.
    pub failing_hook: Option<String>,
}

impl World {
    pub fn new(hosts: impl Iterator<Item = Host>, faults: Faults) -> Self {
        let hosts: BTreeMap<HostName, SimHost> =
            hosts.map(|host| (host.name.clone(), SimHost::new(host))).collect();
        World {
            now: Duration::ZERO,
            by_address: hosts.iter().map(|(name, host)| (host.host.address, name.clone())).collect(),
            hosts,
            clusters: BTreeMap::new(),
            etcd_hosts: BTreeSet::new(),
            api_hosts: BTreeSet::new(),
            faults,
            violations: Vec::new(),
            incidents: Vec::new(),
            archives: BTreeMap::new(),
            sizes: BTreeMap::new(),
            versions: BTreeMap::new(),
            network: PodNetwork::Files,
            metrics: BTreeMap::new(),
            serial: 0,
            observed_at: Duration::ZERO,
            writes: 0,
            resetting: false,
            poisoned: None,
            starts: BTreeMap::new(),
            hooks: Vec::new(),
            failing_hook: None,
        }
    }

    /// Adds a machine that was not there before.
    pub fn add_host(&mut self, host: Host) {
        self.by_address.insert(host.address, host.name.clone());
        self.hosts.insert(host.name.clone(), SimHost::new(host));
    }

    /// A machine comes back with an empty disk: a new one with the old name.
    pub fn wipe(&mut self, name: &HostName) {
        let Some(old) = self.hosts.get(name) else { return };
        let mut fresh = SimHost::new(old.host.clone());
        fresh.boots = old.boots + 1;
        fresh.down_since = Some(self.now);
        self.hosts.insert(name.clone(), fresh);
    }

    pub fn violation(&mut self, at: Duration, what: String) {
        self.violations.push(format!("at {:.1} s: {what}", at.as_secs_f64()));
    }

    pub fn incident(&mut self, what: String) {
        self.incidents.push((self.now, what));
    }

    /// The kubelet looks at its manifests: starts, restarts and stops static pods.
    pub fn settle(&mut self, name: &HostName) {
        let now = self.now;
        let Some(host) = self.hosts.get_mut(name) else { return };
        host.write_back(now);
        for pod in self.outdated_pods(name) {
            self.stop_container(name, &pod);
        }
        let Some(host) = self.hosts.get(name) else { return };
        let changes = host.pod_changes();
        let changed = !changes.is_empty();
        for (pod, change) in changes {
            let Some((digest, manifest)) = change else {
                self.stop_pod(name, &pod);
                continue;
            };
            let obstacle = self.hosts.get(name).and_then(|host| host.pod_obstacle(&manifest));
            if let Some(why) = obstacle {
                self.stop_pod(name, &pod);
                self.violation(now, format!("{name}: {pod} has a manifest but {why}"));
                continue;
            }
            if pod == "etcd" {
                self.before_etcd_restart(name);
                if let Err(why) = self.start_etcd(name, &manifest, now) {
                    self.stop_pod(name, &pod);
                    self.incident(format!("{name}: etcd does not start: {why}"));
                    continue;
                }
            }
            if pod == "kube-apiserver" {
                self.api_hosts.insert(name.clone());
            }
            *self.starts.entry((name.clone(), pod.clone())).or_default() += 1;
            if let Some(host) = self.hosts.get_mut(name) {
                let read = host.kubernetes_files();
                let made_by = host.kubelet;
                host.pods.insert(pod, Pod { digest, since: now, manifest, read, made_by });
            }
        }
        if changed {
            self.check_skew();
        }
    }

    /// A container ends; the kubelet starts it again when the machine settles.
    pub fn stop_container(&mut self, name: &HostName, pod: &str) -> bool {
        if pod == "etcd" {
            self.before_etcd_restart(name);
        }
        let found = self.hosts.get_mut(name).filter(|host| host.is_active("containerd.service"));
        found.is_some_and(|host| host.pods.remove(pod).is_some())
    }

    fn stop_pod(&mut self, name: &HostName, pod: &str) {
        if let Some(host) = self.hosts.get_mut(name) {
            host.pods.remove(pod);
        }
    }

    /// The etcd cluster behind an API server; None: none of its members has a leader.
    fn backend(&self, name: &HostName) -> Option<u64> {
        let pod = self.hosts.get(name)?.pods.get("kube-apiserver")?;
        let servers = pod.manifest.arguments.get("etcd-servers")?.clone();
        for url in servers.split(',') {
            let Some(address) = url.strip_prefix("https://").and_then(|rest| rest.rsplit_once(':')) else {
                continue;
            };
            let address = address.0.trim_matches(['[', ']']);
            let member = match address.parse::<IpAddr>() {
                Ok(address) if address.is_loopback() => Some(name.clone()),
                Ok(address) => self.by_address.get(&address).cloned(),
                Err(_) => None,
            };
            if let Some((cluster, member)) = member.and_then(|member| self.member_on(&member))
                && self.answers(cluster, member)
                && self.is_a_majority(cluster)
            {
                return Some(cluster);
            }
        }
        None
    }

    /// Whether the API server on a host is ready: the etcd cluster it serves.
    pub fn api_on(&mut self, name: &HostName) -> Option<u64> {
        if !self.api_hosts.contains(name) {
            return None;
        }
        self.settle(name);
        let (cluster, since) = self.api_process(name)?;
        self.has_quorum(cluster);
        (self.now >= since + API_START).then_some(cluster)
    }

    /// The same, and looking changes nothing: no kubelet looks at its manifests for it.
    pub fn api_serves(&self, name: &HostName) -> Option<u64> {
        let (cluster, since) = self.api_process(name)?;
        (self.now >= since + API_START).then_some(cluster)
    }

    /// The etcd cluster behind an API server that runs, and since when that does.
    fn api_process(&self, name: &HostName) -> Option<(u64, Duration)> {
        let host = self.hosts.get(name).filter(|host| host.up)?;
        let pod = host.pods.get("kube-apiserver")?;
        if self.poisoned.as_ref().is_some_and(|(at, image)| at == name && *image == pod.manifest.image) {
            return None;
        }
        Some((self.backend(name)?, pod.since))
    }

    /// Any API server that is ready.
    pub fn any_api(&mut self) -> Option<(HostName, u64)> {
        for name in self.api_hosts.clone() {
            if let Some(cluster) = self.api_on(&name) {
                return Some((name, cluster));
            }
        }
        None
    }

    /// The API server a kubelet reaches, by the server in its kubeconfig.
    pub fn api_for_kubelet(&mut self, name: &HostName) -> Option<u64> {
        let host = self.hosts.get(name)?;
        let config = host.disk.content("/etc/kubernetes/kubelet.conf")?;
        let server = field(&config, "server: ")?;
        let pem = field(&config, "client-certificate: ")?;
        if !host.disk.is_file(&pem) {
            return None;
        }
        let ca = host.disk.content("/etc/kubernetes/pki/ca.crt")?;
        let address =
            server.strip_prefix("https://")?.rsplit_once(':')?.0.trim_matches(['[', ']']).parse::<IpAddr>();
        let candidates: Vec<HostName> = match address {
            Ok(address) if address.is_loopback() => {
                if !host.is_active("keelwright-apiserver-lb.service") {
                    return None;
                }
                let balancer = host.disk.content("/etc/keelwright/haproxy.cfg")?;
                let names = self.api_hosts.iter().filter(|api| {
                    self.hosts
                        .get(*api)
                        .is_some_and(|api| balancer.contains(&format!(" {}:", api.host.address)))
                });
                names.cloned().collect()
            }
            Ok(address) if self.by_address.contains_key(&address) => vec![self.by_address[&address].clone()],
            Ok(_) | Err(_) => self.api_hosts.iter().cloned().collect(),
        };
        for api in candidates {
            let same_ca =
                self.hosts.get(&api)?.disk.content("/etc/kubernetes/pki/ca.crt").as_ref() == Some(&ca);
            if let Some(cluster) = self.api_on(&api) {
                if same_ca {
                    return Some(cluster);
                }
                self.violation(self.now, format!("{name} and {api} have different CAs"));
            }
        }
        None
    }

    /// What the fleet has come to, without what differs from run to run (boot ids, times, member ids).
    pub fn fingerprint(&self) -> BTreeMap<String, String> {
        let mut all = BTreeMap::new();
        for (name, host) in &self.hosts {
            for (path, entry) in host.disk.entries().filter(|(path, _)| !path.ends_with("/member/identity")) {
                let what = match &entry.node {
                    super::disk::Node::Directory => "directory".to_owned(),
                    super::disk::Node::Link(target) => target.clone(),
                    super::disk::Node::File { digest, .. } => digest.short(),
                };
                all.insert(format!("{name}:{path}"), format!("{:o} {what}", entry.mode));
            }
            let active = host.units.iter().filter(|(_, unit)| unit.active || unit.enabled);
            for (unit, state) in active {
                all.insert(format!("{name} unit {unit}"), format!("{} {}", state.active, state.enabled));
            }
            all.insert(format!("{name} images"), format!("{:?}", host.images));
            all.insert(
                format!("{name} kernel"),
                format!("{:?} {:?} {:?}", host.modules, host.sysctls, host.swap),
            );
            all.insert(format!("{name} pods"), format!("{:?}", host.pods.keys()));
        }
        for line in self.membership() {
            all.insert(line, String::new());
        }
        for (key, object) in self.stored() {
            let mut object = object.clone();
            if let Some(metadata) = object.get_mut("metadata").and_then(|metadata| metadata.as_object_mut()) {
                metadata.remove("resourceVersion");
                metadata.remove("uid");
            }
            all.insert(format!("object {key}"), object.to_string());
        }
        all
    }
}

/// The value after `key` on its line.
pub fn field(text: &str, key: &str) -> Option<String> {
    text.lines()
        .find_map(|line| line.trim().trim_start_matches("- ").strip_prefix(key))
        .map(|value| value.trim().trim_matches('"').to_owned())
}
