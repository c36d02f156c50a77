//! Applies what a survey found, stage by stage. One object that fails does not stop the others; what cannot be without
//! it is left out, and said. Killed anywhere, the next survey finds what is left.

use std::time::Duration;

use futures::StreamExt as _;
use serde::Serialize;
use serde_json::Value;

use super::cluster::{Cluster, ClusterError, FieldConflict, Mode};
use super::kinds::{Kind, defines};
use super::look::AT_ONCE;
use super::needs::uses_claim;
use super::object::{ObjectId, has_condition, items, text};
use super::order::Stage;
use super::selection::Selection;
use super::survey::{Item, Standing, Survey};
use crate::exec::Clock;

/// A definition that is not served by then never will be.
const DEFINITION_PATIENCE: Duration = Duration::from_secs(60);
/// For what green makes itself after something else: the account of a new namespace, the count of a new quota.
const EARLY_PATIENCE: Duration = Duration::from_secs(30);
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(500);

/// A copy from blue to green.
pub struct CopyRun<'a> {
    pub blue: &'a dyn Cluster,
    pub green: &'a dyn Cluster,
    pub clock: &'a dyn Clock,
    pub selection: &'a Selection,
    pub events: &'a (dyn Fn(&Event) + Send + Sync),
}

/// What happened, once.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", tag = "event")]
pub enum Event {
    Applied { object: ObjectId },
    Failed { object: ObjectId, why: String },
    LeftOut { object: ObjectId, because: ObjectId },
    Waiting { what: String },
}

/// What came of a copy.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Outcome {
    pub applied: Vec<ObjectId>,
    /// Were as wanted before.
    pub same: usize,
    pub conflicts: Vec<Clash>,
    pub failed: Vec<Failed>,
    pub left_out: Vec<LeftOut>,
}

/// An object of which somebody else has set fields otherwise; nothing of it was changed.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Clash {
    pub object: ObjectId,
    pub conflicts: Vec<FieldConflict>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Failed {
    pub object: ObjectId,
    pub why: String,
}

/// An object that cannot be without another, which failed.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LeftOut {
    pub object: ObjectId,
    pub because: ObjectId,
}

impl Outcome {
    /// Everything that was selected is on green as it is on blue.
    pub fn is_complete(&self) -> bool {
        self.conflicts.is_empty() && self.failed.is_empty() && self.left_out.is_empty()
    }
}

/// How one object ended.
enum End {
    Same,
    Applied,
    Clash(Vec<FieldConflict>),
    Failed(String),
    LeftOut(ObjectId),
}

impl CopyRun<'_> {
    /// Applies everything that is not as wanted.
    pub async fn carry_out(&self, survey: &Survey) -> Outcome {
        let mut outcome = Outcome::default();
        // Those that green does not have now.
        let mut missing: Vec<&Item> = Vec::new();
        for group in survey.items.chunk_by(|one, other| place(one) == place(other)) {
            let ends = futures::stream::iter(group)
                .map(|item| {
                    let because =
                        missing.iter().find(|missing| needs(item, missing)).map(|item| item.id.clone());
                    async move { (item, self.carry(item, because).await) }
                })
                .buffered(AT_ONCE)
                .collect::<Vec<_>>()
                .await;
            for (item, end) in ends {
                if !item.is_there && !matches!(end, End::Applied) {
                    missing.push(item);
                }
                let object = item.id.clone();
                match end {
                    End::Same => outcome.same += 1,
                    End::Applied => outcome.applied.push(object),
                    End::Clash(conflicts) => outcome.conflicts.push(Clash { object, conflicts }),
                    End::Failed(why) => outcome.failed.push(Failed { object, why }),
                    End::LeftOut(because) => outcome.left_out.push(LeftOut { object, because }),
                }
            }
        }
        outcome
    }

    async fn carry(&self, item: &Item, because: Option<ObjectId>) -> End {
        let object = item.id.clone();
        if item.standing == Standing::Same {
            return End::Same;
        }
        if let Some(because) = because {
            (self.events)(&Event::LeftOut { object, because: because.clone() });
            return End::LeftOut(because);
        }
        match self.bring(item).await {
            Ok(()) => {
                (self.events)(&Event::Applied { object });
                End::Applied
            }
            Err(Trouble::Green(ClusterError::Conflict(conflicts))) => {
                let why = ClusterError::Conflict(conflicts.clone()).to_string();
                (self.events)(&Event::Failed { object, why });
                End::Clash(conflicts)
            }
            Err(error) => {
                let why = error.to_string();
                (self.events)(&Event::Failed { object, why: why.clone() });
                End::Failed(why)
            }
        }
    }

    async fn bring(&self, item: &Item) -> Result<(), Trouble> {
        let restored = match &item.snapshot {
            Some(way) => Some(self.restore(&item.wanted, way).await?),
            None => None,
        };
        self.apply_when_ready(item, restored.as_ref().unwrap_or(&item.wanted)).await?;
        if item.stage == Stage::Definitions { self.await_definition(item).await } else { Ok(()) }
    }

    /// Some refusals pass by themselves.
    async fn apply_when_ready(&self, item: &Item, wanted: &Value) -> Result<(), Trouble> {
        let deadline = self.clock.now() + EARLY_PATIENCE;
        let mut is_said = false;
        loop {
            match self.green.apply(&item.kind, wanted, Mode::Real).await {
                Ok(_) => return Ok(()),
                Err(error) if is_early(item, &error) && self.clock.now() < deadline => {
                    if !is_said {
                        (self.events)(&Event::Waiting { what: format!("{}: {error}", item.id) });
                        is_said = true;
                    }
                    self.clock.wait(PAUSE).await;
                }
                Err(error) => return Err(Trouble::Green(error)),
            }
        }
    }

    async fn await_definition(&self, item: &Item) -> Result<(), Trouble> {
        let names = |found: &Value| {
            let refused = items(found, "/status/conditions").find(|condition| {
                text(condition, "/type") == "NamesAccepted" && text(condition, "/status") == "False"
            });
            refused.map_or(Ok(has_condition(found, "Established")), |condition| {
                Err(text(condition, "/message").to_owned())
            })
        };
        let wait = Wait { cluster: self.green, side: "green", patience: DEFINITION_PATIENCE, ready: &names };
        self.wait_for(&wait, &item.kind, &item.id).await.map(drop)
    }

    /// Looks at an object until it is ready.
    pub(super) async fn wait_for(
        &self,
        wait: &Wait<'_>,
        kind: &Kind,
        id: &ObjectId,
    ) -> Result<Value, Trouble> {
        let deadline = self.clock.now() + wait.patience;
        let mut is_said = false;
        loop {
            let last = match wait.cluster.read(kind, &id.namespace, &id.name).await {
                Ok(Some(found)) => match (wait.ready)(&found) {
                    Ok(true) => return Ok(found),
                    Ok(false) => last_word(&found),
                    Err(why) => return Err(Trouble::Never { side: wait.side, object: id.clone(), why }),
                },
                Ok(None) => Some("it is not there".to_owned()),
                Err(error @ ClusterError::Unreachable(_)) => Some(error.to_string()),
                Err(error) => {
                    return Err(Trouble::Unread { side: wait.side, object: id.clone(), error });
                }
            };
            if self.clock.now() >= deadline {
                let seconds = wait.patience.as_secs();
                return Err(Trouble::Late { side: wait.side, object: id.clone(), seconds, last });
            }
            if !is_said {
                (self.events)(&Event::Waiting { what: format!("{id} on {}", wait.side) });
                is_said = true;
            }
            self.clock.wait(PAUSE).await;
        }
    }
}

