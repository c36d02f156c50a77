//! etcd as far as membership goes: static bootstrap, learners, quorum, and what a member does that
//! starts with or without its data.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use super::disk::Entry;
use super::manifest::Manifest;
use super::world::World;
use crate::digest::Digest;
use crate::exec::ports::{EtcdMember, KubeError, Objects};
use crate::inventory::HostName;

/// Between a member's start and its first answer.
const START: Duration = Duration::from_millis(900);
/// Until a learner has what the leader has.
const CATCH_UP: Duration = Duration::from_secs(2);

#[derive(Debug, Clone)]
pub struct Member {
    pub name: String,
    pub url: String,
    pub learner: bool,
    pub started: Option<Duration>,
}

/// One etcd cluster, and what the API servers keep in it.
#[derive(Debug, Clone, Default)]
pub struct EtcdCluster {
    pub members: BTreeMap<u64, Member>,
    /// The member that leads while it answers; without it the first one does.
    pub leader: Option<u64>,
    /// It has had a leader.
    pub established: bool,
    pub objects: Objects,
    pub revision: u64,
}

fn number(text: &str) -> u64 {
    let hex = Digest::of(text.as_bytes()).to_string();
    hex.get(..15).and_then(|hex| u64::from_str_radix(hex, 16).ok()).unwrap_or(1)
}

fn peers(list: &str) -> BTreeMap<String, String> {
    list.split(',')
        .filter_map(|peer| peer.split_once('='))
        .map(|(name, url)| (url.to_owned(), name.to_owned()))
        .collect()
}

fn refused(what: &str, message: &str) -> KubeError {
    KubeError::Refused { what: what.to_owned(), code: 400, message: message.to_owned() }
}

impl World {
    /// What a member's process does when it starts; an error ends it.
    pub fn start_etcd(&mut self, name: &HostName, manifest: &Manifest, now: Duration) -> Result<(), String> {
        let argument = |key: &str| manifest.arguments.get(key).cloned().unwrap_or_default();
        let own = argument("initial-advertise-peer-urls");
        let identity = format!("{}/member/identity", argument("data-dir"));
        let host = self.hosts.get(name).ok_or("no such host")?;
        if let Some(text) = host.disk.content(&identity) {
            let (cluster, member) = parse_identity(&text).ok_or("its data is damaged")?;
            let found = self.clusters.get_mut(&cluster).and_then(|cluster| cluster.members.get_mut(&member));
            let member = found.ok_or("the member has been permanently removed from the cluster")?;
            member.started.get_or_insert(now);
            return Ok(());
        }
        let list = peers(&argument("initial-cluster"));
        let own_name = list.get(&own).cloned().ok_or("its own URL is not in --initial-cluster")?;
        let (cluster, member) = match argument("initial-cluster-state").as_str() {
            "existing" => self.join_existing(&list, &own)?,
            _ => self.bootstrap(&list, &own, &argument("initial-cluster-token"), now)?,
        };
        if let Some(member) = self.clusters.get_mut(&cluster).and_then(|found| found.members.get_mut(&member))
        {
            member.name = own_name;
            member.started = Some(now);
        }
        if let Some(host) = self.hosts.get_mut(name) {
            host.disk.make_directories(&format!("{}/member", argument("data-dir")));
            host.disk.put_durable(&identity, Entry::text(0o600, &format!("{cluster} {member}")));
        }
        self.etcd_hosts.insert(name.clone());
        Ok(())
    }

    fn bootstrap(
        &mut self,
        list: &BTreeMap<String, String>,
        own: &str,
        token: &str,
        now: Duration,
    ) -> Result<(u64, u64), String> {
        let text: Vec<String> = list.iter().map(|(url, name)| format!("{name}={url}")).collect();
        let id = number(&format!("{}{token}", text.join(",")));
        let member = number(&format!("{own}{token}"));
        if let Some(other) = self.established_member(own) {
            self.violation(now, format!("etcd member {other} was started on an empty disk"));
            return Err("member has already been bootstrapped".to_owned());
        }
        if !self.clusters.contains_key(&id) {
            if self.clusters.values().any(|cluster| cluster.established) {
                self.violation(now, format!("a second etcd cluster was founded by {own}"));
            }
            let members = list.iter().map(|(url, name)| {
                let id = number(&format!("{url}{token}"));
                (id, Member { name: name.clone(), url: url.clone(), learner: false, started: None })
            });
            let cluster = EtcdCluster { members: members.collect(), ..EtcdCluster::default() };
            self.clusters.insert(id, cluster);
        }
        Ok((id, member))
    }

