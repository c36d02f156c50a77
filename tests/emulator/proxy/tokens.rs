//! Idempotency: a call that is repeated with its token has the answer that it had.

use std::collections::BTreeMap;

use super::super::client::Answer;
use super::super::service::Service;
use super::super::xml;
use super::call::{Call, Params};
use super::reply;

/// One token of one kind of call in one region.
type Key = (String, String, String);

#[derive(Debug, Default)]
pub struct Tokens(BTreeMap<Key, (Params, Answer)>);

/// A call that has a token, as it came.
pub struct Tokened {
    key: Key,
    params: Params,
}

impl Tokened {
    pub fn of(call: &Call) -> Option<Tokened> {
        let token = match (call.service, call.action.as_str()) {
            (Service::Ec2, _) => call.param("ClientToken").to_owned(),
            (Service::Route53, "CreateHostedZone" | "CreateHealthCheck") => reference(call.param("Body")),
            _ => return None,
        };
        let key = (call.name(), call.region.clone(), token);
        (!key.2.is_empty()).then(|| Tokened { key, params: call.params.clone() })
    }
}

impl Tokens {
    pub fn recall(&self, call: &Call, tokened: Option<&Tokened>) -> Option<Answer> {
        let tokened = tokened?;
        let (params, answer) = self.0.get(&tokened.key)?;
        let same = *params == tokened.params;
        Some(match (call.action.as_str(), same) {
            // A zone's reference is good for one call, whatever the call says.
            ("CreateHostedZone", _) => {
                let message = "A hosted zone has already been created with the specified caller reference.";
                reply::refusal(call, 409, "HostedZoneAlreadyExists", message)
            }
            (_, true) => answer.clone(),
            ("CreateHealthCheck", false) => {
                let message = "A health check with the same caller reference and other settings exists.";
                reply::refusal(call, 409, "HealthCheckAlreadyExists", message)
            }
            (_, false) => {
                let message =
                    "The request uses the same client token as a previous, but non-identical request.";
                reply::refusal(call, 400, "IdempotentParameterMismatch", message)
            }
        })
    }

    /// Only what has succeeded counts.
    pub fn remember(&mut self, tokened: Option<Tokened>, answer: &Answer) {
        if let Some(Tokened { key, params }) = tokened.filter(|_| answer.status < 300) {
            self.0.entry(key).or_insert((params, answer.clone()));
        }
    }
}

fn reference(body: &str) -> String {
    let document = xml::parse(body);
    xml::text(document.root_element(), "CallerReference")
}
