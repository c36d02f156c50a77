//! What concerns the cluster as a whole: keys, API objects, nodes, add-ons, and the order in which
//! running control planes are touched.

use std::collections::BTreeMap;

use super::graph::Graph;
use super::model::{Action, ObjectSet, Planned, Reason, Stage, StepId, Target};
use super::trust::mint_reason;
use super::{PlanError, PlanInput, reachable};
use crate::blueprint::HostBlueprint;
use crate::blueprint::cluster::{covers, node_patch, node_wish, object_key};
use crate::facts::MintReason;
use crate::inventory::{Host, HostName, NetworkPlugin};
use crate::pki::{CertificateSpec, KeyId};

/// Keys and certificates that the vault has not, has with other contents, or has not for long any more.
pub(super) fn mint(
    input: &PlanInput<'_>,
    certificates: &BTreeMap<KeyId, CertificateSpec>,
    due: &BTreeMap<KeyId, MintReason>,
    graph: &mut Graph,
) {
    let mut actions = Vec::new();
    // What signs is only ever missing, so it is made before what it signs.
    for why in [MintReason::Missing, MintReason::Changed, MintReason::IssuerReplaced, MintReason::Expired] {
        let keys = certificates.iter().filter(|(id, _)| due.get(*id) == Some(&why));
        let keys: BTreeMap<_, _> = keys.map(|(id, spec)| (id.clone(), spec.clone())).collect();
        if due.values().any(|reason| *reason == why) {
            let reason = mint_reason(input, &keys, why);
            actions.push(Planned { action: Action::Mint { keys }, reason });
        }
    }
    graph.add(Target::Operator, Stage::Mint, actions, Vec::new());
}

fn await_api_of(host: &HostName, graph: &mut Graph, after: Vec<StepId>) -> Option<StepId> {
    let action = Planned { action: Action::AwaitApi { host: host.clone() }, reason: Reason::Follows };
    graph.add(Target::Host(host.clone()), Stage::ApiReady, vec![action], after)
}

/// Waits for every API server that this plan starts.
pub(super) fn await_api(input: &PlanInput<'_>, graph: &mut Graph) {
    for host in input.inventory.control_planes() {
        let target = Target::Host(host.name.clone());
        let serves = input.facts.api.known().is_some_and(|api| api.ready.contains(&host.name));
        if serves {
            continue;
        }
        if let Some(start) = graph.find(&target, Stage::Start) {
            await_api_of(&host.name, graph, vec![start]);
        }
    }
    if input.facts.api.known().is_none() {
        hold_workers(input, graph);
    }
}

/// A kubelet that finds no API server asks again after ever longer pauses, and takes processor time from
/// the API servers that it waits for: in a new cluster workers start theirs when somebody answers.
fn hold_workers(input: &PlanInput<'_>, graph: &mut Graph) {
    let apis = graph.of_stage(Stage::ApiReady);
    let is_worker = |host: &&Host| host.is_node() && !host.is_control_plane();
    for host in input.inventory.hosts.values().filter(is_worker) {
        let start = graph.find(&Target::Host(host.name.clone()), Stage::Start);
        let serves_etcd = input.inventory.etcd_hosts().any(|etcd| etcd.name == host.name);
        if let (Some(start), false) = (start, serves_etcd) {
            graph.wait_for_any(&start, &apis);
        }
    }
}

fn object_changes(input: &PlanInput<'_>, set: ObjectSet) -> Vec<Planned> {
    let wanted = input.objects.get(&set).map(Vec::as_slice).unwrap_or_default();
    let live = input.facts.api.known().map(|api| &api.objects);
    let (mut absent, mut different) = (Vec::new(), Vec::new());
    for object in wanted {
        let key = object_key(object);
        match live.and_then(|live| live.get(&key)) {
            None => absent.push(key),
            Some(found) if !covers(object, found).is_empty() => different.push(key),
            Some(_) => {}
        }
    }
    let mut actions = Vec::new();
    if !absent.is_empty() {
        actions
            .push(Planned { action: Action::ApplyObjects { set, names: absent }, reason: Reason::Missing });
    }
    if !different.is_empty() {
        actions.push(Planned {
            reason: Reason::Differs { wanted: "as planned".into(), found: "changed".into() },
            action: Action::ApplyObjects { set, names: different },
        });
    }
    // Before the CA exists nobody can say what the objects are; they are all missing then.
    if wanted.is_empty() && !input.vault.entries.contains_key(&KeyId::ca()) {
        actions.push(Planned {
            action: Action::ApplyObjects { set, names: Vec::new() },
            reason: Reason::Missing,
        });
    }
    actions
}

/// Access rules that a new version needs, before anything of that version runs.
pub(super) fn access_objects(input: &PlanInput<'_>, graph: &mut Graph) -> Option<StepId> {
    let mint = graph.find(&Target::Operator, Stage::Mint).into_iter().collect();
    graph.add(Target::Cluster, Stage::Access, object_changes(input, ObjectSet::Access), mint)
}

