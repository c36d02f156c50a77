//! Everything of a cluster goes: what keelwright has made, what the cluster's own controllers have made beside it, and
//! nothing else. What somebody else has in the cluster's network keeps what it needs.

mod owner;
mod run;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use super::name::{PhysicalId, Ref, ResourceName};
use super::plan::{Change, InfraPlan, plan_infra};
use super::ports::{Found, Neighbour, NeighbourKind, Observed, State};
use super::resource::{DesiredState, Made, MadeKind, Resource, Tags};
use owner::{Owner, is_of_claim, owner, purpose};

pub(super) use owner::{OF_DRIVER, ownership};
pub use run::{Destroyer, Ended, Scene};

/// What is to become of volumes of claims, which hold data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Volumes {
    Keep,
    Delete,
}

/// What goes, and what stays.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Destruction {
    pub plan: InfraPlan,
    /// By what of somebody else's, and which resources of the cluster's.
    pub held: Vec<Held>,
    pub kept: Vec<KeptVolume>,
}

/// What cannot go because of something that is not the cluster's.
#[derive(Debug, Clone, PartialEq)]
pub struct Held {
    pub by: Neighbour,
    pub what: BTreeSet<ResourceName>,
}

/// A volume that stays.
#[derive(Debug, Clone, PartialEq)]
pub struct KeptVolume {
    pub volume: Neighbour,
    /// Whom it was made for; empty: its tags do not say.
    pub purpose: String,
    pub why: Keep,
}

/// Why a volume stays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Keep {
    /// Nobody has said that its data may go.
    Data,
    /// A machine has it that is not the cluster's.
    Elsewhere(PhysicalId),
    /// No tag says which cluster's it is.
    Unmarked,
}

/// What goes and what stays of what is seen.
pub fn plan_destroy(
    cluster: &str,
    observed: &Observed,
    neighbours: &[Neighbour],
    volumes: Volumes,
) -> Destruction {
    let mut seen = observed.clone();
    let held = held(cluster, observed, neighbours);
    let stays: BTreeSet<&ResourceName> = held.iter().flat_map(|held| &held.what).collect();
    seen.found.retain(|name, _| !stays.contains(name));
    let (claimed, kept) = volumes_of(cluster, neighbours, volumes);
    let made = neighbours.iter().filter_map(|neighbour| match owner(cluster, &neighbour.tags) {
        Owner::Cluster(purpose) => Some((neighbour, purpose)),
        Owner::Keelwright | Owner::Other => None,
    });
    let made: Vec<_> = made.flat_map(|(neighbour, purpose)| as_made(neighbour, &purpose, observed)).collect();
    add(&mut seen, made.into_iter().chain(claimed));
    // invariant: nothing is wanted, so nothing is compared, and nothing refused.
    let plan = plan_infra(cluster, &DesiredState::new(), &seen).unwrap_or_default();
    Destruction { plan, held, kept }
}

impl Destruction {
    /// Whether something goes here of which another destruction did not know.
    pub fn adds_to(&self, other: &Destruction) -> bool {
        let known = other.ids();
        !self.ids().is_subset(&known)
    }

    fn ids(&self) -> BTreeSet<&PhysicalId> {
        let steps = self.plan.steps.iter();
        let ids = steps.filter_map(|step| match &step.change {
            Change::Delete { there, .. } => Some(&there.id),
            Change::Create { .. } | Change::Update { .. } => None,
        });
        ids.collect()
    }
}

/// What needs this, by its id: whatever it is, it keeps it from going.
pub fn users<'a>(neighbours: &'a [Neighbour], id: &PhysicalId) -> Vec<&'a Neighbour> {
    let uses = |neighbour: &&Neighbour| neighbour.uses.contains(id) || neighbour.names.contains(id);
    neighbours.iter().filter(uses).collect()
}

