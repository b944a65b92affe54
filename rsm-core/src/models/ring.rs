//! Rings between two hosts: one stores, the other copies and looks.

use super::explore;
use crate::peer::ring::{Consumer, Producer, Unsent};
use crate::peer::tag::Key;
use crate::peer::{Far, Near, control};
use crate::sync::{AtomicU64, Ordering::Relaxed, Ordering::SeqCst, fence};
use loom::thread;
use std::sync::Arc;

/// Control pages of a host.
pub(super) struct Pages {
    ours: Vec<AtomicU64>,
    theirs: Vec<AtomicU64>,
}

impl Pages {
    pub(super) fn new() -> Pages {
        let words = |count: usize| (0..count).map(|_| AtomicU64::new(0)).collect();
        Pages { ours: words(control::OURS_WORDS), theirs: words(control::THEIRS_WORDS) }
    }

    pub(super) fn lane(&self) -> &AtomicU64 {
        &self.theirs[control::LANES]
    }

    fn near(&self) -> Near<'_> {
        Near { ours: &self.ours, theirs: &self.theirs }
    }
}

/// As seen by the other host.
impl Far for Pages {
    fn store(&self, at: usize, word: u64) {
        self.theirs[at - control::OURS_WORDS].store(word, Relaxed);
    }
    fn fence(&self) {
        // loom lets another thread in before accesses only: here one may come between what was stored and the fence.
        self.lane().load(Relaxed);
        fence(SeqCst);
    }
    fn load(&self, at: usize) -> u64 {
        self.theirs[at - control::OURS_WORDS].load(Relaxed)
    }
}

/// Two hosts, the first of which sends.
struct Rig {
    first: Pages,
    second: Pages,
}

fn rig() -> (Arc<Rig>, Producer, Consumer) {
    let key = Key::of([1, 2], [3, 4]);
    let rig = Rig { first: Pages::new(), second: Pages::new() };
    (Arc::new(rig), Producer::new(key.clone(), 1), Consumer::new(key, 1))
}

/// Takes up to three times; each message is the one that comes next, whole.
fn read(rig: &Rig, consumer: &mut Consumer, next: &mut u8, tries: usize) {
    for _ in 0..tries {
        match consumer.take(rig.second.near()) {
            Ok(Some(bytes)) => {
                assert_eq!(bytes, [*next; 8]);
                *next += 1;
                consumer.acknowledge(&rig.first);
            }
            Ok(None) => {}
            Err(damage) => panic!("{damage}"),
        }
    }
}

/// Mutations: `ring_fence`.
#[test]
fn a_message_that_is_seen_is_whole() {
    explore(|| {
        let (rig, mut producer, mut consumer) = rig();
        let reader = {
            let rig = Arc::clone(&rig);
            thread::spawn(move || {
                let mut next = 0;
                read(&rig, &mut consumer, &mut next, 2);
                (consumer, next)
            })
        };
        for number in 0..2 {
            producer.put(rig.first.near(), &rig.second, &[number; 8]).unwrap();
            assert_eq!(producer.tell(&rig.second), Ok(true));
        }
        let (mut consumer, mut next) = reader.join().unwrap();
        read(&rig, &mut consumer, &mut next, 2);
        assert_eq!(next, 2, "all that was told is there");
    });
}

/// One message more than there is room for, beside a reader that makes some.
///
/// Mutations: `ring_never_full`.
#[test]
fn a_full_ring_overwrites_nothing() {
    explore(|| {
        let (rig, mut producer, mut consumer) = rig();
        let reader = {
            let rig = Arc::clone(&rig);
            thread::spawn(move || {
                let mut next = 0;
                read(&rig, &mut consumer, &mut next, 2);
                (consumer, next)
            })
        };
        let mut sent = 0;
        for number in 0..3 {
            match producer.put(rig.first.near(), &rig.second, &[number; 8]) {
                Ok(()) => sent += 1,
                Err(Unsent::Full) => break,
                Err(other) => panic!("{other:?}"),
            }
            assert_eq!(producer.tell(&rig.second), Ok(true));
        }
        let (mut consumer, mut next) = reader.join().unwrap();
        read(&rig, &mut consumer, &mut next, 3);
        assert_eq!(next, sent);
    });
}
