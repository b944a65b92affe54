//! Threads of a process, where everything that orders them is told.
//!
//! Each has a clock of its own then, and knows only what it was told: by who created it, by objects such as locks, by who
//! ended and was waited for. Whose process does something of which that is not known, all its threads are taken for one:
//! what one of them knows the others do, and they do not race.
//!
//! A thread that has ended leaves its clock to another one of its process, which knows all that it did.

use crate::clock::{Row, grow, merge};
use crate::process::Process;
use crate::table::IDS;
use rsm_core::sync::AtomicU64;

/// What threads tell each other by way of something that they have in common, such as a lock.
#[derive(Debug)]
pub struct Object {
    vector: [AtomicU64; IDS],
}

impl Default for Object {
    fn default() -> Object {
        Object { vector: std::array::from_fn(|_| AtomicU64::default()) }
    }
}

impl<'a> Process<'a> {
    /// From now on its threads are told apart; so far it had one, this.
    pub fn tells_threads_apart(self) {
        self.node().tells_threads_apart();
    }

    /// From now on they are taken for one.
    pub fn takes_threads_together(self) {
        self.node().takes_threads_together();
    }

    /// This thread is about to create another one: gives that. `None`: there are too many.
    pub fn begin_thread(self) -> Option<Process<'a>> {
        self.enter();
        let row = Row::thread(self.table, self.row.leader())?;
        row.join(self.row);
        Some(Process { row, ..self })
    }

    /// A thread has ended, and this one has waited for it.
    pub fn join_thread(self, thread: usize) {
        let row = Row::of(self.table, thread);
        self.row.join(row);
        row.spare();
    }

    /// Nobody will wait for a thread that has ended.
    pub fn forget_thread(self, thread: usize) {
        Row::of(self.table, thread).spare();
    }

    /// It tells who uses an object after it what it knows.
    pub fn tell_object(self, object: &Object) {
        merge(self.table, &object.vector, self.row.vector());
        grow(&object.vector[self.row.id], self.row.told());
    }

    /// It was told by who has used an object before.
    pub fn learn_object(self, object: &Object) {
        self.row.learn_all(&object.vector);
    }
}

#[cfg(all(test, not(rsm_loom)))]
mod tests;
