//! Rings: two threads append to one so small that they meet in it, and somebody reads.

use super::explore_less;
use crate::lens::ring::{Cursor, GAP, MASK, Ring, RingHead, Slot};
use loom::thread;
use std::sync::Arc;

/// What is read is what one of them wrote, whole, and nothing twice.
///
/// Mutations: `ring_words_untagged`, `ring_slots_shared`.
#[test]
fn whole_records_are_read() {
    explore_less(1, || {
        let shared = Arc::new((RingHead::new(), [Slot::new()]));
        let writers: Vec<_> = (1..=2)
            .map(|number: u64| {
                let shared = Arc::clone(&shared);
                thread::spawn(move || Ring::new(&shared.0, &shared.1).append([number; 4], &[]))
            })
            .collect();
        let mut cursor = Cursor::default();
        let ring = Ring::new(&shared.0, &shared.1);
        let mut read = ring.read(&mut cursor, false);
        writers.into_iter().for_each(|writer| writer.join().unwrap());
        let rest = ring.read(&mut cursor, true);
        read.slots.extend(rest.slots);
        read.slots.retain(|slot| *slot != GAP);
        let mut seen: Vec<u64> = read.slots.iter().map(|slot| slot[1] & MASK).collect();
        assert!(read.slots.iter().all(|slot| slot.iter().all(|word| word & MASK == slot[1])), "{read:?}");
        assert_eq!(read.slots.len() as u64 + read.lost + rest.lost + read.torn + rest.torn, 2, "each is told of");
        seen.dedup();
        assert_eq!(seen.len(), read.slots.len(), "none twice");
    });
}
