//! Changes of Route 53: whole or not at all, and only where it still is as it was seen.

use keelwright::migrate::ports::{CallError, ChangeId, Dns as _};
use keelwright::migrate::record::{Batch, Point, RecordSet, RecordType, Routing, Sides, Weights, batch_to};

use super::{Scene, alias, record, refusal, values, weighted};
use crate::emulator::fixtures;

const NAME: &str = "shop.example.org.";

fn sides() -> Sides {
    Sides { blue: alias("blue"), green: alias("green") }
}

/// What leads from these records to a point.
fn to(records: &[RecordSet], point: Point) -> Batch {
    batch_to(point, records, NAME, RecordType::A, &sides(), &|side| format!("shop-{side}"))
}

fn at(green: u8) -> Point {
    Point::Weighted(Weights::of_green(green))
}

fn both(green: u8) -> [RecordSet; 2] {
    [
        record(NAME, weighted("shop-blue", 100 - green), alias("blue")),
        record(NAME, weighted("shop-green", green), alias("green")),
    ]
}

#[tokio::test]
async fn a_name_goes_from_blue_to_green_and_back_and_on_again() {
    let Some(scene) = Scene::new() else { return };
    let zone = scene.zone().await;
    scene.create(&zone, &[record(NAME, Routing::Simple, alias("blue"))]).await;
    // A point that was there before is made with the very same words.
    for green in [0, 10, 50, 10, 0, 10, 50, 100] {
        let records = scene.records(&zone, NAME).await;
        scene.aws.change(&zone, &to(&records, at(green))).await.unwrap();
        assert_eq!(scene.records(&zone, NAME).await, both(green));
    }
    let records = scene.records(&zone, NAME).await;
    let only = Point::Only(keelwright::migrate::record::Side::Green);
    scene.aws.change(&zone, &to(&records, only)).await.unwrap();
    assert_eq!(scene.records(&zone, NAME).await, [record(NAME, Routing::Simple, alias("green"))]);
    let bodies = scene.cloud.proxy.journal();
    let changes = bodies.iter().filter(|entry| entry.name == "Route53.ChangeResourceRecordSets");
    assert!(
        changes.clone().count() == 10 && changes.into_iter().all(|it| !it.params["Body"].contains("UPSERT"))
    );
}

#[tokio::test]
async fn a_change_that_somebody_was_faster_than_is_a_conflict_and_changes_nothing() {
    let Some(scene) = Scene::new() else { return };
    let zone = scene.zone().await;
    let other_name = record("docs.example.org.", weighted("shop-blue", 1), alias("blue"));
    scene.create(&zone, &both(10)).await;
    scene.create(&zone, std::slice::from_ref(&other_name)).await;
    let seen = scene.records(&zone, NAME).await;
    let mut mine = to(&seen, at(50));
    mine.extend(Batch { delete: vec![other_name.clone()], create: Vec::new() });
    let theirs = [
        (to(&seen, at(25)), "do not match the current values"),
        (Batch { delete: seen[1..].to_vec(), create: Vec::new() }, "was not found"),
        (to(&seen, Point::Only(keelwright::migrate::record::Side::Blue)), "was not found"),
    ];
    for (theirs, why) in theirs {
        scene.aws.change(&zone, &theirs).await.unwrap();
        let before = scene.records(&zone, NAME).await;
        match scene.aws.change(&zone, &mine).await {
            Err(CallError::Conflict(said)) => {
                assert!(said.contains(why) && said.contains("shop.example.org"), "{said}");
            }
            other => panic!("no conflict: {other:?}"),
        }
        assert_eq!(scene.records(&zone, NAME).await, before);
        assert_eq!(scene.records(&zone, "docs.example.org").await, std::slice::from_ref(&other_name));
        scene.aws.change(&zone, &theirs.reversed()).await.unwrap();
        assert_eq!(scene.records(&zone, NAME).await, seen);
    }
    // Somebody made what is to be made.
    let new = record("new.example.org.", Routing::Simple, alias("blue"));
    scene.create(&zone, std::slice::from_ref(&new)).await;
    let again = scene.aws.change(&zone, &Batch { delete: Vec::new(), create: vec![new] }).await;
    assert!(matches!(again, Err(CallError::Conflict(said)) if said.contains("it already exists")));
}

