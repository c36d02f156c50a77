//! Record sets of Route 53.

use http::Method;

use crate::emulator::Cloud;
use crate::emulator::client::{Answer, Client};
use crate::emulator::fixtures::{change, zone};
use crate::emulator::service::Service;

async fn send(client: &Client, zone: &str, body: &str) -> Answer {
    client.rest(Service::Route53, Method::POST, &format!("/2013-04-01/hostedzone/{zone}/rrset/"), body).await
}

/// A change of one of several records of a name.
fn weighted(action: &str, identifier: &str, weight: u32) -> String {
    let policy = format!("<SetIdentifier>{identifier}</SetIdentifier><Weight>{weight}</Weight><TTL>");
    change(action, "api.example.org.", "192.0.2.1").replace("<TTL>", &policy)
}

#[tokio::test]
async fn changes_that_contradict_what_is_there_are_refused() {
    let Some(cloud) = Cloud::start() else { return };
    let client = cloud.proxy.client();
    let zone = zone(&client, "once").await;
    let error = async |body: String| send(&client, &zone, &body).await.error();
    let contradiction = Some("InvalidChangeBatch".to_owned());
    assert_eq!(error(weighted("CREATE", "blue", 1)).await, None);
    assert_eq!(error(weighted("CREATE", "blue", 1)).await, contradiction, "it is there");
    assert_eq!(error(weighted("DELETE", "green", 1)).await, contradiction, "it is not there");
    assert_eq!(error(weighted("DELETE", "blue", 2)).await, contradiction, "it is not that");
    assert_eq!(
        error(change("UPSERT", "api.example.org.", "192.0.2.2")).await,
        contradiction,
        "simple, weighted"
    );
    assert_eq!(error(weighted("UPSERT", "blue", 256)).await.as_deref(), Some("InvalidInput"));
    let nameless = weighted("UPSERT", "", 1).replace("<SetIdentifier></SetIdentifier>", "");
    assert_eq!(error(nameless).await.as_deref(), Some("InvalidInput"));
    assert_eq!(error(weighted("UPSERT", "blue", 2)).await, None);
    assert_eq!(error(weighted("DELETE", "blue", 2)).await, None);
}

#[tokio::test]
async fn a_page_of_records_may_end_between_records_of_one_name() {
    let Some(cloud) = Cloud::start() else { return };
    let client = cloud.proxy.client();
    cloud.proxy.set(|settings| settings.page = 2);
    let zone = zone(&client, "once").await;
    for identifier in ["a", "b", "c"] {
        send(&client, &zone, &weighted("UPSERT", identifier, 1)).await.ok();
    }
    let (mut seen, mut query) = (Vec::new(), String::new());
    loop {
        let page =
            client.get(Service::Route53, &format!("/2013-04-01/hostedzone/{zone}/rrset?{query}")).await.ok();
        seen.push(page.all("Type").len());
        if page.one("IsTruncated") == "false" {
            break;
        }
        let (name, kind) = (page.one("NextRecordName"), page.one("NextRecordType"));
        let identifier = page.all("NextRecordIdentifier").concat();
        query = format!("name={name}&type={kind}&identifier={identifier}");
    }
    // NS and SOA, then the three.
    assert_eq!(seen, [2, 2, 1]);
}
