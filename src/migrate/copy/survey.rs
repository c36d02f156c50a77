//! Looks at both clusters and says what a copy would do: each object with what becomes of it on green, what stays on
//! blue and why, and what has state. Changes nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use futures::StreamExt as _;
use serde::Serialize;
use serde_json::Value;

use super::clean::clean;
use super::cluster::{ClusterError, FieldConflict, MANAGER, Mode};
use super::diff::{Change, diff};
use super::kinds::{Kind, Pairing};
use super::look::{AT_ONCE, Blue, Green, list_of, read_blue, read_green};
use super::needs::{scaled_by, storage_class};
use super::object::{ObjectId, items, text};
use super::order::Stage;
use super::run::CopyRun;
use super::select::{Found, Left, Selected, select};
use super::settle::settle;
use super::snapshots::{self, ClaimWay, SnapshotWay, Storage, from_snapshot, way_of};
use super::state::{Stateful, stateful};
use super::warn::{GreenServices, by_name, drivers, warnings};

/// What a copy would do.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Survey {
    /// In the order in which they are applied.
    pub items: Vec<Item>,
    pub left: Vec<Left>,
    /// Objects that the operator's own selection leaves out.
    pub unselected: usize,
    pub state: Vec<Stateful>,
    pub warnings: Vec<String>,
}

/// An object that is copied. Printed, it shows nothing of the object itself.
#[derive(Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Item {
    pub id: ObjectId,
    #[serde(skip)]
    pub kind: Kind,
    pub stage: Stage,
    /// May be a Secret.
    #[serde(skip)]
    pub wanted: Value,
    pub standing: Standing,
    /// Green has it, as it is wanted or otherwise.
    pub is_there: bool,
    /// Of a claim that is made from a snapshot.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<SnapshotWay>,
}

impl fmt::Debug for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?} {:?}", self.id, self.standing, self.snapshot)
    }
}

/// What becomes of an object on green.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Standing {
    New,
    Same,
    Differs {
        changes: Vec<Change>,
    },
    /// Somebody else has set fields otherwise; they stay theirs.
    Conflict {
        conflicts: Vec<FieldConflict>,
    },
    /// Green's API server would not take it as things are now.
    Refused {
        why: String,
    },
}

