//! Names through resolvers, each time anew: what comes back is what a client would be told at that moment.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{
    ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts,
};
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use hickory_resolver::system_conf::read_system_conf;

/// For one question to one resolver.
const TRY: Duration = Duration::from_secs(2);
/// How often each resolver is asked before all have failed: datagrams get lost.
const ROUNDS: usize = 2;
/// For all of it.
const WHOLE: Duration = Duration::from_secs(8);

/// Whom names are asked of.
pub(super) struct Resolution {
    /// None: those of this machine, which may be others tomorrow.
    given: Vec<SocketAddr>,
    /// Whose turn it is to be asked first: what one of them remembers, the others need not.
    turn: AtomicUsize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Addresses,
    NameServers,
}

impl Resolution {
    pub(super) fn new(resolvers: &[SocketAddr]) -> Self {
        Resolution { given: resolvers.to_vec(), turn: AtomicUsize::new(0) }
    }

    /// An address is its own answer.
    pub(super) async fn addresses(&self, name: &str) -> Result<Vec<IpAddr>, String> {
        let bare = name.strip_prefix('[').and_then(|inner| inner.strip_suffix(']')).unwrap_or(name);
        if let Ok(address) = bare.parse() {
            return Ok(vec![address]);
        }
        let found = self.ask(name, Wanted::Addresses).await?;
        Ok(found.answers().iter().filter_map(|record| record.data.ip_addr()).collect())
    }

    /// In order.
    pub(super) async fn name_servers(&self, zone: &str) -> Result<Vec<String>, String> {
        let server = |data: &RData| match data {
            RData::NS(name) => Some(name.to_lowercase().to_ascii().trim_end_matches('.').to_owned()),
            _ => None,
        };
        let found = self.ask(zone, Wanted::NameServers).await?;
        let mut servers: Vec<String> =
            found.answers().iter().filter_map(|record| server(&record.data)).collect();
        servers.sort();
        servers.dedup();
        Ok(servers)
    }

    async fn ask(&self, name: &str, wanted: Wanted) -> Result<Lookup, String> {
        let mut asked = Name::from_utf8(name).map_err(|error| format!("{name:?} is no name: {error}"))?;
        // Nothing is to be tried behind it.
        asked.set_fqdn(true);
        let mut servers = self.servers()?;
        let first = self.turn.fetch_add(1, Ordering::Relaxed).checked_rem(servers.len()).unwrap_or(0);
        servers.rotate_left(first);
        let outcome = tokio::time::timeout(WHOLE, of_any(&servers, &asked, wanted)).await;
        outcome.unwrap_or(Err(NetError::Timeout)).map_err(|error| self.why(name, wanted, &error))
    }

    fn servers(&self) -> Result<Vec<NameServerConfig>, String> {
        if !self.given.is_empty() {
            return Ok(self.given.iter().map(server).collect());
        }
        let unread = |error| format!("the resolvers of this machine cannot be read: {error}");
        Ok(read_system_conf().map_err(unread)?.0.name_servers)
    }

    /// What went wrong, and whom that was asked of.
    fn why(&self, name: &str, wanted: Wanted, error: &NetError) -> String {
        let whom = match self.given.as_slice() {
            [] => "the resolvers of this machine".to_owned(),
            given => given.iter().map(SocketAddr::to_string).collect::<Vec<_>>().join(", "),
        };
        let record = match wanted {
            Wanted::Addresses => "A or AAAA",
            Wanted::NameServers => "NS",
        };
        match error {
            NetError::Dns(DnsError::NoRecordsFound(none)) if none.response_code == ResponseCode::NXDomain => {
                format!("there is no name {name}, by {whom}")
            }
            NetError::Dns(DnsError::NoRecordsFound(_)) => format!("{name} has no {record} record, by {whom}"),
            NetError::Dns(DnsError::ResponseCode(code)) => {
                format!("{name} cannot be resolved: {whom} said {}", code.to_str().to_lowercase())
            }
            NetError::Timeout => format!("{name} cannot be resolved: no answer from {whom}"),
            other => format!("{name} cannot be resolved by {whom}: {other}"),
        }
    }
}

/// The first answer; that there is nothing is one too.
async fn of_any(servers: &[NameServerConfig], name: &Name, wanted: Wanted) -> Result<Lookup, NetError> {
    let mut last = NetError::NoConnections;
    for _ in 0..ROUNDS {
        for server in servers {
            match of(server, name, wanted).await {
                Ok(lookup) => return Ok(lookup),
                Err(error) if error.is_no_records_found() => return Err(error),
                Err(error) => last = error,
            }
        }
    }
    Err(last)
}

/// With a resolver of its own for each question: one that is shared gives all who ask at the same time one answer.
async fn of(server: &NameServerConfig, name: &Name, wanted: Wanted) -> Result<Lookup, NetError> {
    let config = ResolverConfig::from_name_servers(vec![server.clone()]);
    let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
    set(builder.options_mut());
    let resolver = builder.build()?;
    match wanted {
        Wanted::Addresses => Ok(resolver.lookup_ip(name.clone()).await?.into()),
        Wanted::NameServers => resolver.lookup(name.clone(), RecordType::NS).await,
    }
}

fn set(options: &mut ResolverOpts) {
    options.cache_size = 0;
    options.timeout = TRY;
    options.attempts = 0;
    options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
    // What the operator has written there is not what clients are told.
    options.use_hosts_file = ResolveHosts::Never;
}

fn server(address: &SocketAddr) -> NameServerConfig {
    let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
        connection.port = address.port();
        connection
    });
    NameServerConfig::new(address.ip(), true, connections.into())
}
