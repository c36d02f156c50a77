//! What the operator wrote: an inventory, parsed and checked in one go. Once you hold an
//! [`Inventory`], it is valid; so is a [`Migration`], which has a file of its own.

mod aws;
mod check;
mod diagnostic;
mod hooks;
mod ids;
mod migration;
mod model;
mod network;
mod parse;
mod schema;
mod upgrade;

pub use aws::*;
pub use diagnostic::{Diagnostic, Diagnostics, Position, Severity};
pub use hooks::{Hook, HookHosts, HookPlace, HookPoint};
pub use ids::{ClusterName, HostName, InvalidName};
pub use migration::*;
pub use model::*;
pub use network::*;
pub(crate) use parse::SIZE_LIMIT;
#[cfg(test)]
pub(crate) use parse::migration::tests::SMALL_MIGRATION;
#[cfg(test)]
pub(crate) use parse::tests::MINIMAL;
pub use parse::{Origin, parse, parse_migration, parse_wanted};
pub use schema::{inventory_schema, migration_schema};
pub use upgrade::{Canary, UpgradePolicy};
