//! The health of targets: `unused` without a listener, `initial`, `healthy`, `draining`, gone.

use std::collections::{BTreeMap, BTreeSet};

use roxmltree::Node;

use super::super::client::{Answer, Client};
use super::super::xml::{self, Edits};
use super::call::Call;
use super::states::Delays;
use super::{places, reply};

/// Where a target is, with the looks that it takes yet.
#[derive(Debug, Clone, Copy)]
enum Phase {
    /// `initial` until there are none.
    Registered(u32),
    Draining(u32),
}

/// An id and a port.
pub type Target = (String, String);
type Group = BTreeMap<Target, Phase>;

/// The target groups and, in each, its targets; and those that came with a zone.
#[derive(Debug, Default)]
pub struct Targets {
    groups: BTreeMap<String, Group>,
    zones: BTreeMap<(String, Target), String>,
}

/// A state with the reason that AWS gives for it.
struct Health(&'static str, &'static str);

const HEALTHY: Health = Health("healthy", "");
const INITIAL: Health = Health("initial", "Elb.RegistrationInProgress");
const UNUSED: Health = Health("unused", "Target.NotInUse");
const UNHEALTHY: Health = Health("unhealthy", "Target.FailedHealthChecks");
const DRAINING: Health = Health("draining", "Target.DeregistrationInProgress");

impl Health {
    fn xml(&self) -> String {
        let reason = if self.1.is_empty() { String::new() } else { xml::element("Reason", self.1) };
        format!("<TargetHealth>{}{reason}</TargetHealth>", xml::element("State", self.0))
    }
}

impl Targets {
    /// What is answered without moto; of those to be taken out, only those that are there are left in the call.
    pub async fn answer(&mut self, call: &mut Call, moto: &Client) -> Option<Answer> {
        match call.name().as_str() {
            "ELBv2.RegisterTargets" => {
                let refused = places::refuse(call, moto).await;
                if refused.is_none() {
                    self.note_zones(call);
                }
                refused
            }
            "ELBv2.DeregisterTargets" => {
                let health = moto
                    .balancing("DescribeTargetHealth", &[("TargetGroupArn", call.param("TargetGroupArn"))])
                    .await;
                if health.status >= 300 {
                    return None;
                }
                let there = registered(call, moto).await;
                let left: Vec<Target> = there.into_iter().filter(|target| meant(call, target)).collect();
                call.params.retain(|name, _| !name.starts_with("Targets."));
                for (index, (id, port)) in (1..).zip(&left) {
                    call.params.insert(format!("Targets.member.{index}.Id"), id.clone());
                    call.params.insert(format!("Targets.member.{index}.Port"), port.clone());
                }
                left.is_empty().then(|| reply::success(call, ""))
            }
            _ => None,
        }
    }

    fn note_zones(&mut self, call: &Call) {
        let group = call.param("TargetGroupArn").to_owned();
        for (target, zone) in named(call) {
            let key = (group.clone(), target);
            match zone.as_str() {
                "" => drop(self.zones.remove(&key)),
                zone => drop(self.zones.insert(key, zone.to_owned())),
            }
        }
    }

    /// `unhealthy`: ids whose checks fail.
    pub async fn rewrite(
        &mut self,
        call: &Call,
        moto: &Client,
        unhealthy: &BTreeSet<String>,
        delays: &Delays,
        answer: &mut Answer,
    ) {
        if answer.status >= 300 {
            return;
        }
        match call.name().as_str() {
            "ELBv2.RegisterTargets" => {
                let registered = registered(call, moto).await;
                let group = self.group(call);
                for target in registered.into_iter().filter(|target| meant(call, target)) {
                    if !matches!(group.get(&target), Some(Phase::Registered(_))) {
                        group.insert(target, Phase::Registered(delays.target));
                    }
                }
            }
            "ELBv2.DeregisterTargets" => {
                let group = self.group(call).iter_mut().filter(|(target, _)| meant(call, target));
                for (_, phase) in group.filter(|(_, phase)| matches!(phase, Phase::Registered(_))) {
                    *phase = Phase::Draining(delays.draining);
                }
            }
            "ELBv2.DescribeTargetHealth" => {
                let used = is_used(call, moto).await;
                let text = answer.text().to_owned();
                let text = describe(self.group(call), call, used, unhealthy, delays, &text);
                answer.body = self.with_zones(call, &text).into();
            }
            _ => {}
        }
    }

    fn with_zones(&self, call: &Call, text: &str) -> String {
        let document = xml::parse(text);
        let mut edits = Edits::default();
        for member in xml::items(&document, "TargetHealthDescriptions") {
            let (id, port) = target(member);
            // It may have been named without a port.
            let key = |port: String| (call.param("TargetGroupArn").to_owned(), (id.clone(), port));
            let zone = self.zones.get(&key(port)).or_else(|| self.zones.get(&key(String::new())));
            if let (Some(zone), Some(target)) = (zone, xml::child(member, "Target")) {
                edits.append(target, &xml::element("AvailabilityZone", zone));
            }
        }
        edits.apply(text)
    }

