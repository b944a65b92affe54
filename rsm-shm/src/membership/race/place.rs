//! Where in the program a call was made, and what a transfer moves, if that is one word.
#![allow(unsafe_code)]

use super::Racing;
use crate::caller::{Modules, Stack};
use crate::memory::carry::Move;
use crate::memory::copy::Word;
use rsm_race::process::{Process, Range};
use rsm_race::site::{MOST_FRAMES, Module};
use std::cell::Cell;

/// Sites that a thread remembers by their innermost address.
const REMEMBERED: usize = 64;

thread_local! {
    /// Address, whose it is, and number.
    static SITES: Cell<[(u64, usize, u16); REMEMBERED]> = const { Cell::new([(0, 0, 0); REMEMBERED]) };
}

impl Racing {
    /// The place that calls, whoever that is.
    #[inline(never)]
    pub(in crate::membership) fn site(&self, process: Process<'_>) -> u16 {
        // The first ones are of this crate.
        const OWN: usize = 2;
        let stack = Stack::some(MOST_FRAMES + OWN);
        let mut frames = [0; MOST_FRAMES];
        let addresses = stack.addresses().get(OWN - 1..).unwrap_or_default();
        let count = addresses.len().min(MOST_FRAMES);
        for (frame, address) in frames.iter_mut().zip(addresses) {
            *frame = *address as u64;
        }
        self.site_of(process, &frames[..count])
    }

    /// The place with these return addresses, from the inside out.
    fn site_of(&self, process: Process<'_>, frames: &[u64]) -> u16 {
        frames.iter().for_each(|&frame| note_module(process, frame.wrapping_sub(1)));
        process.site(frames)
    }

    /// The place that an instrumented access has told.
    pub(super) fn site_at(&self, process: Process<'_>, address: u64) -> u16 {
        let at = (address >> 1) as usize % REMEMBERED;
        let known = SITES.try_with(|sites| sites.get()[at]).unwrap_or_default();
        if (known.0, known.1) == (address, process.id()) {
            return known.2;
        }
        let site = self.site_of(process, &[address]);
        let _ = SITES.try_with(|sites| {
            let mut all = sites.get();
            all[at] = (address, process.id(), site);
            sites.set(all);
        });
        site
    }
}

/// Sees that the module is known that an address lies in.
fn note_module(process: Process<'_>, address: u64) {
    if process.knows_module_of(address) {
        return;
    }
    let modules = Modules::now();
    if !modules.have(address as usize) {
        return;
    }
    for (bias, start, end, path) in modules.parts() {
        let (bias, start, end) = (bias as u64, start as u64, end as u64);
        if !process.knows_module_of(start) {
            process.add_module(&Module { bias, start, end, path: path.to_vec() });
        }
    }
}

/// How wide a transfer is that may be one access; 0 for any other.
pub(in crate::membership) fn is_word(offset: u64, bytes: u64) -> u64 {
    if matches!(bytes, 1 | 2 | 4 | 8) && offset.is_multiple_of(bytes) { bytes } else { 0 }
}

/// A word of which bytes from `lead` on are meant, as a number.
fn number(word: u64, lead: usize, width: usize) -> u64 {
    let mut bytes = [0; 8];
    let all = word.to_ne_bytes();
    if cfg!(target_endian = "little") {
        bytes[..width].copy_from_slice(&all[lead..lead + width]);
    } else {
        bytes[8 - width..].copy_from_slice(&all[lead..lead + width]);
    }
    u64::from_ne_bytes(bytes)
}

/// The one word that is about to be put.
pub(in crate::membership) fn word_of<M: Move>(offset: u64, width: u64, moved: &mut M) -> u64 {
    let (mut word, lead) = (0u64, (offset % 8) as usize);
    let place = (&raw mut word).cast::<u8>().wrapping_add(lead);
    // SAFETY: inside of the word, as the width divides the offset; aligned as in the segment; all of the data.
    unsafe { moved.part(place, 0, width) };
    number(word, lead, width as usize)
}

