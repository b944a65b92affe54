//! Distributed locks: a queue of PEs, each of which waits for a word of its own ([`rsm_core::lock::queue`]).
//!
//! A lock is a long on every PE. On one of them, its home, the lower half says who is last in the queue. On each PE the upper
//! half is its place in the queue. PEs count from 1 here.

use crate::job::sleepers::{On, stored};
use crate::job::{Job, job};
use crate::local::Sym;
use crate::place::Place;
use crate::{Call, end, order, wait};
use rsm_core::lock::queue::Queue;
use std::ffi::c_int;
use std::sync::atomic::AtomicU32;

/// A lock, as a PE finds it.
struct Lock {
    job: &'static Job,
    call: &'static Call,
    sym: Sym,
    home: usize,
}

impl Lock {
    fn new(call: &'static Call, sym: Sym) -> Lock {
        let job = job(call);
        let (_, side, offset) = job.own(call, "lock", sym, 8, 8);
        // Not all at one PE, and the same on each.
        Lock { job, call, sym, home: (offset / 8 + side) % job.count() }
    }

    fn on(&self, pe: usize) -> (Place, usize, usize) {
        self.job.on(self.call, "lock", self.sym, 8, 8, pe)
    }

    /// The queue, as this PE stands in it.
    fn queue(&self) -> Queue<'static> {
        let last = half(self.on(self.home).0, false);
        Queue { last, place: self.place(self.job.me), me: self.job.me as u32 + 1 }
    }

    /// The place of a PE in the queue.
    fn place(&self, pe: usize) -> &'static AtomicU32 {
        half(self.on(pe).0, true)
    }

    /// The PE that a number in the lock stands for, or the end of the job: the program may have stored something there.
    fn pe(&self, number: u32) -> usize {
        match (number as usize).checked_sub(1).filter(|&pe| pe < self.job.count()) {
            Some(pe) => pe,
            None => end::fail(
                self.call,
                format_args!(
                    "lock {:#x} has something else in it: it must be 0 on every PE at first",
                    self.sym.address()
                ),
            ),
        }
    }

    /// Changes the place of another PE, which may sleep for it.
    fn tell(&self, pe: usize, change: impl FnOnce(&AtomicU32)) {
        change(self.place(pe));
        let (_, side, offset) = self.on(pe);
        stored(self.job.peers[pe].control, side, offset, 8);
    }

    /// This PE has it now, and what was done by who had it before is behind: that may have been any PE.
    fn is_had(&self) {
        for peer in self.job.peers.iter().filter(|peer| peer.pe != self.job.me).take(1) {
            peer.exchanges(self.job);
        }
    }

    /// Waits until the own place looks so.
    fn until<T>(&self, look: impl Fn() -> Option<T>) -> T {
        let (_, side, first) = self.on(self.job.me);
        wait::until(self.job, self.call, On::Bytes { side, first, end: first + 8 }, look)
    }
}

/// Half of a lock. Which is the lower is the same on all PEs of a machine, and of no other consequence.
fn half(lock: Place, upper: bool) -> &'static AtomicU32 {
    lock.at(if upper { 4 } else { 0 }).word32()
}

/// `shmem_set_lock`.
pub(crate) fn set(call: &'static Call, sym: Sym) {
    let lock = Lock::new(call, sym);
    lock.job.locks.enter(sym);
    let queue = lock.queue();
    let before = queue.enter();
    if before != 0 {
        lock.tell(lock.pe(before), |place| queue.come_after(place));
        lock.until(|| queue.is_had().then_some(()));
    }
    lock.is_had();
}

/// `shmem_test_lock`.
pub(crate) fn test(call: &'static Call, sym: Sym) -> c_int {
    let lock = Lock::new(call, sym);
    if !lock.job.locks.try_enter(sym) {
        return 1;
    }
    let taken = lock.queue().try_enter();
    if taken {
        lock.is_had();
    } else {
        lock.job.locks.leave(sym);
    }
    c_int::from(!taken)
}

/// `shmem_clear_lock`.
pub(crate) fn clear(call: &'static Call, sym: Sym) {
    let lock = Lock::new(call, sym);
    if !lock.job.locks.has(sym) {
        end::fail(call, format_args!("this PE does not have lock {:#x}", sym.address()));
    }
    order::quiet(&lock.job.default, call);
    let queue = lock.queue();
    if !queue.leave() {
        // Somebody has come after, and says so in a moment.
        let next = lock.until(|| queue.next());
        lock.tell(lock.pe(next), |place| queue.hand_over(place));
    }
    lock.job.locks.leave(sym);
}
