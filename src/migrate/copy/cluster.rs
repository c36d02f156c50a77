//! What a copy needs of each of the two clusters: a port, with a real adapter and one for tests.

use futures::future::BoxFuture;
use serde::Serialize;
use serde_json::Value;

use super::kinds::{Kind, Served};

/// As whom objects are applied: fields of others are never taken from them.
pub const MANAGER: &str = "keelwright-migrate";

/// Fields that somebody else has set otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FieldConflict {
    /// As the API server names it: `kubectl-edit`, `helm`, a controller.
    pub manager: String,
    pub fields: Vec<String>,
}

/// Why a call of an API failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClusterError {
    #[error("the API server cannot be reached: {0}")]
    Unreachable(String),
    #[error("{message} (HTTP {code})")]
    Refused { code: u16, message: String },
    /// Nothing was changed.
    #[error("{}", conflicts_text(.0))]
    Conflict(Vec<FieldConflict>),
}

fn conflicts_text(conflicts: &[FieldConflict]) -> String {
    let one =
        |conflict: &FieldConflict| format!("{} has set {}", conflict.manager, conflict.fields.join(", "));
    conflicts.iter().map(one).collect::<Vec<_>>().join("; ")
}

pub type Reply<'a, T> = BoxFuture<'a, Result<T, ClusterError>>;

/// Whether an apply changes anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Only says what would become of the object.
    DryRun,
    Real,
}

/// The API of one cluster.
pub trait Cluster: Send + Sync {
    /// All kinds whose objects can be listed, read, made and patched, in all versions.
    fn kinds(&self) -> Reply<'_, Served>;

    /// All objects of a kind in all namespaces, each with its apiVersion and kind.
    fn list<'a>(&'a self, kind: &'a Kind) -> Reply<'a, Vec<Value>>;

    /// One object; None: there is none. The namespace is empty for what has none.
    fn read<'a>(&'a self, kind: &'a Kind, namespace: &'a str, name: &'a str) -> Reply<'a, Option<Value>>;

    /// Server-side apply as [`MANAGER`], without force: returns the object as it is then, or would be.
    fn apply<'a>(&'a self, kind: &'a Kind, object: &'a Value, mode: Mode) -> Reply<'a, Value>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_conflict_names_who_has_set_what() {
        let conflict = |manager: &str, fields: &[&str]| FieldConflict {
            manager: manager.to_owned(),
            fields: fields.iter().map(|field| (*field).to_owned()).collect(),
        };
        let error = ClusterError::Conflict(vec![
            conflict("kubectl-edit", &[".spec.replicas", ".data.a"]),
            conflict("helm", &[".metadata.labels.b"]),
        ]);
        assert_eq!(
            error.to_string(),
            "kubectl-edit has set .spec.replicas, .data.a; helm has set .metadata.labels.b"
        );
    }
}
