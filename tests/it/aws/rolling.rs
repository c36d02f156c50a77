//! Machines of a worker group are made anew when what they are made from changes.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::time::Duration;

use keelwright::cloud::aws::look_up;
use keelwright::cloud::roll::{Group, Groups as _, Limits, Roll, RollEvent};
use keelwright::cloud::spec::desired;
use keelwright::cloud::{PhysicalId, ResourceName};
use keelwright::exec::SystemClock;

use super::lifecycle::{Site, lines, once, wanted};

const TYPE: &str = "instanceType: m6i.large";

fn ids(group: &Group) -> BTreeSet<PhysicalId> {
    group.members.iter().map(|member| member.id.clone()).collect()
}

fn outdated(group: &Group) -> usize {
    group.members.iter().filter(|member| member.outdated).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_template_makes_all_machines_anew_one_more_at_a_time() {
    let Some(site) = Site::new("roll").await else { return };
    let group = "instanceTypes: [m6i.large], min: 3, labels: {a: b}";
    let before = site.inventory(TYPE, &format!("{group}, max: 3"));
    let state = wanted(&site, &before).await;
    once(&site, &before, &state, 1).await;
    let name = ResourceName::new("scaling-group", "workers");
    let api = site.connect(&before);
    let old = api.group(&name).await.unwrap().unwrap();
    assert_eq!((old.members.len(), outdated(&old)), (3, 0));

    // What is said about the group alone is no reason to make any.
    let wider = site.inventory(TYPE, &format!("{group}, max: 4"));
    once(&site, &wider, &wanted(&site, &wider).await, 2).await;
    assert_eq!(outdated(&api.group(&name).await.unwrap().unwrap()), 0);

    let after = site.inventory(TYPE, &format!("{group}, max: 3"));
    let mut lookups = look_up(&api, &after.aws).await.unwrap();
    lookups.first_boots.insert("workers".to_owned(), "#!/bin/sh\n".to_owned());
    let state = desired(&after, &lookups).unwrap();
    let plan = once(&site, &after, &state, 3).await;
    assert!(lines(&plan)[0].starts_with("~ launch-template/workers (userData"), "{:?}", lines(&plan));
    let stale = api.group(&name).await.unwrap().unwrap();
    assert_eq!((outdated(&stale), ids(&stale)), (3, ids(&old)));

    let events = Mutex::new(Vec::new());
    let clock = SystemClock::default();
    let note = |event| events.lock().unwrap().push(event);
    let roll =
        Roll { groups: &api, nodes: None, clock: &clock, pause: Duration::from_millis(50), events: &note };
    let limits = Limits::from(&after.aws.worker_groups[0]);
    assert_eq!(roll.roll(&name, &limits).await.unwrap(), 3);
    let new = api.group(&name).await.unwrap().unwrap();
    assert_eq!((new.members.len(), outdated(&new), new.before), (3, 0, None));
    assert!(ids(&new).is_disjoint(&ids(&old)));
    assert_eq!((new.size.desired, new.size.max), (3, 3));
    let enlarged = |event: &&RollEvent| matches!(event, RollEvent::Enlarged { from: 3, to: 4 });
    assert_eq!(events.lock().unwrap().iter().filter(enlarged).count(), 3);
    assert_eq!(lines(&once(&site, &after, &state, 4).await), Vec::<String>::new(), "a second plan is empty");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_that_is_being_rolled_is_seen_at_the_size_it_goes_back_to() {
    let Some(site) = Site::new("rolling").await else { return };
    let inventory = site.inventory(TYPE, "instanceTypes: [m6i.large], min: 2, max: 2");
    let state = wanted(&site, &inventory).await;
    once(&site, &inventory, &state, 1).await;
    let name = ResourceName::new("scaling-group", "workers");
    let api = site.connect(&inventory);
    let size = api.group(&name).await.unwrap().unwrap().size;
    let larger = keelwright::cloud::roll::Size { desired: 3, max: 3 };
    api.resize(&name, larger, Some(size)).await.unwrap();
    let seen = api.group(&name).await.unwrap().unwrap();
    assert_eq!((seen.size, seen.before), (larger, Some(size)));
    assert_eq!(lines(&once(&site, &inventory, &state, 2).await), Vec::<String>::new());
    // Another size that is wanted meanwhile is where it goes on from.
    let wider = site.inventory(TYPE, "instanceTypes: [m6i.large], min: 2, max: 5");
    let plan = once(&site, &wider, &wanted(&site, &wider).await, 3).await;
    assert_eq!(lines(&plan), ["~ scaling-group/workers (max 2 -> 5)"]);
    assert_eq!(api.group(&name).await.unwrap().unwrap().before, None);
}
