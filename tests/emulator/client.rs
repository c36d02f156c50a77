//! Raw calls to moto, or to a proxy before it: no SDK, no retries, no signature (moto checks none).

use std::net::SocketAddr;

use bytes::Bytes;
use http::{HeaderMap, Method, Request};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

use super::service::Service;
use super::xml;

/// Calls to one account and region.
#[derive(Debug, Clone)]
pub struct Client {
    pub address: SocketAddr,
    /// None: moto goes by the access key.
    pub account: Option<String>,
    pub region: String,
    pub access_key: String,
}

/// What came back.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Client {
    pub fn new(address: SocketAddr, account: Option<String>, region: &str) -> Client {
        Client { address, account, region: region.into(), access_key: "AKIAKEELWRIGHTTEST00".into() }
    }

    pub fn in_region(&self, region: &str) -> Client {
        Client { region: region.into(), ..self.clone() }
    }

    pub fn in_account(&self, account: &str) -> Client {
        Client { account: Some(account.into()), ..self.clone() }
    }

    pub async fn ec2(&self, action: &str, params: &[(&str, &str)]) -> Answer {
        self.query(Service::Ec2, action, params).await
    }

    pub async fn balancing(&self, action: &str, params: &[(&str, &str)]) -> Answer {
        self.query(Service::Balancing, action, params).await
    }

    pub async fn classic_balancing(&self, action: &str, params: &[(&str, &str)]) -> Answer {
        self.query(Service::ClassicBalancing, action, params).await
    }

    pub async fn scaling(&self, action: &str, params: &[(&str, &str)]) -> Answer {
        self.query(Service::AutoScaling, action, params).await
    }

    pub async fn iam(&self, action: &str, params: &[(&str, &str)]) -> Answer {
        self.query(Service::Iam, action, params).await
    }

    /// A call in a form.
    pub async fn query(&self, service: Service, action: &str, params: &[(&str, &str)]) -> Answer {
        self.try_query(service, action, params).await.unwrap()
    }

    /// The same where the connection may break.
    pub async fn try_query(
        &self,
        service: Service,
        action: &str,
        params: &[(&str, &str)],
    ) -> Result<Answer, String> {
        let form = form(service, action, params.iter().copied());
        let request = self
            .request(service, Method::POST, "/")
            .header("content-type", "application/x-www-form-urlencoded")
            .body(Full::new(form.into()))
            .unwrap();
        self.send(request).await
    }

    /// A call to SSM.
    pub async fn parameters(&self, action: &str, body: &Value) -> Answer {
        let request = self
            .request(Service::Parameters, Method::POST, "/")
            .header("content-type", "application/x-amz-json-1.1")
            .header("x-amz-target", format!("AmazonSSM.{action}"))
            .body(Full::new(body.to_string().into()))
            .unwrap();
        self.send(request).await.unwrap()
    }

    /// A call to Route 53, EKS or S3.
    pub async fn rest(&self, service: Service, method: Method, path: &str, body: &str) -> Answer {
        let request = self.request(service, method, path).body(Full::new(body.to_owned().into())).unwrap();
        self.send(request).await.unwrap()
    }

    pub async fn get(&self, service: Service, path: &str) -> Answer {
        self.rest(service, Method::GET, path, "").await
    }

    /// What every call has.
    pub fn request(&self, service: Service, method: Method, path: &str) -> http::request::Builder {
        let scope = format!("{}/20260101/{}/{}/aws4_request", self.access_key, self.region, service.scope());
        let builder = Request::builder().method(method).uri(path).header(
            "authorization",
            format!("AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0"),
        );
        match &self.account {
            Some(account) => builder.header("x-moto-account-id", account),
            None => builder,
        }
    }

    pub async fn send(&self, mut request: Request<Full<Bytes>>) -> Result<Answer, String> {
        let host = self.address.to_string().parse().unwrap();
        request.headers_mut().insert("host", host);
        exchange(self.address, request).await.map_err(|error| error.to_string())
    }
}

async fn exchange(
    address: SocketAddr,
    request: Request<Full<Bytes>>,
) -> Result<Answer, Box<dyn std::error::Error + Send + Sync>> {
    let stream = TcpStream::connect(address).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let exchange = async {
        let (head, body) = sender.send_request(request).await?.into_parts();
        let body = body.collect().await?.to_bytes();
        Ok(Answer { status: head.status.as_u16(), headers: head.headers, body })
    };
    // The connection is of no use after this one exchange; both are dropped with the caller.
    let mut connection = std::pin::pin!(connection);
    let mut exchange = std::pin::pin!(exchange);
    tokio::select! {
        answer = &mut exchange => answer,
        _ = &mut connection => exchange.await,
    }
}

/// A call as a form.
pub fn form<'a>(
    service: Service,
    action: &str,
    params: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> String {
    let mut url = reqwest::Url::parse("http://form").unwrap();
    url.query_pairs_mut()
        .append_pair("Action", action)
        .append_pair("Version", service.version())
        .extend_pairs(params);
    url.query().unwrap_or_default().to_owned()
}

impl Answer {
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap_or_default()
    }

    /// Itself, of a call that must succeed.
    #[track_caller]
    pub fn ok(self) -> Answer {
        assert!((200..300).contains(&self.status), "{}: {}", self.status, self.text());
        self
    }

    /// The texts of all elements of this name.
    pub fn all(&self, element: &str) -> Vec<String> {
        let document = xml::parse(self.text());
        xml::named(&document, element).map(|node| node.text().unwrap_or_default().to_owned()).collect()
    }

    /// The text of the first element of this name.
    #[track_caller]
    pub fn one(&self, element: &str) -> String {
        self.all(element).into_iter().next().unwrap_or_else(|| panic!("no {element} in {}", self.text()))
    }

    /// The code of the error that it is.
    pub fn error(&self) -> Option<String> {
        if self.status < 400 {
            return None;
        }
        if let Some(code) = self.headers.get("x-amzn-errortype") {
            return Some(code.to_str().unwrap_or_default().to_owned());
        }
        let json: Option<Value> = serde_json::from_slice(&self.body).ok();
        match json.and_then(|json| Some(json.get("__type")?.as_str()?.to_owned())) {
            Some(code) => Some(code),
            None if self.text().contains("<Code>") => Some(self.one("Code")),
            None => Some(self.status.to_string()),
        }
    }
}
