use super::*;
use crate::inventory::{Account, Balancer, Gates, MigrationSide, Move, TakeOver, Teardown, TeardownBy};
use crate::migrate::record::{Routing, Target};

pub(crate) fn migration() -> Migration {
    let side = |name: &str| MigrationSide {
        balancer: Balancer::Alias {
            dns_name: format!("{name}.elb.eu-central-1.amazonaws.com"),
            hosted_zone: "Z3F0SRJ5LGBH90".into(),
        },
        kubeconfig: None,
        inventory: None,
    };
    Migration {
        name: "shop".into(),
        aws: Account { region: "eu-central-1".into(), profile: None, assume_role: None },
        names: vec![ServiceName { name: "shop.example.org".into(), hosted_zone: "Z1".into() }],
        blue: side("old"),
        green: side("new"),
        resolvers: Vec::new(),
        probes: Vec::new(),
        schedule: [10, 50, 100].map(|green| Move { green, soak: 600 }).into(),
        gates: Gates {
            error_rate: 0.01,
            worse_than_blue: 0.005,
            latency: None,
            slower_than_blue: None,
            healthy_targets: 0.5,
            nodes_ready: false,
            metrics: Vec::new(),
            commands: Vec::new(),
            samples: 20,
            interval: 1,
            window: 60,
        },
        take_over: Some(TakeOver { quiet: 600, deadline: 86_400 }),
        teardown: Teardown { by: None, simple_record: true },
        make: None,
        copy: None,
    }
}

fn alias(name: &str) -> Target {
    Target::Alias {
        dns_name: format!("{name}.elb.eu-central-1.amazonaws.com."),
        hosted_zone: "Z3F0SRJ5LGBH90".into(),
        evaluate_target_health: false,
    }
}

pub(crate) fn facts(name: &str, zone: &str) -> NameFacts {
    let record = RecordSet {
        name: format!("{name}."),
        record_type: RecordType::A,
        routing: Routing::Simple,
        target: alias("old"),
        health_check: None,
    };
    NameFacts {
        service: ServiceName { name: name.into(), hosted_zone: zone.into() },
        record_type: RecordType::A,
        records: vec![record],
        sides: Sides { blue: alias("old"), green: alias("new") },
    }
}

/// The same name at another point of its way.
fn at(point: Point) -> NameFacts {
    let facts = facts("shop.example.org", "Z1");
    let batch = facts.batch("shop", point);
    facts.after(&batch)
}

fn plan_of(names: &[NameFacts]) -> Result<MigrationPlan, PlanError> {
    plan(&migration(), names, &Behind::default())
}

fn lines(plan: &MigrationPlan) -> Vec<String> {
    let back = |step: &Step| step.back.map_or("none".to_owned(), |point| point.to_string());
    plan.steps.iter().map(|step| format!("{:?} soak {} back {}", step.kind, step.soak, back(step))).collect()
}

#[test]
fn a_whole_migration_goes_by_the_schedule_and_knows_its_way_back() {
    let plan = plan_of(&[facts("shop.example.org", "Z1")]).unwrap();
    assert_eq!(
        lines(&plan),
        [
            "Convert soak 0 back only blue",
            "Weigh { weights: Weights { blue: 90, green: 10 } } soak 600 back 100/0",
            "Weigh { weights: Weights { blue: 50, green: 50 } } soak 600 back 90/10",
            "Weigh { weights: Weights { blue: 0, green: 100 } } soak 600 back 50/50",
            "TakeOver { quiet: 600, deadline: 86400 } soak 0 back 0/100",
            "Finish { simple: true } soak 0 back 0/100",
        ]
    );
}

