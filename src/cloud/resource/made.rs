//! What the cluster's own controllers have made for Services, Ingresses and claims. keelwright never wants it, and
//! takes it away with the cluster.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::cloud::name::Ref;

/// Something that a controller in the cluster has made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Made {
    pub what: MadeKind,
    /// Whom for, such as `Service default/web`; empty: its tags do not say.
    pub purpose: String,
    /// What goes after it.
    pub needs: BTreeSet<Ref>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MadeKind {
    /// A network or application load balancer, with its listeners.
    Balancer,
    /// One of the first generation, which has an API and names of its own.
    ClassicBalancer,
    TargetGroup,
    SecurityGroup,
    /// Of such a group, apart from it because groups name each other.
    SecurityRules,
    /// A claim's.
    Volume,
}

impl MadeKind {
    /// The word that names of its kind begin with.
    pub fn word(self) -> &'static str {
        match self {
            MadeKind::Balancer => "made-balancer",
            MadeKind::ClassicBalancer => "made-classic-balancer",
            MadeKind::TargetGroup => "made-target-group",
            MadeKind::SecurityGroup => "made-security-group",
            MadeKind::SecurityRules => "made-security-rules",
            MadeKind::Volume => "made-volume",
        }
    }
}

impl Made {
    /// Why it goes, for people.
    pub fn words(&self) -> String {
        match self.purpose.as_str() {
            "" => "made by the cluster".to_owned(),
            purpose => format!("made by the cluster for {purpose}"),
        }
    }
}
