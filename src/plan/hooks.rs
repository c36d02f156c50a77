//! The operator's own commands around hosts, waves and hops, as steps of their own: one that fails keeps what
//! it stands before from beginning, and puts nothing back that is well.

use std::collections::BTreeMap;

use super::graph::Graph;
use super::model::{Action, Planned, Reason, Stage, StepId, Target};
use super::rollout::Wave;
use crate::inventory::{HookPoint, Host, HostName, Inventory};

/// What a hook runs before or after.
pub(super) struct Occasion<'a> {
    /// The end of its step's name: `etcd`, `control-plane-1.35`, `node`, `wave-canary`, `hop-1.35`.
    pub label: String,
    pub around: Around<'a>,
    /// What is replaced there: `etcd`, `control-plane` or `node`.
    pub stage: &'static str,
    /// Versions before and after; empty where nobody knows, the same where only settings change.
    pub from: String,
    pub to: String,
    pub wave: Option<&'a Wave>,
}

pub(super) enum Around<'a> {
    Host(&'a Host),
    Wave,
    Hop,
}

impl Occasion<'_> {
    fn points(&self) -> (HookPoint, HookPoint) {
        match self.around {
            Around::Host(_) => (HookPoint::BeforeHost, HookPoint::AfterHost),
            Around::Wave => (HookPoint::BeforeWave, HookPoint::AfterWave),
            Around::Hop => (HookPoint::BeforeHop, HookPoint::AfterHop),
        }
    }

    /// The hooks before it, after all of `after`. Returns what it has to wait for: them, too.
    pub fn begins(&self, inventory: &Inventory, graph: &mut Graph, mut after: Vec<StepId>) -> Vec<StepId> {
        let actions = self.actions(inventory, self.points().0);
        after.extend(graph.add_labelled(self.target(), Stage::Before, &self.label, actions, after.clone()));
        after
    }

    /// The hooks after it has ended with `last`. Returns what the next has to wait for.
    pub fn ends(&self, inventory: &Inventory, graph: &mut Graph, mut last: Vec<StepId>) -> Vec<StepId> {
        let actions = self.actions(inventory, self.points().1);
        last.extend(graph.add_labelled(self.target(), Stage::After, &self.label, actions, last.clone()));
        last
    }

    fn target(&self) -> Target {
        match self.around {
            Around::Host(host) => Target::Host(host.name.clone()),
            Around::Wave | Around::Hop => Target::Operator,
        }
    }

    fn actions(&self, inventory: &Inventory, point: HookPoint) -> Vec<Planned> {
        let is_asked = |host: &Host, hook: &crate::inventory::Hook| hook.hosts.has(host);
        let hooks = inventory.hooks.iter().filter(|hook| hook.when == point);
        let hooks = hooks.filter(|hook| match self.around {
            Around::Host(host) => is_asked(host, hook),
            Around::Wave | Around::Hop => true,
        });
        hooks
            .map(|hook| Action::RunHook {
                name: hook.name.clone(),
                when: point,
                place: hook.place,
                command: hook.command.clone(),
                environment: self.environment(inventory, &hook.name, point),
                timeout: hook.timeout,
            })
            .map(|action| Planned { action, reason: Reason::Asked })
            .collect()
    }

    /// Every variable is there each time, empty where it says nothing: a script may rely on it, and none is
    /// taken for another's that happens to be set.
    fn environment(&self, inventory: &Inventory, hook: &str, point: HookPoint) -> BTreeMap<String, String> {
        let (host, address) = match self.around {
            Around::Host(host) => (host.name.to_string(), host.address.to_string()),
            Around::Wave | Around::Hop => (String::new(), String::new()),
        };
        let wave = self.wave.map(|wave| wave.name.clone()).unwrap_or_default();
        let hosts = self.wave.map(|wave| wave.hosts.as_slice()).unwrap_or_default();
        let hosts = hosts.iter().map(HostName::as_str).collect::<Vec<_>>().join(" ");
        let all = [
            ("CLUSTER", inventory.name.to_string()),
            ("HOOK", hook.to_owned()),
            ("WHEN", point.as_str().to_owned()),
            ("STAGE", self.stage.to_owned()),
            ("HOST", host),
            ("ADDRESS", address),
            ("FROM", self.from.clone()),
            ("TO", self.to.clone()),
            ("WAVE", wave),
            ("HOSTS", hosts),
        ];
        all.into_iter().map(|(name, value)| (format!("KEELWRIGHT_{name}"), value)).collect()
    }
}
