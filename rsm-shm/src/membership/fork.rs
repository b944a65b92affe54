//! fork: a child is a new process of the same node.
//!
//! The child has the parent's memory but not its threads, and is not known to the agent. A counter that the child's
//! side of the fork raises tells every object that it was made by another process; what needs the agent then joins
//! anew ([`super::Shared::revive`]). The locks that a child goes on to use are held across the fork, so that none is
//! inherited in the hands of a thread that does not exist there.
//!
//! Children that libc was not asked for (`clone`, `_Fork`, `vfork`) run no hook. What has the parent's memory and is not
//! the parent must not use its connection: one of them would get the other's answers. A child with a copy of the memory
//! finds the counter wiped by the kernel; nothing was held across its making, so it gets an error before it takes a lock.
//! A child that shares the memory is told by its process id when it asks, and by the kernel when it is the first to.
//! Transfers and mappings work in both.
#![allow(unsafe_code)]

use super::{Shared, State};
use rsm_core::{Code, Error, Result, crash_point};
use std::cell::UnsafeCell;
use std::mem::ManuallyDrop;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicPtr, AtomicU32};
use std::sync::{Arc, Mutex, MutexGuard, Once, OnceLock, PoisonError, Weak};

/// Where the counter is: in a page that the kernel wipes in children. Null until the library is used.
static FORKS: AtomicPtr<AtomicU32> = AtomicPtr::new(std::ptr::null_mut());
static HOLD: Mutex<()> = Mutex::new(());
static MEMBERSHIPS: Mutex<Vec<Weak<Shared>>> = Mutex::new(Vec::new());
static LAST: OnceLock<fn()> = OnceLock::new();

/// How many forks lie between the process that first used the library and this one, from 1; 0 in a child that no hook ran
/// for. Relaxed is enough: it changes only while the process has a single thread, the one that returns from fork.
#[inline(always)]
pub(super) fn count() -> u32 {
    counter().map_or(0, |counter| counter.load(Relaxed))
}

#[inline(always)]
fn counter() -> Option<&'static AtomicU32> {
    // Acquire: pairs with the Release of `make_counter`.
    // SAFETY: null, or a word that is never unmapped.
    unsafe { FORKS.load(Acquire).as_ref() }
}

/// Bytes that hold a page of their own, whatever its size. Not memory that is mapped for it: that could come to lie where
/// the program has just unmapped a page, and believes that nothing is.
const ROOM: usize = 2 << 16;

/// Makes the counter, 1 at first.
fn make_counter() {
    /// Zeroes at first, and of no file: pages that may be wiped.
    static SPACE: [AtomicU32; ROOM / 4] = [const { AtomicU32::new(0) }; ROOM / 4];
    let (start, page) = (SPACE.as_ptr(), crate::memory::page_size());
    let skipped = start.addr().next_multiple_of(page) - start.addr();
    let counter = &SPACE[skipped.min(ROOM - page) / 4];
    let place = std::ptr::from_ref(counter).cast_mut().cast();
    // Refused (before Linux 4.14, or where a filter does), children without hooks are not told apart.
    // SAFETY: a page inside of `SPACE`, by the lines above, which holds nothing but the counter.
    let _ = unsafe { libc::madvise(place, page, libc::MADV_WIPEONFORK) };
    counter.store(1, Relaxed);
    // Release: pairs with the Acquire of `counter`.
    FORKS.store(std::ptr::from_ref(counter).cast_mut(), Release);
}

/// Whether this is a child that no hook ran for: what it inherited may be locked for ever.
pub(super) fn is_unannounced() -> bool {
    counter().is_some_and(|counter| counter.load(Relaxed) == 0)
}

/// Refuses such a child.
///
/// # Errors
/// CTLR_NOT_PRESENT.
pub(super) fn check() -> Result<()> {
    if !is_unannounced() {
        return Ok(());
    }
    let text =
        "this process was made by clone or _Fork, which tell no library: only fork makes a process of the cluster";
    Err(Error::with(Code::CtlrNotPresent, text))
}

/// Refuses a child that shares its parent's memory, before the library is used in either: what it made would stay in the
/// parent, and the threads behind it would end with the child. Where the kernel does not say (kcmp(2) is configured out,
/// or a filter refuses it) it is not told apart.
///
/// # Errors
/// CTLR_NOT_PRESENT.
pub(super) fn check_alone() -> Result<()> {
    const VM: libc::c_int = 1;
    // SAFETY: numbers only. 0 means the same memory; a parent in another namespace is process 0, of which nothing is said.
    let same = unsafe { libc::syscall(libc::SYS_kcmp, libc::getppid(), libc::getpid(), VM, 0, 0) == 0 };
    if same { Err(Error::with(Code::CtlrNotPresent, SHARES_MEMORY)) } else { Ok(()) }
}

/// What a child is told that shares its parent's memory.
pub(super) const SHARES_MEMORY: &str =
    "this process shares its parent's memory (vfork, clone): only the parent may call for the agent";

static MOVING: Mutex<()> = Mutex::new(());

