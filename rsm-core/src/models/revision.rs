//! The exchange between the agent that cuts a connection, the events thread that looks, and a connect under way.
//!
//! The process's table of imports is `rsm_shm`'s, behind a lock; here it has one place, and being cut is a flag.

use super::explore;
use super::tables::{agent, connection, heap, segment};
use crate::generation::{EndCause, Generation};
use crate::registry::heap::Heap;
use crate::sync::{Mutex, acquire, mutated};
use loom::thread;
use std::sync::Arc;

struct Process {
    heap: Arc<Heap>,
    /// The import, if it has been entered, and whether it has been cut off.
    table: Mutex<Option<bool>>,
}

impl Process {
    fn is_cut(&self) -> bool {
        acquire(self.heap.connections[0].generation()) != Generation::live(1).word()
    }

    /// connect: enters, then compares, under the lock.
    fn enter(&self) {
        let looked_early = mutated("enter_compares_first") && self.is_cut();
        let mut table = self.table.lock().unwrap();
        let cut = if mutated("enter_compares_first") { looked_early } else { self.is_cut() };
        *table = Some(cut);
    }

    /// The events thread's answer to a look.
    fn look(&self) -> u64 {
        self.heap.header.look(|| {
            let mut table = self.table.lock().unwrap();
            if let Some(cut) = table.as_mut() {
                *cut |= self.is_cut();
            }
        })
    }
}

fn process() -> Arc<Process> {
    let heap = heap();
    agent(&heap).add_segment(0, &segment(1));
    agent(&heap).link_connection(0, &connection(1, 0));
    Arc::new(Process { heap, table: Mutex::new(None) })
}

/// An import that enters while its connection is cut is cut off by one of the two.
///
/// Mutations: `enter_compares_first`.
#[test]
fn an_import_that_enters_late_is_cut_off() {
    explore(|| {
        let p = process();
        let enter = {
            let p = Arc::clone(&p);
            thread::spawn(move || p.enter())
        };
        agent(&p.heap).abort_connection(0, EndCause::Withdrawn);
        agent(&p.heap).step_revision();
        // The look that the agent sends when it has stepped.
        p.look();
        enter.join().unwrap();
        assert_eq!(*p.table.lock().unwrap(), Some(true));
    });
}

/// A process that says it has seen a revision has cut off what was cut before that: also when it looked for another
/// reason, or the second of two looks was not sent.
///
/// Mutations: `revision_relaxed`, `seen_after_look`.
#[test]
fn what_was_seen_was_cut_off() {
    explore(|| {
        let p = process();
        p.enter();
        let looking = {
            let p = Arc::clone(&p);
            thread::spawn(move || p.look())
        };
        agent(&p.heap).abort_connection(0, EndCause::Withdrawn);
        let revision = agent(&p.heap).step_revision();
        let seen = looking.join().unwrap();
        let cut = *p.table.lock().unwrap() == Some(true);
        assert!(seen < revision || cut, "seen {seen} of {revision}, and still mapped");
    });
}
