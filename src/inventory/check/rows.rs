//! The catalogue of bad inputs, row by row: what each gets, and where.

use crate::inventory::parse::tests::wanted_text;
use crate::inventory::{Diagnostic, Severity};

const HEAD: &str = "apiVersion: keelwright.dev/v1\nkind: Cluster\nmetadata: {name: prod}\n";
const VERSION: &str = "kubernetes: {version: v1.37.1}\n";
const HOSTS: &str = "hosts:\n- {name: cp-1, address: 192.0.2.11, roles: [control-plane]}\n";

/// A good inventory with `text` after it.
pub(super) fn with(text: &str) -> String {
    format!("{HEAD}{VERSION}{HOSTS}{text}")
}

/// A good header with these hosts, one flow map per line.
pub(super) fn with_hosts(hosts: &[&str]) -> String {
    let lines: String = hosts.iter().map(|host| format!("- {{{host}}}\n")).collect();
    format!("{HEAD}{VERSION}hosts:\n{lines}")
}

fn control_planes(count: usize) -> String {
    let hosts: Vec<String> =
        (1..=count).map(|n| format!("name: cp-{n}, address: 192.0.2.{n}, roles: [control-plane]")).collect();
    with_hosts(&hosts.iter().map(String::as_str).collect::<Vec<_>>())
}

pub(super) fn problems(text: &str) -> Vec<Diagnostic> {
    match wanted_text(text) {
        Ok((_, warnings)) => warnings,
        Err(problems) => problems.list,
    }
}

/// That `text` has exactly one error, at this path, with these parts in its message and help.
#[track_caller]
pub(super) fn one(text: &str, path: &str, parts: &[&str]) {
    let found = problems(text);
    let errors: Vec<_> = found.iter().filter(|problem| problem.severity == Severity::Error).collect();
    assert_eq!(errors.len(), 1, "{text}\n{found:#?}");
    let said = format!("{} {}", errors[0].message, errors[0].help.as_deref().unwrap_or_default());
    assert_eq!(errors[0].path, path, "{said}");
    for part in parts {
        assert!(said.contains(part), "{part:?} is not in {said:?}");
    }
}

#[track_caller]
pub(super) fn warns(text: &str, path: &str, part: &str) {
    let (_, warnings) = wanted_text(text).unwrap_or_else(|problems| panic!("{problems}"));
    assert!(warnings.iter().any(|w| w.path == path && w.message.contains(part)), "{warnings:#?}");
}

#[track_caller]
pub(super) fn fine(text: &str) {
    let found = problems(text);
    assert!(found.is_empty(), "{text}\n{found:#?}");
}

#[test]
fn row_00_the_bases_of_these_tests_are_good() {
    fine(&with(""));
    fine(&control_planes(3));
}

#[test]
fn row_04_yaml_bomb_is_refused_at_its_first_anchor() {
    let mut bomb = String::from("a: &a [x, x, x, x, x, x, x, x, x]\n");
    for (this, last) in ('b'..='i').zip('a'..) {
        bomb.push_str(&format!("{this}: &{this} [{}]\n", vec![format!("*{last}"); 9].join(", ")));
    }
    let found = problems(&with(&bomb));
    assert!(found.iter().any(|problem| problem.message.contains("anchors are not allowed")), "{found:#?}");
    assert!(found.len() <= 100);
}

#[test]
fn row_05_anchors_aliases_and_merge_keys_are_refused() {
    let text = with("kubelet: {config: &c {maxPods: 5}}\n");
    one(&text, "", &["anchors are not allowed", "repeat the value"]);
    let found = problems(&with("kubelet: &k {}\nscheduler: *k\napiServer: {<<: {extraArgs: []}}\n"));
    for part in ["anchors", "aliases", "merge keys"] {
        assert!(found.iter().any(|problem| problem.message.contains(part)), "{part}: {found:#?}");
    }
    one(&with("kubelet: !!map {}\n"), "kubelet", &["tags are not allowed"]);
}

