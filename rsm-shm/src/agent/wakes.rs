//! Waking whoever sleeps on a word, some at a time: how many threads do is for members to choose, and the kernel takes
//! about a microsecond for each.

use super::Agent;
use super::books::chores::{Chore, Owner};
use crate::futex;
use rsm_core::bell::{Park, Wake};
use rsm_core::sync::{AtomicU32, AtomicU64};
use std::cell::RefCell;
use std::collections::VecDeque;

/// Sleepers that are woken at once: nearly always there are no more.
const AT_ONCE: u32 = 2;
/// Sleepers that a later piece wakes.
const PIECE: u32 = 32;
/// Most sleepers of a word. A thread that is woken may sleep there again, so there would be no end.
const MOST: u32 = 1 << 20;

/// Words on which more may sleep than were woken, and how many are woken at most.
#[derive(Debug, Default)]
pub(super) struct Wakes {
    left: RefCell<VecDeque<(usize, u32)>>,
}

impl Wakes {
    /// Wakes everybody who sleeps on `word`, most of them later if they are many.
    pub(super) fn all(&self, word: &AtomicU32) {
        self.begin(std::ptr::from_ref(word).addr());
    }

    fn begin(&self, address: usize) {
        if futex::wake_some(address, AT_ONCE) < AT_ONCE {
            return;
        }
        let mut left = self.left.borrow_mut();
        match left.iter_mut().find(|(word, _)| *word == address) {
            Some((_, most)) => *most = MOST,
            None => left.push_back((address, MOST)),
        }
    }

    fn is_empty(&self) -> bool {
        self.left.borrow().is_empty()
    }

    /// Wakes some more, by `wake`, which says how many it woke; `false` when nobody is left.
    fn go_on(&self, wake: impl Fn(usize, u32) -> u32) -> bool {
        let mut left = self.left.borrow_mut();
        // The word may not be mapped any more; then nobody sleeps there.
        if let Some((address, most)) = left.pop_front()
            && wake(address, PIECE) == PIECE
            && most > PIECE
        {
            left.push_back((address, most - PIECE));
        }
        !left.is_empty()
    }

    /// Wakes all that are left.
    pub(super) fn finish(&self) {
        while self.go_on(futex::wake_some) {}
    }
}

/// For bells: as [`Poster`](crate::parking::Poster), but for how many are woken at once.
impl Park for Wakes {
    fn sleep(&self, _: &AtomicU64, _: u32) -> Wake {
        Wake::TimedOut
    }
    fn wake_one(&self, word: &AtomicU64) {
        futex::wake_low(word, 1);
    }
    fn wake_all(&self, word: &AtomicU64) {
        self.begin(futex::address_of_low(word));
    }
}

impl Agent {
    /// At the end of a pass: what it left to be woken is woken in the next ones.
    pub(super) fn put_off_wakes(&mut self) {
        if !self.wakes.is_empty() && !std::mem::replace(&mut self.waking, true) {
            self.books.chores.add(Owner::Sleepers, Chore::Wake);
        }
    }

    /// Wakes some who sleep; whether there are more.
    pub(super) fn wake_some(&mut self) -> bool {
        self.waking = self.wakes.go_on(futex::wake_some);
        self.waking
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::futex::sleep;
    use std::sync::atomic::Ordering::SeqCst;
    use std::time::{Duration, Instant};

    #[test]
    fn many_sleepers_are_woken_piece_by_piece() {
        const SLEEPERS: u32 = 3 * PIECE;
        let (word, woken) = (AtomicU32::new(0), AtomicU32::new(0));
        let deadline = Instant::now() + Duration::from_secs(30);
        std::thread::scope(|scope| {
            for _ in 0..SLEEPERS {
                scope.spawn(|| {
                    assert_eq!(sleep(&word, 0, Some(deadline)), Wake::Woken);
                    woken.fetch_add(1, SeqCst);
                });
            }
            let wakes = Wakes::default();
            // Who is not asleep yet is found in another round; each call wakes no more than it may.
            while woken.load(SeqCst) < SLEEPERS && Instant::now() < deadline {
                let before = woken.load(SeqCst);
                wakes.all(&word);
                let mut pieces = 0;
                while !wakes.is_empty() {
                    wakes.go_on(futex::wake_some);
                    pieces += 1;
                }
                std::thread::yield_now();
                assert!(pieces <= SLEEPERS.div_ceil(PIECE), "{before} were awake, and {pieces} pieces followed");
            }
        });
        assert_eq!(woken.load(SeqCst), SLEEPERS);
    }

    #[test]
    fn there_is_an_end_to_waking() {
        let wakes = Wakes::default();
        wakes.left.borrow_mut().extend([(1, MOST), (2, MOST)]);
        // Who is woken here sleeps again at once; where nobody slept any more it ends at once.
        let sleepless = |address, count| if address == 1 { count } else { 0 };
        let pieces = (1..).take_while(|_| wakes.go_on(sleepless)).last();
        assert_eq!(pieces, Some(MOST / PIECE));
    }
}
