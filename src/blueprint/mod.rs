//! What one host must look like, computed from the inventory, the release catalog and a few facts
//! about the host. Nothing here knows what the host looks like now.

mod model;

pub use model::*;
