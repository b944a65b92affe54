//! Atomic accesses of up to eight bytes: the compiler has calls in their place.
//!
//! Each is made with sequential consistency, whatever order was asked for: that is all that a weaker one promises, and so
//! the argument that says it can carry where the call came from instead (`entry`).
//!
//! A word of watched memory: what is stored is told before the store, so that nobody reads a value that the detector does not
//! know; what is loaded is told after the load. So an update is told before each try; that it was made, once, behind it.
//!
//! Threads tell each other something by atomics in any memory, whatever order was asked for.

use crate::engine::{self, ATOMIC, LEARNS_A, TELLS_A, UPDATE, UPDATED, WRITE};
use crate::entry::passed_on;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64, fence};

/// An atomic of some width.
pub(crate) trait Word: 'static {
    /// What it holds.
    type Value: Copy + Eq;
    /// Its bytes.
    const LENGTH: usize;

    /// The one at this address.
    ///
    /// # Safety
    /// There is one, and it is there for the whole call.
    unsafe fn at<'a>(address: usize) -> &'a Self;
    fn load(&self) -> Self::Value;
    fn store(&self, value: Self::Value);
    /// Gives the value that it had, with which it was exchanged if it was `from`.
    fn exchange(&self, from: Self::Value, to: Self::Value) -> Result<Self::Value, Self::Value>;
    /// The value as the detector has it.
    fn number(value: Self::Value) -> u64;
    /// The value in a register, of which the bits above are whatever they are: not every compiler clears those.
    fn of(register: usize) -> Self::Value;
    fn add(a: Self::Value, b: Self::Value) -> Self::Value;
    fn sub(a: Self::Value, b: Self::Value) -> Self::Value;
    fn and(a: Self::Value, b: Self::Value) -> Self::Value;
    fn or(a: Self::Value, b: Self::Value) -> Self::Value;
    fn xor(a: Self::Value, b: Self::Value) -> Self::Value;
    fn not(a: Self::Value) -> Self::Value;
}

macro_rules! word {
    ($($atomic:ident $value:ident)*) => {$(
        impl Word for $atomic {
            type Value = $value;
            const LENGTH: usize = size_of::<$value>();

            unsafe fn at<'a>(address: usize) -> &'a $atomic {
                // SAFETY: the caller's; compilers call for aligned words only.
                unsafe { $atomic::from_ptr(std::ptr::with_exposed_provenance_mut(address)) }
            }
            // SeqCst, all of them: they are the program's accesses, whose partners only it knows.
            fn load(&self) -> $value {
                $atomic::load(self, SeqCst)
            }
            fn store(&self, value: $value) {
                $atomic::store(self, value, SeqCst);
            }
            fn exchange(&self, from: $value, to: $value) -> Result<$value, $value> {
                self.compare_exchange(from, to, SeqCst, SeqCst)
            }
            fn number(value: $value) -> u64 {
                value.into()
            }
            fn of(register: usize) -> $value {
                register as $value
            }
            fn add(a: $value, b: $value) -> $value {
                a.wrapping_add(b)
            }
            fn sub(a: $value, b: $value) -> $value {
                a.wrapping_sub(b)
            }
            fn and(a: $value, b: $value) -> $value {
                a & b
            }
            fn or(a: $value, b: $value) -> $value {
                a | b
            }
            fn xor(a: $value, b: $value) -> $value {
                a ^ b
            }
            fn not(a: $value) -> $value {
                !a
            }
        }
    )*};
}

word! {
    AtomicU8 u8
    AtomicU16 u16
    AtomicU32 u32
    AtomicU64 u64
}

extern "C" fn load<W: Word>(address: usize, pc: usize) -> W::Value {
    // SAFETY: the program loads it.
    let word = unsafe { W::at(address) };
    let value = word.load();
    orders(LEARNS_A, address);
    if engine::is_watched(address, W::LENGTH) {
        engine::value(address, W::LENGTH, W::number(value), ATOMIC, pc);
    }
    value
}

