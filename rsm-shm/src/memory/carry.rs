//! What a transfer moves: between local memory and a place of the segment, in one go or in pieces.
//!
//! A plain transfer is one move of everything to one place, which the compiler makes of it where it is called. What is
//! not plain may cut it: into what is stored later, or what another medium takes at a time.
#![allow(unsafe_code)]

use super::copy::{self, Word};
use super::words;
use rsm_core::transfer::Direction;

/// Data on its way.
pub trait Move: Sized {
    /// Which way it goes.
    const DIRECTION: Direction;
    /// What comes of it, where it is no place of the caller's.
    type Loaded;

    /// How much it is.
    fn bytes(&self) -> u64;

    /// Moves all of it.
    ///
    /// # Safety
    /// `place` must be mapped for what [`DIRECTION`](Self::DIRECTION) says over [`bytes`](Self::bytes), and aligned as the
    /// data is.
    unsafe fn whole(self, place: *mut u8) -> Self::Loaded;

    /// Moves the `bytes` from byte `from` on; the first of them is the one at `place`. Words are moved whole.
    ///
    /// # Safety
    /// As [`whole`](Self::whole) for these bytes, which must lie inside of the data and begin and end with a word of it.
    unsafe fn part(&mut self, place: *mut u8, from: u64, bytes: u64);

    /// [`part`](Self::part) with no access at `place` that is not aligned, and none of more than 8 bytes.
    ///
    /// # Safety
    /// As there.
    unsafe fn part_in_words(&mut self, place: *mut u8, from: u64, bytes: u64) {
        // Words are: so they are moved in any case.
        // SAFETY: the caller's promise.
        unsafe { self.part(place, from, bytes) }
    }

    /// Whether the last 8 of the bytes before byte `end` are all-ones, as what nobody answers is. Of what was loaded by then.
    fn ends_in_ones(&self, _end: u64) -> bool {
        false
    }

    /// What came of all parts.
    fn loaded(self) -> Self::Loaded;

    /// Where it comes from, if that is the library's to read until the end of the span: a device would read it late.
    fn source(&self) -> Option<*const u8> {
        None
    }
}

/// [`ends_in_ones`](Move::ends_in_ones) of what was loaded to a place.
///
/// # Safety
/// `local` must be readable for `end` bytes.
unsafe fn ends_in_ones(local: *const u8, end: u64) -> bool {
    let end = end as usize;
    // SAFETY: the caller's promise. Volatile: it may lie in a segment, too.
    (end.saturating_sub(8)..end).all(|at| unsafe { local.add(at).read_volatile() } == u8::MAX)
}

/// A word to be stored with one access.
#[derive(Debug)]
pub struct StoreWord<W>(pub W);

impl<W: Word> Move for StoreWord<W> {
    const DIRECTION: Direction = Direction::Put;
    type Loaded = ();
    #[inline(always)]
    fn bytes(&self) -> u64 {
        size_of::<W>() as u64
    }
    #[inline(always)]
    unsafe fn whole(self, place: *mut u8) {
        // SAFETY: the caller's promise.
        unsafe { W::store(place, self.0) }
    }
    unsafe fn part(&mut self, place: *mut u8, _from: u64, bytes: u64) {
        if bytes > 0 {
            // SAFETY: the caller's promise; there is one word.
            unsafe { W::store(place, self.0) }
        }
    }
    fn loaded(self) {}
}

/// A word to be loaded with one access; at first any.
#[derive(Debug)]
pub struct LoadWord<W>(pub W);

impl<W: Word> Move for LoadWord<W> {
    const DIRECTION: Direction = Direction::Get;
    type Loaded = W;
    #[inline(always)]
    fn bytes(&self) -> u64 {
        size_of::<W>() as u64
    }
    #[inline(always)]
    unsafe fn whole(self, place: *mut u8) -> W {
        // SAFETY: the caller's promise.
        unsafe { W::load(place) }
    }
    unsafe fn part(&mut self, place: *mut u8, _from: u64, bytes: u64) {
        if bytes > 0 {
            // SAFETY: the caller's promise; there is one word.
            self.0 = unsafe { W::load(place) };
        }
    }
    fn ends_in_ones(&self, end: u64) -> bool {
        // SAFETY: no more than the word.
        unsafe { ends_in_ones((&raw const self.0).cast(), end.min(self.bytes())) }
    }
    fn loaded(self) -> W {
        self.0
    }
}

/// Which of the words of a kind `from` and `bytes` are.
fn range<W>(from: u64, bytes: u64) -> std::ops::Range<usize> {
    let size = size_of::<W>();
    from as usize / size..(from + bytes) as usize / size
}

