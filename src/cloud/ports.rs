//! What the rest of keelwright wants of a cloud.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};

use super::name::{PhysicalId, ResourceName};
use super::resource::{Desired, Resource, Tags};

/// One resource that is there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Found {
    pub id: PhysicalId,
    #[serde(flatten)]
    pub resource: Resource,
    /// All but keelwright's own.
    #[serde(default, skip_serializing_if = "Tags::is_empty")]
    pub tags: Tags,
    pub state: State,
    /// What it names, as the cloud calls it.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub refers: BTreeSet<PhysicalId>,
}

/// How far a resource is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    Ready,
    /// It will be ready by itself: what it says of itself.
    Pending(String),
    /// It goes by itself.
    Leaving(String),
    /// It will never be ready.
    Failed(String),
    Gone,
}

/// All of a cluster's resources that were seen.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Observed {
    /// More than one under a name: something was made twice.
    pub found: BTreeMap<ResourceName, Vec<Found>>,
    /// Resources of these names that have gone, and are still seen.
    pub past: BTreeMap<ResourceName, Vec<PhysicalId>>,
    pub addresses: BTreeMap<ResourceName, Addresses>,
    /// DNS names of balancers.
    pub names: BTreeMap<ResourceName, String>,
}

/// Where a machine can be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Addresses {
    pub private: Ipv4Addr,
    pub public: Option<Ipv4Addr>,
}

/// Something in the cluster's network, or a volume of a claim, whoever made it: what can be in the way when the
/// network goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Neighbour {
    pub id: PhysicalId,
    pub kind: NeighbourKind,
    /// For people; empty: it has none.
    pub name: String,
    /// All of them.
    pub tags: Tags,
    /// What it is in or attached to, as the cloud calls it.
    pub uses: BTreeSet<PhysicalId>,
    /// Security groups that its rules name.
    pub names: BTreeSet<PhysicalId>,
    /// Reached from the Internet, so its network keeps its way out.
    pub public: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum NeighbourKind {
    Balancer,
    ClassicBalancer,
    TargetGroup,
    SecurityGroup,
    Volume,
    Instance,
    Subnet,
    Endpoint,
    /// A network interface, whatever has it. It may be on its way out with that.
    Interface,
}

/// Where a name leads when something is made or changed.
pub type Ids = BTreeMap<ResourceName, PhysicalId>;

/// What went wrong, by what helps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// Too many calls; this one was not carried out.
    Throttled,
    /// Nothing says whether it was carried out: a time-out, a lost connection, an error of the cloud's own.
    Unknown,
    /// Something it names is not there, or not there yet.
    NotFound,
    /// It is there already.
    Exists,
    /// Something depends on it still.
    InUse,
    /// It is not as it has to be for this, yet.
    WrongState,
    /// The credentials do not allow it.
    Denied,
    /// A limit of the account is reached, or the zone has no such machines left.
    Limit,
    /// The request is wrong, and will be.
    Invalid,
}

/// A call that failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{call}: {code}: {message}")]
pub struct CloudError {
    pub trouble: Trouble,
    /// Such as `ec2:RunInstances`, which is also the action that a policy allows.
    pub call: &'static str,
    /// The cloud's own code.
    pub code: String,
    pub message: String,
}

/// A cloud, bound to one cluster in one region.
pub trait CloudApi: Send + Sync {
    /// Everything that carries the cluster's tags.
    fn observe(&self) -> Call<'_, Observed>;

    /// Everything in a network, and every volume of a claim.
    fn neighbours<'a>(&'a self, network: Option<&'a PhysicalId>) -> Call<'a, Vec<Neighbour>>;

    /// Makes a resource, tagged from the first moment where the cloud can do that. The same token never makes a
    /// second one where the cloud knows tokens.
    fn create<'a>(
        &'a self,
        name: &'a ResourceName,
        wanted: &'a Desired,
        ids: &'a Ids,
        token: &'a str,
    ) -> Call<'a, PhysicalId>;

    /// Resources of that name and kind, with no more calls than that takes: for a creation whose answer was lost.
    fn find<'a>(&'a self, name: &'a ResourceName, wanted: &'a Resource, ids: &'a Ids)
    -> Call<'a, Vec<Found>>;

    /// Gives a resource the wanted fields and tags. It may be called again with the same values.
    fn update<'a>(
        &'a self,
        name: &'a ResourceName,
        there: &'a Found,
        wanted: &'a Desired,
        ids: &'a Ids,
    ) -> Call<'a, ()>;

    /// Begins to take a resource away. One that has gone is no error. `force`: what works is not drained first.
    fn delete<'a>(&'a self, name: &'a ResourceName, there: &'a Found, force: bool) -> Call<'a, ()>;

    /// How far a resource is; `Gone` when it is not seen.
    fn state<'a>(
        &'a self,
        name: &'a ResourceName,
        id: &'a PhysicalId,
        kind: &'a Resource,
        ids: &'a Ids,
    ) -> Call<'a, State>;
}

/// What a call gives.
pub type Call<'a, T> = BoxFuture<'a, Result<T, CloudError>>;
