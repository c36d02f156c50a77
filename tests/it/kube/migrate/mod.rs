//! A copy between two real API servers, each with its own etcd.

mod command;
mod snapshotter;

use std::sync::Mutex;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use camino::{Utf8Path, Utf8PathBuf};
use keelwright::exec::{KubeApi as _, SystemClock};
use keelwright::inventory::CopySelection;
use keelwright::kube::{ApiCluster, KubeClient, KubeconfigError};
use keelwright::migrate::copy::{
    Cluster as _, CopyRun, Event, FieldConflict, MANAGER, Outcome, Selection, Standing, Survey, show,
};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

use super::real::Servers;

/// Of every kind one, as people make them.
const OBJECTS: &str = include_str!("objects.yaml");
/// What there is of snapshots in both clusters.
const SNAPSHOTS: &str = include_str!("snapshots.yaml");

/// A cluster: its servers, how a test changes it, and how a copy sees it.
struct Side {
    api: KubeClient,
    cluster: ApiCluster,
    kubeconfig: Utf8PathBuf,
    _servers: Servers,
}

impl Side {
    async fn start(name: &str) -> Option<Self> {
        let servers = Servers::start(name)?;
        let api = servers.api().await;
        let kubeconfig = kubeconfig(&servers);
        let cluster =
            ApiCluster::from_kubeconfig(&kubeconfig).await.unwrap().patient(Duration::from_secs(20));
        Some(Side { api, cluster, kubeconfig, _servers: servers })
    }

    async fn make(&self, text: &str) {
        let end = Instant::now() + Duration::from_secs(30);
        for object in objects(text) {
            while let Err(error) = self.api.apply(&object).await {
                // A kind whose definition has just come.
                let is_early = error.to_string().contains("does not serve this kind")
                    || error.to_string().contains("HTTP 404");
                assert!(is_early && Instant::now() < end, "{object}: {error}");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }

    async fn get(&self, api_version: &str, kind: &str, namespace: &str, name: &str) -> Value {
        let wanted = json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": name, "namespace": namespace}});
        let found = self.api.fetch(&[wanted]).await.unwrap();
        found.into_values().next().unwrap_or_else(|| panic!("{kind} {namespace}/{name} is not there"))
    }
}

fn objects(text: &str) -> Vec<Value> {
    text.split("\n---\n")
        .map(|one| serde_yaml::from_str(one).unwrap_or_else(|e| panic!("{e}\n{one}")))
        .collect()
}

fn kubeconfig(servers: &Servers) -> Utf8PathBuf {
    let credentials = servers.authority.credentials();
    let encoded = |pem: &[u8]| STANDARD.encode(pem);
    let config = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {
            "server": format!("https://127.0.0.1:{}", servers.api),
            "certificate-authority-data": encoded(credentials.authority.as_bytes()),
        }}],
        "users": [{"name": "u", "user": {
            "client-certificate-data": encoded(credentials.certificate.as_bytes()),
            "client-key-data": encoded(credentials.key.expose_secret()),
        }}],
    });
    let path = Utf8PathBuf::from_path_buf(servers.directory.join("kubeconfig")).unwrap();
    std::fs::write(&path, config.to_string()).unwrap();
    path
}

async fn copy(blue: &Side, green: &Side, wanted: CopySelection) -> (Survey, Outcome) {
    let selection = Selection::new(&wanted).unwrap();
    let events: Mutex<Vec<Event>> = Mutex::default();
    let note = |event: &Event| events.lock().unwrap().push(event.clone());
    let clock = SystemClock::default();
    let copy = CopyRun {
        blue: &blue.cluster,
        green: &green.cluster,
        clock: &clock,
        selection: &selection,
        events: &note,
    };
    let survey = copy.survey().await.unwrap();
    let outcome = copy.carry_out(&survey).await;
    (survey, outcome)
}

fn standing<'a>(survey: &'a Survey, title: &str) -> &'a Standing {
    &survey
        .items
        .iter()
        .find(|item| item.id.to_string() == title)
        .unwrap_or_else(|| panic!("{title}"))
        .standing
}

