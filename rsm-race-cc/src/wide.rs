//! Atomic accesses of sixteen bytes, all made of one instruction: compare and exchange. They are told as accesses to two
//! words.

use crate::atomic::orders;
use crate::engine::{self, ATOMIC, LEARNS_A, TELLS_A, UPDATE, UPDATED, WRITE};
use crate::entry::passed_on;
use std::arch::naked_asm;

/// Exchanges what is at the address with `to` if it is `from`; gives what there was.
#[cfg(target_arch = "x86_64")]
#[unsafe(naked)]
extern "C" fn exchange_wide(address: usize, from: u128, to: u128) -> u128 {
    // rbx is the caller's. The value before comes in rax and rdx, where it is returned.
    naked_asm!("push rbx", "mov rax, rsi", "mov rbx, rcx", "mov rcx, r8", "lock cmpxchg16b [rdi]", "pop rbx", "ret")
}

/// See above.
#[cfg(target_arch = "aarch64")]
#[unsafe(naked)]
extern "C" fn exchange_wide(address: usize, from: u128, to: u128) -> u128 {
    // A pair begins at an even register. What is not exchanged is stored as it was, so that it was read as one.
    naked_asm!(
        "2:",
        "ldaxp x8, x9, [x0]",
        "cmp x8, x2",
        "ccmp x9, x3, #0, eq",
        "csel x10, x4, x8, eq",
        "csel x11, x5, x9, eq",
        "stlxp w12, x10, x11, [x0]",
        "cbnz w12, 2b",
        "mov x0, x8",
        "mov x1, x9",
        "ret"
    )
}

/// What a load tells; each of the two words.
fn tell(address: usize, kind: u32, pc: usize) {
    engine::access(address, 8, kind, pc);
    engine::access(address + 8, 8, kind, pc);
}

/// What was told has been made: of both words at once.
fn tell_made(address: usize, pc: usize) {
    engine::access(address, 16, ATOMIC | UPDATED, pc);
}

/// Makes of the value what `change` says, and gives the one before. `is_store`: the program does not ask for that.
fn change(address: usize, pc: usize, is_store: bool, change: impl Fn(u128) -> u128) -> u128 {
    orders(TELLS_A | LEARNS_A, address);
    let is_watched = engine::is_watched(address, 16);
    if is_watched {
        tell(address, ATOMIC | UPDATE | WRITE, pc);
    }
    let mut before = exchange_wide(address, 0, 0);
    loop {
        let now = exchange_wide(address, before, change(before));
        if now == before {
            break;
        }
        before = now;
    }
    // As in `exchange_if`.
    if is_watched {
        tell(address, ATOMIC, pc);
        if !is_store {
            tell_made(address, pc);
        }
    }
    orders(LEARNS_A, address);
    before
}

fn update(address: usize, pc: usize, how: impl Fn(u128) -> u128) -> u128 {
    change(address, pc, false, how)
}

/// Loads what may be mapped for reading only, where the processor can do that.
#[cfg(target_arch = "x86_64")]
fn load_wide(address: usize) -> u128 {
    if !std::arch::is_x86_feature_detected!("avx") {
        return exchange_wide(address, 0, 0);
    }
    let (low, high): (u64, u64);
    // SAFETY: the program loads it, aligned. With AVX go loads of 16 aligned bytes that are atomic.
    unsafe {
        std::arch::asm!(
            "movdqa {whole}, [{address}]",
            "movq {low}, {whole}",
            "psrldq {whole}, 8",
            "movq {high}, {whole}",
            whole = out(xmm_reg) _,
            address = in(reg) address,
            low = lateout(reg) low,
            high = lateout(reg) high,
            options(nostack, preserves_flags),
        );
    }
    u128::from(high) << 64 | u128::from(low)
}

