//! Snapshots from a server that streams what the test says, on their way to the operator's sealed files.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use camino::{Utf8Path, Utf8PathBuf};
use keelwright::exec::snapshot::{Flaw, sample};
use keelwright::exec::{Etcd, EtcdMember, KubeError, PortError, SnapshotError, SystemClock, take_snapshot};
use keelwright::inventory::{ClusterName, HostName};
use keelwright::kube::{Endpoint, EtcdClient, TcpDialer};
use keelwright::release::KubeVersion;
use keelwright::state::{Home, Identity, Vault, snapshots};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::server::TlsStream;

use super::authority::Authority;

const VERSION: KubeVersion = KubeVersion::new(1, 34, 4);
/// What etcd puts into one message.
const PIECE: usize = 32 << 10;

/// A vault in a directory of its own, and the identity that opens it.
pub struct Shelf {
    pub vault: Vault,
    pub directory: Utf8PathBuf,
    identity: Utf8PathBuf,
}

impl Shelf {
    pub fn new(below: &Path) -> Self {
        let below = Utf8Path::from_path(below).unwrap();
        let (directory, identity) = (below.join("state"), below.join("identity.txt"));
        let name = ClusterName::parse("demo").unwrap();
        let key = Identity::load_or_create(&identity).unwrap();
        let vault = Vault::open_or_create(&directory, &key, &name, Arc::new(|| 1_767_225_600), None).unwrap();
        Shelf { vault, directory, identity }
    }

    /// As `age --decrypt -i IDENTITY` does.
    pub fn open(&self, path: &Utf8Path) -> Vec<u8> {
        let text = std::fs::read_to_string(&self.identity).unwrap();
        let key = text.lines().find(|line| line.starts_with("AGE-SECRET-KEY-1")).unwrap();
        let key: age::x25519::Identity = key.parse().unwrap();
        let sealed = std::fs::File::open(path).unwrap();
        let decryptor = age::Decryptor::new(sealed).unwrap();
        let mut plain = Vec::new();
        let keys = [&key as &dyn age::Identity];
        decryptor.decrypt(keys.into_iter()).unwrap().read_to_end(&mut plain).unwrap();
        plain
    }
}

/// How a stream ends.
#[derive(Clone, Copy, PartialEq)]
enum End {
    InOrder,
    /// The connection falls.
    Broken,
    /// etcd says why it stopped.
    Error,
    /// The last line never ends.
    Never,
}

/// One member's gateway: alone in its cluster, and healthy.
struct Gateway {
    port: u16,
    /// Bytes of the database that have been sent.
    sent: Arc<AtomicUsize>,
    task: tokio::task::JoinHandle<()>,
}

impl Gateway {
    /// Streams `bytes` in pieces, `total` of them in all as it says.
    async fn start(authority: &Authority, bytes: Vec<u8>, total: usize, end: End) -> Self {
        let acceptor = authority.acceptor("cp-1");
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let sent: Arc<AtomicUsize> = Arc::default();
        let (bytes, counter) = (Arc::new(bytes), Arc::clone(&sent));
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (acceptor, bytes, counter) = (acceptor.clone(), Arc::clone(&bytes), Arc::clone(&counter));
                connections.spawn(async move {
                    let Ok(mut stream) = acceptor.accept(stream).await else { return };
                    // The client goes away when it has seen enough.
                    while serve(&mut stream, &bytes, total, end, &counter).await.is_ok() {}
                });
            }
        });
        Gateway { port, sent, task }
    }

    fn client(&self, authority: &Authority) -> EtcdClient {
        let host = HostName::parse("cp-1").unwrap();
        let addresses = BTreeMap::from([(host.clone(), IpAddr::V4(Ipv4Addr::LOCALHOST))]);
        let endpoint = Endpoint { host, port: self.port, server_name: "cp-1".to_owned() };
        EtcdClient::new(Arc::new(TcpDialer { addresses }), vec![endpoint], Arc::new(authority.credentials()))
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Answers one request.
async fn serve(
    stream: &mut TlsStream<TcpStream>,
    bytes: &[u8],
    total: usize,
    end: End,
    sent: &AtomicUsize,
) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n{}") {
        head.push(stream.read_u8().await?);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let answer = match head.split(' ').nth(1).unwrap() {
        "/v3/cluster/member/list" => json!({"members": [{"ID": "7", "name": "cp-1"}]}),
        "/v3/maintenance/status" => json!({"header": {"member_id": "7"}, "leader": "7"}),
        path => {
            assert_eq!(path, "/v3/maintenance/snapshot");
            return send(stream, bytes, total, end, sent).await;
        }
    };
    let answer = answer.to_string();
    let text = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{answer}", answer.len());
    stream.write_all(text.as_bytes()).await
}

async fn send(
    stream: &mut TlsStream<TcpStream>,
    bytes: &[u8],
    total: usize,
    end: End,
    sent: &AtomicUsize,
) -> std::io::Result<()> {
    stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await?;
    let mut over = 0;
    for piece in bytes.chunks(PIECE) {
        over += piece.len();
        // The hash is not counted: nothing remains before it, and nothing after it.
        let remaining = total.saturating_sub(over).to_string();
        let line = json!({"result": {"remaining_bytes": remaining, "blob": STANDARD.encode(piece)}});
        chunk(stream, format!("{line}\n").as_bytes()).await?;
        sent.store(over, Ordering::SeqCst);
    }
    match end {
        End::InOrder => stream.write_all(b"0\r\n\r\n").await,
        End::Broken => Err(std::io::ErrorKind::ConnectionReset.into()),
        End::Error => {
            chunk(stream, b"{\"error\":{\"message\":\"etcdserver: no leader\"}}\n").await?;
            stream.write_all(b"0\r\n\r\n").await
        }
        End::Never => loop {
            chunk(stream, &[b'x'; 64 << 10]).await?;
            sent.fetch_add(64 << 10, Ordering::SeqCst);
        },
    }
}

