//! A plan, what stays when all is to go, and what happens while a plan is carried out, as text.

use std::fmt::Write as _;

use serde_json::Value;

use super::Resource;
use super::destroy::{Destruction, Held, Keep, KeptVolume};
use super::plan::{Change, FieldChange, InfraPlan, Why};
use super::ports::{Neighbour, NeighbourKind};
use super::run::InfraEvent;

/// The plan for the terminal, one line a resource and one for each field that changes; plain text, no colour.
pub fn text(plan: &InfraPlan) -> String {
    let mut out = String::new();
    let (mut made, mut changed, mut gone) = (0, 0, 0);
    for step in &plan.steps {
        match &step.change {
            Change::Create { .. } => {
                made += 1;
                let _ = writeln!(out, "+ {}", step.name);
            }
            Change::Update { fields, stops, .. } => {
                changed += 1;
                let note = if *stops { " (the machine stops for it)" } else { "" };
                let _ = writeln!(out, "~ {}{note}", step.name);
                fields.iter().for_each(|change| field(&mut out, change));
                if fields.is_empty() {
                    let _ = writeln!(out, "    is told of what comes again");
                }
            }
            Change::Delete { there, why } => {
                gone += 1;
                let why =
                    if let Resource::Made(made) = &there.resource { made.words() } else { because(*why) };
                let _ = writeln!(out, "- {} {}: {why}", step.name, there.id);
            }
        }
    }
    match plan.steps.len() {
        0 => out.push_str("Nothing to do in the cloud.\n"),
        _ => {
            let _ = writeln!(out, "{made} to make, {changed} to change, {gone} to take away");
        }
    }
    out
}

fn field(out: &mut String, change: &FieldChange) {
    let _ = writeln!(out, "    {}: {} -> {}", change.field, short(&change.from), short(&change.to));
}

/// Texts without quotes, long values by their size: user data is no reading for a terminal.
fn short(value: &Value) -> String {
    const LONGEST: usize = 200;
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Null => "none".to_owned(),
        other => other.to_string(),
    };
    match text.chars().count() > LONGEST || text.contains('\n') {
        true => format!("{} characters", text.chars().count()),
        false => text,
    }
}

fn because(why: Why) -> String {
    match why {
        Why::Unwanted => "the inventory does not want it",
        Why::Twice => "there is another one of its name",
        Why::Replaced => "it cannot be changed as wanted, and comes again",
        Why::Failed => "it never became ready",
        Why::Leaving => "it goes already",
    }
    .to_owned()
}

/// A destruction: what goes, and a line for each thing that stays and why.
pub fn destruction(destruction: &Destruction) -> String {
    let mut out = text(&destruction.plan);
    for held in &destruction.held {
        let _ = writeln!(out, "! {}", holder(held));
    }
    for kept in &destruction.kept {
        let _ = writeln!(out, "= {} stays: {}", volume(kept), keep(&kept.why));
    }
    out
}

/// Who keeps what.
pub fn holder(held: &Held) -> String {
    let what: Vec<&str> = held.what.iter().map(|name| name.as_str()).collect();
    format!("{} is not keelwright's to take, and keeps {}", neighbour(&held.by), what.join(", "))
}

/// A volume, and whom it was made for.
pub fn volume(kept: &KeptVolume) -> String {
    match kept.purpose.as_str() {
        "" => format!("volume {}", kept.volume.id),
        purpose => format!("volume {} ({purpose})", kept.volume.id),
    }
}

/// Why a volume stays.
pub fn keep(why: &Keep) -> String {
    match why {
        Keep::Data => "it holds data".to_owned(),
        Keep::Elsewhere(machine) => format!("{machine} has it, which keelwright has not made"),
        Keep::Unmarked => "no tag says that it is this cluster's".to_owned(),
    }
}

/// What something is, with its name and how the cloud calls it.
pub fn neighbour(neighbour: &Neighbour) -> String {
    let kind = match neighbour.kind {
        NeighbourKind::Balancer => "load balancer",
        NeighbourKind::ClassicBalancer => "classic load balancer",
        NeighbourKind::TargetGroup => "target group",
        NeighbourKind::SecurityGroup => "security group",
        NeighbourKind::Volume => "volume",
        NeighbourKind::Instance => "instance",
        NeighbourKind::Subnet => "subnet",
        NeighbourKind::Endpoint => "VPC endpoint",
        NeighbourKind::Interface => "network interface",
    };
    let Neighbour { id, name, .. } = neighbour;
    if name.is_empty() || name == id.as_str() {
        format!("{kind} {id}")
    } else {
        format!("{kind} {name} ({id})")
    }
}

/// How somebody who may takes it away.
pub fn removal(neighbour: &Neighbour) -> String {
    let call = match neighbour.kind {
        NeighbourKind::Balancer => "elbv2 delete-load-balancer --load-balancer-arn",
        NeighbourKind::ClassicBalancer => "elb delete-load-balancer --load-balancer-name",
        NeighbourKind::TargetGroup => "elbv2 delete-target-group --target-group-arn",
        NeighbourKind::SecurityGroup => "ec2 delete-security-group --group-id",
        NeighbourKind::Volume => "ec2 delete-volume --volume-id",
        NeighbourKind::Instance => "ec2 terminate-instances --instance-ids",
        NeighbourKind::Subnet => "ec2 delete-subnet --subnet-id",
        NeighbourKind::Endpoint => "ec2 delete-vpc-endpoints --vpc-endpoint-ids",
        NeighbourKind::Interface => "ec2 delete-network-interface --network-interface-id",
    };
    format!("aws {call} {}", neighbour.id)
}

