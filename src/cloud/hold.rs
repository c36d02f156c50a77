//! Control planes that are members of a cluster are not stopped, replaced or taken away at any time: one after
//! another, and when the cluster can spare them. Until then they are wanted as they are.

use std::collections::BTreeSet;

use super::name::ResourceName;
use super::plan::{Change, InfraPlan, Why};
use super::ports::Observed;
use super::resource::{Desired, DesiredState};
use super::spec::BASTION;
use crate::inventory::HostName;

const TEMPLATE: &str = "launch-template";

/// What the cluster allows of a plan.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Allowed {
    /// Hosts that the cluster still has.
    pub members: BTreeSet<HostName>,
    /// Every member was seen to be well, so that one of them may stop.
    pub one_may_stop: bool,
}

/// The machines that have to wait.
pub fn held(plan: &InfraPlan, allowed: &Allowed) -> BTreeSet<HostName> {
    let mut stops = BTreeSet::new();
    let mut leaves = BTreeSet::new();
    for step in &plan.steps {
        let Some(host) = member(&step.name, allowed) else { continue };
        match &step.change {
            Change::Update { stops: true, .. } | Change::Delete { why: Why::Replaced, .. } => {
                stops.insert(host);
            }
            Change::Delete { why: Why::Unwanted, .. } => {
                leaves.insert(host);
            }
            Change::Create { .. } | Change::Update { .. } | Change::Delete { .. } => {}
        }
    }
    if allowed.one_may_stop {
        stops.pop_first();
    }
    stops.into_iter().chain(leaves).collect()
}

fn member(name: &ResourceName, allowed: &Allowed) -> Option<HostName> {
    let is_machine = name.kind() == "instance" && name.short() != BASTION;
    let host = HostName::parse(name.short()).ok().filter(|_| is_machine)?;
    allowed.members.contains(&host).then_some(host)
}

/// What is wanted for now: the machines that wait, and what is attached to them, as they are.
pub fn hold(wanted: &DesiredState, observed: &Observed, held: &BTreeSet<HostName>) -> DesiredState {
    let mut now = wanted.clone();
    for (name, found) in &observed.found {
        let host = name.short().strip_suffix("-etcd").unwrap_or(name.short());
        let is_part = ["instance", "volume", "attachment"].contains(&name.kind());
        let waits = is_part && held.iter().any(|waiting| waiting.as_str() == host);
        if let (true, [there]) = (waits, found.as_slice()) {
            let (resource, tags) = (there.resource.clone(), there.tags.clone());
            now.insert(name.clone(), Desired { resource, tags });
        }
    }
    now
}

/// Whether machines of groups will be others than before.
pub fn changes_templates(plan: &InfraPlan) -> bool {
    let is_new = |change: &Change| matches!(change, Change::Create { .. } | Change::Update { .. });
    plan.steps.iter().any(|step| step.name.kind() == TEMPLATE && is_new(&step.change))
}

