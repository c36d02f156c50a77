//! A TCP proxy that misbehaves on purpose.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// What happens to one connection.
#[derive(Debug, Clone, Copy)]
pub enum Fault {
    None,
    /// Both ends are closed after so many bytes to the server.
    CutUp(usize),
    /// … to the client.
    CutDown(usize),
    /// … after so long.
    CutAfter(Duration),
    /// Nothing passes any more after so long, and nobody is told.
    StallAfter(Duration),
    /// Every piece comes later.
    Delay(Duration),
}

pub struct Proxy {
    pub port: u16,
    pub connections: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Proxy {
    /// `plan` says what happens to the first, second, … connection.
    pub async fn start(target: u16, plan: impl Fn(usize) -> Fault + Send + 'static) -> Proxy {
        Proxy::start_to((Ipv4Addr::LOCALHOST, target).into(), plan).await
    }

    pub async fn start_to(target: SocketAddr, plan: impl Fn(usize) -> Fault + Send + 'static) -> Proxy {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let connections = Arc::new(AtomicUsize::new(0));
        let counter = connections.clone();
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let fault = plan(counter.fetch_add(1, Ordering::SeqCst));
                tokio::spawn(async move {
                    let Ok(server) = TcpStream::connect(target).await else { return };
                    let (from_client, to_client) = client.into_split();
                    let (from_server, to_server) = server.into_split();
                    let timer = async {
                        match fault {
                            Fault::CutAfter(time) => tokio::time::sleep(time).await,
                            _ => std::future::pending().await,
                        }
                    };
                    // Whichever ends first drops, and so closes, everything.
                    tokio::select! {
                        () = pass(from_client, to_server, fault, true) => {}
                        () = pass(from_server, to_client, fault, false) => {}
                        () = timer => {}
                    }
                });
            }
        });
        Proxy { port, connections, task }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, fault: Fault, up: bool) {
    let began = Instant::now();
    let mut buffer = vec![0; 16 << 10];
    let mut left = match fault {
        Fault::CutUp(bytes) if up => bytes,
        Fault::CutDown(bytes) if !up => bytes,
        _ => usize::MAX,
    };
    loop {
        if left == 0 {
            return;
        }
        let room = buffer.len().min(left);
        let Ok(length) = from.read(&mut buffer[..room]).await else { return };
        if length == 0 {
            // The other direction may still have something to say.
            let _ = to.shutdown().await;
            return tokio::time::sleep(Duration::from_secs(2)).await;
        }
        match fault {
            Fault::Delay(time) => tokio::time::sleep(time).await,
            Fault::StallAfter(time) if began.elapsed() > time => std::future::pending().await,
            _ => {}
        }
        if to.write_all(&buffer[..length]).await.is_err() {
            return;
        }
        left -= length;
    }
}
