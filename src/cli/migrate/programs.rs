//! Other programs that a migration runs with the operator's terminal, keelwright itself among them.

use std::process::{Command, Stdio};

use camino::Utf8Path;

use super::sides::SideArgs;
use crate::cli::{CommandError, ErrorKind};

#[derive(Debug, thiserror::Error)]
enum ProgramError {
    #[error("{program} cannot be started")]
    Missing { program: String, source: std::io::Error },
    #[error("{command} ended with {status}")]
    Failed { command: String, status: std::process::ExitStatus },
}

fn failed(error: impl std::error::Error + Send + Sync + 'static) -> CommandError {
    CommandError::new(ErrorKind::Failed, error)
}

/// `keelwright VERB -i INVENTORY`, reached as the operator has said of this command.
pub(super) fn own(verb: &str, inventory: &Utf8Path, sides: &SideArgs) -> Result<Vec<String>, CommandError> {
    let own = std::env::current_exe().map_err(failed)?;
    let mut words = vec![own.to_string_lossy().into_owned(), verb.to_owned()];
    words.extend(["-i".to_owned(), inventory.to_string()]);
    words.extend(sides.words());
    Ok(words)
}

/// Runs a program.
pub(super) fn start(command: &[String]) -> Result<(), CommandError> {
    let Some((program, arguments)) = command.split_first() else { return Ok(()) };
    eprintln!("+ {}", command.join(" "));
    let status = Command::new(program).args(arguments).status().map_err(|source| {
        failed(ProgramError::Missing { program: program.clone(), source })
            .hint("install it, or do by hand what it would have done")
    })?;
    if status.success() { Ok(()) } else { Err(ended_badly(command, status)) }
}

/// Whether a plan of this command's has any step; what it says is not shown.
pub(super) fn has_steps(plan: &[String]) -> Result<bool, CommandError> {
    let Some((program, arguments)) = plan.split_first() else { return Ok(false) };
    let mut command = Command::new(program);
    let status = command.args(arguments).arg("--check").stdout(Stdio::null()).status();
    let status =
        status.map_err(|source| failed(ProgramError::Missing { program: program.clone(), source }))?;
    match status.code() {
        Some(0) => Ok(false),
        Some(3) => Ok(true),
        _ => Err(ended_badly(plan, status)),
    }
}

fn ended_badly(command: &[String], status: std::process::ExitStatus) -> CommandError {
    failed(ProgramError::Failed { command: command.join(" "), status })
        .hint("what it said stands above; run it again with the same command")
}
