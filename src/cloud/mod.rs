//! The machines, networks, balancers and records that a cluster lives in, where keelwright makes them.
//!
//! [`spec`] says what is wanted, [`plan`] compares it with what is observed and orders what is left to do,
//! [`run`] does it through the port in [`ports`], which [`aws`] implements; [`hold`] keeps members of the cluster from
//! stopping all at once, [`roll`] makes machines of scaling groups anew, [`destroy`] takes everything away, and [`hosts`] makes an ordinary inventory of what is there. Nothing but tags is needed to
//! find a cluster's resources again, so nothing is remembered here either.

pub mod artifacts;
pub mod aws;
pub mod destroy;
#[cfg(test)]
mod fake;
pub mod fenced;
pub mod hold;
pub mod host_keys;
pub mod hosts;
pub mod join;
pub mod name;
pub mod permissions;
pub mod plan;
pub mod ports;
pub mod resource;
pub mod roll;
pub mod run;
pub mod show;
pub mod spec;
mod tags;
pub mod terraform;

pub use name::{PhysicalId, Ref, ResourceName};
pub use resource::Resource;