/// What is waited for.
pub(super) struct Wait<'a> {
    pub cluster: &'a dyn Cluster,
    pub side: &'static str,
    pub patience: Duration,
    /// Whether it is; the error says that it never will be.
    pub ready: &'a (dyn Fn(&Value) -> Result<bool, String> + Sync),
}

/// Why an object did not get to green.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Trouble {
    #[error("{0}")]
    Green(ClusterError),
    #[error("{object} cannot be made on {side}: {error}")]
    Made { side: &'static str, object: ObjectId, error: ClusterError },
    #[error("{object} cannot be read on {side}: {error}")]
    Unread { side: &'static str, object: ObjectId, error: ClusterError },
    #[error("{object} on {side} never becomes ready: {why}")]
    Never { side: &'static str, object: ObjectId, why: String },
    #[error(
        "{object} on {side} was not ready after {seconds} s{}; run the copy again to go on waiting",
        last.as_ref().map_or_else(String::new, |last| format!(", it says: {last}"))
    )]
    Late { side: &'static str, object: ObjectId, seconds: u64, last: Option<String> },
}

/// What an object says is wrong with it.
fn last_word(object: &Value) -> Option<String> {
    let said = text(object, "/status/error/message");
    (!said.is_empty()).then(|| said.to_owned())
}

fn place(item: &Item) -> (Stage, u8) {
    (item.stage, Stage::rank(&item.kind))
}

/// Whether an object cannot be on green, or must not be, while another is not.
fn needs(item: &Item, missing: &Item) -> bool {
    let is_in = missing.id.is("", "Namespace") && item.id.namespace == missing.id.name;
    let is_defined = missing.stage == Stage::Definitions && defines(&missing.wanted, &item.kind);
    // A StatefulSet would make an empty one in its place, for good.
    let would_use = missing.id.is("", "PersistentVolumeClaim")
        && item.id.namespace == missing.id.namespace
        && uses_claim(&item.wanted, &missing.id.name);
    is_in || is_defined || would_use
}

/// Whether green refuses an object only because something that it makes itself is not there yet.
fn is_early(item: &Item, error: &ClusterError) -> bool {
    match error {
        ClusterError::Refused { code: 404, .. } => item.stage == Stage::CustomResources,
        ClusterError::Refused { code: 403, message } => {
            let message = message.to_lowercase();
            (message.contains("serviceaccount") && message.contains("not found"))
                || message.contains("status unknown for quota")
        }
        ClusterError::Refused { .. } | ClusterError::Unreachable(_) | ClusterError::Conflict(_) => false,
    }
}
