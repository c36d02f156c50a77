//! Probe, run, upload and forward on a good day.

use keelwright::exec::{Remote, StageResult};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::sshd::{Fleet, Sshd, host, script, sh, write_file};

#[tokio::test]
async fn a_probe_gets_its_input_and_gives_its_output_as_root() {
    let Some(server) = Sshd::start() else { return };
    let fleet = Fleet::new(&[("a", server.ssh())]);
    let said = fleet.remote.probe(&host("a"), "id -u; cat; echo done >&2", b"some\0input\n").await.unwrap();
    assert_eq!(said, b"0\nsome\0input\n");
    let long = format!("# {}\ncat | sha256sum", "x".repeat(300_000));
    let input = vec![7_u8; 5_000_000];
    let said = fleet.remote.probe(&host("a"), &long, &input).await.unwrap();
    assert_eq!(
        String::from_utf8(said).unwrap().split(' ').next().unwrap(),
        hex::encode(Sha256::digest(&input))
    );
}

#[tokio::test]
async fn a_stage_runs_once_and_a_second_one_changes_nothing() {
    let Some(server) = Sshd::start() else { return };
    let fleet = Fleet::new(&[("a", server.ssh())]);
    let path = fleet.scratch.0.join("made/here.conf");
    let ops = vec![write_file(path.as_str(), "hello\n"), sh("echo ran >&2")];
    let first = fleet.remote.run(&host("a"), &script("s1", ops.clone())).await.unwrap();
    assert_eq!(first, StageResult { status: 0, completed: 2, output: String::new(), changed: vec![0, 1] });
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "hello\n");
    let second = fleet.remote.run(&host("a"), &script("s2", ops)).await.unwrap();
    assert_eq!(second.changed, [1]);
}

#[tokio::test]
async fn a_failing_operation_ends_the_stage_and_tells_what_it_printed() {
    let Some(server) = Sshd::start() else { return };
    let fleet = Fleet::new(&[("a", server.ssh())]);
    let marker = fleet.scratch.0.join("marker");
    let ops =
        vec![sh("echo fine"), sh("echo out; echo no luck >&2; exit 3"), write_file(marker.as_str(), "x")];
    let result = fleet.remote.run(&host("a"), &script("s1", ops)).await.unwrap();
    assert_eq!(
        result,
        StageResult { status: 3, completed: 1, output: "out\nno luck\n".into(), changed: vec![0] }
    );
    assert!(!marker.exists());
}

#[tokio::test]
async fn an_upload_is_checked_and_is_not_sent_twice() {
    let Some(server) = Sshd::start() else { return };
    let fleet = Fleet::new(&[("a", server.ssh())]);
    let content = vec![b'k'; 3_000_000];
    let source = fleet.scratch.0.join("artifact");
    std::fs::write(&source, &content).unwrap();
    let sum = hex::encode(Sha256::digest(&content));
    let sent = std::sync::atomic::AtomicU64::new(0);
    let progress = |bytes| sent.store(bytes, std::sync::atomic::Ordering::SeqCst);
    fleet.remote.upload(&host("a"), &source, &sum, &progress).await.unwrap();
    assert_eq!(sent.load(std::sync::atomic::Ordering::SeqCst), 3_000_000);
    let store = format!("{}/artifacts", fleet.layout("a").state);
    assert_eq!(std::fs::read(format!("{store}/{sum}")).unwrap(), content);
    sent.store(0, std::sync::atomic::Ordering::SeqCst);
    fleet.remote.upload(&host("a"), &source, &sum, &progress).await.unwrap();
    assert_eq!(sent.load(std::sync::atomic::Ordering::SeqCst), 0);
    let wrong = "0".repeat(64);
    let error = fleet.remote.upload(&host("a"), &source, &wrong, &progress).await.unwrap_err();
    assert!(error.to_string().contains(&format!("expected hash {wrong}, got {sum}")), "{error}");
    assert_eq!(std::fs::read_dir(store).unwrap().count(), 1, "nothing half is left");
}

#[tokio::test]
async fn a_forward_serves_several_clients_until_it_is_dropped() {
    let Some(server) = Sshd::start() else { return };
    let fleet = Fleet::new(&[("a", server.ssh())]);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut read, mut write) = client.split();
                let _ = tokio::io::copy(&mut read, &mut write).await;
            });
        }
    });
    let forward = fleet.remote.forward(&host("a"), "127.0.0.1", port).await.unwrap();
    let local = forward.local;
    let clients = (0..4).map(|number| async move {
        let mut client = tokio::net::TcpStream::connect(local).await.unwrap();
        let message = vec![number; 200_000];
        let (mut read, mut write) = client.split();
        let mut echoed = vec![0; message.len()];
        tokio::try_join!(write.write_all(&message), read.read_exact(&mut echoed)).unwrap();
        assert_eq!(echoed, message);
    });
    futures::future::join_all(clients).await;
    drop(forward);
    tokio::task::yield_now().await;
    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    assert!(tokio::net::TcpStream::connect(local).await.is_err());
}
