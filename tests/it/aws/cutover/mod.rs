//! A migration as an operator runs it: the real commands, records in moto's Route 53 behind the proxy, a name server that
//! answers by them, and two services on loopback that stand for the balancers of two clusters.

mod blues;
mod faults;
mod stage;
mod teardown;

use keelwright::migrate::report::Report;
use stage::{Stage, text, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_moves_by_the_schedule_and_a_second_run_has_nothing_to_do() {
    let Some(stage) = Stage::new("moves", "teardown: {simpleRecord: true}\n").await else { return };
    let planned = stage.run(&["plan", "--check", "-o", "plan.json"]);
    let said = text(&planned.stdout);
    assert_eq!(planned.status.code(), Some(3), "{said}{}", text(&planned.stderr));
    for line in [
        "migration shop: from only blue, 4 steps",
        "weights 75/25",
        "weights 0/100",
        "- shop.example.org. A -> 127.0.0.2, for 1 s",
        "+ shop.example.org. A weight 75 (shop-blue) -> 127.0.0.2, for 1 s",
        "back: only blue",
        "the names lead to green, without weights",
    ] {
        assert!(said.contains(line), "{line}: {said}");
    }
    assert_eq!(stage.proxy_count("Route53.ChangeResourceRecordSets"), 0, "a plan changes nothing");

    let applied = stage.run(&["apply", "plan.json"]);
    assert_eq!(applied.status.code(), Some(0), "{}", text(&applied.stderr));
    assert_eq!(stage.weights().await, [("127.0.0.3.", 1)], "{}", text(&applied.stderr));
    assert_eq!(stage.proxy_count("Route53.ChangeResourceRecordSets"), 4);
    stage.was_always_answered().await;
    let again = stage.run(&["plan", "--check"]);
    assert_eq!(again.status.code(), Some(0), "{}{}", text(&again.stdout), text(&again.stderr));

    let report = stage.run(&["report", "--svg", "report.svg", "--json", "report.json"]);
    assert_eq!(report.status.code(), Some(0), "{}", text(&report.stderr));
    let report: Report = serde_json::from_str(&stage.read("report.json")).unwrap();
    assert!(report.samples.len() > 2 && report.events.iter().any(|event| event.label.contains("0/100")));
    roxmltree::Document::parse(&stage.read("report.svg")).unwrap();
    let status = stage.run(&["status"]);
    assert!(text(&status.stdout).contains("nothing is left to do"), "{}", text(&status.stdout));
    let status = stage.run(&["status", "--output", "json"]);
    let status: serde_json::Value = serde_json::from_slice(&status.stdout).unwrap();
    assert_eq!(status["left"], serde_json::json!({"steps": 0, "next": null}), "{status}");
    assert_eq!(status["names"][0]["at"], serde_json::json!({"only": "green"}), "{status}");
    assert_eq!((&status["isRunning"], &status["isPaused"]), (&false.into(), &false.into()));
    assert_eq!((&status["last"]["event"], &status["seen"]["event"]), (&"ended".into(), &"seen".into()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn green_that_turns_bad_loses_its_share_within_a_gate_period() {
    let Some(stage) = Stage::new("bad", "").await else { return };
    let mut apply = stage.start(&["apply", "--yes"]);
    until("green gets a share", async || stage.weights().await.contains(&("127.0.0.3.", 25)).then_some(()))
        .await;
    stage.green.break_it();
    let broken = std::time::Instant::now();
    until("it goes back", async || stage.weights().await.contains(&("127.0.0.3.", 0)).then_some(())).await;
    assert!(broken.elapsed().as_secs() < 10, "{:?}: the gates look at ten seconds", broken.elapsed());
    let status = apply.end();
    assert_eq!(status.code(), Some(1), "{}", apply.said());
    assert!(apply.said().contains("the weights went back to 100/0"), "{}", apply.said());
    assert!(apply.said().contains("status 503"), "{}", apply.said());
    assert!(apply.said().contains("keelwright migrate apply -f migration.yaml"), "{}", apply.said());
    let refused = stage.run(&["apply", "--yes"]);
    assert_eq!(refused.status.code(), Some(4), "what is bad beforehand gets nothing");
    assert!(text(&refused.stderr).contains("status 503"), "{}", text(&refused.stderr));
    stage.was_always_answered().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_is_paused_resumed_and_sent_back() {
    let Some(stage) = Stage::new("wishes", "").await else { return };
    assert_eq!(stage.run(&["back"]).status.code(), Some(1), "there is nothing to go back from");
    let mut apply = stage.start(&["apply", "--yes"]);
    until("green gets a share", async || stage.weights().await.contains(&("127.0.0.3.", 25)).then_some(()))
        .await;
    assert_eq!(stage.run(&["pause"]).status.code(), Some(0));
    let second = stage.run(&["apply", "--yes"]);
    assert_eq!(second.status.code(), Some(4), "one run at a time");
    assert!(text(&second.stderr).contains("another run is going on"), "{}", text(&second.stderr));
    until("it is paused", async || apply.said().contains("paused").then_some(())).await;
    let status = text(&stage.run(&["status"]).stdout);
    assert!(status.contains("75/25") && status.contains("a run goes on, and it is paused"), "{status}");
    assert_eq!(stage.run(&["resume"]).status.code(), Some(0));
    until("green has all", async || stage.weights().await.contains(&("127.0.0.3.", 100)).then_some(())).await;
    let back = stage.run(&["back"]);
    assert_eq!(back.status.code(), Some(0), "{}", text(&back.stderr));
    assert_eq!(apply.end().code(), Some(0), "{}", apply.said());
    assert_eq!(stage.weights().await, [("127.0.0.2.", 75), ("127.0.0.3.", 25)]);
    let back = stage.run(&["back", "--to-blue"]);
    assert_eq!(back.status.code(), Some(0), "{}", text(&back.stderr));
    assert_eq!(stage.weights().await, [("127.0.0.2.", 100), ("127.0.0.3.", 0)]);
    stage.was_always_answered().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_is_said_before_anything_changes() {
    let Some(stage) = Stage::new("wrong", "").await else { return };
    stage.green.break_it();
    stage.lead_elsewhere().await;
    let refused = stage.run(&["apply", "--yes"]);
    let said = text(&refused.stderr);
    assert_eq!(refused.status.code(), Some(4), "{said}");
    assert!(said.contains("192.0.2.9"), "{said}");
    let forbidden = ["route53:ChangeResourceRecordSets".to_owned()];
    stage.green.mend_it();
    stage.lead_to_blue().await;
    stage.cloud.proxy.set(|settings| settings.denied = forbidden.into());
    let refused = stage.run(&["apply", "--yes"]);
    let said = text(&refused.stderr);
    assert_eq!(refused.status.code(), Some(4), "{said}");
    assert!(said.contains("allow route53:ChangeResourceRecordSets on"), "{said}");
    assert_eq!(stage.proxy_count("Route53.ChangeResourceRecordSets"), 0);
}
