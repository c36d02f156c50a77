//! The machines, networks, balancers and records that a cluster lives in, where keelwright makes them.
//!
//! [`spec`] says what is wanted, [`plan`] compares it with what is observed and orders what is left to do,
//! [`run`] does it through the port in [`ports`]; an adapter for AWS is being written. Nothing but tags is needed to find a
//! cluster's resources again, so nothing is remembered here either.

#[cfg(test)]
mod fake;
pub mod name;
pub mod plan;
pub mod ports;
pub mod resource;
pub mod run;
pub mod spec;

pub use name::{PhysicalId, Ref, ResourceName};
pub use resource::Resource;
