//! A Kubernetes release version, parsed strictly.

use std::fmt;

use serde::{Deserialize, Serialize};

/// vMAJOR.MINOR.PATCH; pre-releases are not supported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct KubeVersion {
    pub major: u32,
    pub minor: u32,
    pub patch: u32,
}

/// A text that is not vMAJOR.MINOR.PATCH.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a version; want vMAJOR.MINOR.PATCH")]
pub struct InvalidVersion(pub String);

impl KubeVersion {
    /// Parses `v1.37.1`; the `v` is required.
    pub fn parse(text: &str) -> Result<Self, InvalidVersion> {
        let invalid = || InvalidVersion(text.to_owned());
        let mut parts = text.strip_prefix('v').ok_or_else(invalid)?.split('.');
        let mut number = || -> Option<u32> {
            let part = parts.next()?;
            let canonical = part == "0" || !part.starts_with('0');
            if canonical && part.bytes().all(|b| b.is_ascii_digit()) { part.parse().ok() } else { None }
        };
        let (major, minor, patch) = (number(), number(), number());
        match (major, minor, patch, parts.next()) {
            (Some(major), Some(minor), Some(patch), None) => Ok(KubeVersion { major, minor, patch }),
            (_, _, _, _) => Err(invalid()),
        }
    }
}

impl TryFrom<String> for KubeVersion {
    type Error = InvalidVersion;
    fn try_from(text: String) -> Result<Self, InvalidVersion> {
        KubeVersion::parse(&text)
    }
}

impl From<KubeVersion> for String {
    fn from(version: KubeVersion) -> String {
        version.to_string()
    }
}

impl fmt::Display for KubeVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "v{}.{}.{}", self.major, self.minor, self.patch)
    }
}
