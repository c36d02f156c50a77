//! A cluster of EKS with one group of nodes: what is missing of it is made, and what there is already is used if it is
//! as wanted. Both have names that nothing else in the account can have, so a call whose answer was lost is simply
//! followed by another look.

mod calls;
mod kubeconfig;
mod next;

use std::time::Duration;

use super::MigrationAws;
use crate::exec::Clock;
use crate::inventory::Eks;
use crate::migrate::ports::CallError;
use next::{Move, next};

pub use next::{Difference, Part};

/// The one group of nodes.
pub const NODE_GROUP: &str = "nodes";

/// A cluster that can be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EksCluster {
    pub name: String,
    pub region: String,
    pub version: String,
    /// `https://…`
    pub endpoint: String,
    /// PEM in base64, as EKS gives it and kubeconfigs have it.
    pub authority: String,
    pub vpc: String,
    /// The auto scaling groups that its nodes are in.
    pub scaling_groups: Vec<String>,
}

/// How often is looked, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EksPace {
    pub pause: Duration,
    /// For one part of the cluster, or for calls that fail one after another.
    pub patience: Duration,
}

impl Default for EksPace {
    fn default() -> Self {
        // A control plane takes about ten minutes, a group of nodes about three.
        EksPace { pause: Duration::from_secs(15), patience: Duration::from_secs(40 * 60) }
    }
}

/// What happens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EksEvent {
    Making(Part),
    /// The part that is waited for, and what EKS says of it.
    Waiting(Part, String),
    /// A call failed, and is made again.
    Again(String),
}

/// Why there is no cluster that can be used.
#[derive(Debug, thiserror::Error)]
pub enum EksError {
    #[error("the cluster {cluster} is there, and is not as wanted: {}", listed(.differences))]
    Differs { cluster: String, differences: Vec<Difference> },
    #[error("{part} of {cluster} is {status}: {why}")]
    Broken { cluster: String, part: Part, status: String, why: String },
    #[error("{part} of {cluster} was waited for {} minutes: {last}", .waited.as_secs() / 60)]
    Deadline { cluster: String, part: Part, waited: Duration, last: String },
    #[error("EKS does not do it")]
    Call(#[source] CallError),
}

impl EksError {
    /// What to do next.
    pub fn hint(&self) -> String {
        match self {
            EksError::Differs { cluster, .. } => format!(
                "write into the file what {cluster} has, give the new cluster another name, or change {cluster} yourself"
            ),
            EksError::Broken { status, .. } if status == "DELETING" => {
                "run it again when it has gone".to_owned()
            }
            EksError::Broken { cluster, part, .. } => {
                format!("delete {part} of {cluster} in EKS, remove the cause, and run it again")
            }
            EksError::Deadline { .. } => "run it again: it goes on where it is".to_owned(),
            EksError::Call(CallError::Denied(_)) => "allow the action, and run it again".to_owned(),
            EksError::Call(_) => "change what EKS says is wrong, and run it again".to_owned(),
        }
    }
}

fn listed(differences: &[Difference]) -> String {
    differences.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// What came of a call that makes something.
#[derive(Debug)]
enum Made {
    Yes,
    /// It is there, or somebody is at it; a look will tell.
    Perhaps(String),
}

impl MigrationAws {
    /// The cluster as it is wanted, with what was missing made. It may be ended at any time and called again.
    ///
    /// # Errors
    /// [`EksError`] when there is another one of that name, when EKS fails at it or refuses it, or at the deadline.
    pub async fn make_cluster(
        &self,
        wanted: &Eks,
        clock: &dyn Clock,
        pace: EksPace,
        events: &(dyn Fn(EksEvent) + Sync),
    ) -> Result<EksCluster, EksError> {
        let mut patience = Patience { clock, pace, part: Part::Cluster, began: clock.now() };
        loop {
            let seen = match self.see(wanted).await {
                Ok(seen) => seen,
                Err(CallError::Later(why) | CallError::Unknown(why)) => {
                    events(EksEvent::Again(why.clone()));
                    let part = patience.part;
                    patience.wait(wanted, part, why).await?;
                    continue;
                }
                Err(error) => return Err(EksError::Call(error)),
            };
            let (part, last) = match next(wanted, &self.region, &seen) {
                Move::Done(cluster) => return Ok(cluster),
                Move::Refuse(differences) => {
                    return Err(EksError::Differs { cluster: wanted.cluster.clone(), differences });
                }
                Move::GiveUp { part, status, why } => {
                    return Err(EksError::Broken { cluster: wanted.cluster.clone(), part, status, why });
                }
                Move::Make(part) => {
                    events(EksEvent::Making(part));
                    match self.make(wanted, part).await.map_err(EksError::Call)? {
                        Made::Yes => (part, "it was asked for, and is not seen".to_owned()),
                        Made::Perhaps(why) => {
                            events(EksEvent::Again(why.clone()));
                            (part, why)
                        }
                    }
                }
                Move::Wait { part, status } => {
                    events(EksEvent::Waiting(part, status.clone()));
                    (part, status)
                }
            };
            patience.wait(wanted, part, last).await?;
        }
    }
}

/// How long a part has been waited for.
struct Patience<'a> {
    clock: &'a dyn Clock,
    pace: EksPace,
    part: Part,
    began: Duration,
}

impl Patience<'_> {
    async fn wait(&mut self, wanted: &Eks, part: Part, last: String) -> Result<(), EksError> {
        if part != self.part {
            (self.part, self.began) = (part, self.clock.now());
        }
        let waited = self.clock.now().saturating_sub(self.began);
        if waited >= self.pace.patience {
            return Err(EksError::Deadline { cluster: wanted.cluster.clone(), part, waited, last });
        }
        self.clock.wait(self.pace.pause).await;
        Ok(())
    }
}
