//! Names for secret file contents, so that a plan can speak of them without holding them.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::spec::KeyId;

/// What a file holds that only the vault can produce.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "secret")]
pub enum SecretContent {
    /// PEM certificate. Public, but known only once it has been issued.
    Certificate { key: KeyId },
    /// PEM private key.
    PrivateKey { key: KeyId },
    /// PEM public key (`sa.pub`).
    PublicKey { key: KeyId },
    /// Certificate and private key in one PEM file, as the kubelet keeps its client pair.
    ClientPem { key: KeyId },
    /// A kubeconfig with embedded data, in the style of kubeadm's init.
    Kubeconfig { key: KeyId, user: String, cluster: String, server: String },
    /// A kubeconfig as the kubelet writes it: CA embedded, client pair at `pem`.
    KubeletConfig { server: String, pem: String },
    /// EncryptionConfiguration with the cluster's data encryption keys.
    EncryptionConfiguration,
}

impl SecretContent {
    /// The pair whose renewal changes it. None: only the CA or an encryption key does.
    pub fn key(&self) -> Option<&KeyId> {
        match self {
            SecretContent::Certificate { key }
            | SecretContent::PrivateKey { key }
            | SecretContent::PublicKey { key }
            | SecretContent::ClientPem { key }
            | SecretContent::Kubeconfig { key, .. } => Some(key),
            SecretContent::KubeletConfig { .. } | SecretContent::EncryptionConfiguration => None,
        }
    }

    /// Certificates and public keys may be shown; nothing else may.
    pub fn is_public(&self) -> bool {
        matches!(self, SecretContent::Certificate { .. } | SecretContent::PublicKey { .. })
    }
}

impl fmt::Display for SecretContent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SecretContent::Certificate { key } => write!(f, "certificate {key}"),
            SecretContent::PrivateKey { key } => write!(f, "private key {key}"),
            SecretContent::PublicKey { key } => write!(f, "public key {key}"),
            SecretContent::ClientPem { key } => write!(f, "client pair {key}"),
            SecretContent::Kubeconfig { user, .. } => write!(f, "kubeconfig of {user}"),
            SecretContent::KubeletConfig { .. } => write!(f, "kubeconfig of the kubelet"),
            SecretContent::EncryptionConfiguration => write!(f, "encryption configuration"),
        }
    }
}
