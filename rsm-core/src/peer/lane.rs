//! Lanes: how signals cross.
//!
//! Nothing can be added to across a bridge, so what crosses is a count that only grows. The *outgoing* count is on the
//! poster's host, where all who post to a far bell raise it, each by an exchange of its own. Who has raised it stores it
//! into the *lane*, a word of the other host's control pages. The other agent adds what is new, by the difference to what it
//! has *seen*, to the real bell. A lane belongs to one connection at a time. Its counts go on from one to the next: what is new
//! when a connection ends is taken for that one, before the lane is given to another, so no signal is lost and none reaches
//! another connection.
//!
//! A post that does not accumulate is counted apart: whether something is pending is known where the waiter is.
//!
//! More singles than the reader takes for news would look like none, or like fewer. So no more are on their way than that without
//! the peer having had a turn; what is more is held back ([`Credit`]).
//!
//! # Many posters, one lane
//!
//! Each stores what it found in the outgoing count, makes sure that this has arrived, and looks at the count again: if that
//! went on meanwhile, its store may have come after a newer one, and it stores again. So *the last to store finds nothing
//! newer*, and the lane ends with the count. In between a lane may go back; the reader takes differences forward only, so
//! nothing is taken twice.
//!
//! # Crash
//!
//! A poster killed after it raised the count, or after it stored an older one over a newer, has left signals behind, which
//! the next poster takes along, or the agent when it reaps the dead ([`carry`]).

use super::{Far, control};
use crate::sync::{AtomicU64, Ordering::Relaxed, acquire, mutated};

/// How many posts there were, modulo 2^32 and 2^16.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Posts that add to what is pending.
    pub signals: u32,
    /// Posts that add nothing where something is pending (`RSM_SIGPOST_NO_ACCUMULATE`).
    pub singles: u16,
    /// How many of the signals there were before the last of the singles, modulo 2^16: what is pending where the waiter is
    /// depends on which came first.
    pub before: u16,
}

impl Counts {
    /// Nothing.
    pub const NONE: Counts = Counts { signals: 0, singles: 0, before: 0 };

    /// So many, the singles first.
    pub const fn of(signals: u32, singles: u16) -> Counts {
        Counts { signals, singles, before: 0 }
    }

    /// The counts in a word.
    pub const fn from_word(word: u64) -> Counts {
        Counts { signals: word as u32, singles: (word >> 32) as u16, before: (word >> 48) as u16 }
    }

    /// The word.
    pub const fn word(self) -> u64 {
        self.signals as u64 | (self.singles as u64) << 32 | (self.before as u64) << 48
    }

    /// Both counts, each further on.
    #[must_use]
    pub const fn plus(self, more: Counts) -> Counts {
        let before = if more.singles > 0 { (self.signals as u16).wrapping_add(more.before) } else { self.before };
        let (signals, singles) = (self.signals.wrapping_add(more.signals), self.singles.wrapping_add(more.singles));
        Counts { signals, singles, before }
    }
}

/// Most singles that are posted without the peer having looked: half of what it takes for news, as the last ones of a connection
/// are not held back.
const MOST_UNSEEN: u16 = 1 << 14;
/// After so many turns of the peer's, counted from any moment, it has looked at all lanes since.
const TURNS: u64 = 2;

/// How many singles the peer may not have seen of a lane, and what is held back because of them.
///
/// Who posts asks it what may go now; who has turns of the peer's to count asks it again. Nothing is reordered: where a
/// single is held back, so is all that is posted after it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Credit {
    /// Posted before `since`, and after.
    unseen: (u16, u16),
    since: u64,
    held: Counts,
}

impl Credit {
    /// Wants to post; gives what is to be posted now. `turns` is how many turns the peer has had.
    #[must_use]
    pub fn post(&mut self, more: Counts, turns: u64) -> Counts {
        // Of several, the waiter is told by the first and the last.
        let sum = self.held.plus(more);
        self.held = Counts { singles: self.held.singles.saturating_add(more.singles).min(2), ..sum };
        self.due(turns)
    }

    /// What was held back and is to be posted now.
    #[must_use]
    pub fn due(&mut self, turns: u64) -> Counts {
        // An allegation: it does harm to its own signals only.
        if turns.wrapping_sub(self.since) >= TURNS {
            (self.unseen, self.since) = ((self.unseen.1, 0), turns);
        }
        let unseen = self.unseen.0.saturating_add(self.unseen.1);
        if unseen.saturating_add(self.held.singles) > MOST_UNSEEN {
            return Counts::NONE;
        }
        self.unseen.1 = self.unseen.1.saturating_add(self.held.singles);
        std::mem::take(&mut self.held)
    }

