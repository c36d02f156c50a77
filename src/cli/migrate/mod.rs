//! `keelwright migrate`: a service's way from one cluster to another.

mod apply;
mod control;
mod copy;
mod guard;
mod journal;
mod make;
mod nodes;
mod place;
mod plan;
mod programs;
mod report;
mod sides;
mod site;
mod status;
mod teardown;
mod view;

use std::process::ExitCode;

use camino::Utf8PathBuf;

use super::inventory::load_migration;
use super::{CommandError, ErrorKind};
use crate::inventory::Migration;
use crate::migrate::run::{Ending, RunError};
use place::Place;

/// Move a service from one cluster to another behind Route 53 weights, and nobody notices
///
/// A file of `kind: Migration` names the service, the old cluster (blue), the new one (green), and what is watched on
/// the way. Weights move by its schedule; each step is watched and judged before the next, and what is not well goes
/// back. Run it again after anything: what remains is computed from what Route 53 and the balancers say.
#[derive(Debug, clap::Args)]
pub struct MigrateArgs {
    #[command(subcommand)]
    command: MigrateCommand,
}

#[derive(Debug, clap::Subcommand)]
enum MigrateCommand {
    Plan(plan::PlanArgs),
    Apply(apply::ApplyArgs),
    Pause(control::PauseArgs),
    Resume(control::ResumeArgs),
    Back(control::BackArgs),
    Copy(copy::CopyArgs),
    Status(status::StatusArgs),
    Report(report::ReportArgs),
    #[command(hide = true)]
    Guard(guard::GuardArgs),
}

/// Which migration.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct FileArgs {
    /// Read the migration from FILE
    #[arg(short, long, value_name = "FILE", default_value = "migration.yaml")]
    pub file: Utf8PathBuf,
    /// Keep its lock and journal in DIR [default: .keelwright/migrations/NAME beside FILE]
    #[arg(long, value_name = "DIR")]
    pub state: Option<Utf8PathBuf>,
}

impl FileArgs {
    fn load(&self) -> Result<(Migration, Place), CommandError> {
        let migration = load_migration(&self.file)?;
        let place = Place::new(self.state.as_deref(), &self.file, &migration);
        Ok((migration, place))
    }
}

/// Runs the command.
pub fn run(args: MigrateArgs) -> Result<ExitCode, CommandError> {
    match args.command {
        MigrateCommand::Plan(args) => plan::run(&args),
        MigrateCommand::Apply(args) => apply::run(&args),
        MigrateCommand::Pause(args) => control::run_pause(&args),
        MigrateCommand::Resume(args) => control::run_resume(&args),
        MigrateCommand::Back(args) => control::run_back(&args),
        MigrateCommand::Copy(args) => copy::run(&args),
        MigrateCommand::Status(args) => status::run(&args),
        MigrateCommand::Report(args) => report::run(&args),
        MigrateCommand::Guard(args) => guard::run(&args),
    }
}

/// What a run's end means to the operator.
fn report_ending(ended: Result<Ending, RunError>, file: &camino::Utf8Path) -> Result<ExitCode, CommandError> {
    let again = format!("look at it, and go on with\n    keelwright migrate apply -f {file}");
    match ended {
        Ok(Ending::Done | Ending::TeardownLeft) => Ok(ExitCode::SUCCESS),
        Ok(Ending::WentBack { to, why: crate::migrate::event::Cause::Asked }) => {
            eprintln!("the weights are {to}, as the operator asked");
            Ok(ExitCode::SUCCESS)
        }
        Ok(Ending::WentBack { to, why: crate::migrate::event::Cause::Interrupted }) => {
            eprintln!("the weights went back to {to}\nHint: {again}");
            Ok(ErrorKind::Interrupted.exit_code())
        }
        Ok(Ending::WentBack { to, why }) => {
            Err(CommandError::new(ErrorKind::Failed, format!("the weights went back to {to}: {why}"))
                .hint(again))
        }
        Ok(Ending::Stayed { at }) => {
            eprintln!("the weights stay at {at}\nHint: {again}");
            Ok(ErrorKind::Interrupted.exit_code())
        }
        Err(error) => {
            let kind = match &error {
                RunError::Foreign { .. } => ErrorKind::Refused,
                error if error.is_denied() => ErrorKind::Refused,
                RunError::Patience { .. } => ErrorKind::Unreachable,
                _other => ErrorKind::Failed,
            };
            Err(CommandError::new(kind, error).hint(again))
        }
    }
}
