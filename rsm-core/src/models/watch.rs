//! Watching the registry: a word to sleep on until something has changed.

use super::explore;
use super::futex::{Ends, Futex, Watch};
use super::tables::{agent, heap};
use crate::registry::{LinkState, LinkWord};
use crate::sync::{Ordering::Relaxed, acquire32};
use loom::thread;
use std::sync::Arc;

/// Reads the word, looks, sleeps on what it read. The agent changes a link, steps the word, wakes.
///
/// Mutations: `changes_relaxed`.
#[test]
fn who_sees_a_step_sees_the_change() {
    explore(|| {
        let rig = Arc::new((heap(), Futex::new()));
        let watching = Arc::clone(&rig);
        let watching = thread::spawn(move || {
            let (heap, futex) = &*watching;
            let word = heap.header.changes();
            loop {
                let seen = acquire32(word);
                let link = heap.registry().link(1, 1, 1).unwrap().load(Relaxed);
                if LinkWord::from_word(link).state() == LinkState::Active {
                    return;
                }
                assert_eq!(seen, 0, "seen the step, and not what came before it");
                futex.sleep_on(&[Watch::Whole(word, seen)], Ends::Never);
            }
        });
        assert!(agent(&rig.0).set_processes(1, 1, (1, 0)));
        rig.1.wake_word(agent(&rig.0).step_changes());
        watching.join().unwrap();
    });
}
