//! Whole hosts, and rules that hold for every file of every host.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use camino::Utf8Path;
use proptest::prelude::*;

use super::*;
use crate::inventory::{Origin, parse};
use crate::pki::{KeyId, SecretContent, spec};
use crate::release::{KubeVersion, SUPPORTED, release_of};
use crate::render::to_yaml;

const IDENTITY: ClusterIdentity<'static> = ClusterIdentity {
    uid: "8f14e45f-ceea-467f-a0e6-1c1e3c2a7f10",
    etcd_token: "2c624232-cc22-4a1b-8b0f-2f4b7a9a0d11",
};

fn inventory(text: &str) -> Inventory {
    let head = "apiVersion: keelwright.dev/v1\nkind: Cluster\nmetadata: {name: demo}\n";
    let origin = Origin { file: "inventory.yaml", base: Utf8Path::new("/srv"), home: None };
    parse(format!("{head}{text}").as_bytes(), &origin).unwrap_or_else(|problems| panic!("{problems}")).0
}

fn blueprint(inventory: &Inventory, host: &str, traits: &HostTraits) -> HostBlueprint {
    let pod_cidrs = assign_pod_cidrs(inventory, &BTreeMap::new()).unwrap();
    let release = release_of(inventory.version).unwrap();
    host_blueprint(inventory, release, IDENTITY, &pod_cidrs, &inventory.hosts[host], traits)
}

const SMALL: &str = "\
kubernetes: {version: v1.37.1}
hosts:
  - {name: cp-1, address: 192.0.2.11, roles: [control-plane]}
  - {name: worker-1, address: 192.0.2.21, taints: [{key: dedicated, value: db, effect: NoSchedule}]}
network: {plugin: {name: routes}}
";

const VIP: &str = "\
kubernetes: {version: v1.34.4}
hosts:
  - {name: cp-1, address: 192.0.2.11, roles: [control-plane]}
  - {name: cp-2, address: 192.0.2.12, roles: [control-plane]}
  - {name: cp-3, address: 192.0.2.13, roles: [control-plane]}
  - {name: etcd-1, address: 192.0.2.31, roles: [etcd]}
endpoint: {vip: {address: 192.0.2.100, port: 8443}}
network: {plugin: {name: none}}
containerd: {restrictOomScoreAdj: true, registryMirrors: {docker.io: ['https://mirror.example']}}
";

/// A host as people read it: every file with its mode, group and content.
fn shown(blueprint: &HostBlueprint) -> String {
    let mut text = format!("host {}\n", blueprint.host);
    let HostBlueprint {
        packages,
        modules,
        sysctls,
        swap,
        directories,
        binaries,
        images,
        files,
        links,
        units,
        ..
    } = blueprint;
    writeln!(text, "packages {}", packages.iter().cloned().collect::<Vec<_>>().join(" ")).unwrap();
    writeln!(text, "modules {modules:?}\nsysctls {sysctls:?}\nswap {swap:?}").unwrap();
    for (path, directory) in directories {
        writeln!(text, "directory {path} {:04o}", directory.mode).unwrap();
    }
    for (path, binary) in binaries {
        writeln!(text, "binary {path} {:04o} restarts {:?}", binary.mode, binary.restarts).unwrap();
    }
    for image in images {
        writeln!(text, "image {image}").unwrap();
    }
    for (path, link) in links {
        writeln!(text, "link {path} -> {} {:?}", link.target, link.policy).unwrap();
    }
    for (name, unit) in units {
        writeln!(text, "unit {name} {:?} {:?}", unit.state, unit.group).unwrap();
    }
    for (path, file) in files {
        let File { group, mode, policy, restarts, content } = file;
        writeln!(text, "\n==== {path} {mode:04o} {group:?} {policy:?} restarts {restarts:?}").unwrap();
        match content {
            Content::Text(content) => text.push_str(content),
            Content::Secret(secret) => writeln!(text, "<{secret}>").unwrap(),
        }
    }
    text
}

#[test]
fn a_control_plane_with_routes() {
    let traits =
        HostTraits { ca_directories: ["/etc/ca-certificates".to_owned()].into(), ..HostTraits::default() };
    insta::assert_snapshot!(shown(&blueprint(&inventory(SMALL), "cp-1", &traits)));
}

#[test]
fn a_worker_with_routes() {
    let traits = HostTraits { resolved_active: true, ..HostTraits::default() };
    insta::assert_snapshot!(shown(&blueprint(&inventory(SMALL), "worker-1", &traits)));
}

