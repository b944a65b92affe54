//! Sequence numbers: reading several fields of a row as they stood at one moment.
//!
//! One writer (of the registry's rows the agent; of what a process says of itself that process), any number of readers in other
//! processes. The writer makes the number odd, changes the
//! fields, makes it even. A reader that finds an odd number, or another number after reading than before, tries again,
//! a bounded number of times: the writer may be dead.

use crate::sync::{AtomicU64, Ordering, fence, mutated, spin_loop};
use Ordering::{Acquire, Relaxed, Release};

/// How often a reader tries again when the writer writes at the same time, before it gives up (of the registry it asks the agent
/// instead): the writer may have been descheduled, or killed, in the middle of a write.
#[cfg(not(any(rsm_loom, miri)))]
pub(crate) const READ_TRIES: u32 = 256;
#[cfg(any(rsm_loom, miri))]
pub(crate) const READ_TRIES: u32 = 2;

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

/// Runs `change` with the row marked as being written. Only its one writer calls this.
///
/// # Crash
/// Dying inside leaves the number odd. Of the registry readers reach their bound and ask the agent, which is gone, as is the
/// cluster; what a process was just saying of itself was not said.
pub(crate) fn write(seq: &AtomicU64, change: impl FnOnce()) {
    let odd = seq.load(Relaxed) | 1;
    seq.store(odd, Relaxed);
    // Keeps the fields behind the odd number; pairs with the second Acquire fence of `read`.
    if !mutated("seq_begin") {
        fence(Release);
    }
    change();
    // Keeps the fields before the even number; pairs with the first Acquire fence of `read`.
    let carry = if mutated("seq_end") { Relaxed } else { Release };
    seq.store(odd.wrapping_add(1), carry);
}