/// Templates, and groups that are not there, wait as well: a machine that came now would bring a kubelet that may be
/// newer than the API servers.
pub fn hold_templates(wanted: &mut DesiredState, observed: &Observed) {
    let templates: Vec<ResourceName> =
        wanted.keys().filter(|name| name.kind() == TEMPLATE).cloned().collect();
    for name in templates {
        match observed.found.get(&name).map(Vec::as_slice) {
            Some([there]) => {
                let (resource, tags) = (there.resource.clone(), there.tags.clone());
                wanted.insert(name, Desired { resource, tags });
            }
            _ => {
                let group = ResourceName::new("scaling-group", name.short());
                wanted.retain(|other, _| *other != name && *other != group);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cloud::fake::cloud_with;
    use crate::cloud::plan::plan_infra;
    use crate::cloud::resource::Resource;
    use crate::cloud::spec::tests::{example, state_of};

    fn host(name: &str) -> HostName {
        HostName::parse(name).unwrap()
    }

    fn hosts(names: &[&str]) -> BTreeSet<HostName> {
        names.iter().map(|name| host(name)).collect()
    }

    fn retyped(state: &DesiredState) -> DesiredState {
        let mut state = state.clone();
        for desired in state.values_mut() {
            if let Resource::Instance(instance) = &mut desired.resource {
                instance.machine.instance_type = "m6i.xlarge".to_owned();
            }
        }
        state
    }

    fn plan(wanted: &DesiredState, observed: &Observed) -> InfraPlan {
        plan_infra("test", wanted, observed).unwrap()
    }

    fn machines(plan: &InfraPlan) -> Vec<&str> {
        let names = plan.steps.iter().map(|step| step.name.as_str());
        names.filter(|name| name.starts_with("instance/")).collect()
    }

    #[test]
    fn templates_wait_until_control_planes_are_as_wanted() {
        let mut aws = example();
        let (_, observed) = cloud_with(&state_of(&aws));
        aws.worker_groups[0].root_volume.size += 1;
        aws.worker_groups[0].max += 1;
        let mut another = aws.worker_groups[0].clone();
        another.name = "another".to_owned();
        aws.worker_groups.push(another);
        let wanted = state_of(&aws);
        let names = |wanted: &DesiredState| -> Vec<String> {
            plan_infra("test", wanted, &observed)
                .unwrap()
                .steps
                .iter()
                .map(|step| step.name.to_string())
                .collect()
        };
        assert!(changes_templates(&plan_infra("test", &wanted, &observed).unwrap()));
        let mut now = wanted.clone();
        hold_templates(&mut now, &observed);
        assert_eq!(names(&now), ["scaling-group/workers"]);
        let mut all = names(&wanted);
        all.sort();
        assert_eq!(
            all,
            [
                "launch-template/another",
                "launch-template/workers",
                "scaling-group/another",
                "scaling-group/workers"
            ]
        );
    }

    #[test]
    fn members_stop_one_after_another_and_only_when_all_are_well() {
        let observed = cloud_with(&state_of(&example())).1;
        let wanted = retyped(&state_of(&example()));
        let whole = plan(&wanted, &observed);
        let members = hosts(&["cp-1", "cp-2", "cp-3"]);
        let mut allowed = Allowed { members: members.clone(), one_may_stop: false };
        assert_eq!(held(&whole, &allowed), members);
        let now = plan(&hold(&wanted, &observed, &members), &observed);
        assert_eq!(machines(&now), ["instance/bastion"], "the bastion is nobody's member");

        allowed.one_may_stop = true;
        let waits = held(&whole, &allowed);
        assert_eq!(waits, hosts(&["cp-2", "cp-3"]));
        let now = plan(&hold(&wanted, &observed, &waits), &observed);
        assert_eq!(machines(&now), ["instance/bastion", "instance/cp-1"]);
    }

    #[test]
    fn machines_that_are_no_members_yet_need_not_wait() {
        let observed = cloud_with(&state_of(&example())).1;
        let whole = plan(&retyped(&state_of(&example())), &observed);
        assert_eq!(held(&whole, &Allowed::default()), BTreeSet::new());
    }

    #[test]
    fn a_member_is_taken_away_when_it_has_left() {
        let observed = cloud_with(&state_of(&example())).1;
        let mut wanted = state_of(&example());
        wanted.retain(|name, _| name.short() != "cp-3" && name.short() != "cp-3-etcd");
        if let Some(Desired { resource: Resource::Targets(targets), .. }) =
            wanted.get_mut(&ResourceName::new("targets", "api"))
        {
            targets.instances.retain(|target| !target.to_string().ends_with("cp-3"));
        }
        let whole = plan(&wanted, &observed);
        let mut allowed = Allowed { members: hosts(&["cp-1", "cp-2", "cp-3"]), one_may_stop: true };
        let waits = held(&whole, &allowed);
        assert_eq!(waits, hosts(&["cp-3"]));
        let now = plan(&hold(&wanted, &observed, &waits), &observed);
        let names: Vec<_> = now.steps.iter().map(|step| step.name.as_str()).collect();
        assert_eq!(names, ["targets/api"], "it gets no more calls, and stays");
        allowed.members.remove(&host("cp-3"));
        assert_eq!(held(&whole, &allowed), BTreeSet::new());
    }
}
