//! Stores that are held back and delivered later, in an order that chance decides: what a window does that promises no
//! more than the RSMAPI does (reference 3.6).
//!
//! A put lies in a log until a barrier orders or closes, or a signal is posted. Until then pieces of it are delivered one
//! by one, if at all, each after those before it that it shares a word with: a word never goes back to what it was. What
//! is drawn follows from a seed and from what the import does, so a failure comes again with its seed.
//!
//! # The argument
//!
//! *Whoever [settles](Delay::settle) knows that every store held before has been executed*, whichever thread executed it:
//! pieces leave the log and are delivered under one lock, so who finds the log empty under the lock comes after the last
//! delivery. The verdict of a span settles first, then executes its full fence and compares, and so is as good as if the
//! stores had been made where they were asked for: they are stores of this process, made after the span opened and before
//! its fence ([`crate::verdict`]). The loom model `a_delayed_store_that_is_vouched_for_came_first` fails when a piece is
//! delivered outside of the lock, and when the verdict compares before it settles.
//!
//! # Crash
//!
//! The log is memory of the process. What it held when it died is lost, as with a store in the buffer of a bridge; nobody
//! was told that it arrived.

use crate::chance::Chance;
use crate::sync::{Mutex, MutexGuard, mutated};

/// Bytes of a word: what two pieces share when their order matters.
const WORD: u64 = 8;
/// Bytes of a piece of a short put, aligned likewise.
const LINE: u64 = 64;
/// Pieces of a put at most; those of a long one are longer.
const PIECES: u64 = 64;
/// Pieces that are held at most.
const MOST_PIECES: usize = if cfg!(rsm_loom) { 2 } else { 128 };
/// Bytes likewise.
const MOST_BYTES: u64 = 1 << 20;

/// Part of a put.
#[derive(Debug, PartialEq, Eq)]
pub struct Piece {
    /// Where it goes, in bytes from the start of the segment.
    pub offset: u64,
    /// Its bytes.
    pub length: u64,
    /// What it stores: the words of the segment that it touches, the first being the one that `offset` lies in.
    pub words: Box<[u64]>,
}

impl Piece {
    /// A piece that stores zeroes, to be filled.
    pub fn new(offset: u64, length: u64) -> Piece {
        let words = (offset + length).div_ceil(WORD) - offset / WORD;
        Piece { offset, length, words: vec![0; words as usize].into() }
    }

    fn shares_a_word(&self, other: &Piece) -> bool {
        let words = |p: &Piece| (p.offset / WORD, (p.offset + p.length).div_ceil(WORD));
        let ((a, a_end), (b, b_end)) = (words(self), words(other));
        a < b_end && b < a_end
    }
}

/// Where a put of `bytes` at `offset` is cut: offset and length of each piece.
pub fn cuts(offset: u64, bytes: u64) -> impl Iterator<Item = (u64, u64)> {
    let step = LINE * bytes.div_ceil(LINE * PIECES).max(1);
    let mut at = offset;
    let end = offset + bytes;
    std::iter::from_fn(move || {
        let next = (at / step + 1) * step;
        let piece = (at, next.min(end).saturating_sub(at));
        at = next;
        (piece.1 > 0).then_some(piece)
    })
}

/// What is held back, and what decides.
#[derive(Debug)]
struct Log {
    chance: Chance,
    pieces: Vec<Piece>,
}

impl Log {
    /// Takes a piece out that may go now.
    fn draw(&mut self) -> Option<Piece> {
        if self.pieces.is_empty() {
            return None;
        }
        let mut at = self.chance.below(self.pieces.len());
        // The first that it has to wait for; which may have to wait itself.
        while let Some(before) = (0..at).find(|&i| self.pieces[i].shares_a_word(&self.pieces[at])) {
            at = before;
        }
        Some(self.pieces.remove(at))
    }

    fn is_full(&self) -> bool {
        self.pieces.len() > MOST_PIECES || self.pieces.iter().map(|p| p.length).sum::<u64>() > MOST_BYTES
    }
}

/// The stores of one import that are held back.
#[derive(Debug)]
pub struct Delay(Mutex<Log>);

impl Delay {
    /// Nothing is held. What is drawn follows from `seed`.
    pub fn new(seed: u64) -> Delay {
        Delay(Mutex::new(Log { chance: Chance::new(seed), pieces: Vec::new() }))
    }