    /// All that was held back, where nothing comes after it: the connection is over.
    #[must_use]
    pub fn rest(&mut self) -> Counts {
        let rest = std::mem::take(&mut self.held);
        self.unseen.1 = self.unseen.1.saturating_add(rest.singles);
        rest
    }

    /// Whether something is held back.
    pub fn holds(&self) -> bool {
        self.held != Counts::NONE
    }
}

/// Posts: counts a signal, and sees that it gets there. The caller then rings for it.
///
/// # Crash
/// See the module's last section.
pub fn post(outgoing: &AtomicU64, far: &impl Far, lane: u32, more: Counts) {
    // What was put before leaves this processor before anybody can find the count raised, and store it for us.
    if !mutated("lane_put_fence") {
        far.fence();
    }
    raise(outgoing, more);
    carry(outgoing, far, lane);
}

/// Counts signals that nobody stores yet.
pub fn raise(outgoing: &AtomicU64, more: Counts) {
    let mut seen = outgoing.load(Relaxed);
    // Relaxed: ordered behind what was put by the fence in `post`.
    while let Err(now) =
        outgoing.compare_exchange_weak(seen, Counts::from_word(seen).plus(more).word(), Relaxed, Relaxed)
    {
        seen = now;
    }
}

/// Stores the count into the lane until nobody has raised it meanwhile.
pub fn carry(outgoing: &AtomicU64, far: &impl Far, lane: u32) {
    let at = control::lane_at(lane);
    loop {
        // Acquire: pairs with the fence in `post` of whoever raised it, who may be another.
        let count = acquire(outgoing);
        // The count, and what its posters put before, before the lane: pairs with the fence below, of whoever stores after us.
        if !mutated("lane_carry_fence") {
            far.fence();
        }
        far.store(at, count);
        // The lane before the count is looked at: pairs with the fence above. Who stored before us raised it before that.
        if !mutated("lane_look_fence") {
            far.fence();
        }
        // Read back: it arrives before the doorbell does.
        far.load(at);
        if outgoing.load(Relaxed) == count || mutated("lane_stored_once") {
            return;
        }
    }
}

/// What was taken from a lane.
#[derive(Clone, Copy, Debug, Default)]
pub struct Incoming {
    seen: Counts,
}

impl Incoming {
    /// Nothing was taken yet.
    pub const fn new() -> Incoming {
        Incoming { seen: Counts::NONE }
    }

    /// So much was taken already.
    pub const fn from(seen: Counts) -> Incoming {
        Incoming { seen }
    }

    /// What is new in a lane: an allegation within bounds. What is not ahead by at most 2^31-1, or 2^15-1, is not news.
    pub fn take(&mut self, lane: &AtomicU64) -> Counts {
        // Acquire: pairs with the order in which the poster's stores arrive, what it put before its count.
        let now = Counts::from_word(acquire(lane));
        let earlier = self.seen.signals as u16;
        let signals = advance(&mut self.seen.signals, now.signals);
        let ahead = now.singles.wrapping_sub(self.seen.singles);
        let singles = if ahead > i16::MAX.cast_unsigned() { 0 } else { ahead };
        if singles == 0 {
            return Counts::of(signals, 0);
        }
        (self.seen.singles, self.seen.before) = (now.singles, now.before);
        Counts { signals, singles, before: now.before.wrapping_sub(earlier) }
    }
}

fn advance(seen: &mut u32, now: u32) -> u32 {
    let ahead = now.wrapping_sub(*seen);
    if ahead > i32::MAX.cast_unsigned() && !mutated("lane_takes_backwards") {
        return 0;
    }
    *seen = now;
    ahead
}

#[cfg(all(test, not(rsm_loom)))]
mod tests {
    use super::*;
    use crate::peer::direct::{Direct, pages};
    use proptest::prelude::*;

    #[test]
    fn counts_cross_and_are_taken_once() {
        let (ours, theirs) = pages();
        let far = Direct { ours: &ours, theirs: &theirs };
        let lane = &theirs[control::LANES + 5];
        let (outgoing, mut incoming) = (AtomicU64::new(0), Incoming::new());
        post(&outgoing, &far, 5, Counts::of(1, 0));
        post(&outgoing, &far, 5, Counts::of(1, 1));
        assert_eq!(incoming.take(lane), Counts { signals: 2, singles: 1, before: 1 });
        assert_eq!(incoming.take(lane), Counts::default());
        // One that was late, then the newer one again.
        lane.store(Counts::of(1, 0).word(), Relaxed);
        assert_eq!(incoming.take(lane), Counts::default());
        carry(&outgoing, &far, 5);
        assert_eq!(incoming.take(lane), Counts::default());
    }

