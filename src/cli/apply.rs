//! `keelwright plan` and `keelwright apply`: one looks and shows, the other also asks and runs.

use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::sync::Mutex;

use camino::{Utf8Path, Utf8PathBuf};
use serde_json::Value;
use tokio::sync::watch;

use super::local::LocalProcesses;
use super::operation::{ClusterArgs, Operation, plan_error};
use super::state::ClusterState;
use super::stock::Warehouse;
use super::view::{OutputFormat, View};
use super::{CommandError, ErrorKind, apply_aws};
use crate::exec::cycle::desired_objects;
use crate::exec::ports::PortError;
use crate::exec::{DesiredObjects, Event, Outcome, Ports, Setting, SystemClock, VaultView as _, execute};
use crate::inventory::Wanted;
use crate::plan::show::{Detail, text};
use crate::plan::{Action, Goal, ObjectSet, Outline, Plan, Stage, Target, check};
use crate::state::Journal;

/// Show what would change, and why
///
/// Looks at every host and at the cluster, computes the steps to what the inventory says, and shows
/// them with reasons and file diffs. Touches nothing.
///
/// Example: keelwright plan -i prod.yaml -o plan.json
#[derive(Debug, clap::Args)]
pub struct PlanArgs {
    #[command(flatten)]
    pub(super) cluster: ClusterArgs,
    /// Save the plan to FILE, for `keelwright apply FILE`
    #[arg(short, long, value_name = "FILE")]
    pub(super) output_plan: Option<Utf8PathBuf>,
    /// Exit with 3 when there is anything to do
    #[arg(long)]
    pub(super) check: bool,
    /// Print the plan as JSON
    #[arg(long, value_enum, default_value = "human")]
    pub(super) output: OutputFormat,
    /// Show one line a step, without actions and diffs
    #[arg(long)]
    brief: bool,
    /// Write what the cluster wants of AWS as Terraform to DIR/main.tf.json, and look at no host
    #[arg(long, value_name = "DIR")]
    pub(super) terraform: Option<Utf8PathBuf>,
}

/// Plan, show, ask, and run
///
/// Without a saved plan, looks and plans first. A saved plan is run exactly, or refused when what it
/// was made from has changed. Run it again after anything: what remains is computed from what is
/// observed.
///
/// Example: keelwright apply -i prod.yaml --yes
#[derive(Debug, clap::Args)]
pub struct ApplyArgs {
    #[command(flatten)]
    pub(super) cluster: ClusterArgs,
    /// A plan that `keelwright plan -o` saved
    pub(super) plan: Option<Utf8PathBuf>,
    /// Only bring artifacts to the hosts, and prepare those that are no nodes yet; start nothing
    ///
    /// For the time before a maintenance window. What is left is planned by the next apply.
    #[arg(long, conflicts_with = "plan")]
    pub(super) prefetch: bool,
    /// Do not ask before running; removals still have to be named with --remove
    #[arg(short, long)]
    pub(super) yes: bool,
    /// Agree to take HOST out of the cluster and clean it (repeat for each)
    #[arg(long, value_name = "HOST")]
    remove: Vec<String>,
    #[arg(long, value_enum, default_value = "human")]
    pub(super) output: OutputFormat,
}

/// Take everything of keelwright's off the machines of a cluster
///
/// Stops the cluster and removes every file, unit, mount and rule of ours from the machines in the
/// inventory. The cluster and its data are gone afterwards; the sealed keys stay in the state
/// directory.
///
/// Example: keelwright reset -i lab.yaml --confirm lab
#[derive(Debug, clap::Args)]
pub struct ResetArgs {
    #[command(flatten)]
    cluster: ClusterArgs,
    /// The cluster's name, typed in full
    #[arg(long, value_name = "CLUSTER")]
    confirm: String,
    #[arg(long, value_enum, default_value = "human")]
    output: OutputFormat,
}

