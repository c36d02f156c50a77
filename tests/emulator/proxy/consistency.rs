//! Eventual consistency: what was just created is not found, or not listed, for a while.

use std::collections::BTreeMap;

use super::super::client::Answer;
use super::super::service::{Protocol, Service};
use super::super::xml::{self, Edits};
use super::call::Call;
use super::faults::Fault;
use super::kinds::{self, Kind};
use super::reply;

#[derive(Debug, Default)]
pub struct Consistency {
    not_found: BTreeMap<String, (&'static Kind, u32)>,
    unlisted: BTreeMap<String, (&'static Kind, u32)>,
}

impl Consistency {
    /// What a call has created is hidden, if its fault says so.
    pub fn note(&mut self, call: &Call, fault: Fault, answer: &Answer) {
        let (hidden, calls) = match fault {
            Fault::NotFoundFor(calls) => (&mut self.not_found, calls),
            Fault::UnlistedFor(calls) => (&mut self.unlisted, calls),
            Fault::None
            | Fault::Throttle
            | Fault::InternalError
            | Fault::Refuse(..)
            | Fault::CutBefore
            | Fault::LostReply
            | Fault::Hang => return,
        };
        let Some(kind) = kinds::created_by(call).filter(|_| answer.status < 300) else { return };
        hidden.extend(answer.all(kind.id).into_iter().map(|id| (id, (kind, calls))));
    }

    /// The error for a call that names something hidden; `profile` is named by its launch template.
    pub fn refuse(&mut self, call: &Call, profile: Option<&str>) -> Option<Answer> {
        let mut found = None;
        for (id, (kind, left)) in &mut self.not_found {
            if *left > 0 && names(call, kind, id, profile) {
                *left -= 1;
                found = Some((id.clone(), *kind));
                break;
            }
        }
        found.map(|(id, kind)| not_found(call, kind, &id))
    }

    /// Takes what is hidden out of a list.
    pub fn unlist(&mut self, call: &Call, answer: &mut Answer) {
        let name = call.name();
        let mut hidden = self
            .unlisted
            .iter_mut()
            .filter(|(_, (kind, left))| *left > 0 && kind.listed_by == name)
            .peekable();
        if answer.status >= 300 || hidden.peek().is_none() {
            return;
        }
        let text = answer.text().to_owned();
        let document = xml::parse(&text);
        let mut edits = Edits::default();
        for (id, (kind, left)) in hidden {
            *left -= 1;
            let items = document.descendants().filter(|node| {
                matches!(node.tag_name().name(), "item" | "member") && xml::text(*node, kind.id) == *id
            });
            items.for_each(|item| edits.remove(item));
        }
        answer.body = edits.apply(&text).into();
    }
}

/// Whether a call names a thing as one that must be there. Launch templates are not checked when they are made, and
/// filters never are.
fn names(call: &Call, kind: &Kind, id: &str, profile: Option<&str>) -> bool {
    if call.name() == kind.created_by {
        return false;
    }
    let is = |value: &str| value == id || value.ends_with(&format!("/{id}"));
    let unchecked = |param: &str| param.starts_with("Filter.") || param.starts_with("LaunchTemplateData.");
    // A name, unlike an id, may be that of something else too.
    let fits = |param: &str| match kind.id {
        "RoleName" | "InstanceProfileName" | "PolicyName" => {
            param == kind.id || param.ends_with("Arn") || param.starts_with("IamInstanceProfile.")
        }
        "keyName" => param.starts_with("KeyName"),
        _ => true,
    };
    let params = call.params.iter().filter(|(param, _)| !unchecked(param) && fits(param));
    let profile = profile.filter(|_| kind.id == "InstanceProfileName");
    params.map(|(_, value)| value.as_str()).chain(profile).any(is)
}

fn not_found(call: &Call, kind: &Kind, id: &str) -> Answer {
    let iam = kind.created_by.starts_with("IAM.");
    let profile = format!(
        "Value ({id}) for parameter iamInstanceProfile.name is invalid. Invalid IAM Instance Profile name"
    );
    let missing = format!("The specified '{id}' does not exist");
    match call.service.protocol() {
        // EC2 and auto scaling do not speak of IAM's things in IAM's words.
        Protocol::Ec2 if iam => reply::refusal(call, 400, "InvalidParameterValue", &profile),
        Protocol::Query if iam && call.service == Service::AutoScaling => {
            let message = format!("You must use a valid fully-formed launch template. {profile}");
            reply::refusal(call, 400, "ValidationError", &message)
        }
        Protocol::Query if iam => reply::refusal(call, 404, kind.not_found, &missing),
        Protocol::Query if call.service == Service::AutoScaling => {
            reply::refusal(call, 400, "ValidationError", &missing)
        }
        Protocol::Ec2
        | Protocol::Query
        | Protocol::Json
        | Protocol::Rest
        | Protocol::RestJson
        | Protocol::Cbor
        | Protocol::S3 => reply::refusal(call, 400, kind.not_found, &missing),
    }
}