#[test]
fn row_06_duplicate_key_names_both_lines() {
    let text = with("hosts: []\n");
    one(&text, "hosts", &["key \"hosts\" given twice (lines 5, 7)"]);
}

#[test]
fn row_07_unknown_field_suggests_the_known_one() {
    let text = with("controlerManager: {}\n");
    one(&text, "controlerManager", &["unknown field `controlerManager`; did you mean `controllerManager`?"]);
    one(&with("ssh: {usr: me}\n"), "ssh.usr", &["did you mean `user`?", "fields here: user, port, key"]);
    one(&with("nodes: []\n"), "nodes", &["use `hosts`"]);
    one(&with("pki: {externalCa: true}\n"), "pki.externalCa", &["did you mean `externalCA`?"]);
    one(&with("zzz: 1\n"), "zzz", &["unknown field `zzz`", "fields here: apiVersion"]);
}

#[test]
fn row_08_yaml_1_1_traps() {
    let version = |text: &str| format!("{HEAD}kubernetes: {{version: {text}}}\n{HOSTS}");
    one(&version("1.30"), "kubernetes.version", &["version must be a quoted string; got the float 1.30"]);
    one(&version("0o22"), "kubernetes.version", &["must be a quoted string; got 0o22"]);
    one(&with("security: {audit: no}\n"), "security.audit", &["want true or false", "write false"]);
    one(&with("policy: {parallelism: 1_000}\n"), "policy.parallelism", &["without leading zeros, `_`"]);
    one(&with("ssh: {port: 022}\n"), "ssh.port", &["want a port from 1 to 65535", "without leading zeros"]);
    one(&with("ssh: {port: \"22\"}\n"), "ssh.port", &["got the text \"22\"", "without quotes"]);
    let labels = |value: &str| {
        with_hosts(&[&format!("name: a, address: 192.0.2.1, roles: [control-plane], labels: {{x: {value}}}")])
    };
    for value in ["no", "1", "1.30", "1_000", "0o22", "true", "12:30"] {
        one(&labels(value), "hosts[0].labels.x", &["want a quoted string", "in quotes"]);
    }
    one(&with("kubelet: {config: {maxPods: 1_0}}\n"), "kubelet.config.maxPods", &["write a decimal number"]);
}

#[test]
fn row_09_several_documents_or_another_kind() {
    one(&with("---\nkind: Cluster\n"), "", &["a second document starts here"]);
    let other = with("").replace("keelwright.dev/v1", "kubeadm.k8s.io/v1beta4");
    one(
        &other,
        "apiVersion",
        &["unsupported apiVersion \"kubeadm.k8s.io/v1beta4\"", "reads keelwright.dev/v1"],
    );
    one(&with("").replace("Cluster", "Deployment"), "kind", &["unsupported kind", "reads Cluster"]);
    one(&with("").replace("kind: Cluster\n", ""), "kind", &["`kind` is missing"]);
    one("", "", &["the file is empty"]);
    one("- a\n", "", &["want a map; got a list"]);
}

#[test]
fn row_10_no_hosts_or_no_control_plane() {
    one(
        &format!("{HEAD}{VERSION}hosts: []\n"),
        "hosts",
        &["no hosts; need at least 1 host with role control-plane"],
    );
    one(&format!("{HEAD}{VERSION}"), "hosts", &["`hosts` is missing"]);
    one(&with_hosts(&["name: w-1, address: 192.0.2.1"]), "hosts", &["no control plane"]);
}

