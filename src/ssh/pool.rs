//! Connections by host, and the bastions they share. A dead bastion is tried once, not once for
//! each host behind it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use futures::future::BoxFuture;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use super::decouple::decouple;
use super::route::Hop;
use super::session::{Connection, Shared, establish};
use crate::exec::RemoteError;
use crate::inventory::HostName;
use crate::inventory::bracketed;

/// A bastion that is down, and whom that concerns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outage {
    pub bastion: String,
    pub reason: String,
    /// Hosts that were not tried for it.
    pub hosts: BTreeSet<HostName>,
}

impl std::fmt::Display for Outage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let count = self.hosts.len();
        let hosts = if count == 1 { "host" } else { "hosts" };
        write!(f, "bastion {} down: {count} {hosts} not tried ({})", self.bastion, self.reason)
    }
}

/// One connection, made when it is first needed and made again when it fell.
#[derive(Default)]
pub(crate) struct Slot {
    state: tokio::sync::Mutex<SlotState>,
}

#[derive(Default)]
struct SlotState {
    connection: Option<Arc<Connection>>,
    failed: Option<(Instant, RemoteError)>,
}

/// The bastions of a run.
pub(crate) struct Pool {
    pub shared: Shared,
    bastions: Mutex<BTreeMap<String, Arc<Slot>>>,
    outages: Mutex<BTreeMap<String, Outage>>,
}

impl Pool {
    pub fn new(shared: Shared) -> Self {
        Pool { shared, bastions: Mutex::default(), outages: Mutex::default() }
    }

    /// The connection of a host, new when there is none or it has fallen.
    pub async fn connect(
        &self,
        host: &HostName,
        slot: &Slot,
        route: &[Arc<Hop>],
    ) -> Result<Arc<Connection>, RemoteError> {
        let mut state = slot.state.lock().await;
        if let Some(connection) = state.connection.take_if(|connection| connection.is_closed()) {
            drop(connection);
        }
        if let Some(connection) = &state.connection {
            return Ok(connection.clone());
        }
        let connection = self.dial(route, Some(host)).await?;
        state.connection = Some(connection.clone());
        Ok(connection)
    }

    /// Bastions that are down now, each once.
    pub fn outages(&self) -> Vec<Outage> {
        self.outages.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    fn dial<'a>(
        &'a self,
        route: &'a [Arc<Hop>],
        host: Option<&'a HostName>,
    ) -> BoxFuture<'a, Result<Arc<Connection>, RemoteError>> {
        Box::pin(async move {
            let Some((last, before)) = route.split_last() else {
                return Err(RemoteError::Connect { reason: "no way leads to the host".into(), hint: None });
            };
            if before.is_empty() {
                let stream = self.tcp(last).await?;
                return establish(stream, last, &self.shared, None).await;
            }
            let bastion = self.bastion(before, host).await?;
            let direct = bastion.direct(&last.address, last.port);
            let patience = self.shared.environment.connect_timeout;
            let channel = timeout(patience, direct).await.map_err(|_| RemoteError::Connect {
                reason: format!("{} did not answer through bastion {}", last.label(), bastion.label),
                hint: None,
            })??;
            establish(decouple(channel.into_stream()), last, &self.shared, Some(bastion)).await
        })
    }

    /// A bastion's one connection. While one host makes it the others wait; when that fails they,
    /// and all who come during the rest time, share the failure.
    async fn bastion(
        &self,
        route: &[Arc<Hop>],
        host: Option<&HostName>,
    ) -> Result<Arc<Connection>, RemoteError> {
        let key = route.iter().map(|hop| hop.label()).collect::<Vec<_>>().join(" > ");
        let name = route.last().map(|hop| hop.name.clone()).unwrap_or_default();
        let slot = {
            let mut bastions = self.bastions.lock().unwrap_or_else(PoisonError::into_inner);
            bastions.entry(key.clone()).or_default().clone()
        };
        let mut state = slot.state.lock().await;
        if let Some(connection) = &state.connection
            && !connection.is_closed()
        {
            return Ok(connection.clone());
        }
        if let Some((when, error)) = &state.failed
            && when.elapsed() < self.shared.environment.bastion_rest
        {
            let error = error.clone();
            self.note_outage(&key, &name, &error, host);
            return Err(behind(&name, &error));
        }
        match self.dial(route, None).await {
            Ok(connection) => {
                *state = SlotState { connection: Some(connection.clone()), failed: None };
                self.outages.lock().unwrap_or_else(PoisonError::into_inner).remove(&key);
                Ok(connection)
            }
            Err(error) => {
                *state = SlotState { connection: None, failed: Some((Instant::now(), error.clone())) };
                self.note_outage(&key, &name, &error, host);
                Err(behind(&name, &error))
            }
        }
    }

    fn note_outage(&self, key: &str, name: &str, error: &RemoteError, host: Option<&HostName>) {
        let mut outages = self.outages.lock().unwrap_or_else(PoisonError::into_inner);
        let outage = outages.entry(key.to_owned()).or_insert_with(|| Outage {
            bastion: name.to_owned(),
            reason: error.to_string(),
            hosts: BTreeSet::new(),
        });
        outage.hosts.extend(host.cloned());
    }

    async fn tcp(&self, hop: &Hop) -> Result<TcpStream, RemoteError> {
        let patience = self.shared.environment.connect_timeout;
        let place = format!("{}:{}", bracketed(&hop.address), hop.port);
        let failed = |reason: String, hint: Option<&str>| RemoteError::Connect {
            reason: format!("{place}: {reason}"),
            hint: hint.map(str::to_owned),
        };
        match timeout(patience, TcpStream::connect((hop.address.as_str(), hop.port))).await {
            Ok(Ok(stream)) => {
                // A small request must not wait for the answer to the one before.
                let _ = stream.set_nodelay(true);
                Ok(stream)
            }
            Ok(Err(error)) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
                Err(failed("connection refused".into(), Some("is sshd running, and is the port right?")))
            }
            Ok(Err(error)) => Err(failed(error.to_string(), None)),
            Err(_) => Err(failed(
                format!("no answer in {} s", patience.as_secs()),
                Some("check the address, the route and the firewall"),
            )),
        }
    }
}

/// A bastion's failure as a host behind it has it. Refusals keep their kind: they are not cured by
/// trying again.
fn behind(name: &str, error: &RemoteError) -> RemoteError {
    let prefix = |reason: &str| format!("bastion {name} down: {reason}");
    match error {
        RemoteError::HostKey { reason, hint } => {
            RemoteError::HostKey { reason: prefix(reason), hint: hint.clone() }
        }
        RemoteError::Login { reason, hint } => {
            RemoteError::Login { reason: prefix(reason), hint: hint.clone() }
        }
        RemoteError::Connect { reason, hint } => {
            RemoteError::Connect { reason: prefix(reason), hint: hint.clone() }
        }
        RemoteError::Privilege { .. }
        | RemoteError::Lost { .. }
        | RemoteError::Deadline { .. }
        | RemoteError::Fenced { .. }
        | RemoteError::Transfer { .. } => {
            RemoteError::Connect { reason: prefix(&error.to_string()), hint: None }
        }
    }
}
