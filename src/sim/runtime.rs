//! Runs futures on one thread in virtual time: nothing waits for real, and the same futures always
//! run in the same order.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use futures::future::BoxFuture;

/// Why [`Runtime::drive`] stopped without a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stopped {
    /// The operator's process was killed.
    Killed,
    /// Everybody waits and no timer is set.
    Stuck,
}

/// Virtual time, and the tasks that live on machines rather than in the operator's process.
#[derive(Default)]
pub struct Runtime {
    inner: Mutex<Inner>,
    killed: AtomicBool,
    watcher: Mutex<Option<Watcher>>,
}

/// Told of each stretch of time that passes, before it does: from now until then nobody acts. Unlike a task
/// it sets no timer, so that it keeps nothing alive and changes nothing.
pub type Watcher = Box<dyn FnMut(Duration, Duration) + Send>;

#[derive(Default)]
struct Inner {
    now: Duration,
    sequence: u64,
    timers: BTreeMap<(Duration, u64), Waker>,
    spawned: Vec<Task>,
}

struct Task {
    future: BoxFuture<'static, ()>,
    flag: Arc<Flag>,
}

struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Flag {
    fn raised() -> Arc<Self> {
        Arc::new(Flag(AtomicBool::new(true)))
    }

    fn take(&self) -> bool {
        self.0.swap(false, Ordering::Relaxed)
    }
}

impl Runtime {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn now(&self) -> Duration {
        self.lock().now
    }

    /// Has somebody watch time pass, from now on.
    pub fn watch(&self, watcher: Watcher) {
        *self.watcher.lock().unwrap_or_else(PoisonError::into_inner) = Some(watcher);
    }

    /// Waits in virtual time.
    pub fn wait(&self, duration: Duration) -> Sleep<'_> {
        Sleep { runtime: self, until: self.now() + duration, set: false }
    }

    /// Starts a task that goes on when the operator's process is gone.
    pub fn spawn(&self, future: BoxFuture<'static, ()>) {
        self.lock().spawned.push(Task { future, flag: Flag::raised() });
    }

    /// Ends the operator's process at once: its future is dropped as it is.
    pub fn kill(&self) {
        self.killed.store(true, Ordering::Relaxed);
    }

    pub fn is_killed(&self) -> bool {
        self.killed.load(Ordering::Relaxed)
    }

    /// Runs the operator's process until it ends or is killed; machines run beside it.
    pub fn drive<T>(&self, process: impl Future<Output = T>) -> Result<T, Stopped> {
        self.killed.store(false, Ordering::Relaxed);
        let mut process = pin!(process);
        let flag = Flag::raised();
        let waker = Waker::from(Arc::clone(&flag));
        loop {
            let mut moved = self.run_machines();
            if flag.take() {
                moved = true;
                let polled = process.as_mut().poll(&mut Context::from_waker(&waker));
                if self.is_killed() {
                    return Err(Stopped::Killed);
                }
                if let Poll::Ready(value) = polled {
                    return Ok(value);
                }
            }
            if self.is_killed() {
                return Err(Stopped::Killed);
            }
            if !moved && !self.next_timer() {
                return Err(Stopped::Stuck);
            }
        }
    }

    /// Lets machines run on, with nobody connected, until nothing is under way on them.
    pub fn drain(&self, limit: Duration) {
        let until = self.now() + limit;
        loop {
            let moved = self.run_machines();
            if self.lock().spawned.is_empty() || self.now() >= until || (!moved && !self.next_timer()) {
                return;
            }
        }
    }

    fn run_machines(&self) -> bool {
        let mut tasks = std::mem::take(&mut self.lock().spawned);
        let mut moved = false;
        tasks.retain_mut(|task| {
            if !task.flag.take() {
                return true;
            }
            moved = true;
            let waker = Waker::from(Arc::clone(&task.flag));
            Pin::new(&mut task.future).poll(&mut Context::from_waker(&waker)).is_pending()
        });
        let mut inner = self.lock();
        let new = std::mem::replace(&mut inner.spawned, tasks);
        inner.spawned.extend(new);
        moved
    }

    fn next_timer(&self) -> bool {
        self.tell_watcher();
        let mut inner = self.lock();
        let Some(((at, _), waker)) = inner.timers.pop_first() else { return false };
        inner.now = inner.now.max(at);
        drop(inner);
        waker.wake();
        true
    }
}

impl Runtime {
    fn tell_watcher(&self) {
        let stretch = {
            let inner = self.lock();
            let next = inner.timers.first_key_value().map(|((at, _), _)| *at);
            next.filter(|next| *next > inner.now).map(|next| (inner.now, next))
        };
        let mut watcher = self.watcher.lock().unwrap_or_else(PoisonError::into_inner);
        if let (Some((now, next)), Some(watcher)) = (stretch, watcher.as_mut()) {
            watcher(now, next);
        }
    }
}

/// Ends at a moment of virtual time.
pub struct Sleep<'a> {
    runtime: &'a Runtime,
    until: Duration,
    set: bool,
}

impl Future for Sleep<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut inner = self.runtime.lock();
        if inner.now >= self.until {
            return Poll::Ready(());
        }
        if !self.set {
            inner.sequence += 1;
            let key = (self.until, inner.sequence);
            inner.timers.insert(key, context.waker().clone());
            drop(inner);
            self.set = true;
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watcher_hears_of_all_the_time_that_passes_and_adds_none() {
        let runtime = Runtime::default();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let writes = Arc::clone(&heard);
        runtime.watch(Box::new(move |from, to| writes.lock().unwrap().push((from.as_secs(), to.as_secs()))));
        let both = async {
            futures::join!(runtime.wait(Duration::from_secs(5)), runtime.wait(Duration::from_secs(2)))
        };
        runtime.drive(both).unwrap();
        assert_eq!(*heard.lock().unwrap(), [(0, 2), (2, 5)]);
        assert_eq!(runtime.drive(futures::future::pending::<()>()), Err(Stopped::Stuck));
    }

    #[test]
    fn time_passes_only_when_everybody_waits() {
        let runtime = Runtime::default();
        let both = async {
            let long = async {
                runtime.wait(Duration::from_secs(5)).await;
                runtime.now()
            };
            let short = async {
                runtime.wait(Duration::from_secs(2)).await;
                runtime.now()
            };
            futures::join!(long, short)
        };
        assert_eq!(runtime.drive(both), Ok((Duration::from_secs(5), Duration::from_secs(2))));
    }

    #[test]
    fn a_killed_process_leaves_machines_running() {
        let runtime = Arc::new(Runtime::default());
        let done = Arc::new(AtomicBool::new(false));
        let (machine, mark) = (Arc::clone(&runtime), Arc::clone(&done));
        runtime.spawn(Box::pin(async move {
            machine.wait(Duration::from_secs(9)).await;
            mark.store(true, Ordering::Relaxed);
        }));
        let process = async {
            runtime.wait(Duration::from_secs(1)).await;
            runtime.kill();
            futures::future::pending::<()>().await;
        };
        assert_eq!(runtime.drive(process), Err(Stopped::Killed));
        runtime.drain(Duration::from_secs(60));
        assert!(done.load(Ordering::Relaxed));
        assert_eq!(runtime.drive(futures::future::pending::<()>()), Err(Stopped::Stuck));
    }
}
