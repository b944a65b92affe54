//! As accesses.c, for what stable Rust can be told: a crate of its own, built by `rsm-ctl cc cargo`.

use std::hint::black_box;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

unsafe extern "C" {
    fn watch(start: *mut u8, length: usize);
    fn count() -> u64;
}

#[repr(align(64))]
struct Memory(#[expect(dead_code)] [u8; 4096]);

static mut MEMORY: Memory = Memory([0; 4096]);

#[inline(never)]
unsafe fn plain(memory: *mut u8) {
    unsafe {
        *memory.add(4).cast::<u32>() = 1; // sees: +4 4 1
        black_box(*memory.add(8).cast::<u64>()); // sees: +8 8 0
        memory.add(17).write_volatile(4); // sees: +17 1 1
    }
}

#[inline(never)]
unsafe fn words(memory: *mut u8) -> bool {
    let (wide, narrow) =
        unsafe { (AtomicU64::from_ptr(memory.add(32).cast()), AtomicU32::from_ptr(memory.add(40).cast())) };
    wide.store(7, Ordering::Release); // sees: +32 8 3=7
    let mut right = wide.load(Ordering::Acquire) == 7; // sees: +32 8 2=7
    right &= wide.fetch_add(5, Ordering::AcqRel) == 7; // sees: +32 8 2=7, +32 8 7=12, +32 8 10=7
    right &= wide.compare_exchange(11, 1, Ordering::AcqRel, Ordering::Acquire) == Err(12); // sees: +32 8 2=12
    right &= wide.compare_exchange(12, 1, Ordering::AcqRel, Ordering::Acquire) == Ok(12); // sees: +32 8 2=12, +32 8 7=1, +32 8 10=12
    right &= narrow.swap(3, Ordering::Relaxed) == 0; // sees: +40 4 2=0, +40 4 7=3, +40 4 10=0
    right
}

#[inline(never)]
unsafe fn blocks(memory: *mut u8, length: usize) {
    let other = [3u8; 200];
    unsafe { std::ptr::copy_nonoverlapping(other.as_ptr(), memory.add(64), length) }; // sees: +64 150 1
    unsafe { std::ptr::write_bytes(memory.add(300), 1, length) }; // sees: +300 150 1
}

fn main() {
    let memory = (&raw mut MEMORY).cast::<u8>();
    let right = unsafe {
        watch(memory, 4096);
        plain(memory);
        let right = words(memory);
        blocks(memory, black_box(150));
        let before = count();
        black_box(AtomicU64::new(1).fetch_add(1, Ordering::SeqCst));
        right && count() == before
    };
    let in_thread = std::thread::spawn(|| std::sync::Mutex::new(5).into_inner().is_ok_and(|five| five == 5));
    println!("{}", if right && in_thread.join().unwrap_or(false) { "right" } else { "wrong" });
}
