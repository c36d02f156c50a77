//! Clients of a service that must not notice its migration: each resolves the name, remembers the answer for as long as it
//! may (or, some of them, for much longer), connects anew for every request, and never tries one again.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::RecordType;
use serde::Serialize;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::Side;

/// For a whole request.
const PATIENCE: Duration = Duration::from_secs(5);

/// Who asks whom, and how.
#[derive(Debug, Clone)]
pub struct Setup {
    pub name_server: SocketAddr,
    pub name: String,
    pub port: u16,
    /// The side of a balancer, by its address.
    pub balancers: BTreeMap<IpAddr, Side>,
    /// Whose page is which.
    pub pages: BTreeMap<String, Side>,
    pub number: usize,
    /// The first so many go on with an answer for as long as this, whatever its TTL.
    pub stale: usize,
    pub hold: Range<Duration>,
    /// Between two requests of one client, and up to a fifth more or less.
    pub pause: Duration,
}

/// A request.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Call {
    /// Seconds since the clients began, when it did.
    pub at: f64,
    /// Seconds.
    pub took: f64,
    pub client: usize,
    pub stale: bool,
    /// The number of the client's answer that it was made with.
    pub draw: usize,
    /// Whose balancer it went to.
    pub asked: Option<Side>,
    /// Which cluster answered.
    pub answered: Option<Side>,
    pub error: Option<String>,
}

/// An answer of the name server.
#[derive(Debug, Clone, Copy)]
pub struct Draw {
    pub asked: Instant,
    pub answered: Instant,
}

/// What all clients have seen.
#[derive(Debug, Clone, Default)]
pub struct Log {
    pub calls: Vec<Call>,
    /// By client, in order.
    pub draws: BTreeMap<usize, Vec<Draw>>,
}

/// Clients at work.
pub struct Clients {
    pub began: Instant,
    log: Arc<Mutex<Log>>,
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

impl Clients {
    pub fn start(setup: &Setup) -> Clients {
        let (began, log) = (Instant::now(), Arc::new(Mutex::new(Log::default())));
        let (stop, stopped) = watch::channel(false);
        let mut tasks = JoinSet::new();
        for number in 0..setup.number {
            let client = Client {
                number,
                setup: setup.clone(),
                began,
                log: Arc::clone(&log),
                resolver: resolver(setup.name_server),
                known: None,
            };
            tasks.spawn(client.work(stopped.clone()));
        }
        Clients { began, log, stop, tasks }
    }

    pub fn log(&self) -> Log {
        self.log.lock().unwrap().clone()
    }

    /// Calls that began so long ago or later.
    pub fn since(&self, ago: Duration) -> Vec<Call> {
        let from = (self.began.elapsed().saturating_sub(ago)).as_secs_f64();
        let log = self.log.lock().unwrap();
        // The newest are at the end, but for a few that took longer.
        let calls = log.calls.iter().rev().take_while(|call| call.at + PATIENCE.as_secs_f64() >= from);
        let mut calls: Vec<Call> = calls.filter(|call| call.at >= from).cloned().collect();
        calls.reverse();
        calls
    }

    /// Requests that are under way are the last.
    pub async fn stop(mut self) -> Log {
        self.stop.send(true).unwrap();
        while let Some(ended) = self.tasks.join_next().await {
            ended.unwrap();
        }
        Arc::into_inner(self.log).unwrap().into_inner().unwrap()
    }
}

/// One for each client, since those who share one are given the same answer. It remembers nothing: the client does.
fn resolver(name_server: SocketAddr) -> TokioResolver {
    let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
        connection.port = name_server.port();
        connection
    });
    let server = NameServerConfig::new(name_server.ip(), true, connections.into());
    let config = ResolverConfig::from_name_servers(vec![server]);
    let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
    let options = builder.options_mut();
    (options.cache_size, options.attempts, options.timeout) = (0, 0, PATIENCE);
    options.use_hosts_file = ResolveHosts::Never;
    builder.build().unwrap()
}

