//! Record sets as Route 53 has them, and as a migration sees them.

use http::Method;
use keelwright::migrate::ports::Dns as _;
use keelwright::migrate::record::{Batch, RecordSet, RecordType, Routing, Target};
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;

use super::{Scene, alias, record, refusal, values, weighted};
use crate::emulator::client::Client;
use crate::emulator::service::Service;

/// A record that only Route 53's own words can make.
async fn raw(client: &Client, zone: &str, name: &str, kind: &str, inner: &str) {
    let set = format!("<Name>{name}</Name><Type>{kind}</Type>{inner}");
    let change = format!("<Action>CREATE</Action><ResourceRecordSet>{set}</ResourceRecordSet>");
    let batch = format!("<ChangeBatch><Changes><Change>{change}</Change></Changes></ChangeBatch>");
    let body = format!("<ChangeResourceRecordSetsRequest>{batch}</ChangeResourceRecordSetsRequest>");
    let path = format!("/2013-04-01/hostedzone/{zone}/rrset/");
    client.rest(Service::Route53, Method::POST, &path, &body).await.ok();
}

fn value(value: &str) -> String {
    format!(
        "<TTL>60</TTL><ResourceRecords><ResourceRecord><Value>{value}</Value></ResourceRecord></ResourceRecords>"
    )
}

#[tokio::test]
async fn a_zone_is_told_with_those_that_answer_for_it() {
    let Some(scene) = Scene::new() else { return };
    let id = scene.zone().await;
    let zone = scene.aws.zone(&id).await.unwrap().unwrap();
    assert_eq!((zone.name.as_str(), zone.is_private), ("example.org", false));
    assert!(!zone.name_servers.is_empty() && zone.name_servers.iter().all(|name| !name.ends_with('.')));
    assert_eq!(scene.aws.zone("Z0000000NOTTHERE").await, Ok(None));
    scene.was_foretold();
}

fn some_record() -> impl Strategy<Value = RecordSet> {
    let alias = ("[a-z]{1,12}", any::<bool>()).prop_map(|(name, evaluate_target_health)| Target::Alias {
        dns_name: format!("{name}.elb.eu-central-1.amazonaws.com."),
        hosted_zone: "Z3F0SRJ5LGBH90".to_owned(),
        evaluate_target_health,
    });
    let values = (1..86_400_u32, prop::collection::btree_set("10\\.[1-9]\\.[1-9]\\.[1-9]", 1..4))
        .prop_map(|(ttl, values)| Target::Values { ttl, values: values.into_iter().collect() });
    let routing = prop_oneof![
        Just(Routing::Simple),
        ("[A-Za-z0-9 &<>._-]{1,40}[a-z]", any::<u8>())
            .prop_map(|(identifier, weight)| Routing::Weighted { identifier, weight }),
    ];
    let health_check = prop::option::of(Just("11111111-2222-3333-4444-555555555555".to_owned()));
    (routing, prop_oneof![alias, values], health_check).prop_map(|(routing, target, health_check)| {
        RecordSet { health_check, ..record("shop.example.org.", routing, target) }
    })
}

#[tokio::test]
async fn a_record_is_read_with_everything_that_was_written_and_can_be_taken_away_again() {
    let Some(scene) = Scene::new() else { return };
    let zone = scene.zone().await;
    let mut runner = TestRunner::deterministic();
    for _ in 0..40 {
        let wanted = some_record().new_tree(&mut runner).unwrap().current();
        scene.create(&zone, std::slice::from_ref(&wanted)).await;
        let read = scene.records(&zone, "shop.example.org").await;
        assert_eq!(read, [wanted]);
        let batch = Batch { delete: read, create: Vec::new() };
        scene.aws.change(&zone, &batch).await.unwrap();
        assert_eq!(scene.records(&zone, "shop.example.org").await, []);
    }
    scene.was_foretold();
}