/// Likewise. Before ARMv8.4 a load of 16 bytes is atomic only if they are stored again, as libatomic does there, too: memory for
/// reading only is none of which a program can load so many at once.
#[cfg(target_arch = "aarch64")]
fn load_wide(address: usize) -> u128 {
    if !std::arch::is_aarch64_feature_detected!("lse2") {
        return exchange_wide(address, 0, 0);
    }
    let (low, high): (u64, u64);
    // SAFETY: the program loads it, aligned. With LSE2 a pair of registers is loaded at once. The first fence keeps what the program
    // stored before from coming after (sequentially consistent stores, with which this pairs, are exchanges), the second one what it
    // does next from coming before: an acquire.
    unsafe {
        std::arch::asm!(
            "dmb ish",
            "ldp {low}, {high}, [{address}]",
            "dmb ishld",
            address = in(reg) address,
            low = out(reg) low,
            high = out(reg) high,
            options(nostack, preserves_flags),
        );
    }
    u128::from(high) << 64 | u128::from(low)
}

extern "C" fn load(address: usize, pc: usize) -> u128 {
    let value = load_wide(address);
    orders(LEARNS_A, address);
    if engine::is_watched(address, 16) {
        tell(address, ATOMIC, pc);
    }
    value
}

extern "C" fn store(address: usize, value: u128, pc: usize) {
    change(address, pc, true, |_| value);
}

extern "C" fn exchange(address: usize, value: u128, pc: usize) -> u128 {
    update(address, pc, |_| value)
}

extern "C" fn fetch_add(address: usize, value: u128, pc: usize) -> u128 {
    update(address, pc, |before| before.wrapping_add(value))
}

extern "C" fn fetch_sub(address: usize, value: u128, pc: usize) -> u128 {
    update(address, pc, |before| before.wrapping_sub(value))
}

extern "C" fn fetch_and(address: usize, value: u128, pc: usize) -> u128 {
    update(address, pc, |before| before & value)
}

extern "C" fn fetch_or(address: usize, value: u128, pc: usize) -> u128 {
    update(address, pc, |before| before | value)
}

extern "C" fn fetch_xor(address: usize, value: u128, pc: usize) -> u128 {
    update(address, pc, |before| before ^ value)
}

extern "C" fn fetch_nand(address: usize, value: u128, pc: usize) -> u128 {
    update(address, pc, |before| !(before & value))
}

extern "C" fn exchange_if(address: usize, from: u128, to: u128, pc: usize) -> u128 {
    orders(TELLS_A | LEARNS_A, address);
    let is_watched = engine::is_watched(address, 16);
    if is_watched {
        let exchanges = exchange_wide(address, 0, 0) == from;
        tell(address, if exchanges { ATOMIC | UPDATE | WRITE } else { ATOMIC }, pc);
    }
    let before = exchange_wide(address, from, to);
    // It may have changed since it was told, also back to the same value.
    if is_watched {
        tell(address, ATOMIC, pc);
        if before == from {
            tell_made(address, pc);
        }
    }
    orders(LEARNS_A, address);
    before
}

extern "C" fn compare_exchange(address: usize, from: *mut u128, to: u128, pc: usize) -> i32 {
    // SAFETY: the program's variable.
    let wanted = unsafe { from.read() };
    let before = exchange_if(address, wanted, to, pc);
    if before == wanted {
        return 1;
    }
    // SAFETY: as above.
    unsafe { from.write(before) };
    0
}

// A value takes two registers. The last one of `compare_exchange_val` is on the stack of x86-64: where the call came from
// takes the place of the first order.
passed_on! {
    __tsan_atomic128_load rsi x1 load;
    __tsan_atomic128_store rcx x4 store;
    __tsan_atomic128_exchange rcx x4 exchange;
    __tsan_atomic128_fetch_add rcx x4 fetch_add;
    __tsan_atomic128_fetch_sub rcx x4 fetch_sub;
    __tsan_atomic128_fetch_and rcx x4 fetch_and;
    __tsan_atomic128_fetch_or rcx x4 fetch_or;
    __tsan_atomic128_fetch_xor rcx x4 fetch_xor;
    __tsan_atomic128_fetch_nand rcx x4 fetch_nand;
    __tsan_atomic128_compare_exchange_strong r8 x4 compare_exchange;
    __tsan_atomic128_compare_exchange_weak r8 x4 compare_exchange;
    __tsan_atomic128_compare_exchange_val r9 x6 exchange_if;
}
