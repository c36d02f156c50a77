//! `keelwright migrate status`: where a migration is, by what Route 53 says and what its journal remembers.

use std::process::ExitCode;

use serde::Serialize;

use super::FileArgs;
use super::journal::{self, Entry};
use super::site::MigrationSite;
use crate::cli::CommandError;
use crate::cli::apply::json;
use crate::cli::view::OutputFormat;
use crate::migrate::event::MigrationEvent;
use crate::migrate::plan::Step;
use crate::migrate::record::{Point, RecordType};
use crate::migrate::show;

/// Show where a migration is
///
/// Example: keelwright migrate status -f migration.yaml --output json
#[derive(Debug, clap::Args)]
pub struct StatusArgs {
    #[command(flatten)]
    file: FileArgs,
    #[arg(long, value_enum, default_value = "human")]
    output: OutputFormat,
}

/// Where it is.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    migration: String,
    names: Vec<Name>,
    /// None: there is no way from here; the names say why.
    left: Option<Left>,
    is_running: bool,
    is_paused: bool,
    /// The newest news, and the newest sample of what probes see.
    last: Option<Entry>,
    seen: Option<Entry>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Name {
    name: String,
    hosted_zone: String,
    record_type: RecordType,
    at: Option<Point>,
    /// Why that is no point of a migration.
    problem: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Left {
    steps: usize,
    next: Option<Step>,
}

/// Runs the command.
pub(super) fn run(args: &StatusArgs) -> Result<ExitCode, CommandError> {
    let (migration, place) = args.file.load()?;
    let site = MigrationSite::connect(migration, place)?;
    let status = look(&site)?;
    match args.output {
        OutputFormat::Human => print(&status),
        OutputFormat::Json => println!("{}", json(&status)?),
    }
    Ok(ExitCode::SUCCESS)
}

fn look(site: &MigrationSite) -> Result<Status, CommandError> {
    let seen = site.survey()?;
    let names = seen.names.iter().map(|facts| {
        let point = facts.point();
        Name {
            name: facts.service.name.clone(),
            hosted_zone: facts.service.hosted_zone.clone(),
            record_type: facts.record_type,
            at: point.as_ref().ok().copied(),
            problem: point.err().map(|error| error.to_string()),
        }
    });
    let plan = site.plan(&seen).ok();
    let mut entries = journal::read(&site.place)?;
    entries.reverse();
    let mut newest = |is_sample: bool| {
        let of_kind = |entry: &Entry| matches!(entry.event, MigrationEvent::Seen { .. }) == is_sample;
        entries.iter().position(of_kind).map(|at| entries.remove(at))
    };
    Ok(Status {
        migration: site.migration.name.clone(),
        names: names.collect(),
        left: plan.map(|plan| Left { steps: plan.steps.len(), next: plan.steps.into_iter().next() }),
        is_running: site.place.is_locked(),
        is_paused: site.place.said().paused,
        last: newest(false),
        seen: newest(true),
    })
}

fn print(status: &Status) {
    for name in &status.names {
        let at = name.at.map(|at| at.to_string());
        let words = at.or_else(|| name.problem.clone()).unwrap_or_default();
        println!("{} {}  {words}", name.name, name.record_type);
    }
    match &status.left {
        Some(Left { next: Some(next), steps }) => {
            println!("{steps} steps are left; next: {}", show::step(next));
        }
        Some(Left { next: None, .. }) => println!("nothing is left to do"),
        None => {}
    }
    let run = if status.is_running { "a run goes on" } else { "no run goes on" };
    println!("{run}{}", if status.is_paused { ", and it is paused" } else { "" });
    for entry in status.last.iter().chain(&status.seen) {
        let at = jiff::Timestamp::from_second(entry.at).map(|at| at.to_string()).unwrap_or_default();
        println!("{at}  {}", show::event(&entry.event));
    }
}
