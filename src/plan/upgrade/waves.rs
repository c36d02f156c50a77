//! Workers in waves: the canary first, then batch after batch. A wave begins when the one before it is back and
//! well, and has been for as long as the policy says.

use std::collections::BTreeSet;

use super::roll::Rolling;
use crate::inventory::{Canary, CountOrShare, Host, HostName};
use crate::plan::graph::Graph;
use crate::plan::model::{Action, Planned, Reason, Stage, StepId, Target};
use crate::plan::rollout::{CANARY, Rollout, Wave};

/// What is watched of workers that an earlier run has changed, before the first wave of this one.
const EARLIER: &str = "earlier";

impl Rolling<'_> {
    /// Every worker that has anything to change. None: nobody has.
    pub fn workers(
        &mut self,
        workers: &[&Host],
        drained: &BTreeSet<HostName>,
        graph: &mut Graph,
        after: Vec<StepId>,
    ) -> Option<Rollout> {
        let changes = |host: &&&Host| !self.node_actions(host, drained.contains(&host.name)).is_empty();
        let (pending, settled): (Vec<&Host>, Vec<&Host>) =
            workers.iter().copied().partition(|host| changes(&host));
        let policy = &self.input.inventory.policy;
        let at_once = share(policy.max_unavailable, workers.len());
        let batch = policy.upgrade.batch_size.map_or(at_once, |size| share(size, workers.len()));
        let names: Vec<HostName> = pending.iter().map(|host| host.name.clone()).collect();
        let all: Vec<HostName> = workers.iter().map(|host| host.name.clone()).collect();
        let waves = waves(&names, &canaries(&policy.upgrade.canary, &all), batch);
        let last_wave = waves.last()?.name.clone();

        let mut last = self.after_earlier_waves(&pending, &settled, graph, after);
        for wave in &waves {
            let occasion = self.wave_occasion(wave);
            last = occasion.begins(self.input.inventory, graph, last);
            let hosts: Vec<&Host> =
                wave.hosts.iter().filter_map(|name| self.input.inventory.hosts.get(name)).collect();
            for together in hosts.chunks(at_once) {
                let mut ended = Vec::new();
                for host in together {
                    let drains = drained.contains(&host.name);
                    ended.extend(self.node_step(host, drains, Some(wave), last.clone(), graph));
                }
                last = ended;
            }
            last = self.gate_of(&wave.name, &hosts, graph, last);
            last = occasion.ends(self.input.inventory, graph, last);
            if wave.name != last_wave {
                last = self.pause_after(&wave.name, &hosts, graph, last);
            }
        }
        let workloads = match policy.upgrade.health_gate {
            true => self.input.facts.api.known().map(|api| api.workloads.clone()).unwrap_or_default(),
            false => Default::default(),
        };
        Some(Rollout { max_unavailable: at_once, waves, workloads })
    }

    /// A run that ended between two waves, or in a pause, is taken up here: nobody remembers how long the wave
    /// before was well, so it is watched again. Only another version shows which workers these are.
    fn after_earlier_waves(
        &self,
        pending: &[&Host],
        settled: &[&Host],
        graph: &mut Graph,
        after: Vec<StepId>,
    ) -> Vec<StepId> {
        let wanted = self.input.inventory.version.to_string();
        let runs_wanted = |host: &&Host| {
            let node = self.input.facts.api.known().and_then(|api| api.nodes.get(&host.name));
            node.is_none_or(|node| node.kubelet_version == wanted)
        };
        let settled: Vec<&Host> = settled.iter().copied().filter(runs_wanted).collect();
        if settled.is_empty() || pending.iter().copied().all(|host| runs_wanted(&host)) {
            return after;
        }
        let last = self.gate_of(EARLIER, &settled, graph, after);
        self.pause_after(EARLIER, &settled, graph, last)
    }

    fn gate_of(&self, wave: &str, hosts: &[&Host], graph: &mut Graph, after: Vec<StepId>) -> Vec<StepId> {
        let nodes = self.nodes_of(hosts);
        if !self.input.inventory.policy.upgrade.health_gate || nodes.is_empty() {
            return after;
        }
        let action = Action::AwaitWave { nodes, kubelet: self.input.inventory.version };
        let gate = vec![Planned { action, reason: Reason::Follows }];
        graph.add_labelled(Target::Cluster, Stage::Gate, wave, gate, after).into_iter().collect()
    }

    fn pause_after(&self, wave: &str, hosts: &[&Host], graph: &mut Graph, after: Vec<StepId>) -> Vec<StepId> {
        let nodes = self.nodes_of(hosts);
        let Some(seconds) = self.input.inventory.policy.upgrade.pause_between_waves else { return after };
        if nodes.is_empty() {
            return after;
        }
        let action = Action::WatchWave { nodes, kubelet: self.input.inventory.version, seconds };
        let pause = vec![Planned { action, reason: Reason::Asked }];
        graph.add_labelled(Target::Operator, Stage::Pause, wave, pause, after).into_iter().collect()
    }

    /// A host whose Node somebody has deleted is waited for where it registers again.
    fn nodes_of(&self, hosts: &[&Host]) -> Vec<HostName> {
        let Some(api) = self.input.facts.api.known() else { return Vec::new() };
        let names = hosts.iter().map(|host| &host.name);
        names.filter(|name| api.nodes.contains_key(*name)).cloned().collect()
    }
}

