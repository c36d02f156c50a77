//! Record sets between Route 53's words and ours. Pure.

use std::collections::BTreeMap;

use aws_sdk_route53::error::BuildError;
use aws_sdk_route53::types::{
    AliasTarget, Change, ChangeAction, ChangeBatch, ResourceRecord, ResourceRecordSet, RrType,
};

use crate::migrate::record::{Batch, RecordSet, RecordType, Routing, Target};

/// Route 53 takes so many values in one change.
const VALUES: usize = 1000;

/// Why a batch is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unwritable {
    #[error("there is nothing to change")]
    Nothing,
    #[error("{name} {record_type} is answered by {policy}, and only simple and weighted records are changed")]
    Policy { name: String, record_type: RecordType, policy: String },
    #[error(
        "{count} values are more than the {VALUES} that Route 53 takes at once: migrate fewer names together"
    )]
    TooMany { count: usize },
    #[error(
        "weighted records of {name} {record_type} cannot have TTLs of {one} and {other}: Route 53 gives all of them \
         the last one that it is told"
    )]
    Ttls { name: String, record_type: RecordType, one: u32, other: u32 },
    #[error("{0}")]
    Incomplete(String),
}

impl From<BuildError> for Unwritable {
    fn from(error: BuildError) -> Self {
        Unwritable::Incomplete(error.to_string())
    }
}

/// None: it is of a type that names of services do not have.
pub(super) fn read(set: &ResourceRecordSet) -> Option<RecordSet> {
    let record_type = match set.r#type() {
        RrType::A => RecordType::A,
        RrType::Aaaa => RecordType::Aaaa,
        RrType::Cname => RecordType::Cname,
        _ => return None,
    };
    let target = target_of(set);
    let routing = match &target {
        Some(_) => routing_of(set),
        None => Routing::Other("something other than values or an alias".to_owned()),
    };
    Some(RecordSet {
        name: set.name().to_owned(),
        record_type,
        routing,
        target: target.unwrap_or(Target::Values { ttl: 0, values: Vec::new() }),
        health_check: set.health_check_id().map(str::to_owned),
    })
}

/// None when it has neither values nor an alias, or more than that.
fn target_of(set: &ResourceRecordSet) -> Option<Target> {
    let values: Vec<String> = set.resource_records().iter().map(|value| value.value().to_owned()).collect();
    match (set.alias_target(), set.ttl()) {
        (Some(alias), None) if values.is_empty() => Some(Target::Alias {
            dns_name: alias.dns_name().to_owned(),
            hosted_zone: alias.hosted_zone_id().to_owned(),
            evaluate_target_health: alias.evaluate_target_health(),
        }),
        (None, Some(ttl)) if !values.is_empty() => {
            Some(Target::Values { ttl: u32::try_from(ttl).ok()?, values })
        }
        _ => None,
    }
}

/// What has a field that [`RecordSet`] has not is another's: written again, it would lose it.
fn routing_of(set: &ResourceRecordSet) -> Routing {
    let policies = [
        (set.region().is_some(), "latency"),
        (set.geo_location().is_some(), "geolocation"),
        (set.geo_proximity_location().is_some(), "geoproximity"),
        (set.failover().is_some(), "failover"),
        (set.multi_value_answer().is_some(), "several values at random"),
        (set.cidr_routing_config().is_some(), "the client's address"),
        (set.traffic_policy_instance_id().is_some(), "a traffic policy"),
    ];
    if let Some((_, policy)) = policies.iter().find(|(is_there, _)| *is_there) {
        return Routing::Other((*policy).to_owned());
    }
    let weight = set.weight().map(u8::try_from);
    match (set.set_identifier(), weight) {
        (None, None) => Routing::Simple,
        (Some(identifier), Some(Ok(weight))) => {
            Routing::Weighted { identifier: identifier.to_owned(), weight }
        }
        _ => Routing::Other("a policy that keelwright does not know".to_owned()),
    }
}

pub(super) fn write(record: &RecordSet) -> Result<ResourceRecordSet, Unwritable> {
    let record_type = match record.record_type {
        RecordType::A => RrType::A,
        RecordType::Aaaa => RrType::Aaaa,
        RecordType::Cname => RrType::Cname,
    };
    let set = ResourceRecordSet::builder()
        .name(&record.name)
        .r#type(record_type)
        .set_health_check_id(record.health_check.clone());
    let set = match &record.routing {
        Routing::Simple => set,
        Routing::Weighted { identifier, weight } => set.set_identifier(identifier).weight((*weight).into()),
        Routing::Other(policy) => {
            return Err(Unwritable::Policy {
                name: record.name.clone(),
                record_type: record.record_type,
                policy: policy.clone(),
            });
        }
    };
    let set = match &record.target {
        Target::Alias { dns_name, hosted_zone, evaluate_target_health } => {
            let alias = AliasTarget::builder()
                .dns_name(dns_name)
                .hosted_zone_id(hosted_zone)
                .evaluate_target_health(*evaluate_target_health);
            set.alias_target(alias.build()?)
        }
        Target::Values { ttl, values } => {
            let value = |value: &String| ResourceRecord::builder().value(value).build();
            let values: Vec<ResourceRecord> = values.iter().map(value).collect::<Result<_, _>>()?;
            set.ttl((*ttl).into()).set_resource_records(Some(values))
        }
    };
    Ok(set.build()?)
}

/// What goes first, then what comes: both have the same names. Never an upsert, which writes over what anybody else
/// has made of a record.
pub(super) fn batch(batch: &Batch) -> Result<ChangeBatch, Unwritable> {
    if batch.is_empty() {
        return Err(Unwritable::Nothing);
    }
    let count = batch.delete.iter().chain(&batch.create).map(values_of).sum();
    if count > VALUES {
        return Err(Unwritable::TooMany { count });
    }
    one_ttl(&batch.create)?;
    let deletions = batch.delete.iter().map(|record| (ChangeAction::Delete, record));
    let creations = batch.create.iter().map(|record| (ChangeAction::Create, record));
    let mut changes = ChangeBatch::builder();
    for (action, record) in deletions.chain(creations) {
        changes =
            changes.changes(Change::builder().action(action).resource_record_set(write(record)?).build()?);
    }
    Ok(changes.build()?)
}

/// What is read afterwards would not be what was written, and the next change would contradict it:
/// <https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/resource-record-sets-values-weighted.html>
fn one_ttl(records: &[RecordSet]) -> Result<(), Unwritable> {
    let mut known: BTreeMap<(&str, RecordType), u32> = BTreeMap::new();
    for record in records {
        let (Routing::Weighted { .. }, Target::Values { ttl, .. }) = (&record.routing, &record.target) else {
            continue;
        };
        let (name, record_type) = (&record.name, record.record_type);
        let one = *known.entry((name, record_type)).or_insert(*ttl);
        if one != *ttl {
            return Err(Unwritable::Ttls { name: name.clone(), record_type, one, other: *ttl });
        }
    }
    Ok(())
}

/// An alias counts as one.
fn values_of(record: &RecordSet) -> usize {
    match &record.target {
        Target::Alias { .. } => 1,
        Target::Values { values, .. } => values.len(),
    }
}

#[cfg(test)]
#[path = "records_tests.rs"]
mod tests;
