//! What the tests of this module share: scratch directories and an https server that serves, or misbehaves.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use camino::{Utf8Path, Utf8PathBuf};
use rustls::pki_types::PrivatePkcs8KeyDer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// A directory of its own that goes away with it.
pub struct Scratch(Utf8PathBuf);

impl Scratch {
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let base = Utf8PathBuf::from_path_buf(std::env::temp_dir()).unwrap();
        let path = base.join(format!("keelwright-bundle-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Scratch(path)
    }

    pub fn path(&self) -> &Utf8Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// How a path is answered.
#[derive(Debug, Clone)]
pub enum Answer {
    Body(Vec<u8>),
    /// Announces all of the body and sends only so many bytes of it.
    CutOff(Vec<u8>, usize),
    /// Sends the body without announcing its length.
    Unannounced(Vec<u8>),
    Redirect(String),
    Typed(&'static str, Vec<u8>),
}

/// An https server on this machine, with a certificate of its own authority.
pub struct Server {
    pub address: String,
    authority: String,
    answers: Arc<Mutex<BTreeMap<String, Answer>>>,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Server {
    pub async fn start() -> Self {
        let certified = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let key = PrivatePkcs8KeyDer::from(certified.signing_key.serialize_der());
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certified.cert.der().clone()], key.into())
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = Server {
            address: format!("localhost:{port}"),
            authority: certified.cert.pem(),
            answers: Arc::default(),
            requests: Arc::default(),
        };
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let (answers, requests) = (server.answers.clone(), server.requests.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, answers, requests) = (acceptor.clone(), answers.clone(), requests.clone());
                tokio::spawn(async move {
                    if let Ok(stream) = acceptor.accept(stream).await {
                        serve(stream, &answers, &requests).await;
                    }
                });
            }
        });
        server
    }

    /// Answers `path` like this from now on.
    pub fn put(&self, path: &str, answer: Answer) {
        self.answers.lock().unwrap().insert(format!("/{path}"), answer);
    }

    /// Serves a file and, beside it, its SHA-256.
    pub fn publish(&self, path: &str, checksum: &str, body: &[u8]) {
        let print = super::hash::fingerprint_bytes(body);
        let name = path.rsplit('/').next().unwrap();
        self.put(path, Answer::Body(body.to_vec()));
        self.put(checksum, Answer::Body(format!("{}  {name}\n", print.sha256).into_bytes()));
    }

    /// The paths asked for so far.
    pub fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }

    /// Writes the certificate to trust into `directory`.
    pub fn authority(&self, directory: &Utf8Path) -> Utf8PathBuf {
        let path = directory.join("ca.pem");
        std::fs::write(&path, &self.authority).unwrap();
        path
    }
}

async fn serve(
    mut stream: tokio_rustls::server::TlsStream<tokio::net::TcpStream>,
    answers: &Mutex<BTreeMap<String, Answer>>,
    requests: &Mutex<Vec<String>>,
) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    let head = String::from_utf8(head).unwrap();
    let path = head.split(' ').nth(1).unwrap().to_owned();
    let answer = answers.lock().unwrap().get(&path).cloned();
    requests.lock().unwrap().push(path);
    let with_length = |kind: &str, length: usize| {
        format!(
            "HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n"
        )
    };
    const BYTES: &str = "application/octet-stream";
    let (head, body) = match answer {
        Some(Answer::Body(body)) => (with_length(BYTES, body.len()), body),
        Some(Answer::Typed(kind, body)) => (with_length(kind, body.len()), body),
        Some(Answer::CutOff(body, sent)) => (with_length(BYTES, body.len()), body[..sent].to_vec()),
        Some(Answer::Unannounced(body)) => ("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n".to_owned(), body),
        Some(Answer::Redirect(to)) => (
            format!("HTTP/1.1 302 Found\r\nlocation: {to}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"),
            Vec::new(),
        ),
        None => (
            "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".to_owned(),
            Vec::new(),
        ),
    };
    let _ = stream.write_all(head.as_bytes()).await;
    let _ = stream.write_all(&body).await;
    let _ = stream.shutdown().await;
}

/// The chain of an error's causes, as the operator sees it.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}
