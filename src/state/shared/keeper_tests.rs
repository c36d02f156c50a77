//! Tests of who holds the lock for a run, with a clock that is turned by hand.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};
use std::time::Duration;

use camino::Utf8Path;
use futures::future::BoxFuture;

use super::*;
use crate::exec::Clock;
use crate::exec::ports::Fence as _;
use crate::state::files::tests::Scratch;
use crate::state::{Holder, Share as _};

const TICK: Duration = Duration::from_secs(5);

#[derive(Default)]
struct Hands(Mutex<(Duration, Vec<Waker>)>);

impl Hands {
    fn turn(&self, by: Duration) {
        let mut hands = self.0.lock().unwrap();
        hands.0 += by;
        hands.1.drain(..).for_each(Waker::wake);
    }
}

impl Clock for Hands {
    fn now(&self) -> Duration {
        self.0.lock().unwrap().0
    }

    fn wait<'a>(&'a self, duration: Duration) -> BoxFuture<'a, ()> {
        let due = self.now() + duration;
        Box::pin(futures::future::poll_fn(move |context| {
            let mut hands = self.0.lock().unwrap();
            if hands.0 >= due {
                return Poll::Ready(());
            }
            hands.1.push(context.waker().clone());
            Poll::Pending
        }))
    }
}

/// Everything that was written, and how often the state was.
#[derive(Default)]
struct Shelf {
    state: Mutex<(Vec<u8>, u64)>,
    beside: Mutex<BTreeMap<String, Vec<u8>>>,
}

impl Shelf {
    fn document(&self) -> SharedDocument {
        SharedDocument::parse(&self.state.lock().unwrap().0).unwrap()
    }

    fn writes(&self) -> u64 {
        self.state.lock().unwrap().1
    }

    fn beside(&self) -> Vec<(String, String)> {
        let beside = self.beside.lock().unwrap();
        beside.iter().map(|(name, text)| (name.clone(), String::from_utf8_lossy(text).into())).collect()
    }
}

impl ObjectStore for Shelf {
    fn get(&self) -> BoxFuture<'_, Result<Option<Found>, StoreError>> {
        let (content, version) = self.state.lock().unwrap().clone();
        let found = (version > 0).then(|| (content, Version(version.to_string())));
        Box::pin(std::future::ready(Ok(found)))
    }

    fn put<'a>(
        &'a self,
        content: &'a [u8],
        expected: Option<&'a Version>,
    ) -> BoxFuture<'a, Result<Version, StoreError>> {
        let mut state = self.state.lock().unwrap();
        let there = (state.1 > 0).then(|| Version(state.1.to_string()));
        let result = if there.as_ref() == expected {
            *state = (content.to_vec(), state.1 + 1);
            Ok(Version(state.1.to_string()))
        } else {
            Err(StoreError::Conflict)
        };
        Box::pin(std::future::ready(result))
    }

    fn write<'a>(&'a self, name: &'a str, content: &'a [u8]) -> BoxFuture<'a, Result<(), StoreError>> {
        self.beside.lock().unwrap().insert(name.to_owned(), content.to_vec());
        Box::pin(std::future::ready(Ok(())))
    }

    fn upload<'a>(&'a self, name: &'a str, path: &'a Utf8Path) -> BoxFuture<'a, Result<(), StoreError>> {
        self.beside.lock().unwrap().insert(name.to_owned(), std::fs::read(path).unwrap());
        Box::pin(std::future::ready(Ok(())))
    }

    fn remove<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<(), StoreError>> {
        self.beside.lock().unwrap().remove(name);
        Box::pin(std::future::ready(Ok(())))
    }

    fn list<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<Vec<(String, u64)>, StoreError>> {
        let beside = self.beside.lock().unwrap();
        let names = beside.iter().filter(|(name, _)| name.starts_with(prefix));
        let found = names.map(|(name, content)| (name.clone(), content.len() as u64)).collect();
        Box::pin(std::future::ready(Ok(found)))
    }

    fn address(&self) -> String {
        "shelf".to_owned()
    }
}

struct Stage {
    shelf: Arc<Shelf>,
    hands: Arc<Hands>,
}

