//! `keelwright migrate report`: what a migration was like, as a picture and as JSON.

use std::process::ExitCode;

use camino::Utf8PathBuf;

use super::{FileArgs, journal};
use crate::cli::{CommandError, ErrorKind};
use crate::migrate::report::{draw, of_events};
use crate::state::files;

/// Write what a migration was like: weights, shares and failures over time
///
/// By its journal, over all of its runs.
///
/// Example: keelwright migrate report -f migration.yaml --svg migration.svg
#[derive(Debug, clap::Args)]
pub struct ReportArgs {
    #[command(flatten)]
    file: FileArgs,
    /// Write the picture to FILE
    #[arg(long, value_name = "FILE")]
    svg: Option<Utf8PathBuf>,
    /// Write the figures to FILE; standard output where neither is asked for
    #[arg(long, value_name = "FILE")]
    json: Option<Utf8PathBuf>,
}

/// Runs the command.
pub(super) fn run(args: &ReportArgs) -> Result<ExitCode, CommandError> {
    let failed = |error: files::FileError| CommandError::new(ErrorKind::Failed, error);
    let (migration, place) = args.file.load()?;
    let entries = journal::read(&place)?;
    let events: Vec<_> = entries.into_iter().map(|entry| (entry.at, entry.event)).collect();
    let Some(report) = of_events(&migration.name, &events) else {
        let text = format!("migration {} has no journal in {}", migration.name, place.directory);
        return Err(CommandError::new(ErrorKind::Usage, text)
            .hint("its first run begins one:\n    keelwright migrate apply"));
    };
    let json =
        serde_json::to_string_pretty(&report).map_err(|error| CommandError::new(ErrorKind::Failed, error))?;
    match (&args.svg, &args.json) {
        (None, None) => println!("{json}"),
        (svg, path) => {
            if let Some(path) = svg {
                files::replace(path, draw(&report).as_bytes()).map_err(failed)?;
            }
            if let Some(path) = path {
                files::replace(path, json.as_bytes()).map_err(failed)?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}
