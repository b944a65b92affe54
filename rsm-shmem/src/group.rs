//! PEs that do something together, and how they nudge each other.
//!
//! Between each two of them, in each direction, is a count of nudges. Who nudges steps it; who waits for a nudge waits until it
//! is one more than it was the last time. Every collective operation is made of nudges, so that each pair of PEs counts the
//! same ones in the same order, and no operation can take the nudge of another.

use crate::control::{Line, MOST};
use crate::job::Job;
use crate::job::sleepers::{On, stored};
use crate::job::team::{Counts, Team};
use crate::local::Sym;
use crate::place::Place;
use crate::{Call, end, order, wait};
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicU64, fence};

/// Words of pSync: a count for each PE of the set, and what a PE offers.
const OFFER: usize = MOST;
/// SHMEM_SYNC_SIZE.
pub(crate) const SYNC_SIZE: usize = OFFER + 1;

/// Members that are few enough to be told one by one.
const FEW: usize = 16;

/// Where the counts are.
#[derive(Clone, Copy)]
enum Words<'a> {
    /// In the PEs' own words, in this slot. They only grow, and have one writer each.
    Slot { slot: usize, counts: &'a Counts },
    /// In the program's pSync, which is as it was when the operation is over.
    Sync(Sym),
}

/// PEs that do something together.
#[derive(Clone, Copy)]
pub(crate) struct Group<'a> {
    pub(crate) job: &'static Job,
    pub(crate) call: &'static Call,
    members: Members<'a>,
    /// Which of them this PE is.
    pub(crate) me: usize,
    words: Words<'a>,
}

/// Who they are, by their numbers in the world.
#[derive(Clone, Copy)]
enum Members<'a> {
    Listed(&'a [usize]),
    Strided { start: usize, stride: usize, count: usize },
}

impl Team {
    /// Its PEs, with the words of its slot.
    pub(crate) fn group(&self, job: &'static Job, call: &'static Call) -> Group<'_> {
        let words = Words::Slot { slot: self.slot, counts: &self.counts };
        Group { job, call, members: Members::Listed(&self.members), me: self.me, words }
    }
}

