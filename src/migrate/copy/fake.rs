//! For tests: a cluster in memory that applies as an API server does, field by field with their managers, and dies at any
//! call.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::cluster::{Cluster, ClusterError, FieldConflict, MANAGER, Mode, Reply};
use super::kinds::{Kind, Served};
use super::object::{ObjectId, name, namespace, text};
use super::snapshots::GROUP;
use super::testing::{kind, kind_of};
use crate::exec::Clock;

/// The caller died: a test catches it.
#[derive(Debug)]
pub(super) struct Died;

/// Counts the calls of both sides, and the time.
#[derive(Default)]
pub(super) struct Fate {
    pub calls: usize,
    /// The call at which the caller dies, and whether before it is carried out.
    pub dies_at: Option<(usize, bool)>,
    now: Duration,
}

#[derive(Default)]
struct World {
    kinds: Vec<Kind>,
    objects: BTreeMap<ObjectId, Value>,
    /// What each manager has set, as paths of leaves.
    owned: BTreeMap<ObjectId, BTreeMap<String, BTreeSet<String>>>,
    /// What is refused, and how; once, or always.
    refusals: Vec<(ObjectId, ClusterError, bool)>,
    next: u64,
    applied: Vec<ObjectId>,
    /// Nobody makes a snapshot ready.
    has_no_snapshotter: bool,
}

pub(super) struct FakeCluster {
    world: Mutex<World>,
    fate: Arc<Mutex<Fate>>,
}

/// Two that share one fate.
pub(super) fn pair() -> (FakeCluster, FakeCluster, Arc<Mutex<Fate>>) {
    let fate: Arc<Mutex<Fate>> = Arc::default();
    let cluster = || FakeCluster { world: Mutex::default(), fate: Arc::clone(&fate) };
    (cluster(), cluster(), fate)
}

/// What every API server serves.
pub(super) const KINDS: [(&str, &str); 24] = [
    ("v1", "Namespace"),
    ("v1", "Secret"),
    ("v1", "ConfigMap"),
    ("v1", "Service"),
    ("v1", "ServiceAccount"),
    ("v1", "Pod"),
    ("v1", "Node"),
    ("v1", "Event"),
    ("v1", "PersistentVolume"),
    ("v1", "PersistentVolumeClaim"),
    ("apps/v1", "Deployment"),
    ("apps/v1", "StatefulSet"),
    ("apps/v1", "ReplicaSet"),
    ("batch/v1", "CronJob"),
    ("batch/v1", "Job"),
    ("autoscaling/v2", "HorizontalPodAutoscaler"),
    ("networking.k8s.io/v1", "Ingress"),
    ("rbac.authorization.k8s.io/v1", "ClusterRole"),
    ("rbac.authorization.k8s.io/v1", "RoleBinding"),
    ("storage.k8s.io/v1", "StorageClass"),
    ("storage.k8s.io/v1", "CSIDriver"),
    ("scheduling.k8s.io/v1", "PriorityClass"),
    ("apiextensions.k8s.io/v1", "CustomResourceDefinition"),
    ("admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration"),
];

/// What a snapshot controller brings.
pub(super) const SNAPSHOT_KINDS: [&str; 3] =
    ["VolumeSnapshot", "VolumeSnapshotClass", "VolumeSnapshotContent"];

impl FakeCluster {
    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fate(&self) -> MutexGuard<'_, Fate> {
        self.fate.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn serve(&self, kinds: &[(&str, &str)]) {
        self.world().kinds.extend(kinds.iter().map(|(api_version, name)| kind(api_version, name)));
    }

    pub fn serve_snapshots(&self) {
        let kinds = SNAPSHOT_KINDS.map(|kind| ("snapshot.storage.k8s.io/v1", kind));
        self.serve(&kinds);
    }

    /// Somebody puts an object there.
    pub fn put(&self, manager: &str, object: &Value) {
        let mut world = self.world();
        let object = world.born(object.clone());
        let id = ObjectId::of(&object);
        let mut leaves = BTreeSet::new();
        collect(&object, "", &mut leaves);
        world.owned.entry(id.clone()).or_default().insert(manager.to_owned(), leaves);
        world.define(&object);
        world.objects.insert(id, object);
    }

