use std::collections::BTreeSet;

use serde_json::Value;

use super::*;
use crate::inventory::Diagnostics;
use crate::inventory::parse::aws::tests::FULL_AWS;
use crate::inventory::parse::migration::tests::{FULL_MIGRATION, migration_text};
use crate::inventory::parse::tests::{FULL, wanted_text};

const PUBLISHED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/schema/inventory.schema.json");
const REFERENCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/inventory.md");
const MIGRATION_PUBLISHED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/schema/migration.schema.json");
const MIGRATION_REFERENCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/migration-file.md");

/// UPDATE_SCHEMA=1 writes it anew.
#[test]
fn the_published_schema_is_in_step() {
    in_step(PUBLISHED, &inventory_schema());
}

#[track_caller]
fn in_step(path: &str, wanted: &str) {
    if std::env::var_os("UPDATE_SCHEMA").is_some() {
        std::fs::write(path, wanted).unwrap();
    }
    let published = std::fs::read_to_string(path).unwrap_or_default();
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

/// The fields that the reader says there are, where `problems` are about an unknown one.
fn known(problems: &Diagnostics, pointer: &str) -> BTreeSet<String> {
    let unknown = problems.list.iter().find(|problem| problem.path.ends_with("zzzzzz"));
    let help = unknown.unwrap_or_else(|| panic!("{pointer}: {problems}")).help.clone().unwrap();
    let names = help.trim_start_matches("fields here: ").split(", ");
    names.filter(|name| !name.is_empty()).map(str::to_owned).collect()
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
        assert_eq!(known(&problems, &pointer), fields, "at {pointer}");
    }
}

/// Of a migration, and what it is written in.
fn migration_shapes() -> Vec<(String, BTreeSet<String>)> {
    let root: Value = serde_json::from_str(&migration_schema()).unwrap();
    let mut found = Vec::new();
    shapes(&root, &root, "", &mut found);
    found
}

#[test]
fn the_published_schema_of_a_migration_is_in_step() {
    in_step(MIGRATION_PUBLISHED, &migration_schema());
}

#[test]
fn the_reader_of_migrations_knows_exactly_the_fields_of_their_schema() {
    let found = migration_shapes();
    assert!(found.len() >= 23, "{found:#?}");
    for (pointer, fields) in found {
        let mut document: Value = serde_yaml::from_str(FULL_MIGRATION).unwrap();
        poke(&mut document, &pointer);
        let problems = migration_text(&document.to_string()).unwrap_err();
        assert_eq!(known(&problems, &pointer), fields, "at {pointer}");
    }
}

#[test]
fn the_reference_of_migrations_mentions_every_field() {
    mentioned(MIGRATION_REFERENCE, migration_shapes());
}

#[test]
fn the_reference_mentions_every_field() {
    let root = schema();
    let mut found = Vec::new();
    shapes(&root, &root, "", &mut found);
    mentioned(REFERENCE, found);
}

#[track_caller]
fn mentioned(path: &str, found: Vec<(String, BTreeSet<String>)>) {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let fields: BTreeSet<String> = found.into_iter().flat_map(|(_, fields)| fields).collect();
    let missing: Vec<_> = fields.iter().filter(|field| !text.contains(&format!("`{field}`"))).collect();
    assert!(missing.is_empty(), "{path} does not mention {missing:?}");
}