/// Why nothing can be said.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SurveyError {
    #[error("blue cannot be read")]
    Blue(#[source] ClusterError),
    #[error("green cannot be read")]
    Green(#[source] ClusterError),
}

impl Survey {
    /// Nothing is left to be applied.
    pub fn is_done(&self) -> bool {
        self.items.iter().all(|item| item.standing == Standing::Same)
    }
}

/// An object on its way, before green was asked about it.
struct Draft {
    item: Item,
    live: Option<Value>,
    /// Green cannot be asked: it has no such namespace or kind yet.
    is_early: bool,
}

impl CopyRun<'_> {
    /// Looks at both sides.
    ///
    /// # Errors
    /// [`SurveyError`] when one of them cannot be read.
    pub async fn survey(&self) -> Result<Survey, SurveyError> {
        let green_served = self.green.kinds().await.map_err(SurveyError::Green)?;
        let blue = read_blue(self.blue, &green_served, self.selection).await?;
        let Blue { served, found, common, left, unknown_kinds } = blue;
        let pods = found.iter().filter(|one| one.id.is("", "Pod")).map(|one| one.object.clone()).collect();
        let pods: Vec<Value> = if self.selection.snapshots && !found.iter().any(|one| one.id.is("", "Pod")) {
            list_of(self.blue, &served, "", "Pod").await.map_err(SurveyError::Blue)?
        } else {
            pods
        };
        let on_blue: BTreeSet<ObjectId> = found.iter().map(|one| one.id.clone()).collect();
        let mut selected = select(found, self.selection);
        selected.left.extend(left);
        let green = read_green(self.green, green_served, common).await?;
        self.part_with_unread(&mut selected, &green);
        self.part_with_classes(&mut selected, &green);
        let storage = self.storage(&served, &selected, &green).await?;
        let ways = self.ways(&selected, &green, &storage);
        let blue_drivers = list_of(self.blue, &served, "storage.k8s.io", "CSIDriver").await;
        let blue_drivers = blue_drivers.map_err(SurveyError::Blue)?;
        let items = self.ask(self.drafts(&selected, &green, &ways)).await?;
        let mut said: Vec<String> = unknown_kinds
            .iter()
            .map(|word| format!("`withoutKinds` names {word}, which blue does not serve"))
            .collect();
        said.extend(self.warnings(&selected, &green, &blue_drivers));
        said.extend(orphans(&green, &on_blue));
        let state = stateful(&selected.copied, &ways, &pods);
        Ok(Survey { items, left: selected.left, unselected: selected.unselected, state, warnings: said })
    }

    /// What green has of a kind is not known, so nothing is applied there.
    fn part_with_unread(&self, selected: &mut Selected, green: &Green) {
        selected.copied.retain(|one| {
            let why = green.unread.get(&(one.id.group.clone(), one.id.kind.clone()));
            if let Some(why) = why {
                selected.left.push(Left::new(&one.id, format!("green's cannot be read: {why}")));
            }
            why.is_none()
        });
    }

    /// Green's own StorageClasses stay as they are: their volumes count on it, and most fields cannot be changed.
    fn part_with_classes(&self, selected: &mut Selected, green: &Green) {
        selected.copied.retain(|one| {
            if !one.id.is("storage.k8s.io", "StorageClass") {
                return true;
            }
            let mapped = self.selection.storage_classes.get(&one.id.name);
            let why = match mapped {
                Some(class) => format!("claims get green's {class} instead"),
                None if is_own(green, &one.id) => "green has its own of this name".to_owned(),
                None => return true,
            };
            selected.left.push(Left::new(&one.id, why));
            false
        });
    }

    async fn storage(
        &self,
        served: &super::kinds::Served,
        selected: &Selected,
        green: &Green,
    ) -> Result<Storage, SurveyError> {
        let mut storage_classes = by_name(green.of("storage.k8s.io", "StorageClass").cloned());
        for one in selected.copied.iter().filter(|one| one.id.is("storage.k8s.io", "StorageClass")) {
            storage_classes.entry(one.id.name.clone()).or_insert_with(|| one.object.clone());
        }
        let serves =
            |served: &super::kinds::Served| served.find(snapshots::GROUP, "VolumeSnapshot").is_some();
        let mut storage = Storage {
            blue_serves: serves(served),
            green_serves: serves(&green.served),
            green_classes: green.of(snapshots::GROUP, "VolumeSnapshotClass").cloned().collect(),
            storage_classes,
            ..Storage::default()
        };
        if self.selection.snapshots {
            let list = |group, kind| list_of(self.blue, served, group, kind);
            storage.volumes = by_name(list("", "PersistentVolume").await.map_err(SurveyError::Blue)?);
            let classes = list(snapshots::GROUP, "VolumeSnapshotClass").await;
            storage.blue_classes = classes.map_err(SurveyError::Blue)?;
            let taken = list(snapshots::GROUP, "VolumeSnapshot").await;
            storage.snapshots = taken.map_err(SurveyError::Blue)?;
        }
        Ok(storage)
    }

    fn ways(&self, selected: &Selected, green: &Green, storage: &Storage) -> BTreeMap<ObjectId, ClaimWay> {
        let claims = selected.copied.iter().filter(|one| one.id.is("", "PersistentVolumeClaim"));
        let way =
            |one: &Found| way_of(&one.object, green.objects.contains_key(&one.id), self.selection, storage);
        claims.map(|one| (one.id.clone(), way(one))).collect()
    }

    fn drafts(&self, selected: &Selected, green: &Green, ways: &BTreeMap<ObjectId, ClaimWay>) -> Vec<Draft> {
        let scalers = selected.copied.iter().map(|one| &one.object);
        let scalers = scalers.chain(green.of("autoscaling", "HorizontalPodAutoscaler"));
        let scaled: BTreeSet<ObjectId> = scalers
            .filter(|object| text(object, "/kind") == "HorizontalPodAutoscaler")
            .filter_map(scaled_by)
            .collect();
        let draft = |one: &Found| {
            let kind = one.kind().clone();
            let mut wanted = clean(&kind, &one.object, &self.selection.storage_classes);
            let live = green.objects.get(&one.id).cloned();
            let snapshot = match ways.get(&one.id) {
                Some(ClaimWay::Snapshot(way)) => Some(way.clone()),
                Some(ClaimWay::There | ClaimWay::Empty(_)) | None => None,
            };
            if snapshot.is_some() {
                wanted = from_snapshot(&wanted, "");
            }
            if let Some(live) = &live {
                wanted = settle(&one.id, wanted, live, scaled.contains(&one.id));
            }
            let is_early = matches!(one.pairing, Pairing::Defined(_))
                || (kind.is_namespaced && !green.namespaces.contains(&one.id.namespace));
            let (id, stage) = (one.id.clone(), Stage::of(&kind));
            let (standing, is_there) = (Standing::New, live.is_some());
            Draft { item: Item { id, kind, stage, wanted, standing, is_there, snapshot }, live, is_early }
        };
        let mut drafts: Vec<Draft> = selected.copied.iter().map(draft).collect();
        drafts.sort_by(|one, other| key(&one.item).cmp(&key(&other.item)));
        drafts
    }

    /// Asks green what would become of each.
    async fn ask(&self, drafts: Vec<Draft>) -> Result<Vec<Item>, SurveyError> {
        let asked = futures::stream::iter(drafts).map(|draft| self.ask_one(draft)).buffered(AT_ONCE);
        asked.collect::<Vec<_>>().await.into_iter().collect()
    }

    async fn ask_one(&self, draft: Draft) -> Result<Item, SurveyError> {
        let Draft { mut item, live, is_early } = draft;
        if is_early {
            return Ok(item);
        }
        item.standing = match (self.green.apply(&item.kind, &item.wanted, Mode::DryRun).await, live) {
            (Ok(_), None) => Standing::New,
            (Ok(applied), Some(live)) => match diff(&item.id, &live, &applied) {
                changes if changes.is_empty() => Standing::Same,
                changes => Standing::Differs { changes },
            },
            (Err(ClusterError::Conflict(conflicts)), _) => Standing::Conflict { conflicts },
            (Err(error @ ClusterError::Refused { .. }), _) => Standing::Refused { why: error.to_string() },
            (Err(error @ ClusterError::Unreachable(_)), _) => return Err(SurveyError::Green(error)),
        };
        Ok(item)
    }

    fn warnings(&self, selected: &Selected, green: &Green, blue_drivers: &[Value]) -> Vec<String> {
        let services = GreenServices {
            services: green.of("", "Service").collect(),
            drivers: drivers(green.of("storage.k8s.io", "CSIDriver")),
        };
        let copied: Vec<&Found> = selected.copied.iter().collect();
        let blue_drivers = drivers(blue_drivers.iter());
        let mut said = warnings(&copied, &blue_drivers, &services, &|id| !green.objects.contains_key(id));
        said.extend(missing_classes(selected, green, self.selection));
        said
    }
}

