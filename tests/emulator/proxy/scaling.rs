//! What moto lacks of auto scaling: names taken, sizes that contradict, hooks answered, instance refreshes.

use std::collections::BTreeMap;

use super::super::client::{Answer, Client};
use super::super::xml;
use super::call::Call;
use super::reply;

/// One refresh of a group: each look at it replaces one instance.
#[derive(Debug)]
struct Refresh {
    id: String,
    group: String,
    status: &'static str,
    /// Instances yet to replace.
    left: Vec<String>,
    all: usize,
}

/// The refreshes of each region, oldest first.
#[derive(Debug, Default)]
pub struct Scaling(BTreeMap<String, Vec<Refresh>>);

impl Scaling {
    pub async fn answer(&mut self, call: &Call, moto: &Client) -> Option<Answer> {
        match call.name().as_str() {
            "AutoScaling.CreateAutoScalingGroup" => create(call, moto).await,
            "AutoScaling.CompleteLifecycleAction" | "AutoScaling.RecordLifecycleActionHeartbeat" => {
                Some(reply::success(call, ""))
            }
            "AutoScaling.StartInstanceRefresh" => Some(self.start(call, moto).await),
            "AutoScaling.CancelInstanceRefresh" => Some(self.cancel(call)),
            "AutoScaling.DescribeInstanceRefreshes" => Some(self.describe(call, moto).await),
            _ => None,
        }
    }

    /// moto takes the policy away from a group in whose change it is not named; AWS lets it be.
    pub async fn fill_in(&self, call: &mut Call, moto: &Client) {
        let names_one =
            |name: &String| name.starts_with("MixedInstancesPolicy.") || name.starts_with("LaunchTemplate.");
        if call.name() != "AutoScaling.UpdateAutoScalingGroup" || call.params.keys().any(names_one) {
            return;
        }
        let described = group(call.param("AutoScalingGroupName"), moto).await;
        let document = xml::parse(described.text());
        if let Some(policy) = xml::named(&document, "MixedInstancesPolicy").next() {
            as_params(policy, "MixedInstancesPolicy", &mut call.params);
            // Both its id and its name is one too many.
            call.params.retain(|name, _| !name.ends_with(".LaunchTemplateName"));
        }
    }

    fn running(&mut self, call: &Call) -> Option<&mut Refresh> {
        let (group, refreshes) = (call.param("AutoScalingGroupName"), self.0.get_mut(&call.region)?);
        refreshes.iter_mut().find(|refresh| refresh.group == group && !refresh.left.is_empty())
    }

    async fn start(&mut self, call: &Call, moto: &Client) -> Answer {
        let name = call.param("AutoScalingGroupName");
        if self.running(call).is_some() {
            let message = "An Instance Refresh is already in progress and blocks the execution of this one.";
            return reply::refusal(call, 400, "InstanceRefreshInProgress", message);
        }
        let group = group(name, moto).await;
        if group.all("AutoScalingGroupName").is_empty() {
            let message = format!("AutoScalingGroup name not found - AutoScalingGroup '{name}' not found");
            return reply::refusal(call, 400, "ValidationError", &message);
        }
        // The configuration wanted becomes the group's.
        let wanted = call.params.iter().filter_map(|(name, value)| {
            Some((name.strip_prefix("DesiredConfiguration.")?.to_owned(), value.as_str()))
        });
        let wanted: Vec<_> = wanted.collect();
        if !wanted.is_empty() {
            let mut params = vec![("AutoScalingGroupName", name)];
            params.extend(wanted.iter().map(|(name, value)| (name.as_str(), *value)));
            moto.scaling("UpdateAutoScalingGroup", &params).await.ok();
        }
        let left = group.all("InstanceId");
        let status = if left.is_empty() { "Successful" } else { "Pending" };
        let refreshes = self.0.entry(call.region.clone()).or_default();
        let id = format!("refresh-{}", refreshes.len() + 1);
        refreshes.push(Refresh { id: id.clone(), group: name.into(), status, all: left.len(), left });
        reply::success(call, &xml::element("InstanceRefreshId", &id))
    }

