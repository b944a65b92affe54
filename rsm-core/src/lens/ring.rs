//! Rings: where a process notes what it did, so that it can be read while the process runs and after it was killed.
//!
//! In a cluster that is traced the agent makes a ring for each process, in memory of its own. Any thread of the process
//! appends, without a lock and without waiting; one reader, beside the agent, goes after them. When the reader is slower
//! the oldest records go, and it counts them. As with [records](super::record) it is what a process says of itself.
//!
//! # Protocol
//!
//! A slot has four words. Each word holds 56 bits of data and, above them, a bit that says whether a record begins here and
//! a tag: which lap of the ring it was written in. So each word says by itself which slot of which lap it belongs to, and
//! nothing has to be seen before anything else: a slot whose four tags are those that are looked for is whole, whoever wrote
//! when. All accesses are relaxed.
//!
//! | word | accesses | what they rely on |
//! |---|---|---|
//! | `next` | `fetch_add` by writers, loads by the reader, all relaxed | each slot of each lap has one writer, as a read-modify-write sees the last value; a reader that sees too small a value comes again |
//! | words of a slot | relaxed stores and loads | the tag in each |
//!
//! A tag comes again after 127 laps: a reader that sleeps in the middle of a slot for so long may take words of two for one.
//!
//! # Crash
//!
//! A process that dies has a slot in its hands for each of its threads at most, and for the bytes of a put as many as they
//! take: where the tags are not all there, the reader says that a record is torn.

use crate::sync::{AtomicU64, Ordering::Relaxed, mutated};

/// Words of a slot.
const WORDS: usize = 4;
/// Bits of a word that are data.
const DATA: u32 = 56;
/// The data.
pub const MASK: u64 = (1 << DATA) - 1;
/// The bit of a word that says that a record begins with its slot.
const HEAD: u64 = 1 << DATA;
/// Where the tag is.
const TAG: u32 = DATA + 1;
/// Laps that have tags of their own. 0 is that of fresh memory.
const TAGS: u64 = 127;
/// Bytes that a slot carries of a record that goes on in it.
pub const BYTES: usize = WORDS * 7;

/// What stands before the slots.
#[repr(C, align(64))]
#[derive(Debug)]
pub struct RingHead {
    /// Slots taken since the ring was made.
    next: AtomicU64,
    reserved: [AtomicU64; 7],
}

/// A place in a ring.
#[repr(C, align(32))]
#[derive(Debug)]
pub struct Slot([AtomicU64; WORDS]);

#[cfg(not(rsm_loom))]
const _: () = assert!(size_of::<RingHead>() == 64 && size_of::<Slot>() == 32);

/// A ring; its length is a power of two.
#[derive(Clone, Copy, Debug)]
pub struct Ring<'a> {
    head: &'a RingHead,
    slots: &'a [Slot],
}

/// Where a reader of a ring is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cursor {
    next: u64,
    /// How often it has found the same slot half written.
    met: u32,
}

/// What a reader found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Read {
    /// The slots, in the order in which they were taken: a record, which begins with [`BEGINS`], and the bytes that belong to
    /// it. A [`GAP`] stands where some are missing.
    pub slots: Vec<[u64; WORDS]>,
    /// Slots that were written over before they were read.
    pub lost: u64,
    /// Slots that stayed half written.
    pub torn: u64,
}

/// Stands among the slots where some are missing.
pub const GAP: [u64; WORDS] = [u64::MAX; WORDS];

/// Set in the first word of a slot in which a record begins.
pub const BEGINS: u64 = HEAD;

/// How often a slot is found half written until it is given up while its process lives.
const PATIENCE: u32 = 4;

impl Cursor {
    /// That of a reader for whom a ring begins here.
    pub fn at(next: u64) -> Cursor {
        Cursor { next, met: 0 }
    }
}

impl Slot {
    /// An empty one.
    pub fn new() -> Slot {
        Slot(std::array::from_fn(|_| AtomicU64::new(0)))
    }

    fn write(&self, tag: u64, begins: bool, data: [u64; WORDS]) {
        let above = tag << TAG | if begins { HEAD } else { 0 };
        for (word, data) in self.0.iter().zip(data) {
            word.store(above | data & MASK, Relaxed);
        }
    }

