//! What was observed of machines and cluster, and the read-only script that observes it.
//!
//! [`probe`] says what to look at, [`parse`] reads the answer; neither does any input or output.

mod cluster;
pub mod health;
mod host;
pub mod parse;
pub mod pod;
pub mod probe;
pub mod upgrade;
pub mod vault;

pub use cluster::{
    ApiFacts, CORDONED_ANNOTATION, ClusterFacts, EtcdFacts, EtcdMember, NodeFacts, Objects, Observed,
    is_cordoned_by_us, node_is_ready,
};
pub use host::{
    Address, Cgroup, FileFact, FileKind, HostFacts, InstalledEtcd, KubeconfigFact, Listener, Marker, Mount,
    UnitFact,
};
pub use upgrade::UpgradeFacts;
pub use vault::{Founding, MintReason, Origin, VaultEntryFacts, VaultFacts};
