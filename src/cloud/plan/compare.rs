//! One resource as it is wanted and as it is.

use serde_json::Value;

use super::{FieldChange, Refusal};
use crate::cloud::name::{Ref, ResourceName};
use crate::cloud::ports::Found;
use crate::cloud::resource::{Desired, Manner, Resource};

/// The field that tags are compared as.
const TAGS: &str = "tags";

/// What differs, and what it takes.
pub(super) struct Difference {
    /// None: nothing.
    pub manner: Option<Manner>,
    pub fields: Vec<FieldChange>,
    /// What is wanted, with what is left to others as it is.
    pub wanted: Desired,
}

/// Compares field by field; differences that cannot be made are refused, all of them.
pub(super) fn compare(
    name: &ResourceName,
    desired: &Desired,
    there: &Found,
) -> Result<Difference, Vec<Refusal>> {
    let wanted =
        Desired { resource: desired.resource.clone().settled(&there.resource), tags: desired.tags.clone() };
    let (from, to) = (there.resource.fields(), wanted.resource.fields());
    let names = from.keys().chain(to.keys()).collect::<std::collections::BTreeSet<_>>();
    let (mut fields, mut refusals, mut manner) = (Vec::new(), Vec::new(), None);
    for field in names {
        let value = |fields: &std::collections::BTreeMap<String, Value>| {
            fields.get(field).cloned().unwrap_or(Value::Null)
        };
        let (from, to) = (value(&from), value(&to));
        if from == to {
            continue;
        }
        match wanted.resource.manner(field, &from, &to) {
            Manner::Never(why) => refusals.push(Refusal {
                name: name.clone(),
                field: field.clone(),
                from: from.to_string(),
                to: to.to_string(),
                why,
            }),
            needed => manner = manner.max(Some(needed)),
        }
        fields.push(FieldChange { field: field.clone(), from, to });
    }
    if let Some(change) = tags(&wanted, there) {
        manner = manner.max(Some(Manner::InPlace));
        fields.push(change);
    }
    if refusals.is_empty() { Ok(Difference { manner, fields, wanted }) } else { Err(refusals) }
}

/// Tags that others have set are theirs.
fn tags(wanted: &Desired, there: &Found) -> Option<FieldChange> {
    if !wanted.resource.has_tags() || wanted.tags == there.tags {
        return None;
    }
    let value = |tags| serde_json::to_value(tags).unwrap_or_default();
    Some(FieldChange { field: TAGS.to_owned(), from: value(&there.tags), to: value(&wanted.tags) })
}

/// The resources of ours that one needs.
pub(super) fn needs(resource: &Resource) -> Vec<&ResourceName> {
    resource.needs().into_iter().filter_map(ours).collect()
}

fn ours(reference: &Ref) -> Option<&ResourceName> {
    match reference {
        Ref::Ours(name) => Some(name),
        Ref::Theirs(_) => None,
    }
}
