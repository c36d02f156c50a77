//! moto's server: an ordinary child process on a loopback port.
//!
//! One for the whole run of the test binary ([`Moto::shared`]), since each takes up to 400 MB. Tests keep out of each
//! other's way by accounts: [`Moto::account`] is one that nobody else has. Regions would not do, because IAM, Route 53
//! and the names of S3 buckets have none.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use camino::Utf8Path;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use super::client::Client;
use super::install;

/// Without these, some calls that AWS refuses are accepted, and AWS's own policies are not there.
const ENVIRONMENT: [&str; 4] = [
    "MOTO_IAM_LOAD_MANAGED_POLICIES",
    "MOTO_ENABLE_AMI_VALIDATION",
    "MOTO_ENABLE_KEYPAIR_VALIDATION",
    "MOTO_EC2_ENABLE_INSTANCE_TYPE_VALIDATION",
];

/// The server ends with its standard input, and so with this process, however that ends: a shared server belongs to
/// a static, which is never dropped.
const PROGRAM: &str = "
import os, sys, threading
def end_with_the_tests():
    sys.stdin.read()
    os._exit(0)
threading.Thread(target=end_with_the_tests, daemon=True).start()
from moto.server import main
main(sys.argv[1:])
";

const DEADLINE: Duration = Duration::from_secs(120);

pub struct Moto {
    address: SocketAddr,
    child: Child,
}

impl Moto {
    /// The server of this run. None, with the reason on stderr, where moto cannot be had.
    pub fn shared() -> Option<&'static Moto> {
        static SHARED: OnceLock<Option<Moto>> = OnceLock::new();
        let shared = SHARED.get_or_init(Moto::start);
        if shared.is_none() {
            // Said for every test that does not run.
            let _ = python();
        }
        shared.as_ref()
    }

    /// A server of its own, for tests of what concerns all accounts, such as [`Moto::reset`].
    pub fn start() -> Option<Moto> {
        let python = python()?;
        // Another process may take the port between the question and its use.
        Some((0..3).find_map(|_| Moto::start_on(&python, free_port())).expect("moto does not start"))
    }

    fn start_on(python: &Utf8Path, port: u16) -> Option<Moto> {
        let log = || match std::env::var("KEELWRIGHT_TEST_MOTO_LOG") {
            Ok(path) => File::options().append(true).create(true).open(path).unwrap().into(),
            Err(_) => Stdio::null(),
        };
        let mut command = Command::new(python);
        command
            .args(["-c", PROGRAM, "--port", &port.to_string()])
            .envs(ENVIRONMENT.map(|name| (name, "true")));
        let child =
            command.stdin(Stdio::piped()).stdout(log()).stderr(log()).process_group(0).spawn().unwrap();
        let mut moto = Moto { address: (Ipv4Addr::LOCALHOST, port).into(), child };
        moto.comes_up().then_some(moto)
    }

    fn comes_up(&mut self) -> bool {
        let began = Instant::now();
        while !answers(self.address) {
            assert!(began.elapsed() < DEADLINE, "moto does not answer");
            if self.child.try_wait().unwrap().is_some() {
                return false;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        true
    }

    /// Calls to an account that nothing has used yet; there is nothing in it but AWS's own.
    pub fn account(&self) -> Client {
        static NEXT: AtomicU64 = AtomicU64::new(100_000_000_001);
        let account = NEXT.fetch_add(1, Ordering::SeqCst).to_string();
        Client::new(self.address, Some(account), "eu-central-1")
    }

    /// Empties every account, those of other tests too.
    pub async fn reset(&self) {
        self.account().control("/moto-api/reset").await;
    }

    /// The identifiers made from here on are the same in every run, where only one test uses the server, and has
    /// looked at its account: moto makes what AWS has in one at the first look.
    pub async fn seed(&self, seed: u64) {
        self.account().control(&format!("/moto-api/seed?a={seed}")).await;
    }

    pub fn process(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        let _ = killpg(Pid::from_raw(self.child.id().cast_signed()), Signal::SIGKILL);
        let _ = self.child.wait();
    }
}

fn python() -> Option<camino::Utf8PathBuf> {
    let python = install::python();
    if let Err(reason) = &python {
        eprintln!("skipped: {reason}");
    }
    python.ok()
}

/// A listening socket is not yet an answer.
fn answers(address: SocketAddr) -> bool {
    let Ok(mut stream) = TcpStream::connect(address) else { return false };
    let mut answer = [0; 12];
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    stream.write_all(b"GET /moto-api/data.json HTTP/1.0\r\n\r\n").is_ok()
        && stream.read_exact(&mut answer).is_ok()
        && answer.ends_with(b" 200")
}

fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}
