//! Two services, a zone, a name server, and an operator.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::emulator::Cloud;
use crate::emulator::dns::Authority;
use crate::emulator::dns::route53::{self, Leads, Record};
use crate::emulator::fixtures;

pub const BLUE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
pub const GREEN: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 3);
const NAME: &str = "shop.example.org";
/// Whatever is waited for comes within it, or does not come.
const PATIENCE: Duration = Duration::from_secs(120);

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Looks again and again.
pub async fn until<T>(what: &str, look: impl AsyncFn() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(began.elapsed() < PATIENCE, "{what}: not in {PATIENCE:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// A service at an address of its own.
pub struct Service {
    is_broken: Arc<AtomicBool>,
}

impl Service {
    /// Answers each connection with 200, or 503 while it is broken; ends with the process.
    fn start(at: SocketAddr) -> Service {
        let listener = TcpListener::bind(at).unwrap();
        let is_broken = Arc::new(AtomicBool::new(false));
        let broken = Arc::clone(&is_broken);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { return };
                let status = if broken.load(Ordering::SeqCst) { "503 Unavailable" } else { "200 OK" };
                let mut request = [0; 4096];
                let _ = stream.read(&mut request);
                let _ = write!(stream, "HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            }
        });
        Service { is_broken }
    }

    pub fn break_it(&self) {
        self.is_broken.store(true, Ordering::SeqCst);
    }

    pub fn mend_it(&self) {
        self.is_broken.store(false, Ordering::SeqCst);
    }
}

/// How the sides are written in the file, where the name leads, and which addresses stand for balancers.
pub struct Sides {
    pub blue: String,
    pub green: String,
    pub leads: Leads,
    pub balancers: BTreeMap<String, Ipv4Addr>,
}

pub struct Stage {
    pub cloud: Cloud,
    pub home: PathBuf,
    pub green: Service,
    zone: String,
    names: Authority,
    _blue: Service,
}

/// A command that goes on, and what it says.
pub struct Running {
    child: Mutex<Child>,
    said: Arc<Mutex<String>>,
    reader: Option<std::thread::JoinHandle<()>>,
}

impl Running {
    pub fn said(&self) -> String {
        self.said.lock().unwrap().clone()
    }

    pub fn end(&mut self) -> ExitStatus {
        let status = self.child.lock().unwrap().wait().unwrap();
        self.reader.take().map(std::thread::JoinHandle::join);
        status
    }

    pub fn has_ended(&self) -> Option<ExitStatus> {
        self.child.lock().unwrap().try_wait().unwrap()
    }

    /// Without a word.
    pub fn kill(&mut self) {
        self.child.lock().unwrap().kill().unwrap();
        self.end();
    }

    /// As Ctrl-C does.
    pub fn interrupt(&self) {
        let pid = nix::unistd::Pid::from_raw(i32::try_from(self.child.lock().unwrap().id()).unwrap());
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGINT).unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let mut child = self.child.lock().unwrap();
        let _ = child.kill();
        let _ = child.wait();
    }
}

impl Stage {
    /// Both sides by their addresses. None where there is no emulator. `more`: of the migration's file.
    pub async fn new(name: &str, more: &str) -> Option<Stage> {
        Stage::with(name, more, async |_, _| Sides {
            blue: format!("addresses: [{BLUE}]"),
            green: format!("addresses: [{GREEN}]"),
            leads: Leads::Values { ttl: 1, values: vec![BLUE.to_string()] },
            balancers: BTreeMap::new(),
        })
        .await
    }

