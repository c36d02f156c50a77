use super::*;
use crate::inventory::{CommandGate, MetricGate};
use crate::migrate::plan::tests::migration;

fn gates() -> Gates {
    Gates { samples: 20, latency: Some(200), slower_than_blue: Some(2.0), ..migration().gates }
}

/// `failed` of `asked`, each fine answer after `milliseconds`.
fn answers(side: Side, asked: usize, failed: usize, milliseconds: u64) -> Vec<Answer> {
    let answer = |number: usize| Answer {
        probe: "page".into(),
        side: Some(side),
        led: None,
        took: Duration::from_millis(milliseconds),
        error: (number < failed).then(|| format!("status 50{number}")),
    };
    (0..asked).map(answer).collect()
}

fn both(blue: Vec<Answer>, green: Vec<Answer>) -> Vec<Answer> {
    blue.into_iter().chain(green).collect()
}

fn said(answers: &[Answer], sight: &Sight) -> Vec<String> {
    judge(&gates(), answers, sight).shut.iter().map(ToString::to_string).collect()
}

#[test]
fn green_that_is_as_good_as_blue_may_go_on() {
    let answers = both(answers(Side::Blue, 100, 0, 40), answers(Side::Green, 100, 0, 50));
    let verdict = judge(&gates(), &answers, &Sight { targets: Some((3, 3)), ..Sight::default() });
    assert!(verdict.is_open(), "{verdict:?}");
    assert_eq!((verdict.green.asked, verdict.green.slowest), (100, Duration::from_millis(50)));
}

#[test]
fn too_few_answers_let_nothing_go_on_and_one_failure_is_no_rate() {
    let few = |failed| judge(&gates(), &answers(Side::Green, 5, failed, 40), &Sight::default());
    assert!(few(0).is_early && few(0).shut.is_empty() && !few(0).is_open());
    assert!(few(1).shut.is_empty());
    assert_eq!(few(2).shut.len(), 1, "two of five are enough to go back");
}

#[test]
fn every_gate_says_what_it_saw_and_what_it_wants() {
    let fine = || answers(Side::Green, 100, 0, 50);
    let none = Sight::default();
    for (answers, sight, want) in [
        (
            answers(Side::Green, 100, 3, 50),
            none.clone(),
            "3.0 % of green's probes failed, at most 1.0 % may; the last said: status 502",
        ),
        (
            both(answers(Side::Blue, 1000, 0, 50), answers(Side::Green, 1000, 8, 50)),
            none.clone(),
            "0.8 % of green's probes failed and 0.0 % of blue's, at most 0.5 % more may",
        ),
        (
            answers(Side::Green, 100, 0, 300),
            none.clone(),
            "95 of 100 of green's answers took up to 300 ms, at most 200 may be",
        ),
        (
            both(answers(Side::Blue, 100, 0, 20), fine()),
            none.clone(),
            "green's answers took up to 50 ms and blue's 20 ms, at most 2 times as long may be",
        ),
        (
            fine(),
            Sight { targets: Some((1, 3)), ..Sight::default() },
            "1 of green's 3 targets are healthy, 50.0 % must be",
        ),
        (fine(), Sight { targets: Some((0, 0)), ..Sight::default() }, "0 of green's 0 targets are healthy"),
        (
            fine(),
            Sight {
                commands: [("smoke".to_owned(), Some("exit status 1".to_owned()))].into(),
                ..Sight::default()
            },
            "gate smoke: exit status 1",
        ),
    ] {
        let said = said(&answers, &sight);
        assert_eq!(said.len(), 1, "{said:?}");
        assert!(said[0].starts_with(want), "{said:?}");
    }
}

#[test]
fn nodes_and_metrics_count_only_where_they_are_gates() {
    let sight = Sight {
        unready: Some(vec!["node-1".into()]),
        metrics: [("Errors".to_owned(), Some(7.0)), ("Requests".to_owned(), None)].into(),
        commands: [("smoke".to_owned(), None)].into(),
        ..Sight::default()
    };
    let answers = answers(Side::Green, 100, 0, 50);
    assert!(judge(&gates(), &answers, &sight).is_open());
    let metric = |metric: &str, below, above| MetricGate {
        namespace: "Shop".into(),
        metric: metric.into(),
        dimensions: Vec::new(),
        statistic: "Sum".into(),
        period: 60,
        below,
        above,
    };
    let all = Gates {
        nodes_ready: true,
        metrics: vec![
            metric("Errors", Some(5.0), None),
            metric("Errors", Some(10.0), Some(1.0)),
            metric("Requests", None, Some(1.0)),
        ],
        commands: vec![CommandGate { name: "smoke".into(), command: vec!["true".into()], timeout: 5 }],
        ..gates()
    };
    let said: Vec<String> = judge(&all, &answers, &sight).shut.iter().map(ToString::to_string).collect();
    assert_eq!(said, ["nodes of green are not ready: node-1", "metric Errors is 7, past 5"]);
}

#[test]
fn the_slowest_of_a_hundred_do_not_count() {
    let mut all = answers(Side::Green, 96, 0, 10);
    all.extend(answers(Side::Green, 4, 0, 9000));
    assert_eq!(Tally::of(all.iter()).slowest, Duration::from_millis(10));
    all.extend(answers(Side::Green, 2, 0, 9000));
    assert_eq!(Tally::of(all.iter()).slowest, Duration::from_millis(9000));
    assert_eq!(Tally::of([].iter()), Tally::default());
}
