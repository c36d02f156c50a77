//! etcd through its JSON gateway: the gRPC API as POST requests on the client port, so that no gRPC stack
//! is needed. Numbers of 64 bits are decimal strings there, and bytes are base64.

mod members;
mod snapshot;

use std::sync::Arc;

use bytes::Bytes;
use futures::future::BoxFuture;
use http::{Method, Request, header};
use http_body_util::BodyExt as _;
use serde::Deserialize;
use serde_json::{Value, json};

use super::tls::CredentialSource;
use super::transport::{Dialer, Endpoint, OnlyHost, Transport, TransportError};
use crate::exec::{Etcd, EtcdMember, KubeError, PortError};
use crate::inventory::HostName;

pub use members::MemberStatus;
use members::Members;

/// A client of one etcd cluster.
pub struct EtcdClient {
    transport: Transport,
}

/// A number the gateway writes as a string, and leaves out when it is zero. One below zero says that there is
/// none (nothing has been compacted yet) and is read as zero.
#[derive(Debug, Default, Clone, Copy, Deserialize)]
#[serde(try_from = "Value")]
struct Number(u64);

impl TryFrom<Value> for Number {
    type Error = String;
    fn try_from(value: Value) -> Result<Self, String> {
        let number = match &value {
            Value::String(text) if text.starts_with('-') => text.parse::<i64>().ok().map(|_| 0),
            Value::String(text) => text.parse().ok(),
            Value::Number(number) => number.as_u64(),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
        };
        number.map(Number).ok_or_else(|| format!("{value} is not a number"))
    }
}

impl EtcdClient {
    /// Endpoints are the members' client ports, named by host; connects to nothing yet.
    pub fn new(
        dialer: Arc<dyn Dialer>,
        endpoints: Vec<Endpoint>,
        credentials: Arc<dyn CredentialSource>,
    ) -> Self {
        EtcdClient { transport: Transport::new(dialer, endpoints, credentials) }
    }

    async fn post(&self, path: &str, body: &Value, only: Option<&HostName>) -> Result<Value, KubeError> {
        let response = self.send(path, body, only).await?;
        let (parts, body) = response.into_parts();
        let body =
            body.collect().await.map_err(|error| KubeError::Unreachable(error.to_string()))?.to_bytes();
        let value: Value = serde_json::from_slice(&body).unwrap_or_default();
        if parts.status.is_success() {
            return Ok(value);
        }
        let message = ["message", "error"].iter().find_map(|key| value.get(key)?.as_str());
        Err(KubeError::Refused {
            what: format!("etcd {path}"),
            code: parts.status.as_u16(),
            message: message.map_or_else(|| String::from_utf8_lossy(&body).into_owned(), str::to_owned),
        })
    }

    async fn send(
        &self,
        path: &str,
        body: &Value,
        only: Option<&HostName>,
    ) -> Result<http::Response<hyper::body::Incoming>, KubeError> {
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(path)
            .header(header::CONTENT_TYPE, "application/json")
            .body(Bytes::from(body.to_string()))
            .map_err(|error| KubeError::Unreachable(error.to_string()))?;
        if let Some(host) = only {
            request.extensions_mut().insert(OnlyHost(host.clone()));
        }
        let unreachable = |error: TransportError| KubeError::Unreachable(format!("etcd: {error}"));
        self.transport.send(request).await.map_err(unreachable)
    }
}

fn parse<T: serde::de::DeserializeOwned>(what: &str, value: Value) -> Result<T, KubeError> {
    serde_json::from_value(value).map_err(|error| KubeError::Refused {
        what: format!("etcd {what}"),
        code: 0,
        message: error.to_string(),
    })
}

impl Etcd for EtcdClient {
    fn members<'a>(&'a self) -> BoxFuture<'a, Result<Vec<EtcdMember>, KubeError>> {
        Box::pin(async move {
            let listed = self.listed().await?;
            Ok(self.with_health(listed).await)
        })
    }

    fn add_learner<'a>(&'a self, peer_url: &'a str) -> BoxFuture<'a, Result<Vec<EtcdMember>, KubeError>> {
        Box::pin(async move {
            // An earlier call may have been carried out although its answer was lost.
            let mut listed = self.listed().await?;
            if !listed.iter().any(|member| member.peer_urls.iter().any(|url| url == peer_url)) {
                let body = json!({"peerURLs": [peer_url], "isLearner": true});
                let answer = self.post("/v3/cluster/member/add", &body, None).await?;
                listed = parse::<Members>("member add", answer)?.members;
            }
            Ok(self.with_health(listed).await)
        })
    }

    fn promote<'a>(&'a self, id: u64) -> BoxFuture<'a, Result<(), KubeError>> {
        Box::pin(async move {
            let body = json!({"ID": id.to_string()});
            match self.post("/v3/cluster/member/promote", &body, None).await {
                Ok(_) => Ok(()),
                Err(KubeError::Refused { message, .. })
                    if message.contains("can only promote a learner member")
                        && !message.contains("in sync") =>
                {
                    Ok(())
                }
                Err(error) => Err(error),
            }
        })
    }

    fn remove<'a>(&'a self, id: u64) -> BoxFuture<'a, Result<(), KubeError>> {
        Box::pin(async move {
            let body = json!({"ID": id.to_string()});
            match self.post("/v3/cluster/member/remove", &body, None).await {
                Ok(_) | Err(KubeError::Refused { code: 404, .. }) => Ok(()),
                Err(error) => Err(error),
            }
        })
    }

    fn snapshot<'a>(
        &'a self,
        member: &'a EtcdMember,
        sink: &'a mut (dyn FnMut(&[u8]) -> Result<(), PortError> + Send),
    ) -> BoxFuture<'a, Result<(), KubeError>> {
        Box::pin(self.stream_snapshot(member, sink))
    }
}
