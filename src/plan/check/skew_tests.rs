use super::super::model::{Planned, Reason, Step, StepId};
use super::super::upgrade::testing::cluster;
use super::testing::{START, UPGRADE, flaws, manifest, plan, step};
use super::{Flaw, check};

/// The upgrade with some of its text replaced by other text.
fn mutated(changes: &[(&str, &str)]) -> Vec<String> {
    let mut text = UPGRADE.to_owned();
    for (from, to) in changes {
        assert!(text.contains(from), "{from}");
        text = text.replacen(from, to, 1);
    }
    flaws(START, &text)
}

#[test]
fn a_right_upgrade_has_no_flaw() {
    assert_eq!(flaws(START, UPGRADE), Vec::<String>::new());
}

#[test]
fn where_nothing_runs_there_is_nothing_to_keep() {
    let steps = UPGRADE.trim().lines().map(step).rev().map(|step| Step { after: Vec::new(), ..step });
    assert_eq!(check(&plan(None, "37", steps.collect())), Vec::new());
}

#[test]
fn api_servers_stay_within_one_minor() {
    let found = mutated(&[("a2 cp-2 a1", "a2 cp-2 e2"), ("b1 cp-1 a2", "b1 cp-1 a1")]);
    let expected = "step b1 may leave the version-skew policy: API servers of 1.35 and 1.37 may not run in one \
                    cluster: at most 1 minor apart (beside the API server of cp-2 until a2)";
    assert!(found.contains(&expected.to_owned()), "{found:#?}");
}

#[test]
fn an_api_server_leaves_out_no_minor() {
    let found = mutated(&[("api 36, manager 36, scheduler 36", "wait")]);
    assert!(found.iter().any(|flaw| flaw.starts_with("step b1 leaves out a version")), "{found:#?}");
    let found = flaws("cp-1 c37; proxy 37", "a cp-1 -: api 36, manager 36, scheduler 36");
    assert!(found.iter().any(|flaw| flaw.contains("cannot go back from v1.37.1")), "{found:#?}");
}

#[test]
fn controller_managers_and_schedulers_fit_their_own_api_server() {
    let newer = "may leave the version-skew policy: kube-controller-manager v1.36.4 is newer than an API server \
                 of 1.35 (beside the API server of cp-1 until a1)";
    let found = mutated(&[("a1 cp-1 e2: api 36, manager 36", "a1 cp-1 e2: manager 36, api 36")]);
    assert_eq!(found, [format!("step a1 {newer}")]);
    // Nothing brings the scheduler of cp-2 along until the API server has gone two minors ahead.
    let found =
        mutated(&[("a2 cp-2 a1: api 36, manager 36, scheduler 36", "a2 cp-2 a1: api 36, manager 36")]);
    assert_eq!(
        found,
        [
            "step b2 may leave the version-skew policy: kube-scheduler v1.35.4 is too old for an API server of 1.37: at \
          least 1.36 is needed (beside the scheduler of cp-2 until b2)"
        ]
    );
}

#[test]
fn kubelets_are_no_newer_than_any_api_server() {
    // It may start while the second API server is still at 1.36.
    let found = mutated(&[("w1 w-1 x", "w1 w-1 b1")]);
    assert_eq!(
        found,
        [
            "step w1 may leave the version-skew policy: kubelet v1.37.1 is newer than an API server of 1.36 (beside the \
          API server of cp-2 from a2 on until b2)"
        ]
    );
}

#[test]
fn no_api_server_leaves_a_kubelet_behind() {
    let text = "
        a cp-1 -: api 37, manager 37, scheduler 37
        k w-1 -: kubelet 36
        l w-1 a,k: kubelet 37";
    let start = "cp-1 c36; w-1 k33; proxy 36";
    let expected = "step a may leave the version-skew policy: kubelet v1.33.9 is too old for an API server of 1.37: \
                    at least 1.34 is needed (beside the kubelet of w-1 until k)";
    assert_eq!(flaws(start, text), [expected]);
    let backwards = flaws(start, &text.replace("a cp-1 -", "a cp-1 snapshot,k"));
    assert_eq!(backwards, ["step a comes before k, which it waits for", expected]);
    let sorted = "
        k w-1 -: kubelet 36
        a cp-1 k: api 37, manager 37, scheduler 37
        l w-1 a: kubelet 37";
    assert_eq!(flaws(start, sorted), Vec::<String>::new());
}

