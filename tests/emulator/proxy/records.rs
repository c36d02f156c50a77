//! Record sets of Route 53: changes that contradict what is there are refused, and lists come in pages that may
//! end between records of one name.

use roxmltree::Node;

use super::super::client::{Answer, Client};
use super::super::service::Service;
use super::super::xml;
use super::call::Call;
use super::reply;

/// What makes a record set the one that it is, in Route 53's order: labels from the right, type, identifier.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    labels: Vec<String>,
    kind: String,
    identifier: String,
}

/// A record set, with what it says.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Record {
    key: Key,
    weight: String,
    /// The values, or the alias, and the TTL.
    content: Vec<String>,
}

pub async fn answer(call: &Call, moto: &Client, longest: usize) -> Option<Answer> {
    let list = match call.name().as_str() {
        "Route53.ListResourceRecordSets" | "Route53.ChangeResourceRecordSets" => all(call, moto).await,
        _ => return None,
    };
    if list.status >= 300 {
        return Some(list);
    }
    if call.action == "ListResourceRecordSets" {
        return Some(page(call, list, longest));
    }
    let document = xml::parse(list.text());
    let mut records: Vec<_> = sets(&document).map(record).collect();
    let body = xml::parse(call.param("Body"));
    let refused =
        xml::items(&body, "Changes").into_iter().find_map(|change| apply(&mut records, change).err());
    refused.map(|(code, message)| reply::refusal(call, 400, code, &format!("[{message}]")))
}

async fn all(call: &Call, moto: &Client) -> Answer {
    moto.get(Service::Route53, &format!("/2013-04-01/hostedzone/{}/rrset?maxitems=300", call.param("Id")))
        .await
}

fn sets<'a>(document: &'a roxmltree::Document<'_>) -> impl Iterator<Item = Node<'a, 'a>> {
    xml::items(document, "ResourceRecordSets").into_iter()
}

fn key(name: &str, kind: &str, identifier: &str) -> Key {
    let labels = name.trim_end_matches('.').split('.').rev().map(str::to_lowercase).collect();
    Key { labels, kind: kind.into(), identifier: identifier.into() }
}

fn record(set: Node<'_, '_>) -> Record {
    let values = xml::list(set, "ResourceRecords").into_iter().map(|value| xml::text(value, "Value"));
    let alias =
        ["TTL", "AliasTarget/HostedZoneId", "AliasTarget/DNSName", "AliasTarget/EvaluateTargetHealth"];
    let fixed = alias.iter().map(|path| xml::text(set, path).trim_end_matches('.').to_lowercase());
    Record {
        key: key(&xml::text(set, "Name"), &xml::text(set, "Type"), &xml::text(set, "SetIdentifier")),
        weight: xml::text(set, "Weight"),
        content: values.chain(fixed).collect(),
    }
}

/// One change of a batch; those before it have been applied.
fn apply(records: &mut Vec<Record>, change: Node<'_, '_>) -> Result<(), (&'static str, String)> {
    let Some(set) = xml::child(change, "ResourceRecordSet") else { return Ok(()) };
    let wanted = record(set);
    let (name, kind) = (xml::text(set, "Name"), &wanted.key.kind);
    let what = format!(
        "resource record set [name='{name}', type='{kind}', set identifier='{}']",
        wanted.key.identifier
    );
    check_weight(&wanted, &what)?;
    let there = records.iter().position(|record| record.key == wanted.key);
    let same_name = |record: &&Record| record.key.labels == wanted.key.labels && record.key.kind == *kind;
    let other_policy = |record: &Record| record.key.identifier.is_empty() != wanted.key.identifier.is_empty();
    let conflict = records.iter().filter(same_name).any(other_policy);
    let contradicts = |message: String| Err(("InvalidChangeBatch", message));
    match (xml::text(change, "Action").as_str(), there) {
        ("CREATE", Some(_)) => return contradicts(format!("Tried to create {what} but it already exists")),
        ("DELETE", None) => return contradicts(format!("Tried to delete {what} but it was not found")),
        ("DELETE", Some(place)) if records[place] != wanted => {
            return contradicts(format!(
                "Tried to delete {what} but the values provided do not match the current values"
            ));
        }
        ("DELETE", Some(place)) => drop(records.remove(place)),
        _ if conflict => {
            return contradicts(format!(
                "{what} cannot be created as other sets exist with the same name and type"
            ));
        }
        (_, Some(place)) => records[place] = wanted,
        (_, None) => records.push(wanted),
    }
    Ok(())
}

fn check_weight(wanted: &Record, what: &str) -> Result<(), (&'static str, String)> {
    let invalid = |message: String| Err(("InvalidInput", message));
    match wanted.weight.parse::<u32>() {
        Ok(256..) => invalid(format!("the weight of {what} must be less than or equal to 255")),
        Ok(_) if wanted.key.identifier.is_empty() => {
            invalid(format!("{what} has a weight and no SetIdentifier"))
        }
        Ok(_) | Err(_) => Ok(()),
    }
}

/// The page that begins where the call says.
fn page(call: &Call, mut list: Answer, longest: usize) -> Answer {
    let document = xml::parse(list.text());
    let mut items: Vec<_> = sets(&document).map(|set| (record(set).key, set)).collect();
    items.sort_by(|left, right| left.0.cmp(&right.0));
    let name = call.param("name");
    let from = key(name, call.param("type"), call.param("identifier"));
    let (size, namespace) =
        (call.param("maxitems").parse().unwrap_or(longest).min(longest), call.service.namespace());
    let rest: Vec<_> = items.into_iter().filter(|(key, _)| name.is_empty() || *key >= from).collect();
    let shown: String = rest.iter().take(size).map(|(_, set)| &list.text()[set.range()]).collect();
    let next = rest.get(size).map(|(_, set)| {
        let identifier = xml::text(*set, "SetIdentifier");
        let identifier = match identifier.as_str() {
            "" => String::new(),
            identifier => xml::element("NextRecordIdentifier", identifier),
        };
        xml::element("NextRecordName", &xml::text(*set, "Name"))
            + &xml::element("NextRecordType", &xml::text(*set, "Type"))
            + &identifier
    });
    let truncated = next.is_some();
    let body = format!(
        "<ListResourceRecordSetsResponse xmlns=\"{namespace}\"><ResourceRecordSets>{shown}</ResourceRecordSets>\
         <IsTruncated>{truncated}</IsTruncated>{}<MaxItems>{size}</MaxItems></ListResourceRecordSetsResponse>",
        next.unwrap_or_default()
    );
    list.body = body.into();
    list
}