    /// What stands in it if it was written in this lap, and is whole.
    fn read(&self, tag: u64) -> Option<[u64; WORDS]> {
        let words = std::array::from_fn(|at| self.0[at].load(Relaxed));
        let checked = if mutated("ring_words_untagged") { &words[..1] } else { &words[..] };
        checked.iter().all(|word| word >> TAG == tag).then_some(words)
    }
}

impl Default for Slot {
    fn default() -> Slot {
        Slot::new()
    }
}

impl RingHead {
    /// That of an empty ring: what fresh memory holds.
    pub fn new() -> RingHead {
        RingHead { next: AtomicU64::new(0), reserved: std::array::from_fn(|_| AtomicU64::new(0)) }
    }
}

impl Default for RingHead {
    fn default() -> RingHead {
        RingHead::new()
    }
}

impl<'a> Ring<'a> {
    /// A ring of these slots.
    pub fn new(head: &'a RingHead, slots: &'a [Slot]) -> Ring<'a> {
        debug_assert!(slots.len().is_power_of_two());
        Ring { head, slots }
    }

    fn tag(self, index: u64) -> u64 {
        (index / self.slots.len() as u64) % TAGS + 1
    }

    fn slot(self, index: u64) -> &'a Slot {
        &self.slots[index as usize & (self.slots.len() - 1)]
    }

    /// How far it has been written: where a reader begins for whom what stands there is too old.
    pub fn end(self) -> u64 {
        self.head.next.load(Relaxed)
    }

    /// Most bytes that a record may have with it.
    pub fn most_bytes(self) -> usize {
        self.slots.len() / 4 * BYTES
    }

    /// Appends a record, and the bytes that belong to it: at most [`most_bytes`](Self::most_bytes).
    pub fn append(self, record: [u64; WORDS], bytes: &[u8]) {
        let count = 1 + bytes.len().div_ceil(BYTES) as u64;
        let first = if mutated("ring_slots_shared") {
            let first = self.head.next.load(Relaxed);
            self.head.next.store(first + count, Relaxed);
            first
        } else {
            self.head.next.fetch_add(count, Relaxed)
        };
        self.slot(first).write(self.tag(first), true, record);
        for (index, part) in (first + 1..).zip(bytes.chunks(BYTES)) {
            let mut data = [0; WORDS];
            for (word, seven) in data.iter_mut().zip(part.chunks(7)) {
                let mut whole = [0; 8];
                whole[..seven.len()].copy_from_slice(seven);
                *word = u64::from_le_bytes(whole);
            }
            self.slot(index).write(self.tag(index), false, data);
        }
    }

    /// Reads what was appended since; `last`: the process is dead, and what is half written stays so.
    pub fn read(self, cursor: &mut Cursor, last: bool) -> Read {
        let mut read = Read::default();
        let length = self.slots.len() as u64;
        let end = self.head.next.load(Relaxed);
        // A process may write anything there.
        let ahead = end.wrapping_sub(cursor.next);
        if ahead > u64::MAX / 2 {
            return read;
        }
        if ahead > length {
            read.lost = ahead - length;
            read.slots.push(GAP);
            *cursor = Cursor { next: end - length, met: 0 };
        }
        while cursor.next != end {
            let index = cursor.next;
            match self.slot(index).read(self.tag(index)) {
                Some(words) => read.slots.push(std::array::from_fn(|at| match at {
                    0 => words[0] & (MASK | HEAD),
                    at => words[at] & MASK,
                })),
                None if self.head.next.load(Relaxed).wrapping_sub(index) > length => {
                    read.lost += 1;
                    read.slots.push(GAP);
                }
                None if last || cursor.met >= PATIENCE => {
                    read.torn += 1;
                    read.slots.push(GAP);
                }
                None => {
                    cursor.met += 1;
                    break;
                }
            }
            *cursor = Cursor { next: index.wrapping_add(1), met: 0 };
        }
        read
    }
}

/// The bytes in a slot that a record goes on in.
pub fn bytes_of(slot: [u64; WORDS]) -> impl Iterator<Item = u8> {
    slot.into_iter().flat_map(|word| word.to_le_bytes().into_iter().take(7))
}

#[cfg(all(test, not(rsm_loom)))]
mod tests {
    use super::*;

