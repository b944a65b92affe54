//! Who imports a segment: an exporter that watches its connections, or waits until nobody is left.

use super::futex::{Ends, Futex, Watch};
use super::tables::{agent, connection, heap, member, segment};
use super::{explore, explore_less};
use crate::bell::{Accumulate, Bell};
use crate::generation::{EndCause, Generation};
use crate::registry::heap::Heap;
use crate::registry::walk_connections;
use crate::sync::{acquire32, mutated};
use loom::thread;
use std::sync::Arc;

/// A published segment with one connection, the serial number of which is 10.
fn imported() -> Arc<Heap> {
    let heap = heap();
    let writer = agent(&heap);
    writer.add_segment(0, &segment(1));
    writer.publish(0, 5);
    writer.link_connection(0, &connection(10, 0));
    heap
}

fn met(heap: &Heap) -> Option<Vec<u64>> {
    let mut met = Vec::new();
    let mut below = u64::MAX;
    walk_connections(&heap.registry(), 0, 1, &mut below, |f| met.push(f.generation.serial())).then_some(met)
}

/// The importer signals and goes: who waits as long as somebody is left takes the signal first, as in `rsm_shm`.
///
/// Mutations: `deserted_at_once`.
#[test]
fn the_last_signal_of_the_last_importer_is_taken() {
    explore_less(1, || {
        let rig = Arc::new((imported(), Bell::new(), Futex::new()));
        let waiting = Arc::clone(&rig);
        let waiting = thread::spawn(move || {
            let (heap, bell, futex) = &*waiting;
            let row = &heap.segments[0];
            loop {
                if bell.try_take().unwrap() {
                    return true;
                }
                let seen = acquire32(row.comings());
                if row.is_deserted(1) {
                    return !mutated("deserted_at_once") && bell.try_take().unwrap();
                }
                futex.sleep_on(&[Watch::Whole(row.comings(), seen)], Ends::Never);
            }
        });
        let (heap, bell, futex) = &*rig;
        // The importer, of whose end the kernel tells the agent afterwards.
        bell.post(0, Accumulate::Yes, &futex).unwrap();
        agent(heap).abort_connection(0, EndCause::ImporterEnded);
        agent(heap).unlink_connection(0);
        futex.wake_word(heap.segments[0].comings());
        assert!(waiting.join().unwrap(), "a signal was left behind");
    });
}

/// Who is coming is not taken for somebody who came and went.
///
/// Mutations: `arrival_first`.
#[test]
fn an_importer_that_comes_is_not_one_that_went() {
    explore(|| {
        let heap = heap();
        agent(&heap).add_segment(0, &segment(1));
        agent(&heap).publish(0, 5);
        let exporter = member(&heap, |heap| heap.segments[0].is_deserted(1));
        agent(&heap).link_connection(0, &connection(10, 0));
        assert!(!exporter.join().unwrap(), "nobody had gone");
    });
}

/// Who sees the word step finds the connection that came before, in the chain and in the count.
///
/// Mutations: `comings_relaxed`.
#[test]
fn who_sees_a_coming_finds_who_came() {
    explore(|| {
        let heap = heap();
        agent(&heap).add_segment(0, &segment(1));
        let before = acquire32(heap.segments[0].comings());
        let watcher = member(&heap, move |heap| {
            let row = &heap.segments[0];
            let stepped = acquire32(row.comings()) != before;
            (stepped, row.arrivals(), met(heap))
        });
        agent(&heap).link_connection(0, &connection(10, 0));
        let (stepped, arrivals, met) = watcher.join().unwrap();
        assert!(!stepped || arrivals == 1 && met.is_none_or(|met| met == [10]), "a coming was told too early");
    });
}

/// Who misses a connection in the chain, or finds it cut there, finds out why.
///
/// Mutations: `unlinked_before_cut`.
#[test]
fn who_misses_a_connection_finds_out_why() {
    explore(|| {
        let heap = imported();
        let watcher = member(&heap, |heap| (met(heap), heap.connections[0].ended()));
        if mutated("unlinked_before_cut") {
            agent(&heap).unlink_connection(0);
        }
        agent(&heap).abort_connection(0, EndCause::LinkDown);
        if !mutated("unlinked_before_cut") {
            agent(&heap).unlink_connection(0);
        }
        let (met, ended) = watcher.join().unwrap();
        if met.is_some_and(|met| met.is_empty()) {
            assert_eq!(ended, Generation::live(10).aborted(EndCause::LinkDown));
        }
    });
}
