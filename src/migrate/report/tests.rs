//! The picture, looked at as XML, and the JSON.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

fn seen(blue: (u32, u32), green: (u32, u32)) -> Seen {
    let count = |(asked, failed)| Count { asked, failed };
    Seen { blue: count(blue), green: count(green) }
}

/// Five minutes in samples of two seconds; a minute each at 0, 25, 50 and 100 % of green, the last for two.
fn small() -> Report {
    let sample = |number: u32| {
        let green = [0, 25, 50, 100, 100][(number / 30) as usize];
        let late = number.saturating_sub(60).min(30) * 2;
        let failed = u32::from(number == 45);
        let seen = BTreeMap::from([
            ("clients".to_owned(), seen((100 - green, failed), (green, 0))),
            ("stale clients".to_owned(), seen((60 - late, 0), (late, 0))),
        ]);
        Sample {
            at: f64::from(number * 2),
            seconds: 2.0,
            weights: Some(Weights::of_green(green.try_into().unwrap())),
            seen,
        }
    };
    let event = |at: f64, label: &str| Event { at, label: label.to_owned() };
    Report {
        title: "shop.example.org: blue & <green>".into(),
        began: "2026-11-30T02:22:00Z".parse().unwrap(),
        samples: (0..150).map(sample).collect(),
        events: vec![
            event(60.0, "weights 75/25"),
            event(61.0, "gates are open"),
            event(120.0, "weights 50/50"),
        ],
    }
}

fn parsed(svg: &str) -> roxmltree::Document<'_> {
    roxmltree::Document::parse(svg).unwrap_or_else(|error| panic!("{error}\n{svg}"))
}

fn texts(svg: &str) -> Vec<String> {
    let document = parsed(svg);
    let texts = document.descendants().filter(|node| node.has_tag_name("text"));
    texts.filter_map(|node| node.text().map(str::to_owned)).collect()
}

fn of_class<'a>(document: &'a roxmltree::Document<'_>, class: &str) -> Vec<roxmltree::Node<'a, 'a>> {
    document.descendants().filter(|node| node.attribute("class") == Some(class)).collect()
}

fn number(node: &roxmltree::Node<'_, '_>, name: &str) -> f64 {
    node.attribute(name).unwrap().parse().unwrap()
}

#[test]
fn a_small_report_is_drawn() {
    let svg = draw(&small());
    let document = parsed(&svg);
    for (class, least) in
        [("wanted", 4), ("step", 1), ("seen-0", 2), ("seen-1", 2), ("event", 3), ("badge", 3)]
    {
        assert!(of_class(&document, class).len() >= least, "{class}");
    }
    let texts = texts(&svg);
    for wanted in [
        "shop.example.org: blue & <green>",
        "from 2026-11-30 02:22 UTC, 5:00 (minutes:seconds); 24000 questions, 1 without a good answer",
        "15000 asked, 1 failed",
        "9000 asked, 0 failed",
        "weights 75/25",
        "seen by stale clients",
        "100 %",
    ] {
        assert!(texts.iter().any(|text| text == wanted), "{wanted} is not among {texts:#?}");
    }
    insta::assert_snapshot!(svg);
}

#[test]
fn the_wanted_share_is_a_step_for_each_change_of_the_weights() {
    assert_eq!(
        small().weights(),
        [0, 25, 50, 100].map(|green| {
            let at = [(0, 0.0), (25, 60.0), (50, 120.0), (100, 180.0)];
            (at.into_iter().find(|(share, _)| *share == green).unwrap().1, Weights::of_green(green))
        })
    );
    let svg = draw(&small());
    let document = parsed(&svg);
    // The legend has one more.
    let mut heights: Vec<f64> =
        of_class(&document, "wanted").iter().map(|node| number(node, "height")).collect();
    heights.pop();
    assert_eq!(heights, [57.5, 115.0, 230.0]);
}

#[test]
fn one_failure_among_many_can_be_seen() {
    let svg = draw(&small());
    let document = parsed(&svg);
    let failed = of_class(&document, "failed");
    // And the legend's.
    assert_eq!(failed.len(), 2);
    assert!(number(&failed[0], "height") >= 2.0);
    let about = failed[0].children().find_map(|child| child.text().map(str::to_owned));
    assert_eq!(about.as_deref(), Some("clients, 1:30 to 1:32: 74 by blue, 25 by green, 1 failed"));
}

