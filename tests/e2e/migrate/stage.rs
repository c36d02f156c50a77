//! Two clusters in two labs, each behind a balancer of the account, and the program under test.

use std::collections::BTreeMap;
use std::fs::File;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use keelwright::lab::Role;

use super::account::{self, Account, NAME, REGION, Style, Targets, ZONE};
use super::balancer::{self, Haproxy};
use super::clients::{Clients, Setup};
use super::follower::{Counted, Follower};
use super::{Side, until};
use crate::cluster::Cluster;
use crate::emulator::Cloud;
use crate::emulator::dns::Authority;
use crate::emulator::dns::route53::{self, Record, canonical};
use crate::emulator::proxy::Delays;

const VERSION: &str = "v1.37.1";
/// On every node.
const NODE_PORT: u16 = 30080;
/// Of the balancers.
const PORT: u16 = 80;
/// Labs give it to no machine.
const BALANCER_OCTET: u8 = 250;
const ALIAS_TTL: u32 = 60;
/// How long a share is watched.
pub const SOAK: Duration = Duration::from_secs(30);
/// Longer than the whole schedule after 50 %, so that some still use blue's balancer when its targets change.
const HOLD: std::ops::Range<Duration> = Duration::from_secs(120)..Duration::from_secs(240);
const WHOLE: Duration = Duration::from_secs(2400);

const WORKLOAD: &str = "
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  replicas: 3
  selector: {matchLabels: {app: shop, is: good}}
  template:
    metadata: {labels: {app: shop, is: good}}
    spec:
      containers:
      - name: web
        image: AGNHOST
        args: [netexec, --http-port=8080, --delay-shutdown=10]
        ports: [{containerPort: 8080}]
        readinessProbe: {httpGet: {path: /readyz, port: 8080}, periodSeconds: 1}
---
apiVersion: v1
kind: Service
metadata: {name: shop, namespace: shop}
spec:
  type: NodePort
  selector: {app: shop}
  ports: [{port: 80, targetPort: 8080, nodePort: NODE_PORT}]
";

/// A pod that says it is ready and where nobody listens.
const BAD: &str = "
apiVersion: apps/v1
kind: Deployment
metadata: {name: web-bad, namespace: shop}
spec:
  replicas: 1
  selector: {matchLabels: {app: shop, is: bad}}
  template:
    metadata: {labels: {app: shop, is: bad}}
    spec:
      containers:
      - {name: web, image: AGNHOST, args: [pause]}
";

/// What differs between stages.
pub struct Setting {
    pub name: &'static str,
    /// Aliases have a TTL of a minute, which is waited for at every step.
    pub style: Style,
    /// Green's share in each step, in percent.
    pub schedule: &'static [u8],
    /// Makes the clusters, as far as they are there from the beginning.
    pub clusters: fn(&str) -> Clusters,
    /// Whose sealed keys commands need.
    pub keys: Side,
    /// More of the migration's file.
    pub more: fn(&Clusters) -> String,
}

/// Two clusters of ours, and names that lead to balancers by CNAMEs of a few seconds.
pub const USUAL: Setting = Setting {
    name: "",
    style: Style::Cname { ttl: 5 },
    schedule: &[10, 25, 50, 75, 100],
    clusters: both_are_ours,
    keys: Side::Blue,
    more: |clusters| {
        format!(
            "blue: {{balancer: {{name: shop-old}}, kubeconfig: {}}}
green: {{balancer: {{name: shop-new}}, kubeconfig: {}}}
teardown: {{simpleRecord: true}}
",
            clusters.blue.kubeconfig().display(),
            clusters.green.kubeconfig().display()
        )
    },
};

pub struct Clusters {
    pub blue: Cluster,
    pub green: Cluster,
}

impl Clusters {
    fn of(&self, side: Side) -> &Cluster {
        match side {
            Side::Blue => &self.blue,
            Side::Green => &self.green,
        }
    }
}

/// Fields go in this order when it ends.
pub struct Stage {
    pub follower: Follower,
    pub dns: Authority,
    pub account: Account,
    cloud: Arc<Cloud>,
    balancers: BTreeMap<IpAddr, Side>,
    home: PathBuf,
    pub clusters: Clusters,
    setting: Setting,
}

