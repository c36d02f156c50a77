//! One page over one connection, which is not used again.

use std::pin::pin;

use bytes::Bytes;
use futures::FutureExt as _;
use futures::future::FusedFuture;
use http::header::{CONNECTION, HOST, HeaderValue, USER_AGENT};
use http::{Request, StatusCode, Uri};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

use super::Deadline;
use super::failure::{Failure, Stage, exchange};

/// So much of a page is read: enough to see that it does not break off, and no download.
const PAGE_LIMIT: usize = 256 * 1024;

/// # Errors
/// [`Failure::Question`] when path or host cannot be part of a request.
pub(super) fn request(path: &str, host: &str) -> Result<Request<Empty<Bytes>>, Failure> {
    let uri: Uri = path.parse().map_err(|error| Failure::Question(format!("path {path:?}: {error}")))?;
    if !path.starts_with('/') {
        return Err(Failure::Question(format!("path {path:?} does not begin with /")));
    }
    let host =
        HeaderValue::from_str(host).map_err(|error| Failure::Question(format!("host {host:?}: {error}")))?;
    let agent = HeaderValue::from_static(concat!("keelwright/", env!("CARGO_PKG_VERSION")));
    let mut request = Request::new(Empty::new());
    *request.uri_mut() = uri;
    let headers = request.headers_mut();
    headers.insert(HOST, host);
    headers.insert(USER_AGENT, agent);
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    Ok(request)
}

/// The status of a page that came to its end.
pub(super) async fn get<S>(
    stream: S,
    request: Request<Empty<Bytes>>,
    deadline: Deadline,
) -> Result<StatusCode, Failure>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    // Sends nothing yet.
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(|error| exchange(Stage::Answer, &error))?;
    let mut connection = pin!(connection.fuse());
    let asked = beside(&mut connection, sender.send_request(request));
    let response =
        deadline.within(Stage::Answer, asked).await?.map_err(|error| exchange(Stage::Answer, &error))?;
    let status = response.status();
    let read = beside(&mut connection, read(response.into_body()));
    deadline.within(Stage::Page, read).await?.map_err(|error| exchange(Stage::Page, &error))?;
    Ok(status)
}

async fn read(mut body: Incoming) -> Result<(), hyper::Error> {
    let mut got = 0;
    while let Some(frame) = body.frame().await {
        got += frame?.data_ref().map_or(0, Bytes::len);
        if got > PAGE_LIMIT {
            break;
        }
    }
    Ok(())
}

/// Carries bytes over the connection as long as the work needs them. What breaks the connection also ends the work, with
/// the better word for it.
async fn beside<T>(mut connection: impl FusedFuture + Unpin, work: impl Future<Output = T>) -> T {
    let mut work = pin!(work.fuse());
    loop {
        futures::select_biased! {
            done = work => return done,
            _ = connection => {}
        }
    }
}

/// # Errors
/// [`Failure::Status`] when the status is none of those wanted; of none, when it is not from 200 to 399.
pub(super) fn check(got: StatusCode, wanted: &[u16]) -> Result<(), Failure> {
    let got = got.as_u16();
    let is_fine = if wanted.is_empty() { (200..400).contains(&got) } else { wanted.contains(&got) };
    if is_fine {
        return Ok(());
    }
    let wanted = match wanted {
        [] => "200 to 399".to_owned(),
        wanted => wanted.iter().map(u16::to_string).collect::<Vec<_>>().join(" or "),
    };
    Err(Failure::Status { got, wanted })
}
