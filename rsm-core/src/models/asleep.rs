//! Sleeping until somebody stores, with fences that the sleeper has executed in other threads.
//!
//! loom knows no `membarrier`. It is modelled by what it promises: each other thread that runs executes a full fence at some point
//! between the call and its return. That point is chosen by loom: a thread comes by a *gap* between any two of its steps, and in
//! one of them finds the call and executes the fence. A thread that has ended has executed one. What a compiler may
//! not reorder there (`compiler_fence`) loom does not either.

use super::explore;
use super::futex::{Ends, Futex, Watch};
use crate::asleep::{Watched, sleep_until, step};
use crate::sync::Ordering::{Acquire, Relaxed, Release, SeqCst};
use crate::sync::{AtomicU32, AtomicU64, fence, mutated};
use loom::sync::Notify;
use loom::thread;
use std::sync::Arc;

/// What sleeper and storer have in common.
struct Rig {
    data: AtomicU64,
    watched: Watched,
    /// Threads that sleep for a nudge.
    nudged: AtomicU32,
    event: AtomicU32,
    futex: Futex,
    system: System,
}

/// The system's part of it, for one thread that stores.
struct System {
    asked: AtomicU32,
    /// Whether the fence was executed.
    done: AtomicU32,
    executed: Notify,
}

impl System {
    /// Between two steps of the thread that stores.
    fn gap(&self) {
        // Acquire: the call, and what was before it, come before the fence.
        if self.asked.load(Acquire) == 1 && self.done.load(Relaxed) == 0 {
            self.execute();
        }
    }

    fn execute(&self) {
        fence(SeqCst);
        self.done.store(1, Release);
        self.executed.notify();
    }

    /// The thread that stores has ended.
    fn leave(&self) {
        if self.done.load(Relaxed) == 0 {
            self.execute();
        }
    }

    /// The call: returns when the other thread has executed a fence since.
    fn order_everywhere(&self) {
        fence(SeqCst);
        if mutated("asleep_no_membarrier") {
            return;
        }
        self.asked.store(1, SeqCst);
        // Not by yielding: loom has a thread that yielded see the newest of everything. And it has a wait end early now and then.
        while self.done.load(Acquire) == 0 {
            self.executed.wait();
        }
        fence(SeqCst);
    }
}

fn rig() -> Arc<Rig> {
    let system = System { asked: AtomicU32::new(0), done: AtomicU32::new(0), executed: Notify::new() };
    let (data, watched, futex) = (AtomicU64::new(0), Watched::nobody(), Futex::new());
    Arc::new(Rig { data, watched, nudged: AtomicU32::new(0), event: AtomicU32::new(0), futex, system })
}

/// Sleeps until the data is there: forgotten, loom finds a deadlock.
fn sleep(rig: &Rig) {
    let mut look = || (rig.data.load(Acquire) == 1).then_some(());
    sleep_until(&rig.event, &mut look, |event, _| {
        rig.futex.sleep_on(&[Watch::Whole(&rig.event, event)], Ends::Never);
    });
}

fn wake(rig: &Rig) {
    step(&rig.event);
    rig.futex.wake_word(&rig.event);
}

/// A PE stores eight bytes and looks whether somebody sleeps for them, as `shmem_p` does, without a fence; its owner says so, has
/// everybody's stores ordered, and sleeps.
///
/// Mutations: `asleep_no_membarrier`, `asleep_event_relaxed`, `asleep_event_late`.
#[test]
fn who_sleeps_for_bytes_is_woken_by_their_store() {
    explore(|| {
        let rig = rig();
        let storing = Arc::clone(&rig);
        let storing = thread::spawn(move || {
            let Rig { data, watched, system, .. } = &*storing;
            system.gap();
            data.store(1, Relaxed);
            system.gap();
            if watched.may_concern(8) {
                system.gap();
                if watched.concerns(0) {
                    wake(&storing);
                }
            }
            system.leave();
        });
        rig.watched.say((0, 8));
        rig.system.order_everywhere();
        sleep(&rig);
        storing.join().unwrap();
    });
}

/// A nudge where waits often come to a sleep, as in a job of more PEs than processors: both execute a fence of their own.
///
/// Mutations: `asleep_nudge_unfenced`, `asleep_sleeper_unfenced`.
#[test]
fn who_sleeps_for_a_nudge_is_woken_by_it() {
    explore(|| {
        let rig = rig();
        let nudging = Arc::clone(&rig);
        let nudging = thread::spawn(move || {
            nudging.data.store(1, Release);
            if !mutated("asleep_nudge_unfenced") {
                fence(SeqCst);
            }
            if nudging.nudged.load(Relaxed) != 0 {
                wake(&nudging);
            }
        });
        rig.nudged.store(1, Relaxed);
        if !mutated("asleep_sleeper_unfenced") {
            fence(SeqCst);
        }
        sleep(&rig);
        nudging.join().unwrap();
    });
}
