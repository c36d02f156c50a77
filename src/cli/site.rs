//! A cluster in AWS at the command line: what there is of it, the keys of its machines, and the way from what there
//! is to what is wanted.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::apply::block_on;
use super::operation::Bundles;
use super::state::ClusterState;
use super::{CommandError, ErrorKind};
use crate::cloud::aws::{AwsCloud, LookupError, look_up};
use crate::cloud::fenced::Fenced;
use crate::cloud::host_keys::host_keys;
use crate::cloud::hosts::{HostKeys, Site as Scene, machines};
use crate::cloud::join::{JoinError, first_boot};
use crate::cloud::plan::{InfraPlan, Refusal, plan_infra};
use crate::cloud::ports::{CloudApi as _, CloudError, Observed, Trouble};
use crate::cloud::resource::DesiredState;
use crate::cloud::run::{InfraOutcome, InfraRun, Pace};
use crate::cloud::spec::{Lookups, desired};
use crate::cloud::{PhysicalId, ResourceName, show};
use crate::exec::{Clock as _, SystemClock};
use crate::inventory::{AwsInventory, Inventory};

/// Host keys that machines said on their consoles, which do not keep them for ever.
pub(super) const HOST_KEYS_FILE: &str = "host-keys.json";
/// For how long a machine that was just started may be silent, on its console and over SSH.
pub(super) const BOOT: Duration = Duration::from_secs(10 * 60);
/// Between two looks at a console.
const PAUSE: Duration = Duration::from_secs(3);

/// An inventory and the account it is about.
pub(super) struct Site {
    pub inventory: AwsInventory,
    pub api: AwsCloud,
    state: ClusterState,
    pub clock: SystemClock,
    /// What workers are made of, where a command makes some, and where that lies.
    pub bundles: Bundles,
}

/// What there is, and what is wanted.
pub(super) struct Survey {
    pub lookups: Lookups,
    pub wanted: DesiredState,
    pub observed: Observed,
    /// Worker groups wait until the addresses of the control planes are known.
    pub groups_wait: bool,
}

/// Whether a machine that has not said its keys yet is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keys {
    Await,
    AsKnown,
}

#[derive(Debug, thiserror::Error)]
enum SiteError {
    #[error("{region}: {} cannot be changed as the inventory wants", count(refusals.len()))]
    Refused { region: String, refusals: Vec<Refusal> },
    #[error("{name} ({id}) has not said its host keys on its console in {} s", BOOT.as_secs())]
    NoKeys { name: ResourceName, id: PhysicalId },
    #[error("nobody knows the address of {0} before it has been made")]
    NoAddress(ResourceName),
    #[error("cluster {cluster} has no machines in {region}")]
    NoMachines { cluster: String, region: String },
    #[error("the credentials in use lack {0} of the permissions that this takes; none of it was begun")]
    Denied(usize),
    #[error("machines of group {group} cannot join by themselves")]
    Join { group: String, source: JoinError },
    #[error("{failed} of {steps} changes in the cloud failed, and {left} were not begun")]
    Failed { failed: usize, steps: usize, left: usize },
}

fn count(number: usize) -> String {
    if number == 1 { "one resource".to_owned() } else { format!("{number} resources") }
}

fn failed(error: impl std::error::Error + Send + Sync + 'static) -> CommandError {
    CommandError::new(ErrorKind::Failed, error)
}

fn usage(error: impl std::error::Error + Send + Sync + 'static) -> CommandError {
    CommandError::new(ErrorKind::Usage, error)
}

/// What an error of the cloud means to the operator.
pub(super) fn cloud_error(error: CloudError) -> CommandError {
    let call = error.call;
    match error.trouble {
        Trouble::Denied => CommandError::new(ErrorKind::Refused, error).hint(format!(
            "the credentials in use may not {call}; allow it, or name others with aws.profile"
        )),
        Trouble::Unknown => CommandError::new(ErrorKind::Unreachable, error)
            .hint("look at the network, the region and the credentials:\n    aws sts get-caller-identity"),
        _ => failed(error),
    }
}

/// A run that has not done all of its plan: each step that failed.
pub(super) fn incomplete(plan: &InfraPlan, outcome: &InfraOutcome) -> CommandError {
    let hints = outcome.failed.iter().map(|(at, error)| {
        let name = plan.steps.get(*at).map(|step| step.name.to_string()).unwrap_or_default();
        let cause = std::error::Error::source(error).map(|cause| format!(": {cause}"));
        format!("{name}: {error}{}", cause.unwrap_or_default())
    });
    let (failures, left) = (outcome.failed.len(), outcome.left.len());
    let error = SiteError::Failed { failed: failures, steps: plan.steps.len(), left };
    hints.fold(failed(error), CommandError::hint)
}

