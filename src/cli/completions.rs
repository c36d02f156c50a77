//! `keelwright completions`: what a shell needs to complete our command lines.

use std::io::Write as _;
use std::process::ExitCode;

use clap::CommandFactory as _;
use clap_complete::Shell;

use super::error::{CommandError, ErrorKind};

/// Print the completion script of a shell
///
/// Example: keelwright completions bash > /etc/bash_completion.d/keelwright
#[derive(Debug, clap::Args)]
pub struct CompletionsArgs {
    /// Which shell
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

pub fn run(args: CompletionsArgs) -> Result<ExitCode, CommandError> {
    // Made in memory: the generator panics when a pipe closes early.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut super::Cli::command(), "keelwright", &mut script);
    match std::io::stdout().write_all(&script) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(CommandError::new(ErrorKind::Failed, error))
        }
        Ok(()) | Err(_) => Ok(ExitCode::SUCCESS),
    }
}