    /// Somebody changes a field.
    pub fn set(&self, manager: &str, id: &ObjectId, pointer: &str, value: Value) {
        let mut world = self.world();
        let (above, key) = pointer.rsplit_once('/').unwrap();
        world.objects.get_mut(id).unwrap().pointer_mut(above).unwrap()[key] = value;
        let path = pointer.to_owned();
        let owned = world.owned.entry(id.clone()).or_default();
        owned.values_mut().for_each(|leaves| {
            leaves.remove(&path);
        });
        owned.entry(manager.to_owned()).or_default().insert(path);
    }

    /// Somebody deletes an object.
    pub fn remove(&self, id: &ObjectId) {
        self.world().objects.remove(id);
    }

    pub fn get(&self, id: &ObjectId) -> Option<Value> {
        self.world().objects.get(id).cloned()
    }

    pub fn refuse(&self, id: &ObjectId, error: ClusterError, always: bool) {
        self.world().refusals.push((id.clone(), error, always));
    }

    pub fn forgive(&self) {
        self.world().refusals.clear();
    }

    pub fn lose_snapshotter(&self) {
        self.world().has_no_snapshotter = true;
    }

    /// Titles of what a copy has applied, in the order in which it was.
    pub fn applied(&self) -> Vec<String> {
        self.world().applied.iter().map(ToString::to_string).collect()
    }

    /// Everything that is there, without what the server says of it.
    pub fn census(&self) -> BTreeMap<ObjectId, Value> {
        let world = self.world();
        let plain = |object: &Value| {
            let mut object = object.clone();
            let metadata = object["metadata"].as_object_mut().unwrap();
            metadata
                .retain(|key, _| !matches!(key.as_str(), "uid" | "resourceVersion" | "creationTimestamp"));
            object
        };
        world.objects.iter().map(|(id, object)| (id.clone(), plain(object))).collect()
    }

    fn call<T>(&self, work: impl FnOnce(&mut World) -> Result<T, ClusterError>) -> Result<T, ClusterError> {
        let dies = {
            let mut fate = self.fate();
            fate.calls += 1;
            fate.dies_at.filter(|(call, _)| *call == fate.calls).map(|(_, before)| before)
        };
        if dies == Some(true) {
            std::panic::panic_any(Died);
        }
        let result = work(&mut self.world());
        if dies == Some(false) {
            std::panic::panic_any(Died);
        }
        result
    }
}

impl World {
    /// As an API server completes an object.
    fn born(&mut self, mut object: Value) -> Value {
        self.next += 1;
        object["metadata"]["uid"] = format!("uid-{}", self.next).into();
        object["metadata"]["creationTimestamp"] = "2026-01-01T00:00:00Z".into();
        object["metadata"]["resourceVersion"] = self.next.to_string().into();
        match text(&object, "/kind") {
            "Service" if object.pointer("/spec/clusterIP").is_none() => {
                object["spec"]["clusterIP"] = format!("10.0.0.{}", self.next).into();
            }
            "Namespace" => {
                object["metadata"]["labels"]["kubernetes.io/metadata.name"] = name(&object).into();
                object["status"] = json!({"phase": "Active"});
            }
            _ => {}
        }
        object
    }

    /// A definition brings a kind; one look later it is established.
    fn define(&mut self, object: &Value) {
        if text(object, "/kind") == "CustomResourceDefinition" {
            let group = text(object, "/spec/group");
            for version in object["spec"]["versions"].as_array().into_iter().flatten() {
                let api_version = format!("{group}/{}", text(version, "/name"));
                let brought = kind(&api_version, text(object, "/spec/names/kind"));
                if !self.kinds.contains(&brought) {
                    self.kinds.push(brought);
                }
            }
        }
    }

