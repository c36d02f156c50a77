//! What clients saw against what the weights were: as JSON, as a picture, and as shares that chance does or does not
//! explain.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Instant, SystemTime};

use jiff::Timestamp;
use keelwright::migrate::record::Weights;
use keelwright::migrate::report::{Event, Report, Sample, Seen, draw};

use super::Side;
use super::account::{Account, NAME};
use super::clients::{Call, Log};
use super::share::{self, Draw};
use crate::emulator::dns::History;
use crate::emulator::dns::route53;
use crate::lab::cache;

/// Seconds of a sample.
const PART: f64 = 2.0;
/// Fewer answers say nothing about a share.
const ENOUGH: usize = 100;

/// A time in which the weights stayed as they were.
#[derive(Debug, Clone, Copy)]
pub struct Phase {
    pub from: Instant,
    pub to: Instant,
    pub weights: Weights,
}

/// From the name server's own memory; `end`: of the last.
pub fn phases(history: &History, account: &Account, end: Instant) -> Vec<Phase> {
    let mut phases: Vec<Phase> = Vec::new();
    for (from, records) in history {
        let by_target = route53::weights(records, NAME);
        let of = |side: Side| {
            let target = &account.sides[&side].dns_name;
            u8::try_from(by_target.get(target).copied().unwrap_or(0)).unwrap()
        };
        let known = by_target.keys().all(|target| account.side_of(target).is_some());
        assert!(known, "the name leads elsewhere: {by_target:?}");
        let weights = Weights { blue: of(Side::Blue), green: of(Side::Green) };
        assert!(weights.blue > 0 || weights.green > 0, "all weights were zero: {records:?}");
        if let Some(last) = phases.last_mut() {
            last.to = *from;
        }
        phases.push(Phase { from: *from, to: end, weights });
    }
    phases
}

/// The share of green among the requests that clients made with answers of one phase, for each phase with enough of them;
/// only clients that heed TTLs. How far each is off, in standard deviations.
pub fn shares(log: &Log, phases: &[Phase]) -> Vec<(Phase, usize, f64)> {
    let mut made: BTreeMap<(usize, usize), u32> = BTreeMap::new();
    let mut led: BTreeMap<(usize, usize), Side> = BTreeMap::new();
    for call in log.calls.iter().filter(|call| !call.stale) {
        let Some(side) = call.answered else { continue };
        *made.entry((call.client, call.draw)).or_default() += 1;
        led.entry((call.client, call.draw)).or_insert(side);
    }
    let mut found = Vec::new();
    for phase in phases {
        let mut draws = Vec::new();
        for (client, of_client) in &log.draws {
            for (number, answer) in of_client.iter().enumerate() {
                let key = (*client, number);
                // An answer on the border may be of either phase.
                let inside = answer.asked >= phase.from && answer.answered <= phase.to;
                if let (true, Some(requests), Some(side)) = (inside, made.get(&key), led.get(&key)) {
                    draws.push(Draw { requests: *requests, is_green: *side == Side::Green });
                }
            }
        }
        if draws.len() >= ENOUGH {
            found.push((*phase, draws.len(), share::deviation(&draws, phase.weights.green_share())));
        }
    }
    found
}

/// What there is to report.
pub struct Told<'a> {
    pub title: &'a str,
    pub began: Instant,
    pub log: &'a Log,
    pub phases: &'a [Phase],
    pub events: &'a [(Instant, String)],
}

