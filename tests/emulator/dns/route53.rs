//! The records of a zone, as moto has them, and changes of them.

use std::collections::BTreeMap;

use http::Method;

use crate::emulator::client::{Answer, Client};
use crate::emulator::service::Service;
use crate::emulator::xml;

/// A record set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// In lowercase, with a dot at its end.
    pub name: String,
    pub kind: String,
    /// Of one among several.
    pub weighted: Option<(String, u32)>,
    pub leads: Leads,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Leads {
    /// To a balancer's own name, written like a name of a record.
    Alias {
        dns_name: String,
        hosted_zone: String,
    },
    Values {
        ttl: u32,
        values: Vec<String>,
    },
}

/// In lowercase, with a dot at its end.
pub fn canonical(name: &str) -> String {
    format!("{}.", name.trim_end_matches('.').to_lowercase())
}

/// All records of a zone.
pub async fn records(moto: &Client, zone: &str) -> Vec<Record> {
    let path = format!("/2013-04-01/hostedzone/{zone}/rrset?maxitems=300");
    let answer = moto.get(Service::Route53, &path).await.ok();
    let document = xml::parse(answer.text());
    xml::items(&document, "ResourceRecordSets").into_iter().map(record).collect()
}

fn record(set: roxmltree::Node<'_, '_>) -> Record {
    let text = |path: &str| xml::text(set, path);
    let weight = text("Weight").parse().ok();
    let leads = match xml::child(set, "AliasTarget") {
        Some(alias) => Leads::Alias {
            dns_name: canonical(&xml::text(alias, "DNSName")),
            hosted_zone: xml::text(alias, "HostedZoneId"),
        },
        None => Leads::Values {
            ttl: text("TTL").parse().unwrap(),
            values: xml::list(set, "ResourceRecords")
                .into_iter()
                .map(|value| bare(&xml::text(value, "Value")))
                .collect(),
        },
    };
    let weighted = weight.map(|weight| (text("SetIdentifier"), weight));
    Record { name: canonical(&text("Name")), kind: text("Type"), weighted, leads }
}

/// moto wraps the value of the SOA record that it makes: `{'Value': 'ns-1. ...'}`.
fn bare(value: &str) -> String {
    value.strip_prefix("{'Value': '").and_then(|rest| rest.strip_suffix("'}")).unwrap_or(value).to_owned()
}

/// Where a name's answers lead, with the weight of each: of a simple record, 1.
pub fn weights(records: &[Record], name: &str) -> BTreeMap<String, u32> {
    let target = |leads: &Leads| match leads {
        Leads::Alias { dns_name, .. } => dns_name.clone(),
        Leads::Values { values, .. } => values.iter().map(|value| canonical(value)).collect(),
    };
    let of_name = records.iter().filter(|record| record.name == canonical(name));
    let addresses = of_name.filter(|record| ["A", "CNAME"].contains(&record.kind.as_str()));
    addresses
        .map(|record| (target(&record.leads), record.weighted.as_ref().map_or(1, |(_, weight)| *weight)))
        .collect()
}

/// Makes changes, all or none.
pub async fn change(client: &Client, zone: &str, changes: &[(&str, &Record)]) -> Answer {
    let changes: String = changes.iter().map(|(action, record)| change_xml(action, record)).collect();
    let batch = format!("<ChangeBatch><Changes>{changes}</Changes></ChangeBatch>");
    let body = format!("<ChangeResourceRecordSetsRequest>{batch}</ChangeResourceRecordSetsRequest>");
    client.rest(Service::Route53, Method::POST, &format!("/2013-04-01/hostedzone/{zone}/rrset/"), &body).await
}

fn change_xml(action: &str, record: &Record) -> String {
    let policy = record.weighted.as_ref().map(|(identifier, weight)| {
        xml::element("SetIdentifier", identifier) + &xml::element("Weight", &weight.to_string())
    });
    let leads = match &record.leads {
        Leads::Alias { dns_name, hosted_zone } => format!(
            "<AliasTarget>{}{}<EvaluateTargetHealth>false</EvaluateTargetHealth></AliasTarget>",
            xml::element("HostedZoneId", hosted_zone),
            xml::element("DNSName", dns_name)
        ),
        Leads::Values { ttl, values } => {
            let value =
                |value: &String| format!("<ResourceRecord>{}</ResourceRecord>", xml::element("Value", value));
            let values: String = values.iter().map(value).collect();
            format!("<TTL>{ttl}</TTL><ResourceRecords>{values}</ResourceRecords>")
        }
    };
    let set = xml::element("Name", &record.name)
        + &xml::element("Type", &record.kind)
        + &policy.unwrap_or_default()
        + &leads;
    format!("<Change><Action>{action}</Action><ResourceRecordSet>{set}</ResourceRecordSet></Change>")
}
