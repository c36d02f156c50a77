//! The record sets of a zone, and what a batch of changes makes of them, or why it makes nothing.
//!
//! moto deletes all records of a zone that have the same set identifier, whatever their names, and refuses to create
//! what has once been created with the same words; so it is told what is to be there in the end.

use std::collections::{BTreeMap, BTreeSet};

use roxmltree::Node;

use super::super::xml::{self, Edits};

/// What makes a record set the one that it is, in Route 53's order: labels from the right, type, identifier.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    pub labels: Vec<String>,
    pub kind: String,
    pub identifier: String,
}

impl Key {
    pub fn new(name: &str, kind: &str, identifier: &str) -> Key {
        let name = name.trim_end_matches('.').replace("\\052", "*");
        let labels = name.split('.').rev().map(str::to_lowercase).collect();
        Key { labels, kind: kind.into(), identifier: identifier.into() }
    }

    fn is_beside(&self, other: &Key) -> bool {
        self.labels == other.labels && self.kind == other.kind
    }
}

/// A record set, with what it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    pub key: Key,
    pub name: String,
    ttl: String,
    /// Values in any order, then everything else.
    values: BTreeSet<String>,
    content: Vec<String>,
    /// The whole of it.
    xml: String,
}

/// What beside values and the TTL has to be the same for a deletion.
const CONTENT: [&str; 13] = [
    "Weight",
    "Region",
    "Failover",
    "MultiValueAnswer",
    "HealthCheckId",
    "GeoLocation/ContinentCode",
    "GeoLocation/CountryCode",
    "GeoLocation/SubdivisionCode",
    "TrafficPolicyInstanceId",
    "CidrRoutingConfig/LocationName",
    "AliasTarget/HostedZoneId",
    "AliasTarget/DNSName",
    "AliasTarget/EvaluateTargetHealth",
];

impl Record {
    fn read(set: Node<'_, '_>) -> Record {
        let plain = |text: String| text.trim_end_matches('.').to_lowercase();
        let values = xml::list(set, "ResourceRecords").into_iter().map(|value| xml::text(value, "Value"));
        let name = xml::text(set, "Name");
        Record {
            key: Key::new(&name, &xml::text(set, "Type"), &xml::text(set, "SetIdentifier")),
            name,
            ttl: xml::text(set, "TTL"),
            values: values.collect(),
            content: CONTENT.iter().map(|path| plain(xml::text(set, path))).collect(),
            xml: set.document().input_text()[set.range()].to_owned(),
        }
    }

    fn says_as(&self, other: &Record) -> bool {
        (&self.key, &self.ttl, &self.values, &self.content)
            == (&other.key, &other.ttl, &other.values, &other.content)
    }

    fn edited(&self, path: &str, text: &str) -> Record {
        let document = xml::parse(&self.xml);
        let mut edits = Edits::default();
        edits.set(xml::at(document.root_element(), path).unwrap(), text);
        let xml = edits.apply(&self.xml);
        Record::read(xml::parse(&xml).root_element())
    }

    /// As lists have it.
    pub fn shown(&self) -> String {
        self.edited("Name", &shown_name(&self.name)).xml
    }
}

/// Names in answers are absolute, and have a star in other words.
pub fn shown_name(name: &str) -> String {
    format!("{}.", name.trim_end_matches('.').replace('*', "\\052"))
}

/// moto takes other words for another name.
fn stored_name(name: &str) -> String {
    format!("{}.", name.trim_end_matches('.').replace("\\052", "*").to_lowercase())
}

#[derive(Debug, Clone, Default)]
pub struct Zone(BTreeMap<Key, Record>);