#[tokio::test]
async fn names_with_the_same_identifiers_do_not_touch_each_other() {
    let Some(scene) = Scene::new() else { return };
    let zone = scene.zone().await;
    let other = |record: &RecordSet| RecordSet { name: "docs.example.org.".to_owned(), ..record.clone() };
    let six = |record: &RecordSet| RecordSet { record_type: RecordType::Aaaa, ..record.clone() };
    let others: Vec<RecordSet> = both(10).iter().map(other).collect();
    let sixes: Vec<RecordSet> = both(10).iter().map(six).collect();
    scene.create(&zone, &[both(10).to_vec(), others.clone(), sixes.clone()].concat()).await;
    scene
        .aws
        .change(&zone, &to(&both(10), Point::Only(keelwright::migrate::record::Side::Green)))
        .await
        .unwrap();
    assert_eq!(scene.records(&zone, "docs.example.org").await, others);
    let mut expected = vec![record(NAME, Routing::Simple, alias("green"))];
    expected.extend(sixes);
    assert_eq!(scene.records(&zone, NAME).await, expected);
}

#[tokio::test]
async fn a_change_is_on_its_way_until_all_name_servers_know_it() {
    let Some(scene) = Scene::new() else { return };
    let zone = scene.zone().await;
    let new = |name: &str| Batch {
        delete: Vec::new(),
        create: vec![record(name, Routing::Simple, values(&["192.0.2.1"]))],
    };
    let one = scene.aws.change(&zone, &new("one.example.org.")).await.unwrap();
    let other = scene.aws.change(&zone, &new("other.example.org.")).await.unwrap();
    assert_ne!(one, other);
    for expected in [false, false, true, true] {
        assert_eq!(scene.aws.is_everywhere(&one).await, Ok(expected));
    }
    assert_eq!(scene.aws.is_everywhere(&other).await, Ok(false), "each is on a way of its own");
    let said = refusal(scene.aws.is_everywhere(&ChangeId("/change/C0NOTTHERE".to_owned())).await);
    assert!(said.contains("NoSuchChange"), "{said}");
    scene.was_foretold();
}

#[tokio::test]
async fn a_protected_record_is_refused_for_good_in_route_53s_words() {
    let Some(scene) = Scene::new() else { return };
    let zone = scene.zone().await;
    scene.create(&zone, &both(0)).await;
    scene.cloud.proxy.set(|settings| settings.protected = ["shop.example.org".to_owned()].into());
    let said = refusal(scene.aws.change(&zone, &to(&both(0), at(10))).await);
    assert!(said.contains("is protected"), "{said}");
    assert_eq!(scene.records(&zone, NAME).await, both(0));
}

#[tokio::test]
async fn what_route_53_cannot_take_is_not_sent() {
    let Some(scene) = Scene::new() else { return };
    assert!(refusal(scene.aws.change("Z1", &Batch::default()).await).contains("nothing to change"));
    assert!(scene.cloud.proxy.calls().is_empty());
    let batch = Batch { delete: Vec::new(), create: both(0).to_vec() };
    let said = refusal(scene.aws.change("Z0000000NOTTHERE", &batch).await);
    assert!(said.contains("NoSuchHostedZone"), "{said}");
    let zone = fixtures::zone(&scene.cloud.moto, "once").await;
    let cname = RecordSet {
        record_type: RecordType::Cname,
        ..record("example.org.", Routing::Simple, values(&["blue.example.net."]))
    };
    // The zone's own name has other records, which a CNAME cannot be beside.
    let answer = scene.aws.change(&zone, &Batch { delete: Vec::new(), create: vec![cname] }).await;
    assert!(matches!(answer, Err(CallError::Conflict(said)) if said.contains("not permitted")));
}
