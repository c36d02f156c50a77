use proptest::prelude::*;

use super::*;

const NAME: &str = "shop.example.org.";

fn alias(name: &str) -> Target {
    Target::Alias {
        dns_name: format!("{name}.elb.eu-central-1.amazonaws.com."),
        hosted_zone: "Z3F0SRJ5LGBH90".to_owned(),
        evaluate_target_health: false,
    }
}

fn values(ttl: u32, values: &[&str]) -> Target {
    Target::Values { ttl, values: values.iter().map(|value| (*value).to_owned()).collect() }
}

fn sides() -> Sides {
    Sides { blue: alias("old"), green: alias("new") }
}

fn record(routing: Routing, target: Target) -> RecordSet {
    RecordSet { name: NAME.to_owned(), record_type: RecordType::A, routing, target, health_check: None }
}

fn weighted(identifier: &str, weight: u8, target: Target) -> RecordSet {
    record(Routing::Weighted { identifier: identifier.to_owned(), weight }, target)
}

fn point(records: &[RecordSet]) -> Result<Point, Foreign> {
    point_of(NAME, RecordType::A, records, &sides())
}

fn batch(point: Point, records: &[RecordSet]) -> Batch {
    batch_to(point, records, NAME, RecordType::A, &sides(), &|side| format!("shop-{side}"))
}

/// What Route 53 makes of a batch: all of it, or nothing.
fn applied(batch: &Batch, records: &[RecordSet]) -> Option<Vec<RecordSet>> {
    let mut left = records.to_vec();
    for gone in &batch.delete {
        let at = left.iter().position(|record| record == gone)?;
        left.remove(at);
    }
    for new in &batch.create {
        let clashes = |there: &RecordSet| match (&there.routing, &new.routing) {
            (Routing::Weighted { identifier, .. }, Routing::Weighted { identifier: other, .. }) => {
                identifier == other
            }
            _ => true,
        };
        if left.iter().any(clashes) {
            return None;
        }
        left.push(new.clone());
    }
    left.sort();
    Some(left)
}

#[test]
fn a_simple_record_becomes_two_weighted_ones_in_one_batch() {
    let simple = record(Routing::Simple, alias("dualstack.old"));
    assert_eq!(point(std::slice::from_ref(&simple)), Ok(Point::Only(Side::Blue)));
    let batch = batch(Point::Weighted(Weights::of_green(0)), std::slice::from_ref(&simple));
    assert_eq!(batch.delete, [simple]);
    assert_eq!(
        batch.create,
        [weighted("shop-blue", 100, alias("dualstack.old")), weighted("shop-green", 0, alias("new"))],
        "blue's record says what it said"
    );
}

/// We take green's weight away while somebody takes blue's: one of the two must not happen.
#[test]
fn two_changes_that_are_harmless_alone_never_leave_only_zeros() {
    let seen = [weighted("a", 100, alias("old")), weighted("b", 10, alias("new"))];
    let ours = batch(Point::Weighted(Weights { blue: 100, green: 0 }), &seen);
    let now = [weighted("a", 0, alias("old")), weighted("b", 10, alias("new"))];
    assert_eq!(applied(&ours, &now), None);
}

#[test]
fn records_that_others_made_keep_their_identifiers() {
    let there = [weighted("kops", 100, alias("old")), weighted("eks", 0, alias("new"))];
    let batch = batch(Point::Weighted(Weights { blue: 100, green: 10 }), &there);
    assert_eq!(batch.delete, there, "also the one that stays as it is");
    assert_eq!(batch.create, [weighted("kops", 100, alias("old")), weighted("eks", 10, alias("new"))]);
    assert!(
        super::batch_to(
            Point::Weighted(Weights { blue: 100, green: 0 }),
            &there,
            NAME,
            RecordType::A,
            &sides(),
            &|_| String::new()
        )
        .is_empty()
    );
}

#[test]
fn what_a_migration_did_not_make_is_refused_and_named() {
    let odd = |records: &[RecordSet]| point(records).unwrap_err().to_string();
    assert_eq!(odd(&[]), "shop.example.org. has no A record");
    assert!(odd(&[record(Routing::Simple, alias("third"))]).contains("leads to third.elb"));
    assert!(
        odd(&[record(Routing::Other("latency".into()), alias("old"))]).contains("by latency, not by weights")
    );
    let twice = [weighted("a", 1, alias("old")), weighted("b", 1, alias("old"))];
    assert!(odd(&twice).contains("two records that lead to blue"));
    let third =
        [weighted("a", 1, alias("old")), weighted("b", 1, alias("new")), weighted("c", 1, alias("c"))];
    assert!(odd(&third).contains("neither blue's nor green's"));
    let zero = [weighted("a", 0, alias("old")), weighted("b", 0, alias("new"))];
    assert!(odd(&zero).contains("only weights of zero"));
    assert!(odd(&[weighted("a", 0, alias("old"))]).contains("only weights of zero"));
}

#[test]
fn one_weighted_record_counts_for_all() {
    assert_eq!(point(&[weighted("a", 7, alias("new"))]), Ok(Point::Weighted(Weights { blue: 0, green: 7 })));
}

#[test]
fn names_are_the_same_with_and_without_what_consoles_write() {
    assert!(alias("old").leads_as(&alias("dualstack.OLD")));
    assert!(!alias("old").leads_as(&alias("new")));
    assert!(values(60, &["192.0.2.1", "192.0.2.2"]).leads_as(&values(300, &["192.0.2.2", "192.0.2.1"])));
    assert!(values(60, &["lb.example.org"]).leads_as(&values(60, &["LB.example.org."])));
    assert!(!values(60, &["old.elb.eu-central-1.amazonaws.com."]).leads_as(&alias("old")));
}

fn any_point() -> impl Strategy<Value = Point> {
    prop_oneof![
        1 => Just(Point::Only(Side::Blue)),
        1 => Just(Point::Only(Side::Green)),
        1 => (0..=100_u8).prop_map(|green| Point::Weighted(Weights::of_green(green))),
        1 => (1..=255_u8, 0..=255_u8).prop_map(|(blue, green)| Point::Weighted(Weights { blue, green })),
        // Often, and few enough that only one side differs.
        8 => (1..=3_u8, 0..=2_u8).prop_map(|(blue, green)| Point::Weighted(Weights { blue, green })),
    ]
}

proptest! {
    #[test]
    fn every_point_is_reached_from_every_other_and_left_again(from in any_point(), to in any_point()) {
        let first = applied(&batch(from, &[]), &[]).unwrap();
        prop_assert_eq!(point(&first).unwrap(), from);
        let there = batch(to, &first);
        let second = applied(&there, &first).unwrap();
        prop_assert_eq!(point(&second).unwrap(), to);
        prop_assert!(batch(to, &second).is_empty());
        // The way back restores what was there, to the byte.
        prop_assert_eq!(applied(&there.reversed(), &second).unwrap(), first);
    }

    #[test]
    fn what_somebody_has_changed_meanwhile_is_never_written_over(from in any_point(), to in any_point(), theirs in any_point()) {
        let seen = applied(&batch(from, &[]), &[]).unwrap();
        let ours = batch(to, &seen);
        let now = applied(&batch(theirs, &seen), &seen).unwrap();
        // Also where only the other side's record has changed: together they might leave nothing but zeros.
        if now != seen && !ours.is_empty() {
            prop_assert_eq!(applied(&ours, &now), None);
        }
    }
}
