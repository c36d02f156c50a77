//! What one host must look like, computed from the inventory, the release catalog and a few facts
//! about the host. Nothing here knows what the host looks like now.

mod files;
mod model;
mod security;

pub use model::*;
pub use security::{ComponentArgs, ComponentExtras, HostPathMount, cluster_extra_args};
