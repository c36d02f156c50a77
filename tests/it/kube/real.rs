//! Real etcd and kube-apiserver on loopback ports, from the directory `KEELWRIGHT_TEST_BIN` names.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use camino::Utf8Path;
use keelwright::blueprint::cluster::{
    ClusterInputs, ClusterObjects, Manifests, cluster_objects, covers, node_patch, node_wish, object_key,
    object_title, parse_manifest,
};
use keelwright::exec::{Etcd, KubeApi, SystemClock, drain, observe_upgrade, take_snapshot, uncordon};
use keelwright::inventory::{HostName, Inventory, Origin, parse};
use keelwright::kube::{Credentials, Dialer, Endpoint, EtcdClient, KubeClient, TcpDialer};
use keelwright::release::addons::{CLOUD_CONTROLLER, EBS_CSI, own_manifest};
use keelwright::release::{KubeVersion, Minor, release_of};
use serde_json::{Value, json};

use super::authority::Authority;
use super::snapshot::Shelf;

const HOST: &str = "cp-1";

/// Both servers, ended when it is dropped.
pub(super) struct Servers {
    pub(super) directory: PathBuf,
    binaries: PathBuf,
    children: Vec<Child>,
    pub(super) authority: Authority,
    etcd: u16,
    pub(super) api: u16,
}

