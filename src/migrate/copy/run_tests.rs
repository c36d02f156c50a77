//! Copies between two clusters in memory: complete, repeated, with refusals and conflicts, and killed at every call.

use std::sync::{Arc, Mutex};

use futures::executor::block_on;
use serde_json::json;

use super::cluster::{ClusterError, FieldConflict};
use super::fake::{FakeCluster, Fate, KINDS, pair};
use super::object::ObjectId;
use super::run::{CopyRun, Event, Outcome};
use super::selection::Selection;
use super::snapshots::GROUP;
use super::survey::{Standing, Survey};
use super::testing::yamls;
use crate::inventory::CopySelection;

const BLUE: &str = "
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: v1
kind: Namespace
metadata: {name: kube-system}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: of-the-cluster, namespace: kube-system}
---
apiVersion: v1
kind: Node
metadata: {name: n1}
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.example.org}
spec: {group: example.org, names: {kind: Widget}, versions: [{name: v1, served: true, storage: true}]}
---
apiVersion: example.org/v1
kind: Widget
metadata: {name: w, namespace: shop}
spec: {size: 1}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: web, namespace: shop}
---
apiVersion: v1
kind: Secret
metadata: {name: password, namespace: shop}
data: {password: aHVudGVyMg==}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: web, namespace: shop, annotations: {kubectl.kubernetes.io/last-applied-configuration: '{}'}}
data: {color: blue}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {type: NodePort, clusterIP: 10.1.0.1, selector: {app: web}, ports: [{port: 80, nodePort: 30080}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec: {replicas: 3, template: {spec: {containers: [{name: a, image: i}]}}}
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: web, namespace: shop}
spec: {scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: web}, maxReplicas: 9}
---
apiVersion: apps/v1
kind: ReplicaSet
metadata: {name: web-1, namespace: shop, ownerReferences: [{kind: Deployment, name: web, controller: true}]}
---
apiVersion: batch/v1
kind: CronJob
metadata: {name: report, namespace: shop}
spec: {schedule: '0 3 * * *', suspend: false}
---
apiVersion: v1
kind: PersistentVolume
metadata: {name: pv-1}
spec: {csi: {driver: d.example.org, volumeHandle: v-1}}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data-db-0, namespace: shop}
spec: {volumeName: pv-1, storageClassName: fast, resources: {requests: {storage: 2Gi}}}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db, namespace: shop}
spec: {replicas: 1, volumeClaimTemplates: [{metadata: {name: data}, spec: {storageClassName: fast}}]}
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata: {name: checks}
webhooks: [{name: w.example.org, clientConfig: {caBundle: Ymx1ZQ==, service: {namespace: shop, name: web}}}]
";

const STORAGE: &str = "
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {name: fast}
provisioner: d.example.org
---
apiVersion: snapshot.storage.k8s.io/v1
kind: VolumeSnapshotClass
metadata: {name: snapper}
driver: d.example.org
";

pub(super) struct World {
    pub blue: FakeCluster,
    pub green: FakeCluster,
    pub fate: Arc<Mutex<Fate>>,
    events: Mutex<Vec<Event>>,
}

impl World {
    pub fn new() -> Self {
        let (blue, green, fate) = pair();
        for cluster in [&blue, &green] {
            cluster.serve(&KINDS);
            cluster.serve_snapshots();
            for object in yamls(STORAGE) {
                cluster.put("installer", &object);
            }
        }
        for object in yamls(BLUE) {
            blue.put("kubectl", &object);
        }
        World { blue, green, fate, events: Mutex::default() }
    }

    pub fn selection(snapshots: bool) -> Selection {
        Selection::new(&CopySelection { snapshots, ..CopySelection::default() }).unwrap()
    }

    /// Looks, and applies what it saw.
    pub fn copy(&self, selection: &Selection) -> (Survey, Outcome) {
        let events =
            |event: &Event| self.events.lock().unwrap_or_else(|e| e.into_inner()).push(event.clone());
        let copy =
            CopyRun { blue: &self.blue, green: &self.green, clock: &self.green, selection, events: &events };
        block_on(async {
            let survey = copy.survey().await.unwrap();
            let outcome = copy.carry_out(&survey).await;
            (survey, outcome)
        })
    }