#[test]
fn an_etcd_host_on_red_hat() {
    let traits = HostTraits { os_family: OsFamily::RedHat, ..HostTraits::default() };
    insta::assert_snapshot!(shown(&blueprint(&inventory(VIP), "etcd-1", &traits)));
}

#[test]
fn a_control_plane_that_carries_a_virtual_address() {
    let blueprint = blueprint(&inventory(VIP), "cp-2", &HostTraits::default());
    let Content::Text(config) = &blueprint.files["/etc/keelwright/keepalived.conf"].content else { panic!() };
    insta::assert_snapshot!(config);
    assert!(blueprint.packages.contains("keepalived") && !blueprint.packages.contains("haproxy"));
    assert!(!blueprint.files.contains_key("/etc/kubernetes/manifests/etcd.yaml"));
    let Content::Text(mirror) = &blueprint.files["/etc/containerd/certs.d/docker.io/hosts.toml"].content
    else {
        panic!()
    };
    assert!(mirror.contains("[host.\"https://mirror.example\"]"), "{mirror}");
}

fn flags(blueprint: &HostBlueprint, component: &str) -> Vec<String> {
    let path = format!("/etc/kubernetes/manifests/{component}.yaml");
    let Content::Text(text) = &blueprint.files[&path].content else { panic!("{path}") };
    let pod: serde_json::Value = serde_yaml::from_str(text).unwrap();
    serde_json::from_value(pod["spec"]["containers"][0]["command"].clone()).unwrap()
}

#[test]
fn an_established_member_keeps_the_peers_it_was_told() {
    let initial =
        EtcdInitial { cluster: "a=https://192.0.2.1:2380".to_owned(), state: "existing".to_owned() };
    let traits = HostTraits { etcd_initial: Some(initial), ..HostTraits::default() };
    let flags = flags(&blueprint(&inventory(SMALL), "cp-1", &traits), "etcd");
    assert!(flags.contains(&"--initial-cluster=a=https://192.0.2.1:2380".to_owned()));
    assert!(flags.contains(&"--initial-cluster-state=existing".to_owned()));
    assert!(flags.contains(&format!("--initial-cluster-token={}", IDENTITY.etcd_token)));
}

#[test]
fn flags_of_the_operator_replace_ours() {
    let text = format!(
        "{SMALL}apiServer: {{extraArgs: [{{name: audit-log-maxage, value: '7'}}, {{name: anonymous-auth, value: 'false'}}]}}\n"
    );
    let extras = cluster_extra_args(&inventory(&text), IDENTITY.etcd_token).api_server;
    let of = |name: &str| {
        extras.args.iter().filter(|arg| arg.name == name).map(|arg| &arg.value).collect::<Vec<_>>()
    };
    assert_eq!(of("audit-log-maxage"), ["7"]);
    assert_eq!(of("authentication-config"), [""; 0], "the API server refuses it beside anonymous-auth");
    let blueprint = blueprint(&inventory(&text), "cp-1", &HostTraits::default());
    assert!(!blueprint.files.contains_key("/etc/kubernetes/keelwright/authentication.yaml"));
    assert!(blueprint.files.contains_key("/etc/kubernetes/keelwright/audit-policy.yaml"));
}

#[test]
fn nothing_of_ours_is_left_when_security_is_switched_off() {
    let text = format!("{SMALL}security: {{encryptionAtRest: false, audit: false, cis: false}}\n");
    let extras = cluster_extra_args(&inventory(&text), IDENTITY.etcd_token);
    let names: Vec<&str> = extras.api_server.args.iter().map(|arg| arg.name.as_str()).collect();
    let for_balancers = ["shutdown-delay-duration", "shutdown-watch-termination-grace-period"];
    assert_eq!(names, for_balancers, "which are not for security");
    assert!(extras.api_server.mounts.is_empty());
    assert_eq!(extras.scheduler, ComponentExtras::default());
    let blueprint = blueprint(&inventory(&text), "cp-1", &HostTraits::default());
    assert!(!blueprint.directories.contains_key("/etc/kubernetes/keelwright"));
    assert_eq!(blueprint.files["/var/lib/kubelet/config.yaml"].mode, 0o644);
}