/// Runs `keelwright plan`.
pub fn run_plan(args: PlanArgs) -> Result<ExitCode, CommandError> {
    let wanted = args.cluster.inventory.wanted()?;
    if matches!(wanted, Wanted::Hosts(_)) && args.terraform.is_some() {
        let error =
            "the machines in this inventory are not made by keelwright, so there is nothing for Terraform";
        return Err(CommandError::new(ErrorKind::Usage, error));
    }
    let state = ClusterState::look(&args.cluster, wanted.name(), wanted.state())?;
    let inventory = match wanted {
        Wanted::Hosts(inventory) => *inventory,
        Wanted::Aws(inventory) => return apply_aws::plan(&args, *inventory, &state),
    };
    let operation = Operation::observe_on(&args.cluster, inventory, &state)?;
    let outline = block_on(look(&operation, Goal::Converge))??;
    match args.output {
        OutputFormat::Json => println!("{}", json(&outline.plan)?),
        OutputFormat::Human => show(&args, &outline),
    }
    if let Some(path) = &args.output_plan {
        std::fs::write(path, json(&outline.plan)?).map_err(failed)?;
        eprintln!("saved; run it with\n    keelwright apply {path}");
    }
    let pending = args.check && !outline.plan.is_empty();
    Ok(if pending { ErrorKind::Pending.exit_code() } else { ExitCode::SUCCESS })
}

/// On standard output, as the operator asked for it.
pub(super) fn show(args: &PlanArgs, outline: &Outline) {
    print!("{}", text(outline, if args.brief { Detail::Steps } else { Detail::Everything }));
}

/// Runs `keelwright apply`.
pub fn run_apply(args: ApplyArgs) -> Result<ExitCode, CommandError> {
    let wanted = args.cluster.inventory.wanted()?;
    let inventory = match wanted {
        Wanted::Hosts(inventory) => *inventory,
        Wanted::Aws(inventory) => return apply_aws::apply(&args, *inventory),
    };
    let saved = args.plan.as_deref().map(read_saved).transpose()?;
    let founding = saved.as_ref().and_then(|plan| plan.founding.as_ref());
    let state = ClusterState::hold(&args.cluster, &inventory.name, inventory.state.as_ref())?;
    let operation = Operation::open_on(&args.cluster, inventory, &state, founding)?;
    block_on(converge(&args, &operation, saved, None))?
}

/// Looks, shows, asks, runs, and sums up. `warehouse`: the bucket that hosts fetch from.
pub(super) async fn converge(
    args: &ApplyArgs,
    operation: &Operation,
    saved: Option<Plan>,
    warehouse: Option<&Warehouse>,
) -> Result<ExitCode, CommandError> {
    let view = View::new(args.output);
    let goal = if args.prefetch { Goal::Prefetch } else { Goal::Converge };
    let outline = look(operation, goal).await?;
    if let (Some(path), Some(saved)) = (&args.plan, saved) {
        same_as_saved(path, saved, &outline.plan)?;
    }
    if args.output == OutputFormat::Human {
        eprint!("{}", text(&outline, Detail::Steps));
    }
    agree_to_removals(&outline.plan, &args.remove)?;
    if !outline.plan.is_empty() && !args.yes && args.plan.is_none() {
        ask()?;
    }
    if let Some(warehouse) = warehouse {
        warehouse.fill_for(operation, &outline.plan).await?;
    }
    let outcome = run(&args.cluster, operation, &outline, &view).await?;
    finish(operation, &outline, &outcome)
}

/// Runs `keelwright reset`.
pub fn run_reset(args: ResetArgs) -> Result<ExitCode, CommandError> {
    let operation = Operation::open(&args.cluster)?;
    if args.confirm != operation.inventory.name.as_str() {
        let text = format!("--confirm {} does not name cluster {}", args.confirm, operation.inventory.name);
        return Err(CommandError::new(ErrorKind::Refused, text));
    }
    let view = View::new(args.output);
    block_on(async {
        let outline = look(&operation, Goal::Reset).await?;
        let outcome = run(&args.cluster, &operation, &outline, &view).await?;
        let code = finish(&operation, &outline, &outcome)?;
        if code == ExitCode::SUCCESS {
            // What is installed next is another cluster; its members must never take the old ones for theirs.
            operation.vault.renew_etcd_token().map_err(failed)?;
        }
        Ok(code)
    })?
}

