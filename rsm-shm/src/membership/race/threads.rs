//! Threads of this process, told apart where all that orders them is told.
//!
//! A program that `rsm-ctl cc --threads` builds tells of the threads that it creates, of what it does with locks and the like, and of
//! every call by which its threads may tell each other something. Its threads have clocks of their own then, from when it
//! creates the first until it does anything of which that is not so:
//!
//! * it has created a thread before it joined a cluster, or joins another one;
//! * a module is loaded that was built otherwise, but for librsm and the C library's own: what that does is not known; of libstdc++ it is
//!   ([`super::cxx`]);
//! * a thread comes that nobody told of, as the C library and others start some;
//! * there are too many threads.
//!
//! Then they are taken for one, for good ([`rsm_race::thread`]).
#![allow(unsafe_code)]

use super::{Racing, cxx, name_in, named, seen};
use crate::caller::Modules;
use crate::membership::fork;
use crate::private_table::is_of_library;
use rsm_race::process::Process;
use rsm_race::table::IDS;
use rsm_race::thread::Object;
use std::cell::Cell;
use std::ffi::c_uint;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Other than 0 while what threads do is to be told: `struct { _Atomic unsigned }`.
#[unsafe(no_mangle)]
#[allow(non_upper_case_globals)]
pub static rsm_race_threads: AtomicU32 = AtomicU32::new(0);

/// Where threads are told apart.
#[derive(Debug)]
struct Apart {
    racing: &'static Racing,
    /// What threads tell each other by way of anything; and then, by addresses, of which several may share one: then
    /// more is known than was told.
    objects: Vec<Object>,
}

/// Null before that.
static APART: AtomicPtr<Apart> = AtomicPtr::new(std::ptr::null_mut());
const OBJECTS: usize = 512;

/// How far it has come.
static STATE: AtomicU32 = AtomicU32::new(ONE);
/// There was one thread, so far.
const ONE: u32 = 0;
const TOLD_APART: u32 = 1;
const TOGETHER: u32 = 2;

/// Where the process has joined.
static JOINED: AtomicPtr<Racing> = AtomicPtr::new(std::ptr::null_mut());

/// An address in each module that tells all that its threads do.
static MODULES: Mutex<Vec<usize>> = Mutex::new(Vec::new());

/// A thread that nobody has waited for.
#[derive(Clone, Copy, Debug)]
struct Live {
    /// `pthread_self`; 0 before that is known.
    thread: usize,
    /// The name of its clock.
    name: usize,
}

static LIVE: Mutex<Vec<Live>> = Mutex::new(Vec::new());

/// Objects that a thread learns of with what it does next, by the name of its clock; or whoever waits for its end, if it did nothing
/// more. Two of 32 bits, 0 for none, or one more than where it is.
static LEARNS: [AtomicU64; IDS] = [const { AtomicU64::new(0) }; IDS];

/// How often a thread had another one do something in between, whichever that was.
static INTERRUPTS: AtomicU32 = AtomicU32::new(0);

thread_local! {
    /// How many of those this one has learned of.
    static INTERRUPTED: Cell<u32> = const { Cell::new(0) };
    /// The name of the thread's clock, as [`named`] has it; 0: nobody told of it.
    static MINE: Cell<u64> = const { Cell::new(0) };
}

fn apart() -> Option<&'static Apart> {
    // SAFETY: null, or what stays for ever. Acquire: pairs with the AcqRel of `begin_apart`.
    unsafe { APART.load(Acquire).as_ref() }
}

/// The process has joined a cluster in which races are looked for.
pub(super) fn joins(racing: &'static Racing) {
    // AcqRel: pairs with itself, and with the Acquire of `begin_apart`.
    if !JOINED.swap(std::ptr::from_ref(racing).cast_mut(), AcqRel).is_null() {
        take_together();
    }
    // It is looked whether they all are when there is a thread.
    let _ = cxx::lead();
}

