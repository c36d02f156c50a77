//! What goes wrong, by a plan: which call meets which fault.

use std::collections::BTreeMap;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::super::client::Answer;
use super::super::service::{Protocol, Service};
use super::call::Call;
use super::reply;

/// What happens to one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    None,
    /// Refused, because there were too many.
    Throttle,
    /// Refused with a 500, nothing done.
    InternalError,
    /// Refused with this status and code, nothing done.
    Refuse(u16, &'static str),
    /// The connection is reset, nothing done.
    CutBefore,
    /// Done; the connection is reset instead of an answer.
    LostReply,
    /// No answer, nothing done; it is the caller who gives up.
    Hang,
    /// What the call creates is not found by the next so many calls that name it.
    NotFoundFor(u32),
    /// What the call creates is missing from the next so many lists it belongs in.
    UnlistedFor(u32),
}

type Decide = dyn FnMut(usize, &str, &mut StdRng) -> Fault + Send;

/// A plan of faults.
pub struct Faults {
    decide: Box<Decide>,
    random: StdRng,
}

impl Faults {
    pub fn none() -> Faults {
        Faults::new(0, |_, _, _| Fault::None)
    }

    /// From the number of the call, its name and randomness that is the same for the same seed.
    pub fn new(seed: u64, decide: impl FnMut(usize, &str, &mut StdRng) -> Fault + Send + 'static) -> Faults {
        Faults { decide: Box::new(decide), random: StdRng::seed_from_u64(seed) }
    }

    /// By the number of the call.
    pub fn at(table: impl IntoIterator<Item = (usize, Fault)>) -> Faults {
        let table: BTreeMap<_, _> = table.into_iter().collect();
        Faults::new(0, move |index, _, _| table.get(&index).copied().unwrap_or(Fault::None))
    }

    /// The first so many calls of one name.
    pub fn first(times: usize, name: &str, fault: Fault) -> Faults {
        let (name, mut left) = (name.to_owned(), times);
        Faults::new(0, move |_, called, _| {
            let hit = called == name && left > 0;
            left -= usize::from(hit);
            if hit { fault } else { Fault::None }
        })
    }

    /// One call in `of`, whichever, meets one of these.
    pub fn one_in(of: u32, seed: u64, faults: &[Fault]) -> Faults {
        let faults = faults.to_vec();
        Faults::new(seed, move |_, _, random| match random.random_range(0..of) {
            0 => faults[random.random_range(0..faults.len())],
            _ => Fault::None,
        })
    }

    pub fn decide(&mut self, index: usize, name: &str) -> Fault {
        (self.decide)(index, name, &mut self.random)
    }
}

/// "Too many calls", as each service says it.
pub fn throttled(call: &Call) -> Answer {
    match call.service.protocol() {
        Protocol::Ec2 => reply::refusal(call, 503, "RequestLimitExceeded", "Request limit exceeded."),
        Protocol::Query | Protocol::Rest => reply::refusal(call, 400, "Throttling", "Rate exceeded"),
        Protocol::Json => reply::refusal(call, 400, "ThrottlingException", "Rate exceeded"),
        Protocol::RestJson => reply::refusal(call, 429, "ThrottlingException", "Rate exceeded"),
        Protocol::Cbor => reply::refusal(call, 400, "Throttling", "Rate exceeded"),
        Protocol::S3 => reply::refusal(call, 503, "SlowDown", "Please reduce your request rate."),
    }
}

/// "It is us", as each service says it.
pub fn internal_error(call: &Call) -> Answer {
    let code = match call.service.protocol() {
        Protocol::Ec2 | Protocol::S3 => "InternalError",
        Protocol::Query if call.service == Service::Iam => "ServiceFailure",
        Protocol::Query | Protocol::Rest => "InternalFailure",
        Protocol::Json => "InternalServerError",
        Protocol::RestJson => "ServerException",
        Protocol::Cbor => "InternalServiceFault",
    };
    reply::refusal(call, 500, code, "An internal error has occurred")
}
