//! A migration as people read it: the plan that will run, its steps, and what happens. Pure.

use std::fmt::Write as _;

use super::event::{Closed, MigrationEvent, Sample};
use super::gates::Tally;
use super::plan::{MigrationPlan, Step, StepKind};
use super::record::Point;
use crate::inventory::{Gates, Migration};

/// The whole plan.
pub fn text(migration: &Migration, plan: &MigrationPlan) -> String {
    let mut text = String::new();
    let _ = writeln!(text, "migration {}: from {}, {} steps", plan.migration, plan.from, plan.steps.len());
    if plan.steps.is_empty() {
        return text;
    }
    let _ = writeln!(text, "gates: {}", gates(&migration.gates));
    for (number, one) in plan.steps.iter().enumerate() {
        let _ = writeln!(text, "{:3}. {}", number + 1, step(one));
        for change in &one.changes {
            let batch = &change.batch;
            for record in batch.delete.iter().filter(|record| !batch.create.contains(record)) {
                let _ = writeln!(text, "       - {record}");
            }
            for record in batch.create.iter().filter(|record| !batch.delete.contains(record)) {
                let _ = writeln!(text, "       + {record}");
            }
        }
        if let StepKind::TakeOver { .. } = one.kind {
            for group in &plan.behind.replacements {
                let of = |targets: &[super::ports::BalancerTarget]| {
                    targets.iter().map(|it| format!("{}:{}", it.id, it.port)).collect::<Vec<_>>().join(", ")
                };
                let _ = writeln!(text, "       {}", group.group);
                let _ = writeln!(text, "         + {}", of(&group.green));
                let _ = writeln!(text, "         - {}", of(&group.own));
            }
        }
        let _ = writeln!(text, "       {}", waits(one));
    }
    text
}

/// What a step does.
pub fn step(step: &Step) -> String {
    match &step.kind {
        StepKind::Convert => "weigh the names, with all of the weight on blue".to_owned(),
        StepKind::Weigh { weights } => format!("weights {weights}"),
        StepKind::TakeOver { quiet, deadline } => format!(
            "blue's balancer sends to green, until nobody has used it for {}, or {} are over",
            duration(*quiet),
            duration(*deadline)
        ),
        StepKind::Finish { simple: true } => "the names lead to green, without weights".to_owned(),
        StepKind::Finish { simple: false } => "blue's records go".to_owned(),
        StepKind::Teardown => "the old cluster goes, once that is confirmed".to_owned(),
    }
}

fn waits(step: &Step) -> String {
    let back = match (step.back, &step.kind) {
        (None, _) => "no way back".to_owned(),
        (Some(to), StepKind::Convert | StepKind::Finish { .. }) => format!("back: {to}"),
        (Some(to), StepKind::TakeOver { .. }) => {
            format!("back: blue's own machines behind its balancer, and {to}")
        }
        (Some(Point::Only(side)), _) => format!("back: only {side}"),
        (Some(to), _) => format!("back: {to}; 100/0 where green itself does not answer"),
    };
    if step.changes.is_empty() && step.soak == 0 {
        return back;
    }
    let watch = if step.soak == 0 { String::new() } else { format!(", watch for {}", duration(step.soak)) };
    format!("wait until all name servers know, and {} of TTL{watch}; {back}", duration(step.settle))
}

fn gates(gates: &Gates) -> String {
    let mut all = vec![
        format!("at most {:.1} % of green's probes fail", gates.error_rate * 100.0),
        format!("at most {:.1} % more than blue's", gates.worse_than_blue * 100.0),
        format!("{:.0} % of green's targets are healthy", gates.healthy_targets * 100.0),
    ];
    all.extend(gates.latency.map(|limit| format!("95 of 100 answers within {limit} ms")));
    all.extend(gates.slower_than_blue.map(|times| format!("and within {times} times blue's")));
    all.extend(gates.nodes_ready.then(|| "all of green's nodes are Ready".to_owned()));
    all.extend(gates.metrics.iter().map(|gate| format!("metric {}", gate.metric)));
    all.extend(gates.commands.iter().map(|gate| format!("command {}", gate.name)));
    all.join(", ")
}

/// `90 s`, `10 min`, `24 h`.
pub fn duration(seconds: u32) -> String {
    match seconds {
        0 => "0 s".to_owned(),
        whole if whole % 3600 == 0 => format!("{} h", whole / 3600),
        whole if whole % 60 == 0 => format!("{} min", whole / 60),
        other => format!("{other} s"),
    }
}

/// One line for what happened.
pub fn event(event: &MigrationEvent) -> String {
    match event {
        MigrationEvent::Began { migration, from, steps } => {
            format!("migration {migration}: from {from}, {steps} steps")
        }
        MigrationEvent::StepBegan { number, steps, kind } => {
            let one = Step { kind: kind.clone(), changes: Vec::new(), settle: 0, soak: 0, back: None };
            format!("step {number} of {steps}: {}", step(&one))
        }
        MigrationEvent::Changed { change } => {
            let records: Vec<String> = change.batch.create.iter().map(ToString::to_string).collect();
            format!("zone {} has taken: {}", change.hosted_zone, records.join("; "))
        }
        MigrationEvent::Everywhere { weights } => format!("all name servers know {weights}"),
        MigrationEvent::Waiting { what } => format!("waiting: {what}"),
        MigrationEvent::Again { error } => format!("again after: {error}"),
        MigrationEvent::Seen { sample } => self::sample(sample),
        MigrationEvent::Paused => "paused: it watches on, and goes no further".to_owned(),
        MigrationEvent::Resumed => "it goes on".to_owned(),
        MigrationEvent::Registered { group, targets } => format!("{} targets into {group}", targets.len()),
        MigrationEvent::TakenOut { group, targets } => format!("{} targets out of {group}", targets.len()),
        MigrationEvent::WindowClosed { reason: Closed::Quiet } => {
            "nobody uses blue's balancer any more".to_owned()
        }
        MigrationEvent::WindowClosed { reason: Closed::Deadline } => {
            "the time is over for those who still use blue's balancer".to_owned()
        }
        MigrationEvent::StepEnded { number } => format!("step {number} is done"),
        MigrationEvent::GoingBack { to, why } => format!("GOING BACK to {to}: {why}"),
        MigrationEvent::WentBack { to } => format!("went back to {to}"),
        MigrationEvent::Ended { at } => format!("done: {at}"),
    }
}

fn sample(sample: &Sample) -> String {
    let weights = sample.weights.map_or("?".to_owned(), |weights| weights.to_string());
    let name = sample.name;
    let led = name.blue + name.green;
    let share = match led {
        0 => "-".to_owned(),
        led => format!("{:.0} %", f64::from(name.green) / f64::from(led) * 100.0),
    };
    let side = |tally: Tally| match tally.asked {
        0 => "not asked".to_owned(),
        _ => format!("{:.1} % failed, {} ms", tally.error_rate() * 100.0, tally.slowest.as_millis()),
    };
    let left = match (sample.paused, sample.left) {
        (true, _) => "paused".to_owned(),
        (false, Some(left)) => format!("{left} s left"),
        (false, None) => "nobody knows for how long".to_owned(),
    };
    format!(
        "{weights}  green has {share} of answers  name {} of {} failed  green {}  blue {}  {left}",
        name.failed,
        name.asked,
        side(sample.green),
        side(sample.blue)
    )
}