#[test]
fn anonymous_requests_reach_cluster_info_only_while_nodes_can_join_by_token() {
    for (pki, expected) in [("{externalCA: false}", true), ("{externalCA: true}", false)] {
        let blueprint =
            blueprint(&inventory(&format!("{SMALL}pki: {pki}\n")), "cp-1", &HostTraits::default());
        let path = "/etc/kubernetes/keelwright/authentication.yaml";
        let Content::Text(text) = &blueprint.files[path].content else { panic!() };
        assert_eq!(text.contains("configmaps/cluster-info"), expected);
        assert_eq!(blueprint.files.contains_key("/etc/kubernetes/pki/ca.key"), expected);
    }
}

/// What holds for every host of every kind, in every minor.
#[test]
fn every_file_has_a_directory_and_every_restarted_unit_is_wanted() {
    for release in &SUPPORTED {
        for text in [SMALL, VIP] {
            let mut inventory = inventory(text);
            inventory.version = release.default_patch;
            for host in inventory.hosts.keys() {
                let blueprint = blueprint(&inventory, host.as_str(), &HostTraits::default());
                for (path, file) in &blueprint.files {
                    let parent = Utf8Path::new(path).parent().unwrap().as_str();
                    let system = ["/etc", "/etc/systemd/system", "/etc/modules-load.d", "/etc/sysctl.d"];
                    assert!(
                        blueprint.directories.contains_key(parent) || system.contains(&parent),
                        "{host}: nobody makes {parent}"
                    );
                    for unit in &file.restarts {
                        assert!(blueprint.units.contains_key(unit), "{host}: {path} restarts {unit}");
                    }
                    if let Content::Secret(secret) = &file.content {
                        assert!(
                            secret.is_public() || file.mode == 0o600,
                            "{host}: {path} is {:o}",
                            file.mode
                        );
                    }
                }
                let flags = std::fmt::format(format_args!(
                    "{:?}",
                    blueprint.files["/var/lib/kubelet/kubeadm-flags.env"]
                ));
                assert_eq!(
                    flags.contains("pod-infra"),
                    release.minor.minor == 34,
                    "{host} {}",
                    release.minor
                );
            }
        }
    }
}

/// Hosts and the list of certificates are written apart: neither may name what the other does not know.
#[test]
fn hosts_hold_every_key_that_is_issued_and_no_other() {
    for text in [SMALL, VIP] {
        let inventory = inventory(text);
        let issued = spec::certificates(&inventory, None);
        let mut used = BTreeSet::new();
        for host in inventory.hosts.keys() {
            for file in blueprint(&inventory, host.as_str(), &HostTraits::default()).files.values() {
                let Content::Secret(secret) = &file.content else { continue };
                match secret {
                    SecretContent::Certificate { key }
                    | SecretContent::PrivateKey { key }
                    | SecretContent::PublicKey { key }
                    | SecretContent::ClientPem { key } => used.insert(key.clone()),
                    SecretContent::Kubeconfig { key, user, .. } => {
                        assert_eq!(&issued[key].common_name, user);
                        used.insert(key.clone())
                    }
                    SecretContent::KubeletConfig { .. } | SecretContent::EncryptionConfiguration => true,
                };
            }
        }
        // The operator's own, on no host.
        used.insert(KeyId::super_admin());
        let known: BTreeSet<KeyId> = issued.into_keys().chain(spec::bare_keys()).collect();
        assert_eq!(used, known);
    }
}

#[test]
fn workers_hold_no_key_but_their_own() {
    let blueprint = blueprint(&inventory(SMALL), "worker-1", &HostTraits::default());
    let secrets: Vec<String> = blueprint
        .files
        .values()
        .filter_map(|file| match &file.content {
            Content::Secret(secret) => Some(secret.to_string()),
            Content::Text(_) => None,
        })
        .collect();
    assert_eq!(secrets, ["kubeconfig of the kubelet", "certificate ca", "client pair worker-1/kubelet"]);
}

#[test]
fn scripts_are_shell_and_switches_are_toml() {
    let blueprint = blueprint(&inventory(SMALL), "worker-1", &HostTraits::default());
    let Content::Text(script) = &blueprint.files["/etc/keelwright/routes.sh"].content else { panic!() };
    let checked = std::process::Command::new("sh").args(["-n", "-c", script]).status().unwrap();
    assert!(checked.success());
    let Content::Text(config) = &blueprint.files["/etc/containerd/config.toml"].content else { panic!() };
    assert!(config.contains("SystemdCgroup = true\n"), "{config}");
}

