//! `keelwright migrate status`: where a migration is, by what Route 53 says and what its journal remembers.

use std::process::ExitCode;

use super::site::MigrationSite;
use super::{FileArgs, journal};
use crate::cli::CommandError;
use crate::migrate::event::MigrationEvent;
use crate::migrate::show;

/// Show where a migration is
#[derive(Debug, clap::Args)]
pub struct StatusArgs {
    #[command(flatten)]
    file: FileArgs,
}

/// Runs the command.
pub(super) fn run(args: &StatusArgs) -> Result<ExitCode, CommandError> {
    let (migration, place) = args.file.load()?;
    let site = MigrationSite::connect(migration, place)?;
    let seen = site.survey()?;
    for facts in &seen.names {
        let point = match facts.point() {
            Ok(point) => point.to_string(),
            Err(error) => error.to_string(),
        };
        println!("{} {}  {point}", facts.service.name, facts.record_type);
    }
    if let Ok(plan) = site.plan(&seen) {
        let next = plan.steps.first().map_or("nothing is left to do".to_owned(), |step| {
            format!("{} steps are left; next: {}", plan.steps.len(), show::step(step))
        });
        println!("{next}");
    }
    let said = site.place.said();
    let run = if site.place.is_locked() { "a run goes on" } else { "no run goes on" };
    println!("{run}{}", if said.paused { ", and it is paused" } else { "" });
    let entries = journal::read(&site.place)?;
    let is_seen = |entry: &&journal::Entry| matches!(entry.event, MigrationEvent::Seen { .. });
    let is_news = |entry: &&journal::Entry| !is_seen(entry);
    for entry in [entries.iter().rev().find(is_news), entries.iter().rev().find(is_seen)] {
        let Some(entry) = entry else { continue };
        let at = jiff::Timestamp::from_second(entry.at).map(|at| at.to_string()).unwrap_or_default();
        println!("{at}  {}", show::event(&entry.event));
    }
    Ok(ExitCode::SUCCESS)
}
