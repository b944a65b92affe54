//! What of this process is seen: all that its program does, or its calls; nothing that the library itself does.
//!
//! While the library is at work, the thread knows where on its stack: a signal handler may end that by `siglongjmp`, and nobody
//! says so. What is on the stack where it was, or above, says that it is not there any more.
#![allow(unsafe_code)]

use crate::caller::stack_word;
use std::cell::Cell;
use std::ffi::c_uint;
use std::hint::black_box;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;

/// Everything that is done with memory is told.
const ACCESSES: c_uint = 1;

/// What the program tells by itself.
pub(super) static SEES: AtomicU32 = AtomicU32::new(0);

/// Threads that have told of a read without its value, and of nothing since. One that ends so stays counted, by which less is
/// found, and nothing that is none.
pub(super) static READING: AtomicU32 = AtomicU32::new(0);

/// What a mark differs from its own address by.
const MARK: usize = 0x7d1e_55a9_3c60_b217_u64 as usize;
/// No more of the stack than this lies between a mark and what the library does there.
const NEAR: usize = 1 << 16;

thread_local! {
    /// The library itself is at work, and has told already: where the mark of that is on the stack; 0: it is not.
    static WITHIN: Cell<usize> = const { Cell::new(0) };
}

/// Whether this program tells everything that it does.
pub(in crate::membership) fn is_whole() -> bool {
    // Relaxed: nothing is found by way of it.
    SEES.load(Relaxed) & ACCESSES != 0
}

/// Whether any thread has said that it would read something, and nothing since.
pub(super) fn somebody_reads() -> bool {
    // Relaxed: as in `learn_of_reads`.
    READING.load(Relaxed) != 0
}

/// Whether the library itself is at work in this thread, which has come to the frame that this address is in. A thread that is too near
/// its end to know counts as that.
pub(super) fn is_within(here: usize) -> bool {
    let Ok(mark) = WITHIN.try_with(Cell::get) else { return true };
    if mark == 0 {
        return false;
    }
    let was_left = if here < mark {
        // Where it is far, something else is there: a handler's own stack, below this one.
        // SAFETY: of this stack, between here and where the thread was before.
        mark - here < NEAR && unsafe { stack_word(mark) } != mark ^ MARK
    } else {
        // What called it is gone, unless this is a handler's own stack, above that of what it interrupted.
        !is_on_other_stack()
    };
    if was_left {
        let _ = WITHIN.try_with(|within| within.set(0));
    }
    !was_left
}

/// Whether this is a signal handler on a stack of its own.
fn is_on_other_stack() -> bool {
    // SAFETY: plain old data; only asks.
    unsafe {
        let mut stack: libc::stack_t = std::mem::zeroed();
        libc::sigaltstack(std::ptr::null(), &raw mut stack) == 0 && stack.ss_flags & libc::SS_ONSTACK != 0
    }
}

/// The address of a frame: that of something in it.
pub(super) fn frame_of<T>(in_it: &T) -> usize {
    black_box(std::ptr::from_ref(in_it)).expose_provenance()
}

/// Does something of which nothing is to be told. A function by itself: its mark is below the frame of who calls.
#[inline(never)]
pub(in crate::membership) fn untold<T>(work: impl FnOnce() -> T) -> T {
    let mark = Cell::new(0usize);
    let address = frame_of(&mark);
    mark.set(address ^ MARK);
    // Only the stack is looked at, and not this variable.
    black_box(&mark);
    let before = WITHIN.try_with(|within| within.replace(address));
    let done = work();
    let _ = before.map(|before| WITHIN.try_with(|within| within.set(before)));
    mark.set(0);
    black_box(&mark);
    done
}

#[cfg(test)]
mod tests {
    use super::*;

    #[inline(never)]
    fn is_told_of() -> bool {
        let here = 0u8;
        !is_within(frame_of(&here))
    }

    #[test]
    fn what_the_library_does_is_not_told() {
        assert!(is_told_of());
        untold(|| {
            assert!(!is_told_of());
            untold(|| assert!(!is_told_of()));
            assert!(!is_told_of());
        });
        assert!(is_told_of());
    }

    /// As where a handler leaves by `siglongjmp`: what was at work is not there any more, and has not said so.
    #[test]
    fn what_was_left_is_over() {
        #[inline(never)]
        fn left(deep: usize) {
            let room = [deep; 8];
            if deep == 0 {
                untold(|| {
                    let within = WITHIN.get();
                    LEFT.set(within);
                });
            } else {
                left(deep - 1);
            }
            black_box(room);
        }
        thread_local! {
            static LEFT: Cell<usize> = const { Cell::new(0) };
        }
        for deep in [0, 1, 5, 50] {
            left(deep);
            // Nothing of it was put back.
            WITHIN.set(LEFT.get());
            assert!(is_told_of(), "{deep}");
            assert_eq!(WITHIN.get(), 0, "once for all");
        }
    }
}
