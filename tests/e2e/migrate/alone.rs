//! The stage without machines: the name server, the balancers and the clients on the loopback, and a test in place of the
//! program.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use keelwright::migrate::ports::Prober as _;
use keelwright::migrate::probe::NetworkProber;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::account::{Account, NAME, Style, Targets, ZONE};
use super::balancer::{self, Haproxy};
use super::clients::{Clients, Setup};
use super::follower::{Counted, Follower};
use super::hand::{only_green, take_over, weigh};
use super::record::{Told, follow_the_weights, none_has_failed, phases};
use super::{Side, until};
use crate::emulator::Cloud;
use crate::emulator::dns::Authority;
use crate::emulator::proxy::Delays;

const SOON: Duration = Duration::from_secs(60);

/// Of each cluster.
const PAGES: [u8; 2] = [1, 2];

fn page(side: Side, number: u8) -> String {
    format!("{side}-{number}")
}

/// A cluster's page, at two places.
struct Pages {
    places: Vec<SocketAddrV4>,
    _tasks: JoinSet<()>,
}

impl Pages {
    /// Each at an address of its own: moto knows targets by their addresses alone.
    async fn of(side: Side) -> Pages {
        let (mut places, mut tasks) = (Vec::new(), JoinSet::new());
        for number in PAGES {
            let address = Ipv4Addr::new(127, 2, side as u8, number);
            let listener = TcpListener::bind((address, 0)).await.unwrap();
            places.push(SocketAddrV4::new(address, listener.local_addr().unwrap().port()));
            let page = page(side, number);
            tasks.spawn(async move {
                let mut open = JoinSet::new();
                loop {
                    let (stream, _) = listener.accept().await.unwrap();
                    open.spawn(serve(stream, page.clone()));
                    // Those that have ended are forgotten.
                    while open.try_join_next().is_some() {}
                }
            });
        }
        Pages { places, _tasks: tasks }
    }
}

async fn serve(mut stream: TcpStream, page: String) {
    let mut bytes = [0; 1024];
    while let Ok(count @ 1..) = stream.read(&mut bytes).await {
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{page}", page.len());
        let _ = stream.write_all(answer.as_bytes()).await;
        if String::from_utf8_lossy(&bytes[..count]).contains("Connection: close") {
            return;
        }
    }
}

/// A connection that is used again.
async fn asked_again(stream: &mut TcpStream) -> String {
    stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let mut bytes = [0; 1024];
    let count = stream.read(&mut bytes).await.unwrap();
    let text = String::from_utf8_lossy(&bytes[..count]).into_owned();
    text.rsplit("\r\n").next().unwrap().to_owned()
}

struct Alone {
    follower: Follower,
    flows: Arc<Counted>,
    dns: Authority,
    account: Account,
    cloud: Arc<Cloud>,
    at: BTreeMap<Side, SocketAddr>,
    directory: PathBuf,
    pages: BTreeMap<Side, Pages>,
}

