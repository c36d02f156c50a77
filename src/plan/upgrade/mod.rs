//! From the versions that run to those that are wanted, with the fewest disruptions that the version-skew
//! policy allows.

mod cost;
mod etcd;
mod fleet;
mod obstacle;
pub mod path;
mod search;
mod state;
pub mod versions;

#[cfg(test)]
mod path_exhaustive_tests;
#[cfg(test)]
mod path_property_tests;
#[cfg(test)]
mod path_tests;
#[cfg(test)]
pub(super) mod testing;

pub use obstacle::{Misfit, NoPath, Running};
pub use path::{Move, Releases, path};
pub use versions::{ClusterVersions, HostVersions};
