//! A posted window: memory of another host.
//!
//! Stores go where they would if it were plain memory. That they came is said by a load of the grant's seal through the same
//! window (`rsm_core::verdict`), which the end of each span makes; of a device it counts only while no link event waits for the
//! agent.
//!
//! Through a device each load waits for the other host, and where nobody answers it is all-ones after some 50 ms: each of them. So a
//! get looks whether the grant still holds where it has met all-ones, before it loads more.
#![allow(unsafe_code)]

use super::Way;
use crate::cancel::Shield;
use crate::memory::carry::Move;
use crate::memory::fence;
use crate::memory::pages::SealPages;
use rsm_core::peer::seal::{Reading, Seal};
use rsm_core::transfer::Direction;
use rsm_core::verdict::Window;
use rsm_core::{Code, Error, Result, crash_point};
use std::cell::Cell;
use std::time::{Duration, Instant};

/// How long the agent of this host has to say what became of a link that does not answer.
const PATIENCE: Duration = Duration::from_millis(250);
/// Between two looks at whether it has, at first and at most.
const PAUSES: (Duration, Duration) = (Duration::from_micros(20), Duration::from_millis(1));

/// Bytes of a get after which all-ones are noticed: few loads.
const PIECE: u64 = 64;
/// Whether memory of a device takes what ordinary memory does, wide accesses and such as are not aligned.
pub(in crate::membership) const WIDE: bool = cfg!(target_arch = "x86_64");

/// A grant of another host.
#[derive(Debug)]
pub(in crate::membership) struct Posted {
    seals: SealPages,
    slot: u32,
    seal: Seal,
    /// Its calls are noted, or looked at.
    watched: bool,
}

impl Posted {
    pub(super) fn new(seals: SealPages, slot: u32, seal: u64, watched: bool) -> Result<Posted> {
        let none = || Error::with(Code::InternalError, "the agent granted memory of another host without a seal");
        Ok(Posted { seals, slot, seal: Seal::from_word(seal).ok_or_else(none)?, watched })
    }

    /// Whether somebody has to know of each call.
    pub(in crate::membership) fn is_watched(&self) -> bool {
        self.watched
    }

    /// Whether a transfer is one that ordinary memory would take, and is not to be looked at while it goes on.
    #[inline(always)]
    pub(in crate::membership) fn is_simple(&self, direction: Direction) -> bool {
        !self.seals.is_device() || WIDE && direction == Direction::Put
    }

    /// The way of a transfer that would go to `place` if it were plain.
    pub(super) fn way(&self, place: *mut u8) -> Way<'_> {
        if self.seals.is_device() { Way::Device(place) } else { Way::Here(place) }
    }

    /// Whether the other host answers, and the grant is not gone.
    pub(in crate::membership) fn answers(&self) -> bool {
        matches!(self.seal.read(self.seals.load(self.slot)), Reading::Holds | Reading::Suspended)
    }

    /// What tells that the grant holds.
    pub(in crate::membership) fn seal(&self) -> Seal {
        self.seal
    }

    /// For one verdict; `drained` says that its thread has executed a full fence after the last store of the span.
    #[inline]
    pub(in crate::membership) fn verdict(&self, drained: bool) -> Waiting<'_> {
        Waiting { posted: self, drained, since: Cell::new(None) }
    }
}

/// Moves data to or from memory of a device. Where all-ones come, and what they may mean is not so any more, as `stands` says,
/// nothing more is loaded, and there is nothing to give.
///
/// # Safety
/// As [`Move::whole`].
pub(super) unsafe fn carry<M: Move>(place: *mut u8, mut moved: M, stands: &dyn Fn() -> bool) -> Option<M::Loaded> {
    let bytes = moved.bytes();
    let is_word = bytes.is_power_of_two() && bytes <= 8 && (place.addr() as u64).is_multiple_of(bytes);
    if is_word || WIDE && M::DIRECTION == Direction::Put {
        // SAFETY: the caller's promise.
        return Some(unsafe { moved.whole(place) });
    }
    let mut from = 0;
    while from < bytes {
        let there = place.wrapping_add(from as usize);
        let piece = (PIECE - there.addr() as u64 % PIECE).min(bytes - from);
        // SAFETY: the caller's promise: a piece of it, which begins and ends where words do, as `place` does.
        unsafe { if WIDE { moved.part(there, from, piece) } else { moved.part_in_words(there, from, piece) } }
        from += piece;
        if M::DIRECTION == Direction::Get && moved.ends_in_ones(from) && !stands() {
            return None;
        }
    }
    Some(moved.loaded())
}

/// One verdict, and since when it waits for the agent.
#[derive(Debug)]
pub(in crate::membership) struct Waiting<'a> {
    posted: &'a Posted,
    drained: bool,
    since: Cell<Option<Instant>>,
}

