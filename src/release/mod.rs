//! Versions, the skew policy, what belongs to each Kubernetes minor and what it removed, and the manifest of a bundle.

pub mod addons;
pub mod artifact;
pub mod catalog;
pub mod gates;
pub mod plugins;
pub mod removals;
pub mod skew;
pub mod version;

pub use artifact::{Arch, BundleManifest, FileArtifact, ImageArtifact, ManifestArtifact, Sha256};
pub use catalog::{MinorRelease, SUPPORTED, UnsupportedMinor, release_of};
pub use skew::{ApiServerSpan, Component, SkewViolation};
pub use version::{InvalidMinor, InvalidVersion, KubeVersion, Minor};
