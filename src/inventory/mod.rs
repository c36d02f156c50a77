//! What the operator wrote: an inventory, parsed and checked in one go. Once you hold an
//! [`Inventory`], it is valid.

mod ids;
mod model;

pub use ids::{ClusterName, HostName, InvalidName};
pub use model::*;
