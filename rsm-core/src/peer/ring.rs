//! Rings: a queue of messages in one direction, over two memories each of which has one writer.
//!
//! The entries and their count, the *head*, lie in the reader's control pages, where the peer stores them through its
//! window. How far the reader is, the *tail*, it stores through its own window into the peer's pages. Neither side ever
//! waits: a full ring is said to be full, and what is to be sent stays where it is ([`outbox`](super::outbox)).
//!
//! ```text
//!   producer's host                                consumer's host
//!   Producer ──── entries, then the head ────────►  theirs[RING], theirs[HEAD] ──► Consumer
//!             theirs[TAIL] ◄──── tail, once copied ────────────────────────────────┘
//! ```
//!
//! An entry has two words of header, sequence and length, and a [tag](super::tag); then its bytes, in units of
//! [`UNIT_WORDS`]. It wraps around at the end of the ring word by word.
//!
//! # What the reader can be sure of
//!
//! Nothing, so it looks: whether the head is one that a producer could have, whether the length fits, whether sequence and tag are
//! right of the *copy* that it made. A window delivers stores in the order in which they were made, so that an entry is
//! there when its head is; a bridge that breaks this, or somebody else who stores into the ring, shows as a wrong tag.
//!
//! # Crash
//!
//! A producer that dies before the head is stored has sent nothing; after it, everything. The ring of a dead agent's
//! peer is never gone on with: a new life of the link begins with fresh pages.

use super::tag::Key;
use super::{Far, Near, control};
use crate::sync::{Ordering::Relaxed, acquire, mutated};

/// Words of a unit.
pub const UNIT_WORDS: usize = if cfg!(rsm_loom) { 3 } else { 8 };
/// Units of a ring.
pub const UNITS: u64 = if cfg!(rsm_loom) { 2 } else { 512 };
/// Words of all units.
pub const WORDS: usize = UNITS as usize * UNIT_WORDS;
/// Words of an entry before its bytes.
const HEADER: usize = 2;
/// Longest entry with its header, in words.
const MOST_WORDS: usize = if cfg!(rsm_loom) { UNIT_WORDS } else { 128 };
/// Most bytes of one message.
pub const MOST_BYTES: usize = (MOST_WORDS - HEADER) * 8;

const _: () = assert!(WORDS <= control::HEAD - control::RING, "the ring ends before its head");

/// Why an entry is not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unsent {
    /// The reader is behind: later.
    Full,
    /// It has more than [`MOST_BYTES`].
    TooLong,
    /// What the reader says of itself cannot be.
    Damaged(Damage),
}

/// What cannot be, in words that the peer has stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Damage {
    /// The head is further ahead than the ring is long, or goes back.
    Head,
    /// The tail is ahead of the head, or goes back.
    Tail,
    /// An entry is longer than what was sent, or than any may be.
    Length,
    /// An entry is not the next one.
    Sequence,
    /// Its bytes are not what the peer has sent.
    Tag,
    /// What was stored is not there when it is read back.
    Vanished,
}

impl std::fmt::Display for Damage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Damage::Head => "the head of a ring of messages is where it cannot be",
            Damage::Tail => "the tail of a ring of messages is where it cannot be",
            Damage::Length => "a message has a length that it cannot have",
            Damage::Sequence => "a message is not the one that comes next",
            Damage::Tag => "a message is not as it was sent",
            Damage::Vanished => "what is stored through the window does not arrive",
        })
    }
}

/// Units that an entry of so many bytes has.
const fn units(bytes: usize) -> u64 {
    (HEADER + bytes.div_ceil(8)).div_ceil(UNIT_WORDS) as u64
}

/// Place in the ring of a word, counted from its first unit.
const fn place(units: u64, word: usize) -> usize {
    control::RING + ((units % UNITS) as usize * UNIT_WORDS + word) % WORDS
}

/// The first two words of an entry, taken apart.
const fn header(sequence: u32, length: usize) -> u64 {
    sequence as u64 | (length as u64) << 32
}

