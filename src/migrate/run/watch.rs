//! Watches a service while its weights stand: round after round of probes, judged by the gates.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use futures::future::{BoxFuture, Either, join_all, select};

use super::error::RunError;
use super::{Ports, Run};
use crate::exec::LocalCommand;
use crate::inventory::{CommandGate, Migration, Probe};
use crate::migrate::event::{Cause, MigrationEvent, NameTally, Sample};
use crate::migrate::gates::{Answer, Sight, Tally, judge};
use crate::migrate::ports::{BalancerFacts, Health, Prober};
use crate::migrate::record::{Side, Target, Weights};

/// Between two samples for people.
const SAMPLE: Duration = Duration::from_secs(5);
/// Between two looks at balancers, nodes, metrics and the operator's own gates.
const SIGHT: Duration = Duration::from_secs(15);
/// Between two looks at whether somebody else changes the records.
const RECORDS: Duration = Duration::from_secs(30);
/// For so long a step may go on past its time until there is enough to judge by.
const BLIND: Duration = Duration::from_secs(120);

/// What has been seen, and what of it nobody has been told yet.
#[derive(Default)]
pub(super) struct Watch<'a> {
    answers: VecDeque<(Duration, Answer)>,
    untold: Vec<Answer>,
    addresses: BTreeMap<Side, Vec<IpAddr>>,
    sight: Sight,
    /// When that look began.
    sighted: Option<Duration>,
    /// A look that goes on: a command of the operator's may take its time, and rounds of probes do not wait for it.
    looking: Option<(Duration, BoxFuture<'a, Sight>)>,
    round: usize,
    sampled: Option<Duration>,
    compared: Option<Duration>,
}

/// How long, and what is asked.
#[derive(Debug, Clone, Copy)]
pub(super) struct Watching {
    pub long: Duration,
    /// What was seen before is not judged.
    pub since: Duration,
    /// Probes go straight at blue's balancer too.
    pub blue: bool,
    /// Nothing is judged: it is only shown.
    pub judged: bool,
}

/// Why watching ended before its time.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Stop {
    Back(Cause),
    /// The run ends, and everything stays as it is.
    Stay,
}

impl Watch<'_> {
    fn fresh(&self, since: Duration) -> Vec<Answer> {
        self.answers.iter().filter(|(at, _)| *at >= since).map(|(_, answer)| answer.clone()).collect()
    }
}

impl<'a> Run<'a> {
    /// Until the time is over and all is well; else why not.
    pub(super) async fn watch(&mut self, watching: Watching) -> Result<Option<Stop>, RunError> {
        let began = self.ports.clock.now();
        let mut paused = Duration::ZERO;
        let mut last = began;
        loop {
            let now = self.ports.clock.now();
            let wish = self.ports.control.wish();
            if wish.paused {
                paused += now.saturating_sub(last);
            }
            last = now;
            self.note_pause(wish.paused);
            if let Some(stop) = wish.stop() {
                return Ok(Some(stop));
            }
            let lasted = now.saturating_sub(began).saturating_sub(paused);
            let left = watching.long.saturating_sub(lasted);
            self.look(now, watching.blue).await?;
            self.tell_sample(now, left, wish.paused);
            if watching.judged {
                let window = Duration::from_secs(self.migration.gates.window.into());
                let since = watching.since.max(now.saturating_sub(window));
                let verdict = judge(&self.migration.gates, &self.watch.fresh(since), &self.watch.sight);
                if !verdict.shut.is_empty() {
                    return Ok(Some(Stop::Back(Cause::Shut { gates: verdict.shut })));
                }
                if left.is_zero() && !wish.paused {
                    let has_looked = self.watch.sighted.is_some_and(|at| at >= watching.since);
                    if !verdict.is_early && has_looked {
                        return Ok(None);
                    }
                    if lasted > watching.long + BLIND + window {
                        let wanted = self.migration.gates.samples;
                        let cause = Cause::Blind { answers: verdict.green.asked, wanted, has_looked };
                        return Ok(Some(Stop::Back(cause)));
                    }
                }
            } else if left.is_zero() && !wish.paused {
                return Ok(None);
            }
            self.await_round(now).await;
        }
    }

