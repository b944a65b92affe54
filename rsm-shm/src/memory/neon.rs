//! Long copies on aarch64.
//!
//! Every processor that Linux runs on in 64-bit mode has the vector registers, so there is one loop for all of them: four
//! pairs of registers loaded, then stored, to a target aligned to 16 bytes. It takes 10 instructions for 128 bytes;
//! glibc's `memcpy` takes as many for 64 and is one function of several, by the processor.
//!
//! Nothing here bypasses the cache, as `vector` does on x86-64. `stnp` is a hint that would be sound, for barriers order it
//! as any other store (`docs/ordering.md`). But it was measured on no machine, and the clock that the architecture promises
//! to programs does not tell a hit from a miss: it may tick 25 million times a second.
#![allow(unsafe_code)]

use std::arch::asm;

/// Copies so many bytes or more; shorter ones are not for this file.
pub(super) const SHORTEST: usize = 128;

/// Copies. Pieces of 16 bytes at places aligned to 16 bytes of the target, and once more, unaligned, at both ends.
///
/// # Safety
/// `from` must be readable and `to` writable for `length` bytes, at least [`SHORTEST`], and the two must not overlap.
#[inline(never)]
pub(super) unsafe fn copy(from: *const u8, to: *mut u8, length: usize) {
    let skip = 16 - (to.addr() & 15);
    // SAFETY: the offsets stay inside the two ranges: the loop ends at or after `last`, a step before the end, having begun
    // each step before it. Other processes may access the same bytes; whole pieces move, and nothing is read back.
    unsafe {
        let last = to.add(length - SHORTEST);
        asm!(
            // Up to the first aligned place of the target.
            "ldr q0, [{from}]",
            "str q0, [{to}]",
            "add {from}, {from}, {skip}",
            "add {to}, {to}, {skip}",
            "cmp {to}, {last}",
            "b.hs 3f",
            "2:",
            "ldp q0, q1, [{from}], #128",
            "ldp q2, q3, [{from}, #-96]",
            "ldp q4, q5, [{from}, #-64]",
            "ldp q6, q7, [{from}, #-32]",
            "stp q0, q1, [{to}], #128",
            "stp q2, q3, [{to}, #-96]",
            "stp q4, q5, [{to}, #-64]",
            "stp q6, q7, [{to}, #-32]",
            "cmp {to}, {last}",
            "b.lo 2b",
            // The last 128 bytes, some of them for the second time.
            "3:",
            "ldp q0, q1, [{end}]",
            "ldp q2, q3, [{end}, #32]",
            "ldp q4, q5, [{end}, #64]",
            "ldp q6, q7, [{end}, #96]",
            "stp q0, q1, [{last}]",
            "stp q2, q3, [{last}, #32]",
            "stp q4, q5, [{last}, #64]",
            "stp q6, q7, [{last}, #96]",
            from = inout(reg) from => _,
            to = inout(reg) to => _,
            skip = in(reg) skip,
            last = in(reg) last,
            end = in(reg) from.add(length - SHORTEST),
            out("v0") _, out("v1") _, out("v2") _, out("v3") _,
            out("v4") _, out("v5") _, out("v6") _, out("v7") _,
            options(nostack)
        );
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn copies_every_length_at_every_alignment() {
        super::super::copy::tests::copies_between_all_alignments("ldp", super::SHORTEST, super::copy);
    }
}
