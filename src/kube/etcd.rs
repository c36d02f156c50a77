//! etcd through its JSON gateway: the gRPC API as POST requests on the client port, so that no gRPC stack
//! is needed. Numbers of 64 bits are decimal strings there, and bytes are base64.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures::future::{BoxFuture, join_all};
use http::{Method, Request, header};
use http_body_util::BodyExt as _;
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::io::AsyncWriteExt as _;
use tokio::time::timeout;

use super::tls::CredentialSource;
use super::transport::{Dialer, Endpoint, OnlyHost, Transport, TransportError};
use crate::exec::{Etcd, EtcdMember, KubeError};
use crate::inventory::HostName;

/// A member that does not say how it is within this time is not healthy.
const STATUS_TIMEOUT: Duration = Duration::from_secs(3);
/// Lines of a snapshot stream carry 32 KiB to a few MiB of the database each; more is no answer of etcd's.
const LINE_LIMIT: usize = 64 << 20;

/// A client of one etcd cluster.
pub struct EtcdClient {
    transport: Transport,
}

/// What one member says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberStatus {
    pub id: u64,
    pub version: String,
    pub leader: u64,
    pub raft_term: u64,
    pub raft_index: u64,
    pub raft_applied_index: u64,
    pub database_bytes: u64,
    pub learner: bool,
    pub errors: Vec<String>,
}

/// A snapshot that has been written and can be trusted to be whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    pub bytes: u64,
    /// Hex, of the file as written.
    pub sha256: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Header {
    member_id: Number,
}

/// A number the gateway writes as a string, and leaves out when it is zero.
#[derive(Debug, Default, Clone, Copy, Deserialize)]
#[serde(try_from = "Value")]
struct Number(u64);

impl TryFrom<Value> for Number {
    type Error = String;
    fn try_from(value: Value) -> Result<Self, String> {
        let number = match &value {
            Value::String(text) => text.parse().ok(),
            Value::Number(number) => number.as_u64(),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
        };
        number.map(Number).ok_or_else(|| format!("{value} is not a number"))
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ListedMember {
    #[serde(rename = "ID")]
    id: Number,
    name: String,
    #[serde(rename = "peerURLs")]
    peer_urls: Vec<String>,
    #[serde(rename = "clientURLs")]
    client_urls: Vec<String>,
    #[serde(rename = "isLearner")]
    is_learner: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Members {
    members: Vec<ListedMember>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Status {
    header: Header,
    version: String,
    db_size: Number,
    leader: Number,
    raft_index: Number,
    raft_term: Number,
    raft_applied_index: Number,
    errors: Vec<String>,
    is_learner: bool,
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

    async fn listed(&self) -> Result<Vec<ListedMember>, KubeError> {
        let members: Members =
            parse("member list", self.post("/v3/cluster/member/list", &json!({}), None).await?)?;
        Ok(members.members)
    }

    /// The members with their health, each asked itself.
    async fn with_health(&self, listed: Vec<ListedMember>) -> Vec<EtcdMember> {
        let statuses = join_all(listed.iter().map(|member| async {
            let host = self.host_of(member)?;
            timeout(STATUS_TIMEOUT, self.status(&host)).await.ok()?.ok()
        }));
        listed
            .iter()
            .zip(statuses.await)
            .map(|(member, status)| {
                // Another member may answer at an address that was taken over.
                let status = status.filter(|status| status.id == member.id.0);
                EtcdMember {
                    id: member.id.0,
                    name: member.name.clone(),
                    peer_urls: member.peer_urls.clone(),
                    client_urls: member.client_urls.clone(),
                    learner: member.is_learner,
                    healthy: status
                        .as_ref()
                        .is_some_and(|status| status.errors.is_empty() && status.leader != 0),
                    leader: status.as_ref().is_some_and(|status| status.leader == status.id),
                }
            })
            .collect()
    }

    /// Members are named after their hosts; one that has not started yet has no name.
    fn host_of(&self, member: &ListedMember) -> Option<HostName> {
        let endpoints = self.transport.endpoints();
        endpoints
            .iter()
            .find(|endpoint| endpoint.host.as_str() == member.name)
            .map(|endpoint| endpoint.host.clone())
    }

    /// What the member on `host` says of itself.
    pub async fn status(&self, host: &HostName) -> Result<MemberStatus, KubeError> {
        let answer = self.post("/v3/maintenance/status", &json!({}), Some(host)).await?;
        let status: Status = parse("status", answer)?;
        Ok(MemberStatus {
            id: status.header.member_id.0,
            version: status.version,
            leader: status.leader.0,
            raft_term: status.raft_term.0,
            raft_index: status.raft_index.0,
            raft_applied_index: status.raft_applied_index.0,
            database_bytes: status.db_size.0,
            learner: status.is_learner,
            errors: status.errors,
        })
    }

    /// Alarms that are raised, as (member, `NOSPACE` or `CORRUPT`).
    pub async fn alarms(&self) -> Result<Vec<(u64, String)>, KubeError> {
        #[derive(Deserialize)]
        struct Alarm {
            #[serde(rename = "memberID", default)]
            member: Number,
            alarm: String,
        }
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Alarms {
            alarms: Vec<Alarm>,
        }
        let answer = self.post("/v3/maintenance/alarm", &json!({"action": "GET"}), None).await?;
        let alarms: Alarms = parse("alarms", answer)?;
        Ok(alarms.alarms.into_iter().map(|alarm| (alarm.member.0, alarm.alarm)).collect())
    }

    /// The hash of all keys of the member on `host` at a revision (0: its newest), with the revision
    /// below which history was compacted: equal revisions must have equal hashes on all members.
    pub async fn hash_kv(&self, host: &HostName, revision: u64) -> Result<(u64, u64), KubeError> {
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Hash {
            hash: Number,
            compact_revision: Number,
        }
        let body = json!({"revision": revision.to_string()});
        let hash: Hash = parse("hash", self.post("/v3/maintenance/hashkv", &body, Some(host)).await?)?;
        Ok((hash.hash.0, hash.compact_revision.0))
    }

    /// Hands leadership to `target`; `leader` is the host of the member that has it.
    pub async fn move_leader(&self, leader: &HostName, target: u64) -> Result<(), KubeError> {
        let body = json!({"targetID": target.to_string()});
        self.post("/v3/maintenance/transfer-leadership", &body, Some(leader)).await.map(drop)
    }

    /// Streams a snapshot of the member on `host` to `path`, which appears only when it is whole: written
    /// beside it, flushed, renamed. The database ends in a hash of itself, so a stream that ended early
    /// is told from a whole one; ours is over the file.
    pub async fn snapshot(&self, host: &HostName, path: &Path) -> Result<Snapshot, KubeError> {
        let unreachable = |reason: String| KubeError::Unreachable(format!("snapshot of {host}: {reason}"));
        let local = |error: std::io::Error| KubeError::Refused {
            what: format!("snapshot to {}", path.display()),
            code: 0,
            message: error.to_string(),
        };
        let response = self.send("/v3/maintenance/snapshot", &json!({}), Some(host)).await?;
        if !response.status().is_success() {
            let code = response.status().as_u16();
            return Err(KubeError::Refused {
                what: format!("snapshot of {host}"),
                code,
                message: String::new(),
            });
        }
        let partial = path.with_extension("partial");
        let mut file = open_private(&partial).await.map_err(local)?;
        let mut body = response.into_body();
        let (mut pending, mut written, mut remaining) = (Vec::new(), 0_u64, u64::MAX);
        let mut digest = Sha256::new();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| unreachable(error.to_string()))?;
            pending.extend_from_slice(frame.data_ref().map(Bytes::as_ref).unwrap_or_default());
            if pending.len() > LINE_LIMIT {
                return Err(unreachable("an answer without an end".into()));
            }
            while let Some(end) = pending.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = pending.drain(..=end).collect();
                let (blob, left) = snapshot_part(&line).map_err(unreachable)?;
                digest.update(&blob);
                file.write_all(&blob).await.map_err(local)?;
                written += u64::try_from(blob.len()).unwrap_or(u64::MAX);
                remaining = left;
            }
        }
        if remaining != 0 {
            return Err(unreachable(format!("the stream ended {remaining} bytes early")));
        }
        file.sync_all().await.map_err(local)?;
        tokio::fs::rename(&partial, path).await.map_err(local)?;
        Ok(Snapshot { bytes: written, sha256: hex::encode(digest.finalize()) })
    }
}

/// A snapshot holds every Secret of the cluster.
async fn open_private(path: &Path) -> std::io::Result<tokio::fs::File> {
    tokio::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path).await
}

