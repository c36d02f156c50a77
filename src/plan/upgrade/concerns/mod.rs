//! What an operator should know before an upgrade begins, and what keeps it from beginning.
//!
//! Something **blocks** when going on would do harm that the upgrade itself cannot mend, and that the operator can
//! prevent beforehand:
//!
//! - A program that will not start: a flag or a feature gate that the target, or a version passed through, does
//!   not know. Known for certain, and mended by an edit of the inventory.
//! - Objects that no later API server can decode. They would stay in etcd, and listing their kind would fail; only
//!   the version that is there now can delete them.
//! - A drain that cannot end: a disruption budget that allows no eviction even when all its pods are well, or two
//!   budgets over one pod, which the eviction API refuses. Only when such a pod runs on a node that is drained.
//! - A kubelet on a node that no inventory names and that would be too old for the API servers to come.
//! - A webhook that refuses what an upgrade asks while nobody answers for it, or that nobody could start again
//!   because it is asked about its own pods.
//!
//! All else is a **notice**. That somebody asked for an API version that goes is one: the gauge counts every
//! request since the API server started, a look by `kubectl get` as much as a controller's, and it cannot be set
//! back; an operator who mended everything could not go on. Nothing is lost by it either, and a client that was
//! forgotten gets 404 and says so. Objects that are read through another version from then on are a notice for
//! the same reason: they would be listed for as long as the old version is served.
//!
//! What blocks and is no program that would not start is a notice, too, when the operator has accepted it by name
//! (`policy.upgrade.accept`).
//!
//! Once an upgrade is under way, drains and webhooks are notices, too: a node that is cordoned half-way may be the
//! very reason why nobody answers for a webhook, and going on is what mends it. A drain that cannot end then says
//! so when its time is over.

mod arguments;
mod certificates;
mod strangers;
mod workloads;

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::facts::upgrade::{RequestedApi, StoredObjects};
use crate::facts::{ClusterFacts, Observed, UpgradeFacts, VaultFacts};
use crate::inventory::{HostName, Inventory};
use crate::release::removals::{REMOVED_APIS, RemovedApi, Stored, removed_apis};
use crate::release::{KubeVersion, Minor};

/// How much weight something has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// The upgrade does not begin.
    Blocks,
    /// It is listed.
    Notice,
}

/// Something to know before an upgrade.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Concern {
    pub severity: Severity,
    /// A host, an object, or a key of the inventory.
    pub about: String,
    pub what: String,
    pub remedy: String,
}

impl fmt::Display for Concern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}; {}", self.about, self.what, self.remedy)
    }
}

impl Concern {
    fn blocks(about: impl Into<String>, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        let (about, what, remedy) = (about.into(), what.into(), remedy.into());
        Concern { severity: Severity::Blocks, about, what, remedy }
    }

    fn notice(about: impl Into<String>, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Concern { severity: Severity::Notice, ..Concern::blocks(about, what, remedy) }
    }
}

/// An upgrade that may begin, and what is known of the cluster.
#[derive(Debug, Clone, Copy)]
pub struct Prospect<'a> {
    pub inventory: &'a Inventory,
    pub facts: &'a ClusterFacts,
    pub vault: &'a VaultFacts,
    /// Absent: there is no cluster to look at.
    pub upgrade: &'a Observed<UpgradeFacts>,
    /// The lowest version that an API server, a controller manager or a scheduler runs. Kubelets that lag behind do
    /// not count: they go to the target in one step.
    pub from: KubeVersion,
    pub target: KubeVersion,
    /// Nodes that the plan drains.
    pub drained: &'a BTreeSet<HostName>,
    /// Some part of the cluster has been upgraded already.
    pub under_way: bool,
    /// Seconds since 1970.
    pub now: i64,
}

impl Prospect<'_> {
    /// The minors that API servers, controller managers and schedulers run on the way: from, to.
    fn control_plane_minors(&self) -> (Minor, Minor) {
        let (from, last) = (self.from.minor(), self.target.minor());
        let next = Minor::new(from.major, from.minor + 1);
        (next.min(last), last)
    }

    fn drains(&self, node: &str) -> bool {
        self.drained.iter().any(|name| name.as_str() == node)
    }

    /// Blocks, unless the upgrade is under way.
    fn until_begun(&self, concern: Concern) -> Concern {
        let severity = if self.under_way { Severity::Notice } else { concern.severity };
        Concern { severity, ..concern }
    }
}

