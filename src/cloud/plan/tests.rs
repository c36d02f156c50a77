//! Plans between what is wanted and what is there.

use std::fmt::Write as _;

use super::*;
use crate::cloud::fake::cloud_with;
use crate::cloud::resource::Resource;
use crate::cloud::spec::tests::{example, group, state_of};
use crate::inventory::{Aws, AwsNetwork, Nat};

fn name(text: &str) -> ResourceName {
    ResourceName::parse(text).unwrap()
}

/// A line for each step: `+ vpc/main`, `~ role/worker (policies)`, `- …`.
fn text(plan: &InfraPlan) -> String {
    let mut text = String::new();
    for step in &plan.steps {
        let _ = match &step.change {
            Change::Create { .. } => writeln!(text, "+ {}", step.name),
            Change::Update { fields, stops, .. } => {
                let fields: Vec<_> = fields.iter().map(|change| change.field.as_str()).collect();
                let stops = if *stops { ", stops" } else { "" };
                writeln!(text, "~ {} ({}{stops})", step.name, fields.join(", "))
            }
            Change::Delete { why, .. } => writeln!(text, "- {} ({why:?})", step.name),
        };
    }
    text
}

fn change_of(from: &Aws, to: &Aws) -> String {
    let (_, observed) = cloud_with(&state_of(from));
    match plan_infra("test", &state_of(to), &observed) {
        Ok(plan) => text(&plan),
        Err(refusals) => refusals.iter().map(|refusal| format!("refused: {refusal}\n")).collect(),
    }
}

fn edited(change: impl FnOnce(&mut Aws)) -> Aws {
    let mut aws = example();
    change(&mut aws);
    aws
}

#[test]
fn from_nothing_to_everything_in_order() {
    insta::assert_snapshot!(text(&plan_infra("test", &state_of(&example()), &Observed::default()).unwrap()));
}

#[test]
fn from_everything_to_nothing_in_order() {
    let (_, observed) = cloud_with(&state_of(&example()));
    insta::assert_snapshot!(text(&plan_infra("test", &DesiredState::new(), &observed).unwrap()));
}

#[test]
fn nothing_is_left_to_do_where_everything_is_as_wanted() {
    assert_eq!(change_of(&example(), &example()), "");
}

#[test]
fn only_what_differs_is_changed() {
    for (to, expected) in [
        (edited(|aws| aws.worker_groups[0].max = 30), "~ scaling-group/workers (max)\n"),
        (
            edited(|aws| aws.control_planes.instance_type = "m6i.xlarge".to_owned()),
            "~ instance/cp-1 (instanceType, stops)\n~ instance/cp-2 (instanceType, stops)\n\
             ~ instance/cp-3 (instanceType, stops)\n",
        ),
        (
            edited(|aws| aws.control_planes.etcd_volume.size = 40),
            "~ volume/cp-1-etcd (disk)\n~ volume/cp-2-etcd (disk)\n~ volume/cp-3-etcd (disk)\n",
        ),
        (edited(|aws| aws.access.api.clear()), "~ security-rules/api (ingress)\n"),
        (edited(|aws| aws.worker_groups.push(group("gpu"))), "+ launch-template/gpu\n+ scaling-group/gpu\n"),
        (
            edited(|aws| aws.worker_groups.clear()),
            "- scaling-group/workers (Unwanted)\n- launch-template/workers (Unwanted)\n",
        ),
        (
            edited(|aws| {
                let AwsNetwork::New { nat, .. } = &mut aws.network else { panic!() };
                *nat = Nat::Single;
            }),
            "~ route-table/private-b (routes)\n~ route-table/private-c (routes)\n\
             - nat-gateway/b (Unwanted)\n- address/nat-b (Unwanted)\n\
             - nat-gateway/c (Unwanted)\n- address/nat-c (Unwanted)\n",
        ),
    ] {
        assert_eq!(sorted(&change_of(&example(), &to)), sorted(expected));
    }
}

fn sorted(text: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    lines
}

#[test]
fn tags_of_the_operator_are_changed_where_they_are() {
    let change = change_of(&example(), &edited(|aws| drop(aws.tags.insert("team".into(), "other".into()))));
    assert!(change.contains("~ vpc/main (tags)\n") && change.contains("~ role/worker (tags)\n"), "{change}");
    assert!(change.lines().all(|line| line.ends_with("(tags)") || line.contains("machineTags")), "{change}");
    assert!(!change.contains("listener/") && !change.contains("record/"), "{change}");
}