/// The writing end.
#[derive(Debug)]
pub struct Producer {
    key: Key,
    host: u32,
    sequence: u32,
    /// Units filled, and those of them that are told.
    filled: u64,
    told: u64,
    /// Units that the reader has read, as far as is known.
    read: u64,
}

impl Producer {
    /// The end of the host with this number, of a ring that nothing was ever put in.
    pub fn new(key: Key, host: u32) -> Producer {
        Producer { key, host, sequence: 0, filled: 0, told: 0, read: 0 }
    }

    /// Stores an entry. Nobody sees it before [`tell`](Self::tell).
    ///
    /// # Errors
    /// See [`Unsent`].
    pub fn put(&mut self, near: Near<'_>, far: &impl Far, bytes: &[u8]) -> Result<(), Unsent> {
        if bytes.len() > MOST_BYTES {
            return Err(Unsent::TooLong);
        }
        let needed = units(bytes.len());
        if needed > self.free() {
            self.read = self.look(near).map_err(Unsent::Damaged)?;
            if needed > self.free() && !mutated("ring_never_full") {
                return Err(Unsent::Full);
            }
        }
        let at = |word: usize| control::theirs(place(self.filled, word));
        far.store(at(0), header(self.sequence, bytes.len()));
        far.store(at(1), self.key.tag(self.host, self.sequence, bytes));
        for (word, piece) in (HEADER..).zip(bytes.chunks(8)) {
            let mut value = [0; 8];
            value[..piece.len()].copy_from_slice(piece);
            far.store(at(word), u64::from_le_bytes(value));
        }
        self.sequence = self.sequence.wrapping_add(1);
        self.filled += needed;
        Ok(())
    }

    /// Units that nothing unread is in, as far as is known.
    fn free(&self) -> u64 {
        UNITS.saturating_sub(self.filled - self.read)
    }

    /// How far the reader says that it is.
    fn look(&self, near: Near<'_>) -> Result<u64, Damage> {
        // Acquire: pairs with the order in which the reader copies an entry and stores the tail behind it, so that what is
        // stored into the place next comes after.
        let read = acquire(&near.theirs[control::TAIL]);
        if (self.read..=self.told).contains(&read) { Ok(read) } else { Err(Damage::Tail) }
    }

    /// Lets the reader see what was put. `true`: there is something, and it has arrived: ring for it.
    ///
    /// # Errors
    /// [`Damage::Vanished`] when it has not.
    pub fn tell(&mut self, far: &impl Far) -> Result<bool, Damage> {
        if self.told == self.filled {
            return Ok(false);
        }
        // Entries before the head: pairs with the acquire in `Consumer::take`.
        if !mutated("ring_fence") {
            far.fence();
        }
        let head = control::theirs(control::HEAD);
        far.store(head, self.filled);
        far.fence();
        // Read back: a doorbell may overtake stores, and a store that vanishes says nothing.
        if far.load(head) != self.filled {
            return Err(Damage::Vanished);
        }
        self.told = self.filled;
        Ok(true)
    }

    /// Whether the reader has not read everything, as far as is known.
    pub fn is_behind(&self, near: Near<'_>) -> bool {
        self.look(near) != Ok(self.told)
    }
}

/// The reading end.
#[derive(Debug)]
pub struct Consumer {
    key: Key,
    host: u32,
    sequence: u32,
    read: u64,
    /// Of that, what the producer was told.
    told: u64,
}

impl Consumer {
    /// The end that reads what the host with this number sends, of a ring that nothing was ever put in.
    pub fn new(key: Key, host: u32) -> Consumer {
        Consumer { key, host, sequence: 0, read: 0, told: 0 }
    }

