//! The beginning of a rehearsal that is the real cluster: it is looked at as `plan` looks at it, and played.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::apply::block_on;
use super::operation::{self, ClusterArgs, Operation, plan_error};
use super::state::ClusterState;
use super::{CommandError, ErrorKind, adapters, authorities};
use crate::blueprint::cluster::Manifests;
use crate::exec::{VaultView as _, list_upgrade};
use crate::inventory::Inventory;
use crate::plan::{Goal, Outline, Step};
use crate::release::{Arch, BundleManifest, KubeVersion};
use crate::sim::{Faults, Original, Passing, ReplicaError, Simulation, played_manifests, stand_in};
use crate::state::{Vault, harden_process};

/// A replica of a cluster that runs.
pub(super) struct Replica {
    pub simulation: Simulation,
    /// Steps that the plan for the real machines has and the replica's has not, or the other way round.
    pub differs: Vec<String>,
}

/// The bundles of an upgrade: real ones where they lie ready, else played ones.
pub(super) struct Bundles {
    pub wanted: BTreeMap<Arch, BundleManifest>,
    pub passing: Passing,
    pub manifests: Manifests,
    /// Versions whose bundles are played.
    pub played: Vec<KubeVersion>,
}

impl Bundles {
    /// For an inventory whose version is the target. A bundle without the manifests that the inventory wants is
    /// no use: its images could not be told either.
    pub fn find(inventory: &Inventory, args: &ClusterArgs) -> Result<Self, CommandError> {
        let passing = operation::open_passing(inventory);
        let mut passing: Passing =
            passing.into_iter().map(|(version, (manifests, _))| (version, manifests)).collect();
        let real = operation::open_bundles(inventory).and_then(|(bundles, directories)| {
            let path = &args.inventory.inventory;
            let manifests = operation::open_manifests(inventory, &bundles, &directories, path)?;
            Ok((bundles, manifests))
        });
        let (mut wanted, manifests) = real.unwrap_or_else(|_| (BTreeMap::new(), played_manifests(inventory)));
        let played = stand_in(inventory, &manifests, &mut wanted, &mut passing)
            .map_err(|error| CommandError::new(ErrorKind::Usage, error))?;
        Ok(Bundles { wanted, passing, manifests, played })
    }
}

/// Looks at the cluster, which is not changed, and builds its replica. What `plan` refuses is refused.
pub(super) fn replica(
    args: &ClusterArgs,
    inventory: Inventory,
    state: &ClusterState,
    bundles: Bundles,
    faults: Faults,
) -> Result<Replica, CommandError> {
    let Bundles { wanted, passing, manifests, played } = bundles;
    let operation = observe(args, inventory, state, &wanted, &passing, &manifests)?;
    let look = block_on(operation.look(Goal::Converge))??;
    let real = look.outline.map_err(plan_error)?;
    let target = operation.inventory.version.minor();
    let from = real.plan.versions.as_ref().and_then(|versions| versions.lowest_control_plane());
    let from = from.map_or(target, KubeVersion::minor);
    let kube = operation.adapters.kube.as_ref();
    let listed = block_on(list_upgrade(&operation.inventory, kube, from, target))?
        .map_err(|error| CommandError::new(ErrorKind::Unreachable, error))?;
    let ca = operation.vault.ca_certificate().map_err(|error| CommandError::new(ErrorKind::Failed, error))?;
    let original = Original {
        inventory: &operation.inventory,
        facts: &look.facts,
        vault: &look.vault,
        ca_certificate: &ca.unwrap_or_default(),
        listed: &listed,
        bundles: wanted,
        passing,
        manifests,
        now: jiff::Timestamp::now().as_second(),
    };
    let mut simulation = Simulation::replica(original, faults).map_err(replica_error)?;
    // A bundle that is played has other hashes than the real one, so other steps are no surprise.
    let differs = if played.is_empty() { differences(&mut simulation, &real) } else { Vec::new() };
    Ok(Replica { simulation, differs })
}

fn observe(
    args: &ClusterArgs,
    inventory: Inventory,
    state: &ClusterState,
    bundles: &BTreeMap<Arch, BundleManifest>,
    passing: &Passing,
    manifests: &Manifests,
) -> Result<Operation, CommandError> {
    let failed = |error: crate::state::VaultError| CommandError::new(ErrorKind::Failed, error);
    harden_process().map_err(|error| CommandError::new(ErrorKind::Failed, error))?;
    let clock = operation::system_clock();
    let vault = Vault::observe(state.home(), &args.identity(), &inventory.name, clock).map_err(failed)?;
    let vault = Arc::new(vault);
    authorities::take_in(&inventory.pki, &vault, jiff::Timestamp::now().as_second())?;
    let dropped = operation::dropped_hosts(state.home(), &inventory)?;
    let adapters = adapters::connect(&inventory, &dropped, &vault, &args.reach.ssh)?;
    Ok(Operation {
        inventory,
        state: state.clone(),
        vault,
        bundles: bundles.clone(),
        bundle_directories: BTreeMap::new(),
        passing: passing.clone(),
        passing_directories: BTreeMap::new(),
        manifests: manifests.clone(),
        dropped,
        adapters,
    })
}

/// Steps that only one of the two plans has: what the replica could not carry over.
fn differences(simulation: &mut Simulation, real: &Outline) -> Vec<String> {
    let Ok(Ok(played)) = simulation.plan(Goal::Converge).map(|look| look.outline) else { return Vec::new() };
    let has = |outline: &Outline, step: &Step| outline.plan.step(&step.id).is_some();
    let only = |one: &Outline, other: &Outline, whose: &str| -> Vec<String> {
        let steps = one.plan.steps.iter().filter(|step| !has(other, step));
        steps.map(|step| format!("{} is in the plan of the {whose} only", step.id)).collect()
    };
    let mut all = only(real, &played, "real machines");
    all.extend(only(&played, real, "simulated machines"));
    all
}

fn replica_error(error: ReplicaError) -> CommandError {
    match error {
        ReplicaError::NoCluster => {
            CommandError::new(ErrorKind::Usage, error).hint("rehearse its install:\n    keelwright rehearse")
        }
        ReplicaError::Api(_) | ReplicaError::Etcd(_) => CommandError::new(ErrorKind::Unreachable, error),
        ReplicaError::Plan(source) => plan_error(source),
        ReplicaError::Vault(_) => CommandError::new(ErrorKind::Failed, error),
    }
}
