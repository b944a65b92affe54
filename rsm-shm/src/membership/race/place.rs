//! Where in the program a call was made, and what a transfer moves, if that is one word.
#![allow(unsafe_code)]

use super::{Racing, trails};
use crate::caller::{Modules, Stack, stack_word};
use crate::memory::carry::Move;
use crate::memory::copy::Word;
use rsm_race::place::Range;
use rsm_race::process::Process;
use rsm_race::site::{MOST_FRAMES, Module};
use std::cell::{Cell, RefCell};
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;

/// Sites that a thread remembers by their innermost address.
const REMEMBERED: usize = 64;
/// Ways by which it came to a call, and among how many of them one is looked for.
const WAYS: usize = 64;
const NEAR: usize = 8;

/// A way by which a thread came to a call.
///
/// What is found on the stack by the rules of the unwinder, which takes long, is found again: each return address says how
/// far from its own place that of the next is, as long as no function on the way takes a varying part of the stack. If each
/// of them stands where it stood the last time, with the one before it, the way is the same.
#[derive(Clone, Copy)]
struct Known {
    process: usize,
    site: u16,
    count: usize,
    frames: [usize; MOST_FRAMES],
    /// How far above the frame of [`Racing::site`] each stood.
    slots: [usize; MOST_FRAMES],
}

const NOTHING: Known = Known { process: 0, site: 0, count: 0, frames: [0; MOST_FRAMES], slots: [0; MOST_FRAMES] };

thread_local! {
    // On the heap, and only where a cluster is looked at: what a thread has for itself is taken from the stack of each.
    /// Address, whose it is, and number.
    static SITES: RefCell<Vec<(u64, usize, u16)>> = const { RefCell::new(Vec::new()) };
    static KNOWN: RefCell<Vec<Known>> = const { RefCell::new(Vec::new()) };
}

/// How far above the frame of [`Racing::site`] its own return address stands; 0 before that is known.
static FIRST: AtomicUsize = AtomicUsize::new(0);

fn ways_of(innermost: usize) -> impl Iterator<Item = usize> {
    let first = innermost.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
    (0..NEAR).map(move |step| first.wrapping_add(step) % WAYS)
}

impl Known {
    /// Whether the stack above `anchor` leads there again.
    fn is_again(&self, anchor: usize) -> bool {
        let mut all = self.frames.iter().zip(&self.slots).take(self.count);
        // SAFETY: each address says where in the stack the next stands, by the same rules as the last time.
        self.count > 0 && all.all(|(&frame, &slot)| unsafe { stack_word(anchor.wrapping_add(slot)) } == frame)
    }
}

impl Racing {
    /// The place that calls, whoever that is.
    #[inline(never)]
    pub(in crate::membership) fn site(&self, process: Process<'_>) -> u16 {
        let anchor = 0u8;
        let anchor = std::hint::black_box(&raw const anchor).addr();
        // Relaxed, here and below: a number, the same whoever finds it.
        let first = FIRST.load(Relaxed);
        if first != 0 {
            // SAFETY: where this function's return address stands, as was found before.
            let innermost = unsafe { stack_word(anchor.wrapping_add(first)) };
            let again =
                |known: &Known| known.frames[0] == innermost && known.process == process.id() && known.is_again(anchor);
            let known = KNOWN.try_with(|all| {
                let all = all.try_borrow().ok()?;
                ways_of(innermost).filter_map(|at| all.get(at)).find(|known| again(known)).map(|known| known.site)
            });
            if let Ok(Some(site)) = known {
                return site;
            }
        }
        // The first one is of this function.
        let stack = Stack::some(MOST_FRAMES + 1);
        let near: Vec<(usize, usize)> = stack.with_slots().collect();
        let frames = if trails::is_inside(&near) { trails::from_outside() } else { near };
        let mut found = Known { process: process.id(), ..NOTHING };
        let mut is_known = true;
        for ((address, slot), at) in frames.into_iter().zip(0..MOST_FRAMES) {
            found.frames[at] = address;
            found.slots[at] = slot.wrapping_sub(anchor);
            found.count = at + 1;
            is_known &= slot > anchor;
        }
        let frames = found.frames.map(|frame| frame as u64);
        found.site = self.site_of(process, &frames[..found.count]);
        if is_known && found.count > 0 {
            FIRST.store(found.slots[0], Relaxed);
            let _ = KNOWN.try_with(|all| {
                let Ok(mut all) = all.try_borrow_mut() else { return };
                all.resize(WAYS, NOTHING);
                let free = ways_of(found.frames[0]).find(|&at| all[at].count == 0);
                let at = free.or_else(|| ways_of(found.frames[0]).nth(found.site as usize % NEAR));
                if let Some(at) = at {
                    all[at] = found;
                }
            });
        }
        found.site
    }

