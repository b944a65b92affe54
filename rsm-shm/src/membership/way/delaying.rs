//! A window that holds puts back until a barrier or a signal: [`rsm_core::delay`] over the memory of an import.
//!
//! For tests. It shows what relies on more than the RSMAPI promises: data that is looked at without a barrier, words that
//! are polled while others are still on their way. Loads push the import's own stores ahead of them, as on PCIe; stores
//! through a mapping are not delayed.
//!
//! What is held is delivered through the import's own mapping. So revocation needs to know nothing of it: what is
//! delivered later lands on trash pages, as does what a plain import stores.
//!
//! # Crash
//!
//! What is held when the process ends, or executes another program, is lost. A forked child has no part in it: its parent
//! delivers. One that no hook ran for holds nothing back, for it must not wait for a lock that it may have inherited.
#![allow(unsafe_code)]

use crate::membership::fork;
use crate::memory::carry::Move;
use crate::memory::copy::Word;
use rsm_core::delay::{Delay, Piece, cuts};
use rsm_core::transfer::Direction;
use rsm_core::{Code, Error, Result};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// The window of one import.
#[derive(Debug)]
pub(crate) struct Delaying {
    /// Where the whole segment is mapped.
    base: *mut u8,
    mappable: bool,
    delay: Delay,
    /// [`fork::count`] of the process that it holds stores of. Changes under [`fork::hold`].
    process: AtomicU32,
}

impl Delaying {
    /// # Safety
    /// The whole segment is mapped at `base` until this is dropped, or has settled with nobody left who could put.
    pub(super) unsafe fn new(base: *mut u8, seed: u64, number: u64, mappable: bool) -> Delaying {
        let delay = Delay::new(seed ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        Delaying { base, mappable, delay, process: AtomicU32::new(fork::count()) }
    }

    /// Whether anything is held back in this process.
    pub(super) fn holds(&self) -> bool {
        !fork::is_unannounced()
    }

    pub(super) fn check_mappable(&self) -> Result<()> {
        if self.mappable {
            return Ok(());
        }
        Err(Error::with(Code::MapFailed, "the window to the segment cannot be mapped, only put to and got from"))
    }

    /// Works with what is held. Forks are held off: a child must not inherit the lock in the hands of another thread.
    fn with_held(&self, work: impl FnOnce(&Delay)) {
        if !self.holds() {
            return;
        }
        let _hold = fork::hold();
        if self.process.load(Relaxed) != fork::count() {
            self.delay.forget();
            self.process.store(fork::count(), Relaxed);
        }
        work(&self.delay);
    }

    pub(super) fn settle(&self) {
        // SAFETY: what is held was checked when it was put.
        self.with_held(|delay| delay.settle(|piece| unsafe { self.deliver(piece) }));
    }

    /// # Safety
    /// The transfer lies inside of the segment, and the connection has the permission that it needs.
    pub(super) unsafe fn carry<M: Move>(&self, offset: u64, mut moved: M) -> M::Loaded {
        if M::DIRECTION == Direction::Get {
            self.settle();
            // SAFETY: the caller's promise.
            return unsafe { moved.whole(self.base.add(offset as usize)) };
        }
        let pieces: Vec<Piece> = cuts(offset, moved.bytes())
            .map(|(at, length)| {
                let mut piece = Piece::new(at, length);
                // The same place in its word as in the segment, so aligned as there.
                let place = piece.words.as_mut_ptr().cast::<u8>().wrapping_add((at % 8) as usize);
                // SAFETY: the words have room for the piece; cuts are at multiples of 64, where no word is cut.
                unsafe { moved.part(place, at - offset, length) };
                piece
            })
            .collect();
        let mut pieces = Some(pieces);
        // SAFETY: the caller's promise.
        self.with_held(|delay| delay.hold(pieces.take().into_iter().flatten(), |piece| unsafe { self.deliver(piece) }));
        // It has become a child that holds nothing back since the way was chosen.
        for piece in pieces.into_iter().flatten() {
            // SAFETY: the caller's promise.
            unsafe { self.deliver(&piece) };
        }
        moved.loaded()
    }

    /// Stores a piece, each word of it with one access, and what is less than a word with the widest that fit.
    ///
    /// # Safety
    /// It lies inside of the segment, which may be written.
    unsafe fn deliver(&self, piece: &Piece) {
        let bytes = piece.words.as_ptr().cast::<u8>().wrapping_sub((piece.offset & !7) as usize);
        let (mut at, end) = (piece.offset, piece.offset + piece.length);
        while at < end {
            let widest = 1 << (at | 8).trailing_zeros();
            let width = if widest <= end - at { widest } else { 1 << (end - at).ilog2() };
            let (from, to) = (bytes.wrapping_add(at as usize), self.base.wrapping_add(at as usize));
            // SAFETY: inside of the piece and of the segment, at a multiple of the width in both.
            unsafe {
                match width {
                    8 => u64::store(to, from.cast::<u64>().read()),
                    4 => u32::store(to, from.cast::<u32>().read()),
                    2 => u16::store(to, from.cast::<u16>().read()),
                    _ => u8::store(to, from.read()),
                }
            }
            at += width;
        }
    }
}

impl Drop for Delaying {
    fn drop(&mut self) {
        self.settle();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::carry::{LoadWord, StoreBytes, StoreWord, StoreWords};

    fn window(memory: &mut [u64], seed: u64) -> Delaying {
        // SAFETY: the memory outlives the window in each test.
        unsafe { Delaying::new(memory.as_mut_ptr().cast(), seed, 1, true) }
    }

    #[test]
    fn what_is_put_arrives_and_what_is_got_is_seen() {
        for seed in 0..200 {
            let mut memory = [0u64; 64];
            let mut wanted = [0u8; 512];
            {
                let window = window(&mut memory, seed);
                // SAFETY: inside of the memory, aligned.
                unsafe {
                    for (i, (offset, length)) in
                        [(0, 512), (3, 70), (60, 9), (127, 2), (300, 0)].into_iter().enumerate()
                    {
                        let bytes = vec![i as u8 + 1; length];
                        wanted[offset..offset + length].copy_from_slice(&bytes);
                        window.carry(offset as u64, StoreBytes(&bytes));
                    }
                    window.carry(8, StoreWord(u64::MAX));
                    window.carry(20, StoreWords(&[0x5555_5555u32, 0x6666_6666]));
                    wanted[8..16].fill(0xff);
                    wanted[20..24].fill(0x55);
                    wanted[24..28].fill(0x66);
                    assert_eq!(window.carry(8, LoadWord(0u64)), u64::MAX);
                    window.carry(126, StoreWord(0x0909u16));
                    wanted[126..128].fill(9);
                }
            }
            let held: Vec<u8> = memory.iter().flat_map(|word| word.to_ne_bytes()).collect();
            assert_eq!(held, wanted, "seed {seed}");
        }
    }

    /// Without this the window would be no test of anything.
    #[test]
    fn most_puts_are_held_until_they_are_settled() {
        let held = |seed| {
            let mut memory = [0u64; 8];
            let window = window(&mut memory, seed);
            // SAFETY: inside of the memory, aligned.
            unsafe { window.carry(0, StoreWord(7u64)) };
            // SAFETY: as above; nobody else uses it.
            let before = unsafe { window.base.cast::<u64>().read_volatile() };
            window.settle();
            // SAFETY: as above.
            assert_eq!(unsafe { window.base.cast::<u64>().read_volatile() }, 7);
            before == 0
        };
        assert!((0..100).filter(|&seed| held(seed)).count() > 50);
    }
}
