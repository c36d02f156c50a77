//! What a command says when it cannot go on: a kind that fixes the exit code, the chain of causes,
//! and what to do next.

use std::error::Error as StdError;
use std::fmt;
use std::process::ExitCode;

/// Why a command stopped; each kind has one exit code, listed in docs/exit-codes.md.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// A step failed (1).
    Failed,
    /// The arguments or the inventory are wrong; nothing was touched (2).
    Usage,
    /// Changes are pending (3).
    Pending,
    /// Going on would be unsafe (4).
    Refused,
    /// Hosts cannot be reached (5).
    Unreachable,
    /// The operator interrupted (130).
    Interrupted,
}

impl ErrorKind {
    /// The process exit code of this kind.
    pub fn exit_code(self) -> ExitCode {
        ExitCode::from(match self {
            ErrorKind::Failed => 1,
            ErrorKind::Usage => 2,
            ErrorKind::Pending => 3,
            ErrorKind::Refused => 4,
            ErrorKind::Unreachable => 5,
            ErrorKind::Interrupted => 130,
        })
    }
}

/// An error as the operator sees it: `Error:`, `Caused by:` and `Hint:` lines.
#[derive(Debug)]
pub struct CommandError {
    pub kind: ErrorKind,
    pub error: Box<dyn StdError + Send + Sync>,
    pub hints: Vec<String>,
}

impl CommandError {
    /// Wraps an error; the `Display` of it and of each of its sources becomes one line.
    pub fn new(kind: ErrorKind, error: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        CommandError { kind, error: error.into(), hints: Vec::new() }
    }

    /// Adds a hint: one sentence, or a command to copy on a line of its own.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }
}

impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Error: {}", self.error)?;
        let mut cause = self.error.source();
        while let Some(error) = cause {
            write!(f, "\nCaused by: {error}")?;
            cause = error.source();
        }
        for hint in &self.hints {
            write!(f, "\nHint: {hint}")?;
        }
        Ok(())
    }
}

impl StdError for CommandError {}