struct Client {
    number: usize,
    setup: Setup,
    began: Instant,
    log: Arc<Mutex<Log>>,
    resolver: TokioResolver,
    /// Where the name leads, for how long, and the number of that answer.
    known: Option<(IpAddr, Instant, usize)>,
}

impl Client {
    async fn work(mut self, mut stopped: watch::Receiver<bool>) {
        // Not all at once.
        let mut pause = self.setup.pause.mul_f64(rand::random_range(0.0..1.0));
        while !ends_within(&mut stopped, pause).await {
            let call = self.call().await;
            self.log.lock().unwrap().calls.push(call);
            pause = self.setup.pause.mul_f64(rand::random_range(0.8..1.2));
        }
    }

    async fn call(&mut self) -> Call {
        let begin = Instant::now();
        let stale = self.number < self.setup.stale;
        let mut call = Call {
            at: begin.duration_since(self.began).as_secs_f64(),
            took: 0.0,
            client: self.number,
            stale,
            draw: 0,
            asked: None,
            answered: None,
            error: None,
        };
        match self.address(stale).await {
            Ok((address, draw)) => {
                (call.draw, call.asked) = (draw, self.setup.balancers.get(&address).copied());
                let host = &self.setup.name;
                let asked = tokio::time::timeout(PATIENCE, ask((address, self.setup.port).into(), host));
                match asked.await.unwrap_or_else(|_| Err("no answer in time".to_owned())) {
                    Ok(page) => match self.setup.pages.get(page.trim()) {
                        Some(side) => call.answered = Some(*side),
                        None => call.error = Some(format!("{address}: whose page is this: {page:?}")),
                    },
                    Err(error) => call.error = Some(format!("{address}: {error}")),
                }
            }
            Err(error) => call.error = Some(error),
        }
        call.took = begin.elapsed().as_secs_f64();
        call
    }

    async fn address(&mut self, stale: bool) -> Result<(IpAddr, usize), String> {
        if let Some((address, _, draw)) = self.known.filter(|(_, until, _)| Instant::now() < *until) {
            return Ok((address, draw));
        }
        let asked = Instant::now();
        let name = format!("{}.", self.setup.name);
        let found = self.resolver.lookup(name, RecordType::A).await.map_err(|error| error.to_string())?;
        let answered = Instant::now();
        let addresses: Vec<IpAddr> =
            found.answers().iter().filter_map(|record| record.data.ip_addr()).collect();
        let [address] = addresses[..] else {
            return Err(format!("{} leads to {addresses:?}", self.setup.name));
        };
        if !self.setup.balancers.contains_key(&address) {
            return Err(format!("{address} is nobody's balancer"));
        }
        let ttl = found.answers().iter().map(|record| record.ttl).min().unwrap_or(0);
        let hold = match stale {
            true => rand::random_range(self.setup.hold.clone()),
            false => Duration::from_secs(ttl.into()),
        };
        let mut log = self.log.lock().unwrap();
        let draws = log.draws.entry(self.number).or_default();
        draws.push(Draw { asked, answered });
        // A resolver counts from when it has the answer.
        self.known = Some((address, answered + hold, draws.len() - 1));
        Ok((address, draws.len() - 1))
    }
}

/// Whether the end comes before the pause is over.
async fn ends_within(stopped: &mut watch::Receiver<bool>, pause: Duration) -> bool {
    tokio::time::timeout(pause, stopped.wait_for(|stop| *stop)).await.is_ok()
}

/// The page that is there.
async fn ask(at: SocketAddr, host: &str) -> Result<String, String> {
    let mut stream = TcpStream::connect(at).await.map_err(|error| format!("connect: {error}"))?;
    let request = format!("GET /hostname HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.map_err(|error| format!("write: {error}"))?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.map_err(|error| format!("read: {error}"))?;
    let Some((head, body)) = answer.split_once("\r\n\r\n") else {
        return Err(format!("cut off: {answer:?}"));
    };
    if !head.starts_with("HTTP/1.1 200 ") {
        return Err(head.lines().next().unwrap_or_default().to_owned());
    }
    Ok(body.to_owned())
}
