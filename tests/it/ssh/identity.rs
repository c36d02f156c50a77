//! Who the server is, and who we are: host keys, key files, agent, certificates, sudo.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use camino::{Utf8Path, Utf8PathBuf};
use keelwright::exec::{Remote, RemoteError};
use keelwright::inventory::{Ssh, Sudo};
use keelwright::ssh::Prompt;
use secrecy::SecretString;

use super::sshd::{Fleet, Sshd, host, keygen, run_tool};

/// Always the same answers, counted.
struct Answers {
    passphrase: &'static str,
    password: String,
    asked: AtomicUsize,
}

impl Answers {
    fn new(passphrase: &'static str, password: &str) -> Arc<Answers> {
        Arc::new(Answers { passphrase, password: password.into(), asked: AtomicUsize::new(0) })
    }
}

impl Prompt for Answers {
    fn passphrase(&self, _key: &Utf8Path) -> Option<SecretString> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        Some(self.passphrase.into())
    }
    fn sudo_password(&self, _user: &str, _host: &str) -> Option<SecretString> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        Some(self.password.clone().into())
    }
}

async fn probe(fleet: &Fleet) -> Result<Vec<u8>, RemoteError> {
    fleet.remote.probe(&host("a"), "echo here", b"").await
}

fn unpinned(server: &Sshd) -> Ssh {
    Ssh { host_keys: Vec::new(), ..server.ssh() }
}

