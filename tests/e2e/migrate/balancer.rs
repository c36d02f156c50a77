//! haproxy in place of a network load balancer: connections are passed on as they are, to targets that come and go while
//! it runs. A target that is taken out keeps the connections that it has.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::net::{SocketAddr, SocketAddrV4};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

/// Places for targets; one that comes takes a free one.
const PLACES: usize = 16;
const DEADLINE: Duration = Duration::from_secs(10);

/// haproxy ends with its standard input's, and so with this process, however that ends.
const KEEPER: &str = "haproxy -db -f \"$1\" & cat >/dev/null; kill $!; wait";

/// What a target gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Takes {
    New,
    /// It keeps what it has.
    NoMore,
}

pub struct Haproxy {
    keeper: Child,
    directory: PathBuf,
    places: BTreeMap<SocketAddrV4, usize>,
}

/// A line of its statistics.
#[derive(Debug, Clone)]
struct Line {
    name: String,
    status: String,
    address: String,
    now: u64,
    ever: u64,
}

/// Why there is no haproxy, if there is none.
pub fn skip_reason() -> Option<String> {
    let found = haproxy().arg("-v").stdout(Stdio::null()).stderr(Stdio::null()).status();
    match found {
        Ok(status) if status.success() => None,
        _ => Some("haproxy is missing (apt-get install haproxy)".to_owned()),
    }
}

/// Debian has it where only root looks.
fn path() -> String {
    format!("{}:/usr/sbin", std::env::var("PATH").unwrap_or_default())
}

fn haproxy() -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", "exec haproxy \"$@\"", "sh"]).env("PATH", path());
    command
}

impl Haproxy {
    /// Listens without a target behind it; `directory` is its own.
    pub async fn start(at: SocketAddr, directory: &Path) -> Haproxy {
        fs::create_dir_all(directory).unwrap();
        let (socket, configuration) = (directory.join("socket"), directory.join("haproxy.cfg"));
        let _ = fs::remove_file(&socket);
        // A connection that a target does not accept fails, as it does with a balancer that only passes packets on.
        let text = format!(
            "global
  stats socket {socket} mode 600 level admin
  maxconn 4096
defaults
  mode tcp
  timeout connect 5s
  timeout client 350s
  timeout server 350s
  retries 0
frontend flows
  bind {at}
  default_backend targets
backend targets
  balance roundrobin
  server-template place {PLACES} 127.0.0.1:1 disabled
",
            socket = socket.display(),
        );
        fs::write(&configuration, text).unwrap();
        let log = File::create(directory.join("log")).unwrap();
        let mut keeper = Command::new("sh");
        keeper.args(["-c", KEEPER, "sh"]).arg(&configuration).env("PATH", path());
        keeper.stdin(Stdio::piped()).stdout(log.try_clone().unwrap()).stderr(log);
        let keeper = keeper.spawn().unwrap();
        let proxy = Haproxy { keeper, directory: directory.to_owned(), places: BTreeMap::new() };
        let began = Instant::now();
        while UnixStream::connect(proxy.directory.join("socket")).await.is_err() {
            assert!(began.elapsed() < DEADLINE, "haproxy does not come up: {}", proxy.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        proxy
    }

    fn log(&self) -> String {
        fs::read_to_string(self.directory.join("log")).unwrap_or_default()
    }

    async fn tell(&self, commands: &str) -> String {
        let mut stream = UnixStream::connect(self.directory.join("socket")).await.unwrap();
        stream.write_all(format!("{commands}\n").as_bytes()).await.unwrap();
        let mut said = String::new();
        stream.read_to_string(&mut said).await.unwrap();
        said
    }

    async fn lines(&self) -> Vec<Line> {
        let text = self.tell("show stat").await;
        let mut rows = text.trim_start_matches("# ").lines().filter(|line| !line.is_empty());
        let names: Vec<&str> = rows.next().unwrap().split(',').collect();
        let at = |name: &str| names.iter().position(|other| *other == name).unwrap();
        let [name, status, address, now, ever] = ["svname", "status", "addr", "scur", "stot"].map(at);
        let line = |row: &str| {
            let fields: Vec<&str> = row.split(',').collect();
            Line {
                name: fields[name].to_owned(),
                status: fields[status].to_owned(),
                address: fields[address].to_owned(),
                now: fields[now].parse().unwrap_or(0),
                ever: fields[ever].parse().unwrap_or(0),
            }
        };
        rows.map(line).collect()
    }

    /// Makes these its targets. Who comes is there before anybody goes.
    pub async fn follow(&mut self, wanted: &BTreeMap<SocketAddrV4, Takes>) {
        let mut commands = Vec::new();
        for (target, takes) in wanted {
            let place = self.place(*target);
            let state = match takes {
                Takes::New => "ready",
                Takes::NoMore => "drain",
            };
            let (address, port) = (target.ip(), target.port());
            // Those that come are first in what follows.
            let at = if *takes == Takes::New { 0 } else { commands.len() };
            commands.insert(
                at,
                format!(
                    "set server targets/place{place} addr {address} port {port}; set server targets/place{place} state {state}"
                ),
            );
        }
        let gone: Vec<SocketAddrV4> =
            self.places.keys().filter(|target| !wanted.contains_key(target)).copied().collect();
        for target in gone {
            let place = self.places.remove(&target).unwrap();
            commands.push(format!("set server targets/place{place} state maint"));
        }
        self.tell(&commands.join("; ")).await;
        self.check(wanted).await;
    }

    fn place(&mut self, target: SocketAddrV4) -> usize {
        let taken: BTreeSet<usize> = self.places.values().copied().collect();
        let free = || (1..=PLACES).find(|place| !taken.contains(place)).expect("more targets than places");
        *self.places.entry(target).or_insert_with(free)
    }

    /// It says of itself what it was told.
    async fn check(&self, wanted: &BTreeMap<SocketAddrV4, Takes>) {
        for line in self.lines().await {
            let Some(place) = line.name.strip_prefix("place") else { continue };
            let place: usize = place.parse().unwrap();
            let target = self.places.iter().find(|(_, taken)| **taken == place).map(|(target, _)| *target);
            let is_right = match target.map(|target| (target, wanted[&target])) {
                Some((target, Takes::New)) => {
                    line.address == target.to_string() && !["DRAIN", "MAINT"].contains(&line.status.as_str())
                }
                Some((target, Takes::NoMore)) => line.address == target.to_string() && line.status == "DRAIN",
                None => line.status == "MAINT",
            };
            assert!(is_right, "{line:?} for {wanted:?}: {}", self.log());
        }
    }

    /// Connections that it has begun so far.
    pub async fn flows(&self) -> u64 {
        self.lines().await.iter().find(|line| line.name == "FRONTEND").unwrap().ever
    }

    /// Connections that a target has now, by any place that it had.
    pub async fn open(&self, target: SocketAddrV4) -> u64 {
        let of = |line: &&Line| line.name != "FRONTEND" && line.address == target.to_string();
        self.lines().await.iter().filter(of).map(|line| line.now).sum()
    }
}

impl Drop for Haproxy {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
    }
}
