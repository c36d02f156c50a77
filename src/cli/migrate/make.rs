//! Green, where it is not there yet: made before anything is moved.

use super::apply::ApplyArgs;
use super::journal;
use super::programs::{has_steps, own, start};
use super::sides::SideArgs;
use super::site::MigrationSite;
use crate::cli::apply::block_on;
use crate::cli::{CommandError, ErrorKind};
use crate::cloud::aws::migration::eks::{EksEvent, EksPace};
use crate::exec::SystemClock;
use crate::inventory::MakeGreen;
use crate::migrate::ports::Balancers as _;
use crate::state::files;

/// Whether green has to be made: before anything has moved, its cluster of EKS has no balancer yet, or its inventory
/// has something to do.
pub(super) fn is_wanted(site: &MigrationSite, sides: &SideArgs) -> Result<bool, CommandError> {
    let Some(make) = &site.migration.make else { return Ok(false) };
    if !journal::read(&site.place)?.is_empty() {
        return Ok(false);
    }
    match make {
        MakeGreen::Inventory { inventory } => has_steps(&own("plan", inventory, sides)?),
        MakeGreen::Eks(_) => {
            let found = block_on(site.aws.find(&site.migration.green.balancer))?;
            let found = found.map_err(|error| CommandError::new(ErrorKind::Unreachable, error))?;
            Ok(found.is_none())
        }
    }
}

/// Makes it, as far as it is not there.
pub(super) fn run(site: &MigrationSite, args: &ApplyArgs) -> Result<(), CommandError> {
    match &site.migration.make {
        None => Ok(()),
        Some(MakeGreen::Inventory { inventory }) => {
            let mut command = own("apply", inventory, &args.sides)?;
            command.extend(args.yes.then(|| "--yes".to_owned()));
            start(&command)
        }
        Some(MakeGreen::Eks(wanted)) => {
            let told = |event: EksEvent| eprintln!("{}", said(&event));
            let clock = SystemClock::default();
            let made = block_on(site.aws.make_cluster(wanted, &clock, EksPace::default(), &told))?;
            let made = made.map_err(|error| {
                let hint = error.hint();
                CommandError::new(ErrorKind::Failed, error).hint(hint)
            })?;
            let Some(path) = &site.migration.green.kubeconfig else { return Ok(()) };
            let failed = |error| CommandError::new(ErrorKind::Failed, error);
            let text = made.kubeconfig(&site.migration.aws).to_yaml().map_err(failed)?;
            files::replace(path, text.expose().as_bytes())
                .map_err(|error| CommandError::new(ErrorKind::Failed, error))
        }
    }
}

fn said(event: &EksEvent) -> String {
    match event {
        EksEvent::Making(part) => format!("making {part}"),
        EksEvent::Waiting(part, status) => format!("waiting for {part}: {status}"),
        EksEvent::Again(error) => format!("again after: {error}"),
    }
}
