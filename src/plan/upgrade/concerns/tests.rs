//! Each concern present and absent.

use std::collections::BTreeMap;

use super::*;
use crate::facts::upgrade::{Amount, BudgetFacts, NodeLoad, PlacedPod, Single, WebhookFacts};
use crate::facts::{HostFacts, Origin, VaultEntryFacts};
use crate::inventory::ExtraArg;
use crate::pki::issue::{Authority, PrivateKey, issue_authority};
use crate::pki::spec::certificates;
use crate::pki::spec::tests::cluster;
use crate::pki::{CertificateSpec, KeyId};

const NOW: i64 = 1_767_225_600;
const DAY: i64 = 86_400;

struct Setup {
    inventory: Inventory,
    facts: ClusterFacts,
    vault: VaultFacts,
    upgrade: UpgradeFacts,
    drained: BTreeSet<HostName>,
    from: KubeVersion,
    target: KubeVersion,
    under_way: bool,
}

fn name(text: &str) -> HostName {
    HostName::parse(text).unwrap()
}

/// Three control planes and three workers, all drained one after the other; nothing to say of them.
fn setup() -> Setup {
    let inventory = cluster(3);
    let node = NodeLoad {
        schedulable: true,
        allocatable: Amount { cpu_millis: 2000, memory: 4 << 30 },
        requested: Amount { cpu_millis: 1000, memory: 1 << 30 },
        movable: Amount { cpu_millis: 1000, memory: 1 << 30 },
    };
    Setup {
        facts: ClusterFacts {
            hosts: BTreeMap::new(),
            dropped: BTreeMap::new(),
            api: Observed::Absent,
            etcd: Observed::Absent,
        },
        vault: VaultFacts::default(),
        upgrade: UpgradeFacts {
            asked: inventory.control_planes().map(|host| host.name.clone()).collect(),
            nodes: ["w-0", "w-1", "w-2"].map(|name| (name.to_owned(), node.clone())).into(),
            ..UpgradeFacts::default()
        },
        drained: inventory.hosts.keys().cloned().collect(),
        inventory,
        from: KubeVersion::new(1, 34, 4),
        target: KubeVersion::new(1, 37, 1),
        under_way: false,
    }
}

/// What is said after `change`, `!` before what blocks.
fn said(change: impl FnOnce(&mut Setup)) -> Vec<String> {
    let mut setup = setup();
    change(&mut setup);
    let upgrade = Observed::Known(setup.upgrade);
    let prospect = Prospect {
        inventory: &setup.inventory,
        facts: &setup.facts,
        vault: &setup.vault,
        upgrade: &upgrade,
        from: setup.from,
        target: setup.target,
        drained: &setup.drained,
        under_way: setup.under_way,
        now: NOW,
    };
    let line = |concern: &Concern| {
        assert!(!concern.remedy.is_empty());
        let sign = if concern.severity == Severity::Blocks { "! " } else { "" };
        format!("{sign}{}: {}", concern.about, concern.what)
    };
    concerns(&prospect).iter().map(line).collect()
}

#[track_caller]
fn check(change: impl FnOnce(&mut Setup), expected: &[&str]) {
    let found = said(change);
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    for (found, expected) in found.iter().zip(expected) {
        assert!(found.starts_with(expected), "{found:?} does not begin with {expected:?}");
    }
}

fn argument(name: &str, value: &str) -> Vec<ExtraArg> {
    vec![ExtraArg { name: name.to_owned(), value: value.to_owned() }]
}

#[test]
fn nothing_is_said_of_a_sound_cluster() {
    check(|_| {}, &[]);
}

