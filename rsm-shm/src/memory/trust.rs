//! How far a long put trusts what it saw last time at its target.
//!
//! When some answers in a row said that the target's lines are the processor's own, each further one doubles the number of
//! puts there that do not look; the first answer that they are not ends the trust. The state is a hint: two threads that change it at once, or two targets that
//! share a place, make a copy slower or a look superfluous, and nothing else.

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

/// What is known of the targets that share a place: in the high half how many good answers there were, in the low half
/// how many puts need not look.
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

    /// Whether this put need not look.
    pub(super) fn spend(&self) -> bool {
        // Relaxed, here and below: the byte stands for nothing but itself.
        let state = self.0.load(Relaxed);
        let left = state & 0xf;
        if left > 0 {
            self.0.store(state - 1, Relaxed);
        }
        left > 0
    }

    /// What a look said.
    pub(super) fn answer(&self, own: bool) {
        let good = if own { (usize::from(self.0.load(Relaxed) >> 4) + 1).min(UNSEEN.len() - 1) } else { 0 };
        self.0.store((good as u8) << 4 | UNSEEN[good], Relaxed);
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
        assert_eq!(looks(&trust, 100, false), 100);
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