impl Window for Waiting<'_> {
    #[inline]
    fn fence(&self) {
        if !self.drained {
            fence::full();
        }
    }

    #[inline]
    fn load_seal(&self) -> u64 {
        let seal = self.posted.seals.load(self.posted.slot);
        crash_point!(SealLoaded);
        seal
    }

    #[inline]
    fn fence_load(&self) {
        self.posted.seals.fence_load();
    }

    fn wait(&self) -> bool {
        let since = self.since.get().unwrap_or_else(Instant::now);
        self.since.set(Some(since));
        let waited = since.elapsed();
        if waited >= PATIENCE {
            return false;
        }
        // A transfer is no cancellation point.
        let _shield = Shield::raise();
        std::thread::sleep(waited.clamp(PAUSES.0, PAUSES.1));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::carry::{LoadBytes, LoadWord, LoadWords, StoreBytes};
    use crate::memory::pages::NearPages;
    use rsm_core::peer::UNANSWERED;
    use rsm_core::peer::control::seal_at;
    use std::sync::atomic::Ordering::Relaxed;

    const SEAL: u64 = 77;

    /// A window through a device, and the pages where its seal stands.
    fn window() -> (Posted, NearPages) {
        let near = NearPages::create().unwrap();
        let [ours, _] = near.hand_out().unwrap();
        near.near().ours[seal_at(3)].store(SEAL, Relaxed);
        (Posted::new(SealPages::open(&ours, 0, true).unwrap(), 3, SEAL, false).unwrap(), near)
    }

    /// Memory as nobody answers for it.
    fn ones() -> Vec<u64> {
        vec![u64::MAX; 64]
    }

    fn get<M: Move>(posted: &Posted, from: &[u64], skip: usize, moved: M) -> (bool, u32) {
        let looked = Cell::new(0);
        let stands = || {
            looked.set(looked.get() + 1);
            posted.answers()
        };
        let place = from.as_ptr().cast::<u8>().cast_mut().wrapping_add(skip);
        // SAFETY: inside of the memory, from which is only loaded; words are aligned.
        (unsafe { carry(place, moved, &stands) }.is_some(), looked.get())
    }

    #[test]
    fn a_get_that_nobody_answers_loads_no_more_than_a_piece() {
        let (posted, near) = window();
        let mut memory = ones();
        // Something is there, and then nobody.
        memory[..16].fill(5);
        for gone in [UNANSWERED, 0, 99] {
            near.near().ours[seal_at(3)].store(gone, Relaxed);
            let mut bytes = [1u8; 512];
            assert_eq!(get(&posted, &memory, 0, LoadBytes(&mut bytes)), (false, 1));
            let end = memory.as_ptr().addr().next_multiple_of(64) - memory.as_ptr().addr();
            let seen = (128..512).find(|&at| bytes[at] == 1).unwrap();
            assert!(seen <= 128 + 64 && (seen - end).is_multiple_of(64), "{seen} bytes were loaded");
            let mut words = [1u64; 40];
            assert_eq!(get(&posted, &memory, 128, LoadWords(&mut words)), (false, 1));
            assert!(words[8..].iter().all(|&word| word == 1));
        }
    }

    #[test]
    fn all_ones_may_be_what_is_there() {
        let (posted, near) = window();
        let memory = ones();
        for holds in [SEAL, posted.seal().suspended().word()] {
            near.near().ours[seal_at(3)].store(holds, Relaxed);
            let mut bytes = [1u8; 500];
            let (whole, looked) = get(&posted, &memory, 3, LoadBytes(&mut bytes));
            assert!(whole && (8..=9).contains(&looked) && bytes == [u8::MAX; 500], "{looked}");
        }
    }

    #[test]
    fn nothing_else_is_looked_at() {
        let (posted, near) = window();
        near.near().ours[seal_at(3)].store(UNANSWERED, Relaxed);
        let mut memory: Vec<u64> = (0..64).collect();
        let mut bytes = [0u8; 509];
        assert_eq!(get(&posted, &memory, 3, LoadBytes(&mut bytes)), (true, 0));
        // SAFETY: all of the memory.
        let there = unsafe { std::slice::from_raw_parts(memory.as_ptr().cast::<u8>(), 512) };
        assert_eq!(bytes, there[3..]);
        // One load is over when it is known, and the verdict tells.
        memory.fill(u64::MAX);
        assert_eq!(get(&posted, &memory, 8, LoadWord(0u64)), (true, 0));
        let place = memory.as_mut_ptr().cast::<u8>().wrapping_add(5);
        // SAFETY: inside of the memory.
        assert!(unsafe { carry(place, StoreBytes(&[7; 333]), &|| false) }.is_some());
        assert_eq!((memory[1], memory[42]), (0x0707_0707_0707_0707, u64::MAX << 16 | 0x0707));
        assert!(!posted.is_simple(Direction::Get) && posted.is_simple(Direction::Put) == WIDE);
    }
}
