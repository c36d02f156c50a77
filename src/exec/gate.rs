//! The health gate of a wave: waits until nodes and workloads are well, and watches that they stay so.

use std::collections::BTreeMap;
use std::time::Duration;

use super::engine::{Failure, Ports};
use super::event::Event;
use super::observe::list_workloads;
use super::ports::{KubeApi, KubeError};
use super::step::{failure, is_final};
use crate::facts::health::{Listed, troubles};
use crate::inventory::HostName;
use crate::plan::{Plan, Step};
use crate::release::KubeVersion;

/// How often everything is listed: pods of the whole cluster are among it.
const POLL: Duration = Duration::from_secs(5);
/// For how long something may be wrong during a pause: a pod that is made anew or an API server that is restarted
/// is away for less. More would let a wave begin that much later than it has to.
const GRACE: Duration = Duration::from_secs(30);
/// How many things that are wrong are named.
const NAMED: usize = 5;

/// What is looked at, and on whose behalf.
pub(super) struct Gate<'a> {
    pub step: &'a Step,
    pub plan: &'a Plan,
    pub nodes: &'a [HostName],
    pub kubelet: KubeVersion,
    pub ports: &'a Ports<'a>,
}

/// One look.
enum Seen {
    Well,
    /// Why not; an API that does not answer is no better.
    Wrong(String),
}

impl Gate<'_> {
    /// Until all is well, or the patience is over.
    pub async fn opens(&self, patience: Duration) -> Result<(), Failure> {
        let clock = self.ports.clock;
        let end = clock.now() + patience;
        let mut told = false;
        loop {
            let Seen::Wrong(why) = self.look().await? else { return Ok(()) };
            if clock.now() >= end {
                return Err(self.closed(format!("waited {} s: {why}", patience.as_secs())));
            }
            if !told {
                told = true;
                self.tell(why);
            }
            clock.wait(POLL).await;
        }
    }

    /// For as long as that; what is wrong for no longer than [`GRACE`] is passed over.
    pub async fn stays_open(&self, pause: Duration) -> Result<(), Failure> {
        let clock = self.ports.clock;
        let began = clock.now();
        let end = began + pause;
        self.tell(format!("{} s to pass with all well", pause.as_secs()));
        let mut wrong_since = None;
        loop {
            let seen = self.look().await?;
            let now = clock.now();
            match seen {
                Seen::Well if now >= end => return Ok(()),
                Seen::Well => wrong_since = None,
                Seen::Wrong(why) => {
                    let since = *wrong_since.get_or_insert(now);
                    if now.saturating_sub(since) >= GRACE {
                        let after = since.saturating_sub(began).as_secs();
                        return Err(self.closed(format!("after {after} s of the pause: {why}")));
                    }
                }
            }
            clock.wait(POLL.min(end.saturating_sub(now)).max(Duration::from_secs(1))).await;
        }
    }

    async fn look(&self) -> Result<Seen, Failure> {
        let listed = match list(self.ports.kube).await {
            Ok(listed) => listed,
            Err(error) if is_final(&error) => return Err(failure(error.to_string())),
            Err(error) => return Ok(Seen::Wrong(error.to_string())),
        };
        let nothing = BTreeMap::new();
        let before = self.plan.rollout.as_ref().map_or(&nothing, |rollout| &rollout.workloads);
        let found = troubles(self.nodes, self.kubelet, before, &listed);
        if found.is_empty() {
            return Ok(Seen::Well);
        }
        let mut text = found.iter().take(NAMED).cloned().collect::<Vec<_>>().join("; ");
        if let Some(more) = found.len().checked_sub(NAMED).filter(|more| *more > 0) {
            text += &format!("; and {more} more");
        }
        Ok(Seen::Wrong(text))
    }

    fn tell(&self, what: String) {
        (self.ports.events)(Event::Waiting { step: self.step.id.clone(), what });
    }

    fn closed(&self, why: String) -> Failure {
        let hint = "no wave after this one was begun. Mend what is wrong first: the next `keelwright apply` takes the \
                    workloads as it finds them"
            .to_owned();
        Failure { error: why, hint: Some(hint), unreachable: false }
    }
}

async fn list(kube: &dyn KubeApi) -> Result<Listed, KubeError> {
    let (nodes, pods, workloads) =
        futures::try_join!(kube.list("v1", "Node"), kube.list("v1", "Pod"), list_workloads(kube))?;
    Ok(Listed { nodes, pods, workloads })
}