/// One line for an event.
pub fn event(plan: &InfraPlan, event: &InfraEvent) -> String {
    let step = |at: &usize| plan.steps.get(*at).map(|step| step.name.to_string()).unwrap_or_default();
    match event {
        InfraEvent::Begins { step: at } => format!("start    {}", step(at)),
        InfraEvent::Waits { step: at, what } => format!("waiting  {}  it is {what}", step(at)),
        InfraEvent::Again { step: at, error, wait } => {
            format!("again    {}  in {:.1} s: {error}", step(at), wait.as_secs_f64())
        }
        InfraEvent::Done { step: at, id } => format!("done     {}  {id}", step(at)),
        InfraEvent::Failed { step: at, error } => format!("FAILED   {}  {error}", step(at)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cloud::name::{PhysicalId, ResourceName};
    use crate::cloud::plan::{InfraStep, plan_infra};
    use crate::cloud::ports::Observed;
    use crate::cloud::spec::tests::{example, state_of};

    #[test]
    fn a_new_cluster_is_all_plus() {
        let plan = plan_infra("test", &state_of(&example()), &Observed::default()).unwrap();
        let text = text(&plan);
        assert!(
            text.lines().all(|line| line.starts_with("+ ") || line.ends_with("0 to take away")),
            "{text}"
        );
        assert!(text.contains("+ instance/cp-1\n"), "{text}");
    }

    #[test]
    fn what_stays_is_shown_with_the_reason() {
        let neighbour = |id: &str, kind, name: &str| Neighbour {
            id: PhysicalId(id.into()),
            kind,
            name: name.into(),
            tags: Default::default(),
            uses: Default::default(),
            names: Default::default(),
            public: false,
        };
        let kept = |id: &str, purpose: &str, why| KeptVolume {
            volume: neighbour(id, NeighbourKind::Volume, ""),
            purpose: purpose.into(),
            why,
        };
        let balancer = neighbour("arn:lb", NeighbourKind::Balancer, "shop");
        assert_eq!(removal(&balancer), "aws elbv2 delete-load-balancer --load-balancer-arn arn:lb");
        let what = ["subnet/public-a", "vpc/main"].map(|name| ResourceName::parse(name).unwrap());
        let all = Destruction {
            plan: InfraPlan::default(),
            held: vec![Held { by: balancer, what: what.into() }],
            kept: vec![
                kept("vol-1", "claim shop/data", Keep::Data),
                kept("vol-2", "", Keep::Unmarked),
                kept("vol-3", "claim a/b", Keep::Elsewhere(PhysicalId("i-9".into()))),
            ],
        };
        assert_eq!(
            destruction(&all),
            "Nothing to do in the cloud.\n\
             ! load balancer shop (arn:lb) is not keelwright's to take, and keeps subnet/public-a, vpc/main\n\
             = volume vol-1 (claim shop/data) stays: it holds data\n\
             = volume vol-2 stays: no tag says that it is this cluster's\n\
             = volume vol-3 (claim a/b) stays: i-9 has it, which keelwright has not made\n"
        );
    }

    #[test]
    fn only_fields_that_change_are_shown() {
        let plan = plan_infra("test", &state_of(&example()), &Observed::default()).unwrap();
        let Change::Create { wanted, .. } = &plan.steps[0].change else { panic!("not made") };
        let there = crate::cloud::ports::Found {
            id: PhysicalId("i-1".into()),
            resource: wanted.resource.clone(),
            tags: wanted.tags.clone(),
            state: crate::cloud::ports::State::Ready,
            refers: Default::default(),
        };
        let step = |name: &str, change| InfraStep {
            name: ResourceName::parse(name).unwrap(),
            change,
            after: Default::default(),
        };
        let field = |field: &str, from, to| FieldChange { field: field.into(), from, to };
        let update = Change::Update {
            there: there.clone(),
            wanted: wanted.clone(),
            fields: vec![
                field("instanceType", json!("m6i.large"), json!("m6i.xlarge")),
                field("userData", json!(null), json!("one\ntwo")),
            ],
            stops: true,
        };
        let delete = Change::Delete { there, why: Why::Twice };
        let plan = InfraPlan { steps: vec![step("instance/cp-1", update), step("vpc/main", delete)] };
        assert_eq!(
            text(&plan),
            "~ instance/cp-1 (the machine stops for it)\n    instanceType: m6i.large -> m6i.xlarge\n    \
             userData: none -> 7 characters\n- vpc/main i-1: there is another one of its name\n\
             0 to make, 1 to change, 1 to take away\n"
        );
        assert_eq!(text(&InfraPlan::default()), "Nothing to do in the cloud.\n");
    }
}
