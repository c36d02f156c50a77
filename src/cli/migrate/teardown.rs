//! The end of the old cluster, by those who made it: their plan is shown first, and nothing goes without its
//! confirmation.

use std::process::ExitCode;

use super::apply::ApplyArgs;
use super::programs::{own, start};
use super::sides::SideArgs;
use super::site::MigrationSite;
use crate::cli::{CommandError, ErrorKind};
use crate::inventory::{Migration, TeardownBy};

/// Where the plan of Terraform is kept between showing and doing it.
const PLAN_FILE: &str = "teardown.tfplan";

#[derive(Debug, thiserror::Error)]
enum TeardownError {
    #[error("--confirm-teardown {given} does not name migration {migration}")]
    OtherName { given: String, migration: String },
}

fn failed(error: impl std::error::Error + Send + Sync + 'static) -> CommandError {
    CommandError::new(ErrorKind::Failed, error)
}

/// A wrong name is found before anything is begun.
pub(super) fn check_name(args: &ApplyArgs, migration: &Migration) -> Result<(), CommandError> {
    match &args.confirm_teardown {
        Some(given) if *given != migration.name => {
            let error = TeardownError::OtherName { given: given.clone(), migration: migration.name.clone() };
            Err(CommandError::new(ErrorKind::Refused, error))
        }
        Some(_) | None => Ok(()),
    }
}

/// Shows what would go, and lets it go where that is confirmed.
pub(super) fn run(args: &ApplyArgs, site: &MigrationSite) -> Result<ExitCode, CommandError> {
    let Some(by) = &site.migration.teardown.by else { return Ok(ExitCode::SUCCESS) };
    if site.place.is_torn_down() {
        return Ok(ExitCode::SUCCESS);
    }
    let steps = steps(by, site, &args.sides)?;
    start(&steps.show)?;
    if args.confirm_teardown.is_none() {
        eprintln!(
            "the old cluster is still there; take it away with\n    keelwright migrate apply -f {} --confirm-teardown {}",
            args.file.file, site.migration.name
        );
        return Ok(ExitCode::SUCCESS);
    }
    start(&steps.carry_out)?;
    site.place.note_torn_down()?;
    eprintln!("the old cluster is gone");
    Ok(ExitCode::SUCCESS)
}

/// What shows the end of a cluster, and what brings it.
struct Steps {
    show: Vec<String>,
    carry_out: Vec<String>,
}

fn steps(by: &TeardownBy, site: &MigrationSite, sides: &SideArgs) -> Result<Steps, CommandError> {
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    Ok(match by {
        TeardownBy::Terraform { directory } => {
            let here = camino::absolute_utf8(&site.place.directory).map_err(failed)?;
            let file = here.join(PLAN_FILE);
            let within = format!("-chdir={directory}");
            let out = format!("-out={file}");
            Steps {
                show: words(&["terraform", &within, "plan", "-destroy", "-input=false", &out]),
                carry_out: words(&["terraform", &within, "apply", "-input=false", file.as_str()]),
            }
        }
        TeardownBy::Kops { cluster, state } => {
            let delete = ["kops", "delete", "cluster", "--name", cluster, "--state", state];
            let mut carry_out = words(&delete);
            carry_out.push("--yes".to_owned());
            Steps { show: words(&delete), carry_out }
        }
        TeardownBy::Reset { inventory } => {
            let wanted = crate::cli::inventory::wanted(inventory)?;
            let verb = match wanted {
                crate::inventory::Wanted::Hosts(_) => "reset",
                crate::inventory::Wanted::Aws(_) => "destroy",
            };
            let mut carry_out = own(verb, inventory, sides)?;
            carry_out.extend(["--confirm".to_owned(), wanted.name().to_string()]);
            Steps { show: own("status", inventory, sides)?, carry_out }
        }
    })
}
