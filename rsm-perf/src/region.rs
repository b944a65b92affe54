//! Shared memory without rsm: what raw operations work on, and a place for the parties to meet.
//!
//! The first [`HEAD`] bytes hold words, each in cache lines of its own; data comes after. Segments that parties make are
//! laid out the same, so that an operation and its limit touch equal places.
#![allow(unsafe_code)]

use rustix::fs::MemfdFlags;
use rustix::mm::{MapFlags, ProtFlags};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::AtomicU64;

/// Bytes before the data.
pub const HEAD: usize = 64 << 10;

/// Words of the head, by offset; 128 bytes apart, because processors fetch cache lines in pairs.
pub mod word {
    /// From the active party to the passive one.
    pub const PING: usize = 0;
    /// From the passive party to the active one: in another page, as the words of two segments are.
    pub const PONG: usize = 40 << 10;
    /// When a sleeper of the passive party woke, and when it answered: nanoseconds of the monotonic clock.
    pub const WOKE: usize = 256;
    /// See [`WOKE`].
    pub const ANSWERED: usize = 384;
    /// The passive party has made what it needs.
    pub const READY: usize = 640;
    /// Something to count.
    pub const COUNT: usize = 512;
    /// What the sides tell each other when they set up: 64 bytes each, at 128-byte steps.
    pub const SETUP: [usize; 2] = [1024, 2048];
    /// Slots of a stream of small messages.
    pub const SLOTS: usize = 4096;
}

/// Makes the memory of a pair, with `room` bytes of data for each direction. Sparse: what is not touched takes none.
///
/// # Errors
/// The system's word for why not.
pub fn create(room: u64) -> rustix::io::Result<OwnedFd> {
    let memory = rustix::fs::memfd_create("rsm-perf", MemfdFlags::CLOEXEC)?;
    rustix::fs::ftruncate(&memory, HEAD as u64 + 2 * room)?;
    Ok(memory)
}

/// A mapping of shared memory; unmapped when dropped.
#[derive(Debug)]
pub struct Region {
    start: *mut u8,
    length: usize,
}

impl Region {
    /// Maps `length` bytes of `memory`, all pages present if `populate`.
    ///
    /// # Errors
    /// The system's word for why not.
    pub fn map(memory: impl AsFd, length: usize, populate: bool) -> rustix::io::Result<Region> {
        let flags = if populate { MapFlags::SHARED | MapFlags::POPULATE } else { MapFlags::SHARED };
        let rights = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a new mapping at an address of the kernel's choice; nothing of ours lies there.
        let start = unsafe { rustix::mm::mmap(std::ptr::null_mut(), length, rights, flags, memory, 0)? };
        Ok(Region { start: start.cast(), length })
    }

    /// Bytes.
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// The word at `offset`.
    ///
    /// # Panics
    /// When it is outside or misaligned.
    pub fn word(&self, offset: usize) -> &AtomicU64 {
        assert!(offset.is_multiple_of(8) && offset + 8 <= self.length, "a word at {offset} of {}", self.length);
        // SAFETY: inside the mapping, which lasts as long as self, and aligned; shared memory is used through atomics.
        unsafe { &*self.start.add(offset).cast::<AtomicU64>() }
    }

    /// Where the data begins, for `length` bytes.
    ///
    /// # Panics
    /// When there are not as many.
    pub fn data(&self, offset: usize, length: usize) -> *mut u8 {
        assert!(HEAD + offset + length <= self.length, "{length} bytes of data at {offset} of {}", self.length);
        // SAFETY: inside the mapping.
        unsafe { self.start.add(HEAD + offset) }
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        // SAFETY: mapped by `map` with this length, and nothing borrowed from self is left.
        let _ = unsafe { rustix::mm::munmap(self.start.cast(), self.length) };
    }
}

/// Memory of this process alone, aligned like a segment, filled with the pattern of [`payload`].
#[derive(Debug)]
pub struct Buffer {
    words: Vec<u64>,
    start: usize,
    length: usize,
}

impl Buffer {
    /// `length` bytes.
    pub fn new(length: usize) -> Buffer {
        let pages = length.div_ceil(4096) + 1;
        let mut words = vec![0u64; pages * 512];
        // Aligned to pages, as segments are: otherwise copies of some lengths would meet the modulo-4096 trap by chance.
        let address = words.as_ptr().addr();
        let start = (address.next_multiple_of(4096) - address) / 8;
        for (i, word) in (0u64..).zip(&mut words[start..]) {
            *word = payload(i);
        }
        Buffer { words, start, length }
    }

    /// Its bytes.
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: any initialised words are as many initialised bytes, and there are `length` of them from `start` on.
        unsafe { std::slice::from_raw_parts(self.words[self.start..].as_ptr().cast(), self.length) }
    }

    /// Its bytes, to be written.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above, and self is borrowed for writing.
        unsafe { std::slice::from_raw_parts_mut(self.words[self.start..].as_mut_ptr().cast(), self.length) }
    }

    /// Writes `stamp` into the first and the last eight bytes.
    pub fn stamp(&mut self, stamp: u64) {
        let length = self.length;
        let bytes = self.bytes_mut();
        bytes[..8].copy_from_slice(&stamp.to_ne_bytes());
        bytes[length - 8..].copy_from_slice(&stamp.to_ne_bytes());
    }
}

/// Word `i` of data that was not stamped.
pub fn payload(i: u64) -> u64 {
    (i + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}
