//! Who is a member, and how each one is.

use std::time::Duration;

use futures::future::join_all;
use serde::Deserialize;
use serde_json::json;
use tokio::time::timeout;

use super::{EtcdClient, Number, parse};
use crate::exec::{EtcdMember, KubeError};
use crate::inventory::HostName;

/// A member that does not say how it is within this time is not healthy.
const STATUS_TIMEOUT: Duration = Duration::from_secs(3);

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

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Header {
    member_id: Number,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct ListedMember {
    #[serde(rename = "ID")]
    pub id: Number,
    name: String,
    #[serde(rename = "peerURLs")]
    pub peer_urls: Vec<String>,
    #[serde(rename = "clientURLs")]
    client_urls: Vec<String>,
    #[serde(rename = "isLearner")]
    is_learner: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Members {
    pub members: Vec<ListedMember>,
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
    pub(super) async fn listed(&self) -> Result<Vec<ListedMember>, KubeError> {
        let members: Members =
            parse("member list", self.post("/v3/cluster/member/list", &json!({}), None).await?)?;
        Ok(members.members)
    }

    /// The members with their health, each asked itself.
    pub(super) async fn with_health(&self, listed: Vec<ListedMember>) -> Vec<EtcdMember> {
        let statuses = join_all(listed.iter().map(|member| async {
            let host = self.host_of(&member.name)?;
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
    pub(super) fn host_of(&self, name: &str) -> Option<HostName> {
        let endpoints = self.transport.endpoints();
        endpoints.iter().find(|endpoint| endpoint.host.as_str() == name).map(|endpoint| endpoint.host.clone())
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
        let number = |text: &str| Number::try_from(json!(text)).map(|number| number.0);
        assert_eq!(number("18446744073709551615"), Ok(u64::MAX));
        assert_eq!(number("-1"), Ok(0));
        assert!(number("x").is_err());
    }
}