/// None: not here, and why is on stderr.
pub async fn stage(setting: Setting) -> Option<Stage> {
    if let Some(reason) = crate::lab::skip_reason().or_else(balancer::skip_reason) {
        eprintln!("skipped: {reason}");
        return None;
    }
    let cloud = Arc::new(Cloud::start()?);
    let clusters = (setting.clusters)(setting.name);
    let addresses = Side::BOTH.map(|side| (side, bridge_address(clusters.of(side))));
    let mut behind = BTreeMap::new();
    for side in Side::BOTH {
        let cluster = clusters.of(side);
        let nodes = ["cp-1", "worker-1"]
            .map(|node| SocketAddrV4::new(cluster.address(node).parse().unwrap(), NODE_PORT));
        let [a, b, subnet, _] = nodes[0].ip().octets();
        let subnet = format!("{a}.{b}.{subnet}.0/24");
        behind.insert(side, Targets::Instances { subnet, addresses: nodes.into() });
    }
    let account = Account::open(&cloud.moto, PORT, setting.style, behind).await;
    let names = addresses.map(|(side, address)| (account.sides[&side].dns_name.clone(), address));
    let dns = Authority::start(&cloud.moto, &account.zone, ZONE, names.into(), ALIAS_TTL).await;
    let home = clusters.blue.directory().join("operator");
    std::fs::create_dir_all(&home).unwrap();
    let mut proxies = BTreeMap::new();
    for (side, address) in addresses {
        let at = SocketAddr::from((address, PORT));
        proxies.insert(side, Haproxy::start(at, &home.join(format!("balancer-{side}"))).await);
    }
    settle(&cloud, &account).await;
    let follower = Follower::start(&cloud.proxy.client(), &account, proxies, Counted::into(&cloud)).await;
    let balancers = addresses.map(|(side, address)| (IpAddr::from(address), side)).into();
    let stage = Stage { follower, dns, account, cloud, balancers, home, clusters, setting };
    std::fs::write(stage.home.join("migration.yaml"), stage.file()).unwrap();
    Some(stage)
}

/// Machines of both labs. One after the other: they share a bundle.
pub fn labs(name: &str) -> Clusters {
    let counts = [(Role::ControlPlane, 1), (Role::Worker, 1)];
    let [blue, green] = Side::BOTH.map(|side| Cluster::new(&format!("{name}-{side}"), VERSION, &counts));
    Clusters { blue, green }
}

/// Two at once, with a page in each.
fn both_are_ours(name: &str) -> Clusters {
    let clusters = labs(name);
    std::thread::scope(|scope| {
        for side in Side::BOTH {
            let cluster = clusters.of(side);
            scope.spawn(move || {
                cluster.apply();
                serve(cluster);
            });
        }
    });
    clusters
}

/// The page, until its pods are ready.
pub fn serve(cluster: &Cluster) {
    create(cluster, &WORKLOAD.replace("NODE_PORT", &NODE_PORT.to_string()));
    is_rolled_out(cluster);
}

pub fn is_rolled_out(cluster: &Cluster) {
    cluster.kubectl(&["-n", "shop", "rollout", "status", "deployment/web", "--timeout=180s"]);
}

fn create(cluster: &Cluster, text: &str) {
    let file = cluster.directory().join("workload.yaml");
    std::fs::write(&file, text.replace("AGNHOST", &cluster.image("agnhost"))).unwrap();
    cluster.kubectl(&["apply", "-f", file.to_str().unwrap()]);
}

/// An address of the outside on a lab's bridge, which goes with it.
fn bridge_address(cluster: &Cluster) -> Ipv4Addr {
    let machine: Ipv4Addr = cluster.address("cp-1").parse().unwrap();
    let [a, b, subnet, _] = machine.octets();
    let address = Ipv4Addr::new(a, b, subnet, BALANCER_OCTET);
    let (text, bridge) = (format!("{address}/32"), format!("kwlab{subnet}"));
    let status = Command::new("ip").args(["address", "replace", &text, "dev", &bridge]).status().unwrap();
    assert!(status.success(), "{text} at {bridge}");
    address
}

/// The account is not new: its things are past the states that they begin with.
async fn settle(cloud: &Cloud, account: &Account) {
    cloud.proxy.set(|settings| settings.delays = Delays::none());
    let client = cloud.proxy.client().in_region(REGION);
    client.ec2("DescribeInstances", &[]).await.ok();
    client.balancing("DescribeLoadBalancers", &[]).await.ok();
    for of in account.sides.values() {
        account::health(&client, &of.group).await;
    }
    // Looks are about a second apart: the balancers take one themselves.
    cloud.proxy.set(|settings| settings.delays = Delays { target: 5, draining: 10, ..Delays::all(2) });
}

