//! Membership: which hosts become etcd members, one learner at a time, and what each is told of
//! its peers. Never two voters touched at once, never a start on the empty disk of a known member.

use super::graph::Graph;
use super::model::{Action, Planned, Reason, Stage, StepId, Target};
use super::{PlanInput, reachable};
use crate::blueprint::{EtcdInitial, HostTraits};
use crate::facts::EtcdMember;
use crate::inventory::{Host, HostName, bracketed};

/// The peer URL a host's member has.
pub fn peer_url(host: &Host) -> String {
    format!("https://{}:2380", bracketed(&host.address.to_string()))
}

/// Members as etcd lists them; empty when there is no cluster yet or nobody can be asked.
fn members<'a>(input: &'a PlanInput<'_>) -> &'a [EtcdMember] {
    input.facts.etcd.known().map(|etcd| etcd.members.as_slice()).unwrap_or_default()
}

fn member_of<'a>(input: &'a PlanInput<'_>, host: &Host) -> Option<&'a EtcdMember> {
    let url = peer_url(host);
    members(input).iter().find(|member| member.peer_urls.contains(&url))
}

/// Hosts that must be added to an etcd cluster that already runs, by name.
pub(super) fn joining<'a>(input: &'a PlanInput<'_>) -> Vec<&'a Host> {
    if members(input).is_empty() {
        return Vec::new();
    }
    input
        .inventory
        .etcd_hosts()
        .filter(|host| {
            input.facts.host(&host.name).is_some_and(|facts| match member_of(input, host) {
                None => true,
                Some(member) if late_founder(input, member) => false,
                Some(member) => member.learner || !facts.etcd.has_data,
            })
        })
        .collect()
}

/// A member of the static bootstrap that has never started, because its host was away or failed: it can
/// still start as a founder. One that has started has told the others its client URLs; and it computes
/// the cluster's id from its peer list, which must be the one the others were founded with.
fn late_founder(input: &PlanInput<'_>, member: &EtcdMember) -> bool {
    let founders = input.inventory.etcd_hosts().map(|host| format!("{}={}", host.name, peer_url(host)));
    let founders = founders.collect::<Vec<_>>().join(",");
    !member.learner
        && member.client_urls.is_empty()
        && input.facts.hosts.values().filter_map(|observed| observed.known()).any(|facts| {
            let initial = facts.etcd.initial.as_ref();
            facts.etcd.has_data
                && initial.is_some_and(|initial| initial.state == "new" && initial.cluster == founders)
        })
}

/// What the blueprint has to know of a host, with what a joining member is to be told.
pub(super) fn traits(input: &PlanInput<'_>, host: &Host) -> HostTraits {
    let mut traits =
        input.facts.host(&host.name).map(|facts| facts.traits(host.name.as_str())).unwrap_or_default();
    // kubeadm names only the member itself. Nobody reads that any more, but a manifest that is written
    // again for another reason names all of them, so that a member that loses its data stays alone.
    if traits.etcd_initial.as_ref().is_some_and(|initial| is_partial(input, initial)) {
        traits.etcd_initial = None;
    }
    let joining = joining(input);
    if traits.etcd_initial.is_none() && joining.iter().any(|other| other.name == host.name) {
        traits.etcd_initial = Some(EtcdInitial {
            cluster: initial_cluster(input, &joining, host),
            state: "existing".to_owned(),
        });
    }
    traits
}

fn is_partial(input: &PlanInput<'_>, initial: &EtcdInitial) -> bool {
    let named = |url: &str| initial.cluster.split(',').any(|peer| peer.ends_with(&format!("={url}")));
    input.inventory.etcd_hosts().any(|host| !named(&peer_url(host)))
}

