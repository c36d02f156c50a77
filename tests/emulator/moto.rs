//! moto's server: an ordinary child process on a loopback port.
//!
//! One serves many tests ([`Moto::shared`]), since it takes a second to start and hundreds of megabytes. They keep out
//! of each other's way by accounts: [`Moto::account`] is one that nobody else has. Regions would not do, because IAM and
//! Route 53 have none. The names of S3's buckets are taken in all accounts, as in AWS.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use camino::{Utf8Path, Utf8PathBuf};
use http::Method;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use super::client::Client;
use super::install;
use super::service::Service;

/// Without these, some calls that AWS refuses are accepted, and AWS's own policies are not there.
const ENVIRONMENT: [&str; 4] = [
    "MOTO_IAM_LOAD_MANAGED_POLICIES",
    "MOTO_ENABLE_AMI_VALIDATION",
    "MOTO_ENABLE_KEYPAIR_VALIDATION",
    "MOTO_EC2_ENABLE_INSTANCE_TYPE_VALIDATION",
];

/// The server ends with its standard input, and so with this process, however that ends: the last shared one belongs
/// to a static, which is never dropped.
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

/// moto keeps every account for good, 10 MB at least; after so many, the tests to come have a new server.
const ACCOUNTS: u64 = 24;

pub struct Moto {
    address: SocketAddr,
    child: Child,
    accounts: AtomicU64,
}

impl Moto {
    /// The server that tests share at this time; it ends with the last of them. None, with the reason on stderr,
    /// where moto cannot be had.
    pub fn shared() -> Option<Arc<Moto>> {
        static SHARED: Mutex<Option<Arc<Moto>>> = Mutex::new(None);
        // A panic elsewhere, such as that of a server that does not start, leaves nothing half done here.
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        let full = |moto: &Arc<Moto>| moto.accounts.load(Ordering::SeqCst) >= ACCOUNTS;
        if shared.as_ref().is_none_or(full) {
            *shared = Moto::start().map(Arc::new);
        }
        shared.clone()
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
        let address = (Ipv4Addr::LOCALHOST, port).into();
        let mut moto = Moto { address, child, accounts: AtomicU64::new(0) };
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
        let account = 100_000_000_001 + self.accounts.fetch_add(1, Ordering::SeqCst);
        Client::new(self.address, Some(account.to_string()), "eu-central-1")
    }

    /// Empties every account, those of other tests too.
    pub async fn reset(&self) {
        self.control("/moto-api/reset").await;
    }

    /// The identifiers made from here on are the same in every run, where only one test uses the server, and has
    /// looked at its account: moto makes what AWS has in one at the first look.
    pub async fn seed(&self, seed: u64) {
        self.control(&format!("/moto-api/seed?a={seed}")).await;
    }

    async fn control(&self, path: &str) {
        Client::new(self.address, None, "").rest(Service::Other, Method::POST, path, "").await.ok();
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

fn python() -> Option<Utf8PathBuf> {
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
