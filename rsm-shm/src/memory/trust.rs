//! How far a long put trusts what it saw last time at its target.
//!
//! When some answers in a row said that the target's lines are the processor's own, each further one doubles the number of
//! puts there that do not look; the first answer that they are not ends the trust.
//!
//! Nor is that answer trusted for ever. A put that went past the cache makes the next one's sample slow, on some processors,
//! wherever the lines are: one wrong answer, and each put would be the reason for the next one's. So after some of them in
//! a row a put goes through the cache without a look, and the next one finds what is true.
//!
//! The state is a hint: two threads that change it at once, or two targets that share a place, make a copy slower or a look
//! superfluous, and nothing else.

use crossbeam_utils::CachePadded;
use std::sync::atomic::AtomicU8;
use std::sync::atomic::Ordering::Relaxed;

/// Targets are told apart by chunks of so many bytes, as a power of two: less than the shortest put that looks, so that
/// buffers of a ring have places of their own.
const GRAIN: u32 = 15;
const PLACES: usize = 64;

/// Puts that need not look after so many good answers in a row. With the one that looks they are odd numbers: whoever
/// has every second or fourth put read by somebody is noticed.
const UNSEEN: [u8; 7] = [0, 0, 0, 0, 2, 6, 14];

/// In place of a number of good answers: the last one was bad.
const BAD: u8 = 0xf;
/// Bad answers in a row until a put does not look.
const DOUBT: u8 = 7;

/// What is known of the targets that share a place: in the high half how many good answers there were, in the low half
/// how many puts need not look; after a bad answer how many of them there were in a row.
pub(super) struct Trust(AtomicU8);

impl Trust {
    const fn new() -> Trust {
        Trust(AtomicU8::new(0))
    }

    /// The place of a target.
    pub(super) fn of(target: *const u8) -> &'static Trust {
        // As far apart as this target's cache lines are long, for threads that put at different places.
        static ALL: [CachePadded<Trust>; PLACES] = [const { CachePadded::new(Trust::new()) }; PLACES];
        &ALL[(target.addr() >> GRAIN) % PLACES]
    }

    /// Whether this put goes through the cache and does not look.
    pub(super) fn spend(&self) -> bool {
        // Relaxed, here and below: the byte stands for nothing but itself.
        let state = self.0.load(Relaxed);
        let (good, left) = (state >> 4, state & 0xf);
        if good == BAD {
            let doubts = left >= DOUBT;
            if doubts {
                self.0.store(0, Relaxed);
            }
            return doubts;
        }
        if left > 0 {
            self.0.store(state - 1, Relaxed);
        }
        left > 0
    }

    /// What a look said.
    pub(super) fn answer(&self, own: bool) {
        let state = self.0.load(Relaxed);
        let (good, bad) = match state >> 4 {
            BAD => (0, state & 0xf),
            good => (usize::from(good), 0),
        };
        let next = match own {
            true => (good + 1).min(UNSEEN.len() - 1),
            false => return self.0.store(BAD << 4 | (bad + 1).min(DOUBT), Relaxed),
        };
        self.0.store((next as u8) << 4 | UNSEEN[next], Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many puts of `puts` look, when every look gets this answer.
    fn looks(trust: &Trust, puts: usize, own: bool) -> usize {
        (0..puts).filter(|_| !trust.spend()).map(|_| trust.answer(own)).count()
    }

    #[test]
    fn good_answers_are_asked_for_more_and_more_rarely() {
        let trust = Trust::new();
        // Four, then after 2, 6, 14, and 14 again.
        assert_eq!(looks(&trust, 4 + 3 + 7 + 15 + 15, true), 8);
        assert_eq!(looks(&trust, 15 * 100, true), 100);
    }

    #[test]
    fn a_bad_answer_is_noticed_within_fifteen_puts_and_ends_the_trust() {
        let trust = Trust::new();
        looks(&trust, 1000, true);
        let unseen = (0..15).take_while(|_| trust.spend()).count();
        assert!(unseen < 15, "{unseen}");
        trust.answer(false);
        let more = usize::from(DOUBT) - 1;
        assert_eq!(looks(&trust, more, false), more);
    }

    #[test]
    fn bad_answers_are_doubted_now_and_then() {
        let trust = Trust::new();
        let row = usize::from(DOUBT);
        assert_eq!(looks(&trust, row, false), row);
        assert!(trust.spend(), "one put goes through the cache");
        assert!(!trust.spend(), "and the next one looks");
        assert_eq!(looks(&trust, 800, false), 700);
    }

    /// Where a put that went past the cache makes the next one's look say that the lines are not its own.
    #[test]
    fn a_wrong_answer_does_not_last() {
        let (trust, mut past) = (Trust::new(), false);
        let mut put = |noise: bool| {
            if trust.spend() {
                past = false;
            } else {
                let own = !past && !noise;
                trust.answer(own);
                past = !own;
            }
            past
        };
        let wrong = (0..10_000).filter(|at| put(at % 1000 == 0)).count();
        assert!(wrong <= 10 * usize::from(DOUBT), "{wrong}");
    }

    #[test]
    fn no_period_of_a_reader_hides_from_the_looks() {
        for period in [2, 4, 8, 16] {
            let trust = Trust::new();
            let seen = (0..1000).filter(|put| {
                let read = put % period == 0;
                let looked = !trust.spend();
                if looked {
                    trust.answer(!read);
                }
                looked && read
            });
            assert!(seen.count() > 1000 / period / 16, "every {period}");
        }
    }

    #[test]
    fn buffers_of_a_ring_have_places_of_their_own() {
        let at = |address: usize| std::ptr::from_ref(Trust::of(std::ptr::without_provenance(address)));
        assert_eq!(at(0x10_0000), at(0x10_0000 + (1 << GRAIN) - 1));
        for other in 1..PLACES {
            assert_ne!(at(0), at(other << GRAIN));
        }
    }
}
