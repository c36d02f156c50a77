//! Plays the snapshot controller of one cluster, with a driver that takes snapshots by name.

use std::time::Duration;

use keelwright::exec::KubeApi as _;
use keelwright::kube::KubeClient;
use kube::api::{Api, ApiResource, DynamicObject, Patch, PatchParams};
use kube::core::GroupVersionKind;
use serde_json::{Value, json};

const GROUP: &str = "snapshot.storage.k8s.io";
const API_VERSION: &str = "snapshot.storage.k8s.io/v1";

/// Until it is aborted.
pub fn run(api: &KubeClient, side: &'static str) -> tokio::task::JoinHandle<()> {
    let api = api.clone();
    tokio::spawn(async move {
        loop {
            // None where the definition has just come.
            for snapshot in api.list(API_VERSION, "VolumeSnapshot").await.unwrap_or_default() {
                if snapshot.get("status").is_none() {
                    serve(&api, side, &snapshot).await;
                }
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    })
}

async fn serve(api: &KubeClient, side: &str, snapshot: &Value) {
    let text =
        |pointer: &str| snapshot.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (namespace, name) = (text("/metadata/namespace"), text("/metadata/name"));
    let given = text("/spec/source/volumeSnapshotContentName");
    let content = if given.is_empty() {
        let content = format!("snapcontent-{name}");
        let object = json!({
            "apiVersion": API_VERSION, "kind": "VolumeSnapshotContent", "metadata": {"name": content},
            "spec": {
                "deletionPolicy": "Delete", "driver": "d.example.org", "sourceVolumeMode": "Filesystem",
                "source": {"volumeHandle": "v"},
                "volumeSnapshotRef": {"namespace": namespace, "name": name},
            },
        });
        api.apply(&object).await.unwrap();
        let handle = json!({"snapshotHandle": format!("{side}-handle-of-{name}"), "readyToUse": true});
        set_status(api, "VolumeSnapshotContent", None, &content, &handle).await;
        content
    } else {
        // A driver looks for the snapshot that it is told of.
        let skeleton =
            json!({"apiVersion": API_VERSION, "kind": "VolumeSnapshotContent", "metadata": {"name": given}});
        let found = api.fetch(&[skeleton]).await.unwrap();
        let handle = found.values().next().and_then(|content| content.pointer("/spec/source/snapshotHandle"));
        if !handle.and_then(Value::as_str).is_some_and(|handle| handle.starts_with("blue-handle-of-")) {
            return;
        }
        given
    };
    let status = json!({"readyToUse": true, "boundVolumeSnapshotContentName": content, "restoreSize": "3Gi"});
    set_status(api, "VolumeSnapshot", Some(&namespace), &name, &status).await;
}

async fn set_status(api: &KubeClient, kind: &str, namespace: Option<&str>, name: &str, status: &Value) {
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(GROUP, "v1", kind));
    let objects: Api<DynamicObject> = match namespace {
        Some(namespace) => Api::namespaced_with(api.client(), namespace, &resource),
        None => Api::all_with(api.client(), &resource),
    };
    let patch = Patch::Merge(json!({"status": status}));
    objects.patch_status(name, &PatchParams::default(), &patch).await.unwrap();
}
