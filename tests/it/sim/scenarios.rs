//! One scenario a test: it converges, and then there is nothing left to do.

use super::support::{external_etcd, settle, simulation, single_node, stacked};

#[test]
fn single_node_converges() {
    settle(&mut simulation(single_node()));
}

#[test]
fn three_and_two_converges_in_one_run() {
    let mut simulation = simulation(stacked(3, 2));
    let trace = settle(&mut simulation);
    assert_eq!(trace.rounds.len(), 2, "{}", super::support::told(&simulation, &trace));
}

#[test]
fn external_etcd_converges() {
    settle(&mut simulation(external_etcd()));
}
