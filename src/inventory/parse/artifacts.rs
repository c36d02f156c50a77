//! `artifacts`: where the bundle lies, and how its files come to the hosts.

use super::aws::DraftAws;
use super::reader::{Field, Table};
use super::settings::url;
use super::state::{bucket, prefix, region};
use crate::inventory::{ArtifactBucket, Artifacts, Delivery};

/// Names of objects are hashes, so clusters may share them.
const PREFIX: &str = "artifacts";

/// Reads `artifacts`. What a bucket leaves out is as in `aws`.
pub(super) fn artifacts(field: Option<Field<'_>>, aws: Option<&DraftAws>) -> Artifacts {
    let mut artifacts = Artifacts { bundle: None, delivery: Delivery::Upload };
    let Some(table) = field.and_then(|field| field.table()) else { return artifacts };
    artifacts.bundle = table.get("bundle").and_then(|field| field.local_path());
    if let Some(delivery) = table.get("delivery").and_then(|field| delivery(&field, aws)) {
        artifacts.delivery = delivery;
    }
    table.moved(&[("bucket", "delivery.bucket"), ("mirror", "delivery.mirror")]).finish();
    artifacts
}

/// `upload`, `{upload: {}}`, `{mirror: {url: …}}` or `{bucket: {name: …}}`.
fn delivery(field: &Field<'_>, aws: Option<&DraftAws>) -> Option<Delivery> {
    if !field.is_map() {
        return match field.raw()? {
            "mirror" => field.error("a mirror needs a url", "write {mirror: {url: https://…}}"),
            "bucket" => field.error("a bucket needs a name", "write {bucket: {name: acme-artifacts}}"),
            _ => field
                .word("delivery", &[("upload", Delivery::Upload)].map(|(name, _)| (name, ())))
                .map(|()| Delivery::Upload),
        };
    }
    let table = field.table()?;
    // Each is read, whatever else is there: all problems come at once.
    let ways = [
        table.get("upload").map(|field| upload(&field)),
        table.get("mirror").map(|field| mirror(&field)),
        table.get("bucket").map(|field| of_bucket(&field, aws)),
    ];
    table.finish();
    let mut given = ways.into_iter().flatten();
    match (given.next(), given.next()) {
        (Some(one), None) => one,
        (None, _) | (Some(_), Some(_)) => {
            field.error("want one of upload, mirror, bucket", "leave `delivery` out to upload over SSH")
        }
    }
}

fn upload(field: &Field<'_>) -> Option<Delivery> {
    if let Some(table) = field.table() {
        table.finish();
    }
    Some(Delivery::Upload)
}

fn mirror(field: &Field<'_>) -> Option<Delivery> {
    let table = field.table()?;
    let url = table.require("url", "https://mirror.example.org/kubernetes").and_then(|field| url(&field));
    table.finish();
    Some(Delivery::Mirror { url: url? })
}

fn of_bucket(field: &Field<'_>, aws: Option<&DraftAws>) -> Option<Delivery> {
    let table = field.table()?;
    let name = table.require("name", "acme-artifacts").and_then(|field| bucket(&field));
    let prefix = match table.get("prefix") {
        Some(field) => prefix(&field),
        None => Some(PREFIX.to_owned()),
    };
    let region = region_of(&table, aws);
    table.moved(&[("bucket", "name"), ("key", "prefix"), ("path", "prefix")]).finish();
    Some(Delivery::Bucket(ArtifactBucket { name: name?, region: region?, prefix: prefix? }))
}

/// A bucket's region, which is that of `aws` unless it is said.
pub(super) fn region_of(table: &Table<'_>, aws: Option<&DraftAws>) -> Option<String> {
    match (table.get("region"), aws) {
        (Some(field), _) => region(&field),
        (None, Some(aws)) => aws.region.clone(),
        (None, None) => table.require("region", "eu-central-1").and_then(|field| region(&field)),
    }
}
