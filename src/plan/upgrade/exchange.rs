//! What one host does to run other static pods than before: the kubelet is stopped, the pods are stopped, the
//! manifests are written, the kubelet starts, and each pod is waited for on its own endpoint.

use super::observe::{image_tag, manifest_path};
use super::roll::{API_SERVER, ETCD, Rolling, follows};
use crate::blueprint::{Content, KUBELET_UNIT, api_server_port};
use crate::inventory::{ExtraArg, HostName};
use crate::plan::model::{Action, Before, Planned, Reason};
use crate::plan::pods;
use crate::release::KubeVersion;

/// A member that is only passed keeps snapshots of its log as it goes: from 3.7 on etcd cannot read what 3.5 has
/// written there ("unmarshal should never fail"), and reads everything that came after the newest snapshot.
pub(super) fn early_snapshots() -> ExtraArg {
    ExtraArg { name: "snapshot-count".to_owned(), value: "10".to_owned() }
}

fn early_snapshots_flag() -> String {
    let argument = early_snapshots();
    format!("--{}={}\n", argument.name, argument.value)
}

impl Rolling<'_> {
    fn api_endpoint(&self) -> Planned {
        let url = format!("https://127.0.0.1:{}/readyz", api_server_port(self.input.inventory));
        follows(Action::AwaitEndpoint { component: API_SERVER.to_owned(), url })
    }

    /// Waits until a pod that was just written runs and is ready.
    pub(super) fn gate(&self, pod: &str) -> Vec<Planned> {
        let endpoint = match pod {
            ETCD => ("etcd", "http://127.0.0.1:2381/readyz"),
            "kube-controller-manager" => ("kube-controller-manager", "https://127.0.0.1:10257/healthz"),
            "kube-scheduler" => ("kube-scheduler", "https://127.0.0.1:10259/healthz"),
            _ => return vec![follows(Action::AwaitPod { pod: pod.to_owned() }), self.api_endpoint()],
        };
        vec![
            follows(Action::AwaitPod { pod: pod.to_owned() }),
            follows(Action::AwaitEndpoint { component: endpoint.0.to_owned(), url: endpoint.1.to_owned() }),
        ]
    }

    /// The change of one manifest to what a version wants; None: it means the same already.
    fn manifest(&mut self, host: &HostName, pod: &str, version: KubeVersion) -> Option<Swap> {
        let path = manifest_path(pod);
        let file = self.blueprints.get(&version)?.get(host)?.files.get(&path)?;
        let Content::Text(text) = &file.content else { return None };
        let place = (host.clone(), pod.to_owned());
        let found = self.texts.get(&place).cloned();
        let founded = pod == ETCD && self.input.facts.host(host).is_some_and(|facts| facts.etcd.has_data);
        if found.as_ref().is_some_and(|found| pods::same_pod(text, found, founded)) {
            return None;
        }
        let before = |text: &str| Before {
            digest: Some(crate::digest::Digest::of(text.as_bytes())),
            mode: file.mode,
            text: Some(text.to_owned()),
        };
        let write = |text: &str, old: Option<&str>| Action::WriteFile {
            path: path.clone(),
            mode: file.mode,
            content: Content::Text(text.into()),
            digest: Some(crate::digest::Digest::of(text.as_bytes())),
            before: old.map(before),
        };
        let reason = match &found {
            None => Reason::Missing,
            Some(found) => Reason::Differs {
                wanted: image_tag(text).unwrap_or_default(),
                found: image_tag(found).unwrap_or_default(),
            },
        };
        let swap = Swap {
            write: Planned { action: write(text, found.as_deref()), reason },
            undo: found.as_ref().map(|found| follows(write(found, Some(text)))),
            restarts: true,
        };
        let text = text.to_string();
        self.texts.insert(place, text);
        Some(swap)
    }

    /// What a pod needs to be as the version wants it: a new manifest, or a restart for the files it reads.
    pub(super) fn swap(&mut self, host: &HostName, pod: &str, version: KubeVersion) -> Option<Swap> {
        let is_last = version == self.input.inventory.version;
        if let Some(swap) = self.manifest(host, pod, version) {
            if let (true, Some(parts)) = (is_last, self.parts.get_mut(host)) {
                parts.pods.remove(pod);
            }
            return Some(swap);
        }
        let planned = self.parts.get(host)?.pods.get(pod).filter(|_| is_last)?.first()?;
        // A file of another mode means the same pod.
        let restarts = matches!(planned.action, Action::RestartPod { .. });
        Some(Swap { write: planned.clone(), undo: None, restarts })
    }

    /// Other pods in the place of those that a host has, and the way back. `beside` goes down and comes up with
    /// them.
    pub(super) fn exchange(
        &mut self,
        host: &HostName,
        version: KubeVersion,
        pods: &[&str],
        beside: &[&str],
    ) -> (Vec<Planned>, Vec<Planned>) {
        // Said of the manifest that is there before this exchange.
        let etcd = self.texts.get(&(host.clone(), ETCD.to_owned()));
        let settles = pods.contains(&ETCD) && etcd.is_some_and(|text| text.contains(&early_snapshots_flag()));
        let swaps: Vec<(&str, Swap)> =
            pods.iter().filter_map(|pod| Some((*pod, self.swap(host, pod, version)?))).collect();
        let is_new = |swap: &Swap| swap.undo.is_some() || matches!(swap.write.reason, Reason::Missing);
        let mut actions = if swaps.iter().any(|(_, swap)| is_new(swap)) {
            let replaced: Vec<&str> =
                swaps.iter().filter(|(_, swap)| swap.restarts).map(|(pod, _)| *pod).collect();
            let has = |pod: &&&str| self.texts.contains_key(&(host.clone(), (**pod).to_owned()));
            let replaced: Vec<&str> =
                replaced.into_iter().chain(beside.iter().filter(has).copied()).collect();
            let is_restart = |planned: &Planned| matches!(planned.action, Action::RestartPod { .. });
            let writes = swaps.iter().map(|(_, swap)| swap.write.clone());
            let back: Vec<Planned> = swaps.iter().filter_map(|(_, swap)| swap.undo.clone()).collect();
            let undo = if back.is_empty() { Vec::new() } else { self.without_kubelet(&replaced, back) };
            let writes = writes.filter(|planned| !is_restart(planned)).collect();
            (self.without_kubelet(&replaced, writes), undo)
        } else {
            (swaps.iter().flat_map(|(pod, swap)| self.restart(pod, swap)).collect(), Vec::new())
        };
        if settles && !actions.0.is_empty() {
            let data_dir = self.input.inventory.etcd.data_dir.to_string();
            actions.0.insert(0, follows(Action::AwaitLogSnapshot { data_dir }));
        }
        if pods.contains(&ETCD) && !actions.0.is_empty() {
            actions.0.insert(0, follows(Action::AwaitSpareVoter));
            actions.0.push(follows(Action::AwaitSpareVoter));
        }
        actions
    }

    /// The same pod once more, for the files that it reads.
    fn restart(&self, pod: &str, swap: &Swap) -> Vec<Planned> {
        let gate = if swap.restarts { self.gate(pod) } else { Vec::new() };
        [swap.write.clone()].into_iter().chain(gate).collect()
    }

    /// Changes manifests while the kubelet is away: one that finds a changed manifest stops the pod, and only
    /// looks again ten to fifteen seconds later.
    fn without_kubelet(&self, replaced: &[&str], changes: Vec<Planned>) -> Vec<Planned> {
        let stopped = replaced.iter().rev().map(|pod| Action::RestartPod { pod: (*pod).to_owned() });
        let mut actions = vec![follows(Action::PauseKubelet)];
        actions.extend(stopped.map(follows));
        actions.extend(changes);
        actions.push(follows(Action::RestartUnit { unit: KUBELET_UNIT.to_owned() }));
        actions.extend(replaced.iter().flat_map(|pod| self.gate(pod)));
        actions
    }
}

/// One change of a static pod, and the way back.
pub(super) struct Swap {
    pub write: Planned,
    undo: Option<Planned>,
    /// The pod starts anew for it.
    restarts: bool,
}
