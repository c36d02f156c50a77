//! The operator's own commands: runs those that run on the operator's machine, and tells how one has failed.

use std::collections::BTreeMap;
use std::time::Duration;

use super::engine::{Failure, Ports};
use super::ports::LocalCommand;
use crate::inventory::{HookPlace, HookPoint};
use crate::plan::{Action, Planned, Step};

/// What `timeout` and the local adapter say of a command whose time was over.
pub const TIMED_OUT: i32 = 124;
/// How much of what a hook printed is said again: its last words.
const LINES: usize = 5;

/// A hook of a step.
pub(super) struct Hook<'a> {
    pub step: &'a Step,
    pub name: &'a str,
    pub when: HookPoint,
    pub place: HookPlace,
}

impl<'a> Hook<'a> {
    /// The hook that an action runs, if it runs one.
    pub fn of(step: &'a Step, planned: &'a Planned) -> Option<Self> {
        match &planned.action {
            Action::RunHook { name, when, place, .. } => {
                Some(Hook { step, name, when: *when, place: *place })
            }
            _other => None,
        }
    }

    pub async fn run_local(
        &self,
        command: &[String],
        environment: &BTreeMap<String, String>,
        timeout: u32,
        ports: &Ports<'_>,
    ) -> Result<(), Failure> {
        let command = LocalCommand {
            argv: command.to_vec(),
            environment: environment.clone(),
            timeout: Duration::from_secs(timeout.into()),
        };
        match ports.local.run(&command).await {
            Ok(end) if end.status == 0 => Ok(()),
            Ok(end) => Err(self.failed(end.status, &end.output)),
            Err(error) => Err(self.failure(error.to_string())),
        }
    }

    /// Why the step has failed.
    pub fn failed(&self, status: i32, output: &str) -> Failure {
        let lines: Vec<&str> = output.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
        let last = lines.get(lines.len().saturating_sub(LINES)..).unwrap_or_default().join("\n    ");
        let why = match status {
            TIMED_OUT => format!("exit status {status}: it may have taken too long"),
            status => format!("exit status {status}"),
        };
        self.failure(if last.is_empty() { why } else { format!("{why}\n    {last}") })
    }

    fn failure(&self, why: String) -> Failure {
        let place = match self.place {
            HookPlace::Local => "on your machine",
            HookPlace::Host => "on the host",
        };
        let (name, when, target) = (self.name, self.when.as_str(), &self.step.target);
        let hint = match self.when.is_before() {
            true => {
                "nothing that comes after it was begun. Mend what it ran into, then run\n    keelwright apply"
            }
            false => {
                "what it runs after is done, and neither is done again: run the hook by hand if it matters, then go \
                 on with\n    keelwright apply"
            }
        };
        Failure {
            error: format!("hook {name} ({when}, {place}) for {target}: {why}"),
            hint: Some(hint.to_owned()),
            unreachable: false,
        }
    }
}

/// Seconds that hooks may take on a host beside everything else.
pub(super) fn allowance(batch: &[Planned]) -> u32 {
    let allowed = batch.iter().map(|planned| match &planned.action {
        Action::RunHook { timeout, .. } => timeout.saturating_add(10),
        _other => 0,
    });
    allowed.fold(0, u32::saturating_add)
}