/// One line of the stream: the bytes, and how many are to follow.
fn snapshot_part(line: &[u8]) -> Result<(Vec<u8>, u64), String> {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Part {
        remaining_bytes: Number,
        blob: String,
    }
    let value: Value = serde_json::from_slice(line).map_err(|error| error.to_string())?;
    if let Some(error) = value.get("error") {
        return Err(error.get("message").and_then(Value::as_str).unwrap_or("refused").to_owned());
    }
    let part: Part = serde_json::from_value(value.get("result").cloned().unwrap_or_default())
        .map_err(|error| error.to_string())?;
    let blob = STANDARD.decode(part.blob).map_err(|error| error.to_string())?;
    Ok((blob, part.remaining_bytes.0))
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
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_the_gateway_writes() {
        let members: Members = parse("x", json!({
            "header": {"cluster_id": "14841639068965178418"},
            "members": [
                {"ID": "10276657743932975437", "name": "cp-1", "peerURLs": ["https://10.0.0.1:2380"], "clientURLs": []},
                {"ID": "7", "peerURLs": ["https://10.0.0.2:2380"], "isLearner": true},
            ],
        }))
        .unwrap();
        assert_eq!(members.members[0].id.0, 10276657743932975437);
        assert!(members.members[1].is_learner && members.members[1].name.is_empty());
    }

    #[test]
    fn reads_a_part_of_a_snapshot() {
        let part = snapshot_part(br#"{"result":{"remaining_bytes":"5","blob":"YWI="}}"#).unwrap();
        assert_eq!(part, (b"ab".to_vec(), 5));
        assert_eq!(snapshot_part(br#"{"result":{"blob":""}}"#).unwrap(), (vec![], 0));
        assert_eq!(snapshot_part(br#"{"error":{"message":"no"}}"#).unwrap_err(), "no");
        assert!(snapshot_part(b"<html>").is_err());
    }
}
