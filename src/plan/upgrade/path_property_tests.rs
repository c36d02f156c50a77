//! Large clusters in any state: always a legal way.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use super::testing::{host, releases, version, walk};
use super::{ClusterVersions, HostVersions, path};
use crate::release::KubeVersion;

const TARGET: u32 = 37;

/// Minors from `oldest` on with a patch release below, at or above what is on offer.
fn any_version(oldest: u32) -> impl Strategy<Value = KubeVersion> {
    (oldest..=TARGET, 0..=4_u32).prop_map(|(minor, patch)| {
        KubeVersion::new(1, minor, if minor == TARGET { patch.min(1) } else { patch })
    })
}

/// An API server with what runs beside it, at most a minor apart, and a kubelet.
fn control_plane(oldest: u32) -> impl Strategy<Value = HostVersions> {
    let apart = || 0..=2_u32;
    (any_version(oldest), apart(), apart(), proptest::option::of(any_version(oldest))).prop_map(
        move |(server, manager, scheduler, kubelet)| {
            let beside =
                |apart: u32| KubeVersion { minor: (server.minor + apart).saturating_sub(1), ..server };
            HostVersions {
                etcd: None,
                api_server: Some(server),
                controller_manager: Some(beside(manager)),
                scheduler: Some(beside(scheduler)),
                kubelet,
            }
        },
    )
}

fn cluster(oldest: u32) -> impl Strategy<Value = ClusterVersions> {
    let parts = (vec(control_plane(oldest), 1..=7), vec(any_version(oldest), 0..=500), any_version(oldest));
    parts.prop_map(|(control_planes, workers, proxy)| {
        let mut cluster = ClusterVersions { kube_proxy: Some(proxy), ..ClusterVersions::default() };
        for (index, versions) in control_planes.into_iter().enumerate() {
            cluster.hosts.insert(host(&format!("cp-{index}")), versions);
        }
        for (index, kubelet) in workers.into_iter().enumerate() {
            let versions = HostVersions { kubelet: Some(kubelet), ..HostVersions::default() };
            cluster.hosts.insert(host(&format!("w-{index}")), versions);
        }
        cluster
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, rng_seed: RngSeed::Fixed(4), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_large_cluster_has_a_way(from in (29..=36_u32).prop_flat_map(cluster)) {
        let mut releases = releases("37", &(29..TARGET).collect::<Vec<_>>());
        // The newest patch that the clusters have, so that whoever lags can catch up.
        releases.passing.values_mut().for_each(|(version, _)| version.patch = 4);
        let moves = path(&from, &releases).map_err(|error| TestCaseError::fail(error.to_string()))?;
        walk(&from, &moves, &releases);
    }
}

#[test]
fn five_thousand_hosts_have_a_way() {
    let mut from = super::testing::cluster("cp-1 c33; cp-2 c33; cp-3 c33; proxy 33");
    for index in 0..5000 {
        let kubelet = Some(version(["33", "34.2", "34"][index % 3]));
        from.hosts.insert(host(&format!("w-{index}")), HostVersions { kubelet, ..HostVersions::default() });
    }
    let moves = path(&from, &releases("37", &[34, 35, 36])).unwrap();
    assert_eq!(moves.len(), 12 + 2 * 3 + 2 + 5000 + 5000_usize.div_ceil(3));
}
