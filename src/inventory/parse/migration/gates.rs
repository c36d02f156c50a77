//! `schedule`, `gates` and `takeOver`: how fast green gets more, and what has to hold meanwhile.

use super::draft::DraftGates;
use super::{list, pairs, text};
use crate::inventory::parse::hooks::{command_of, plain_name};
use crate::inventory::parse::reader::{Field, Table, closest};
use crate::inventory::parse::scalar::{Plain, quoted};
use crate::inventory::parse::values::parse_duration;
use crate::inventory::{CommandGate, Gates, HookPlace, MetricGate, Move, TakeOver};

/// Hours. A share can be watched over a holiday; what is forgotten for longer than a week is not watched.
const LONGEST: u64 = 7 * 24;
/// Green's shares and the seconds that each is watched, when the file does not say.
const SCHEDULE: [(u8, u32); 6] = [(1, 600), (5, 600), (10, 600), (25, 600), (50, 600), (100, 1800)];
/// Seconds that a gate's command may take.
const COMMAND_TIMEOUT: u32 = 60;
/// Seconds that a metric's value is about.
const METRIC_PERIOD: u32 = 60;
/// Milliseconds: an answer that takes longer is none.
const LATENCY_LIMIT: u64 = 60_000;
const QUIET: u32 = 600;
const DEADLINE: u32 = 24 * 3600;
const STATISTICS: [&str; 5] = ["Average", "Sum", "Minimum", "Maximum", "SampleCount"];

/// One for each item, so that places are kept; None: what is wrong with it has been reported.
pub(super) fn schedule(field: Option<Field<'_>>) -> Vec<Option<Move>> {
    match field {
        None => SCHEDULE.iter().map(|(green, soak)| Some(Move { green: *green, soak: *soak })).collect(),
        field => list(field).iter().map(one_move).collect(),
    }
}

fn one_move(field: &Field<'_>) -> Option<Move> {
    let table = field.table()?;
    let green = table.require("green", "10%").and_then(|field| field.percent("all answers"));
    let soak = table.require("soak", "10m").and_then(|field| field.duration_up_to(LONGEST));
    table
        .moved(&[
            ("weight", "green"),
            ("percent", "green"),
            ("for", "soak"),
            ("wait", "soak"),
            ("pause", "soak"),
        ])
        .finish();
    Some(Move { green: green?, soak: soak? })
}

pub(super) fn gates(field: Option<Field<'_>>) -> DraftGates {
    let mut gates = Gates {
        error_rate: 0.01,
        worse_than_blue: 0.01,
        latency: None,
        slower_than_blue: None,
        healthy_targets: 0.5,
        nodes_ready: false,
        metrics: Vec::new(),
        commands: Vec::new(),
        samples: 20,
        interval: 1,
        window: 60,
    };
    let empty = |gates| DraftGates { gates, metrics: Vec::new(), commands: Vec::new() };
    let Some(table) = field.and_then(|field| field.table()) else { return empty(gates) };
    for (key, of, value) in [
        ("errorRate", "all answers", &mut gates.error_rate),
        ("worseThanBlue", "all answers", &mut gates.worse_than_blue),
        ("healthyTargets", "all targets", &mut gates.healthy_targets),
    ] {
        if let Some(wanted) = table.get(key).and_then(|field| share(&field, of)) {
            *value = wanted;
        }
    }
    gates.latency = table.get("latency").and_then(|field| latency(&field));
    gates.slower_than_blue = table.get("slowerThanBlue").and_then(|field| factor(&field));
    if let Some(ready) = table.get("nodesReady").and_then(|field| field.boolean()) {
        gates.nodes_ready = ready;
    }
    let samples = table.get("samples").and_then(|field| field.integer("a number of answers", 1..=10_000));
    if let Some(samples) = samples.and_then(|samples| u32::try_from(samples).ok()) {
        gates.samples = samples;
    }
    for (key, value) in [("interval", &mut gates.interval), ("window", &mut gates.window)] {
        if let Some(wanted) = table.get(key).and_then(|field| field.duration_up_to(1)) {
            *value = wanted;
        }
    }
    let metrics = list(table.get("metrics")).iter().map(metric).collect();
    let commands = list(table.get("commands")).iter().map(command).collect();
    table
        .moved(&[
            ("errors", "errorRate"),
            ("minSamples", "samples"),
            ("period", "window"),
            ("every", "interval"),
            ("cloudwatch", "metrics"),
            ("cloudWatch", "metrics"),
            ("targets", "healthyTargets"),
        ])
        .finish();
    DraftGates { gates, metrics, commands }
}

/// `1%`, `0.5%`: from 0 to 1.
fn share(field: &Field<'_>, of: &str) -> Option<f64> {
    if let Some(Plain::Integer(_) | Plain::Float) = field.plain() {
        let message = format!("want a share of {of}; got {} without `%`", field.got());
        return field.error(message, "for example 1% or 0.5%");
    }
    let text = field.text()?;
    match text.strip_suffix('%').and_then(percent) {
        Some(percent) => Some(percent / 100.0),
        None => field.error(
            format!("{} is not a share from 0% to 100%", quoted(text)),
            "for example 1% or 0.5%; at most three decimals",
        ),
    }
}

/// In decimal, without signs or needless zeros before the point.
fn percent(text: &str) -> Option<f64> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, "0"));
    let is_number = |text: &str, most: usize| {
        (1..=most).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit())
    };
    let is_plain = whole == "0" || !whole.starts_with('0');
    if !is_number(whole, 3) || !is_number(decimals, 3) || !is_plain {
        return None;
    }
    text.parse().ok().filter(|percent: &f64| *percent <= 100.0)
}

