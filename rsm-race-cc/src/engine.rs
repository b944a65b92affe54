//! The way to the race detector, which is in librsm.

use crate::led::Led;
use crate::real;
use std::sync::atomic::{AtomicPtr, AtomicU8, AtomicU32, Ordering};

/// Bits that say what kind of access it was, as librsm has them.
pub(crate) const WRITE: u32 = 1;
/// See [`WRITE`]: atomic or volatile.
pub(crate) const ATOMIC: u32 = 2;
/// See [`WRITE`]: it reads and writes as one.
pub(crate) const UPDATE: u32 = 4;
/// See [`WRITE`]: an update that was told has been made.
pub(crate) const UPDATED: u32 = 8;

/// What is told by who tells all accesses to memory.
const ACCESSES: u32 = 1;

/// How many granules have a byte of their own.
const COUNT: usize = 1 << 16;

/// Where watched memory may be: a byte for each 64 KiB of addresses, which are numbered by bits 16 to 31, that is not 0 if any is
/// there, or an access may begin there that reaches some.
type Granules = [AtomicU8; COUNT];

/// Those of a program without librsm.
static NOTHING: Granules = [const { AtomicU8::new(0) }; COUNT];

/// Those that count. Code in assembler reads it, here and where `rsm-ctl cc` has accesses looked at in their own place, which
/// knows it by this name.
#[unsafe(export_name = "__rsm_race_granules")]
pub(crate) static GRANULES: AtomicPtr<Granules> = AtomicPtr::new((&raw const NOTHING).cast_mut());

/// Whether what threads do is to be told: never, without librsm.
static UNTOLD: AtomicU32 = AtomicU32::new(0);

/// The word that counts. Code in assembler reads it.
pub(crate) static THREADS: AtomicPtr<AtomicU32> = AtomicPtr::new((&raw const UNTOLD).cast_mut());

/// What librsm has, in the order of the table below.
#[repr(C)]
struct Engine {
    granules: Option<&'static Granules>,
    access: Option<unsafe extern "C" fn(usize, usize, u32, usize)>,
    value: Option<unsafe extern "C" fn(usize, usize, u64, u32, usize)>,
    sees: Option<unsafe extern "C" fn(u32)>,
    threads: Option<&'static AtomicU32>,
    module: Option<unsafe extern "C" fn(usize)>,
    creates: Option<unsafe extern "C" fn() -> u32>,
    begins: Option<unsafe extern "C" fn(u32, usize)>,
    created: Option<unsafe extern "C" fn(u32, usize, u32)>,
    named: Option<unsafe extern "C" fn(usize) -> u32>,
    joined: Option<unsafe extern "C" fn(u32)>,
    does: Option<unsafe extern "C" fn(u32, usize, usize)>,
    leads: Option<unsafe extern "C" fn(*const Led, usize)>,
}

// References that need not lead anywhere. They are weak in the object in which they are declared so, and stand nowhere else;
// the linker of a program, or its loader, fills them in.
std::arch::global_asm!(
    ".weak rsm_race_granules",
    ".weak rsm_race_access",
    ".weak rsm_race_value",
    ".weak rsm_race_sees",
    ".weak rsm_race_threads",
    ".weak rsm_race_module",
    ".weak rsm_race_thread_creates",
    ".weak rsm_race_thread_begins",
    ".weak rsm_race_thread_created",
    ".weak rsm_race_thread_named",
    ".weak rsm_race_thread_joined",
    ".weak rsm_race_thread_does",
    ".weak rsm_race_leads",
    ".pushsection .data.rel.ro.rsm_race, \"aw\"",
    ".balign 8",
    ".globl rsm_race_engine",
    ".hidden rsm_race_engine",
    "rsm_race_engine:",
    ".quad rsm_race_granules, rsm_race_access, rsm_race_value, rsm_race_sees",
    ".quad rsm_race_threads, rsm_race_module, rsm_race_thread_creates, rsm_race_thread_begins",
    ".quad rsm_race_thread_created, rsm_race_thread_named, rsm_race_thread_joined, rsm_race_thread_does",
    ".quad rsm_race_leads",
    ".popsection",
);

unsafe extern "C" {
    #[link_name = "rsm_race_engine"]
    static ENGINE: Engine;
}

fn engine() -> &'static Engine {
    // SAFETY: the table above, of addresses, each 0 or that of what librsm declares so; it is filled in before any code
    // of the program runs.
    unsafe { &ENGINE }
}