    pub fn survey(&self, selection: &Selection) -> Survey {
        let copy =
            CopyRun { blue: &self.blue, green: &self.green, clock: &self.green, selection, events: &|_| {} };
        block_on(copy.survey()).unwrap()
    }
}

fn id(group: &str, kind: &str, namespace: &str, name: &str) -> ObjectId {
    ObjectId::new(group, kind, namespace, name)
}

fn standing<'a>(survey: &'a Survey, title: &str) -> &'a Standing {
    &survey
        .items
        .iter()
        .find(|item| item.id.to_string() == title)
        .unwrap_or_else(|| panic!("{title}"))
        .standing
}

#[test]
fn everything_gets_to_green_in_order_and_a_second_copy_finds_it_the_same() {
    let world = World::new();
    let (survey, outcome) = world.copy(&World::selection(true));
    assert!(outcome.is_complete(), "{outcome:#?}");
    assert_eq!(
        world.green.applied(),
        [
            "CustomResourceDefinition widgets.example.org",
            "Namespace shop",
            "ServiceAccount shop/web",
            "ConfigMap shop/web",
            "Secret shop/password",
            "VolumeSnapshotContent keelwright-migrate-shop.data-db-0",
            "VolumeSnapshot shop/keelwright-migrate-data-db-0",
            "PersistentVolumeClaim shop/data-db-0",
            "Service shop/web",
            "Deployment shop/web",
            "StatefulSet shop/db",
            "CronJob shop/report",
            "HorizontalPodAutoscaler shop/web",
            "Widget shop/w",
            "ValidatingWebhookConfiguration checks",
        ]
    );
    assert_eq!(world.blue.applied(), ["VolumeSnapshot shop/keelwright-migrate-data-db-0"]);
    assert!(survey.items.iter().all(|item| item.standing == Standing::New), "{survey:#?}");
    let service = world.green.get(&id("", "Service", "shop", "web")).unwrap();
    assert_ne!(service["spec"]["clusterIP"], "10.1.0.1");
    assert_eq!(service["spec"]["ports"][0]["nodePort"], 30080);

    let (survey, outcome) = world.copy(&World::selection(true));
    assert!(survey.is_done(), "{survey:#?}");
    assert_eq!((outcome.applied.len(), outcome.same), (0, 13));
    assert_eq!(world.green.applied().len(), 15, "nothing was applied again");
}

#[test]
fn a_look_changes_nothing() {
    let world = World::new();
    let (blue, green) = (world.blue.census(), world.green.census());
    let survey = world.survey(&World::selection(true));
    assert!(!survey.is_done());
    assert_eq!((world.blue.census(), world.green.census()), (blue, green));
}

#[test]
fn a_claims_data_comes_by_its_snapshot() {
    let world = World::new();
    world.copy(&World::selection(true));
    let content =
        world.green.get(&id(GROUP, "VolumeSnapshotContent", "", "keelwright-migrate-shop.data-db-0"));
    let content = content.unwrap();
    assert_eq!(content["spec"]["source"]["snapshotHandle"], "handle-of-keelwright-migrate-data-db-0");
    assert_eq!(content["spec"]["deletionPolicy"], "Retain");
    assert_eq!(content["spec"]["sourceVolumeMode"], "Filesystem");
    let claim = world.green.get(&id("", "PersistentVolumeClaim", "shop", "data-db-0")).unwrap();
    assert_eq!(claim["spec"]["dataSource"]["name"], "keelwright-migrate-data-db-0");
    assert_eq!(claim["spec"]["resources"]["requests"]["storage"], "3Gi", "what the snapshot needs");
    assert!(claim["spec"].get("volumeName").is_none());
}

#[test]
fn a_snapshot_that_never_gets_ready_keeps_its_set_away_and_nothing_else() {
    let world = World::new();
    world.blue.lose_snapshotter();
    let (_, outcome) = world.copy(&World::selection(true));
    let failed: Vec<String> = outcome.failed.iter().map(|one| one.object.to_string()).collect();
    assert_eq!(failed, ["PersistentVolumeClaim shop/data-db-0"]);
    assert!(
        outcome.failed[0].why.contains("on blue was not ready after 7200 s"),
        "{}",
        outcome.failed[0].why
    );
    let left_out: Vec<String> = outcome.left_out.iter().map(|one| one.object.to_string()).collect();
    assert_eq!(left_out, ["StatefulSet shop/db"], "it would make an empty claim in its place");
    assert!(world.green.get(&id("apps", "Deployment", "shop", "web")).is_some());
}