impl Told<'_> {
    pub fn report(&self) -> Report {
        let seconds = |at: Instant| at.saturating_duration_since(self.began).as_secs_f64();
        let last = self.log.calls.iter().map(|call| call.at).fold(0.0, f64::max);
        let mut samples: Vec<Sample> = (0_u32..)
            .map(|number| f64::from(number) * PART)
            .take_while(|at| *at <= last)
            .map(|at| Sample { at, seconds: PART, weights: None, seen: BTreeMap::new() })
            .collect();
        for call in &self.log.calls {
            let seen = samples[(call.at / PART) as usize].seen.entry(who(call).to_owned()).or_default();
            // One that failed is the side's that it was sent to; one that had no address is blue's, as all was.
            let side = call.answered.or(call.asked).unwrap_or(Side::Blue);
            Seen::add(seen, side, call.error.is_some());
        }
        for phase in self.phases {
            let inside = |sample: &&mut Sample| sample.at + PART > seconds(phase.from);
            samples.iter_mut().filter(inside).for_each(|sample| sample.weights = Some(phase.weights));
        }
        let mut events: Vec<Event> = Vec::new();
        events.extend(self.events.iter().map(|(at, label)| Event { at: seconds(*at), label: label.clone() }));
        events.extend(
            self.phases
                .iter()
                .skip(1)
                .map(|phase| Event { at: seconds(phase.from), label: format!("weights {}", phase.weights) }),
        );
        events.sort_by(|one, other| one.at.total_cmp(&other.at));
        let began = SystemTime::now() - self.began.elapsed();
        Report {
            title: self.title.to_owned(),
            began: Timestamp::try_from(began).unwrap().round(jiff::Unit::Second).unwrap(),
            samples,
            events,
        }
    }

    /// Writes `NAME.json`, `NAME.svg` and every request as `NAME-requests.jsonl`, and says where.
    pub fn write(&self, name: &str) -> Report {
        let report = self.report();
        let directory =
            std::env::var_os("KEELWRIGHT_TIMELINES").map_or_else(|| cache().join("timelines"), PathBuf::from);
        std::fs::create_dir_all(&directory).unwrap();
        let json = serde_json::to_string_pretty(&report).unwrap() + "\n";
        let line = |call: &Call| serde_json::to_string(call).unwrap() + "\n";
        let requests: String = self.log.calls.iter().map(line).collect();
        for (file, text) in [
            (format!("{name}.json"), json),
            (format!("{name}.svg"), draw(&report)),
            (format!("{name}-requests.jsonl"), requests),
        ] {
            let path = directory.join(file);
            std::fs::write(&path, text).unwrap();
            eprintln!("migration: {}", path.display());
        }
        report
    }
}

fn who(call: &Call) -> &'static str {
    if call.stale { "clients that ignore TTLs" } else { "clients" }
}

/// Says the shares, and that none is further off than chance explains.
pub fn follow_the_weights(log: &Log, phases: &[Phase]) {
    let shares = shares(log, phases);
    for (phase, answers, off) in &shares {
        let seconds = phase.to.duration_since(phase.from).as_secs_f64();
        eprintln!("{}: {seconds:.0} s, {answers} answers, {off:+.2} standard deviations off", phase.weights);
    }
    let far = |(_, _, off): &&(Phase, usize, f64)| off.abs() > share::BOUND;
    assert!(!shares.iter().any(|share| far(&share)), "green's share does not follow the weights: {shares:?}");
    let mut wanted: Vec<Weights> = phases.iter().map(|phase| phase.weights).collect();
    let mut judged: Vec<Weights> = shares.iter().map(|(phase, _, _)| phase.weights).collect();
    // Simple records and weights of nothing and all are the same share.
    for weights in [&mut wanted, &mut judged] {
        weights.sort_by(|one, other| one.green_share().total_cmp(&other.green_share()));
        weights.dedup_by(|one, other| one.green_share() == other.green_share());
    }
    assert_eq!(judged.len(), wanted.len(), "too few answers for some of {wanted:?}: {shares:?}");
}

/// Not one request failed.
pub fn none_has_failed(log: &Log) {
    let failed: Vec<&Call> = log.calls.iter().filter(|call| call.error.is_some()).collect();
    let some: Vec<_> = failed.iter().take(20).collect();
    assert!(failed.is_empty(), "{} of {} requests failed: {some:#?}", failed.len(), log.calls.len());
}
