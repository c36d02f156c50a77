//! The account, the lab in place of its machines, and what machines find in AWS.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{IpAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Method;
use keelwright::lab::Role;

use crate::cluster::Cluster;
use crate::emulator::service::Service;
use crate::emulator::{Cloud, fixtures, xml};

const VERSION: &str = "v1.37.1";
/// Part of what labs may use, and of no lab.
const VPC: &str = "198.18.252.0/22";
/// Where operators of the cluster share its state.
pub const STATE_BUCKET: &str = "acme-state";
pub const CONTROL_PLANES: [&str; 3] = ["cp-1", "cp-2", "cp-3"];
/// Machines have a network plugin's configuration from the start, as images of an operator's own may have.
const CNI: &str = r#"{"cniVersion": "1.0.0", "name": "pods", "plugins": [{"type": "bridge", "bridge": "cni0",
  "isGateway": true, "ipMasq": true, "ipam": {"type": "host-local", "ranges": [[{"subnet": "RANGE"}]],
  "routes": [{"dst": "0.0.0.0/0"}]}}]}"#;

/// An instance's address, and its volume.
const INSTANCE: &str = "[Unit]
Before=containerd.service kubelet.service
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=ip addr replace ADDRESS/22 dev host0
ExecStart=mount --bind /srv/etcd /var/lib/etcd
[Install]
WantedBy=multi-user.target
";

/// What the metadata service says to a machine, by its address.
type Metadata = Arc<Mutex<BTreeMap<IpAddr, BTreeMap<String, String>>>>;

/// The body for whoever asks, by method and path; None: there is no such thing.
type Answer = dyn Fn(IpAddr, &str, &str) -> Option<Vec<u8>> + Send + Sync;

/// An instance of the account.
#[derive(Debug, Clone)]
pub struct Instance {
    pub id: String,
    pub name: String,
    pub private: String,
    pub public: String,
    pub kind: String,
    pub state: String,
}

/// The account, the lab, and what lies between the two.
pub struct Stage {
    pub cluster: Cluster,
    pub cloud: Cloud,
    pub home: PathBuf,
    pub metadata: Metadata,
    /// How machines find the metadata service and the account.
    pub endpoints: String,
    /// Where machines fetch artifacts.
    pub mirror: String,
}

