//! A simulated fleet behind the ports of `exec`: machines with disks that forget what was not flushed,
//! systemd, kubelets, etcd membership and a small Kubernetes API; all of it in virtual time and
//! deterministic from a seed. Powers the tests that crash everything everywhere, and `rehearse`.

mod bundle;
pub mod converge;
pub mod disk;
mod etcd;
mod extras;
pub mod faults;
mod hooks;
pub mod host;
mod host_command;
mod host_script;
mod invariants;
mod kubernetes;
mod manifest;
pub mod ports;
mod probe;
pub mod random;
mod replica;
mod replica_host;
pub mod runtime;
mod skew;
mod snapshot;
mod stage;
mod status;
mod timeline;
pub mod vault;
pub mod world;

pub use bundle::{Passing, stand_in};
pub use converge::{Round, Run, Simulation, Trace};
pub use extras::manifests as played_manifests;
pub use faults::{Amount, Fault, Faults};
pub use hooks::RanHook;
pub use replica::{Original, ReplicaError};
pub use snapshot::SimSnapshot;
pub use status::HostStatus;
pub use timeline::Watch;
