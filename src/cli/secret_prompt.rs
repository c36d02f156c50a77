//! Asks for a secret on the controlling terminal, without echo.

use std::fs::OpenOptions;
use std::io::{BufRead as _, BufReader, Write as _};

use nix::sys::termios::{LocalFlags, SetArg, tcgetattr, tcsetattr};
use secrecy::SecretString;
use zeroize::Zeroizing;

/// The secret, or None when there is no terminal or nothing was typed.
pub(super) fn ask(question: &str) -> Option<SecretString> {
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
