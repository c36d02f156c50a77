//! What every command that works on a cluster needs: inventory, state directory, bundle, sessions
//! and API clients, put together from the real adapters.

use std::collections::BTreeMap;
use std::sync::Arc;

use camino::{Utf8Path, Utf8PathBuf};
use secrecy::ExposeSecret as _;

use super::adapters::{self, Adapters};
use super::inventory::InventoryArg;
use super::state::ClusterState;
use super::{CommandError, ErrorKind, authorities};
use crate::blueprint::cluster::{Manifests, read_manifests, wanted_manifests};
use crate::bundle::{self, manifest_texts};
use crate::exec::ports::{PortError, SecretSource as _};
use crate::exec::{Cycle, Look, VaultView};
use crate::facts::{Founding, VaultFacts};
use crate::inventory::{ClusterName, Host, HostName, Inventory, Wanted};
use crate::pki::{KeyId, SecretContent};
use crate::plan::upgrade::{NoPath, UpgradeError};
use crate::plan::{Goal, PlanError};
use crate::release::catalog::SUPPORTED;
use crate::release::{Arch, BundleManifest, KubeVersion, Minor};
use crate::state::vault::Clock;
use crate::state::{Home, Identity, Vault, VaultError, harden_process};

/// Hosts this state directory has ever worked on, so that one dropped from the inventory is found.
pub(super) const HOSTS_FILE: &str = "hosts.json";

/// Flags of every command that works on a cluster.
#[derive(Debug, Clone, clap::Args)]
pub struct ClusterArgs {
    #[command(flatten)]
    pub inventory: InventoryArg,
    #[command(flatten)]
    pub reach: ReachArgs,
}

/// How a cluster's keys are found and its machines are reached.
#[derive(Debug, Clone, clap::Args)]
pub struct ReachArgs {
    /// Keep the cluster's sealed keys, journal and lock in DIR [default: .keelwright/NAME beside the inventory]
    #[arg(long, value_name = "DIR")]
    pub state: Option<Utf8PathBuf>,
    /// Open the sealed keys with the age identity in FILE [default: ~/.config/keelwright/identity.txt]
    #[arg(long, value_name = "FILE", env = "KEELWRIGHT_AGE_IDENTITY")]
    pub identity: Option<Utf8PathBuf>,
    #[command(flatten)]
    pub ssh: SshArgs,
}

impl ClusterArgs {
    /// The cluster on its machines, for a command that only looks.
    pub fn look(&self) -> Result<(Inventory, ClusterState), CommandError> {
        let wanted = self.inventory.wanted()?;
        let state = ClusterState::look(self, wanted.name(), wanted.state())?;
        Ok((cluster_of(wanted, &state)?, state))
    }

    /// The same for a command that changes things.
    pub fn hold(&self) -> Result<(Inventory, ClusterState), CommandError> {
        let wanted = self.inventory.wanted()?;
        let state = ClusterState::hold(self, wanted.name(), wanted.state())?;
        Ok((cluster_of(wanted, &state)?, state))
    }

    /// Where the cluster's sealed keys, journal, lock and snapshots are, unless operators share them.
    pub fn state_directory(&self, cluster: &ClusterName) -> Utf8PathBuf {
        self.reach.state.clone().unwrap_or_else(|| {
            let beside = self.inventory.inventory.parent().unwrap_or(Utf8Path::new("."));
            beside.join(".keelwright").join(cluster.as_str())
        })
    }

    pub fn identity(&self) -> Utf8PathBuf {
        self.reach.identity.clone().unwrap_or_else(|| {
            let home = std::env::var("HOME").unwrap_or_else(|_| "/root".to_owned());
            Utf8PathBuf::from(home).join(".config/keelwright/identity.txt")
        })
    }
}

/// On the machines of the inventory, or on those that are in the cloud now.
fn cluster_of(wanted: Wanted, state: &ClusterState) -> Result<Inventory, CommandError> {
    match wanted {
        Wanted::Hosts(inventory) => Ok(*inventory),
        Wanted::Aws(wanted) => super::site::cluster_now(*wanted, state),
    }
}

