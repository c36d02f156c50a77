//! What goes wrong: kills, throttling, lost answers, and somebody else at the records.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use rand::RngExt as _;

use super::blues::{Balanced, KOPS_NAMED, in_aws};
use super::stage::{Stage, text, until};
use crate::emulator::proxy::{Fault, Faults, Moment};

/// Killed at one call after another. Somebody watches beside the run: it goes back, and the next run goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_is_killed_at_any_call_goes_back_or_on() {
    let Some(stage) = Stage::new("killed", "").await else { return };
    let mut went_back = 0;
    let mut call = 1;
    loop {
        let first = stage.cloud.proxy.calls().len();
        let moment = if call % 2 == 0 { Moment::Before } else { Moment::After };
        stage.cloud.proxy.stop_at(first + call, moment);
        let mut apply = stage.start(&["apply", "--yes"]);
        let ended = until("a call to stop at, or the end", async || {
            if stage.cloud.proxy.is_stopped() { Some(None) } else { apply.has_ended().map(Some) }
        })
        .await;
        if let Some(status) = ended {
            assert_eq!(status.code(), Some(0), "{}", apply.said());
            assert_eq!(stage.weights().await, [("127.0.0.3.", 100)]);
            break;
        }
        let before = stage.weights().await;
        apply.kill();
        stage.cloud.proxy.release();
        until("whoever goes back has ended", async || (!stage.is_guarded()).then_some(())).await;
        let after = stage.weights().await;
        went_back += usize::from(before != after);
        let share = |weights: &[(&str, u32)]| {
            weights.iter().find(|(place, _)| *place == "127.0.0.3.").map_or(0, |(_, weight)| *weight)
        };
        assert!(share(&after) <= share(&before), "killed at call {call}: {before:?} {after:?}");
        // Neighbouring calls are looks at the same things.
        call += 2 + call / 4;
    }
    assert!(went_back > 1, "{went_back}");
    stage.was_always_answered().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_is_told_to_stop_goes_back_first() {
    let Some(stage) = Stage::new("stopped", "").await else { return };
    let mut apply = stage.start(&["apply", "--yes"]);
    until("green gets a share", async || stage.weights().await.contains(&("127.0.0.3.", 25)).then_some(()))
        .await;
    apply.interrupt();
    assert_eq!(apply.end().code(), Some(130), "{}", apply.said());
    assert_eq!(stage.weights().await, [("127.0.0.2.", 100), ("127.0.0.3.", 0)]);
    stage.was_always_answered().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_that_somebody_else_edits_are_left_and_shown() {
    let Some(stage) = Stage::new("edited", "").await else { return };
    let mut apply = stage.start(&["apply", "--yes"]);
    until("green gets a share", async || stage.weights().await.contains(&("127.0.0.3.", 25)).then_some(()))
        .await;
    let mut records = stage.records().await;
    for record in &mut records {
        record.weighted = record.weighted.take().map(|(identifier, _)| (identifier, 7));
    }
    stage.replace(&records).await;
    assert_eq!(apply.end().code(), Some(4), "{}", apply.said());
    for line in [
        "somebody else has changed the records of shop.example.org",
        "- shop.example.org. A weight 75 (shop-blue)",
        "+ shop.example.org. A weight 7 (shop-blue)",
    ] {
        assert!(apply.said().contains(line), "{line}: {}", apply.said());
    }
    assert_eq!(stage.weights().await, [("127.0.0.2.", 7), ("127.0.0.3.", 7)]);
    stage.was_always_answered().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn throttled_and_cut_calls_are_made_again() {
    let Some(stage) = Stage::new("throttled", "").await else { return };
    stage.cloud.proxy.set_faults(Faults::new(7, |_, _, random| match random.random_range(0..10) {
        0..=2 => Fault::Throttle,
        3 => Fault::CutBefore,
        4 => Fault::InternalError,
        _ => Fault::None,
    }));
    let applied = stage.run(&["apply", "--yes"]);
    assert_eq!(applied.status.code(), Some(0), "{}", text(&applied.stderr));
    assert_eq!(stage.weights().await, [("127.0.0.3.", 100)]);
    stage.was_always_answered().await;
}

/// Nobody can ask for a change whose number was lost, so two minutes are waited for each.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes: make e2e"]
async fn changes_whose_answers_are_lost_are_not_made_twice() {
    let Some(stage) = Stage::new("lost", "").await else { return };
    stage.cloud.proxy.set_faults(Faults::new(7, |_, name, random| {
        let is_change = name == "Route53.ChangeResourceRecordSets";
        match random.random_range(0..10) {
            0..=6 if is_change => Fault::LostReply,
            _ => Fault::None,
        }
    }));
    let applied = stage.run(&["apply", "--yes"]);
    assert_eq!(applied.status.code(), Some(0), "{}", text(&applied.stderr));
    assert!(text(&applied.stderr).contains("the answer to the change was lost"), "{}", text(&applied.stderr));
    assert_eq!(stage.weights().await, [("127.0.0.3.", 100)]);
    assert_eq!(stage.proxy_count("Route53.ChangeResourceRecordSets"), 4);
    stage.was_always_answered().await;
}

/// The whole way of a cluster with a balancer as kops's clusters have them. Of each call that there is, the first is
/// carried out and its answer lost, the second is one too many, and the third is cut off.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes: make e2e"]
async fn answers_of_every_call_are_lost_and_a_service_moves_all_the_same() {
    let more = "takeOver: {quiet: 3m, deadline: 4m}\n";
    let by_arn = |blue: &Balanced| format!("arn: \"{}\"", blue.arn);
    let Some((stage, [blue, green])) = in_aws("every-call", KOPS_NAMED, more, by_arn).await else { return };
    until("targets are not healthy", async || {
        (stage.run(&["plan", "--check"]).status.code() == Some(3)).then_some(())
    })
    .await;
    let met: Arc<Mutex<BTreeMap<String, usize>>> = Arc::default();
    let counted = Arc::clone(&met);
    stage.cloud.proxy.set_faults(Faults::new(7, move |_, name, _| {
        let mut met = counted.lock().unwrap();
        let times = met.entry(name.to_owned()).or_default();
        *times += 1;
        match *times {
            1 => Fault::LostReply,
            2 => Fault::Throttle,
            3 => Fault::CutBefore,
            _ => Fault::None,
        }
    }));
    let applied = stage.run(&["apply", "--yes"]);
    assert_eq!(applied.status.code(), Some(0), "{}", text(&applied.stderr));
    let met = met.lock().unwrap().clone();
    for (service, calls) in [
        ("Route53", "GetHostedZone ListResourceRecordSets ChangeResourceRecordSets GetChange"),
        (
            "ELBv2",
            "DescribeLoadBalancers DescribeListeners DescribeTargetGroups DescribeTargetGroupAttributes",
        ),
        ("ELBv2", "DescribeTargetHealth RegisterTargets DeregisterTargets"),
        ("EC2", "DescribeInstances DescribeSecurityGroups DescribeSubnets"),
        ("CloudWatch", "ListMetrics GetMetricData"),
        ("IAM", "SimulatePrincipalPolicy"),
        ("STS", "GetCallerIdentity"),
    ] {
        for call in calls.split(' ') {
            let name = format!("{service}.{call}");
            assert!(met.contains_key(&name), "{name} was not met: {met:?}");
        }
    }
    eprintln!("{} kinds of calls: {met:?}", met.len());
    assert!(text(&applied.stderr).contains(&green), "{blue} {green}: {}", text(&applied.stderr));
    let records = stage.records().await;
    assert_eq!(records.len(), 1, "{records:?}");
    stage.was_always_answered().await;
}