    /// The voter with this URL, if it has ever run in a cluster that had a leader.
    fn established_member(&self, url: &str) -> Option<String> {
        self.clusters
            .values()
            .filter(|cluster| cluster.established)
            .flat_map(|cluster| cluster.members.values())
            .find(|member| member.url == url && member.started.is_some())
            .map(|member| member.name.clone())
    }

    fn join_existing(&mut self, list: &BTreeMap<String, String>, own: &str) -> Result<(u64, u64), String> {
        let now = self.now;
        let found = self.clusters.iter().find(|(_, cluster)| {
            cluster.members.values().any(|member| member.url != own && list.contains_key(&member.url))
        });
        let (id, cluster) = found.ok_or("cannot fetch cluster info from peer urls")?;
        let id = *id;
        let urls: Vec<&String> = cluster.members.values().map(|member| &member.url).collect();
        if urls.len() != list.len() || !urls.iter().all(|url| list.contains_key(*url)) {
            return Err("member count is unequal".to_owned());
        }
        let member = cluster.members.iter().find(|(_, member)| member.url == own);
        let (member_id, member) = member.ok_or("its URL is not a member's")?;
        let (member_id, was_started) = (*member_id, member.started.is_some());
        if was_started {
            self.violation(now, format!("etcd member {own} was started on an empty disk"));
            return Err("the member's data is gone".to_owned());
        }
        Ok((id, member_id))
    }

    /// The cluster and member whose data a host holds and whose process runs.
    pub fn member_on(&self, name: &HostName) -> Option<(u64, u64)> {
        let host = self.hosts.get(name)?;
        if !host.up {
            return None;
        }
        let pod = host.pods.get("etcd")?;
        let directory = pod.manifest.arguments.get("data-dir")?;
        parse_identity(&host.disk.content(&format!("{directory}/member/identity"))?)
    }

    /// Members whose process answers.
    fn running(&self, cluster: u64) -> Vec<u64> {
        let now = self.now;
        let answers = |name: &&HostName| {
            let pod = self.hosts.get(*name).and_then(|host| host.pods.get("etcd"));
            pod.is_some_and(|pod| now >= pod.since + START)
        };
        self.etcd_hosts
            .iter()
            .filter(answers)
            .filter_map(|name| self.member_on(name))
            .filter(|(id, _)| *id == cluster)
            .map(|(_, member)| member)
            .collect()
    }

    pub fn answers(&self, cluster: u64, member: u64) -> bool {
        self.running(cluster).contains(&member)
    }

    /// Voters that answer, and how many make a majority.
    pub fn quorum(&self, cluster: u64) -> (usize, usize) {
        let Some(found) = self.clusters.get(&cluster) else { return (0, 1) };
        let running = self.running(cluster);
        let voters = found.members.iter().filter(|(_, member)| !member.learner);
        let (all, up) =
            voters.fold((0, 0), |(all, up), (id, _)| (all + 1, up + usize::from(running.contains(id))));
        (up, all / 2 + 1)
    }

    pub fn is_a_majority(&self, cluster: u64) -> bool {
        let (up, needed) = self.quorum(cluster);
        up >= needed
    }

    /// The same, and a cluster that has one is established from then on.
    pub fn has_quorum(&mut self, cluster: u64) -> bool {
        let has = self.is_a_majority(cluster);
        if let (true, Some(found)) = (has, self.clusters.get_mut(&cluster)) {
            found.established = true;
        }
        has
    }

    /// The cluster that answers clients.
    pub fn live_cluster(&mut self) -> Result<u64, KubeError> {
        let ids: Vec<u64> = self.clusters.keys().copied().collect();
        ids.into_iter()
            .find(|id| self.has_quorum(*id))
            .ok_or_else(|| KubeError::Unreachable("no etcd member has a leader".to_owned()))
    }

