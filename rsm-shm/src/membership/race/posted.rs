//! Where what was posted through imports is going to, for who delivers it: where pages of segments are looked at, that is to be told
//! before it is done.

use rsm_race::marks;
use rsm_race::place::{NO_LINES, Place};
use rsm_race::table::Table;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// An import, by where its segment is mapped, and what that is.
#[derive(Clone, Copy, Debug)]
struct Target {
    base: usize,
    table: Table<'static>,
    place: Place,
}

/// Whether there is any.
static ANY: AtomicBool = AtomicBool::new(false);
static TARGETS: Mutex<Vec<Target>> = Mutex::new(Vec::new());

fn targets() -> MutexGuard<'static, Vec<Target>> {
    TARGETS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Something is about to be posted through an import. The caller holds forks off.
pub(in crate::membership) fn note(base: *const u8, table: Table<'static>, place: Place) {
    let target = Target { base: base.addr(), table, place };
    let mut all = targets();
    match all.iter_mut().find(|known| known.base == target.base) {
        Some(known) => *known = target,
        None => all.push(target),
    }
    // Relaxed: whoever delivers what was posted finds this by the lock of the log.
    ANY.store(true, Relaxed);
}

/// It is about to be delivered to these bytes. The caller holds forks off.
pub(in crate::membership) fn deliver(base: *const u8, offset: u64, length: u64) {
    // Relaxed: as in `note`.
    if !ANY.load(Relaxed) {
        return;
    }
    let target = targets().iter().find(|target| target.base == base.addr()).copied();
    if let Some(Target { table, place, .. }) = target.filter(|target| target.place.lines != NO_LINES) {
        marks::deliver(table, place, offset, length);
    }
}