fn key(item: &Item) -> (Stage, u8, &ObjectId) {
    (item.stage, Stage::rank(&item.kind), &item.id)
}

/// Whether green's object of this name is not one that an earlier copy has made.
fn is_own(green: &Green, id: &ObjectId) -> bool {
    green.objects.get(id).is_some_and(|live| !is_from_a_copy(live))
}

fn is_from_a_copy(live: &Value) -> bool {
    items(live, "/metadata/managedFields").any(|entry| text(entry, "/manager") == MANAGER)
}

/// What an earlier copy brought and blue no longer has: a copy takes nothing away.
fn orphans(green: &Green, on_blue: &BTreeSet<ObjectId>) -> Vec<String> {
    let is_orphan = |(id, live): &(&ObjectId, &Value)| !on_blue.contains(id) && is_from_a_copy(live);
    let orphans = green.objects.iter().filter(is_orphan);
    orphans
        .map(|(id, _)| format!("{id}: came by an earlier copy and is gone from blue: delete it on green where nothing needs it"))
        .collect()
}

/// Claims whose class green will not have.
fn missing_classes(selected: &Selected, green: &Green, selection: &super::Selection) -> Vec<String> {
    let has = |class: &str| {
        let id = ObjectId::new("storage.k8s.io", "StorageClass", "", class);
        green.objects.contains_key(&id) || selected.copied.iter().any(|one| one.id == id)
    };
    let claims = selected.copied.iter().filter(|one| one.id.is("", "PersistentVolumeClaim"));
    let missing = claims.filter_map(|one| {
        let class = selection.storage_class(storage_class(&one.object));
        (!class.is_empty() && !has(class)).then(|| {
            format!(
                "{}: green has no StorageClass {class}: map it to one of green's with `storageClasses`",
                one.id
            )
        })
    });
    missing.collect()
}