/// How machines are reached, where the inventory does not say.
#[derive(Debug, Clone, clap::Args)]
pub struct SshArgs {
    /// Trust a host key that is seen for the first time, and remember it
    #[arg(long)]
    pub ssh_trust_on_first_use: bool,
    /// Read the password that sudo asks for from FILE instead of the terminal
    #[arg(long, value_name = "FILE")]
    pub sudo_password_file: Option<Utf8PathBuf>,
}

/// A command at work on one cluster.
pub struct Operation {
    pub inventory: Inventory,
    pub state: ClusterState,
    pub vault: Arc<Vault>,
    pub bundles: BTreeMap<Arch, BundleManifest>,
    pub bundle_directories: BTreeMap<Arch, Utf8PathBuf>,
    /// Bundles of versions that an upgrade may pass through, and where they are.
    pub passing: BTreeMap<KubeVersion, BTreeMap<Arch, BundleManifest>>,
    pub passing_directories: BTreeMap<KubeVersion, BTreeMap<Arch, Utf8PathBuf>>,
    /// Of the network plugin and the add-ons.
    pub manifests: Manifests,
    pub dropped: BTreeMap<HostName, Host>,
    pub adapters: Adapters,
}

fn failed(error: impl std::error::Error + Send + Sync + 'static) -> CommandError {
    CommandError::new(ErrorKind::Failed, error)
}

impl Operation {
    /// For a command that changes things: makes the vault of a new cluster.
    pub fn open(args: &ClusterArgs) -> Result<Self, CommandError> {
        let (inventory, state) = args.hold()?;
        Self::open_on(args, inventory, &state, None)
    }

    /// The same for an inventory that has been read; a new vault gets the identity that a saved plan was made for.
    pub fn open_on(
        args: &ClusterArgs,
        inventory: Inventory,
        state: &ClusterState,
        founding: Option<&Founding>,
    ) -> Result<Self, CommandError> {
        Self::with_vault(args, inventory, state, |home, identity, cluster, clock| {
            let identity = Identity::load_or_create(identity)?;
            Vault::open_or_create(home, &identity, cluster, clock, founding)
        })
    }

    /// For a command that only looks: leaves nothing behind, also where there is no cluster yet.
    pub fn observe(args: &ClusterArgs) -> Result<Self, CommandError> {
        let (inventory, state) = args.look()?;
        Self::observe_on(args, inventory, &state)
    }

    /// The same for an inventory that has been read.
    pub fn observe_on(
        args: &ClusterArgs,
        inventory: Inventory,
        state: &ClusterState,
    ) -> Result<Self, CommandError> {
        Self::with_vault(args, inventory, state, |home, identity, cluster, clock| {
            Vault::observe(home, identity, cluster, clock)
        })
    }

    /// Opens the vault and the bundles, and takes the operator's own CAs in.
    fn with_vault(
        args: &ClusterArgs,
        inventory: Inventory,
        state: &ClusterState,
        open: impl FnOnce(&Home, &Utf8Path, &ClusterName, Clock) -> Result<Vault, VaultError>,
    ) -> Result<Self, CommandError> {
        harden_process().map_err(failed)?;
        let clock = system_clock();
        let vault = open(state.home(), &args.identity(), &inventory.name, clock).map_err(failed)?;
        let vault = Arc::new(vault);
        authorities::take_in(&inventory.pki, &vault, jiff::Timestamp::now().as_second())?;
        let (bundles, bundle_directories) = open_bundles(&inventory)?;
        let (mut passing, mut passing_directories) = (BTreeMap::new(), BTreeMap::new());
        for (version, (manifests, directories)) in open_passing(&inventory) {
            passing.insert(version, manifests);
            passing_directories.insert(version, directories);
        }
        let manifests = open_manifests(&inventory, &bundles, &bundle_directories, &args.inventory.inventory)?;
        let dropped = dropped_hosts(state.home(), &inventory)?;
        let adapters = adapters::connect(&inventory, &dropped, &vault, &args.reach.ssh)?;
        Ok(Operation {
            inventory,
            state: state.clone(),
            vault,
            bundles,
            bundle_directories,
            passing,
            passing_directories,
            manifests,
            dropped,
            adapters,
        })
    }