impl Group<'_> {
    /// An active set, with its pSync.
    pub(crate) fn strided(
        (job, call): (&'static Job, &'static Call),
        (start, stride, count): (usize, usize, usize),
        me: usize,
        sync: Sym,
    ) -> Group<'static> {
        Group { job, call, members: Members::Strided { start, stride, count }, me, words: Words::Sync(sync) }
    }

    /// Whether it has the words of a team.
    pub(crate) fn is_team(&self) -> bool {
        matches!(self.words, Words::Slot { .. })
    }

    pub(crate) fn len(&self) -> usize {
        match self.members {
            Members::Listed(list) => list.len(),
            Members::Strided { count, .. } => count,
        }
    }

    /// A member's number in the world.
    pub(crate) fn pe(&self, member: usize) -> usize {
        match self.members {
            Members::Listed(list) => list[member],
            Members::Strided { start, stride, .. } => start + member * stride,
        }
    }

    /// A word of pSync of a member, and where that is.
    fn sync_word(&self, sync: Sym, word: usize, member: usize) -> (&'static AtomicU64, usize, usize) {
        let whole = self.job.on(self.call, "pSync", sync, SYNC_SIZE * 8, 8, self.pe(member));
        let (place, side, first): (Place, usize, usize) = whole;
        (place.at(word * 8).word64(), side, first + word * 8)
    }

    /// Nudges a member. What this PE has stored is there for who has taken the nudge.
    pub(crate) fn nudge(&self, member: usize) {
        let peer = &self.job.peers[self.pe(member)];
        let control = peer.control;
        peer.is_told(self.job);
        match self.words {
            Words::Slot { slot, counts } => {
                // Relaxed: of this PE alone, whose threads do one thing at a time with a team.
                let count = counts.sent[member].load(Relaxed) + 1;
                counts.sent[member].store(count, Relaxed);
                // Release: pairs with the Acquire in `take`.
                control.slots[slot].nudges[self.me].0.store(count, Release);
                wait::nudged(self.job, control);
            }
            Words::Sync(sync) => {
                let (word, side, offset) = self.sync_word(sync, self.me, member);
                // Release: pairs with the Acquire in `take`.
                word.fetch_add(1, Release);
                stored(control, side, offset, 8);
            }
        }
    }

    /// Waits for a nudge of a member, and takes it.
    pub(crate) fn take(&self, member: usize) {
        match self.words {
            Words::Slot { slot, counts } => {
                // Relaxed: as in `nudge`.
                let count = counts.seen[member].load(Relaxed) + 1;
                let Line(word) = &self.job.control().slots[slot].nudges[member];
                // Acquire: pairs with the Release in `nudge`.
                wait::until(self.job, self.call, On::Nudges, || (word.load(Acquire) >= count).then_some(()));
                counts.seen[member].store(count, Relaxed);
            }
            Words::Sync(sync) => {
                let (word, side, first) = self.sync_word(sync, member, self.me);
                let on = On::Bytes { side, first, end: first + 8 };
                // Acquire: as above. Who reuses pSync at once may have nudged again: one is taken.
                wait::until(self.job, self.call, on, || (word.load(Acquire) != 0).then_some(()));
                word.fetch_sub(1, Relaxed);
            }
        }
        self.job.peers[self.pe(member)].has_told(self.job);
    }

    /// Waits until every member has come: each hears, in as many rounds as its number has bits, of twice as many. Where there are
    /// more PEs than processors a round is a context switch of each, and of few members each hears from all the others at once.
    pub(crate) fn sync(&self) {
        let (me, count) = (self.me, self.len());
        if self.job.spinning.is_crowded() && count <= FEW {
            return self.sync_at_once();
        }
        let mut step = 1;
        while step < count {
            self.nudge((me + step) % count);
            self.take((me + count - step) % count);
            step *= 2;
        }
    }

    /// A function by itself, so that the rounds stay as short as they are.
    #[inline(never)]
    fn sync_at_once(&self) {
        let (me, count) = (self.me, self.len());
        let others = || (1..count).map(|step| (me + step) % count);
        others().for_each(|member| self.nudge(member));
        others().for_each(|member| self.take(member));
    }

    /// Says a number that the others may look at between two syncs.
    pub(crate) fn offer(&self, number: u64) {
        // Relaxed: ordered by the nudges of the sync that comes next.
        match self.words {
            Words::Slot { slot, .. } => self.job.control().slots[slot].offer.0.store(number, Relaxed),
            Words::Sync(sync) => self.sync_word(sync, OFFER, self.me).0.store(number, Relaxed),
        }
    }

    /// What a member offers.
    pub(crate) fn offered(&self, member: usize) -> u64 {
        match self.words {
            // Relaxed: as above.
            Words::Slot { slot, .. } => self.job.peers[self.pe(member)].control.slots[slot].offer.0.load(Relaxed),
            Words::Sync(sync) => self.sync_word(sync, OFFER, member).0.load(Relaxed),
        }
    }

    /// Symmetric memory of a member.
    pub(crate) fn on(&self, argument: &str, sym: Sym, bytes: usize, align: usize, member: usize) -> Place {
        self.job.on(self.call, argument, sym, bytes, align, self.pe(member)).0
    }

    /// Ends the job if what was loaded from a member came from nowhere.
    pub(crate) fn check(&self, member: usize) {
        let peer = &self.job.peers[self.pe(member)];
        // As in `Spot::check`.
        fence(Acquire);
        if peer.is_cut() {
            order::cut(self.job, self.call, peer.pe);
        }
    }

    /// Ends the job for something that an argument is.
    pub(crate) fn fail(&self, what: impl std::fmt::Display) -> ! {
        end::fail(self.call, what)
    }
}
