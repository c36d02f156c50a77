//! Creating what is there: load balancers, target groups and listeners are given back if they are the same, and
//! refused if they are not. moto makes a second one.

use std::collections::BTreeMap;

use super::super::client::{Answer, Client};
use super::super::xml;
use super::call::{Call, Params};
use super::reply;

/// Where the existing one is found: the call that lists it, its list, and the error for another.
struct Kind {
    create: &'static str,
    describe: &'static str,
    list: &'static str,
    id: &'static str,
    /// What is taken: the parameter and the element that have it.
    name: (&'static str, &'static str),
    taken: &'static str,
    message: &'static str,
}

const KINDS: [Kind; 3] = [
    Kind {
        create: "CreateLoadBalancer",
        describe: "DescribeLoadBalancers",
        list: "LoadBalancers",
        id: "LoadBalancerArn",
        name: ("Name", "LoadBalancerName"),
        taken: "DuplicateLoadBalancerName",
        message: "A load balancer with the same name exists, but with different settings",
    },
    Kind {
        create: "CreateTargetGroup",
        describe: "DescribeTargetGroups",
        list: "TargetGroups",
        id: "TargetGroupArn",
        name: ("Name", "TargetGroupName"),
        taken: "DuplicateTargetGroupName",
        message: "A target group with the same name exists, but with different settings",
    },
    Kind {
        create: "CreateListener",
        describe: "DescribeListeners",
        list: "Listeners",
        id: "ListenerArn",
        name: ("Port", "Port"),
        taken: "DuplicateListener",
        message: "A listener already exists on this port for this load balancer",
    },
];

/// With what each thing was created, by its ARN.
#[derive(Debug, Default)]
pub struct Twins(BTreeMap<String, Params>);

impl Twins {
    pub async fn answer(&self, call: &Call, moto: &Client) -> Option<Answer> {
        let kind = kind_of(call)?;
        let place = ("LoadBalancerArn", call.param("LoadBalancerArn"));
        let place = if kind.create == "CreateListener" { place } else { ("PageSize", "400") };
        let listed = moto.balancing(kind.describe, &[place]).await;
        if listed.status >= 300 {
            return None;
        }
        let text = listed.text();
        let document = xml::parse(text);
        let (param, element) = kind.name;
        let mut items = xml::items(&document, kind.list).into_iter();
        let existing = items.find(|item| xml::text(*item, element) == call.param(param))?;
        let made_with = self.0.get(&xml::text(existing, kind.id));
        if made_with != Some(&settings(call)) {
            return Some(reply::refusal(call, 400, kind.taken, kind.message));
        }
        let list = kind.list;
        Some(reply::success(call, &format!("<{list}>{}</{list}>", &text[existing.range()])))
    }

    pub fn remember(&mut self, call: &Call, answer: &Answer) {
        let Some(kind) = kind_of(call).filter(|_| answer.status < 300) else { return };
        self.0.insert(answer.one(kind.id), settings(call));
    }
}

fn kind_of(call: &Call) -> Option<&'static Kind> {
    let balancing = call.name().starts_with("ELBv2.");
    KINDS.iter().find(|kind| balancing && kind.create == call.action)
}

/// What makes two of them the same; tags do not.
fn settings(call: &Call) -> Params {
    let settings = call.params.iter().filter(|(name, _)| !name.starts_with("Tags."));
    settings.map(|(name, value)| (name.clone(), value.clone())).collect()
}