/// Threads are one from now on, if they ever were not.
pub(super) fn take_together() {
    STATE.store(TOGETHER, Release); // pairs with the Acquire of `rsm_race_thread_creates`
    if let Some(Apart { racing, .. }) = apart()
        && let Some(leader) = name_in(&racing.id).filter(|&id| id != 0)
    {
        Process::with_id(racing.table(), leader).takes_threads_together();
    }
    // Release: pairs with the Acquire of `is_apart`. Who is told by what comes after this finds the above.
    rsm_race_threads.store(0, Release);
}

fn is_apart() -> bool {
    // Acquire: pairs with the Release of `take_together` and of `begin_apart`.
    rsm_race_threads.load(Acquire) != 0
}

/// The name of the clock of the thread that does something now, of a process with this one.
#[inline]
pub(super) fn current(racing: &Racing, leader: usize) -> usize {
    if is_apart() { of_thread(racing, leader) } else { leader }
}

#[cold]
fn of_thread(racing: &Racing, leader: usize) -> usize {
    let Some(apart) = apart().filter(|apart| std::ptr::eq(apart.racing, racing)) else { return leader };
    // What a thread of librsm's does is as if the process did it: none of it is the program's.
    if is_of_library() {
        return leader;
    }
    let mine = MINE.try_with(Cell::get).unwrap_or(0);
    let Some(id) = name_in(&AtomicU64::new(mine)).filter(|&id| id != 0) else {
        // It is not known what orders it.
        take_together();
        return leader;
    };
    let process = Process::with_id(racing.table(), id);
    learn_due(apart, process, id);
    // Acquire: pairs with the AcqRel of `rsm_race_thread_does`.
    let interrupts = INTERRUPTS.load(Acquire);
    if INTERRUPTED.try_with(|seen| seen.replace(interrupts)).is_ok_and(|seen| seen != interrupts) {
        process.learn_object(&apart.objects[0]);
    }
    id
}

/// A thread learns what the thread of this name is due to.
fn learn_due(apart: &Apart, process: Process<'_>, of: usize) {
    let due = &LEARNS[of % IDS];
    // Relaxed: of the thread itself, or of one that has ended and was waited for.
    if due.load(Relaxed) != 0 {
        let due = due.swap(0, Relaxed);
        let objects = [due as u32 as usize, (due >> 32) as usize];
        objects.iter().filter(|&&at| at != 0).for_each(|at| process.learn_object(&apart.objects[at - 1]));
    }
}

/// The process, and what it does with its threads, while they are told apart and this is one of them.
fn telling() -> Option<(&'static Apart, Process<'static>)> {
    if !is_apart() || fork::is_unannounced() {
        return None;
    }
    let mine = MINE.try_with(Cell::get).unwrap_or(0);
    // Not in a forked child, which is another process, and has no clock before it joins; nor where the program has a thread of
    // librsm's do something, nor one that nobody told of.
    if is_of_library() || name_in(&AtomicU64::new(mine)).is_none_or(|id| id == 0) {
        take_together();
        return None;
    }
    let apart = apart()?;
    let process = seen::untold(|| apart.racing.process())?;
    is_apart().then_some((apart, process))
}

/// Whether a module does nothing by which threads tell each other something, but what is told where it is called.
fn is_of_the_system(path: &[u8]) -> bool {
    const NAMES: [&[u8]; 11] = [
        b"libc.so",
        b"libc.musl",
        b"libc-2.",
        b"ld-",
        b"ld64",
        b"libm",
        b"libdl",
        b"libpthread",
        b"librt",
        b"libgcc_s",
        b"linux-",
    ];
    let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    let is_numbered = |name: &[u8]| name.contains(&b'.');
    is_numbered(name) && NAMES.iter().any(|begin| name.strip_prefix(*begin).is_some_and(|rest| is_end(begin, rest)))
}

/// Whether what follows the beginning of such a name is no more of a name.
fn is_end(begin: &[u8], rest: &[u8]) -> bool {
    matches!(begin.last(), Some(b'-' | b'.')) || rest.first().is_none_or(|byte| !byte.is_ascii_alphabetic())
}

/// Whether all that is loaded tells what its threads do, or has none to tell of.
fn all_tell() -> bool {
    let mut told = MODULES.lock().unwrap_or_else(PoisonError::into_inner).clone();
    told.push((&raw const rsm_race_threads).addr());
    all_have(&told)
}

