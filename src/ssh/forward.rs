//! Byte streams to addresses as a host sees them, and local ports that lead there.

use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use russh::ChannelStream;
use russh::client::Msg;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf, copy_bidirectional};
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};

use super::remote::SshRemote;
use super::session::Connection;
use crate::exec::RemoteError;
use crate::inventory::HostName;

/// A stream through a host; keeps its connection open.
pub struct RemoteStream {
    inner: ChannelStream<Msg>,
    _connection: Arc<Connection>,
}

impl RemoteStream {
    pub(crate) fn new(inner: ChannelStream<Msg>, connection: Arc<Connection>) -> Self {
        RemoteStream { inner, _connection: connection }
    }
}

impl AsyncRead for RemoteStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(context, buffer)
    }
}

impl AsyncWrite for RemoteStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(context, buffer)
    }
    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

/// A port on 127.0.0.1 that leads to an address behind a host, until it is dropped. It outlives
/// single connections: each client gets a stream over whatever connection the host has then.
#[derive(Debug)]
pub struct Forward {
    pub local: SocketAddr,
    task: JoinHandle<()>,
}

impl Drop for Forward {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Opens the port and serves it.
pub(crate) async fn open_forward(
    remote: SshRemote,
    host: HostName,
    address: String,
    port: u16,
) -> Result<Forward, RemoteError> {
    let failed = |error: std::io::Error| RemoteError::Connect {
        reason: format!("cannot listen on 127.0.0.1: {error}"),
        hint: None,
    };
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(failed)?;
    let local = listener.local_addr().map_err(failed)?;
    let task = tokio::spawn(async move {
        // Dropped with this task, and with it every client's copy.
        let mut clients = JoinSet::new();
        loop {
            tokio::select! {
                accepted = listener.accept() => {
                    let Ok((mut client, _)) = accepted else { continue };
                    let (remote, host, address) = (remote.clone(), host.clone(), address.clone());
                    clients.spawn(async move {
                        // A client whose stream cannot be opened sees its connection closed.
                        if let Ok(mut stream) = remote.open_stream(&host, &address, port).await {
                            let _ = client.set_nodelay(true);
                            let _ = copy_bidirectional(&mut client, &mut stream).await;
                        }
                    });
                }
                Some(_) = clients.join_next(), if !clients.is_empty() => {}
            }
        }
    });
    Ok(Forward { local, task })
}
