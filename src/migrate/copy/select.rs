//! Which objects are copied, and why the others are not: everything that a user made, nothing that a cluster makes by
//! itself. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Serialize;
use serde_json::Value;

use super::kinds::{Kind, Pairing, defines, is_definition_of_the_cluster, is_of_the_cluster};
use super::needs::{cluster_wide, is_ephemeral, served_namespaces};
use super::object::{ObjectId, annotation, controller, has_condition, items, label, name, namespace, text};
use super::selection::Selection;

/// An object of blue. Printed, it shows nothing of the object itself.
#[derive(Clone)]
pub struct Found {
    pub id: ObjectId,
    pub pairing: Pairing,
    pub object: Value,
}

impl fmt::Debug for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?}", self.id, self.pairing)
    }
}

impl Found {
    pub fn new(pairing: Pairing, object: Value) -> Self {
        Found { id: ObjectId::of(&object), pairing, object }
    }

    pub fn kind(&self) -> &Kind {
        self.pairing.kind()
    }
}

/// Something that stays on blue, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Left {
    pub what: String,
    pub why: String,
}

impl Left {
    pub fn new(what: impl fmt::Display, why: impl fmt::Display) -> Self {
        Left { what: what.to_string(), why: why.to_string() }
    }
}

/// Why an object that a user made stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    #[error("it is being deleted")]
    Leaving,
    #[error("it has run; a copy would run again")]
    HasRun,
    #[error("it has ended")]
    HasEnded,
    #[error("a token is of the cluster that signed it; make one on green")]
    Token,
    #[error("only some namespaces are copied, and nothing there needs it")]
    NotNeeded,
    #[error("it says what blue's own API is; green has its own")]
    LocalApi,
}

/// What becomes of an object, whatever the operator selects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Copied,
    /// The cluster makes it by itself: not worth a word.
    System,
    Left(Reason),
}

/// The objects that are copied, and what stays.
#[derive(Debug, Clone, Default)]
pub struct Selected {
    pub copied: Vec<Found>,
    pub left: Vec<Left>,
    /// Objects that the operator's own selection leaves out.
    pub unselected: usize,
}

/// Annotations and labels of what an installer or a controller keeps as its own.
const KEPT_BY_INSTALLERS: [&str; 4] = [
    "addonmanager.kubernetes.io/mode",
    "addon.kops.k8s.io/name",
    "eks.amazonaws.com/component",
    "apf.kubernetes.io/autoupdate-spec",
];
/// Prefixes of cluster-wide names that are not a user's.
const SYSTEM_NAMES: [(&str, &str); 9] = [
    ("ClusterRole", "system:"),
    ("ClusterRoleBinding", "system:"),
    ("ClusterRole", "kubeadm:"),
    ("ClusterRoleBinding", "kubeadm:"),
    ("ClusterRole", "kops"),
    ("ClusterRoleBinding", "kops"),
    ("ClusterRole", "eks:"),
    ("ClusterRoleBinding", "eks:"),
    ("PriorityClass", "system-"),
];
/// Made in every namespace by what signs the cluster's or a mesh's certificates.
const ROOT_CERTIFICATES: [&str; 3] = ["kube-root-ca.crt", "istio-ca-root-cert", "openshift-service-ca.crt"];
/// Namespaces of the cluster itself.
pub fn is_system_namespace(namespace: &str) -> bool {
    namespace.starts_with("kube-")
}

