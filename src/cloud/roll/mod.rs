//! Machines of a scaling group that were made from an older template are made anew, a few at a time: new ones come
//! and are nodes before old ones are drained and go. Nothing is remembered between runs but the size that a group
//! had before, on the group itself.

mod next;
mod run;
#[cfg(test)]
mod tests;

use futures::future::BoxFuture;
use std::collections::BTreeSet;

use super::name::{PhysicalId, ResourceName};
use super::ports::Call;
use crate::inventory::{CountOrShare, WorkerGroup};

pub use next::{Move, next};
pub use run::{Roll, RollError, RollEvent};

/// A scaling group as it is now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Group {
    pub size: Size,
    /// What it goes back to when its last machine has been made anew; None: it was not enlarged.
    pub before: Option<Size>,
    pub members: Vec<Member>,
}

impl Group {
    /// Whether there is anything to do.
    pub fn is_stale(&self) -> bool {
        self.before.is_some() || self.members.iter().any(|member| member.outdated)
    }
}

/// How many machines a group has and may have.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Size {
    pub desired: u32,
    pub max: u32,
}

/// A machine of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    pub id: PhysicalId,
    pub phase: Phase,
    /// It was made from another version of the template, or of a type that the group no longer takes.
    pub outdated: bool,
}

/// How far a machine is in the eyes of its group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    Coming,
    Serving,
    /// It is drained, or goes already.
    Leaving,
}

/// What is allowed while machines are made anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    pub surge: CountOrShare,
    pub unavailable: CountOrShare,
    /// Of the group, as the inventory wants it.
    pub max: u32,
}

impl From<&WorkerGroup> for Limits {
    fn from(group: &WorkerGroup) -> Self {
        Limits { surge: group.max_surge, unavailable: group.max_unavailable, max: group.max }
    }
}

/// What rolling asks of a cloud.
pub trait Groups: Send + Sync {
    /// None: there is no such group.
    fn group<'a>(&'a self, name: &'a ResourceName) -> Call<'a, Option<Group>>;

    /// Gives a group its size, and notes what it goes back to; None: nothing is noted any more.
    fn resize<'a>(&'a self, name: &'a ResourceName, to: Size, before: Option<Size>) -> Call<'a, ()>;

    /// Begins to take one machine away: its group has it drained. `shrink`: none comes in its place.
    fn terminate<'a>(&'a self, id: &'a PhysicalId, shrink: bool) -> Call<'a, ()>;
}

/// What rolling asks of the cluster.
pub trait Nodes: Send + Sync {
    /// Machines whose nodes are ready.
    ///
    /// # Errors
    /// What the cluster says.
    fn ready(&self) -> BoxFuture<'_, Result<BTreeSet<PhysicalId>, NodesError>>;

    /// Takes nodes out of the cluster whose machines have gone.
    ///
    /// # Errors
    /// What the cluster says.
    fn forget<'a>(&'a self, gone: &'a BTreeSet<PhysicalId>) -> BoxFuture<'a, Result<(), NodesError>>;
}

/// Why the cluster does not say which nodes it has.
pub type NodesError = Box<dyn std::error::Error + Send + Sync>;