#[test]
fn row_11_duplicate_host_name_also_by_case() {
    let pair = |name: &str| {
        with_hosts(&[
            "name: n1, address: 192.0.2.1, roles: [control-plane]",
            &format!("name: {name}, address: 192.0.2.2"),
        ])
    };
    one(&pair("\"n1\""), "hosts[1].name", &["duplicate host name \"n1\" (lines 6, 7)"]);
    let text =
        with_hosts(&["name: cp, address: 192.0.2.1, roles: [control-plane]", "name: CP, address: 192.0.2.2"]);
    assert!(problems(&text).iter().any(|problem| problem.message.contains("duplicate host name \"CP\"")));
    let text =
        with_hosts(&["name: a, address: 192.0.2.1, roles: [control-plane]", "name: b, address: 192.0.2.1"]);
    one(&text, "hosts[1].address", &["duplicate address 192.0.2.1 (lines 6, 7)"]);
}

#[test]
fn row_12_host_name_not_rfc_1123_suggests_a_normal_one() {
    let text = with_hosts(&["name: CP_1, address: 192.0.2.1, roles: [control-plane]"]);
    one(&text, "hosts[0].name", &["not a node name", "did you mean `cp-1`?"]);
}

#[test]
fn row_13_etcd_member_counts() {
    for good in [1, 3, 5, 7] {
        fine(&control_planes(good));
    }
    one(&control_planes(2), "hosts", &["2 control planes", "worse than 1", "use 1, 3, 5 or 7"]);
    for even in [4, 6] {
        one(&control_planes(even), "hosts", &["no more than", "etcd.allowEvenMembers: true"]);
        warns(&format!("{}etcd: {{allowEvenMembers: true}}\n", control_planes(even)), "hosts", "tolerate");
    }
    one(&format!("{}etcd: {{allowEvenMembers: true}}\n", control_planes(2)), "hosts", &["worse than 1"]);
    one(&control_planes(9), "hosts", &["at most 7"]);
    one(&with("etcd: {placement: dedicated}\n"), "etcd.placement", &["no host has role etcd"]);
}

#[test]
fn row_14_roles_unknown_or_in_contradiction() {
    let host = |roles: &str| {
        with_hosts(&[
            "name: a, address: 192.0.2.1, roles: [control-plane]",
            &format!("name: b, address: 192.0.2.2, roles: {roles}"),
        ])
    };
    one(&host("[wroker]"), "hosts[1].roles[0]", &["unknown role \"wroker\"", "did you mean `worker`?"]);
    one(&host("[master]"), "hosts[1].roles[0]", &["write `control-plane`"]);
    one(&host("[worker, etcd]"), "hosts[1].roles", &["role etcd contradicts role worker"]);
    one(&host("[]"), "hosts[1].roles", &["has no roles"]);
    one(&host("[worker, worker]"), "hosts[1].roles[1]", &["role given twice"]);
    let stacked = format!("{}etcd: {{placement: stacked}}\n", host("[etcd]"));
    one(&stacked, "hosts[1].roles", &["contradicts etcd.placement: stacked"]);
}

#[test]
fn row_15_versions_that_are_none_or_not_supported() {
    let version = |text: &str| format!("{HEAD}kubernetes: {{version: {text}}}\n{HOSTS}");
    for bad in ["latest", "v1.35.x", "v1.35.6-foo", "\"v1.35\"", "v1.035.1"] {
        one(&version(bad), "kubernetes.version", &["want vMAJOR.MINOR.PATCH", "supported: v1.34.x"]);
    }
    one(&version("1.35.4"), "kubernetes.version", &["write v1.35.4"]);
    one(&version("v1.20.0"), "kubernetes.version", &["not supported", "v1.37.x"]);
    for good in ["v1.34.4", "v1.35.4", "v1.36.4", "\"v1.37.1\""] {
        fine(&version(good));
    }
}

