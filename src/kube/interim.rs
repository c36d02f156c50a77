//! Stand-in until the tunnel client is merged: the API and etcd over forwarded ports.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use tokio::sync::Mutex;

use crate::blueprint::cluster::object_key;
use crate::exec::ports::*;
use crate::inventory::HostName;
use crate::pki::{KeyId, SecretContent};
use crate::ssh::{Forward, SshRemote};
use crate::state::Vault;

type Tunnel = (reqwest::Client, Forward);

pub struct Interim {
    pub hosts: Vec<HostName>,
    pub remote: SshRemote,
    pub vault: Arc<Vault>,
    tunnels: Mutex<BTreeMap<(HostName, u16), Arc<Tunnel>>>,
}

fn unreachable(error: impl std::fmt::Display) -> KubeError {
    KubeError::Unreachable(error.to_string())
}

fn plural(kind: &str) -> String {
    let lower = kind.to_lowercase();
    if lower.ends_with('s') { format!("{lower}es") } else if lower.ends_with('y') { format!("{}ies", &lower[..lower.len()-1]) } else { format!("{lower}s") }
}

fn path(api_version: &str, kind: &str, namespace: Option<&str>, name: Option<&str>) -> String {
    let base = if api_version == "v1" { "/api/v1".to_owned() } else { format!("/apis/{api_version}") };
    let ns = namespace.map(|n| format!("/namespaces/{n}")).unwrap_or_default();
    let name = name.map(|n| format!("/{n}")).unwrap_or_default();
    format!("{base}{ns}/{}{name}", plural(kind))
}

fn path_of(object: &Value) -> String {
    path(
        object["apiVersion"].as_str().unwrap_or(""),
        object["kind"].as_str().unwrap_or(""),
        object["metadata"]["namespace"].as_str(),
        object["metadata"]["name"].as_str(),
    )
}

impl Interim {
    pub fn new(hosts: Vec<HostName>, remote: SshRemote, vault: Arc<Vault>) -> Self {
        Interim { hosts, remote, vault, tunnels: Mutex::default() }
    }

    fn text(&self, content: SecretContent) -> Result<Vec<u8>, KubeError> {
        self.vault.resolve(&content).map(|b| b.expose_secret().to_vec()).map_err(unreachable)
    }

    async fn tunnel(&self, host: &HostName, port: u16) -> Result<Arc<Tunnel>, KubeError> {
        let mut tunnels = self.tunnels.lock().await;
        if let Some(t) = tunnels.get(&(host.clone(), port)) {
            return Ok(Arc::clone(t));
        }
        let (ca, key, name) = if port == 6443 {
            (KeyId::ca(), KeyId::super_admin(), "kubernetes")
        } else {
            (KeyId::etcd_ca(), KeyId::of_host(host, "etcd/healthcheck-client"), "localhost")
        };
        let ca = self.text(SecretContent::Certificate { key: ca })?;
        let pair = self.text(SecretContent::ClientPem { key })?;
        let forward = self.remote.forward(host, "127.0.0.1", port).await.map_err(unreachable)?;
        let local: SocketAddr = forward.local;
        let client = reqwest::Client::builder()
            .tls_certs_only([reqwest::Certificate::from_pem(&ca).map_err(unreachable)?])
            .identity(reqwest::Identity::from_pem(&pair).map_err(unreachable)?)
            .resolve(name, local)
            .no_proxy()
            .timeout(Duration::from_secs(10))
            .build()
            .map_err(unreachable)?;
        let tunnel = Arc::new((client, forward));
        tunnels.insert((host.clone(), port), Arc::clone(&tunnel));
        Ok(tunnel)
    }

