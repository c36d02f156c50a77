//! What the test does not permit, and dry runs, some of which moto takes for the real thing.

use std::collections::BTreeSet;

use super::super::client::Answer;
use super::super::service::{Protocol, Service};
use super::super::xml;
use super::call::Call;
use super::reply;

/// `denied` has permissions such as `ec2:CreateVpc`.
pub fn refuse(call: &Call, denied: &BTreeSet<String>) -> Option<Answer> {
    if denied.contains(&call.permission()) {
        return Some(not_authorized(call));
    }
    let dry = call.service == Service::Ec2 && call.param("DryRun") == "true";
    let message = "Request would have succeeded, but DryRun flag is set.";
    dry.then(|| reply::refusal(call, 412, "DryRunOperation", message))
}

/// IAM's answer to the question what would be permitted.
pub fn simulate(call: &Call, denied: &BTreeSet<String>) -> Option<Answer> {
    if call.name() != "IAM.SimulatePrincipalPolicy" {
        return None;
    }
    let mut resources = call.list("ResourceArns.member");
    if resources.is_empty() {
        resources.push("*".into());
    }
    let mut results = String::new();
    for action in call.list("ActionNames.member") {
        let decision = if denied.contains(&action) { "implicitDeny" } else { "allowed" };
        for resource in &resources {
            let result = xml::element("EvalActionName", &action)
                + &xml::element("EvalResourceName", resource)
                + &xml::element("EvalDecision", decision);
            results += &format!("<member>{result}</member>");
        }
    }
    let results = format!("<EvaluationResults>{results}</EvaluationResults><IsTruncated>false</IsTruncated>");
    Some(reply::success(call, &results))
}

fn not_authorized(call: &Call) -> Answer {
    let message = format!("You are not authorized to perform {}", call.permission());
    let (status, code) = match call.service.protocol() {
        Protocol::Ec2 => (403, "UnauthorizedOperation"),
        Protocol::Query | Protocol::Rest | Protocol::S3 => (403, "AccessDenied"),
        Protocol::Json => (400, "AccessDeniedException"),
        Protocol::RestJson => (403, "AccessDeniedException"),
        Protocol::Cbor => (403, "AccessDenied"),
    };
    reply::refusal(call, status, code, &message)
}
