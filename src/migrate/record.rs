//! The records of a name, as Route 53 has them, and the changes between them. A change names exactly what it
//! replaces, so what somebody else has changed meanwhile is never written over. Pure.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Which of the two clusters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    /// The old one.
    Blue,
    /// The new one.
    Green,
}

impl Side {
    pub const BOTH: [Side; 2] = [Side::Blue, Side::Green];

    pub fn as_str(self) -> &'static str {
        match self {
            Side::Blue => "blue",
            Side::Green => "green",
        }
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a record leads to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Target {
    /// A balancer of AWS.
    Alias { dns_name: String, hosted_zone: String, evaluate_target_health: bool },
    /// Addresses, or one other name.
    Values { ttl: u32, values: Vec<String> },
}

impl Target {
    /// Whether both lead to the same place, whatever their TTL.
    pub fn leads_as(&self, other: &Target) -> bool {
        match (self, other) {
            (
                Target::Alias { dns_name, hosted_zone, .. },
                Target::Alias { dns_name: name, hosted_zone: zone, .. },
            ) => plain(dns_name) == plain(name) && hosted_zone == zone,
            (Target::Values { values, .. }, Target::Values { values: others, .. }) => {
                let sorted = |values: &[String]| {
                    let mut all: Vec<String> = values.iter().map(|value| plain(value)).collect();
                    all.sort();
                    all
                };
                sorted(values) == sorted(others)
            }
            (Target::Alias { .. }, Target::Values { .. }) | (Target::Values { .. }, Target::Alias { .. }) => {
                false
            }
        }
    }
}

/// The console writes `dualstack.` before the name of a balancer, Route 53 a dot behind every name.
pub fn plain(name: &str) -> String {
    let lower = name.trim_end_matches('.').to_lowercase();
    lower.strip_prefix("dualstack.").map_or(lower.clone(), str::to_owned)
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Alias { dns_name, .. } => f.write_str(dns_name),
            Target::Values { values, .. } => f.write_str(&values.join(", ")),
        }
    }
}

/// How an answer is chosen among several records.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Routing {
    Simple,
    Weighted {
        identifier: String,
        weight: u8,
    },
    /// Latency, geography, failover: by its name.
    Other(String),
}

/// Address records of either family, or a name's other name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum RecordType {
    A,
    Aaaa,
    Cname,
}

impl RecordType {
    pub fn as_str(self) -> &'static str {
        match self {
            RecordType::A => "A",
            RecordType::Aaaa => "AAAA",
            RecordType::Cname => "CNAME",
        }
    }
}

impl fmt::Display for RecordType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One record set.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RecordSet {
    pub name: String,
    pub record_type: RecordType,
    pub routing: Routing,
    pub target: Target,
    /// A health check that decides whether it is given as an answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health_check: Option<String>,
}

impl fmt::Display for RecordSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name, self.record_type)?;
        match &self.routing {
            Routing::Simple => {}
            Routing::Weighted { identifier, weight } => write!(f, " weight {weight} ({identifier})")?,
            Routing::Other(policy) => write!(f, " by {policy}")?,
        }
        write!(f, " -> {}", self.target)?;
        match &self.target {
            Target::Alias { evaluate_target_health: true, .. } => {
                f.write_str(", if its targets are healthy")?
            }
            Target::Alias { evaluate_target_health: false, .. } => {}
            Target::Values { ttl, .. } => write!(f, ", for {ttl} s")?,
        }
        self.health_check.as_ref().map_or(Ok(()), |check| write!(f, ", if health check {check} passes"))
    }
}

/// What is missing (`-`) and what is there instead (`+`), a record a line.
pub fn difference(expected: &[RecordSet], there: &[RecordSet]) -> Vec<String> {
    let only = |some: &[RecordSet], others: &[RecordSet], sign: char| -> Vec<String> {
        let left = some.iter().filter(|record| !others.contains(record));
        left.map(|record| format!("{sign} {record}")).collect()
    };
    let mut lines = only(expected, there, '-');
    lines.extend(only(there, expected, '+'));
    lines
}

/// Whether both have the same records, in any order.
pub fn same(some: &[RecordSet], others: &[RecordSet]) -> bool {
    some.len() == others.len() && some.iter().all(|record| others.contains(record))
}

/// Weights of a name: how many of all questions each side is the answer of, in shares of their sum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Weights {
    pub blue: u8,
    pub green: u8,
}

impl Weights {
    /// For a share of green in hundredths.
    pub fn of_green(percent: u8) -> Self {
        let green = percent.min(100);
        Weights { blue: 100 - green, green }
    }

    pub fn of(self, side: Side) -> u8 {
        match side {
            Side::Blue => self.blue,
            Side::Green => self.green,
        }
    }

    /// Of all answers, those that lead to green.
    pub fn green_share(self) -> f64 {
        let (blue, green) = (f64::from(self.blue), f64::from(self.green));
        if blue + green == 0.0 { 0.5 } else { green / (blue + green) }
    }
}

impl fmt::Display for Weights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.blue, self.green)
    }
}

/// Where a name is on its way from blue to green.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Point {
    /// One record, of one side, without a weight.
    Only(Side),
    /// A record of each side.
    Weighted(Weights),
}

impl Point {
    pub fn weights(self) -> Weights {
        match self {
            Point::Only(Side::Blue) => Weights { blue: 1, green: 0 },
            Point::Only(Side::Green) => Weights { blue: 0, green: 1 },
            Point::Weighted(weights) => weights,
        }
    }
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Point::Only(side) => write!(f, "only {side}"),
            Point::Weighted(weights) => write!(f, "{weights}"),
        }
    }
}

/// What a name leads to, by side, for one type of record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Sides {
    pub blue: Target,
    pub green: Target,
}