    async fn call_on(&self, host: &HostName, method: reqwest::Method, path: &str, kind: &str, body: Option<&Value>) -> Result<Value, KubeError> {
        let tunnel = self.tunnel(host, 6443).await?;
        let url = format!("https://kubernetes:{}{path}", tunnel.1.local.port());
        let mut request = tunnel.0.request(method, url);
        if let Some(body) = body {
            request = request.header("content-type", kind).body(body.to_string());
        }
        let response = request.send().await.map_err(|e| KubeError::Unreachable(format!("{e:?}")))?;
        let code = response.status().as_u16();
        let text = response.text().await.map_err(unreachable)?;
        if code >= 400 {
            let message = serde_json::from_str::<Value>(&text).ok().and_then(|v| v["message"].as_str().map(str::to_owned)).unwrap_or(text);
            return Err(KubeError::Refused { what: path.to_owned(), code, message });
        }
        Ok(serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    async fn call(&self, method: reqwest::Method, path: &str, kind: &str, body: Option<&Value>) -> Result<Value, KubeError> {
        let mut last = KubeError::Unreachable("no control plane".into());
        for host in &self.hosts {
            match self.call_on(host, method.clone(), path, kind, body).await {
                Err(error @ KubeError::Unreachable(_)) => last = error,
                other => return other,
            }
        }
        Err(last)
    }

    async fn etcd(&self, path: &str, body: Value) -> Result<Value, KubeError> {
        let mut last = KubeError::Unreachable("no etcd host".into());
        for host in &self.hosts {
            match self.etcd_on(host, path, &body).await {
                Err(error @ KubeError::Unreachable(_)) => last = error,
                other => return other,
            }
        }
        Err(last)
    }

    async fn etcd_on(&self, host: &HostName, path: &str, body: &Value) -> Result<Value, KubeError> {
        let tunnel = self.tunnel(host, 2379).await?;
        let url = format!("https://localhost:{}{path}", tunnel.1.local.port());
        let response = tunnel.0.post(url).body(body.to_string()).send().await.map_err(|e| KubeError::Unreachable(format!("{e:?}")))?;
        let code = response.status().as_u16();
        let text = response.text().await.map_err(unreachable)?;
        if code >= 400 {
            return Err(KubeError::Refused { what: path.to_owned(), code, message: text });
        }
        serde_json::from_str(&text).map_err(unreachable)
    }

    fn members_of(answer: &Value) -> Vec<EtcdMember> {
        let strings = |v: &Value| v.as_array().into_iter().flatten().filter_map(|s| s.as_str().map(str::to_owned)).collect::<Vec<_>>();
        answer["members"].as_array().into_iter().flatten().map(|m| EtcdMember {
            id: m["ID"].as_str().and_then(|s| s.parse().ok()).unwrap_or(0),
            name: m["name"].as_str().unwrap_or("").to_owned(),
            peer_urls: strings(&m["peerURLs"]),
            client_urls: strings(&m["clientURLs"]),
            learner: m["isLearner"].as_bool().unwrap_or(false),
            healthy: true,
            leader: false,
        }).collect()
    }
}

impl KubeApi for Interim {
    fn ready<'a>(&'a self, host: &'a HostName) -> BoxFuture<'a, Result<(), KubeError>> {
        Box::pin(async move { self.call_on(host, reqwest::Method::GET, "/readyz", "", None).await.map(drop) })
    }
    fn fetch<'a>(&'a self, wanted: &'a [Value]) -> BoxFuture<'a, Result<Objects, KubeError>> {
        Box::pin(async move {
            let mut found = Objects::new();
            for object in wanted {
                match self.call(reqwest::Method::GET, &path_of(object), "", None).await {
                    Ok(live) => { found.insert(object_key(object), live); }
                    Err(KubeError::Refused { code: 404, .. }) => {}
                    Err(error) => return Err(error),
                }
            }
            Ok(found)
        })
    }
    fn list<'a>(&'a self, api_version: &'a str, kind: &'a str) -> BoxFuture<'a, Result<Vec<Value>, KubeError>> {
        Box::pin(async move {
            let answer = self.call(reqwest::Method::GET, &path(api_version, kind, None, None), "", None).await?;
            Ok(answer["items"].as_array().cloned().unwrap_or_default())
        })
    }
    fn apply<'a>(&'a self, object: &'a Value) -> BoxFuture<'a, Result<Value, KubeError>> {
        Box::pin(async move {
            let path = format!("{}?fieldManager=keelwright&force=true", path_of(object));
            self.call(reqwest::Method::PATCH, &path, "application/apply-patch+yaml", Some(object)).await
        })
    }
    fn patch<'a>(&'a self, object: &'a Value, patch: &'a Value) -> BoxFuture<'a, Result<(), KubeError>> {
        Box::pin(async move {
            self.call(reqwest::Method::PATCH, &path_of(object), "application/merge-patch+json", Some(patch)).await.map(drop)
        })
    }
    fn delete<'a>(&'a self, object: &'a Value) -> BoxFuture<'a, Result<(), KubeError>> {
        Box::pin(async move {
            match self.call(reqwest::Method::DELETE, &path_of(object), "", None).await {
                Ok(_) | Err(KubeError::Refused { code: 404, .. }) => Ok(()),
                Err(error) => Err(error),
            }
        })
    }
    fn evict<'a>(&'a self, namespace: &'a str, pod: &'a str) -> BoxFuture<'a, Result<(), KubeError>> {
        Box::pin(async move {
            let body = json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"namespace": namespace, "name": pod}});
            let path = format!("/api/v1/namespaces/{namespace}/pods/{pod}/eviction");
            self.call(reqwest::Method::POST, &path, "application/json", Some(&body)).await.map(drop)
        })
    }
}

impl Etcd for Interim {
    fn members<'a>(&'a self) -> BoxFuture<'a, Result<Vec<EtcdMember>, KubeError>> {
        Box::pin(async move { Ok(Self::members_of(&self.etcd("/v3/cluster/member/list", json!({})).await?)) })
    }
    fn add_learner<'a>(&'a self, peer_url: &'a str) -> BoxFuture<'a, Result<Vec<EtcdMember>, KubeError>> {
        Box::pin(async move {
            let body = json!({"peerURLs": [peer_url], "isLearner": true});
            Ok(Self::members_of(&self.etcd("/v3/cluster/member/add", body).await?))
        })
    }
    fn promote<'a>(&'a self, id: u64) -> BoxFuture<'a, Result<(), KubeError>> {
        Box::pin(async move { self.etcd("/v3/cluster/member/promote", json!({"ID": id.to_string()})).await.map(drop) })
    }
    fn remove<'a>(&'a self, id: u64) -> BoxFuture<'a, Result<(), KubeError>> {
        Box::pin(async move { self.etcd("/v3/cluster/member/remove", json!({"ID": id.to_string()})).await.map(drop) })
    }
}
