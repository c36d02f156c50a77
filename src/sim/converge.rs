//! The operator of a simulated fleet: runs `apply` again and again until nothing is left to do.
//!
//! Looking, planning and executing are the functions the command line uses; only the machines, the
//! API and the vault are played.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::watch;

use super::bundle::{Passing, bundles, passing};
use super::extras::{manifests, pod_network};
use super::faults::{Fault, Faults, Site};
use super::ports::{Fleet, SimPorts};
use super::runtime::Stopped;
use super::vault::{EPOCH, SimVault, leaks};
use super::world::World;
use crate::blueprint::cluster::Manifests;
use crate::exec::cycle::desired_objects;
use crate::exec::ports::{NoFence, PortError};
use crate::exec::{Cycle, DesiredObjects, Event, Look, Outcome, Ports, Setting, VaultView as _, execute};
use crate::facts::Observed;
use crate::inventory::{Host, HostName, Inventory};
use crate::plan::check::{Flaw, check};
use crate::plan::upgrade::UpgradeError;
use crate::plan::{Goal, ObjectSet, Outline, PlanError, Refusal, Stage, Target, Why};
use crate::release::{Arch, BundleManifest, UnsupportedMinor};

/// Runs after which a fleet that has not converged never will.
const ROUNDS: usize = 60;
/// From this run on nothing goes wrong any more.
const LAST_FAULTY_ROUND: usize = 15;

/// How one `apply` ended.
#[derive(Debug, Clone)]
pub enum Run {
    /// Nothing to do, and nobody missing.
    Nothing,
    Ran(Outcome),
    Refused(PlanError),
    Flawed(Vec<Flaw>),
    /// The operator's process died.
    Killed,
    /// Everybody waited for ever: a bug of the simulator or of the executor.
    Stuck,
    Failed(String),
}

/// One `apply`, with the plan it followed.
#[derive(Debug, Clone)]
pub struct Round {
    pub outline: Option<Outline>,
    pub run: Run,
}

/// Everything that happened until the fleet had converged, or did not.
#[derive(Debug, Clone, Default)]
pub struct Trace {
    pub rounds: Vec<Round>,
    pub converged: bool,
    /// Virtual time.
    pub took: Duration,
}

/// What a caller is told while things happen.
pub type Listener = Box<dyn Fn(Duration, &Event) + Send + Sync>;

pub struct Simulation {
    pub fleet: Arc<Fleet>,
    pub ports: SimPorts,
    pub vault: SimVault,
    pub inventory: Inventory,
    pub bundles: BTreeMap<Arch, BundleManifest>,
    /// Of every older minor.
    pub passing: Passing,
    pub manifests: Manifests,
    /// Hosts of earlier inventories, as the state directory remembers them.
    pub known: BTreeMap<HostName, Host>,
    pub events: Mutex<Vec<(Duration, Event)>>,
    pub listener: Option<Listener>,
    /// Looks for secrets in every plan and event; costs time on large fleets.
    pub check_leaks: bool,
    /// Hosts that never come back: a run that owes only them has converged.
    pub lost: Vec<HostName>,
    epoch: u64,
}

impl Simulation {
    /// A fleet of new machines for this inventory.
    pub fn new(inventory: Inventory, faults: Faults) -> Result<Self, UnsupportedMinor> {
        let mut world = World::new(inventory.hosts.values().cloned(), faults);
        let manifests = manifests(&inventory);
        let (bundles, passing) = (bundles(&inventory, &manifests)?, passing(&inventory)?);
        world.learn(bundles.values().chain(passing.values().flat_map(BTreeMap::values)));
        world.network = pod_network(&inventory, &manifests);
        let fleet = Fleet::new(world);
        let vault = SimVault::new(inventory.name.as_str(), Arc::clone(&fleet));
        Ok(Self::of(fleet, vault, inventory, bundles, passing, manifests))
    }

    /// The operator of a fleet that is there.
    pub(super) fn of(
        fleet: Arc<Fleet>,
        vault: SimVault,
        inventory: Inventory,
        bundles: BTreeMap<Arch, BundleManifest>,
        passing: Passing,
        manifests: Manifests,
    ) -> Self {
        Simulation {
            ports: SimPorts(Arc::clone(&fleet)),
            vault,
            fleet,
            inventory,
            bundles,
            passing,
            manifests,
            known: BTreeMap::new(),
            events: Mutex::default(),
            listener: None,
            check_leaks: true,
            lost: Vec::new(),
            epoch: 0,
        }
    }

