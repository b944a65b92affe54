//! Long copies by the processor's own instruction for it, `rep movsb`, on x86-64 processors where nothing else is as fast.
//!
//! It seems to store whole lines without fetching them first, also lines that another processor has, and to leave them in the
//! cache, where the reader gets them sooner than from memory. A put of 64 KiB that is read each time takes the writer 0.4 times as
//! long as by vector registers, and has been read in 0.6 times; past the cache these are 0.8 times and 1.4 times
//! (`benches/README.md`). And nobody has to find out where the target's lines are.
//!
//! Other processors have the instruction too, and some take up to 27 times as long for a target a few bytes past the source modulo
//! 4096. Only those that were measured are known here.
#![allow(unsafe_code)]

use std::arch::asm;
use std::arch::x86_64::__cpuid_count;
use std::sync::atomic::AtomicU8;
use std::sync::atomic::Ordering::Relaxed;

const UNKNOWN: u8 = 0;
const NO: u8 = 1;
const YES: u8 = 2;

static KNOWN: AtomicU8 = AtomicU8::new(UNKNOWN);

/// Whether long copies are best made so on this processor.
pub(super) fn are_best() -> bool {
    // Relaxed: whoever finds nothing asks the processor, which says the same to everybody.
    match KNOWN.load(Relaxed) {
        UNKNOWN => {
            let best = if is_measured() { YES } else { NO };
            KNOWN.compare_exchange(UNKNOWN, best, Relaxed, Relaxed).map_or_else(|known| known, |_| best) == YES
        }
        known => known == YES,
    }
}

/// No copy is made so any more: there is memory of a device, which may be uncached, and there the instruction stores byte by byte.
pub(super) fn avoid() {
    // Relaxed: all copies are right either way.
    KNOWN.store(NO, Relaxed);
}

/// AMD's processors from Zen 5 on that say of themselves that short ones are fast, too.
#[cold]
fn is_measured() -> bool {
    #[allow(unused_unsafe)] // newer compilers know that it is none
    // SAFETY: every processor of this architecture has the instruction.
    let ask = |leaf| unsafe { __cpuid_count(leaf, 0) };
    let highest = ask(0);
    if [highest.ebx, highest.edx, highest.ecx] != [*b"Auth", *b"enti", *b"cAMD"].map(u32::from_le_bytes) {
        return false;
    }
    family(ask(1).eax) >= ZEN_5 && highest.eax >= 7 && ask(7).edx & FAST_SHORT != 0
}

/// The family of processors that began with Zen 5.
const ZEN_5: u32 = 0x1a;
/// Of leaf 7, "fast short rep mov".
const FAST_SHORT: u32 = 1 << 4;

/// The family that a signature (leaf 1) tells.
fn family(signature: u32) -> u32 {
    let (base, extended) = (signature >> 8 & 0xf, signature >> 20 & 0xff);
    if base == 0xf { base + extended } else { base }
}

/// Copies. Its stores have no order among themselves, but all of them come after the stores before it and before those after it.
/// Intel says so of write-back memory in a sentence of its own; AMD lets nothing but write-combining and streaming stores leave the
/// order of the program, and this is neither. So there is no fence here.
///
/// # Safety
/// `from` must be readable and `to` writable for `length` bytes, and the two must not overlap.
pub(super) unsafe fn copy(from: *const u8, to: *mut u8, length: usize) {
    // SAFETY: the caller's promise. Other processes may access the same bytes; whole bytes move, and nothing is read back. It
    // goes upwards: the direction flag is clear, as everywhere in Rust.
    unsafe {
        asm!(
            "rep movsb",
            inout("rsi") from => _,
            inout("rdi") to => _,
            inout("rcx") length => _,
            options(nostack, preserves_flags)
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_every_length_at_every_alignment() {
        super::super::copy::tests::copies_between_all_alignments("rep movsb", 1, copy);
    }

    #[test]
    fn families() {
        // Zen 5 (Turin), Zen 4 (Genoa), an Intel processor of family 6.
        assert_eq!([0x00b0_0f21, 0x00a1_0f11, 0x000c_06f2].map(family), [0x1a, 0x19, 6]);
    }

    #[test]
    fn only_what_was_measured_is_trusted() {
        // Other tests may have mapped a window meanwhile.
        assert!(is_measured() || !are_best());
        avoid();
        assert!(!are_best());
    }
}
