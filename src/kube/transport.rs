//! HTTP over streams that somebody else opens: mutual TLS, connections kept, the next endpoint when one
//! does not answer. There is no port on this machine that others could use.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::tls::{CredentialSource, client_config};
use crate::inventory::HostName;

/// For a stream, TLS and HTTP to be set up; a tunnel through bastions included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
/// For the head of a response. An API server itself ends requests after 60 s.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(70);

/// A stream in both directions.
pub trait AsyncReadWrite: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> AsyncReadWrite for T {}

/// Opens streams to a port of a host: an SSH tunnel, or plain TCP.
pub trait Dialer: Send + Sync {
    fn dial<'a>(
        &'a self,
        host: &'a HostName,
        port: u16,
    ) -> BoxFuture<'a, io::Result<Box<dyn AsyncReadWrite>>>;
}

/// Dials addresses directly: for endpoints outside of any tunnel, and tests.
#[derive(Debug, Clone, Default)]
pub struct TcpDialer {
    /// Where a host's name leads; a name without an entry is looked up.
    pub addresses: BTreeMap<HostName, std::net::IpAddr>,
}

impl Dialer for TcpDialer {
    fn dial<'a>(
        &'a self,
        host: &'a HostName,
        port: u16,
    ) -> BoxFuture<'a, io::Result<Box<dyn AsyncReadWrite>>> {
        Box::pin(async move {
            let stream = match self.addresses.get(host) {
                Some(address) => tokio::net::TcpStream::connect((*address, port)).await?,
                None => tokio::net::TcpStream::connect((host.as_str(), port)).await?,
            };
            stream.set_nodelay(true)?;
            Ok(Box::new(stream) as Box<dyn AsyncReadWrite>)
        })
    }
}

/// One server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    pub host: HostName,
    pub port: u16,
    /// What its certificate must be for: `kubernetes` for an API server, an etcd member's own name.
    pub server_name: String,
}

/// In a request's extensions: this host and no other.
#[derive(Debug, Clone)]
pub(super) struct OnlyHost(pub HostName);

/// In a response's extensions: which endpoint answered, by its index.
#[derive(Debug, Clone, Copy)]
pub(super) struct AnsweredBy(pub usize);

/// Why no response came.
#[derive(Debug, Clone, thiserror::Error)]
pub(super) enum TransportError {
    #[error("there is no {0} to ask")]
    NoEndpoint(String),
    /// Nothing was sent.
    #[error("{host}: {reason}")]
    Connect { host: HostName, reason: String },
    /// Sent; whether it was acted on is unknown.
    #[error("{host}: {reason}")]
    Broken { host: HostName, reason: String },
}

type Sender = SendRequest<Full<Bytes>>;

/// Servers that are as good as each other.
pub(super) struct Transport {
    dialer: Arc<dyn Dialer>,
    credentials: Arc<dyn CredentialSource>,
    endpoints: Vec<Endpoint>,
    /// The one that answered last.
    preferred: AtomicUsize,
    idle: Mutex<BTreeMap<usize, Vec<Sender>>>,
}

impl Transport {
    pub fn new(
        dialer: Arc<dyn Dialer>,
        endpoints: Vec<Endpoint>,
        credentials: Arc<dyn CredentialSource>,
    ) -> Self {
        let (preferred, idle) = (AtomicUsize::new(0), Mutex::new(BTreeMap::new()));
        Transport { dialer, credentials, endpoints, preferred, idle }
    }

    pub fn endpoints(&self) -> &[Endpoint] {
        &self.endpoints
    }