    /// With what somebody makes in the account for clients that use this port.
    pub async fn with(
        name: &str,
        more: &str,
        sides: impl AsyncFnOnce(&crate::emulator::client::Client, u16) -> Sides,
    ) -> Option<Stage> {
        let cloud = Cloud::start()?;
        let zone = fixtures::zone(&cloud.moto, name).await;
        let home = std::env::temp_dir().join(format!("keelwright-cutover-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&home).unwrap();
        // Both sides listen at the same port.
        let port = loop {
            let free = TcpListener::bind((BLUE, 0)).unwrap().local_addr().unwrap().port();
            if TcpListener::bind((GREEN, free)).is_ok() {
                break free;
            }
        };
        let blue = Service::start(SocketAddr::from((BLUE, port)));
        let green = Service::start(SocketAddr::from((GREEN, port)));
        let Sides { blue: old, green: new, leads, balancers } = sides(&cloud.moto, port).await;
        let record = Record { leads, ..leads_to(BLUE) };
        route53::change(&cloud.moto, &zone, &[("CREATE", &record)]).await.ok();
        let names = Authority::start(&cloud.moto, &zone, "example.org", balancers, 1).await;
        let file = format!(
            "apiVersion: keelwright.dev/v1
kind: Migration
metadata: {{name: shop}}
aws: {{region: eu-central-1}}
names: [{{name: {NAME}, hostedZone: {zone}}}]
blue: {{balancer: {{{old}}}}}
green: {{balancer: {{{new}}}}}
resolvers: [\"{}\"]
probes: [{{name: page, type: http, port: {port}}}]
schedule: [{{green: 25%, soak: 4s}}, {{green: 100%, soak: 4s}}]
gates: {{samples: 3, window: 10s}}
{more}",
            names.at
        );
        std::fs::write(home.join("migration.yaml"), file).unwrap();
        Some(Stage { cloud, home, green, zone, names, _blue: blue })
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_keelwright"));
        command.arg("migrate").args(args).current_dir(&self.home).env_clear();
        let path = std::env::var_os("PATH").unwrap_or_default();
        let own = std::iter::once(self.home.join("bin"));
        let path = std::env::join_paths(own.chain(std::env::split_paths(&path))).unwrap();
        command.env("HOME", &self.home).env("PATH", path);
        command.env("AWS_ENDPOINT_URL", self.cloud.proxy.url());
        command.env("AWS_ACCESS_KEY_ID", "test").env("AWS_SECRET_ACCESS_KEY", "test");
        command.stdin(Stdio::null());
        command
    }

    pub fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    pub fn start(&self, args: &[&str]) -> Running {
        let mut child = self.command(args).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let said = Arc::new(Mutex::new(String::new()));
        let mut stream = child.stderr.take().unwrap();
        let heard = Arc::clone(&said);
        let reader = std::thread::spawn(move || {
            let mut bytes = [0; 1024];
            while let Ok(length @ 1..) = stream.read(&mut bytes) {
                heard.lock().unwrap().push_str(&text(&bytes[..length]));
            }
        });
        Running { child: Mutex::new(child), said, reader: Some(reader) }
    }

    /// A program of this name for what is run here.
    pub fn install(&self, name: &str, script: &str) {
        use std::os::unix::fs::PermissionsExt as _;
        let directory = self.home.join("bin");
        std::fs::create_dir_all(&directory).unwrap();
        std::fs::write(directory.join(name), script).unwrap();
        let executable = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(directory.join(name), executable).unwrap();
    }

    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.home.join(name)).unwrap()
    }

    pub fn proxy_count(&self, call: &str) -> usize {
        self.cloud.proxy.count(call)
    }

    pub async fn records(&self) -> Vec<Record> {
        let all = route53::records(&self.cloud.moto, &self.zone).await;
        all.into_iter().filter(|record| record.name == format!("{NAME}.")).collect()
    }

    /// Where the name leads, with the weight of each.
    pub async fn weights(&self) -> Vec<(&'static str, u32)> {
        let places = [("127.0.0.2.", BLUE), ("127.0.0.3.", GREEN)];
        let weights = route53::weights(&self.records().await, NAME);
        places
            .into_iter()
            .filter_map(|(place, address)| Some((place, *weights.get(&format!("{address}."))?)))
            .collect()
    }

    /// Somebody else changes records of the name.
    pub async fn replace(&self, records: &[Record]) {
        let changes: Vec<_> = records.iter().map(|record| ("UPSERT", record)).collect();
        route53::change(&self.cloud.moto, &self.zone, &changes).await.ok();
    }

    pub async fn lead_elsewhere(&self) {
        self.replace(&[leads_to(Ipv4Addr::new(192, 0, 2, 9))]).await;
    }

    pub async fn lead_to_blue(&self) {
        self.replace(&[leads_to(BLUE)]).await;
    }

    /// Nobody who asked for the name was without an answer, and it never had only weights of zero.
    pub async fn was_always_answered(&self) {
        assert_eq!(self.names.empty(), Vec::<String>::new());
        for (_, records) in self.names.history() {
            let weights = route53::weights(&records, NAME);
            assert!(weights.values().sum::<u32>() > 0, "{weights:?}");
        }
    }

    /// Whether somebody who goes back for a lost run of this stage is at work.
    pub fn is_guarded(&self) -> bool {
        let is_guard = |entry: std::io::Result<std::fs::DirEntry>| {
            let path = entry.ok()?.path();
            let arguments = text(&std::fs::read(path.join("cmdline")).ok()?);
            let is_here = std::fs::read_link(path.join("cwd")).is_ok_and(|place| place == self.home);
            (is_here && arguments.contains("\0guard\0")).then_some(())
        };
        std::fs::read_dir("/proc").unwrap().filter_map(is_guard).next().is_some()
    }
}

fn leads_to(address: Ipv4Addr) -> Record {
    Record {
        name: format!("{NAME}."),
        kind: "A".to_owned(),
        weighted: None,
        leads: Leads::Values { ttl: 1, values: vec![address.to_string()] },
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.home);
    }
}
