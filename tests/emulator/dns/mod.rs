//! An authoritative name server for a zone that moto has.

mod answer;
pub mod route53;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use hickory_server::Server;
use hickory_server::net::runtime::Time;
use hickory_server::proto::op::{Edns, Metadata, ResponseCode};
use hickory_server::proto::rr::RecordType;
use hickory_server::server::{Request, RequestHandler, ResponseHandler, ResponseInfo};
use hickory_server::zone_handler::MessageResponseBuilder;
use tokio::net::{TcpListener, UdpSocket};

use super::client::Client;
use answer::{Reply, World};
use route53::{Record, canonical};

/// So long is the zone not read again. A change is everywhere after two looks at it at the least, which are further apart.
const FRESH: Duration = Duration::from_millis(100);

/// The zone as it was from a moment on.
pub type History = Vec<(Instant, Arc<Vec<Record>>)>;

/// A running server; it ends with the test.
pub struct Authority {
    pub at: SocketAddr,
    zone: Arc<Zone>,
    _server: Server<Handler>,
}

struct Zone {
    moto: Client,
    id: String,
    name: String,
    balancers: BTreeMap<String, Ipv4Addr>,
    alias_ttl: u32,
    /// When it was read, and what it was.
    read: tokio::sync::Mutex<Option<(Instant, Arc<Vec<Record>>)>>,
    history: Mutex<History>,
    empty: Mutex<Vec<String>>,
}

struct Handler(Arc<Zone>);

impl Authority {
    /// `balancers`: by their own names, the address that stands for each.
    pub async fn start(
        moto: &Client,
        id: &str,
        name: &str,
        balancers: BTreeMap<String, Ipv4Addr>,
        alias_ttl: u32,
    ) -> Authority {
        let balancers = balancers.into_iter().map(|(name, address)| (canonical(&name), address)).collect();
        let zone = Arc::new(Zone {
            moto: moto.clone(),
            id: id.to_owned(),
            name: canonical(name),
            balancers,
            alias_ttl,
            read: tokio::sync::Mutex::default(),
            history: Mutex::default(),
            empty: Mutex::default(),
        });
        zone.records().await;
        let (socket, listener) = sockets().await;
        let at = socket.local_addr().unwrap();
        let mut server = Server::new(Handler(Arc::clone(&zone)));
        server.register_socket(socket);
        server.register_listener(listener, Duration::from_secs(5), 16);
        Authority { at, zone, _server: server }
    }

    /// Every state of the zone that answers were given from.
    pub fn history(&self) -> History {
        self.zone.history.lock().unwrap().clone()
    }

    /// Questions for addresses of a name that had none, which must not happen to a name of a service.
    pub fn empty(&self) -> Vec<String> {
        self.zone.empty.lock().unwrap().clone()
    }
}

/// The same port for datagrams and connections.
async fn sockets() -> (UdpSocket, TcpListener) {
    loop {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        // Somebody else may have it.
        if let Ok(listener) = TcpListener::bind(socket.local_addr().unwrap()).await {
            return (socket, listener);
        }
    }
}

impl Zone {
    async fn records(&self) -> Arc<Vec<Record>> {
        // One reads, and those who come meanwhile get the same.
        let mut read = self.read.lock().await;
        if let Some((_, records)) = read.as_ref().filter(|(at, _)| at.elapsed() < FRESH) {
            return Arc::clone(records);
        }
        let at = Instant::now();
        let records = Arc::new(route53::records(&self.moto, &self.id).await);
        *read = Some((at, Arc::clone(&records)));
        let mut history = self.history.lock().unwrap();
        if history.last().is_none_or(|(_, last)| *last != records) {
            // From the first answer on that is given from it.
            history.push((Instant::now(), Arc::clone(&records)));
        }
        records
    }

    async fn reply(&self, name: &str, kind: RecordType) -> Reply {
        let records = self.records().await;
        let world = World {
            records: &records,
            zone: &self.name,
            balancers: &self.balancers,
            alias_ttl: self.alias_ttl,
        };
        let reply = world.reply(name, kind, &mut |below| rand::random_range(0..below));
        if kind == RecordType::A && reply.answers.is_empty() {
            self.empty.lock().unwrap().push(name.to_owned());
        }
        reply
    }
}

impl RequestHandler for Handler {
    // As the attribute that the trait is made with would write it.
    fn handle_request<'a, 'b, 'c, R, T>(
        &'a self,
        request: &'b Request,
        mut response_handle: R,
    ) -> Pin<Box<dyn Future<Output = ResponseInfo> + Send + 'c>>
    where
        R: ResponseHandler + 'c,
        T: Time + 'c,
        'a: 'c,
        'b: 'c,
        Self: 'c,
    {
        Box::pin(async move {
            let reply = match request.request_info() {
                Ok(about) => self.0.reply(&about.query.name().to_string(), about.query.query_type()).await,
                Err(_) => Reply { code: ResponseCode::FormErr, answers: Vec::new(), authority: Vec::new() },
            };
            let mut metadata = Metadata::response_from_request(&request.metadata);
            metadata.authoritative = reply.code != ResponseCode::Refused;
            metadata.response_code = reply.code;
            let mut edns = Edns::new();
            edns.set_max_payload(1232);
            let mut builder = MessageResponseBuilder::from_message_request(request);
            if request.edns.is_some() {
                builder.edns(&edns);
            }
            let response = builder.build(metadata, &reply.answers, &[], &reply.authority, &[]);
            response_handle.send_response(response).await.unwrap()
        })
    }
}
