//! A migration's account, balancers and services, as its commands reach them.

use std::sync::Mutex;

use super::place::Place;
use super::view::MigrationView;
use crate::cli::apply::block_on;
use crate::cli::local::LocalProcesses;
use crate::cli::{CommandError, ErrorKind};
use crate::cloud::aws::migration::{MigrationAws, permissions};
use crate::exec::SystemClock;
use crate::inventory::Migration;
use crate::migrate::check::{Finding, Severity, check, take_over_targets};
use crate::migrate::event::MigrationEvent;
use crate::migrate::plan::{Behind, MigrationPlan, PlanError, Replacement, plan};
use crate::migrate::ports::{BalancerTarget, CallError, Health, Nodes};
use crate::migrate::probe::NetworkProber;
use crate::migrate::run::{Control, Guard, Memory as _, Ports};
use crate::migrate::survey::{Surveyed, survey};
use crate::state::{Home, Journal};

/// A migration and the world that it is about.
pub(super) struct MigrationSite {
    pub migration: Migration,
    pub place: Place,
    pub aws: MigrationAws,
    prober: NetworkProber,
    clock: SystemClock,
}

#[derive(Debug, thiserror::Error)]
enum SiteError {
    #[error("{0} in the way of migration {1}")]
    Blocked(String, String),
    #[error("the credentials in use lack {0} of the permissions that this takes; none of it was begun")]
    Denied(usize),
}

fn failed(error: impl std::error::Error + Send + Sync + 'static) -> CommandError {
    CommandError::new(ErrorKind::Failed, error)
}

impl MigrationSite {
    /// Calls nobody yet.
    pub fn connect(migration: Migration, place: Place) -> Result<Self, CommandError> {
        let aws = block_on(MigrationAws::connect(&migration.aws))?;
        let prober = NetworkProber::new(&migration.resolvers, None).map_err(failed)?;
        Ok(MigrationSite { migration, place, aws, prober, clock: SystemClock::default() })
    }

    /// Looks at everything.
    pub fn survey(&self) -> Result<Surveyed, CommandError> {
        let seen = block_on(survey(&self.migration, &self.aws, &self.aws, &self.prober))?;
        seen.map_err(|error| {
            let hint = error.hint();
            CommandError::new(ErrorKind::Unreachable, error).hint(hint)
        })
    }

    /// What is known to be wrong: warnings are told, and what blocks ends it.
    pub fn refuse_blocked(&self, seen: &Surveyed) -> Result<(), CommandError> {
        let findings = check(&self.migration, seen);
        let (blocks, warns): (Vec<&Finding>, Vec<&Finding>) =
            findings.iter().partition(|finding| finding.severity == Severity::Blocks);
        for finding in warns {
            eprintln!("warning: {}: {}", finding.what, finding.what.hint());
        }
        if blocks.is_empty() {
            return Ok(());
        }
        let count = match blocks.len() {
            1 => "one thing is".to_owned(),
            number => format!("{number} things are"),
        };
        let mut error =
            CommandError::new(ErrorKind::Refused, SiteError::Blocked(count, self.migration.name.clone()));
        error.hints =
            blocks.iter().map(|finding| format!("{}: {}", finding.what, finding.what.hint())).collect();
        Err(error)
    }

    /// Refuses what the credentials do not allow, before the first change.
    pub fn foretell(&self, plan: &MigrationPlan) -> Result<(), CommandError> {
        let groups: Vec<String> = plan.behind.replacements.iter().map(|it| it.group.clone()).collect();
        let denied = match block_on(self.aws.denied(&permissions(&self.migration, &groups)))? {
            Ok(denied) => denied,
            Err(error @ CallError::Denied(_)) => {
                eprintln!("warning: nobody can say beforehand whether these credentials suffice: {error}");
                return Ok(());
            }
            Err(error) => return Err(CommandError::new(ErrorKind::Unreachable, error)),
        };
        if denied.is_empty() {
            return Ok(());
        }
        let mut error = CommandError::new(ErrorKind::Refused, SiteError::Denied(denied.len()));
        error.hints =
            denied.iter().map(|denied| format!("allow {} on {}", denied.action, denied.resource)).collect();
        Err(error)
    }