    fn serves(&self, kind: &Kind) -> Result<(), ClusterError> {
        let refused = || ClusterError::Refused {
            code: 404,
            message: "the server could not find the requested resource".to_owned(),
        };
        self.kinds.contains(kind).then_some(()).ok_or_else(refused)
    }

    fn apply(&mut self, kind: &Kind, object: &Value, mode: Mode) -> Result<Value, ClusterError> {
        self.serves(kind)?;
        assert_eq!(*kind, kind_of(object), "an object is of its kind");
        let id = ObjectId::of(object);
        if let Some(at) = self.refusals.iter().position(|(refused, _, _)| *refused == id) {
            let (_, error, always) = self.refusals[at].clone();
            if !always {
                self.refusals.remove(at);
            }
            return Err(error);
        }
        let needs = ObjectId::new("", "Namespace", "", namespace(object));
        if kind.is_namespaced && !self.objects.contains_key(&needs) {
            let message = format!("namespaces \"{}\" not found", namespace(object));
            return Err(ClusterError::Refused { code: 404, message });
        }
        let mut wanted = BTreeSet::new();
        collect(object, "", &mut wanted);
        let live = self.objects.get(&id).cloned();
        if let Some(live) = &live {
            self.conflicts(&id, live, object)?;
        }
        let mut merged = live.clone().unwrap_or_else(|| json!({}));
        let before = self.owned.get(&id).and_then(|owned| owned.get(MANAGER)).cloned().unwrap_or_default();
        let others: BTreeSet<String> = self
            .owned
            .get(&id)
            .into_iter()
            .flatten()
            .filter(|(manager, _)| *manager != MANAGER)
            .flat_map(|(_, leaves)| leaves.iter().cloned())
            .collect();
        for gone in before.iter().filter(|path| !wanted.contains(*path) && !others.contains(*path)) {
            remove(&mut merged, gone);
        }
        merge(&mut merged, object);
        if mode == Mode::DryRun {
            return Ok(if live.is_some() { merged } else { World::default().born(merged) });
        }
        let merged = match live {
            Some(_) => merged,
            None => self.born(merged),
        };
        self.owned.entry(id.clone()).or_default().insert(MANAGER.to_owned(), wanted);
        let mut merged = merged;
        merged["metadata"]["managedFields"] = json!([{"manager": MANAGER, "operation": "Apply"}]);
        self.define(&merged);
        self.objects.insert(id.clone(), merged.clone());
        self.applied.push(id);
        Ok(merged)
    }

    /// Fields that others have set, and that are wanted otherwise.
    fn conflicts(&self, id: &ObjectId, live: &Value, wanted: &Value) -> Result<(), ClusterError> {
        let mut found = Vec::new();
        let others = self.owned.get(id).into_iter().flatten().filter(|(manager, _)| *manager != MANAGER);
        for (manager, leaves) in others {
            let fields: Vec<String> = leaves
                .iter()
                .filter(|path| wanted.pointer(path).is_some_and(|value| live.pointer(path) != Some(value)))
                .map(|path| path.replace('/', "."))
                .collect();
            if !fields.is_empty() {
                found.push(FieldConflict { manager: manager.clone(), fields });
            }
        }
        if found.is_empty() { Ok(()) } else { Err(ClusterError::Conflict(found)) }
    }

    /// What controllers do while nobody looks.
    fn run_controllers(&mut self) {
        let ids: Vec<ObjectId> = self.objects.keys().cloned().collect();
        for id in ids {
            let object = self.objects[&id].clone();
            if id.kind == "CustomResourceDefinition" {
                let established = json!([{"type": "Established", "status": "True"}]);
                self.objects.get_mut(&id).unwrap()["status"]["conditions"] = established;
            }
            if id.is(GROUP, "VolumeSnapshot") && !self.has_no_snapshotter && object.get("status").is_none() {
                let status = self.snapshot(&id, &object);
                if let Some(status) = status {
                    self.objects.get_mut(&id).unwrap()["status"] = status;
                }
            }
        }
    }