    fn group(&mut self, call: &Call) -> &mut Group {
        self.groups.entry(call.param("TargetGroupArn").to_owned()).or_default()
    }
}

/// The targets that a group has in moto, with the ports that a call may leave out.
async fn registered(call: &Call, moto: &Client) -> Vec<Target> {
    let group = call.param("TargetGroupArn");
    let health = moto.balancing("DescribeTargetHealth", &[("TargetGroupArn", group)]).await.ok();
    let document = xml::parse(health.text());
    xml::items(&document, "TargetHealthDescriptions").into_iter().map(target).collect()
}

fn target(member: Node<'_, '_>) -> Target {
    (xml::text(member, "Target/Id"), xml::text(member, "Target/Port"))
}

/// Whether a listener forwards to the group of the call; moto never forgets that one did.
async fn is_used(call: &Call, moto: &Client) -> bool {
    let group = call.param("TargetGroupArn");
    let groups = moto.balancing("DescribeTargetGroups", &[("TargetGroupArns.member.1", group)]).await;
    if groups.status >= 300 {
        return false;
    }
    let balancers = {
        let document = xml::parse(groups.text());
        let arns = xml::items(&document, "LoadBalancerArns");
        arns.iter().filter_map(|arn| arn.text().map(str::to_owned)).collect::<Vec<_>>()
    };
    for balancer in balancers {
        let listeners = moto.balancing("DescribeListeners", &[("LoadBalancerArn", &balancer)]).await;
        if listeners.text().contains(group) {
            return true;
        }
    }
    false
}

fn describe(
    group: &mut Group,
    call: &Call,
    used: bool,
    unhealthy: &BTreeSet<String>,
    delays: &Delays,
    text: &str,
) -> String {
    let document = xml::parse(text);
    let mut edits = Edits::default();
    let mut present = BTreeSet::new();
    for member in xml::items(&document, "TargetHealthDescriptions") {
        let target = target(member);
        let Some(health) = xml::child(member, "TargetHealth") else { continue };
        match xml::text(health, "State").as_str() {
            "healthy" => {
                let phase = group.entry(target.clone()).or_insert(Phase::Registered(delays.target));
                edits.replace(health, &live(phase, used, unhealthy.contains(&target.0), delays).xml());
                present.insert(target);
            }
            // It was asked for by name, and is not registered any more.
            "unused" if drains(group, &target) => {
                edits.replace(health, &DRAINING.xml());
                present.insert(target);
            }
            _ => drop(present.insert(target)),
        }
    }
    let list = xml::named(&document, "TargetHealthDescriptions").next();
    if let Some(list) = list.filter(|_| !call.params.keys().any(|name| name.starts_with("Targets."))) {
        edits.append(list, &gone(group, &present, delays));
    }
    edits.apply(text)
}

/// Those that moto does not have any more: deregistered, or gone with their group or instance.
fn gone(group: &mut Group, present: &BTreeSet<Target>, delays: &Delays) -> String {
    let mut members = String::new();
    for target in group.keys().filter(|target| !present.contains(target)).cloned().collect::<Vec<_>>() {
        if let Some(Phase::Registered(_)) = group.get(&target) {
            group.insert(target.clone(), Phase::Draining(delays.draining));
        }
        if drains(group, &target) {
            let target = xml::element("Id", &target.0) + &xml::element("Port", &target.1);
            members += &format!("<member><Target>{target}</Target>{}</member>", DRAINING.xml());
        }
    }
    members
}

fn live(phase: &mut Phase, used: bool, unhealthy: bool, delays: &Delays) -> Health {
    if let Phase::Draining(_) = phase {
        // An auto scaling group has registered it again.
        *phase = Phase::Registered(delays.target);
    }
    match phase {
        _ if !used => UNUSED,
        Phase::Registered(left) if *left > 0 => {
            *left -= 1;
            INITIAL
        }
        Phase::Registered(_) | Phase::Draining(_) if unhealthy => UNHEALTHY,
        Phase::Registered(_) | Phase::Draining(_) => HEALTHY,
    }
}

/// A look at a target that goes.
fn drains(group: &mut Group, target: &Target) -> bool {
    match group.get_mut(target) {
        Some(Phase::Draining(left)) if *left > 0 => {
            *left -= 1;
            true
        }
        Some(Phase::Draining(_)) => {
            group.remove(target);
            false
        }
        Some(Phase::Registered(_)) | None => false,
    }
}

/// The targets that a call names, as far as it does, and the zone of each; empty where there is none.
pub fn named(call: &Call) -> Vec<(Target, String)> {
    let member = |index: u32, part| call.param(&format!("Targets.member.{index}.{part}")).to_owned();
    (1..)
        .map(|index| ((member(index, "Id"), member(index, "Port")), member(index, "AvailabilityZone")))
        .take_while(|((id, _), _)| !id.is_empty())
        .collect()
}

/// Whether a call names a target; without a port, it means all ports of an id.
fn meant(call: &Call, target: &Target) -> bool {
    let same = |((id, port), _): &(Target, String)| {
        *id == target.0 && ["", target.1.as_str()].contains(&port.as_str())
    };
    named(call).iter().any(same)
}