    /// Starts with another endpoint from now on, if `failed` is still the first.
    pub fn avoid(&self, failed: usize) {
        let next = (failed + 1) % self.endpoints.len().max(1);
        // Somebody else may have moved on already; then theirs is as good.
        let _ = self.preferred.compare_exchange(failed, next, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// Asks the endpoints in turn, from the one that answered last. A request that may not be repeated
    /// (POST) goes to the next one only when nothing of it was sent.
    pub async fn send(&self, request: Request<Bytes>) -> Result<Response<Incoming>, TransportError> {
        let only = request.extensions().get::<OnlyHost>().map(|only| only.0.clone());
        let repeatable = request.method() != http::Method::POST;
        let first = self.preferred.load(Ordering::Relaxed);
        let count = self.endpoints.len();
        let mut last = TransportError::NoEndpoint(
            only.as_ref().map_or_else(|| "server".to_owned(), |host| format!("server on {host}")),
        );
        for index in (0..count).map(|offset| (first + offset) % count) {
            let Some(endpoint) = self.endpoints.get(index) else { continue };
            if only.as_ref().is_some_and(|host| *host != endpoint.host) {
                continue;
            }
            match self.send_to(index, endpoint, &request).await {
                Ok(mut response) => {
                    if only.is_none() {
                        self.preferred.store(index, Ordering::Relaxed);
                    }
                    response.extensions_mut().insert(AnsweredBy(index));
                    return Ok(response);
                }
                Err(error @ TransportError::Broken { .. }) if !repeatable => return Err(error),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    async fn send_to(
        &self,
        index: usize,
        endpoint: &Endpoint,
        request: &Request<Bytes>,
    ) -> Result<Response<Incoming>, TransportError> {
        let connect = |reason: String| TransportError::Connect { host: endpoint.host.clone(), reason };
        let broken = |reason: String| TransportError::Broken { host: endpoint.host.clone(), reason };
        loop {
            let kept = self.take_idle(index);
            let was_kept = kept.is_some();
            let mut sender = match kept {
                Some(sender) => sender,
                None => timeout(CONNECT_TIMEOUT, self.connect(endpoint))
                    .await
                    .map_err(|_| connect(format!("no connection within {} s", CONNECT_TIMEOUT.as_secs())))?
                    .map_err(connect)?,
            };
            let wire = on_the_wire(request, endpoint).map_err(|error| connect(error.to_string()))?;
            match timeout(RESPONSE_TIMEOUT, sender.try_send_request(wire)).await {
                Err(_) => return Err(broken(format!("no answer within {} s", RESPONSE_TIMEOUT.as_secs()))),
                Ok(Ok(response)) => {
                    // Ready again when the body has been read; until then `is_ready` is false.
                    self.idle_of(|idle| idle.entry(index).or_default().push(sender));
                    return Ok(response);
                }
                Ok(Err(mut error)) => {
                    let unsent = error.take_message().is_some();
                    let reason = chain(&error.into_error());
                    match (unsent, was_kept) {
                        // Nothing left this machine: the server had closed a connection that we kept.
                        (true, true) => {}
                        (true, false) => return Err(connect(reason)),
                        (false, _) => return Err(broken(reason)),
                    }
                }
            }
        }
    }

    fn idle_of<T>(&self, act: impl FnOnce(&mut BTreeMap<usize, Vec<Sender>>) -> T) -> T {
        act(&mut self.idle.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn take_idle(&self, index: usize) -> Option<Sender> {
        self.idle_of(|idle| {
            let kept = idle.get_mut(&index)?;
            kept.retain(|sender| !sender.is_closed());
            let free = kept.iter().position(SendRequest::is_ready)?;
            Some(kept.swap_remove(free))
        })
    }

    async fn connect(&self, endpoint: &Endpoint) -> Result<Sender, String> {
        let config =
            client_config(&self.credentials.credentials(&endpoint.host)?).map_err(|error| chain(&error))?;
        let connector = TlsConnector::from(Arc::new(config));
        let stream =
            self.dialer.dial(&endpoint.host, endpoint.port).await.map_err(|error| error.to_string())?;
        let name = ServerName::try_from(endpoint.server_name.clone()).map_err(|error| error.to_string())?;
        let stream = connector.connect(name, stream).await.map_err(|error| error.to_string())?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(|error| chain(&error))?;
        // Ends with the connection; an error is seen by whoever waits for a response.
        tokio::spawn(async move {
            let _ = connection.await;
        });
        Ok(sender)
    }
}

/// HTTP/1.1 wants the path alone in the request line, and a Host.
fn on_the_wire(request: &Request<Bytes>, endpoint: &Endpoint) -> Result<Request<Full<Bytes>>, http::Error> {
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    let mut builder = Request::builder()
        .method(request.method())
        .uri(path)
        .header(http::header::HOST, format!("{}:{}", endpoint.server_name, endpoint.port));
    for (name, value) in request.headers() {
        if name != http::header::HOST {
            builder = builder.header(name, value);
        }
    }
    builder.body(Full::new(request.body().clone()))
}

/// An error with its causes in one line.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}