/// Threads may tell each other something here: what is told goes before a store, what is learned after a load.
pub(crate) fn orders(what: u32, address: usize) {
    if engine::tells_threads() {
        engine::does(what, address, 0);
    }
}

extern "C" fn store<W: Word>(address: usize, value: usize, pc: usize) {
    let value = W::of(value);
    orders(TELLS_A, address);
    if engine::is_watched(address, W::LENGTH) {
        engine::value(address, W::LENGTH, W::number(value), ATOMIC | WRITE, pc);
    }
    // SAFETY: the program stores to it.
    unsafe { W::at(address) }.store(value);
}

/// Makes of the value what `change` says, and gives the one before.
fn update<W: Word>(address: usize, pc: usize, change: impl Fn(W::Value) -> W::Value) -> W::Value {
    let is_watched = engine::is_watched(address, W::LENGTH);
    orders(TELLS_A | LEARNS_A, address);
    // SAFETY: the program stores to it.
    let word = unsafe { W::at(address) };
    let mut before = word.load();
    loop {
        let after = change(before);
        if is_watched {
            engine::value(address, W::LENGTH, W::number(before), ATOMIC, pc);
            engine::value(address, W::LENGTH, W::number(after), ATOMIC | UPDATE | WRITE, pc);
        }
        match word.exchange(before, after) {
            Ok(_) => {
                // The same value may have come again since it was told, by somebody else.
                if is_watched {
                    engine::value(address, W::LENGTH, W::number(before), ATOMIC | UPDATED, pc);
                }
                break;
            }
            Err(now) => before = now,
        }
    }
    orders(LEARNS_A, address);
    before
}

extern "C" fn exchange<W: Word>(address: usize, value: usize, pc: usize) -> W::Value {
    update::<W>(address, pc, |_| W::of(value))
}

extern "C" fn fetch_add<W: Word>(address: usize, value: usize, pc: usize) -> W::Value {
    update::<W>(address, pc, |before| W::add(before, W::of(value)))
}

extern "C" fn fetch_sub<W: Word>(address: usize, value: usize, pc: usize) -> W::Value {
    update::<W>(address, pc, |before| W::sub(before, W::of(value)))
}

extern "C" fn fetch_and<W: Word>(address: usize, value: usize, pc: usize) -> W::Value {
    update::<W>(address, pc, |before| W::and(before, W::of(value)))
}

extern "C" fn fetch_or<W: Word>(address: usize, value: usize, pc: usize) -> W::Value {
    update::<W>(address, pc, |before| W::or(before, W::of(value)))
}

extern "C" fn fetch_xor<W: Word>(address: usize, value: usize, pc: usize) -> W::Value {
    update::<W>(address, pc, |before| W::xor(before, W::of(value)))
}

extern "C" fn fetch_nand<W: Word>(address: usize, value: usize, pc: usize) -> W::Value {
    update::<W>(address, pc, |before| W::not(W::and(before, W::of(value))))
}

/// Gives the value that there was. One that does not exchange is a load.
extern "C" fn exchange_if<W: Word>(address: usize, from: usize, to: usize, pc: usize) -> W::Value {
    exchange_word::<W>(address, W::of(from), W::of(to), pc)
}

fn exchange_word<W: Word>(address: usize, from: W::Value, to: W::Value, pc: usize) -> W::Value {
    // SAFETY: the program stores to it.
    let word = unsafe { W::at(address) };
    orders(TELLS_A | LEARNS_A, address);
    let is_watched = engine::is_watched(address, W::LENGTH);
    let before = if is_watched {
        exchange_watched(word, (address, pc), from, to)
    } else {
        word.exchange(from, to).unwrap_or_else(|now| now)
    };
    orders(LEARNS_A, address);
    before
}

fn exchange_watched<W: Word>(word: &W, (address, pc): (usize, usize), from: W::Value, to: W::Value) -> W::Value {
    let mut before = word.load();
    loop {
        engine::value(address, W::LENGTH, W::number(before), ATOMIC, pc);
        if before != from {
            return before;
        }
        engine::value(address, W::LENGTH, W::number(to), ATOMIC | UPDATE | WRITE, pc);
        match word.exchange(from, to) {
            Ok(_) => {
                // As in `update`.
                engine::value(address, W::LENGTH, W::number(before), ATOMIC | UPDATED, pc);
                return before;
            }
            Err(now) => before = now,
        }
    }
}