/// The program tells of all its accesses to memory from now on.
pub(crate) fn sees() {
    if let (Some(granules), Some(sees)) = (engine().granules, engine().sees) {
        // Relaxed: what it leads to is atomic itself, and was there before.
        GRANULES.store(std::ptr::from_ref(granules).cast_mut(), Ordering::Relaxed);
        // SAFETY: a number: all accesses to memory are told.
        unsafe { sees(ACCESSES) };
    }
}

/// This module tells of what its threads do, all calls about which come here: those of these functions.
pub(crate) fn leads(all: impl Iterator<Item = &'static [Led]>) {
    if let (Some(threads), Some(module), true) = (engine().threads, engine().module, real::leads_here()) {
        // Relaxed: as above.
        THREADS.store(std::ptr::from_ref(threads).cast_mut(), Ordering::Relaxed);
        // SAFETY: a number: this module.
        unsafe { module((&raw const UNTOLD).addr()) };
        if let Some(leads) = engine().leads {
            // SAFETY: lists that are never changed, of this module, which says itself whether it stays.
            all.for_each(|all| unsafe { leads(all.as_ptr(), all.len()) });
        }
    }
}

fn granules() -> &'static Granules {
    // Relaxed: see `sees`. SAFETY: one of two that are never taken away.
    unsafe { &*GRANULES.load(Ordering::Relaxed) }
}

/// Whether some of these bytes may be watched.
pub(crate) fn is_watched(address: usize, length: usize) -> bool {
    let granules = granules();
    let mut touched = (address >> 16..address.saturating_add(length).div_ceil(1 << 16)).take(COUNT);
    // Relaxed: memory that a thread was not told of is none that it reaches.
    touched.any(|granule| granules[granule % COUNT].load(Ordering::Relaxed) != 0)
}

/// Tells of an access whose value is not known, or that is no word.
pub(crate) fn access(address: usize, length: usize, kind: u32, pc: usize) {
    if let Some(access) = engine().access {
        // SAFETY: numbers, as librsm takes them; it touches no memory of the program's.
        unsafe { access(address, length, kind, pc) };
    }
}

/// Tells of an atomic access with its value.
pub(crate) fn value(address: usize, length: usize, value: u64, kind: u32, pc: usize) {
    if let Some(tell) = engine().value {
        // SAFETY: as for `access`.
        unsafe { tell(address, length, value, kind, pc) };
    }
}

/// Bits of what a thread does with two objects, as librsm has them.
pub(crate) const TELLS_A: u32 = 1;
/// See [`TELLS_A`]: it learns by it.
pub(crate) const LEARNS_A: u32 = 2;

/// Whether what threads do is told.
pub(crate) fn tells_threads() -> bool {
    // Relaxed: see `leads`; of librsm's word, a thread that was told of another one finds that it is on.
    // SAFETY: one of two that are never taken away.
    unsafe { &*THREADS.load(Ordering::Relaxed) }.load(Ordering::Relaxed) != 0
}

/// Tells what this thread does with objects at these addresses.
pub(crate) extern "C" fn does(what: u32, a: usize, b: usize) {
    if let Some(does) = engine().does {
        // SAFETY: numbers.
        unsafe { does(what, a, b) };
    }
}

/// A thread is about to be created: its name.
pub(crate) fn creates() -> u32 {
    // SAFETY: nothing is passed.
    engine().creates.map_or(0, |creates| unsafe { creates() })
}

/// This thread, which is this one to the C library, has begun.
pub(crate) fn begins(name: u32, thread: usize) {
    if let Some(begins) = engine().begins {
        // SAFETY: numbers.
        unsafe { begins(name, thread) };
    }
}

/// That one was created, as this one to the C library, or was not.
pub(crate) fn created(name: u32, thread: Option<usize>) {
    if let Some(created) = engine().created {
        // SAFETY: numbers.
        unsafe { created(name, thread.unwrap_or(0), thread.is_some().into()) };
    }
}

/// The name of the thread that is this one to the C library.
pub(crate) fn named(thread: usize) -> u32 {
    // SAFETY: a number.
    engine().named.map_or(0, |named| unsafe { named(thread) })
}

/// The thread of this name has ended and was waited for.
pub(crate) fn joined(name: u32) {
    if let Some(joined) = engine().joined {
        // SAFETY: a number.
        unsafe { joined(name) };
    }
}
