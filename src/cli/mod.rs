//! The command line: one file per command; errors become exit codes and hints here.

pub mod bundle;
pub mod completions;
pub mod error;
pub mod init;
pub mod inventory;
pub mod lab;
pub mod man;

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
    Init(init::InitArgs),
    Bundle(bundle::BundleArgs),
    Lab(lab::LabArgs),
    Completions(completions::CompletionsArgs),
    Man(man::ManArgs),
}

/// Parses the arguments, runs the command, prints its error and returns its exit code.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = match cli.command {
        Command::Init(args) => init::run(args),
        Command::Bundle(args) => bundle::run(args),
        Command::Lab(args) => lab::run(args),
        Command::Completions(args) => completions::run(args),
        Command::Man(args) => man::run(args),
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            eprintln!("{error}");
            error.kind.exit_code()
        }
    }
}
