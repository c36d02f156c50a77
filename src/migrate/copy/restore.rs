//! Brings the data of one claim to green by a CSI snapshot. Every object has a fixed name, so a run that was killed is
//! gone on with.

use std::time::Duration;

use serde_json::Value;

use super::cluster::{Cluster, Mode};
use super::kinds::Kind;
use super::object::{ObjectId, text};
use super::run::{CopyRun, Trouble, Wait};
use super::snapshots::{
    SnapshotWay, blue_snapshot, content_kind, from_snapshot, green_content, green_snapshot, snapshot_kind,
};

/// A large volume's first snapshot takes its time.
const TAKING_PATIENCE: Duration = Duration::from_secs(2 * 3600);
/// Green's only has to be looked up.
const FINDING_PATIENCE: Duration = Duration::from_secs(600);

impl CopyRun<'_> {
    /// The claim as it is applied to green, when its snapshot can be used there.
    pub(super) async fn restore(&self, claim: &Value, way: &SnapshotWay) -> Result<Value, Trouble> {
        let taken = self.make(self.blue, "blue", &snapshot_kind(), &blue_snapshot(claim, way)).await?;
        let taken = self.await_snapshot(self.blue, "blue", TAKING_PATIENCE, &taken).await?;
        let content = self.content_of(&taken).await?;
        let handle = text(&content, "/status/snapshotHandle");
        let mode = content.pointer("/spec/sourceVolumeMode").and_then(Value::as_str);
        let wanted = green_content(claim, way, handle, mode);
        self.make(self.green, "green", &content_kind(), &wanted).await?;
        let found = self.make(self.green, "green", &snapshot_kind(), &green_snapshot(claim, way)).await?;
        let found = self.await_snapshot(self.green, "green", FINDING_PATIENCE, &found).await?;
        let size = |snapshot: &Value| text(snapshot, "/status/restoreSize").to_owned();
        let claim = from_snapshot(claim, &size(&taken));
        Ok(from_snapshot(&claim, &size(&found)))
    }

    async fn make(
        &self,
        cluster: &dyn Cluster,
        side: &'static str,
        kind: &Kind,
        object: &Value,
    ) -> Result<Value, Trouble> {
        let made = cluster.apply(kind, object, Mode::Real).await;
        made.map_err(|error| Trouble::Made { side, object: ObjectId::of(object), error })
    }

    async fn await_snapshot(
        &self,
        cluster: &dyn Cluster,
        side: &'static str,
        patience: Duration,
        snapshot: &Value,
    ) -> Result<Value, Trouble> {
        let ready = |found: &Value| {
            let is_ready = found.pointer("/status/readyToUse").and_then(Value::as_bool) == Some(true);
            Ok(is_ready && !text(found, "/status/boundVolumeSnapshotContentName").is_empty())
        };
        let wait = Wait { cluster, side, patience, ready: &ready };
        self.wait_for(&wait, &snapshot_kind(), &ObjectId::of(snapshot)).await
    }

    /// What a snapshot of blue is bound to, with the driver's own name of it.
    async fn content_of(&self, snapshot: &Value) -> Result<Value, Trouble> {
        let kind = content_kind();
        let name = text(snapshot, "/status/boundVolumeSnapshotContentName");
        let ready = |found: &Value| Ok(!text(found, "/status/snapshotHandle").is_empty());
        let wait = Wait { cluster: self.blue, side: "blue", patience: FINDING_PATIENCE, ready: &ready };
        self.wait_for(&wait, &kind, &ObjectId::new(&kind.group, &kind.kind, "", name)).await
    }
}
