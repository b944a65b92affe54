//! Locks that outlive their holders. Who waits sleeps on a bell of its own, as the nodes of a team do.

use super::futex::Futex;
use super::{explore, explore_less};
use crate::bell::{Accumulate, Bell};
use crate::generation::{EndCause, Generation};
use crate::lock::{Attempt, State, Words};
use crate::sync::Ordering::{Acquire, Relaxed, Release};
use crate::sync::{AtomicU64, acquire};
use crate::verdict;
use loom::thread::{self, JoinHandle};
use std::sync::Arc;

const RANKS: usize = 3;

/// The lock, what it guards, and the bells of the ranks.
struct Rig {
    state: AtomicU64,
    wants: AtomicU64,
    data: AtomicU64,
    bells: [Bell; RANKS],
    futex: Futex,
}

/// Who has waited long enough.
#[derive(Debug)]
struct GivesUp;

/// A lock that the rank 0 holds.
fn rig() -> (Arc<Rig>, State) {
    let held = State::default().taken_by(0);
    let rig = Rig {
        state: AtomicU64::new(held.word()),
        wants: AtomicU64::new(0),
        data: AtomicU64::new(0),
        bells: std::array::from_fn(|_| Bell::new()),
        futex: Futex::new(),
    };
    (Arc::new(rig), held)
}

fn start<T: 'static>(rig: &Arc<Rig>, run: impl FnOnce(&Rig) -> T + 'static) -> JoinHandle<T> {
    let rig = Arc::clone(rig);
    thread::spawn(move || run(&rig))
}

impl Rig {
    fn words(&self) -> Words<'_> {
        Words { state: &self.state, wants: &self.wants }
    }

    fn attempt(&self, me: usize) -> Result<Option<State>, GivesUp> {
        loop {
            match self.words().try_take(me, |_| Ok(false))? {
                Attempt::Taken(state) => return Ok(Some(state)),
                Attempt::Held => return Ok(None),
                Attempt::Overtaken => {}
            }
        }
    }

    /// Waits for as long as it takes.
    fn lock(&self, me: usize) -> State {
        let wait = |attempt: &mut dyn FnMut() -> Result<Option<State>, GivesUp>| loop {
            if let Some(state) = attempt()? {
                return Ok(state);
            }
            self.bells[me].wait(0, &&self.futex).unwrap();
        };
        let taken = self.words().take(me, || self.attempt(me), |mut attempt| wait(&mut attempt), || {});
        taken.expect("nobody gives up")
    }

    /// Waits until it has looked once more.
    fn lock_or_give_up(&self, me: usize) -> Option<State> {
        let wait = |attempt: &mut dyn FnMut() -> Result<Option<State>, GivesUp>| attempt()?.ok_or(GivesUp);
        let wake = || self.wake_next(me);
        self.words().take(me, || self.attempt(me), |mut attempt| wait(&mut attempt), wake).ok()
    }

    fn unlock(&self, me: usize, held: State) {
        assert!(self.words().let_go(held), "nobody takes a lock from the living");
        self.wake_next(me);
    }

    fn wake_next(&self, me: usize) {
        let ring = |rank: usize| self.bells[rank].post(0, Accumulate::No, &&self.futex).is_ok();
        self.words().wake_next(me, RANKS, ring);
    }
}

/// Mutations: `lock_take_relaxed`, `lock_let_go_relaxed`.
#[test]
fn who_takes_a_lock_has_what_was_done_under_it() {
    explore(|| {
        let (r, held) = rig();
        let next = start(&r, |r| {
            if let Some(held) = r.attempt(1).unwrap() {
                assert_eq!(r.data.load(Relaxed), 1, "what the last holder stored is not there");
                r.data.store(2, Relaxed);
                assert!(r.words().let_go(held));
            }
        });
        r.data.store(1, Relaxed);
        assert!(r.words().let_go(held));
        if r.attempt(2).unwrap().is_some() {
            let found = r.data.load(Relaxed);
            next.join().unwrap();
            assert!(found == 2 || r.data.load(Relaxed) == 1, "two held the lock");
        }
    });
}

/// One holds the lock, another comes for it.
///
/// Mutations: `lock_want_unfenced`, `lock_let_go_unfenced`.
#[test]
fn nobody_sleeps_beside_a_free_lock() {
    explore(|| {
        let (r, held) = rig();
        let waits = start(&r, |r| {
            let held = r.lock(1);
            r.unlock(1, held);
        });
        r.unlock(0, held);
        waits.join().unwrap();
        assert_eq!(State::from_word(r.state.load(Relaxed)).holder(), None);
        assert_eq!(r.wants.load(Relaxed), 0);
    });
}

/// Two wait, of which the one gives up that is woken.
///
/// Mutations: `lock_gives_up_silently`.
#[test]
fn who_gives_up_keeps_no_wake() {
    explore_less(1, || {
        let (r, held) = rig();
        let gives_up = start(&r, |r| {
            if let Some(held) = r.lock_or_give_up(1) {
                r.unlock(1, held);
            }
        });
        let waits = start(&r, |r| {
            let held = r.lock(2);
            r.unlock(2, held);
        });
        r.unlock(0, held);
        gives_up.join().unwrap();
        waits.join().unwrap();
    });
}

/// The same, where the other one is awake, and sleeps when a look finds the lock held: who is woken by one that gives up finds it free.
///
/// Mutations: `lock_gives_up_silently`, `lock_gives_up_unfenced`, `lock_let_go_unfenced`.
#[test]
fn who_is_woken_by_one_that_gives_up_finds_the_lock_free() {
    explore(|| {
        let (r, held) = rig();
        r.wants.store(1 << 2, Relaxed);
        let lets_go = start(&r, move |r| r.unlock(0, held));
        let waits = start(&r, |r| r.bells[2].take_pending() && r.attempt(2).unwrap().is_some());
        let taken = r.lock_or_give_up(1);
        if let Some(held) = taken {
            r.unlock(1, held);
        }
        lets_go.join().unwrap();
        let is_had = waits.join().unwrap();
        assert!(is_had || r.bells[2].pending() > 0, "it sleeps beside a free lock");
    });
}

/// The holder is killed, which the kernel tells the agent (the release and acquire in between), and the agent everybody.
///
/// Mutations: `verdict_abort_unreleased`.
#[test]
fn who_takes_a_lock_from_the_dead_has_what_they_stored() {
    explore(|| {
        let (r, _) = rig();
        let died = Arc::new(AtomicU64::new(0));
        let generation = Arc::new(AtomicU64::new(Generation::live(1).word()));
        let (dying, gone) = (Arc::clone(&died), Arc::clone(&generation));
        let holder = start(&r, move |r| {
            r.data.store(1, Relaxed);
            dying.store(1, Release);
        });
        let next = start(&r, move |r| {
            let is_dead = |_| Ok::<bool, ()>(Generation::from_word(acquire(&gone)).is_aborted());
            if let Attempt::Taken(state) = r.words().try_take(1, is_dead).unwrap() {
                assert_eq!(state.died(), Some(0));
                assert_eq!(r.data.load(Relaxed), 1, "what the dead holder stored is not there");
            }
        });
        if died.load(Acquire) == 1 {
            verdict::abort(&generation, EndCause::NodeKilled);
        }
        holder.join().unwrap();
        next.join().unwrap();
    });
}