/// Members there will be when `host` starts: those that run, those that join before it, itself.
fn initial_cluster(input: &PlanInput<'_>, joining: &[&Host], host: &Host) -> String {
    let mut peers: Vec<(String, String)> = Vec::new();
    for member in members(input) {
        let replaced = joining.iter().any(|other| member.peer_urls.contains(&peer_url(other)));
        if let (false, Some(url)) = (replaced || member.name.is_empty(), member.peer_urls.first()) {
            peers.push((member.name.clone(), url.clone()));
        }
    }
    for other in joining {
        peers.push((other.name.to_string(), peer_url(other)));
        if other.name == host.name {
            break;
        }
    }
    peers.iter().map(|(name, url)| format!("{name}={url}")).collect::<Vec<_>>().join(",")
}

/// Adds each joining host as a learner before it starts, and makes it a voter before the next. One that is
/// a learner already goes first: etcd takes no second learner beside it.
pub(super) fn join_members(input: &PlanInput<'_>, graph: &mut Graph) {
    let mut previous: Option<StepId> = None;
    let mut hosts = joining(input);
    hosts.sort_by_key(|host| !member_of(input, host).is_some_and(|member| member.learner));
    for host in hosts {
        let target = Target::Host(host.name.clone());
        let mut actions = Vec::new();
        let stale = member_of(input, host).filter(|member| !member.learner);
        if let Some(member) = stale {
            actions.push(Planned {
                action: Action::RemoveMember { name: host.name.clone(), id: member.id },
                reason: Reason::Differs { wanted: "its data".into(), found: "an empty disk".into() },
            });
        }
        if stale.is_some() || member_of(input, host).is_none() {
            actions.push(Planned {
                action: Action::AddLearner { peer_url: peer_url(host) },
                reason: Reason::Missing,
            });
        }
        let mut after: Vec<StepId> = previous.iter().cloned().collect();
        after.extend(graph.find(&target, Stage::Prepare));
        let added = graph.add(target.clone(), Stage::AddMember, actions, after);
        let start = graph.find(&target, Stage::Start);
        if let (Some(start), Some(before)) = (&start, added.clone().or_else(|| previous.clone())) {
            graph.wait_for(start, before);
        }
        let promote =
            Planned { action: Action::PromoteLearner { peer_url: peer_url(host) }, reason: Reason::Follows };
        let after = start.into_iter().chain(added).chain(previous.clone()).collect();
        previous = graph.add(target, Stage::PromoteMember, vec![promote], after).or(previous);
    }
}

/// Members whose host the inventory does not name any more.
pub(super) fn dropped_member<'a>(input: &'a PlanInput<'_>, name: &HostName) -> Option<&'a EtcdMember> {
    members(input).iter().find(|member| member.name == name.as_str())
}

/// How many voters would answer if `name` went away, and how many are needed then.
pub(super) fn voters_without(input: &PlanInput<'_>, name: &HostName) -> (usize, usize) {
    let joins = joining(input).len();
    let voters: Vec<_> = members(input).iter().filter(|member| !member.learner).collect();
    let left: Vec<_> = voters.iter().filter(|member| member.name != name.as_str()).collect();
    let healthy = left.iter().filter(|member| member.healthy).count() + joins;
    let after = left.len() + joins;
    (healthy, after / 2 + 1)
}

/// Whether an etcd host that can be reached is still to form the first cluster.
pub(super) fn unreachable_founders(input: &PlanInput<'_>) -> Vec<HostName> {
    let reached: Vec<&HostName> = reachable(input).map(|host| &host.name).collect();
    input
        .inventory
        .etcd_hosts()
        .filter(|host| !reached.contains(&&host.name))
        .map(|host| host.name.clone())
        .collect()
}

/// Whether etcd lists a member at this host's peer URL.
pub(super) fn is_member(input: &PlanInput<'_>, host: &Host) -> bool {
    member_of(input, host).is_some()
}

/// Whether a host's member answers as a voter.
pub(super) fn is_healthy(input: &PlanInput<'_>, host: &Host) -> bool {
    member_of(input, host).is_some_and(|member| member.healthy && !member.learner)
}

/// Whether any etcd host still holds member data.
pub(super) fn anyone_has_data(input: &PlanInput<'_>) -> bool {
    input
        .inventory
        .etcd_hosts()
        .any(|host| input.facts.host(&host.name).is_none_or(|facts| facts.etcd.has_data))
}
