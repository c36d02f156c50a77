//! `probes`: what a healthy side answers. What one of them leaves out comes from its type and from the first name.

use super::text;
use crate::inventory::parse::cluster::split_port;
use crate::inventory::parse::hooks::plain_name;
use crate::inventory::parse::reader::{Field, Table};
use crate::inventory::{Probe, ProbeKind};

/// Seconds after which there is no answer, when the file does not say.
const TIMEOUT: u32 = 5;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Type {
    Tcp,
    Tls,
    Http,
    Https,
}

const TYPES: &[(&str, Type)] =
    &[("tcp", Type::Tcp), ("tls", Type::Tls), ("http", Type::Http), ("https", Type::Https)];

impl Type {
    fn port(self) -> Option<u16> {
        match self {
            Type::Tcp => None,
            Type::Http => Some(80),
            Type::Tls | Type::Https => Some(443),
        }
    }
}

/// `first`: the first name of the migration, which most probes ask for.
pub(super) fn probe(field: &Field<'_>, first: Option<&str>) -> Option<Probe> {
    let table = field.table()?;
    let name = table.require("name", "page").and_then(|field| plain_name(&field, "probe"));
    let wanted = match table.get("type") {
        Some(field) => field.word("type", TYPES),
        None => Some(Type::Https),
    };
    let port = match wanted.and_then(Type::port) {
        Some(port) => table.get("port").map_or(Some(port), |field| field.port()),
        // Of a type that could not be read nobody knows whether it needs one.
        None if wanted.is_none() => table.get("port").and_then(|field| field.port()),
        None => table.require("port", "443").and_then(|field| field.port()),
    };
    let kind = kind(&table, wanted.unwrap_or(Type::Https), first);
    let timeout = table.get("timeout").map_or(Some(TIMEOUT), |field| field.duration());
    table
        .moved(&[
            ("kind", "type"),
            ("protocol", "type"),
            ("scheme", "type"),
            ("sni", "serverName"),
            ("hostname", "host"),
            ("status", "statuses"),
            ("url", "type, host, port and path"),
        ])
        .finish();
    wanted?;
    Some(Probe { name: name?, port: port?, kind: kind?, timeout: timeout? })
}

fn kind(table: &Table<'_>, wanted: Type, first: Option<&str>) -> Option<ProbeKind> {
    let path = table.get("path").map_or(Some("/".to_owned()), |field| text(&field));
    let host = match table.get("host") {
        Some(field) => text(&field),
        None => first.map(str::to_owned),
    };
    let server_name = match table.get("serverName") {
        Some(field) => text(&field),
        None if wanted == Type::Tls => first.map(str::to_owned),
        // What is before the port: of an address a rule says that it is no name.
        None => host.as_deref().and_then(split_port).map(|(host, _)| host.to_owned()),
    };
    let statuses = statuses(table);
    Some(match wanted {
        Type::Tcp => ProbeKind::Tcp,
        Type::Tls => ProbeKind::Tls { server_name: server_name? },
        Type::Http => ProbeKind::Http { path: path?, host: host?, server_name: None, statuses: statuses? },
        Type::Https => {
            ProbeKind::Http { path: path?, host: host?, server_name: Some(server_name?), statuses: statuses? }
        }
    })
}

fn statuses(table: &Table<'_>) -> Option<Vec<u16>> {
    let Some(field) = table.get("statuses") else { return Some(Vec::new()) };
    let items = field.items()?;
    if items.is_empty() {
        return field.error("is empty: no answer would be fine", "leave it out for 200 to 399");
    }
    let read =
        |item: &Field<'_>| item.integer("a status code", 100..=599).and_then(|code| u16::try_from(code).ok());
    items.iter().map(read).collect::<Vec<_>>().into_iter().collect()
}
