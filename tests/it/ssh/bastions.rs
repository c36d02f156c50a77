//! Ways that lead through other servers.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use keelwright::exec::{Remote, RemoteError};
use keelwright::inventory::{Bastion, Ssh};

use sha2::{Digest as _, Sha256};

use super::proxy::{Fault, Proxy};
use super::sshd::{Fleet, Sshd, free_port, host, script, sh};

#[tokio::test(flavor = "multi_thread")]
async fn two_bastions_in_a_row_are_shared_by_all_hosts_behind_them() {
    let (Some(first), Some(target)) = (Sshd::start(), Sshd::start()) else { return };
    let Some(second) = Sshd::start_with(&format!("PermitOpen 127.0.0.1:{}", target.port)) else { return };
    let proxy = Proxy::start(first.port, |_| Fault::None).await;
    let chain = vec![Bastion { port: Some(proxy.port), ..first.bastion() }, second.bastion()];
    let ssh = Ssh { bastions: chain, ..target.ssh() };
    let names: Vec<String> = (0..8).map(|n| format!("n{n}")).collect();
    let machines: Vec<(&str, Ssh)> = names.iter().map(|name| (name.as_str(), ssh.clone())).collect();
    let fleet = Fleet::new(&machines);
    let runs = names.iter().map(|name| {
        let remote = fleet.remote.clone();
        async move { remote.run(&host(name), &script("s", vec![sh("true")])).await }
    });
    for result in futures::future::join_all(runs).await {
        assert_eq!(result.unwrap().status, 0);
    }
    assert_eq!(proxy.connections.load(Ordering::SeqCst), 1);
    assert!(fleet.remote.outages().is_empty());
}

/// Both hosts' uploads and answers share one connection, which stood still when either side waited.
#[tokio::test(flavor = "multi_thread")]
async fn big_uploads_through_one_bastion_do_not_stand_still() {
    let (Some(bastion), Some(target)) = (Sshd::start(), Sshd::start()) else { return };
    let ssh = Ssh { bastions: vec![bastion.bastion()], ..target.ssh() };
    let fleet = Fleet::new(&[("a", ssh.clone()), ("b", ssh)]);
    let source = fleet.scratch.0.join("artifact");
    let content: Vec<u8> = (0..40_000_000_u32).map(|number| (number % 251) as u8).collect();
    std::fs::write(&source, &content).unwrap();
    let sum = hex::encode(Sha256::digest(&content));
    let uploads = ["a", "b"].map(|name| {
        let (remote, source, sum) = (fleet.remote.clone(), source.clone(), sum.clone());
        async move { remote.upload(&host(name), &source, &sum, &|_| ()).await }
    });
    let all = futures::future::join_all(uploads);
    for result in tokio::time::timeout(Duration::from_secs(120), all).await.expect("it stands still") {
        result.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn row_28_a_dead_bastion_is_tried_once_and_reported_once() {
    let Some(target) = Sshd::start() else { return };
    let tried = Arc::new(AtomicUsize::new(0));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let counter = tried.clone();
    tokio::spawn(async move {
        while listener.accept().await.is_ok() {
            counter.fetch_add(1, Ordering::SeqCst);
        }
    });
    let dead = Bastion { port: Some(port), ..target.bastion() };
    let ssh = Ssh { bastions: vec![dead], ..target.ssh() };
    let names: Vec<String> = (0..12).map(|n| format!("n{n}")).collect();
    let machines: Vec<(&str, Ssh)> = names.iter().map(|name| (name.as_str(), ssh.clone())).collect();
    let fleet = Fleet::new(&machines);
    let probes = names.iter().map(|name| {
        let remote = fleet.remote.clone();
        async move { remote.probe(&host(name), "true", b"").await }
    });
    for result in futures::future::join_all(probes).await {
        let error = result.unwrap_err();
        assert!(
            matches!(&error, RemoteError::Connect { reason, .. } if reason.starts_with("bastion 127.0.0.1 down")),
            "{error}"
        );
    }
    assert_eq!(tried.load(Ordering::SeqCst), 1);
    let outages = fleet.remote.outages();
    assert_eq!(outages.len(), 1);
    assert!(
        outages[0].to_string().starts_with("bastion 127.0.0.1 down: 12 hosts not tried"),
        "{}",
        outages[0]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bastion_that_flaps_is_come_back_to() {
    let (Some(bastion), Some(target)) = (Sshd::start(), Sshd::start()) else { return };
    let fault = |connection| match connection {
        0 => Fault::CutAfter(std::time::Duration::from_millis(1500)),
        1 => Fault::CutDown(100),
        _ => Fault::None,
    };
    let proxy = Proxy::start(bastion.port, fault).await;
    let hop = Bastion { port: Some(proxy.port), ..bastion.bastion() };
    let ssh = Ssh { bastions: vec![hop], ..target.ssh() };
    let fleet = Fleet::with(&[("a", ssh.clone()), ("b", ssh)], |environment| {
        environment.bastion_rest = std::time::Duration::from_millis(500);
    });
    let counter = fleet.scratch.0.join("counter");
    let runs = ["a", "b"].map(|name| {
        let stage = script("s", vec![sh(&format!("echo x >>{counter}; sleep 3"))]);
        let remote = fleet.remote.clone();
        async move { remote.run(&host(name), &stage).await }
    });
    for result in futures::future::join_all(runs).await {
        assert_eq!(result.unwrap().status, 0);
    }
    assert_eq!(std::fs::read_to_string(counter).unwrap(), "x\nx\n");
    assert!(fleet.remote.outages().is_empty(), "an outage that is over is no longer reported");
}

#[tokio::test]
async fn the_operators_configuration_leads_to_a_host() {
    let (Some(bastion), Some(target)) = (Sshd::start(), Sshd::start()) else { return };
    let ssh = Ssh { host: "web".into(), port: None, user: None, keys: Vec::new(), ..target.ssh() };
    let scratch = super::sshd::Scratch::new();
    let file = scratch.0.join("config");
    let (b, t, user) = (bastion.port, target.port, super::sshd::whoami());
    let text = format!(
        "Host hop\n  HostName 127.0.0.1\n  Port {b}\n  IdentityFile {}\nHost w?b\n  HostName localhost\n  \
         HostKeyAlias 127.0.0.1\n  ProxyJump hop\n  Port {t}\n  IdentityFile {}\nHost *\n  User {user}\n  \
         UserKnownHostsFile {}\n  StrictHostKeyChecking no\n",
        bastion.client_key(),
        target.client_key(),
        scratch.0.join("known"),
    );
    std::fs::write(&file, text).unwrap();
    std::fs::write(scratch.0.join("known"), format!("[127.0.0.1]:{b} {}\n", bastion.host_key)).unwrap();
    let fleet = Fleet::with(&[("a", ssh)], |environment| environment.config_files = vec![file]);
    assert_eq!(fleet.remote.probe(&host("a"), "echo here", b"").await.unwrap(), b"here\n");
    assert!(fleet.remote.notes()[0].contains("StrictHostKeyChecking"));
}

#[tokio::test]
async fn nothing_listening_says_so() {
    let Some(target) = Sshd::start() else { return };
    let ssh = Ssh { port: Some(free_port()), ..target.ssh() };
    let fleet = Fleet::new(&[("a", ssh)]);
    let Err(RemoteError::Connect { reason, hint }) = fleet.remote.probe(&host("a"), "true", b"").await else {
        panic!()
    };
    assert!(reason.contains("connection refused") && hint.is_some(), "{reason}");
}
