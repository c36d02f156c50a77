//! The steps that replace what runs: etcd member by member, control plane by control plane and minor by
//! minor, then the nodes in waves. Each step ends only when what it replaced is ready again.

use std::collections::{BTreeMap, BTreeSet};

use super::back::back;
use super::hop::{Hop, Turn};
use super::observe::manifest_text;
use super::parts::Parts;
use super::path::Move;
use crate::blueprint::{HostBlueprint, KUBELET_UNIT};
use crate::inventory::{Host, HostName};
use crate::plan::PlanInput;
use crate::plan::graph::Graph;
use crate::plan::model::{Action, Planned, Reason, Stage, StepId, Target};
use crate::plan::rollout::Wave;
use crate::release::KubeVersion;

pub(super) const API_SERVER: &str = "kube-apiserver";
const CONTROL_PLANE: [&str; 3] = [API_SERVER, "kube-controller-manager", "kube-scheduler"];
/// As they start.
const STATIC_PODS: [&str; 4] = [ETCD, API_SERVER, "kube-controller-manager", "kube-scheduler"];
pub(super) const ETCD: &str = "etcd";
const KUBELET: &str = "/usr/local/bin/kubelet";

/// Everything the steps are made from.
pub struct Rolling<'a> {
    pub input: &'a PlanInput<'a>,
    /// By version: those of control planes and etcd hosts.
    pub blueprints: BTreeMap<KubeVersion, BTreeMap<HostName, HostBlueprint>>,
    /// Of hosts that run already.
    pub parts: BTreeMap<HostName, Parts>,
    /// What each manifest holds when the next step comes to it.
    pub texts: BTreeMap<(HostName, String), String>,
    /// The hop that the turns before the next one belong to.
    pub hop: Option<Hop>,
}

pub(super) fn follows(action: Action) -> Planned {
    Planned { action, reason: Reason::Follows }
}

fn target(host: &HostName) -> Target {
    Target::Host(host.clone())
}

impl<'a> Rolling<'a> {
    /// One step that replaces the pods of a host's etcd or control plane, each group ready before the next.
    /// Returns what the next turn has to wait for.
    fn turn(
        &mut self,
        host: &HostName,
        stage: Stage,
        version: KubeVersion,
        last: Vec<StepId>,
        graph: &mut Graph,
    ) -> Vec<StepId> {
        // Of a host that did not answer nobody knows what it runs.
        if !self.parts.contains_key(host) {
            return last;
        }
        let from = self.version_of(host, stage);
        let (actions, undo) = match stage {
            // Without its etcd the API server beside it answers nobody, and the kubelet would ask it to forget
            // the old mirror pod and wait half a minute for that before it starts the new member.
            Stage::Etcd => self.exchange(host, version, &[ETCD], &[API_SERVER]),
            _control_plane => self.exchange(host, version, &CONTROL_PLANE, &[]),
        };
        if actions.is_empty() {
            return last;
        }
        let Some(of) = self.input.inventory.hosts.get(host) else { return last };
        let (label, to) = (self.label(stage, version), self.version_of(host, stage));
        let turn = Turn { host: of, stage, label, from, to };
        let after = self.begin_turn(&turn, last.clone(), graph);
        let id = match &turn.label {
            Some(label) => graph.add_labelled(target(host), stage, label, actions, after),
            None => graph.add(target(host), stage, actions, after),
        };
        let Some(id) = id else { return last };
        graph.undo_with(&id, undo);
        self.end_turn(&turn, id, graph)
    }

    /// What a turn is called that is not the last one: `1.35`, of etcd `3.6`.
    fn label(&self, stage: Stage, version: KubeVersion) -> Option<String> {
        if version == self.input.inventory.version {
            return None;
        }
        match stage {
            Stage::Etcd => {
                let etcd = crate::release::release_of(version).ok()?.etcd_version();
                etcd.rsplit_once('.').map(|(minor, _)| minor.to_owned())
            }
            _control_plane => Some(version.minor().to_string()),
        }
    }

