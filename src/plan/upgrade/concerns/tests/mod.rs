//! Each concern present and absent.

mod certificates;
mod programs;
mod workloads;

use std::collections::BTreeMap;

use super::*;
use crate::facts::upgrade::{Amount, NodeLoad};
use crate::facts::{ApiFacts, NodeFacts};
use crate::inventory::ExtraArg;
use crate::pki::spec::tests::cluster;

const NOW: i64 = 1_767_225_600;

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
            upgrade: Observed::Absent,
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

fn prospect<'a>(setup: &'a Setup, upgrade: &'a Observed<UpgradeFacts>) -> Prospect<'a> {
    Prospect {
        inventory: &setup.inventory,
        facts: &setup.facts,
        vault: &setup.vault,
        upgrade,
        from: setup.from,
        target: setup.target,
        drained: &setup.drained,
        under_way: setup.under_way,
        now: NOW,
    }
}

/// What is said after `change`, `!` before what blocks.
fn said(change: impl FnOnce(&mut Setup)) -> Vec<String> {
    let mut setup = setup();
    change(&mut setup);
    let upgrade = Observed::Known(setup.upgrade.clone());
    let prospect = prospect(&setup, &upgrade);
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

#[test]
fn an_api_that_cannot_be_asked_is_told_and_flags_still_block() {
    let mut setup = setup();
    setup.inventory.kubelet.extra_args = argument("containerd", "/run/x");
    let upgrade = Observed::Unreachable("no route".to_owned());
    setup.under_way = true;
    let prospect = prospect(&setup, &upgrade);
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

#[test]
fn a_node_of_nobodys_inventory_must_not_be_left_too_far_behind() {
    let with = |node: &str, version: &str, target: KubeVersion| {
        said(|setup| {
            setup.target = target;
            let facts = NodeFacts { kubelet_version: version.to_owned(), ..NodeFacts::default() };
            let nodes = [(name(node), facts)].into();
            setup.facts.api = Observed::Known(ApiFacts { nodes, ..ApiFacts::default() });
        })
    };
    let target = KubeVersion::new(1, 37, 1);
    assert_eq!(with("stranger", "v1.34.0", target), Vec::<String>::new());
    assert_eq!(with("w-0", "v1.33.9", target), Vec::<String>::new(), "the plan takes it along");
    let [said] = with("stranger", "v1.33.9", target).try_into().unwrap();
    assert!(said.starts_with("! stranger: runs kubelet v1.33.9") && said.contains("before 1.34"), "{said}");
}
