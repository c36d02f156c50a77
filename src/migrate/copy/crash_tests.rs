//! A copy that is killed at any call, and run again.

use serde_json::Value;

use super::fake::Died;
use super::object::name;
use super::run::Outcome;
use super::run_tests::World;

/// Runs a copy that may be killed; None: it was.
fn once(world: &World) -> Option<Outcome> {
    let work = std::panic::AssertUnwindSafe(|| world.copy(&World::selection(true)).1);
    match std::panic::catch_unwind(work) {
        Ok(outcome) => Some(outcome),
        Err(panic) if panic.is::<Died>() => None,
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

/// Deaths are what is tested, so nobody hears of them.
fn quietly() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let hook = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !info.payload().is::<Died>() {
                hook(info);
            }
        }));
    });
}

#[test]
fn killed_at_any_call_the_next_copy_goes_on() {
    quietly();
    let calm = World::new();
    assert!(once(&calm).unwrap().is_complete());
    let calls = calm.fate.lock().unwrap().calls;
    assert!(calls > 60, "{calls}");
    // Numbers that servers give depend on how often they were asked.
    let plain = |world: &World| {
        let mut census = world.green.census();
        census.values_mut().for_each(|object| {
            if let Some(address) = object.pointer_mut("/spec/clusterIP") {
                *address = Value::Null;
            }
        });
        census
    };
    let wanted = plain(&calm);
    assert!(wanted.keys().any(|id| id.kind == "Widget"));
    for call in 1..=calls {
        for before in [true, false] {
            let world = World::new();
            world.fate.lock().unwrap().dies_at = Some((call, before));
            assert!(once(&world).is_none(), "it was to be killed at call {call}");
            let outcome = once(&world).unwrap();
            assert!(outcome.is_complete(), "call {call}: {outcome:#?}");
            assert_eq!(plain(&world), wanted, "call {call}");
            assert!(world.survey(&World::selection(true)).is_done(), "call {call}");
            let snapshots =
                world.blue.census().into_values().filter(|object| name(object).starts_with("snapcontent"));
            assert_eq!(snapshots.count(), 1, "call {call}: a second snapshot was taken");
        }
    }
}
