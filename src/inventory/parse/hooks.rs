//! `hooks`: the operator's own commands around hosts, waves and hops.

use super::host::ROLES;
use super::reader::{Field, Table};
use super::scalar::quoted;
use super::upgrade::host_name;
use crate::inventory::{Hook, HookHosts, HookPlace, HookPoint};

/// Seconds a hook may take when the inventory does not say.
const TIMEOUT: u32 = 300;
const POINTS: &[(&str, HookPoint)] = &[
    ("before-host", HookPoint::BeforeHost),
    ("after-host", HookPoint::AfterHost),
    ("before-wave", HookPoint::BeforeWave),
    ("after-wave", HookPoint::AfterWave),
    ("before-hop", HookPoint::BeforeHop),
    ("after-hop", HookPoint::AfterHop),
];
const PLACES: &[(&str, HookPlace)] = &[("local", HookPlace::Local), ("host", HookPlace::Host)];

/// One for each item, so that places are kept; None: what is wrong with it has been reported.
pub(super) fn hooks(field: &Field<'_>) -> Vec<Option<Hook>> {
    field.items().unwrap_or_default().iter().map(hook).collect()
}

fn hook(field: &Field<'_>) -> Option<Hook> {
    let table = field.table()?;
    let name = table.require("name", "leave-balancer").and_then(|field| plain_name(&field, "hook"));
    let when = table.require("when", "before-host").and_then(|field| field.word("moment", POINTS));
    let place = match table.get("where") {
        Some(field) => field.word("place", PLACES),
        None => Some(HookPlace::Local),
    };
    let command = table.require("command", "[./leave.sh]");
    let command = command.and_then(|field| command_of(&field, place.unwrap_or(HookPlace::Local)));
    let timeout = table.get("timeout").map_or(Some(TIMEOUT), |field| field.duration());
    let hosts = hosts(&table);
    table.moved(&[("run", "command"), ("script", "command"), ("exec", "command"), ("on", "where")]).finish();
    Some(Hook {
        name: name?,
        when: when?,
        place: place?,
        command: command?,
        timeout: timeout?,
        hosts: hosts?,
    })
}

/// It is part of a step's text and of errors: plain, and one word.
pub(super) fn plain_name(field: &Field<'_>, of: &str) -> Option<String> {
    let text = field.text()?;
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if let Some(index) = text.chars().position(|c| !allowed(c)) {
        let message = format!("{}: illegal character at column {}", quoted(text), index + 1);
        return field.error(message, "write lower-case letters, digits and `-`");
    }
    if text.len() > 63 || text.starts_with('-') || text.ends_with('-') {
        let message = format!("{} is not the name of a {of}", quoted(text));
        return field.error(message, "at most 63 characters; the first and the last are no `-`");
    }
    Some(text.to_owned())
}

/// A program and its arguments.
pub(super) fn command_of(field: &Field<'_>, place: HookPlace) -> Option<Vec<String>> {
    let help = "write the program and its arguments as a list; for a shell, [\"sh\", \"-c\", \"…\"]";
    if let Some(text) = field.raw() {
        return field.error(format!("want a list of words; got {}", quoted(text)), help);
    }
    let items = field.items()?;
    let Some(first) = items.first() else { return field.error("has no program", help) };
    let program = program(first, place);
    let arguments: Vec<Option<String>> =
        items.iter().skip(1).map(|item| item.text_or_literal().map(str::to_owned)).collect();
    std::iter::once(program).chain(arguments).collect()
}

fn program(field: &Field<'_>, place: HookPlace) -> Option<String> {
    let text = field.text()?;
    if text.starts_with('-') || text.contains('=') {
        let message = format!("{} is not a program: it has a `=`, or starts with `-`", quoted(text));
        return field.error(message, "arguments come after the program");
    }
    match (text.contains('/'), place) {
        (false, _) => Some(text.to_owned()),
        (true, HookPlace::Local) => field.local_path().map(camino::Utf8PathBuf::into_string),
        (true, HookPlace::Host) if text.starts_with('/') => Some(text.to_owned()),
        (true, HookPlace::Host) => field.error(
            format!("{} is relative, and nobody knows to what on a host", quoted(text)),
            "write an absolute path of the host, or a program's name",
        ),
    }
}

/// `hosts` or `roles`; neither: all hosts.
fn hosts(table: &Table<'_>) -> Option<HookHosts> {
    let names = table.get("hosts").map(|field| {
        let items = field.items()?;
        if items.is_empty() {
            return field.error("is empty", "name hosts, or leave it out for all");
        }
        items.iter().map(host_name).collect::<Option<_>>().map(HookHosts::Names)
    });
    let roles = table.get("roles").map(|field| {
        let items = field.items_or_one();
        if items.is_empty() {
            return field.error("is empty", "name roles, or leave it out for all hosts");
        }
        items.iter().map(|item| item.word("role", ROLES)).collect::<Option<_>>().map(HookHosts::Roles)
    });
    match (names, roles) {
        (None, None) => Some(HookHosts::All),
        (Some(hosts), None) | (None, Some(hosts)) => hosts,
        (Some(_), Some(_)) => {
            table.at.error("want one of hosts, roles; got both", "leave one of the two out")
        }
    }
}