/// Whether one of these addresses lies in each module that is loaded, but for the system's.
fn all_have(told: &[usize]) -> bool {
    let modules = Modules::now();
    let mut paths: Vec<(usize, &[u8], bool)> = Vec::new();
    for (bias, start, end, path) in modules.parts() {
        let tells = told.iter().any(|address| (start..end).contains(address));
        match paths.iter_mut().find(|(other, known, _)| (*other, *known) == (bias, path)) {
            Some((.., has)) => *has |= tells,
            None => paths.push((bias, path, tells)),
        }
    }
    paths.iter().all(|(_, path, tells)| *tells || is_of_the_system(path) || (cxx::is_one(path) && cxx::lead()))
}

/// The thread that creates the first one has a clock already.
fn begin_apart() -> bool {
    // Acquire: pairs with the AcqRel of `joins`. SAFETY: null, or what stays for ever.
    let Some(racing) = (unsafe { JOINED.load(Acquire).as_ref() }) else { return false };
    // A forked child has no clock before it joins.
    if !seen::is_whole() || name_in(&racing.id).is_none_or(|id| id == 0) || !all_tell() {
        return false;
    }
    let Some(process) = seen::untold(|| racing.process()) else { return false };
    let objects = (0..OBJECTS).map(|_| Object::default()).collect();
    let new = Box::into_raw(Box::new(Apart { racing, objects }));
    // Another thread that comes at the same time is one that nobody told of.
    if APART.compare_exchange(std::ptr::null_mut(), new, AcqRel, Relaxed).is_err() {
        // SAFETY: made above, and seen by nobody.
        drop(unsafe { Box::from_raw(new) });
        return false;
    }
    let _ = MINE.try_with(|mine| mine.set(named(process.id())));
    process.tells_threads_apart();
    // Release: pairs with the Acquire of `is_apart`.
    rsm_race_threads.store(1, Release);
    // Release: pairs with the Acquire of `rsm_race_thread_creates`. Not if it was taken together meanwhile.
    STATE.compare_exchange(ONE, TOLD_APART, Release, Relaxed).is_ok()
}

/// The module that this address lies in tells everything that its threads do: before it joins a cluster.
#[unsafe(no_mangle)]
pub extern "C" fn rsm_race_module(address: usize) {
    MODULES.lock().unwrap_or_else(PoisonError::into_inner).push(address);
}

/// A thread is about to be created: gives its name, or 0.
#[unsafe(no_mangle)]
pub extern "C" fn rsm_race_thread_creates() -> c_uint {
    // Acquire: pairs with the Release of who stores.
    if STATE.load(Acquire) == ONE && !begin_apart() {
        take_together();
    }
    let Some((_, process)) = telling() else { return 0 };
    match process.begin_thread() {
        Some(thread) => {
            live().push(Live { thread: 0, name: thread.id() });
            thread.id() as c_uint
        }
        None => {
            take_together();
            0
        }
    }
}

/// A thread that was created is this one to the C library: whichever of it and its creator comes first says so.
fn is_live(name: usize, thread: usize) {
    let Some((_, process)) = telling() else { return };
    let mut all = live();
    if !all.iter().any(|live| live.name == name && live.thread == 0) {
        return;
    }
    // One that was it before has ended, and nobody waited for it.
    all.iter().filter(|live| live.thread == thread).for_each(|live| process.forget_thread(live.name));
    all.retain(|live| live.thread != thread);
    all.iter_mut().filter(|live| live.name == name).for_each(|live| live.thread = thread);
}

fn live() -> MutexGuard<'static, Vec<Live>> {
    LIVE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// This thread has begun: the one of that name.
#[unsafe(no_mangle)]
pub extern "C" fn rsm_race_thread_begins(name: c_uint, thread: usize) {
    if name != 0 && is_apart() {
        let _ = MINE.try_with(|mine| mine.set(named(name as usize)));
        is_live(name as usize, thread);
    }
}

