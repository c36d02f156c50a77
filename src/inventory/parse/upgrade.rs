//! `policy.upgrade`: how a change rolls over the workers.

use super::reader::Field;
use super::scalar::{Plain, quoted};
use crate::inventory::{Canary, HostName, UpgradePolicy};

pub(super) fn upgrade(field: &Field<'_>) -> UpgradePolicy {
    let mut policy = UpgradePolicy::default();
    let Some(table) = field.table() else { return policy };
    if let Some(canary) = table.get("canary").and_then(|field| canary(&field)) {
        policy.canary = canary;
    }
    policy.batch_size = table.get("batchSize").and_then(|field| field.count_or_share());
    policy.pause_between_waves = table.get("pauseBetweenWaves").and_then(|field| field.duration());
    if let Some(gate) = table.get("healthGate").and_then(|field| field.boolean()) {
        policy.health_gate = gate;
    }
    let accepted = table.get("accept").and_then(|field| field.items()).unwrap_or_default();
    policy.accept = accepted.iter().filter_map(|field| field.text().map(str::to_owned)).collect();
    table.moved(&[("maxUnavailable", "policy.maxUnavailable"), ("pause", "pauseBetweenWaves")]).finish();
    policy
}

/// A number of workers, or a list of their names.
fn canary(field: &Field<'_>) -> Option<Canary> {
    if let Some(Plain::Integer(_) | Plain::OddNumber) = field.plain() {
        let count = field.integer("a number of workers", 0..=100_000)?;
        return u32::try_from(count).ok().map(Canary::Count);
    }
    if field.raw().is_some() {
        let message = format!("want a number of workers, or a list of their names; got {}", field.got());
        return field.error(message, "write 1, or [worker-1]");
    }
    let names: Vec<HostName> = field.items()?.iter().filter_map(host_name).collect();
    Some(Canary::Hosts(names))
}

/// The name of a host; whether there is such a host is a rule of the whole file.
pub(super) fn host_name(field: &Field<'_>) -> Option<HostName> {
    let text = field.text()?;
    match HostName::parse(text) {
        Ok(name) => Some(name),
        Err(_) => field.error(format!("{} is not a host's name", quoted(text)), "write a name of `hosts`"),
    }
}