/// As C has it: whether it was exchanged, and in `from` the value that there was if not.
extern "C" fn compare_exchange<W: Word>(address: usize, from: *mut W::Value, to: usize, pc: usize) -> i32 {
    // SAFETY: the program's variable.
    let wanted = unsafe { from.read() };
    let before = exchange_word::<W>(address, wanted, W::of(to), pc);
    if before == wanted {
        return 1;
    }
    // SAFETY: as above.
    unsafe { from.write(before) };
    0
}

macro_rules! atomics {
    ($word:ident $load:ident $store:ident $exchange:ident $add:ident $sub:ident $and:ident $or:ident $xor:ident $nand:ident
     $strong:ident $weak:ident $val:ident) => {
        passed_on! {
            $load rsi x1 load::<$word>;
            $store rdx x2 store::<$word>;
            $exchange rdx x2 exchange::<$word>;
            $add rdx x2 fetch_add::<$word>;
            $sub rdx x2 fetch_sub::<$word>;
            $and rdx x2 fetch_and::<$word>;
            $or rdx x2 fetch_or::<$word>;
            $xor rdx x2 fetch_xor::<$word>;
            $nand rdx x2 fetch_nand::<$word>;
            $strong rcx x3 compare_exchange::<$word>;
            $weak rcx x3 compare_exchange::<$word>;
            $val rcx x3 exchange_if::<$word>;
        }
    };
}

atomics! { AtomicU8 __tsan_atomic8_load __tsan_atomic8_store __tsan_atomic8_exchange __tsan_atomic8_fetch_add
__tsan_atomic8_fetch_sub __tsan_atomic8_fetch_and __tsan_atomic8_fetch_or __tsan_atomic8_fetch_xor __tsan_atomic8_fetch_nand
__tsan_atomic8_compare_exchange_strong __tsan_atomic8_compare_exchange_weak __tsan_atomic8_compare_exchange_val }
atomics! { AtomicU16 __tsan_atomic16_load __tsan_atomic16_store __tsan_atomic16_exchange __tsan_atomic16_fetch_add
__tsan_atomic16_fetch_sub __tsan_atomic16_fetch_and __tsan_atomic16_fetch_or __tsan_atomic16_fetch_xor __tsan_atomic16_fetch_nand
__tsan_atomic16_compare_exchange_strong __tsan_atomic16_compare_exchange_weak __tsan_atomic16_compare_exchange_val }
atomics! { AtomicU32 __tsan_atomic32_load __tsan_atomic32_store __tsan_atomic32_exchange __tsan_atomic32_fetch_add
__tsan_atomic32_fetch_sub __tsan_atomic32_fetch_and __tsan_atomic32_fetch_or __tsan_atomic32_fetch_xor __tsan_atomic32_fetch_nand
__tsan_atomic32_compare_exchange_strong __tsan_atomic32_compare_exchange_weak __tsan_atomic32_compare_exchange_val }
atomics! { AtomicU64 __tsan_atomic64_load __tsan_atomic64_store __tsan_atomic64_exchange __tsan_atomic64_fetch_add
__tsan_atomic64_fetch_sub __tsan_atomic64_fetch_and __tsan_atomic64_fetch_or __tsan_atomic64_fetch_xor __tsan_atomic64_fetch_nand
__tsan_atomic64_compare_exchange_strong __tsan_atomic64_compare_exchange_weak __tsan_atomic64_compare_exchange_val }

#[unsafe(no_mangle)]
pub extern "C" fn __tsan_atomic_thread_fence(_order: i32) {
    // SeqCst: the program's fence, as strong as there is.
    fence(SeqCst);
}

#[unsafe(no_mangle)]
pub extern "C" fn __tsan_atomic_signal_fence(_order: i32) {
    // SeqCst: as above, against the compiler only.
    std::sync::atomic::compiler_fence(SeqCst);
}
