//! `keelwright rehearse --upgrade-to`: an upgrade on simulated machines, from a new cluster or from a replica
//! of the real one, and what it disturbs.

use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;
use std::time::Duration;

use camino::Utf8Path;
use serde::Serialize;

use super::inventory::InventoryArg;
use super::operation::ClusterArgs;
use super::rehearse::{Beginning, RehearseArgs, Scene, cast, inventory, play};
use super::rehearse_observed::{Bundles, replica};
use super::{CommandError, ErrorKind};
use crate::exec::Event;
use crate::inventory::{HostName, Inventory};
use crate::plan::{Action, Goal};
use crate::release::KubeVersion;
use crate::release::catalog::SUPPORTED;
use crate::sim::{Faults, Round, Run, Simulation, Trace};
use crate::timeline::Timeline;

#[derive(Debug, thiserror::Error)]
enum UpgradeRehearsalError {
    #[error("the simulated cluster of {0} could not be installed")]
    Install(KubeVersion),
    #[error("--hosts adds machines that nobody observed")]
    Hosts,
}

/// Rehearses the upgrade to `target`.
pub fn run(args: &RehearseArgs, target: KubeVersion) -> Result<ExitCode, CommandError> {
    match args.from {
        Beginning::Inventory => from_inventory(args, target),
        Beginning::Observed => from_observed(args, target),
    }
}

fn from_inventory(args: &RehearseArgs, target: KubeVersion) -> Result<ExitCode, CommandError> {
    let usage = |error| CommandError::new(ErrorKind::Usage, error);
    let inventory = inventory(args)?;
    let from = inventory.version;
    let wanted = Inventory { version: target, ..inventory.clone() };
    let bundles = Bundles::find(&wanted, &cluster_args(args))?;
    let mut simulation = Simulation::new(inventory, Faults::none()).map_err(usage)?;
    if !simulation.converge(Goal::Converge).converged {
        return Err(CommandError::new(ErrorKind::Failed, UpgradeRehearsalError::Install(from)));
    }
    simulation.edit(wanted).map_err(usage)?;
    simulation.fleet.world().faults = args.random_faults();
    let head = format!(
        "Rehearsal of an upgrade from {from} of a cluster just installed, {}",
        cast(args, &simulation.inventory)
    );
    let notes = needed_bundles(from, target, &bundles.played);
    play(args, simulation, &Scene { head, notes, upgrade: true })
}

fn from_observed(args: &RehearseArgs, target: KubeVersion) -> Result<ExitCode, CommandError> {
    if args.multiplies() {
        return Err(CommandError::new(ErrorKind::Usage, UpgradeRehearsalError::Hosts));
    }
    let cluster = cluster_args(args);
    let (inventory, state) = cluster.look()?;
    let inventory = Inventory { version: target, ..inventory };
    let bundles = Bundles::find(&inventory, &cluster)?;
    let played = bundles.played.clone();
    let mut replica = replica(&cluster, inventory, &state, bundles, args.random_faults())?;
    let from = lowest(&mut replica.simulation).unwrap_or(target);
    let head = format!(
        "Rehearsal of an upgrade from {from} as it was observed, {}",
        cast(args, &replica.simulation.inventory)
    );
    let mut notes = needed_bundles(from, target, &played);
    notes.extend(replica.differs.iter().map(|step| format!("Not rehearsed as it would be: {step}.")));
    play(args, replica.simulation, &Scene { head, notes, upgrade: true })
}

fn cluster_args(args: &RehearseArgs) -> ClusterArgs {
    let inventory = args.file().unwrap_or(Utf8Path::new("inventory.yaml")).to_owned();
    ClusterArgs { inventory: InventoryArg { inventory }, reach: args.real.clone() }
}

/// The oldest control plane there is.
fn lowest(simulation: &mut Simulation) -> Option<KubeVersion> {
    let outline = simulation.plan(Goal::Converge).ok()?.outline.ok()?;
    outline.plan.versions.as_ref()?.lowest_control_plane()
}

/// Control planes pass through every minor, so each one's images have to be there.
fn needed_bundles(from: KubeVersion, target: KubeVersion, played: &[KubeVersion]) -> Vec<String> {
    if from == target {
        return Vec::new();
    }
    let between = |minor| minor > from.minor() && minor < target.minor();
    let passed =
        SUPPORTED.iter().filter(|release| between(release.minor)).map(|release| release.default_patch);
    let mut notes = vec!["The real upgrade needs the bundles of:".to_owned()];
    for version in passed.chain([target]) {
        let only = if version == target { "" } else { " --only control-plane" };
        notes.push(if played.contains(&version) {
            format!("  {version}  not found; collect it with\n    keelwright bundle --kubernetes-version {version}{only}")
        } else {
            format!("  {version}  found")
        });
    }
    notes
}

/// What an upgrade did to those who use the cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Disturbance {
    /// By host; one that is not there was left alone.
    pub drains: BTreeMap<HostName, u32>,
    pub api_server_starts: BTreeMap<HostName, u32>,
    pub etcd_starts: BTreeMap<HostName, u32>,
    /// One call a second, to one API server after the other.
    pub calls: Calls,
}

/// What became of the calls.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Calls {
    pub answered: u64,
    /// The API server asked first did not answer, the next one did.
    pub retried: u64,
    /// Neither answered.
    pub failed: u64,
}

