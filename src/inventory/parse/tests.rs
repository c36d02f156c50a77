use camino::Utf8Path;

use super::*;
use crate::inventory::{Canary, CountOrShare, HostName, NetworkPlugin, PluginRelease};

fn origin() -> Origin<'static> {
    Origin {
        file: "inventory.yaml",
        base: Utf8Path::new("/srv/cluster"),
        home: Some(Utf8Path::new("/home/me")),
    }
}

pub(crate) fn parse_text(text: &str) -> Result<(Inventory, Vec<Diagnostic>), Diagnostics> {
    parse(text.as_bytes(), &origin())
}

pub(crate) fn wanted_text(text: &str) -> Result<(Wanted, Vec<Diagnostic>), Diagnostics> {
    parse_wanted(text.as_bytes(), &origin())
}

pub(crate) const MINIMAL: &str = "\
apiVersion: keelwright.dev/v1
kind: Cluster
metadata: {name: prod}
kubernetes: {version: v1.37.1}
hosts:
  - {name: node-1, address: 192.0.2.11, roles: [control-plane, worker]}
";

/// Every field there is.
pub(crate) const FULL: &str = r#"
apiVersion: keelwright.dev/v1
kind: Cluster
metadata: {name: prod}
kubernetes: {version: v1.37.1}
ssh:
  user: admin
  key: ~/.ssh/id_ed25519
  port: 22
  bastion: ops@jump.example:2222
  sudo: password
  hostKeys: []
  hostCAs: []
hosts:
  - name: cp-1
    address: 198.18.0.11
    secondaryAddress: 2001:db8::11
    roles: [control-plane]
    arch: arm64
    ssh:
      host: cp-1.example
      user: root
      port: 2022
      keys: [keys/a, /keys/b]
      bastion: [first, {host: second, user: me, port: 23, key: k}]
      sudo: passwordless
      hostKeys: [ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMlPA3SyarJKDtJhDcUKGhwlAaUy3ZrfJQhkGdSQ2Vjp]
    labels: {disk: ssd, example.org/rack: ""}
    taints: [{key: dedicated, value: db, effect: NoSchedule}, "spot:NoExecute"]
  - {name: w-1, address: 198.18.0.21, secondaryAddress: "2001:db8::21"}
endpoint: {external: {host: api.example.org, port: 443}}
network:
  podCidrs: [10.244.0.0/16, "fd00:10:244::/48"]
  serviceCidrs: [10.96.0.0/12, "fd00:10:96::/112"]
  dnsDomain: cluster.local
  plugin: {name: routes, mtu: 1450}
