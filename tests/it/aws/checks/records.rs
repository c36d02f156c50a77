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

#[tokio::test]
async fn records_of_other_names_stay_and_what_was_there_once_can_come_again() {
    let Some(cloud) = Cloud::start() else { return };
    let client = cloud.proxy.client();
    let zone = zone(&client, "once").await;
    let other = |body: String| body.replace("api.example.org.", "docs.example.org.");
    for action in ["CREATE", "DELETE", "CREATE"] {
        send(&client, &zone, &weighted(action, "blue", 1)).await.ok();
        if action == "CREATE" {
            send(&client, &zone, &other(weighted("UPSERT", "blue", 1))).await.ok();
        }
        let there = client.get(Service::Route53, &format!("/2013-04-01/hostedzone/{zone}/rrset")).await.ok();
        let names = there.all("Name");
        assert!(names.contains(&"docs.example.org.".to_owned()), "{names:?}");
        assert_eq!(names.contains(&"api.example.org.".to_owned()), action == "CREATE", "{names:?}");
    }
}

#[tokio::test]
async fn weighted_records_of_one_name_have_the_ttl_that_was_written_last() {
    let Some(cloud) = Cloud::start() else { return };
    let client = cloud.proxy.client();
    let zone = zone(&client, "once").await;
    let slow = |body: String| body.replace("<TTL>60</TTL>", "<TTL>300</TTL>");
    send(&client, &zone, &weighted("CREATE", "blue", 1)).await.ok();
    send(&client, &zone, &slow(weighted("CREATE", "green", 1))).await.ok();
    let refused = send(&client, &zone, &weighted("DELETE", "blue", 1)).await;
    assert_eq!(refused.error().as_deref(), Some("InvalidChangeBatch"));
    send(&client, &zone, &slow(weighted("DELETE", "blue", 1))).await.ok();
}

#[tokio::test]
async fn a_star_is_written_in_another_way_and_means_the_same() {
    let Some(cloud) = Cloud::start() else { return };
    let client = cloud.proxy.client();
    let zone = zone(&client, "once").await;
    send(&client, &zone, &change("CREATE", "*.example.org.", "192.0.2.1")).await.ok();
    let path = format!("/2013-04-01/hostedzone/{zone}/rrset?name=%5C052.example.org.&type=A");
    assert_eq!(client.get(Service::Route53, &path).await.ok().one("Name"), "\\052.example.org.");
    send(&client, &zone, &change("DELETE", "\\052.example.org.", "192.0.2.1")).await.ok();
    assert_eq!(client.get(Service::Route53, &path).await.ok().all("Name"), Vec::<String>::new());
}

#[tokio::test]
async fn a_cname_is_alone_and_protected_names_stay() {
    let Some(cloud) = Cloud::start() else { return };
    let client = cloud.proxy.client();
    let zone = zone(&client, "once").await;
    send(&client, &zone, &change("CREATE", "api.example.org.", "192.0.2.1")).await.ok();
    let cname = change("CREATE", "api.example.org.", "blue.example.net.").replace(">A<", ">CNAME<");
    let contradiction = Some("InvalidChangeBatch".to_owned());
    assert_eq!(send(&client, &zone, &cname).await.error(), contradiction);
    cloud.proxy.set(|settings| settings.protected = ["api.example.org".into()].into());
    let gone = change("DELETE", "api.example.org.", "192.0.2.1");
    assert_eq!(send(&client, &zone, &gone).await.error(), contradiction);
    cloud.proxy.set(|settings| settings.protected.clear());
    send(&client, &zone, &gone).await.ok();
    send(&client, &zone, &cname).await.ok();
}
