//! Record sets of Route 53: changes that contradict what is there are refused, and lists come in pages that may
//! end between records of one name. `zone` has what a change makes of them.

use std::collections::BTreeSet;

use super::super::client::{Answer, Client};
use super::super::service::Service;
use super::super::xml;
use super::call::Call;
use super::reply;
use super::zone::{self, Key, Zone};

/// What is answered without moto; otherwise the call, if it is a change, has become one that moto understands.
pub async fn answer(
    call: &mut Call,
    moto: &Client,
    longest: usize,
    protected: &BTreeSet<String>,
) -> Option<Answer> {
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
    let before = Zone::read(list.text());
    let batch = zone::changes(call.param("Body"));
    match before.after(&batch, protected) {
        Ok(after) => {
            call.set_body(before.changes_to(&after, &batch, &call.service.namespace()));
            None
        }
        Err((code, message)) => Some(reply::refusal(call, 400, code, &format!("[{message}]"))),
    }
}

async fn all(call: &Call, moto: &Client) -> Answer {
    let path = format!("/2013-04-01/hostedzone/{}/rrset?maxitems=100000", call.param("Id"));
    moto.get(Service::Route53, &path).await
}

/// The page that begins where the call says.
fn page(call: &Call, mut list: Answer, longest: usize) -> Answer {
    let zone = Zone::read(list.text());
    let name = call.param("name");
    let from = Key::new(name, call.param("type"), call.param("identifier"));
    let (size, namespace) =
        (call.param("maxitems").parse().unwrap_or(longest).min(longest), call.service.namespace());
    let rest: Vec<_> = zone.records().filter(|record| name.is_empty() || record.key >= from).collect();
    let shown: String = rest.iter().take(size).map(|record| record.shown()).collect();
    let next = rest.get(size).map(|record| {
        let identifier = match record.key.identifier.as_str() {
            "" => String::new(),
            identifier => xml::element("NextRecordIdentifier", identifier),
        };
        xml::element("NextRecordName", &zone::shown_name(&record.name))
            + &xml::element("NextRecordType", &record.key.kind)
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
