//! What is left to do between the resources that are wanted and those that are there. Pure: equal inputs give
//! equal plans.

mod compare;
mod order;
#[cfg(test)]
mod tests;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::name::{PhysicalId, ResourceName};
use super::ports::{Found, Observed, State};
use super::resource::{Desired, DesiredState, Manner};
use compare::{Difference, compare};

/// The steps from what is there to what is wanted, each after those it waits for.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InfraPlan {
    pub steps: Vec<InfraStep>,
}

/// One change of one resource.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InfraStep {
    pub name: ResourceName,
    pub change: Change,
    /// Places of earlier steps.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub after: BTreeSet<usize>,
}

/// What is done to a resource.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "do")]
pub enum Change {
    #[serde(rename_all = "camelCase")]
    Create {
        wanted: Desired,
        /// The same for as long as nothing of that name has been made and gone.
        token: String,
    },
    #[serde(rename_all = "camelCase")]
    Update {
        there: Found,
        wanted: Desired,
        fields: Vec<FieldChange>,
        /// A machine stops for it.
        stops: bool,
    },
    #[serde(rename_all = "camelCase")]
    Delete { there: Found, why: Why },
}

/// A field before and after.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FieldChange {
    pub field: String,
    pub from: Value,
    pub to: Value,
}

/// Why something goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Why {
    /// Nothing wants it.
    Unwanted,
    /// There is another one of its name.
    Twice,
    /// It cannot be changed as wanted, and comes again.
    Replaced,
    /// It never became ready.
    Failed,
    /// It goes already, and is waited for.
    Leaving,
}

/// A difference that keelwright does not make.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name}: {field} cannot change from {from} to {to}: {why}")]
pub struct Refusal {
    pub name: ResourceName,
    pub field: String,
    pub from: String,
    pub to: String,
    pub why: &'static str,
}

/// The plan; or everything that is refused.
pub fn plan_infra(
    cluster: &str,
    wanted: &DesiredState,
    observed: &Observed,
) -> Result<InfraPlan, Vec<Refusal>> {
    let sorted = Sorted::new(observed);
    let mut refusals = Vec::new();
    let mut decided = Decided::default();
    for (name, desired) in wanted {
        match sorted.kept.get(name) {
            None => decided.create(name, desired),
            Some(there) => match compare(name, desired, there) {
                Ok(difference) => decided.change(name, desired, there, difference),
                Err(refused) => refusals.extend(refused),
            },
        }
    }
    if !refusals.is_empty() {
        return Err(refusals);
    }
    decided.follow_replacements(wanted, &sorted.kept, observed);
    for (name, there) in sorted.kept.iter().filter(|(name, _)| !wanted.contains_key(*name)) {
        decided.delete(name, there, Why::Unwanted);
    }
    for (name, there, why) in &sorted.going {
        decided.delete(name, there, *why);
    }
    Ok(order::ordered(decided.into_steps(cluster, observed), &sorted.kept))
}

/// The first field of a resource that is not as it is wanted.
pub(super) fn difference(
    name: &ResourceName,
    wanted: &Desired,
    there: &Found,
) -> Result<Option<String>, Refusal> {
    match compare(name, wanted, there) {
        Ok(difference) => Ok(difference.fields.into_iter().next().map(|change| change.field)),
        // invariant: a refusal names at least one field.
        Err(refused) => refused.into_iter().next().map_or(Ok(None), Err),
    }
}

/// What is there, by what becomes of it.
struct Sorted<'a> {
    kept: BTreeMap<&'a ResourceName, &'a Found>,
    going: Vec<(&'a ResourceName, &'a Found, Why)>,
}

impl<'a> Sorted<'a> {
    fn new(observed: &'a Observed) -> Self {
        let mut sorted = Sorted { kept: BTreeMap::new(), going: Vec::new() };
        let mut referred: BTreeMap<&PhysicalId, usize> = BTreeMap::new();
        for id in observed.found.values().flatten().flat_map(|found| &found.refers) {
            *referred.entry(id).or_default() += 1;
        }
        for (name, all) in &observed.found {
            // Of two, that which others name; then any, but always the same.
            let stays = |found: &&Found| matches!(found.state, State::Ready | State::Pending(_));
            let best = all.iter().filter(stays).max_by_key(|found| {
                (referred.get(&found.id).copied().unwrap_or(0), Reverse(found.id.clone()))
            });
            sorted.kept.extend(best.map(|found| (name, found)));
            for found in all.iter().filter(|found| best.is_none_or(|best| best.id != found.id)) {
                let why = match found.state {
                    State::Ready | State::Pending(_) => Why::Twice,
                    State::Failed(_) => Why::Failed,
                    State::Leaving(_) => Why::Leaving,
                    State::Gone => continue,
                };
                sorted.going.push((name, found, why));
            }
        }
        sorted
    }
}