/// Everything there is to say, what blocks first.
pub fn concerns(prospect: &Prospect<'_>) -> Vec<Concern> {
    let mut all = certificates::concerns(prospect);
    match prospect.upgrade {
        Observed::Known(facts) => {
            all.extend(requested(prospect, facts));
            all.extend(facts.stored.iter().filter_map(|objects| stored(prospect, objects)));
            all.extend(workloads::concerns(prospect, facts));
        }
        Observed::Unreachable(why) => all.push(Concern::notice(
            "the API",
            format!("could not be asked what runs in the cluster ({why})"),
            "look after the control planes, and plan again to have all of it",
        )),
        Observed::Absent => {}
    }
    let accepted = &prospect.inventory.policy.upgrade.accept;
    for concern in all.iter_mut().filter(|concern| accepted.contains(&concern.about)) {
        concern.severity = Severity::Notice;
    }
    all.extend(arguments::concerns(prospect));
    all.extend(strangers::concerns(prospect));
    all.sort();
    all.dedup();
    all
}

fn requested(prospect: &Prospect<'_>, facts: &UpgradeFacts) -> Vec<Concern> {
    let (from, to) = (prospect.from.minor(), prospect.target.minor());
    let goes = |api: &&RequestedApi| api.removed.is_some_and(|removed| from < removed && removed <= to);
    let mut found: Vec<Concern> = facts.requested.iter().filter(goes).map(one_requested).collect();
    let unasked = prospect.inventory.control_planes().filter(|host| !facts.asked.contains(&host.name));
    found.extend(unasked.map(|host| {
        Concern::notice(
            host.name.as_str(),
            "its API server did not say which deprecated API versions were asked of it",
            format!("look at it with `kubectl get --raw /metrics` on {}", host.name),
        )
    }));
    found
}

fn one_requested(api: &RequestedApi) -> Concern {
    let version = match api.group.as_str() {
        "" => api.version.clone(),
        group => format!("{group}/{}", api.version),
    };
    let resource = match api.subresource.as_str() {
        "" => api.resource.clone(),
        part => format!("{}/{part}", api.resource),
    };
    let gone = api.removed.map(|minor| minor.to_string()).unwrap_or_default();
    let removed = REMOVED_APIS.iter().find(|removed| {
        (removed.group, removed.version, removed.resource) == (&api.group, &api.version, &api.resource)
    });
    let instead = match removed.map(|removed| removed.stored) {
        Some(Stored::ReadAs(other)) => format!("use {}/{other} there", api.group),
        Some(Stored::Unreadable) | None => "move to a version that stays".to_owned(),
    };
    Concern::notice(
        format!("{version} {resource}"),
        format!("somebody has asked for it since the API servers started, and {gone} does not serve it"),
        format!("the audit log names who (annotation `k8s.io/removed-release`); {instead}"),
    )
}

fn stored(prospect: &Prospect<'_>, objects: &StoredObjects) -> Option<Concern> {
    let is_it = |api: &&RemovedApi| api.api_version() == objects.api_version && api.kind == objects.kind;
    let api = removed_apis(prospect.from.minor(), prospect.target.minor()).find(is_it)?;
    let about = format!("{} {}", objects.api_version, objects.kind);
    let named = objects.examples.join(", ");
    let more = if objects.count > objects.examples.len() { ", …" } else { "" };
    let what = format!("{} stored ({named}{more})", objects.count);
    Some(match api.stored {
        Stored::Unreadable => Concern::blocks(
            about,
            format!("{what}; {} can no longer read them, and listing their kind would fail", api.gone),
            format!(
                "keep what you need and `kubectl delete {}.{}.{} --all`",
                api.resource, api.version, api.group
            ),
        ),
        Stored::ReadAs(other) => Concern::notice(
            about,
            format!("{what}; from {} on they are there as {}/{other} only", api.gone, api.group),
            format!("let everything that works with them use {}/{other}", api.group),
        ),
    })
}

#[cfg(test)]
mod tests;
