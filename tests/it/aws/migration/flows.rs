//! What CloudWatch says of a balancer's connections, and of what gates are about.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use keelwright::migrate::ports::{BalancerFacts, BalancerKind, Balancers as _, CallError};

use super::{Scene, gate, is_later};
use crate::emulator::proxy::{Fault, Faults};

const ARN: &str =
    "arn:aws:elasticloadbalancing:eu-central-1:123456789012:loadbalancer/net/blue/0123456789abcdef";
const READ: &str = "CloudWatch.GetMetricData";
/// A period that does not end while a test runs, but once in a while.
const HOUR: u32 = 3600;

fn balancer(kind: BalancerKind) -> BalancerFacts {
    BalancerFacts {
        arn: ARN.to_owned(),
        dns_name: "blue.elb.eu-central-1.amazonaws.com".to_owned(),
        hosted_zone: "Z1".to_owned(),
        kind,
        is_internal: false,
        is_active: true,
        vpc: "vpc-1".to_owned(),
        subnets: Vec::new(),
        groups: Vec::new(),
        target_groups: Vec::new(),
    }
}

/// So many seconds ago.
fn ago(seconds: u64) -> SystemTime {
    SystemTime::now() - Duration::from_secs(seconds)
}

#[tokio::test]
async fn connections_of_the_last_while_are_counted() {
    let Some(scene) = Scene::new() else { return };
    let network = balancer(BalancerKind::Network);
    assert_eq!(scene.aws.new_flows(&network, 600).await, Ok(None), "nobody counts them");
    scene.cloud.proxy.set(|settings| {
        settings.metrics.flows(ARN, ago(3600), 1000);
        settings.metrics.flows(ARN, ago(300), 20);
        settings.metrics.flows(ARN, ago(60), 3);
        settings.metrics.flows(ARN, ago(1), 4);
        settings.metrics.flows(&ARN.replace("blue", "green"), ago(1), 99);
    });
    assert_eq!(scene.aws.new_flows(&network, 600).await, Ok(Some(27)));
    assert_eq!(scene.aws.new_flows(&network, 7200).await, Ok(Some(1027)));
    scene.was_foretold();
}

#[tokio::test]
async fn a_balancer_that_nobody_uses_any_more_has_no_new_connections() {
    let Some(scene) = Scene::new() else { return };
    let network = balancer(BalancerKind::Network);
    // There is no value for a minute without any.
    scene.cloud.proxy.set(|settings| settings.metrics.flows(ARN, ago(3600), 1000));
    assert_eq!(scene.aws.new_flows(&network, 600).await, Ok(Some(0)));
    // Where it is not known by itself, but by zones only, it is not known.
    let application = balancer(BalancerKind::Application);
    scene.cloud.proxy.set(|settings| {
        let dimensions =
            [("LoadBalancer", "net/blue/0123456789abcdef"), ("AvailabilityZone", "eu-central-1a")];
        settings.metrics.put("AWS/ApplicationELB", "RequestCount", &dimensions, ago(3600), 1.0);
    });
    assert_eq!(scene.aws.new_flows(&application, 600).await, Ok(None));
    scene.cloud.proxy.set(|settings| {
        let dimensions = [("LoadBalancer", "net/blue/0123456789abcdef")];
        settings.metrics.put("AWS/ApplicationELB", "RequestCount", &dimensions, ago(120), 7.0);
    });
    assert_eq!(scene.aws.new_flows(&application, 600).await, Ok(Some(7)));
    assert_eq!(scene.aws.new_flows(&balancer(BalancerKind::Gateway), 600).await, Ok(None));
}

#[tokio::test]
async fn the_newest_whole_period_of_a_gates_metric_counts() {
    let Some(scene) = Scene::new() else { return };
    assert_eq!(scene.aws.metric(&gate("Average", HOUR)).await, Ok(None));
    let into_this_hour = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() % u64::from(HOUR);
    scene.cloud.proxy.set(|settings| {
        let half_past = |hours: u64| into_this_hour + hours * u64::from(HOUR) - 1800;
        for (seconds, value) in [(half_past(2), 9.0), (half_past(1), 1.0), (half_past(1), 2.0), (0, 77.0)] {
            settings.metrics.put("Shop", "Errors", &[("Side", "green")], ago(seconds), value);
            settings.metrics.put("Shop", "Errors", &[("Side", "blue")], ago(seconds), 1000.0);
        }
    });
    for (statistic, expected) in [("Average", 1.5), ("Sum", 3.0), ("Maximum", 2.0)] {
        assert_eq!(scene.aws.metric(&gate(statistic, HOUR)).await, Ok(Some(expected)), "{statistic}");
    }
    scene.was_foretold();
}

#[tokio::test]
async fn what_was_said_long_ago_is_no_news() {
    let Some(scene) = Scene::new() else { return };
    scene.cloud.proxy.set(|settings| {
        settings.metrics.put("Shop", "Errors", &[("Side", "green")], ago(1200), 5.0);
    });
    assert_eq!(scene.aws.metric(&gate("Sum", 60)).await, Ok(None));
    assert_eq!(scene.aws.metric(&gate("Sum", 300)).await, Ok(Some(5.0)));
}

#[tokio::test]
async fn cloudwatch_is_asked_again_until_it_answers() {
    let Some(scene) = Scene::new() else { return };
    scene.cloud.proxy.set(|settings| settings.metrics.flows(ARN, ago(60), 3));
    let network = balancer(BalancerKind::Network);
    for fault in [Fault::Throttle, Fault::InternalError, Fault::LostReply] {
        scene.cloud.proxy.set_faults(Faults::first(2, READ, fault));
        assert_eq!(scene.aws.new_flows(&network, 600).await, Ok(Some(3)), "{fault:?}");
    }
    scene.cloud.proxy.set_faults(Faults::first(100, READ, Fault::Throttle));
    assert!(is_later(&scene.aws.new_flows(&network, 600).await));
    scene.cloud.proxy.set_faults(Faults::none());
    scene.cloud.proxy.set(|settings| settings.denied = ["cloudwatch:GetMetricData".to_owned()].into());
    let denied = scene.aws.metric(&gate("Sum", 60)).await;
    assert!(matches!(&denied, Err(CallError::Denied(said)) if said.contains("GetMetricData")), "{denied:?}");
}
