//! What a Kubernetes version is: `v1.37.1`, nothing looser.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A released Kubernetes version. Pre-releases and builds are refused: their images, skew rules and
/// upgrade paths are not the ones this tool knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct KubeVersion {
    pub major: u32,
    pub minor: u32,
    pub patch: u32,
}

/// A Kubernetes minor, `1.37`: the unit of the skew policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Minor {
    pub major: u32,
    pub minor: u32,
}

/// A text that is not vMAJOR.MINOR.PATCH.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a version; want vMAJOR.MINOR.PATCH, such as v1.37.1")]
pub struct InvalidVersion(pub String);

/// A text that is not MAJOR.MINOR.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a minor version; want MAJOR.MINOR, such as 1.37")]
pub struct InvalidMinor(pub String);

impl KubeVersion {
    pub const fn new(major: u32, minor: u32, patch: u32) -> Self {
        KubeVersion { major, minor, patch }
    }

    /// Parses `v1.37.1`; the `v` is required.
    pub fn parse(text: &str) -> Result<Self, InvalidVersion> {
        let parse = || {
            let mut parts = text.strip_prefix('v')?.split('.');
            let version = KubeVersion {
                major: number(parts.next()?)?,
                minor: number(parts.next()?)?,
                patch: number(parts.next()?)?,
            };
            parts.next().is_none().then_some(version)
        };
        parse().ok_or_else(|| InvalidVersion(text.to_owned()))
    }

    /// The minor this version belongs to.
    pub const fn minor(self) -> Minor {
        Minor { major: self.major, minor: self.minor }
    }

    /// `1.37.1`: the form without the leading `v`.
    pub fn bare(self) -> String {
        format!("{}.{}.{}", self.major, self.minor, self.patch)
    }
}

impl Minor {
    pub const fn new(major: u32, minor: u32) -> Self {
        Minor { major, minor }
    }

    /// How many minors `self` is behind `newer`; negative when it is ahead, `None` across majors.
    pub fn behind(self, newer: Minor) -> Option<i64> {
        (self.major == newer.major).then(|| i64::from(newer.minor) - i64::from(self.minor))
    }

    /// The minor after this one.
    pub const fn next(self) -> Minor {
        Minor { major: self.major, minor: self.minor + 1 }
    }

    /// The minor `count` before this one; stops at `.0`.
    pub const fn back(self, count: u32) -> Minor {
        Minor { major: self.major, minor: self.minor.saturating_sub(count) }
    }
}

/// Digits only, no sign, no leading zero: `1.037` and `1.37` must not be two spellings of one version.
fn number(text: &str) -> Option<u32> {
    let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !plain || (text.len() > 1 && text.starts_with('0')) {
        return None;
    }
    text.parse().ok()
}

impl FromStr for KubeVersion {
    type Err = InvalidVersion;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        KubeVersion::parse(text)
    }
}

impl FromStr for Minor {
    type Err = InvalidMinor;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parse = || {
            let (major, minor) = text.split_once('.')?;
            Some(Minor { major: number(major)?, minor: number(minor)? })
        };
        parse().ok_or_else(|| InvalidMinor(text.to_owned()))
    }
}

impl fmt::Display for KubeVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("v{}.{}.{}", self.major, self.minor, self.patch))
    }
}

impl fmt::Display for Minor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}.{}", self.major, self.minor))
    }
}

impl TryFrom<String> for KubeVersion {
    type Error = InvalidVersion;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<KubeVersion> for String {
    fn from(version: KubeVersion) -> String {
        version.to_string()
    }
}

impl TryFrom<String> for Minor {
    type Error = InvalidMinor;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Minor> for String {
    fn from(minor: Minor) -> String {
        minor.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_released_versions_and_prints_them_back() {
        for text in ["v1.34.4", "v1.37.1", "v1.0.0", "v2.10.65535"] {
            assert_eq!(text.parse::<KubeVersion>().unwrap().to_string(), text);
        }
        assert_eq!("1.37".parse::<Minor>().unwrap(), Minor::new(1, 37));
    }

    #[test]
    fn refuses_every_other_spelling() {
        for text in [
            "",
            "v",
            "1.37.1",
            "v1.37",
            "v1.37.1.0",
            "v1.37.1-rc.0",
            "v1.37.1+x",
            "v01.37.1",
            "v1.037.1",
            "v1.37.01",
            "V1.37.1",
            " v1.37.1",
            "v1.37.1 ",
            "v1.+7.1",
            "v1..1",
            "v1.37.4294967296",
            "v1.37.１",
        ] {
            assert!(text.parse::<KubeVersion>().is_err(), "{text:?} was accepted");
        }
        for text in ["", "1", "v1.37", "1.37.1", "1.037", "1.x"] {
            assert!(text.parse::<Minor>().is_err(), "{text:?} was accepted");
        }
    }

    #[test]
    fn orders_by_number_not_by_text() {
        let mut versions: Vec<KubeVersion> =
            ["v1.37.1", "v1.9.10", "v1.34.4", "v1.9.9"].iter().map(|text| text.parse().unwrap()).collect();
        versions.sort();
        let text: Vec<String> = versions.iter().map(ToString::to_string).collect();
        assert_eq!(text, ["v1.9.9", "v1.9.10", "v1.34.4", "v1.37.1"]);
    }

    #[test]
    fn is_a_string_in_json() {
        let version = KubeVersion::new(1, 37, 1);
        assert_eq!(serde_json::to_string(&version).unwrap(), "\"v1.37.1\"");
        assert_eq!(serde_json::from_str::<KubeVersion>("\"v1.37.1\"").unwrap(), version);
        assert!(serde_json::from_str::<KubeVersion>("\"1.37.1\"").is_err());
    }

    #[test]
    fn distance_between_minors_is_signed_and_undefined_across_majors() {
        assert_eq!(Minor::new(1, 34).behind(Minor::new(1, 37)), Some(3));
        assert_eq!(Minor::new(1, 37).behind(Minor::new(1, 34)), Some(-3));
        assert_eq!(Minor::new(1, 37).behind(Minor::new(2, 0)), None);
    }
}
