//! `keelwright bundle`: the artifacts of one Kubernetes version, checksummed.

use std::process::ExitCode;

use super::CommandError;

/// Collect the artifacts of one Kubernetes version
#[derive(Debug, clap::Args)]
pub struct BundleArgs {}

/// Runs the command.
pub fn run(_args: BundleArgs) -> Result<ExitCode, CommandError> {
    Ok(ExitCode::SUCCESS)
}
