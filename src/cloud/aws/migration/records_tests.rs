use aws_sdk_route53::types::builders::ResourceRecordSetBuilder;
use aws_sdk_route53::types::{
    CidrRoutingConfig, GeoLocation, GeoProximityLocation, ResourceRecordSetFailover, ResourceRecordSetRegion,
};
use proptest::prelude::*;

use super::*;

fn record(routing: Routing, target: Target) -> RecordSet {
    let name = "api.example.org.".to_owned();
    RecordSet { name, record_type: RecordType::A, routing, target, health_check: None }
}

fn alias() -> Target {
    Target::Alias {
        dns_name: "blue-1.elb.eu-central-1.amazonaws.com.".to_owned(),
        hosted_zone: "Z3F0SRJ5LGBH90".to_owned(),
        evaluate_target_health: true,
    }
}

fn weighted(identifier: &str, weight: u8) -> Routing {
    Routing::Weighted { identifier: identifier.to_owned(), weight }
}

/// A set of Route 53 with one value.
fn set() -> ResourceRecordSetBuilder {
    ResourceRecordSet::builder()
        .name("api.example.org.")
        .r#type(RrType::A)
        .ttl(60)
        .resource_records(ResourceRecord::builder().value("192.0.2.1").build().unwrap())
}

fn some_target() -> impl Strategy<Value = Target> {
    let alias = ("[a-z0-9.-]{1,40}", "[A-Z0-9]{1,20}", any::<bool>()).prop_map(
        |(dns_name, hosted_zone, evaluate_target_health)| Target::Alias {
            dns_name,
            hosted_zone,
            evaluate_target_health,
        },
    );
    // A TTL of Route 53 fits into 31 bits.
    let values = (0..=2_147_483_647_u32, prop::collection::vec("[a-f0-9.:]{1,39}", 1..10))
        .prop_map(|(ttl, values)| Target::Values { ttl, values });
    prop_oneof![alias, values]
}

fn some_record() -> impl Strategy<Value = RecordSet> {
    let routing = prop_oneof![
        Just(Routing::Simple),
        ("\\PC{1,128}", any::<u8>())
            .prop_map(|(identifier, weight)| Routing::Weighted { identifier, weight }),
    ];
    let record_type = prop_oneof![Just(RecordType::A), Just(RecordType::Aaaa), Just(RecordType::Cname)];
    let health_check = prop::option::of("[0-9a-f-]{36}");
    ("[a-z0-9.-]{1,60}", record_type, routing, some_target(), health_check).prop_map(
        |(name, record_type, routing, target, health_check)| RecordSet {
            name,
            record_type,
            routing,
            target,
            health_check,
        },
    )
}

proptest! {
    #[test]
    fn a_record_that_is_written_and_read_is_the_same(record in some_record()) {
        prop_assert_eq!(read(&write(&record).unwrap()), Some(record));
    }
}

#[test]
fn what_a_record_cannot_express_is_never_written_again() {
    let located = GeoLocation::builder().country_code("DE").build();
    let near = GeoProximityLocation::builder().aws_region("eu-central-1").build();
    let cidr = CidrRoutingConfig::builder().collection_id("c").location_name("home").build().unwrap();
    let with = |set: ResourceRecordSetBuilder| set.set_identifier("one").build().unwrap();
    for (set, policy) in [
        (with(set().region(ResourceRecordSetRegion::EuCentral1)), "latency"),
        (with(set().geo_location(located)), "geolocation"),
        (with(set().geo_proximity_location(near)), "geoproximity"),
        (with(set().failover(ResourceRecordSetFailover::Primary)), "failover"),
        (with(set().multi_value_answer(true)), "several values at random"),
        (with(set().cidr_routing_config(cidr)), "the client's address"),
        (set().traffic_policy_instance_id("t").build().unwrap(), "a traffic policy"),
        // A weight together with something that is not known.
        (with(set().weight(1).failover(ResourceRecordSetFailover::Secondary)), "failover"),
        (with(set()), "a policy that keelwright does not know"),
        (with(set().weight(256)), "a policy that keelwright does not know"),
        (set().weight(1).build().unwrap(), "a policy that keelwright does not know"),
    ] {
        let read = read(&set).unwrap();
        assert_eq!(read.routing, Routing::Other(policy.to_owned()));
        assert_eq!(read.target, Target::Values { ttl: 60, values: vec!["192.0.2.1".to_owned()] });
        assert!(matches!(write(&read), Err(Unwritable::Policy { .. })), "{policy}");
    }
}

