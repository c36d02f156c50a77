//! What goes wrong, and when: chosen by a seed, or at one given boundary.
//!
//! A boundary is a moment just before or just after an effect on a machine, the API, etcd or the vault.

use std::collections::BTreeMap;
use std::time::Duration;

use super::random::Random;

/// Everything that can go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// The operator's process dies; what runs on machines goes on.
    Kill,
    /// The operator's process dies and the running stage with it.
    KillWithStage,
    /// The machine loses power and comes back a little later.
    PowerCut,
    /// The connection falls for a moment; the stage goes on.
    Disconnect,
    /// The machine cannot be reached for minutes.
    Unreachable,
    /// An operation fails once.
    Fail,
    /// No space left on the device, once.
    DiskFull,
    /// The machine stalls.
    Stall,
    /// The API refuses (429, 500) or does not answer.
    ApiError,
    /// The effect happened; the answer is lost.
    LostReply,
}

impl Fault {
    pub const ALL: [Fault; 10] = [
        Fault::Kill,
        Fault::KillWithStage,
        Fault::PowerCut,
        Fault::Disconnect,
        Fault::Unreachable,
        Fault::Fail,
        Fault::DiskFull,
        Fault::Stall,
        Fault::ApiError,
        Fault::LostReply,
    ];

    pub fn describe(self) -> &'static str {
        match self {
            Fault::Kill => "the operator's process is killed",
            Fault::KillWithStage => "the operator's process and the stage are killed",
            Fault::PowerCut => "the power is cut",
            Fault::Disconnect => "the connection falls",
            Fault::Unreachable => "the machine cannot be reached",
            Fault::Fail => "an operation fails",
            Fault::DiskFull => "the disk is full",
            Fault::Stall => "the machine stalls",
            Fault::ApiError => "the API answers with an error",
            Fault::LostReply => "an answer is lost after its effect",
        }
    }
}

/// Where a boundary is: decides which faults make sense there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Site {
    /// An operation of a stage.
    Host,
    /// A call of the API or of etcd.
    Api,
    /// The vault, a probe, the end of a step.
    Operator,
}

/// How much goes wrong.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Amount {
    #[default]
    None,
    Some,
    Many,
}

#[derive(Debug, Clone)]
pub struct Faults {
    pub random: Random,
    amount: Amount,
    /// One fault at one boundary.
    pub at: Option<(u64, Fault)>,
    /// Boundaries passed so far.
    pub passed: u64,
    /// How many may still happen: a run with faults for ever could not converge.
    left: u32,
    pub hit: BTreeMap<Fault, u64>,
    /// Resume paths that were really taken.
    pub seen: BTreeMap<&'static str, u64>,
}

impl Faults {
    pub fn none() -> Self {
        Faults::random(0, Amount::None)
    }

    pub fn random(seed: u64, amount: Amount) -> Self {
        let mut random = Random::new(seed);
        let left = match amount {
            Amount::None => 0,
            Amount::Some => 1 + random.below(3),
            Amount::Many => 3 + random.below(10),
        };
        let left = u32::try_from(left).unwrap_or(0);
        Faults { random, amount, at: None, passed: 0, left, hit: BTreeMap::new(), seen: BTreeMap::new() }
    }

    /// Exactly one fault, when the given boundary is passed.
    pub fn once(boundary: u64, fault: Fault) -> Self {
        Faults { at: Some((boundary, fault)), ..Faults::none() }
    }

    /// No more faults: from here on the fleet must converge.
    pub fn stop(&mut self) {
        self.left = 0;
        self.at = None;
    }

    pub fn note(&mut self, path: &'static str) {
        *self.seen.entry(path).or_default() += 1;
    }

    /// Passes a boundary; the fault that happens there.
    pub fn pass(&mut self, site: Site, before: bool) -> Option<Fault> {
        self.passed += 1;
        let fault = match self.at {
            Some((boundary, fault)) if boundary == self.passed => Some(fault),
            Some(_) | None => self.chosen(site, before),
        }?;
        *self.hit.entry(fault).or_default() += 1;
        Some(fault)
    }

    fn chosen(&mut self, site: Site, before: bool) -> Option<Fault> {
        let permille = match self.amount {
            Amount::None => return None,
            Amount::Some => 3,
            Amount::Many => 12,
        };
        if self.left == 0 || !self.random.chance(permille) {
            return None;
        }
        let choices: &[Fault] = match (site, before) {
            (Site::Host, true) => &[
                Fault::Kill,
                Fault::KillWithStage,
                Fault::PowerCut,
                Fault::Disconnect,
                Fault::Unreachable,
                Fault::Fail,
                Fault::DiskFull,
                Fault::Stall,
            ],
            (Site::Host, false) => {
                &[Fault::Kill, Fault::KillWithStage, Fault::PowerCut, Fault::Disconnect, Fault::Unreachable]
            }
            (Site::Api, true) => &[Fault::Kill, Fault::ApiError, Fault::ApiError],
            (Site::Api, false) => &[Fault::Kill, Fault::LostReply, Fault::LostReply],
            (Site::Operator, _) => &[Fault::Kill],
        };
        self.left -= 1;
        let index = usize::try_from(self.random.below(choices.len() as u64)).unwrap_or(0);
        choices.get(index).copied()
    }

    /// How long a machine stays away.
    pub fn absence(&mut self) -> Duration {
        Duration::from_secs(20 + self.random.below(400))
    }
}