#[test]
fn row_19_ranges_that_overlap() {
    let network = |pods: &str, services: &str| {
        with(&format!("network: {{podCidrs: [{pods}], serviceCidrs: [{services}]}}\n"))
    };
    one(
        &network("10.100.0.0/16", "10.96.0.0/12"),
        "network.podCidrs[0]",
        &["10.100.0.0/16 overlaps services' 10.96.0.0/12"],
    );
    one(
        &network("192.0.0.0/16", "10.96.0.0/12"),
        "network.podCidrs[0]",
        &["overlaps the hosts: hosts[0] has 192.0.2.11"],
    );
    one(&network("10.244.0.0/16", "192.0.0.0/16"), "network.serviceCidrs[0]", &["overlaps the hosts"]);
    let text = with_hosts(&["name: a, address: 10.244.0.5, roles: [control-plane]"]);
    one(&text, "network.podCidrs[0]", &["pods' 10.244.0.0/16 overlaps the hosts"]);
}

#[test]
fn row_20_host_bits_and_leading_zeros() {
    let pods = |text: &str| with(&format!("network: {{podCidrs: [{text}]}}\n"));
    one(&pods("192.168.0.1/24"), "network.podCidrs[0]", &["host bits", "write 192.168.0.0/24"]);
    one(&pods("010.244.0.0/16"), "network.podCidrs[0]", &["leading zeros", "write 10.244.0.0/16"]);
    one(&pods("10.244.0.0/016"), "network.podCidrs[0]", &["leading zeros"]);
    one(&pods("10.244.0.0"), "network.podCidrs[0]", &["prefix length is missing"]);
    one(&pods("10.244.0.0/33"), "network.podCidrs[0]", &["is not a CIDR"]);
    one(&pods("\"::ffff:10.0.0.0/112\""), "network.podCidrs[0]", &["IPv4 range in IPv6 form"]);
    let host = |address: &str| with_hosts(&[&format!("name: a, address: {address}, roles: [control-plane]")]);
    one(&host("192.000.002.001"), "hosts[0].address", &["leading zeros", "write 192.0.2.1"]);
    one(&host("192.0.2.1/24"), "hosts[0].address", &["leave the prefix length out"]);
    one(&host("node.example"), "hosts[0].address", &["is not an IP address", "ssh.host"]);
    one(&host("127.0.0.1"), "hosts[0].address", &["loopback"]);
}

#[test]
fn row_21_sizes_that_kubeadm_refuses() {
    let services = |text: &str| with(&format!("network: {{serviceCidrs: [{text}]}}\n"));
    one(&services("10.64.0.0/11"), "network.serviceCidrs[0]", &["wider than /12"]);
    one(&services("10.96.0.0/29"), "network.serviceCidrs[0]", &["8 addresses", "at least 10"]);
    fine(&services("10.96.0.0/28"));
    let pods = |text: &str| with(&format!("network: {{podCidrs: [{text}]}}\n"));
    one(&pods("10.244.0.0/25"), "network.podCidrs[0]", &["smaller than one node's /24"]);
    let small = format!("{}network: {{podCidrs: [10.244.0.0/23]}}\n", control_planes(3));
    one(&small, "network.podCidrs[0]", &["room for 2 nodes of /24; the inventory has 3"]);
    let masked =
        format!("{small}controllerManager: {{extraArgs: [{{name: node-cidr-mask-size, value: \"26\"}}]}}\n");
    fine(&masked);
}

#[test]
fn row_22_families() {
    let pods = |text: &str| with(&format!("network: {{podCidrs: [{text}]}}\n"));
    one(
        &pods("10.244.0.0/16, 10.245.0.0/16"),
        "network.podCidrs",
        &["two CIDRs of the same family", "one IPv4 and one IPv6"],
    );
    one(&pods("\"fd00::/48\""), "network.podCidrs[0]", &["fd00::/48 is IPv6, the hosts' addresses are IPv4"]);
    one(
        &pods("10.244.0.0/16, \"fd00::/48\""),
        "hosts[0].secondaryAddress",
        &["dual-stack", "add secondaryAddress"],
    );
    one(&pods(""), "network.podCidrs", &["got none"]);
    let text = with_hosts(&[
        "name: a, address: 192.0.2.1, roles: [control-plane]",
        "name: b, address: \"2001:db8::1\"",
    ]);
    one(&text, "hosts[1].address", &["of one family"]);
    let text =
        with_hosts(&["name: a, address: 192.0.2.1, secondaryAddress: 192.0.2.2, roles: [control-plane]"]);
    one(&text, "hosts[0].secondaryAddress", &["of the same family"]);
    fine(&with_hosts(&["name: a, address: \"2001:db8::1\", roles: [control-plane]"]));
}

