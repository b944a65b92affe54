//! Finding a published segment while the agent publishes, withdraws and uses rows again.

use super::futex::{Ends, Futex, Watch};
use super::tables::{agent, heap, is_whole, member, segment};
use super::{explore, explore_less};
use crate::registry::Found;
use crate::sync::acquire32;
use loom::thread;
use std::sync::Arc;

/// One bucket: row 1 heads the chain, row 0 is behind it and stays published throughout.
///
/// Mutations: `lookup_trusts_links`.
#[test]
fn a_published_segment_is_not_missed() {
    explore_less(2, || {
        let heap = heap();
        agent(&heap).add_segment(0, &segment(1));
        agent(&heap).publish(0, 0x40_0000);
        agent(&heap).add_segment(1, &segment(2));
        agent(&heap).publish(1, 0x40_0001);
        let reader = member(&heap, |heap| heap.registry().find(1, 0x40_0000));
        agent(&heap).withdraw(1, None);
        agent(&heap).remove_segment(1);
        agent(&heap).add_segment(1, &segment(3));
        let found = reader.join().unwrap();
        assert!(matches!(found, Found::Unsure | Found::Segment(0, _)), "{found:?}");
    });
}

/// A row that goes to another segment is found under the name it has, with the fields of one segment. The reader is the
/// model's own thread here: it must have come to the row when the agent begins.
///
/// Mutations: `lookup_reads_again`.
#[test]
fn a_row_used_again_is_not_found_under_its_old_name() {
    explore_less(2, || {
        let heap = heap();
        agent(&heap).add_segment(0, &segment(1));
        agent(&heap).publish(0, 0x40_0000);
        let agent = member(&heap, |heap| {
            agent(heap).withdraw(0, None);
            agent(heap).remove_segment(0);
            agent(heap).add_segment(0, &segment(2));
            agent(heap).publish(0, 0x40_0001);
        });
        if let Found::Segment(_, fields) = heap.registry().find(1, 0x40_0000) {
            assert!(fields.incarnation == 1 && is_whole(&fields), "{fields:?}");
        }
        agent.join().unwrap();
    });
}

/// `connect_within`: reads the word, looks, sleeps on what it read. The agent publishes, steps the word, wakes.
///
/// Mutations: `published_relaxed`.
#[test]
fn who_sees_the_step_finds_what_was_published() {
    explore(|| {
        let rig = Arc::new((heap(), Futex::new()));
        agent(&rig.0).add_segment(0, &segment(1));
        let connecting = Arc::clone(&rig);
        let connecting = thread::spawn(move || {
            let (heap, futex) = &*connecting;
            let word = heap.nodes[1].published();
            loop {
                let seen = acquire32(word);
                match heap.registry().find(1, 0x40_0000) {
                    Found::Nothing => assert_eq!(seen, 0, "seen the step, and not what came before it"),
                    _ => return, // found, or the agent is asked
                }
                futex.sleep_on(&[Watch::Whole(word, seen)], Ends::Never);
            }
        });
        agent(&rig.0).publish(0, 0x40_0000);
        rig.1.wake_word(agent(&rig.0).step_published(1));
        connecting.join().unwrap();
    });
}