impl Stage {
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = self.cluster.command(args);
        command.current_dir(&self.home).env("HOME", &self.home).env_remove("SSH_AUTH_SOCK");
        command.env("AWS_ENDPOINT_URL", self.cloud.proxy.url());
        command.env("AWS_ACCESS_KEY_ID", "test").env("AWS_SECRET_ACCESS_KEY", "test");
        command
    }

    /// `label`: of the workers; `control_plane`: the type of those instances.
    pub fn inventory(&self, label: &str, control_plane: &str) {
        let lab = self.cluster.lab.key();
        let public = Command::new("ssh-keygen").arg("-y").arg("-f").arg(&lab).output().unwrap();
        std::fs::write(self.home.join("key.pub"), public.stdout).unwrap();
        let text = format!(
            "apiVersion: keelwright.dev/v1
kind: Cluster
metadata: {{name: prod}}
kubernetes: {{version: {VERSION}}}
provider: aws
ssh: {{key: {key}}}
artifacts: {{delivery: {{mirror: {{url: \"{mirror}\"}}}}}}
state: {{bucket: {STATE_BUCKET}, prefix: clusters/prod}}
network:
  plugin: none
  podCidrs: [198.19.0.0/17]
  serviceCidrs: [198.19.128.0/17]
kubelet:
  config: {{failCgroupV1: false, cgroupDriver: cgroupfs, imageGCHighThresholdPercent: 100,
    evictionHard: {{imagefs.available: 1Gi, memory.available: 100Mi, nodefs.available: 1Gi, nodefs.inodesFree: 1%}}}}
kubeProxy: {{config: {{conntrack: {{maxPerCore: 0, min: 0}}}}}}
containerd: {{restrictOomScoreAdj: true}}
aws:
  region: eu-central-1
  zones: 3
  network: {{cidr: {VPC}}}
  access: {{ssh: [203.0.113.0/24]}}
  sshKey: key.pub
  image: {image}
  bastion: {{instanceType: t3.micro, user: admin}}
  controlPlanes: {{count: 3, user: admin, instanceType: {control_plane}}}
  workerGroups: [{{name: workers, min: 1, max: 5, labels: {{pool: {label}}}}}]
",
            key = lab.display(),
            mirror = self.mirror,
            image = fixtures::IMAGE,
        );
        std::fs::write(self.home.join("inventory.yaml"), text).unwrap();
    }

    /// Instances with a name of ours.
    pub async fn instances(&self) -> Vec<Instance> {
        let answer = self.cloud.moto.in_region("eu-central-1").ec2("DescribeInstances", &[]).await;
        let document = xml::parse(answer.text());
        let item = |node| {
            let name = xml::list(node, "tagSet").into_iter().find_map(|tag| {
                (xml::text(tag, "key") == "keelwright.dev/name").then(|| xml::text(tag, "value"))
            })?;
            Some(Instance {
                id: xml::text(node, "instanceId"),
                name: name.strip_prefix("instance/")?.to_owned(),
                private: xml::text(node, "privateIpAddress"),
                public: xml::text(node, "ipAddress"),
                kind: xml::text(node, "instanceType"),
                state: xml::text(node, "instanceState/name"),
            })
        };
        xml::named(&document, "instancesSet").flat_map(|set| set.children()).filter_map(item).collect()
    }

    /// Keys and runs are in the bucket, nobody holds its lock, and nothing is beside the inventory.
    pub async fn state_is_shared(&self) {
        let moto = self.cloud.moto.in_region("eu-central-1");
        let path = format!("/{STATE_BUCKET}/clusters/prod/state.json");
        let state: serde_json::Value =
            serde_json::from_slice(&moto.get(Service::S3, &path).await.ok().body).unwrap();
        let files = state["files"].as_object().unwrap();
        for name in ["vault.age", "vault.age.1", "recipients.txt", "hosts.json"] {
            assert!(files.contains_key(name), "{name} in {:?}", files.keys().collect::<Vec<_>>());
        }
        assert_eq!(state["holder"], serde_json::Value::Null);
        let runs = state["epoch"].as_u64().unwrap();
        let path = format!("/{STATE_BUCKET}/clusters/prod/journal/{:08}", 1);
        let journal = moto.get(Service::S3, &path).await.ok();
        assert!(runs >= 3 && journal.text().lines().count() > 10, "{runs} runs: {}", journal.text());
        assert!(!self.home.join(".keelwright").exists());
    }

    /// Instances of the scaling group.
    pub async fn workers(&self) -> Vec<String> {
        let moto = self.cloud.moto.in_region("eu-central-1");
        moto.scaling("DescribeAutoScalingGroups", &[]).await.ok().all("InstanceId")
    }

    /// A machine of the group boots with the group's user data and nothing else.
    pub async fn first_boot(&self, machine: &str, id: &str, address: &str, range: &str) {
        let instance = Instance {
            id: id.to_owned(),
            name: "worker".to_owned(),
            private: address.to_owned(),
            public: String::new(),
            kind: String::new(),
            state: String::new(),
        };
        self.stand_in(machine, &instance, range);
        let moto = self.cloud.proxy.client().in_region("eu-central-1");
        let wanted = [("LaunchTemplateName", "prod-workers"), ("LaunchTemplateVersion.1", "$Latest")];
        let answer = moto.ec2("DescribeLaunchTemplateVersions", &wanted).await.ok();
        let document = xml::parse(answer.text());
        let data = xml::named(&document, "userData").next().and_then(|node| node.text()).unwrap();
        let mut script = String::new();
        let bytes = STANDARD.decode(data).unwrap();
        flate2::read::GzDecoder::new(bytes.as_slice()).read_to_string(&mut script).unwrap();
        let file = self.home.join("user-data");
        std::fs::write(&file, script).unwrap();
        self.cluster.put(machine, &file, "/root/user-data");
        let run = "set -a; . /etc/default/keelwright-aws; /root/user-data >/var/log/cloud-init-output.log 2>&1 || { cat /var/log/cloud-init-output.log; exit 1; }";
        self.cluster.ask(machine, run);
        self.cluster.ask(machine, "test ! -e /etc/kubernetes/bootstrap-kubelet.conf");
    }

    /// Makes a lab machine what an instance would be when it has booted, now and whenever it boots.
    pub fn stand_in(&self, machine: &str, instance: &Instance, range: &str) {
        let cni = CNI.replace("RANGE", range);
        self.cluster.ask(
            machine,
            &format!(
                "mkdir -p /srv/etcd /var/lib/etcd /etc/cni/net.d &&
                 printf '%s' '{cni}' >/etc/cni/net.d/10-pods.conflist &&
                 printf '%s' '{endpoints}' >/etc/default/keelwright-aws &&
                 printf '%s' '{unit}' >/etc/systemd/system/instance.service &&
                 systemctl enable -q --now instance.service",
                unit = INSTANCE.replace("ADDRESS", &instance.private),
                endpoints = self.endpoints,
            ),
        );
        let says = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        let about = BTreeMap::from([
            says("local-ipv4", &instance.private),
            says("placement/availability-zone", "eu-central-1a"),
            says("instance-id", &instance.id),
            says("instance-type", "m6i.large"),
            says("iam/security-credentials/", "role"),
            says(
                "iam/security-credentials/role",
                r#"{"Code" : "Success", "AccessKeyId" : "test", "SecretAccessKey" : "test", "Token" : "t"}"#,
            ),
        ]);
        let mut metadata = self.metadata.lock().unwrap();
        for address in [instance.private.parse().unwrap(), self.cluster.address(machine).parse().unwrap()] {
            metadata.insert(address, about.clone());
        }
    }
}

/// Answers requests until the test ends.
fn serve(
    listener: TcpListener,
    answer: impl Fn(IpAddr, &str, &str) -> Option<Vec<u8>> + Send + Sync + 'static,
) {
    let answer = Arc::new(answer);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let answer = Arc::clone(&answer);
            std::thread::spawn(move || reply(stream, answer.as_ref()));
        }
    });
}

fn reply(stream: TcpStream, answer: &Answer) {
    let Ok(peer) = stream.peer_addr() else { return };
    let mut lines = BufReader::new(&stream).lines().map_while(Result::ok);
    let Some(request) = lines.next() else { return };
    let _ = lines.take_while(|line| !line.is_empty()).count();
    let mut words = request.split(' ');
    let (Some(method), Some(path)) = (words.next(), words.next()) else { return };
    let (status, body) = match answer(peer.ip(), method, path) {
        Some(body) => ("200 OK", body),
        None => ("404 Not Found", Vec::new()),
    };
    let mut stream = &stream;
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body));
}

