//! The proxy's sockets: reads calls, applies faults, writes answers or resets connections.

use std::future::{pending, poll_fn};
use std::io;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::super::client::Answer;
use super::call::Call;
use super::faults::{self, Fault};
use super::gate::{Gate, Moment};
use super::journal::Journal;
use super::pipeline::Pipeline;
use super::reply;
use super::settings::Settings;

/// What all connections share.
#[derive(Clone)]
pub struct Shared {
    pub settings: Arc<Mutex<Settings>>,
    pub journal: Journal,
    pub gate: Gate,
    /// One call at a time: what is checked must not change until it is done.
    pub pipeline: Arc<tokio::sync::Mutex<Pipeline>>,
}

/// Never ends but by a panic in one of the connections, which is a fault of the proxy itself.
pub async fn serve(listener: TcpListener, shared: Shared) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let (stream, _) = accepted.unwrap();
                connections.spawn(connection(stream, shared.clone()));
            }
            Some(ended) = connections.join_next() => ended.unwrap(),
        }
    }
}

async fn connection(stream: TcpStream, shared: Shared) {
    let service = service_fn(move |request| {
        let shared = shared.clone();
        Box::pin(async move { respond(request, &shared).await })
    });
    let mut connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    let ended = poll_fn(|context| connection.poll_without_shutdown(context)).await;
    // The only errors of the service are faults; left to hyper, the connection would be closed in good order.
    if ended.is_err() {
        let stream = connection.into_parts().io.into_inner();
        let _ = stream.set_zero_linger();
    }
}

async fn respond(request: Request<Incoming>, shared: &Shared) -> io::Result<Response<Full<Bytes>>> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    let call = Call::parse(head, body);
    let is_head = call.is_head();
    let index = shared.journal.begin(&call);
    if !shared.gate.pass(index, Moment::Before).await {
        return Err(reset());
    }
    let fault = shared.settings.lock().unwrap().faults.decide(index, &call.name());
    shared.journal.inject(index, fault);
    let answer = match fault {
        Fault::Throttle => faults::throttled(&call),
        Fault::InternalError => faults::internal_error(&call),
        Fault::Refuse(status, code) => reply::refusal(&call, status, code, "The test does not want it"),
        Fault::CutBefore => return Err(reset()),
        Fault::Hang => pending().await,
        Fault::None | Fault::LostReply | Fault::NotFoundFor(_) | Fault::UnlistedFor(_) => {
            finish(call, fault, shared).await
        }
    };
    if !shared.gate.pass(index, Moment::After).await || fault == Fault::LostReply {
        return Err(reset());
    }
    shared.journal.end(index, &answer);
    Ok(response(answer, is_head))
}

/// Goes on to the end, though the caller may be gone before: what AWS has begun, it does.
async fn finish(call: Call, fault: Fault, shared: &Shared) -> Answer {
    let pipeline = Arc::clone(&shared.pipeline);
    let answer = tokio::spawn(async move { pipeline.lock().await.answer(call, fault).await });
    answer.await.unwrap()
}

fn reset() -> io::Error {
    io::Error::from(io::ErrorKind::ConnectionReset)
}

fn response(answer: Answer, is_head: bool) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(answer.body));
    *response.status_mut() = answer.status.try_into().unwrap();
    *response.headers_mut() = answer.headers;
    let headers = response.headers_mut();
    headers.remove("connection");
    headers.remove("transfer-encoding");
    if !is_head {
        headers.remove("content-length");
    }
    response
}
