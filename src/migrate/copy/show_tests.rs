use super::*;
use crate::migrate::copy::diff::{Change, Shown};
use crate::migrate::copy::object::ObjectId;
use crate::migrate::copy::run::{Clash, Failed, LeftOut};
use crate::migrate::copy::select::Left;
use crate::migrate::copy::snapshots::SnapshotWay;
use crate::migrate::copy::state::Stateful;
use crate::migrate::copy::testing::kind;

fn id(kind: &str, namespace: &str, name: &str) -> ObjectId {
    ObjectId::new("", kind, namespace, name)
}

fn item(id: ObjectId, standing: Standing) -> Item {
    let kind = kind("v1", &id.kind);
    let stage = Stage::of(&kind);
    let is_there = !matches!(standing, Standing::New);
    Item {
        id,
        kind,
        stage,
        wanted: serde_json::json!({"data": "secret"}),
        standing,
        is_there,
        snapshot: None,
    }
}

fn conflict() -> FieldConflict {
    FieldConflict { manager: "kubectl-edit".into(), fields: vec![".data.b".into(), ".data.c".into()] }
}

fn survey() -> Survey {
    let change = |path: &str, from: Shown, to: Shown| Change { path: path.into(), from, to };
    let changes = vec![
        change("data.a", Shown::Value("1".into()), Shown::Value("2".into())),
        change("data.secret", Shown::Hidden, Shown::Hidden),
    ];
    let way = SnapshotWay {
        driver: "d.example.org".into(),
        blue_class: "b".into(),
        green_class: "g".into(),
        taken: None,
    };
    let claim = item(id("PersistentVolumeClaim", "shop", "data"), Standing::New);
    Survey {
        items: vec![
            item(id("Namespace", "", "shop"), Standing::New),
            item(id("ConfigMap", "shop", "same"), Standing::Same),
            item(id("ConfigMap", "shop", "web"), Standing::Differs { changes }),
            item(id("ConfigMap", "shop", "theirs"), Standing::Conflict { conflicts: vec![conflict()] }),
            Item { snapshot: Some(way), ..claim },
            item(
                id("Service", "shop", "web"),
                Standing::Refused { why: "the port is taken (HTTP 422)".into() },
            ),
        ],
        left: vec![Left::new("Job shop/load", "it has run; a copy would run again")],
        unselected: 3,
        state: vec![Stateful {
            what: "PersistentVolumeClaim shop/data".into(),
            to_do: "by a snapshot".into(),
        }],
        warnings: vec!["Service shop/web: green makes a balancer of its own".into()],
    }
}

#[test]
fn a_survey_says_what_changes_what_stays_and_what_to_do() {
    insta::assert_snapshot!(survey_text(&survey()));
    let empty = Survey {
        items: Vec::new(),
        left: Vec::new(),
        unselected: 0,
        state: Vec::new(),
        warnings: Vec::new(),
    };
    assert_eq!(survey_text(&empty), "nothing on blue is selected\n");
}

#[test]
fn an_outcome_names_everything_that_did_not_come_along_and_why() {
    let outcome = Outcome {
        applied: vec![id("Namespace", "", "shop")],
        same: 40,
        conflicts: vec![Clash { object: id("ConfigMap", "shop", "theirs"), conflicts: vec![conflict()] }],
        failed: vec![Failed { object: id("Namespace", "", "other"), why: "no (HTTP 403)".into() }],
        left_out: vec![LeftOut {
            object: id("ConfigMap", "other", "a"),
            because: id("Namespace", "", "other"),
        }],
    };
    assert!(!outcome.is_complete());
    insta::assert_snapshot!(outcome_text(&survey(), &outcome));
}

#[test]
fn what_is_wanted_of_an_object_is_not_in_the_json() {
    let json = serde_json::to_value(survey()).unwrap();
    assert_eq!(json["items"][0]["id"]["name"], "shop");
    assert_eq!(json["items"][2]["standing"]["differs"]["changes"][1]["to"], "hidden");
    assert!(json["items"][0].get("wanted").is_none() && json["items"][0].get("kind").is_none(), "{json}");
}