/// The cluster on the machines that there are, for commands that change none.
pub(super) fn cluster_now(inventory: AwsInventory, state: &ClusterState) -> Result<Inventory, CommandError> {
    let site = block_on(Site::connect(inventory, state))?;
    block_on(site.cluster_now())?
}

impl Survey {
    pub fn has_machines(&self) -> bool {
        !machines(&self.observed).is_empty()
    }
}

impl Site {
    /// Calls nobody yet.
    pub async fn connect(inventory: AwsInventory, state: &ClusterState) -> Self {
        let api = AwsCloud::connect(inventory.name().as_str(), &inventory.aws).await;
        let (state, clock) = (state.clone(), SystemClock::default());
        Site { inventory, api, state, clock, bundles: Bundles::default() }
    }

    /// The cluster on the machines that there are, for who changes none.
    pub async fn cluster_now(&self) -> Result<Inventory, CommandError> {
        let survey = self.survey().await?;
        if !survey.has_machines() {
            let (cluster, region) = (self.inventory.name().to_string(), self.inventory.aws.region.clone());
            return Err(CommandError::new(ErrorKind::Refused, SiteError::NoMachines { cluster, region })
                .hint("make them:\n    keelwright apply"));
        }
        self.cluster(&survey, Keys::AsKnown).await
    }

    /// The same, for a command that makes workers.
    pub fn with_bundles(self, bundles: Bundles) -> Self {
        Site { bundles, ..self }
    }

    /// Looks at everything of the cluster's in the account.
    pub async fn survey(&self) -> Result<Survey, CommandError> {
        let lookups = look_up(&self.api, &self.inventory.aws).await.map_err(|error| match error {
            LookupError::Cloud(error) => cloud_error(error),
            other => CommandError::new(ErrorKind::Usage, other),
        })?;
        let wanted = desired(&self.inventory, &lookups).map_err(usage)?;
        let observed = self.api.observe().await.map_err(cloud_error)?;
        self.with_workers(Survey { lookups, wanted, observed, groups_wait: false })
    }

    /// Gives the machines of worker groups what they do at their first boot.
    fn with_workers(&self, mut survey: Survey) -> Result<Survey, CommandError> {
        let (bundles, _) = &self.bundles;
        if bundles.is_empty() || !self.inventory.workers_join() {
            return Ok(survey);
        }
        let Survey { lookups, wanted, observed, .. } = &survey;
        let keys = HostKeys::new();
        let scene = Scene { inventory: &self.inventory, lookups, wanted, observed, keys: &keys };
        let Ok(cluster) = scene.cluster() else {
            let is_group = |name: &ResourceName| ["launch-template", "scaling-group"].contains(&name.kind());
            survey.wanted.retain(|name, _| !is_group(name));
            return Ok(Survey { groups_wait: true, ..survey });
        };
        let join = self.inventory.self_join();
        for group in &self.inventory.aws.worker_groups {
            let Some(bundle) = bundles.get(&group.arch) else { continue };
            let text = first_boot(&cluster, &join, group, bundle)
                .map_err(|source| usage(SiteError::Join { group: group.name.clone(), source }))?;
            survey.lookups.first_boots.insert(group.name.clone(), text);
        }
        survey.wanted = desired(&self.inventory, &survey.lookups).map_err(usage)?;
        Ok(survey)
    }

    /// The changes from what there is to `wanted`.
    pub fn plan(&self, survey: &Survey, wanted: &DesiredState) -> Result<InfraPlan, CommandError> {
        plan_infra(self.inventory.name().as_str(), wanted, &survey.observed).map_err(|refusals| {
            let hints: Vec<String> = refusals.iter().map(ToString::to_string).collect();
            let region = self.inventory.aws.region.clone();
            let mut error = CommandError::new(ErrorKind::Refused, SiteError::Refused { region, refusals });
            error.hints = hints;
            error
        })
    }

    /// Refuses what the credentials do not allow, before the first change.
    pub async fn foretell(&self, wanted: &BTreeSet<&'static str>) -> Result<(), CommandError> {
        if wanted.is_empty() {
            return Ok(());
        }
        let denied = match self.api.denied(wanted).await {
            Ok(denied) => denied,
            Err(error) if error.trouble == Trouble::Denied => {
                eprintln!("warning: nobody can say beforehand whether these credentials suffice: {error}");
                return Ok(());
            }
            Err(error) => return Err(cloud_error(error)),
        };
        if denied.is_empty() {
            return Ok(());
        }
        let hints = denied.iter().map(|denied| format!("allow {} on {}", denied.action, denied.resource));
        let hints = hints.collect();
        let mut error = CommandError::new(ErrorKind::Refused, SiteError::Denied(denied.len()));
        error.hints = hints;
        Err(error)
    }