#[test]
fn flags_that_a_program_of_the_upgrade_does_not_know_block() {
    check(
        |setup| setup.inventory.controller_manager.extra_args = argument("concurrent-service-syncs", "5"),
        &[
            "! controllerManager.extraArgs: kube-controller-manager 1.37 does not start with --concurrent-service-syncs",
        ],
    );
    check(
        |setup| setup.inventory.kubelet.extra_args = argument("containerd", "/run/x"),
        &["! kubelet.extraArgs: kubelet 1.37 does not start with --containerd"],
    );
    check(
        |setup| setup.inventory.etcd.extra_args = argument("experimental-initial-corrupt-check", "true"),
        &["! etcd.extraArgs: the etcd of 1.37 does not start with --experimental-initial-corrupt-check"],
    );
    // Control planes pass through 1.35; kubelets do not.
    check(
        |setup| setup.inventory.api_server.extra_args = argument("tls-curve-preferences", "X25519"),
        &[
            "! apiServer.extraArgs: kube-apiserver 1.35 does not start with --tls-curve-preferences, which is new in 1.36",
        ],
    );
    for harmless in [
        |setup: &mut Setup| {
            setup.target = KubeVersion::new(1, 36, 4);
            setup.inventory.etcd.extra_args = argument("experimental-initial-corrupt-check", "true");
            setup.inventory.kubelet.extra_args = argument("containerd", "/run/x");
        },
        |setup: &mut Setup| {
            setup.from = KubeVersion::new(1, 35, 4);
            setup.inventory.api_server.extra_args = argument("tls-curve-preferences", "X25519");
        },
        |setup: &mut Setup| setup.inventory.kubelet.extra_args = argument("housekeeping-interval", "10s"),
        |setup: &mut Setup| {
            setup.inventory.etcd.extra_args = argument("feature-gates", "SidecarContainers=true")
        },
    ] {
        check(harmless, &[]);
    }
}

#[test]
fn feature_gates_that_a_program_of_the_upgrade_does_not_know_block() {
    check(
        |setup| {
            let gates = "kube:SidecarContainers=true, CPUManager=true,MemoryManager=false";
            setup.inventory.scheduler.extra_args = argument("feature-gates", gates);
        },
        &[
            "! scheduler.extraArgs: kube-scheduler 1.36 does not start with feature gate MemoryManager",
            "! scheduler.extraArgs: kube-scheduler 1.37 does not start with feature gate SidecarContainers",
        ],
    );
    let gates = |gate: &str| BTreeMap::from([("featureGates".to_owned(), serde_json::json!({gate: true}))]);
    check(
        |setup| setup.inventory.kubelet.config = gates("MemoryManager"),
        &["! kubelet.config.featureGates: kubelet 1.37 does not start with feature gate MemoryManager"],
    );
    check(
        |setup| setup.inventory.kube_proxy.config = gates("SidecarContainers"),
        &[
            "! kubeProxy.config.featureGates: kube-proxy 1.37 does not start with feature gate SidecarContainers",
        ],
    );
    // New in 1.37: kubelets go there at once, API servers do not.
    check(|setup| setup.inventory.kubelet.config = gates("DefaultPodSysctls"), &[]);
    check(
        |setup| setup.inventory.api_server.extra_args = argument("feature-gates", "DefaultPodSysctls=true"),
        &[
            "! apiServer.extraArgs: kube-apiserver 1.35 does not start with feature gate DefaultPodSysctls, which is new in 1.37",
        ],
    );
    check(
        |setup| {
            setup.from = KubeVersion::new(1, 36, 4);
            setup.inventory.api_server.extra_args = argument("feature-gates", "DefaultPodSysctls=true");
        },
        &[],
    );
}

#[test]
fn what_runtime_config_asks_for_in_vain_is_listed() {
    check(
        |setup| {
            let value =
                "api/beta=false,scheduling.k8s.io/v1alpha2=true,networking.k8s.io/v1beta1/servicecidrs=true";
            setup.inventory.api_server.extra_args = argument("runtime-config", value);
        },
        &[
            "apiServer.extraArgs: runtime-config asks for networking.k8s.io/v1beta1/servicecidrs, which 1.37",
            "apiServer.extraArgs: runtime-config asks for scheduling.k8s.io/v1alpha2, which 1.37",
        ],
    );
    check(
        |setup| {
            setup.target = KubeVersion::new(1, 36, 4);
            let value = "scheduling.k8s.io/v1alpha2=true,networking.k8s.io/v1beta1=false";
            setup.inventory.api_server.extra_args = argument("runtime-config", value);
        },
        &[],
    );
}

fn requested_api(group: &str, resource: &str, subresource: &str, removed: Option<u32>) -> RequestedApi {
    RequestedApi {
        group: group.to_owned(),
        version: "v1beta1".to_owned(),
        resource: resource.to_owned(),
        subresource: subresource.to_owned(),
        removed: removed.map(|minor| Minor::new(1, minor)),
    }
}

#[test]
fn api_versions_that_somebody_asks_for_are_listed_when_they_go() {
    check(
        |setup| {
            setup.upgrade.requested = [
                requested_api("networking.k8s.io", "servicecidrs", "status", Some(37)),
                requested_api("", "old", "", Some(35)),
                // Gone already, gone later, and never.
                requested_api("a", "a", "", Some(34)),
                requested_api("b", "b", "", Some(38)),
                requested_api("c", "c", "", None),
            ]
            .into();
        },
        &[
            "networking.k8s.io/v1beta1 servicecidrs/status: somebody has asked",
            "v1beta1 old: somebody has asked for it since the API servers started, and 1.35 does not serve it",
        ],
    );
    check(
        |setup| setup.upgrade.asked.retain(|host| host.as_str() != "cp-2"),
        &["cp-2: its API server did not say"],
    );
}

