//! The command line: one file per command; errors become exit codes and hints here.

pub mod bundle;
pub mod error;
pub mod inventory;
pub mod lab;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

pub use error::{CommandError, ErrorKind};

/// Build, grow, upgrade and move Kubernetes clusters
///
/// keelwright reads what you want from an inventory, looks at what is there, shows the steps
/// between the two, and runs them over SSH. Run it again and it finds nothing to do.
#[derive(Debug, Parser)]
#[command(name = "keelwright", version, propagate_version = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Bundle(bundle::BundleArgs),
    Lab(lab::LabArgs),
}

/// Parses the arguments, runs the command, prints its error and returns its exit code.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = match cli.command {
        Command::Bundle(args) => bundle::run(args),
        Command::Lab(args) => lab::run(args),
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            eprintln!("{error}");
            error.kind.exit_code()
        }
    }
}