/// What an object is, by itself.
pub fn verdict(id: &ObjectId, object: &Value) -> Verdict {
    if is_of_the_cluster(&id.group, &id.kind)
        || is_system_namespace(&id.namespace)
        || is_kept_by_others(id, object)
    {
        return Verdict::System;
    }
    let own = match (id.group.as_str(), id.kind.as_str()) {
        ("", "Namespace") if is_system_namespace(&id.name) => Verdict::System,
        ("", "ConfigMap") if ROOT_CERTIFICATES.contains(&id.name.as_str()) => Verdict::System,
        ("", "ServiceAccount") if is_silent_default(id, object) => Verdict::System,
        // The API server makes its own.
        ("", "Service") if id.namespace == "default" && id.name == "kubernetes" => Verdict::System,
        ("", "Secret") => match text(object, "/type") {
            "kubernetes.io/service-account-token" => Verdict::Left(Reason::Token),
            "bootstrap.kubernetes.io/token" => Verdict::System,
            _ => Verdict::Copied,
        },
        ("", "Pod") if annotation(object, "kubernetes.io/config.mirror").is_some() => Verdict::System,
        ("", "Pod") if matches!(text(object, "/status/phase"), "Succeeded" | "Failed") => {
            Verdict::Left(Reason::HasEnded)
        }
        ("batch", "Job") if has_condition(object, "Complete") || has_condition(object, "Failed") => {
            Verdict::Left(Reason::HasRun)
        }
        ("apiextensions.k8s.io", "CustomResourceDefinition") if is_definition_of_the_cluster(object) => {
            Verdict::System
        }
        ("apiregistration.k8s.io", "APIService")
            if object.pointer("/spec/service").is_none_or(Value::is_null) =>
        {
            Verdict::System
        }
        _ => Verdict::Copied,
    };
    let is_leaving = object.pointer("/metadata/deletionTimestamp").is_some_and(|time| !time.is_null());
    if own == Verdict::Copied && is_leaving { Verdict::Left(Reason::Leaving) } else { own }
}

/// Whether something in the cluster makes it again by itself.
fn is_kept_by_others(id: &ObjectId, object: &Value) -> bool {
    // A StatefulSet may own its claims, and cannot make their data.
    let is_claim = id.is("", "PersistentVolumeClaim");
    let is_owned = if is_claim { is_ephemeral(object) } else { controller(object).is_some() };
    let has = |key: &&str| label(object, key).is_some() || annotation(object, key).is_some();
    is_owned
        || label(object, "kubernetes.io/bootstrapping").is_some()
        || label(object, "kube-aggregator.kubernetes.io/automanaged").is_some()
        || label(object, "app.kubernetes.io/managed-by") == Some("kops")
        || KEPT_BY_INSTALLERS.iter().any(has)
        || SYSTEM_NAMES.iter().any(|(kind, prefix)| id.kind == *kind && id.name.starts_with(prefix))
}

/// The account that every namespace has, as it is when nobody has touched it.
fn is_silent_default(id: &ObjectId, object: &Value) -> bool {
    let is_empty = |pointer: &str| match object.pointer(pointer) {
        Some(Value::Object(map)) => map.is_empty(),
        Some(Value::Array(list)) => list.is_empty(),
        Some(Value::Null) | None => true,
        Some(_) => false,
    };
    let annotations = object.pointer("/metadata/annotations").and_then(Value::as_object);
    let says = |key: &String| key.as_str() != super::clean::LAST_APPLIED;
    id.name == "default"
        && is_empty("/imagePullSecrets")
        && is_empty("/metadata/labels")
        && is_empty("/automountServiceAccountToken")
        && !annotations.is_some_and(|annotations| annotations.keys().any(says))
}

/// Chooses.
pub fn select(found: Vec<Found>, selection: &Selection) -> Selected {
    let mut selected = Selected::default();
    let mut candidates = Vec::new();
    let leaving = leaving_namespaces(&found);
    let minted = minted_tokens(&found);
    for one in found {
        let verdict = match verdict(&one.id, &one.object) {
            Verdict::Copied if leaving.contains(&one.id.namespace) => Verdict::Left(Reason::Leaving),
            // Old clusters made one for each account.
            Verdict::Left(Reason::Token) if minted.contains(&one.id) => Verdict::System,
            verdict => verdict,
        };
        match verdict {
            Verdict::System => {}
            Verdict::Copied => {
                let is_wanted = is_wanted(&one, selection);
                candidates.push((one, if is_wanted { Standing::Wanted } else { Standing::Unselected }));
            }
            Verdict::Left(reason) if is_wanted(&one, selection) => {
                selected.left.push(Left::new(&one.id, reason));
            }
            Verdict::Left(_) => selected.unselected += 1,
        }
    }
    come_along(&mut candidates, selection);
    let mut apart: BTreeMap<(String, String), usize> = BTreeMap::new();
    for (one, standing) in candidates {
        match (standing, &one.pairing) {
            (Standing::Unselected, _) if is_only_not_needed(&one, selection) => {
                selected.left.push(Left::new(&one.id, Reason::NotNeeded));
            }
            (Standing::Unselected, _) => selected.unselected += 1,
            (Standing::Wanted, Pairing::Apart(kind, why)) => {
                *apart.entry((kind.title(), why.to_string())).or_default() += 1;
            }
            (Standing::Wanted, Pairing::Common(_) | Pairing::Defined(_)) => selected.copied.push(one),
        }
    }
    for ((title, why), count) in apart {
        let objects = if count == 1 { "object" } else { "objects" };
        selected.left.push(Left::new(format!("{count} {objects} of kind {title}"), why));
    }
    selected
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    Wanted,
    /// By the operator's selection; something that is wanted may need it.
    Unselected,
}