#[test]
fn a_kubelet_is_old_until_it_is_restarted() {
    let text = "
        i w-1 -: install 36
        r w-1 i: restart
        a cp-1 r: api 37, manager 37, scheduler 37";
    let start = "cp-1 c36; w-1 k33; proxy 36";
    assert_eq!(flaws(start, text), Vec::<String>::new());
    let found = flaws(start, &text.replace("a cp-1 r", "a cp-1 i"));
    assert!(found[0].contains("beside the kubelet of w-1 until r"), "{found:#?}");
    // And new as soon as it is installed: it may crash and come back.
    let early = "
        i w-1 -: install 37
        a cp-1 i: api 37, manager 37, scheduler 37
        r w-1 a: restart";
    let found = flaws("cp-1 c36; w-1 k36; proxy 36", early);
    assert!(found[0].starts_with("step i may") && found[0].contains("newer"), "{found:#?}");
}

#[test]
fn kube_proxy_is_no_newer_than_any_api_server() {
    let found =
        mutated(&[("x cluster k2", "x cluster b1"), ("w1 w-1 x", "w1 w-1 k2"), ("w2 w-2 x", "w2 w-2 k2")]);
    assert_eq!(
        found,
        [
            "step x may leave the version-skew policy: kube-proxy v1.37.1 is newer than an API server of 1.36 (beside the \
          API server of cp-2 from a2 on until b2)"
        ]
    );
    // A cluster without one gets none with the other add-ons.
    let without = START.replace("; proxy 35", "");
    let early = UPGRADE.replace("x cluster k2", "x cluster e1").replace(" x: kubelet", " k2: kubelet");
    assert_eq!(flaws(&without, &early), Vec::<String>::new());
    assert!(!flaws(START, &early).is_empty());
}

#[test]
fn etcd_members_stay_within_one_minor() {
    let start = "cp-1 c37 e3.5.35; cp-2 c37 e3.5.35; proxy 37";
    let right = "
        a1 cp-1 -: etcd 3.6.8-0
        a2 cp-2 a1: etcd 3.6.8-0
        b1 cp-1 a2: etcd 3.7.0-0
        b2 cp-2 b1: etcd 3.7.0-0";
    assert_eq!(flaws(start, right), Vec::<String>::new());
    let wrong = "
        a1 cp-1 -: etcd 3.6.8-0
        b1 cp-1 a1: etcd 3.7.0-0
        a2 cp-2 b1: etcd 3.6.8-0
        b2 cp-2 a2: etcd 3.7.0-0";
    assert_eq!(
        flaws(start, wrong),
        [
            "step b1 may leave the version-skew policy: etcd 3.5.35 and 3.7.0 may not run in one cluster: at most 1 minor \
          apart (beside the etcd member of cp-2 until a2)"
        ]
    );
    let jump = flaws("cp-1 c37 e3.5.35; proxy 37", "a cp-1 -: etcd 3.7.0-0");
    assert!(jump[0].contains("etcd cannot go from 3.5.35 to 3.7.0"), "{jump:#?}");
    let early = flaws(&start.replace("cp-2 c37 e3.5.35", "cp-2 c37 e3.5.20"), right);
    assert!(early[0].contains("etcd 3.5.20 is too old to run beside 3.6.8"), "{early:#?}");
}

#[test]
fn members_and_api_servers_are_replaced_one_host_at_a_time() {
    let text = |first: &str, second: &str| format!("a cp-1 -: {first}\nb cp-2 -: {second}");
    let start = "cp-1 c36 e3.6.8; cp-2 c36 e3.6.8; cp-3 c36 e3.6.8; proxy 36";
    let expected = ["steps a and b may take away API servers or etcd members of two hosts at the same time"];
    for (first, second) in [
        ("etcd 3.6.8-0", "etcd 3.6.8-0"),
        ("api 36", "api 36"),
        ("etcd 3.6.8-0", "api 36"),
        ("kubelet 37", "kubelet 37"),
    ] {
        let found = flaws(start, &text(first, second));
        assert!(found.iter().any(|flaw| flaw == expected[0]), "{first}, {second}: {found:#?}");
        let ordered = flaws(start, &text(first, second).replace("b cp-2 -", "b cp-2 a"));
        assert!(!ordered.iter().any(|flaw| flaw == expected[0]), "{first}, {second}: {ordered:#?}");
    }
    // A scheduler is not missed, a kubelet's patch keeps the pods, and a host that joins takes nothing away.
    assert_eq!(flaws(start, &text("scheduler 36", "scheduler 36")), Vec::<String>::new());
    assert_eq!(
        flaws(&start.replace("c36", "c36.2"), &text("kubelet 36", "kubelet 36")),
        Vec::<String>::new()
    );
    let joins = flaws(&start.replace("cp-2 c36 e3.6.8; ", ""), &text("api 36", "api 36, etcd 3.6.8-0"));
    assert_eq!(joins, Vec::<String>::new());
}

