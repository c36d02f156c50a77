use super::testing::{breaches, cluster, host, lines, releases, version, walk};
use super::{ClusterVersions, Move, NoPath, Releases, path};
use crate::release::Minor;

const THREE_AND_TWO: &str = "cp-1 c34 e3.6.5; cp-2 c34 e3.6.5; cp-3 c34 e3.6.5; w-1 k34; w-2 k34; proxy 34";

/// The moves, each state between them judged.
fn way(from: &str, releases: &Releases) -> Vec<String> {
    let from = cluster(from);
    let moves = path(&from, releases).unwrap_or_else(|error| panic!("{error}"));
    walk(&from, &moves, releases);
    lines(&from, &moves)
}

fn refusal(from: &str, releases: &Releases) -> String {
    path(&cluster(from), releases).unwrap_err().to_string()
}

#[test]
fn three_minors_drain_each_node_once() {
    let expected = [
        "etcd cp-1 3.7.0",
        "etcd cp-2 3.7.0",
        "etcd cp-3 3.7.0",
        "control-plane cp-1 v1.35.4",
        "control-plane cp-2 v1.35.4",
        "control-plane cp-3 v1.35.4",
        "control-plane cp-1 v1.36.4",
        "control-plane cp-2 v1.36.4",
        "control-plane cp-3 v1.36.4",
        "control-plane cp-1 v1.37.1",
        "control-plane cp-2 v1.37.1",
        "control-plane cp-3 v1.37.1",
        "drain cp-1 v1.37.1",
        "drain cp-2 v1.37.1",
        "drain cp-3 v1.37.1",
        "kube-proxy v1.37.1",
        "drain w-1 v1.37.1",
        "drain w-2 v1.37.1",
    ];
    assert_eq!(way(THREE_AND_TWO, &releases("37", &[35, 36])), expected);
}

#[test]
fn nothing_moves_where_everything_runs_the_target() {
    let from = "cp-1 c37 e3.7.0; w-1 k37; proxy 37";
    assert_eq!(way(from, &releases("37", &[])), Vec::<String>::new());
    assert_eq!(path(&ClusterVersions::default(), &releases("37", &[])), Ok(Vec::new()));
}

#[test]
fn a_patch_release_drains_nobody() {
    let from = "cp-1 c36.2 e3.6.8; cp-2 c36.4 e3.6.8; w-1 k36.2; w-2 k36.4; proxy 36.2";
    let expected =
        ["control-plane cp-1 v1.36.4", "kubelet cp-1 v1.36.4", "kube-proxy v1.36.4", "kubelet w-1 v1.36.4"];
    assert_eq!(way(from, &releases("36.4", &[])), expected);
}

#[test]
fn resumes_in_the_middle_of_a_hop() {
    let from = "cp-1 a36 m36 s36 k34 e3.7.0; cp-2 a36 m35 s35 k34 e3.6.5; cp-3 a35 m35 s35 k34 e3.6.5; \
                w-1 k34; proxy 34";
    let expected = [
        "etcd cp-2 3.7.0",
        "etcd cp-3 3.7.0",
        "control-plane cp-2 v1.36.4",
        "control-plane cp-3 v1.36.4",
        "control-plane cp-1 v1.37.1",
        "control-plane cp-2 v1.37.1",
        "control-plane cp-3 v1.37.1",
        "drain cp-1 v1.37.1",
        "drain cp-2 v1.37.1",
        "drain cp-3 v1.37.1",
        "kube-proxy v1.37.1",
        "drain w-1 v1.37.1",
    ];
    assert_eq!(way(from, &releases("37", &[35, 36])), expected);
}

#[test]
fn kubelets_that_are_three_minors_behind_stop_once_as_late_and_as_new_as_possible() {
    // The second worker is newer than the API server: outside the policy until that has caught up.
    let from = "cp-1 c33 e3.5.35; w-1 k33; w-2 k34; proxy 33";
    let expected = [
        "etcd cp-1 3.6.8",
        "etcd cp-1 3.7.0",
        "control-plane cp-1 v1.34.4",
        "control-plane cp-1 v1.35.4",
        "control-plane cp-1 v1.36.4",
        "drain cp-1 v1.36.4",
        "kube-proxy v1.36.4",
        "drain w-1 v1.36.4",
        "control-plane cp-1 v1.37.1",
        "drain cp-1 v1.37.1",
        "kube-proxy v1.37.1",
        "drain w-1 v1.37.1",
        "drain w-2 v1.37.1",
    ];
    assert_eq!(way(from, &releases("37", &[34, 35, 36])), expected);
}

