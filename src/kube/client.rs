//! The Kubernetes API through whichever control plane answers.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures::future::{BoxFuture, try_join_all};
use http::{Method, Request, StatusCode, header};
use http_body_util::BodyExt as _;
use kube::client::Body;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep_until, timeout};
use tower::service_fn;

use super::resources::{Resource, group_path, parse_resources, resource_path, segment};
use super::tls::CredentialSource;
use super::transport::{AnsweredBy, Dialer, Endpoint, OnlyHost, Transport, TransportError, chain};
use crate::blueprint::cluster::{FIELD_MANAGER, object_key, object_title};
use crate::exec::{KubeApi, KubeError, Objects};
use crate::inventory::HostName;

/// Requests under way at once when many objects are fetched.
const CONCURRENCY: usize = 8;
/// Objects of one page of a list.
const PAGE: usize = 500;
/// Between tries when the server does not say how long to wait.
const RETRY_PAUSE: Duration = Duration::from_millis(250);
/// The name that every API server's certificate has.
pub const API_SERVER_NAME: &str = "kubernetes";

/// A client of one cluster's API servers. Transient failures (no connection, 429, 5xx) are tried again,
/// with the next control plane, until its patience ends.
#[derive(Clone)]
pub struct KubeClient {
    client: kube::Client,
    transport: Arc<Transport>,
    patience: Duration,
    resources: Arc<Mutex<BTreeMap<String, BTreeMap<String, Resource>>>>,
}

/// An answer that is neither an error nor worth another try.
struct Answer {
    status: StatusCode,
    body: Value,
}

impl KubeClient {
    /// Connects to nothing yet. Must be called in a tokio runtime.
    pub fn new(
        dialer: Arc<dyn Dialer>,
        endpoints: Vec<Endpoint>,
        credentials: Arc<dyn CredentialSource>,
    ) -> Self {
        let transport = Arc::new(Transport::new(dialer, endpoints, credentials));
        let service = {
            let transport = Arc::clone(&transport);
            service_fn(move |request: Request<Body>| {
                let transport = Arc::clone(&transport);
                async move {
                    let (parts, body) = request.into_parts();
                    let body = body
                        .collect_bytes()
                        .await
                        .map_err(|error| TransportError::NoEndpoint(error.to_string()))?;
                    transport.send(Request::from_parts(parts, body)).await
                }
            })
        };
        KubeClient {
            client: kube::Client::new(service, "default"),
            transport,
            patience: Duration::ZERO,
            resources: Arc::default(),
        }
    }

    /// How long one call goes on trying. The default is a single try: the executor has its own deadlines.
    pub fn patient(self, patience: Duration) -> Self {
        KubeClient { patience, ..self }
    }

    /// kube-rs on the same connections, for what the port does not offer.
    pub fn client(&self) -> kube::Client {
        self.client.clone()
    }