    /// Looks at everything and plans.
    pub async fn look(&self, goal: Goal) -> Result<Look, CommandError> {
        let cycle = Cycle {
            inventory: &self.inventory,
            bundles: &self.bundles,
            passing: &self.passing,
            manifests: &self.manifests,
            dropped: &self.dropped,
            vault: self.vault.as_ref(),
            remote: self.adapters.remote.as_ref(),
            kube: self.adapters.kube.as_ref(),
            etcd: self.adapters.etcd.as_ref(),
            goal,
            clock: &|| jiff::Timestamp::now().as_second(),
        };
        cycle.look().await.map_err(failed)
    }

    /// Where the bundles lie, by host and version.
    pub fn directories(&self) -> BTreeMap<(HostName, KubeVersion), Utf8PathBuf> {
        let wanted = [(&self.inventory.version, &self.bundle_directories)];
        let mut all = BTreeMap::new();
        for (version, directories) in wanted.into_iter().chain(&self.passing_directories) {
            for host in self.inventory.hosts.values() {
                if let Some(directory) = directories.get(&host.arch) {
                    all.insert((host.name.clone(), *version), directory.clone());
                }
            }
        }
        all
    }

    /// Remembers the hosts that this run may touch, before it touches them.
    pub fn remember_hosts(&self) -> Result<(), CommandError> {
        let mut hosts = self.dropped.clone();
        hosts.extend(self.inventory.hosts.clone());
        let bytes = serde_json::to_vec_pretty(&hosts).map_err(failed)?;
        self.state.home().replace(HOSTS_FILE, &bytes).map_err(failed)
    }

    /// Forgets hosts that have been taken out.
    pub fn forget_hosts(&self, gone: &[HostName]) -> Result<(), CommandError> {
        let mut hosts = self.dropped.clone();
        hosts.extend(self.inventory.hosts.clone());
        hosts.retain(|name, _| !gone.contains(name));
        let bytes = serde_json::to_vec_pretty(&hosts).map_err(failed)?;
        self.state.home().replace(HOSTS_FILE, &bytes).map_err(failed)
    }
}

/// A cluster that is there, for a command that brings nothing to its hosts: it needs no bundle.
pub struct Reach {
    pub inventory: Inventory,
    pub vault: Arc<Vault>,
    pub adapters: Adapters,
    /// Its lock is held while the command runs, where it changes anything.
    _state: ClusterState,
}

impl Reach {
    /// For a command that leaves the cluster's machines and state as they are; connects to nothing yet.
    pub fn look(args: &ClusterArgs) -> Result<Self, CommandError> {
        harden_process().map_err(failed)?;
        let (inventory, state) = args.look()?;
        let vault = Vault::observe(state.home(), &args.identity(), &inventory.name, system_clock());
        let vault = Arc::new(vault.map_err(failed)?);
        let dropped = dropped_hosts(state.home(), &inventory)?;
        let adapters = adapters::connect(&inventory, &dropped, &vault, &args.reach.ssh)?;
        Ok(Reach { inventory, vault, adapters, _state: state })
    }

    /// Takes the state for this run and opens the vault; connects to nothing yet.
    pub fn open(args: &ClusterArgs) -> Result<Self, CommandError> {
        harden_process().map_err(failed)?;
        // Where there is nothing, a lock would be the first thing that is.
        let wanted = args.inventory.wanted()?;
        let looked = ClusterState::look(args, wanted.name(), wanted.state())?;
        if looked.is_new().map_err(failed)? {
            let text = format!("{} has no keys of cluster {}", looked.place(), wanted.name());
            return Err(CommandError::new(ErrorKind::Usage, text)
                .hint("its first `keelwright apply` makes them; name another state directory with --state"));
        }
        let (inventory, state) = args.hold()?;
        let identity = Identity::load(&args.identity()).map_err(failed)?;
        let vault = Vault::open_or_create(state.home(), &identity, &inventory.name, system_clock(), None);
        let vault = Arc::new(vault.map_err(failed)?);
        let dropped = dropped_hosts(state.home(), &inventory)?;
        let adapters = adapters::connect(&inventory, &dropped, &vault, &args.reach.ssh)?;
        Ok(Reach { inventory, vault, adapters, _state: state })
    }
}

