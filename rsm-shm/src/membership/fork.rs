//! fork: a child is a new process of the same node.
//!
//! The child has the parent's memory but not its threads, and is not known to the agent. A counter that the child's
//! side of the fork raises tells every object that it was made by another process; what needs the agent then joins
//! anew ([`super::Shared::revive`]). The locks that a child goes on to use are held across the fork, so that none is
//! inherited in the hands of a thread that does not exist there.
#![allow(unsafe_code)]

use super::{Shared, State};
use rsm_core::crash_point;
use std::cell::RefCell;
use std::mem::ManuallyDrop;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, Once, PoisonError, Weak};

static FORKS: AtomicU32 = AtomicU32::new(0);
static HOLD: Mutex<()> = Mutex::new(());
static MEMBERSHIPS: Mutex<Vec<Weak<Shared>>> = Mutex::new(Vec::new());

/// How many forks lie between the process that first used the library and this one. Relaxed is enough: it changes
/// only while the process has a single thread, the one that returns from fork.
#[inline(always)]
pub(super) fn count() -> u32 {
    FORKS.load(Relaxed)
}

static MOVING: Mutex<()> = Mutex::new(());

/// While this is held no thread of the process forks through libc, and no other moves memory. Taken before a [`Hold`],
/// never after one: moving takes its time, and short work must not wait for it.
pub(super) struct Moving(#[allow(dead_code)] MutexGuard<'static, ()>);

/// Keeps the process from forking while memory moves: a child would have part of it on either side.
pub(super) fn hold_for_move() -> Moving {
    Moving(MOVING.lock().unwrap_or_else(PoisonError::into_inner))
}

/// While this is held no thread of the process forks through libc.
pub(super) struct Hold(#[allow(dead_code)] MutexGuard<'static, ()>);

impl Drop for Hold {
    fn drop(&mut self) {}
}

/// Keeps the process from forking, so that no child inherits a descriptor that is on its way into a private table.
pub(super) fn hold() -> Hold {
    static HOOKS: Once = Once::new();
    HOOKS.call_once(|| {
        // SAFETY: the three functions have the right signature and are never unloaded. The only failure is ENOMEM at
        // start-up, which leaves forked children without a membership of their own.
        unsafe { libc::pthread_atfork(Some(prepare), Some(parent), Some(child)) };
    });
    Hold(HOLD.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Makes a membership known to the hooks.
pub(super) fn enlist(_hold: &Hold, shared: &Arc<Shared>) {
    let mut memberships = MEMBERSHIPS.lock().unwrap_or_else(PoisonError::into_inner);
    memberships.retain(|m| m.strong_count() > 0);
    memberships.push(Arc::downgrade(shared));
}

/// Everything that is held across a fork, in the order it is let go.
struct Held {
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

thread_local! {
    static HELD: RefCell<Option<Held>> = const { RefCell::new(None) };
}

extern "C" fn prepare() {
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
    HELD.set(Some(Held { states, _memberships: memberships, _hold: hold, _moving: moving }));
}

extern "C" fn parent() {
    release();
}

extern "C" fn child() {
    FORKS.store(FORKS.load(Relaxed).wrapping_add(1), Relaxed);
    crash_point!(ForkChild);
    HELD.with_borrow(|held| {
        for state in held.iter().flat_map(|held| &held.states) {
            state.guard.table.mark_inherited();
        }
    });
    release();
}

fn release() {
    if let Some(held) = HELD.take() {
        drop(held.states);
    }
}