#[tokio::test]
async fn objects_of_every_kind_get_to_green_and_a_second_copy_finds_them_the_same() {
    let Some(blue) = Side::start("copy-blue").await else { return };
    let Some(green) = Side::start("copy-green").await else { return };
    blue.make(OBJECTS).await;
    let (survey, outcome) = copy(&blue, &green, CopySelection::default()).await;
    assert!(outcome.is_complete(), "{outcome:#?}");
    // What a cluster makes by itself, and what must not run again, is not among them.
    let made: Vec<Value> = objects(OBJECTS).into_iter().filter(|object| !is_left(object)).collect();
    let titles: Vec<String> = survey.items.iter().map(|item| item.id.to_string()).collect();
    for object in &made {
        let (kind, name) = (object["kind"].as_str().unwrap(), object["metadata"]["name"].as_str().unwrap());
        let namespace = object["metadata"]["namespace"].as_str();
        let title = namespace
            .map_or_else(|| format!("{kind} {name}"), |namespace| format!("{kind} {namespace}/{name}"));
        assert!(titles.contains(&title), "{title} is not in {titles:#?}");
        green.get(object["apiVersion"].as_str().unwrap(), kind, namespace.unwrap_or_default(), name).await;
    }
    // Beside them only the namespace that every cluster has.
    assert_eq!(survey.items.len(), made.len() + 1, "{titles:#?}");
    assert!(titles.contains(&"Namespace default".to_owned()));
    let text = show::survey_text(&survey);
    for said in [
        "Service shop/cloud: green makes a balancer of its own",
        "APIService v1.silent.example.org: this part of green's API is silent until",
        "objects of silent.example.org/v1 on blue",
        "2 objects of kind Widget.example.org",
        "CronJob shop/report: comes suspended",
        "keeps files in /data/agent of blue's machines",
    ] {
        assert!(text.contains(said), "{said}\n{text}");
    }
    assert!(!text.contains("aHVudGVyMg") && !text.contains("EndpointSlice"), "{text}");

    let service = green.get("v1", "Service", "shop", "web").await;
    let theirs = blue.get("v1", "Service", "shop", "web").await;
    assert_eq!(service["spec"]["ports"], theirs["spec"]["ports"], "also the node port");
    assert_eq!(service["metadata"]["managedFields"][0]["manager"], MANAGER);
    let secret = green.get("v1", "Secret", "shop", "password").await;
    assert_eq!(secret["data"]["password"], "aHVudGVyMg==");
    assert_eq!(green.get("batch/v1", "CronJob", "shop", "report").await["spec"]["suspend"], true);
    assert_eq!(green.get("example.org/v1", "Widget", "shop", "w").await["spec"]["size"], 3);

    let (survey, outcome) = copy(&blue, &green, CopySelection::default()).await;
    let others: Vec<_> = survey.items.iter().filter(|item| item.standing != Standing::Same).collect();
    assert!(others.is_empty(), "{others:#?}");
    assert_eq!((outcome.applied.len(), outcome.same), (0, made.len() + 1));
}

/// Objects of the list that a copy leaves.
fn is_left(object: &Value) -> bool {
    ["Lease", "EndpointSlice", "PersistentVolume"].contains(&object["kind"].as_str().unwrap())
}

#[tokio::test]
async fn changes_follow_and_what_others_have_set_stays_theirs_by_name() {
    let Some(blue) = Side::start("conflict-blue").await else { return };
    let Some(green) = Side::start("conflict-green").await else { return };
    blue.make(OBJECTS).await;
    let shop = || CopySelection {
        namespaces: vec!["shop".to_owned()],
        without_kinds: vec!["APIService".to_owned()],
        ..CopySelection::default()
    };
    assert!(copy(&blue, &green, shop()).await.1.is_complete());
    let config =
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "web", "namespace": "shop"}});
    green.api.patch(&config, &json!({"data": {"color": "theirs"}})).await.unwrap();
    let deployment = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "api", "namespace": "shop"}});
    blue.api.patch(&deployment, &json!({"spec": {"replicas": 5}})).await.unwrap();
    let secret =
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "password", "namespace": "shop"}});
    blue.api.patch(&secret, &json!({"data": {"password": "aHVudGVyMw=="}})).await.unwrap();

    let (survey, outcome) = copy(&blue, &green, shop()).await;
    let conflict = FieldConflict { manager: "keelwright".to_owned(), fields: vec![".data.color".to_owned()] };
    assert_eq!(
        standing(&survey, "ConfigMap shop/web"),
        &Standing::Conflict { conflicts: vec![conflict.clone()] }
    );
    assert_eq!(outcome.conflicts.len(), 1);
    assert_eq!(outcome.conflicts[0].conflicts, [conflict]);
    let text = show::survey_text(&survey);
    assert!(text.contains("spec.replicas: 2 -> 5") && text.contains("data.password: changed"), "{text}");
    assert!(!text.contains("aHVudGVy"), "{text}");
    assert_eq!(outcome.applied.len(), 2, "{outcome:#?}");
    assert_eq!(green.get("apps/v1", "Deployment", "shop", "api").await["spec"]["replicas"], 5);
    assert_eq!(green.get("v1", "ConfigMap", "shop", "web").await["data"]["color"], "theirs");
    // Set back to what blue says, nobody is in the way.
    green.api.patch(&config, &json!({"data": {"color": "blue"}})).await.unwrap();
    assert!(copy(&blue, &green, shop()).await.0.is_done());
}

