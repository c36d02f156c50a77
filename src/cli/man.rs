//! `keelwright man`: the manual pages.

use std::process::ExitCode;

use camino::Utf8PathBuf;
use clap::CommandFactory as _;

use super::error::{CommandError, ErrorKind};

/// Write the manual pages into a directory
///
/// One page for keelwright and one for each of its commands.
///
/// Example: keelwright man /usr/local/share/man/man1
#[derive(Debug, clap::Args)]
pub struct ManArgs {
    /// Where to write them; made if it does not exist
    #[arg(value_name = "DIR")]
    directory: Utf8PathBuf,
}

#[derive(Debug, thiserror::Error)]
#[error("cannot write manual pages to {directory}")]
struct WriteError {
    directory: Utf8PathBuf,
    source: std::io::Error,
}

pub fn run(args: ManArgs) -> Result<ExitCode, CommandError> {
    let directory = args.directory;
    std::fs::create_dir_all(&directory)
        .and_then(|()| clap_mangen::generate_to(super::Cli::command(), &directory))
        .map_err(|source| CommandError::new(ErrorKind::Failed, WriteError { directory, source }))?;
    Ok(ExitCode::SUCCESS)
}