    /// One round of everything.
    pub(super) async fn look(&mut self, now: Duration, blue: bool) -> Result<(), RunError> {
        self.ask(now, blue).await;
        let is_due =
            |last: Option<Duration>, every| last.is_none_or(|last| now.saturating_sub(last) >= every);
        if self.watch.looking.is_none() && is_due(self.watch.sighted, SIGHT) {
            let sight = sight(self.migration, self.ports, self.behind.green.clone());
            self.watch.looking = Some((now, Box::pin(sight)));
        }
        if is_due(self.watch.compared, RECORDS) {
            self.watch.compared = Some(now);
            self.refuse_foreign().await?;
        }
        Ok(())
    }

    /// Rounds begin one interval after another, whatever they take.
    pub(super) async fn await_round(&mut self, began: Duration) {
        let interval = Duration::from_secs(self.migration.gates.interval.max(1).into());
        let took = self.ports.clock.now().saturating_sub(began);
        // Never nothing: a wait of none is a busy loop.
        let wait = interval.saturating_sub(took).max(Duration::from_millis(50));
        let wait = self.ports.clock.wait(wait);
        let Some((at, looking)) = &mut self.watch.looking else { return wait.await };
        if let Either::Left((sight, wait)) = select(looking, wait).await {
            (self.watch.sight, self.watch.sighted, self.watch.looking) = (sight, Some(*at), None);
            wait.await;
        }
    }

    fn note_pause(&mut self, paused: bool) {
        if paused != self.is_paused {
            self.is_paused = paused;
            self.tell(if paused { MigrationEvent::Paused } else { MigrationEvent::Resumed });
        }
    }

    /// Asks both sides and the names once, all at the same time.
    async fn ask(&mut self, now: Duration, blue: bool) {
        self.find_sides().await;
        let (watch, prober) = (&self.watch, self.ports.prober);
        let mut questions: Vec<BoxFuture<'_, Answer>> = Vec::new();
        for side in Side::BOTH.into_iter().filter(|side| blue || *side == Side::Green) {
            let addresses = watch.addresses.get(&side).map(Vec::as_slice).unwrap_or_default();
            let address =
                addresses.get(watch.round.checked_rem(addresses.len()).unwrap_or_default()).copied();
            for probe in &self.migration.probes {
                questions.push(Box::pin(straight(prober, probe, side, address)));
            }
        }
        for service in &self.migration.names {
            for probe in &self.migration.probes {
                questions.push(Box::pin(by_name(prober, &watch.addresses, probe, &service.name)));
            }
        }
        let answers = join_all(questions).await;
        self.watch.round += 1;
        let window = Duration::from_secs(self.migration.gates.window.into());
        while self.watch.answers.front().is_some_and(|(at, _)| now.saturating_sub(*at) > window) {
            self.watch.answers.pop_front();
        }
        self.watch.untold.extend(answers.iter().cloned());
        self.watch.answers.extend(answers.into_iter().map(|answer| (now, answer)));
    }

    /// Where the sides are now: the addresses of a balancer change. Those of before are kept where nobody answers.
    async fn find_sides(&mut self) {
        let Some(sides) = self.names.first().map(|facts| facts.sides.clone()) else { return };
        for side in Side::BOTH {
            let found = match sides.of(side) {
                Target::Alias { dns_name, .. } => self.ports.prober.resolve(dns_name).await,
                Target::Values { values, .. } => {
                    let addresses: Vec<IpAddr> =
                        values.iter().filter_map(|value| value.parse().ok()).collect();
                    match (addresses.is_empty(), values.first()) {
                        (true, Some(name)) => self.ports.prober.resolve(name).await,
                        _ => Ok(addresses),
                    }
                }
            };
            if let Ok(addresses) = found
                && !addresses.is_empty()
            {
                self.watch.addresses.insert(side, addresses);
            }
        }
    }

    async fn refuse_foreign(&self) -> Result<(), RunError> {
        for facts in &self.names {
            self.records().refuse_foreign(facts).await?;
        }
        Ok(())
    }