    /// Changes what is wanted; machines that are new to it appear, fresh.
    pub fn edit(&mut self, inventory: Inventory) -> Result<(), UnsupportedMinor> {
        let mut world = self.fleet.world();
        for (name, host) in &inventory.hosts {
            if !world.hosts.contains_key(name) {
                world.add_host(host.clone());
            }
        }
        self.manifests = manifests(&inventory);
        self.bundles = bundles(&inventory, &self.manifests)?;
        self.passing = passing(&inventory)?;
        world.learn(self.bundles.values().chain(self.passing.values().flat_map(BTreeMap::values)));
        world.network = pod_network(&inventory, &self.manifests);
        drop(world);
        self.inventory = inventory;
        Ok(())
    }

    fn now(&self) -> i64 {
        EPOCH + i64::try_from(self.fleet.runtime.now().as_secs()).unwrap_or(0)
    }

    fn dropped(&self) -> BTreeMap<HostName, Host> {
        let mut dropped = self.known.clone();
        dropped.retain(|name, _| !self.inventory.hosts.contains_key(name));
        dropped
    }

    async fn look(&self, goal: Goal) -> Result<Look, PortError> {
        let dropped = self.dropped();
        let cycle = Cycle {
            inventory: &self.inventory,
            bundles: &self.bundles,
            passing: &self.passing,
            manifests: &self.manifests,
            dropped: &dropped,
            vault: &self.vault,
            remote: &self.ports,
            kube: &self.ports,
            etcd: &self.ports,
            goal,
            clock: &|| self.now(),
        };
        {
            let mut world = self.fleet.world();
            world.observed_at = world.now;
            world.resetting = goal == Goal::Reset;
        }
        cycle.look().await
    }

    /// Looks and plans, without doing anything.
    pub fn plan(&mut self, goal: Goal) -> Result<Look, String> {
        let result = self.fleet.runtime.drive(self.look(goal));
        match result {
            Ok(Ok(look)) => Ok(look),
            Ok(Err(error)) => Err(error.to_string()),
            Err(stopped) => Err(format!("{stopped:?}")),
        }
    }

    /// One run of `keelwright apply` (or `reset`).
    pub fn apply(&mut self, goal: Goal) -> Round {
        let look = match self.fleet.runtime.drive(self.look(goal)) {
            Ok(Ok(look)) => look,
            Ok(Err(error)) => return Round { outline: None, run: Run::Failed(error.to_string()) },
            Err(Stopped::Killed) => return Round { outline: None, run: Run::Killed },
            Err(Stopped::Stuck) => return Round { outline: None, run: Run::Stuck },
        };
        if matches!(&look.facts.etcd, Observed::Known(etcd) if !etcd.members.is_empty()) {
            self.vault.mark_etcd_established();
        }
        match look.outline {
            Ok(outline) => self.run(outline, goal),
            Err(error) => Round { outline: None, run: Run::Refused(error) },
        }
    }

    /// Runs a plan that was made just now.
    pub fn run(&mut self, outline: Outline, goal: Goal) -> Round {
        let flaws = check(&outline.plan);
        if !flaws.is_empty() {
            return Round { outline: Some(outline), run: Run::Flawed(flaws) };
        }
        if outline.plan.is_empty() {
            let owed = outline.report.blocked.iter().any(|blocked| !self.lost.contains(&blocked.host));
            let run = if owed { Run::Ran(Outcome::default()) } else { Run::Nothing };
            return Round { outline: Some(outline), run };
        }
        if self.check_leaks && serde_json::to_string(&outline.plan).is_ok_and(|text| leaks(&text)) {
            let mut world = self.fleet.world();
            let now = world.now;
            world.violation(now, "a plan has secret bytes in it".to_owned());
        }
        self.known.extend(self.inventory.hosts.clone());
        self.epoch += 1;
        let result = self.fleet.runtime.drive(self.execute(&outline));
        let run = match result {
            Ok(outcome) => {
                self.remember(&outline, &outcome, goal);
                Run::Ran(outcome)
            }
            Err(Stopped::Killed) => Run::Killed,
            Err(Stopped::Stuck) => Run::Stuck,
        };
        Round { outline: Some(outline), run }
    }

    async fn execute(&self, outline: &Outline) -> Outcome {
        let events = |event: Event| self.hear(event);
        let ports = Ports {
            fence: &NoFence,
            remote: &self.ports,
            kube: &self.ports,
            etcd: &self.ports,
            local: &self.ports,
            secrets: &self.vault,
            snapshots: &self.vault,
            objects: self,
            clock: &self.ports,
            events: &events,
        };
        let versions = self.passing.keys().copied().chain([self.inventory.version]);
        let bundles = versions.flat_map(|version| {
            let directory = camino::Utf8PathBuf::from(format!("simulated/{version}"));
            self.inventory.hosts.keys().map(move |host| ((host.clone(), version), directory.clone()))
        });
        let setting = Setting {
            policy: &self.inventory.policy,
            os: outline.os.clone(),
            bundles: bundles.collect(),
            epoch: self.epoch,
        };
        let (_stop, stopped) = watch::channel(false);
        execute(&outline.plan, &setting, &ports, stopped).await
    }