/// How many of the workers that is: at least one, or nothing would ever change.
fn share(of: CountOrShare, workers: usize) -> usize {
    let size = match of {
        CountOrShare::Count(count) => usize::try_from(count).unwrap_or(usize::MAX),
        CountOrShare::Percent(percent) => workers * usize::from(percent) / 100,
    };
    size.max(1)
}

/// The workers that go first. A number means the first of all, not of those that are left: or a run that was
/// interrupted after its canaries would take others.
fn canaries(canary: &Canary, workers: &[HostName]) -> Vec<HostName> {
    match canary {
        Canary::Count(count) => {
            workers.iter().take(usize::try_from(*count).unwrap_or(usize::MAX)).cloned().collect()
        }
        Canary::Hosts(names) => names.clone(),
    }
}

/// The canaries among those that change, in one wave; then the others, a batch at a time.
fn waves(pending: &[HostName], canaries: &[HostName], batch: usize) -> Vec<Wave> {
    let first: Vec<HostName> = canaries.iter().filter(|name| pending.contains(name)).cloned().collect();
    let others: Vec<HostName> = pending.iter().filter(|name| !first.contains(name)).cloned().collect();
    let canary = Some(Wave { name: CANARY.to_owned(), hosts: first }).filter(|wave| !wave.hosts.is_empty());
    let batches = others.chunks(batch.max(1)).enumerate();
    let batches = batches.map(|(at, hosts)| Wave { name: (at + 1).to_string(), hosts: hosts.to_vec() });
    canary.into_iter().chain(batches).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Vec<HostName> {
        text.split_whitespace().map(|name| HostName::parse(name).unwrap()).collect()
    }

    #[test]
    fn shares_are_rounded_down_and_never_nobody() {
        use CountOrShare::{Count, Percent};
        for (of, workers, want) in [
            (Count(1), 5, 1),
            (Count(9), 5, 9),
            (Percent(1), 7, 1),
            (Percent(10), 7, 1),
            (Percent(33), 7, 2),
            (Percent(33), 3, 1),
            (Percent(100), 7, 7),
            (Percent(10), 0, 1),
            (Percent(10), 5000, 500),
        ] {
            assert_eq!(share(of, workers), want, "{of:?} of {workers}");
        }
    }

    #[test]
    fn waves_are_the_canary_and_then_batches() {
        for (pending, canary, batch, want) in [
            ("", "a", 1, ""),
            ("a b c", "", 1, "1: a; 2: b; 3: c"),
            ("a b c d e", "", 2, "1: a b; 2: c d; 3: e"),
            ("a b c", "", 9, "1: a b c"),
            ("a b c d", "c", 2, "canary: c; 1: a b; 2: d"),
            ("a b c d", "d b", 2, "canary: d b; 1: a c"),
            // Done already, or gone.
            ("b c", "a", 1, "1: b; 2: c"),
            ("b c", "a b", 1, "canary: b; 1: c"),
            ("a", "a", 1, "canary: a"),
        ] {
            let told = |wave: &Wave| {
                let hosts: Vec<&str> = wave.hosts.iter().map(HostName::as_str).collect();
                format!("{}: {}", wave.name, hosts.join(" "))
            };
            let found: Vec<String> = waves(&names(pending), &names(canary), batch).iter().map(told).collect();
            assert_eq!(found.join("; "), want, "{pending:?} {canary:?} {batch}");
        }
    }

    #[test]
    fn a_number_of_canaries_means_the_first_of_all_workers() {
        let workers = names("a b c");
        for (canary, want) in [
            (Canary::Count(0), ""),
            (Canary::Count(2), "a b"),
            (Canary::Count(7), "a b c"),
            (Canary::Hosts(names("c a")), "c a"),
        ] {
            assert_eq!(canaries(&canary, &workers), names(want), "{canary:?}");
        }
    }
}
