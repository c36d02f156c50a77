//! Asks services as their clients do: names through resolvers; pages, handshakes and connections at one address.

mod failure;
mod http;
mod resolve;
mod tls;

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use futures::FutureExt as _;
use futures::future::BoxFuture;
use tokio::net::TcpStream;
use tokio::time::timeout_at;

use self::failure::{Failure, Stage};
use self::resolve::Resolution;
use self::tls::Trust;
use super::gates::Answer;
use super::ports::Prober;
use crate::inventory::{Probe, ProbeKind};

/// What cannot be a prober.
#[derive(Debug, thiserror::Error)]
pub enum ProberError {
    #[error("the extra certificate authorities are not PEM")]
    Pem(#[source] rustls::pki_types::pem::Error),
    #[error("the extra certificate authorities are empty: no certificate is among them")]
    NoAuthorities,
    #[error("an extra certificate authority cannot be used")]
    Authority(#[source] rustls::Error),
}

/// Asks over the network. Nothing of one question is used for another: neither an answer of a resolver, nor a
/// connection, nor a TLS session, so each is what a new client would meet at that moment.
pub struct NetworkProber {
    resolution: Resolution,
    trust: Trust,
}

impl NetworkProber {
    /// `resolvers`: who is asked for addresses, in turn; none: those of this machine. `authorities`: PEM certificates
    /// that are trusted beside the ones this machine trusts.
    ///
    /// # Errors
    /// [`ProberError`] when the authorities are none.
    pub fn new(resolvers: &[SocketAddr], authorities: Option<&[u8]>) -> Result<Self, ProberError> {
        Ok(NetworkProber { resolution: Resolution::new(resolvers), trust: Trust::new(authorities)? })
    }

    async fn put(&self, probe: &Probe, at: SocketAddr, deadline: Deadline) -> Result<(), Failure> {
        match &probe.kind {
            ProbeKind::Tcp => drop(connect(at, deadline).await?),
            ProbeKind::Tls { server_name } => {
                let name = tls::server_name(server_name)?;
                self.trust.greet(connect(at, deadline).await?, name, deadline).await?;
            }
            ProbeKind::Http { path, host, server_name, statuses } => {
                let request = http::request(path, host)?;
                let name = server_name.as_deref().map(tls::server_name).transpose()?;
                let stream = connect(at, deadline).await?;
                let status = match name {
                    None => http::get(stream, request, deadline).await?,
                    Some(name) => {
                        let stream = self.trust.handshake(stream, name, deadline).await?;
                        http::get(stream, request, deadline).await?
                    }
                };
                http::check(status, statuses)?;
            }
        }
        Ok(())
    }
}

impl Prober for NetworkProber {
    fn resolve<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Vec<IpAddr>, String>> {
        self.resolution.addresses(name).boxed()
    }

    fn name_servers<'a>(&'a self, zone: &'a str) -> BoxFuture<'a, Result<Vec<String>, String>> {
        self.resolution.name_servers(zone).boxed()
    }

    fn ask<'a>(&'a self, probe: &'a Probe, at: SocketAddr) -> BoxFuture<'a, Answer> {
        async move {
            let began = Instant::now();
            let outcome = self.put(probe, at, Deadline::in_seconds(probe.timeout)).await;
            Answer {
                probe: probe.name.clone(),
                side: None,
                led: None,
                took: began.elapsed(),
                error: outcome.err().map(|failure| failure.to_string()),
            }
        }
        .boxed()
    }
}

async fn connect(at: SocketAddr, deadline: Deadline) -> Result<TcpStream, Failure> {
    let stream = deadline.within(Stage::Connect, TcpStream::connect(at)).await?;
    stream.map_err(|error| failure::broken(Stage::Connect, &error))
}

/// When a whole question is over, however many stages it has.
#[derive(Debug, Clone, Copy)]
struct Deadline {
    at: tokio::time::Instant,
    seconds: u32,
}

impl Deadline {
    fn in_seconds(seconds: u32) -> Self {
        let at = tokio::time::Instant::now() + Duration::from_secs(seconds.into());
        Deadline { at, seconds }
    }

    async fn within<T>(self, stage: Stage, work: impl Future<Output = T>) -> Result<T, Failure> {
        let late = |_| Failure::Late { seconds: self.seconds, stage };
        timeout_at(self.at, work).await.map_err(late)
    }
}

#[cfg(test)]
mod tests;