#[test]
fn without_snapshots_a_claim_comes_empty_and_is_said_to() {
    let world = World::new();
    let (survey, outcome) = world.copy(&World::selection(false));
    assert!(outcome.is_complete(), "{outcome:#?}");
    let claim = world.green.get(&id("", "PersistentVolumeClaim", "shop", "data-db-0")).unwrap();
    assert!(claim["spec"].get("dataSource").is_none());
    assert!(world.blue.applied().is_empty());
    let said = survey.state.iter().find(|one| one.what == "PersistentVolumeClaim shop/data-db-0").unwrap();
    assert!(said.to_do.contains("comes empty: snapshots are not asked for"), "{said:?}");
    assert!(
        world.survey(&World::selection(true)).is_done(),
        "a volume that has been made takes no other data"
    );
}

#[test]
fn what_has_changed_on_blue_is_shown_field_by_field_and_follows() {
    let world = World::new();
    world.copy(&World::selection(true));
    world.blue.set("kubectl", &id("", "ConfigMap", "shop", "web"), "/data/color", "green".into());
    world.blue.set("kubectl", &id("", "Secret", "shop", "password"), "/data/password", "aHVudGVyMw==".into());
    let (survey, outcome) = world.copy(&World::selection(true));
    let Standing::Differs { changes } = standing(&survey, "ConfigMap shop/web") else {
        panic!("{survey:#?}")
    };
    assert_eq!((changes.len(), changes[0].path.as_str()), (1, "data.color"));
    let json = serde_json::to_string(&survey).unwrap();
    assert!(json.contains("data.password") && !json.contains("aHVudGVy"), "{json}");
    assert_eq!((outcome.applied.len(), outcome.same), (2, 11));
    assert_eq!(world.green.get(&id("", "ConfigMap", "shop", "web")).unwrap()["data"]["color"], "green");
    assert!(world.survey(&World::selection(true)).is_done());
}

#[test]
fn fields_that_somebody_else_has_set_stay_theirs_by_name() {
    let world = World::new();
    world.copy(&World::selection(true));
    let config = id("", "ConfigMap", "shop", "web");
    world.green.set("kubectl-edit", &config, "/data/color", "theirs".into());
    world.blue.set("kubectl", &id("", "Secret", "shop", "password"), "/data/password", "YQ==".into());
    let (survey, outcome) = world.copy(&World::selection(true));
    let conflict = FieldConflict { manager: "kubectl-edit".into(), fields: vec![".data.color".into()] };
    assert_eq!(
        standing(&survey, "ConfigMap shop/web"),
        &Standing::Conflict { conflicts: vec![conflict.clone()] }
    );
    assert_eq!((outcome.conflicts.len(), &outcome.conflicts[0].conflicts), (1, &vec![conflict]));
    assert_eq!(world.green.get(&config).unwrap()["data"]["color"], "theirs");
    assert_eq!(outcome.applied.len(), 1, "the others were not stopped");
}

#[test]
fn green_keeps_what_its_autoscaler_its_operator_and_its_injector_have_set() {
    let world = World::new();
    world.copy(&World::selection(true));
    let deployment = id("apps", "Deployment", "shop", "web");
    world.green.set("hpa", &deployment, "/spec/replicas", 7.into());
    world.green.set(
        "kubectl-patch",
        &id("batch", "CronJob", "shop", "report"),
        "/spec/suspend",
        false.into(),
    );
    let webhooks = json!([{"name": "w.example.org", "clientConfig":
        {"caBundle": "Z3JlZW4=", "service": {"namespace": "shop", "name": "web"}}}]);
    let hooks = id("admissionregistration.k8s.io", "ValidatingWebhookConfiguration", "", "checks");
    world.green.set("injector", &hooks, "/webhooks", webhooks);
    let (survey, outcome) = world.copy(&World::selection(true));
    assert!(survey.is_done() && outcome.is_complete(), "{survey:#?}");
    assert_eq!(world.green.get(&deployment).unwrap()["spec"]["replicas"], 7);
}

