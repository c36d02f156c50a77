//! Names through resolvers.

use std::net::{IpAddr, SocketAddr};

use hickory_server::proto::op::ResponseCode;
use hickory_server::proto::rr::rdata::{A, AAAA, CNAME, NS};
use hickory_server::proto::rr::{Name, RData, Record, RecordType};

use super::super::NetworkProber;
use super::dns::{NameServer, Said};
use crate::migrate::ports::Prober as _;

const NAME: &str = "shop.example.org";

fn name(text: &str) -> Name {
    Name::from_ascii(text).unwrap()
}

fn record(owner: &str, data: RData) -> Record {
    Record::from_rdata(name(owner), 300, data)
}

fn address(owner: &str, address: &str) -> Record {
    let data = match address.parse().unwrap() {
        IpAddr::V4(address) => RData::A(A(address)),
        IpAddr::V6(address) => RData::AAAA(AAAA(address)),
    };
    record(owner, data)
}

fn alias(owner: &str, target: &str) -> Record {
    record(owner, RData::CNAME(CNAME(name(target))))
}

fn addresses(texts: &[&str]) -> Vec<IpAddr> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn through(resolvers: &[SocketAddr]) -> NetworkProber {
    NetworkProber::new(resolvers, None).unwrap()
}

async fn resolved(server: &NameServer, name: &str) -> Result<Vec<IpAddr>, String> {
    through(&[server.at]).resolve(name).await
}

/// One address of the old family.
fn only(kind: RecordType, owner: &str, text: &str) -> Said {
    Said::Records(if kind == RecordType::A { vec![address(owner, text)] } else { Vec::new() })
}

#[tokio::test]
async fn addresses_of_both_families_are_one_answer() {
    let server = NameServer::start(|owner, kind, _| {
        Said::Records(match kind {
            RecordType::A => vec![address(owner, "192.0.2.1"), address(owner, "192.0.2.2")],
            _ => vec![address(owner, "2001:db8::1")],
        })
    })
    .await;
    let found = resolved(&server, NAME).await.unwrap();
    assert_eq!(found, addresses(&["192.0.2.1", "192.0.2.2", "2001:db8::1"]));
    assert!(server.asked().iter().all(|(asked, _)| asked == "shop.example.org."), "{:?}", server.asked());
}

#[tokio::test]
async fn each_question_goes_out_and_has_an_answer_of_its_own() {
    // With a TTL of minutes, and another address each time.
    let server =
        NameServer::start(|owner, kind, before| only(kind, owner, &format!("192.0.2.{}", before + 1))).await;
    let prober = through(&[server.at]);
    for number in 1..=3 {
        assert_eq!(prober.resolve(NAME).await.unwrap(), addresses(&[&format!("192.0.2.{number}")]));
    }
    // Also those that are asked at the same time.
    let together = futures::future::join_all((0..5).map(|_| prober.resolve(NAME))).await;
    let mut last: Vec<String> = together.into_iter().map(|found| found.unwrap()[0].to_string()).collect();
    last.sort();
    assert_eq!(last, (4..=8).map(|number| format!("192.0.2.{number}")).collect::<Vec<_>>());
    assert_eq!(server.count(RecordType::A), 8);
}

#[tokio::test]
async fn names_that_lead_to_names_are_followed() {
    // In one answer, and by a question for each.
    for whole in [true, false] {
        let server = NameServer::start(move |owner, kind, _| {
            let chain =
                [alias("shop.example.org.", "lb.example.org."), alias("lb.example.org.", "x.example.net.")];
            let end = (kind == RecordType::A).then(|| address("x.example.net.", "192.0.2.7"));
            let from = match owner {
                "shop.example.org." => 0,
                "lb.example.org." => 1,
                _ => 2,
            };
            let all = chain.into_iter().skip(from).chain(end);
            Said::Records(if whole { all.collect() } else { all.take(1).collect() })
        })
        .await;
        assert_eq!(resolved(&server, NAME).await.unwrap(), addresses(&["192.0.2.7"]), "{whole}");
    }
}

#[tokio::test]
async fn one_family_is_enough() {
    let server = NameServer::start(|owner, kind, _| match kind {
        RecordType::A => Said::Code(ResponseCode::ServFail),
        _ => Said::Records(vec![address(owner, "2001:db8::1")]),
    })
    .await;
    assert_eq!(resolved(&server, NAME).await.unwrap(), addresses(&["2001:db8::1"]));
}