#[test]
fn row_23_endpoints() {
    let external = |text: &str| with(&format!("endpoint: {{external: {text}}}\n"));
    for good in [
        "api.example.org",
        "\"api.example.org:443\"",
        "192.0.2.99",
        "\"[2001:db8::9]:6443\"",
        "{host: api.example.org}",
    ] {
        fine(&external(good));
    }
    one(
        &external("\"https://api.example.org/\""),
        "endpoint.external",
        &["has a scheme", "write \"api.example.org\""],
    );
    one(&external("\"api:0\""), "endpoint.external", &["\"0\" is not a port", "host:port"]);
    one(&external("\"api:70000\""), "endpoint.external", &["is not a port"]);
    one(&external("localhost"), "endpoint.external", &["another machine on every node"]);
    one(&external("a_b"), "endpoint.external", &["illegal character '_' at column 2"]);
    one(&external("10.96.0.9"), "endpoint.external", &["a range of pods or services"]);
    one(&with("endpoint: {nodeLocal: {port: 6443}}\n"), "endpoint.nodeLocal.port", &["taken"]);
    one(
        &with("endpoint: {vip: {address: 192.0.2.11}}\n"),
        "endpoint.vip.address",
        &["the address of hosts[0]"],
    );
    one(&with("endpoint: {}\n"), "endpoint", &["want one of nodeLocal, external, vip; got none"]);
    one(&with("endpoint: {nodeLocal: {}, external: a}\n"), "endpoint", &["got several"]);
    fine(&with("endpoint: {vip: {address: 192.0.2.10, interface: bond0.12}}\n"));
}

#[test]
fn row_24_certificate_names() {
    let names = |text: &str| with(&format!("apiServer: {{certSANs: [{text}]}}\n"));
    fine(&names("api.example.org, \"*.example.org\", 192.0.2.9, \"2001:db8::9\""));
    for bad in ["a_b", "\"https://x\"", "\"a:6443\"", "\"a b\"", "\"*\"", "-a"] {
        one(&names(bad), "apiServer.certSANs[0]", &["neither an IP address nor a DNS name"]);
    }
    warns(&names("a, a"), "apiServer.certSANs[1]", "twice");
}

#[test]
fn row_26_metacharacters_in_names_paths_and_labels() {
    let host =
        |text: &str| with_hosts(&[&format!("name: a, address: 192.0.2.1, roles: [control-plane], {text}")]);
    one(
        &with_hosts(&["name: \"a;reboot\", address: 192.0.2.1, roles: [control-plane]"]),
        "hosts[0].name",
        &["column 2"],
    );
    one(&host("ssh: {user: \"$(id)\"}"), "hosts[0].ssh.user", &["illegal character '(' at column 2"]);
    one(&host("ssh: {user: -oProxyCommand}"), "hosts[0].ssh.user", &["illegal character '-' at column 1"]);
    one(&host("ssh: {host: -oProxyCommand=x}"), "hosts[0].ssh.host", &["illegal character '-' at column 1"]);
    one(&host("ssh: {key: -i}"), "hosts[0].ssh.key", &["column 1"]);
    one(&host("ssh: {key: \"a\\nb\"}"), "hosts[0].ssh.key", &["illegal character \\n at column 2"]);
    one(&host("ssh: {bastion: \"x y\"}"), "hosts[0].ssh.bastion", &["not a host to jump over"]);
    one(&host("labels: {\"a b\": x}"), "hosts[0].labels[\"a b\"]", &["illegal character ' ' at column 2"]);
    one(&host("labels: {a: \"x;y\"}"), "hosts[0].labels.a", &["illegal character ';' at column 2"]);
    one(&host("labels: {a: \"x\\u202Ey\"}"), "hosts[0].labels.a", &["illegal character"]);
    one(&host("taints: [\"a=b c:NoSchedule\"]"), "hosts[0].taints[0]", &["illegal character ' '"]);
    one(
        &host("labels: {kubernetes.io/hostname: x}"),
        "hosts[0].labels[\"kubernetes.io/hostname\"]",
        &["set by the kubelet"],
    );
    fine(&host("labels: {node-role.kubernetes.io/ingress: \"\"}"));
    one(
        &with("metadatas: {}\n").replace("prod", "\"prod;x\"").replace("metadatas: {}\n", ""),
        "metadata.name",
        &["column 5"],
    );
    let kubelet = with("kubelet: {extraArgs: [{name: v, value: \"2 --config=/x\"}]}\n");
    one(&kubelet, "kubelet.extraArgs[0]", &["illegal character ' ' at column 2"]);
    one(
        &with("containerd: {registryMirrors: {docker.io: [\"https://m/\\\"x\"]}}\n"),
        "containerd.registryMirrors[\"docker.io\"][0]",
        &["illegal character '\"'"],
    );
}