/// Words to be stored in ascending order.
#[derive(Debug)]
pub struct StoreWords<'a, W>(pub &'a [W]);

impl<W: Word> Move for StoreWords<'_, W> {
    const DIRECTION: Direction = Direction::Put;
    type Loaded = ();
    #[inline(always)]
    fn bytes(&self) -> u64 {
        size_of_val(self.0) as u64
    }
    #[inline(always)]
    unsafe fn whole(self, place: *mut u8) {
        // SAFETY: the caller's promise.
        unsafe { copy::write_words(place, self.0) }
    }
    unsafe fn part(&mut self, place: *mut u8, from: u64, bytes: u64) {
        // SAFETY: the caller's promise.
        unsafe { copy::write_words(place, &self.0[range::<W>(from, bytes)]) }
    }
    fn loaded(self) {}
}

/// Words to be loaded in ascending order.
#[derive(Debug)]
pub struct LoadWords<'a, W>(pub &'a mut [W]);

impl<W: Word> Move for LoadWords<'_, W> {
    const DIRECTION: Direction = Direction::Get;
    type Loaded = ();
    #[inline(always)]
    fn bytes(&self) -> u64 {
        size_of_val(self.0) as u64
    }
    #[inline(always)]
    unsafe fn whole(self, place: *mut u8) {
        // SAFETY: the caller's promise.
        unsafe { copy::read_words(place, self.0) }
    }
    unsafe fn part(&mut self, place: *mut u8, from: u64, bytes: u64) {
        // SAFETY: the caller's promise.
        unsafe { copy::read_words(place, &mut self.0[range::<W>(from, bytes)]) }
    }
    fn ends_in_ones(&self, end: u64) -> bool {
        // SAFETY: no more than the words.
        unsafe { ends_in_ones(self.0.as_ptr().cast(), end.min(self.bytes())) }
    }
    fn loaded(self) {}
}

/// Bytes to be stored, which lie in no segment, as no Rust slice does.
#[derive(Debug)]
pub struct StoreBytes<'a>(pub &'a [u8]);

impl Move for StoreBytes<'_> {
    const DIRECTION: Direction = Direction::Put;
    type Loaded = ();
    #[inline(always)]
    fn bytes(&self) -> u64 {
        self.0.len() as u64
    }
    #[inline(always)]
    unsafe fn whole(self, place: *mut u8) {
        // SAFETY: the caller's promise.
        unsafe { copy::write_bytes(place, self.0) }
    }
    unsafe fn part(&mut self, place: *mut u8, from: u64, bytes: u64) {
        // SAFETY: the caller's promise.
        unsafe { copy::write_bytes(place, &self.0[from as usize..(from + bytes) as usize]) }
    }
    unsafe fn part_in_words(&mut self, place: *mut u8, from: u64, bytes: u64) {
        let from = &self.0[from as usize..(from + bytes) as usize];
        // SAFETY: the caller's promise.
        unsafe { words::put(from.as_ptr(), place, from.len()) }
    }
    fn loaded(self) {}
}

/// Bytes to be loaded to where no segment is.
#[derive(Debug)]
pub struct LoadBytes<'a>(pub &'a mut [u8]);

impl Move for LoadBytes<'_> {
    const DIRECTION: Direction = Direction::Get;
    type Loaded = ();
    #[inline(always)]
    fn bytes(&self) -> u64 {
        self.0.len() as u64
    }
    #[inline(always)]
    unsafe fn whole(self, place: *mut u8) {
        // SAFETY: the caller's promise.
        unsafe { copy::read_bytes(place, self.0) }
    }
    unsafe fn part(&mut self, place: *mut u8, from: u64, bytes: u64) {
        // SAFETY: the caller's promise.
        unsafe { copy::read_bytes(place, &mut self.0[from as usize..(from + bytes) as usize]) }
    }
    unsafe fn part_in_words(&mut self, place: *mut u8, from: u64, bytes: u64) {
        let to = &mut self.0[from as usize..(from + bytes) as usize];
        // SAFETY: the caller's promise.
        unsafe { words::get(place, to.as_mut_ptr(), to.len()) }
    }
    fn ends_in_ones(&self, end: u64) -> bool {
        // SAFETY: no more than the bytes.
        unsafe { ends_in_ones(self.0.as_ptr(), end.min(self.bytes())) }
    }
    fn loaded(self) {}
}

/// Elements that a C program named by their address.
#[derive(Debug)]
pub struct Elements<W, const PUT: bool> {
    local: *mut W,
    count: usize,
}

