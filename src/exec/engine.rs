//! Runs the steps of a plan: each as soon as what it waits for has ended, one at a time per host,
//! no more hosts at once than the policy allows. A failure stops what depends on it and nothing else.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use futures::StreamExt as _;
use futures::future::Either;
use futures::stream::FuturesUnordered;
use nix::time::{ClockId, clock_gettime};
use serde_json::Value;
use tokio::sync::watch;

use super::event::Event;
use super::ports::{Etcd, Fence, KubeApi, LocalCommands, PortError, Remote, SecretSource, Snapshots};
use super::step::run_step;
use crate::blueprint::OsFamily;
use crate::inventory::{HostName, Policy};
use crate::plan::{ObjectSet, Plan, Stage, Step, StepId, Target};
use crate::release::KubeVersion;

/// Cluster objects as wanted, computed when they are needed: the CA is inside them.
pub trait DesiredObjects: Send + Sync {
    fn objects(&self, set: ObjectSet) -> Result<Vec<Value>, PortError>;
}

/// Time, so that the simulator can have its own.
pub trait Clock: Send + Sync {
    fn now(&self) -> Duration;
    fn wait<'a>(&'a self, duration: Duration) -> futures::future::BoxFuture<'a, ()>;
}

/// The time since the machine booted, with the time that it slept: who holds a lock for a minute must know that an hour
/// has gone by.
#[derive(Debug)]
pub struct SystemClock(Duration);

impl Default for SystemClock {
    fn default() -> Self {
        SystemClock(since_boot())
    }
}

fn since_boot() -> Duration {
    #[cfg(target_os = "linux")]
    let clock = ClockId::CLOCK_BOOTTIME;
    #[cfg(not(target_os = "linux"))]
    let clock = ClockId::CLOCK_MONOTONIC;
    // invariant: the system has this clock.
    clock_gettime(clock).map(Duration::from).unwrap_or_default()
}

impl Clock for SystemClock {
    fn now(&self) -> Duration {
        since_boot().saturating_sub(self.0)
    }

    fn wait<'a>(&'a self, duration: Duration) -> futures::future::BoxFuture<'a, ()> {
        Box::pin(tokio::time::sleep(duration))
    }
}

/// Everything a run touches.
pub struct Ports<'a> {
    pub fence: &'a dyn Fence,
    pub remote: &'a dyn Remote,
    pub kube: &'a dyn KubeApi,
    pub etcd: &'a dyn Etcd,
    pub local: &'a dyn LocalCommands,
    pub secrets: &'a dyn SecretSource,
    pub snapshots: &'a dyn Snapshots,
    pub objects: &'a dyn DesiredObjects,
    pub clock: &'a dyn Clock,
    pub events: &'a (dyn Fn(Event) + Send + Sync),
}

/// What the executor must know beside the plan.
pub struct Setting<'a> {
    pub policy: &'a Policy,
    /// OS family by host, as observed.
    pub os: BTreeMap<HostName, OsFamily>,
    /// Bundle directories by host and version.
    pub bundles: BTreeMap<(HostName, KubeVersion), Utf8PathBuf>,
    /// Makes stage ids unique for this run, and fences runs that were overtaken.
    pub epoch: u64,
}

impl Setting<'_> {
    pub(super) fn bundle(&self, host: &HostName, release: KubeVersion) -> Option<&Utf8Path> {
        self.bundles.get(&(host.clone(), release)).map(Utf8PathBuf::as_path)
    }
}

/// How a run ended.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Outcome {
    pub done: BTreeSet<StepId>,
    pub failed: BTreeMap<StepId, Failure>,
    pub skipped: BTreeSet<StepId>,
    pub interrupted: bool,
}

impl Outcome {
    /// Every step ended well.
    pub fn succeeded(&self) -> bool {
        self.failed.is_empty() && self.skipped.is_empty() && !self.interrupted
    }
}

/// Why a step failed, for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{error}")]
pub struct Failure {
    pub error: String,
    pub hint: Option<String>,
    /// The host could not be reached at all.
    pub unreachable: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Waiting,
    Running,
    Done,
    Failed,
    Skipped,
}

/// Runs the plan; `stop` turning true lets running steps end and starts no more.
pub async fn execute(
    plan: &Plan,
    setting: &Setting<'_>,
    ports: &Ports<'_>,
    stop: watch::Receiver<bool>,
) -> Outcome {
    let mut run = Run::new(plan);
    (ports.events)(Event::Began { cluster: plan.cluster.to_string(), steps: plan.steps.len() });
    let mut running = FuturesUnordered::new();
    let limit = usize::try_from(setting.policy.parallelism).unwrap_or(usize::MAX).max(1);
    loop {
        let stopped = *stop.borrow();
        while !stopped && running.len() < limit {
            let Some(step) = run.next(ports) else { break };
            (ports.events)(Event::StepStarted {
                step: step.id.clone(),
                target: step.target.clone(),
                doing: step.stage.describe().to_owned(),
            });
            let stop = stop.clone();
            running.push(async move {
                let began = ports.clock.now();
                let result = match step.stage {
                    Stage::Pause => unless_stopped(stop, run_step(plan, step, setting, ports)).await,
                    _acts => Some(run_step(plan, step, setting, ports).await),
                };
                (step, ports.clock.now().saturating_sub(began).as_secs_f64(), result)
            });
        }
        let Some((step, seconds, result)) = running.next().await else { break };
        // Left half-way: it is neither done nor failed, and the next run plans it again.
        let Some(result) = result else { continue };
        let (id, target) = (step.id.clone(), step.target.clone());
        match result {
            Ok(changed) => {
                run.end(step, State::Done);
                run.outcome.done.insert(id.clone());
                (ports.events)(Event::StepEnded { step: id, target, seconds, changed });
            }
            Err(failure) => {
                run.end(step, State::Failed);
                (ports.events)(Event::StepFailed {
                    step: id.clone(),
                    target,
                    seconds,
                    error: failure.error.clone(),
                    hint: failure.hint.clone(),
                });
                run.outcome.failed.insert(id, failure);
            }
        }
    }
    let ended = run.outcome.done.len() + run.outcome.failed.len() + run.outcome.skipped.len();
    run.outcome.interrupted = ended < plan.steps.len();
    (ports.events)(Event::Ended {
        done: run.outcome.done.len(),
        failed: run.outcome.failed.len(),
        skipped: run.outcome.skipped.len(),
        interrupted: run.outcome.interrupted,
    });
    run.outcome
}