fn set_mode(path: &Utf8Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

#[tokio::test]
async fn row_30_an_unknown_host_key_is_refused_with_its_fingerprint_and_the_line_to_add() {
    let Some(server) = Sshd::start() else { return };
    let fleet = Fleet::new(&[("a", unpinned(&server))]);
    let Err(RemoteError::HostKey { reason, hint: Some(hint) }) = probe(&fleet).await else { panic!() };
    assert!(reason.contains("SHA256:"), "{reason}");
    let key = server.host_key.rsplit_once(' ').unwrap().0;
    let line = format!("[127.0.0.1]:{} {key}", server.port);
    assert!(hint.contains(&line), "{hint}");
    // The hint is right: with that line it works.
    std::fs::write(fleet.scratch.0.join("home/.ssh/known_hosts"), line).unwrap();
    let again = Fleet::with(&[("a", unpinned(&server))], |environment| {
        environment.known_hosts = vec![fleet.scratch.0.join("home/.ssh/known_hosts")];
    });
    assert_eq!(probe(&again).await.unwrap(), b"here\n");
}

#[tokio::test]
async fn a_first_use_is_recorded_once_and_a_changed_key_stops_everything() {
    let Some(server) = Sshd::start() else { return };
    let known = server.scratch.0.join("known");
    let fleet = |ssh: Ssh| {
        let known = known.clone();
        Fleet::with(&[("a", ssh)], |environment| {
            environment.trust_on_first_use = true;
            environment.known_hosts = vec![known];
        })
    };
    for _ in 0..2 {
        probe(&fleet(unpinned(&server))).await.unwrap();
    }
    assert_eq!(std::fs::read_to_string(&known).unwrap().lines().count(), 1);
    keygen(&server.scratch.0.join("other"), "", &[]);
    let other = std::fs::read_to_string(server.scratch.0.join("other.pub")).unwrap();
    std::fs::write(&known, format!("[127.0.0.1]:{} {other}", server.port)).unwrap();
    let Err(RemoteError::HostKey { reason, .. }) = probe(&fleet(unpinned(&server))).await else { panic!() };
    assert_eq!(reason.matches("SHA256:").count(), 2, "{reason}");
    // A pinned key that does not fit stops too, whatever known_hosts says.
    std::fs::write(&known, format!("[127.0.0.1]:{} {}", server.port, server.host_key)).unwrap();
    let pinned = Ssh { host_keys: vec![other.trim().into()], ..server.ssh() };
    assert!(matches!(probe(&fleet(pinned)).await, Err(RemoteError::HostKey { .. })));
    std::fs::write(&known, format!("@revoked * {}", server.host_key)).unwrap();
    let Err(RemoteError::HostKey { reason, .. }) = probe(&fleet(server.ssh())).await else { panic!() };
    assert!(reason.contains("revoked"), "{reason}");
}

#[tokio::test]
async fn a_host_certificate_counts_when_its_authority_and_name_are_right() {
    let scratch = super::sshd::Scratch::new();
    keygen(&scratch.0.join("ca"), "", &[]);
    let ca = std::fs::read_to_string(scratch.0.join("ca.pub")).unwrap();
    for (name, fine) in [("127.0.0.*", true), ("other.example.com", false)] {
        let Some(server) = Sshd::start() else { return };
        let directory = &server.scratch.0;
        run_tool(
            Command::new("ssh-keygen")
                .args(["-q", "-s", scratch.0.join("ca").as_str(), "-h", "-I", "id", "-n", name, "-V", "+1h"])
                .arg(directory.join("host.pub")),
        );
        let config = std::fs::read_to_string(directory.join("config")).unwrap();
        let config = format!("{config}\nHostCertificate {directory}/host-cert.pub\n");
        let server = server.restart(&config);
        let ssh = Ssh { host_cas: vec![ca.trim().into()], ..unpinned(&server) };
        match probe(&Fleet::new(&[("a", ssh)])).await {
            Ok(said) => assert!(fine && said == b"here\n", "{name}"),
            Err(error) => {
                assert!(!fine && error.to_string().contains("other.example.com"), "{name}: {error}");
            }
        }
        // Who trusts no authority is shown the plain key.
        let pinned = Ssh { host_keys: vec![server.host_key.clone()], ..unpinned(&server) };
        probe(&Fleet::new(&[("a", pinned)])).await.unwrap();
    }
}

#[tokio::test]
async fn row_29_a_refused_login_lists_the_keys_by_fingerprint() {
    let Some(server) = Sshd::start() else { return };
    let wrong = server.scratch.0.join("wrong");
    keygen(&wrong, "", &[]);
    let open = server.scratch.0.join("open");
    keygen(&open, "", &[]);
    set_mode(&open, 0o644);
    let missing = Utf8PathBuf::from("/nowhere/key");
    let ssh = Ssh { keys: vec![wrong.clone(), open, missing], ..server.ssh() };
    let Err(RemoteError::Login { reason, .. }) = probe(&Fleet::new(&[("a", ssh)])).await else { panic!() };
    let shown = Command::new("ssh-keygen").args(["-lf", wrong.as_str()]).output().unwrap();
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(reason.contains(shown.split(' ').nth(1).unwrap()), "{reason}");
    assert!(reason.contains("0644") && reason.contains("/nowhere/key does not exist"), "{reason}");
}

#[tokio::test]
async fn row_29_an_encrypted_key_asks_once_for_all_hosts_and_is_skipped_without_an_answer() {
    let Some(server) = Sshd::start() else { return };
    let key = server.scratch.0.join("locked");
    keygen(&key, "open sesame", &[]);
    server.authorize(&format!("{key}.pub"));
    let ssh = Ssh { keys: vec![key.clone()], ..server.ssh() };
    let answers = Answers::new("open sesame", "");
    let prompt = answers.clone();
    let fleet = Fleet::with(&[("a", ssh.clone()), ("b", ssh.clone())], |e| e.prompt = prompt);
    let (hosts, empty) = ([host("a"), host("b")], b"");
    let both = hosts.iter().map(|name| fleet.remote.probe(name, "echo here", empty));
    futures::future::try_join_all(both).await.unwrap();
    assert_eq!(answers.asked.load(Ordering::SeqCst), 1);
    let Err(RemoteError::Login { reason, .. }) = probe(&Fleet::new(&[("a", ssh)])).await else { panic!() };
    assert!(reason.contains("is encrypted and no passphrase was given"), "{reason}");
}

#[tokio::test]
async fn every_kind_of_key_and_format_logs_in() {
    let Some(server) = Sshd::start() else { return };
    let kinds: [(&str, &[&str]); 5] = [
        ("rsa", &["-t", "rsa", "-b", "2048"]),
        ("rsa-pem", &["-t", "rsa", "-b", "2048", "-m", "PEM"]),
        ("ecdsa", &["-t", "ecdsa"]),
        ("ecdsa-pkcs8", &["-t", "ecdsa", "-m", "PKCS8"]),
        ("ecdsa-384", &["-t", "ecdsa", "-b", "384"]),
    ];
    for (name, arguments) in kinds {
        let key = server.scratch.0.join(name);
        keygen(&key, "", arguments);
        server.authorize(&format!("{key}.pub"));
        let ssh = Ssh { keys: vec![key], ..server.ssh() };
        let said = probe(&Fleet::new(&[("a", ssh)])).await;
        assert_eq!(said.unwrap_or_else(|error| panic!("{name}: {error}")), b"here\n");
    }
}

#[tokio::test]
async fn the_agent_and_user_certificates_log_in() {
    let Some(server) = Sshd::start() else { return };
    let directory = server.scratch.0.clone();
    let socket = directory.join("agent");
    let mut agent = Command::new("ssh-agent").args(["-D", "-a", socket.as_str()]).spawn().unwrap();
    while !socket.exists() {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    let add = |key: &str| run_tool(Command::new("ssh-add").arg("-q").arg(key).env("SSH_AUTH_SOCK", &socket));
    add(directory.join("client").as_str());
    let no_keys = Ssh { keys: Vec::new(), ..server.ssh() };
    let with_agent = |ssh: &Ssh| Fleet::with(&[("a", ssh.clone())], |e| e.agent = Some(socket.clone()));
    let by_agent = probe(&with_agent(&no_keys)).await;
    // A user certificate in a file, then the same from the agent.
    keygen(&directory.join("ca"), "", &[]);
    keygen(&directory.join("signed"), "", &[]);
    let ca = directory.join("ca");
    run_tool(
        Command::new("ssh-keygen")
            .args(["-q", "-s", ca.as_str(), "-I", "me", "-n", &super::sshd::whoami()])
            .arg(directory.join("signed.pub")),
    );
    let config = std::fs::read_to_string(directory.join("config")).unwrap();
    let config = format!("{config}\nTrustedUserCAKeys {ca}.pub\nAuthorizedKeysFile none\n");
    let config = config.replacen(&format!("AuthorizedKeysFile {directory}/authorized\n"), "", 1);
    let server = server.restart(&config);
    let signed = Ssh { keys: vec![directory.join("signed")], ..server.ssh() };
    let by_file = probe(&Fleet::new(&[("a", signed)])).await;
    add(directory.join("signed").as_str());
    let by_agent_certificate = probe(&with_agent(&Ssh { keys: Vec::new(), ..server.ssh() })).await;
    let _ = agent.kill();
    let _ = agent.wait();
    assert_eq!(by_agent.unwrap(), b"here\n");
    assert_eq!(by_file.unwrap(), b"here\n");
    assert_eq!(by_agent_certificate.unwrap(), b"here\n");
}

/// Needs an account: `KEELWRIGHT_TEST_SUDO=USER:PASSWORD`, allowed to run everything with sudo by
/// its password, whose key directory the test may not touch (the server has its own).
#[tokio::test]
async fn row_31_sudo_asks_when_it_must_and_says_what_is_missing() {
    let Ok(account) = std::env::var("KEELWRIGHT_TEST_SUDO") else {
        eprintln!("skipped: KEELWRIGHT_TEST_SUDO=USER:PASSWORD is not set");
        return;
    };
    let (user, password) = account.split_once(':').unwrap();
    let Some(server) = Sshd::start() else { return };
    set_mode(&server.scratch.0, 0o755);
    let fleet = |sudo, password: &str| {
        let ssh = Ssh { user: Some(user.into()), sudo, ..server.ssh() };
        let answers = Answers::new("", password);
        Fleet::with(&[("a", ssh)], |environment| environment.prompt = answers)
    };
    let run = |fleet: Fleet| async move { fleet.remote.probe(&host("a"), "id -u; cat", b"input").await };
    assert_eq!(run(fleet(Sudo::Password, password)).await.unwrap(), b"0\ninput");
    let Err(RemoteError::Privilege { reason, .. }) = run(fleet(Sudo::Password, "wrong")).await else {
        panic!()
    };
    assert!(reason.contains("does not take the password"), "{reason}");
    let Err(RemoteError::Privilege { reason, hint }) = run(fleet(Sudo::Passwordless, "")).await else {
        panic!()
    };
    assert!(reason.contains("`sudo -n` failed") && reason.contains("password is required"), "{reason}");
    assert!(hint.unwrap().contains("NOPASSWD: /bin/sh"));
}
