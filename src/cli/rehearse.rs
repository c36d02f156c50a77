//! `keelwright rehearse`: the same planner and the same executor against simulated machines.

use std::net::IpAddr;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use camino::{Utf8Path, Utf8PathBuf};
use serde_json::json;

use super::inventory::load;
use super::view::OutputFormat;
use super::{CommandError, ErrorKind};
use crate::exec::Event;
use crate::inventory::{Host, HostName, Inventory, Origin, parse};
use crate::plan::show::{Detail, text};
use crate::plan::{Goal, Outline};
use crate::sim::{Amount, Faults, Run, Simulation, Trace};

/// What is rehearsed when there is no inventory yet.
const EXAMPLE: &str = "\
apiVersion: keelwright.dev/v1
kind: Cluster
metadata: {name: example}
kubernetes: {version: v1.37.1}
hosts:
  - {name: cp-1, address: 192.0.2.11, roles: [control-plane]}
  - {name: cp-2, address: 192.0.2.12, roles: [control-plane]}
  - {name: cp-3, address: 192.0.2.13, roles: [control-plane]}
  - {name: worker-1, address: 192.0.2.21}
  - {name: worker-2, address: 192.0.2.22}
";
/// Above this many hosts only what went wrong is told step by step.
const TOLD_HOSTS: usize = 20;