    #[test]
    fn no_more_singles_are_on_their_way_than_are_taken_for_news() {
        let (mut credit, mut turns) = (Credit::default(), 5);
        let single = Counts::of(0, 1);
        let mut posted = 0u32;
        for _ in 0..100_000 {
            posted += u32::from(credit.post(single, turns).singles);
        }
        assert_eq!((posted, credit.holds()), (u32::from(MOST_UNSEEN), true));
        // All that comes after one that is held back comes after it there, too.
        assert_eq!(credit.post(Counts::of(3, 0), turns), Counts::NONE);
        // One turn may have begun before.
        turns += 1;
        assert_eq!(credit.due(turns), Counts::NONE);
        // What was posted before the first of these turns and after it cannot be told apart.
        turns += 1;
        assert_eq!(credit.due(turns), Counts::NONE);
        turns += 2;
        assert_eq!(credit.due(turns), Counts { signals: 3, singles: 2, before: 0 });
        assert!(!credit.holds());
        for _ in 0..100_000 {
            let _ = credit.post(single, turns);
        }
        assert_eq!((credit.rest(), credit.rest(), credit.holds()), (Counts::of(0, 2), Counts::NONE, false));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        /// However seldom the peer looks, it takes something where something was posted, and in the end the last single.
        #[test]
        fn what_is_held_back_is_seen_later(steps in prop::collection::vec((0u16..20_000, any::<bool>()), 1..8)) {
            let (outgoing, mut incoming, mut credit) = (AtomicU64::new(0), Incoming::new(), Credit::default());
            let mut turns = 1;
            for (posts, looks) in steps {
                for _ in 0..posts {
                    let now = credit.post(Counts::of(0, 1), turns);
                    raise(&outgoing, now);
                }
                if looks {
                    let _ = incoming.take(&outgoing);
                    turns += 1;
                }
                let ahead = Counts::from_word(outgoing.load(Relaxed)).singles.wrapping_sub(incoming.seen.singles);
                prop_assert!(ahead <= i16::MAX.cast_unsigned());
            }
            let _ = incoming.take(&outgoing);
            let was = credit.holds();
            raise(&outgoing, credit.due(turns + TURNS));
            raise(&outgoing, credit.due(turns + 2 * TURNS));
            prop_assert!(!credit.holds() && (incoming.take(&outgoing).singles > 0) == was);
        }
    }

    proptest! {
        /// The halves do not run into each other, and wrap by themselves.
        #[test]
        fn halves_do_not_mix(word: u64, signals: u32, singles: u16) {
            let counts = Counts::from_word(word);
            prop_assert_eq!(counts.word(), word);
            let sum = counts.plus(Counts::of(signals, singles));
            prop_assert_eq!(Counts::from_word(sum.word()), sum);
            let outgoing = AtomicU64::new(word);
            raise(&outgoing, Counts::of(signals, singles));
            prop_assert_eq!(outgoing.load(Relaxed), sum.word());
        }

        /// Whatever a lane says, what is taken is within bounds, and what goes forward is taken exactly.
        #[test]
        fn any_lane_is_taken_forward(words in prop::collection::vec(any::<u64>(), 1..20)) {
            let mut incoming = Incoming::new();
            for word in words {
                let before = incoming.seen;
                let taken = incoming.take(&AtomicU64::new(word));
                prop_assert!(taken.signals <= i32::MAX.cast_unsigned() && taken.singles <= i16::MAX.cast_unsigned());
                prop_assert_eq!(before.plus(taken), incoming.seen);
            }
        }

        /// However many posts are taken together, how many signals came before the last single is known.
        #[test]
        fn what_came_first_is_known(start: u32, posts in prop::collection::vec(any::<bool>(), 1..40)) {
            let begin = Counts { signals: start, ..Counts::NONE };
            let (outgoing, mut incoming) = (AtomicU64::new(begin.word()), Incoming { seen: begin });
            posts.iter().for_each(|&single| raise(&outgoing, if single { Counts::of(0, 1) } else { Counts::of(1, 0) }));
            let taken = incoming.take(&outgoing);
            prop_assert_eq!(usize::from(taken.singles), posts.iter().filter(|&&single| single).count());
            if let Some(last) = posts.iter().rposition(|&single| single) {
                let before = posts[..last].iter().filter(|&&single| !single).count();
                prop_assert_eq!(usize::from(taken.before), before);
            }
        }
    }
}