    fn slots(count: usize) -> (RingHead, Vec<Slot>) {
        (RingHead::new(), (0..count).map(|_| Slot::new()).collect())
    }

    #[test]
    fn what_was_appended_is_read_once_and_in_order() {
        let (head, slots) = slots(8);
        let (ring, mut cursor) = (Ring::new(&head, &slots), Cursor::default());
        assert_eq!(ring.read(&mut cursor, false), Read::default());
        for round in 0..1000 {
            ring.append([round, MASK, 2, 3], &[]);
            ring.append([round + 1, 0, u64::MAX, 0], b"abcdefghijklmnopqrstuvwxyz0123456789");
            let read = ring.read(&mut cursor, false);
            assert_eq!((read.lost, read.torn, read.slots.len()), (0, 0, 4));
            assert_eq!(read.slots[0], [round | BEGINS, MASK, 2, 3]);
            assert_eq!(read.slots[1], [(round + 1) | BEGINS, 0, MASK, 0]);
            let bytes: Vec<u8> = read.slots[2..].iter().copied().flat_map(bytes_of).take(36).collect();
            assert_eq!(bytes, b"abcdefghijklmnopqrstuvwxyz0123456789");
            assert_eq!(read.slots[2][0] & BEGINS, 0);
        }
    }

    #[test]
    fn who_comes_later_reads_what_is_written_from_then_on() {
        let (head, slots) = slots(8);
        let ring = Ring::new(&head, &slots);
        (0..11).for_each(|number| ring.append([number; 4], &[]));
        let mut cursor = Cursor::at(ring.end());
        assert_eq!(ring.read(&mut cursor, false), Read::default());
        ring.append([11; 4], &[]);
        let read = ring.read(&mut cursor, false);
        assert_eq!((read.lost, read.slots.len(), read.slots[0][1]), (0, 1, 11));
    }

    #[test]
    fn the_oldest_go_and_are_counted() {
        let (head, slots) = slots(8);
        let (ring, mut cursor) = (Ring::new(&head, &slots), Cursor::default());
        (0..20).for_each(|number| ring.append([number; 4], &[]));
        let read = ring.read(&mut cursor, false);
        assert_eq!((read.lost, read.torn), (12, 0));
        assert_eq!(read.slots[0], GAP);
        assert_eq!(read.slots[1..].iter().map(|slot| slot[1]).collect::<Vec<_>>(), (12..20).collect::<Vec<_>>());
    }

    #[test]
    fn a_record_that_is_half_written_is_waited_for_and_then_told() {
        let (head, slots) = slots(8);
        let (ring, mut cursor) = (Ring::new(&head, &slots), Cursor::default());
        ring.append([1; 4], &[]);
        ring.append([2; 4], &[]);
        ring.append([3; 4], &[]);
        // As a process leaves it that dies while it writes.
        let word = slots[1].0[2].swap(0, Relaxed);
        assert_eq!(ring.read(&mut cursor, false).slots.len(), 1);
        slots[1].0[2].store(word, Relaxed);
        assert_eq!(ring.read(&mut cursor, false).slots.len(), 2);
        ring.append([4; 4], &[]);
        slots[3].0[3].store(0, Relaxed);
        for _ in 0..PATIENCE {
            assert_eq!(ring.read(&mut cursor, false), Read::default());
        }
        assert_eq!(ring.read(&mut cursor, false).torn, 1);
        ring.append([5; 4], &[]);
        slots[4].0[0].store(0, Relaxed);
        assert_eq!(ring.read(&mut cursor, true).torn, 1, "nobody writes it any more");
    }

    #[test]
    fn what_no_process_of_this_library_writes_leads_nowhere() {
        let (head, slots) = slots(8);
        let (ring, mut cursor) = (Ring::new(&head, &slots), Cursor::default());
        for next in [u64::MAX, u64::MAX / 2 + 1] {
            head.next.store(next, Relaxed);
            assert_eq!(ring.read(&mut cursor, false), Read::default());
        }
        head.next.store(1 << 40, Relaxed);
        let read = ring.read(&mut cursor, true);
        assert_eq!((read.lost, read.torn), ((1 << 40) - 8, 8));
        assert!(read.slots.iter().all(|slot| *slot == GAP));
    }
}
