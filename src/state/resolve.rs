//! Turns the name of a secret content into the bytes of a file.

use zeroize::Zeroizing;

use super::document::{Document, Entry};
use super::vault::VaultError;
use crate::pki::encryption::encryption_configuration;
use crate::pki::issue::PrivateKey;
use crate::pki::{KeyId, SecretContent, kubeconfig};

/// The file's bytes; the same ones every time, until something is minted anew.
pub fn resolve(document: &Document, content: &SecretContent) -> Result<Zeroizing<Vec<u8>>, VaultError> {
    let missing = |key: &KeyId| VaultError::Missing { key: key.clone() };
    let entry =
        |key: &KeyId| -> Result<&Entry, VaultError> { document.entries.get(key).ok_or_else(|| missing(key)) };
    let certificate = |key: &KeyId| -> Result<&str, VaultError> {
        entry(key)?.certificate.as_deref().ok_or_else(|| missing(key))
    };
    let render = |error: String| VaultError::Render { content: content.clone(), reason: error };
    let bytes = match content {
        SecretContent::Certificate { key } => certificate(key)?.as_bytes().to_vec(),
        SecretContent::PrivateKey { key } => entry(key)?.key.expose().as_bytes().to_vec(),
        SecretContent::PublicKey { key } => {
            let pair = PrivateKey::parse(entry(key)?.key.expose())
                .map_err(|source| VaultError::Issue { key: key.clone(), source })?;
            pair.public_pem().into_bytes()
        }
        SecretContent::ClientPem { key } => {
            let (certificate, private) = (certificate(key)?, entry(key)?.key.expose());
            let mut pem = Vec::with_capacity(certificate.len() + private.len());
            pem.extend_from_slice(certificate.as_bytes());
            pem.extend_from_slice(private.as_bytes());
            pem
        }
        SecretContent::Kubeconfig { key, user, cluster, server } => {
            let ca = certificate(&KeyId::ca())?;
            let config = kubeconfig::embedded(cluster, user, server, ca, certificate(key)?, &entry(key)?.key);
            let text = config.to_yaml().map_err(|error| render(error.to_string()))?;
            text.expose().as_bytes().to_vec()
        }
        SecretContent::KubeletConfig { server, pem } => {
            let config = kubeconfig::kubelet(server, certificate(&KeyId::ca())?, pem);
            let text = config.to_yaml().map_err(|error| render(error.to_string()))?;
            text.expose().as_bytes().to_vec()
        }
        SecretContent::EncryptionConfiguration => {
            let text = encryption_configuration(&document.encryption_keys)
                .map_err(|error| render(error.to_string()))?;
            text.expose().as_bytes().to_vec()
        }
    };
    Ok(Zeroizing::new(bytes))
}
