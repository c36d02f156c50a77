//! `keelwright destroy`: everything that keelwright has made in the cloud for a cluster goes.

use std::process::ExitCode;

use super::apply::block_on;
use super::operation::{ClusterArgs, system_clock};
use super::site::Site;
use super::state::ClusterState;
use super::{CommandError, ErrorKind};
use crate::cloud::permissions::actions;
use crate::cloud::resource::DesiredState;
use crate::cloud::show;
use crate::inventory::Wanted;
use crate::state::{Identity, Vault};

/// Take everything of a cluster away that keelwright has made in the cloud
///
/// Machines, volumes with their data, networks, balancers, roles and records that carry the cluster's
/// tags go, and nothing else. The cluster and its data are gone afterwards; the sealed keys and snapshots
/// stay in the state directory. Interrupted, it goes on when it is run again.
///
/// Example: keelwright destroy -i prod.yaml --confirm prod
#[derive(Debug, clap::Args)]
pub struct DestroyArgs {
    #[command(flatten)]
    cluster: ClusterArgs,
    /// The cluster's name, typed in full; without it, what would go is shown
    #[arg(long, value_name = "CLUSTER")]
    confirm: Option<String>,
}

#[derive(Debug, thiserror::Error)]
enum DestroyError {
    #[error("the machines in this inventory were not made by keelwright")]
    NotOurs,
    #[error("cluster {0} is protected against being destroyed")]
    Protected(String),
    #[error("--confirm {given} does not name cluster {cluster}")]
    OtherName { given: String, cluster: String },
}

/// Runs the command.
pub fn run(args: DestroyArgs) -> Result<ExitCode, CommandError> {
    let wanted = args.cluster.inventory.wanted()?;
    let inventory = match wanted {
        Wanted::Aws(inventory) => *inventory,
        Wanted::Hosts(_) => {
            return Err(CommandError::new(ErrorKind::Usage, DestroyError::NotOurs)
                .hint("take keelwright's things off them:\n    keelwright reset --confirm NAME"));
        }
    };
    let name = inventory.name().clone();
    let refuse = |error| CommandError::new(ErrorKind::Refused, error);
    if inventory.aws.deletion_protection {
        return Err(refuse(DestroyError::Protected(name.to_string()))
            .hint("write `deletionProtection: false` into the inventory, and apply"));
    }
    let confirmed = match args.confirm {
        Some(given) if given != name.as_str() => {
            return Err(refuse(DestroyError::OtherName { given, cluster: name.to_string() }));
        }
        given => given.is_some(),
    };
    // Nothing is written for somebody who only looks.
    let open = if confirmed { ClusterState::hold } else { ClusterState::look };
    let state = open(&args.cluster, &name, inventory.state())?;
    let site = block_on(Site::connect(inventory, &state))?;
    let survey = block_on(site.survey())??;
    let plan = site.plan(&survey, &DesiredState::new())?;
    if !confirmed {
        print!("{}", show::text(&plan));
        return Err(refuse_unconfirmed(&name));
    }
    eprint!("{}", show::text(&plan));
    block_on(site.foretell(&actions(&plan)))??;
    block_on(site.carry_out(&plan, &survey.observed, true))??;
    block_on(site.forget_join())??;
    forget(&args.cluster, &site, &state)?;
    Ok(ExitCode::SUCCESS)
}

fn refuse_unconfirmed(name: &crate::inventory::ClusterName) -> CommandError {
    CommandError::new(ErrorKind::Refused, "not agreed; nothing was touched")
        .hint(format!("agree by typing the cluster's name:\n    keelwright destroy --confirm {name}"))
}

fn failed(error: impl std::error::Error + Send + Sync + 'static) -> CommandError {
    CommandError::new(ErrorKind::Failed, error)
}

/// The next cluster of this name is another one: nobody's hosts, no etcd, other host keys.
fn forget(args: &ClusterArgs, site: &Site, state: &ClusterState) -> Result<(), CommandError> {
    site.forget_keys()?;
    super::operation::forget_all_hosts(state.home())?;
    if state.is_new().map_err(failed)? {
        return Ok(());
    }
    let identity = Identity::load(&args.identity()).map_err(failed)?;
    let name = site.inventory.name();
    if let Some(vault) = Vault::open(state.home(), &identity, name, system_clock()).map_err(failed)? {
        vault.renew_etcd_token().map_err(failed)?;
    }
    Ok(())
}
