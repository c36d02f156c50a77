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
mod tests {
    use super::*;
    use crate::inventory::CopySelection;
    use crate::migrate::copy::testing::yaml;

    fn claim() -> Value {
        yaml(
            "
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data, namespace: shop}
spec: {volumeName: pv-1, storageClassName: fast, resources: {requests: {storage: 10Gi}}}
",
        )
    }

    fn storage() -> Storage {
        let class = |text: &str| yaml(text);
        Storage {
            blue_serves: true,
            green_serves: true,
            volumes: [("pv-1".to_owned(), yaml("{spec: {csi: {driver: d.example.org, volumeHandle: v}}}"))]
                .into(),
            blue_classes: vec![
                class("{metadata: {name: a}, driver: other}"),
                class("{metadata: {name: c}, driver: d.example.org}"),
                class(
                    "{metadata: {name: d, annotations: {snapshot.storage.kubernetes.io/is-default-class: 'true'}}, driver: d.example.org}",
                ),
            ],
            green_classes: vec![
                class("{metadata: {name: z}, driver: d.example.org}"),
                class("{metadata: {name: y}, driver: d.example.org}"),
            ],
            storage_classes: [
                ("fast".to_owned(), class("{metadata: {name: fast}, provisioner: d.example.org}")),
                ("slow".to_owned(), class("{metadata: {name: slow}, provisioner: other}")),
            ]
            .into(),
            snapshots: Vec::new(),
        }
    }

    fn selection(classes: &[(&str, &str)]) -> Selection {
        let owned = |(blue, green): &(&str, &str)| ((*blue).to_owned(), (*green).to_owned());
        let classes = classes.iter().map(owned).collect();
        Selection::new(&CopySelection {
            storage_classes: classes,
            snapshots: true,
            ..CopySelection::default()
        })
        .unwrap()
    }

    fn why(claim: &Value, selection: &Selection, storage: &Storage) -> String {
        match way_of(claim, false, selection, storage) {
            ClaimWay::Empty(why) => why.to_string(),
            way => format!("{way:?}"),
        }
    }

    #[test]
    fn a_claim_goes_by_snapshot_where_both_sides_can() {
        let wanted = SnapshotWay {
            driver: "d.example.org".to_owned(),
            blue_class: "d".to_owned(),
            green_class: "y".to_owned(),
            taken: None,
        };
        assert_eq!(way_of(&claim(), false, &selection(&[]), &storage()), ClaimWay::Snapshot(wanted.clone()));
        assert_eq!(way_of(&claim(), true, &selection(&[]), &storage()), ClaimWay::There);
        let mut known = storage();
        known.snapshots = vec![yaml(
            "{metadata: {name: keelwright-migrate-data, namespace: shop}, status: {creationTime: '2026-01-01T00:00:00Z'}}",
        )];
        let taken = SnapshotWay { taken: Some("2026-01-01T00:00:00Z".to_owned()), ..wanted };
        assert_eq!(way_of(&claim(), false, &selection(&[]), &known), ClaimWay::Snapshot(taken));
    }

    #[test]
    fn what_is_in_the_way_of_a_snapshot_is_said() {
        let change = |act: &dyn Fn(&mut Value, &mut Storage)| {
            let (mut claim, mut storage) = (claim(), storage());
            act(&mut claim, &mut storage);
            why(&claim, &selection(&[]), &storage)
        };
        for (found, text) in [
            (change(&|claim, _| claim["spec"]["volumeName"] = Value::Null), "it has no volume yet"),
            (
                change(&|_, storage| storage.blue_serves = false),
                "blue does not serve snapshot.storage.k8s.io/v1",
            ),
            (
                change(&|_, storage| storage.green_serves = false),
                "green does not serve snapshot.storage.k8s.io/v1",
            ),
            (change(&|_, storage| storage.volumes.clear()), "its volume pv-1 cannot be looked at"),
            (
                change(&|_, storage| {
                    storage.volumes.insert("pv-1".to_owned(), yaml("{spec: {local: {path: /x}}}"));
                }),
                "its volume is a disk of one machine, not of a CSI driver",
            ),
            (
                change(&|claim, _| claim["spec"]["storageClassName"] = "gone".into()),
                "green has no StorageClass gone",
            ),
            (
                change(&|claim, _| claim["spec"]["storageClassName"] = "slow".into()),
                "its driver is d.example.org, and StorageClass slow of green is of other",
            ),
            (
                change(&|claim, _| claim["spec"]["storageClassName"] = "".into()),
                "it names no StorageClass, and green has no default",
            ),
            (
                change(&|_, storage| storage.green_classes.clear()),
                "green has no VolumeSnapshotClass of driver d.example.org",
            ),
            (
                change(&|_, storage| storage.blue_classes.clear()),
                "blue has no VolumeSnapshotClass of driver d.example.org",
            ),
        ] {
            assert_eq!(found, text);
        }
        let unasked = Selection::new(&CopySelection::default()).unwrap();
        assert_eq!(why(&claim(), &unasked, &storage()), "snapshots are not asked for");
        let mapped = why(&claim(), &selection(&[("fast", "slow")]), &storage());
        assert!(mapped.contains("StorageClass slow"), "{mapped}");
    }

    #[test]
    fn a_claim_without_a_class_gets_greens_default() {
        let (mut claim, mut storage) = (claim(), storage());
        claim["spec"].as_object_mut().unwrap().remove("storageClassName");
        let class = storage.storage_classes.get_mut("fast").unwrap();
        class["metadata"]["annotations"] = json!({"storageclass.kubernetes.io/is-default-class": "true"});
        assert!(matches!(way_of(&claim, false, &selection(&[]), &storage), ClaimWay::Snapshot(_)));
    }

    #[test]
    fn the_objects_of_the_way_name_each_other() {
        let ClaimWay::Snapshot(way) = way_of(&claim(), false, &selection(&[]), &storage()) else { panic!() };
        let taken = blue_snapshot(&claim(), &way);
        assert_eq!(taken["spec"]["source"]["persistentVolumeClaimName"], "data");
        let content = green_content(&claim(), &way, "snap-1", Some("Block"));
        let snapshot = green_snapshot(&claim(), &way);
        assert_eq!(content["spec"]["source"]["snapshotHandle"], "snap-1");
        assert_eq!(
            (&content["spec"]["deletionPolicy"], &content["spec"]["sourceVolumeMode"]),
            (&"Retain".into(), &"Block".into())
        );
        assert_eq!(content["spec"]["volumeSnapshotRef"]["name"], snapshot["metadata"]["name"]);
        assert_eq!(snapshot["spec"]["source"]["volumeSnapshotContentName"], content["metadata"]["name"]);
        let restored = from_snapshot(&claim(), "12Gi");
        assert_eq!(restored["spec"]["dataSource"]["name"], snapshot["metadata"]["name"]);
        assert_eq!(restored["spec"]["resources"]["requests"]["storage"], "12Gi");
        assert_ne!(content_name("a-b", "c"), content_name("a", "b-c"));
    }

    #[test]
    fn the_larger_quantity() {
        for (one, other, larger_one) in [
            ("1Gi", "1024Mi", "1Gi"),
            ("1Gi", "2Gi", "2Gi"),
            ("", "1Gi", "1Gi"),
            ("1Gi", "", "1Gi"),
            ("900Mi", "1G", "1G"),
        ] {
            assert_eq!(larger(one, other), larger_one, "{one} {other}");
        }
    }
}