/// While this is held no thread of the process forks through libc, and no other moves memory. Taken before a [`Hold`],
/// never after one: moving takes its time, and short work must not wait for it.
pub(super) struct Moving(#[allow(dead_code)] MutexGuard<'static, ()>);

/// Keeps the process from forking while memory moves: a child would have part of it on either side.
pub(super) fn hold_for_move() -> Moving {
    Moving(MOVING.lock().unwrap_or_else(PoisonError::into_inner))
}

/// While this is held no thread of the process forks through libc.
pub(super) struct Hold(#[allow(dead_code)] Option<MutexGuard<'static, ()>>);

impl Drop for Hold {
    fn drop(&mut self) {}
}

/// Keeps the process from forking, so that no child inherits a descriptor that is on its way into a private table.
pub(super) fn hold() -> Hold {
    static HOOKS: Once = Once::new();
    if is_unannounced() {
        // It may have been inherited held, and there is nobody to hold off: such a process has no threads of ours.
        return Hold(None);
    }
    HOOKS.call_once(|| {
        make_counter();
        // SAFETY: the three functions have the right signature and are never unloaded. The only failure is ENOMEM at
        // start-up, which leaves forked children without a membership of their own.
        unsafe { libc::pthread_atfork(Some(prepare), Some(parent), Some(child)) };
    });
    Hold(Some(HOLD.lock().unwrap_or_else(PoisonError::into_inner)))
}

/// Makes a membership known to the hooks.
pub(super) fn enlist(_hold: &Hold, shared: &Arc<Shared>) {
    let mut memberships = MEMBERSHIPS.lock().unwrap_or_else(PoisonError::into_inner);
    memberships.retain(|m| m.strong_count() > 0);
    memberships.push(Arc::downgrade(shared));
}

/// Has each child do this last, when nothing is held any more. A process has one such thing: what was said first stays.
pub(super) fn end_with(last: fn()) {
    let _ = LAST.set(last);
}

/// Everything that is held across a fork, in the order it is let go.
struct Held {
    /// The parent's; the child's is wiped.
    count: u32,
    states: Vec<HeldState>,
    _memberships: MutexGuard<'static, Vec<Weak<Shared>>>,
    _hold: MutexGuard<'static, ()>,
    _moving: MutexGuard<'static, ()>,
}

struct HeldState {
    guard: ManuallyDrop<MutexGuard<'static, State>>,
    /// Keeps what the guard borrows alive.
    shared: ManuallyDrop<Arc<Shared>>,
}

impl Drop for HeldState {
    fn drop(&mut self) {
        // SAFETY: neither is used afterwards; the guard goes before what it borrows.
        unsafe { ManuallyDrop::drop(&mut self.guard) };
        // SAFETY: as above. In the child, too, the count was raised before the fork by this very thread; should it be
        // the last one, dropping it only unmaps.
        unsafe { ManuallyDrop::drop(&mut self.shared) };
    }
}

/// What the thread that forks holds. Not thread-local: programs fork in destructors too, after those of this thread ran.
struct HeldCell(UnsafeCell<Option<Held>>);

// SAFETY: used by a thread only while it holds `MOVING`, whose guard is in it, or has just taken it out.
unsafe impl Sync for HeldCell {}

static HELD: HeldCell = HeldCell(UnsafeCell::new(None));

extern "C" fn prepare() {
    if is_unannounced() {
        // Nothing is held for children of such a process, which are such processes again. What a thread of its parent
        // held when this was made is nobody's.
        // SAFETY: no other thread of this process comes here with the lock.
        std::mem::forget(unsafe { (*HELD.0.get()).take() });
        return;
    }
    let moving = MOVING.lock().unwrap_or_else(PoisonError::into_inner);
    let hold = HOLD.lock().unwrap_or_else(PoisonError::into_inner);
    let memberships = MEMBERSHIPS.lock().unwrap_or_else(PoisonError::into_inner);
    let states = memberships
        .iter()
        .filter_map(Weak::upgrade)
        .map(|shared| {
            let guard = shared.state.lock().unwrap_or_else(PoisonError::into_inner);
            // SAFETY: the guard borrows from `shared`, which is kept beside it and dropped after it.
            let guard = unsafe { std::mem::transmute::<MutexGuard<'_, State>, MutexGuard<'static, State>>(guard) };
            HeldState { guard: ManuallyDrop::new(guard), shared: ManuallyDrop::new(shared) }
        })
        .collect();
    crash_point!(ForkHeld);
    let held = Held { count: count(), states, _memberships: memberships, _hold: hold, _moving: moving };
    // SAFETY: this thread holds `MOVING`.
    unsafe { *HELD.0.get() = Some(held) };
}

extern "C" fn parent() {
    release();
}

extern "C" fn child() {
    // SAFETY: the only thread, which holds `MOVING`; it took it before it forked.
    let Some(held) = (unsafe { &*HELD.0.get() }) else { return };
    if let Some(counter) = counter() {
        // 0 is kept for children that this was not called for.
        counter.store(held.count.checked_add(1).unwrap_or(1), Relaxed);
    }
    crash_point!(ForkChild);
    for state in &held.states {
        state.guard.table.mark_inherited();
    }
    release();
    if let Some(last) = LAST.get() {
        last();
    }
}

fn release() {
    // SAFETY: this thread holds `MOVING` since `prepare`, until what it takes out here is dropped.
    let held = unsafe { (*HELD.0.get()).take() };
    if let Some(held) = held {
        drop(held.states);
    }
}
