//! Distributed locks: a line of PEs, each of which waits for a word of its own.
//!
//! A lock is a long on every PE. On one of them, its home, the lower half says who is last in the line (0: nobody has it). On
//! each PE the upper half is its place in the line: a bit while it waits, and who comes after it. PEs count from 1 here.

use crate::job::sleepers::{On, stored};
use crate::job::{Job, job};
use crate::local::Sym;
use crate::place::Place;
use crate::{Call, end, order, wait};
use std::ffi::c_int;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};

/// Of the upper half: the PE waits.
const WAITS: u32 = 1 << 31;

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

    /// Who is last in the line.
    fn last(&self) -> &'static AtomicU32 {
        half(self.on(self.home).0, false)
    }

    /// The place of a PE in the line.
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
    fn until<T>(&self, look: impl Fn(u32) -> Option<T>) -> T {
        let (_, side, first) = self.on(self.job.me);
        let word = self.place(self.job.me);
        // Acquire: pairs with the Release of who changes it.
        wait::until(self.job, self.call, On::Bytes { side, first, end: first + 8 }, || look(word.load(Acquire)))
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
    let me = lock.job.me as u32 + 1;
    // Release: before this PE is in the line. Relaxed would do, for the swap below; who comes after it adds to it.
    lock.place(lock.job.me).store(WAITS, Release);
    // AcqRel: what the last holder stored is there if nobody has it; and the place is ready for who comes after.
    let before = lock.last().swap(me, AcqRel);
    if before == 0 {
        lock.place(lock.job.me).fetch_and(!WAITS, AcqRel);
        lock.is_had();
        return;
    }
    // Release: pairs with the Acquire in `clear`.
    lock.tell(lock.pe(before), |place| {
        place.fetch_or(me, Release);
    });
    lock.until(|place| (place & WAITS == 0).then_some(()));
    lock.is_had();
}

/// `shmem_test_lock`.
pub(crate) fn test(call: &'static Call, sym: Sym) -> c_int {
    let lock = Lock::new(call, sym);
    if !lock.job.locks.try_enter(sym) {
        return 1;
    }
    lock.place(lock.job.me).store(0, Release);
    let me = lock.job.me as u32 + 1;
    // AcqRel: as in `set`.
    let taken = lock.last().compare_exchange(0, me, AcqRel, Relaxed).is_ok();
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
    let me = lock.job.me as u32 + 1;
    // AcqRel: what was stored under the lock is there for who takes it next.
    if lock.last().compare_exchange(me, 0, AcqRel, Relaxed).is_err() {
        // Somebody has come after, and says so in a moment.
        let next = lock.until(|place| Some(place & !WAITS).filter(|&next| next != 0));
        lock.place(lock.job.me).store(0, Relaxed);
        // Release: pairs with the Acquire in `until`.
        lock.tell(lock.pe(next), |place| {
            place.fetch_and(!WAITS, Release);
        });
    }
    lock.job.locks.leave(sym);
}