#[tokio::test]
async fn all_records_of_exactly_one_name_are_found_on_whatever_page_they_are() {
    let Some(scene) = Scene::new() else { return };
    let zone = scene.zone().await;
    let name = "shop.example.org.";
    let mut wanted: Vec<RecordSet> = (1..=5)
        .map(|number| record(name, weighted(&format!("side {number}"), number), alias("blue")))
        .collect();
    let six = |record: &RecordSet| RecordSet { record_type: RecordType::Aaaa, ..record.clone() };
    wanted.extend(wanted.clone().iter().map(six));
    scene.create(&zone, &wanted).await;
    let others = ["a.shop.example.org.", "shoo.example.org.", "shop1.example.org.", "example.org."];
    for other in others {
        scene.create(&zone, &[record(other, Routing::Simple, values(&["192.0.2.9"]))]).await;
    }
    raw(&scene.cloud.moto, &zone, name, "TXT", &value("\"v=1\"")).await;
    raw(&scene.cloud.moto, &zone, name, "MX", &value("10 mail.example.org.")).await;
    scene.cloud.proxy.set(|settings| settings.page = 3);
    let before = scene.cloud.proxy.count("Route53.ListResourceRecordSets");
    let found = scene.records(&zone, "SHOP.example.org").await;
    assert_eq!(found, wanted);
    // Twelve of the name, three a page.
    assert_eq!(scene.cloud.proxy.count("Route53.ListResourceRecordSets") - before, 4);
    assert_eq!(scene.records(&zone, "nobody.example.org").await, []);
    assert_eq!(scene.records(&zone, "zzz.example.org").await, []);
}

#[tokio::test]
async fn a_name_with_a_star_is_found_however_it_is_written() {
    let Some(scene) = Scene::new() else { return };
    let zone = scene.zone().await;
    scene.create(&zone, &[record("*.example.org.", Routing::Simple, values(&["192.0.2.1"]))]).await;
    let expected = record("\\052.example.org.", Routing::Simple, values(&["192.0.2.1"]));
    for name in ["*.example.org", "\\052.example.org", "*.EXAMPLE.org."] {
        assert_eq!(scene.records(&zone, name).await, std::slice::from_ref(&expected), "{name}");
    }
    let wanted = record("\\052.example.org.", weighted("blue", 1), values(&["192.0.2.1"]));
    let batch = Batch { delete: vec![expected], create: vec![wanted.clone()] };
    scene.aws.change(&zone, &batch).await.unwrap();
    assert_eq!(scene.records(&zone, "*.example.org").await, [wanted]);
}

#[tokio::test]
async fn records_of_other_policies_are_seen_and_never_changed() {
    let Some(scene) = Scene::new() else { return };
    let zone = scene.zone().await;
    let moto = &scene.cloud.moto;
    let policies = [
        ("near", "<Region>eu-central-1</Region>", "latency"),
        ("land", "<GeoLocation><CountryCode>DE</CountryCode></GeoLocation>", "geolocation"),
        ("first", "<Failover>PRIMARY</Failover>", "failover"),
        ("many", "<MultiValueAnswer>true</MultiValueAnswer>", "several values at random"),
    ];
    for (name, field, policy) in policies {
        let name = format!("{name}.example.org");
        let inner = format!("<SetIdentifier>one</SetIdentifier>{field}{}", value("192.0.2.1"));
        raw(moto, &zone, &name, "A", &inner).await;
        let found = scene.records(&zone, &name).await;
        assert_eq!(found[0].routing, Routing::Other(policy.to_owned()));
        let before = scene.cloud.proxy.calls().len();
        for batch in [
            Batch { delete: found.clone(), create: Vec::new() },
            Batch { delete: Vec::new(), create: found.clone() },
        ] {
            let said = refusal(scene.aws.change(&zone, &batch).await);
            assert!(said.contains(&format!("{name}. A is answered by {policy}")), "{said}");
        }
        assert_eq!(scene.cloud.proxy.calls().len(), before, "nobody was asked");
    }
}
