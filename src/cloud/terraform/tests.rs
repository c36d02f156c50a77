//! What is written for the example of the spec.

use std::collections::BTreeSet;

use super::*;
use crate::cloud::spec::tests::{example, state_of};

fn written() -> Value {
    configuration("test", "eu-central-1", &state_of(&example()))
}

#[test]
fn every_expression_names_a_block() {
    let all = written();
    let mut blocks = BTreeSet::new();
    for (list, prefix) in [("resource", ""), ("data", "data.")] {
        for (kind, labels) in all[list].as_object().unwrap() {
            blocks.extend(labels.as_object().unwrap().keys().map(|label| format!("{prefix}{kind}.{label}")));
        }
    }
    let text = all.to_string();
    let mut found = 0;
    for part in text.split("${").skip(1).filter(|part| !part.starts_with("base64gzip(")) {
        let expression = part.split('}').next().unwrap();
        let block = expression.rsplit_once('.').unwrap().0;
        assert!(blocks.contains(block), "{block} of {expression}");
        found += 1;
    }
    assert!(found > 50, "{found}");
}

#[test]
fn names_are_what_terraform_takes() {
    for (short, expected) in [("cp-1", "cp-1"), ("9x", "_9x"), ("a.b", "a_b"), ("ingress-443", "ingress-443")]
    {
        assert_eq!(label(short), expected);
    }
    assert_eq!(literal("${a} %{b}"), "$${a} %%{b}");
}

#[test]
fn a_cluster_as_terraform() {
    let mut all = written();
    // Scripts have tests of their own.
    for kind in ["aws_instance", "aws_launch_template"] {
        for block in all["resource"][kind].as_object_mut().unwrap().values_mut() {
            let script = block.as_object_mut().unwrap().remove("user_data_base64");
            assert!(
                script
                    .is_none_or(|script| script.as_str().unwrap().starts_with("${base64gzip(\"#!/bin/sh\\n"))
            );
        }
    }
    insta::assert_json_snapshot!(all);
}
