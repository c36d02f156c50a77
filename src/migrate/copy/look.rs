//! Reads both clusters: everything of blue that may be copied, and what green has of it.

use std::collections::{BTreeMap, BTreeSet};

use futures::StreamExt as _;
use serde_json::Value;

use super::cluster::{Cluster, ClusterError};
use super::kinds::{Kind, Pairing, Served, is_of_the_cluster, pair};
use super::object::{ObjectId, name};
use super::select::{Found, Left};
use super::selection::Selection;
use super::snapshots;
use super::survey::SurveyError;

/// Calls under way at once.
pub(super) const AT_ONCE: usize = 8;

/// What was read of blue.
pub(super) struct Blue {
    pub served: Served,
    pub found: Vec<Found>,
    /// Kinds that both sides serve.
    pub common: BTreeSet<Kind>,
    /// Kinds that could not be read.
    pub left: Vec<Left>,
    /// Words of `withoutKinds` that mean nothing.
    pub unknown_kinds: Vec<String>,
}

/// What was read of green.
pub(super) struct Green {
    pub served: Served,
    pub namespaces: BTreeSet<String>,
    pub objects: BTreeMap<ObjectId, Value>,
    /// Kinds that could not be read, and why.
    pub unread: BTreeMap<(String, String), String>,
}

impl Green {
    /// Those of one kind.
    pub fn of<'a>(&'a self, group: &'a str, kind: &'a str) -> impl Iterator<Item = &'a Value> {
        self.objects.iter().filter(move |(id, _)| id.is(group, kind)).map(|(_, object)| object)
    }
}

/// Which kinds each side has, and everything of blue that is not its own.
pub(super) async fn read_blue(
    blue: &dyn Cluster,
    green_served: &Served,
    selection: &Selection,
) -> Result<Blue, SurveyError> {
    let served = blue.kinds().await.map_err(SurveyError::Blue)?;
    let definitions = match served.find("apiextensions.k8s.io", "CustomResourceDefinition") {
        Some(kind) => blue.list(kind).await.map_err(SurveyError::Blue)?,
        None => Vec::new(),
    };
    // A definition that does not come along brings no kind.
    let brings = served
        .find("apiextensions.k8s.io", "CustomResourceDefinition")
        .is_some_and(|kind| selection.has_kind(kind));
    let preferred = served.preferred();
    let unknown_kinds = selection.unknown_kinds(&preferred).map(str::to_owned).collect();
    let wanted = preferred
        .iter()
        .filter(|kind| !is_of_the_cluster(&kind.group, &kind.kind) && selection.has_kind(kind));
    let pairings =
        wanted.map(|kind| pair(kind, &served, green_served, if brings { &definitions } else { &[] }));
    let reads = futures::stream::iter(pairings)
        .map(|pairing| async move {
            let objects = blue.list(pairing.kind()).await;
            (pairing, objects)
        })
        .buffered(AT_ONCE)
        .collect::<Vec<(Pairing, Result<Vec<Value>, ClusterError>)>>()
        .await;
    let mut left: Vec<Left> = silent(&served, "blue");
    let (mut found, mut common) = (Vec::new(), BTreeSet::new());
    for (pairing, objects) in reads {
        if let Pairing::Common(kind) = &pairing {
            common.insert(kind.clone());
        }
        match objects {
            Ok(objects) => {
                found.extend(objects.into_iter().map(|object| Found::new(pairing.clone(), object)));
            }
            Err(error @ ClusterError::Unreachable(_)) => return Err(SurveyError::Blue(error)),
            Err(error) => left.push(Left::new(format!("objects of kind {}", pairing.kind().title()), error)),
        }
    }
    found.sort_by(|one, other| one.id.cmp(&other.id));
    Ok(Blue { served, found, common, left, unknown_kinds })
}

/// Parts of an API that do not answer, where their objects would be copied.
fn silent(served: &Served, side: &str) -> Vec<Left> {
    let is_wanted = |group: &str| !is_of_the_cluster(group, "");
    let silent = served.silent.iter().filter(|silent| is_wanted(super::kinds::group_of(&silent.api_version)));
    silent.map(|one| Left::new(format!("objects of {} on {side}", one.api_version), &one.why)).collect()
}

/// What green has of these kinds, and what else has to be known of it.
pub(super) async fn read_green(
    green: &dyn Cluster,
    served: Served,
    mut kinds: BTreeSet<Kind>,
) -> Result<Green, SurveyError> {
    for (group, kind) in [
        ("", "Namespace"),
        ("", "Service"),
        ("autoscaling", "HorizontalPodAutoscaler"),
        ("storage.k8s.io", "CSIDriver"),
        ("storage.k8s.io", "StorageClass"),
        (snapshots::GROUP, "VolumeSnapshotClass"),
    ] {
        if !kinds.iter().any(|known| known.is(group, kind)) {
            kinds.extend(served.find(group, kind).cloned());
        }
    }
    let reads = futures::stream::iter(kinds)
        .map(|kind| async move {
            let objects = green.list(&kind).await;
            (kind, objects)
        })
        .buffered(AT_ONCE)
        .collect::<Vec<_>>()
        .await;
    let mut read =
        Green { served, namespaces: BTreeSet::new(), objects: BTreeMap::new(), unread: BTreeMap::new() };
    for (kind, objects) in reads {
        match objects {
            Ok(objects) => {
                if kind.is("", "Namespace") {
                    read.namespaces.extend(objects.iter().map(|object| name(object).to_owned()));
                }
                read.objects.extend(objects.into_iter().map(|object| (ObjectId::of(&object), object)));
            }
            // Without them nothing can be said of anything.
            Err(error) if kind.is("", "Namespace") => return Err(SurveyError::Green(error)),
            Err(error @ ClusterError::Unreachable(_)) => return Err(SurveyError::Green(error)),
            Err(error) => {
                read.unread.insert((kind.group, kind.kind), error.to_string());
            }
        }
    }
    Ok(read)
}

/// All objects of a kind that a side serves; none where it does not, or does not let them be seen.
pub(super) async fn list_of(
    cluster: &dyn Cluster,
    served: &Served,
    group: &str,
    kind: &str,
) -> Result<Vec<Value>, ClusterError> {
    let Some(kind) = served.find(group, kind) else { return Ok(Vec::new()) };
    match cluster.list(kind).await {
        Err(error @ ClusterError::Unreachable(_)) => Err(error),
        Err(_) => Ok(Vec::new()),
        found => found,
    }
}