impl Sides {
    pub fn of(&self, side: Side) -> &Target {
        match side {
            Side::Blue => &self.blue,
            Side::Green => &self.green,
        }
    }

    fn side_of(&self, target: &Target) -> Option<Side> {
        Side::BOTH.into_iter().find(|side| self.of(*side).leads_as(target))
    }
}

/// Why records are none that weights can be moved between.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Foreign {
    #[error("{name} has no {record_type} record")]
    Missing { name: String, record_type: RecordType },
    #[error("{name} {record_type} leads to {target}, which is neither blue's nor green's")]
    Elsewhere { name: String, record_type: RecordType, target: String },
    #[error("{name} {record_type} is answered by {policy}, not by weights")]
    OtherPolicy { name: String, record_type: RecordType, policy: String },
    #[error("{name} {record_type} has two records that lead to {side}")]
    Twice { name: String, record_type: RecordType, side: Side },
    #[error("{name} {record_type} has only weights of zero, so every answer is as likely")]
    AllZero { name: String, record_type: RecordType },
}

/// Where a name is, from its records of one type.
///
/// # Errors
/// [`Foreign`] when they are not what a migration makes.
pub fn point_of(
    name: &str,
    record_type: RecordType,
    records: &[RecordSet],
    sides: &Sides,
) -> Result<Point, Foreign> {
    let own = || name.to_owned();
    let mut found: Vec<(Side, Option<u8>)> = Vec::new();
    for record in records {
        let weight = match &record.routing {
            Routing::Simple => None,
            Routing::Weighted { weight, .. } => Some(*weight),
            Routing::Other(policy) => {
                return Err(Foreign::OtherPolicy { name: own(), record_type, policy: policy.clone() });
            }
        };
        let side = sides.side_of(&record.target).ok_or_else(|| Foreign::Elsewhere {
            name: own(),
            record_type,
            target: record.target.to_string(),
        })?;
        if found.iter().any(|(other, _)| *other == side) {
            return Err(Foreign::Twice { name: own(), record_type, side });
        }
        found.push((side, weight));
    }
    match found.as_slice() {
        [] => Err(Foreign::Missing { name: own(), record_type }),
        [(side, None)] => Ok(Point::Only(*side)),
        _ => {
            let weight = |side: Side| {
                let of_side = found.iter().find(|(other, _)| *other == side);
                of_side.and_then(|(_, weight)| *weight).unwrap_or(0)
            };
            let weights = Weights { blue: weight(Side::Blue), green: weight(Side::Green) };
            if weights.blue == 0 && weights.green == 0 {
                return Err(Foreign::AllZero { name: own(), record_type });
            }
            Ok(Point::Weighted(weights))
        }
    }
}

/// Changes that are made together or not at all.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Batch {
    /// Exactly what is there: if it is not, nothing is changed.
    pub delete: Vec<RecordSet>,
    pub create: Vec<RecordSet>,
}

impl Batch {
    pub fn is_empty(&self) -> bool {
        self.delete.is_empty() && self.create.is_empty()
    }

    /// Everything that is there goes, and comes again as it is to be; empty when that is the same.
    pub fn between(there: &[RecordSet], wanted: Vec<RecordSet>) -> Batch {
        if same(there, &wanted) { Batch::default() } else { Batch { delete: there.to_vec(), create: wanted } }
    }

    /// What leads back.
    pub fn reversed(&self) -> Batch {
        Batch { delete: self.create.clone(), create: self.delete.clone() }
    }

    /// What of it is about the records of one name and type.
    pub fn of(&self, name: &str, record_type: RecordType) -> Batch {
        let own = |records: &[RecordSet]| -> Vec<RecordSet> {
            let is_own =
                |record: &&RecordSet| record.record_type == record_type && plain(&record.name) == plain(name);
            records.iter().filter(is_own).cloned().collect()
        };
        Batch { delete: own(&self.delete), create: own(&self.create) }
    }

    pub fn extend(&mut self, other: Batch) {
        self.delete.extend(other.delete);
        self.create.extend(other.create);
    }
}

/// From the records of a name and type to a point; empty when they are there. All of them are named, also those that stay
/// as they are: two changes that are harmless alone could leave nothing but zeros together. `identifier` tells the records of a side apart from others'.
pub fn batch_to(
    point: Point,
    records: &[RecordSet],
    name: &str,
    record_type: RecordType,
    sides: &Sides,
    identifier: &dyn Fn(Side) -> String,
) -> Batch {
    let record = |side: Side, routing: Routing| {
        // What a record of this side has been told by others, such as whether it heeds its targets' health, stays.
        let there = records.iter().find(|record| sides.of(side).leads_as(&record.target));
        RecordSet {
            name: there.map_or_else(|| name.to_owned(), |there| there.name.clone()),
            record_type,
            routing,
            target: there.map_or_else(|| sides.of(side).clone(), |there| there.target.clone()),
            health_check: there.and_then(|there| there.health_check.clone()),
        }
    };
    let identifier_of = |side: Side| {
        let there = records.iter().find(|record| sides.of(side).leads_as(&record.target));
        match there.map(|record| &record.routing) {
            Some(Routing::Weighted { identifier, .. }) => identifier.clone(),
            _ => identifier(side),
        }
    };
    let wanted: Vec<RecordSet> = match point {
        Point::Only(side) => vec![record(side, Routing::Simple)],
        Point::Weighted(weights) => Side::BOTH
            .into_iter()
            .map(|side| {
                record(side, Routing::Weighted { identifier: identifier_of(side), weight: weights.of(side) })
            })
            .collect(),
    };
    Batch::between(records, wanted)
}

#[cfg(test)]
#[path = "record_tests.rs"]
mod tests;