    /// All static pods of a host that serves nobody now, as the version it is at wants them: no gate, since
    /// they may need others that are down as well.
    pub fn repair(
        &mut self,
        host: &HostName,
        at: &BTreeMap<String, KubeVersion>,
        spare_etcd: bool,
    ) -> Vec<Planned> {
        let pods = STATIC_PODS.into_iter().filter(|pod| !(spare_etcd && *pod == ETCD));
        let target_version = self.input.inventory.version;
        let swaps = pods
            .into_iter()
            .filter_map(|pod| self.swap(host, pod, at.get(pod).copied().unwrap_or(target_version)));
        swaps.map(|swap| swap.write).collect()
    }

    /// etcd members one after another, the leader last: it would only have to hand over twice.
    pub fn etcd(
        &mut self,
        moves: &[Move],
        serving: &[&Host],
        graph: &mut Graph,
        after: Vec<StepId>,
    ) -> Vec<StepId> {
        let mut last = after;
        let leader = |host: &HostName| {
            self.input.facts.etcd.known().is_some_and(|etcd| {
                etcd.members.iter().any(|member| member.leader && member.name == host.as_str())
            })
        };
        let mut hops: Vec<(semver::Version, HostName)> = moves
            .iter()
            .filter_map(|step| match step {
                Move::Etcd { host, to } => Some((to.clone(), host.clone())),
                Move::ControlPlane { .. } | Move::Kubelet { .. } | Move::KubeProxy { .. } => None,
            })
            .collect();
        hops.sort_by_key(|(to, host)| (to.clone(), leader(host)));
        let target_version = self.input.inventory.version;
        let mut rest: Vec<&&Host> = serving.iter().collect();
        rest.sort_by_key(|host| leader(&host.name));
        let rest: Vec<HostName> = rest.into_iter().map(|host| host.name.clone()).collect();
        for (to, host) in hops {
            let Some(release) = super::with_etcd(self.input, &to) else { continue };
            last = self.turn(&host, Stage::Etcd, release, last, graph);
        }
        for host in rest {
            last = self.turn(&host, Stage::Etcd, target_version, last, graph);
        }
        last
    }

    /// What of the host itself must have been before anything on it is replaced.
    pub fn own(&self, host: &HostName, graph: &Graph) -> Vec<StepId> {
        let stages = [Stage::Prepare, Stage::Start];
        let mut own: Vec<StepId> =
            stages.iter().filter_map(|stage| graph.find(&target(host), *stage)).collect();
        own.extend(graph.find(&Target::Operator, Stage::Mint));
        own
    }

    /// Control planes one after another, all on a minor before the first goes to the next.
    pub fn control_planes(
        &mut self,
        moves: &[Move],
        serving: &[&Host],
        graph: &mut Graph,
        after: Vec<StepId>,
    ) -> Vec<StepId> {
        let target_version = self.input.inventory.version;
        let hops = moves.iter().filter_map(|step| match step {
            Move::ControlPlane { host, to } => Some((host.clone(), *to)),
            Move::Etcd { .. } | Move::Kubelet { .. } | Move::KubeProxy { .. } => None,
        });
        let rest = serving
            .iter()
            .filter(|host| host.is_control_plane())
            .map(|host| (host.name.clone(), target_version));
        let mut last = after;
        for (host, to) in hops.chain(rest).collect::<Vec<_>>() {
            last = self.turn(&host, Stage::ControlPlane, to, last, graph);
        }
        last
    }

    /// The kubelet and the runtime of one host. Returns what the next host has to wait for; empty: there is
    /// nothing to do here.
    pub fn node_step(
        &self,
        host: &Host,
        drains: bool,
        wave: Option<&Wave>,
        after: Vec<StepId>,
        graph: &mut Graph,
    ) -> Vec<StepId> {
        let actions = self.node_actions(host, drains);
        if actions.is_empty() {
            return Vec::new();
        }
        let occasion = self.node_occasion(host, wave);
        let needs = after.into_iter().chain(self.own(&host.name, graph)).collect();
        let needs = occasion.begins(self.input.inventory, graph, needs);
        let undo = self.node_undo(host, &actions);
        let id = graph.add(target(&host.name), Stage::Node, actions, needs);
        id.iter().for_each(|id| graph.undo_with(id, undo.clone()));
        occasion.ends(self.input.inventory, graph, id.into_iter().collect())
    }

