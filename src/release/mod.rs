//! Versions, the skew policy, and what belongs to each Kubernetes minor.

mod version;

pub use version::{InvalidVersion, KubeVersion};