    fn lock(&self) -> MutexGuard<'_, Log> {
        // A delivery that panicked delivered what it did.
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Holds pieces of one put back. Some that were held may be delivered now.
    pub fn hold(&self, pieces: impl IntoIterator<Item = Piece>, mut deliver: impl FnMut(&Piece)) {
        let mut log = self.lock();
        for piece in pieces {
            log.pieces.push(piece);
            while log.is_full() || log.chance.below(4) == 0 {
                match log.draw() {
                    Some(piece) => deliver(&piece),
                    None => break,
                }
            }
        }
    }

    /// Delivers all that is held; what other threads deliver is delivered too when this returns.
    pub fn settle(&self, mut deliver: impl FnMut(&Piece)) {
        let mut log = self.lock();
        while let Some(piece) = log.draw() {
            if mutated("delay_delivers_unlocked") {
                drop(log);
                deliver(&piece);
                log = self.lock();
                continue;
            }
            deliver(&piece);
        }
    }

    /// Forgets what is held: in a forked child, whose parent delivers it.
    pub fn forget(&self) {
        self.lock().pieces.clear();
    }
}

#[cfg(all(test, not(rsm_loom)))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A piece that stores this byte everywhere.
    fn filled(offset: u64, length: u64, byte: u8) -> Piece {
        let mut piece = Piece::new(offset, length);
        piece.words.fill(u64::from_ne_bytes([byte; 8]));
        piece
    }

    fn store(memory: &mut [u8], piece: &Piece) {
        let bytes: Vec<u8> = piece.words.iter().flat_map(|word| word.to_ne_bytes()).collect();
        let first = (piece.offset % WORD) as usize;
        let (at, length) = (piece.offset as usize, piece.length as usize);
        memory[at..at + length].copy_from_slice(&bytes[first..first + length]);
    }

    #[test]
    fn puts_are_cut_at_lines() {
        let all = |offset, bytes| cuts(offset, bytes).collect::<Vec<_>>();
        assert_eq!(all(8, 8), [(8, 8)]);
        assert_eq!(all(60, 70), [(60, 4), (64, 64), (128, 2)]);
        assert_eq!(all(5, 0), []);
        assert!(all(3, 1 << 30).len() as u64 <= PIECES + 1);
    }

    proptest! {
        #[test]
        fn cuts_are_the_whole(offset in 0u64..10_000, bytes in 0u64..100_000) {
            let mut at = offset;
            for (start, length) in cuts(offset, bytes) {
                prop_assert_eq!(start, at);
                at += length;
            }
            prop_assert_eq!(at, offset + bytes);
        }

        /// Whatever the order, each byte ends as the last put left it, for whoever settles.
        #[test]
        fn what_is_settled_is_what_was_put(seed: u64, puts in prop::collection::vec((0u64..500, 0u64..300), 0..40)) {
            let (mut wanted, mut held) = (vec![0u8; 1024], vec![0u8; 1024]);
            let delay = Delay::new(seed);
            for (i, &(offset, bytes)) in puts.iter().enumerate() {
                let byte = i as u8 + 1;
                wanted[offset as usize..(offset + bytes) as usize].fill(byte);
                let pieces = cuts(offset, bytes).map(|(offset, length)| filled(offset, length, byte));
                delay.hold(pieces, |piece| store(&mut held, piece));
            }
            delay.settle(|piece| store(&mut held, piece));
            prop_assert_eq!(held, wanted);
        }
    }

    /// Chance has an effect: not what was put first arrives first, in most runs; and the same seed does the same.
    #[test]
    fn order_is_drawn_by_the_seed() {
        let order = |seed| {
            let (delay, mut order) = (Delay::new(seed), Vec::new());
            delay.hold((0..20).map(|i| filled(i * 64, 8, 1)), |piece| order.push(piece.offset));
            delay.settle(|piece| order.push(piece.offset));
            order
        };
        let different: std::collections::BTreeSet<Vec<u64>> = (0..50).map(order).collect();
        assert!(different.len() > 40, "{} orders of 50 seeds", different.len());
        assert_eq!(order(7), order(7));
        assert!((0..50).all(|seed| order(seed).len() == 20));
    }

    #[test]
    fn not_more_is_held_than_there_is_room_for() {
        let (delay, mut delivered) = (Delay::new(1), 0);
        for i in 0..1000 {
            delay.hold([filled(i * 64, 64, 1)], |_| delivered += 1);
        }
        assert!(delivered >= 1000 - MOST_PIECES);
        delay.hold([filled(0, 2 * MOST_BYTES, 1)], |_| delivered += 1);
        assert!(delay.lock().pieces.iter().map(|p| p.length).sum::<u64>() <= MOST_BYTES);
    }
}