/// A transfer that is looked at.
#[derive(Debug)]
pub(in crate::membership) struct Passing {
    pub(in crate::membership) range: Range,
    /// The import's clock, of a put.
    pub(in crate::membership) import: Option<usize>,
    /// Of a get: how wide the word is, and what was got.
    pub(in crate::membership) width: u64,
    pub(in crate::membership) got: Cell<Option<u64>>,
}

/// What is moved, with a look at what a get of a word finds.
#[derive(Debug)]
pub(in crate::membership) struct Noting<'a, M> {
    moved: M,
    passing: &'a Passing,
    lead: usize,
}

impl Passing {
    /// Lets it be noted what is got.
    pub(in crate::membership) fn notes<M: Move>(&self, offset: u64, moved: M) -> Noting<'_, M> {
        Noting { moved, passing: self, lead: (offset % 8) as usize }
    }
}

impl<M: Move> Move for Noting<'_, M> {
    const DIRECTION: rsm_core::transfer::Direction = M::DIRECTION;
    type Loaded = M::Loaded;

    fn bytes(&self) -> u64 {
        self.moved.bytes()
    }

    unsafe fn whole(self, place: *mut u8) -> M::Loaded {
        let width = self.passing.width;
        // SAFETY: the caller's promise; a word is as wide as told, and aligned so.
        let value = unsafe {
            match width {
                1 => u64::from(u8::load(place)),
                2 => u64::from(u16::load(place)),
                4 => u64::from(u32::load(place)),
                8 => u64::load(place),
                // SAFETY: the caller's promise.
                _ => return self.moved.whole(place),
            }
        };
        self.passing.got.set(Some(value));
        let bytes = if cfg!(target_endian = "little") { value } else { value << (64 - 8 * width) }.to_ne_bytes();
        let mut word = 0u64;
        let near = (&raw mut word).cast::<u8>().wrapping_add(self.lead);
        // SAFETY: inside of the word: its width divides the offset in it. What is moved from there is what was loaded.
        unsafe {
            near.copy_from_nonoverlapping(bytes.as_ptr(), width as usize);
            self.moved.whole(near)
        }
    }

    unsafe fn part(&mut self, place: *mut u8, from: u64, bytes: u64) {
        // SAFETY: the caller's promise.
        unsafe { self.moved.part(place, from, bytes) }
    }

    fn loaded(self) -> M::Loaded {
        self.moved.loaded()
    }

    fn source(&self) -> Option<*const u8> {
        self.moved.source()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::carry::{LoadWord, StoreBytes, StoreWord};

    #[test]
    fn words_are_what_is_moved() {
        assert_eq!(word_of(13, 1, &mut StoreWord(7u8)), 7);
        assert_eq!(word_of(4, 4, &mut StoreWord(0x0102_0304u32)), 0x0102_0304);
        assert_eq!(word_of(8, 8, &mut StoreBytes(&7u64.to_ne_bytes())), 7);
        assert_eq!([is_word(8, 8), is_word(4, 8), is_word(6, 2), is_word(0, 3), is_word(0, 16)], [8, 0, 2, 0, 0]);
    }

    #[test]
    fn what_is_got_is_noted_and_got() {
        let mut segment = [0x1111_2222_3333_4444u64, 0x5555_6666_7777_8888];
        let range =
            Range { place: rsm_race::process::Place { lines: 0, node: 1, id: 1 }, offset: 12, length: 4, site: 0 };
        let passing = Passing { range, import: None, width: 4, got: Cell::new(None) };
        let place = segment.as_mut_ptr().cast::<u8>().wrapping_add(12);
        // SAFETY: four bytes, aligned, inside of the array.
        let loaded = unsafe { passing.notes(12, LoadWord(0u32)).whole(place) };
        // SAFETY: as above.
        assert_eq!(loaded, unsafe { place.cast::<u32>().read() });
        assert_eq!(passing.got.get(), Some(loaded.into()));
    }
}
