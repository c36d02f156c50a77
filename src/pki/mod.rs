//! Certificates, keys and kubeconfigs of a cluster: what there must be ([`spec`]), and making it.

pub mod content;
pub mod spec;

pub use content::SecretContent;
pub use spec::{CertificateSpec, KeyId, Usage};
