//! Rows of the registry against their writer.

use super::tables::{TINY, agent, heap, is_whole, member, segment};
use super::{explore, explore_less};
use crate::registry::heap::Heap;
use crate::registry::{Layout, Writer};
use crate::seq;
use crate::sync::{AtomicU64, Ordering::Relaxed};
use loom::thread;
use std::sync::Arc;

/// The protocol alone, with two fields, so that every order of their visibility is explored.
///
/// Mutations: `seq_begin`, `seq_end`.
#[test]
fn a_sequence_number_guards_its_fields() {
    explore(|| {
        let words = Arc::new((AtomicU64::new(0), AtomicU64::new(1), AtomicU64::new(1)));
        let reader = {
            let words = Arc::clone(&words);
            thread::spawn(move || seq::read(&words.0, || (words.1.load(Relaxed), words.2.load(Relaxed))))
        };
        seq::write(&words.0, || {
            words.1.store(2, Relaxed);
            words.2.store(2, Relaxed);
        });
        if let Some((first, second)) = reader.join().unwrap() {
            assert_eq!(first, second);
        }
    });
}

/// A whole row, used again while it is read.
///
/// Mutations: `seq_begin`, `seq_end`.
#[test]
fn a_row_is_read_as_it_stood_at_one_moment() {
    explore_less(1, || {
        let heap = heap();
        agent(&heap).add_segment(0, &segment(1));
        let reader = member(&heap, |heap| heap.segments[0].fields());
        agent(&heap).add_segment(0, &segment(2));
        if let Some(fields) = reader.join().unwrap() {
            assert!(is_whole(&fields), "{fields:?}");
        }
    });
}

/// A registry that looks valid is: who maps it early is told that it is none, and never that it is a bad one.
///
/// Mutations: `magic_relaxed`.
#[test]
fn the_magic_comes_last() {
    explore(|| {
        let heap = Arc::new(Heap::new(TINY));
        let reader = member(&heap, |heap| Layout::check(&heap.header, Layout::of(TINY).bytes));
        Writer::open(heap.registry(), TINY, "m", 1, (1, 0), None);
        if let Err(error) = reader.join().unwrap() {
            assert!(error.to_string().contains("this is not an rsm registry"), "{error}");
        }
    });
}
