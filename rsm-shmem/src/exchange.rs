//! Exchanges: everyone gives the others a few words, and takes theirs. Short reductions and collects are made of them, and what a
//! team agrees on.

use crate::control::{SHORT_WORDS, TINY_MOST};
use crate::group::Group;
use crate::job::sleepers::On;
use crate::job::team::Team;
use crate::wait;
use rsm_core::exchange::{self, WORDS};
use std::sync::atomic::Ordering::Relaxed;

impl Team {
    /// Gives the words that this PE contributes to the others, and takes what they contribute: each member's words, in order, go
    /// to `each`. Nobody leaves before everybody has come.
    pub(crate) fn exchange(&self, group: &Group<'_>, words: &[u64], each: impl FnMut(&[u64])) {
        if words.len() <= WORDS && group.len() <= TINY_MOST {
            self.exchange_tiny(group, words, each);
        } else {
            self.exchange_short(group, words, each);
        }
    }

    /// Everyone writes to everyone: a way of one line of memory.
    fn exchange_tiny(&self, group: &Group<'_>, words: &[u64], mut each: impl FnMut(&[u64])) {
        // Relaxed: of this PE alone.
        let turn = self.tiny.fetch_add(1, Relaxed) + 1;
        let side = exchange::side(turn);
        for member in (0..group.len()).filter(|member| *member != group.me) {
            let peer = &group.job.peers[group.pe(member)];
            let control = peer.control;
            peer.is_told(group.job);
            control.slots[self.slot].tiny[side][group.me].tell(turn, words);
            wait::nudged(group.job, control);
        }
        let mut taken = [0; WORDS];
        for member in 0..group.len() {
            if member == group.me {
                each(words);
                continue;
            }
            let from = &group.job.control().slots[self.slot].tiny[side][member];
            wait::until(group.job, group.call, On::Nudges, || from.is_told(turn).then_some(()));
            group.job.peers[group.pe(member)].has_told(group.job);
            from.words(&mut taken[..words.len()]);
            each(&taken[..words.len()]);
        }
    }

    /// Everyone reads what the others have.
    fn exchange_short(&self, group: &Group<'_>, words: &[u64], mut each: impl FnMut(&[u64])) {
        // Relaxed: of this PE alone.
        let turn = (self.short.fetch_add(1, Relaxed) % 2) as usize;
        for (to, &word) in group.job.control().slots[self.slot].short[turn].iter().zip(words) {
            // Relaxed: ordered by the nudges of the sync. Who still reads what stood here two turns ago has not come to the sync
            // of the last turn, which this PE has left.
            to.store(word, Relaxed);
        }
        group.sync();
        let mut taken = [0; SHORT_WORDS];
        for member in 0..group.len() {
            let from = &group.job.peers[group.pe(member)].control.slots[self.slot].short[turn];
            for (to, word) in taken.iter_mut().zip(from).take(words.len()) {
                *to = word.load(Relaxed);
            }
            group.check(member);
            each(&taken[..words.len()]);
        }
    }
}