#[test]
fn what_cannot_change_is_refused_with_the_reason() {
    let network = AwsNetwork::New { cidr: "10.1.0.0/16".parse().unwrap(), nat: Nat::PerZone };
    let change = change_of(&example(), &Aws { network, ..example() });
    assert!(change.starts_with("refused: "), "{change}");
    assert!(
        change.contains("vpc/main: cidr cannot change from \"10.0.0.0/16\" to \"10.1.0.0/16\": a network")
    );
    let change = change_of(&example(), &edited(|aws| aws.control_planes.etcd_volume.size = 10));
    assert!(change.contains("volume/cp-1-etcd: disk cannot change") && change.contains("never shrinks"));
}

#[test]
fn a_machine_that_comes_again_takes_along_what_hangs_on_it() {
    let image = crate::inventory::MachineImage::Pinned { id: "ami-1".to_owned() };
    let mut to = state_of(&example());
    let Resource::Instance(instance) = &mut to.get_mut(&name("instance/cp-2")).unwrap().resource else {
        panic!()
    };
    instance.machine.image = image;
    let (_, observed) = cloud_with(&state_of(&example()));
    let plan = plan_infra("test", &to, &observed).unwrap();
    // The volume stays; the balancer is told.
    assert_eq!(
        text(&plan),
        "- instance/cp-2 (Replaced)\n- attachment/cp-2-etcd (Replaced)\n+ instance/cp-2\n+ attachment/cp-2-etcd\n~ targets/api ()\n"
    );
}

#[test]
fn of_two_with_one_name_that_stays_which_others_name() {
    let (_, mut observed) = cloud_with(&state_of(&example()));
    let vpc = observed.found.get_mut(&name("vpc/main")).unwrap();
    let mut twice = vpc[0].clone();
    twice.id = PhysicalId("id-0000".to_owned());
    vpc.insert(0, twice);
    let plan = plan_infra("test", &state_of(&example()), &observed).unwrap();
    let [step] = plan.steps.as_slice() else { panic!("{}", text(&plan)) };
    let Change::Delete { there, why: Why::Twice } = &step.change else { panic!("{step:?}") };
    assert_eq!(there.id.as_str(), "id-0000");
}

#[test]
fn what_failed_or_goes_is_taken_away_before_it_comes_again() {
    let (_, mut observed) = cloud_with(&state_of(&example()));
    let nat = observed.found.get_mut(&name("nat-gateway/a")).unwrap();
    nat[0].state = State::Failed("failed: Gateway.NotAttached".to_owned());
    let plan = plan_infra("test", &state_of(&example()), &observed).unwrap();
    assert_eq!(text(&plan), "- nat-gateway/a (Failed)\n+ nat-gateway/a\n~ route-table/private-a ()\n");
    let [gone, made, told] = plan.steps.as_slice() else { panic!() };
    assert!(gone.after.is_empty() && made.after.contains(&0) && told.after.contains(&1));
}

#[test]
fn a_token_is_the_same_until_something_of_its_name_has_gone() {
    let token = |observed: &Observed| {
        let plan = plan_infra("test", &state_of(&example()), observed).unwrap();
        let step = plan.steps.into_iter().find(|step| step.name == name("instance/cp-1")).unwrap();
        let Change::Create { token, .. } = step.change else { panic!() };
        token
    };
    let first = token(&Observed::default());
    assert_eq!(first, token(&Observed::default()));
    let past = BTreeMap::from([(name("instance/cp-1"), vec![PhysicalId("i-1".to_owned())])]);
    assert_ne!(first, token(&Observed { past, ..Observed::default() }));
}

#[test]
fn every_step_waits_only_for_earlier_ones() {
    let (_, observed) = cloud_with(&state_of(&example()));
    for (wanted, observed) in [
        (state_of(&example()), Observed::default()),
        (DesiredState::new(), observed.clone()),
        (state_of(&edited(|aws| aws.control_planes.count = 1)), observed),
    ] {
        let plan = plan_infra("test", &wanted, &observed).unwrap();
        assert!(!plan.steps.is_empty());
        for (at, step) in plan.steps.iter().enumerate() {
            assert!(step.after.iter().all(|before| *before < at), "{step:?}");
            let needs = match &step.change {
                Change::Create { wanted, .. } => compare::needs(&wanted.resource),
                _ => continue,
            };
            let made: BTreeSet<_> = step.after.iter().map(|before| &plan.steps[*before].name).collect();
            let there = |need: &&ResourceName| observed.found.contains_key(*need) || made.contains(*need);
            assert!(needs.iter().all(there), "{} needs {needs:?}", step.name);
        }
    }
}
