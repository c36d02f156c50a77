//! `keelwright rehearse`: the same planner and the same executor against simulated machines.

use std::net::IpAddr;
use std::process::ExitCode;
use std::time::Instant;

use camino::{Utf8Path, Utf8PathBuf};

use super::init::supported;
use super::inventory::load;
use super::operation::{ReachArgs, plan_error};
use super::rehearse_upgrade::{self, Before, Disturbance};
use super::rehearse_view::{TOLD_HOSTS, plan_text, print_json, story, summary, table};
use super::view::OutputFormat;
use super::{CommandError, ErrorKind};
use crate::inventory::{Host, HostName, Inventory, Origin, parse};
use crate::plan::Goal;
use crate::release::KubeVersion;
use crate::sim::{Amount, Faults, Simulation};
use crate::timeline::Timeline;

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

/// Rehearse an install or an upgrade on simulated machines
///
/// The plan is made and run by the same code as `apply`; only the machines are played, in virtual
/// time, so it takes a moment and touches nothing. With --faults machines lose power, connections
/// fall, disks fill up and keelwright itself is killed, and you see how it gets there all the same.
///
/// With --upgrade-to an upgrade is rehearsed: what it does, what stands in its way, how long it takes
/// and what it disturbs. It begins with a cluster of the inventory's version that was just installed,
/// or, with --from observed, with the real one. That one is looked at as `plan` looks at it, and
/// played from then on: nothing on the real machines is changed.
///
/// Example: keelwright rehearse --upgrade-to v1.37.1 --from observed
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
    /// Rehearse an upgrade of the cluster to VERSION
    #[arg(long, value_name = "VERSION", value_parser = supported)]
    upgrade_to: Option<KubeVersion>,
    /// Begin the upgrade with a new cluster, or with what is observed of the real one
    #[arg(long, value_enum, default_value = "inventory", requires = "upgrade_to")]
    pub(super) from: Beginning,
    /// Draw what ran where and when: an SVG in FILE, and its numbers as JSON beside it
    #[arg(long, value_name = "FILE")]
    timeline: Option<Utf8PathBuf>,
    /// How the real cluster is reached, for `--from observed`.
    #[command(flatten)]
    pub(super) real: ReachArgs,
    #[arg(long, value_enum, default_value = "human")]
    output: OutputFormat,
}

