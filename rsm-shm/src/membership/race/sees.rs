//! How much of what this program does is told, and by whom just now.

use std::cell::Cell;
use std::ffi::c_uint;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;

/// Everything that is done with memory is told.
const ACCESSES: c_uint = 1;

/// What the program tells by itself.
pub(super) static SEES: AtomicU32 = AtomicU32::new(0);

/// Threads that have told of a read without its value, and of nothing since. One that ends so stays counted, by which less is
/// found, and nothing that is none.
pub(super) static READING: AtomicU32 = AtomicU32::new(0);

thread_local! {
    /// The library itself is at work: it has told already.
    static WITHIN: Cell<bool> = const { Cell::new(false) };
}

/// Whether this program tells everything that it does.
pub(super) fn is_whole() -> bool {
    SEES.load(Relaxed) & ACCESSES != 0
}

/// Does something of which nothing is to be told.
pub(in crate::membership) fn untold<T>(work: impl FnOnce() -> T) -> T {
    let before = WITHIN.try_with(|within| within.replace(true)).unwrap_or(true);
    let done = work();
    let _ = WITHIN.try_with(|within| within.set(before));
    done
}

/// Whether the library itself is at work in this thread, or the thread is at its end.
pub(super) fn is_untold() -> bool {
    WITHIN.try_with(Cell::get).unwrap_or(true)
}

/// Whether any thread has said that it would read something, and nothing since.
pub(super) fn somebody_reads() -> bool {
    // Relaxed: as in `abi::learn_of_reads`.
    READING.load(Relaxed) != 0
}