    /// One request; transient failures are tried again until the deadline.
    async fn call(
        &self,
        what: &str,
        method: Method,
        path: &str,
        body: Option<(&'static str, &Value)>,
    ) -> Result<Answer, KubeError> {
        let deadline = Instant::now() + self.patience;
        loop {
            let request = build(&method, path, body).map_err(|error| KubeError::Refused {
                what: what.into(),
                code: 0,
                message: error.to_string(),
            })?;
            let (error, pause) = match self.attempt(what, request).await {
                Ok(answer) => return Ok(answer),
                Err(Attempt::Final(error)) => return Err(error),
                Err(Attempt::Transient(error, pause)) => (error, pause.unwrap_or(RETRY_PAUSE)),
            };
            let next = Instant::now() + pause;
            if next >= deadline {
                return Err(error);
            }
            sleep_until(next).await;
        }
    }

    async fn attempt(&self, what: &str, request: Request<Body>) -> Result<Answer, Attempt> {
        let unreachable = |reason: String| Attempt::Transient(KubeError::Unreachable(reason), None);
        let response = self.client.send(request).await.map_err(|error| unreachable(service_error(error)))?;
        let (parts, body) = response.into_parts();
        // A body that stops half way would otherwise be waited for for ever.
        let body = timeout(Duration::from_secs(60), body.collect())
            .await
            .map_err(|_| unreachable("the answer stopped half way".into()))?
            .map_err(|error| unreachable(chain(&error)))?
            .to_bytes();
        let refused =
            |message: String| KubeError::Refused { what: what.into(), code: parts.status.as_u16(), message };
        if parts.status.is_success() {
            let body = if body.first().is_some_and(|byte| matches!(byte, b'{' | b'[')) {
                serde_json::from_slice(&body).map_err(|error| Attempt::Final(refused(error.to_string())))?
            } else {
                Value::from(String::from_utf8_lossy(&body).into_owned())
            };
            return Ok(Answer { status: parts.status, body });
        }
        let error = refused(message_of(&body));
        if !(parts.status == StatusCode::TOO_MANY_REQUESTS || parts.status.is_server_error()) {
            return Err(Attempt::Final(error));
        }
        if parts.status.is_server_error()
            && let Some(AnsweredBy(index)) = parts.extensions.get()
        {
            self.transport.avoid(*index);
        }
        let seconds =
            parts.headers.get(header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        Err(Attempt::Transient(error, seconds.map(Duration::from_secs)))
    }

    /// One control plane's own answer, in one try.
    async fn ask_one(&self, what: &str, host: &HostName, path: &str) -> Result<Answer, KubeError> {
        let mut request = build(&Method::GET, path, None).map_err(|error| KubeError::Refused {
            what: what.to_owned(),
            code: 0,
            message: error.to_string(),
        })?;
        request.extensions_mut().insert(OnlyHost(host.clone()));
        self.attempt(what, request).await.map_err(|attempt| match attempt {
            Attempt::Transient(error, _) | Attempt::Final(error) => error,
        })
    }

    /// Where a kind lives. Asked once per group and version; asked again for a kind not seen before,
    /// which a definition applied since may have brought.
    async fn resource(&self, api_version: &str, kind: &str) -> Result<Resource, KubeError> {
        let known = |client: &Self| {
            let resources = client.resources.lock().unwrap_or_else(PoisonError::into_inner);
            resources.get(api_version)?.get(kind).cloned()
        };
        if let Some(resource) = known(self) {
            return Ok(resource);
        }
        let what = format!("discovery of {api_version}");
        let answer = self.call(&what, Method::GET, &group_path(api_version), None).await?;
        let found = parse_resources(answer.body).map_err(|error| KubeError::Refused {
            what,
            code: 0,
            message: error.to_string(),
        })?;
        self.resources.lock().unwrap_or_else(PoisonError::into_inner).insert(api_version.into(), found);
        known(self).ok_or_else(|| KubeError::Refused {
            what: format!("{kind} of {api_version}"),
            code: 404,
            message: "the API server does not serve this kind".into(),
        })
    }

    async fn path_of(&self, object: &Value) -> Result<String, KubeError> {
        let field = |pointer: &str| object.pointer(pointer).and_then(Value::as_str);
        let (Some(api_version), Some(kind), Some(name)) =
            (field("/apiVersion"), field("/kind"), field("/metadata/name"))
        else {
            return Err(KubeError::Refused {
                what: object_title(object),
                code: 0,
                message: "apiVersion, kind and metadata.name are needed".into(),
            });
        };
        let resource = self.resource(api_version, kind).await?;
        let namespace = field("/metadata/namespace").unwrap_or("default");
        Ok(resource_path(api_version, &resource, Some(namespace), Some(name)))
    }

    async fn fetch_one(&self, wanted: &Value) -> Result<Option<(String, Value)>, KubeError> {
        let found = async {
            let path = self.path_of(wanted).await?;
            self.call(&object_title(wanted), Method::GET, &path, None).await
        };
        match found.await {
            // Keyed as it was asked for: a wanted object may leave its namespace to the default.
            Ok(answer) => Ok(Some((object_key(wanted), answer.body))),
            Err(KubeError::Refused { code: 404, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn list_all(&self, api_version: &str, kind: &str) -> Result<Vec<Value>, KubeError> {
        let resource = self.resource(api_version, kind).await?;
        let path = resource_path(api_version, &resource, None, None);
        let what = format!("list of {kind}");
        let mut items = Vec::new();
        let mut from = String::new();
        loop {
            let page = format!("{path}?limit={PAGE}{from}");
            let answer = self.call(&what, Method::GET, &page, None).await?;
            let list = answer.body.get("items").and_then(Value::as_array).cloned().unwrap_or_default();
            for mut item in list {
                // Items of a list do not say what they are.
                item["apiVersion"] = api_version.into();
                item["kind"] = kind.into();
                items.push(item);
            }
            match answer.body.pointer("/metadata/continue").and_then(Value::as_str) {
                Some(token) if !token.is_empty() => from = format!("&continue={}", segment(token)),
                Some(_) | None => return Ok(items),
            }
        }
    }
}

enum Attempt {
    /// Another try may help; the server may have said after how long.
    Transient(KubeError, Option<Duration>),
    Final(KubeError),
}

pub(super) fn build(
    method: &Method,
    path: &str,
    body: Option<(&'static str, &Value)>,
) -> Result<Request<Body>, http::Error> {
    let request = Request::builder().method(method).uri(path).header(header::ACCEPT, "application/json");
    match body {
        Some((content_type, value)) => request
            .header(header::CONTENT_TYPE, content_type)
            .body(Body::from(Bytes::from(value.to_string()).to_vec())),
        None => request.body(Body::empty()),
    }
}

/// What the transport said, without the wrapping of the layers between.
pub(super) fn service_error(error: kube::Error) -> String {
    match error {
        kube::Error::Service(inner) => chain(inner.as_ref()),
        other => chain(&other),
    }
}

/// The message of a Status, or the text as it is.
pub(super) fn message_of(body: &[u8]) -> String {
    let status: Option<Value> = serde_json::from_slice(body).ok();
    let message = status.as_ref().and_then(|status| status.get("message")).and_then(Value::as_str);
    message.map_or_else(|| String::from_utf8_lossy(body).trim().to_owned(), str::to_owned)
}

impl KubeApi for KubeClient {
    fn ready<'a>(&'a self, host: &'a HostName) -> BoxFuture<'a, Result<(), KubeError>> {
        Box::pin(async move {
            let what = format!("readiness of {host}");
            let answer = self.ask_one(&what, host, "/readyz").await?;
            match answer.status {
                StatusCode::OK => Ok(()),
                status => {
                    Err(KubeError::Refused { what, code: status.as_u16(), message: answer.body.to_string() })
                }
            }
        })
    }

    fn metrics<'a>(&'a self, host: &'a HostName) -> BoxFuture<'a, Result<String, KubeError>> {
        Box::pin(async move {
            let answer = self.ask_one(&format!("metrics of {host}"), host, "/metrics").await?;
            match answer.body {
                Value::String(text) => Ok(text),
                other => Ok(other.to_string()),
            }
        })
    }

    fn fetch<'a>(&'a self, wanted: &'a [Value]) -> BoxFuture<'a, Result<Objects, KubeError>> {
        Box::pin(async move {
            // Discovery first, one group after the other: the fetches then find it in the cache.
            for object in wanted {
                let field = |name: &str| object.get(name).and_then(Value::as_str).unwrap_or_default();
                match self.resource(field("apiVersion"), field("kind")).await {
                    Ok(_) | Err(KubeError::Refused { code: 404, .. }) => {}
                    Err(error) => return Err(error),
                }
            }
            let mut found = Objects::new();
            for some in wanted.chunks(CONCURRENCY) {
                let mut under_way = Vec::with_capacity(some.len());
                for object in some {
                    under_way.push(self.fetch_one(object));
                }
                found.extend(try_join_all(under_way).await?.into_iter().flatten());
            }
            Ok(found)
        })
    }

    fn list<'a>(
        &'a self,
        api_version: &'a str,
        kind: &'a str,
    ) -> BoxFuture<'a, Result<Vec<Value>, KubeError>> {
        Box::pin(self.list_all(api_version, kind))
    }

    fn apply<'a>(&'a self, object: &'a Value) -> BoxFuture<'a, Result<Value, KubeError>> {
        Box::pin(async move {
            let path = self.path_of(object).await?;
            let path = format!("{path}?fieldManager={FIELD_MANAGER}&force=true");
            let body = Some(("application/apply-patch+yaml", object));
            Ok(self.call(&object_title(object), Method::PATCH, &path, body).await?.body)
        })
    }

    fn patch<'a>(&'a self, object: &'a Value, patch: &'a Value) -> BoxFuture<'a, Result<(), KubeError>> {
        Box::pin(async move {
            let path = format!("{}?fieldManager={FIELD_MANAGER}", self.path_of(object).await?);
            let body = Some(("application/merge-patch+json", patch));
            self.call(&object_title(object), Method::PATCH, &path, body).await.map(drop)
        })
    }

    fn delete<'a>(&'a self, object: &'a Value) -> BoxFuture<'a, Result<(), KubeError>> {
        Box::pin(async move {
            let deleted = async {
                let path = format!("{}?propagationPolicy=Background", self.path_of(object).await?);
                self.call(&object_title(object), Method::DELETE, &path, None).await
            };
            match deleted.await {
                Ok(_) | Err(KubeError::Refused { code: 404, .. }) => Ok(()),
                Err(error) => Err(error),
            }
        })
    }

    fn evict<'a>(&'a self, namespace: &'a str, pod: &'a str) -> BoxFuture<'a, Result<(), KubeError>> {
        Box::pin(async move {
            let path = format!("/api/v1/namespaces/{}/pods/{}/eviction", segment(namespace), segment(pod));
            let body = json!({
                "apiVersion": "policy/v1",
                "kind": "Eviction",
                "metadata": {"namespace": namespace, "name": pod},
            });
            let what = format!("eviction of {namespace}/{pod}");
            let request =
                build(&Method::POST, &path, Some(("application/json", &body))).map_err(|error| {
                    KubeError::Refused { what: what.clone(), code: 0, message: error.to_string() }
                })?;
            // One try: 429 means that a budget forbids it now, which the caller has to know.
            match self.attempt(&what, request).await {
                Ok(_) | Err(Attempt::Final(KubeError::Refused { code: 404, .. })) => Ok(()),
                Err(Attempt::Transient(error, _) | Attempt::Final(error)) => Err(error),
            }
        })
    }
}
