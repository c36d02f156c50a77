//! Secrets the operator gives: typed on the controlling terminal without echo, or read from a file.

use std::fs::OpenOptions;
use std::io::{BufRead as _, BufReader, Write as _};

use camino::Utf8Path;
use nix::sys::termios::{LocalFlags, SetArg, tcgetattr, tcsetattr};
use secrecy::SecretString;
use zeroize::Zeroizing;

use super::{CommandError, ErrorKind};
use crate::ssh::Prompt;

/// Answers for the operator.
pub(super) struct Operator {
    sudo_password: Option<SecretString>,
}

impl Operator {
    /// With the password that sudo asks for in a file, if there is one.
    pub(super) fn new(sudo_password_file: Option<&Utf8Path>) -> Result<Self, CommandError> {
        let Some(path) = sudo_password_file else { return Ok(Operator { sudo_password: None }) };
        let text = std::fs::read_to_string(path).map(Zeroizing::new).map_err(|source| {
            CommandError::new(ErrorKind::Usage, Unreadable { path: path.to_owned(), source })
        })?;
        let password = text.lines().next().unwrap_or_default();
        Ok(Operator { sudo_password: Some(SecretString::from(password.to_owned())) })
    }
}

#[derive(Debug, thiserror::Error)]
#[error("cannot read the password for sudo in {path}")]
struct Unreadable {
    path: camino::Utf8PathBuf,
    source: std::io::Error,
}

impl Prompt for Operator {
    fn passphrase(&self, key: &Utf8Path) -> Option<SecretString> {
        ask(&format!("Passphrase of {key}: "))
    }

    fn sudo_password(&self, user: &str, host: &str) -> Option<SecretString> {
        self.sudo_password.clone().or_else(|| ask(&format!("Password of {user} on {host} for sudo: ")))
    }
}

/// The secret, or None when there is no terminal or nothing was typed.
fn ask(question: &str) -> Option<SecretString> {
    let mut terminal = OpenOptions::new().read(true).write(true).open("/dev/tty").ok()?;
    terminal.write_all(question.as_bytes()).ok()?;
    let before = tcgetattr(&terminal).ok()?;
    let mut silent = before.clone();
    silent.local_flags.remove(LocalFlags::ECHO);
    tcsetattr(&terminal, SetArg::TCSANOW, &silent).ok()?;
    let mut line = Zeroizing::new(String::new());
    let read = BufReader::new(terminal.try_clone().ok()?).read_line(&mut line);
    tcsetattr(&terminal, SetArg::TCSANOW, &before).ok()?;
    terminal.write_all(b"\n").ok()?;
    read.ok()?;
    let text = line.trim_end_matches('\n');
    (!text.is_empty()).then(|| SecretString::from(text.to_owned()))
}
