//! The command line: one file per command; errors become exit codes and hints here.

pub mod adapters;
pub mod apply;
mod apply_aws;
mod authorities;
pub mod bundle;
mod bundle_error;
pub mod check;
pub mod completions;
pub mod destroy;
pub mod error;
pub mod etcd;
pub mod init;
pub mod inventory;
pub mod kubeconfig;
pub mod lab;
mod local;
pub mod man;
pub mod migrate;
pub mod operation;
pub mod rehearse;
mod rehearse_observed;
mod rehearse_upgrade;
mod rehearse_view;
mod rolling;
mod secret_prompt;
mod site;
mod state;
pub mod status;
mod stock;
pub mod view;

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
    Check(check::CheckArgs),
    Plan(apply::PlanArgs),
    Apply(apply::ApplyArgs),
    Status(status::StatusArgs),
    Diff(status::DiffArgs),
    Kubeconfig(kubeconfig::KubeconfigArgs),
    Etcd(etcd::EtcdArgs),
    Rehearse(rehearse::RehearseArgs),
    Reset(apply::ResetArgs),
    Destroy(destroy::DestroyArgs),
    Migrate(migrate::MigrateArgs),
    Bundle(bundle::BundleArgs),
    Lab(lab::LabArgs),
    Completions(completions::CompletionsArgs),
    Man(man::ManArgs),
}

/// Parses the arguments, runs the command, prints its error and returns its exit code.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("{}", CommandError::new(ErrorKind::Failed, error));
            return ErrorKind::Failed.exit_code();
        }
    };
    let _entered = runtime.enter();
    let result = match cli.command {
        Command::Init(args) => init::run(args),
        Command::Check(args) => check::run(args),
        Command::Plan(args) => apply::run_plan(args),
        Command::Apply(args) => apply::run_apply(args),
        Command::Status(args) => status::run_status(args),
        Command::Diff(args) => status::run_diff(args),
        Command::Kubeconfig(args) => kubeconfig::run(args),
        Command::Etcd(args) => etcd::run(args),
        Command::Rehearse(args) => rehearse::run(args),
        Command::Reset(args) => apply::run_reset(args),
        Command::Destroy(args) => destroy::run(args),
        Command::Migrate(args) => migrate::run(args),
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