/// Runs a future on the runtime that [`super::main`] entered.
pub(super) fn block_on<T>(future: impl Future<Output = T>) -> Result<T, CommandError> {
    let runtime = tokio::runtime::Handle::try_current().map_err(failed)?;
    Ok(runtime.block_on(future))
}

fn failed(error: impl std::error::Error + Send + Sync + 'static) -> CommandError {
    CommandError::new(ErrorKind::Failed, error)
}

pub(super) fn json<T: serde::Serialize>(value: &T) -> Result<String, CommandError> {
    serde_json::to_string_pretty(value).map_err(failed)
}

pub(super) async fn look(operation: &Operation, goal: Goal) -> Result<Outline, CommandError> {
    let look = operation.look(goal).await?;
    let outline = look.outline.map_err(plan_error)?;
    let flaws = check::check(&outline.plan);
    match flaws.into_iter().next() {
        None => Ok(outline),
        Some(flaw) => Err(failed(flaw).hint("this is a bug in the planner; nothing was touched")),
    }
}

fn read_saved(path: &Utf8Path) -> Result<Plan, CommandError> {
    let bytes = std::fs::read(path).map_err(failed)?;
    serde_json::from_slice(&bytes).map_err(|error| CommandError::new(ErrorKind::Usage, error))
}

/// What a cluster is founded with is no part of the comparison: every file that has it is.
fn same_as_saved(path: &Utf8Path, saved: Plan, fresh: &Plan) -> Result<(), CommandError> {
    let mut saved = Plan { founding: fresh.founding.clone(), ..saved };
    // Nor is what pods happen to be available: the run compares with what is there when it begins.
    if let (Some(saved), Some(fresh)) = (&mut saved.rollout, &fresh.rollout) {
        saved.workloads = fresh.workloads.clone();
    }
    if &saved == fresh {
        return Ok(());
    }
    let text = format!("{path} was made from something else than what is there now");
    Err(CommandError::new(ErrorKind::Refused, text)
        .hint(format!("look at the difference and save again:\n    keelwright plan -o {path}")))
}

/// Removing a host is never implied by a `--yes`: each one has to be named.
fn agree_to_removals(plan: &Plan, named: &[String]) -> Result<(), CommandError> {
    let removed: Vec<String> = plan
        .steps
        .iter()
        .filter(|step| {
            step.actions.iter().any(|planned| {
                matches!(planned.action, Action::CleanMachine { .. } | Action::DeleteNode { .. })
            })
        })
        .map(|step| step.target.to_string())
        .filter(|host| !named.contains(host))
        .collect();
    let Some(first) = removed.first() else { return Ok(()) };
    let text = format!("the plan takes {} out of the cluster and cleans it", removed.join(", "));
    Err(CommandError::new(ErrorKind::Refused, text)
        .hint(format!("name each host that may go:\n    keelwright apply --remove {first}")))
}

pub(super) fn ask() -> Result<(), CommandError> {
    let refuse = || CommandError::new(ErrorKind::Refused, "not agreed; nothing was touched");
    if !std::io::stdin().is_terminal() {
        return Err(refuse().hint("agree without a terminal with --yes"));
    }
    eprint!("Run these steps? Type yes: ");
    std::io::stderr().flush().map_err(failed)?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer).map_err(failed)?;
    if answer.trim() == "yes" { Ok(()) } else { Err(refuse()) }
}

struct Objects<'a>(&'a Operation);

impl DesiredObjects for Objects<'_> {
    fn objects(&self, set: ObjectSet) -> Result<Vec<Value>, PortError> {
        let ca = self.0.vault.ca_certificate()?;
        let ca = ca.ok_or_else(|| PortError("the cluster has no CA yet".to_owned()))?;
        let token = self.0.vault.facts(std::iter::empty()).etcd_token.unwrap_or_default();
        desired_objects(&self.0.inventory, &self.0.manifests, &ca, &token, set)
    }
}