#[tokio::test]
async fn a_node_port_that_green_has_given_away_stops_only_its_service() {
    let Some(blue) = Side::start("port-blue").await else { return };
    let Some(green) = Side::start("port-green").await else { return };
    blue.make(OBJECTS).await;
    green
        .make(
            "
apiVersion: v1
kind: Service
metadata: {name: taken, namespace: default}
spec: {type: NodePort, selector: {a: b}, ports: [{port: 80, nodePort: 30080}]}
",
        )
        .await;
    let selection = CopySelection { namespaces: vec!["shop".to_owned()], ..CopySelection::default() };
    let (survey, outcome) = copy(&blue, &green, selection).await;
    let warning =
        "Service shop/web: its node port 30080 is default/taken's on green: give one of the two another";
    assert!(survey.warnings.iter().any(|said| said == warning), "{:#?}", survey.warnings);
    assert_eq!(outcome.failed.len(), 1, "{outcome:#?}");
    assert_eq!(outcome.failed[0].object.to_string(), "Service shop/web");
    assert!(
        outcome.failed[0].why.contains("provided port is already allocated"),
        "{}",
        outcome.failed[0].why
    );
    assert!(outcome.left_out.is_empty());
}

#[tokio::test]
async fn a_claims_data_comes_by_a_snapshot_that_green_is_told_of() {
    let Some(blue) = Side::start("snapshot-blue").await else { return };
    let Some(green) = Side::start("snapshot-green").await else { return };
    for side in [&blue, &green] {
        side.make(SNAPSHOTS).await;
    }
    blue.make(OBJECTS).await;
    let controllers = [snapshotter::run(&blue.api, "blue"), snapshotter::run(&green.api, "green")];
    let selection = || CopySelection {
        namespaces: vec!["shop".to_owned()],
        storage_classes: vec![("fast".to_owned(), "green-fast".to_owned())],
        snapshots: true,
        ..CopySelection::default()
    };
    let (survey, outcome) = copy(&blue, &green, selection()).await;
    assert!(outcome.is_complete(), "{outcome:#?}");
    let said = survey.state.iter().find(|one| one.what == "PersistentVolumeClaim shop/data").unwrap();
    assert!(
        said.to_do.contains("by a snapshot of driver d.example.org; pod by-hand writes to it meanwhile"),
        "{said:?}"
    );
    let left: Vec<&str> = survey.left.iter().map(|left| left.what.as_str()).collect();
    assert!(left.contains(&"StorageClass fast"), "{left:#?}");

    let api_version = "snapshot.storage.k8s.io/v1";
    let content = green.get(api_version, "VolumeSnapshotContent", "", "keelwright-migrate-shop.data").await;
    assert_eq!(content["spec"]["source"]["snapshotHandle"], "blue-handle-of-keelwright-migrate-data");
    assert_eq!(content["spec"]["deletionPolicy"], "Retain");
    let claim = green.get("v1", "PersistentVolumeClaim", "shop", "data").await;
    assert_eq!(claim["spec"]["dataSource"]["name"], "keelwright-migrate-data");
    assert_eq!(claim["spec"]["storageClassName"], "green-fast");
    assert_eq!(claim["spec"]["resources"]["requests"]["storage"], "3Gi");
    let survey = copy(&blue, &green, selection()).await.0;
    let others: Vec<_> = survey.items.iter().filter(|item| item.standing != Standing::Same).collect();
    assert!(others.is_empty(), "{others:#?}");
    controllers.into_iter().for_each(|task| task.abort());
}

#[tokio::test]
async fn a_kubeconfig_that_cannot_be_used_is_named() {
    let missing = ApiCluster::from_kubeconfig(Utf8Path::new("/nowhere/kubeconfig")).await;
    assert!(
        matches!(&missing, Err(error @ KubeconfigError::Read { .. }) if error.to_string() == "cannot read kubeconfig /nowhere/kubeconfig")
    );
    let path = std::env::temp_dir().join(format!("keelwright-it-kubeconfig-{}", std::process::id()));
    let path = Utf8PathBuf::from_path_buf(path).unwrap();
    std::fs::write(&path, "{apiVersion: v1, kind: Config, current-context: gone}").unwrap();
    let unusable = ApiCluster::from_kubeconfig(&path).await;
    std::fs::remove_file(&path).unwrap();
    assert!(matches!(unusable, Err(KubeconfigError::Use { .. })));
    std::fs::write(&path, "{apiVersion: v1, kind: Config, current-context: c, contexts: [{name: c, context: {cluster: c, user: u}}], \
        clusters: [{name: c, cluster: {server: 'https://127.0.0.1:9'}}], users: [{name: u, user: {token: t}}]}").unwrap();
    let silent = ApiCluster::from_kubeconfig(&path).await.unwrap();
    std::fs::remove_file(&path).unwrap();
    let error = silent.kinds().await.unwrap_err().to_string();
    assert!(error.starts_with("the API server cannot be reached: "), "{error}");
}
