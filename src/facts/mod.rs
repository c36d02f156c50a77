//! What was observed of machines and cluster, and the read-only script that observes it.

pub mod vault;
