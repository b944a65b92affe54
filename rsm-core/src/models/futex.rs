//! A futex: compare and sleep in one step, under a lock; a wake for nobody is forgotten.

use crate::bell::{Park, Wake};
use crate::sync::{AtomicU32, AtomicU64, Ordering};
use loom::sync::{Condvar, Mutex};
use std::sync::Arc;

/// A word to sleep on and what it is expected to hold.
#[derive(Clone, Copy)]
pub(super) enum Watch<'a> {
    Whole(&'a AtomicU32, u32),
    Low(&'a AtomicU64, u32),
}

impl Watch<'_> {
    fn place(&self) -> usize {
        match self {
            Watch::Whole(word, _) => std::ptr::from_ref(*word).addr(),
            Watch::Low(word, _) => std::ptr::from_ref(*word).addr(),
        }
    }

    /// The kernel's compare. Of a word with one writer, who wakes after each store, a load under the lock is enough; of
    /// a bell, whose posters may not wake, it is totally ordered with other operations on the word, and promises no
    /// more: a relaxed read-modify-write.
    fn holds(&self) -> bool {
        match self {
            Watch::Whole(word, expected) => word.load(Ordering::Relaxed) == *expected,
            Watch::Low(word, expected) => word.fetch_add(0, Ordering::Relaxed) as u32 == *expected,
        }
    }
}

/// How a sleeper may end without being woken.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Ends {
    Never,
    /// [`Futex::end`] was or will be called: its deadline, or its death.
    AtEnd,
}

#[derive(Default)]
struct State {
    next: u64,
    asleep: Vec<Sleeper>,
    woken: Vec<(u64, Wake)>,
    ended: bool,
}

struct Sleeper {
    ticket: u64,
    places: Vec<usize>,
    ends: Ends,
    condition: Arc<Condvar>,
}

pub(super) struct Futex {
    state: Mutex<State>,
}

impl Futex {
    pub(super) fn new() -> Futex {
        Futex { state: Mutex::new(State::default()) }
    }

    /// Sleeps while every word holds what is expected.
    pub(super) fn sleep_on(&self, words: &[Watch<'_>], ends: Ends) -> Wake {
        let mut state = self.state.lock().unwrap();
        if words.iter().any(|word| !word.holds()) {
            return Wake::Woken;
        }
        if ends == Ends::AtEnd && state.ended {
            return Wake::TimedOut;
        }
        state.next += 1;
        let ticket = state.next;
        let condition = Arc::new(Condvar::new());
        let places = words.iter().map(Watch::place).collect();
        state.asleep.push(Sleeper { ticket, places, ends, condition: Arc::clone(&condition) });
        loop {
            state = condition.wait(state).unwrap();
            if let Some(at) = state.woken.iter().position(|(t, _)| *t == ticket) {
                return state.woken.swap_remove(at).1;
            }
        }
    }

    /// Wakes up to `count` sleepers of a word, the oldest first.
    pub(super) fn wake(&self, place: usize, count: usize) {
        self.rouse(|sleeper| sleeper.places.contains(&place), count, Wake::Woken);
    }

    pub(super) fn wake_word(&self, word: &AtomicU32) {
        self.wake(std::ptr::from_ref(word).addr(), usize::MAX);
    }

    /// Ends every sleep that may end so, now and from now on.
    pub(super) fn end(&self) {
        self.state.lock().unwrap().ended = true;
        self.rouse(|sleeper| sleeper.ends == Ends::AtEnd, usize::MAX, Wake::TimedOut);
    }

    fn rouse(&self, which: impl Fn(&Sleeper) -> bool, count: usize, how: Wake) {
        let mut state = self.state.lock().unwrap();
        for _ in 0..count {
            let Some(at) = state.asleep.iter().position(&which) else { return };
            let sleeper = state.asleep.remove(at);
            state.woken.push((sleeper.ticket, how));
            sleeper.condition.notify_one();
        }
    }
}

/// Sleeps until woken.
impl Park for &Futex {
    fn sleep(&self, word: &AtomicU64, expected: u32) -> Wake {
        self.sleep_on(&[Watch::Low(word, expected)], Ends::Never)
    }
    fn wake_one(&self, word: &AtomicU64) {
        self.wake(std::ptr::from_ref(word).addr(), 1);
    }
    fn wake_all(&self, word: &AtomicU64) {
        self.wake(std::ptr::from_ref(word).addr(), usize::MAX);
    }
}

/// Sleeps until woken, or until [`Futex::end`].
pub(super) struct Timed<'a>(pub(super) &'a Futex);

impl Park for Timed<'_> {
    fn sleep(&self, word: &AtomicU64, expected: u32) -> Wake {
        self.0.sleep_on(&[Watch::Low(word, expected)], Ends::AtEnd)
    }
    fn wake_one(&self, word: &AtomicU64) {
        (&self.0).wake_one(word);
    }
    fn wake_all(&self, word: &AtomicU64) {
        (&self.0).wake_all(word);
    }
}

/// A poster that is killed when it comes to the wake.
pub(super) struct Dying;

impl Park for Dying {
    fn sleep(&self, _: &AtomicU64, _: u32) -> Wake {
        Wake::TimedOut
    }
    fn wake_one(&self, _: &AtomicU64) {}
    fn wake_all(&self, _: &AtomicU64) {}
}