pub(super) fn system_clock() -> Clock {
    Arc::new(|| jiff::Timestamp::now().as_second())
}

/// What a planning error means to the operator.
pub fn plan_error(error: PlanError) -> CommandError {
    match &error {
        PlanError::Refused(refusals) => {
            let hints: Vec<String> =
                refusals.iter().map(|refusal| format!("host {}: {refusal}", refusal.host)).collect();
            let mut command = CommandError::new(ErrorKind::Refused, error);
            command.hints = hints;
            command
        }
        PlanError::NoBundle { .. } | PlanError::Artifact { .. } => {
            CommandError::new(ErrorKind::Usage, error).hint("make one with\n    keelwright bundle")
        }
        PlanError::Concerns(concerns) => {
            let hints: Vec<String> = concerns.iter().map(ToString::to_string).collect();
            CommandError::new(ErrorKind::Refused, error).hint(hints.join("\n"))
        }
        PlanError::Upgrade(UpgradeError::NoPath(NoPath::Missing { minors, .. })) => {
            let hint = passing_bundles(minors);
            CommandError::new(ErrorKind::Refused, error).hint(hint)
        }
        PlanError::Upgrade(_) => CommandError::new(ErrorKind::Refused, error),
        PlanError::Release(_) | PlanError::PodCidrs(_) => CommandError::new(ErrorKind::Usage, error),
        PlanError::Inputs(_) => CommandError::new(ErrorKind::Failed, error),
    }
}

/// A minor that is only passed through needs its control plane and nothing else.
fn passing_bundles(minors: &[Minor]) -> String {
    let versions = SUPPORTED.iter().filter(|release| minors.contains(&release.minor));
    let commands = versions.map(|release| {
        format!("    keelwright bundle --kubernetes-version {} --only control-plane", release.default_patch)
    });
    format!("collect what they need:\n{}", commands.collect::<Vec<_>>().join("\n"))
}

pub(super) type Bundles = (BTreeMap<Arch, BundleManifest>, BTreeMap<Arch, Utf8PathBuf>);
/// By version: what an upgrade may pass through.
pub(super) type Passing = BTreeMap<KubeVersion, Bundles>;

/// Bundles of the minors below the wanted one that lie where that one lies; one that is missing is asked for
/// when it is needed.
pub(super) fn open_passing(inventory: &Inventory) -> Passing {
    let archs: std::collections::BTreeSet<Arch> = inventory.hosts.values().map(|host| host.arch).collect();
    let mut all = Passing::new();
    for release in SUPPORTED.iter().filter(|release| release.minor < inventory.version.minor()) {
        let version = release.default_patch;
        for arch in &archs {
            let directory = match &inventory.artifacts.bundle {
                Some(given) => given.with_file_name(format!("{version}-{}", arch.as_str())),
                None => match super::bundle::default_directory(version, *arch) {
                    Ok(directory) => directory,
                    Err(_) => continue,
                },
            };
            let manifest = std::fs::read(directory.join(crate::release::artifact::MANIFEST_NAME))
                .ok()
                .and_then(|bytes| BundleManifest::from_json(&bytes).ok())
                .filter(|manifest| manifest.kubernetes_version == version && manifest.arch == *arch);
            if let Some(manifest) = manifest {
                let (manifests, directories) = all.entry(version).or_default();
                manifests.insert(*arch, manifest);
                directories.insert(*arch, directory);
            }
        }
    }
    all.retain(|_, (manifests, _)| archs.iter().all(|arch| manifests.contains_key(arch)));
    all
}

