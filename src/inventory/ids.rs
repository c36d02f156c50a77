//! Names that cannot be wrong: parsed once at the edge, carried as types afterwards.

use std::borrow::Borrow;
use std::fmt;

use serde::{Deserialize, Serialize};

/// Why a text is not a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidName {
    #[error("a name cannot be empty")]
    Empty,
    #[error("`{name}` has {length} characters; at most {limit} are allowed")]
    TooLong { name: String, length: usize, limit: usize },
    #[error("`{name}`: character {character:?} at column {column} is not allowed; {suggestion}")]
    Character { name: String, character: char, column: usize, suggestion: String },
    #[error("`{name}` must start and end with a lower-case letter or a digit; {suggestion}")]
    Edge { name: String, suggestion: String },
}

/// RFC 1123: a node name is a DNS subdomain of at most 253 characters.
const HOST_NAME_LIMIT: usize = 253;
/// RFC 1123: one DNS label is at most 63 characters.
const LABEL_LIMIT: usize = 63;

fn suggest(name: &str) -> String {
    let fixed: String = name
        .to_lowercase()
        .chars()
        .map(|c| if c.is_ascii_lowercase() || c.is_ascii_digit() || c == '.' { c } else { '-' })
        .collect();
    let fixed = fixed.trim_matches(|c| c == '-' || c == '.');
    if fixed.is_empty() {
        "use lower-case letters, digits and `-`".into()
    } else {
        format!("did you mean `{fixed}`?")
    }
}

fn check_label(whole: &str, label: &str, offset: usize) -> Result<(), InvalidName> {
    if label.is_empty() {
        return Err(InvalidName::Edge { name: whole.into(), suggestion: suggest(whole) });
    }
    if label.len() > LABEL_LIMIT {
        return Err(InvalidName::TooLong { name: label.into(), length: label.len(), limit: LABEL_LIMIT });
    }
    for (index, character) in label.chars().enumerate() {
        if !(character.is_ascii_lowercase() || character.is_ascii_digit() || character == '-') {
            return Err(InvalidName::Character {
                name: whole.into(),
                character,
                column: offset + index + 1,
                suggestion: suggest(whole),
            });
        }
    }
    if label.starts_with('-') || label.ends_with('-') {
        return Err(InvalidName::Edge { name: whole.into(), suggestion: suggest(whole) });
    }
    Ok(())
}

macro_rules! name_type {
    ($(#[$doc:meta])* $name:ident, $check:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Parses a name; the error says which character is wrong and what would be right.
            pub fn parse(text: &str) -> Result<Self, InvalidName> {
                if text.is_empty() {
                    return Err(InvalidName::Empty);
                }
                let check: fn(&str) -> Result<(), InvalidName> = $check;
                check(text)?;
                Ok($name(text.to_owned()))
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidName;
            fn try_from(text: String) -> Result<Self, InvalidName> {
                $name::parse(&text)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

name_type!(
    /// A machine's name, which is also its Kubernetes node name (RFC 1123 subdomain).
    HostName,
    |text| {
        if text.len() > HOST_NAME_LIMIT {
            return Err(InvalidName::TooLong {
                name: text.into(),
                length: text.len(),
                limit: HOST_NAME_LIMIT,
            });
        }
        let mut offset = 0;
        for label in text.split('.') {
            check_label(text, label, offset)?;
            offset += label.len() + 1;
        }
        Ok(())
    }
);

name_type!(
    /// A cluster's name (one DNS label).
    ClusterName,
    |text| check_label(text, text, 0)
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_names_that_kubernetes_accepts() {
        for name in ["a", "cp-1", "node.example.org", "0", "10-0-0-1"] {
            assert_eq!(HostName::parse(name).map(String::from), Ok(name.to_owned()));
        }
        assert!(ClusterName::parse("prod").is_ok());
        assert!(ClusterName::parse("prod.eu").is_err());
    }

    #[test]
    fn refuses_others_and_suggests_a_name() {
        for (name, part) in [
            ("", "cannot be empty"),
            ("CP-1", "did you mean `cp-1`?"),
            ("cp_1", "column 3"),
            ("-cp", "did you mean `cp`?"),
            ("cp-", "start and end"),
            ("a..b", "start and end"),
            ("cp;rm -rf", "column 3"),
            ("cp\n1", "column 3"),
        ] {
            let error = HostName::parse(name).unwrap_err().to_string();
            assert!(error.contains(part), "{name:?}: {error}");
        }
        assert!(HostName::parse(&"a".repeat(64)).is_err());
    }
}
