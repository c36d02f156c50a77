//! What is not allowed is known before the first change.

use std::collections::BTreeSet;

use keelwright::cloud::aws::migration::{Scope, permissions as needed};
use keelwright::cloud::permissions::Denied;
use keelwright::inventory::{Balancer, Migration};
use keelwright::migrate::ports::CallError;

use super::{Scene, everything};

/// A migration of one name between addresses, and nothing else.
fn least() -> Migration {
    let mut migration = everything();
    migration.blue.balancer = Balancer::Addresses(vec!["192.0.2.1".parse().unwrap()]);
    migration.green.balancer = Balancer::DnsName("green.example.net".to_owned());
    (migration.take_over, migration.make) = (None, None);
    migration.gates.metrics.clear();
    migration
}

#[test]
fn a_migration_needs_what_it_does_and_nothing_else() {
    let actions = |migration: &Migration, groups: &[String]| -> BTreeSet<&str> {
        needed(migration, groups).into_iter().map(|permission| permission.action).collect()
    };
    let names = [
        "route53:ChangeResourceRecordSets",
        "route53:GetChange",
        "route53:GetHostedZone",
        "route53:ListResourceRecordSets",
    ];
    assert_eq!(actions(&least(), &[]), names.into());
    let all = actions(&everything(), &["arn:blue".to_owned()]);
    assert!(all.is_superset(&names.into()) && all.len() == 26, "{all:?}");
    // Nobody is asked whether just any target group may be changed.
    assert!(!actions(&everything(), &[]).contains("elasticloadbalancing:RegisterTargets"));
    let targets = needed(&everything(), &["arn:blue".to_owned()]);
    let targets = targets.iter().filter(|permission| permission.action.ends_with("Targets"));
    let there: Vec<&Scope> = targets.map(|permission| &permission.scope).collect();
    assert_eq!(there, [&Scope::Arn("arn:blue".to_owned()); 2]);
}

#[tokio::test]
async fn missing_permissions_are_named_with_where_they_are_missing() {
    let Some(scene) = Scene::new() else { return };
    let wanted = needed(&everything(), &["arn:aws:elasticloadbalancing:::targetgroup/blue/1".to_owned()]);
    assert_eq!(scene.aws.denied(&wanted).await, Ok(Vec::new()));
    let missing = [
        ("route53:ChangeResourceRecordSets", "arn:aws:route53:::hostedzone/Z1"),
        ("elasticloadbalancing:RegisterTargets", "arn:aws:elasticloadbalancing:::targetgroup/blue/1"),
        ("cloudwatch:GetMetricData", "*"),
    ];
    let denied = missing.map(|(action, _)| action.to_owned());
    scene.cloud.proxy.set(|settings| settings.denied = denied.into());
    let mut expected: Vec<Denied> = missing
        .iter()
        .map(|(action, resource)| Denied { action: (*action).to_owned(), resource: (*resource).to_owned() })
        .collect();
    expected.sort();
    assert_eq!(scene.aws.denied(&wanted).await, Ok(expected));
    let calls = scene.cloud.proxy.calls();
    assert!(calls.iter().all(|call| call.starts_with("IAM.") || call.starts_with("STS.")), "{calls:?}");
}

#[tokio::test]
async fn where_nobody_may_ask_that_is_said() {
    let Some(scene) = Scene::new() else { return };
    scene.cloud.proxy.set(|settings| settings.denied = ["iam:SimulatePrincipalPolicy".to_owned()].into());
    let wanted = needed(&least(), &[]);
    let answer = scene.aws.denied(&wanted).await;
    assert!(matches!(&answer, Err(CallError::Denied(said)) if said.contains("Simulate")), "{answer:?}");
}
