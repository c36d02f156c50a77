//! Which claims get to green by CSI snapshots, why the others do not, and the objects of the way: a VolumeSnapshot on
//! blue, its handle in a VolumeSnapshotContent on green that was not made there, and a claim that is made from it. Pure.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Value, json};

use super::kinds::Kind;
use super::needs::storage_class;
use super::object::{annotation, name, namespace, text};
use super::selection::Selection;
use crate::blueprint::cluster::parse_quantity;

pub const GROUP: &str = "snapshot.storage.k8s.io";
const VERSION: &str = "v1";
/// What copies make is named and labelled so that it can be found, and taken away.
const PREFIX: &str = "keelwright-migrate";

/// How a claim gets to green.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum ClaimWay {
    /// It is there: a volume that has been made takes no other data.
    There,
    Snapshot(SnapshotWay),
    /// It comes without its data.
    Empty(WhyEmpty),
}

/// What a snapshot needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SnapshotWay {
    pub driver: String,
    /// VolumeSnapshotClasses of the driver.
    pub blue_class: String,
    pub green_class: String,
    /// When the snapshot was taken that an earlier run has left; None: a new one is taken.
    pub taken: Option<String>,
}

/// Why a claim's data does not come along.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum WhyEmpty {
    #[error("snapshots are not asked for")]
    NotAsked,
    #[error("it has no volume yet")]
    NoVolume,
    #[error("its volume {volume} cannot be looked at")]
    Unseen { volume: String },
    #[error("its volume is {what}, not of a CSI driver")]
    NotCsi { what: String },
    #[error("{side} does not serve {GROUP}/{VERSION}")]
    NotServed { side: &'static str },
    #[error("{side} has no VolumeSnapshotClass of driver {driver}")]
    NoSnapshotClass { side: &'static str, driver: String },
    #[error("it names no StorageClass, and green has no default")]
    NoStorageClass,
    #[error("green has no StorageClass {class}")]
    ClassNotThere { class: String },
    #[error("its driver is {blue}, and StorageClass {class} of green is of {green}")]
    OtherDriver { blue: String, green: String, class: String },
}

/// What is known of the storage of both sides.
#[derive(Debug, Clone, Default)]
pub struct Storage {
    pub blue_serves: bool,
    pub green_serves: bool,
    /// PersistentVolumes of blue by name.
    pub volumes: BTreeMap<String, Value>,
    /// VolumeSnapshotClasses.
    pub blue_classes: Vec<Value>,
    pub green_classes: Vec<Value>,
    /// StorageClasses that green has, or will have, by name.
    pub storage_classes: BTreeMap<String, Value>,
    /// VolumeSnapshots of blue.
    pub snapshots: Vec<Value>,
}

/// The way of one claim of blue.
pub fn way_of(claim: &Value, is_on_green: bool, selection: &Selection, storage: &Storage) -> ClaimWay {
    if is_on_green {
        return ClaimWay::There;
    }
    match snapshot_way(claim, selection, storage) {
        Ok(way) => ClaimWay::Snapshot(way),
        Err(why) => ClaimWay::Empty(why),
    }
}

fn snapshot_way(claim: &Value, selection: &Selection, storage: &Storage) -> Result<SnapshotWay, WhyEmpty> {
    let volume = text(claim, "/spec/volumeName");
    if volume.is_empty() {
        return Err(WhyEmpty::NoVolume);
    }
    if !selection.snapshots {
        return Err(WhyEmpty::NotAsked);
    }
    for (serves, side) in [(storage.blue_serves, "blue"), (storage.green_serves, "green")] {
        if !serves {
            return Err(WhyEmpty::NotServed { side });
        }
    }
    let found = storage.volumes.get(volume).ok_or_else(|| WhyEmpty::Unseen { volume: volume.to_owned() })?;
    let driver = text(found, "/spec/csi/driver");
    if driver.is_empty() {
        return Err(WhyEmpty::NotCsi { what: kind_of_volume(found).to_owned() });
    }
    let class = green_class(claim, selection, storage)?;
    let provisioner = text(class, "/provisioner");
    if provisioner != driver {
        let (blue, green) = (driver.to_owned(), provisioner.to_owned());
        return Err(WhyEmpty::OtherDriver { blue, green, class: name(class).to_owned() });
    }
    let snapshot_class = |classes: &[Value], side: &'static str| {
        let no_class = || WhyEmpty::NoSnapshotClass { side, driver: driver.to_owned() };
        snapshot_class_of(classes, driver).map(str::to_owned).ok_or_else(no_class)
    };
    let taken = storage.snapshots.iter().find(|snapshot| {
        namespace(snapshot) == namespace(claim) && name(snapshot) == snapshot_name(name(claim))
    });
    Ok(SnapshotWay {
        driver: driver.to_owned(),
        blue_class: snapshot_class(&storage.blue_classes, "blue")?,
        green_class: snapshot_class(&storage.green_classes, "green")?,
        taken: taken.map(|snapshot| match text(snapshot, "/status/creationTime") {
            "" => text(snapshot, "/metadata/creationTimestamp").to_owned(),
            time => time.to_owned(),
        }),
    })
}

/// The StorageClass that the claim gets on green.
fn green_class<'a>(
    claim: &Value,
    selection: &Selection,
    storage: &'a Storage,
) -> Result<&'a Value, WhyEmpty> {
    let named = selection.storage_class(storage_class(claim));
    if !named.is_empty() {
        let not_there = || WhyEmpty::ClassNotThere { class: named.to_owned() };
        return storage.storage_classes.get(named).ok_or_else(not_there);
    }
    // An empty name is not the same as none: it wants no class at all.
    let wants_none = claim.pointer("/spec/storageClassName").is_some_and(Value::is_string);
    let default = storage.storage_classes.values().find(|class| is_default(class)).filter(|_| !wants_none);
    default.ok_or(WhyEmpty::NoStorageClass)
}

