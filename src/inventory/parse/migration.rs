//! `kind: Migration`: the top of the file, the names, and the places that are asked.

mod clusters;
pub(crate) mod draft;
mod gates;
mod probes;
mod sides;

use std::net::{IpAddr, SocketAddr};

use draft::{DraftAccount, DraftMigration};

use super::cluster::{Header, header, split_port};
use super::context::{Context, Document};
use super::path::Path;
use super::reader::{Field, Table};
use super::scalar::quoted;
use super::tree::Node;
use crate::inventory::{ClusterName, ServiceName};

/// Where resolvers listen.
const DNS_PORT: u16 = 53;

/// What other tools call things, and what they are called here.
const MOVED: &[(&str, &str)] = &[
    ("name", "metadata.name"),
    ("region", "aws.region"),
    ("profile", "aws.profile"),
    ("hostedZone", "names[].hostedZone"),
    ("records", "names"),
    ("old", "blue"),
    ("source", "blue"),
    ("new", "green"),
    ("target", "green"),
    ("weights", "schedule"),
    ("steps", "schedule"),
    ("checks", "probes"),
    ("destroy", "teardown"),
    ("inventory", "blue.inventory or green.inventory"),
    ("kubeconfig", "blue.kubeconfig or green.kubeconfig"),
];

/// Reads the whole tree; None when it is not a migration at all.
pub(super) fn read(root: &Node, context: &Context<'_>) -> Option<DraftMigration> {
    let top = Field { context, node: root, path: Path::root() }.table()?.moved(MOVED);
    // Of another kind of file, every key would be reported as unknown: noise.
    if header(&top, Document::Migration) != Header::Right {
        return None;
    }
    let draft = body(&top);
    top.finish();
    Some(draft)
}

fn body(top: &Table<'_>) -> DraftMigration {
    let name = top.require("metadata", "{name: shop}").and_then(|field| metadata(&field));
    let aws = top.require("aws", "{region: eu-central-1}").and_then(|field| account(&field));
    let names = top.require("names", "[{name: shop.example.org, hostedZone: Z0123456789ABC}]");
    let names: Vec<_> = list(names).iter().map(service_name).collect();
    let blue = top.require("blue", "{balancer: {name: old}}").and_then(|field| sides::side(&field));
    let green = top.require("green", "{balancer: {name: new}}").and_then(|field| sides::side(&field));
    let resolvers = list(top.get("resolvers")).iter().map(resolver).collect();
    let first = names.iter().flatten().next().map(|service| service.name.clone());
    let probes = list(top.require("probes", "[{name: page}]"));
    let probes = probes.iter().map(|field| probes::probe(field, first.as_deref())).collect();
    let teardown = top.get("teardown").map(|field| clusters::teardown(&field, blue.as_ref()));
    DraftMigration {
        name,
        aws,
        names,
        blue,
        green,
        resolvers,
        probes,
        schedule: gates::schedule(top.get("schedule")),
        gates: gates::gates(top.get("gates")),
        take_over: top.get("takeOver").map(|field| gates::take_over(&field)),
        teardown: teardown.unwrap_or_default(),
        make: top.get("make").and_then(|field| clusters::make(&field)),
        copy: top.get("copy").map(|field| clusters::copy(&field)),
    }
}

/// The items of a list that may be missing, which has been reported where it is wrong.
fn list(field: Option<Field<'_>>) -> Vec<Field<'_>> {
    field.and_then(|field| field.items()).unwrap_or_default()
}

fn text(field: &Field<'_>) -> Option<String> {
    field.text().map(str::to_owned)
}

/// The texts of a list; what is wrong with one has been reported.
fn texts(field: Option<Field<'_>>) -> Vec<String> {
    list(field).iter().filter_map(text).collect()
}

/// A map of texts, in its order.
fn pairs(field: &Field<'_>) -> Option<Vec<(String, String)>> {
    let entries = field.entries()?;
    let read = entries.iter().map(|(entry, field)| Some((entry.key.to_string(), text(field)?)));
    read.collect::<Vec<_>>().into_iter().collect()
}

fn metadata(field: &Field<'_>) -> Option<ClusterName> {
    let table = field.table()?;
    let name = table.require("name", "shop").and_then(|field| {
        let text = field.text()?;
        match ClusterName::parse(text) {
            Ok(name) => Some(name),
            Err(error) => {
                field.error(error.to_string(), "a migration's name is one DNS label, such as `shop`")
            }
        }
    });
    table.finish();
    name
}

fn account(field: &Field<'_>) -> Option<DraftAccount> {
    let table = field.table()?;
    let region = table.require("region", "eu-central-1").and_then(|field| text(&field));
    let profile = table.get("profile").and_then(|field| text(&field));
    let assume_role = table.get("assumeRole").and_then(|field| text(&field));
    table.moved(&[("roleArn", "assumeRole"), ("role", "assumeRole")]).finish();
    Some(DraftAccount { region, profile, assume_role })
}

fn service_name(field: &Field<'_>) -> Option<ServiceName> {
    if let Some(raw) = field.raw() {
        let message = format!("want a map; got {}", field.got());
        return field.error(message, format!("write {{name: {}, hostedZone: Z…}}", quoted(raw)));
    }
    let table = field.table()?;
    let name = table.require("name", "shop.example.org").and_then(|field| text(&field));
    let hosted_zone = table.require("hostedZone", "Z0123456789ABC").and_then(|field| text(&field));
    table.moved(&[("zone", "hostedZone"), ("zoneId", "hostedZone"), ("hostedZoneId", "hostedZone")]).finish();
    Some(ServiceName { name: name?, hosted_zone: hosted_zone? })
}

/// An address, or an address and a port.
fn resolver(field: &Field<'_>) -> Option<SocketAddr> {
    let help = "write an address, or address:port: 192.0.2.53, 192.0.2.53:5353, \"[2001:db8::53]:5353\"";
    let text = field.text()?;
    if let Ok(address) = text.parse::<IpAddr>() {
        // It says what is wrong with one that is an address to programs only.
        return field.address_or(help).map(|_| SocketAddr::new(address, DNS_PORT));
    }
    match split_port(text) {
        Some((host, Some(port))) => {
            let number = port.parse::<u16>().ok().filter(|number| *number > 0 && number.to_string() == port);
            match (host.parse::<IpAddr>().ok(), number) {
                (Some(address), Some(port)) => Some(SocketAddr::new(address, port)),
                (None, _) => field.error(format!("{} has no IP address before its port", quoted(text)), help),
                (Some(_), None) => field.error(format!("{} has no port from 1 to 65535", quoted(text)), help),
            }
        }
        Some((_, None)) | None => field.address_or(help).map(|address| SocketAddr::new(address, DNS_PORT)),
    }
}

#[cfg(test)]
pub(crate) mod tests;
