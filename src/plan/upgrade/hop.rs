//! Hops and turns as hooks know them. A hop takes all control planes, or all members of etcd, to one version; it
//! is a row of turns of single hosts.

use super::observe::{etcd_version, image_tag};
use super::roll::{API_SERVER, ETCD, Rolling};
use crate::inventory::{Host, HostName};
use crate::plan::graph::Graph;
use crate::plan::hooks::{Around, Occasion};
use crate::plan::model::{Stage, StepId};
use crate::plan::rollout::Wave;

/// A hop that has begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hop {
    stage: Stage,
    from: String,
    to: String,
}

impl Hop {
    fn occasion(&self) -> Occasion<'static> {
        let minor =
            self.to.trim_start_matches('v').rsplit_once('.').map_or(self.to.as_str(), |(minor, _)| minor);
        let label = match self.stage {
            Stage::Etcd => format!("hop-etcd-{minor}"),
            _control_plane => format!("hop-{minor}"),
        };
        let (from, to) = (self.from.clone(), self.to.clone());
        Occasion { label, around: Around::Hop, stage: self.stage.as_str(), from, to, wave: None }
    }
}

/// What a host's pods were before its turn, and are after it.
pub struct Turn<'a> {
    pub host: &'a Host,
    pub stage: Stage,
    /// The end of the name of a turn that is not the last one of its kind.
    pub label: Option<String>,
    pub from: String,
    pub to: String,
}

impl Turn<'_> {
    fn occasion(&self) -> Occasion<'_> {
        let stage = self.stage.as_str();
        let label = match &self.label {
            Some(label) => format!("{stage}-{label}"),
            None => stage.to_owned(),
        };
        let (from, to) = (self.from.clone(), self.to.clone());
        Occasion { label, around: Around::Host(self.host), stage, from, to, wave: None }
    }
}

impl<'a> Rolling<'a> {
    /// The version of what a turn replaces, as its manifest says it now.
    pub fn version_of(&self, host: &HostName, stage: Stage) -> String {
        let pod = if stage == Stage::Etcd { ETCD } else { API_SERVER };
        let tag = self.texts.get(&(host.clone(), pod.to_owned())).and_then(|text| image_tag(text));
        match (tag, stage) {
            (Some(tag), Stage::Etcd) => etcd_version(&tag).map_or(tag, |version| version.to_string()),
            (Some(tag), _control_plane) => tag,
            (None, _) => String::new(),
        }
    }

    /// What a turn waits for when the hooks of its hop, if it is the first of one, and its own come before it. Its
    /// own are the very last: by then the host has got all that it needs.
    pub fn begin_turn(&mut self, turn: &Turn<'_>, last: Vec<StepId>, graph: &mut Graph) -> Vec<StepId> {
        let mut last = last;
        let is_hop = turn.from != turn.to;
        let (stage, to) = (turn.stage, turn.to.clone());
        let goes_on = self.hop.as_ref().is_some_and(|hop| hop.stage == stage && hop.to == to);
        if is_hop && !goes_on {
            last = self.end_hop(graph, last);
            let hop = Hop { stage, from: turn.from.clone(), to };
            last = hop.occasion().begins(self.input.inventory, graph, last);
            self.hop = Some(hop);
        }
        last.extend(self.own(&turn.host.name, graph));
        turn.occasion().begins(self.input.inventory, graph, last)
    }

    pub fn end_turn(&self, turn: &Turn<'_>, id: StepId, graph: &mut Graph) -> Vec<StepId> {
        turn.occasion().ends(self.input.inventory, graph, vec![id])
    }

    /// After the last turn of a hop.
    pub fn end_hop(&mut self, graph: &mut Graph, last: Vec<StepId>) -> Vec<StepId> {
        match self.hop.take() {
            Some(hop) => hop.occasion().ends(self.input.inventory, graph, last),
            None => last,
        }
    }

    /// The turn of a host's kubelet and runtime.
    pub fn node_occasion<'b>(&self, host: &'b Host, wave: Option<&'b Wave>) -> Occasion<'b> {
        let stage = Stage::Node.as_str();
        let to = self.input.inventory.version.to_string();
        let (label, around) = (stage.to_owned(), Around::Host(host));
        Occasion { label, around, stage, from: self.kubelet_of(&host.name), to, wave }
    }

    /// A wave of workers; it comes from the oldest kubelet in it.
    pub fn wave_occasion<'b>(&self, wave: &'b Wave) -> Occasion<'b> {
        let versions = wave.hosts.iter().map(|host| self.kubelet_of(host));
        let oldest = versions.filter_map(|text| crate::release::KubeVersion::parse(&text).ok()).min();
        let from = oldest.map(|version| version.to_string()).unwrap_or_default();
        let to = self.input.inventory.version.to_string();
        let (label, stage) = (format!("wave-{}", wave.name), Stage::Node.as_str());
        Occasion { label, around: Around::Wave, stage, from, to, wave: Some(wave) }
    }

    fn kubelet_of(&self, host: &HostName) -> String {
        let node = self.input.facts.api.known().and_then(|api| api.nodes.get(host));
        node.map(|node| node.kubelet_version.clone()).unwrap_or_default()
    }
}
