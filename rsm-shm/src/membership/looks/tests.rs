//! What is looked at, and what is told of it.
#![allow(unsafe_code)]

use super::*;
use crate::memory::region::Region;
use crate::memory::{copy, inspect, memfd};
use rsm_core::access::Permission;
use rsm_core::lens::ring::{Cursor, RingHead, Slot};

const LENGTH: usize = 1 << 16;

/// A segment's memory.
struct Memory(Region, Identity);

impl Memory {
    fn new() -> Memory {
        let object = memfd::create("rsm-segment", LENGTH as u64).unwrap();
        let identity = inspect::identity(&object).unwrap();
        Memory(Region::map(object, 0, LENGTH, Permission::ReadWrite).unwrap(), identity)
    }

    fn store(&self, at: usize) {
        assert!(at < LENGTH);
        // SAFETY: a byte of the memory, which nobody has a reference to.
        unsafe { copy::write_bytes(self.0.as_ptr().wrapping_add(at), b"X") };
    }

    fn published(&self, row: u32) -> Published {
        let (name, start) = (SegmentName { row, incarnation: 1 }, self.0.as_ptr().addr());
        Published { name, node: 1, start, length: LENGTH, object: self.1 }
    }
}

/// Where looks are noted, and how far that was read.
struct Notes(RingHead, Vec<Slot>, Cursor);

impl Notes {
    fn new() -> Notes {
        Notes(RingHead::new(), (0..1 << 12).map(|_| Slot::new()).collect(), Cursor::default())
    }

    fn ring(&self) -> Ring<'_> {
        Ring::new(&self.0, &self.1)
    }

    /// What was noted since this was last asked: whose look it is, whether it has all there is, and whether it has anything.
    fn read(&mut self) -> Vec<(u32, bool, bool)> {
        let slots = Ring::new(&self.0, &self.1).read(&mut self.2, true).slots;
        let events = slots.into_iter().filter_map(Event::of);
        events.map(|event| (event.id, event.code & 1 != 0, event.has_bytes)).collect()
    }

    /// The same by segments, which are looked at in the order of their addresses.
    fn sorted(&mut self) -> Vec<(u32, bool, bool)> {
        let mut all = self.read();
        all.sort_unstable();
        all
    }
}

const WHOLE: bool = true;
const FOUND: bool = true;

#[test]
fn looks_begin_when_who_turns_follows() {
    let (memory, later, mut notes) = (Memory::new(), Memory::new(), Notes::new());
    let looks = Looks::new(false);
    memory.store(8);
    looks.add(memory.published(1));
    looks.follow(Some(notes.ring()));
    looks.look(notes.ring(), 1);
    assert_eq!(notes.sorted(), [], "nobody wants any");
    looks.turn(3);
    looks.add(later.published(2));
    looks.look(notes.ring(), 1);
    looks.look_between(notes.ring());
    assert_eq!(notes.sorted(), [], "none before the first, which has all there is");
    looks.follow(Some(notes.ring()));
    assert_eq!(notes.sorted(), [(1, WHOLE, FOUND), (2, WHOLE, !FOUND)]);
    looks.follow(Some(notes.ring()));
    looks.look(notes.ring(), 1);
    assert_eq!(notes.sorted(), [(1, !WHOLE, !FOUND), (2, !WHOLE, !FOUND)]);
    // Another who traces.
    looks.turn(7);
    looks.look(notes.ring(), 1);
    assert_eq!(notes.sorted(), []);
    looks.follow(Some(notes.ring()));
    assert_eq!(notes.sorted(), [(1, WHOLE, FOUND), (2, WHOLE, !FOUND)]);
    looks.turn(0);
    looks.look(notes.ring(), 1);
    looks.follow(None);
    looks.look_between(notes.ring());
    assert_eq!(notes.sorted(), []);
    assert!(looks.segments.lock().unwrap().looked.is_empty(), "the copies are gone");
}

#[test]
fn those_in_the_same_memory_go_together() {
    let (one, two, mut notes) = (Memory::new(), Memory::new(), Notes::new());
    let looks = Looks::new(true);
    let names = |published: Vec<Published>| published.iter().map(|of| of.name.row).collect::<Vec<_>>();
    for (memory, row) in [(&one, 5), (&two, 1), (&one, 3), (&one, 3)] {
        looks.add(memory.published(row));
    }
    looks.look(notes.ring(), 1);
    assert_eq!(notes.sorted(), [(1, WHOLE, !FOUND), (3, WHOLE, !FOUND), (5, WHOLE, !FOUND)]);
    let start = one.published(0).start;
    assert!(looks.has(start, one.published(3).name));
    assert_eq!(names(looks.remove(start)), [3, 5]);
    assert!(!looks.has(start, one.published(3).name));
    assert_eq!(names(looks.remove(start)), []);
    looks.look(notes.ring(), 1);
    assert_eq!(notes.read(), [(1, !WHOLE, !FOUND)]);
}

#[test]
fn who_is_idle_is_told_of_now_and_then() {
    let (memory, mut notes) = (Memory::new(), Notes::new());
    let Published { name, node, start, length, object } = memory.published(1);
    let copy = Compared::copy_untold(std::ptr::without_provenance_mut(start), length, object).unwrap();
    let mut looked = Looked { name, node, start, memory: copy, whole: None, told: None, quiet: None };
    let begin = Instant::now();
    let mut at = |milliseconds, between, stores: bool| {
        if stores {
            memory.store(milliseconds as usize);
        }
        looked.look(notes.ring(), (0, between), begin + Duration::from_millis(milliseconds));
        notes.read()
    };
    assert_eq!(at(0, true, false), [(1, WHOLE, !FOUND)]);
    assert_eq!(at(50, true, false), []);
    assert_eq!(at(999, true, false), []);
    assert_eq!(at(1000, true, false), [(1, !WHOLE, !FOUND)], "a second is over");
    assert_eq!(at(1050, true, true), [(1, !WHOLE, FOUND)]);
    assert_eq!(at(1100, true, false), []);
    let both = [(1, !WHOLE, !FOUND), (1, !WHOLE, FOUND)];
    assert_eq!(at(1150, true, true), both, "it was not stored before the one that found nothing");
    assert_eq!(at(1200, false, false), [(1, !WHOLE, !FOUND)], "at a call");
    assert_eq!(at(1250, true, false), []);
    assert_eq!(at(1300, false, true), both, "at a call, too");
    assert_eq!(at(1350, false, false), [(1, !WHOLE, !FOUND)]);
}