#[test]
fn a_lagging_scheduler_catches_up_before_its_api_server_goes_on() {
    let from = "cp-1 a35 m35 s34 k35 e3.6.8; proxy 35";
    let expected = [
        "control-plane cp-1 v1.35.4",
        "control-plane cp-1 v1.36.4",
        "drain cp-1 v1.36.4",
        "kube-proxy v1.36.4",
    ];
    assert_eq!(way(from, &releases("36", &[35])), expected);
    // A patch of its API server that nobody offers any more is left for the one that somebody does.
    let from = "cp-1 a35.2 m34 s35 k35 e3.6.8; proxy 35";
    assert_eq!(way(from, &releases("36", &[35])), expected);
}

#[test]
fn names_every_minor_that_is_missing() {
    let from = "cp-1 a34 m34 s34 k34 e3.5.35; cp-2 a35 m34 s35 k34 e3.5.35; w-1 k34; proxy 34";
    let error = path(&cluster(from), &releases("37", &[])).unwrap_err();
    let minors = vec![Minor::new(1, 35), Minor::new(1, 36)];
    assert_eq!(error, NoPath::Missing { minors, target: version("37") });
    assert_eq!(error.to_string(), "the way to v1.37.1 passes 1.35, 1.36, of which there is no bundle");
    // 1.36 itself is left behind, but etcd 3.5 needs a 3.6 on its way to 3.7.
    let from = "cp-1 c36 e3.5.35; proxy 36";
    assert_eq!(
        refusal(from, &releases("37", &[])),
        "the way to v1.37.1 passes 1.36, of which there is no bundle"
    );
    // 1.36 is on offer, and the kubelet has to stop before it.
    let from = "cp-1 a34 m34 s34 k31; proxy 34";
    let error = refusal(from, &releases("37", &[35, 36]));
    assert_eq!(error, "the way to v1.37.1 passes 1.34, of which there is no bundle");
}

#[test]
fn refuses_a_release_older_than_the_api_server_that_others_must_catch_up_with() {
    let from = "cp-1 a35.9 m35.9 s34 k35 e3.6.8; proxy 35";
    assert_eq!(
        refusal(from, &releases("36", &[35])),
        "kube-scheduler v1.34.4 on cp-1 must come to v1.35.9 of its API server before that may go on, and the bundle \
         of 1.35 has v1.35.4; make one of v1.35.9 or newer"
    );
}

#[test]
fn refuses_downgrades_and_names_all_of_them() {
    let from = "cp-1 c37 e3.7.0; w-1 k36; w-2 k36.5; proxy 36";
    assert_eq!(
        refusal(from, &releases("36", &[])),
        "downgrades are not supported, and etcd 3.7.0 on cp-1 to 3.6.8, kube-apiserver v1.37.1 on cp-1 to v1.36.4, \
         kubelet v1.37.1 on cp-1 to v1.36.4, kubelet v1.36.5 on w-2 to v1.36.4 would be one; set `version` to what \
         runs or newer, or restore a backup from before the upgrade"
    );
    for from in ["cp-1 c36.5; proxy 36", "cp-1 c36; w-1 k36.5; proxy 36", "cp-1 c36; proxy 36.5"] {
        assert!(
            matches!(path(&cluster(from), &releases("36.4", &[])), Err(NoPath::Downgrade { .. })),
            "{from}"
        );
    }
    let mut far = releases("37", &[]);
    far.target.major = 2;
    assert!(matches!(path(&cluster("cp-1 c36"), &far), Err(NoPath::OtherMajor { .. })));
}

#[test]
fn controller_managers_and_schedulers_follow_their_api_server_also_back() {
    let from = "cp-1 a36 m37 s36.9 k36 e3.6.8; proxy 36";
    assert_eq!(way(from, &releases("36.4", &[])), ["control-plane cp-1 v1.36.4"]);
}

#[test]
fn etcd_goes_minor_by_minor_all_members_before_the_next() {
    let from = "cp-1 c34 e3.5.35; cp-2 c34 e3.6.5; cp-3 c34 e3.5.35; proxy 34";
    let moves = way(from, &releases("37", &[35, 36]));
    let expected =
        ["etcd cp-1 3.6.8", "etcd cp-3 3.6.8", "etcd cp-1 3.7.0", "etcd cp-2 3.7.0", "etcd cp-3 3.7.0"];
    assert_eq!(moves[..5], expected);
}