fn is_default(class: &Value) -> bool {
    ["storageclass.kubernetes.io/is-default-class", "snapshot.storage.kubernetes.io/is-default-class"]
        .iter()
        .any(|key| annotation(class, key) == Some("true"))
}

/// The driver's default VolumeSnapshotClass, or its first by name.
fn snapshot_class_of<'a>(classes: &'a [Value], driver: &str) -> Option<&'a str> {
    let mut of_driver: Vec<&Value> =
        classes.iter().filter(|class| text(class, "/driver") == driver).collect();
    of_driver.sort_by_key(|class| (!is_default(class), name(class)));
    of_driver.first().map(|class| name(class))
}

/// For people: what keeps a volume.
fn kind_of_volume(volume: &Value) -> &str {
    let kinds = [
        ("local", "a disk of one machine"),
        ("hostPath", "a directory of one machine"),
        ("nfs", "an NFS export"),
        ("awsElasticBlockStore", "an EBS volume of the driver that Kubernetes once had"),
    ];
    let of = |key: &str| volume.pointer("/spec").and_then(|spec| spec.get(key)).is_some();
    kinds.iter().find(|(key, _)| of(key)).map_or("of another kind", |(_, what)| what)
}

/// On both sides, in the claim's namespace.
pub fn snapshot_name(claim: &str) -> String {
    format!("{PREFIX}-{claim}")
}

/// No namespace has a dot in its name, so no two claims share one.
pub fn content_name(namespace: &str, claim: &str) -> String {
    format!("{PREFIX}-{namespace}.{claim}")
}

/// Where VolumeSnapshots are in the API.
pub fn snapshot_kind() -> Kind {
    kind("VolumeSnapshot", "volumesnapshots", true)
}

/// What a VolumeSnapshot is bound to.
pub fn content_kind() -> Kind {
    kind("VolumeSnapshotContent", "volumesnapshotcontents", false)
}

fn kind(kind: &str, plural: &str, is_namespaced: bool) -> Kind {
    Kind {
        group: GROUP.to_owned(),
        version: VERSION.to_owned(),
        kind: kind.to_owned(),
        plural: plural.to_owned(),
        is_namespaced,
    }
}

fn object(kind: &Kind, metadata: Value, spec: Value) -> Value {
    let mut object =
        json!({"apiVersion": kind.api_version(), "kind": kind.kind, "metadata": metadata, "spec": spec});
    object["metadata"]["labels"] = json!({"app.kubernetes.io/managed-by": "keelwright"});
    object
}

/// Taken on blue.
pub fn blue_snapshot(claim: &Value, way: &SnapshotWay) -> Value {
    object(
        &snapshot_kind(),
        json!({"namespace": namespace(claim), "name": snapshot_name(name(claim))}),
        json!({
            "volumeSnapshotClassName": way.blue_class,
            "source": {"persistentVolumeClaimName": name(claim)},
        }),
    )
}

/// What blue's driver calls the snapshot, as green's is told. It is kept when green's own objects go: blue may still
/// count on it.
pub fn green_content(claim: &Value, way: &SnapshotWay, handle: &str, volume_mode: Option<&str>) -> Value {
    let (namespace, claim) = (namespace(claim), name(claim));
    let mut spec = json!({
        "deletionPolicy": "Retain",
        "driver": way.driver,
        "volumeSnapshotClassName": way.green_class,
        "source": {"snapshotHandle": handle},
        "volumeSnapshotRef": {"namespace": namespace, "name": snapshot_name(claim)},
    });
    if let Some(mode) = volume_mode {
        spec["sourceVolumeMode"] = mode.into();
    }
    object(&content_kind(), json!({"name": content_name(namespace, claim)}), spec)
}

pub fn green_snapshot(claim: &Value, way: &SnapshotWay) -> Value {
    let (namespace, claim) = (namespace(claim), name(claim));
    object(
        &snapshot_kind(),
        json!({"namespace": namespace, "name": snapshot_name(claim)}),
        json!({
            "volumeSnapshotClassName": way.green_class,
            "source": {"volumeSnapshotContentName": content_name(namespace, claim)},
        }),
    )
}

/// The claim for green, made from the snapshot; `size`: what the snapshot needs at least.
pub fn from_snapshot(claim: &Value, size: &str) -> Value {
    let mut wanted = claim.clone();
    let source = json!({"apiGroup": GROUP, "kind": "VolumeSnapshot", "name": snapshot_name(name(claim))});
    let request = larger(text(claim, "/spec/resources/requests/storage"), size).to_owned();
    if let Some(Value::Object(spec)) = wanted.get_mut("spec") {
        spec.insert("dataSource".to_owned(), source);
    }
    if let Some(storage) = wanted.pointer_mut("/spec/resources/requests/storage") {
        *storage = request.into();
    }
    wanted
}

/// The larger of two quantities; one that is none counts nothing.
pub fn larger<'a>(one: &'a str, other: &'a str) -> &'a str {
    match (parse_quantity(one), parse_quantity(other)) {
        (Some(first), Some(second)) if second > first => other,
        (None, Some(_)) => other,
        _ => one,
    }
}

#[cfg(test)]
#[path = "snapshots_tests.rs"]
mod tests;