impl Drop for Servers {
    fn drop(&mut self) {
        for child in self.children.iter_mut().rev() {
            let _ = child.kill();
            let _ = child.wait();
        }
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

impl Servers {
    /// None, with the reason printed, where there are no binaries.
    pub(super) fn start(name: &str) -> Option<Self> {
        let Some(binaries) = std::env::var_os("KEELWRIGHT_TEST_BIN").map(PathBuf::from) else {
            eprintln!("skipped: KEELWRIGHT_TEST_BIN does not name a directory with etcd and kube-apiserver");
            return None;
        };
        let directory = std::env::temp_dir().join(format!("keelwright-it-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let authority = Authority::new();
        let server = authority.issue(HOST, "servers", &[HOST, "kubernetes", "localhost", "127.0.0.1"]);
        let write = |name: &str, text: &str| {
            let path = directory.join(name);
            std::fs::write(&path, text).unwrap();
            path.to_str().unwrap().to_owned()
        };
        let ca = write("ca.crt", &authority.certificate);
        let (certificate, key) = (write("server.crt", &server.certificate), write("server.key", &server.key));
        let (etcd, peer, api) = (free_port(), free_port(), free_port());
        let mut servers = Servers {
            directory: directory.clone(),
            binaries: binaries.clone(),
            children: Vec::new(),
            authority,
            etcd,
            api,
        };
        servers.run(
            &binaries,
            "etcd",
            &[
                format!("--name={HOST}"),
                format!("--data-dir={}", directory.join("etcd").display()),
                format!("--listen-client-urls=https://127.0.0.1:{etcd}"),
                format!("--advertise-client-urls=https://127.0.0.1:{etcd}"),
                format!("--listen-peer-urls=http://127.0.0.1:{peer}"),
                format!("--initial-advertise-peer-urls=http://127.0.0.1:{peer}"),
                format!("--initial-cluster={HOST}=http://127.0.0.1:{peer}"),
                "--client-cert-auth=true".to_owned(),
                format!("--trusted-ca-file={ca}"),
                format!("--cert-file={certificate}"),
                format!("--key-file={key}"),
            ],
        );
        servers.run(
            &binaries,
            "kube-apiserver",
            &[
                format!("--etcd-servers=https://127.0.0.1:{etcd}"),
                format!("--etcd-cafile={ca}"),
                format!("--etcd-certfile={certificate}"),
                format!("--etcd-keyfile={key}"),
                "--bind-address=127.0.0.1".to_owned(),
                "--allow-privileged=true".to_owned(),
                // Where there still is one: deprecated API versions are counted when they are asked for.
                "--runtime-config=networking.k8s.io/v1beta1=true".to_owned(),
                "--advertise-address=192.0.2.1".to_owned(),
                format!("--secure-port={api}"),
                format!("--tls-cert-file={certificate}"),
                format!("--tls-private-key-file={key}"),
                format!("--client-ca-file={ca}"),
                "--authorization-mode=Node,RBAC".to_owned(),
                "--service-cluster-ip-range=10.96.0.0/12".to_owned(),
                "--service-account-issuer=https://kubernetes.default.svc.cluster.local".to_owned(),
                format!("--service-account-key-file={certificate}"),
                format!("--service-account-signing-key-file={key}"),
                // Nobody fills in default service accounts here.
                "--disable-admission-plugins=ServiceAccount".to_owned(),
            ],
        );
        Some(servers)
    }

    fn run(&mut self, binaries: &Path, name: &str, arguments: &[String]) {
        let log = std::fs::File::create(self.directory.join(format!("{name}.log"))).unwrap();
        let child = Command::new(binaries.join(name))
            .args(arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::from(log))
            .spawn()
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        self.children.push(child);
    }

    fn connection(&self, port: u16, server_name: &str) -> (Arc<dyn Dialer>, Vec<Endpoint>, Arc<Credentials>) {
        let addresses = BTreeMap::from([(host(), IpAddr::V4(Ipv4Addr::LOCALHOST))]);
        let endpoint = Endpoint { host: host(), port, server_name: server_name.to_owned() };
        (Arc::new(TcpDialer { addresses }), vec![endpoint], Arc::new(self.authority.credentials()))
    }

    /// Waits until the API server is ready.
    pub(super) async fn api(&self) -> KubeClient {
        let (dialer, endpoints, credentials) = self.connection(self.api, "kubernetes");
        let client = KubeClient::new(dialer, endpoints, credentials);
        let end = Instant::now() + Duration::from_secs(120);
        while let Err(error) = client.ready(&host()).await {
            if Instant::now() > end {
                let log =
                    std::fs::read_to_string(self.directory.join("kube-apiserver.log")).unwrap_or_default();
                panic!("{error}\n{log}");
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        client.patient(Duration::from_secs(20))
    }

    fn etcd(&self) -> EtcdClient {
        let (dialer, endpoints, credentials) = self.connection(self.etcd, HOST);
        EtcdClient::new(dialer, endpoints, credentials)
    }
}

fn host() -> HostName {
    HostName::parse(HOST).unwrap()
}

fn inventory() -> Inventory {
    let text = "
apiVersion: keelwright.dev/v1
kind: Cluster
metadata: {name: demo}
kubernetes: {version: v1.37.1}
hosts:
- name: cp-1
  address: 10.0.0.11
  roles: [control-plane]
  labels: {example.org/rack: a}
endpoint: {external: {host: api.example, port: 6443}}
";
    let origin = Origin { file: "inventory.yaml", base: Utf8Path::new("/"), home: None };
    parse(text.as_bytes(), &origin).unwrap().0
}

fn objects(inventory: &Inventory) -> ClusterObjects {
    cluster_objects(&ClusterInputs {
        inventory,
        release: release_of(inventory.version).unwrap(),
        ca_certificate: "certificate\n",
        etcd_token: "token",
        manifests: &Manifests::default(),
    })
}

async fn differences(api: &KubeClient, wanted: &[Value]) -> Vec<String> {
    let live = api.fetch(wanted).await.unwrap();
    let mut found = Vec::new();
    for object in wanted {
        match live.get(&object_key(object)) {
            None => found.push(format!("{} is absent", object_title(object))),
            Some(live) => found
                .extend(covers(object, live).into_iter().map(|d| format!("{}: {d:?}", object_title(object)))),
        }
    }
    found
}

/// Everything keelwright puts into the API, a manifest with quantities and defaults in it, and a kind that
/// the manifest itself brings.
const MANIFEST: &[u8] = b"
apiVersion: example.org/v1
kind: Widget
metadata: {name: a, namespace: widgets}
spec: {size: 1, on: false, text: ''}
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.example.org}
spec:
  group: example.org
  scope: Namespaced
  names: {kind: Widget, plural: widgets}
  versions:
  - name: v1
    served: true
    storage: true
    schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
---
apiVersion: v1
kind: Namespace
metadata: {name: widgets}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: a, namespace: widgets}
spec:
  replicas: 0
  selector: {matchLabels: {app: a}}
  template:
    metadata: {labels: {app: a}}
    spec:
      hostNetwork: false
      containers:
      - name: a
        image: a
        resources: {requests: {cpu: 0.1, memory: 1024Mi}, limits: {cpu: 1}}
        env: [{name: EMPTY, value: ''}]
        ports: [{containerPort: 80}]
---
apiVersion: v1
kind: Secret
metadata: {name: a, namespace: widgets}
stringData: {password: x}
";

#[tokio::test]
async fn a_second_apply_finds_nothing_to_do() {
    let Some(servers) = Servers::start("apply") else { return };
    let api = servers.api().await;
    let inventory = inventory();
    let mut wanted: Vec<Value> = objects(&inventory).all().cloned().collect();
    wanted.extend(parse_manifest(MANIFEST).unwrap());
    assert_eq!(differences(&api, &wanted).await.len(), wanted.len(), "all absent");
    for object in &wanted {
        api.apply(object).await.unwrap_or_else(|error| panic!("{error}"));
    }
    assert_eq!(differences(&api, &wanted).await, Vec::<String>::new());
    for object in &wanted {
        api.apply(object).await.unwrap();
    }
    assert_eq!(differences(&api, &wanted).await, Vec::<String>::new());

    // What somebody changed, and what we no longer want, is seen; applying mends both.
    let corefile =
        wanted.iter_mut().find(|object| object_title(object) == "ConfigMap kube-system/coredns").unwrap();
    api.patch(corefile, &json!({"data": {"Corefile": "theirs", "Extra": "theirs"}})).await.unwrap();
    let mut before = corefile.clone();
    before["data"]["Ours"] = "once".into();
    before["data"]["Corefile"] = "theirs".into();
    api.apply(&before).await.unwrap();
    let corefile = std::slice::from_ref(corefile);
    let found = differences(&api, corefile).await;
    assert_eq!(found.len(), 2, "{found:?}");
    api.apply(&corefile[0]).await.unwrap();
    assert_eq!(differences(&api, corefile).await, Vec::<String>::new());

    let listed = api.list("rbac.authorization.k8s.io/v1", "ClusterRoleBinding").await.unwrap();
    assert!(listed.iter().any(|object| object["metadata"]["name"] == "kubeadm:cluster-admins"));
    api.delete(&wanted[0]).await.unwrap();
    api.delete(&wanted[0]).await.unwrap();
    assert_eq!(differences(&api, &wanted[..1]).await.len(), 1);
}

#[tokio::test]
async fn our_own_addons_are_what_an_api_server_takes() {
    let Some(servers) = Servers::start("addons") else { return };
    let api = servers.api().await;
    for name in [CLOUD_CONTROLLER, EBS_CSI] {
        let wanted = parse_manifest(own_manifest(name).unwrap().as_bytes()).unwrap();
        for object in &wanted {
            api.apply(object).await.unwrap_or_else(|error| panic!("{}: {error}", object_title(object)));
        }
        assert_eq!(differences(&api, &wanted).await, Vec::<String>::new(), "{name}");
    }
}

#[tokio::test]
async fn a_node_is_registered_drained_and_let_back() {
    let Some(servers) = Servers::start("node") else { return };
    let api = servers.api().await;
    let inventory = inventory();
    let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": HOST}});
    api.apply(&node).await.unwrap();
    let live = async || api.fetch(std::slice::from_ref(&node)).await.unwrap().into_values().next().unwrap();
    let wish = node_wish(&inventory.hosts[HOST], &["10.244.0.0/24".parse().unwrap()]);
    let patch = node_patch(&wish, &live().await).unwrap();
    api.patch(&node, &patch).await.unwrap();
    let registered = live().await;
    assert_eq!(node_patch(&wish, &registered), None);
    assert_eq!(registered["spec"]["podCIDRs"], json!(["10.244.0.0/24"]));
    assert_eq!(registered["metadata"]["labels"]["example.org/rack"], "a");

    // The patch was made for a version of the Node that is no longer there.
    let conflict = api.patch(&node, &patch).await.unwrap_err();
    assert!(conflict.to_string().contains("HTTP 409"), "{conflict}");

    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": "default"},
        "spec": {
            "nodeName": HOST, "terminationGracePeriodSeconds": 0,
            "containers": [{"name": "c", "image": "i"}],
        },
    });
    api.apply(&pod).await.unwrap();
    let clock = SystemClock::default();
    let drained = drain(&api, &clock, &host(), Duration::from_secs(30)).await.unwrap();
    assert_eq!(drained.evicted, ["default/p".to_owned()].into());
    assert_eq!(live().await["spec"]["unschedulable"], true);
    uncordon(&api, &host()).await.unwrap();
    assert_eq!(live().await["spec"].get("unschedulable"), None);
}

#[tokio::test]
async fn etcd_is_asked_and_changed_through_its_gateway() {
    let Some(servers) = Servers::start("etcd") else { return };
    let api = servers.api().await;
    api.apply(&objects(&inventory()).access[0]).await.unwrap();
    let etcd = servers.etcd();
    let members = etcd.members().await.unwrap();
    assert_eq!(members.len(), 1);
    assert!(members[0].healthy && members[0].leader && !members[0].learner, "{members:?}");
    assert_eq!(members[0].name, HOST);
    let status = etcd.status(&host()).await.unwrap();
    assert!(status.database_bytes > 0 && status.leader == members[0].id && status.raft_index > 0);
    assert_eq!(etcd.alarms().await.unwrap(), []);
    assert_ne!(etcd.hash_kv(&host(), 0).await.unwrap().0, 0);

    // Once the API server is gone nobody minds a second member that never starts.
    let url = "http://127.0.0.1:9";
    let members = etcd.add_learner(url).await.unwrap();
    let learner = members.iter().find(|member| member.learner).unwrap().clone();
    assert!(!learner.healthy && learner.name.is_empty() && learner.peer_urls == [url]);
    assert_eq!(etcd.add_learner(url).await.unwrap().len(), 2, "adding again changes nothing");
    assert!(etcd.promote(learner.id).await.is_err(), "a learner that never started is not in sync");
    etcd.remove(learner.id).await.unwrap();
    etcd.remove(learner.id).await.unwrap();
    assert_eq!(etcd.members().await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_snapshot_of_a_real_etcd_is_checked_sealed_and_can_be_restored() {
    let Some(servers) = Servers::start("snapshot") else { return };
    let api = servers.api().await;
    for object in objects(&inventory()).all() {
        api.apply(object).await.unwrap();
    }
    let shelf = Shelf::new(&servers.directory);
    let version = KubeVersion::new(1, 37, 1);
    let clock = SystemClock::default();
    let taken =
        take_snapshot(&servers.etcd(), &shelf.vault, &clock, version, Duration::from_secs(5)).await.unwrap();
    assert_eq!(taken.member, HOST);
    let opened = shelf.open(Utf8Path::new(&taken.place));
    assert_eq!(opened.len() as u64, taken.bytes + 32);

    let Some(etcdutl) = servers.binaries.join("etcdutl").exists().then(|| servers.binaries.join("etcdutl"))
    else {
        eprintln!("not restored: there is no etcdutl in the directory of KEELWRIGHT_TEST_BIN");
        return;
    };
    let file = servers.directory.join("opened.db");
    std::fs::write(&file, opened).unwrap();
    let run = |arguments: &[&str]| {
        let output = Command::new(&etcdutl).args(arguments).arg(&file).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    };
    let status: Value = serde_json::from_slice(&run(&["snapshot", "status", "--write-out=json"])).unwrap();
    assert!(status["totalKey"].as_u64().unwrap() > 10, "{status}");
    let restored = servers.directory.join("restored");
    let data_dir = format!("--data-dir={}", restored.display());
    run(&["snapshot", "restore", "--bump-revision=1000000000", "--mark-compacted", &data_dir]);
    assert!(restored.join("member/snap/db").exists());
}

#[tokio::test]
async fn what_an_upgrade_meets_is_read_from_a_real_api() {
    let Some(servers) = Servers::start("upgrade") else { return };
    let api = servers.api().await;
    for text in [
        r#"{"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "b", "namespace": "default"}, "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "a"}}}}"#,
        r#"{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": "default", "labels": {"app": "a"}}, "spec": {"nodeName": "cp-1", "containers": [{"name": "c", "image": "i", "resources": {"requests": {"cpu": "100m"}}}]}}"#,
        r#"{"apiVersion": "v1", "kind": "Node", "metadata": {"name": "cp-1"}}"#,
        r#"{"apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingWebhookConfiguration", "metadata": {"name": "m"}, "webhooks": [{"name": "m.example.org", "sideEffects": "None", "admissionReviewVersions": ["v1"], "clientConfig": {"service": {"namespace": "hooks", "name": "m"}}, "rules": [{"operations": ["UPDATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods/eviction", "nodes"]}]}]}"#,
    ] {
        api.apply(&serde_json::from_str(text).unwrap()).await.unwrap();
    }
    let old = api.list("networking.k8s.io/v1beta1", "ServiceCIDR").await;
    let (from, to) = (Minor::new(1, 34), Minor::new(1, 37));
    let facts = observe_upgrade(&inventory(), &api, from, to).await;
    let facts = facts.known().unwrap_or_else(|| panic!("{facts:?}"));
    assert_eq!(facts.asked, [host()].into());
    assert_eq!(facts.budgets[0].pods["p"], HOST);
    assert_eq!((facts.bare_pods.len(), facts.nodes[HOST].movable.cpu_millis), (1, 100));
    assert_eq!(facts.webhooks[0].asked_about, ["changes nodes".to_owned()].into());
    assert!(facts.webhooks[0].endpoints.is_empty());
    match old {
        Ok(_) => assert!(
            facts.requested.iter().any(|api| api.resource == "servicecidrs" && api.removed == Some(to)),
            "{:?}",
            facts.requested
        ),
        Err(_) => assert_eq!(facts.stored, []),
    }
}
