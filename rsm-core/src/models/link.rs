//! Path words, which follow their links, against spans: errors, and paths that go away and come back.
//!
//! The agent takes a link down as `rsm_shm` does: the connections first, then the word.

use super::explore;
use super::tables::{agent, connection, heap, segment};
use crate::error::Code;
use crate::generation::{EndCause, Generation};
use crate::registry::heap::Heap;
use crate::registry::{LinkChange, LinkWord};
use crate::sync::{AtomicU64, Ordering::Relaxed, acquire, fence, mutated};
use crate::verdict::{self, Snapshot};
use loom::thread::{self, JoinHandle};
use std::sync::Arc;

/// A connection of node 1 to itself through controller 1, and a word of the segment.
struct Rig {
    heap: Arc<Heap>,
    generation: AtomicU64,
    memory: AtomicU64,
}

/// With an active link.
fn rig() -> Arc<Rig> {
    let heap = heap();
    agent(&heap).set_processes(1, 1, (1, 0));
    agent(&heap).add_segment(0, &segment(1));
    agent(&heap).link_connection(0, &connection(1, 0));
    Arc::new(Rig { heap, generation: AtomicU64::new(Generation::live(1).word()), memory: AtomicU64::new(0) })
}

impl Rig {
    fn link(&self) -> &AtomicU64 {
        &self.heap.paths[0]
    }

    fn open(&self) -> Snapshot {
        Snapshot { granted: Generation::live(1), link: LinkWord::from_word(acquire(self.link())) }
    }

    /// A store, and the end of the span.
    fn store(&self, opened: Snapshot) -> Result<(), Code> {
        self.memory.store(7, Relaxed);
        if !mutated("link_importer_fence") {
            fence(crate::sync::Ordering::SeqCst);
        }
        opened.judge(&self.generation, self.link()).map_err(|error| error.code())
    }

    fn change(&self, change: LinkChange) {
        assert!(agent(&self.heap).change_link(1, 1, 1, change));
        agent(&self.heap).change_path(0, change);
    }
}

fn start<T: 'static>(rig: &Arc<Rig>, run: impl FnOnce(&Rig) -> T + 'static) -> JoinHandle<T> {
    let rig = Arc::clone(rig);
    thread::spawn(move || run(&rig))
}

/// A path that is gone for good is never told as one that only failed, to be tried again: not for spans of stores, and
/// not for spans of loads, which have no full fence.
///
/// Mutations: `link_looks_once`, `link_second_look_fence`.
#[test]
fn who_sees_the_link_go_finds_the_connection_cut() {
    explore(|| {
        let r = rig();
        let importer = start(&r, |r| {
            let opened = r.open();
            let loads = opened.judge_loads(&r.generation, r.link()).map_err(|error| error.code());
            (loads, r.store(opened))
        });
        verdict::abort(&r.generation, EndCause::LinkDown);
        r.change(LinkChange::Down);
        let (loads, stores) = importer.join().unwrap();
        for told in [loads, stores] {
            assert!(told.is_ok() || told == Err(Code::ConnAborted), "{told:?}");
        }
    });
}

/// A span that was open when the link had an error, and is not told of it, came before the error: what the agent does
/// next comes after its stores.
///
/// Mutations: `link_agent_fence`, `link_importer_fence`.
#[test]
fn a_span_that_was_not_told_of_an_error_came_before_it() {
    explore(|| {
        let r = rig();
        let importer = start(&r, |r| {
            let opened = r.open();
            let told = r.store(opened);
            assert!(matches!(told, Ok(()) | Err(Code::BarrierFailure)), "{told:?}");
            told.is_ok() && opened.link.errors() == 0
        });
        r.change(LinkChange::Error);
        let arrived = r.memory.load(Relaxed) == 7;
        assert!(!importer.join().unwrap() || arrived, "vouched for across an error");
    });
}

/// A span that began while the path was away is not vouched for, whether or not the word is the same at its end. (A path
/// that goes and comes back in the middle of a span leaves the word as it was, and the connection cut.)
///
/// Mutations: `link_away_is_fine`.
#[test]
fn nothing_is_vouched_for_without_a_path() {
    explore(|| {
        let r = rig();
        r.change(LinkChange::Down);
        let importer = start(&r, |r| {
            let opened = r.open();
            (opened.link.is_active(), r.store(opened))
        });
        r.change(LinkChange::Up);
        let (active, told) = importer.join().unwrap();
        assert_eq!(told.is_ok(), active, "{told:?}");
    });
}