impl Stage {
    fn new() -> Self {
        Stage { shelf: Arc::default(), hands: Arc::default() }
    }

    fn start(&self, name: &str, ended: bool) -> Result<(Keeper, SharedDocument), AcquireError> {
        let who = Holder { who: name.to_owned(), pid: 1, since: 0, epoch: 0 };
        let (shelf, hands) = (Arc::clone(&self.shelf), Arc::clone(&self.hands));
        Keeper::start(shelf, hands, Terms::default(), who, Box::new(move |_| ended))
    }
}

fn check(keeper: &Keeper) -> Result<(), String> {
    futures::executor::block_on(keeper.check()).map_err(|error| error.0)
}

#[test]
fn what_is_saved_is_there_at_once_and_for_the_next_run() {
    let stage = Stage::new();
    let (first, document) = stage.start("ann", false).unwrap();
    assert_eq!((first.epoch(), document.names().count()), (1, 0));
    first.save(&[("vault.age", Some(b"sealed")), ("hosts.json", Some(b"{}"))]).unwrap();
    assert_eq!(stage.shelf.document().file("vault.age").as_deref(), Some(&b"sealed"[..]));
    first.save(&[("hosts.json", None)]).unwrap();
    drop(first);
    assert_eq!(stage.shelf.document().holder, None);
    let (second, document) = stage.start("bob", false).unwrap();
    assert_eq!((second.epoch(), document.names().collect::<Vec<_>>()), (2, vec!["vault.age"]));
}

#[test]
fn files_lie_beside_it_and_the_record_of_a_run_comes_in_time() {
    let stage = Stage::new();
    let (keeper, _) = stage.start("ann", false).unwrap();
    let scratch = Scratch::new();
    let path = scratch.0.join("x");
    std::fs::write(&path, "snapshot").unwrap();
    keeper.upload("snapshots/b", &path).unwrap();
    keeper.upload("snapshots/a", &path).unwrap();
    assert_eq!(keeper.list("snapshots/").unwrap(), [("snapshots/a".into(), 8), ("snapshots/b".into(), 8)]);
    keeper.remove("snapshots/a").unwrap();
    keeper.note("one\n");
    keeper.note("two\n");
    drop(keeper);
    let (journal, text) = ("journal/00000001".to_owned(), "one\ntwo\n".to_owned());
    assert_eq!(stage.shelf.beside(), [(journal, text), ("snapshots/b".into(), "snapshot".into())]);
}

#[test]
fn a_run_that_says_nothing_for_long_keeps_its_lock() {
    let stage = Stage::new();
    let (keeper, _) = stage.start("ann", false).unwrap();
    for tick in 1..=48_u64 {
        stage.hands.turn(TICK);
        // The second answer comes when everything after the first has been done.
        assert_eq!((check(&keeper), check(&keeper)), (Ok(()), Ok(())));
        // Renewed every fourth tick at least, so nobody ever sees silence for a lease.
        assert!(stage.shelf.writes() > tick / 4, "after {tick} ticks: {} writes", stage.shelf.writes());
    }
}

#[test]
fn a_run_that_was_away_for_too_long_changes_nothing() {
    let stage = Stage::new();
    let (first, _) = stage.start("ann", false).unwrap();
    // Its machine sleeps; to the other one it is as if it had ended.
    let (second, _) = stage.start("bob", true).unwrap();
    second.save(&[("a", Some(b"bob's"))]).unwrap();
    stage.hands.turn(Duration::from_secs(3600));
    let reason = check(&first).unwrap_err();
    assert!(reason.starts_with("shelf: this run has lost its lock to bob, process 1"), "{reason}");
    first.save(&[("a", Some(b"ann's"))]).unwrap_err();
    let scratch = Scratch::new();
    std::fs::write(scratch.0.join("x"), "").unwrap();
    first.upload("snapshots/a", &scratch.0.join("x")).unwrap_err();
    first.note("x");
    drop(first);
    assert_eq!(stage.shelf.beside(), []);
    assert_eq!(stage.shelf.document().file("a").as_deref(), Some(&b"bob's"[..]));
    assert_eq!(check(&second), Ok(()));
}