    fn tell_sample(&mut self, now: Duration, left: Duration, paused: bool) {
        if self.watch.sampled.is_some_and(|last| now.saturating_sub(last) < SAMPLE) {
            return;
        }
        self.watch.sampled = Some(now);
        let untold = std::mem::take(&mut self.watch.untold);
        let straight = |side: Side| Tally::of(untold.iter().filter(|answer| answer.side == Some(side)));
        let mut name = NameTally::default();
        for answer in untold.iter().filter(|answer| answer.side.is_none()) {
            let failed = u32::from(answer.error.is_some());
            name.asked += 1;
            name.failed += failed;
            match answer.led {
                Some(Side::Blue) => {
                    (name.blue, name.blue_failed) = (name.blue + 1, name.blue_failed + failed)
                }
                Some(Side::Green) => {
                    (name.green, name.green_failed) = (name.green + 1, name.green_failed + failed);
                }
                None => {}
            }
        }
        let sample = Sample {
            at: now.saturating_sub(self.began).as_secs_f64(),
            weights: self.weights(),
            blue: straight(Side::Blue),
            green: straight(Side::Green),
            name,
            left: u32::try_from(left.as_secs()).ok(),
            paused,
        };
        self.tell(MigrationEvent::Seen { sample });
    }

    fn weights(&self) -> Option<Weights> {
        self.names.first().and_then(|facts| facts.point().ok()).map(super::Point::weights)
    }
}

async fn straight(prober: &dyn Prober, probe: &Probe, side: Side, address: Option<IpAddr>) -> Answer {
    let answer = match address {
        Some(address) => prober.ask(probe, SocketAddr::new(address, probe.port)).await,
        None => unanswered(probe, format!("nobody knows an address of {side}'s balancer")),
    };
    Answer { side: Some(side), led: None, ..answer }
}

async fn by_name(
    prober: &dyn Prober,
    sides: &BTreeMap<Side, Vec<IpAddr>>,
    probe: &Probe,
    name: &str,
) -> Answer {
    let found = prober.resolve(name).await;
    let first =
        found.and_then(|found| found.first().copied().ok_or_else(|| format!("{name} has no address")));
    match first {
        Ok(address) => {
            let leads = |side: &Side| sides.get(side).is_some_and(|own| own.contains(&address));
            let led = Side::BOTH.into_iter().find(leads);
            let answer = prober.ask(probe, SocketAddr::new(address, probe.port)).await;
            Answer { side: None, led, ..answer }
        }
        Err(error) => unanswered(probe, error),
    }
}

/// What is seen beside the probes. What cannot be seen now is not judged.
async fn sight(migration: &Migration, ports: Ports<'_>, green: Option<BalancerFacts>) -> Sight {
    let gates = &migration.gates;
    let mut sight = Sight::default();
    for group in green.iter().flat_map(|balancer| &balancer.target_groups) {
        let Ok(targets) = ports.balancers.targets(&group.arn).await else { continue };
        let stays = || targets.iter().filter(|(_, health)| *health != Health::Draining);
        let healthy = stays().filter(|(_, health)| *health == Health::Healthy).count();
        let (of, all) = sight.targets.unwrap_or_default();
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        sight.targets = Some((of + count(healthy), all + count(stays().count())));
    }
    if let Some(nodes) = ports.nodes.filter(|_| gates.nodes_ready) {
        sight.unready = nodes.unready().await.ok();
    }
    for gate in &gates.metrics {
        let value = ports.balancers.metric(gate).await.ok().flatten();
        sight.metrics.insert(gate.metric.clone(), value);
    }
    for gate in &gates.commands {
        sight.commands.insert(gate.name.clone(), said(gate, ports).await);
    }
    sight
}

/// None: the command says that all is well.
async fn said(gate: &CommandGate, ports: Ports<'_>) -> Option<String> {
    let command = LocalCommand {
        argv: gate.command.clone(),
        environment: BTreeMap::new(),
        timeout: Duration::from_secs(gate.timeout.into()),
    };
    match ports.commands.run(&command).await {
        Ok(end) if end.status == 0 => None,
        Ok(end) => {
            let last = end.output.lines().next_back().unwrap_or_default();
            Some(format!("exit status {}: {last}", end.status))
        }
        Err(error) => Some(error.to_string()),
    }
}

fn unanswered(probe: &Probe, error: String) -> Answer {
    Answer { probe: probe.name.clone(), side: None, led: None, took: Duration::ZERO, error: Some(error) }
}