#[test]
fn a_record_without_an_answer_of_a_known_kind_is_never_written_again() {
    let bare = |set: ResourceRecordSetBuilder| set.name("a.").r#type(RrType::A).build().unwrap();
    let alias = AliasTarget::builder().dns_name("b.").hosted_zone_id("Z").evaluate_target_health(false);
    for set in [
        bare(ResourceRecordSet::builder()),
        bare(ResourceRecordSet::builder().ttl(60)),
        bare(set().set_ttl(None)),
        bare(set().ttl(-1)),
        bare(set().alias_target(alias.build().unwrap())),
    ] {
        let read = read(&set).unwrap();
        assert!(matches!(read.routing, Routing::Other(_)), "{set:?}");
    }
}

#[test]
fn records_of_other_types_are_nobodys_business_here() {
    for kind in [RrType::Txt, RrType::Mx, RrType::Caa, RrType::Https, RrType::Ns] {
        assert_eq!(read(&set().r#type(kind).build().unwrap()), None);
    }
}

#[test]
fn a_batch_takes_away_exactly_what_there_was_before_it_makes_anything() {
    let there = record(Routing::Simple, alias());
    let wanted = vec![
        record(weighted("m-blue", 100), alias()),
        record(weighted("m-green", 0), Target::Values { ttl: 60, values: vec!["192.0.2.1".to_owned()] }),
    ];
    let written = batch(&Batch { delete: vec![there.clone()], create: wanted.clone() }).unwrap();
    let seen: Vec<(ChangeAction, RecordSet)> = written
        .changes()
        .iter()
        .map(|change| (change.action().clone(), read(change.resource_record_set().unwrap()).unwrap()))
        .collect();
    let created = wanted.into_iter().map(|record| (ChangeAction::Create, record));
    let expected: Vec<_> = [(ChangeAction::Delete, there)].into_iter().chain(created).collect();
    assert_eq!(seen, expected);
}

#[test]
fn a_batch_that_cannot_be_sent_is_none() {
    assert_eq!(batch(&Batch::default()).unwrap_err(), Unwritable::Nothing);
    let values = (0..1001).map(|number| format!("10.0.{}.{}", number / 256, number % 256)).collect();
    let large = record(Routing::Simple, Target::Values { ttl: 60, values });
    let large = Batch { delete: Vec::new(), create: vec![large] };
    assert_eq!(batch(&large).unwrap_err(), Unwritable::TooMany { count: 1001 });
    let other = record(Routing::Other("latency".to_owned()), alias());
    let other = Batch { delete: vec![other], create: Vec::new() };
    assert!(matches!(batch(&other).unwrap_err(), Unwritable::Policy { .. }));
}

#[test]
fn weighted_records_of_one_name_have_one_ttl() {
    let values = |ttl| Target::Values { ttl, values: vec!["192.0.2.1".to_owned()] };
    let create = vec![record(weighted("a", 1), values(300)), record(weighted("b", 1), values(60))];
    let name = "api.example.org.".to_owned();
    let expected = Unwritable::Ttls { name, record_type: RecordType::A, one: 300, other: 60 };
    assert_eq!(batch(&Batch { delete: Vec::new(), create }).unwrap_err(), expected);
    let other_type = RecordSet { record_type: RecordType::Aaaa, ..record(weighted("b", 1), values(60)) };
    let create = vec![record(weighted("a", 1), values(300)), other_type, record(weighted("c", 1), alias())];
    assert!(batch(&Batch { delete: Vec::new(), create }).is_ok());
}
