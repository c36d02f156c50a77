//! What the graph alone says about the order of steps. "Unknown" is the safe answer everywhere: it can only
//! make the checks find more.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::super::model::{Plan, Step, StepId};

/// Where in a plan each step is.
pub(super) type Places<'a> = HashMap<&'a StepId, usize>;

/// A point in a plan: an action of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Moment {
    pub step: usize,
    pub action: usize,
}

/// Which steps certainly come before which, where one of the two is a pivot. Pivots are few, so this takes
/// little for many steps; nobody asks about the order of two workers.
pub(super) struct Order<'a> {
    steps: &'a [Step],
    waits: Vec<Waits>,
    pivots: BTreeMap<usize, usize>,
    /// Of each step: the pivots that certainly come before it, and after it.
    before: Vec<Bits>,
    after: Vec<Bits>,
}

/// The steps that a step waits for, by their places: all of some, one of others.
struct Waits {
    all: Vec<usize>,
    any: Vec<usize>,
}

impl<'a> Order<'a> {
    pub fn new(plan: &'a Plan, place: &Places<'_>, pivots: &BTreeSet<usize>) -> Self {
        let pivots: BTreeMap<usize, usize> =
            pivots.iter().enumerate().map(|(number, step)| (*step, number)).collect();
        let none = vec![Bits::none(pivots.len()); plan.steps.len()];
        let waits = waits(&plan.steps, place);
        let mut order = Order { steps: &plan.steps, waits, pivots, before: none.clone(), after: none };
        order.look_back();
        order.look_ahead();
        order
    }

    /// Whether one point certainly comes before another; the steps of points in different steps must be
    /// pivots, at least one of them, or belong to one target.
    pub fn certain(&self, first: Moment, second: Moment) -> bool {
        if first.step == second.step {
            return first.action < second.action;
        }
        self.certain_steps(first.step, second.step)
    }

    pub fn certain_steps(&self, first: usize, second: usize) -> bool {
        let (Some(after_first), Some(before_second)) = (self.after.get(first), self.before.get(second))
        else {
            return false;
        };
        match (self.pivots.get(&first), self.pivots.get(&second)) {
            (Some(pivot), _) => before_second.has(*pivot),
            (None, Some(pivot)) => after_first.has(*pivot),
            (None, None) => after_first.meets(before_second) || self.certain_of_target(first, second),
        }
    }

    pub fn id(&self, step: usize) -> Option<&StepId> {
        self.steps.get(step).map(|step| &step.id)
    }

    /// Along steps of one target only.
    fn certain_of_target(&self, first: usize, second: usize) -> bool {
        let target = self.steps.get(first).map(|step| &step.target);
        let mut open = vec![second];
        let mut seen = BTreeSet::new();
        while let Some(at) = open.pop() {
            let of_target = self.steps.get(at).filter(|step| Some(&step.target) == target);
            if of_target.is_none() || !seen.insert(at) {
                continue;
            }
            if at == first {
                return true;
            }
            open.extend(self.waits.get(at).into_iter().flat_map(|waits| &waits.all));
        }
        false
    }

    fn look_back(&mut self) {
        for (at, waits) in self.waits.iter().enumerate() {
            let mut before = Bits::none(self.pivots.len());
            for earlier in &waits.all {
                self.add_up_to(*earlier, &mut before);
            }
            let alternatives = waits.any.iter().map(|earlier| {
                let mut bits = Bits::none(self.pivots.len());
                self.add_up_to(*earlier, &mut bits);
                bits
            });
            if let Some(common) = alternatives.reduce(Bits::in_both) {
                before.add(&common);
            }
            if let Some(slot) = self.before.get_mut(at) {
                *slot = before;
            }
        }
    }

    fn add_up_to(&self, step: usize, bits: &mut Bits) {
        if let Some(before) = self.before.get(step) {
            bits.add(before);
        }
        bits.set(self.pivots.get(&step));
    }

    /// One of several steps may be left out, so only what every step waits for counts here.
    fn look_ahead(&mut self) {
        for (at, waits) in self.waits.iter().enumerate().rev() {
            let Some(mut from_here) = self.after.get(at).cloned() else { continue };
            from_here.set(self.pivots.get(&at));
            let only: &[usize] = if waits.any.len() == 1 { &waits.any } else { &[] };
            for earlier in waits.all.iter().chain(only) {
                if let Some(after) = self.after.get_mut(*earlier) {
                    after.add(&from_here);
                }
            }
        }
    }
}

fn waits(steps: &[Step], place: &Places<'_>) -> Vec<Waits> {
    // What is not before a step is a flaw of its own, and orders nothing.
    let places = |at: usize, ids: &[StepId]| -> Vec<usize> {
        ids.iter().filter_map(|id| place.get(id).copied()).filter(|earlier| *earlier < at).collect()
    };
    let waits =
        |(at, step): (usize, &Step)| Waits { all: places(at, &step.after), any: places(at, &step.after_any) };
    steps.iter().enumerate().map(waits).collect()
}

/// A set of pivots.
#[derive(Debug, Clone)]
struct Bits(Vec<u64>);

impl Bits {
    fn none(pivots: usize) -> Self {
        Bits(vec![0; pivots.div_ceil(64)])
    }

    fn set(&mut self, pivot: Option<&usize>) {
        if let Some(pivot) = pivot
            && let Some(word) = self.0.get_mut(pivot / 64)
        {
            *word |= 1 << (pivot % 64);
        }
    }

    fn has(&self, pivot: usize) -> bool {
        self.0.get(pivot / 64).is_some_and(|word| word & (1 << (pivot % 64)) != 0)
    }

    fn add(&mut self, other: &Bits) {
        self.0.iter_mut().zip(&other.0).for_each(|(word, other)| *word |= other);
    }

    fn in_both(mut self, other: Bits) -> Bits {
        self.0.iter_mut().zip(&other.0).for_each(|(word, other)| *word &= other);
        self
    }

    fn meets(&self, other: &Bits) -> bool {
        self.0.iter().zip(&other.0).any(|(word, other)| word & other != 0)
    }
}
