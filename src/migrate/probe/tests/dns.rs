//! A name server whose answers a test makes up, question by question.

use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hickory_server::Server;
use hickory_server::net::runtime::Time;
use hickory_server::proto::op::{Metadata, ResponseCode};
use hickory_server::proto::rr::{Record, RecordType};
use hickory_server::server::{Request, RequestHandler, ResponseHandler, ResponseInfo};
use hickory_server::zone_handler::MessageResponseBuilder;
use tokio::net::{TcpListener, UdpSocket};

/// What it says.
pub(super) enum Said {
    Records(Vec<Record>),
    Code(ResponseCode),
    /// The datagram is lost.
    Nothing,
}

/// By name (in lowercase, with a dot at its end), type, and how many questions came before.
type Answers = dyn Fn(&str, RecordType, usize) -> Said + Send + Sync;

pub(super) struct NameServer {
    pub(super) at: SocketAddr,
    asked: Arc<Mutex<Vec<(String, RecordType)>>>,
    _server: Server<Handler>,
}

struct Handler {
    answers: Box<Answers>,
    asked: Arc<Mutex<Vec<(String, RecordType)>>>,
}

impl NameServer {
    pub(super) async fn start(
        answers: impl Fn(&str, RecordType, usize) -> Said + Send + Sync + 'static,
    ) -> Self {
        let asked = Arc::default();
        let mut server = Server::new(Handler { answers: Box::new(answers), asked: Arc::clone(&asked) });
        let (socket, listener) = sockets().await;
        let at = socket.local_addr().unwrap();
        server.register_socket(socket);
        server.register_listener(listener, Duration::from_secs(5), 16);
        NameServer { at, asked, _server: server }
    }

    pub(super) fn asked(&self) -> Vec<(String, RecordType)> {
        self.asked.lock().unwrap().clone()
    }

    pub(super) fn count(&self, wanted: RecordType) -> usize {
        self.asked().iter().filter(|(_, kind)| *kind == wanted).count()
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

impl Handler {
    fn said(&self, request: &Request) -> Said {
        let Ok(about) = request.request_info() else { return Said::Code(ResponseCode::FormErr) };
        let (name, kind) = (about.query.name().to_string().to_lowercase(), about.query.query_type());
        let before = {
            let mut asked = self.asked.lock().unwrap();
            asked.push((name.clone(), kind));
            asked.iter().filter(|other| **other == (name.clone(), kind)).count() - 1
        };
        (self.answers)(&name, kind, before)
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
            let mut metadata = Metadata::response_from_request(&request.metadata);
            metadata.authoritative = true;
            let records = match self.said(request) {
                Said::Records(records) => records,
                Said::Code(code) => {
                    metadata.response_code = code;
                    Vec::new()
                }
                Said::Nothing => std::future::pending().await,
            };
            let builder = MessageResponseBuilder::from_message_request(request);
            let response = builder.build(metadata, &records, &[], &[], &[]);
            response_handle.send_response(response).await.unwrap()
        })
    }
}