/// Passes every connection on.
fn pass_on(listener: TcpListener, to: String) {
    std::thread::spawn(move || {
        for from in listener.incoming().flatten() {
            let Ok(to) = TcpStream::connect(&to) else { continue };
            let [back, forth] = [to.try_clone().unwrap(), from.try_clone().unwrap()];
            for (mut read, mut write) in [(forth, to), (back, from)] {
                std::thread::spawn(move || {
                    let _ = std::io::copy(&mut read, &mut write);
                    let _ = write.shutdown(std::net::Shutdown::Write);
                });
            }
        }
    });
}

fn metadata_answer(metadata: &Metadata, from: IpAddr, method: &str, path: &str) -> Option<Vec<u8>> {
    if (method, path) == ("PUT", "/latest/api/token") {
        return Some(b"token".to_vec());
    }
    let key = path.strip_prefix("/latest/meta-data/")?;
    metadata.lock().unwrap().get(&from)?.get(key).map(|value| value.clone().into_bytes())
}

/// Repeats a look until it gives something; nothing here takes longer than this.
pub async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(began.elapsed() < Duration::from_secs(300), "{what}");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

pub struct Apply {
    pub child: Child,
    pub said: Arc<Mutex<String>>,
}

impl Apply {
    pub fn start(stage: &Stage) -> Apply {
        let mut child = stage.command(&["apply", "--yes"]).stderr(Stdio::piped()).spawn().unwrap();
        let said = Arc::new(Mutex::new(String::new()));
        let (mut errors, text) = (child.stderr.take().unwrap(), Arc::clone(&said));
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = errors.read(&mut bytes) {
                text.lock().unwrap().push_str(&String::from_utf8_lossy(&bytes[..count]));
            }
        });
        Apply { child, said }
    }

    pub fn said(&self) -> String {
        self.said.lock().unwrap().clone()
    }
}

