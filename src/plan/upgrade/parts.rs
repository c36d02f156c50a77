//! What a host's changes disturb. On a node that runs, harmless ones are made at once; the others wait for
//! their turn, each behind a gate of its own.

use std::collections::BTreeMap;

use crate::blueprint::{CONTAINERD_UNIT, FileGroup, HostBlueprint, KUBELET_UNIT};
use crate::plan::host::HostChanges;
use crate::plan::model::{Action, Planned, Reason};

/// The changes of one host that runs already.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Parts {
    pub uploads: Vec<Planned>,
    /// Packages, directories, images, units that were stopped.
    pub prepare: Vec<Planned>,
    /// Certificates, kubeconfigs and configuration that nothing restarts for.
    pub files: Vec<Planned>,
    /// Manifests that change and pods that restart, by static pod.
    pub pods: BTreeMap<String, Vec<Planned>>,
    /// Whatever restarts the kubelet or the runtime.
    pub node: Vec<Planned>,
    /// The kubelet is down and is started as it is wanted.
    pub starts_kubelet: bool,
}

impl Parts {
    /// A kubelet that was found down half-way through its exchange disturbs nobody any more, and an executable
    /// that is there already may not know the flags it had before: they are written before it starts. One
    /// whose executable is still the old one starts as it was, and has its turn later.
    pub fn start_with_node(&mut self) {
        let starts =
            |planned: &Planned| matches!(&planned.action, Action::StartUnit { unit } if unit == KUBELET_UNIT);
        let exchanges = |planned: &Planned| matches!(planned.action, Action::InstallBinary { .. });
        let Some(place) = self.files.iter().position(starts) else { return };
        if self.node.iter().any(exchanges) {
            return;
        }
        let restarts = |planned: &Planned| matches!(&planned.action, Action::RestartUnit { unit } if unit == KUBELET_UNIT);
        let node = std::mem::take(&mut self.node);
        let node: Vec<Planned> = node.into_iter().filter(|planned| !restarts(planned)).collect();
        self.files.splice(place..place, node);
        self.starts_kubelet = true;
    }
}

/// Sorts a host's changes by what they disturb; the order within each part stays.
pub fn split(changes: HostChanges, blueprint: &HostBlueprint) -> Parts {
    let mut parts = Parts { uploads: changes.uploads, ..Parts::default() };
    for planned in changes.prepare {
        match place(&planned.action, blueprint) {
            Place::Node => parts.node.push(planned),
            Place::Pod(pod) => parts.pods.entry(pod).or_default().push(planned),
            Place::Reload => {}
            Place::Own => parts.prepare.push(planned),
        }
    }
    for planned in changes.start {
        match place(&planned.action, blueprint) {
            Place::Node => parts.node.push(planned),
            Place::Pod(pod) => parts.pods.entry(pod).or_default().push(planned),
            Place::Reload => {}
            Place::Own => parts.files.push(planned),
        }
    }
    for list in [&mut parts.prepare, &mut parts.files, &mut parts.node] {
        reload_after_unit_files(list);
    }
    parts
}

enum Place {
    Node,
    Pod(String),
    /// Put in again where the unit files went.
    Reload,
    Own,
}

fn place(action: &Action, blueprint: &HostBlueprint) -> Place {
    let disturbs = |units: Option<&std::collections::BTreeSet<String>>| {
        units.is_some_and(|units| units.contains(KUBELET_UNIT) || units.contains(CONTAINERD_UNIT))
    };
    match action {
        Action::InstallBinary { path, .. }
            if disturbs(blueprint.binaries.get(path).map(|binary| &binary.restarts)) =>
        {
            Place::Node
        }
        Action::WriteFile { path, .. } => match blueprint.files.get(path) {
            Some(file) if file.group == FileGroup::Manifest => Place::Pod(pod_of(path)),
            Some(file) if disturbs(Some(&file.restarts)) => Place::Node,
            Some(_) | None => Place::Own,
        },
        Action::RestartPod { pod } => Place::Pod(pod.clone()),
        Action::RestartUnit { unit } if unit == KUBELET_UNIT || unit == CONTAINERD_UNIT => Place::Node,
        Action::ReloadUnits => Place::Reload,
        _other => Place::Own,
    }
}

/// `etcd` of `/etc/kubernetes/manifests/etcd.yaml`.
fn pod_of(path: &str) -> String {
    let name = path.rsplit_once('/').map_or(path, |(_, name)| name);
    name.strip_suffix(".yaml").unwrap_or(name).to_owned()
}

fn reload_after_unit_files(list: &mut Vec<Planned>) {
    let is_unit_file = |planned: &Planned| matches!(&planned.action, Action::WriteFile { path, .. } if path.starts_with("/etc/systemd/system/"));
    if let Some(last) = list.iter().rposition(is_unit_file) {
        list.insert(last + 1, Planned { action: Action::ReloadUnits, reason: Reason::Follows });
    }
}