/// What every name answers, from the first change to the last: never nothing, never only zeros.
#[test]
fn no_batch_leaves_a_name_without_an_answer() {
    let names =
        [facts("shop.example.org", "Z1"), facts("www.example.org", "Z1"), facts("shop.example.net", "Z2")];
    let plan = plan_of(&names).unwrap();
    let mut now = names.to_vec();
    for step in &plan.steps {
        assert!(step.changes.len() <= 2, "one batch a zone");
        for change in &step.changes {
            for facts in now.iter_mut().filter(|facts| facts.service.hosted_zone == change.hosted_zone) {
                let name = format!("{}.", facts.service.name);
                let own = |records: &[RecordSet]| {
                    records.iter().filter(|record| record.name == name).cloned().collect()
                };
                let batch = Batch { delete: own(&change.batch.delete), create: own(&change.batch.create) };
                assert!(batch.delete.iter().all(|record| facts.records.contains(record)), "{name}");
                *facts = facts.after(&batch);
                let point = facts.point().unwrap_or_else(|error| panic!("{error}"));
                assert!(point.weights().blue > 0 || point.weights().green > 0);
            }
        }
    }
    assert!(now.iter().all(|facts| facts.point() == Ok(Point::Only(Side::Green))));
}

#[test]
fn it_goes_on_from_where_the_records_are_and_watches_that_again() {
    let left = |point: Point| lines(&plan_of(&[at(point)]).unwrap());
    let half = left(Point::Weighted(Weights::of_green(50)));
    assert!(half[0].starts_with("Weigh { weights: Weights { blue: 50, green: 50 } }"), "{half:?}");
    assert!(half[0].ends_with("back 90/10"), "{half:?}");
    assert_eq!(half.len(), 4);
    // The same share in other units.
    assert_eq!(left(Point::Weighted(Weights { blue: 7, green: 7 })).len(), 4);
    let converted = left(Point::Weighted(Weights::of_green(0)));
    assert!(converted[0].contains("green: 10"), "{converted:?}");
    assert_eq!(left(Point::Weighted(Weights::of_green(100))).len(), 3);
    assert_eq!(left(Point::Only(Side::Green)), Vec::<String>::new());
}

#[test]
fn what_has_come_to_its_end_needs_nothing_more() {
    let mut weighted = migration();
    weighted.teardown.simple_record = false;
    for wanted in [migration(), weighted] {
        let mut now = facts("shop.example.org", "Z1");
        for step in plan(&wanted, &[now.clone()], &Behind::default()).unwrap().steps {
            for change in step.changes {
                now = now.after(&change.batch);
            }
        }
        assert!(!now.leads_to(Side::Blue));
        assert_eq!(plan(&wanted, &[now], &Behind::default()).unwrap().steps, []);
    }
}

#[test]
fn weights_that_are_no_step_and_names_that_are_apart_are_refused() {
    let error = |names: &[NameFacts]| plan_of(names).unwrap_err().to_string();
    let odd = error(&[at(Point::Weighted(Weights::of_green(33)))]);
    assert_eq!(odd, "the weights are 67/33, which is no step of the schedule");
    let other = NameFacts {
        service: ServiceName { name: "www".into(), hosted_zone: "Z1".into() },
        ..at(Point::Weighted(Weights::of_green(10)))
    };
    let other = NameFacts {
        records: other
            .records
            .iter()
            .map(|record| RecordSet { name: "www.".into(), ..record.clone() })
            .collect(),
        ..other
    };
    let apart = error(&[facts("shop.example.org", "Z1"), other]);
    assert_eq!(apart, "shop.example.org is at only blue, and www at 90/10: names move together");
}

#[test]
fn the_old_record_can_go_alone_and_the_old_cluster_goes_last() {
    let mut wanted = migration();
    wanted.teardown =
        Teardown { by: Some(TeardownBy::Terraform { directory: "/srv/old".into() }), simple_record: false };
    let plan = plan(&wanted, &[at(Point::Weighted(Weights::of_green(100)))], &Behind::default()).unwrap();
    let last: Vec<&StepKind> = plan.steps.iter().rev().take(2).map(|step| &step.kind).collect();
    assert_eq!(last, [&StepKind::Teardown, &StepKind::Finish { simple: false }]);
    let finish = &plan.steps[plan.steps.len() - 2].changes[0].batch;
    assert_eq!((finish.delete.len(), finish.create.len()), (2, 1));
    assert!(finish.create[0].target.leads_as(&alias("new")));
}