    /// Takes the next message, if there is one.
    ///
    /// # Errors
    /// See [`Damage`]: nothing is taken, and looking again is possible.
    pub fn take(&mut self, near: Near<'_>) -> Result<Option<Vec<u8>>, Damage> {
        // Acquire: pairs with the fence of `Producer::tell`, entries before the head.
        let head = acquire(&near.theirs[control::HEAD]);
        let there = head.wrapping_sub(self.read);
        if there == 0 {
            return Ok(None);
        }
        if there > UNITS {
            return Err(Damage::Head);
        }
        // Each word is loaded once; all that is looked at is the copy.
        let word = |at: usize| near.theirs[place(self.read, at)].load(Relaxed);
        let (first, tag) = (word(0), word(1));
        if first as u32 != self.sequence {
            return Err(Damage::Sequence);
        }
        let length = (first >> 32) as usize;
        if length > MOST_BYTES || units(length) > there {
            return Err(Damage::Length);
        }
        let mut bytes: Vec<u8> = (HEADER..HEADER + length.div_ceil(8)).flat_map(|at| word(at).to_le_bytes()).collect();
        bytes.truncate(length);
        if self.key.tag(self.host, self.sequence, &bytes) != tag {
            return Err(Damage::Tag);
        }
        self.sequence = self.sequence.wrapping_add(1);
        self.read += units(length);
        Ok(Some(bytes))
    }

    /// Tells the producer how far it may go on; returns how many units it did not know to be free.
    pub fn acknowledge(&mut self, far: &impl Far) -> u64 {
        let news = self.read - self.told;
        if news > 0 {
            // The copies before the tail: pairs with the acquire in `Producer::look`.
            far.fence();
            far.store(control::theirs(control::TAIL), self.read);
            far.fence();
            self.told = self.read;
        }
        news
    }
}

#[cfg(all(test, not(rsm_loom)))]
mod tests {
    use super::*;
    use crate::peer::direct::{Direct, pages};
    use crate::sync::AtomicU64;
    use proptest::prelude::*;

    struct Rig {
        here: (Vec<AtomicU64>, Vec<AtomicU64>),
        there: (Vec<AtomicU64>, Vec<AtomicU64>),
        producer: Producer,
        consumer: Consumer,
    }

    /// A producer here, a consumer there.
    fn rig() -> Rig {
        let key = Key::of([1, 2], [3, 4]);
        let (producer, consumer) = (Producer::new(key.clone(), 1), Consumer::new(key, 1));
        Rig { here: pages(), there: pages(), producer, consumer }
    }