/// Rehearse an install on simulated machines
///
/// The plan is made and run by the same code as `apply`; only the machines are played, in virtual
/// time, so it takes a moment and touches nothing. With --faults machines lose power, connections
/// fall, disks fill up and keelwright itself is killed, and you see how it gets there all the same.
///
/// Example: keelwright rehearse --faults some --seed 4
#[derive(Debug, clap::Args)]
pub struct RehearseArgs {
    /// The cluster's inventory [default: inventory.yaml, or an example of five machines]
    #[arg(value_name = "FILE", conflicts_with = "inventory")]
    file: Option<Utf8PathBuf>,
    /// Read the cluster's inventory from FILE
    #[arg(short, long, value_name = "FILE")]
    inventory: Option<Utf8PathBuf>,
    /// Choose what goes wrong, and when; equal seeds are equal rehearsals
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// How much goes wrong
    #[arg(long, value_enum, default_value = "none")]
    faults: FaultAmount,
    /// Add workers like the last one until there are N hosts
    #[arg(long, value_name = "N")]
    hosts: Option<usize>,
    #[arg(long, value_enum, default_value = "human")]
    output: OutputFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum FaultAmount {
    None,
    Some,
    Many,
}

impl From<FaultAmount> for Amount {
    fn from(amount: FaultAmount) -> Self {
        match amount {
            FaultAmount::None => Amount::None,
            FaultAmount::Some => Amount::Some,
            FaultAmount::Many => Amount::Many,
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum RehearseError {
    #[error("the cluster has no host that could be multiplied")]
    NoWorker,
    #[error("there are more hosts than addresses after {0}")]
    Addresses(IpAddr),
    #[error("the plan cannot be made: {0}")]
    Plan(String),
}

/// Runs the command.
pub fn run(args: RehearseArgs) -> Result<ExitCode, CommandError> {
    let mut inventory = inventory(&args)?;
    if let Some(count) = args.hosts {
        multiply(&mut inventory, count).map_err(|error| CommandError::new(ErrorKind::Usage, error))?;
    }
    let faults = Faults::random(args.seed, args.faults.into());
    let mut simulation =
        Simulation::new(inventory, faults).map_err(|error| CommandError::new(ErrorKind::Usage, error))?;
    simulation.check_leaks = simulation.inventory.hosts.len() <= TOLD_HOSTS;
    let began = Instant::now();
    let look = simulation
        .plan(Goal::Converge)
        .map_err(|error| CommandError::new(ErrorKind::Failed, RehearseError::Plan(error)))?;
    let outline = look.outline.map_err(|error| CommandError::new(ErrorKind::Refused, error))?;
    let human = args.output == OutputFormat::Human;
    if human {
        print!("{}", opening(&simulation.inventory, &args, &outline));
    }
    drop(outline);
    let trace = simulation.converge(Goal::Converge);
    if human {
        print!("{}", story(&simulation));
        print!("{}", table(&simulation));
        print!("{}", summary(&simulation, &trace, began.elapsed()));
    } else {
        print_json(&simulation, &trace);
    }
    let broken = !simulation.fleet.world().violations.is_empty();
    Ok(if trace.converged && !broken { ExitCode::SUCCESS } else { ErrorKind::Failed.exit_code() })
}

fn inventory(args: &RehearseArgs) -> Result<Inventory, CommandError> {
    let usual = Utf8Path::new("inventory.yaml");
    if let Some(path) = args.file.as_deref().or(args.inventory.as_deref()) {
        return load(path);
    }
    if usual.exists() {
        return load(usual);
    }
    let origin = Origin { file: "the example", base: Utf8Path::new("/"), home: None };
    match parse(EXAMPLE.as_bytes(), &origin) {
        Ok((inventory, _)) => Ok(inventory),
        Err(problems) => Err(CommandError::new(ErrorKind::Failed, problems.render(EXAMPLE))),
    }
}

/// Adds copies of the last worker, each with the next free address. The ranges grow with them.
fn multiply(inventory: &mut Inventory, count: usize) -> Result<(), RehearseError> {
    let model: Host = inventory
        .hosts
        .values()
        .rfind(|host| host.is_node() && !host.is_control_plane())
        .or(inventory.hosts.values().next_back())
        .cloned()
        .ok_or(RehearseError::NoWorker)?;
    let mut roles = model.roles.clone();
    roles.retain(|role| *role == crate::inventory::Role::Worker);
    roles.insert(crate::inventory::Role::Worker);
    // Simulated machines need no real network: they get one of their own, large enough for all.
    let taken: std::collections::BTreeSet<IpAddr> =
        inventory.hosts.values().map(|host| host.address).collect();
    let first = u32::from(std::net::Ipv4Addr::new(198, 18, 0, 0));
    let mut next = first;
    let mut number = 0;
    while inventory.hosts.len() < count {
        number += 1;
        let Ok(name) = HostName::parse(&format!("worker-{number:05}")) else { continue };
        let address = loop {
            next = next.checked_add(1).ok_or(RehearseError::Addresses(model.address))?;
            let address = IpAddr::from(std::net::Ipv4Addr::from(next));
            if !taken.contains(&address) {
                break address;
            }
        };
        if inventory.hosts.contains_key(&name) {
            continue;
        }
        let host = Host { name: name.clone(), address, roles: roles.clone(), ..model.clone() };
        inventory.hosts.insert(name, host);
    }
    if inventory.hosts.len() > 250
        && let Ok(range) = "10.0.0.0/9".parse()
    {
        inventory.network.pod_cidrs = vec![range];
    }
    Ok(())
}

fn opening(inventory: &Inventory, args: &RehearseArgs, outline: &Outline) -> String {
    let control_planes = inventory.control_planes().count();
    let hosts = inventory.hosts.len();
    let faults = match args.faults {
        FaultAmount::None => "nothing goes wrong".to_owned(),
        FaultAmount::Some => format!("some things go wrong (seed {})", args.seed),
        FaultAmount::Many => format!("many things go wrong (seed {})", args.seed),
    };
    let mut out = format!(
        "Rehearsal of cluster {}: {hosts} simulated machines, {control_planes} of them control planes, \
         Kubernetes {}; {faults}.\nNo real machine is touched.\n\nThe plan:\n",
        inventory.name, inventory.version
    );
    if hosts <= TOLD_HOSTS {
        out += &indented(&text(outline, Detail::Steps));
    } else {
        let seconds = u64::from(outline.report.expected_seconds);
        let steps = outline.plan.steps.len();
        out += &format!(
            "  {steps} steps for {hosts} hosts; about {} when all goes well\n",
            duration(Duration::from_secs(seconds))
        );
    }
    out
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("  {line}\n")).collect()
}

/// Steps and incidents in the order they happened.
fn story(simulation: &Simulation) -> String {
    let all = simulation.inventory.hosts.len() <= TOLD_HOSTS;
    let events = simulation.events.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let mut lines: Vec<(Duration, String)> = Vec::new();
    for (at, event) in events.iter() {
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
    lines.extend(world.incidents.iter().map(|(at, what)| (*at, format!("* {what}"))));
    lines.sort_by_key(|(at, _)| *at);
    let mut out = String::from("\nWhat happens (virtual time):\n");
    for (at, line) in lines {
        out += &format!("  {:7.1} s  {line}\n", at.as_secs_f64());
    }
    out
}

fn table(simulation: &Simulation) -> String {
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

fn summary(simulation: &Simulation, trace: &Trace, real: Duration) -> String {
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

fn print_json(simulation: &Simulation, trace: &Trace) {
    let events = simulation.events.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    for (at, event) in events.iter() {
        println!("{}", json!({"at": at.as_secs_f64(), "event": event}));
    }
    drop(events);
    let status = simulation.status();
    let world = simulation.fleet.world();
    let incidents = world.incidents.iter().map(|(at, what)| json!({"at": at.as_secs_f64(), "what": what}));
    println!(
        "{}",
        json!({
            "converged": trace.converged,
            "applies": trace.rounds.len(),
            "seconds": trace.took.as_secs_f64(),
            "incidents": incidents.collect::<Vec<_>>(),
            "brokenPromises": world.violations,
            "hosts": status,
        })
    );
}
