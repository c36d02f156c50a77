//! Questions at one address.

use std::net::SocketAddr;
use std::time::Duration;

use super::super::{NetworkProber, ProberError};
use super::certificates::{Authority, Flaw};
use super::servers::{Manner, Server, page};
use crate::inventory::{Probe, ProbeKind};
use crate::migrate::gates::Answer;
use crate::migrate::ports::Prober as _;

fn probe(kind: ProbeKind) -> Probe {
    Probe { name: "page".into(), port: 0, kind, timeout: 1 }
}

fn http(statuses: &[u16]) -> Probe {
    let (path, host) = ("/cart?item=1".into(), "shop.example.org".into());
    probe(ProbeKind::Http { path, host, server_name: None, statuses: statuses.into() })
}

fn https() -> Probe {
    let name: String = "shop.example.org".into();
    let kind = ProbeKind::Http {
        path: "/".into(),
        host: name.clone(),
        server_name: Some(name),
        statuses: Vec::new(),
    };
    probe(kind)
}

fn tls() -> Probe {
    probe(ProbeKind::Tls { server_name: "shop.example.org".into() })
}

fn tcp() -> Probe {
    probe(ProbeKind::Tcp)
}

fn prober() -> NetworkProber {
    NetworkProber::new(&[], None).unwrap()
}

fn trusting(authority: &Authority) -> NetworkProber {
    NetworkProber::new(&[], Some(&authority.pem())).unwrap()
}

async fn asked(probe: &Probe, at: SocketAddr) -> Answer {
    prober().ask(probe, at).await
}

/// What was wrong.
async fn error(probe: &Probe, manner: Manner) -> String {
    let server = Server::plain(manner).await;
    asked(probe, server.at).await.error.unwrap_or_else(|| "nothing".to_owned())
}

#[tokio::test]
async fn a_page_is_asked_for_as_the_probe_says_and_its_connection_is_not_kept() {
    let server = Server::plain(Manner::Says(page("200 OK"))).await;
    for _ in 0..2 {
        let answer = asked(&http(&[]), server.at).await;
        assert_eq!((answer.error, answer.probe.as_str(), answer.side), (None, "page", None));
        assert!(answer.took > Duration::ZERO);
    }
    let heard = server.heard();
    assert_eq!(heard.len(), 2, "each question has a connection of its own");
    let request = &heard[0].request;
    assert!(request.starts_with("GET /cart?item=1 HTTP/1.1\r\n"), "{request}");
    assert!(request.contains("\r\nhost: shop.example.org\r\n"), "{request}");
    assert!(request.contains("\r\nconnection: close\r\n"), "{request}");
}

#[tokio::test]
async fn only_the_statuses_that_are_wanted_are_fine() {
    for (status, wanted, error) in [
        ("200 OK", &[][..], None),
        ("301 Moved Permanently", &[], None),
        ("404 Not Found", &[], Some("status 404, wanted 200 to 399")),
        ("503 Service Unavailable", &[], Some("status 503, wanted 200 to 399")),
        ("401 Unauthorized", &[401], None),
        ("200 OK", &[401, 403], Some("status 200, wanted 401 or 403")),
    ] {
        let server = Server::plain(Manner::Says(page(status))).await;
        assert_eq!(asked(&http(wanted), server.at).await.error.as_deref(), error, "{status}");
    }
}

#[tokio::test]
async fn time_runs_out_for_the_whole_question_and_the_answer_says_in_which_stage() {
    let half = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello".to_owned();
    for (probe, manner, error_wanted) in [
        (http(&[]), Manner::Hangs, "no answer within 1 s: it connected and asked, and nothing came back"),
        (tls(), Manner::Hangs, "no answer within 1 s: it connected, and the TLS handshake did not end"),
        (https(), Manner::Hangs, "no answer within 1 s: it connected, and the TLS handshake did not end"),
        (http(&[]), Manner::SaysAndHangs(half), "no answer within 1 s: the answer began and did not end"),
        (
            http(&[]),
            Manner::SaysAfter(Duration::from_secs(3), page("200 OK")),
            "no answer within 1 s: it connected and asked, and nothing came back",
        ),
    ] {
        let server = Server::plain(manner).await;
        let answer = asked(&probe, server.at).await;
        assert_eq!(answer.error.as_deref(), Some(error_wanted));
        let took = answer.took.as_secs_f64();
        assert!((0.9..2.9).contains(&took), "it took {took} s");
    }
}

#[tokio::test]
async fn a_slow_answer_in_time_is_fine_and_its_time_is_told() {
    let server = Server::plain(Manner::SaysAfter(Duration::from_millis(300), page("200 OK"))).await;
    let answer = asked(&http(&[]), server.at).await;
    assert_eq!(answer.error, None);
    assert!(answer.took >= Duration::from_millis(300), "{:?}", answer.took);
}

#[tokio::test]
async fn where_nobody_listens_the_connection_is_refused() {
    let at = Server::plain(Manner::Hangs).await.stop().await;
    for probe in [tcp(), http(&[]), tls()] {
        assert_eq!(asked(&probe, at).await.error.as_deref(), Some("connection refused"));
    }
}

