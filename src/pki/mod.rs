//! Certificates, keys and kubeconfigs of a cluster: what there must be ([`spec`]), what there is
//! ([`inspect`]), how clients read it ([`kubeconfig`]), and making it ([`issue`], [`authority`]).

pub mod authority;
pub mod content;
pub mod date;
pub mod encryption;
mod graft;
pub mod inspect;
pub mod issue;
pub mod kubeconfig;
pub mod pem;
pub mod secret;
pub mod spec;

pub use content::SecretContent;
pub use inspect::CertificateFacts;
pub use secret::SecretText;
pub use spec::{CertificateSpec, KeyId, Usage};
