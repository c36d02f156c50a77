//! `keelwright migrate plan`: every change, wait and gate, and the way back from each.

use std::process::ExitCode;

use camino::Utf8PathBuf;

use super::FileArgs;
use super::sides::SideArgs;
use super::site::MigrationSite;
use crate::cli::view::OutputFormat;
use crate::cli::{CommandError, ErrorKind};
use crate::migrate::show;

/// Show what a migration would do, and what leads back from each point
///
/// Looks at Route 53, the balancers and both services, and validates what it sees. Changes nothing.
///
/// Example: keelwright migrate plan -f migration.yaml -o plan.json
#[derive(Debug, clap::Args)]
pub struct PlanArgs {
    #[command(flatten)]
    file: FileArgs,
    /// Save the plan to FILE, for `keelwright migrate apply FILE`
    #[arg(short, long, value_name = "FILE")]
    output_plan: Option<Utf8PathBuf>,
    /// Exit with 3 when there is anything to do
    #[arg(long)]
    check: bool,
    /// Print the plan as JSON
    #[arg(long, value_enum, default_value = "human")]
    output: OutputFormat,
    #[command(flatten)]
    sides: SideArgs,
}

/// Runs the command.
pub(super) fn run(args: &PlanArgs) -> Result<ExitCode, CommandError> {
    let (migration, place) = args.file.load()?;
    let site = MigrationSite::connect(migration, place)?;
    if super::make::is_wanted(&site, &args.sides)? {
        println!("green is not there yet: it is made first, and the rest is planned then");
        return Ok(if args.check { ErrorKind::Pending.exit_code() } else { ExitCode::SUCCESS });
    }
    let seen = site.survey()?;
    let plan = site.plan(&seen)?;
    let json =
        || serde_json::to_string_pretty(&plan).map_err(|error| CommandError::new(ErrorKind::Failed, error));
    match args.output {
        OutputFormat::Json => println!("{}", json()?),
        OutputFormat::Human => print!("{}", show::text(&site.migration, &plan)),
    }
    // What has come to its end has nothing in its way.
    if !plan.steps.is_empty() {
        site.refuse_blocked(&seen)?;
    }
    if let Some(path) = &args.output_plan {
        std::fs::write(path, json()?).map_err(|error| CommandError::new(ErrorKind::Failed, error))?;
        eprintln!("saved; run it with\n    keelwright migrate apply -f {} {path}", args.file.file);
    }
    let pending = args.check && !plan.steps.is_empty();
    Ok(if pending { ErrorKind::Pending.exit_code() } else { ExitCode::SUCCESS })
}
