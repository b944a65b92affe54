//! Sequence numbers: reading several fields of a row as they stood at one moment.
//!
//! One writer (the agent), any number of readers in other processes. The writer makes the number odd, changes the
//! fields, makes it even. A reader that finds an odd number, or another number after reading than before, tries again,
//! a bounded number of times: the writer may be dead.

use super::READ_TRIES;
use crate::sync::{AtomicU64, Ordering, fence, mutated, spin_loop};
use Ordering::{Acquire, Relaxed, Release};

/// Runs `read` until it saw an undisturbed row; `None` when the bound was reached.
#[inline]
pub(crate) fn read<T>(seq: &AtomicU64, read: impl Fn() -> T) -> Option<T> {
    for _ in 0..READ_TRIES {
        let before = seq.load(Relaxed);
        // Pairs with the Release store of `write`'s end: fields are at least as new as `before`.
        fence(Acquire);
        if before & 1 == 0 {
            let value = read();
            // Pairs with the Release fence of `write`'s begin: a field from a later write shows in `after`.
            fence(Acquire);
            if seq.load(Relaxed) == before {
                return Some(value);
            }
        }
        spin_loop();
    }
    None
}

/// Runs `change` with the row marked as being written. Only the agent calls this.
///
/// # Crash
/// Dying inside leaves the number odd: readers reach their bound and ask the agent, which is gone, as is the cluster.
pub(crate) fn write(seq: &AtomicU64, change: impl FnOnce()) {
    let before = seq.load(Relaxed);
    seq.store(before.wrapping_add(1), Relaxed);
    // Keeps the fields behind the odd number; pairs with the second Acquire fence of `read`.
    if !mutated("seq_begin") {
        fence(Release);
    }
    change();
    // Keeps the fields before the even number; pairs with the first Acquire fence of `read`.
    let carry = if mutated("seq_end") { Relaxed } else { Release };
    seq.store(before.wrapping_add(2), carry);
}