impl Drop for Apply {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub async fn stage() -> Option<Stage> {
    if let Some(reason) = crate::lab::skip_reason() {
        eprintln!("skipped: {reason}");
        return None;
    }
    let cloud = Cloud::start()?;
    let counts = [(Role::ControlPlane, 3), (Role::Bastion, 1), (Role::Spare, 2)];
    let cluster = Cluster::new("e2e-aws", VERSION, &counts);
    let home = cluster.lab.directory().join("operator");
    std::fs::create_dir_all(home.join(".ssh")).unwrap();
    // The outside's own address in the lab, where machines find what an image finds in AWS.
    let outside = cluster.address("cp-1").rsplit_once('.').map(|(net, _)| format!("{net}.1")).unwrap();
    let listen = || {
        let listener = TcpListener::bind((outside.as_str(), 0)).unwrap();
        let address = listener.local_addr().unwrap();
        (listener, format!("http://{address}"))
    };
    let metadata = Metadata::default();
    let (about, metadata_url) = listen();
    let known = Arc::clone(&metadata);
    serve(about, move |from, method, path| metadata_answer(&known, from, method, path));
    let (account, account_url) = listen();
    pass_on(account, cloud.proxy.url().trim_start_matches("http://").to_owned());
    let (mirror, mirror_url) = listen();
    let bundle = Mirror::of(&cluster);
    serve(mirror, move |_, _, path| bundle.file(path.trim_start_matches('/')));
    let endpoints = format!(
        "AWS_EC2_METADATA_SERVICE_ENDPOINT={metadata_url}\nAWS_ENDPOINT_URL_SSM={account_url}\nAWS_ENDPOINT_URL_AUTO_SCALING={account_url}\n"
    );
    let place = "<CreateBucketConfiguration><LocationConstraint>eu-central-1</LocationConstraint></CreateBucketConfiguration>";
    let moto = cloud.moto.in_region("eu-central-1");
    moto.rest(Service::S3, Method::PUT, &format!("/{STATE_BUCKET}"), place).await.ok();
    let stage = Stage { cluster, cloud, home, metadata, endpoints, mirror: mirror_url };
    stage.inventory("first", "m6i.large");
    Some(stage)
}

/// The bundle's files by their hashes.
struct Mirror(BTreeMap<String, PathBuf>);

impl Mirror {
    fn of(cluster: &Cluster) -> Mirror {
        let text = std::fs::read_to_string(cluster.bundle().join("bundle.json")).unwrap();
        let manifest: serde_json::Value = serde_json::from_str(&text).unwrap();
        let mut files = BTreeMap::new();
        for list in ["files", "images", "manifests"] {
            for item in manifest[list].as_array().into_iter().flatten() {
                let path = cluster.bundle().join(item["path"].as_str().unwrap());
                files.insert(item["sha256"].as_str().unwrap().to_owned(), path);
            }
        }
        Mirror(files)
    }

    fn file(&self, sha256: &str) -> Option<Vec<u8>> {
        std::fs::read(self.0.get(sha256)?).ok()
    }
}
