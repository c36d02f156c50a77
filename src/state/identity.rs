//! The operator's age identity, and who else may open a vault.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;

use age::secrecy::ExposeSecret;
use age::x25519;
use camino::{Utf8Path, Utf8PathBuf};
use zeroize::Zeroizing;

use super::files::{FileError, failed, private_directory, sync_directory_of};
use super::home::{Home, HomeError};

/// The file in a state directory that lists who may open its vault.
pub const RECIPIENTS_FILE: &str = "recipients.txt";

/// Why there is no identity, or no recipient.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error("{path} may be read by others (mode {mode:04o}); run: chmod 600 {path}")]
    Mode { path: Utf8PathBuf, mode: u32 },
    #[error("{path} line {line} is not an age identity (AGE-SECRET-KEY-1…)")]
    NotIdentity { path: Utf8PathBuf, line: usize },
    #[error("{path} holds no age identity")]
    NoIdentity { path: Utf8PathBuf },
    #[error("{file} line {line} is not an age recipient (age1…)")]
    NotRecipient { file: String, line: usize },
    #[error(transparent)]
    Home(#[from] HomeError),
}

/// One or more age X25519 identities of a person or a robot.
#[derive(Clone)]
pub struct Identity {
    keys: Vec<x25519::Identity>,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Identity({})", self.recipient())
    }
}

impl Identity {
    /// Makes a new one; nothing is written.
    pub fn generate() -> Self {
        Identity { keys: vec![x25519::Identity::generate()] }
    }

    /// Reads the file, or makes one there (0600) when it is missing. Refuses a file that others
    /// may read: what it protects is only as private as it is.
    pub fn load_or_create(path: &Utf8Path) -> Result<Self, IdentityError> {
        match fs::symlink_metadata(path) {
            Ok(_) => Self::load(path),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Self::create(path),
            Err(source) => Err(FileError { verb: "read", path: path.to_owned(), source }.into()),
        }
    }

    /// Reads a file in the format of `age-keygen`.
    pub fn load(path: &Utf8Path) -> Result<Self, IdentityError> {
        let mode = fs::metadata(path).map_err(failed("read", path))?.permissions().mode() & 0o777;
        if mode & !0o600 != 0 {
            return Err(IdentityError::Mode { path: path.to_owned(), mode });
        }
        let text = Zeroizing::new(fs::read_to_string(path).map_err(failed("read", path))?);
        let mut keys = Vec::new();
        for (index, line) in content_lines(&text) {
            let key = line
                .parse()
                .map_err(|_| IdentityError::NotIdentity { path: path.to_owned(), line: index + 1 })?;
            keys.push(key);
        }
        if keys.is_empty() {
            return Err(IdentityError::NoIdentity { path: path.to_owned() });
        }
        Ok(Identity { keys })
    }

    fn create(path: &Utf8Path) -> Result<Self, IdentityError> {
        if let Some(parent) = path.parent().filter(|parent| !parent.as_str().is_empty() && !parent.exists()) {
            private_directory(parent)?;
        }
        let identity = Identity::generate();
        let mut text = Zeroizing::new(format!("# public key: {}\n", identity.recipient()));
        for key in &identity.keys {
            text.push_str(key.to_string().expose_secret());
            text.push('\n');
        }
        // Exclusive: two first runs at once must not each believe in a key of their own.
        let mut options = fs::OpenOptions::new();
        std::os::unix::fs::OpenOptionsExt::mode(options.write(true).create_new(true), 0o600);
        let mut file = options.open(path).map_err(failed("make", path))?;
        file.write_all(text.as_bytes()).map_err(failed("write", path))?;
        file.sync_all().map_err(failed("sync", path))?;
        sync_directory_of(path)?;
        Ok(identity)
    }

    /// What others put in their `recipients.txt` to share a vault with this identity.
    pub fn recipient(&self) -> String {
        self.keys.first().map(|key| key.to_public().to_string()).unwrap_or_default()
    }