fn stored_objects(api_version: &str, kind: &str, count: usize) -> StoredObjects {
    let examples = vec!["n/a".to_owned()];
    StoredObjects { api_version: api_version.to_owned(), kind: kind.to_owned(), count, examples }
}

#[test]
fn stored_objects_block_only_when_nobody_could_read_them_afterwards() {
    let stored = |setup: &mut Setup| {
        setup.upgrade.stored = vec![
            stored_objects("scheduling.k8s.io/v1alpha2", "Workload", 4),
            stored_objects("networking.k8s.io/v1beta1", "ServiceCIDR", 1),
            stored_objects("example.org/v1", "Workload", 1),
        ];
    };
    let unreadable = "! scheduling.k8s.io/v1alpha2 Workload: 4 stored (n/a, …); 1.37 can no longer read them";
    let read_as = "networking.k8s.io/v1beta1 ServiceCIDR: 1 stored (n/a); from 1.37 on they are there as networking.k8s.io/v1 only";
    check(stored, &[unreadable, read_as]);
    check(
        |setup| {
            stored(setup);
            setup.under_way = true;
        },
        &[unreadable, read_as],
    );
    check(
        |setup| {
            stored(setup);
            setup.target = KubeVersion::new(1, 36, 4);
        },
        &[],
    );
}

fn webhook(nodes: &[&str], asked_about: &[&str], guards_itself: bool) -> WebhookFacts {
    WebhookFacts {
        configuration: "ValidatingWebhookConfiguration a".to_owned(),
        name: "a.example".to_owned(),
        service: "hooks/a".to_owned(),
        endpoints: nodes.iter().map(|node| ((*node).to_owned(), 1)).collect(),
        asked_about: asked_about.iter().map(|words| (*words).to_owned()).collect(),
        guards_itself,
    }
}

#[test]
fn webhooks_that_nobody_answers_for_or_that_one_node_runs_are_told() {
    let about = "ValidatingWebhookConfiguration a";
    let pods: &[&str] = &["creates pods", "evicts pods"];
    for (facts, expected) in [
        (webhook(&["w-0", "w-1"], pods, true), None),
        (webhook(&["elsewhere"], pods, true), None),
        // Not on a node: somebody outside answers.
        (webhook(&[""], pods, true), None),
        (
            webhook(&[], pods, false),
            Some((
                true,
                "nobody answers for webhook a.example (service hooks/a), so that it is refused whoever creates pods, evicts pods",
            )),
        ),
        (webhook(&[], &[], false), Some((false, "nobody answers for webhook"))),
        (
            webhook(&["w-0"], pods, true),
            Some((
                true,
                "webhook a.example (service hooks/a) runs on w-0 alone and is asked about its own pods",
            )),
        ),
        (
            webhook(&["w-0"], pods, false),
            Some((false, "webhook a.example (service hooks/a) runs on w-0 alone: what")),
        ),
        (
            webhook(&["w-0"], &[], false),
            Some((false, "webhook a.example (service hooks/a) runs on w-0 alone: what")),
        ),
    ] {
        for under_way in [false, true] {
            let expected = expected.map(|(blocks, what)| {
                format!("{}{about}: {what}", if blocks && !under_way { "! " } else { "" })
            });
            let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
            let change = |setup: &mut Setup| {
                setup.upgrade.webhooks = vec![facts.clone()];
                setup.under_way = under_way;
            };
            check(change, &expected);
        }
    }
}

fn budget(
    name: &str,
    (desired, expected, healthy, allowed): (u64, u64, u64, u64),
    pods: &[(&str, &str)],
) -> BudgetFacts {
    BudgetFacts {
        namespace: "n".to_owned(),
        name: name.to_owned(),
        expected,
        desired,
        healthy,
        allowed,
        pods: pods.iter().map(|(pod, node)| ((*pod).to_owned(), (*node).to_owned())).collect(),
    }
}

