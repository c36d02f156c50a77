use std::collections::BTreeSet;
use std::sync::Mutex;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::future::BoxFuture;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::session::SessionError;
use super::*;
use crate::exec::Clock;
use crate::state::Holder;

/// A time that moves on when everybody waits.
#[derive(Default)]
struct Turned(Mutex<(Duration, BTreeSet<Duration>)>);

impl Clock for Turned {
    fn now(&self) -> Duration {
        self.0.lock().unwrap().0
    }

    fn wait<'a>(&'a self, duration: Duration) -> BoxFuture<'a, ()> {
        let due = self.now() + duration;
        self.0.lock().unwrap().1.insert(due);
        Box::pin(futures::future::poll_fn(
            move |_| {
                if self.now() >= due { Poll::Ready(()) } else { Poll::Pending }
            },
        ))
    }
}

impl Turned {
    /// Runs what waits for nothing but this clock.
    fn run<T>(&self, future: impl Future<Output = T>) -> T {
        let mut future = std::pin::pin!(future);
        let mut context = Context::from_waker(std::task::Waker::noop());
        loop {
            if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
                return output;
            }
            let mut time = self.0.lock().unwrap();
            time.0 = time.1.pop_first().unwrap();
        }
    }
}

/// An object in memory, behind a network that loses answers and operators whose laptops sleep.
struct Memory<'a> {
    clock: &'a Turned,
    object: Mutex<Option<(Vec<u8>, u64)>>,
    dice: Mutex<StdRng>,
    /// Percent of calls that fail, and of those before which the caller is away for a while.
    trouble: u32,
    pauses: u32,
}

impl<'a> Memory<'a> {
    fn new(clock: &'a Turned, seed: u64, trouble: u32, pauses: u32) -> Self {
        Memory {
            clock,
            object: Mutex::default(),
            dice: Mutex::new(StdRng::seed_from_u64(seed)),
            trouble,
            pauses,
        }
    }

    /// How long a call takes, and what goes wrong: before it, after it.
    async fn travel(&self) -> (bool, bool) {
        let (away, before, after) = {
            let mut dice = self.dice.lock().unwrap();
            let mut happens = |percent: u32| dice.random_range(0..100) < percent;
            let (away, before, after) = (happens(self.pauses), happens(self.trouble), happens(self.trouble));
            let seconds = if away { dice.random_range(0..200_000) } else { dice.random_range(1..300) };
            (Duration::from_millis(seconds), before, after)
        };
        self.clock.wait(away).await;
        (before, after)
    }

    fn content(&self) -> SharedDocument {
        SharedDocument::parse(&self.object.lock().unwrap().as_ref().unwrap().0).unwrap()
    }
}

fn unknown() -> StoreError {
    StoreError::Unknown("the answer was lost".to_owned())
}

impl ObjectStore for Memory<'_> {
    fn get(&self) -> BoxFuture<'_, Result<Option<Found>, StoreError>> {
        Box::pin(async {
            let (before, after) = self.travel().await;
            if before || after {
                return Err(unknown());
            }
            let object = self.object.lock().unwrap().clone();
            Ok(object.map(|(content, version)| (content, Version(version.to_string()))))
        })
    }

    fn put<'b>(
        &'b self,
        content: &'b [u8],
        expected: Option<&'b Version>,
    ) -> BoxFuture<'b, Result<Version, StoreError>> {
        Box::pin(async move {
            let (before, after) = self.travel().await;
            if before {
                return Err(unknown());
            }
            let result = {
                let mut object = self.object.lock().unwrap();
                let there = object.as_ref().map(|(_, version)| Version(version.to_string()));
                if there.as_ref() == expected {
                    let next = object.as_ref().map_or(1, |(_, version)| version + 1);
                    *object = Some((content.to_vec(), next));
                    Ok(Version(next.to_string()))
                } else {
                    Err(StoreError::Conflict)
                }
            };
            if after { Err(unknown()) } else { result }
        })
    }

    fn write<'b>(&'b self, _: &'b str, _: &'b [u8]) -> BoxFuture<'b, Result<(), StoreError>> {
        Box::pin(std::future::ready(Err(unknown())))
    }

    fn upload<'b>(&'b self, _: &'b str, _: &'b Utf8Path) -> BoxFuture<'b, Result<(), StoreError>> {
        Box::pin(std::future::ready(Err(unknown())))
    }

    fn remove<'b>(&'b self, _: &'b str) -> BoxFuture<'b, Result<(), StoreError>> {
        Box::pin(std::future::ready(Err(unknown())))
    }

    fn list<'b>(&'b self, _: &'b str) -> BoxFuture<'b, Result<Vec<(String, u64)>, StoreError>> {
        Box::pin(std::future::ready(Err(unknown())))
    }

    fn address(&self) -> String {
        "memory".to_owned()
    }
}

fn who(name: &str) -> Holder {
    Holder { who: name.to_owned(), pid: 1, since: 0, epoch: 0 }
}

async fn acquire<'a>(
    store: &'a Memory<'_>,
    clock: &'a Turned,
    name: &str,
) -> Result<Session<'a>, AcquireError> {
    Session::acquire(store, clock, Terms::default(), &who(name), &|_| false).await
}

