//! Failover, retries and refusals, with servers that answer what the test says.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use keelwright::exec::{KubeApi, KubeError};
use keelwright::inventory::HostName;
use keelwright::kube::{Endpoint, KubeClient, TcpDialer};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::authority::Authority;

type Answer = dyn Fn(&str, &str) -> Response<Full<Bytes>> + Send + Sync;

/// One API server, listening on a port of its own.
pub struct Server {
    name: &'static str,
    port: u16,
    /// `METHOD path` of every request.
    log: Arc<Mutex<Vec<String>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Server {
    pub async fn start(
        authority: &Authority,
        name: &'static str,
        certificate_name: &str,
        answer: impl Fn(&str, &str) -> Response<Full<Bytes>> + Send + Sync + 'static,
    ) -> Self {
        let acceptor = authority.acceptor(certificate_name);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let log: Arc<Mutex<Vec<String>>> = Arc::default();
        let answer: Arc<Answer> = Arc::new(answer);
        let seen = Arc::clone(&log);
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (acceptor, answer, seen) = (acceptor.clone(), Arc::clone(&answer), Arc::clone(&seen));
                connections.spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    let service = service_fn(|request: Request<Incoming>| {
                        let (method, path) = (request.method().to_string(), request.uri().to_string());
                        seen.lock().unwrap().push(format!("{method} {path}"));
                        let response = answer(&method, &path);
                        async move { Ok::<_, Infallible>(response) }
                    });
                    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Server { name, port, log, task }
    }

    pub fn requests(&self) -> Vec<String> {
        self.log.lock().unwrap().clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub fn response(code: u16, body: &Value) -> Response<Full<Bytes>> {
    Response::builder().status(code).body(Full::new(Bytes::from(body.to_string()))).unwrap()
}

pub fn status(code: u16, message: &str) -> Response<Full<Bytes>> {
    response(code, &json!({"kind": "Status", "code": code, "message": message}))
}

/// Discovery of core/v1, and a Node for everything else.
fn healthy(_: &str, path: &str) -> Response<Full<Bytes>> {
    match path {
        "/api/v1" => response(
            200,
            &json!({"kind": "APIResourceList", "resources": [
                {"name": "nodes", "kind": "Node", "namespaced": false},
                {"name": "nodes/status", "kind": "Node", "namespaced": false},
                {"name": "pods", "kind": "Pod", "namespaced": true},
            ]}),
        ),
        "/readyz" => Response::new(Full::new(Bytes::from_static(b"ok"))),
        _ => response(200, &json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n"}})),
    }
}

pub fn host(name: &str) -> HostName {
    HostName::parse(name).unwrap()
}

pub fn client(authority: &Authority, servers: &[&Server]) -> KubeClient {
    let endpoint = |server: &&Server| Endpoint {
        host: host(server.name),
        port: server.port,
        server_name: "kubernetes".to_owned(),
    };
    let addresses: BTreeMap<_, _> =
        servers.iter().map(|server| (host(server.name), IpAddr::V4(Ipv4Addr::LOCALHOST))).collect();
    let endpoints = servers.iter().map(endpoint).collect();
    KubeClient::new(Arc::new(TcpDialer { addresses }), endpoints, Arc::new(authority.credentials()))
}

fn node() -> Value {
    json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n"}})
}

#[tokio::test]
async fn goes_to_the_next_control_plane_and_stays_there() {
    let authority = Authority::new();
    let first = Server::start(&authority, "cp-1", "kubernetes", healthy).await;
    let second = Server::start(&authority, "cp-2", "kubernetes", healthy).await;
    let client = client(&authority, &[&first, &second]);
    client.apply(&node()).await.unwrap();
    assert_eq!(first.requests(), ["GET /api/v1", "PATCH /api/v1/nodes/n?fieldManager=keelwright&force=true"]);
    drop(first);
    tokio::task::yield_now().await;
    for _ in 0..3 {
        client.fetch(&[node()]).await.unwrap();
    }
    assert_eq!(second.requests(), ["GET /api/v1/nodes/n"; 3]);
    assert!(matches!(client.ready(&host("cp-1")).await, Err(KubeError::Unreachable(_))));
    client.ready(&host("cp-2")).await.unwrap();
    assert!(matches!(client.ready(&host("cp-3")).await, Err(KubeError::Unreachable(_))));
}

#[tokio::test]
async fn refuses_a_server_that_is_not_the_clusters() {
    let authority = Authority::new();
    let other_name = Server::start(&authority, "cp-1", "example", healthy).await;
    let stranger = Server::start(&Authority::new(), "cp-2", "kubernetes", healthy).await;
    let client = client(&authority, &[&other_name, &stranger]);
    for name in ["cp-1", "cp-2"] {
        let error = client.ready(&host(name)).await.unwrap_err().to_string();
        assert!(error.contains("certificate"), "{error}");
    }
    assert!(other_name.requests().is_empty() && stranger.requests().is_empty());
}

#[tokio::test]
async fn tries_again_what_may_pass_until_its_patience_ends() {
    let authority = Authority::new();
    let count = Mutex::new(0);
    let server = Server::start(&authority, "cp-1", "kubernetes", move |method, path| {
        if method != "PATCH" {
            return healthy(method, path);
        }
        let mut count = count.lock().unwrap();
        *count += 1;
        match *count {
            1 => status(503, "starting"),
            2 => {
                let mut busy = status(429, "too many");
                busy.headers_mut().insert("retry-after", "1".parse().unwrap());
                busy
            }
            _ => healthy(method, path),
        }
    })
    .await;
    let patient = client(&authority, &[&server]).patient(Duration::from_secs(20));
    let start = Instant::now();
    patient.apply(&node()).await.unwrap();
    assert!(start.elapsed() >= Duration::from_secs(1), "did not wait as long as it was told");
    assert_eq!(server.requests().len(), 4);
}

#[tokio::test]
async fn a_refusal_is_final_and_says_what_and_why() {
    let authority = Authority::new();
    let server = Server::start(&authority, "cp-1", "kubernetes", |method, path| {
        if method == "GET" { healthy(method, path) } else { status(409, "the object has been modified") }
    })
    .await;
    let client = client(&authority, &[&server]).patient(Duration::from_secs(20));
    let error = client.patch(&node(), &json!({})).await.unwrap_err();
    assert_eq!(error.to_string(), "Node n: the object has been modified (HTTP 409)");
    let error =
        client.apply(&json!({"apiVersion": "v1", "kind": "Unknown", "metadata": {"name": "x"}})).await;
    assert!(matches!(error, Err(KubeError::Refused { code: 404, .. })));
    let evicted = client.evict("default", "p").await;
    assert!(matches!(evicted, Err(KubeError::Refused { code: 409, .. })));
}

#[tokio::test]
async fn a_budget_that_forbids_an_eviction_is_told_at_once() {
    let authority = Authority::new();
    let server = Server::start(&authority, "cp-1", "kubernetes", |_, _| status(429, "budget")).await;
    let client = client(&authority, &[&server]).patient(Duration::from_secs(20));
    let start = Instant::now();
    assert!(matches!(client.evict("default", "p").await, Err(KubeError::Refused { code: 429, .. })));
    assert!(start.elapsed() < Duration::from_secs(10));
    assert_eq!(server.requests(), ["POST /api/v1/namespaces/default/pods/p/eviction"]);
}

#[tokio::test]
async fn reads_long_lists_page_by_page() {
    let authority = Authority::new();
    let server = Server::start(&authority, "cp-1", "kubernetes", |method, path| match path {
        "/api/v1/pods?limit=500" => {
            response(200, &json!({"metadata": {"continue": "a/b="}, "items": [{"metadata": {"name": "1"}}]}))
        }
        "/api/v1/pods?limit=500&continue=a%2Fb%3D" => {
            response(200, &json!({"metadata": {}, "items": [{"metadata": {"name": "2"}}]}))
        }
        _ => healthy(method, path),
    })
    .await;
    let pods = client(&authority, &[&server]).list("v1", "Pod").await.unwrap();
    assert_eq!(
        pods,
        [
            json!({"metadata": {"name": "1"}, "apiVersion": "v1", "kind": "Pod"}),
            json!({"metadata": {"name": "2"}, "apiVersion": "v1", "kind": "Pod"}),
        ]
    );
}