/// Whether the operator's selection has it by itself.
fn is_wanted(one: &Found, selection: &Selection) -> bool {
    let is_there = if one.id.is("", "Namespace") {
        selection.has_namespace(&one.id.name)
    } else if one.kind().is_namespaced {
        selection.has_namespace(&one.id.namespace)
    } else {
        !selection.is_of_some_namespaces()
    };
    is_there && selection.has_kind(one.kind()) && selection.has_labels(&one.object)
}

/// A cluster-wide object that would have been copied had all namespaces been.
fn is_only_not_needed(one: &Found, selection: &Selection) -> bool {
    selection.is_of_some_namespaces()
        && !one.kind().is_namespaced
        && !one.id.is("", "Namespace")
        && selection.has_kind(one.kind())
        && selection.has_labels(&one.object)
}

/// What wanted objects need comes along: their namespaces and definitions, and cluster-wide objects that they name or
/// that serve their namespaces.
fn come_along(candidates: &mut [(Found, Standing)], selection: &Selection) {
    loop {
        let mut needed: BTreeSet<ObjectId> = BTreeSet::new();
        let mut namespaces: BTreeSet<String> = BTreeSet::new();
        let mut kinds: Vec<Kind> = Vec::new();
        for (one, _) in candidates.iter().filter(|(_, standing)| *standing == Standing::Wanted) {
            needed.extend(cluster_wide(&one.object));
            if one.kind().is_namespaced {
                needed.insert(ObjectId::new("", "Namespace", "", namespace(&one.object)));
                namespaces.insert(namespace(&one.object).to_owned());
            }
            if !kinds.iter().any(|kind| kind.is(&one.kind().group, &one.kind().kind)) {
                kinds.push(one.kind().clone());
            }
        }
        let mut is_more = false;
        for (one, standing) in candidates.iter_mut().filter(|(_, standing)| *standing == Standing::Unselected)
        {
            let is_needed = needed.contains(&one.id)
                || (one.id.kind == "CustomResourceDefinition"
                    && kinds.iter().any(|kind| defines(&one.object, kind)))
                || (!one.kind().is_namespaced
                    && served_namespaces(&one.object).iter().any(|served| namespaces.contains(*served)));
            if is_needed && selection.has_kind(one.kind()) {
                *standing = Standing::Wanted;
                is_more = true;
            }
        }
        if !is_more {
            return;
        }
    }
}

/// Namespaces that go, with all that is in them.
fn leaving_namespaces(found: &[Found]) -> BTreeSet<String> {
    let is_leaving = |one: &&Found| {
        one.id.is("", "Namespace") && verdict(&one.id, &one.object) == Verdict::Left(Reason::Leaving)
    };
    found.iter().filter(is_leaving).map(|one| one.id.name.clone()).collect()
}

/// Token Secrets that the cluster made for its accounts.
fn minted_tokens(found: &[Found]) -> BTreeSet<ObjectId> {
    let accounts = found.iter().filter(|one| one.id.is("", "ServiceAccount"));
    let secrets = accounts.flat_map(|one| {
        let secrets = items(&one.object, "/secrets").map(name_of);
        secrets.map(|secret| ObjectId::new("", "Secret", &one.id.namespace, secret))
    });
    secrets.collect()
}

fn name_of(reference: &Value) -> &str {
    text(reference, "/name")
}

/// A definition's own name, for what it defines.
pub fn definition_of<'a>(kind: &Kind, definitions: impl Iterator<Item = &'a Found>) -> Option<&'a Found> {
    let mut definitions = definitions.filter(|one| one.id.kind == "CustomResourceDefinition");
    definitions.find(|one| defines(&one.object, kind) && !name(&one.object).is_empty())
}

#[cfg(test)]
#[path = "select_tests.rs"]
mod tests;
