//! Plain and volatile accesses.
//!
//! Called before the access, so that its value is not known; of a volatile one neither, which is why it is told without.

use crate::atomic::orders;
use crate::engine::{self, ATOMIC, LEARNS_A, TELLS_A, WRITE};
use crate::entry::{passed_on, seen, told};

/// Tells of an access; where it was made comes last. Code that has looked in its own place calls it by this name.
#[unsafe(export_name = "__rsm_race_tell")]
pub(crate) extern "C" fn tell(address: usize, length: usize, kind: u32, pc: usize) {
    engine::access(address, length, kind, pc);
}

// Kinds: 0 is a read, 1 a write.
seen! {
    __tsan_read1 1 0
    __tsan_read2 2 0
    __tsan_read4 4 0
    __tsan_read8 8 0
    __tsan_read16 16 0
    __tsan_write1 1 1
    __tsan_write2 2 1
    __tsan_write4 4 1
    __tsan_write8 8 1
    __tsan_write16 16 1
    __tsan_read_write1 1 1
    __tsan_read_write2 2 1
    __tsan_read_write4 4 1
    __tsan_read_write8 8 1
    __tsan_read_write16 16 1
    __tsan_unaligned_read1 1 0
    __tsan_unaligned_read2 2 0
    __tsan_unaligned_read4 4 0
    __tsan_unaligned_read8 8 0
    __tsan_unaligned_read16 16 0
    __tsan_unaligned_write1 1 1
    __tsan_unaligned_write2 2 1
    __tsan_unaligned_write4 4 1
    __tsan_unaligned_write8 8 1
    __tsan_unaligned_write16 16 1
    __tsan_unaligned_read_write1 1 1
    __tsan_unaligned_read_write2 2 1
    __tsan_unaligned_read_write4 4 1
    __tsan_unaligned_read_write8 8 1
    __tsan_unaligned_read_write16 16 1
    __tsan_vptr_read 8 0
    __tsan_vptr_update 8 1
    __sanitizer_cov_load1 1 0
    __sanitizer_cov_load2 2 0
    __sanitizer_cov_load4 4 0
    __sanitizer_cov_load8 8 0
    __sanitizer_cov_load16 16 0
    __sanitizer_cov_store1 1 1
    __sanitizer_cov_store2 2 1
    __sanitizer_cov_store4 4 1
    __sanitizer_cov_store8 8 1
    __sanitizer_cov_store16 16 1
}

/// Tells of a volatile access, by which threads may tell each other something wherever it is.
extern "C" fn tell_volatile(address: usize, length: usize, kind: u32, pc: usize) {
    orders(if kind & WRITE != 0 { TELLS_A } else { LEARNS_A }, address);
    if engine::is_watched(address, length) {
        engine::access(address, length, kind | ATOMIC, pc);
    }
}

told! {
    tell_volatile
    __tsan_volatile_read1 1 0
    __tsan_volatile_read2 2 0
    __tsan_volatile_read4 4 0
    __tsan_volatile_read8 8 0
    __tsan_volatile_read16 16 0
    __tsan_volatile_write1 1 1
    __tsan_volatile_write2 2 1
    __tsan_volatile_write4 4 1
    __tsan_volatile_write8 8 1
    __tsan_volatile_write16 16 1
    __tsan_unaligned_volatile_read1 1 0
    __tsan_unaligned_volatile_read2 2 0
    __tsan_unaligned_volatile_read4 4 0
    __tsan_unaligned_volatile_read8 8 0
    __tsan_unaligned_volatile_read16 16 0
    __tsan_unaligned_volatile_write1 1 1
    __tsan_unaligned_volatile_write2 2 1
    __tsan_unaligned_volatile_write4 4 1
    __tsan_unaligned_volatile_write8 8 1
    __tsan_unaligned_volatile_write16 16 1
}

passed_on! {
    __tsan_read_range rdx x2 read_range;
    __tsan_write_range rdx x2 write_range;
}

extern "C" fn read_range(address: usize, length: usize, pc: usize) {
    if engine::is_watched(address, length) {
        engine::access(address, length, 0, pc);
    }
}

extern "C" fn write_range(address: usize, length: usize, pc: usize) {
    if engine::is_watched(address, length) {
        engine::access(address, length, WRITE, pc);
    }
}

/// Functions that have nothing to do: where calls and functions begin and end is not asked for.
macro_rules! nothing {
    ($($name:ident)*) => {$(
        #[unsafe(no_mangle)]
        #[unsafe(naked)]
        pub extern "C" fn $name() {
            std::arch::naked_asm!("ret")
        }
    )*};
}

nothing! {
    __tsan_init
    __tsan_func_entry
    __tsan_func_exit
    __tsan_ignore_thread_begin
    __tsan_ignore_thread_end
    __sanitizer_cov_trace_pc_guard
    __sanitizer_cov_trace_pc_guard_init
}