#[test]
fn budgets_that_never_let_a_pod_go_block_where_a_node_with_one_is_drained() {
    let pods: &[(&str, &str)] = &[("p", "w-0")];
    let about = "PodDisruptionBudget n/b";
    for (counts, pods, expected) in [
        ((1, 2, 2, 1), pods, None),
        ((2, 2, 2, 0), &[][..], None),
        // minAvailable is all of them; maxUnavailable is 0; healthy or not.
        ((2, 2, 2, 0), pods, Some((true, "wants 2 of 2 pods at any time and never lets one go: p on w-0"))),
        ((3, 2, 1, 0), pods, Some((true, "wants 3 of 2 pods"))),
        // Its controller cannot count pods that nothing made.
        ((0, 0, 0, 0), pods, Some((true, "wants 0 of 0 pods"))),
        (
            (2, 2, 2, 0),
            &[("p", "elsewhere")][..],
            Some((false, "wants 2 of 2 pods at any time and never lets one go; none")),
        ),
        ((1, 2, 1, 0), pods, Some((false, "1 of 2 pods are healthy now: the drain of w-0 waits"))),
        ((1, 2, 1, 0), &[("p", "elsewhere")][..], None),
        ((1, 2, 2, 0), pods, None),
    ] {
        for under_way in [false, true] {
            let expected = expected.map(|(blocks, what)| {
                format!("{}{about}: {what}", if blocks && !under_way { "! " } else { "" })
            });
            let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
            let change = |setup: &mut Setup| {
                setup.upgrade.budgets = vec![budget("b", counts, pods)];
                setup.under_way = under_way;
            };
            check(change, &expected);
        }
    }
}

#[test]
fn a_pod_of_two_budgets_blocks() {
    let two = |node: &'static str| {
        move |setup: &mut Setup| {
            let pods: &[(&str, &str)] = &[("p", node)];
            setup.upgrade.budgets = vec![budget("a", (1, 2, 2, 1), pods), budget("b", (1, 2, 2, 1), pods)];
        }
    };
    check(two("w-0"), &["! Pod n/p: has more than one disruption budget (a, b), and cannot be evicted"]);
    check(two("elsewhere"), &[]);
}

#[test]
fn workloads_of_one_pod_and_pods_that_nothing_makes_are_listed() {
    let change = |setup: &mut Setup| {
        let (kind, namespace, name) = ("Deployment".to_owned(), "n".to_owned(), "a".to_owned());
        setup.upgrade.singles = vec![Single { kind, namespace, name }];
        let pod = |name: &str, node: &str| PlacedPod {
            namespace: "n".to_owned(),
            name: name.to_owned(),
            node: node.to_owned(),
        };
        setup.upgrade.bare_pods = vec![pod("p", "w-1"), pod("q", "elsewhere")];
    };
    check(
        change,
        &["Deployment n/a: runs one pod", "Pod n/p: nothing makes it again: it is gone for good when w-1"],
    );
    let stays = |setup: &mut Setup| {
        change(setup);
        setup.drained.clear();
    };
    check(stays, &[]);
}

#[test]
fn it_is_told_when_the_others_have_no_room_for_the_fullest_node() {
    let node = |setup: &mut Setup, name: &str, change: fn(&mut NodeLoad)| {
        change(setup.upgrade.nodes.get_mut(name).unwrap());
    };
    // Two others with 1 CPU and 3 GiB left each.
    check(|setup| node(setup, "w-1", |load| load.movable.cpu_millis = 2000), &[]);
    check(
        |setup| node(setup, "w-1", |load| load.movable.cpu_millis = 2010),
        &[
            "w-1: its pods ask for 2.01 CPU and 1024 MiB, and the 2 other nodes have 2.00 CPU and 6144 MiB left",
        ],
    );
    check(
        |setup| {
            node(setup, "w-1", |load| load.movable.memory = 7 << 30);
            node(setup, "w-2", |load| load.movable.memory = 8 << 30);
        },
        &[
            "w-2: its pods ask for 1.00 CPU and 8192 MiB, and the 2 other nodes have 2.00 CPU and 6144 MiB left; so it is with 1 more",
        ],
    );
    let only = |setup: &mut Setup| {
        for name in ["w-0", "w-2"] {
            node(setup, name, |load| load.schedulable = false);
        }
        for name in ["w-0", "w-2"] {
            node(setup, name, |load| load.movable = Amount::default());
        }
    };
    check(only, &["w-1: its pods ask for 1.00 CPU and 1024 MiB, and no other node takes any"]);
    check(
        |setup| {
            only(setup);
            setup.drained.remove(&name("w-1"));
        },
        &[],
    );
}

#[test]
fn an_only_control_plane_is_told() {
    let change =
        |setup: &mut Setup| setup.inventory.hosts.retain(|name, _| !matches!(name.as_str(), "cp-2" | "cp-3"));
    check(change, &["cp-1: is the only control plane"]);
}

