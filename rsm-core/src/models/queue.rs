//! Locks that are queues. What loom cannot show: that who comes after finds the place of the one before made ready, and its own is
//! found so. It has every read-modify-write find the newest.

use super::{explore, explore_less};
use crate::lock::queue::Queue;
use crate::sync::{AtomicU32, AtomicU64, Ordering::Relaxed, spin_loop};
use loom::thread::{self, JoinHandle};
use std::sync::Arc;

/// A lock of PEs, and what it guards.
struct Rig {
    last: AtomicU32,
    places: [AtomicU32; 3],
    data: AtomicU64,
}

fn rig() -> Arc<Rig> {
    let places = std::array::from_fn(|_| AtomicU32::new(0));
    Arc::new(Rig { last: AtomicU32::new(0), places, data: AtomicU64::new(0) })
}

fn start<T: 'static>(rig: &Arc<Rig>, run: impl FnOnce(&Rig) -> T + 'static) -> JoinHandle<T> {
    let rig = Arc::clone(rig);
    thread::spawn(move || run(&rig))
}

impl Rig {
    fn queue(&self, me: u32) -> Queue<'_> {
        Queue { last: &self.last, place: self.place(me), me }
    }

    fn place(&self, number: u32) -> &AtomicU32 {
        &self.places[number as usize - 1]
    }

    /// As `shmem_set_lock`, with what is done under it, and `shmem_clear_lock`.
    fn count(&self, me: u32) {
        let queue = self.queue(me);
        let before = queue.enter();
        if before != 0 {
            queue.come_after(self.place(before));
            while !queue.is_had() {
                spin_loop();
            }
        }
        self.count_held(queue);
    }

    fn count_held(&self, queue: Queue<'_>) {
        self.data.store(self.data.load(Relaxed) + 1, Relaxed);
        if queue.leave() {
            return;
        }
        let next = loop {
            match queue.next() {
                Some(next) => break next,
                None => spin_loop(),
            }
        };
        queue.hand_over(self.place(next));
    }
}

/// Two come, of which one waits for the other or comes when it has gone.
///
/// Mutations: `queue_enter_relaxed`, `queue_leave_relaxed`, `queue_had_relaxed`, `queue_hands_over_relaxed`.
#[test]
fn who_comes_to_a_queue_has_what_was_done_under_the_lock() {
    explore(|| {
        let r = rig();
        let other = start(&r, |r| r.count(2));
        r.count(1);
        other.join().unwrap();
        assert_eq!(r.data.load(Relaxed), 2, "two held the lock");
        assert_eq!(r.last.load(Relaxed), 0);
    });
}

/// Two in the queue, and one that takes the lock if it is free.
///
/// Mutations: `queue_leave_relaxed`, `queue_hands_over_relaxed`.
#[test]
fn who_finds_nobody_in_a_queue_has_what_was_done_under_the_lock() {
    explore_less(1, || {
        let r = rig();
        let waits = start(&r, |r| r.count(2));
        let tries = start(&r, |r| {
            let queue = r.queue(3);
            let taken = queue.try_enter();
            if taken {
                r.count_held(queue);
            }
            taken
        });
        r.count(1);
        waits.join().unwrap();
        let taken = tries.join().unwrap();
        assert_eq!(r.data.load(Relaxed), 2 + u64::from(taken), "two held the lock");
    });
}