impl Drop for Alone {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

async fn alone(style: Style, alias_ttl: u32) -> Option<Alone> {
    if let Some(reason) = balancer::skip_reason() {
        eprintln!("skipped: {reason}");
        return None;
    }
    let cloud = Arc::new(Cloud::start()?);
    cloud.proxy.set(|settings| settings.delays = Delays { target: 2, draining: 3, ..Delays::none() });
    let mut pages = BTreeMap::new();
    for side in Side::BOTH {
        pages.insert(side, Pages::of(side).await);
    }
    let at = addresses();
    let port = at[&Side::Blue].port();
    let behind = pages.iter().map(|(side, of)| (*side, Targets::Addresses(of.places.clone())));
    let account = Account::open(&cloud.moto, port, style, behind.collect()).await;
    let names = at.iter().map(|(side, at)| match at.ip() {
        IpAddr::V4(address) => (account.sides[side].dns_name.clone(), address),
        IpAddr::V6(_) => unreachable!("the loopback of the old family"),
    });
    let dns = Authority::start(&cloud.moto, &account.zone, ZONE, names.collect(), alias_ttl).await;
    let directory = std::env::temp_dir().join(format!("keelwright-e2e-{}", uuid::Uuid::new_v4()));
    let mut proxies = BTreeMap::new();
    for (side, at) in &at {
        proxies.insert(*side, Haproxy::start(*at, &directory.join(side.as_str())).await);
    }
    let flows = Counted::into(&cloud);
    let told = Arc::clone(&flows);
    let follower = Follower::start(&cloud.proxy.client(), &account, proxies, told).await;
    Some(Alone { follower, flows, dns, account, cloud, at, directory, pages })
}

/// Two addresses with one port that is free at both.
fn addresses() -> BTreeMap<Side, SocketAddr> {
    let [blue, green] = [1, 2].map(|last| Ipv4Addr::new(127, 1, 0, last));
    loop {
        let first = std::net::TcpListener::bind((blue, 0)).unwrap();
        let port = first.local_addr().unwrap().port();
        if std::net::TcpListener::bind((green, port)).is_ok() {
            return [(Side::Blue, (blue, port).into()), (Side::Green, (green, port).into())].into();
        }
    }
}

impl Alone {
    fn clients(&self) -> Clients {
        Clients::start(&Setup {
            name_server: self.dns.at,
            name: NAME.to_owned(),
            port: self.at[&Side::Blue].port(),
            balancers: self.at.iter().map(|(side, at)| (at.ip(), *side)).collect(),
            pages: Side::BOTH
                .into_iter()
                .flat_map(|side| PAGES.map(|number| (page(side, number), side)))
                .collect(),
            number: 60,
            stale: 20,
            // Longer than the take-over of a balancer lasts.
            hold: Duration::from_secs(15)..Duration::from_secs(20),
            pause: Duration::from_millis(250),
        })
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_notice_nothing_while_weights_move_and_a_balancer_is_taken_over() {
    let Some(alone) = alone(Style::Cname { ttl: 1 }, 60).await else { return };
    let clients = alone.clients();
    let by_blue = |call: &&super::clients::Call| call.asked == Some(Side::Blue);
    let mut events = Vec::new();
    for green in [0, 25, 50, 100] {
        weigh(&alone.cloud, &alone.account, green).await;
        if green == 100 {
            break;
        }
        let answers = || clients.log().draws.values().map(Vec::len).sum::<usize>();
        let wanted = answers() + 250;
        until("clients do not resolve the name", SOON, async || (answers() >= wanted).then_some(())).await;
    }
    // Somebody who has been there for long stays.
    let mut kept = TcpStream::connect(alone.at[&Side::Blue]).await.unwrap();
    assert!(asked_again(&mut kept).await.starts_with("blue-"));
    let blue = &alone.account.sides[&Side::Blue];
    events.push((Instant::now(), "green behind blue's balancer".to_owned()));
    take_over(&alone.cloud, &alone.account).await;
    until("somebody is still answered by blue", SOON, async || {
        let last = clients.since(Duration::from_secs(2));
        let by_green = last.iter().all(|call| call.answered == Some(Side::Green));
        (last.len() > 100 && by_green).then_some(())
    })
    .await;
    events.push((Instant::now(), "blue answers nobody".to_owned()));
    assert!(
        asked_again(&mut kept).await.starts_with("blue-"),
        "a target that is taken out keeps its connections"
    );
    let mut open = 0;
    for place in &alone.pages[&Side::Blue].places {
        open += alone.follower.open(Side::Blue, *place).await;
    }
    assert_eq!(open, 1);
    drop(kept);
    until("somebody still comes to blue's balancer", SOON, async || {
        let last = clients.since(Duration::from_secs(2));
        let to_green = last.iter().all(|call| call.asked == Some(Side::Green));
        (last.len() > 100 && to_green).then_some(())
    })
    .await;
    let came = clients.log().calls.iter().filter(by_blue).count() as u64;
    // With the one that was kept.
    until("not every connection is counted", SOON, async || {
        (alone.flows.of(&blue.arn) == came + 1).then_some(())
    })
    .await;
    only_green(&alone.cloud, &alone.account).await;
    alone.follower.remove(Side::Blue).await;
    events.push((Instant::now(), "blue is gone".to_owned()));
    let wanted = clients.log().calls.len() + 500;
    until("clients are gone", SOON, async || (clients.log().calls.len() >= wanted).then_some(())).await;
    events.extend(alone.follower.seen());

    let (began, history, ended) = (clients.began, alone.dns.history(), Instant::now());
    let log = clients.stop().await;
    none_has_failed(&log);
    assert_eq!(alone.dns.empty(), Vec::<String>::new());
    let phases = phases(&history, &alone.account, ended);
    follow_the_weights(&log, &phases);
    let taken_over = log.calls.iter().filter(by_blue).filter(|call| call.answered == Some(Side::Green));
    assert!(taken_over.count() > 20, "those who go on with old answers came to green by blue's balancer");
    let title = "Loopback";
    let report = Told { title, began, log: &log, phases: &phases, events: &events }.report();
    let totals = report.totals();
    let asked: u32 = totals.values().map(|seen| seen.total().asked).sum();
    assert_eq!(asked as usize, log.calls.len());
    assert_eq!(totals.keys().copied().collect::<Vec<_>>(), ["clients", "clients that ignore TTLs"]);
    let svg = keelwright::migrate::report::draw(&report);
    roxmltree::Document::parse(&svg).unwrap();
    if let Some(directory) = std::env::var_os("KEELWRIGHT_TIMELINES") {
        std::fs::write(PathBuf::from(directory).join("migration-alone.svg"), svg).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_name_server_says_what_route_53_has() {
    let Some(alone) = alone(Style::Alias, 1).await else { return };
    let prober = NetworkProber::new(&[alone.dns.at], None).unwrap();
    let address = |side: Side| vec![alone.at[&side].ip()];
    assert_eq!(prober.resolve(NAME).await.unwrap(), address(Side::Blue));
    for of in Side::BOTH {
        let own = &alone.account.sides[&of].dns_name;
        assert_eq!(prober.resolve(own).await.unwrap(), address(of), "{own}");
    }
    let servers = prober.name_servers(ZONE).await.unwrap();
    assert_eq!(servers.len(), 4, "{servers:?}");
    assert!(prober.resolve("none.example.org").await.unwrap_err().starts_with("there is no name "));
    only_green(&alone.cloud, &alone.account).await;
    until("the change is not seen", SOON, async || {
        (prober.resolve(NAME).await.unwrap() == address(Side::Green)).then_some(())
    })
    .await;
    // Each question has an answer of its own.
    weigh(&alone.cloud, &alone.account, 50).await;
    until("only one of two is answered", SOON, async || {
        let answers = futures::future::join_all((0..50).map(|_| prober.resolve(NAME))).await;
        let green = answers.iter().filter(|answer| **answer == Ok(address(Side::Green))).count();
        (1..50).contains(&green).then_some(())
    })
    .await;
    assert_eq!(alone.dns.empty(), ["none.example.org."]);
}
