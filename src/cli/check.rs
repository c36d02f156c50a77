//! `keelwright check`: everything that stands against working on these hosts, found in one look.

use std::process::ExitCode;

use super::apply::block_on;
use super::operation::{ClusterArgs, Operation};
use super::{CommandError, ErrorKind};
use crate::facts::Observed;
use crate::plan::{Goal, PlanError, warnings};

/// Check every host before anything is done to it
///
/// Connects to every host, runs one read-only script, and reports all findings for all hosts at
/// once. Touches nothing.
///
/// Example: keelwright check -i prod.yaml
#[derive(Debug, clap::Args)]
pub struct CheckArgs {
    #[command(flatten)]
    cluster: ClusterArgs,
}

/// Runs the command: 0 when all is well, 4 when something stands against it, 5 when a host is silent.
pub fn run(args: CheckArgs) -> Result<ExitCode, CommandError> {
    let operation = Operation::observe(&args.cluster)?;
    let look = block_on(operation.look(Goal::Converge))??;
    let refusals = match &look.outline {
        Err(PlanError::Refused(refusals)) => refusals.clone(),
        Ok(_) => Vec::new(),
        Err(error) => return Err(super::operation::plan_error(error.clone())),
    };
    let warnings = warnings(&operation.inventory, &look.facts);
    let mut silent = false;
    for (host, observed) in &look.facts.hosts {
        let findings: Vec<_> = refusals.iter().filter(|refusal| &refusal.host == host).collect();
        match observed {
            Observed::Unreachable(why) => {
                silent = true;
                println!("{host:<16} unreachable  {why}");
            }
            Observed::Known(facts) if findings.is_empty() => println!(
                "{host:<16} ok           {} {}, {}, {} cores, {} MiB",
                facts.os_id,
                facts.os_version,
                facts.machine,
                facts.cpus,
                facts.memory_kib / 1024
            ),
            Observed::Known(_) | Observed::Absent => {
                for finding in findings {
                    println!("{host:<16} problem      {finding}");
                }
            }
        }
        for warning in warnings.iter().filter(|warning| &warning.host == host) {
            println!("{host:<16} warning      {}", warning.what);
        }
    }
    Ok(if !refusals.is_empty() {
        ErrorKind::Refused.exit_code()
    } else if silent {
        ErrorKind::Unreachable.exit_code()
    } else {
        ExitCode::SUCCESS
    })
}