/// A step that only watches may be left at any moment; None: it was, because the operator asked to stop.
async fn unless_stopped<T>(mut stop: watch::Receiver<bool>, step: impl Future<Output = T>) -> Option<T> {
    let stopped = async move {
        // Nobody left to ask for it: then nobody does.
        if stop.wait_for(|stop| *stop).await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    match futures::future::select(std::pin::pin!(step), std::pin::pin!(stopped)).await {
        Either::Left((result, _)) => Some(result),
        Either::Right(_) => None,
    }
}

/// The ready queue. A step becomes a candidate when something it waits for ends, so that a plan of
/// many thousand steps is never scanned as a whole.
struct Run<'a> {
    steps: BTreeMap<&'a StepId, &'a Step>,
    states: BTreeMap<&'a StepId, State>,
    dependants: BTreeMap<&'a StepId, Vec<&'a StepId>>,
    candidates: VecDeque<&'a StepId>,
    busy: BTreeSet<&'a Target>,
    outcome: Outcome,
}

enum Readiness<'a> {
    Ready,
    NotYet,
    Never(&'a StepId),
}

impl<'a> Run<'a> {
    fn new(plan: &'a Plan) -> Self {
        let mut dependants: BTreeMap<&StepId, Vec<&StepId>> = BTreeMap::new();
        for step in &plan.steps {
            for after in step.after.iter().chain(&step.after_any) {
                dependants.entry(after).or_default().push(&step.id);
            }
        }
        Run {
            steps: plan.steps.iter().map(|step| (&step.id, step)).collect(),
            states: plan.steps.iter().map(|step| (&step.id, State::Waiting)).collect(),
            dependants,
            candidates: plan.steps.iter().map(|step| &step.id).collect(),
            busy: BTreeSet::new(),
            outcome: Outcome::default(),
        }
    }

    /// The next step that may start now; steps that can never start are skipped on the way.
    fn next(&mut self, ports: &Ports<'_>) -> Option<&'a Step> {
        let mut waiting_for_host = Vec::new();
        let mut found = None;
        while let Some(id) = self.candidates.pop_front() {
            let Some(step) = self.steps.get(id).copied() else { continue };
            if self.state(id) != State::Waiting {
                continue;
            }
            match self.readiness(step) {
                Readiness::Ready if self.is_busy(&step.target) => waiting_for_host.push(id),
                Readiness::Ready => {
                    found = Some(step);
                    break;
                }
                Readiness::NotYet => {}
                Readiness::Never(because) => {
                    self.end(step, State::Skipped);
                    self.outcome.skipped.insert(step.id.clone());
                    (ports.events)(Event::StepSkipped {
                        step: step.id.clone(),
                        target: step.target.clone(),
                        because: because.clone(),
                    });
                }
            }
        }
        for id in waiting_for_host {
            self.candidates.push_back(id);
        }
        let step = found?;
        self.states.insert(&step.id, State::Running);
        self.busy.insert(&step.target);
        Some(step)
    }

    /// One lane per host; API calls of different steps do not get in each other's way.
    fn is_busy(&self, target: &Target) -> bool {
        matches!(target, Target::Host(_)) && self.busy.contains(target)
    }

    fn state(&self, id: &StepId) -> State {
        self.states.get(id).copied().unwrap_or(State::Skipped)
    }

    fn readiness(&self, step: &'a Step) -> Readiness<'a> {
        for after in &step.after {
            match self.state(after) {
                State::Done => {}
                State::Failed | State::Skipped => return Readiness::Never(after),
                State::Waiting | State::Running => return Readiness::NotYet,
            }
        }
        let states: Vec<State> = step.after_any.iter().map(|id| self.state(id)).collect();
        if states.is_empty() || states.contains(&State::Done) {
            return Readiness::Ready;
        }
        let over = |state: &State| matches!(state, State::Failed | State::Skipped);
        match step.after_any.first() {
            Some(first) if states.iter().all(over) => Readiness::Never(first),
            Some(_) | None => Readiness::NotYet,
        }
    }

    fn end(&mut self, step: &'a Step, state: State) {
        self.states.insert(&step.id, state);
        self.busy.remove(&step.target);
        if let Some(dependants) = self.dependants.get(&step.id) {
            self.candidates.extend(dependants.iter().copied());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_step_that_watches_is_left_when_the_operator_asks_to_stop() {
        let (ask, asked) = watch::channel(false);
        assert_eq!(unless_stopped(asked.clone(), std::future::ready(1)).await, Some(1));
        let (left, ()) = futures::join!(unless_stopped(asked.clone(), std::future::pending::<u8>()), async {
            ask.send_replace(true);
        });
        assert_eq!(left, None);
        // Nobody is left who could ask.
        let (_, asked) = watch::channel(false);
        assert_eq!(unless_stopped(asked, tokio::task::yield_now()).await, Some(()));
    }
}