pub(super) fn open_bundles(inventory: &Inventory) -> Result<Bundles, CommandError> {
    let wanted: std::collections::BTreeSet<Arch> = inventory.hosts.values().map(|host| host.arch).collect();
    let (mut manifests, mut directories) = (BTreeMap::new(), BTreeMap::new());
    for arch in wanted {
        let directory = match &inventory.artifacts.bundle {
            Some(directory) => directory.clone(),
            None => crate::cli::bundle::default_directory(inventory.version, arch)?,
        };
        let path = directory.join(crate::release::artifact::MANIFEST_NAME);
        let bytes = std::fs::read(&path).map_err(|source| {
            CommandError::new(ErrorKind::Usage, BundleError { path: path.clone(), source }).hint(format!(
                "collect the artifacts first:\n    keelwright bundle --kubernetes-version {} --arch {}",
                inventory.version,
                arch.as_str()
            ))
        })?;
        let manifest =
            BundleManifest::from_json(&bytes).map_err(|error| CommandError::new(ErrorKind::Usage, error))?;
        manifests.insert(arch, manifest);
        directories.insert(arch, directory);
    }
    Ok((manifests, directories))
}

/// The bundles, which have the manifests that the inventory wants.
pub(super) fn artifacts(inventory: &Inventory, path: &Utf8Path) -> Result<Bundles, CommandError> {
    let (bundles, directories) = open_bundles(inventory)?;
    open_manifests(inventory, &bundles, &directories, path)?;
    Ok((bundles, directories))
}

/// Reads the manifests the inventory wants. Every architecture's bundle must have them, because it then also
/// has their images; the objects are the same for all.
pub(super) fn open_manifests(
    inventory: &Inventory,
    bundles: &BTreeMap<Arch, BundleManifest>,
    directories: &BTreeMap<Arch, Utf8PathBuf>,
    path: &Utf8Path,
) -> Result<Manifests, CommandError> {
    let wanted = wanted_manifests(inventory);
    let mut texts = BTreeMap::new();
    for (arch, bundle) in bundles {
        let Some(directory) = directories.get(arch) else { continue };
        let found = manifest_texts(&wanted, bundle, directory).map_err(|error| match error {
            bundle::BundleError::NoManifest { .. } => CommandError::new(ErrorKind::Usage, error)
                .hint(format!("collect what the inventory needs:\n    keelwright bundle --inventory {path}")),
            other => super::bundle_error::failure(other),
        })?;
        if !texts.is_empty() && texts != found {
            let error = "the bundles of the architectures have different manifests";
            return Err(CommandError::new(ErrorKind::Usage, error)
                .hint("give the sha256 of each in the inventory, and make the bundles again"));
        }
        texts = found;
    }
    read_manifests(inventory, &texts).map_err(|error| CommandError::new(ErrorKind::Usage, error))
}

#[derive(Debug, thiserror::Error)]
#[error("cannot read bundle {path}")]
struct BundleError {
    path: Utf8PathBuf,
    source: std::io::Error,
}

pub(super) fn dropped_hosts(
    home: &Home,
    inventory: &Inventory,
) -> Result<BTreeMap<HostName, Host>, CommandError> {
    let mut hosts = known_hosts(home)?;
    hosts.retain(|name, _| !inventory.hosts.contains_key(name));
    Ok(hosts)
}

/// There are no hosts any more.
pub(super) fn forget_all_hosts(home: &Home) -> Result<(), CommandError> {
    match home.read(HOSTS_FILE).map_err(failed)? {
        Some(_) => home.replace(HOSTS_FILE, b"{}").map_err(failed),
        None => Ok(()),
    }
}

/// Hosts that a run has touched and that have not been taken out since.
pub(super) fn known_hosts(home: &Home) -> Result<BTreeMap<HostName, Host>, CommandError> {
    let bytes = home.read(HOSTS_FILE).map_err(failed)?;
    bytes.map_or(Ok(BTreeMap::new()), |bytes| serde_json::from_slice(&bytes).map_err(failed))
}

impl VaultView for Vault {
    fn facts(&self, contents: &[SecretContent]) -> VaultFacts {
        Vault::facts(self, contents.iter())
    }

    fn ca_certificate(&self) -> Result<Option<String>, PortError> {
        if !Vault::facts(self, std::iter::empty()).entries.contains_key(&KeyId::ca()) {
            return Ok(None);
        }
        let bytes = self.resolve(&SecretContent::Certificate { key: KeyId::ca() })?;
        String::from_utf8(bytes.expose_secret().to_vec())
            .map(Some)
            .map_err(|error| PortError(format!("the CA certificate is not text: {error}")))
    }
}
