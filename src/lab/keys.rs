//! SSH keys of the operator and of the machines.

use rand::RngExt;
use russh::keys::ssh_key::LineEnding;
use russh::keys::{Algorithm, PrivateKey};

use super::LabError;

/// A fresh Ed25519 key: the private half in OpenSSH's format, the public half on one line.
pub(crate) struct KeyPair {
    pub private: zeroize::Zeroizing<String>,
    pub public: String,
}

/// Makes a key.
pub(crate) fn generate() -> Result<KeyPair, LabError> {
    let bad = |error: russh::keys::ssh_key::Error| LabError::Key { why: error.to_string() };
    let key = PrivateKey::random(&mut rand::rng(), Algorithm::Ed25519).map_err(bad)?;
    Ok(KeyPair {
        private: key.to_openssh(LineEnding::LF).map_err(bad)?,
        public: key.public_key().to_openssh().map_err(bad)?,
    })
}

/// A machine's identity for systemd and kubelet: 32 hexadecimal digits (machine-id(5)).
pub(crate) fn machine_id() -> String {
    format!("{:032x}", rand::rng().random::<u128>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_reads_back_and_is_never_the_same() {
        let (one, two) = (generate().unwrap(), generate().unwrap());
        assert!(one.public.starts_with("ssh-ed25519 ") && !one.public.contains('\n'));
        assert_ne!(one.public, two.public);
        let read = PrivateKey::from_openssh(one.private.as_bytes()).unwrap();
        assert_eq!(read.public_key().to_openssh().unwrap(), one.public);
    }
}
