//! For tests: plans in short notation.

use super::super::model::{
    Action, Goal, ObjectSet, PLAN_FORMAT, Plan, Planned, Reason, Stage, Step, StepId, Target,
};
use super::super::upgrade::ClusterVersions;
use super::super::upgrade::testing::{cluster, host, version};
use super::check;
use crate::blueprint::Content;
use crate::digest::Digest;
use crate::inventory::ClusterName;

pub(super) const START: &str = "cp-1 c35 e3.6.6; cp-2 c35 e3.6.6; w-1 k35; w-2 k34; proxy 35";

/// `ID TARGET AFTER: ACTIONS` on each line. AFTER: ids with `,` (all of them) or `|` (any one), or `-`.
pub(super) const UPGRADE: &str = "
    e1 cp-1 -: etcd 3.7.0-0
    e2 cp-2 e1: etcd 3.7.0-0
    a1 cp-1 e2: api 36, manager 36, scheduler 36
    a2 cp-2 a1: api 36, manager 36, scheduler 36
    b1 cp-1 a2: api 37, manager 37, scheduler 37
    b2 cp-2 b1: api 37, manager 37, scheduler 37
    k1 cp-1 b2: kubelet 37
    k2 cp-2 k1: kubelet 37
    x cluster k2: addons
    w1 w-1 x: kubelet 37
    w2 w-2 x: kubelet 37";

pub(super) fn manifest(pod: &str, tag: &str) -> Action {
    let image = format!("registry.example:5000/{pod}:{tag}");
    let text =
        format!("apiVersion: v1\nkind: Pod\nspec:\n  containers:\n  - name: {pod}\n    image: {image}\n");
    Action::WriteFile {
        path: format!("/etc/kubernetes/manifests/{pod}.yaml"),
        mode: 0o600,
        content: Content::Text(text.into()),
        digest: None,
        before: None,
    }
}

fn install(short: &str) -> Action {
    Action::InstallBinary {
        path: "/usr/local/bin/kubelet".into(),
        mode: 0o755,
        artifact: "kubelet".into(),
        version: version(short).to_string(),
        sha256: Digest::of(short.as_bytes()),
    }
}

fn actions(text: &str) -> Vec<Action> {
    let restart = || Action::RestartUnit { unit: "kubelet.service".into() };
    let tag = |short: &str| version(short).to_string();
    let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
    match word {
        "etcd" => vec![manifest("etcd", rest)],
        "api" => vec![manifest("kube-apiserver", &tag(rest))],
        "manager" => vec![manifest("kube-controller-manager", &tag(rest))],
        "scheduler" => vec![manifest("kube-scheduler", &tag(rest))],
        "kubelet" => vec![install(rest), restart()],
        "install" => vec![install(rest)],
        "restart" => vec![restart()],
        "addons" => vec![Action::ApplyObjects { set: ObjectSet::Addons, names: Vec::new() }],
        "clean" => vec![Action::CleanMachine { etcd_data_dir: "/var/lib/etcd".into() }],
        "delete" => vec![Action::DeleteNode { node: host(rest) }],
        "wait" => vec![Action::AwaitServing],
        "snapshot" => vec![Action::Snapshot { version: version("35") }],
        other => panic!("{other}"),
    }
}

pub(super) fn step(line: &str) -> Step {
    let (head, rest) = line.trim().split_once(": ").unwrap();
    let [id, target, after] = head.split(' ').collect::<Vec<_>>().try_into().unwrap();
    let ids = |separator: char| -> Vec<StepId> {
        after.split(separator).filter(|id| *id != "-").map(|id| StepId(id.to_owned())).collect()
    };
    let (after, after_any) =
        if after.contains('|') { (Vec::new(), ids('|')) } else { (ids(','), Vec::new()) };
    let planned = |action| Planned { action, reason: Reason::Follows };
    Step {
        id: StepId(id.to_owned()),
        target: match target {
            "cluster" => Target::Cluster,
            "operator" => Target::Operator,
            host_name => Target::Host(host(host_name)),
        },
        stage: Stage::Start,
        actions: rest.split(", ").flat_map(actions).map(planned).collect(),
        after,
        after_any,
        undo: Vec::new(),
        expected: 1,
    }
}

/// Of a cluster that runs, etcd is kept first.
pub(super) fn plan(versions: Option<ClusterVersions>, target: &str, mut steps: Vec<Step>) -> Plan {
    if versions.is_some() {
        let roots = steps.iter_mut().filter(|step| step.after.is_empty() && step.after_any.is_empty());
        roots.for_each(|root| root.after.push(StepId("snapshot".to_owned())));
        let taken = step("snapshot operator -: snapshot");
        steps.insert(0, Step { stage: Stage::Snapshot, ..taken });
    }
    Plan {
        format: PLAN_FORMAT,
        cluster: ClusterName::parse("test").unwrap(),
        goal: Goal::Converge,
        inputs: Digest::of(b""),
        founding: None,
        versions,
        target: version(target),
        rollout: None,
        steps,
    }
}

pub(super) fn flaws(start: &str, steps: &str) -> Vec<String> {
    let steps = steps.trim().lines().map(step).collect();
    check(&plan(Some(cluster(start)), "37", steps)).iter().map(ToString::to_string).collect()
}
