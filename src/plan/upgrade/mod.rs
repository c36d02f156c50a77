//! From the versions that run to those that are wanted, with the fewest disruptions that the version-skew
//! policy allows.

pub mod concerns;
pub mod path;
pub mod versions;

pub use concerns::{Concern, Prospect, Severity, concerns};
pub use path::{Move, NoPath, Releases, path};
pub use versions::{ClusterVersions, HostVersions};