    /// What has to be done for it, in order; empty: nothing.
    pub fn node_actions(&self, host: &Host, drains: bool) -> Vec<Planned> {
        let mut changes = self.parts.get(&host.name).map(|parts| parts.node.clone()).unwrap_or_default();
        let node = self.input.facts.api.known().and_then(|api| api.nodes.get(&host.name));
        let version = self.input.inventory.version;
        let starts = self.parts.get(&host.name).is_some_and(|parts| parts.starts_kubelet);
        let behind = !starts && node.is_some_and(|node| node.kubelet_version != version.to_string());
        if behind
            && !changes.iter().any(
                |planned| matches!(&planned.action, Action::RestartUnit { unit } if unit == KUBELET_UNIT),
            )
        {
            let action = Action::RestartUnit { unit: KUBELET_UNIT.to_owned() };
            changes.push(Planned { action, reason: Reason::Changed { what: KUBELET.to_owned() } });
        }
        let ours = node.is_some_and(|node| crate::facts::is_cordoned_by_us(&node.live));
        if changes.is_empty() && !ours {
            return Vec::new();
        }
        let pods = self.static_pods(&host.name);
        let runs_etcd = pods.iter().any(|pod| pod == ETCD);
        let mut actions = Vec::new();
        if runs_etcd && !changes.is_empty() {
            actions.push(follows(Action::AwaitSpareVoter));
        }
        if node.is_some() && drains && !changes.is_empty() {
            actions.push(follows(Action::Drain { node: host.name.clone() }));
        }
        // A kubelet of another minor makes every static pod anew. This way that happens here and now.
        let remakes = drains && !pods.is_empty() && !changes.is_empty();
        if remakes {
            actions.push(follows(Action::PauseKubelet));
            actions.extend(pods.iter().rev().map(|pod| follows(Action::RestartPod { pod: pod.clone() })));
        }
        actions.extend(changes);
        if remakes {
            actions.extend(pods.iter().flat_map(|pod| self.gate(pod)));
        }
        if node.is_some() {
            let kubelet = Some(version);
            actions.push(follows(Action::AwaitNode { node: host.name.clone(), kubelet }));
        }
        if runs_etcd && remakes {
            actions.push(follows(Action::AwaitSpareVoter));
        }
        if node.is_some() && (drains || ours) {
            actions.push(follows(Action::Uncordon { node: host.name.clone() }));
        }
        actions
    }

    /// What puts its node back when it does not come up; empty: nothing can.
    fn node_undo(&self, host: &Host, actions: &[Planned]) -> Vec<Planned> {
        let node = self.input.facts.api.known().and_then(|api| api.nodes.get(&host.name));
        let old = node.and_then(|node| KubeVersion::parse(&node.kubelet_version).ok());
        let facts = self.input.facts.host(&host.name);
        old.zip(facts).and_then(|(old, facts)| back(actions, facts, old)).unwrap_or_default()
    }

    /// Static pods of a host as they are stopped from the last to the first.
    fn static_pods(&self, host: &HostName) -> Vec<String> {
        STATIC_PODS
            .into_iter()
            .filter(|pod| self.texts.contains_key(&(host.clone(), (*pod).to_owned())))
            .map(str::to_owned)
            .collect()
    }

    /// Nodes that serve the control plane or etcd: one at a time.
    pub fn serving_nodes(
        &mut self,
        serving: &[&Host],
        drained: &BTreeSet<HostName>,
        graph: &mut Graph,
        after: Vec<StepId>,
    ) -> Vec<StepId> {
        let mut last = after;
        for host in serving {
            let drains = drained.contains(&host.name);
            let step = self.node_step(host, drains, None, last.clone(), graph);
            last = if step.is_empty() { last } else { step };
        }
        last
    }
}

/// What each static pod's manifest holds now.
pub fn texts(
    input: &PlanInput<'_>,
    blueprints: &BTreeMap<HostName, HostBlueprint>,
) -> BTreeMap<(HostName, String), String> {
    let mut texts = BTreeMap::new();
    for (name, blueprint) in blueprints {
        let Some(facts) = input.facts.host(name) else { continue };
        for pod in STATIC_PODS {
            if let Some(text) = manifest_text(facts, blueprint, pod) {
                texts.insert((name.clone(), pod.to_owned()), text);
            }
        }
    }
    texts
}
