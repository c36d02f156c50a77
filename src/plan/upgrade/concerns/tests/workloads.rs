//! Webhooks, budgets, and what runs in the cluster.

use super::*;
use crate::facts::upgrade::{BudgetFacts, PlacedPod, Single, WebhookFacts};

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

#[test]
fn what_the_operator_has_accepted_by_name_is_listed() {
    let blocked = |setup: &mut Setup| {
        setup.upgrade.webhooks = vec![webhook(&[], &["creates pods"], false)];
        setup.inventory.kubelet.extra_args = argument("containerd", "/run/x");
        setup.inventory.policy.upgrade.accept =
            vec!["ValidatingWebhookConfiguration a".to_owned(), "kubelet.extraArgs".to_owned()];
    };
    // A kubelet that does not start is never accepted.
    check(blocked, &["! kubelet.extraArgs:", "ValidatingWebhookConfiguration a: nobody answers"]);
}
