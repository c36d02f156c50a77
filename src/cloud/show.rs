//! A plan, and what happens while it is carried out, as text.

use std::fmt::Write as _;

use serde_json::Value;

use super::plan::{Change, FieldChange, InfraPlan, Why};
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
                let _ = writeln!(out, "- {} {}: {}", step.name, there.id, because(*why));
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

fn because(why: Why) -> &'static str {
    match why {
        Why::Unwanted => "the inventory does not want it",
        Why::Twice => "there is another one of its name",
        Why::Replaced => "it cannot be changed as wanted, and comes again",
        Why::Failed => "it never became ready",
        Why::Leaving => "it goes already",
    }
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