/// Where an upgrade begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Beginning {
    /// A new cluster of the inventory's version
    Inventory,
    /// The real cluster, which is looked at and not changed
    Observed,
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
    #[error("{0} cannot be written")]
    Timeline(Utf8PathBuf, #[source] std::io::Error),
    #[error("the timeline cannot be written as JSON")]
    Json(#[from] serde_json::Error),
}

/// What is shown around a rehearsal.
pub(super) struct Scene {
    /// What is rehearsed, in a sentence or two.
    pub head: String,
    /// What to know beside what happened.
    pub notes: Vec<String>,
    /// Of an upgrade it is told what it disturbed.
    pub upgrade: bool,
}

/// Runs the command.
pub fn run(args: RehearseArgs) -> Result<ExitCode, CommandError> {
    if let Some(target) = args.upgrade_to {
        return rehearse_upgrade::run(&args, target);
    }
    let simulation = Simulation::new(inventory(&args)?, args.random_faults())
        .map_err(|error| CommandError::new(ErrorKind::Usage, error))?;
    let head = format!("Rehearsal of {}", cast(&args, &simulation.inventory));
    play(&args, simulation, &Scene { head, notes: Vec::new(), upgrade: false })
}

impl RehearseArgs {
    pub(super) fn random_faults(&self) -> Faults {
        Faults::random(self.seed, self.faults.into())
    }

    /// The file of the inventory, if one was named.
    pub(super) fn file(&self) -> Option<&Utf8Path> {
        self.file.as_deref().or(self.inventory.as_deref())
    }

    pub(super) fn multiplies(&self) -> bool {
        self.hosts.is_some()
    }
}

/// Shows the plan, runs it, and tells what came of it.
pub(super) fn play(
    args: &RehearseArgs,
    mut simulation: Simulation,
    scene: &Scene,
) -> Result<ExitCode, CommandError> {
    simulation.check_leaks = simulation.inventory.hosts.len() <= TOLD_HOSTS;
    let began = Instant::now();
    let look = simulation
        .plan(Goal::Converge)
        .map_err(|error| CommandError::new(ErrorKind::Failed, RehearseError::Plan(error)))?;
    let outline = look.outline.map_err(plan_error)?;
    let human = args.output == OutputFormat::Human;
    if human {
        print!("{}\nNo real machine is changed.\n\nThe plan:\n", scene.head);
        print!("{}", plan_text(&simulation.inventory, &outline));
    }
    let before =
        Before { at: simulation.fleet.runtime.now(), starts: simulation.fleet.world().starts.clone() };
    let incidents = simulation.fleet.world().incidents.len();
    let watch = (scene.upgrade || args.timeline.is_some()).then(|| simulation.watch());
    let trace = simulation.converge(Goal::Converge);
    let title = format!(
        "Rehearsal: cluster {} to Kubernetes {}",
        simulation.inventory.name, simulation.inventory.version
    );
    let timeline = watch.map(|watch| watch.timeline(&simulation, &title));
    let disturbance = scene.upgrade.then(|| Disturbance::of(&simulation, &trace, &before, timeline.as_ref()));
    if human {
        print!("{}", story(&simulation, before.at, incidents));
        print!("{}", table(&simulation));
        print!("{}", disturbance.as_ref().map(Disturbance::text).unwrap_or_default());
        print!("{}", summary(&simulation, &trace, began.elapsed()));
        scene.notes.iter().for_each(|note| println!("{note}"));
    } else {
        print_json(&simulation, &trace, scene, (before.at, incidents), disturbance.as_ref());
    }
    if let (Some(path), Some(timeline)) = (&args.timeline, &timeline) {
        write_timeline(path, timeline)?;
    }
    let broken = !simulation.fleet.world().violations.is_empty();
    Ok(if trace.converged && !broken { ExitCode::SUCCESS } else { ErrorKind::Failed.exit_code() })
}

/// The same name with both endings.
fn write_timeline(path: &Utf8Path, timeline: &Timeline) -> Result<(), CommandError> {
    let failed = |error: RehearseError| CommandError::new(ErrorKind::Failed, error);
    let json = serde_json::to_string_pretty(timeline).map_err(|error| failed(error.into()))? + "\n";
    for (ending, text) in [("svg", timeline.svg()), ("json", json)] {
        let path = path.with_extension(ending);
        std::fs::write(&path, text).map_err(|error| failed(RehearseError::Timeline(path.clone(), error)))?;
        eprintln!("wrote {path}");
    }
    Ok(())
}

/// The inventory that is rehearsed, with as many hosts as were asked for.
pub(super) fn inventory(args: &RehearseArgs) -> Result<Inventory, CommandError> {
    let mut inventory = named_inventory(args)?;
    if let Some(count) = args.hosts {
        multiply(&mut inventory, count).map_err(|error| CommandError::new(ErrorKind::Usage, error))?;
    }
    Ok(inventory)
}

fn named_inventory(args: &RehearseArgs) -> Result<Inventory, CommandError> {
    let usual = Utf8Path::new("inventory.yaml");
    if let Some(path) = args.file() {
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

/// Who plays, and what goes wrong.
pub(super) fn cast(args: &RehearseArgs, inventory: &Inventory) -> String {
    let control_planes = inventory.control_planes().count();
    let hosts = inventory.hosts.len();
    let faults = match args.faults {
        FaultAmount::None => "nothing goes wrong".to_owned(),
        FaultAmount::Some => format!("some things go wrong (seed {})", args.seed),
        FaultAmount::Many => format!("many things go wrong (seed {})", args.seed),
    };
    format!(
        "cluster {}: {hosts} simulated machines, {control_planes} of them control planes, Kubernetes {}; {faults}.",
        inventory.name, inventory.version
    )
}
