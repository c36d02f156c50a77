//! When a plan changes the version of what: read from its actions, nothing else.

use std::collections::BTreeMap;
use std::fmt;

use semver::Version;
use serde_json::Value;

use super::super::model::{Action, ObjectSet, Plan, Step, Target};
use super::super::upgrade::ClusterVersions;
use super::Flaw;
use super::order::Moment;
use crate::blueprint::{Content, KUBELET_UNIT};
use crate::inventory::HostName;
use crate::release::KubeVersion;

const KUBELET: &str = "/usr/local/bin/kubelet";
const MANIFESTS: &str = "/etc/kubernetes/manifests/";
const ETCD: &str = "etcd";

/// A part of Kubernetes that has a version.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    ApiServer(HostName),
    ControllerManager(HostName),
    Scheduler(HostName),
    Kubelet(HostName),
    KubeProxy,
}

/// What a part runs before the plan, and its changes in the order of the plan's steps.
#[derive(Debug, Clone)]
pub(super) struct Timeline<V> {
    pub start: Option<V>,
    pub changes: Vec<Change<V>>,
}

/// Before `begins` the old version runs, after `ends` the new one, between them either. None: nothing.
#[derive(Debug, Clone)]
pub(super) struct Change<V> {
    pub to: Option<V>,
    pub begins: Moment,
    pub ends: Moment,
}

/// The timelines of everything that runs or will, and flaws where that cannot be told.
#[derive(Default)]
pub(super) struct Changes {
    pub etcd: BTreeMap<HostName, Timeline<Version>>,
    pub kubernetes: BTreeMap<Part, Timeline<KubeVersion>>,
    pub flaws: Vec<Flaw>,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Part::ApiServer(host) => write!(f, "the API server of {host}"),
            Part::ControllerManager(host) => write!(f, "the controller manager of {host}"),
            Part::Scheduler(host) => write!(f, "the scheduler of {host}"),
            Part::Kubelet(host) => write!(f, "the kubelet of {host}"),
            Part::KubeProxy => f.write_str("kube-proxy"),
        }
    }
}

impl<V> Timeline<V> {
    /// The version after so many changes.
    pub fn version(&self, changes: usize) -> Option<&V> {
        match changes.checked_sub(1) {
            None => self.start.as_ref(),
            Some(last) => self.changes.get(last)?.to.as_ref(),
        }
    }

    /// Changes of something that runs: from, to, when.
    pub fn replacements(&self) -> impl Iterator<Item = (&V, &V, &Change<V>)> {
        let changes = self.changes.iter().enumerate();
        changes.filter_map(|(index, change)| Some((self.version(index)?, change.to.as_ref()?, change)))
    }

    pub fn steps(&self) -> impl Iterator<Item = usize> {
        self.changes.iter().flat_map(|change| [change.begins.step, change.ends.step])
    }
}

impl<V> Default for Timeline<V> {
    fn default() -> Self {
        Timeline { start: None, changes: Vec::new() }
    }
}

impl Changes {
    /// Reads what `plan` does to a cluster that runs `versions`.
    pub fn read(plan: &Plan, versions: &ClusterVersions) -> Self {
        let mut changes = Changes::starting_with(versions);
        for (index, step) in plan.steps.iter().enumerate() {
            for (action, planned) in step.actions.iter().enumerate() {
                let at = Moment { step: index, action };
                match &step.target {
                    Target::Host(host) => changes.on_host(host, step, &planned.action, at),
                    Target::Cluster | Target::Operator => {
                        changes.in_cluster(&planned.action, plan.target, at)
                    }
                }
            }
        }
        changes
    }

    fn starting_with(versions: &ClusterVersions) -> Self {
        let mut changes = Changes::default();
        let mut start = |part: Part, version: Option<KubeVersion>| {
            if version.is_some() {
                changes.kubernetes.insert(part, Timeline { start: version, ..Timeline::default() });
            }
        };
        for (name, host) in &versions.hosts {
            start(Part::ApiServer(name.clone()), host.api_server);
            start(Part::ControllerManager(name.clone()), host.controller_manager);
            start(Part::Scheduler(name.clone()), host.scheduler);
            start(Part::Kubelet(name.clone()), host.kubelet);
        }
        start(Part::KubeProxy, versions.kube_proxy);
        let members = versions.hosts.iter().filter(|(_, host)| host.etcd.is_some());
        let member = |version: &Option<Version>| Timeline { start: version.clone(), ..Timeline::default() };
        changes.etcd = members.map(|(name, host)| (name.clone(), member(&host.etcd))).collect();
        changes
    }