/// It was created, and nobody has waited for it yet, or it was not.
#[unsafe(no_mangle)]
pub extern "C" fn rsm_race_thread_created(name: c_uint, thread: usize, well: c_uint) {
    if well != 0 {
        is_live(name as usize, thread);
    } else if let Some((_, process)) = telling() {
        live().retain(|live| live.name != name as usize);
        process.forget_thread(name as usize);
    }
}

/// The name of a thread that is about to be waited for, or 0 for one that nobody told of.
#[unsafe(no_mangle)]
pub extern "C" fn rsm_race_thread_named(thread: usize) -> c_uint {
    if telling().is_none() {
        return 0;
    }
    live().iter().find(|live| live.thread == thread).map_or(0, |live| live.name as c_uint)
}

/// It has ended, and was waited for.
#[unsafe(no_mangle)]
pub extern "C" fn rsm_race_thread_joined(name: c_uint) {
    let Some((apart, process)) = telling() else { return };
    if name == 0 {
        take_together();
        return;
    }
    if seen::somebody_reads() {
        // It may be that one, which had read something as the last that it did.
        process.failed();
    }
    learn_due(apart, process, name as usize);
    live().retain(|live| live.name != name as usize);
    process.join_thread(name as usize);
}

/// Bits of what a thread does with the objects `a` and `b`.
const TELLS_A: c_uint = 1;
const LEARNS_A: c_uint = 2;
const TELLS_B: c_uint = 4;
const LEARNS_B: c_uint = 8;
/// It may tell by way of anything, or be told: that is the object.
const ANYTHING: c_uint = 16;
/// Another thread may do something in between, told by way of anything.
const INTERRUPTS_OTHERS: c_uint = 64;
/// It does that of which nothing is known.
const UNKNOWN: c_uint = 32;

/// This thread tells by way of objects what it knows, and learns by them with what it does next. Addresses are names only.
#[unsafe(no_mangle)]
pub extern "C" fn rsm_race_thread_does(what: c_uint, a: usize, b: usize) {
    if what & UNKNOWN != 0 {
        if !fork::is_unannounced() {
            take_together();
        }
        return;
    }
    let Some((apart, process)) = telling() else { return };
    let of = |address: usize| {
        let hash = (address >> 2).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        if what & ANYTHING != 0 { 0 } else { 1 + hash % (OBJECTS - 1) }
    };
    for (bit, address) in [(TELLS_A, a), (TELLS_B, b)] {
        if what & bit != 0 {
            process.tell_object(&apart.objects[of(address)]);
        }
    }
    if what & INTERRUPTS_OTHERS != 0 {
        INTERRUPTS.fetch_add(1, AcqRel); // pairs with the Acquire of `of_thread`
    }
    let learns = [(LEARNS_A, a), (LEARNS_B, b)].map(|(bit, address)| if what & bit != 0 { of(address) + 1 } else { 0 });
    // Relaxed: as in `learn_due`.
    LEARNS[process.id() % IDS].store(learns[0] as u64 | (learns[1] as u64) << 32, Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_of_the_system_are_known_by_their_names() {
        for path in [
            "/usr/lib/x86_64-linux-gnu/libc.so.6",
            "/lib/libc-2.31.so",
            "/lib64/ld-linux-x86-64.so.2",
            "libm.so.6",
            "/lib/libpthread-2.31.so",
            "/usr/lib/libgcc_s.so.1",
            "linux-vdso.so.1",
            "/lib/ld-musl-x86_64.so.1",
        ] {
            assert!(is_of_the_system(path.as_bytes()), "{path}");
        }
        for path in [
            "/usr/lib/libstdc++.so.6",
            "/usr/lib/libgomp.so.1",
            "/usr/lib/libmpi.so.40",
            "/usr/lib/librtmp.so.1",
            "/usr/lib/libdlb.so",
            "/opt/app",
            "/opt/libc",
            "",
        ] {
            assert!(!is_of_the_system(path.as_bytes()), "{path}");
        }
    }

    /// This program is a module, and librsm in it: as one that told nothing it would keep its threads together.
    #[test]
    fn a_module_that_tells_nothing_keeps_threads_together() {
        assert!(!all_have(&[]));
    }
}
