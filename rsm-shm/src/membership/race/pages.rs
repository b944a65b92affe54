//! Looking at what this process stores into its own segments, of a program that was not built to tell it: at each call they
//! are compared with what they were at the call before. What follows from that is in [`rsm_race::pages`].
//!
//! Whoever finds that another thread, or the one that a signal handler interrupts, is looking goes on without: what it has stored
//! is found the next time.

use super::{Racing, outside, trails};
use crate::membership::fork;
use crate::membership::looks::lock_for_a_while;
use crate::memory::compared::{Compared, bytes_that_differ};
use crate::memory::inspect::Identity;
use rsm_race::pages::{By, Stores};
use rsm_race::place::{NO_LINES, Place};
use rsm_race::process::Process;
use std::collections::BTreeSet;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU32};
use std::sync::{Mutex, MutexGuard};
use std::time::Instant;

/// Bytes of segments that are copied.
const MOST: usize = 256 << 20;
/// Looks that take long take at most this part of the time.
const SHARE: u32 = 4;
/// Stretches in which something was put before that one look goes through again: what waits for a barrier may be much more, and
/// a look comes with each call.
const AGAIN: usize = 4;

/// Memberships of this process, where races are looked for. What they tell each other within it nobody sees.
static PARTIES: Parties = Parties { open: AtomicU32::new(0), begun: AtomicU32::new(0) };

#[derive(Debug)]
struct Parties {
    open: AtomicU32,
    begun: AtomicU32,
}

// Relaxed: they are numbers, and true by themselves.
impl Parties {
    /// One begins: gives its number.
    fn begin(&self) -> u32 {
        self.open.fetch_add(1, Relaxed);
        self.begun.fetch_add(1, Relaxed) + 1
    }

    fn end(&self) {
        self.open.fetch_sub(1, Relaxed);
    }

    /// Whether there is no other than this one, nor was since it began: that may have told others what this one had stored.
    fn are_only(&self, number: u32) -> bool {
        self.open.load(Relaxed) == 1 && self.begun.load(Relaxed) == number
    }
}

/// What is looked at.
#[derive(Debug)]
pub(super) struct Pages {
    /// It is wanted.
    on: bool,
    /// [`fork::count`] of the process whose memory it is.
    process: u32,
    /// Which of the process's [`Parties`] looks.
    party: u32,
    /// There is something to look at.
    watching: AtomicBool,
    /// Nothing is looked at any more.
    stopped: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The time since the last look, and where that was.
    since: u64,
    from: u16,
    copies: Vec<Copied>,
    /// No look before this.
    pause: Option<Instant>,
}

#[derive(Debug)]
struct Copied {
    incarnation: u64,
    place: Place,
    memory: Compared,
    /// Stretches in which something was put that is not known to be all there, and from which on the next look goes through them.
    put_to: BTreeSet<usize>,
    next: usize,
}

impl Pages {
    pub(super) fn new(on: bool) -> Pages {
        let (process, party) = (fork::count(), PARTIES.begin());
        let (watching, stopped) = (AtomicBool::new(false), AtomicBool::new(false));
        Pages { on, process, party, watching, stopped, state: Mutex::default() }
    }

    /// Whether what changes in memory of a process is its own doing, and nobody else is told of it.
    fn are_alone(&self, process: Process<'_>) -> bool {
        process.is_alone_with_its_memory() && PARTIES.are_only(self.party)
    }

    /// What the creator of segments changes. None in a forked child, in which a thread of its parent may hold the lock for ever.
    /// A signal handler may have left by `siglongjmp` while it was held, or interrupt who holds it: then nothing is looked at any
    /// more, as what there is to look at is not known.
    fn own(&self) -> Option<MutexGuard<'_, State>> {
        // Relaxed, here and below: what is relied on stands under the lock.
        if !self.on || self.process != fork::count() || self.stopped.load(Relaxed) {
            return None;
        }
        let state = lock_for_a_while(&self.state);
        if state.is_none() {
            self.stopped.store(true, Relaxed);
        }
        state
    }

    /// Compares a segment no more, nor any other in this range of addresses.
    pub(super) fn leave(&self, incarnation: u64, (start, length): (usize, usize)) {
        if let Some(mut state) = self.own() {
            let stays = |copied: &Copied| copied.incarnation != incarnation && !copied.memory.overlaps(start, length);
            state.copies.retain(stays);
            self.watching.store(!state.copies.is_empty(), Relaxed);
        }
    }
}

impl Racing {
    /// Its membership has ended: nothing is told by way of it any more.
    pub(in crate::membership) fn end(&self) {
        PARTIES.end();
        outside::leaves(self);
    }

    /// Whether what owners store into their own memory is looked for.
    pub(in crate::membership) fn is_by_pages(&self) -> bool {
        self.pages.on
    }