async fn run(
    args: &ClusterArgs,
    operation: &Operation,
    outline: &Outline,
    view: &View,
) -> Result<Outcome, CommandError> {
    if outline.plan.is_empty() {
        return Ok(Outcome::default());
    }
    operation.remember_hosts()?;
    let (journal, _) = Journal::open(operation.state.home()).map_err(failed)?;
    let journal = Mutex::new(journal);
    let events = |event: Event| {
        view.show(&event);
        if let Event::StepEnded { step, .. } = &event
            && outline.plan.step(step).is_some_and(|step| step.stage == Stage::ApiReady)
            && let Err(error) = operation.vault.mark_etcd_established()
        {
            eprintln!("warning: the vault cannot be written: {error}");
        }
        let keep = !matches!(event, Event::Progress { .. } | Event::Waiting { .. });
        if let (true, Ok(value), Ok(mut journal)) = (keep, serde_json::to_value(&event), journal.lock())
            && let Err(error) = journal.append(&value)
        {
            eprintln!("warning: the journal cannot be written: {error}");
        }
    };
    let objects = Objects(operation);
    let local = LocalProcesses { directory: args.inventory.directory()? };
    let clock = SystemClock::default();
    let ports = Ports {
        fence: operation.state.fence(),
        remote: operation.adapters.remote.as_ref(),
        kube: operation.adapters.kube.as_ref(),
        etcd: operation.adapters.etcd.as_ref(),
        local: &local,
        secrets: operation.vault.as_ref(),
        snapshots: operation.vault.as_ref(),
        objects: &objects,
        clock: &clock,
        events: &events,
    };
    let setting = Setting {
        policy: &operation.inventory.policy,
        os: outline.os.clone(),
        bundles: operation.directories(),
        epoch: operation.state.epoch(),
    };
    let (stop, stopped) = watch::channel(false);
    let interrupt = tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            eprintln!("stopping: steps that run are let end; press Ctrl-C again to leave them behind");
            let _ = stop.send(true);
            if tokio::signal::ctrl_c().await.is_ok() {
                std::process::exit(130);
            }
        }
    });
    let outcome = execute(&outline.plan, &setting, &ports, stopped).await;
    interrupt.abort();
    let gone: Vec<_> = outline
        .plan
        .steps
        .iter()
        .filter(|step| step.stage == Stage::Clean && outcome.done.contains(&step.id))
        .filter_map(|step| match &step.target {
            Target::Host(host) => Some(host.clone()),
            Target::Operator | Target::Cluster => None,
        })
        .collect();
    if !gone.is_empty() {
        operation.forget_hosts(&gone)?;
    }
    Ok(outcome)
}

/// The summary names every host that is not as wanted; the exit code says the worst of it.
fn finish(operation: &Operation, outline: &Outline, outcome: &Outcome) -> Result<ExitCode, CommandError> {
    let inventory = &operation.inventory;
    for (id, failure) in &outcome.failed {
        let target = outline.plan.step(id).map(|step| step.target.to_string()).unwrap_or_default();
        eprintln!("Error: {target}: step {id} failed\nCaused by: {failure}");
        if let Some(hint) = &failure.hint {
            eprintln!("Hint: {hint}");
        }
    }
    for blocked in &outline.report.blocked {
        eprintln!("owed: {} could not be reached: {}", blocked.host, blocked.why);
    }
    let again = format!("go on where this stopped with\n    keelwright apply (cluster {})", inventory.name);
    if outcome.interrupted {
        eprintln!("Hint: {again}");
        return Ok(ErrorKind::Interrupted.exit_code());
    }
    if !outcome.failed.is_empty() {
        eprintln!("Hint: {again}");
        let unreachable = outcome.failed.values().all(|failure| failure.unreachable);
        let kind = if unreachable { ErrorKind::Unreachable } else { ErrorKind::Failed };
        return Ok(kind.exit_code());
    }
    if outline.report.blocked.is_empty() {
        Ok(ExitCode::SUCCESS)
    } else {
        Ok(ErrorKind::Unreachable.exit_code())
    }
}
