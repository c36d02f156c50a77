//! The cheapest way through the states that the policy allows (A*).

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use super::cost::{Cost, Prices, Rank};
use super::fleet::Fleet;
use super::path::Releases;
use super::state::{State, Step};

/// The steps of a way that costs least; None when there is no way.
pub(super) fn cheapest_steps(fleet: &Fleet, releases: &Releases) -> Option<Vec<Step>> {
    let mut search = Search::new(Prices { releases, groups: fleet.node_groups() });
    search.reach(fleet.state(), Way::default());
    while let Some(Open { index: Reverse(index), .. }) = search.open.pop() {
        let Reached { state, way } = search.reached.get(index)?.clone();
        if search.cheapest.get(&state) != Some(&way.cost) {
            continue;
        }
        if search.is_target(&state) {
            return Some(search.steps_to(index));
        }
        for (step, next) in state.next(releases) {
            let cost = way.cost + search.prices.of(&state, step);
            search.reach(next, Way { cost, steps: way.steps + 1, last: Some((index, step)) });
        }
    }
    None
}

struct Search<'a> {
    prices: Prices<'a>,
    reached: Vec<Reached>,
    cheapest: HashMap<State, Cost>,
    open: BinaryHeap<Open>,
}

/// A state that was reached, and how.
#[derive(Clone)]
struct Reached {
    state: State,
    way: Way,
}

#[derive(Clone, Copy, Default)]
struct Way {
    cost: Cost,
    steps: usize,
    /// From which state that was reached before, by which step.
    last: Option<(usize, Step)>,
}

/// A state to go on from: the greatest is where the whole way may cost least; of those the one that is
/// furthest, and of its siblings the one whose step is to come first.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Open {
    whole: Reverse<Cost>,
    steps: usize,
    rank: Reverse<Rank>,
    index: Reverse<usize>,
}

impl<'a> Search<'a> {
    fn new(prices: Prices<'a>) -> Self {
        Search { prices, reached: Vec::new(), cheapest: HashMap::new(), open: BinaryHeap::new() }
    }

    fn reach(&mut self, state: State, way: Way) {
        if self.cheapest.get(&state).is_some_and(|cheapest| *cheapest <= way.cost) {
            return;
        }
        let Some(rest) = self.prices.at_least(&state) else { return };
        self.cheapest.insert(state.clone(), way.cost);
        self.open.push(Open {
            whole: Reverse(way.cost + rest),
            steps: way.steps,
            rank: Reverse(way.last.map(|(_, step)| self.prices.rank(step)).unwrap_or_default()),
            index: Reverse(self.reached.len()),
        });
        self.reached.push(Reached { state, way });
    }

    fn is_target(&self, state: &State) -> bool {
        self.prices.at_least(state) == Some(Cost::default())
    }

    fn steps_to(&self, index: usize) -> Vec<Step> {
        let before = |index: &usize| self.reached.get(*index)?.way.last.map(|(before, _)| before);
        let way = std::iter::successors(Some(index), before);
        let steps = way.filter_map(|index| self.reached.get(index)?.way.last.map(|(_, step)| step));
        let mut steps: Vec<Step> = steps.collect();
        steps.reverse();
        steps
    }
}