impl Stage {
    /// What the program is told.
    fn file(&self) -> String {
        let step = |green: &u8| format!("\n  - {{green: {green}%, soak: {}s}}", SOAK.as_secs());
        let schedule: String = self.setting.schedule.iter().map(step).collect();
        format!(
            "apiVersion: keelwright.dev/v1
kind: Migration
metadata: {{name: shop}}
aws: {{region: {REGION}}}
names: [{{name: {NAME}, hostedZone: {zone}}}]
resolvers: [\"{resolver}\"]
probes: [{{name: page, type: http, path: /hostname, port: {PORT}}}]
schedule: {schedule}
gates: {{nodesReady: true}}
takeOver: {{quiet: 3m, deadline: 15m}}
{more}",
            zone = self.account.zone,
            resolver = self.dns.at,
            more = (self.setting.more)(&self.clusters),
        )
    }

    /// Whose pods are which.
    fn pages(&self) -> BTreeMap<String, Side> {
        let names = ["-n", "shop", "get", "pods", "-o", "jsonpath={.items[*].metadata.name}"];
        let of = |side: Side| {
            let text = self.clusters.of(side).kubectl(&names);
            text.split_whitespace().map(|name| (name.to_owned(), side)).collect::<Vec<_>>()
        };
        Side::BOTH.into_iter().flat_map(of).collect()
    }

    /// Two hundred, so many of whom go on with old answers.
    pub fn clients(&self, stale: usize) -> Setup {
        Setup {
            name_server: self.dns.at,
            name: NAME.to_owned(),
            port: PORT,
            balancers: self.balancers.clone(),
            pages: self.pages(),
            number: 200,
            stale,
            hold: HOLD,
            pause: Duration::from_secs(1),
        }
    }

    /// Clients have been answered for so long.
    pub async fn is_served(&self, clients: &Clients, time: Duration) {
        let asked = || clients.log().calls.len();
        // Each asks about once a second.
        let wanted = asked() + 180 * usize::try_from(time.as_secs()).unwrap();
        until("clients are not answered", time * 4, async || (asked() >= wanted).then_some(())).await;
    }

    /// What was answered before now is used by nobody any more.
    pub async fn answers_run_out(&self) {
        let ttl = match self.setting.style {
            Style::Alias => ALIAS_TTL,
            Style::Cname { ttl } => ttl,
        };
        tokio::time::sleep(Duration::from_secs(u64::from(ttl) + 1)).await;
    }

    /// Of four, so a quarter of its answers fails.
    pub fn one_of_greens_pods_turns_bad(&self) {
        create(&self.clusters.green, BAD);
    }

    /// The name's records.
    pub async fn records(&self) -> Vec<Record> {
        let mut records = route53::records(&self.cloud.moto, &self.account.zone).await;
        records.retain(|record| record.name == canonical(NAME));
        records
    }

    /// A command of `keelwright migrate` that ends soon.
    pub fn migrate(&self, verb: &str, args: &[&str]) -> Output {
        self.command(&["migrate", verb, "-f", "migration.yaml"]).args(args).output().unwrap()
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = self.clusters.of(self.setting.keys).command(args);
        command.current_dir(&self.home).env("HOME", &self.home).env_remove("SSH_AUTH_SOCK");
        command.env("AWS_ENDPOINT_URL", self.cloud.proxy.url());
        command.env("AWS_ACCESS_KEY_ID", "test").env("AWS_SECRET_ACCESS_KEY", "test");
        command
    }
}

/// The program at work.
pub struct Migration {
    child: Child,
    log: PathBuf,
}

impl Migration {
    /// `more`: of its arguments.
    pub fn start(stage: &Stage, more: &[&str]) -> Migration {
        let log = stage.home.join("migrate.log");
        let file = File::create(&log).unwrap();
        let mut command = stage.command(&["migrate", "apply", "-f", "migration.yaml", "--yes"]);
        command.args(more);
        command.stdin(Stdio::null()).stdout(file.try_clone().unwrap()).stderr(file);
        Migration { child: command.spawn().unwrap(), log }
    }

    pub async fn ended(&mut self) -> ExitStatus {
        let child = &mut self.child;
        until("the migration does not end", WHOLE, async || child.try_wait().unwrap()).await
    }

    pub fn said(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }
}

impl Drop for Migration {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
