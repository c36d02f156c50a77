//! What the operator wishes of a run: by `migrate pause`, `resume` and `back`, and by signals.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

use super::place::{Place, Said};
use super::site::MigrationSite;
use super::{FileArgs, report_ending};
use crate::cli::apply::block_on;
use crate::cli::{CommandError, ErrorKind};
use crate::exec::{Clock as _, Pace, SystemClock};
use crate::migrate::record::{Point, Side, Weights};
use crate::migrate::run::{Control, Wish, go_back};

/// Let a migration go no further
///
/// A run that goes on keeps its weights and watches on; a gate that shuts still goes back. It lasts until
/// `keelwright migrate resume`, also over the run's end.
#[derive(Debug, clap::Args)]
pub struct PauseArgs {
    #[command(flatten)]
    file: FileArgs,
}

/// Let a paused migration go on
#[derive(Debug, clap::Args)]
pub struct ResumeArgs {
    #[command(flatten)]
    file: FileArgs,
}

/// Go back to the last good weights, or to blue alone
///
/// A run that goes on is told to, and ends with it; else it is done here. Blue's own machines come behind its
/// balancer again first, where green had taken it over.
///
/// Example: keelwright migrate back -f migration.yaml --to-blue
#[derive(Debug, clap::Args)]
pub struct BackArgs {
    #[command(flatten)]
    file: FileArgs,
    /// Give green nothing, whatever the schedule says
    #[arg(long)]
    to_blue: bool,
}

/// Between two looks at whether a run that was told to go back has ended.
const LOOK: Duration = Duration::from_millis(500);
/// A change has to be everywhere before a run ends.
const PATIENCE: Duration = Duration::from_secs(20 * 60);

#[derive(Debug, thiserror::Error)]
enum BackError {
    #[error("the run that goes on has not gone back after {} s", PATIENCE.as_secs())]
    Slow,
    #[error("the names are at {0}, before which there is nothing")]
    Beginning(Point),
}

/// Runs `keelwright migrate pause`.
pub fn run_pause(args: &PauseArgs) -> Result<ExitCode, CommandError> {
    let (_, place) = args.file.load()?;
    place.say(Said { paused: true, ..place.said() })?;
    eprintln!("paused; let it go on with\n    keelwright migrate resume -f {}", args.file.file);
    Ok(ExitCode::SUCCESS)
}

/// Runs `keelwright migrate resume`.
pub fn run_resume(args: &ResumeArgs) -> Result<ExitCode, CommandError> {
    let (_, place) = args.file.load()?;
    place.say(Said { paused: false, ..place.said() })?;
    if !place.is_locked() {
        eprintln!("no run goes on; begin one with\n    keelwright migrate apply -f {}", args.file.file);
    }
    Ok(ExitCode::SUCCESS)
}

/// Runs `keelwright migrate back`.
pub fn run_back(args: &BackArgs) -> Result<ExitCode, CommandError> {
    let (migration, place) = args.file.load()?;
    let failed = |error| CommandError::new(ErrorKind::Failed, error);
    if place.is_locked() {
        place.say(Said { back: true, ..place.said() })?;
        eprintln!("the run that goes on is told to go back");
        let clock = SystemClock::default();
        let began = clock.now();
        while place.is_locked() {
            if clock.now().saturating_sub(began) > PATIENCE {
                return Err(failed(BackError::Slow));
            }
            block_on(clock.wait(LOOK))?;
        }
        place.say(Said { back: false, ..place.said() })?;
        if !args.to_blue {
            return Ok(ExitCode::SUCCESS);
        }
    }
    let _lock = place.lock(&migration)?;
    place.say(Said { back: false, ..place.said() })?;
    let site = MigrationSite::connect(migration, place)?;
    let plan = site.plan(&site.survey()?)?;
    let all_blue = Point::Weighted(Weights { blue: 100, green: 0 });
    let last_good = plan.steps.first().and_then(|step| step.back);
    let to = if args.to_blue { Some(all_blue) } else { last_good };
    let to = match (plan.from, to) {
        (Point::Only(Side::Blue), _) | (_, None) => return Err(failed(BackError::Beginning(plan.from))),
        (from, Some(to)) if from == to || from == all_blue => {
            return Err(failed(BackError::Beginning(from)));
        }
        (_, Some(to)) => to,
    };
    let journal = site.journal()?;
    let events = |event| site.tell(&journal, None, &event);
    let control = Wishes::new(site.place.clone());
    let ended = site.with_ports((&control, &super::guard::NoGuard), None, &events, async |ports| {
        go_back(&site.migration, &plan, to, ports, Pace::default(), rand::random()).await
    })?;
    report_ending(ended, &args.file.file)
}

/// What the operator has said, in a file and by signals.
pub(super) struct Wishes {
    place: Place,
    interrupted: Arc<AtomicBool>,
}

impl Wishes {
    pub fn new(place: Place) -> Self {
        Wishes { place, interrupted: Arc::default() }
    }

    /// From now on Ctrl-C, an end of the terminal and a request to end are wishes.
    pub fn listen(&self) {
        for kind in [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()] {
            let Ok(mut heard) = signal(kind) else { continue };
            let interrupted = Arc::clone(&self.interrupted);
            tokio::spawn(async move {
                while heard.recv().await.is_some() {
                    interrupted.store(true, Ordering::SeqCst);
                }
            });
        }
    }

    pub fn is_interrupted(&self) -> bool {
        self.interrupted.load(Ordering::SeqCst)
    }
}

impl Control for Wishes {
    fn wish(&self) -> Wish {
        let Said { paused, back } = self.place.said();
        Wish { paused, back, interrupted: self.is_interrupted() }
    }
}
