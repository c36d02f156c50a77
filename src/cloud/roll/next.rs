//! The next move. Pure: equal inputs give equal moves.

use std::collections::BTreeSet;

use super::{Group, Limits, Member, Phase, Size};
use crate::cloud::name::PhysicalId;
use crate::inventory::CountOrShare;

/// What is done next to a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Move {
    /// More machines than usual, until `before` is given back.
    Enlarge {
        to: Size,
        before: Size,
    },
    /// These go; true: none comes in its place.
    Replace(Vec<(PhysicalId, bool)>),
    /// Machines come or go.
    Wait,
    /// The size that it had before.
    Settle(Size),
    Done,
}

/// `ready`: machines that the cluster can use.
pub fn next(group: &Group, ready: &BTreeSet<PhysicalId>, limits: &Limits) -> Move {
    let base = group.before.unwrap_or(group.size).desired;
    let works = |member: &&Member| member.phase == Phase::Serving && ready.contains(&member.id);
    let live: Vec<&Member> = group.members.iter().filter(|member| member.phase != Phase::Leaving).collect();
    let (working, idle): (Vec<&Member>, Vec<&Member>) =
        live.iter().copied().filter(|member| member.outdated).partition(works);
    let outdated = count(working.len() + idle.len());
    let available = count(live.iter().copied().filter(works).count());
    if outdated == 0 {
        let is_whole = live.len() == group.members.len() && available == group.size.desired;
        return match (is_whole, group.before) {
            (false, _) => Move::Wait,
            (true, Some(_)) => Move::Settle(Size { desired: base, max: limits.max.max(base) }),
            (true, None) => Move::Done,
        };
    }
    let (surge, unavailable) = numbers(limits, base);
    let wanted = base + surge.min(outdated);
    if group.size.desired < wanted {
        let before = group.before.unwrap_or(group.size);
        return Move::Enlarge { to: Size { desired: wanted, max: group.size.max.max(wanted) }, before };
    }
    let least = base.saturating_sub(unavailable);
    if available < least {
        return Move::Wait;
    }
    // One that does no work costs nothing, and still not all of them go at once.
    let idle = idle.into_iter().take(size(surge.max(unavailable)));
    let working = working.into_iter().take(size(available - least));
    let extra = size(group.size.desired - base);
    let going: Vec<_> = idle.chain(working).map(|member| member.id.clone()).collect();
    match going.is_empty() {
        true => Move::Wait,
        false => Move::Replace(going.into_iter().enumerate().map(|(at, id)| (id, at < extra)).collect()),
    }
}

/// Of so many machines: shares of a surge round up, those of what may be missing down, and one of the two is not 0.
fn numbers(limits: &Limits, base: u32) -> (u32, u32) {
    let surge = match limits.surge {
        CountOrShare::Count(count) => count,
        CountOrShare::Percent(share) => (base * u32::from(share)).div_ceil(100),
    };
    let unavailable = match limits.unavailable {
        CountOrShare::Count(count) => count,
        CountOrShare::Percent(share) => base * u32::from(share) / 100,
    };
    (surge, if surge == 0 { unavailable.max(1) } else { unavailable })
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

fn size(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