    pub(super) fn decrypt<'a>(
        &self,
        sealed: &'a [u8],
    ) -> Result<age::stream::StreamReader<&'a [u8]>, age::DecryptError> {
        let keys = self.keys.iter().map(|key| key as &dyn age::Identity);
        age::Decryptor::new_buffered(sealed)?.decrypt(keys)
    }

    fn own_recipients(&self) -> impl Iterator<Item = x25519::Recipient> {
        self.keys.iter().take(1).map(x25519::Identity::to_public)
    }
}

fn content_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines()
        .enumerate()
        .map(|(index, line)| (index, line.trim()))
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
}

/// Everybody who may open the vault at `home`: its `recipients.txt`, and always oneself.
pub(super) fn recipients(home: &Home, identity: &Identity) -> Result<Vec<x25519::Recipient>, IdentityError> {
    let mut all: Vec<x25519::Recipient> = identity.own_recipients().collect();
    let Some(bytes) = home.read(RECIPIENTS_FILE)? else { return Ok(all) };
    let text = String::from_utf8_lossy(&bytes);
    for (index, line) in content_lines(&text) {
        let recipient: x25519::Recipient = line.parse().map_err(|_| IdentityError::NotRecipient {
            file: home.address(RECIPIENTS_FILE),
            line: index + 1,
        })?;
        if !all.iter().any(|known| known.to_string() == recipient.to_string()) {
            all.push(recipient);
        }
    }
    Ok(all)
}

/// Writes the first `recipients.txt`, so that whoever saves next seals the vault for its maker too.
pub(super) fn begin_recipients(home: &Home, identity: &Identity) -> Result<(), IdentityError> {
    if home.read(RECIPIENTS_FILE)?.is_none() {
        let text = format!(
            "# Who may open vault.age: one age recipient a line. Takes effect when the vault is next written.\n{}\n",
            identity.recipient()
        );
        home.replace(RECIPIENTS_FILE, text.as_bytes())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::files;
    use crate::state::files::tests::{Scratch, mode};

    #[test]
    fn makes_a_private_identity_once_and_reads_it_afterwards() {
        let scratch = Scratch::new();
        let path = scratch.0.join("config/identity.txt");
        let made = Identity::load_or_create(&path).unwrap();
        assert_eq!(mode(&path), 0o600);
        assert_eq!(Identity::load_or_create(&path).unwrap().recipient(), made.recipient());
        assert!(made.recipient().starts_with("age1"));
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains("AGE-SECRET-KEY-1"));
        assert!(!format!("{made:?}").contains("SECRET"));
    }

    #[test]
    fn refuses_an_identity_that_others_may_read() {
        let scratch = Scratch::new();
        let path = scratch.0.join("identity.txt");
        Identity::load_or_create(&path).unwrap();
        for wide in [0o640, 0o604, 0o700] {
            fs::set_permissions(&path, fs::Permissions::from_mode(wide)).unwrap();
            let error = Identity::load_or_create(&path).unwrap_err();
            assert!(error.to_string().contains("chmod 600"), "{error}");
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
        Identity::load_or_create(&path).unwrap();
    }

    #[test]
    fn errors_name_the_line_and_never_show_it() {
        let scratch = Scratch::new();
        let path = scratch.0.join("identity.txt");
        files::replace(&path, b"# a comment\n\nAGE-SECRET-KEY-canary\n").unwrap();
        let error = Identity::load(&path).unwrap_err().to_string();
        assert!(error.contains("line 3") && !error.contains("canary"), "{error}");
        files::replace(&path, b"# nothing\n").unwrap();
        assert!(matches!(Identity::load(&path), Err(IdentityError::NoIdentity { .. })));
        let me = Identity::generate();
        files::replace(&scratch.0.join(RECIPIENTS_FILE), b"age1nonsense\n").unwrap();
        assert!(matches!(
            recipients(&Home::local(&scratch.0), &me),
            Err(IdentityError::NotRecipient { line: 1, .. })
        ));
    }
}
