//! `keelwright migrate apply`: carries a migration out, and goes back by itself where it has to.

use std::process::ExitCode;

use camino::{Utf8Path, Utf8PathBuf};

use super::control::Wishes;
use super::guard::GuardProcess;
use super::nodes::GreenNodes;
use super::place::Said;
use super::sides::SideArgs;
use super::site::MigrationSite;
use super::view::MigrationView;
use super::{FileArgs, make, report_ending, teardown};
use crate::cli::apply::ask;
use crate::cli::view::OutputFormat;
use crate::cli::{CommandError, ErrorKind};
use crate::exec::Pace;
use crate::migrate::plan::MigrationPlan;
use crate::migrate::ports::Nodes;
use crate::migrate::run::{Ending, carry_out};
use crate::migrate::show;
use crate::state::harden_process;

/// Move the weights by the schedule, watch, and go back where that is not well
///
/// Makes green first where the migration says so. Interrupted by a signal, it goes back to the last good weights and
/// ends; paused before, it leaves them. A process beside it goes back should it be killed. The old cluster goes only
/// when its end is confirmed with --confirm-teardown.
///
/// Example: keelwright migrate apply -f migration.yaml
#[derive(Debug, clap::Args)]
pub struct ApplyArgs {
    #[command(flatten)]
    pub(super) file: FileArgs,
    /// A plan that `keelwright migrate plan -o` saved
    plan: Option<Utf8PathBuf>,
    /// Do not ask before running
    #[arg(short, long)]
    pub(super) yes: bool,
    /// Agree to the end of the old cluster: the migration's name, typed in full
    #[arg(long, value_name = "MIGRATION")]
    pub(super) confirm_teardown: Option<String>,
    #[arg(long, value_enum, default_value = "human")]
    pub(super) output: OutputFormat,
    #[command(flatten)]
    pub(super) sides: SideArgs,
}

/// Runs the command.
pub(super) fn run(args: &ApplyArgs) -> Result<ExitCode, CommandError> {
    harden_process().map_err(|error| CommandError::new(ErrorKind::Failed, error))?;
    let (migration, place) = args.file.load()?;
    teardown::check_name(args, &migration)?;
    let _lock = place.lock(&migration)?;
    // What was said to a run that has ended is not said to this one.
    place.say(Said { back: false, ..place.said() })?;
    let site = MigrationSite::connect(migration, place)?;
    if make::is_wanted(&site, &args.sides)? {
        make::run(&site, args)?;
    }
    let seen = site.survey()?;
    let plan = site.plan(&seen)?;
    if let Some(path) = &args.plan {
        same_as_saved(path, &plan)?;
    }
    if args.output == OutputFormat::Human {
        eprint!("{}", show::text(&site.migration, &plan));
    }
    if plan.steps.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    if plan.moves() {
        site.refuse_blocked(&seen)?;
        site.foretell(&plan)?;
        if !args.yes && args.plan.is_none() {
            ask()?;
        }
        let code = carry(args, &site, &plan)?;
        if let Some(code) = code {
            return Ok(code);
        }
    }
    teardown::run(args, &site)
}

/// None: all is done but the old cluster's end.
fn carry(
    args: &ApplyArgs,
    site: &MigrationSite,
    plan: &MigrationPlan,
) -> Result<Option<ExitCode>, CommandError> {
    let journal = site.journal()?;
    let view = MigrationView::new(args.output);
    let events = |event| site.tell(&journal, Some(&view), &event);
    let guard = GuardProcess::start(&args.file, &site.place)?;
    let control = Wishes::new(site.place.clone());
    control.listen();
    let nodes = GreenNodes::connect(&site.migration, &args.sides)?;
    let nodes = nodes.as_ref().map(|nodes| nodes as &dyn Nodes);
    let ended = site.with_ports((&control, &guard), nodes, &events, async |ports| {
        carry_out(&site.migration, plan, ports, Pace::default(), rand::random()).await
    })?;
    view.end();
    site.place.say(Said { back: false, ..site.place.said() })?;
    match ended {
        Ok(Ending::Done | Ending::TeardownLeft) => Ok(None),
        other => report_ending(other, &args.file.file).map(Some),
    }
}

fn same_as_saved(path: &Utf8Path, fresh: &MigrationPlan) -> Result<(), CommandError> {
    let bytes = std::fs::read(path).map_err(|error| CommandError::new(ErrorKind::Usage, error))?;
    let saved: MigrationPlan =
        serde_json::from_slice(&bytes).map_err(|error| CommandError::new(ErrorKind::Usage, error))?;
    if saved == *fresh {
        return Ok(());
    }
    let text = format!("{path} was made from something else than what is there now");
    Err(CommandError::new(ErrorKind::Refused, text)
        .hint(format!("look at the difference and save again:\n    keelwright migrate plan -o {path}")))
}