fn entry(spec: &CertificateSpec, serial: &str, days: i64) -> VaultEntryFacts {
    VaultEntryFacts {
        origin: Origin::Made,
        spec: Some(spec.clone()),
        not_before: Some(NOW - DAY),
        not_after: Some(NOW + days * DAY),
        serial: Some(serial.to_owned()),
        issuer_current: true,
        authority: None,
    }
}

#[test]
fn certificates_that_run_out_soon_are_listed() {
    let wanted = certificates(&cluster(1), None);
    let entries = |list: &[(KeyId, i64)]| -> BTreeMap<KeyId, VaultEntryFacts> {
        list.iter().map(|(id, days)| (id.clone(), entry(&wanted[id], &id.0, *days))).collect()
    };
    let (ca, admin, kubelet) = (KeyId::ca(), KeyId::admin(), KeyId("cp-1/kubelet".to_owned()));
    check(
        |setup| {
            setup.vault.entries = entries(&[(ca.clone(), 31), (admin.clone(), 31), (kubelet.clone(), 365)])
        },
        &[],
    );
    check(
        |setup| setup.vault.entries = entries(&[(ca, 29), (admin, 29), (kubelet, -1)]),
        &[
            "CA ca: runs out at 2026-01-30T00:00:00Z",
            "certificates: cp-1/kubelet ran out at 2025-12-31T00:00:00Z, and 1 more soon",
        ],
    );

    // On hosts: what the vault has is not told twice, and the kubelet's own renewals are.
    let ca_key = PrivateKey::generate(wanted[&KeyId::ca()].algorithm).unwrap();
    let ca = issue_authority(&wanted[&KeyId::ca()], &ca_key, NOW).unwrap();
    let authority = Authority::open(&ca.pem, ca_key.pem()).unwrap();
    let issue = |hours: u32| {
        let spec = CertificateSpec { valid_hours: hours, ..wanted[&KeyId::admin()].clone() };
        let key = PrivateKey::generate(spec.algorithm).unwrap();
        authority.issue(&spec, &key, NOW).unwrap().pem
    };
    let (soon, later) = (issue(24 * 10), issue(24 * 100));
    let serial = crate::pki::inspect::inspect(&soon).unwrap().serial;
    let host = HostFacts {
        certificates: [
            ("/etc/kubernetes/pki/apiserver.crt", soon.clone()),
            ("/etc/kubernetes/pki/front-proxy-client.crt", later.clone()),
            ("/var/lib/kubelet/pki/kubelet-client-current.pem", soon.clone()),
        ]
        .map(|(path, pem)| (path.to_owned(), pem))
        .into(),
        ..HostFacts::default()
    };
    let on_host =
        |setup: &mut Setup| drop(setup.facts.hosts.insert(name("cp-1"), Observed::Known(host.clone())));
    check(
        on_host,
        &[
            "cp-1: /etc/kubernetes/pki/apiserver.crt runs out at 2026-01-11",
            "cp-1: /var/lib/kubelet/pki/kubelet-client-current.pem runs out at 2026-01-11",
        ],
    );
    check(
        |setup| {
            on_host(setup);
            let known = entry(&wanted[&KeyId::admin()], &serial, 365);
            setup.vault.entries = BTreeMap::from([(KeyId::admin(), known)]);
        },
        &[],
    );
}

#[test]
fn an_api_that_cannot_be_asked_is_told_and_flags_still_block() {
    let mut setup = setup();
    setup.inventory.kubelet.extra_args = argument("containerd", "/run/x");
    let upgrade = Observed::Unreachable("no route".to_owned());
    let prospect = Prospect {
        inventory: &setup.inventory,
        facts: &setup.facts,
        vault: &setup.vault,
        upgrade: &upgrade,
        from: setup.from,
        target: setup.target,
        drained: &setup.drained,
        under_way: true,
        now: NOW,
    };
    let found = concerns(&prospect);
    assert_eq!(
        found.iter().map(|concern| concern.severity).collect::<Vec<_>>(),
        [Severity::Blocks, Severity::Notice]
    );
    assert_eq!(found[1].about, "the API");
    let none = Prospect { upgrade: &Observed::Absent, ..prospect };
    assert_eq!(concerns(&none).len(), 1);
    let text = serde_json::to_string(&found).unwrap();
    assert_eq!(serde_json::from_str::<Vec<Concern>>(&text).unwrap(), found);
}
