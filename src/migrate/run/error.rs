//! Why a migration cannot go on.

use std::time::Duration;

use crate::exec::PortError;
use crate::migrate::ports::CallError;

/// Why a run stopped before its end.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error("{what} failed")]
    Call { what: String, source: CallError },
    #[error("{what} was tried for {} s", tried.as_secs())]
    Patience { what: String, tried: Duration, source: CallError },
    /// Its records are not what this run has made or seen.
    #[error("somebody else has changed the records of {name}:\n    {}", difference.join("\n    "))]
    Foreign { name: String, difference: Vec<String> },
    #[error("{what} after {} s", waited.as_secs())]
    Slow { what: String, waited: Duration },
    #[error("what has to outlive this run cannot be kept")]
    Memory(#[source] PortError),
    #[error("nobody would go back if this run were lost")]
    Guard(#[source] PortError),
}

impl RunError {
    /// Whether the credentials were not enough.
    pub fn is_denied(&self) -> bool {
        matches!(self, RunError::Call { source: CallError::Denied(_), .. })
    }
}
