//! `keelwright lab`: throwaway machines on this Linux box.

use std::process::ExitCode;

use super::CommandError;

/// Make throwaway machines on this Linux box
#[derive(Debug, clap::Args)]
pub struct LabArgs {}

/// Runs the command.
pub fn run(_args: LabArgs) -> Result<ExitCode, CommandError> {
    Ok(ExitCode::SUCCESS)
}