    fn on_host(&mut self, host: &HostName, step: &Step, action: &Action, at: Moment) {
        match action {
            Action::WriteFile { path, content, .. } => self.write(host, step, path, content, at),
            Action::InstallBinary { path, version, .. } if path == KUBELET => {
                let version = KubeVersion::parse(&format!("v{}", version.trim_start_matches('v'))).ok();
                self.known(version, step, path, |changes, version| {
                    changes.kubernetes(Part::Kubelet(host.clone()), Some(version), at);
                });
            }
            Action::StartUnit { unit } | Action::RestartUnit { unit } if unit == KUBELET_UNIT => {
                self.kubelet_starts(host, at);
            }
            Action::RemovePath { path, .. } => self.remove(host, path, at),
            Action::CleanMachine { .. } => self.clean(host, at),
            other => self.of_names(other, at),
        }
    }

    fn in_cluster(&mut self, action: &Action, target: KubeVersion, at: Moment) {
        match action {
            // A cluster that has no kube-proxy gets none with the other add-ons.
            Action::ApplyObjects { set: ObjectSet::Addons, .. }
                if self.kubernetes.contains_key(&Part::KubeProxy) =>
            {
                self.kubernetes(Part::KubeProxy, Some(target), at);
            }
            other => self.of_names(other, at),
        }
    }

    /// Actions that say themselves whom they are about.
    fn of_names(&mut self, action: &Action, at: Moment) {
        match action {
            Action::RemoveMember { name, .. } => self.etcd(name, None, at),
            Action::DeleteNode { node } => self.kubernetes(Part::Kubelet(node.clone()), None, at),
            _other => {}
        }
    }

    fn write(&mut self, host: &HostName, step: &Step, path: &str, content: &Content, at: Moment) {
        let Some(pod) = pod_of(path) else { return };
        let tag = image_tag(content);
        match part_of(pod, host) {
            Some(part) => {
                let version = tag.and_then(|tag| KubeVersion::parse(&tag).ok());
                self.known(version, step, path, |changes, version| {
                    changes.kubernetes(part, Some(version), at)
                });
            }
            None if pod == ETCD => {
                let version = tag.and_then(|tag| etcd_version(&tag));
                self.known(version, step, path, |changes, version| changes.etcd(host, Some(version), at));
            }
            None => {}
        }
    }

    fn known<V>(&mut self, version: Option<V>, step: &Step, path: &str, add: impl FnOnce(&mut Self, V)) {
        match version {
            Some(version) => add(self, version),
            None => self.flaws.push(Flaw::UnknownVersion { step: step.id.clone(), path: path.to_owned() }),
        }
    }

    fn remove(&mut self, host: &HostName, path: &str, at: Moment) {
        let Some(pod) = pod_of(path) else { return };
        match part_of(pod, host) {
            Some(part) => self.kubernetes(part, None, at),
            None if pod == ETCD => self.etcd(host, None, at),
            None => {}
        }
    }

    fn clean(&mut self, host: &HostName, at: Moment) {
        self.etcd(host, None, at);
        for part in [Part::ApiServer, Part::ControllerManager, Part::Scheduler, Part::Kubelet] {
            self.kubernetes(part(host.clone()), None, at);
        }
    }

    /// Until then the old one may go on.
    fn kubelet_starts(&mut self, host: &HostName, at: Moment) {
        let timeline = self.kubernetes.get_mut(&Part::Kubelet(host.clone()));
        if let Some(change) = timeline.and_then(|timeline| timeline.changes.last_mut())
            && change.ends == change.begins
        {
            change.ends = at;
        }
    }

    fn etcd(&mut self, host: &HostName, to: Option<Version>, at: Moment) {
        add(self.etcd.entry(host.clone()).or_default(), to, at);
    }

    fn kubernetes(&mut self, part: Part, to: Option<KubeVersion>, at: Moment) {
        add(self.kubernetes.entry(part).or_default(), to, at);
    }
}

fn add<V>(timeline: &mut Timeline<V>, to: Option<V>, at: Moment) {
    timeline.changes.push(Change { to, begins: at, ends: at });
}

/// The static pod that a manifest is of.
fn pod_of(path: &str) -> Option<&str> {
    path.strip_prefix(MANIFESTS)?.strip_suffix(".yaml")
}

fn part_of(pod: &str, host: &HostName) -> Option<Part> {
    match pod {
        "kube-apiserver" => Some(Part::ApiServer(host.clone())),
        "kube-controller-manager" => Some(Part::ControllerManager(host.clone())),
        "kube-scheduler" => Some(Part::Scheduler(host.clone())),
        _not_of_kubernetes => None,
    }
}

fn image_tag(content: &Content) -> Option<String> {
    let Content::Text(text) = content else { return None };
    let pod: Value = serde_yaml::from_str(text).ok()?;
    let image = pod.pointer("/spec/containers/0/image")?.as_str()?;
    let (name, _digest) = image.split_once('@').unwrap_or((image, ""));
    name.rsplit_once(':').map(|(_, tag)| tag.to_owned())
}

/// `3.6.5` of `3.6.5-0`.
fn etcd_version(tag: &str) -> Option<Version> {
    Version::parse(tag.split_once('-').map_or(tag, |(version, _)| version)).ok()
}