    /// From now on a segment is compared, which is mapped at `start` and published.
    pub(super) fn copy(
        &self,
        process: Process<'_>,
        (incarnation, place): (u64, Place),
        (start, length): (*mut u8, usize),
        object: Identity,
    ) {
        let Some(mut state) = self.pages.own() else {
            // Of a forked child nothing is looked for; of who has stopped it is missed.
            if self.pages.stopped.load(Relaxed) {
                process.lacks_copies();
            }
            return;
        };
        if process.is_whole() || place.lines == NO_LINES {
            return;
        }
        if !self.pages.are_alone(process) {
            process.shares_its_memory();
            return;
        }
        let copied: usize = state.copies.iter().map(|copied| copied.memory.bytes()).sum();
        if state.copies.is_empty() {
            (state.since, state.from) = (process.begin_interval(), trails::site(self, process));
        }
        let room = MOST.checked_sub(copied).is_some_and(|left| length <= left);
        match room.then(|| Compared::copy(start, length, object)).flatten() {
            Some(memory) => {
                if memory.is_untold() {
                    process.compares_seldom();
                }
                state.copies.push(Copied { incarnation, place, memory, put_to: BTreeSet::new(), next: 0 });
            }
            None => process.lacks_copies(),
        }
        self.pages.watching.store(!state.copies.is_empty(), Relaxed);
    }

    /// A call begins or ends: looks what the program has stored since the last one.
    #[inline]
    pub(super) fn look_at_pages(&self, process: Process<'_>) {
        if self.pages.watching.load(Relaxed) {
            self.compare(process);
        }
    }

    #[cold]
    fn compare(&self, process: Process<'_>) {
        if self.pages.process != fork::count() {
            return;
        }
        let Ok(mut state) = self.pages.state.try_lock() else { return };
        if self.pages.stopped.load(Relaxed) {
            process.lacks_copies();
            state.copies.clear();
            self.pages.watching.store(false, Relaxed);
            return;
        }
        if state.pause.is_some_and(|until| Instant::now() < until) {
            return;
        }
        let began = state.copies.iter().any(|copied| !copied.memory.is_fast()).then(Instant::now);
        // Before anything is compared: what is stored after that is of the next time.
        let (now, here) = (process.begin_interval(), trails::site(self, process));
        let (since, from) = (state.since, state.from);
        let mut alone = self.pages.are_alone(process);
        let mut between = None;
        for copied in &mut state.copies {
            if !alone || self.pages.stopped.load(Relaxed) {
                break;
            }
            // Before it is compared: what is put after that says so again.
            let mut put_to = in_turn(&copied.put_to, &mut copied.next);
            put_to.extend(process.stretches_put_to(copied.place, copied.memory.bytes() as u64));
            copied.put_to.extend(&put_to);
            let changed = copied.memory.changed();
            if changed.is_empty() && put_to.is_empty() {
                continue;
            }
            // What the program was told so far.
            process.hears_of_all();
            let site = *between.get_or_insert_with(|| process.between(from, here));
            match Stores::begin(process, copied.place, since, site) {
                Some(stores) => copied.tell(stores, changed, &put_to),
                None => alone = false,
            }
        }
        if !alone {
            process.shares_its_memory();
            state.copies.clear();
            self.pages.watching.store(false, Relaxed);
        }
        (state.since, state.from) = (now, here);
        state.pause = began.map(|began| Instant::now() + began.elapsed() * SHARE).filter(|_| alone);
    }
}

impl Copied {
    /// Tells which of the words that have changed the program has stored, and forgets what was put and is there.
    fn tell(&mut self, mut stores: Stores<'_>, changed: Vec<(usize, u64)>, put_to: &BTreeSet<usize>) {
        for (at, word) in changed {
            let line = at as u64;
            match stores.by(line) {
                By::Owner(mark) => {
                    stores.add(line, bytes_that_differ(self.memory.known(at), word), mark);
                    self.memory.follow(at, word);
                }
                By::Others(mark) => {
                    self.memory.follow_now(at);
                    stores.forget(line, mark);
                }
                By::Unknown => {}
            }
        }
        for stretch in put_to {
            let lines = self.memory.words(*stretch).map(|at| at as u64);
            if !stores.settle(lines, |line| self.memory.follow_now(line as usize)) {
                self.put_to.remove(stretch);
            }
        }
        stores.end();
    }
}

/// The stretches whose turn it is, of which the first is `next` or comes after it.
fn in_turn(all: &BTreeSet<usize>, next: &mut usize) -> BTreeSet<usize> {
    let from = all.range(*next..).chain(all.range(..*next));
    let these: Vec<usize> = from.take(AGAIN).copied().collect();
    *next = these.last().map_or(0, |last| last + 1);
    these.into_iter().collect()
}

const _: () = assert!(rsm_race::table::LINE == size_of::<u64>() as u64);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_stretch_has_its_turn() {
        let mut next = 7;
        let few: BTreeSet<usize> = [1, 7, 9].into();
        for _ in 0..2 {
            assert_eq!(in_turn(&few, &mut next), few);
        }
        let many: BTreeSet<usize> = (0..3 * AGAIN).map(|at| 5 * at).collect();
        let seen: Vec<BTreeSet<usize>> = (0..3).map(|_| in_turn(&many, &mut next)).collect();
        assert!(seen.iter().all(|these| these.len() == AGAIN));
        assert_eq!(seen.into_iter().flatten().collect::<BTreeSet<_>>(), many);
        assert_eq!(in_turn(&BTreeSet::new(), &mut next), [].into());
    }

    #[test]
    fn one_that_comes_when_the_others_have_gone_is_alone() {
        let parties = Parties { open: AtomicU32::new(0), begun: AtomicU32::new(0) };
        let first = parties.begin();
        assert!(parties.are_only(first));
        let second = parties.begin();
        assert!(!parties.are_only(first) && !parties.are_only(second));
        parties.end();
        assert!(!parties.are_only(first), "the other one may have told what this one had stored");
        parties.end();
        let third = parties.begin();
        assert!(parties.are_only(third));
    }
}