#[test]
fn etcd_leaves_3_5_from_3_5_26_on() {
    let from = "cp-1 c34 e3.5.35; cp-2 c34 e3.5.25; proxy 34";
    assert_eq!(
        refusal(from, &releases("35", &[])),
        "etcd 3.5.25 on cp-2 must go to 3.5.26 or a later patch of it first, and no bundle has that"
    );
    let mut with_hop = releases("35", &[34]);
    with_hop.passing.insert(Minor::new(1, 33), (version("33"), "3.5.30".parse().unwrap()));
    let moves = way(from, &with_hop);
    assert_eq!(moves[..3], ["etcd cp-2 3.5.30", "etcd cp-1 3.6.6", "etcd cp-2 3.6.6"]);
    let mut older = releases("35", &[34]);
    older.passing.insert(Minor::new(1, 33), (version("33"), "3.5.24".parse().unwrap()));
    assert!(matches!(path(&cluster(from), &older), Err(NoPath::EtcdRelease { .. })));
}

#[test]
fn a_member_takes_the_wanted_patch_of_its_minor() {
    assert_eq!(way("cp-1 c36 e3.6.14", &releases("36", &[])), ["etcd cp-1 3.6.8"]);
    assert_eq!(way("db-1 e3.6.14", &releases("37", &[])), ["etcd db-1 3.7.0"]);
}

#[test]
fn what_breaks_the_policy_at_the_start_is_repaired() {
    // (from, what is wrong, the first move)
    for (from, wrong, first) in [
        (
            "cp-1 a34 m34 s34; cp-2 a36 m36 s36; w-1 k34; proxy 34",
            "API servers apart",
            "control-plane cp-1 v1.35.4",
        ),
        ("cp-1 c36; w-1 k37; proxy 36", "kubelet too new on w-1", "control-plane cp-1 v1.37.1"),
        ("cp-1 c37; w-1 k33; proxy 37", "kubelet too old on w-1", "drain w-1 v1.37.1"),
        ("cp-1 c37; w-1 k37; proxy 33", "kube-proxy too old", "kube-proxy v1.37.1"),
        (
            "cp-1 a36 m34 s36 k36; proxy 36",
            "controller manager too old on cp-1",
            "control-plane cp-1 v1.36.4",
        ),
        ("cp-1 a36 m36 s37 k36; proxy 36", "scheduler too new on cp-1", "control-plane cp-1 v1.37.1"),
    ] {
        assert_eq!(breaches(&cluster(from)), [wrong], "{from}");
        assert_eq!(way(from, &releases("37", &[35, 36]))[0], first, "{from}");
    }
}

#[test]
fn a_kubelet_that_is_too_old_anyway_waits_for_its_only_drain() {
    let from = "cp-1 c37; cp-2 c36; w-1 k32; proxy 36";
    let drains = way(from, &releases("37", &[]));
    assert_eq!(drains.iter().filter(|line| line.starts_with("drain w-1")).count(), 1);
}

#[test]
fn what_has_no_place_on_a_host_is_left_alone() {
    let from = "cp-1 c36 e3.6.8; db-1 e3.6.8; lb-1 k36; w-1 k36";
    let moves = way(from, &releases("37", &[]));
    assert_eq!(moves.len(), 6);
    assert!(!moves.iter().any(|line| line.contains("kube-proxy") || line == "control-plane db-1"));
}

#[test]
fn without_any_api_server_kubelets_go_straight_to_the_target() {
    assert_eq!(way("w-1 k30; w-2 k37", &releases("37", &[])), ["drain w-1 v1.37.1"]);
}

#[test]
fn a_move_says_whether_it_drains_and_whether_an_api_server_goes_away() {
    let before = cluster("cp-1 c36.2; w-1 k36.2");
    let kubelet = |name: &str, to: &str| Move::Kubelet { host: host(name), to: version(to) };
    // (move, drains, restarts an API server)
    for (change, drains, restarts) in [
        (kubelet("w-1", "36.4"), false, false),
        (kubelet("w-1", "37"), true, false),
        (kubelet("cp-1", "36.4"), false, false),
        (kubelet("cp-1", "37"), true, true),
        (Move::ControlPlane { host: host("cp-1"), to: version("36.4") }, false, true),
        (Move::ControlPlane { host: host("cp-1"), to: version("36.2") }, false, false),
        (Move::KubeProxy { to: version("37") }, false, false),
    ] {
        assert_eq!(change.drains(&before), drains, "{change:?}");
        assert_eq!(change.restarts_api_server(&before), restarts, "{change:?}");
    }
}