/// How things were when the upgrade began.
pub struct Before {
    pub at: Duration,
    /// How often each static pod had been started.
    pub starts: BTreeMap<(HostName, String), u32>,
}

impl Disturbance {
    pub fn of(simulation: &Simulation, trace: &Trace, before: &Before, timeline: Option<&Timeline>) -> Self {
        let world = simulation.fleet.world();
        let started = |wanted: &str| -> BTreeMap<HostName, u32> {
            let of_pod = world.starts.iter().filter(|((_, pod), _)| pod == wanted);
            let since =
                |key: &(HostName, String), all: u32| all - before.starts.get(key).copied().unwrap_or(0);
            of_pod
                .map(|(key, all)| (key.0.clone(), since(key, *all)))
                .filter(|(_, count)| *count > 0)
                .collect()
        };
        let clients = timeline.into_iter().flat_map(|timeline| &timeline.clients);
        let calls = clients.fold(Calls::default(), |calls, client| {
            let (ok, retried, failed) = client.total();
            Calls {
                answered: calls.answered + ok,
                retried: calls.retried + retried,
                failed: calls.failed + failed,
            }
        });
        Disturbance {
            drains: drains(simulation, trace, before.at),
            api_server_starts: started("kube-apiserver"),
            etcd_starts: started("etcd"),
            calls,
        }
    }

    pub fn text(&self) -> String {
        let hosts: BTreeSet<&HostName> =
            self.drains.keys().chain(self.api_server_starts.keys()).chain(self.etcd_starts.keys()).collect();
        if hosts.is_empty() {
            return "\nIt disturbs nobody.\n".to_owned();
        }
        let width = hosts.iter().map(|host| host.as_str().len()).max().unwrap_or(4).max(4);
        let mut out = String::from("\nWhat it disturbs, and how often:\n");
        out += &format!(
            "  {:<width$}  {:>7}  {:>18}  {:>13}\n",
            "HOST", "DRAINED", "API SERVER STARTED", "ETCD STARTED"
        );
        for host in hosts {
            let count = |counts: &BTreeMap<HostName, u32>| {
                counts.get(host).map_or_else(|| "-".to_owned(), ToString::to_string)
            };
            let (drains, api) = (count(&self.drains), count(&self.api_server_starts));
            let etcd = count(&self.etcd_starts);
            out += &format!("  {:<width$}  {drains:>7}  {api:>18}  {etcd:>13}\n", host.as_str());
        }
        let Calls { answered, retried, failed } = self.calls;
        out += &format!(
            "Of {} calls, one a second to one API server after the other, {retried} had to ask another one and \
             {failed} had no answer.\n",
            answered + retried + failed
        );
        out
    }
}

/// Drains that were begun, by node; also in runs that were killed.
fn drains(simulation: &Simulation, trace: &Trace, start: Duration) -> BTreeMap<HostName, u32> {
    let events = simulation.events.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let events: Vec<&Event> = events.iter().filter(|(at, _)| *at >= start).map(|(_, event)| event).collect();
    let runs = events.split(|event| matches!(event, Event::Began { .. })).skip(1);
    let ran = |round: &&Round| match &round.run {
        Run::Ran(_) | Run::Killed | Run::Stuck => true,
        Run::Nothing | Run::Refused(_) | Run::Flawed(_) | Run::Failed(_) => false,
    };
    let outlines = trace.rounds.iter().filter(ran).filter_map(|round| round.outline.as_ref());
    let mut drains = BTreeMap::new();
    for (outline, events) in outlines.filter(|outline| !outline.plan.is_empty()).zip(runs) {
        let begun = events.iter().filter_map(|event| match event {
            Event::StepStarted { step, .. } => outline.plan.step(step),
            _other => None,
        });
        for planned in begun.flat_map(|step| &step.actions) {
            if let Action::Drain { node } = &planned.action {
                *drains.entry(node.clone()).or_default() += 1;
            }
        }
    }
    drains
}

#[cfg(test)]
mod tests {
    use super::*;

    fn played(from: &str, target: &str, played: &[&str]) -> Vec<String> {
        let version = |text: &str| KubeVersion::parse(text).unwrap();
        let played: Vec<KubeVersion> = played.iter().map(|text| version(text)).collect();
        needed_bundles(version(from), version(target), &played)
    }

    #[test]
    fn bundles_of_all_minors_on_the_way_are_needed() {
        assert_eq!(played("v1.37.1", "v1.37.1", &[]), Vec::<String>::new());
        let notes = played("v1.35.4", "v1.37.1", &["v1.36.4"]).join("\n");
        assert!(
            notes.contains("v1.36.4 --only control-plane") && notes.ends_with("v1.37.1  found"),
            "{notes}"
        );
        assert!(!notes.contains("v1.35"), "{notes}");
    }

    #[test]
    fn what_was_left_alone_is_not_counted() {
        assert_eq!(Disturbance::default().text(), "\nIt disturbs nobody.\n");
        let host = HostName::parse("worker-1").unwrap();
        let one = Disturbance { drains: BTreeMap::from([(host, 1)]), ..Disturbance::default() };
        assert!(
            one.text().contains("worker-1        1                   -              -"),
            "{}",
            one.text()
        );
    }
}
