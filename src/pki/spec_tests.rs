//! Tests of which certificates a cluster has.

use camino::Utf8PathBuf;

use super::*;
use crate::inventory::*;
use crate::release::KubeVersion;

pub(crate) fn host(name: &str, address: &str, roles: &[Role]) -> Host {
    Host {
        name: HostName::parse(name).unwrap(),
        address: address.parse().unwrap(),
        secondary_address: None,
        roles: roles.iter().copied().collect(),
        arch: Arch::Amd64,
        ssh: Ssh {
            host: address.into(),
            port: None,
            user: None,
            keys: vec![],
            bastions: vec![],
            sudo: Sudo::Passwordless,
            host_keys: vec![],
            host_cas: vec![],
        },
        labels: BTreeMap::new(),
        taints: vec![],
        provider_id: None,
    }
}

pub(crate) fn inventory(hosts: Vec<Host>) -> Inventory {
    Inventory {
        name: ClusterName::parse("prod").unwrap(),
        version: KubeVersion::parse("v1.37.1").unwrap(),
        hosts: hosts.into_iter().map(|host| (host.name.clone(), host)).collect(),
        network: Network {
            pod_cidrs: vec!["10.244.0.0/16".parse().unwrap()],
            service_cidrs: vec!["10.96.0.0/12".parse().unwrap()],
            dns_domain: "cluster.local".into(),
            plugin: NetworkPlugin::None,
        },
        endpoint: Endpoint::NodeLocal { port: 6445 },
        public_endpoint: None,
        etcd: Etcd {
            placement: EtcdPlacement::Stacked,
            extra_args: vec![],
            data_dir: Utf8PathBuf::from("/var/lib/etcd"),
        },
        api_server: Component::default(),
        controller_manager: Component::default(),
        scheduler: Component::default(),
        kubelet: Kubelet::default(),
        kube_proxy: KubeProxy { enabled: true, config: BTreeMap::new() },
        containerd: Containerd::default(),
        pki: Pki { algorithm: KeyAlgorithm::EcdsaP256, external_ca: false, bring_your_own: None },
        security: Security { encryption_at_rest: true, audit: true, cis: true },
        artifacts: Artifacts { bundle: None, delivery: Delivery::Upload },
        addons: vec![],
        hooks: Vec::new(),
        self_join: None,
        state: None,
        policy: Policy {
            parallelism: 10,
            max_unavailable: CountOrShare::Count(1),
            upgrade: UpgradePolicy::default(),
            timeouts: Timeouts { connect: 1, stage: 1, api_ready: 1, node_ready: 1, drain: 1 },
        },
    }
}

/// `workers` workers beside three control planes with stacked etcd.
pub(crate) fn cluster(workers: usize) -> Inventory {
    let mut hosts: Vec<Host> =
        (1..=3).map(|n| host(&format!("cp-{n}"), &format!("10.0.0.{n}"), &[Role::ControlPlane])).collect();
    hosts.extend(
        (0..workers)
            .map(|n| host(&format!("w-{n}"), &format!("10.1.{}.{}", n / 250, n % 250 + 1), &[Role::Worker])),
    );
    inventory(hosts)
}

fn ids(wanted: &BTreeMap<KeyId, CertificateSpec>) -> Vec<&str> {
    wanted.keys().map(|id| id.0.as_str()).collect()
}

/// One line per certificate: CN, O, usages, issuer, names.
fn line(spec: &CertificateSpec) -> String {
    let usages: String = spec
        .usages
        .iter()
        .map(|usage| match usage {
            Usage::ServerAuth => 's',
            Usage::ClientAuth => 'c',
        })
        .collect();
    let addresses: Vec<String> = spec.addresses.iter().map(IpAddr::to_string).collect();
    format!(
        "{} O={} {usages} by {} {}h {} {}",
        spec.common_name,
        spec.organization.as_deref().unwrap_or("-"),
        spec.issuer.as_ref().map_or("itself", |issuer| &issuer.0),
        spec.valid_hours,
        spec.dns_names.join(","),
        addresses.join(","),
    )
    .trim_end()
    .to_owned()
}

#[test]
fn a_stacked_control_plane_has_what_kubeadm_makes() {
    let wanted = certificates(&inventory(vec![host("cp-1", "10.0.0.1", &[Role::ControlPlane])]), None);
    let lines: Vec<String> = wanted.iter().map(|(id, spec)| format!("{id}: {}", line(spec))).collect();
    let kubernetes =
        "kubernetes,kubernetes.default,kubernetes.default.svc,kubernetes.default.svc.cluster.local";
    assert_eq!(
        lines,
        [
            "admin: kubernetes-admin O=kubeadm:cluster-admins c by ca 8760h".to_owned(),
            "ca: kubernetes O=-  by itself 87600h kubernetes".into(),
            format!(
                "cp-1/apiserver: kube-apiserver O=- s by ca 8760h cp-1,{kubernetes} 10.96.0.1,10.0.0.1,127.0.0.1"
            ),
            "cp-1/apiserver-etcd-client: kube-apiserver-etcd-client O=- c by etcd/ca 8760h".into(),
            "cp-1/apiserver-kubelet-client: kube-apiserver-kubelet-client O=- c by ca 8760h".into(),
            "cp-1/controller-manager: system:kube-controller-manager O=- c by ca 8760h".into(),
            "cp-1/etcd/healthcheck-client: kube-etcd-healthcheck-client O=- c by etcd/ca 8760h".into(),
            "cp-1/etcd/peer: cp-1 O=- sc by etcd/ca 8760h cp-1,localhost 10.0.0.1,127.0.0.1,::1".into(),
            "cp-1/etcd/server: cp-1 O=- sc by etcd/ca 8760h cp-1,localhost 10.0.0.1,127.0.0.1,::1".into(),
            "cp-1/front-proxy-client: front-proxy-client O=- c by front-proxy-ca 8760h".into(),
            "cp-1/kubelet: system:node:cp-1 O=system:nodes c by ca 8760h".into(),
            "cp-1/scheduler: system:kube-scheduler O=- c by ca 8760h".into(),
            "etcd/ca: etcd-ca O=-  by itself 87600h etcd-ca".into(),
            "front-proxy-ca: front-proxy-ca O=-  by itself 87600h front-proxy-ca".into(),
            "super-admin: kubernetes-super-admin O=system:masters c by ca 8760h".into(),
        ]
    );
}

