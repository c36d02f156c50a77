//! `keelwright migrate`: a live service moves from one cluster to another.

mod copy;
mod sides;

use std::process::ExitCode;

use camino::Utf8PathBuf;

use super::{CommandError, ErrorKind};
use crate::inventory::Migration;

/// Move a live service from one cluster to another
///
/// A file of `kind: Migration` names the service, the old cluster (blue), the new one (green), and what is
/// watched on the way.
///
/// Example: keelwright migrate copy -f migration.yaml --dry-run
#[derive(Debug, clap::Args)]
pub struct MigrateArgs {
    #[command(subcommand)]
    command: MigrateCommand,
}

#[derive(Debug, clap::Subcommand)]
enum MigrateCommand {
    Copy(copy::CopyArgs),
}

/// The flag that every command of a migration has.
#[derive(Debug, Clone, clap::Args)]
struct MigrationArg {
    /// Read the migration from FILE
    #[arg(short, long, value_name = "FILE", default_value = "migration.yaml")]
    file: Utf8PathBuf,
}

impl MigrationArg {
    fn load(&self) -> Result<Migration, CommandError> {
        let failed =
            |error: Box<dyn std::error::Error + Send + Sync>| CommandError::new(ErrorKind::Usage, error);
        let text = std::fs::read_to_string(&self.file).map_err(|error| failed(error.into()))?;
        serde_yaml::from_str(&text).map_err(|error| failed(error.into()))
    }
}

/// Runs the command.
pub fn run(args: MigrateArgs) -> Result<ExitCode, CommandError> {
    match args.command {
        MigrateCommand::Copy(args) => copy::run(&args),
    }
}