    /// Takes it, or finds the one that was taken elsewhere.
    fn snapshot(&mut self, id: &ObjectId, object: &Value) -> Option<Value> {
        let given = text(object, "/spec/source/volumeSnapshotContentName").to_owned();
        let content = if given.is_empty() {
            let content = format!("snapcontent-{}", self.next + 1);
            let taken = json!({
                "apiVersion": "snapshot.storage.k8s.io/v1", "kind": "VolumeSnapshotContent",
                "metadata": {"name": content},
                "spec": {"driver": "d.example.org", "sourceVolumeMode": "Filesystem"},
                "status": {"snapshotHandle": format!("handle-of-{}", id.name)},
            });
            let taken = self.born(taken);
            self.objects.insert(ObjectId::of(&taken), taken);
            content
        } else {
            self.objects.get(&ObjectId::new(GROUP, "VolumeSnapshotContent", "", &given))?;
            given
        };
        Some(json!({"readyToUse": true, "boundVolumeSnapshotContentName": content, "restoreSize": "3Gi"}))
    }
}

impl Cluster for FakeCluster {
    fn kinds(&self) -> Reply<'_, Served> {
        let reply = self.call(|world| Ok(Served { kinds: world.kinds.clone(), silent: Vec::new() }));
        Box::pin(std::future::ready(reply))
    }

    fn list<'a>(&'a self, kind: &'a Kind) -> Reply<'a, Vec<Value>> {
        let reply = self.call(|world| {
            world.serves(kind)?;
            let of_kind = world.objects.iter().filter(|(id, _)| id.is(&kind.group, &kind.kind));
            let version = |object: &Value| {
                let mut object = object.clone();
                object["apiVersion"] = kind.api_version().into();
                object
            };
            Ok(of_kind.map(|(_, object)| version(object)).collect())
        });
        Box::pin(std::future::ready(reply))
    }

    fn read<'a>(&'a self, kind: &'a Kind, namespace: &'a str, name: &'a str) -> Reply<'a, Option<Value>> {
        let reply = self.call(|world| {
            world.serves(kind)?;
            let id = ObjectId::new(&kind.group, &kind.kind, namespace, name);
            let found = world.objects.get(&id).cloned();
            world.run_controllers();
            Ok(found)
        });
        Box::pin(std::future::ready(reply))
    }

    fn apply<'a>(&'a self, kind: &'a Kind, object: &'a Value, mode: Mode) -> Reply<'a, Value> {
        Box::pin(std::future::ready(self.call(|world| world.apply(kind, object, mode))))
    }
}

/// Both sides' time goes by when somebody waits.
impl Clock for FakeCluster {
    fn now(&self) -> Duration {
        self.fate().now
    }

    fn wait<'a>(&'a self, duration: Duration) -> futures::future::BoxFuture<'a, ()> {
        self.fate().now += duration;
        Box::pin(std::future::ready(()))
    }
}

/// Paths are JSON pointers. Lists are set as a whole here.
fn collect(value: &Value, path: &str, out: &mut BTreeSet<String>) {
    const OF_THE_SERVER: [&str; 8] = [
        "/apiVersion",
        "/kind",
        "/metadata/name",
        "/metadata/namespace",
        "/metadata/uid",
        "/metadata/resourceVersion",
        "/metadata/creationTimestamp",
        "/status",
    ];
    if OF_THE_SERVER.contains(&path) {
        return;
    }
    match value {
        Value::Object(map) if !map.is_empty() => {
            for (key, value) in map {
                collect(value, &format!("{path}/{}", key.replace('~', "~0").replace('/', "~1")), out);
            }
        }
        _ => {
            out.insert(path.to_owned());
        }
    }
}

fn remove(value: &mut Value, path: &str) {
    let (above, key) = path.rsplit_once('/').unwrap();
    if let Some(Value::Object(map)) = value.pointer_mut(above) {
        map.shift_remove(&key.replace("~1", "/").replace("~0", "~"));
    }
}

fn merge(into: &mut Value, from: &Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key.clone()).or_insert_with(|| Value::Object(Map::new())), value);
            }
        }
        (into, from) => *into = from.clone(),
    }
}
