//! Many plans: the checks agree with the arithmetic of tests.

use std::fmt::Write;

use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use super::super::model::Plan;
use super::super::upgrade::testing::{cluster, releases, version, what_gets_worse};
use super::super::upgrade::{ClusterVersions, Move, path};
use super::check;
use super::testing::{START, UPGRADE, plan, step};
use crate::release::KubeVersion;

/// One step for each move, each after the one before.
fn in_a_row(from: &ClusterVersions, moves: &[Move]) -> Plan {
    let mut text = String::new();
    for (index, change) in moves.iter().enumerate() {
        let after = index.checked_sub(1).map_or("-".to_owned(), |before| format!("s{before}"));
        let short = |version: KubeVersion| format!("{}.{}", version.minor, version.patch);
        match change {
            Move::Etcd { host, to } => writeln!(text, "s{index} {host} {after}: etcd {to}-0"),
            Move::ControlPlane { host, to } => {
                let to = short(*to);
                writeln!(text, "s{index} {host} {after}: api {to}, manager {to}, scheduler {to}")
            }
            Move::Kubelet { host, to } => writeln!(text, "s{index} {host} {after}: kubelet {}", short(*to)),
            Move::KubeProxy { .. } => writeln!(text, "s{index} cluster {after}: addons"),
        }
        .unwrap();
    }
    plan(Some(from.clone()), "37", text.lines().map(step).collect())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, rng_seed: RngSeed::Fixed(5), failure_persistence: None, ..ProptestConfig::default() })]

    /// Paths are found to be right, and shuffled ones wrong just where the arithmetic of tests says so.
    #[test]
    fn agrees_with_arithmetic_on_every_order_of_moves(
        servers in proptest::collection::vec((34..=37_u32, 0..=1_u32), 1..=3),
        kubelets in proptest::collection::vec(33..=37_u32, 3..=5),
        proxy in 34..=37_u32,
        swaps in proptest::collection::vec(any::<(prop::sample::Index, prop::sample::Index)>(), 0..3),
    ) {
        let mut text = String::new();
        for (index, (server, lag)) in servers.iter().enumerate() {
            let (beside, own) = (server - lag, kubelets[index]);
            write!(text, "cp-{index} a{server} m{beside} s{server} k{own} e3.6.5; ").unwrap();
        }
        for (index, kubelet) in kubelets[servers.len()..].iter().enumerate() {
            write!(text, "w-{index} k{kubelet}; ").unwrap();
        }
        let from = cluster(&format!("{text}proxy {proxy}"));
        let mut moves = path(&from, &releases("37", &[33, 34, 35, 36])).unwrap();
        // Applying add-ons always means the target's kube-proxy.
        moves.retain(|change| !matches!(change, Move::KubeProxy { to } if *to != version("37")));
        prop_assume!(!moves.is_empty());
        for (one, other) in swaps {
            let (one, other) = (one.index(moves.len()), other.index(moves.len()));
            moves.swap(one, other);
        }
        let mut at = from.clone();
        let mut wrong = None;
        for change in &moves {
            wrong = wrong.or(what_gets_worse(&at, change));
            at.apply(change);
        }
        let found = check(&in_a_row(&from, &moves));
        prop_assert_eq!(wrong.is_some(), !found.is_empty(), "{:?} {:#?} {:?}", wrong, found, moves);
    }
}

#[test]
fn twenty_five_thousand_steps_are_not_compared_with_each_other() {
    let mut start = START.to_owned();
    let mut text = UPGRADE.to_owned();
    let mut wave = vec!["x".to_owned()];
    for first in (10..5010).step_by(50) {
        let after = wave.join(",");
        wave.clear();
        for index in first..first + 50 {
            write!(start, "; v-{index} k35").unwrap();
            write!(text, "\nd{index} v-{index} {after}: wait\np{index} v-{index} d{index}: wait").unwrap();
            write!(text, "\nk{index} v-{index} p{index}: kubelet 37\nr{index} v-{index} k{index}: wait")
                .unwrap();
            write!(text, "\nu{index} v-{index} r{index}: wait").unwrap();
            wave.push(format!("u{index}"));
        }
    }
    let plan = plan(Some(cluster(&start)), "37", text.trim().lines().map(step).collect());
    assert!(plan.steps.len() > 25_000);
    assert_eq!(check(&plan), Vec::new());
}