etcd: {placement: stacked, extraArgs: [{name: heartbeat-interval, value: "200"}], dataDir: /var/lib/etcd}
apiServer: {extraArgs: {v: 2}, certSANs: [api.example.org, 192.0.2.1]}
controllerManager: {extraArgs: [{name: v, value: "2"}]}
scheduler: {extraArgs: []}
kubelet: {config: {maxPods: 200, evictionHard: {memory.available: 5%}}, extraArgs: [{name: v, value: "2"}]}
kubeProxy: {enabled: true, config: {mode: nftables}}
containerd: {restrictOomScoreAdj: true, registryMirrors: {docker.io: [https://mirror.example]}}
pki: {algorithm: RSA-2048, externalCA: false, bringYourOwn: ca}
security: {encryptionAtRest: true, audit: false, cis: true}
artifacts: {bundle: bundle, delivery: {mirror: {url: http://mirror.example:8080/x/}}}
addons: [{name: metrics-server, source: https://example.org/a.yaml, sha256: "0e5751c026e543b2e8ab2eb06099daa1d1e5df47778f7787faab45cdf12fe3a8"}]
policy: {parallelism: 10, maxUnavailable: 10%, upgrade: {canary: [w-1], batchSize: 20%, pauseBetweenWaves: 5m, healthGate: true}, timeouts: {connect: 10s, stage: 10m, apiReady: 5m, nodeReady: 5m, drain: 1h30m}}
hooks: [{name: leave, when: before-host, where: local, command: [./leave.sh, -n, 3], timeout: 90s, roles: [worker]}]
state: {bucket: acme-clusters, prefix: eu/prod, region: eu-central-1, profile: ops, assumeRole: "arn:aws:iam::123456789012:role/ops"}
"#;

#[test]
fn a_minimal_inventory_gets_its_defaults() {
    let (inventory, warnings) = parse_text(MINIMAL).unwrap();
    assert!(warnings.is_empty(), "{warnings:?}");
    let (_, host) = inventory.hosts.iter().next().unwrap();
    assert_eq!(host.ssh.host, "192.0.2.11");
    assert_eq!(host.ssh.port, None);
    assert_eq!(inventory.control_plane_endpoint(), "127.0.0.1:7443");
    assert_eq!(inventory.network.pod_cidrs[0].to_string(), "10.244.0.0/16");
    assert_eq!(inventory.network.service_address(10).unwrap().to_string(), "10.96.0.10");
    assert!(inventory.security.audit);
    assert_eq!(inventory.policy.timeouts.stage, 600);
    let upgrade = &inventory.policy.upgrade;
    assert_eq!((&upgrade.canary, upgrade.batch_size), (&Canary::Count(0), None));
    assert!(upgrade.health_gate && upgrade.pause_between_waves.is_none());
}

#[test]
fn every_field_is_read() {
    let (inventory, _) = parse_text(FULL).unwrap_or_else(|problems| panic!("{problems}"));
    let cp = &inventory.hosts["cp-1"];
    assert_eq!(cp.ssh.keys, ["/srv/cluster/keys/a", "/keys/b"]);
    assert_eq!(cp.ssh.bastions.len(), 2);
    assert_eq!(cp.ssh.bastions[1].keys, ["/srv/cluster/k"]);
    assert_eq!(cp.taints[1].key, "spot");
    let worker = &inventory.hosts["w-1"];
    assert_eq!(worker.ssh.keys, ["/home/me/.ssh/id_ed25519"]);
    assert_eq!(worker.ssh.bastions[0].port, Some(2222));
    assert_eq!(worker.roles, [crate::inventory::Role::Worker].into());
    assert_eq!(inventory.kubelet.config["maxPods"], 200);
    assert_eq!(inventory.api_server.extra_args[0].value, "2");
    assert_eq!(inventory.policy.timeouts.drain, 5400);
    let hook = &inventory.hooks[0];
    assert_eq!(hook.command, ["/srv/cluster/leave.sh", "-n", "3"]);
    assert_eq!((hook.timeout, hook.hosts.has(cp), hook.hosts.has(worker)), (90, false, true));
    let upgrade = &inventory.policy.upgrade;
    assert_eq!(upgrade.canary, Canary::Hosts(vec![HostName::parse("w-1").unwrap()]));
    assert_eq!(upgrade.batch_size, Some(CountOrShare::Percent(20)));
    assert_eq!(upgrade.pause_between_waves, Some(300));
    let state = inventory.state.as_ref().unwrap();
    assert_eq!((state.bucket.as_str(), state.prefix.as_str()), ("acme-clusters", "eu/prod"));
    let json = serde_json::to_string(&inventory).unwrap();
    assert_eq!(serde_json::from_str::<Inventory>(&json).unwrap(), inventory);
}

/// What `keelwright lab up` writes.
const LAB: &str = r#"# Written by `keelwright lab up`, again each time it runs.
apiVersion: keelwright.dev/v1
kind: Cluster
metadata:
  name: lab
kubernetes:
  version: v1.37.1
hosts:
- name: cp-1
  roles:
  - control-plane
  address: 198.18.3.11
  ssh:
    user: root
    port: 22
    key: /l/id
    hostKeys:
    - ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMlPA3SyarJKDtJhDcUKGhwlAaUy3ZrfJQhkGdSQ2Vjp
    bastion: bastion-1
bastions:
- name: bastion-1
  address: 198.18.3.2
  ssh:
    user: root
    port: 22
    key: /l/id
    hostKeys:
    - ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMlPA3SyarJKDtJhDcUKGhwlAaUy3ZrfJQhkGdSQ2Vjp
network:
  podCidrs:
  - 198.19.0.0/17
  serviceCidrs:
  - 198.19.128.0/17
  plugin:
    name: routes
kubelet:
  config:
    failCgroupV1: false
    cgroupDriver: cgroupfs
containerd:
  restrictOomScoreAdj: true
"#;

#[test]
fn what_the_lab_writes_is_read_without_a_warning() {
    let (inventory, warnings) = parse_text(LAB).unwrap_or_else(|problems| panic!("{problems}"));
    assert!(warnings.is_empty(), "{warnings:?}");
    let bastion = &inventory.hosts["cp-1"].ssh.bastions[0];
    assert_eq!((bastion.host.as_str(), bastion.port), ("198.18.3.2", Some(22)));
    assert_eq!(bastion.host_keys.len(), 1);
}

#[test]
fn the_examples_are_read_without_a_warning() {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/inventories");
    let mut count = 0;
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "yaml") {
            let text = std::fs::read_to_string(&path).unwrap();
            let (_, warnings) =
                wanted_text(&text).unwrap_or_else(|problems| panic!("{}: {problems}", path.display()));
            assert!(warnings.is_empty(), "{}: {warnings:?}", path.display());
            count += 1;
        }
    }
    assert!(count >= 7);
}

#[test]
fn network_plugins_say_what_they_need() {
    let found = |plugin: &str| {
        let text = format!("{MINIMAL}network: {{plugin: {plugin}}}\n");
        parse_text(&text).map(|(inventory, _)| inventory.network.plugin).map_err(|problems| {
            assert_eq!(problems.list.len(), 1, "{problems}");
            problems.render(&text)
        })
    };
    let error = found("{name: cilium, version: v1.18.1}").unwrap_err();
    assert!(error.contains("Cilium publishes no manifest") && error.contains("helm template"), "{error}");
    let error = found("calico").unwrap_err();
    assert!(error.contains("{name: calico, version: v3."), "{error}");
    let release = |source: Option<&str>| PluginRelease {
        version: "v1.18.1".into(),
        source: source.map(str::to_owned),
        sha256: None,
    };
    let cilium = found("{name: cilium, version: v1.18.1, source: cilium.yaml}");
    assert_eq!(cilium, Ok(NetworkPlugin::Cilium(release(Some("/srv/cluster/cilium.yaml")))));
    assert_eq!(found("{name: calico, version: v1.18.1}"), Ok(NetworkPlugin::Calico(release(None))));
}
