//! Somebody who goes back for a run that is lost: a process of its own beside the run, which hears what leads back
//! through a pipe and does it when the pipe ends without a word.

use std::fs::OpenOptions;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, ChildStdin, Command, ExitCode, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::FileArgs;
use super::place::Place;
use super::site::MigrationSite;
use crate::cli::apply::block_on;
use crate::cli::{CommandError, ErrorKind};
use crate::exec::{Clock as _, Pace, PortError, SystemClock};
use crate::migrate::guard::{WayBack, go_back};
use crate::migrate::run::{Guard, RunError};

/// What the guard says of itself.
const LOG_FILE: &str = "guard.log";
/// The lock of a process that was killed is free at once; longer only if somebody else has taken it.
const LOCK: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(200);

/// Go back for a run that is lost (started by `migrate apply`)
#[derive(Debug, clap::Args)]
pub struct GuardArgs {
    #[command(flatten)]
    file: FileArgs,
}

/// A line through the pipe.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    /// None: everything may stay as it is.
    back: Option<WayBack>,
}

/// Beside a run.
pub(super) struct GuardProcess {
    input: Mutex<ChildStdin>,
    _child: Child,
}

/// Of a command that is over at once.
pub(super) struct NoGuard;

impl Guard for NoGuard {
    fn arm(&self, _: Option<&WayBack>) -> Result<(), PortError> {
        Ok(())
    }
}

impl GuardProcess {
    pub fn start(file: &FileArgs, place: &Place) -> Result<Self, CommandError> {
        let failed = |error| CommandError::new(ErrorKind::Failed, error);
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(place.directory.join(LOG_FILE))
            .map_err(failed)?;
        let mut child = Command::new(std::env::current_exe().map_err(failed)?)
            .args(["migrate", "guard", "--file", file.file.as_str(), "--state", place.directory.as_str()])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(log)
            // Ctrl-C is for the run, and an end of its terminal is what this is for.
            .process_group(0)
            .spawn()
            .map_err(failed)?;
        let input = child.stdin.take().ok_or_else(|| {
            CommandError::new(ErrorKind::Failed, "the guard of this run cannot be spoken to")
        })?;
        Ok(GuardProcess { input: Mutex::new(input), _child: child })
    }
}

impl Guard for GuardProcess {
    fn arm(&self, back: Option<&WayBack>) -> Result<(), PortError> {
        let line = Line { back: back.cloned() };
        let mut bytes = serde_json::to_vec(&line).map_err(|error| PortError(error.to_string()))?;
        bytes.push(b'\n');
        let input = self.input.lock();
        let mut input = input.map_err(|_| PortError("the guard of this run is not there".to_owned()))?;
        input
            .write_all(&bytes)
            .and_then(|()| input.flush())
            .map_err(|error| PortError(format!("the process that would go back cannot be reached: {error}")))
    }
}

/// Runs `keelwright migrate guard`.
pub fn run(args: &GuardArgs) -> Result<ExitCode, CommandError> {
    let mut last = Line::default();
    for line in BufReader::new(std::io::stdin()).lines() {
        // A line that ends half-way is of a run that died while it wrote: what it said before counts.
        let Some(next) = line.ok().and_then(|line| serde_json::from_str(&line).ok()) else { break };
        last = next;
    }
    let Some(back) = last.back.filter(|back| !back.changes.is_empty()) else {
        return Ok(ExitCode::SUCCESS);
    };
    let (migration, place) = args.file.load()?;
    let clock = SystemClock::default();
    let began = clock.now();
    let _lock = loop {
        match place.lock(&migration) {
            Ok(lock) => break lock,
            // Whoever has it decides.
            Err(error) if clock.now().saturating_sub(began) > LOCK => return Err(error),
            Err(_) => block_on(clock.wait(LOOK))?,
        }
    };
    if place.said().paused {
        return Ok(ExitCode::SUCCESS);
    }
    let site = MigrationSite::connect(migration, place)?;
    let journal = site.journal()?;
    let events = |event| site.note(&journal, &event);
    let went = block_on(go_back(&back, &site.aws, &clock, Pace::default(), &events))?;
    match went {
        Ok(_) | Err(RunError::Foreign { .. }) => Ok(ExitCode::SUCCESS),
        Err(error) => Err(CommandError::new(ErrorKind::Failed, error)),
    }
}