#[tokio::test]
async fn addresses_are_their_own_answer() {
    let prober = through(&[]);
    for (text, address) in
        [("192.0.2.1", "192.0.2.1"), ("2001:db8::1", "2001:db8::1"), ("[2001:db8::1]", "2001:db8::1")]
    {
        assert_eq!(prober.resolve(text).await.unwrap(), addresses(&[address]));
    }
}

#[tokio::test]
async fn a_name_without_an_answer_says_what_is_wrong_and_who_said_so() {
    let server = NameServer::start(|owner, _, _| match owner {
        "none.example.org." => Said::Code(ResponseCode::NXDomain),
        "empty.example.org." => Said::Records(Vec::new()),
        _ => Said::Code(ResponseCode::Refused),
    })
    .await;
    let at = server.at;
    for (asked, wanted) in [
        ("none.example.org", format!("there is no name none.example.org, by {at}")),
        ("empty.example.org", format!("empty.example.org has no A or AAAA record, by {at}")),
        ("other.example.org", format!("other.example.org cannot be resolved: {at} said query refused")),
    ] {
        assert_eq!(resolved(&server, asked).await, Err(wanted));
    }
    let error = resolved(&server, "no..name").await.unwrap_err();
    assert!(error.starts_with("\"no..name\" is no name: "), "{error}");
    let error = through(&[at]).name_servers("empty.example.org").await;
    assert_eq!(error, Err(format!("empty.example.org has no NS record, by {at}")));
}

#[tokio::test]
async fn another_resolver_is_asked_when_one_does_not_answer_or_does_not_know() {
    let dumb = NameServer::start(|_, _, _| Said::Nothing).await;
    let broken = NameServer::start(|_, _, _| Said::Code(ResponseCode::ServFail)).await;
    let good = NameServer::start(|owner, kind, _| only(kind, owner, "192.0.2.1")).await;
    let prober = through(&[dumb.at, broken.at, good.at]);
    assert_eq!(prober.resolve(NAME).await.unwrap(), addresses(&["192.0.2.1"]));
    assert!(dumb.count(RecordType::A) > 0 && broken.count(RecordType::A) > 0, "they are asked first");
    // That there is nothing is an answer.
    let none = NameServer::start(|_, _, _| Said::Code(ResponseCode::NXDomain)).await;
    assert!(through(&[none.at, good.at]).resolve(NAME).await.is_err());
}

#[tokio::test]
async fn resolvers_take_turns() {
    let [one, two] = [1, 2].map(|number| {
        NameServer::start(move |owner, kind, _| only(kind, owner, &format!("192.0.2.{number}")))
    });
    let (one, two) = (one.await, two.await);
    let prober = through(&[one.at, two.at]);
    for _ in 0..6 {
        prober.resolve(NAME).await.unwrap();
    }
    assert_eq!([one.count(RecordType::A), two.count(RecordType::A)], [3, 3]);
}

#[tokio::test]
async fn a_lost_datagram_is_asked_again_and_one_answer_too_long_for_a_datagram_comes_over_tcp() {
    let lossy = NameServer::start(|owner, kind, before| match (kind, before) {
        (RecordType::A, 0) => Said::Nothing,
        _ => only(kind, owner, "192.0.2.1"),
    })
    .await;
    assert_eq!(resolved(&lossy, NAME).await.unwrap(), addresses(&["192.0.2.1"]));
    let long = NameServer::start(|owner, kind, _| {
        let many = (0..200).map(|number| address(owner, &format!("192.0.2.{number}")));
        Said::Records(if kind == RecordType::A { many.collect() } else { Vec::new() })
    })
    .await;
    assert_eq!(resolved(&long, NAME).await.unwrap().len(), 200);
}

#[tokio::test]
async fn name_servers_of_a_zone_come_in_order_without_dots_at_their_ends() {
    let server = NameServer::start(|owner, kind, _| {
        let servers = ["NS-2.awsdns-00.org.", "ns-1.awsdns-00.com."];
        assert_eq!(kind, RecordType::NS);
        Said::Records(servers.map(|server| record(owner, RData::NS(NS(name(server))))).into())
    })
    .await;
    let found = through(&[server.at]).name_servers("example.org").await.unwrap();
    assert_eq!(found, ["ns-1.awsdns-00.com", "ns-2.awsdns-00.org"]);
}
