//! What keelwright has not made: things of others, and of controllers in the cluster.

use std::collections::BTreeSet;

use super::{FakeCloud, Thing, World, error};
use crate::cloud::name::PhysicalId;
use crate::cloud::ports::{CloudError, Neighbour, NeighbourKind, State, Trouble};
use crate::cloud::resource::{Made, MadeKind};
use crate::cloud::tags;

pub(super) struct Foreign {
    pub neighbour: Neighbour,
    pub gone_in: Option<u32>,
}

impl FakeCloud {
    /// Somebody else, or a controller in the cluster, makes something.
    pub fn place(&self, neighbour: Neighbour) {
        self.world().place(neighbour);
    }

    /// Ids of what others have made.
    pub fn foreign(&self) -> Vec<String> {
        let world = self.world();
        let there = world.foreign.iter().filter(|(_, foreign)| foreign.gone_in.is_none());
        there.map(|(id, _)| id.to_string()).collect()
    }
}

impl World {
    pub(super) fn place(&mut self, neighbour: Neighbour) {
        self.foreign.insert(neighbour.id.clone(), Foreign { neighbour, gone_in: None });
    }

    /// Whether the cluster's controllers run.
    fn is_controlled(&self) -> bool {
        self.things.values().any(|thing| {
            thing.name.as_str().starts_with("instance/cp-") && thing.gone_in.is_none_or(|looks| looks > 0)
        })
    }

    /// Takes away what a controller has made; one that runs makes its balancers again.
    pub(super) fn delete_made(
        &mut self,
        id: &PhysicalId,
        made: &Made,
        gone_in: u32,
    ) -> Result<(), CloudError> {
        let Some(foreign) = self.foreign.get_mut(id) else { return Ok(()) };
        if made.what == MadeKind::SecurityRules {
            foreign.neighbour.names.clear();
            return Ok(());
        }
        let neighbour = foreign.neighbour.clone();
        let attached = made.what == MadeKind::Volume
            && neighbour.uses.iter().any(|machine| self.things.contains_key(machine));
        match self.users_of(id).first() {
            Some(user) => return Err(error(Trouble::InUse, &format!("{user} uses it"))),
            None if attached => return Err(error(Trouble::InUse, "a machine has it")),
            None => {}
        }
        if matches!(made.what, MadeKind::Balancer | MadeKind::ClassicBalancer) && self.is_controlled() {
            let id = PhysicalId(format!("{id}-again"));
            self.place(Neighbour { id, ..neighbour });
        }
        if let Some(foreign) = self.foreign.get_mut(id) {
            foreign.gone_in.get_or_insert(gone_in);
        }
        Ok(())
    }

    pub(super) fn look_at_foreign(&mut self) {
        let mut left = Vec::new();
        for (id, foreign) in &mut self.foreign {
            match &mut foreign.gone_in {
                Some(0) => left.push(id.clone()),
                Some(looks) => *looks -= 1,
                None => {}
            }
        }
        left.iter().for_each(|id| drop(self.foreign.remove(id)));
    }

    /// A machine that has gone has no volumes.
    pub(super) fn detach_from(&mut self, machine: &PhysicalId) {
        for foreign in self.foreign.values_mut() {
            foreign.neighbour.uses.remove(machine);
        }
    }

    pub(super) fn foreign_users_of(&self, id: &PhysicalId) -> Vec<String> {
        let uses = |foreign: &&Foreign| {
            let Neighbour { kind, uses, names, .. } = &foreign.neighbour;
            // A machine that goes lets go of its volumes.
            *kind != NeighbourKind::Volume && (uses.contains(id) || names.contains(id))
        };
        self.foreign.values().filter(uses).map(|foreign| foreign.neighbour.id.to_string()).collect()
    }

    pub(super) fn neighbours(&self) -> Vec<Neighbour> {
        let foreign = self.foreign.values().filter(|foreign| foreign.gone_in.is_none());
        let mut all: Vec<Neighbour> = foreign.map(|foreign| foreign.neighbour.clone()).collect();
        // Machines of keelwright's are among them, like any other.
        let machine = |(id, thing): (&PhysicalId, &Thing)| Neighbour {
            id: id.clone(),
            kind: NeighbourKind::Instance,
            name: thing.name.to_string(),
            tags: [(tags::CLUSTER.to_owned(), "test".to_owned())].into(),
            uses: BTreeSet::new(),
            names: BTreeSet::new(),
            public: false,
        };
        let machines = self.things.iter().filter(|(_, thing)| thing.name.kind() == "instance");
        all.extend(machines.map(machine));
        all
    }

    pub(super) fn made_state(&self, id: &PhysicalId, made: &Made) -> State {
        let rules = made.what == MadeKind::SecurityRules;
        let there = self.foreign.get(id);
        let there = there.filter(|foreign| !rules || !foreign.neighbour.names.is_empty());
        there.map_or(State::Gone, |foreign| match foreign.gone_in {
            Some(_) => State::Leaving("going".to_owned()),
            None => State::Ready,
        })
    }
}
