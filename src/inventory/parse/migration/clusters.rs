//! `make`, `copy` and `teardown`: what becomes of the clusters behind the two sides.

use super::draft::DraftSide;
use super::{pairs, text, texts};
use crate::inventory::parse::reader::{Field, Table};
use crate::inventory::{CopySelection, Eks, MakeGreen, Teardown, TeardownBy};

/// Nodes of a group of EKS.
const NODES: std::ops::RangeInclusive<i64> = 0..=450;
const INSTANCE_TYPE: &str = "m6i.large";
const NODES_MIN: u32 = 1;
/// Nobody should learn from the bill that an autoscaler went wild.
const NODES_MAX: u32 = 20;

const TEARDOWNS: [&str; 3] = ["terraform", "kops", "reset"];

pub(super) fn teardown(field: &Field<'_>, blue: Option<&DraftSide>) -> Teardown {
    let Some(table) = field.table() else { return Teardown::default() };
    let terraform = table.get("terraform").and_then(|field| terraform(&field));
    let kops = table.get("kops").and_then(|field| kops(&field));
    let reset = table.get("reset").and_then(|field| reset(&field, blue));
    let simple_record = table.get("simpleRecord").and_then(|field| field.boolean()).unwrap_or(false);
    let given: Vec<&str> = TEARDOWNS.into_iter().filter(|form| table.has(form)).collect();
    table
        .moved(&[
            ("directory", "terraform.directory"),
            ("cluster", "kops.cluster"),
            ("state", "kops.state"),
            ("inventory", "reset.inventory"),
            ("destroy", "reset"),
        ])
        .finish();
    if given.len() > 1 {
        let message = format!("want one of {}; got {}", TEARDOWNS.join(", "), given.join(" and "));
        field.error::<()>(message, "keep the one that made the old cluster");
    }
    Teardown { by: terraform.or(kops).or(reset), simple_record }
}

fn terraform(field: &Field<'_>) -> Option<TeardownBy> {
    let table = field.table()?;
    let directory = table.require("directory", "../old").and_then(|field| field.local_path());
    table.moved(&[("path", "directory"), ("dir", "directory")]).finish();
    Some(TeardownBy::Terraform { directory: directory? })
}

fn kops(field: &Field<'_>) -> Option<TeardownBy> {
    let table = field.table()?;
    let cluster = table.require("cluster", "old.example.org").and_then(|field| text(&field));
    let state = table.require("state", "s3://acme-kops").and_then(|field| text(&field));
    table.moved(&[("name", "cluster"), ("bucket", "state")]).finish();
    Some(TeardownBy::Kops { cluster: cluster?, state: state? })
}

/// The inventory is blue's, unless another is named: a rule says that it cannot be any other.
fn reset(field: &Field<'_>, blue: Option<&DraftSide>) -> Option<TeardownBy> {
    let table = field.table()?;
    let inventory = match blue.and_then(|blue| blue.inventory.clone()) {
        Some(own) => table.get("inventory").map_or(Some(own), |field| field.local_path()),
        None => table.require("inventory", "old.yaml").and_then(|field| field.local_path()),
    };
    table.finish();
    Some(TeardownBy::Reset { inventory: inventory? })
}

pub(super) fn make(field: &Field<'_>) -> Option<MakeGreen> {
    let table = field.table()?;
    let inventory = table.get("inventory").map(|field| field.local_path());
    let eks = table.get("eks").map(|field| eks(&field));
    table.finish();
    match (inventory, eks) {
        (Some(inventory), None) => inventory.map(|inventory| MakeGreen::Inventory { inventory }),
        (None, Some(eks)) => eks.map(MakeGreen::Eks),
        (Some(_), Some(_)) => {
            field.error("want one of inventory, eks; got inventory and eks", "keep one: green is one cluster")
        }
        (None, None) => field.error(
            "want one of inventory, eks; got none",
            "write {inventory: green.yaml}, or leave `make` out for a green that is there",
        ),
    }
}

fn eks(field: &Field<'_>) -> Option<Eks> {
    let table = field.table()?;
    let role = |key, name| table.require(key, name).and_then(|field| text(&field));
    let cluster = table.require("cluster", "shop").and_then(|field| text(&field));
    let version = table.require("version", "\"1.34\"").and_then(|field| text(&field));
    let cluster_role = role("role", "arn:aws:iam::123456789012:role/eks-cluster");
    let subnets = texts(table.require("subnets", "[subnet-0123456789abcdef0, subnet-0123456789abcdef1]"));
    let node_role = role("nodeRole", "arn:aws:iam::123456789012:role/eks-node");
    let instance_types = match table.get("instanceTypes") {
        Some(field) => texts(Some(field)),
        None => vec![INSTANCE_TYPE.to_owned()],
    };
    let min = nodes(&table, "min").unwrap_or(NODES_MIN);
    let max = nodes(&table, "max").unwrap_or(NODES_MAX.max(min));
    let desired = nodes(&table, "desired").unwrap_or(min.max(1));
    table
        .moved(&[
            ("name", "cluster"),
            ("roleArn", "role"),
            ("nodeRoleArn", "nodeRole"),
            ("instanceType", "instanceTypes"),
            ("subnetIds", "subnets"),
        ])
        .finish();
    Some(Eks {
        cluster: cluster?,
        version: version?,
        role: cluster_role?,
        subnets,
        node_role: node_role?,
        instance_types,
        min,
        max,
        desired,
    })
}

fn nodes(table: &Table<'_>, key: &'static str) -> Option<u32> {
    table.get(key)?.integer("a number of nodes", NODES).and_then(|count| u32::try_from(count).ok())
}

pub(super) fn copy(field: &Field<'_>) -> CopySelection {
    let Some(table) = field.table() else { return CopySelection::default() };
    let storage_classes = table.get("storageClasses").and_then(|field| pairs(&field));
    let selection = CopySelection {
        namespaces: texts(table.get("namespaces")),
        except: texts(table.get("except")),
        selector: table.get("selector").and_then(|field| text(&field)),
        without_kinds: texts(table.get("withoutKinds")),
        storage_classes: storage_classes.unwrap_or_default(),
        snapshots: table.get("snapshots").and_then(|field| field.boolean()).unwrap_or(false),
    };
    table
        .moved(&[
            ("namespace", "namespaces"),
            ("exclude", "except"),
            ("excludeNamespaces", "except"),
            ("labels", "selector"),
            ("labelSelector", "selector"),
            ("excludeKinds", "withoutKinds"),
            ("storageClassMap", "storageClasses"),
        ])
        .finish();
    selection
}
