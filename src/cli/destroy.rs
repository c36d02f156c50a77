//! `keelwright destroy`: everything that keelwright has made in the cloud for a cluster goes.

use std::collections::BTreeSet;
use std::process::ExitCode;

use super::apply::block_on;
use super::operation::{ClusterArgs, system_clock};
use super::site::{Site, cloud_error, incomplete};
use super::state::ClusterState;
use super::{CommandError, ErrorKind};
use crate::cloud::destroy::{Destroyer, Destruction, Ended, Keep, Volumes, users};
use crate::cloud::permissions::actions;
use crate::cloud::plan::{Change, InfraPlan};
use crate::cloud::run::Pace;
use crate::cloud::{PhysicalId, show};
use crate::exec::Clock as _;
use crate::inventory::{AwsNetwork, ClusterName, Wanted};
use crate::state::{Identity, Vault};

/// Take everything of a cluster away that keelwright has made in the cloud
///
/// Machines, volumes with their data, networks, balancers, roles and records that carry the cluster's
/// tags go, with the balancers that the cluster's own controllers have made for Services and Ingresses,
/// and nothing else. Volumes of claims stay unless --delete-volumes is given. The cluster and its data are
/// gone afterwards; the sealed keys and snapshots stay in the state directory. Interrupted, it goes on when
/// it is run again.
///
/// Example: keelwright destroy -i prod.yaml --confirm prod
#[derive(Debug, clap::Args)]
pub struct DestroyArgs {
    #[command(flatten)]
    cluster: ClusterArgs,
    /// The cluster's name, typed in full; without it, what would go is shown
    #[arg(long, value_name = "CLUSTER")]
    confirm: Option<String>,
    /// Delete the volumes of the cluster's claims, too, with the data on them
    #[arg(long)]
    delete_volumes: bool,
}

#[derive(Debug, thiserror::Error)]
enum DestroyError {
    #[error("the machines in this inventory were not made by keelwright")]
    NotOurs,
    #[error("cluster {0} is protected against being destroyed")]
    Protected(String),
    #[error("--confirm {given} does not name cluster {cluster}")]
    OtherName { given: String, cluster: String },
    #[error("{0} of the cluster's resources are left, because somebody else needs them")]
    Held(usize),
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
    let volumes = if args.delete_volumes { Volumes::Delete } else { Volumes::Keep };
    block_on(destroy(&site, volumes, confirmed))??;
    forget(&args.cluster, &site, &state)?;
    Ok(ExitCode::SUCCESS)
}

async fn destroy(site: &Site, volumes: Volumes, confirmed: bool) -> Result<(), CommandError> {
    let (name, began, api) = (site.inventory.name(), site.clock.now(), site.fenced());
    let events = |plan: &InfraPlan, event| {
        let seconds = (site.clock.now() - began).as_secs_f64();
        eprintln!("{seconds:8.1}s  {}", show::event(plan, &event));
    };
    let destroyer = Destroyer {
        api: &api,
        clock: &site.clock,
        pace: Pace::default(),
        seed: rand::random(),
        cluster: name.as_str(),
        network: match &site.inventory.aws.network {
            AwsNetwork::New { .. } => None,
            AwsNetwork::Existing { vpc, .. } => Some(PhysicalId(vpc.clone())),
        },
        volumes,
        events: &events,
    };
    let scene = destroyer.look().await.map_err(cloud_error)?;
    if !confirmed {
        print!("{}", show::destruction(&scene.destruction));
        return Err(refuse_unconfirmed(name));
    }
    eprint!("{}", show::destruction(&scene.destruction));
    site.foretell(&actions(&scene.destruction.plan)).await?;
    let ended = destroyer.carry_out(scene).await.map_err(cloud_error)?;
    report(name, &ended)?;
    site.forget_join().await
}

/// What is left, and how it goes.
fn report(name: &ClusterName, ended: &Ended) -> Result<(), CommandError> {
    for kept in &ended.kept {
        eprintln!("left: {}: {}; {}", show::volume(kept), show::keep(&kept.why), show::removal(&kept.volume));
    }
    if ended.kept.iter().any(|kept| kept.why == Keep::Data) {
        eprintln!("all volumes that hold data:\n    keelwright destroy --confirm {name} --delete-volumes");
    }
    if ended.is_complete() {
        return Ok(());
    }
    let Destruction { held, .. } = &ended.scene.destruction;
    let mut error = if ended.outcome.is_complete() {
        let what: BTreeSet<_> = held.iter().flat_map(|held| &held.what).collect();
        CommandError::new(ErrorKind::Failed, DestroyError::Held(what.len()))
    } else {
        incomplete(&ended.plan, &ended.outcome)
    };
    for (at, _) in &ended.outcome.failed {
        let Some(step) = ended.plan.steps.get(*at) else { continue };
        let Change::Delete { there, .. } = &step.change else { continue };
        let users = users(&ended.scene.neighbours, &there.id);
        error.hints.extend(users.iter().map(|user| format!("{} needs {}", show::neighbour(user), step.name)));
    }
    for held in held {
        let removal = show::removal(&held.by);
        error = error.hint(format!("{}; if it may go:\n    {removal}", show::holder(held)));
    }
    Err(error.hint(format!("then go on with\n    keelwright destroy --confirm {name}")))
}

fn refuse_unconfirmed(name: &ClusterName) -> CommandError {
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