    fn hear(&self, event: Event) {
        if self.fleet.runtime.is_killed() {
            return;
        }
        let now = self.fleet.runtime.now();
        if let Some(listener) = &self.listener {
            listener(now, &event);
        }
        if self.check_leaks && serde_json::to_string(&event).is_ok_and(|text| leaks(&text)) {
            let mut world = self.fleet.world();
            world.violation(now, "an event has secret bytes in it".to_owned());
        }
        let boundary =
            matches!(event, Event::StepStarted { .. } | Event::StepEnded { .. } | Event::StepFailed { .. });
        if !matches!(event, Event::Progress { .. }) {
            self.events.lock().unwrap_or_else(PoisonError::into_inner).push((now, event));
        }
        if boundary {
            let fault = self.fleet.world().faults.pass(Site::Operator, true);
            if matches!(fault, Some(Fault::Kill | Fault::KillWithStage)) {
                self.fleet.runtime.kill();
            }
        }
    }

    /// What the command line writes into its state directory after a run.
    fn remember(&mut self, outline: &Outline, outcome: &Outcome, goal: Goal) {
        let done = |stage: Stage| {
            outline
                .plan
                .steps
                .iter()
                .filter(move |step| step.stage == stage && outcome.done.contains(&step.id))
        };
        if done(Stage::ApiReady).next().is_some() {
            self.vault.mark_etcd_established();
        }
        if goal == Goal::Reset {
            return;
        }
        let gone: Vec<HostName> = done(Stage::Clean)
            .filter_map(|step| match &step.target {
                Target::Host(host) => Some(host.clone()),
                Target::Operator | Target::Cluster => None,
            })
            .collect();
        self.known.retain(|name, _| !gone.contains(name));
    }

    /// Applies until nothing is left to do.
    pub fn converge(&mut self, goal: Goal) -> Trace {
        let began = self.fleet.runtime.now();
        let mut trace = Trace::default();
        for number in 0..ROUNDS {
            if number == LAST_FAULTY_ROUND {
                self.fleet.world().faults.stop();
            }
            let round = self.apply(goal);
            let (end, pause) = match &round.run {
                Run::Nothing => (Some(true), Duration::ZERO),
                Run::Refused(error)
                    if number < LAST_FAULTY_ROUND && (self.something_is_away() || was_away(error)) =>
                {
                    (None, Duration::from_secs(60))
                }
                Run::Refused(_) | Run::Flawed(_) | Run::Stuck | Run::Failed(_) => {
                    (Some(false), Duration::ZERO)
                }
                Run::Ran(outcome) if outcome.succeeded() && outline_owes_nothing(&round) => {
                    (None, Duration::ZERO)
                }
                Run::Ran(_) => (None, Duration::from_secs(30)),
                Run::Killed => (None, self.after_a_kill()),
            };
            trace.rounds.push(round);
            if !pause.is_zero() {
                let _ = self.fleet.runtime.drive(self.fleet.runtime.wait(pause));
            }
            if let Some(converged) = end {
                trace.converged = converged;
                break;
            }
        }
        trace.took = self.fleet.runtime.now().saturating_sub(began);
        trace
    }

    fn something_is_away(&self) -> bool {
        let world = self.fleet.world();
        world.hosts.values().any(|host| !host.is_reachable(world.now))
    }

    /// The operator comes back at once, or when the machines have long finished what they were doing.
    fn after_a_kill(&self) -> Duration {
        let mut world = self.fleet.world();
        let at_once = world.faults.random.chance(500);
        let path =
            if at_once { "applied again at once after a kill" } else { "applied again later after a kill" };
        world.faults.note(path);
        if at_once { Duration::ZERO } else { Duration::from_secs(300) }
    }
}

/// Whether the plan was refused for a host that did not answer when it was looked at.
fn was_away(error: &PlanError) -> bool {
    let away = |refusal: &Refusal| matches!(refusal.why, Why::TooFewFounders { .. });
    matches!(error, PlanError::Refused(refusals) if refusals.iter().all(away))
        || matches!(error, PlanError::Upgrade(UpgradeError::Blind(_)))
}

fn outline_owes_nothing(round: &Round) -> bool {
    round.outline.as_ref().is_some_and(|outline| outline.report.blocked.is_empty())
}

impl DesiredObjects for Simulation {
    fn objects(&self, set: ObjectSet) -> Result<Vec<Value>, PortError> {
        let ca = self.vault.ca_certificate()?;
        let ca = ca.ok_or_else(|| PortError("the cluster has no CA yet".to_owned()))?;
        desired_objects(&self.inventory, &self.manifests, &ca, &self.vault.etcd_token(), set)
    }
}