/// What somebody else has in the way, and what it keeps. What goes by itself is not among it: interfaces of what has
/// just gone.
fn held(cluster: &str, observed: &Observed, neighbours: &[Neighbour]) -> Vec<Held> {
    let stays = |neighbour: &&Neighbour| match neighbour.kind {
        NeighbourKind::Balancer
        | NeighbourKind::ClassicBalancer
        | NeighbourKind::SecurityGroup
        | NeighbourKind::Instance
        | NeighbourKind::Subnet
        | NeighbourKind::Endpoint => true,
        // A target group outlives its network; volumes are in none.
        NeighbourKind::TargetGroup | NeighbourKind::Volume | NeighbourKind::Interface => false,
    };
    let strangers =
        neighbours.iter().filter(stays).filter(|neighbour| match owner(cluster, &neighbour.tags) {
            Owner::Keelwright => false,
            // Machines are no controller's to take along: whoever made one looks after it.
            Owner::Cluster(_) => matches!(
                neighbour.kind,
                NeighbourKind::Instance | NeighbourKind::Subnet | NeighbourKind::Endpoint
            ),
            Owner::Other => true,
        });
    let holds = strangers.map(|by| Held { by: by.clone(), what: needed_by(by, observed) });
    holds.filter(|held| !held.what.is_empty()).collect()
}

/// What of the cluster's a neighbour needs, and what that needs in turn.
fn needed_by(neighbour: &Neighbour, observed: &Observed) -> BTreeSet<ResourceName> {
    let all = || observed.found.iter().flat_map(|(name, all)| all.iter().map(move |found| (name, found)));
    let uses = |found: &Found| {
        let named = neighbour.uses.contains(&found.id) || neighbour.names.contains(&found.id);
        (named && !is_part(&found.resource)) || is_way_out(neighbour, found)
    };
    let mut what: BTreeSet<ResourceName> =
        all().filter(|(_, found)| uses(found)).map(|(name, _)| name.clone()).collect();
    loop {
        let needed =
            all().filter(|(name, _)| what.contains(*name)).flat_map(|(_, found)| found.resource.needs());
        let ours: BTreeSet<ResourceName> = needed
            .filter_map(|need| match need {
                Ref::Ours(name) if observed.found.contains_key(name) => Some(name.clone()),
                Ref::Ours(_) | Ref::Theirs(_) => None,
            })
            .collect();
        if ours.is_subset(&what) {
            return what;
        }
        what.extend(ours);
    }
}

/// Whether it is the way to the Internet of something that has an address there, which AWS does not take away.
fn is_way_out(neighbour: &Neighbour, found: &Found) -> bool {
    let of_its_network = found.refers.iter().any(|id| neighbour.uses.contains(id));
    neighbour.public && matches!(found.resource, Resource::InternetGateway(_)) && of_its_network
}

/// Volumes of claims that go, and those that stay.
fn volumes_of(
    cluster: &str,
    neighbours: &[Neighbour],
    volumes: Volumes,
) -> (Vec<(ResourceName, Found)>, Vec<KeptVolume>) {
    let of_kind = |kind| neighbours.iter().filter(move |neighbour| neighbour.kind == kind);
    let machines: BTreeSet<&PhysicalId> = of_kind(NeighbourKind::Instance)
        .filter(|machine| owner(cluster, &machine.tags) == Owner::Keelwright)
        .map(|machine| &machine.id)
        .collect();
    let (mut go, mut kept) = (Vec::new(), Vec::new());
    for volume in of_kind(NeighbourKind::Volume).filter(|volume| is_of_claim(&volume.tags)) {
        let elsewhere = volume.uses.iter().find(|machine| !machines.contains(machine));
        let why = match (owner(cluster, &volume.tags), elsewhere) {
            (Owner::Cluster(_), Some(machine)) => Keep::Elsewhere(machine.clone()),
            (Owner::Cluster(_), None) if volumes == Volumes::Keep => Keep::Data,
            (Owner::Cluster(purpose), None) => {
                go.extend(made(volume, MadeKind::Volume, &purpose, BTreeSet::new()));
                continue;
            }
            // One that a machine of the cluster has is the cluster's, most likely.
            (Owner::Other, None) if !volume.uses.is_empty() => Keep::Unmarked,
            (Owner::Other | Owner::Keelwright, _) => continue,
        };
        kept.push(KeptVolume { volume: volume.clone(), purpose: purpose(&volume.tags), why });
    }
    (go, kept)
}

