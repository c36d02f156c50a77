//! The picture, looked at as XML.

use std::collections::BTreeMap;

use super::{Client, Component, HostSample, Outcome, Recorder, Running, Sample, Timeline};
use crate::inventory::HostName;

fn host(versions: &[(Component, &str)], cordoned: bool, drained: bool) -> HostSample {
    let components = versions
        .iter()
        .map(|(component, version)| (*component, Running::from((*version).to_owned())))
        .collect();
    HostSample { components, cordoned, drained }
}

/// A control plane and a worker, a minute long.
fn small() -> Timeline {
    let mut recorder = Recorder::default();
    let names = ["cp-1", "worker-1"].map(|name| HostName::parse(name).unwrap());
    for second in 0_u8..60 {
        let api = match second {
            0..20 => "1.34.4",
            20..24 => "away",
            24..40 => "1.35.4",
            _ => "1.36.4",
        };
        let etcd = if second < 10 { "3.6.5" } else { "3.6.6" };
        let kubelet = if second < 50 { "1.34.4" } else { "1.36.4" };
        let cp = host(&[(Component::Etcd, etcd), (Component::KubeApiserver, api)], false, false);
        let worker =
            host(&[(Component::Kubelet, kubelet)], (41..56).contains(&second), (45..56).contains(&second));
        let hosts = BTreeMap::from([(names[0].clone(), cp), (names[1].clone(), worker)]);
        recorder.add(f64::from(second), Sample { hosts });
    }
    let calls = (0..60).flat_map(|at| {
        let last = match at {
            20 => Outcome::Retried,
            21 => Outcome::Failed,
            _ => Outcome::Ok,
        };
        [(at, Outcome::Ok), (at, last)]
    });
    recorder.timeline("cp & <worker>", 60.0, vec![Client::of("API", calls)])
}

fn parsed(svg: &str) -> roxmltree::Document<'_> {
    roxmltree::Document::parse(svg).unwrap_or_else(|error| panic!("{error}\n{svg}"))
}

fn texts(svg: &str) -> Vec<String> {
    let document = parsed(svg);
    let texts = document.descendants().filter(|node| node.has_tag_name("text"));
    texts.filter_map(|node| node.text().map(str::to_owned)).collect()
}

#[test]
fn a_small_timeline_is_drawn() {
    let svg = small().svg();
    parsed(&svg);
    insta::assert_snapshot!(svg);
}

#[test]
fn every_version_and_every_drain_has_a_label() {
    let texts = texts(&small().svg());
    for label in
        ["1.34.4", "1.35.4", "1.36.4", "3.6.5", "3.6.6", "drained", "API", "120 calls, 1 tried twice, 1 lost"]
    {
        assert!(texts.iter().any(|text| text == label), "{label} is not among {texts:?}");
    }
}

#[test]
fn a_label_that_does_not_fit_is_shortened() {
    let with = |seconds: f64| {
        let mut recorder = Recorder::default();
        let name = HostName::parse("cp-1").unwrap();
        for (at, version) in [(0.0, "1.34.4"), (1.0, "1.35.4"), (2.0, "1.36.4")] {
            let host = host(&[(Component::KubeApiserver, version)], false, false);
            recorder.add(at, Sample { hosts: BTreeMap::from([(name.clone(), host)]) });
        }
        texts(&recorder.timeline("", seconds, Vec::new()).svg())
    };
    // A second's width shrinks as the run grows.
    for (seconds, label) in [(6.0, "1.35.4"), (21.0, "1.35"), (40.0, "35")] {
        let texts = with(seconds);
        assert!(texts.iter().any(|text| text == label), "{label} is not among {texts:?}");
    }
    assert!(!with(600.0).iter().any(|text| text == "35"));
}

#[test]
fn nothing_lies_outside_of_the_page() {
    let svg = small().svg();
    let document = parsed(&svg);
    let number =
        |node: &roxmltree::Node<'_, '_>, name: &str| node.attribute(name).unwrap().parse::<f64>().unwrap();
    let height = number(&document.root_element(), "height");
    let shapes =
        document.descendants().filter(|node| node.has_tag_name("rect") && node.attribute("x").is_some());
    let mut seen = 0;
    for rect in shapes {
        let [x, y, wide, high] = ["x", "y", "width", "height"].map(|name| number(&rect, name));
        assert!(x >= 0.0 && y >= 0.0 && wide >= 0.0 && x + wide <= 1000.0 && y + high <= height, "{rect:?}");
        seen += 1;
    }
    assert!(seen > 15, "only {seen} shapes");
}

#[test]
fn a_timeline_of_nothing_and_a_very_long_one_are_pictures() {
    parsed(&Recorder::default().timeline("", 0.0, Vec::new()).svg());
    let client = Client::of("API", (0..100_000).map(|at| (at, Outcome::Ok)));
    let svg = Recorder::default().timeline("", 100_000.0, vec![client]).svg();
    parsed(&svg);
    assert!(svg.len() < 10_000, "seconds that are alike are one shape: {} bytes", svg.len());
}