impl<W: Word, const PUT: bool> Elements<W, PUT> {
    /// Elements to be moved in ascending order.
    ///
    /// # Safety
    /// `count` elements from `local` on must be readable or, to be loaded, writable, and aligned, when they are moved.
    #[inline(always)]
    pub unsafe fn new(local: *mut W, count: usize) -> Self {
        Elements { local, count }
    }

    #[inline(always)]
    unsafe fn some(&self, place: *mut u8, which: std::ops::Range<usize>) {
        let first = which.start;
        for i in which {
            // SAFETY: the promises of the caller and of who made this.
            unsafe {
                let (near, far) = (self.local.add(i), place.add((i - first) * size_of::<W>()));
                if PUT { W::store(far, near.read()) } else { near.write(W::load(far)) }
            }
        }
    }
}

impl<W: Word, const PUT: bool> Move for Elements<W, PUT> {
    const DIRECTION: Direction = if PUT { Direction::Put } else { Direction::Get };
    type Loaded = ();
    #[inline(always)]
    fn bytes(&self) -> u64 {
        (self.count * size_of::<W>()) as u64
    }
    #[inline(always)]
    unsafe fn whole(self, place: *mut u8) {
        // SAFETY: the caller's promise.
        unsafe { self.some(place, 0..self.count) }
    }
    unsafe fn part(&mut self, place: *mut u8, from: u64, bytes: u64) {
        // SAFETY: the caller's promise.
        unsafe { self.some(place, range::<W>(from, bytes)) }
    }
    fn ends_in_ones(&self, end: u64) -> bool {
        // SAFETY: no more than the elements, which were loaded: so they can be read, or it is a put, whose are read, too.
        unsafe { ends_in_ones(self.local.cast(), end.min(self.bytes())) }
    }
    fn loaded(self) {}
}

/// Bytes that a C program named by their address, which may lie in the segment too.
#[derive(Debug)]
pub struct Raw<const PUT: bool> {
    local: *mut u8,
    length: usize,
}

impl<const PUT: bool> Raw<PUT> {
    /// Bytes to be moved.
    ///
    /// # Safety
    /// `length` bytes from `local` on must be readable or, to be loaded, writable when they are moved.
    #[inline(always)]
    pub unsafe fn new(local: *mut u8, length: usize) -> Self {
        Raw { local, length }
    }

    #[inline(always)]
    unsafe fn some(&self, place: *mut u8, from: usize, length: usize) {
        // SAFETY: the promises of the caller and of who made this.
        unsafe {
            let local = self.local.add(from);
            if PUT { copy::put_bytes(local, place, length) } else { copy::get_bytes(place, local, length) }
        }
    }
}

impl<const PUT: bool> Move for Raw<PUT> {
    const DIRECTION: Direction = if PUT { Direction::Put } else { Direction::Get };
    type Loaded = ();
    #[inline(always)]
    fn bytes(&self) -> u64 {
        self.length as u64
    }
    #[inline(always)]
    unsafe fn whole(self, place: *mut u8) {
        // SAFETY: the caller's promise.
        unsafe { self.some(place, 0, self.length) }
    }
    unsafe fn part(&mut self, place: *mut u8, from: u64, bytes: u64) {
        // SAFETY: the caller's promise.
        unsafe { self.some(place, from as usize, bytes as usize) }
    }
    unsafe fn part_in_words(&mut self, place: *mut u8, from: u64, bytes: u64) {
        // SAFETY: the promises of the caller and of who made this.
        unsafe {
            let local = self.local.add(from as usize);
            if PUT { words::put(local, place, bytes as usize) } else { words::get(place, local, bytes as usize) }
        }
    }
    fn ends_in_ones(&self, end: u64) -> bool {
        // SAFETY: as with elements.
        unsafe { ends_in_ones(self.local, end.min(self.bytes())) }
    }
    fn loaded(self) {}
}

/// Bytes of a vector, whose local memory belongs to the library until the span is closed (reference 1.24).
#[derive(Debug)]
pub struct Entry<const PUT: bool>(Raw<PUT>);

impl<const PUT: bool> Entry<PUT> {
    /// Bytes to be moved, as [`Raw::new`].
    ///
    /// # Safety
    /// As there.
    #[inline(always)]
    pub unsafe fn new(local: *mut u8, length: usize) -> Self {
        // SAFETY: the caller's promise.
        Entry(unsafe { Raw::new(local, length) })
    }
}