async fn chunk(stream: &mut TlsStream<TcpStream>, data: &[u8]) -> std::io::Result<()> {
    stream.write_all(format!("{:x}\r\n", data.len()).as_bytes()).await?;
    stream.write_all(data).await?;
    stream.write_all(b"\r\n").await?;
    stream.flush().await
}

struct Scratch(std::path::PathBuf);

impl Scratch {
    fn new() -> Self {
        let path = std::env::temp_dir().join(format!("keelwright-it-{}", uuid::Uuid::new_v4()));
        std::fs::create_dir_all(&path).unwrap();
        Scratch(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn member() -> EtcdMember {
    EtcdMember {
        id: 7,
        name: "cp-1".to_owned(),
        peer_urls: Vec::new(),
        client_urls: Vec::new(),
        learner: false,
        healthy: true,
        leader: true,
    }
}

#[tokio::test]
async fn a_whole_stream_becomes_a_sealed_file() {
    let (authority, scratch) = (Authority::new(), Scratch::new());
    let bytes = sample(&b"keys and values".repeat(20_000));
    let gateway = Gateway::start(&authority, bytes.clone(), bytes.len() - 32, End::InOrder).await;
    let shelf = Shelf::new(&scratch.0);
    let client = gateway.client(&authority);
    let taken =
        take_snapshot(&client, &shelf.vault, &SystemClock::default(), VERSION, Duration::ZERO).await.unwrap();
    assert_eq!(shelf.open(Utf8Path::new(&taken.place)), bytes);
    assert!(taken.place.ends_with("/state/snapshots/2026-01-01T00-00-00Z-v1.34.4.db.age"), "{}", taken.place);
    assert_eq!(snapshots::list(&Home::local(&shelf.directory)).unwrap().len(), 1);
}

#[tokio::test]
async fn a_stream_that_is_cut_or_wrong_is_told_and_leaves_no_file() {
    let good = sample(&b"keys and values".repeat(20_000));
    let database = good.len() - 32;
    let mut changed = good.clone();
    changed[9000] ^= 1;
    let half = good[..2 * PIECE].to_vec();
    let no_hash = good[..database].to_vec();
    // What is sent, how it ends, and whether it is the stream or what came that is wrong.
    let table = [
        (half.clone(), End::Broken, "snapshot of etcd member cp-1"),
        (half.clone(), End::InOrder, "bytes early"),
        (half, End::Error, "no leader"),
        (good, End::Broken, "snapshot of etcd member cp-1"),
        (Vec::new(), End::InOrder, "empty"),
        (no_hash, End::InOrder, ""),
        (changed, End::InOrder, ""),
    ];
    for (number, (bytes, end, part)) in table.into_iter().enumerate() {
        let (authority, scratch) = (Authority::new(), Scratch::new());
        let gateway = Gateway::start(&authority, bytes, database, end).await;
        let shelf = Shelf::new(&scratch.0);
        let client = gateway.client(&authority);
        let clock = SystemClock::default();
        let error = take_snapshot(&client, &shelf.vault, &clock, VERSION, Duration::ZERO).await.unwrap_err();
        match &error {
            SnapshotError::Stream { source, .. } if !part.is_empty() => {
                assert!(source.to_string().contains(part), "{number}: {source}");
            }
            SnapshotError::Flawed { source: Flaw::Hash, .. } if part.is_empty() => {}
            other => panic!("{number}: {other:?}"),
        }
        let directory = shelf.directory.join(snapshots::SNAPSHOTS_DIRECTORY);
        assert_eq!(directory.read_dir_utf8().unwrap().count(), 0, "{number}");
    }
}

/// Sockets hold some MiB on both sides; a client that reads ahead would be given everything at once.
const AHEAD: usize = 16 << 20;

#[tokio::test(flavor = "multi_thread")]
async fn a_large_database_is_never_in_memory() {
    let authority = Authority::new();
    let bytes = sample(&vec![7; 48 << 20]);
    let length = bytes.len();
    let gateway = Gateway::start(&authority, bytes, length - 32, End::InOrder).await;
    let (mut received, mut ahead) = (0, 0);
    let mut sink = |piece: &[u8]| {
        ahead = ahead.max(gateway.sent.load(Ordering::SeqCst).saturating_sub(received));
        received += piece.len();
        assert!(piece.len() <= PIECE);
        Ok(())
    };
    gateway.client(&authority).snapshot(&member(), &mut sink).await.unwrap();
    assert_eq!(received, length);
    assert!(ahead < AHEAD, "{ahead} bytes were read before they were written");

    // And a line without an end is not read for ever.
    let gateway = Gateway::start(&authority, Vec::new(), 1, End::Never).await;
    let error = gateway.client(&authority).snapshot(&member(), &mut |_| Ok(())).await.unwrap_err();
    assert!(matches!(&error, KubeError::Unreachable(text) if text.contains("without an end")), "{error}");
    assert!(gateway.sent.load(Ordering::SeqCst) < 2 * AHEAD);
}

#[tokio::test]
async fn a_disk_that_is_full_ends_the_stream() {
    let authority = Authority::new();
    let bytes = sample(&vec![7; 48 << 20]);
    let gateway = Gateway::start(&authority, bytes.clone(), bytes.len() - 32, End::InOrder).await;
    let mut full = |_: &[u8]| Err(PortError("no space left on device".to_owned()));
    let error = gateway.client(&authority).snapshot(&member(), &mut full).await.unwrap_err();
    assert!(error.to_string().contains("no space"), "{error}");
    assert!(gateway.sent.load(Ordering::SeqCst) < AHEAD);
}
