//! What only a machine with systemd as PID 1 can show. Give the directory of a running lab:
//! `KEELWRIGHT_TEST_LAB=~/.cache/keelwright/labs/NAME`; its first machine is used, and rebooted.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use keelwright::exec::{HostScript, Remote, RemoteError};
use keelwright::inventory::{Ssh, Sudo};
use keelwright::ssh::{Prompt, SshEnvironment, SshRemote};
use secrecy::SecretString;

use super::faults::plan;
use super::proxy::Proxy;
use super::sshd::{host, script, sh};

struct Lab {
    directory: Utf8PathBuf,
    state: serde_json::Value,
}

struct Password(String);

impl Prompt for Password {
    fn passphrase(&self, _key: &Utf8Path) -> Option<SecretString> {
        None
    }
    fn sudo_password(&self, _user: &str, _host: &str) -> Option<SecretString> {
        Some(self.0.clone().into())
    }
}

impl Lab {
    fn find() -> Option<Lab> {
        let Ok(directory) = std::env::var("KEELWRIGHT_TEST_LAB") else {
            eprintln!("skipped: KEELWRIGHT_TEST_LAB names no running lab");
            return None;
        };
        let directory = Utf8PathBuf::from(directory);
        let state = serde_json::from_slice(&std::fs::read(directory.join("lab.json")).unwrap()).unwrap();
        Some(Lab { directory, state })
    }

    fn address(&self) -> SocketAddr {
        let machine = &self.state["machines"][0];
        let address = machine["address"].as_str().unwrap().parse().unwrap();
        SocketAddr::new(address, machine["ssh_port"].as_u64().unwrap() as u16)
    }

    fn remote(&self, user: &str, sudo: Sudo, address: SocketAddr) -> SshRemote {
        let ssh = Ssh {
            host: address.ip().to_string(),
            port: Some(address.port()),
            user: Some(user.into()),
            keys: vec![self.directory.join("id_ed25519")],
            bastions: Vec::new(),
            sudo,
            host_keys: vec![self.state["machines"][0]["host_key"].as_str().unwrap().into()],
            host_cas: Vec::new(),
        };
        let mut environment = SshEnvironment::new("/nowhere", "nobody");
        let users = self.state["users"].as_array().unwrap();
        let password = users.iter().find_map(|user| user["sudo_password"].as_str()).unwrap();
        environment.prompt = Arc::new(Password(password.into()));
        environment.connect_timeout = Duration::from_secs(3);
        SshRemote::new(&BTreeMap::from([(host("a"), ssh)]), environment)
    }
}

/// An id that no earlier run of these tests has used, and an epoch nobody is fenced by.
fn stage(name: &str, text: &str) -> HostScript {
    let id = format!("{name}-{}", uuid::Uuid::new_v4());
    HostScript { id, epoch: 1, ..script("", vec![sh(text)]) }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stage_is_a_transient_unit_for_every_way_to_root() {
    let Some(lab) = Lab::find() else { return };
    let users = [("root", Sudo::Passwordless), ("admin", Sudo::Passwordless), ("deploy", Sudo::Password)];
    for (user, sudo) in users {
        let remote = lab.remote(user, sudo, lab.address());
        let own = stage(user, "grep -q 'keelwright-' /proc/self/cgroup && [ $(id -u) = 0 ]");
        let result = remote.run(&host("a"), &own).await.unwrap_or_else(|error| panic!("{user}: {error}"));
        assert_eq!((result.status, result.completed), (0, 1), "{user}: {}", result.output);
        let slow = HostScript { deadline: 1, ..stage(user, "sleep 60") };
        let error = remote.run(&host("a"), &slow).await.unwrap_err();
        assert!(matches!(error, RemoteError::Deadline { .. }), "{user}: {error}");
        let list = format!("systemctl list-units --all --plain --no-legend 'keelwright-{user}-*'");
        let left = String::from_utf8(remote.probe(&host("a"), &list, b"").await.unwrap()).unwrap();
        assert!(!left.contains(".service"), "failed units are collected: {left}");
    }
    let refused = lab.remote("deploy", Sudo::Passwordless, lab.address());
    let error = refused.run(&host("a"), &stage("no", "true")).await.unwrap_err();
    assert!(matches!(error, RemoteError::Privilege { .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unit_runs_once_wherever_its_connection_is_cut() {
    let Some(lab) = Lab::find() else { return };
    for seed in 100..124 {
        let proxy = Proxy::start_to(lab.address(), move |connection| plan(seed, connection)).await;
        let remote = lab.remote("root", Sudo::Passwordless, ([127, 0, 0, 1], proxy.port).into());
        let counter = format!("/run/counter-{}", uuid::Uuid::new_v4());
        let own = stage("cut", &format!("# {}\necho x >>{counter}; sleep 0.3", "x".repeat(60_000)));
        let result = loop {
            match remote.run(&host("a"), &own).await {
                Err(RemoteError::Connect { .. } | RemoteError::Login { .. }) => {}
                other => break other.unwrap_or_else(|error| panic!("seed {seed}: {error}")),
            }
        };
        assert_eq!(result.status, 0, "seed {seed}: {}", result.output);
        let direct = lab.remote("root", Sudo::Passwordless, lab.address());
        let read = format!("cat {counter}; rm {counter}");
        let count = direct.probe(&host("a"), &read, b"").await.unwrap();
        assert_eq!(count, b"x\n", "seed {seed}: ran twice");
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "reboots the machine: run it alone"]
async fn a_reboot_during_a_stage_is_told_and_nothing_runs_again() {
    let Some(lab) = Lab::find() else { return };
    let remote = lab.remote("root", Sudo::Passwordless, lab.address());
    let counter = format!("/root/counter-{}", uuid::Uuid::new_v4());
    let own = stage("boot", &format!("echo x >>{counter}; sync; systemctl reboot --force --force; sleep 50"));
    let error = remote.run(&host("a"), &own).await.unwrap_err();
    assert!(error.to_string().contains("was booted while"), "{error}");
    let count = remote.probe(&host("a"), &format!("cat {counter}"), b"").await.unwrap();
    assert_eq!(count, b"x\n");
}