    pub fn etcd_members(&mut self) -> Result<Vec<EtcdMember>, KubeError> {
        let id = self.live_cluster()?;
        let running = self.running(id);
        let EtcdCluster { members, leader, .. } = &self.clusters[&id];
        let can_lead = |(id, member): &(&u64, &Member)| !member.learner && running.contains(id);
        let named = members.iter().filter(can_lead).find(|(id, _)| Some(**id) == *leader);
        let leader = named.or_else(|| members.iter().find(can_lead)).map(|(id, _)| *id);
        let member = |(id, member): (&u64, &Member)| EtcdMember {
            id: *id,
            // A founder's name is known from the static list, a learner's when it has started; client
            // URLs are what a member publishes itself.
            name: member.name.clone(),
            peer_urls: vec![member.url.clone()],
            client_urls: member.started.iter().map(|_| member.url.replace(":2380", ":2379")).collect(),
            learner: member.learner,
            healthy: running.contains(id),
            leader: leader == Some(*id),
        };
        Ok(members.iter().map(member).collect())
    }

    pub fn add_learner(&mut self, url: &str) -> Result<(), KubeError> {
        let id = self.live_cluster()?;
        self.serial += 1;
        let member_id = number(&format!("{url}{}", self.serial));
        let Some(cluster) = self.clusters.get_mut(&id) else { return Ok(()) };
        if cluster.members.values().any(|member| member.url == url) {
            return Err(refused("add member", "etcdserver: Peer URLs already exists"));
        }
        if cluster.members.values().any(|member| member.learner) {
            return Err(refused("add member", "etcdserver: too many learner members in cluster"));
        }
        let member = Member { name: String::new(), url: url.to_owned(), learner: true, started: None };
        cluster.members.insert(member_id, member);
        Ok(())
    }

    pub fn promote(&mut self, member: u64) -> Result<(), KubeError> {
        let id = self.live_cluster()?;
        let (running, now) = (self.running(id), self.now);
        let found = self.clusters.get_mut(&id).and_then(|cluster| cluster.members.get_mut(&member));
        let found = found.ok_or_else(|| refused("promote", "etcdserver: member not found"))?;
        if !found.learner {
            return Err(refused("promote", "etcdserver: can only promote a learner member"));
        }
        let in_sync = found.started.is_some_and(|started| now >= started + CATCH_UP);
        if !running.contains(&member) || !in_sync {
            return Err(refused(
                "promote",
                "etcdserver: can only promote a learner which is in sync with leader",
            ));
        }
        found.learner = false;
        Ok(())
    }

    pub fn remove_member(&mut self, member: u64) -> Result<(), KubeError> {
        let id = self.live_cluster()?;
        let running = self.running(id);
        let Some(cluster) = self.clusters.get_mut(&id) else { return Ok(()) };
        let Some(found) = cluster.members.get(&member) else {
            return Err(refused("remove member", "etcdserver: member not found"));
        };
        if !found.learner {
            let left = cluster.members.iter().filter(|(id, other)| **id != member && !other.learner);
            let (all, up) =
                left.fold((0, 0), |(all, up), (id, _)| (all + 1, up + usize::from(running.contains(id))));
            if up < all / 2 + 1 {
                return Err(refused(
                    "remove member",
                    "etcdserver: re-configuration failed due to not enough started members",
                ));
            }
        }
        cluster.members.remove(&member);
        // The process of a removed member ends by itself.
        for name in self.etcd_hosts.clone() {
            if self.member_on(&name) == Some((id, member))
                && let Some(host) = self.hosts.get_mut(&name)
            {
                host.pods.remove("etcd");
            }
        }
        Ok(())
    }

    /// Membership as text, without ids that differ from run to run.
    pub fn membership(&self) -> Vec<String> {
        let members = self.clusters.values().filter(|cluster| cluster.established);
        let mut lines: Vec<String> = members
            .flat_map(|cluster| cluster.members.values())
            .map(|member| format!("member {} {} learner={}", member.name, member.url, member.learner))
            .collect();
        lines.sort();
        lines
    }

    /// The objects of the cluster that answers.
    pub fn stored(&self) -> BTreeMap<&String, &Value> {
        self.clusters
            .values()
            .filter(|cluster| cluster.established)
            .flat_map(|cluster| &cluster.objects)
            .collect()
    }
}

fn parse_identity(text: &str) -> Option<(u64, u64)> {
    let (cluster, member) = text.trim().split_once(' ')?;
    Some((cluster.parse().ok()?, member.parse().ok()?))
}
