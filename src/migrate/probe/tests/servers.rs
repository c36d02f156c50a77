//! Servers that answer, and servers that do not.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

/// What a server does with a connection.
#[derive(Debug, Clone)]
pub(super) enum Manner {
    /// Reads a request and says this.
    Says(String),
    /// The same after a while.
    SaysAfter(Duration, String),
    /// Says this, and nothing more, with the connection open.
    SaysAndHangs(String),
    /// Reads, and says nothing.
    Hangs,
    /// Closes the connection when something has come.
    Closes,
    /// Resets it then.
    Resets,
}

/// A server that ends with its test.
pub(super) struct Server {
    pub(super) at: SocketAddr,
    heard: Arc<Mutex<Vec<Heard>>>,
    task: JoinHandle<()>,
}

/// What came over one connection.
#[derive(Debug, Clone, Default)]
pub(super) struct Heard {
    pub(super) server_name: Option<String>,
    pub(super) request: String,
    /// The session was a new one.
    pub(super) is_whole: bool,
}

/// A page with a status.
pub(super) fn page(status: &str) -> String {
    format!("HTTP/1.1 {status}\r\nContent-Length: 5\r\n\r\nhello")
}

impl Server {
    pub(super) async fn plain(manner: Manner) -> Self {
        Server::start((Ipv4Addr::LOCALHOST, 0).into(), manner, None).await
    }

    pub(super) async fn tls(manner: Manner, config: Arc<ServerConfig>) -> Self {
        Server::start((Ipv4Addr::LOCALHOST, 0).into(), manner, Some(config)).await
    }

    pub(super) async fn v6(manner: Manner) -> Self {
        Server::start((Ipv6Addr::LOCALHOST, 0).into(), manner, None).await
    }

    async fn start(at: SocketAddr, manner: Manner, tls: Option<Arc<ServerConfig>>) -> Self {
        let listener = TcpListener::bind(at).await.unwrap();
        let (at, heard) = (listener.local_addr().unwrap(), Arc::default());
        let task = tokio::spawn(accept(listener, manner, tls.map(TlsAcceptor::from), Arc::clone(&heard)));
        Server { at, heard, task }
    }

    /// What has come so far, connection by connection.
    pub(super) fn heard(&self) -> Vec<Heard> {
        self.heard.lock().unwrap().clone()
    }

    /// Nobody is there any more; the address is the same.
    pub(super) async fn stop(mut self) -> SocketAddr {
        self.task.abort();
        let _ = (&mut self.task).await;
        self.at
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(
    listener: TcpListener,
    manner: Manner,
    tls: Option<TlsAcceptor>,
    heard: Arc<Mutex<Vec<Heard>>>,
) {
    // They end with the server.
    let mut open = tokio::task::JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        open.spawn(connection(stream, manner.clone(), tls.clone(), Arc::clone(&heard)));
    }
}

async fn connection(
    stream: TcpStream,
    manner: Manner,
    tls: Option<TlsAcceptor>,
    heard: Arc<Mutex<Vec<Heard>>>,
) {
    let Some(tls) = tls else {
        return serve(stream, &manner, Heard::default(), &heard).await;
    };
    let Ok(stream) = tls.accept(stream).await else { return };
    let session = stream.get_ref().1;
    let about = Heard {
        server_name: session.server_name().map(str::to_owned),
        is_whole: session.handshake_kind() != Some(rustls::HandshakeKind::Resumed),
        request: String::new(),
    };
    serve(stream, &manner, about, &heard).await;
}

async fn serve(
    mut stream: impl AsyncRead + AsyncWrite + Unpin + Linger,
    manner: &Manner,
    mut about: Heard,
    heard: &Mutex<Vec<Heard>>,
) {
    let mut bytes = [0; 4096];
    let count = stream.read(&mut bytes).await.unwrap_or_default();
    about.request = String::from_utf8_lossy(&bytes[..count]).into_owned();
    heard.lock().unwrap().push(about);
    match manner {
        Manner::Says(text) => {
            let _ = stream.write_all(text.as_bytes()).await;
            let _ = stream.shutdown().await;
        }
        Manner::SaysAfter(pause, text) => {
            tokio::time::sleep(*pause).await;
            let _ = stream.write_all(text.as_bytes()).await;
        }
        Manner::SaysAndHangs(text) => {
            let _ = stream.write_all(text.as_bytes()).await;
            let _ = stream.flush().await;
            std::future::pending::<()>().await;
        }
        Manner::Hangs => std::future::pending().await,
        Manner::Closes => {}
        Manner::Resets => stream.reset(),
    }
}

/// Ends a connection so that the other side is told of an error.
trait Linger {
    fn reset(&mut self);
}

impl Linger for TcpStream {
    fn reset(&mut self) {
        self.set_zero_linger().unwrap();
    }
}

impl Linger for tokio_rustls::server::TlsStream<TcpStream> {
    fn reset(&mut self) {
        self.get_mut().0.reset();
    }
}
