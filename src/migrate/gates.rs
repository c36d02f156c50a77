//! Whether green is well enough to get more, from what probes, balancers, nodes and the operator's own gates said.
//! Pure.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::record::Side;
use crate::inventory::Gates;

/// What a probe came to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Answer {
    pub probe: String,
    /// Straight at a side's balancer; None: through the name.
    pub side: Option<Side>,
    /// Where the name led this time; None: to neither side, or nowhere.
    pub led: Option<Side>,
    pub took: Duration,
    /// None: it was fine.
    pub error: Option<String>,
}

/// How the answers of one side were.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Tally {
    pub asked: u32,
    pub failed: u32,
    /// Within which 95 of 100 fine answers came.
    pub slowest: Duration,
}

impl Tally {
    /// From 0 to 1; 0 when nothing was asked.
    pub fn error_rate(&self) -> f64 {
        if self.asked == 0 { 0.0 } else { f64::from(self.failed) / f64::from(self.asked) }
    }

    pub fn of<'a>(answers: impl Iterator<Item = &'a Answer>) -> Self {
        let mut tally = Tally::default();
        let mut times = Vec::new();
        for answer in answers {
            tally.asked += 1;
            match answer.error {
                Some(_) => tally.failed += 1,
                None => times.push(answer.took),
            }
        }
        times.sort();
        // The nearest rank.
        let rank = (times.len() * 95).div_ceil(100);
        tally.slowest = rank.checked_sub(1).and_then(|at| times.get(at)).copied().unwrap_or_default();
        tally
    }
}

/// What was seen beside the probes.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Sight {
    /// Healthy ones and all, of green's balancer; None: they cannot be seen.
    pub targets: Option<(u32, u32)>,
    /// Nodes of green that are not Ready; None: nobody asked.
    pub unready: Option<Vec<String>>,
    /// By the metric's name; None: there is no value yet.
    pub metrics: BTreeMap<String, Option<f64>>,
    /// By the command's name: None, or what it said.
    pub commands: BTreeMap<String, Option<String>>,
}

/// A gate that does not hold, and why.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Shut {
    ErrorRate { green: f64, limit: f64, error: Option<String> },
    WorseThanBlue { green: f64, blue: f64, limit: f64 },
    Latency { green: Duration, limit: Duration },
    SlowerThanBlue { green: Duration, blue: Duration, limit: f64 },
    Targets { healthy: u32, all: u32, limit: f64 },
    Nodes { unready: Vec<String> },
    Metric { metric: String, value: f64, limit: f64 },
    Command { name: String, said: String },
}

fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

impl fmt::Display for Shut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Shut::ErrorRate { green, limit, error } => {
                write!(f, "{} of green's probes failed, at most {} may", percent(*green), percent(*limit))?;
                error.as_ref().map_or(Ok(()), |error| write!(f, "; the last said: {error}"))
            }
            Shut::WorseThanBlue { green, blue, limit } => write!(
                f,
                "{} of green's probes failed and {} of blue's, at most {} more may",
                percent(*green),
                percent(*blue),
                percent(*limit)
            ),
            Shut::Latency { green, limit } => {
                write!(
                    f,
                    "95 of 100 of green's answers took up to {} ms, at most {} may be",
                    green.as_millis(),
                    limit.as_millis()
                )
            }
            Shut::SlowerThanBlue { green, blue, limit } => write!(
                f,
                "green's answers took up to {} ms and blue's {} ms, at most {limit} times as long may be",
                green.as_millis(),
                blue.as_millis()
            ),
            Shut::Targets { healthy, all, limit } => {
                write!(f, "{healthy} of green's {all} targets are healthy, {} must be", percent(*limit))
            }
            Shut::Nodes { unready } => write!(f, "nodes of green are not ready: {}", unready.join(", ")),
            Shut::Metric { metric, value, limit } => write!(f, "metric {metric} is {value}, past {limit}"),
            Shut::Command { name, said } => write!(f, "gate {name}: {said}"),
        }
    }
}

/// What the gates say of what was seen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Verdict {
    pub blue: Tally,
    pub green: Tally,
    pub shut: Vec<Shut>,
    /// Too little was seen to let it go on.
    pub is_early: bool,
}

impl Verdict {
    /// It may go on.
    pub fn is_open(&self) -> bool {
        self.shut.is_empty() && !self.is_early
    }
}

/// Judges.
pub fn judge(gates: &Gates, answers: &[Answer], sight: &Sight) -> Verdict {
    let of = |side: Side| answers.iter().filter(move |answer| answer.side == Some(side));
    let (blue, green) = (Tally::of(of(Side::Blue)), Tally::of(of(Side::Green)));
    let mut shut = Vec::new();
    let is_early = green.asked < gates.samples;
    // A single failure among few is no rate.
    let counts = green.failed > 1 || !is_early;
    if counts && green.error_rate() > gates.error_rate {
        let error = of(Side::Green).filter_map(|answer| answer.error.clone()).next_back();
        shut.push(Shut::ErrorRate { green: green.error_rate(), limit: gates.error_rate, error });
    }
    if counts && blue.asked > 0 && green.error_rate() - blue.error_rate() > gates.worse_than_blue {
        let limit = gates.worse_than_blue;
        shut.push(Shut::WorseThanBlue { green: green.error_rate(), blue: blue.error_rate(), limit });
    }
    if !is_early {
        slow(gates, &blue, &green, &mut shut);
    }
    if let Some((healthy, all)) = sight.targets
        && (all == 0 || f64::from(healthy) < gates.healthy_targets * f64::from(all))
    {
        shut.push(Shut::Targets { healthy, all, limit: gates.healthy_targets });
    }
    if let Some(unready) = sight.unready.as_ref().filter(|unready| gates.nodes_ready && !unready.is_empty()) {
        shut.push(Shut::Nodes { unready: unready.clone() });
    }
    for gate in &gates.metrics {
        let Some(value) = sight.metrics.get(&gate.metric).copied().flatten() else { continue };
        let past = gate.above.filter(|limit| value < *limit).or(gate.below.filter(|limit| value > *limit));
        shut.extend(past.map(|limit| Shut::Metric { metric: gate.metric.clone(), value, limit }));
    }
    let failed = sight.commands.iter().filter_map(|(name, said)| Some((name, said.as_ref()?)));
    shut.extend(failed.map(|(name, said)| Shut::Command { name: name.clone(), said: said.clone() }));
    Verdict { blue, green, shut, is_early }
}

fn slow(gates: &Gates, blue: &Tally, green: &Tally, shut: &mut Vec<Shut>) {
    if let Some(limit) = gates.latency.map(|limit| Duration::from_millis(limit.into()))
        && green.slowest > limit
    {
        shut.push(Shut::Latency { green: green.slowest, limit });
    }
    if let Some(limit) = gates.slower_than_blue
        && !blue.slowest.is_zero()
        && green.slowest.as_secs_f64() > limit * blue.slowest.as_secs_f64()
    {
        shut.push(Shut::SlowerThanBlue { green: green.slowest, blue: blue.slowest, limit });
    }
}

#[cfg(test)]
#[path = "gates_tests.rs"]
mod tests;