#[tokio::test]
async fn a_connection_that_breaks_says_when() {
    let broken = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello".to_owned();
    for (probe, manner, wanted) in [
        (http(&[]), Manner::Closes, "the connection was closed before an answer"),
        (http(&[]), Manner::Resets, "the connection was reset before an answer"),
        (tls(), Manner::Closes, "the connection was closed during the TLS handshake"),
        (tls(), Manner::Resets, "the connection was reset during the TLS handshake"),
        (http(&[]), Manner::Says(broken), "the connection was closed in the middle of the answer"),
        (tls(), Manner::Says(page("400 Bad Request")), "no TLS is spoken there"),
    ] {
        assert_eq!(error(&probe, manner.clone()).await, wanted, "{manner:?}");
    }
    let said = error(&http(&[]), Manner::Says("SSH-2.0-OpenSSH_9.2\r\n\r\n".into())).await;
    assert!(said.starts_with("the answer is not HTTP/1.1: "), "{said}");
}

#[tokio::test]
async fn a_connection_is_enough_for_tcp_and_a_page_without_an_end_is_enough_when_it_is_long() {
    let server = Server::plain(Manner::Hangs).await;
    assert_eq!(asked(&tcp(), server.at).await.error, None);
    let endless = format!("HTTP/1.1 200 OK\r\nContent-Length: 999999999\r\n\r\n{}", "x".repeat(300 * 1024));
    let server = Server::plain(Manner::SaysAndHangs(endless)).await;
    assert_eq!(asked(&http(&[]), server.at).await.error, None);
}

#[tokio::test]
async fn ipv6_is_asked_like_ipv4() {
    let server = Server::v6(Manner::Says(page("200 OK"))).await;
    assert!(server.at.is_ipv6());
    assert_eq!(asked(&http(&[]), server.at).await.error, None);
}

#[tokio::test]
async fn the_server_name_is_sent_and_a_good_certificate_for_it_is_believed_each_time_anew() {
    let authority = Authority::new("ours");
    let config = authority.server(&["shop.example.org"], Flaw::None);
    let server = Server::tls(Manner::Says(page("200 OK")), config).await;
    let prober = trusting(&authority);
    for _ in 0..3 {
        assert_eq!(prober.ask(&https(), server.at).await.error, None);
    }
    assert_eq!(prober.ask(&tls(), server.at).await.error, None);
    for heard in server.heard() {
        assert_eq!(heard.server_name.as_deref(), Some("shop.example.org"));
        assert!(heard.is_whole, "a session that is resumed shows no certificate");
    }
}

#[tokio::test]
async fn a_wildcard_covers_the_name() {
    let authority = Authority::new("ours");
    let server =
        Server::tls(Manner::Says(page("200 OK")), authority.server(&["*.example.org"], Flaw::None)).await;
    assert_eq!(trusting(&authority).ask(&https(), server.at).await.error, None);
}

#[tokio::test]
async fn certificates_that_are_not_good_say_why() {
    let (authority, other) = (Authority::new("ours"), Authority::new("theirs"));
    let namesake = Authority::new("ours");
    let names = ["a.example.org", "b.example.org"];
    for (config, wanted) in [
        (
            authority.server(&names, Flaw::None),
            "certificate is for a.example.org, b.example.org, not shop.example.org",
        ),
        (
            authority.server(&["shop.example.org"], Flaw::Expired),
            "certificate expired on 2024-03-09 00:00 UTC",
        ),
        (
            authority.server(&["shop.example.org"], Flaw::NotYet),
            "certificate is not valid before 2999-01-01 00:00 UTC",
        ),
        (
            other.server(&["shop.example.org"], Flaw::None),
            "certificate is signed by nobody that this machine trusts",
        ),
        (
            namesake.server(&["shop.example.org"], Flaw::None),
            "certificate has a signature that is not its issuer's",
        ),
    ] {
        let server = Server::tls(Manner::Says(page("200 OK")), config).await;
        for probe in [tls(), https()] {
            let error = trusting(&authority).ask(&probe, server.at).await.error.unwrap();
            // Without the hint of a machine that trusts nobody else.
            assert!(error.starts_with(wanted), "{error}");
        }
        assert!(server.heard().is_empty(), "nothing is asked of a server that is not believed");
    }
}

#[tokio::test]
async fn what_cannot_be_asked_is_said_before_anybody_is_asked() {
    let server = Server::plain(Manner::Says(page("200 OK"))).await;
    let page = |path: &str, host: &str, name: Option<&str>| {
        let (path, host) = (path.to_owned(), host.to_owned());
        let server_name = name.map(str::to_owned);
        probe(ProbeKind::Http { path, host, server_name, statuses: Vec::new() })
    };
    for (probe, wanted) in [
        (page("cart", "shop", None), "this cannot be asked: path \"cart\" does not begin with /"),
        (page("/a b", "shop", None), "this cannot be asked: path \"/a b\": "),
        (page("/", "sh\nop", None), "this cannot be asked: host \"sh\\nop\": "),
        (page("/", "shop", Some("no name")), "this cannot be asked: server name \"no name\": "),
        (probe(ProbeKind::Tls { server_name: String::new() }), "this cannot be asked: server name \"\": "),
    ] {
        let error = asked(&probe, server.at).await.error.unwrap();
        assert!(error.starts_with(wanted), "{error}");
    }
    assert!(server.heard().is_empty());
}

#[test]
fn authorities_that_are_none_make_no_prober() {
    let error = |pem: &str| NetworkProber::new(&[], Some(pem.as_bytes())).err().unwrap();
    assert!(matches!(error("nothing"), ProberError::NoAuthorities));
    let cut = "-----BEGIN CERTIFICATE-----\nAAAA\n";
    assert!(matches!(error(cut), ProberError::Pem(_)), "{:?}", error(cut));
    let not_one = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    assert!(matches!(error(not_one), ProberError::Authority(_)));
}
