//! What a rehearsal shows: the plan, what happens, the fleet afterwards, and how it ended.

use std::time::Duration;

use serde_json::{Value, json};

use super::rehearse::Scene;
use super::rehearse_upgrade::Disturbance;
use crate::exec::Event;
use crate::inventory::Inventory;
use crate::plan::Outline;
use crate::plan::show::{Detail, text};
use crate::sim::{Run, Simulation, Trace};

/// Above this many hosts only what went wrong is told step by step.
pub const TOLD_HOSTS: usize = 20;

pub fn plan_text(inventory: &Inventory, outline: &Outline) -> String {
    let hosts = inventory.hosts.len();
    if hosts <= TOLD_HOSTS {
        return indented(&text(outline, Detail::Steps));
    }
    let seconds = u64::from(outline.report.expected_seconds);
    let steps = outline.plan.steps.len();
    let expected = duration(Duration::from_secs(seconds));
    let mut out = format!("  {steps} steps for {hosts} hosts; about {expected} when all goes well\n");
    for concern in &outline.report.concerns {
        out += &format!("  ! {concern}\n");
    }
    out
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("  {line}\n")).collect()
}

/// Steps and incidents in the order they happened, from a moment and an incident on.
pub fn story(simulation: &Simulation, start: Duration, from: usize) -> String {
    let all = simulation.inventory.hosts.len() <= TOLD_HOSTS;
    let events = simulation.events.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let mut lines: Vec<(Duration, String)> = Vec::new();
    for (at, event) in events.iter().filter(|(at, _)| *at >= start) {
        let line = match event {
            Event::Began { steps, .. } => Some(format!("apply: {steps} steps")),
            Event::StepEnded { step, seconds, .. } if all => {
                Some(format!("{step:<26} done in {seconds:.1} s"))
            }
            Event::StepFailed { step, error, .. } => Some(format!("{step:<26} FAILED: {error}")),
            Event::StepSkipped { step, because, .. } if all => {
                Some(format!("{step:<26} skipped, {because} failed"))
            }
            Event::Ended { done, failed, skipped, .. } => {
                Some(format!("ended: {done} done, {failed} failed, {skipped} skipped"))
            }
            Event::StepEnded { .. }
            | Event::StepSkipped { .. }
            | Event::StepStarted { .. }
            | Event::Progress { .. }
            | Event::Waiting { .. } => None,
        };
        lines.extend(line.map(|line| (*at, line)));
    }
    let world = simulation.fleet.world();
    lines.extend(world.incidents.iter().skip(from).map(|(at, what)| (*at, format!("* {what}"))));
    lines.sort_by_key(|(at, _)| *at);
    let mut out = String::from("\nWhat happens (virtual time):\n");
    for (at, line) in lines {
        out += &format!("  {:7.1} s  {line}\n", at.saturating_sub(start).as_secs_f64());
    }
    out
}

pub fn table(simulation: &Simulation) -> String {
    let status = simulation.status();
    let mut out = String::from("\nThe fleet afterwards:\n");
    if status.len() > TOLD_HOSTS {
        let ready = status.iter().filter(|host| host.node == "Ready").count();
        let voters = status.iter().filter(|host| host.etcd == "voter").count();
        let apis = status.iter().filter(|host| host.api == "ready").count();
        out +=
            &format!("  {ready} of {} nodes Ready, {voters} etcd voters, {apis} API servers\n", status.len());
        return out;
    }
    let width = status.iter().map(|host| host.host.as_str().len()).max().unwrap_or(4).max(4);
    out += &format!("  {:<width$}  {:<22} {:<12} {:<8} API\n", "HOST", "ROLES", "NODE", "ETCD");
    for host in status {
        let roles = host.roles.join(",");
        out += &format!(
            "  {:<width$}  {roles:<22} {:<12} {:<8} {}\n",
            host.host.as_str(),
            host.node,
            host.etcd,
            host.api
        );
    }
    out
}

pub fn summary(simulation: &Simulation, trace: &Trace, real: Duration) -> String {
    let world = simulation.fleet.world();
    let applies = trace.rounds.iter().filter(|round| !matches!(round.run, Run::Nothing)).count();
    let hit: u64 = world.faults.hit.values().sum();
    let mut out = String::from("\n");
    if trace.converged {
        let times = if applies == 1 { "one apply".to_owned() } else { format!("{applies} applies") };
        out += &format!("Converged with {times}; one more finds nothing to do.\n");
    } else {
        out += "Did NOT converge.\n";
        if let Some(Run::Refused(error)) = trace.rounds.last().map(|round| &round.run) {
            out += &format!("Refused: {error}\n");
        }
    }
    if hit > 0 {
        let each = world.faults.hit.iter().map(|(fault, count)| format!("{} ({count})", fault.describe()));
        out += &format!("{hit} faults: {}.\n", each.collect::<Vec<_>>().join(", "));
    }
    for violation in &world.violations {
        out += &format!("Broken promise {violation}\n");
    }
    out += &format!(
        "On real machines it would take about {}; here {:.1} s.\n",
        duration(trace.took),
        real.as_secs_f64()
    );
    out
}

fn duration(duration: Duration) -> String {
    match (duration.as_secs() / 60, duration.as_secs() % 60) {
        (0, seconds) => format!("{seconds} s"),
        (minutes, seconds) => format!("{minutes} min {seconds} s"),
    }
}

pub fn print_json(
    simulation: &Simulation,
    trace: &Trace,
    scene: &Scene,
    begin: (Duration, usize),
    disturbance: Option<&Disturbance>,
) {
    let (start, from) = begin;
    let since = |at: &Duration| at.saturating_sub(start).as_secs_f64();
    let events = simulation.events.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    for (at, event) in events.iter().filter(|(at, _)| *at >= start) {
        println!("{}", json!({"at": since(at), "event": event}));
    }
    drop(events);
    let status = simulation.status();
    let world = simulation.fleet.world();
    let incidents =
        world.incidents.iter().skip(from).map(|(at, what)| json!({"at": since(at), "what": what}));
    let mut end = json!({
        "converged": trace.converged,
        "applies": trace.rounds.len(),
        "seconds": trace.took.as_secs_f64(),
        "incidents": incidents.collect::<Vec<_>>(),
        "brokenPromises": world.violations,
        "hosts": status,
    });
    if let (Some(disturbance), Value::Object(end)) = (disturbance, &mut end) {
        let first = trace.rounds.first().and_then(|round| round.outline.as_ref());
        let report = first.map(|outline| &outline.report);
        end.insert("disturbance".to_owned(), json!(disturbance));
        end.insert("report".to_owned(), json!(report));
        end.insert("notes".to_owned(), json!(scene.notes));
    }
    println!("{end}");
}
