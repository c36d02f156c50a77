//! `keelwright migrate copy`: shows what of blue would get to green, asks, and brings it.

use std::process::ExitCode;

use serde_json::json;

use super::FileArgs;
use super::sides::{SideArgs, connect};
use crate::cli::apply::{ask, block_on, json};
use crate::cli::view::OutputFormat;
use crate::cli::{CommandError, ErrorKind};
use crate::exec::SystemClock;
use crate::inventory::Migration;
use crate::migrate::copy::show::{outcome_text, survey_text};
use crate::migrate::copy::{ClusterError, CopyRun, Event, Outcome, Selection, Survey, SurveyError};
use crate::state::harden_process;

/// Bring the objects of the old cluster to the new one
///
/// Namespaces, workloads, services, configuration, secrets, access, definitions and claims, as `copy` in the
/// migration selects them; never what a cluster makes by itself. Shows first what would change on green, field
/// by field, what stays on blue and why, and what has state. Fields that somebody else has set on green are
/// never taken. Run it again after anything: it applies what is not the same.
///
/// Example: keelwright migrate copy -f migration.yaml --dry-run
#[derive(Debug, clap::Args)]
pub(super) struct CopyArgs {
    #[command(flatten)]
    file: FileArgs,
    /// Show what would be copied, and change nothing; exits with 3 when anything would
    #[arg(long)]
    dry_run: bool,
    /// Do not ask before copying
    #[arg(short, long, conflicts_with = "dry_run")]
    yes: bool,
    #[arg(long, value_enum, default_value = "human")]
    output: OutputFormat,
    #[command(flatten)]
    sides: SideArgs,
}

#[derive(Debug, thiserror::Error)]
#[error("migration {0} does not say what is copied")]
struct NothingSaid(String);

/// Runs the command.
pub(super) fn run(args: &CopyArgs) -> Result<ExitCode, CommandError> {
    copy(&args.file.load()?.0, args)
}

/// Looks, shows, asks, copies, and sums up.
fn copy(migration: &Migration, args: &CopyArgs) -> Result<ExitCode, CommandError> {
    // Secrets of both clusters pass through.
    harden_process().map_err(|error| CommandError::new(ErrorKind::Failed, error))?;
    let Some(wanted) = &migration.copy else {
        let error = NothingSaid(migration.name.clone());
        return Err(CommandError::new(ErrorKind::Usage, error).hint(
            "write `copy: {}` into it for everything but the cluster's own; docs/migrate-copy.md describes the rest",
        ));
    };
    let selection = Selection::new(wanted).map_err(|error| CommandError::new(ErrorKind::Usage, error))?;
    let blue = connect(&migration.blue, "blue", &args.sides)?;
    let green = connect(&migration.green, "green", &args.sides)?;
    let is_human = args.output == OutputFormat::Human;
    let events = |event: &Event| {
        if is_human {
            eprintln!("{}", line(event));
        }
    };
    let clock = SystemClock::default();
    let copy = CopyRun { blue: &blue, green: &green, clock: &clock, selection: &selection, events: &events };
    let survey = block_on(copy.survey())?.map_err(unread)?;
    if args.dry_run {
        show_survey(&survey, args.output)?;
        let is_done = survey.is_done();
        return Ok(if is_done { ExitCode::SUCCESS } else { ErrorKind::Pending.exit_code() });
    }
    if is_human {
        eprint!("{}", survey_text(&survey));
    }
    if !survey.is_done() && !args.yes {
        ask()?;
    }
    let outcome = block_on(copy.carry_out(&survey))?;
    finish(&survey, &outcome, args)
}

fn show_survey(survey: &Survey, output: OutputFormat) -> Result<(), CommandError> {
    match output {
        OutputFormat::Human => print!("{}", survey_text(survey)),
        OutputFormat::Json => println!("{}", json(&json!({"survey": survey}))?),
    }
    Ok(())
}

/// The summary names everything that did not come along.
fn finish(survey: &Survey, outcome: &Outcome, args: &CopyArgs) -> Result<ExitCode, CommandError> {
    match args.output {
        OutputFormat::Human => print!("\n{}", outcome_text(survey, outcome)),
        OutputFormat::Json => println!("{}", json(&json!({"survey": survey, "outcome": outcome}))?),
    }
    if outcome.is_complete() {
        return Ok(ExitCode::SUCCESS);
    }
    eprintln!(
        "Hint: mend what is named above, and go on with\n    keelwright migrate copy -f {}",
        args.file.file
    );
    Ok(ErrorKind::Failed.exit_code())
}

fn line(event: &Event) -> String {
    match event {
        Event::Applied { object } => format!("applied  {object}"),
        Event::Failed { object, why } => format!("FAILED   {object}: {why}"),
        Event::LeftOut { object, because } => format!("left out {object}, because {because} failed"),
        Event::Waiting { what } => format!("waiting  {what}"),
    }
}

fn unread(error: SurveyError) -> CommandError {
    let (SurveyError::Blue(cause) | SurveyError::Green(cause)) = &error;
    let kind = match cause {
        ClusterError::Unreachable(_) => ErrorKind::Unreachable,
        ClusterError::Refused { .. } | ClusterError::Conflict(_) => ErrorKind::Failed,
    };
    CommandError::new(kind, error).hint("nothing on either side has changed")
}