    fn cancel(&mut self, call: &Call) -> Answer {
        match self.running(call) {
            Some(refresh) => {
                refresh.left.clear();
                refresh.status = "Cancelled";
                reply::success(call, &xml::element("InstanceRefreshId", &refresh.id))
            }
            None => {
                reply::refusal(call, 400, "ActiveInstanceRefreshNotFound", "No in progress instance refresh")
            }
        }
    }

    async fn describe(&mut self, call: &Call, moto: &Client) -> Answer {
        let (group, ids) = (call.param("AutoScalingGroupName"), call.list("InstanceRefreshIds.member"));
        let mut members = String::new();
        let refreshes = self.0.entry(call.region.clone()).or_default();
        let asked =
            |refresh: &&mut Refresh| refresh.group == group && (ids.is_empty() || ids.contains(&refresh.id));
        for refresh in refreshes.iter_mut().rev().filter(asked) {
            members += &refresh.xml();
            refresh.go_on(moto).await;
        }
        reply::success(call, &format!("<InstanceRefreshes>{members}</InstanceRefreshes>"))
    }
}

impl Refresh {
    fn xml(&self) -> String {
        let percent = (100 * (self.all - self.left.len())).checked_div(self.all).unwrap_or(100);
        let inner = xml::element("InstanceRefreshId", &self.id)
            + &xml::element("AutoScalingGroupName", &self.group)
            + &xml::element("Status", self.status)
            + &xml::element("PercentageComplete", &percent.to_string())
            + &xml::element("InstancesToUpdate", &self.left.len().to_string());
        format!("<member>{inner}</member>")
    }

    /// moto's group makes up for an instance that is terminated.
    async fn go_on(&mut self, moto: &Client) {
        let Some(instance) = self.left.pop() else { return };
        let params = [("InstanceId", instance.as_str()), ("ShouldDecrementDesiredCapacity", "false")];
        // Somebody else may have terminated it.
        moto.scaling("TerminateInstanceInAutoScalingGroup", &params).await;
        self.status = if self.left.is_empty() { "Successful" } else { "InProgress" };
    }
}

/// Part of an answer as the parameters that would say the same.
fn as_params(node: roxmltree::Node<'_, '_>, name: &str, params: &mut BTreeMap<String, String>) {
    let children: Vec<_> = node.children().filter(roxmltree::Node::is_element).collect();
    if let (true, Some(text)) = (children.is_empty(), node.text()) {
        params.insert(name.to_owned(), text.to_owned());
    }
    for (at, child) in children.into_iter().enumerate() {
        let name = match child.tag_name().name() {
            "member" => format!("{name}.member.{}", at + 1),
            own => format!("{name}.{own}"),
        };
        as_params(child, &name, params);
    }
}

async fn group(name: &str, moto: &Client) -> Answer {
    moto.scaling("DescribeAutoScalingGroups", &[("AutoScalingGroupNames.member.1", name)]).await.ok()
}

async fn create(call: &Call, moto: &Client) -> Option<Answer> {
    let name = call.param("AutoScalingGroupName");
    let size = |name| call.param(name).parse::<u32>().ok();
    let (min, max) = (size("MinSize")?, size("MaxSize")?);
    let desired = size("DesiredCapacity").unwrap_or(min);
    if min > max || !(min..=max).contains(&desired) {
        let message = format!("Desired capacity:{desired} must be between min size:{min} and max size:{max}");
        return Some(reply::refusal(call, 400, "ValidationError", &message));
    }
    let taken = !group(name, moto).await.all("AutoScalingGroupName").is_empty();
    let message = "AutoScalingGroup by this name already exists - A group with the name already exists";
    taken.then(|| reply::refusal(call, 400, "AlreadyExists", message))
}