#[test]
fn numbers_of_events_that_are_close_lie_below_each_other() {
    let svg = draw(&small());
    let document = parsed(&svg);
    let places: Vec<f64> = of_class(&document, "badge").iter().map(|node| number(node, "y")).collect();
    assert_eq!(places, [58.0, 75.0, 58.0]);
}

#[test]
fn a_line_has_a_gap_where_nobody_asked() {
    let mut report = small();
    for sample in &mut report.samples[40..80] {
        sample.seen.remove("clients");
    }
    let svg = draw(&report);
    // Two parts, and the legend's.
    assert_eq!(of_class(&parsed(&svg), "seen-0").len(), 3);
}

#[test]
fn json_comes_back_as_it_was() {
    let report = small();
    let json = serde_json::to_string(&report).unwrap();
    assert_eq!(serde_json::from_str::<Report>(&json).unwrap(), report);
    let value: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(value["began"], "2026-11-30T02:22:00Z");
    assert_eq!(value["samples"][45]["weights"], serde_json::json!({"blue": 75, "green": 25}));
    assert_eq!(
        value["samples"][45]["seen"]["clients"]["blue"],
        serde_json::json!({"asked": 75, "failed": 1})
    );
}

#[test]
fn a_report_of_nothing_and_one_of_days_are_pictures() {
    let nothing = Report { samples: Vec::new(), events: Vec::new(), ..small() };
    parsed(&draw(&nothing));
    assert_eq!((nothing.seconds(), nothing.weights()), (0.0, Vec::new()));
    let days = Report {
        samples: (0..50_000)
            .map(|number| Sample {
                at: f64::from(number) * 10.0,
                seconds: 10.0,
                weights: None,
                seen: [("probes".to_owned(), seen((1, 0), (1, 0)))].into(),
            })
            .collect(),
        ..nothing
    };
    let svg = draw(&days);
    parsed(&svg);
    assert!(svg.len() < 200_000, "time is drawn in parts: {} bytes", svg.len());
    assert!(texts(&svg).iter().any(|text| text.contains("138:53 (hours:minutes)")), "{:?}", texts(&svg));
}

fn any_report() -> impl Strategy<Value = Report> {
    let count = || (0..500_u32, 0..500_u32).prop_map(|(fine, failed)| (fine + failed, failed));
    let one = (count(), count()).prop_map(|(blue, green)| seen(blue, green));
    let seen = prop::collection::btree_map("[a-z<&\"]{1,12}", one, 0..6);
    let weights = prop::option::of((0..=255_u8, 0..=255_u8));
    let weights = weights.prop_map(|some| some.map(|(blue, green)| Weights { blue, green }));
    let sample = (0.0..5e6_f64, 0.0..100.0_f64, weights, seen)
        .prop_map(|(at, seconds, weights, seen)| Sample { at, seconds, weights, seen });
    let event = (0.0..5e6_f64, "\\PC{0,40}").prop_map(|(at, label)| Event { at, label });
    (prop::collection::vec(sample, 0..40), prop::collection::vec(event, 0..40), "\\PC{0,40}").prop_map(
        |(mut samples, mut events, title)| {
            samples.sort_by(|one, other| one.at.total_cmp(&other.at));
            events.sort_by(|one, other| one.at.total_cmp(&other.at));
            Report { title, began: Timestamp::UNIX_EPOCH, samples, events }
        },
    )
}

proptest! {
    #[test]
    fn nothing_lies_outside_of_the_page(report in any_report()) {
        let svg = draw(&report);
        let document = parsed(&svg);
        let height = number(&document.root_element(), "height");
        let shapes = document.descendants().filter(|node| node.has_tag_name("rect") && node.attribute("x").is_some());
        for rect in shapes {
            let [x, y, wide, high] = ["x", "y", "width", "height"].map(|name| number(&rect, name));
            // Half a pixel is what rounding makes of it.
            let inside = x >= 0.0 && y >= 0.0 && wide >= 0.0 && x + wide <= 1000.5 && y + high <= height + 0.5;
            prop_assert!(inside, "{:?}", rect);
        }
        for text in document.descendants().filter(|node| node.has_tag_name("text")) {
            prop_assert!(number(&text, "y") <= height);
        }
    }
}
