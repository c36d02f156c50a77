use std::collections::BTreeSet;

use serde_json::Value;

use super::*;
use crate::inventory::parse::aws::tests::FULL_AWS;
use crate::inventory::parse::tests::{FULL, wanted_text};

const PUBLISHED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/schema/inventory.schema.json");
const REFERENCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/inventory.md");

/// UPDATE_SCHEMA=1 writes it anew.
#[test]
fn the_published_schema_is_in_step() {
    let wanted = inventory_schema();
    if std::env::var_os("UPDATE_SCHEMA").is_some() {
        std::fs::write(PUBLISHED, &wanted).unwrap();
    }
    let published = std::fs::read_to_string(PUBLISHED).unwrap_or_default();
    assert_eq!(published, wanted, "run UPDATE_SCHEMA=1 cargo test --lib inventory::schema and read the diff");
}

fn schema() -> Value {
    serde_json::from_str(&inventory_schema()).unwrap()
}

/// Every object shape below `node`, with the path of one place it stands at.
fn shapes<'s>(root: &'s Value, node: &'s Value, path: &str, found: &mut Vec<(String, BTreeSet<String>)>) {
    if let Some(name) = node["$ref"].as_str() {
        let name = name.trim_start_matches("#/$defs/");
        return shapes(root, &root["$defs"][name], path, found);
    }
    for alternative in node["anyOf"].as_array().into_iter().flatten() {
        shapes(root, alternative, path, found);
    }
    if node["items"].is_object() {
        shapes(root, &node["items"], &format!("{path}/0"), found);
    }
    let Some(properties) = node["properties"].as_object() else { return };
    found.push((path.to_owned(), properties.keys().cloned().collect()));
    for (name, below) in properties {
        shapes(root, below, &format!("{path}/{name}"), found);
    }
}

/// Puts an unknown key at `pointer`, making lists and maps on the way.
fn poke(document: &mut Value, pointer: &str) {
    let mut node = document;
    for part in pointer.split('/').filter(|part| !part.is_empty()) {
        if part == "0" {
            if node.as_array().is_none_or(Vec::is_empty) {
                *node = Value::Array(vec![Value::Null]);
            }
            node = &mut node[0];
        } else {
            if !node.is_object() {
                *node = serde_json::json!({});
            }
            node = &mut node[part];
        }
    }
    if !node.is_object() {
        *node = serde_json::json!({});
    }
    node["zzzzzz"] = 1.into();
}

#[test]
fn the_parser_knows_exactly_the_fields_of_the_schema() {
    let root = schema();
    let mut found = Vec::new();
    shapes(&root, &root, "", &mut found);
    assert!(found.len() > 45);
    assert!(found.iter().filter(|(pointer, _)| pointer.starts_with("/aws")).count() >= 16, "{found:#?}");
    for (pointer, fields) in found {
        // Plugins each know their own fields.
        if pointer == "/network/plugin" {
            continue;
        }
        // No file has all of them: machines are there, or they are made.
        let is_aws = pointer.starts_with("/aws");
        let mut document: Value = serde_yaml::from_str(if is_aws { FULL_AWS } else { FULL }).unwrap();
        if !is_aws {
            document["bastions"] = serde_json::json!([{ "name": "b" }]);
        }
        poke(&mut document, &pointer);
        let problems = wanted_text(&document.to_string()).unwrap_err();
        let unknown = problems.list.iter().find(|problem| problem.path.ends_with("zzzzzz"));
        let help = unknown.unwrap_or_else(|| panic!("{pointer}: {problems}")).help.clone().unwrap();
        let known: BTreeSet<String> = help
            .trim_start_matches("fields here: ")
            .split(", ")
            .filter(|name| !name.is_empty())
            .map(str::to_owned)
            .collect();
        assert_eq!(known, fields, "at {pointer}");
    }
}

#[test]
fn the_reference_mentions_every_field() {
    let text = std::fs::read_to_string(REFERENCE).unwrap_or_default();
    let root = schema();
    let mut found = Vec::new();
    shapes(&root, &root, "", &mut found);
    let fields: BTreeSet<String> = found.into_iter().flat_map(|(_, fields)| fields).collect();
    let missing: Vec<_> = fields.iter().filter(|field| !text.contains(&format!("`{field}`"))).collect();
    assert!(missing.is_empty(), "docs/inventory.md does not mention {missing:?}");
}
