//! Private key files: read once, checked for their mode, decrypted with a passphrase when asked.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;

use camino::{Utf8Path, Utf8PathBuf};
use russh::keys::{Certificate, PrivateKey, PublicKey, decode_secret_key};
use secrecy::ExposeSecret;
use zeroize::Zeroizing;

use super::environment::Prompt;

/// How often a wrong passphrase may be corrected.
const PASSPHRASE_TRIES: usize = 3;

/// A usable key.
#[derive(Clone)]
pub(crate) struct LoadedKey {
    pub private: Arc<PrivateKey>,
    /// From `KEY-cert.pub`, for this key.
    pub certificate: Option<Certificate>,
}

/// Why a key file is of no use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum KeyFileError {
    #[error("{path} does not exist")]
    Missing { path: Utf8PathBuf },
    #[error("{path} cannot be read: {reason}")]
    Unreadable { path: Utf8PathBuf, reason: String },
    #[error("{path} has mode {mode:04o}, so others can read it: chmod 600 '{path}'")]
    Mode { path: Utf8PathBuf, mode: u32 },
    #[error("{path} is encrypted and no passphrase was given")]
    Encrypted { path: Utf8PathBuf },
}

/// All key files of a run; each is opened, and asked for, once.
pub(crate) struct KeyRing {
    prompt: Arc<dyn Prompt>,
    // Held while a passphrase is asked for: a hundred hosts that want one key ask once.
    loaded: tokio::sync::Mutex<BTreeMap<Utf8PathBuf, Result<LoadedKey, KeyFileError>>>,
}

impl KeyRing {
    pub fn new(prompt: Arc<dyn Prompt>) -> Self {
        KeyRing { prompt, loaded: tokio::sync::Mutex::default() }
    }

    /// The key in a file, after asking for its passphrase when it has one.
    pub async fn load(&self, path: &Utf8Path) -> Result<LoadedKey, KeyFileError> {
        let mut loaded = self.loaded.lock().await;
        if let Some(found) = loaded.get(path) {
            return found.clone();
        }
        let (prompt, file) = (self.prompt.clone(), path.to_owned());
        let found = tokio::task::spawn_blocking(move || read_key(&file, prompt.as_ref())).await;
        let found = found.unwrap_or_else(|error| {
            Err(KeyFileError::Unreadable { path: path.to_owned(), reason: error.to_string() })
        });
        loaded.insert(path.to_owned(), found.clone());
        found
    }
}

/// The public half of a key file without its passphrase: from `KEY.pub`, or from the key itself,
/// as OpenSSH's format has it in the clear.
pub(crate) fn public_half(path: &Utf8Path) -> Option<PublicKey> {
    let beside = std::fs::read_to_string(format!("{path}.pub")).ok();
    if let Some(key) = beside.and_then(|text| PublicKey::from_openssh(text.trim()).ok()) {
        return Some(key);
    }
    let text = Zeroizing::new(std::fs::read_to_string(path).ok()?);
    PrivateKey::from_openssh(text.as_bytes()).ok().map(|key| key.public_key().clone())
}

fn read_key(path: &Utf8Path, prompt: &dyn Prompt) -> Result<LoadedKey, KeyFileError> {
    let unreadable = |reason: String| KeyFileError::Unreadable { path: path.to_owned(), reason };
    let metadata = std::fs::metadata(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => KeyFileError::Missing { path: path.to_owned() },
        _ => unreadable(error.to_string()),
    })?;
    let mode = metadata.permissions().mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(KeyFileError::Mode { path: path.to_owned(), mode });
    }
    let text = Zeroizing::new(std::fs::read_to_string(path).map_err(|error| unreadable(error.to_string()))?);
    let private = decrypt(path, &text, prompt)?;
    let certificate = std::fs::read_to_string(format!("{path}-cert.pub")).ok();
    let certificate = certificate
        .and_then(|text| Certificate::from_openssh(text.trim()).ok())
        .filter(|certificate| certificate.public_key() == private.public_key().key_data());
    Ok(LoadedKey { private: Arc::new(private), certificate })
}

fn decrypt(path: &Utf8Path, text: &str, prompt: &dyn Prompt) -> Result<PrivateKey, KeyFileError> {
    let clear = decode_secret_key(text, None);
    let encrypted = match &clear {
        Ok(key) => key.is_encrypted(),
        Err(russh::keys::Error::KeyIsEncrypted) => true,
        Err(_) => text.contains("ENCRYPTED"),
    };
    if !encrypted {
        return clear
            .map_err(|error| KeyFileError::Unreadable { path: path.to_owned(), reason: error.to_string() });
    }
    for _ in 0..PASSPHRASE_TRIES {
        let Some(passphrase) = prompt.passphrase(path) else { break };
        if let Ok(key) = decode_secret_key(text, Some(passphrase.expose_secret()))
            && !key.is_encrypted()
        {
            return Ok(key);
        }
    }
    Err(KeyFileError::Encrypted { path: path.to_owned() })
}