/// A code and a message.
type Refusal = (&'static str, String);

impl Zone {
    /// From a list of all its records.
    pub fn read(list: &str) -> Zone {
        let document = xml::parse(list);
        let sets = xml::items(&document, "ResourceRecordSets").into_iter().map(Record::read);
        Zone(sets.map(|record| (record.key.clone(), record)).collect())
    }

    /// In Route 53's order.
    pub fn records(&self) -> impl Iterator<Item = &Record> {
        self.0.values()
    }

    /// With the changes of a batch, each after those before it. `protected`: names of which no record may be changed.
    pub fn after(&self, batch: &[Change], protected: &BTreeSet<String>) -> Result<Zone, Refusal> {
        let mut zone = self.clone();
        for change in batch {
            zone.apply(change, protected)?;
        }
        zone.share_ttl(batch);
        Ok(zone)
    }

    fn apply(&mut self, change: &Change, protected: &BTreeSet<String>) -> Result<(), Refusal> {
        let Change { action, record: wanted } = change;
        let what = described(wanted);
        if protected.contains(wanted.name.trim_end_matches('.')) {
            return contradicts(format!("{what} is protected by its owner"));
        }
        check_weight(wanted, &what)?;
        let there = self.0.get(&wanted.key);
        match (action.as_str(), there) {
            ("CREATE", Some(_)) => contradicts(format!("Tried to create {what} but it already exists")),
            ("DELETE", None) => contradicts(format!("Tried to delete {what} but it was not found")),
            ("DELETE", Some(there)) if !there.says_as(wanted) => contradicts(format!(
                "Tried to delete {what} but the values provided do not match the current values"
            )),
            ("DELETE", Some(_)) => {
                self.0.remove(&wanted.key);
                Ok(())
            }
            _ => self.put(wanted, &what),
        }
    }

    fn put(&mut self, wanted: &Record, what: &str) -> Result<(), Refusal> {
        let is_simple = |key: &Key| key.identifier.is_empty();
        let beside = || self.0.keys().filter(|key| key.is_beside(&wanted.key));
        if beside().any(|key| is_simple(key) != is_simple(&wanted.key)) {
            return contradicts(format!(
                "{what} cannot be created as other sets exist with the same name and type"
            ));
        }
        let is_other_name = |key: &Key| (key.kind == "CNAME") != (wanted.key.kind == "CNAME");
        if self.0.keys().any(|key| key.labels == wanted.key.labels && is_other_name(key)) {
            return contradicts(format!(
                "RRSet of type {} with DNS name {} is not permitted as it conflicts with other records with the same \
                 DNS name",
                wanted.key.kind, wanted.name
            ));
        }
        self.0.insert(wanted.key.clone(), wanted.clone());
        Ok(())
    }

    /// Weighted records of one name have one TTL: the one that was written last.
    fn share_ttl(&mut self, batch: &[Change]) {
        for Change { record, .. } in batch.iter().filter(|change| change.action != "DELETE") {
            if record.key.identifier.is_empty() || record.ttl.is_empty() {
                continue;
            }
            let beside = self.0.values_mut().filter(|other| other.key.is_beside(&record.key));
            for other in beside.filter(|other| !other.ttl.is_empty() && other.ttl != record.ttl) {
                *other = other.edited("TTL", &record.ttl);
            }
        }
    }

    /// Changes with which moto gets there. It deletes by the set identifier alone, or all of a name and type.
    pub fn changes_to(&self, after: &Zone, batch: &[Change], namespace: &str) -> String {
        let gone: Vec<&Record> =
            self.0.values().filter(|record| !after.0.contains_key(&record.key)).collect();
        let is_hit = |record: &Record| {
            gone.iter().any(|gone| match gone.key.identifier.as_str() {
                "" => gone.key.is_beside(&record.key),
                identifier => identifier == record.key.identifier,
            })
        };
        let is_named = |record: &Record| batch.iter().any(|change| change.record.key == record.key);
        let is_same = |record: &&Record| {
            let there = self.0.get(&record.key);
            there.is_some_and(|there| there.says_as(record)) && !is_hit(record) && !is_named(record)
        };
        let change = |action: &str, record: &Record| {
            let record = record.edited("Name", &stored_name(&record.name));
            format!("<Change>{}{}</Change>", xml::element("Action", action), record.xml)
        };
        let deleted = gone.iter().map(|record| change("DELETE", record));
        let put = after.0.values().filter(|record| !is_same(record)).map(|record| change("UPSERT", record));
        let changes: String = deleted.chain(put).collect();
        format!(
            "<ChangeResourceRecordSetsRequest xmlns=\"{namespace}\"><ChangeBatch><Changes>{changes}</Changes>\
             </ChangeBatch></ChangeResourceRecordSetsRequest>"
        )
    }
}

pub struct Change {
    action: String,
    record: Record,
}

pub fn changes(batch: &str) -> Vec<Change> {
    let document = xml::parse(batch);
    let change = |node: Node<'_, '_>| {
        let record = Record::read(xml::child(node, "ResourceRecordSet")?);
        Some(Change { action: xml::text(node, "Action"), record })
    };
    xml::items(&document, "Changes").into_iter().filter_map(change).collect()
}

fn contradicts(message: String) -> Result<(), Refusal> {
    Err(("InvalidChangeBatch", message))
}

fn described(record: &Record) -> String {
    let (name, Key { kind, identifier, .. }) = (&record.name, &record.key);
    format!("resource record set [name='{name}', type='{kind}', set identifier='{identifier}']")
}

fn check_weight(wanted: &Record, what: &str) -> Result<(), Refusal> {
    let invalid = |message: String| Err(("InvalidInput", message));
    match wanted.content[0].parse::<u32>() {
        Ok(256..) => invalid(format!("the weight of {what} must be less than or equal to 255")),
        Ok(_) if wanted.key.identifier.is_empty() => {
            invalid(format!("{what} has a weight and no SetIdentifier"))
        }
        Ok(_) | Err(_) => Ok(()),
    }
}