/// As resources of the cluster's, each with what it needs.
fn as_made(neighbour: &Neighbour, purpose: &str, observed: &Observed) -> Vec<(ResourceName, Found)> {
    let uses = || {
        let gateways = observed.found.values().flatten().filter(|found| is_way_out(neighbour, found));
        neighbour.uses.iter().chain(gateways.map(|found| &found.id)).cloned().collect()
    };
    match neighbour.kind {
        NeighbourKind::Balancer => made(neighbour, MadeKind::Balancer, purpose, uses()),
        NeighbourKind::ClassicBalancer => made(neighbour, MadeKind::ClassicBalancer, purpose, uses()),
        NeighbourKind::TargetGroup => made(neighbour, MadeKind::TargetGroup, purpose, uses()),
        NeighbourKind::SecurityGroup => {
            let mut all = made(neighbour, MadeKind::SecurityGroup, purpose, uses());
            let mut named = neighbour.names.clone();
            named.insert(neighbour.id.clone());
            all.extend(made(neighbour, MadeKind::SecurityRules, purpose, named));
            all
        }
        // Volumes are told apart from these; and these are not a controller's to take along.
        NeighbourKind::Volume
        | NeighbourKind::Instance
        | NeighbourKind::Subnet
        | NeighbourKind::Endpoint
        | NeighbourKind::Interface => Vec::new(),
    }
}

fn made(
    neighbour: &Neighbour,
    what: MadeKind,
    purpose: &str,
    needs: BTreeSet<PhysicalId>,
) -> Vec<(ResourceName, Found)> {
    let short = if neighbour.name.is_empty() { neighbour.id.as_str() } else { neighbour.name.as_str() };
    let purpose = purpose.to_owned();
    let made = Made { what, purpose, needs: needs.iter().cloned().map(Ref::Theirs).collect() };
    let found = Found {
        id: neighbour.id.clone(),
        resource: Resource::Made(made),
        tags: Tags::new(),
        state: State::Ready,
        refers: needs,
    };
    vec![(ResourceName::new(what.word(), short), found)]
}

/// Whether the id is another resource's, of which it is part, or a name that is free.
fn is_part(resource: &Resource) -> bool {
    let of_group = matches!(resource, Resource::Made(made) if made.what == MadeKind::SecurityRules);
    let part = matches!(
        resource,
        Resource::SecurityRules(_)
            | Resource::Attachment(_)
            | Resource::Targets(_)
            | Resource::Record(_)
            | Resource::ScalingGroup(_)
    );
    of_group || part
}

/// Puts what was made beside the rest, and lets all name each other.
fn add(seen: &mut Observed, made: impl Iterator<Item = (ResourceName, Found)>) {
    for (name, found) in made {
        seen.found.entry(name).or_default().push(found);
    }
    let names: BTreeMap<PhysicalId, ResourceName> = seen
        .found
        .iter()
        .flat_map(|(name, all)| all.iter().map(move |found| (name, found)))
        .filter(|(_, found)| !is_part(&found.resource))
        .map(|(name, found)| (found.id.clone(), name.clone()))
        .collect();
    for found in seen.found.values_mut().flatten() {
        found.resource = found.resource.clone().map_refs(&mut |reference| match &reference {
            Ref::Theirs(id) => names.get(id).map_or(reference.clone(), Ref::from),
            Ref::Ours(_) => reference,
        });
    }
}