    /// The place with these return addresses, from the inside out.
    pub(super) fn site_of(&self, process: Process<'_>, frames: &[u64]) -> u16 {
        frames.iter().for_each(|&frame| note_module(process, frame.wrapping_sub(1)));
        process.site(frames)
    }

    /// The place that an instrumented access has told.
    pub(super) fn site_at(&self, process: Process<'_>, address: u64) -> u16 {
        let at = (address >> 1) as usize % REMEMBERED;
        let look = |sites: &RefCell<Vec<_>>| sites.try_borrow().ok()?.get(at).copied();
        let known: (u64, usize, u16) = SITES.try_with(look).ok().flatten().unwrap_or_default();
        if (known.0, known.1) == (address, process.id()) {
            return known.2;
        }
        let site = self.site_of(process, &[address]);
        let _ = SITES.try_with(|sites| {
            let Ok(mut all) = sites.try_borrow_mut() else { return };
            all.resize(REMEMBERED, (0, 0, 0));
            all[at] = (address, process.id(), site);
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

    unsafe fn part_in_words(&mut self, place: *mut u8, from: u64, bytes: u64) {
        // SAFETY: the caller's promise.
        unsafe { self.moved.part_in_words(place, from, bytes) }
    }

    fn ends_in_ones(&self, end: u64) -> bool {
        self.moved.ends_in_ones(end)
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
    fn places_are_told_from_each_other_whichever_way_they_are_found() {
        let (map, _object) = crate::memory::races::RaceMap::create().unwrap();
        let racing = Racing::begin(map, 1, 1, (false, false));
        let process = racing.process().expect("the first has a clock");
        #[inline(never)]
        fn called(racing: &Racing, process: Process<'_>) -> u16 {
            // Not as the last thing that it does, or it is not there any more.
            std::hint::black_box(racing.site(process))
        }
        #[inline(never)]
        fn deeper(racing: &Racing, process: Process<'_>, depth: u32) -> u16 {
            std::hint::black_box(if depth == 0 { called(racing, process) } else { deeper(racing, process, depth - 1) })
        }
        let round = || {
            let (one, other) = (called(racing, process), called(racing, process));
            [one, other, deeper(racing, process, 0), deeper(racing, process, 1), deeper(racing, process, 2)]
        };
        // By the unwinder, and then as they were remembered.
        let rounds: Vec<_> = (0..3).map(|_| round()).collect();
        let places: std::collections::BTreeSet<u16> = rounds[0].iter().copied().collect();
        assert!(places.len() == 5 && !places.contains(&0), "{rounds:?}");
        assert!(rounds.iter().all(|round| *round == rounds[0]), "{rounds:?}");
        // More than are remembered, and again.
        let many = |depth: u32| deeper(racing, process, depth);
        let first: Vec<u16> = (0..100).map(many).collect();
        assert_eq!((0..100).map(many).collect::<Vec<_>>(), first);
        assert!(process.knows_module_of(called as *const () as u64) && !process.knows_module_of(1));
    }

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
            Range { place: rsm_race::place::Place { lines: 0, node: 1, id: 1 }, offset: 12, length: 4, site: 0 };
        let passing = Passing { range, import: None, width: 4, got: Cell::new(None) };
        let place = segment.as_mut_ptr().cast::<u8>().wrapping_add(12);
        // SAFETY: four bytes, aligned, inside of the array.
        let loaded = unsafe { passing.notes(12, LoadWord(0u32)).whole(place) };
        // SAFETY: as above.
        assert_eq!(loaded, unsafe { place.cast::<u32>().read() });
        assert_eq!(passing.got.get(), Some(loaded.into()));
    }
}