    fn near(pages: &(Vec<AtomicU64>, Vec<AtomicU64>)) -> Near<'_> {
        Near { ours: &pages.0, theirs: &pages.1 }
    }

    fn far(pages: &(Vec<AtomicU64>, Vec<AtomicU64>)) -> Direct<'_> {
        Direct { ours: &pages.0, theirs: &pages.1 }
    }

    impl Rig {
        fn put(&mut self, bytes: &[u8]) -> Result<(), Unsent> {
            self.producer.put(near(&self.here), &far(&self.there), bytes)
        }
        fn tell(&mut self) -> bool {
            self.producer.tell(&far(&self.there)).unwrap()
        }
        fn take(&mut self) -> Result<Option<Vec<u8>>, Damage> {
            self.consumer.take(near(&self.there))
        }
        fn acknowledge(&mut self) -> u64 {
            self.consumer.acknowledge(&far(&self.here))
        }
    }

    #[test]
    fn the_ring_fills_and_goes_on_when_it_is_read() {
        let mut rig = rig();
        assert_eq!(rig.put(&[0; MOST_BYTES + 1]), Err(Unsent::TooLong));
        assert!(!rig.tell());
        let most = UNITS / units(MOST_BYTES);
        for number in 0..most {
            rig.put(&[number as u8; MOST_BYTES]).unwrap();
        }
        assert_eq!(rig.put(&[0; MOST_BYTES]), Err(Unsent::Full));
        assert_eq!(rig.take(), Ok(None), "nothing is told yet");
        assert!(rig.tell() && !rig.tell());
        assert_eq!(rig.put(&[0; MOST_BYTES]), Err(Unsent::Full));
        assert_eq!(rig.take(), Ok(Some(vec![0; MOST_BYTES])));
        assert_eq!(rig.put(&[0; MOST_BYTES]), Err(Unsent::Full), "read, and not acknowledged");
        assert_eq!((rig.acknowledge(), rig.acknowledge()), (units(MOST_BYTES), 0));
        rig.put(&[9; MOST_BYTES]).unwrap();
        assert!(rig.tell());
        for number in (1..most).chain([9]) {
            assert_eq!(rig.take(), Ok(Some(vec![number as u8; MOST_BYTES])));
        }
        assert_eq!(rig.take(), Ok(None));
        assert!(rig.producer.is_behind(near(&rig.here)));
        rig.acknowledge();
        assert!(!rig.producer.is_behind(near(&rig.here)));
    }

    #[test]
    fn a_reader_that_cannot_be_is_not_believed() {
        for tail in [513, u64::MAX, 1] {
            let mut rig = rig();
            (0..512).for_each(|_| rig.put(&[]).unwrap());
            rig.here.1[control::TAIL].store(tail, Relaxed);
            assert_eq!(rig.put(&[]), Err(Unsent::Damaged(Damage::Tail)), "nothing was told yet");
        }
    }

    #[test]
    fn a_store_that_vanishes_is_noticed() {
        struct Gone;
        impl Far for Gone {
            fn store(&self, _: usize, _: u64) {}
            fn fence(&self) {}
            fn load(&self, _: usize) -> u64 {
                crate::peer::UNANSWERED
            }
        }
        let mut rig = rig();
        rig.producer.put(near(&rig.here), &Gone, b"lost").unwrap();
        assert_eq!(rig.producer.tell(&Gone), Err(Damage::Vanished));
    }

    proptest! {
        /// Whatever is sent, and whenever it is read, arrives whole and in order.
        #[test]
        fn messages_arrive_in_order(
            steps in prop::collection::vec((any::<bool>(), 0..=MOST_BYTES), 1..300),
        ) {
            let mut rig = rig();
            let (mut sent, mut came) = (Vec::new(), Vec::new());
            for (sends, length) in steps {
                if sends {
                    let bytes = vec![sent.len() as u8; length];
                    if rig.put(&bytes).is_ok() {
                        sent.push(bytes);
                    }
                } else {
                    rig.tell();
                    came.extend(rig.take().unwrap());
                    if length % 2 == 0 {
                        rig.acknowledge();
                    }
                }
            }
            rig.tell();
            while let Some(bytes) = rig.take().unwrap() {
                came.push(bytes);
            }
            prop_assert_eq!(sent, came);
        }

        /// A word that somebody else has stored: what comes out was sent, or nothing does.
        #[test]
        fn damage_is_seen(at in 0..64usize, bit in 0..64u32, lengths in prop::collection::vec(0..100usize, 1..5)) {
            let mut rig = rig();
            let sent: Vec<Vec<u8>> = (1u8..).zip(&lengths).map(|(n, &length)| vec![n; length]).collect();
            for bytes in &sent {
                rig.put(bytes).unwrap();
            }
            rig.tell();
            rig.there.1[control::RING + at].fetch_xor(1 << bit, Relaxed);
            let mut next = sent.iter();
            while let Ok(Some(bytes)) = rig.take() {
                prop_assert_eq!(Some(&bytes), next.next());
            }
        }

        /// Any words at all: it ends, within bounds, and takes nothing that nobody has sent.
        #[test]
        fn any_words_are_looked_at(words in prop::collection::vec(any::<u64>(), 1..64), head in any::<u64>(), near_head in 0..600u64) {
            let mut rig = rig();
            for (place, word) in rig.there.1.iter().zip(words) {
                place.store(word, Relaxed);
            }
            for head in [head, near_head] {
                rig.there.1[control::HEAD].store(head, Relaxed);
                prop_assert!(!matches!(rig.take(), Ok(Some(_))));
            }
        }
    }
}