/// What was decided for each resource.
#[derive(Default)]
struct Decided {
    creates: BTreeMap<ResourceName, Desired>,
    updates: BTreeMap<ResourceName, (Found, Desired, Vec<FieldChange>, bool)>,
    deletes: Vec<(ResourceName, Found, Why)>,
}

impl Decided {
    fn create(&mut self, name: &ResourceName, desired: &Desired) {
        self.creates.insert(name.clone(), desired.clone());
    }

    fn delete(&mut self, name: &ResourceName, there: &Found, why: Why) {
        self.deletes.push((name.clone(), there.clone(), why));
    }

    fn change(&mut self, name: &ResourceName, desired: &Desired, there: &Found, difference: Difference) {
        match difference.manner {
            None => {}
            Some(Manner::Replaces) => self.replace(name, desired, there),
            Some(manner) => {
                let stops = manner == Manner::Stops;
                let update = (there.clone(), difference.wanted, difference.fields, stops);
                self.updates.insert(name.clone(), update);
            }
        }
    }

    fn replace(&mut self, name: &ResourceName, desired: &Desired, there: &Found) {
        self.delete(name, there, Why::Replaced);
        self.create(name, desired);
    }

    /// What names a resource that comes again names the new one: it comes again, too, or is told.
    fn follow_replacements(
        &mut self,
        wanted: &DesiredState,
        kept: &BTreeMap<&ResourceName, &Found>,
        observed: &Observed,
    ) {
        loop {
            let before = (self.creates.len(), self.updates.len());
            for (name, desired) in wanted {
                let Some(there) = kept.get(name) else { continue };
                let was = |need: &ResourceName| observed.found.contains_key(need);
                let replaced = |need: &&ResourceName| self.creates.contains_key(*need) && was(need);
                let needs = compare::needs(&desired.resource);
                if self.creates.contains_key(name) || !needs.iter().any(replaced) {
                    continue;
                }
                if desired.resource.goes_with_what_it_needs() {
                    self.updates.remove(name);
                    self.replace(name, desired, there);
                } else if !self.updates.contains_key(name) {
                    let update = ((*there).clone(), desired.clone(), Vec::new(), false);
                    self.updates.insert(name.clone(), update);
                }
            }
            if before == (self.creates.len(), self.updates.len()) {
                return;
            }
        }
    }

    fn into_steps(self, cluster: &str, observed: &Observed) -> Vec<(ResourceName, Change)> {
        let mut steps = Vec::new();
        let deletes = self.deletes.into_iter();
        steps.extend(deletes.map(|(name, there, why)| (name, Change::Delete { there, why })));
        for (name, wanted) in self.creates {
            let token = token(cluster, &name, observed);
            steps.push((name, Change::Create { wanted, token }));
        }
        for (name, (there, wanted, fields, stops)) in self.updates {
            steps.push((name, Change::Update { there, wanted, fields, stops }));
        }
        steps
    }
}

/// The cloud gives the same resource to the same token, also one that has gone by then; so what has gone, or is
/// about to, is part of it.
fn token(cluster: &str, name: &ResourceName, observed: &Observed) -> String {
    let mut hash = Sha256::new();
    hash.update(cluster);
    hash.update([0]);
    hash.update(name.as_str());
    let found = observed.found.get(name).into_iter().flatten().map(|found| &found.id);
    let past = observed.past.get(name).into_iter().flatten();
    for id in found.chain(past).collect::<BTreeSet<_>>() {
        hash.update([0]);
        hash.update(id.as_str());
    }
    text_of(hash)
}

/// Another token, for when what the first one made has gone.
pub(super) fn token_after(token: &str, gone: &PhysicalId) -> String {
    let mut hash = Sha256::new();
    hash.update(token);
    hash.update([0]);
    hash.update(gone.as_str());
    text_of(hash)
}

/// EC2 takes 64 characters, and a hash has as many as that.
fn text_of(hash: Sha256) -> String {
    hex::encode(hash.finalize())
}
