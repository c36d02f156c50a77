//! Connections that are cut, stall and crawl while a stage runs.

use std::time::{Duration, Instant};

use futures::StreamExt;
use keelwright::exec::{Op, Payload, Remote, RemoteError};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::proxy::{Fault, Proxy};
use super::sshd::{Fleet, Sshd, host, script, sh};

const SEEDS: u64 = 48;

/// The first connections of a seed are cut somewhere; later ones hold, so that it ends.
pub fn plan(seed: u64, connection: usize) -> Fault {
    let mut random = StdRng::seed_from_u64(seed * 1000 + connection as u64);
    if connection >= random.random_range(1..5) {
        return Fault::None;
    }
    match random.random_range(0..4) {
        // Most of what goes up is the launcher and the payload, of what comes down the handshake.
        0 => Fault::CutUp(random.random_range(0..130_000)),
        1 => Fault::CutDown(random.random_range(0..4_000)),
        2 => Fault::CutDown(random.random_range(1_400..2_600)),
        _ => Fault::CutAfter(Duration::from_millis(random.random_range(0..900))),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stage_runs_once_wherever_its_connection_is_cut() {
    let Some(server) = Sshd::start() else { return };
    let server = &server;
    let runs = futures::stream::iter(0..SEEDS).map(|seed| async move {
        let proxy = Proxy::start(server.port, move |connection| plan(seed, connection)).await;
        let mut ssh = server.ssh();
        ssh.port = Some(proxy.port);
        let fleet = Fleet::new(&[("a", ssh)]);
        let (counter, big) = (fleet.scratch.0.join("counter"), fleet.scratch.0.join("big"));
        let content = "0123456789abcdef".repeat(6_000);
        let ops = vec![
            sh(&format!("echo x >>{counter}")),
            Op::WriteFile {
                path: big.clone().into(),
                mode: 0o600,
                payload: Payload::Text(content.as_str().into()),
            },
            sh(&format!("sleep 0.2; echo x >>{counter}")),
        ];
        let stage = script("stage", ops);
        // Before the host was ever reached, the executor decides whether to try again.
        let mut tries = 0;
        let result = loop {
            tries += 1;
            match fleet.remote.run(&host("a"), &stage).await {
                Err(RemoteError::Connect { .. } | RemoteError::Login { .. }) if tries < 8 => {
                    assert!(!counter.exists(), "seed {seed}: reported as not connected, but it ran");
                }
                other => break other.unwrap_or_else(|error| panic!("seed {seed}: {error}")),
            }
        };
        assert_eq!((result.status, result.completed), (0, 3), "seed {seed}: {}", result.output);
        assert_eq!(result.changed, [0, 1, 2], "seed {seed}");
        assert_eq!(std::fs::read_to_string(counter).unwrap(), "x\nx\n", "seed {seed}: ran twice");
        assert_eq!(std::fs::read_to_string(big).unwrap(), content, "seed {seed}");
        proxy.connections.load(std::sync::atomic::Ordering::SeqCst)
    });
    let connections: Vec<usize> = runs.buffer_unordered(6).collect().await;
    let reattached = connections.iter().filter(|count| **count > 1).count();
    assert!(reattached > SEEDS as usize / 3, "the faults were hardly met: {reattached} of {SEEDS}");
}

/// A channel starts without a window. A connection that fell between the two left a writer waiting
/// for a window that never came.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_cut_while_a_channel_opens_is_noticed() {
    let Some(server) = Sshd::start() else { return };
    let server = &server;
    let runs = futures::stream::iter((1_300..2_300).step_by(14)).map(|cut| async move {
        let fault = move |connection| if connection == 0 { Fault::CutDown(cut) } else { Fault::None };
        let proxy = Proxy::start(server.port, fault).await;
        let mut ssh = server.ssh();
        ssh.port = Some(proxy.port);
        let fleet = Fleet::new(&[("a", ssh)]);
        let (a, stage) = (host("a"), script("stage", vec![sh("true")]));
        let result = tokio::time::timeout(Duration::from_secs(30), fleet.remote.run(&a, &stage)).await;
        match result.unwrap_or_else(|_| panic!("cut after {cut} bytes: hangs")) {
            Ok(result) => assert_eq!(result.status, 0),
            Err(RemoteError::Connect { .. } | RemoteError::Login { .. }) => {}
            Err(error) => panic!("cut after {cut} bytes: {error}"),
        }
    });
    runs.buffer_unordered(6).collect::<Vec<()>>().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keepalives_find_a_peer_that_has_gone_silent() {
    let Some(server) = Sshd::start() else { return };
    // Far enough for the stage to be under way, then silence without an end.
    let fault = |connection| {
        if connection == 0 { Fault::StallAfter(Duration::from_millis(800)) } else { Fault::None }
    };
    let proxy = Proxy::start(server.port, fault).await;
    let mut ssh = server.ssh();
    ssh.port = Some(proxy.port);
    let fleet = Fleet::with(&[("a", ssh)], |environment| {
        environment.keepalive = Duration::from_millis(300);
    });
    let counter = fleet.scratch.0.join("counter");
    let began = Instant::now();
    let stage = script("stage", vec![sh(&format!("echo x >>{counter}; sleep 3"))]);
    let result = fleet.remote.run(&host("a"), &stage).await.unwrap();
    assert_eq!(result.status, 0);
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
    assert_eq!(std::fs::read_to_string(counter).unwrap(), "x\n");
    assert!(proxy.connections.load(std::sync::atomic::Ordering::SeqCst) >= 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_stays_away_is_given_up_after_the_time_allowed() {
    let Some(server) = Sshd::start() else { return };
    let proxy = Proxy::start(server.port, |connection| {
        if connection == 0 { Fault::CutAfter(Duration::from_millis(1500)) } else { Fault::CutDown(0) }
    });
    let proxy = proxy.await;
    let mut ssh = server.ssh();
    ssh.port = Some(proxy.port);
    let fleet = Fleet::with(&[("a", ssh)], |environment| environment.lost_after = Duration::from_secs(2));
    let error = fleet.remote.run(&host("a"), &script("stage", vec![sh("sleep 20")])).await.unwrap_err();
    assert!(matches!(error, RemoteError::Lost { .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_link_is_no_fault() {
    let Some(server) = Sshd::start() else { return };
    let proxy = Proxy::start(server.port, |_| Fault::Delay(Duration::from_millis(120))).await;
    let mut ssh = server.ssh();
    ssh.port = Some(proxy.port);
    let fleet = Fleet::new(&[("a", ssh)]);
    assert_eq!(fleet.remote.run(&host("a"), &script("s", vec![sh("true")])).await.unwrap().status, 0);
    assert_eq!(proxy.connections.load(std::sync::atomic::Ordering::SeqCst), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_is_cut_starts_again_and_arrives_whole() {
    let Some(server) = Sshd::start() else { return };
    let fault = |connection| if connection < 2 { Fault::CutUp(700_000) } else { Fault::None };
    let proxy = Proxy::start(server.port, fault).await;
    let mut ssh = server.ssh();
    ssh.port = Some(proxy.port);
    let fleet = Fleet::new(&[("a", ssh)]);
    let content: Vec<u8> = (0..2_000_000_u32).map(|n| (n % 251) as u8).collect();
    let source = fleet.scratch.0.join("artifact");
    std::fs::write(&source, &content).unwrap();
    let sum = hex::encode(<sha2::Sha256 as sha2::Digest>::digest(&content));
    fleet.remote.upload(&host("a"), &source, &sum, &|_| {}).await.unwrap();
    let store = format!("{}/artifacts", fleet.layout("a").state);
    assert_eq!(std::fs::read(format!("{store}/{sum}")).unwrap(), content);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_taken_over_run_is_fenced() {
    let Some(server) = Sshd::start() else { return };
    let fleet = Fleet::new(&[("a", server.ssh())]);
    let mut stage = script("later", vec![sh("true")]);
    stage.epoch = 7;
    fleet.remote.run(&host("a"), &stage).await.unwrap();
    let error = fleet.remote.run(&host("a"), &script("earlier", vec![sh("true")])).await.unwrap_err();
    assert!(matches!(error, RemoteError::Fenced { own: 1, newest: 7 }), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stage_beyond_its_deadline_is_ended_over_there() {
    let Some(server) = Sshd::start() else { return };
    let fleet = Fleet::new(&[("a", server.ssh())]);
    let mut stage = script("slow", vec![sh("sleep 60")]);
    stage.deadline = 1;
    let error = fleet.remote.run(&host("a"), &stage).await.unwrap_err();
    assert!(matches!(error, RemoteError::Deadline { .. }), "{error}");
}
