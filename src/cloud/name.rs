//! What resources are called: by us, and by the cloud.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Our name of a resource within its cluster, `subnet/private-a`: the value of its tag `keelwright.dev/name`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ResourceName(String);

impl ResourceName {
    /// `kind` and a name that is unique among its kind.
    pub fn new(kind: &str, name: impl fmt::Display) -> Self {
        ResourceName(format!("{kind}/{name}"))
    }

    /// What a tag says; None when no name of ours looks like that.
    pub fn parse(text: &str) -> Option<Self> {
        let (kind, name) = text.split_once('/')?;
        (!kind.is_empty() && !name.is_empty()).then(|| ResourceName(text.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn kind(&self) -> &str {
        self.0.split_once('/').map_or("", |(kind, _)| kind)
    }

    /// The part after the kind.
    pub fn short(&self) -> &str {
        self.0.split_once('/').map_or(&self.0, |(_, name)| name)
    }
}

impl fmt::Display for ResourceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// A name of ours in lists that are shared by all clusters of an account.
pub fn physical_name(cluster: &str, short: &str) -> String {
    format!("{cluster}-{short}")
}

/// Where a cluster's roles are in IAM.
pub fn iam_path(cluster: &str) -> String {
    format!("/keelwright/{cluster}/")
}

/// IAM has one name space for all regions and clusters of an account, and a profile must not be taken for its role.
pub fn iam_name(cluster: &str, name: &ResourceName) -> String {
    format!("keelwright-{cluster}-{}-{}", name.short(), name.kind())
}

/// What the cloud calls a resource: `vpc-0abc`, an ARN, or a name where that is the identity.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PhysicalId(pub String);

impl PhysicalId {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PhysicalId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// How one resource names another.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Ref {
    Ours(ResourceName),
    /// Somebody else's, or nobody's any more.
    Theirs(PhysicalId),
}

/// What marks a name that is not ours in text.
const THEIRS: char = '=';

impl From<Ref> for String {
    fn from(reference: Ref) -> String {
        reference.to_string()
    }
}

impl TryFrom<String> for Ref {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.strip_prefix(THEIRS) {
            Some(id) => Ok(Ref::Theirs(PhysicalId(id.to_owned()))),
            None => ResourceName::parse(&text).map(Ref::Ours).ok_or_else(|| format!("{text} names nothing")),
        }
    }
}

impl fmt::Display for Ref {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Ref::Ours(name) => name.fmt(f),
            Ref::Theirs(id) => write!(f, "{THEIRS}{id}"),
        }
    }
}

impl From<&ResourceName> for Ref {
    fn from(name: &ResourceName) -> Self {
        Ref::Ours(name.clone())
    }
}
