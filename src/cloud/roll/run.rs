//! Rolls one group, looking again before every move.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::next::{Move, next};
use super::{Group, Groups, Limits, Nodes, NodesError, Phase, Size};
use crate::cloud::name::{PhysicalId, ResourceName};
use crate::cloud::ports::{CloudError, Trouble};
use crate::exec::Clock;

/// For how long nothing may change: a machine boots in ten minutes and is drained in fifteen.
const PATIENCE: Duration = Duration::from_secs(30 * 60);
/// For how long a change may not be seen.
const VISIBILITY: Duration = Duration::from_secs(60);

/// What rolling works with.
pub struct Roll<'a> {
    pub groups: &'a dyn Groups,
    /// None: the group's machines do not become nodes.
    pub nodes: Option<&'a dyn Nodes>,
    pub clock: &'a dyn Clock,
    /// Between two looks.
    pub pause: Duration,
    pub events: &'a (dyn Fn(RollEvent) + Send + Sync),
}

/// What happens, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RollEvent {
    Enlarged { from: u32, to: u32 },
    Goes { id: PhysicalId, left: usize },
    Again { error: CloudError },
    Done { machines: usize },
}

/// Why the machines of a group were not all made anew.
#[derive(Debug, thiserror::Error)]
pub enum RollError {
    #[error(transparent)]
    Cloud(#[from] CloudError),
    #[error("the cluster does not say which nodes it has")]
    Nodes(#[source] NodesError),
    #[error("{name}: nothing has changed for {} s; {} still old, not ready: {}, leaving: {}",
        PATIENCE.as_secs(), .outdated, list(.unready), list(.leaving))]
    Stuck { name: ResourceName, outdated: usize, unready: Vec<PhysicalId>, leaving: Vec<PhysicalId> },
}

fn list(ids: &[PhysicalId]) -> String {
    let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
    if ids.is_empty() { "none".to_owned() } else { ids.join(", ") }
}

/// What this run has done that may not be seen yet.
#[derive(Default)]
struct Memory {
    /// When each machine was told to go.
    told: BTreeMap<PhysicalId, Duration>,
    before: Option<(Option<Size>, Duration)>,
    machines: usize,
}

impl Roll<'_> {
    /// Until every machine is as the template says, and ready; how many were made anew. A group of machines that all
    /// are as they should be is left alone, whether they are ready or not.
    ///
    /// # Errors
    /// [`RollError`]: what was replaced stays so; the next run goes on.
    pub async fn roll(&self, name: &ResourceName, limits: &Limits) -> Result<usize, RollError> {
        if !self.groups.group(name).await?.is_some_and(|group| group.is_stale()) {
            return Ok(0);
        }
        let mut memory = Memory::default();
        let mut last = None;
        let mut since = self.clock.now();
        loop {
            let Some((group, ready)) = self.look(name, &memory).await? else { return Ok(memory.machines) };
            if last.as_ref() != Some(&(group.clone(), ready.clone())) {
                since = self.clock.now();
                last = Some((group.clone(), ready.clone()));
            }
            let step = next(&group, &ready, limits);
            if step == Move::Done {
                (self.events)(RollEvent::Done { machines: memory.machines });
                return Ok(memory.machines);
            }
            if self.clock.now() - since > PATIENCE {
                return Err(stuck(name, &group, &ready));
            }
            match self.carry_out(name, &group, &step, &mut memory).await {
                Err(error) if matches!(error.trouble, Trouble::Throttled | Trouble::Unknown) => {
                    (self.events)(RollEvent::Again { error });
                }
                other => other?,
            }
            self.clock.wait(self.pause).await;
        }
    }

    /// The group, and the machines that the cluster can use; nodes of machines that have gone are forgotten.
    async fn look(
        &self,
        name: &ResourceName,
        memory: &Memory,
    ) -> Result<Option<(Group, BTreeSet<PhysicalId>)>, RollError> {
        let Some(mut group) = self.groups.group(name).await? else { return Ok(None) };
        let now = self.clock.now();
        if let Some((before, _)) = memory.before.filter(|(_, at)| now - *at < VISIBILITY) {
            group.before = before;
        }
        for member in &mut group.members {
            if memory.told.get(&member.id).is_some_and(|at| now - *at < VISIBILITY) {
                member.phase = Phase::Leaving;
            }
        }
        let Some(nodes) = self.nodes else {
            let serving = group.members.iter().filter(|member| member.phase == Phase::Serving);
            let ready = serving.map(|member| member.id.clone()).collect();
            return Ok(Some((group, ready)));
        };
        let there: BTreeSet<&PhysicalId> = group.members.iter().map(|member| &member.id).collect();
        let gone = memory.told.keys().filter(|id| !there.contains(id)).cloned().collect();
        nodes.forget(&gone).await.map_err(RollError::Nodes)?;
        let ready = nodes.ready().await.map_err(RollError::Nodes)?;
        Ok(Some((group, ready)))
    }

    async fn carry_out(
        &self,
        name: &ResourceName,
        group: &Group,
        step: &Move,
        memory: &mut Memory,
    ) -> Result<(), CloudError> {
        let now = self.clock.now();
        match step {
            Move::Enlarge { to, before } => {
                self.groups.resize(name, *to, Some(*before)).await?;
                memory.before = Some((Some(*before), now));
                (self.events)(RollEvent::Enlarged { from: group.size.desired, to: to.desired });
            }
            Move::Settle(to) => {
                self.groups.resize(name, *to, None).await?;
                memory.before = Some((None, now));
            }
            Move::Replace(going) => {
                for (id, shrink) in going {
                    // Nobody knows whether a call has been carried out whose answer was lost.
                    memory.told.insert(id.clone(), now);
                    self.groups.terminate(id, *shrink).await?;
                    memory.machines += 1;
                    let live = group.members.iter();
                    let left = live.filter(|member| member.outdated && !memory.told.contains_key(&member.id));
                    (self.events)(RollEvent::Goes { id: id.clone(), left: left.count() });
                }
            }
            Move::Wait | Move::Done => {}
        }
        Ok(())
    }
}

fn stuck(name: &ResourceName, group: &Group, ready: &BTreeSet<PhysicalId>) -> RollError {
    let of = |wanted: &dyn Fn(&&super::Member) -> bool| {
        group.members.iter().filter(wanted).map(|member| member.id.clone()).collect::<Vec<_>>()
    };
    RollError::Stuck {
        name: name.clone(),
        outdated: of(&|member| member.outdated && member.phase != Phase::Leaving).len(),
        unready: of(&|member| member.phase != Phase::Leaving && !ready.contains(&member.id)),
        leaving: of(&|member| member.phase == Phase::Leaving),
    }
}