/// `300ms` or `2s`, in milliseconds.
fn latency(field: &Field<'_>) -> Option<u32> {
    let help = "for example 300ms or 2s";
    if let Some(Plain::Integer(_) | Plain::Float) = field.plain() {
        return field.error(format!("want a time; got {} without a unit", field.got()), help);
    }
    let text = field.text()?;
    let read = match text.strip_suffix("ms") {
        Some(number) if number.bytes().all(|b| b.is_ascii_digit()) => number.parse::<u64>().ok(),
        Some(_) => None,
        None => parse_duration(text).and_then(|seconds| seconds.checked_mul(1000)),
    };
    match read {
        Some(milliseconds) if (1..=LATENCY_LIMIT).contains(&milliseconds) => u32::try_from(milliseconds).ok(),
        Some(_) => field.error(format!("{text} is not between 1ms and 60s"), help),
        None => field.error(format!("{} is not a time", quoted(text)), help),
    }
}

/// How many times: 1 to 100.
fn factor(field: &Field<'_>) -> Option<f64> {
    let factor = number(field, "how many times as long as blue's answers")?;
    if (1.0..=100.0).contains(&factor) {
        return Some(factor);
    }
    field.error(
        format!("{factor} is not between 1 and 100"),
        "2 lets green's answers take twice as long as blue's",
    )
}

/// A whole number or one with a point, of either sign.
fn number(field: &Field<'_>, what: &str) -> Option<f64> {
    let read = match (field.plain(), field.raw()) {
        (Some(Plain::Integer(_) | Plain::Float), Some(text)) => text.parse::<f64>().ok(),
        _ => None,
    };
    match read.filter(|number| number.is_finite()) {
        Some(number) => Some(number),
        None => field.error(
            format!("want a number, {what}; got {}", field.got()),
            "write a decimal number without quotes or a unit",
        ),
    }
}

fn metric(field: &Field<'_>) -> Option<MetricGate> {
    let table = field.table()?;
    let namespace = table.require("namespace", "AWS/NetworkELB").and_then(|field| text(&field));
    let metric = table.require("metric", "TCP_Target_Reset_Count").and_then(|field| text(&field));
    let dimensions = table.get("dimensions").map_or(Some(Vec::new()), |field| pairs(&field));
    let statistic = match table.get("statistic") {
        Some(field) => statistic(&field),
        None => Some("Average".to_owned()),
    };
    let period = table.get("period").map_or(Some(METRIC_PERIOD), |field| field.duration());
    let limit = |key: &'static str, what| table.get(key).map(|field| number(&field, what));
    let below = limit("below", "which the metric has to stay below");
    let above = limit("above", "which the metric has to stay above");
    table
        .moved(&[
            ("name", "metric"),
            ("metricName", "metric"),
            ("max", "below"),
            ("min", "above"),
            ("stat", "statistic"),
        ])
        .finish();
    Some(MetricGate {
        namespace: namespace?,
        metric: metric?,
        dimensions: dimensions?,
        statistic: statistic?,
        period: period?,
        below: below.map_or(Some(None), |limit| limit.map(Some))?,
        above: above.map_or(Some(None), |limit| limit.map(Some))?,
    })
}

fn statistic(field: &Field<'_>) -> Option<String> {
    let text = field.text()?;
    let is_percentile = text.strip_prefix('p').is_some_and(|rest| {
        let number = rest.parse::<f64>().ok().filter(|number| (0.0..=100.0).contains(number));
        number.is_some() && rest.bytes().all(|b| b.is_ascii_digit() || b == b'.')
    });
    if is_percentile || STATISTICS.contains(&text) {
        return Some(text.to_owned());
    }
    let help = match closest(text, STATISTICS.into_iter()) {
        Some(name) => format!("did you mean `{name}`?"),
        None => "for example Average, or p99 for a percentile".to_owned(),
    };
    let message = format!("unknown statistic {}; want one of {}, p…", quoted(text), STATISTICS.join(", "));
    field.error(message, help)
}

fn command(field: &Field<'_>) -> Option<CommandGate> {
    let table = field.table()?;
    let name = table.require("name", "smoke").and_then(|field| plain_name(&field, "gate"));
    let command = table.require("command", "[./smoke.sh]");
    let command = command.and_then(|field| command_of(&field, HookPlace::Local));
    let timeout = table.get("timeout").map_or(Some(COMMAND_TIMEOUT), |field| field.duration());
    table.moved(&[("run", "command"), ("script", "command"), ("exec", "command")]).finish();
    Some(CommandGate { name: name?, command: command?, timeout: timeout? })
}

pub(super) fn take_over(field: &Field<'_>) -> TakeOver {
    let mut window = TakeOver { quiet: QUIET, deadline: DEADLINE };
    let Some(table) = field.table() else { return window };
    for (key, value) in [("quiet", &mut window.quiet), ("deadline", &mut window.deadline)] {
        if let Some(seconds) = seconds(&table, key) {
            *value = seconds;
        }
    }
    table.moved(&[("timeout", "deadline"), ("window", "deadline"), ("idle", "quiet")]).finish();
    window
}

fn seconds(table: &Table<'_>, key: &'static str) -> Option<u32> {
    table.get(key)?.duration_up_to(LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_have_decimals_and_one_spelling() {
        for (text, want) in
            [("0", 0.0), ("1", 1.0), ("0.5", 0.5), ("99.999", 99.999), ("100", 100.0), ("100.0", 100.0)]
        {
            assert_eq!(percent(text), Some(want), "{text}");
        }
        for text in [
            "", ".", ".5", "5.", "00", "01", "+1", "-1", "1e1", "100.001", "101", "0.1234", "1.2.3", " 1",
            "inf", "1000",
        ] {
            assert_eq!(percent(text), None, "{text}");
        }
    }
}