    /// The account, to be changed by who holds the cluster's lock.
    pub fn fenced(&self) -> Fenced<'_, AwsCloud> {
        Fenced { api: &self.api, fence: self.state.fence() }
    }

    /// Carries out a plan, and says on standard error what happens.
    pub async fn carry_out(&self, plan: &InfraPlan, observed: &Observed) -> Result<(), CommandError> {
        let began = self.clock.now();
        let events = |event| {
            let seconds = (self.clock.now() - began).as_secs_f64();
            eprintln!("{seconds:8.1}s  {}", show::event(plan, &event));
        };
        let run = InfraRun {
            api: &self.fenced(),
            clock: &self.clock,
            pace: Pace::default(),
            seed: rand::random(),
            force: false,
            events: &events,
        };
        let outcome = run.carry_out(plan, observed).await;
        if outcome.is_complete() {
            return Ok(());
        }
        Err(incomplete(plan, &outcome).hint("what has been made is found again; go on with the same command"))
    }

    /// The cluster on its machines.
    pub async fn cluster(&self, survey: &Survey, keys: Keys) -> Result<Inventory, CommandError> {
        let keys = self.keys(&survey.observed, keys).await?;
        let Survey { lookups, wanted, observed, .. } = survey;
        let scene = Scene { inventory: &self.inventory, lookups, wanted, observed, keys: &keys };
        scene.cluster().map_err(|name| CommandError::new(ErrorKind::Refused, SiteError::NoAddress(name)))
    }

    /// The host keys of all machines, remembered from then on: a console forgets.
    async fn keys(&self, observed: &Observed, keys: Keys) -> Result<HostKeys, CommandError> {
        let home = self.state.home();
        let known = home.read(HOST_KEYS_FILE).map_err(failed)?;
        let known: HostKeys =
            known.map_or(Ok(BTreeMap::new()), |bytes| serde_json::from_slice(&bytes)).map_err(failed)?;
        // With an authority of host certificates nobody needs the keys themselves.
        if !self.inventory.ssh.host_cas.is_empty() {
            return Ok(HostKeys::new());
        }
        // A machine that is not seen for a moment has not lost its keys.
        let mut now = known.clone();
        for (name, found) in machines(observed) {
            let keys = match known.get(&found.id) {
                Some(keys) => keys.clone(),
                None => self.said_keys(name, &found.id, keys).await?,
            };
            if !keys.is_empty() {
                now.insert(found.id.clone(), keys);
            }
        }
        if now != known && home.directory().exists() {
            let bytes = serde_json::to_vec_pretty(&now).map_err(failed)?;
            home.replace(HOST_KEYS_FILE, &bytes).map_err(failed)?;
        }
        Ok(now)
    }

    async fn said_keys(
        &self,
        name: &ResourceName,
        id: &PhysicalId,
        keys: Keys,
    ) -> Result<Vec<String>, CommandError> {
        let began = self.clock.now();
        let mut told = false;
        loop {
            let said = host_keys(&self.api.console(id).await.map_err(cloud_error)?);
            if !said.is_empty() || keys == Keys::AsKnown {
                return Ok(said);
            }
            if self.clock.now() - began > BOOT {
                let error = SiteError::NoKeys { name: name.clone(), id: id.clone() };
                return Err(CommandError::new(ErrorKind::Unreachable, error).hint(format!(
                    "see whether it boots:\n    aws ec2 get-console-output --latest --instance-id {id}"
                )));
            }
            if !std::mem::replace(&mut told, true) {
                eprintln!("waiting for {name} to say its host keys on its console");
            }
            self.clock.wait(PAUSE).await;
        }
    }

    /// Takes away what new nodes join with, when nobody is left who could put it there again: workers of the next
    /// cluster of that name would join with it in vain.
    pub async fn forget_join(&self) -> Result<(), CommandError> {
        let join = self.inventory.self_join();
        self.state.fence().check().await.map_err(failed)?;
        self.api.forget_parameter(&join.parameter).await.map_err(cloud_error)
    }

    /// Nothing of the cluster's is left: neither are keys of its machines.
    pub fn forget_keys(&self) -> Result<(), CommandError> {
        self.state.home().remove(HOST_KEYS_FILE).map_err(failed)
    }
}
