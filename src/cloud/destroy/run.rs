//! Carries a destruction out, and looks again: what a controller has made in its last moments goes, too.

use std::collections::BTreeMap;

use super::{Destruction, KeptVolume, Volumes, plan_destroy};
use crate::cloud::name::{PhysicalId, ResourceName};
use crate::cloud::plan::InfraPlan;
use crate::cloud::ports::{CloudApi, CloudError, Neighbour, Observed};
use crate::cloud::run::{InfraEvent, InfraOutcome, InfraRun, Pace};
use crate::exec::Clock;

/// How often more may be found than was known before; after the first time no machine is left that could make any.
const ROUNDS: usize = 4;

/// What a destruction works with.
pub struct Destroyer<'a> {
    pub api: &'a dyn CloudApi,
    pub clock: &'a dyn Clock,
    pub pace: Pace,
    pub seed: u64,
    pub cluster: &'a str,
    /// Where the cluster is, when its network is somebody else's.
    pub network: Option<PhysicalId>,
    pub volumes: Volumes,
    pub events: &'a (dyn Fn(&InfraPlan, InfraEvent) + Sync),
}

/// What there is, and what is to become of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Scene {
    pub observed: Observed,
    pub neighbours: Vec<Neighbour>,
    pub destruction: Destruction,
}

/// How it ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Ended {
    /// What was carried out last.
    pub plan: InfraPlan,
    pub outcome: InfraOutcome,
    /// What there is now.
    pub scene: Scene,
    /// Volumes that stay, also those of which nothing but a machine that has gone told whose they are.
    pub kept: Vec<KeptVolume>,
}

impl Ended {
    /// Whether nothing is left but volumes.
    pub fn is_complete(&self) -> bool {
        self.outcome.is_complete() && self.scene.destruction.held.is_empty()
    }
}

impl Destroyer<'_> {
    /// Looks at everything.
    ///
    /// # Errors
    /// [`CloudError`] when the account does not answer.
    pub async fn look(&self) -> Result<Scene, CloudError> {
        let observed = self.api.observe().await?;
        let main = observed.found.get(&ResourceName::new("vpc", "main"));
        let network = main.and_then(|all| all.first()).map(|found| &found.id).or(self.network.as_ref());
        let neighbours = self.api.neighbours(network).await?;
        let destruction = plan_destroy(self.cluster, &observed, &neighbours, self.volumes);
        Ok(Scene { observed, neighbours, destruction })
    }

    /// Takes away what is to go, until no more of it is found.
    ///
    /// # Errors
    /// [`CloudError`] when the account does not answer any more; what has gone stays gone.
    pub async fn carry_out(&self, first: Scene) -> Result<Ended, CloudError> {
        let mut kept: BTreeMap<PhysicalId, KeptVolume> = BTreeMap::new();
        let mut scene = first;
        let mut rounds = ROUNDS;
        loop {
            let plan = scene.destruction.plan.clone();
            let run = InfraRun {
                api: self.api,
                clock: self.clock,
                pace: self.pace,
                seed: self.seed,
                force: true,
                events: &|event| (self.events)(&plan, event),
            };
            let outcome = run.carry_out(&plan, &scene.observed).await;
            let next = self.look().await?;
            // The first look knows more: whose machine had a volume.
            for volume in scene.destruction.kept.iter().chain(&next.destruction.kept) {
                kept.entry(volume.volume.id.clone()).or_insert_with(|| volume.clone());
            }
            rounds -= 1;
            if rounds == 0 || !next.destruction.adds_to(&scene.destruction) {
                return Ok(Ended { plan, outcome, scene: next, kept: kept.into_values().collect() });
            }
            scene = next;
        }
    }
}