#[test]
fn pod_ranges_are_stable_and_fill_gaps_in_order_of_name() {
    let text = "\
kubernetes: {version: v1.37.1}
hosts:
  - {name: a, address: 192.0.2.11, secondaryAddress: '2001:db8::11', roles: [control-plane]}
  - {name: b, address: 192.0.2.12, secondaryAddress: '2001:db8::12'}
  - {name: c, address: 192.0.2.13, secondaryAddress: '2001:db8::13'}
network: {podCidrs: [10.244.0.0/22, 'fd00:10:244::/62'], serviceCidrs: [10.96.0.0/16, 'fd00:10:96::/112'], plugin: {name: routes}}
";
    let inventory = inventory(text);
    let assign = |observed: &[(&str, &[&str])]| {
        let observed = observed
            .iter()
            .map(|(host, ranges)| {
                (HostName::parse(host).unwrap(), ranges.iter().map(|range| range.parse().unwrap()).collect())
            })
            .collect();
        assign_pod_cidrs(&inventory, &observed).map(|all| {
            all.iter().map(|(host, ranges)| format!("{host} {}", joined(ranges))).collect::<Vec<_>>()
        })
    };
    assert_eq!(
        assign(&[]).unwrap(),
        [
            "a 10.244.0.0/24,fd00:10:244::/64",
            "b 10.244.1.0/24,fd00:10:244:1::/64",
            "c 10.244.2.0/24,fd00:10:244:2::/64"
        ]
    );
    // c keeps its range, a host that is going still has its own, and one outside the cluster's is no range.
    assert_eq!(
        assign(&[
            ("c", &["10.244.0.0/24", "fd00:10:244::/64"]),
            ("gone", &["10.244.1.0/24"]),
            ("a", &["10.9.0.0/24"])
        ])
        .unwrap(),
        [
            "a 10.244.2.0/24,fd00:10:244:1::/64",
            "b 10.244.3.0/24,fd00:10:244:2::/64",
            "c 10.244.0.0/24,fd00:10:244::/64"
        ]
    );
    let full = assign(&[("x", &["10.244.0.0/24"]), ("y", &["10.244.1.0/24"])]).unwrap_err();
    assert_eq!(full.to_string(), "pod range 10.244.0.0/22 has 4 shares of /24 and none is left for node c");
}

#[test]
fn a_thousand_nodes_share_their_texts() {
    let mut inventory = inventory(SMALL);
    inventory.network.pod_cidrs = vec!["10.0.0.0/8".parse().unwrap()];
    let worker = inventory.hosts["worker-1"].clone();
    for number in 0..1000_u32 {
        let mut host = worker.clone();
        host.name = HostName::parse(&format!("node-{number:04}")).unwrap();
        host.address = std::net::Ipv4Addr::from(0xC612_0000 + number).into();
        inventory.hosts.insert(host.name.clone(), host);
    }
    let pod_cidrs = assign_pod_cidrs(&inventory, &BTreeMap::new()).unwrap();
    let release = release_of(KubeVersion::parse("v1.37.1").unwrap()).unwrap();
    let cluster = ClusterBlueprint::new(&inventory, release, IDENTITY, &pod_cidrs);
    let (mut own, mut shared) = (0, BTreeMap::new());
    for host in inventory.nodes() {
        for file in cluster.host(host, &HostTraits::default()).files.values() {
            if let Content::Text(text) = &file.content {
                if std::sync::Arc::strong_count(text) > 1 {
                    shared.insert(text.as_ptr(), text.len());
                } else {
                    own += text.len();
                }
            }
        }
    }
    assert!(own < 2_000_000, "{own} bytes of text are not shared");
    assert!(shared.values().sum::<usize>() < 200_000);
}

proptest! {
    /// Whatever an operator writes in a value arrives as that value.
    #[test]
    fn strings_survive_yaml(value in "[\": \\n#{}\\[\\]&*!|>'%@,?a0~=<\\\\\t\u{85}é-]{0,24}", key in "[a-z: #'\"{0-9]{1,8}") {
        let yaml = to_yaml(&serde_json::json!({ key.clone(): { "list": [value.clone()] }, "other": value.clone() }));
        let read: serde_json::Value = serde_yaml::from_str(&yaml).unwrap();
        prop_assert_eq!(&read[&key]["list"][0], &value);
    }

    #[test]
    fn extra_arguments_survive_the_manifest(value in "[ -~]{0,20}") {
        let mut inventory = inventory(SMALL);
        inventory.scheduler.extra_args =
            vec![crate::inventory::ExtraArg { name: "flag".to_owned(), value: value.clone() }];
        let flags = flags(&blueprint(&inventory, "cp-1", &HostTraits::default()), "kube-scheduler");
        prop_assert_eq!(flags.last().unwrap(), &format!("--flag={value}"));
    }
}
