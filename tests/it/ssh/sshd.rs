//! An OpenSSH server of our own: an ordinary child process with its own keys, port and directory.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use camino::{Utf8Path, Utf8PathBuf};
use keelwright::exec::{HostScript, Layout, Op, Payload};
use keelwright::inventory::{Bastion, HostName, Ssh, Sudo};
use keelwright::ssh::{SshEnvironment, SshRemote};

const SSHD: &str = "/usr/sbin/sshd";

/// A directory that goes away with its owner.
pub struct Scratch(pub Utf8PathBuf);

impl Scratch {
    pub fn new() -> Scratch {
        let path = std::env::temp_dir().join(format!("keelwright-it-{}", uuid::Uuid::new_v4()));
        std::fs::create_dir_all(&path).unwrap();
        Scratch(path.try_into().unwrap())
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A running server.
pub struct Sshd {
    pub scratch: Scratch,
    pub port: u16,
    pub host_key: String,
    child: Child,
}

impl Sshd {
    /// None, with the reason on stderr, where there is no server to run.
    pub fn start() -> Option<Sshd> {
        Sshd::start_with("")
    }

    pub fn start_with(extra: &str) -> Option<Sshd> {
        if !Utf8Path::new(SSHD).exists() {
            eprintln!("skipped: {SSHD} is missing (apt-get install openssh-server)");
            return None;
        }
        // A server that runs as root wants this directory; its package makes it at boot.
        let _ = std::fs::create_dir_all("/run/sshd");
        let scratch = Scratch::new();
        let directory = &scratch.0;
        keygen(&directory.join("host"), "", &[]);
        keygen(&directory.join("client"), "", &[]);
        std::fs::copy(directory.join("client.pub"), directory.join("authorized")).unwrap();
        let port = free_port();
        let config = format!(
            "Port {port}\nListenAddress 127.0.0.1\nHostKey {directory}/host\nPidFile none\n\
             AuthorizedKeysFile {directory}/authorized\nStrictModes no\nUsePAM no\n\
             PermitRootLogin prohibit-password\nPasswordAuthentication no\n\
             KbdInteractiveAuthentication no\nMaxStartups 200\nLogLevel ERROR\n{extra}\n"
        );
        let host_key = std::fs::read_to_string(directory.join("host.pub")).unwrap();
        let child = serve(directory, &config, port);
        Some(Sshd { port, host_key: host_key.trim().to_owned(), child, scratch })
    }

    /// The same server with another configuration.
    pub fn restart(mut self, config: &str) -> Sshd {
        self.stop();
        self.child = serve(&self.scratch.0, config, self.port);
        self
    }

    /// Lets one more key in.
    pub fn authorize(&self, public: &str) {
        let file = self.scratch.0.join("authorized");
        let more = std::fs::read_to_string(public).unwrap();
        std::fs::write(&file, std::fs::read_to_string(&file).unwrap() + &more).unwrap();
    }

    fn stop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    pub fn client_key(&self) -> Utf8PathBuf {
        self.scratch.0.join("client")
    }

    /// How an inventory would name this server, its key pinned.
    pub fn ssh(&self) -> Ssh {
        Ssh {
            host: "127.0.0.1".into(),
            port: Some(self.port),
            user: Some(whoami()),
            keys: vec![self.client_key()],
            bastions: Vec::new(),
            sudo: Sudo::Passwordless,
            host_keys: vec![self.host_key.clone()],
            host_cas: Vec::new(),
        }
    }

    pub fn bastion(&self) -> Bastion {
        let Ssh { host, port, user, keys, host_keys, host_cas, .. } = self.ssh();
        Bastion { host, port, user, keys, host_keys, host_cas }
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Starts a server and waits until it listens.
fn serve(directory: &Utf8Path, config: &str, port: u16) -> Child {
    std::fs::write(directory.join("config"), config).unwrap();
    let log = std::fs::File::create(directory.join("log")).unwrap();
    let child = Command::new(SSHD)
        .args(["-D", "-e", "-f", directory.join("config").as_str()])
        .stdin(Stdio::null())
        .stderr(log)
        .spawn()
        .unwrap();
    let began = Instant::now();
    while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
        assert!(began.elapsed() < Duration::from_secs(20), "sshd does not listen");
        std::thread::sleep(Duration::from_millis(20));
    }
    child
}

/// A fleet of machines that are all this one, each with directories of its own.
pub struct Fleet {
    pub remote: SshRemote,
    pub scratch: Scratch,
}

impl Fleet {
    pub fn new(machines: &[(&str, Ssh)]) -> Fleet {
        Fleet::with(machines, |_| {})
    }

    pub fn with(machines: &[(&str, Ssh)], change: impl FnOnce(&mut SshEnvironment)) -> Fleet {
        let scratch = Scratch::new();
        let mut environment = SshEnvironment::new(scratch.0.join("home"), whoami());
        environment.config_files = vec![scratch.0.join("home/.ssh/config")];
        environment.known_hosts = vec![scratch.0.join("home/.ssh/known_hosts")];
        std::fs::create_dir_all(scratch.0.join("home/.ssh")).unwrap();
        change(&mut environment);
        let hosts: BTreeMap<HostName, Ssh> =
            machines.iter().map(|(name, ssh)| (host(name), ssh.clone())).collect();
        let directory = scratch.0.clone();
        let remote = SshRemote::with_layouts(&hosts, environment, &|name| layout(&directory, name.as_str()));
        Fleet { remote, scratch }
    }

    pub fn layout(&self, name: &str) -> Layout {
        layout(&self.scratch.0, name)
    }
}

fn layout(directory: &Utf8Path, name: &str) -> Layout {
    Layout {
        run: directory.join(name).join("run").into_string(),
        state: directory.join(name).join("state").into_string(),
        uid: nix::unistd::geteuid().as_raw(),
        gid: nix::unistd::getegid().as_raw(),
    }
}

pub fn host(name: &str) -> HostName {
    HostName::parse(name).unwrap()
}

pub fn whoami() -> String {
    nix::unistd::User::from_uid(nix::unistd::geteuid()).unwrap().unwrap().name
}

pub fn script(id: &str, ops: Vec<Op>) -> HostScript {
    HostScript { id: id.into(), epoch: 1, deadline: 60, ops }
}

pub fn write_file(path: impl Into<String>, text: &str) -> Op {
    Op::WriteFile { path: path.into(), mode: 0o644, payload: Payload::Text(text.into()) }
}

pub fn sh(text: &str) -> Op {
    Op::Run {
        command: keelwright::command::Command::new(["sh", "-c", text]),
        because: "the test says so".into(),
    }
}

pub fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

/// Makes a key pair.
pub fn keygen(path: &Utf8Path, passphrase: &str, more: &[&str]) {
    let kind: &[&str] = if more.contains(&"-t") { &[] } else { &["-t", "ed25519"] };
    run_tool(Command::new("ssh-keygen").args(kind).args(more).args(["-q", "-N", passphrase, "-f"]).arg(path));
}

pub fn run_tool(command: &mut Command) {
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