    /// The way from what was seen to the end.
    pub fn plan(&self, seen: &Surveyed) -> Result<MigrationPlan, CommandError> {
        let behind = self.behind(seen)?;
        plan(&self.migration, &seen.names, &behind).map_err(|error| {
            let hint = match &error {
                PlanError::Foreign(_) => "the records have to lead to blue's balancer, green's, or both",
                PlanError::Apart { .. } => "bring them to the same weights, or into migrations of their own",
                PlanError::OffSchedule { .. } => {
                    "bring them to a step of the schedule, or go back:\n    \
                     keelwright migrate back --to-blue -f FILE"
                }
            };
            CommandError::new(ErrorKind::Refused, error).hint(hint)
        })
    }

    /// What stood behind blue's balancer before a take-over is remembered: nobody else knows it.
    fn behind(&self, seen: &Surveyed) -> Result<Behind, CommandError> {
        let remembered = self.place.recall().map_err(failed)?;
        let mut replacements = Vec::new();
        let wanted = self.migration.take_over.as_ref().map(|_| take_over_targets(seen)).unwrap_or_default();
        for (group, green) in wanted {
            let before = remembered.iter().find(|known| known.group == group);
            let mut own: Vec<BalancerTarget> = before.map(|known| known.own.clone()).unwrap_or_default();
            let is_greens = |target: &BalancerTarget| {
                green.contains(target) || before.is_some_and(|known| known.green.contains(target))
            };
            let there = seen.blue.targets_of(&group).to_vec();
            let now = there.into_iter().filter(|(_, health)| *health != Health::Draining);
            own.extend(now.map(|(target, _)| target).filter(|target| !is_greens(target)));
            own.sort();
            own.dedup();
            replacements.push(Replacement { group, own, green });
        }
        let is_torn_down = self.place.is_torn_down();
        let (blue, green) = (seen.blue.balancer.clone(), seen.green.balancer.clone());
        Ok(Behind { blue, green, replacements, is_torn_down })
    }

    /// With everything that a run needs.
    pub fn with_ports<T>(
        &self,
        (control, guard): (&dyn Control, &dyn Guard),
        nodes: Option<&dyn Nodes>,
        events: &(dyn Fn(MigrationEvent) + Send + Sync),
        work: impl AsyncFnOnce(Ports<'_>) -> T,
    ) -> Result<T, CommandError> {
        let directory = std::env::current_dir().map_err(failed)?;
        let directory = camino::Utf8PathBuf::from_path_buf(directory).unwrap_or_else(|_| ".".into());
        let commands = LocalProcesses { directory };
        let ports = Ports {
            dns: &self.aws,
            balancers: &self.aws,
            prober: &self.prober,
            nodes,
            commands: &commands,
            clock: &self.clock,
            control,
            guard,
            memory: &self.place,
            events,
        };
        block_on(work(ports))
    }

    pub fn journal(&self) -> Result<Mutex<Journal>, CommandError> {
        let (journal, _) = Journal::open(Home::local(&self.place.directory)).map_err(failed)?;
        Ok(Mutex::new(journal))
    }

    /// Writes an event into the journal, with the time.
    pub fn note(&self, journal: &Mutex<Journal>, event: &MigrationEvent) {
        let at = jiff::Timestamp::now().as_second();
        let entry = super::journal::Entry { at, event: event.clone() };
        if let (Ok(value), Ok(mut journal)) = (serde_json::to_value(&entry), journal.lock())
            && let Err(error) = journal.append(&value)
        {
            eprintln!("warning: the journal cannot be written: {error}");
        }
    }

    /// Shows an event, and writes it down.
    pub fn tell(&self, journal: &Mutex<Journal>, view: Option<&MigrationView>, event: &MigrationEvent) {
        match view {
            Some(view) => view.show(event),
            None => MigrationView::lines().show(event),
        }
        self.note(journal, event);
    }
}
