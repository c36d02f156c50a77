//! `plan` and `apply` where the machines are made, too: first the cloud, then the hosts, and again for every member
//! that has to stop or to leave, so that they do it one after another.

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::time::Duration;

use camino::Utf8Path;
use serde_json::json;

use super::apply::{ApplyArgs, PlanArgs, ask, block_on, converge, json, look, show as show_hosts};
use super::operation::{ClusterArgs, Operation, artifacts, known_hosts, system_clock};
use super::rolling::{ToRoll, roll, to_roll};
use super::site::{BOOT, Keys, Site, Survey};
use super::state::ClusterState;
use super::stock::Warehouse;
use super::view::OutputFormat;
use super::{CommandError, ErrorKind};
use crate::cloud::hold::{Allowed, changes_templates, held, hold, hold_templates};
use crate::cloud::hosts::imagined;
use crate::cloud::permissions::{ROLLING, actions};
use crate::cloud::plan::{Change, InfraPlan};
use crate::cloud::show;
use crate::cloud::terraform::configuration;
use crate::exec::ports::RemoteError;
use crate::exec::{Clock as _, SystemClock};
use crate::inventory::{AwsInventory, HostName};
use crate::plan::Goal;
use crate::state::Vault;

/// Between two attempts to reach it.
const PAUSE: Duration = Duration::from_secs(2);
/// Waits for the machine's first boot to be over, and says whether etcd's volume is where it has to be.
const READY: &str =
    "if command -v cloud-init >/dev/null 2>&1; then cloud-init status --wait >/dev/null 2>&1; fi
mountpoint -q \"$(cat)\" && echo mounted || echo bare
";

#[derive(Debug, thiserror::Error)]
enum ApplyError {
    #[error("a saved plan is about hosts, and the machines of this cluster are made in AWS")]
    SavedPlan,
    #[error("{host} has been started, and cannot be reached")]
    Silent { host: HostName, source: RemoteError },
    #[error("{host}: etcd's volume is not mounted at {directory}")]
    NoVolume { host: HostName, directory: String },
    #[error("{} would have to stop or to go, and the cluster cannot spare a member: {why}", names(hosts))]
    NotSpared { hosts: BTreeSet<HostName>, why: String },
}

fn names(hosts: &BTreeSet<HostName>) -> String {
    hosts.iter().map(HostName::as_str).collect::<Vec<_>>().join(", ")
}

fn refused(error: ApplyError) -> CommandError {
    CommandError::new(ErrorKind::Refused, error)
}

/// Shows what would change in the cloud and, where the machines are there, on them.
pub(super) fn plan(
    args: &PlanArgs,
    inventory: AwsInventory,
    state: &ClusterState,
) -> Result<ExitCode, CommandError> {
    if args.output_plan.is_some() {
        return Err(CommandError::new(ErrorKind::Usage, ApplyError::SavedPlan)
            .hint("apply shows the same and asks:\n    keelwright apply"));
    }
    let bundles = artifacts(&imagined(&inventory), &args.cluster.inventory.inventory)?;
    let site = block_on(Site::connect(inventory, state))?.with_bundles(bundles);
    let survey = block_on(site.survey())??;
    if let Some(directory) = &args.terraform {
        return write_terraform(directory, &site, &survey);
    }
    let infra = site.plan(&survey, &survey.wanted)?;
    let rolls = block_on(to_roll(&site, &survey, &infra))??;
    let warehouse = block_on(Warehouse::of(&site))?;
    let lacks = match &warehouse {
        Some(warehouse) => block_on(warehouse.lacks(&site))??,
        None => Vec::new(),
    };
    if args.output == OutputFormat::Human {
        print!("{}", show::text(&infra));
        warehouse.iter().filter_map(|warehouse| warehouse.line(&lacks)).for_each(|line| println!("{line}"));
        rolls.iter().for_each(|group| println!("{}", group.line()));
    }
    let hosts = if survey.has_machines() {
        let cluster = block_on(site.cluster(&survey, Keys::AsKnown))??;
        let operation = Operation::observe_on(&args.cluster, cluster, state)?;
        Some(block_on(look(&operation, Goal::Converge))??)
    } else {
        None
    };
    match args.output {
        OutputFormat::Json => {
            let rolls: Vec<_> = rolls.iter().map(ToRoll::value).collect();
            let hosts = hosts.as_ref().map(|hosts| &hosts.plan);
            let artifacts: Vec<_> = lacks.iter().map(|item| &item.name).collect();
            let all = json!({"cloud": infra, "artifacts": artifacts, "rolls": rolls, "hosts": hosts});
            println!("{}", json(&all)?);
        }
        OutputFormat::Human => match &hosts {
            Some(outline) => show_hosts(args, outline),
            None => {
                println!("Then the control planes are provisioned; their plan is made when they are there.")
            }
        },
    }
    let is_empty = infra.steps.is_empty()
        && lacks.is_empty()
        && rolls.is_empty()
        && hosts.is_some_and(|hosts| hosts.plan.is_empty());
    Ok(if args.check && !is_empty { ErrorKind::Pending.exit_code() } else { ExitCode::SUCCESS })
}