impl<const PUT: bool> Move for Entry<PUT> {
    const DIRECTION: Direction = Raw::<PUT>::DIRECTION;
    type Loaded = ();
    #[inline(always)]
    fn bytes(&self) -> u64 {
        self.0.bytes()
    }
    #[inline(always)]
    unsafe fn whole(self, place: *mut u8) {
        // SAFETY: the caller's promise.
        unsafe { self.0.whole(place) }
    }
    unsafe fn part(&mut self, place: *mut u8, from: u64, bytes: u64) {
        // SAFETY: the caller's promise.
        unsafe { self.0.part(place, from, bytes) }
    }
    unsafe fn part_in_words(&mut self, place: *mut u8, from: u64, bytes: u64) {
        // SAFETY: the caller's promise.
        unsafe { self.0.part_in_words(place, from, bytes) }
    }
    fn ends_in_ones(&self, end: u64) -> bool {
        self.0.ends_in_ones(end)
    }
    fn loaded(self) {}
    fn source(&self) -> Option<*const u8> {
        PUT.then_some(self.0.local.cast_const())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Moves everything, once whole and once in two parts, and compares.
    fn same<M: Move>(make: impl Fn(*mut u8) -> M, cut: u64) {
        const SIZE: usize = 64;
        let segment: Vec<u64> = (0..SIZE as u64 / 8).map(|i| i * 0x0101_0101_0101_0101).collect();
        let run = |parts: u32| {
            let (mut local, mut far) = (vec![0x7777_7777_7777_7777u64; SIZE / 8], segment.clone());
            let place = far.as_mut_ptr().cast::<u8>();
            let mut moved = make(local.as_mut_ptr().cast());
            let bytes = moved.bytes();
            // SAFETY: as much memory as any of the moves below is of, on either side; words are aligned.
            unsafe {
                match parts {
                    0 => {
                        let _ = moved.whole(place);
                    }
                    1 => {
                        moved.part(place, 0, cut);
                        moved.part(place.add(cut as usize), cut, bytes - cut);
                    }
                    _ => {
                        moved.part_in_words(place, 0, cut);
                        moved.part_in_words(place.add(cut as usize), cut, bytes - cut);
                    }
                }
            }
            (local, far)
        };
        assert_eq!(run(1), run(0));
        assert_eq!(run(2), run(0));
        assert_ne!(run(1), (vec![0x7777_7777_7777_7777u64; SIZE / 8], segment.clone()), "something moves");
    }

    #[test]
    fn a_loaded_word_comes_back() {
        let mut word = 7u64;
        let place = (&raw mut word).cast();
        let mut parts = LoadWord(0u64);
        // SAFETY: a word, aligned.
        unsafe {
            assert_eq!(LoadWord(0u64).whole(place), 7);
            parts.part(place, 0, 8);
        }
        assert_eq!(parts.loaded(), 7);
    }

    #[test]
    fn ones_are_found_where_something_was_loaded() {
        let mut ones = [0xffu8; 24];
        ones[3] = 0;
        let local = ones.as_mut_ptr();
        // SAFETY: as much as is there, aligned for bytes.
        let raw = unsafe { Raw::<false>::new(local, 24) };
        assert!(!raw.ends_in_ones(8) && !raw.ends_in_ones(11) && raw.ends_in_ones(12) && raw.ends_in_ones(99));
        let bytes = LoadBytes(&mut ones);
        assert!(!bytes.ends_in_ones(8) && bytes.ends_in_ones(16));
        assert!(LoadWords(&mut [0, u64::MAX]).ends_in_ones(16) && !LoadWords(&mut [0, u64::MAX]).ends_in_ones(8));
        assert!(LoadWord(u16::MAX).ends_in_ones(2) && !LoadWord(7u32).ends_in_ones(4));
        assert!(!StoreBytes(&[0xff; 8]).ends_in_ones(8), "nothing is loaded");
    }

    #[test]
    fn parts_are_the_whole() {
        // SAFETY: the memory that `same` gives is there while the move is, and nobody else's.
        unsafe {
            same(|p| StoreWord(p.cast::<u32>().read()), 4);
            same(|p| StoreWords(std::slice::from_raw_parts(p.cast::<u16>(), 20)), 6);
            same(|p| LoadWords(std::slice::from_raw_parts_mut(p.cast::<u32>(), 10)), 16);
            same(|p| StoreBytes(std::slice::from_raw_parts(p, 33)), 13);
            same(|p| LoadBytes(std::slice::from_raw_parts_mut(p, 33)), 13);
            same(|p| Elements::<u64, true>::new(p.cast(), 5), 24);
            same(|p| Elements::<u64, false>::new(p.cast(), 5), 24);
            same(|p| Raw::<true>::new(p, 51), 50);
            same(|p| Raw::<false>::new(p, 51), 50);
        }
    }
}
