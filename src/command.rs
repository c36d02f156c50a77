//! An argv with its input, its output, and the one function that quotes for a POSIX shell.

use serde::{Deserialize, Serialize};

/// A program and its arguments; never a string for a shell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Command {
    pub argv: Vec<String>,
}

impl Command {
    /// A command from its words.
    pub fn new<I, S>(argv: I) -> Self
    where
        I: IntoIterator<Item = S>,
        S: Into<String>,
    {
        Command { argv: argv.into_iter().map(Into::into).collect() }
    }

    /// The command as one line of POSIX shell, every word quoted where it needs to be.
    pub fn to_shell(&self) -> String {
        self.argv.iter().map(|word| quote(word)).collect::<Vec<_>>().join(" ")
    }
}

/// What a command printed and how it ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Output {
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
    /// The exit code; 128 + signal for a killed program, as shells count.
    pub status: i32,
}

/// Quotes one word for a POSIX shell. A NUL cannot be in an argv and is dropped.
pub fn quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./=:,@%+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    let mut quoted = String::with_capacity(word.len() + 2);
    quoted.push('\'');
    for c in word.chars() {
        match c {
            '\'' => quoted.push_str("'\\''"),
            '\0' => {}
            other => quoted.push(other),
        }
    }
    quoted.push('\'');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_shell_reads_back_every_word(words in proptest::collection::vec("[^\0]{0,20}", 1..4)) {
            let line = words.iter().map(|w| quote(w)).collect::<Vec<_>>().join(" ");
            let output = std::process::Command::new("sh")
                .args(["-c", &format!("for w in {line}; do printf '%s\\0' \"$w\"; done")])
                .output()
                .unwrap();
            let read: Vec<String> = String::from_utf8(output.stdout)
                .unwrap()
                .split_terminator('\0')
                .map(str::to_owned)
                .collect();
            prop_assert_eq!(read, words);
        }
    }
}