#[test]
fn what_joins_must_fit_too() {
    let start = "cp-1 c36; proxy 36";
    let found = flaws(start, "j w-9 -: kubelet 37");
    assert!(found[0].contains("kubelet v1.37.1 is newer than an API server of 1.36"), "{found:#?}");
    let found = flaws(start, "j cp-9 -: api 34, manager 34, scheduler 34");
    assert!(found[0].contains("API servers of 1.34 and 1.36"), "{found:#?}");
    assert_eq!(flaws(start, "j w-9 -: kubelet 36"), Vec::<String>::new());
    // But not what others are when it has gone on.
    let text = "
        j cp-9 -: api 36, manager 36, scheduler 36
        a cp-1 j: api 37, manager 37, scheduler 37
        b cp-9 a: api 37, manager 37, scheduler 37
        k cp-1 b: kubelet 37";
    assert_eq!(flaws(start, text), Vec::<String>::new());
}

#[test]
fn what_has_left_need_not_fit_any_more() {
    let start = "cp-1 c36; w-1 k33; w-2 k33; proxy 36";
    let text = "
        c w-1 -: clean
        d cluster -: delete w-2
        a cp-1 c,d: api 37, manager 37, scheduler 37";
    assert_eq!(flaws(start, text), Vec::<String>::new());
    for early in ["c", "d"] {
        let found = flaws(start, &text.replace("c,d", early));
        assert_eq!(found.len(), 1, "{found:#?}");
    }
}

#[test]
fn one_of_several_alternatives_orders_only_what_they_share() {
    let steps = |first: &str, second: &str| {
        let text = UPGRADE.replace("    w1 w-1 x: kubelet 37\n", "");
        format!("{text}\n p cp-1 {first}: wait\n q cp-2 {second}: wait\n w1 w-1 p|q: kubelet 37")
    };
    assert_eq!(flaws(START, &steps("b2", "x")), Vec::<String>::new());
    assert_eq!(flaws(START, &steps("b2", "b1")).len(), 1);
    assert_eq!(flaws(START, &steps("b1", "b2")).len(), 1);
}

#[test]
fn one_part_changes_in_a_known_order() {
    let start = "cp-1 c36; w-1 k34; proxy 36";
    let text = "
        k w-1 -: kubelet 35
        l w-1 k: kubelet 36";
    assert_eq!(flaws(start, text), Vec::<String>::new());
    assert_eq!(
        flaws(start, &text.replace("l w-1 k", "l w-1 -")),
        ["steps k and l change the kubelet of w-1 in either order"]
    );
}

#[test]
fn a_manifest_without_a_version_is_a_flaw() {
    let mut wrong = step("a cp-1 -: api 36");
    let manifest = manifest("kube-apiserver", "latest");
    wrong.actions = vec![Planned { action: manifest, reason: Reason::Follows }];
    let found = check(&plan(Some(cluster("cp-1 c36")), "36", vec![wrong]));
    let path = "/etc/kubernetes/manifests/kube-apiserver.yaml".to_owned();
    assert_eq!(found, [Flaw::UnknownVersion { step: StepId("a".into()), path }]);
}

#[test]
fn what_was_wrong_before_is_no_flaw_until_it_gets_worse() {
    let start = "cp-1 c36; w-1 k32; w-2 k37; proxy 36";
    let repair = "
        k w-1 -: kubelet 36
        a cp-1 k: api 37, manager 37, scheduler 37";
    assert_eq!(flaws(start, repair), Vec::<String>::new());
    let worse = "a cp-1 -: api 37, manager 37, scheduler 37";
    let found = flaws(start, worse);
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(found[0].contains("kubelet v1.32.9 is too old for an API server of 1.37"), "{found:#?}");
}

#[test]
fn what_is_too_old_for_one_api_server_gets_no_worse_by_another_like_it() {
    let climb = "
        a cp-1 -: api 35, manager 35, scheduler 35
        b cp-1 a: api 36, manager 36, scheduler 36
        c cp-1 b: api 37, manager 37, scheduler 37";
    assert_eq!(flaws("cp-1 c34; cp-2 a37 m37 s37; w-1 k33; proxy 34", climb), Vec::<String>::new());
    let found = flaws("cp-1 c34; cp-2 a36 m36 s36; w-1 k33; proxy 34", climb);
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(found[0].starts_with("step c ") && !found[0].contains("until"), "{found:#?}");
}
