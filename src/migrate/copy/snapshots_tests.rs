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
            class("{metadata: {name: second}, driver: d.example.org}"),
            class("{metadata: {name: first}, driver: d.example.org}"),
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
    Selection::new(&CopySelection { storage_classes: classes, snapshots: true, ..CopySelection::default() })
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
        green_class: "first".to_owned(),
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
        (change(&|_, storage| storage.blue_serves = false), "blue does not serve snapshot.storage.k8s.io/v1"),
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
