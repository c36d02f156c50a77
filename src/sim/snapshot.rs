//! Snapshots of the simulated etcd: streams that may end early, and the operator's disk that keeps them.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::json;

use super::faults::{Fault, Site};
use super::ports::Fleet;
use super::vault::SimVault;
use super::world::World;
use crate::exec::ports::{EtcdMember, KubeError, PortError, SnapshotDraft, Snapshots};
use crate::exec::snapshot::sample;
use crate::release::KubeVersion;

const PIECE: usize = 32 << 10;

/// What the operator keeps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SimSnapshot {
    pub taken: Duration,
    pub version: KubeVersion,
    pub bytes: Vec<u8>,
}

impl World {
    /// The database of a member that answers.
    fn database(&mut self, member: u64) -> Result<Vec<u8>, KubeError> {
        let id = self.live_cluster()?;
        if !self.answers(id, member) {
            return Err(KubeError::Unreachable("the etcd member does not answer".to_owned()));
        }
        let content = self.clusters.get(&id).map(|cluster| json!([cluster.revision, cluster.objects]));
        Ok(sample(content.unwrap_or_default().to_string().as_bytes()))
    }
}

impl Fleet {
    pub(super) async fn stream_snapshot(
        &self,
        member: &EtcdMember,
        sink: &mut (dyn FnMut(&[u8]) -> Result<(), PortError> + Send),
    ) -> Result<(), KubeError> {
        let bytes = self.read(|world| world.database(member.id)).await?;
        let broken = |reason: &str| KubeError::Unreachable(reason.to_owned());
        let mut pieces = bytes.chunks(PIECE);
        if let Some(first) = pieces.next() {
            sink(first).map_err(|error| broken(&error.0))?;
        }
        match self.boundary(Site::Api, false).await {
            Some(Fault::ApiError) => return Err(broken("the stream broke")),
            // Cut off by something that closes the connection in order: nobody says that more was to come.
            Some(Fault::LostReply) => {
                self.world().faults.note("a snapshot was cut off in silence");
                return Ok(());
            }
            Some(_) | None => {}
        }
        for piece in pieces {
            sink(piece).map_err(|error| broken(&error.0))?;
        }
        Ok(())
    }
}

struct Draft {
    fleet: Arc<Fleet>,
    kept: Arc<Mutex<Vec<SimSnapshot>>>,
    version: KubeVersion,
    bytes: Vec<u8>,
}

fn killed() -> PortError {
    PortError("killed".to_owned())
}

impl Snapshots for SimVault {
    fn begin(&self, version: KubeVersion) -> Result<Box<dyn SnapshotDraft>, PortError> {
        let (fleet, kept) = (Arc::clone(&self.fleet), Arc::clone(&self.snapshots));
        Ok(Box::new(Draft { fleet, kept, version, bytes: Vec::new() }))
    }
}

impl SnapshotDraft for Draft {
    fn write(&mut self, bytes: &[u8]) -> Result<(), PortError> {
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    fn keep(self: Box<Self>) -> Result<String, PortError> {
        if self.fleet.runtime.is_killed() || self.fleet.dies(true) {
            return Err(killed());
        }
        let place = {
            let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            kept.push(SimSnapshot {
                taken: self.fleet.runtime.now(),
                version: self.version,
                bytes: self.bytes,
            });
            format!("snapshot {} of {}", kept.len(), self.version)
        };
        if self.fleet.dies(false) { Err(killed()) } else { Ok(place) }
    }
}