#[test]
fn dedicated_etcd_hosts_have_etcd_pairs_and_no_kubelet_identity() {
    let mut inventory = inventory(vec![
        host("cp-1", "10.0.0.1", &[Role::ControlPlane]),
        host("etcd-1", "10.0.0.2", &[Role::Etcd]),
        host("both", "10.0.0.3", &[Role::Etcd, Role::Worker]),
    ]);
    inventory.etcd.placement = EtcdPlacement::Dedicated;
    assert_eq!(
        ids(&certificates(&inventory, None)),
        [
            "admin",
            "both/etcd/healthcheck-client",
            "both/etcd/peer",
            "both/etcd/server",
            "both/kubelet",
            "ca",
            "cp-1/apiserver",
            "cp-1/apiserver-etcd-client",
            "cp-1/apiserver-kubelet-client",
            "cp-1/controller-manager",
            "cp-1/front-proxy-client",
            "cp-1/kubelet",
            "cp-1/scheduler",
            "etcd-1/etcd/healthcheck-client",
            "etcd-1/etcd/peer",
            "etcd-1/etcd/server",
            "etcd/ca",
            "front-proxy-ca",
            "super-admin",
        ]
    );
}

#[test]
fn the_endpoint_and_extra_names_are_in_the_api_servers_certificate() {
    let base = || inventory(vec![host("cp-1", "10.0.0.1", &[Role::ControlPlane])]);
    let names = |inventory: &Inventory| {
        let spec = certificates(inventory, None).remove(&KeyId("cp-1/apiserver".into())).unwrap();
        let addresses: Vec<String> = spec.addresses.iter().map(IpAddr::to_string).collect();
        (spec.dns_names, addresses)
    };
    let external = |host: &str| Endpoint::External { host: host.into(), port: 6443 };
    let vip = Endpoint::Vip { address: "10.0.0.9".parse().unwrap(), interface: None, port: 6443 };
    for (endpoint, name, address) in [
        (external("api.example"), Some("api.example"), None),
        (external("192.0.2.1"), None, Some("192.0.2.1")),
        (external("fd00::1"), None, Some("fd00::1")),
        // Once, though it is the advertise address too.
        (external("10.0.0.1"), None, None),
        (vip, None, Some("10.0.0.9")),
        (Endpoint::NodeLocal { port: 6445 }, None, Some("127.0.0.1")),
    ] {
        let inventory = Inventory { endpoint, ..base() };
        let (dns_names, addresses) = names(&inventory);
        assert_eq!(dns_names.len(), 5 + usize::from(name.is_some()), "{dns_names:?}");
        assert_eq!(dns_names.iter().any(|have| Some(have.as_str()) == name), name.is_some());
        let expected: Vec<&str> = ["10.96.0.1", "10.0.0.1"].into_iter().chain(address).collect();
        assert_eq!(addresses, expected);
    }
    let mut extra = base();
    extra.api_server.cert_sans =
        vec!["a.example".into(), "[fd00::2]".into(), "a.example".into(), "10.0.0.1".into()];
    let (dns_names, addresses) = names(&extra);
    assert_eq!(dns_names.iter().filter(|name| *name == "a.example").count(), 1);
    assert!(dns_names.is_sorted());
    assert_eq!(addresses, ["10.96.0.1", "10.0.0.1", "127.0.0.1", "fd00::2"]);
}

#[test]
fn organization_and_algorithm_follow_version_and_inventory() {
    let mut inventory = inventory(vec![host("cp-1", "10.0.0.1", &[Role::ControlPlane])]);
    inventory.pki.algorithm = KeyAlgorithm::Rsa2048;
    let wanted = certificates(&inventory, Some("kubeadm:cluster-admins"));
    let client = &wanted[&KeyId("cp-1/apiserver-kubelet-client".into())];
    assert_eq!(client.organization.as_deref(), Some("kubeadm:cluster-admins"));
    assert!(wanted.values().all(|spec| spec.algorithm == KeyAlgorithm::Rsa2048));
}

#[test]
fn external_ca_changes_no_certificate() {
    let mut other = cluster(1);
    other.pki.external_ca = true;
    assert_eq!(certificates(&other, None), certificates(&cluster(1), None));
}

#[test]
fn every_issuer_is_itself_wanted() {
    let wanted = certificates(&cluster(2), None);
    let serving = kubelet_serving_certificates(&cluster(2));
    assert_eq!(serving.len(), 5);
    for spec in wanted.values().chain(serving.values()) {
        assert!(spec.issuer.as_ref().is_none_or(|issuer| wanted[issuer].is_authority()));
    }
}

#[test]
fn renewal_is_due_after_two_thirds_of_a_life() {
    for (now, due) in [(0, false), (199, false), (200, true), (300, true), (400, true)] {
        assert_eq!(renewal_due(0, 300, now), due, "{now}");
    }
    assert!(renewal_due(i64::MIN, i64::MAX, i64::MAX));
}
