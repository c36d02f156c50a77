//! One call, as much of it as the proxy needs to know: its name, its parameters and how to pass it on.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, Method, Request};
use http_body_util::Full;

use super::super::client::{Answer, Client, form};
use super::super::service::{Protocol, Service};
use super::rest;

pub type Params = BTreeMap<String, String>;

/// What belongs to one connection and not to the call.
const HOP: [&str; 5] = ["host", "connection", "content-length", "transfer-encoding", "x-moto-account-id"];

#[derive(Debug, Clone)]
pub struct Call {
    pub service: Service,
    pub action: String,
    pub region: String,
    /// Of forms: the fields; of JSON: the members of the object; of REST: what its path and query say, and `Body`.
    pub params: Params,
    /// The service in the scope of the credentials.
    scope: String,
    pub access_key: String,
    method: Method,
    path: String,
    headers: HeaderMap,
    body: Bytes,
}

impl Call {
    pub fn parse(head: Parts, body: Bytes) -> Call {
        let header = |name| head.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        // Credential=KEY/DATE/REGION/SERVICE/aws4_request, in a header or in the query.
        let credential = header("authorization").split("Credential=").nth(1).unwrap_or_default();
        let query = rest::pairs(head.uri.query().unwrap_or_default());
        let credential = query.get("X-Amz-Credential").map_or(credential, String::as_str);
        let scope: Vec<_> = credential.split([',', ' ']).next().unwrap_or_default().split('/').collect();
        let part = |index: usize| scope.get(index).copied().unwrap_or_default().to_owned();
        let service = match Service::of_scope(&part(3)) {
            Service::Balancing if is_classic(&body) => Service::ClassicBalancing,
            service => service,
        };
        let path = head.uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
        let (action, params) = match service.protocol() {
            Protocol::Ec2 | Protocol::Query => of_form(&body),
            Protocol::Json if header("x-amz-target").is_empty() => of_other(&path, &body),
            Protocol::Json => of_json(header("x-amz-target"), &body),
            Protocol::Rest => rest::route53(&head.method, &path, &body),
            Protocol::RestJson => rest::eks(&head.method, &path, &body),
            Protocol::Cbor => (path.rsplit('/').next().unwrap_or_default().to_owned(), Params::new()),
            Protocol::S3 => rest::s3(&head.method, &path),
        };
        Call {
            service,
            action,
            region: part(2),
            params,
            scope: part(3),
            access_key: part(0),
            method: head.method,
            path,
            headers: head.headers,
            body,
        }
    }

    /// Such as `EC2.CreateVpc`.
    pub fn name(&self) -> String {
        format!("{}.{}", self.service.name(), self.action)
    }

    /// As policies call it, such as `ec2:CreateVpc`.
    pub fn permission(&self) -> String {
        let service = if self.service == Service::CloudWatch { "cloudwatch" } else { &self.scope };
        format!("{service}:{}", self.action)
    }

    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// Of a call that is not a form.
    pub fn set_body(&mut self, body: String) {
        self.params.insert("Body".into(), body.clone());
        self.body = body.into();
    }

    pub fn is_head(&self) -> bool {
        self.method == Method::HEAD
    }

    /// A parameter; empty where there is none.
    pub fn param(&self, name: &str) -> &str {
        self.params.get(name).map_or("", String::as_str)
    }

    /// The values of `PREFIX.1`, `PREFIX.2`, …
    pub fn list(&self, prefix: &str) -> Vec<String> {
        (1..).map_while(|index| self.params.get(&format!("{prefix}.{index}")).cloned()).collect()
    }

    /// EC2's filters.
    pub fn filters(&self) -> Vec<(String, Vec<String>)> {
        let named = |index| Some((index, self.params.get(&format!("Filter.{index}.Name"))?.clone()));
        (1..)
            .map_while(named)
            .map(|(index, name)| (name, self.list(&format!("Filter.{index}.Value"))))
            .collect()
    }

    /// moto wants them without a gap in the numbers.
    pub fn set_filters(&mut self, filters: &[(String, Vec<String>)]) {
        self.params.retain(|name, _| !name.starts_with("Filter."));
        for (index, (name, values)) in (1..).zip(filters) {
            self.params.insert(format!("Filter.{index}.Name"), name.clone());
            for (number, value) in (1..).zip(values) {
                self.params.insert(format!("Filter.{index}.Value.{number}"), value.clone());
            }
        }
    }

    /// Passes it on as it came, but for changes of the parameters of a form.
    pub async fn forward(&self, moto: &Client) -> Answer {
        let body = match self.service.protocol() {
            Protocol::Ec2 | Protocol::Query => {
                let params = self.params.iter().map(|(name, value)| (name.as_str(), value.as_str()));
                form(self.service, &self.action, params).into()
            }
            Protocol::Json | Protocol::Rest | Protocol::RestJson | Protocol::Cbor | Protocol::S3 => {
                self.body.clone()
            }
        };
        let mut request =
            Request::builder().method(self.method.clone()).uri(&self.path).body(Full::new(body)).unwrap();
        *request.headers_mut() = self.headers.clone();
        HOP.iter().for_each(|name| drop(request.headers_mut().remove(*name)));
        if let Some(account) = &moto.account {
            request.headers_mut().insert("x-moto-account-id", account.parse().unwrap());
        }
        moto.send(request).await.unwrap_or_else(|error| panic!("moto, asked for {}: {error}", self.name()))
    }
}

/// Whether a form is for the first generation of load balancers.
fn is_classic(body: &[u8]) -> bool {
    let params = rest::pairs(std::str::from_utf8(body).unwrap_or_default());
    params.get("Version").is_some_and(|version| version == Service::ClassicBalancing.version())
}

fn of_form(body: &[u8]) -> (String, Params) {
    let mut params: Params = rest::pairs(std::str::from_utf8(body).unwrap_or_default());
    params.remove("Version");
    (params.remove("Action").unwrap_or_default(), params)
}

/// A service that the proxy does not know: a form, or a path that ends in the action.
fn of_other(path: &str, body: &[u8]) -> (String, Params) {
    let (action, params) = of_form(body);
    let last = path.rsplit('/').next().unwrap_or_default().to_owned();
    if action.is_empty() { (last, Params::new()) } else { (action, params) }
}

fn of_json(target: &str, body: &[u8]) -> (String, Params) {
    (target.rsplit('.').next().unwrap_or_default().to_owned(), rest::members(body))
}
