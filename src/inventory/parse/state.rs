//! `state`: where operators share what they know of a cluster.

use super::artifacts::region_of;
use super::aws::DraftAws;
use super::reader::Field;
use super::scalar::quoted;
use crate::inventory::{ClusterName, SharedState};

/// Reads `state`; None: something is wrong with it, which has been reported. What it leaves out is as in `aws`.
pub(super) fn state(
    field: &Field<'_>,
    cluster: Option<&ClusterName>,
    aws: Option<&DraftAws>,
) -> Option<SharedState> {
    let table = field.table()?;
    let bucket = table.require("bucket", "acme-clusters").and_then(|field| bucket(&field));
    let prefix = match table.get("prefix") {
        Some(field) => prefix(&field),
        None => cluster.map(ToString::to_string),
    };
    let region = region_of(&table, aws);
    let text = |key| table.get(key).and_then(|field| field.text().map(str::to_owned));
    let profile = text("profile").or_else(|| aws?.profile.clone());
    let assume_role = text("assumeRole").or_else(|| aws?.assume_role.clone());
    table
        .moved(&[("name", "bucket"), ("key", "prefix"), ("path", "prefix"), ("roleArn", "assumeRole")])
        .finish();
    Some(SharedState { bucket: bucket?, prefix: prefix?, region: region?, profile, assume_role })
}

pub(super) fn bucket(field: &Field<'_>) -> Option<String> {
    let text = field.text()?;
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.';
    let outer = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let fits = (3..=63).contains(&text.len())
        && text.chars().all(inner)
        && text.starts_with(outer)
        && text.ends_with(outer)
        && !text.contains("..");
    if fits {
        return Some(text.to_owned());
    }
    let message = format!("{} is not the name of a bucket", quoted(text));
    field.error(message, "3 to 63 lower-case letters, digits, `-` and `.`; without s3:// and without a path")
}

pub(super) fn prefix(field: &Field<'_>) -> Option<String> {
    let text = field.text()?;
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let fits = text.len() <= 512
        && text
            .split('/')
            .all(|part| !part.is_empty() && part != "." && part != ".." && part.chars().all(allowed));
    if fits {
        return Some(text.to_owned());
    }
    let message = format!("{} is not a prefix of objects", quoted(text));
    field.error(
        message,
        "names of letters, digits, `-`, `_` and `.`, with single `/` between them: clusters/prod",
    )
}

pub(super) fn region(field: &Field<'_>) -> Option<String> {
    let text = field.text()?;
    if crate::inventory::check::is_region(text) {
        return Some(text.to_owned());
    }
    field.error(format!("{} is not a region", quoted(text)), "write one as AWS does: eu-central-1")
}