fn write_terraform(directory: &Utf8Path, site: &Site, survey: &Survey) -> Result<ExitCode, CommandError> {
    let failed = |error: std::io::Error| CommandError::new(ErrorKind::Failed, error);
    let (name, region) = (site.inventory.name().as_str(), &site.inventory.aws.region);
    let written = configuration(name, region, &survey.wanted);
    std::fs::create_dir_all(directory).map_err(failed)?;
    let path = directory.join("main.tf.json");
    std::fs::write(&path, json(&written)? + "\n").map_err(failed)?;
    eprintln!(
        "wrote {path}; what Terraform makes of it is found by its tags, and is the hosts' again with\n    keelwright apply"
    );
    Ok(ExitCode::SUCCESS)
}

/// Makes everything as the inventory says.
pub(super) fn apply(args: &ApplyArgs, inventory: AwsInventory) -> Result<ExitCode, CommandError> {
    if args.plan.is_some() {
        return Err(CommandError::new(ErrorKind::Usage, ApplyError::SavedPlan));
    }
    // What is missing on this machine is told before anything is made.
    let bundles = artifacts(&imagined(&inventory), &args.cluster.inventory.inventory)?;
    let state = ClusterState::hold(&args.cluster, inventory.name(), inventory.state())?;
    let site = block_on(Site::connect(inventory, &state))?.with_bundles(bundles);
    let warehouse = block_on(Warehouse::of(&site))?;
    let mut allowed = Allowed { members: members(&args.cluster, &site, &state)?, one_may_stop: false };
    if args.prefetch {
        // Nothing is made in the cloud before the maintenance window either.
        let cluster = block_on(site.cluster_now())??;
        let operation = Operation::open_on(&args.cluster, cluster, &state, None)?;
        return block_on(converge(args, &operation, None, warehouse.as_ref()))?;
    }
    // In a cluster that is not there yet nobody can come too early.
    let mut hosts_are_wanted = allowed.members.is_empty();
    let mut shown = false;
    loop {
        let survey = block_on(site.survey())??;
        let whole = site.plan(&survey, &survey.wanted)?;
        if !std::mem::replace(&mut shown, true) {
            let rolls = block_on(to_roll(&site, &survey, &whole))??;
            let lacks = match &warehouse {
                Some(warehouse) => block_on(warehouse.lacks(&site))??,
                None => Vec::new(),
            };
            let line = warehouse.as_ref().and_then(|warehouse| warehouse.line(&lacks));
            agree(args, &whole, line.as_deref(), &rolls)?;
            block_on(foretell(&site, &whole, &rolls))??;
            if let Some(warehouse) = &warehouse {
                block_on(warehouse.bring(&lacks))??;
            }
        }
        let waits = held(&whole, &allowed);
        let templates_wait = !hosts_are_wanted && changes_templates(&whole);
        let mut wanted = hold(&survey.wanted, &survey.observed, &waits);
        if templates_wait {
            hold_templates(&mut wanted, &survey.observed);
        }
        let infra = site.plan(&survey, &wanted)?;
        let started = started(&infra);
        let groups_wait = survey.groups_wait;
        let survey = block_on(carried_out(&site, survey, &infra))??;
        let cluster = block_on(site.cluster(&survey, Keys::Await))??;
        let operation = Operation::open_on(&args.cluster, cluster, &state, None)?;
        block_on(await_machines(&operation, &started))??;
        let code = block_on(converge(args, &operation, None, warehouse.as_ref()))??;
        if code != ExitCode::SUCCESS {
            return Ok(code);
        }
        hosts_are_wanted = true;
        if waits.is_empty() && !groups_wait && !templates_wait {
            block_on(roll(&site, &operation))??;
            return Ok(code);
        }
        if waits.is_empty() {
            continue;
        }
        if let Some(why) = block_on(unwell(&operation))?? {
            return Err(refused(ApplyError::NotSpared { hosts: waits, why }));
        }
        let now = Allowed { members: members(&args.cluster, &site, &state)?, one_may_stop: true };
        if now == allowed && infra.steps.is_empty() {
            let why = "they are still members of it".to_owned();
            return Err(refused(ApplyError::NotSpared { hosts: waits, why }));
        }
        allowed = now;
    }
}