#[test]
fn a_namespace_that_fails_takes_only_what_is_in_it() {
    let world = World::new();
    let shop = id("", "Namespace", "", "shop");
    let forbidden = ClusterError::Refused { code: 403, message: "forbidden".into() };
    world.green.refuse(&shop, forbidden, true);
    let (_, outcome) = world.copy(&World::selection(true));
    assert_eq!(outcome.failed.len(), 1);
    assert_eq!(
        (outcome.failed[0].object.clone(), outcome.failed[0].why.as_str()),
        (shop.clone(), "forbidden (HTTP 403)")
    );
    assert!(outcome.left_out.iter().all(|one| one.because == shop && one.object.namespace == "shop"));
    assert_eq!(outcome.left_out.len(), 10);
    assert!(world.blue.applied().is_empty(), "no snapshot is taken for nothing");
    let applied = world.green.applied();
    assert_eq!(
        applied,
        ["CustomResourceDefinition widgets.example.org", "ValidatingWebhookConfiguration checks"]
    );

    world.green.forgive();
    let (_, outcome) = world.copy(&World::selection(true));
    assert!(outcome.is_complete() && world.survey(&World::selection(true)).is_done(), "{outcome:#?}");
}

#[test]
fn a_definition_that_fails_takes_only_its_resources() {
    let world = World::new();
    let definition = id("apiextensions.k8s.io", "CustomResourceDefinition", "", "widgets.example.org");
    let invalid = ClusterError::Refused { code: 422, message: "invalid".into() };
    world.green.refuse(&definition, invalid, true);
    let (survey, outcome) = world.copy(&World::selection(true));
    let title = "CustomResourceDefinition widgets.example.org";
    assert_eq!(standing(&survey, title), &Standing::Refused { why: "invalid (HTTP 422)".into() });
    let left_out: Vec<String> = outcome.left_out.iter().map(|one| one.object.to_string()).collect();
    assert_eq!((outcome.failed.len(), left_out), (1, vec!["Widget shop/w".to_owned()]));
}

#[test]
fn what_green_makes_by_itself_is_waited_for() {
    let world = World::new();
    let deployment = id("apps", "Deployment", "shop", "web");
    let message = "pods \"p\" is forbidden: error looking up service account shop/default: serviceaccount \"default\" not found";
    world.green.refuse(&deployment, ClusterError::Refused { code: 403, message: message.into() }, false);
    let (_, outcome) = world.copy(&World::selection(true));
    assert!(outcome.is_complete(), "{outcome:#?}");
    let events = world.events.lock().unwrap();
    assert!(
        events
            .iter()
            .any(|event| matches!(event, Event::Waiting { what } if what.contains("serviceaccount")))
    );
}

#[test]
fn kinds_that_green_does_not_serve_are_named_with_their_objects() {
    let world = World::new();
    // Blue's is served by a server of its own: no definition can be copied.
    world.blue.serve(&[("old.example.org/v1", "Relic")]);
    world.blue.put("kubectl", &json!({"apiVersion": "old.example.org/v1", "kind": "Relic", "metadata": {"name": "r", "namespace": "shop"}}));
    let survey = world.survey(&World::selection(true));
    let left: Vec<String> = survey.left.iter().map(|left| format!("{}: {}", left.what, left.why)).collect();
    assert_eq!(
        left,
        [
            "1 object of kind Relic.old.example.org: green does not serve this kind",
            "StorageClass fast: green has its own of this name",
        ]
    );
}

#[test]
fn what_is_gone_from_blue_since_an_earlier_copy_stays_on_green_and_is_named() {
    let world = World::new();
    world.copy(&World::selection(true));
    let config = id("", "ConfigMap", "shop", "web");
    world.blue.remove(&config);
    let (survey, _) = world.copy(&World::selection(true));
    let said = "ConfigMap shop/web: came by an earlier copy and is gone from blue: delete it on green where nothing needs it";
    assert!(survey.warnings.contains(&said.to_owned()), "{:#?}", survey.warnings);
    assert!(world.green.get(&config).is_some());
}
