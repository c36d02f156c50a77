//! A service's way from an old cluster to a new one behind names that both share: weights of Route 53 by a schedule,
//! each watched and judged before the next, and back when green is not well.

pub mod check;
pub mod copy;
pub mod event;
#[cfg(test)]
mod fake;
pub mod gates;
pub mod guard;
pub mod plan;
pub mod ports;
pub mod probe;
pub mod record;
pub mod report;
pub mod run;
pub mod show;
pub mod survey;