/// Access rules and kubeadm's configuration maps, once any API server answers and all are of the version
/// that the maps speak of.
pub(super) fn base_objects(input: &PlanInput<'_>, graph: &mut Graph, after: &[StepId]) {
    let mut actions = Vec::new();
    if graph.find(&Target::Cluster, Stage::Access).is_none() {
        actions.extend(object_changes(input, ObjectSet::Access));
    }
    actions.extend(object_changes(input, ObjectSet::Config));
    let apis = graph.of_stage(Stage::ApiReady);
    let mint = graph.find(&Target::Operator, Stage::Mint);
    let after = after.iter().cloned().chain(mint).collect();
    graph.add_after_any(Target::Cluster, Stage::Objects, actions, after, apis);
}

/// Labels, taints and pod addresses that only an administrator may set on a Node.
pub(super) fn register_nodes(
    input: &PlanInput<'_>,
    blueprints: &BTreeMap<HostName, HostBlueprint>,
    graph: &mut Graph,
) -> Result<(), PlanError> {
    let pod_cidrs = super::pod_cidrs(input)?;
    let objects: Vec<StepId> = graph.find(&Target::Cluster, Stage::Objects).into_iter().collect();
    let apis = graph.of_stage(Stage::ApiReady);
    for host in reachable(input).filter(|host| host.is_node() && blueprints.contains_key(&host.name)) {
        let node = input.facts.api.known().and_then(|api| api.nodes.get(&host.name));
        let cidrs = pod_cidrs.get(&host.name).map(Vec::as_slice).unwrap_or_default();
        let wish = node_wish(host, cidrs);
        let reason = match node {
            None => Reason::Missing,
            Some(node) if node_patch(&wish, &node.live).is_some() => {
                Reason::Differs { wanted: "labels, taints, addresses".into(), found: "others".into() }
            }
            Some(_) => continue,
        };
        let target = Target::Host(host.name.clone());
        let mut after = objects.clone();
        after.extend(graph.find(&target, Stage::Start));
        after.extend(graph.find(&target, Stage::PromoteMember));
        let action = Planned { action: Action::PatchNode { node: host.name.clone(), wish }, reason };
        graph.add_after_any(target, Stage::Register, vec![action], after, apis.clone());
    }
    Ok(())
}

/// kube-proxy, CoreDNS, the network plugin and the operator's own manifests.
pub(super) fn addons(input: &PlanInput<'_>, graph: &mut Graph, rolled: &[StepId]) {
    let actions = object_changes(input, ObjectSet::Addons);
    let mut after: Vec<StepId> = graph.find(&Target::Cluster, Stage::Objects).into_iter().collect();
    after.extend(rolled.iter().cloned());
    // A pod that is replaced on a running node must find its new image there, or the node is without it.
    let nodes = input.facts.api.known().into_iter().flat_map(|api| api.nodes.keys());
    after.extend(nodes.filter_map(|node| graph.find(&Target::Host(node.clone()), Stage::Prepare)));
    let apis = graph.of_stage(Stage::ApiReady);
    graph.add_after_any(Target::Cluster, Stage::Addons, actions, after, apis);
}

/// Waits until every node that this plan starts or finds not Ready is Ready.
pub(super) fn await_nodes(input: &PlanInput<'_>, graph: &mut Graph) {
    let by_objects = match input.inventory.network.plugin {
        NetworkPlugin::Routes { .. } | NetworkPlugin::None => false,
        NetworkPlugin::Calico { .. }
        | NetworkPlugin::Cilium { .. }
        | NetworkPlugin::Flannel { .. }
        | NetworkPlugin::Manifest { .. } => true,
    };
    if input.inventory.network.plugin == NetworkPlugin::None {
        return;
    }
    for host in reachable(input).filter(|host| host.is_node()) {
        let target = Target::Host(host.name.clone());
        let ready =
            input.facts.api.known().and_then(|api| api.nodes.get(&host.name)).is_some_and(|node| node.ready);
        let mut after: Vec<StepId> = [Stage::Start, Stage::Node, Stage::Register]
            .iter()
            .filter_map(|stage| graph.find(&target, *stage))
            .collect();
        // A node that is Ready is waited for where its kubelet is replaced.
        if ready {
            continue;
        }
        if by_objects {
            after.extend(graph.find(&Target::Cluster, Stage::Addons));
        }
        let action = Planned {
            action: Action::AwaitNode { node: host.name.clone(), kubelet: None },
            reason: Reason::Follows,
        };
        graph.add(target, Stage::Ready, vec![action], after);
    }
}

/// Waits until DNS and service routing work, when this plan brought them or nodes.
pub(super) fn await_serving(graph: &mut Graph) {
    let addons = graph.find(&Target::Cluster, Stage::Addons);
    let nodes = graph.of_stage(Stage::Ready);
    if addons.is_none() {
        return;
    }
    let action = Planned { action: Action::AwaitServing, reason: Reason::Follows };
    graph.add_after_any(Target::Cluster, Stage::Serve, vec![action], addons.into_iter().collect(), nodes);
}