#[test]
fn files_are_there_for_the_next_run() {
    let clock = Turned::default();
    let store = Memory::new(&clock, 1, 0, 0);
    clock.run(async {
        let mut first = acquire(&store, &clock, "ann").await.unwrap();
        first.save(&[("vault.age", Some(b"sealed")), ("hosts.json", Some(b"{}"))]).await.unwrap();
        first.save(&[("hosts.json", None)]).await.unwrap();
        assert_eq!(first.epoch(), 1);
        first.release().await.unwrap();
        let second = acquire(&store, &clock, "bob").await.unwrap();
        assert_eq!(second.epoch(), 2);
        assert_eq!(second.document().names().collect::<Vec<_>>(), ["vault.age"]);
        assert_eq!(second.document().file("vault.age").as_deref(), Some(&b"sealed"[..]));
    });
}

#[test]
fn who_works_is_not_disturbed_and_is_named() {
    let clock = Turned::default();
    let store = Memory::new(&clock, 1, 0, 0);
    clock.run(async {
        let mut first = acquire(&store, &clock, "ann@desk").await.unwrap();
        let other = async {
            let error = acquire(&store, &clock, "bob").await.err().unwrap();
            assert!(error.to_string().starts_with("another run is going on: ann@desk"), "{error}");
        };
        let work = async {
            for _ in 0..20 {
                clock.wait(Duration::from_secs(15)).await;
                first.renew().await.unwrap();
            }
        };
        futures::join!(other, work);
    });
}

#[test]
fn who_was_away_for_too_long_can_write_nothing_any_more() {
    let clock = Turned::default();
    let store = Memory::new(&clock, 1, 0, 0);
    clock.run(async {
        let mut first = acquire(&store, &clock, "ann").await.unwrap();
        let mut second = acquire(&store, &clock, "bob").await.unwrap();
        assert!(first.is_stale() && !second.is_stale());
        for _ in 0..2 {
            let error = first.save(&[("a", Some(b"ann's"))]).await.unwrap_err();
            assert!(
                matches!(&error, SessionError::Lost { by: Some(holder) } if holder.who == "bob"),
                "{error}"
            );
            assert_eq!(first.ensure().await.unwrap_err(), error);
        }
        second.save(&[("a", Some(b"bob's"))]).await.unwrap();
        assert_eq!(store.content().file("a").as_deref(), Some(&b"bob's"[..]));
    });
}

#[test]
fn a_holder_that_is_known_to_have_ended_is_not_waited_for() {
    let clock = Turned::default();
    let store = Memory::new(&clock, 1, 0, 0);
    clock.run(async {
        let _crashed = acquire(&store, &clock, "ann").await.unwrap();
        let began = clock.now();
        let next =
            Session::acquire(&store, &clock, Terms::default(), &who("ann"), &|holder| holder.pid == 1).await;
        assert_eq!(next.unwrap().epoch(), 2);
        assert!(clock.now() - began < Duration::from_secs(5));
    });
}

#[test]
fn what_is_no_state_is_not_overwritten() {
    let clock = Turned::default();
    let store = Memory::new(&clock, 1, 0, 0);
    clock.run(async {
        for content in [
            &b"<html>"[..],
            br#"{"format": 2}"#,
            br#"{"format": 1, "epoch": 1, "serial": 1, "files": {"a": "?"}}"#,
        ] {
            *store.object.lock().unwrap() = Some((content.to_vec(), 7));
            let error = acquire(&store, &clock, "ann").await.err().unwrap();
            assert!(matches!(error, AcquireError::Document(_)), "{error}");
            assert_eq!(store.object.lock().unwrap().as_ref().unwrap().0, content);
        }
    });
}

/// Writes a line after what is there, again and again, as one who holds the lock may.
async fn works(store: &Memory<'_>, clock: &Turned, name: &str, written: &Mutex<Vec<String>>) {
    for run in 0..6 {
        let mut session = match acquire(store, clock, name).await {
            Ok(session) => session,
            Err(AcquireError::Held(_) | AcquireError::Store(_)) => {
                clock.wait(Duration::from_secs(40)).await;
                continue;
            }
            Err(error) => panic!("{error}"),
        };
        for line in 0..5 {
            let line = format!("{name} {run} {line} {}\n", session.epoch());
            let mut log = session.document().file("log").unwrap_or_default();
            log.extend_from_slice(line.as_bytes());
            if session.save(&[("log", Some(&log))]).await.is_err() {
                break;
            }
            written.lock().unwrap().push(line);
        }
        // Now and then it just dies.
        if run % 3 != 2 {
            let _ = session.release().await;
        }
    }
}

#[test]
fn operators_that_sleep_and_networks_that_lose_answers_lose_no_line_and_mix_no_runs() {
    for seed in 0..300 {
        let clock = Turned::default();
        let (trouble, pauses) = (8 * u32::try_from(seed % 4).unwrap(), 4 * u32::try_from(seed % 3).unwrap());
        let store = Memory::new(&clock, seed, trouble, pauses);
        let written = Mutex::new(Vec::new());
        let names = ["ann", "bob", "eve"];
        clock.run(futures::future::join_all(names.map(|name| works(&store, &clock, name, &written))));
        let document = store.content();
        let log = String::from_utf8(document.file("log").unwrap_or_default()).unwrap();
        let lines: Vec<&str> = log.lines().collect();
        let epochs: Vec<u64> =
            lines.iter().map(|line| line.rsplit(' ').next().unwrap().parse().unwrap()).collect();
        assert!(epochs.is_sorted(), "seed {seed}: a run that was fenced has written: {log}");
        let mut unique = lines.clone();
        unique.sort_unstable();
        unique.dedup();
        assert_eq!(unique.len(), lines.len(), "seed {seed}: written twice: {log}");
        for line in written.lock().unwrap().iter() {
            assert!(lines.contains(&line.trim_end()), "seed {seed}: lost {line}{log}");
        }
        assert!(document.epoch >= 6, "seed {seed}: only {} runs", document.epoch);
    }
}