#[test]
fn row_27_paths() {
    let data = |text: &str| with(&format!("etcd: {{dataDir: {text}}}\n"));
    one(&data("var/lib/etcd"), "etcd.dataDir", &["must be absolute"]);
    one(&data("/var/lib/../etcd"), "etcd.dataDir", &["must not contain `..`"]);
    one(&data("/etc/kubernetes/manifests/etcd"), "etcd.dataDir", &["inside /etc/kubernetes/manifests"]);
    one(&data("\"/var/lib/e t\""), "etcd.dataDir", &["illegal character ' '"]);
    one(&data("/tmp/etcd"), "etcd.dataDir", &["no place for data"]);
    fine(&data("/mnt/etcd"));
}

#[test]
fn flags_that_keelwright_owns_name_the_right_field() {
    let list = with("apiServer: {extraArgs: [{name: service-cluster-ip-range, value: 10.0.0.0/16}]}\n");
    one(
        &list,
        "apiServer.extraArgs[0]",
        &["--service-cluster-ip-range is set by keelwright", "network.serviceCidrs"],
    );
    let map = with("etcd: {extraArgs: {data-dir: /x}}\n");
    one(&map, "etcd.extraArgs.data-dir", &["use etcd.dataDir"]);
    one(&with("kubelet: {extraArgs: {--v: 2}}\n"), "kubelet.extraArgs.--v", &["without the dashes"]);
    one(
        &with("kubelet: {config: {clusterDomain: x}}\n"),
        "kubelet.config.clusterDomain",
        &["use network.dnsDomain"],
    );
    warns(&with("kubelet: {config: {maxpods: 5}}\n"), "kubelet.config.maxpods", "not a field");
    one(
        &with("apiServer: {extraArgs: {audit-policy-file: /x}}\n"),
        "apiServer.extraArgs.audit-policy-file",
        &["security.audit: false"],
    );
    fine(&with("apiServer: {extraArgs: {audit-policy-file: /x}}\nsecurity: {audit: false}\n"));
}

#[test]
fn all_problems_come_at_once_in_the_order_of_the_file() {
    let text = "apiVersion: keelwright.dev/v1\nkind: Cluster\nmetadata: {nam: x}\nkubernetes: {version: 1.30}\nhosts:\n- {name: A, address: x, roles: [w]}\nssh: {port: 0}\n";
    let found = problems(text);
    let lines: Vec<_> = found.iter().filter_map(|problem| Some(problem.position?.line)).collect();
    assert!(found.len() >= 6, "{found:#?}");
    assert!(lines.is_sorted());
    assert!(found.iter().all(|problem| problem.position.is_some()));
}