fn agree(
    args: &ApplyArgs,
    plan: &InfraPlan,
    artifacts: Option<&str>,
    rolls: &[ToRoll<'_>],
) -> Result<(), CommandError> {
    if args.output == OutputFormat::Human {
        eprint!("{}", show::text(plan));
        artifacts.iter().for_each(|line| eprintln!("{line}"));
        rolls.iter().for_each(|group| eprintln!("{}", group.line()));
    }
    if args.yes || (plan.steps.is_empty() && artifacts.is_none() && rolls.is_empty()) {
        Ok(())
    } else {
        ask()
    }
}

/// Everything that this run may take is asked for at once.
async fn foretell(site: &Site, plan: &InfraPlan, rolls: &[ToRoll<'_>]) -> Result<(), CommandError> {
    let mut wanted = actions(plan);
    if !rolls.is_empty() {
        wanted.extend(ROLLING);
    }
    site.foretell(&wanted).await
}

/// Carries out a plan and looks again.
async fn carried_out(site: &Site, survey: Survey, plan: &InfraPlan) -> Result<Survey, CommandError> {
    if plan.steps.is_empty() {
        return Ok(survey);
    }
    site.carry_out(plan, &survey.observed).await?;
    site.survey().await
}

/// Hosts that are, or may be, members of a cluster that is there.
fn members(
    args: &ClusterArgs,
    site: &Site,
    state: &ClusterState,
) -> Result<BTreeSet<HostName>, CommandError> {
    let failed = |error| CommandError::new(ErrorKind::Failed, error);
    let name = site.inventory.name();
    let home = state.home();
    let vault = Vault::observe(home, &args.identity(), name, system_clock()).map_err(failed)?;
    match vault.facts(std::iter::empty()).etcd_established {
        true => Ok(known_hosts(home)?.into_keys().collect()),
        false => Ok(BTreeSet::new()),
    }
}

/// Machines that boot because of this plan.
fn started(plan: &InfraPlan) -> BTreeSet<HostName> {
    let starts = |change: &Change| match change {
        Change::Create { .. } => true,
        Change::Update { stops, fields, .. } => *stops || fields.iter().any(|field| field.field == "running"),
        Change::Delete { .. } => false,
    };
    let machines = plan.steps.iter().filter(|step| step.name.kind() == "instance" && starts(&step.change));
    machines.filter_map(|step| HostName::parse(step.name.short()).ok()).collect()
}

/// Waits until machines that were just started can be worked on. Others are looked at like any host.
async fn await_machines(operation: &Operation, started: &BTreeSet<HostName>) -> Result<(), CommandError> {
    let hosts = operation.inventory.hosts.keys().filter(|host| started.contains(*host));
    let waits = hosts.map(|host| await_machine(operation, host));
    futures::future::try_join_all(waits).await.map(drop)
}

async fn await_machine(operation: &Operation, host: &HostName) -> Result<(), CommandError> {
    let clock = SystemClock::default();
    let directory = operation.inventory.etcd.data_dir.to_string();
    let mut told = false;
    loop {
        let error = match operation.adapters.remote.probe(host, READY, directory.as_bytes()).await {
            Ok(answer) if answer == b"mounted\n" => return Ok(()),
            Ok(_) => {
                let error = ApplyError::NoVolume { host: host.clone(), directory };
                return Err(CommandError::new(ErrorKind::Failed, error)
                    .hint("see what its first boot said: /var/log/cloud-init-output.log"));
            }
            Err(error) => error,
        };
        let hopeless = matches!(error, RemoteError::HostKey { .. });
        if hopeless || clock.now() > BOOT {
            let hint = error.hint().map(str::to_owned);
            let error = ApplyError::Silent { host: host.clone(), source: error };
            let error = CommandError::new(ErrorKind::Unreachable, error);
            return Err(hint.into_iter().fold(error, CommandError::hint));
        }
        if !std::mem::replace(&mut told, true) {
            eprintln!("waiting for {host} to boot: {error}");
        }
        clock.wait(PAUSE).await;
    }
}

/// What stands against stopping one member; None: every one is well, and everything as wanted.
async fn unwell(operation: &Operation) -> Result<Option<String>, CommandError> {
    let look = operation.look(Goal::Converge).await?;
    let outline = look.outline.map_err(super::operation::plan_error)?;
    if let Some(blocked) = outline.report.blocked.first() {
        return Ok(Some(format!("{} cannot be reached: {}", blocked.host, blocked.why)));
    }
    if let Some(step) = outline.plan.steps.first() {
        return Ok(Some(format!("step {} is still to be done", step.id)));
    }
    let Some(etcd) = look.facts.etcd.known() else { return Ok(Some("etcd does not answer".to_owned())) };
    let sick = etcd.members.iter().find(|member| !member.healthy || member.learner);
    Ok(sick.map(|member| format!("etcd's member {} is not well", member.name)))
}
