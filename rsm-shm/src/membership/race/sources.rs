//! Local memory that belongs to the library: what a vector put takes it from, until its span is closed (reference 1.24).
//!
//! The library may read it as late as that. A program that was built to be looked at tells where it writes: what it writes there is
//! noted, and looked at when the span is closed. If something else stands there then, it is reported, with the place of the put and
//! of the write. Whatever may have ended the span otherwise, such as a call that failed, has all of it forgotten.
//!
//! Stores look at [`spots`](rsm_race::spots) only, where nobody waits for anybody. Here is what was there, in one list for the
//! process, under a lock for which nobody waits long: who does not get it leaves nothing there, or a note that all of it is to be
//! forgotten. A forked child has none of its parent's: what it writes is its own copy.
#![allow(unsafe_code)]

use super::granules::ForNow;
use super::{Racing, name_in};
use crate::membership::fork;
use rsm_race::place::Range;
use rsm_race::process::Process;
use rsm_race::spots::{BYTES, SPOTS, Spots, Written};
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize};
use std::sync::{LazyLock, Mutex, MutexGuard, TryLockError};

/// Most bytes that are kept of all sources.
const ALL_BYTES: usize = 8 << 20;
/// So often is the lock tried.
const TRIES: usize = 100;

/// Memory that was put, and is not to change.
#[derive(Debug)]
struct Source {
    racing: &'static Racing,
    /// What it is called in [`PLACES`].
    number: u32,
    /// As [`super::Raced`] has it.
    import: u64,
    start: usize,
    /// Stores there are told as long.
    #[expect(dead_code, reason = "it goes with the source")]
    told: ForNow,
    bytes: Vec<u8>,
    /// Where they were put, and by whom.
    range: Range,
}

#[derive(Debug)]
struct List {
    /// Each where it is in [`PLACES`].
    sources: [Option<Source>; SPOTS],
    number: u32,
}

static ALL: Mutex<List> = Mutex::new(List { sources: [const { None }; SPOTS], number: 0 });
/// There from the first source on, before any store looks at it.
static PLACES: LazyLock<Spots<Racing>> = LazyLock::new(Spots::new);
/// Behind the last place where there is one; 0: there is none.
static USED: AtomicUsize = AtomicUsize::new(0);
/// [`fork::count`] of the process whose all this is; 0: nobody's yet.
static OF: AtomicU32 = AtomicU32::new(0);
/// All that there are now are to be forgotten.
static FORGET: AtomicBool = AtomicBool::new(false);

/// The list; `None` where somebody has it.
fn all() -> Option<MutexGuard<'static, List>> {
    if fork::is_unannounced() {
        return None;
    }
    // Relaxed, here and below: it changes under the lock, and in the process that it tells apart nobody has changed it before.
    let of = OF.load(Relaxed);
    // A child may have inherited it locked for ever.
    let tries = if of == 0 || of == fork::count() { TRIES } else { 1 };
    for _ in 0..tries {
        let mut all = match ALL.try_lock() {
            Ok(all) => all,
            Err(TryLockError::Poisoned(all)) => all.into_inner(),
            Err(TryLockError::WouldBlock) => {
                std::thread::yield_now();
                continue;
            }
        };
        let is_inherited = OF.swap(fork::count(), Relaxed) != fork::count();
        // Acquire: pairs with the Release of `forget`.
        if FORGET.swap(false, Acquire) || is_inherited {
            (0..SPOTS).for_each(|at| PLACES.clear(at));
            all.sources.fill_with(|| None);
            all.say_how_many();
        }
        return Some(all);
    }
    None
}

/// Says before which place they are.
fn say_used(used: usize) {
    // Release: pairs with the Acquire of `used`.
    USED.store(used, Release);
}

impl List {
    /// Says how many there are.
    fn say_how_many(&self) {
        say_used(self.sources.iter().rposition(Option::is_some).map_or(0, |last| last + 1));
    }

    /// Where there is room for so many bytes.
    fn room_for(&self, length: usize) -> Option<usize> {
        let taken: usize = self.sources.iter().flatten().map(|source| source.bytes.len()).sum();
        if taken + length > ALL_BYTES {
            return None;
        }
        self.sources.iter().position(Option::is_none)
    }
}

/// These bytes have been put through an import into an open span.
///
/// # Safety
/// They can be read.
pub(in crate::membership) unsafe fn keep(racing: &'static Racing, import: u64, start: *const u8, range: Range) {
    let length = range.length as usize;
    if length == 0 || length > BYTES {
        return;
    }
    let Some(mut all) = all() else { return };
    let Some(at) = all.room_for(length) else { return };
    let mut bytes = vec![0u8; length];
    // SAFETY: the caller's promise; as many as there is room for.
    unsafe { std::ptr::copy_nonoverlapping(start, bytes.as_mut_ptr(), length) };
    let start = start.expose_provenance();
    let number = Spots::<Racing>::next_number(all.number);
    all.number = number;
    let told = ForNow::cover(start, start + length);
    all.sources[at] = Some(Source { racing, number, import, start, told, bytes, range });
    PLACES.put(at, number, start, start + length, racing);
    all.say_how_many();
}

/// Before which place they are; 0: there are none.
fn used() -> usize {
    // Acquire: pairs with the Release of `say_used`; then whose they are is known.
    let used = USED.load(Acquire);
    if used > 0 && OF.load(Relaxed) != fork::count() {
        // Another thread of the child may have put something already: it is forgotten with the rest. Release: as in `forget`.
        FORGET.store(true, Release);
        say_used(0);
        return 0;
    }
    used
}

/// Whether a store may write to any.
#[inline]
pub(super) fn are_at(address: usize, length: usize) -> bool {
    let used = used();
    used > 0 && PLACES.are_hit(used, address, address.saturating_add(length))
}

/// Something is about to be written to memory. The caller has looked whether this is the library's own doing.
pub(super) fn written(address: usize, length: usize, pc: usize) {
    let used = used();
    if used == 0 {
        return;
    }
    for hit in PLACES.hits(used, address, address.saturating_add(length)) {
        // SAFETY: null, or what `keep` had for ever; the hit acquires it.
        let Some(racing) = (unsafe { hit.whose.as_ref() }) else { continue };
        // Not to be asked without a name: that would end all looking.
        if name_in(&racing.id).is_some_and(|id| id != 0)
            && let Some(process) = racing.process()
        {
            hit.note(process.id(), racing.site_at(process, pc as u64));
        }
    }
}

/// The spans of these imports have been closed, and what was put has arrived.
pub(in crate::membership) fn closed(is_closed: impl Fn(u64) -> bool) {
    if used() == 0 {
        return; // its own are known to who put them
    }
    let Some(mut all) = all() else {
        forget();
        return;
    };
    let mut over = Vec::new();
    for (at, place) in all.sources.iter_mut().enumerate() {
        if let Some(source) = place.take_if(|source| is_closed(source.import)) {
            let written: Vec<Written> = PLACES.written(at, source.number).collect();
            PLACES.clear(at);
            over.push((source, written));
        }
    }
    all.say_how_many();
    drop(all);
    over.iter().filter(|(_, written)| !written.is_empty()).for_each(|(source, written)| source.report(written));
}

/// It is not known any more which spans are open.
pub(in crate::membership) fn forget() {
    if used() == 0 {
        return;
    }
    // Release: pairs with the Acquire of `all`.
    FORGET.store(true, Release);
    if all().is_none() {
        // Whoever has it may have been left with it: then nothing is ever looked at again. What is told of where they are is
        // told in vain.
        say_used(0);
    }
}

impl Source {
    /// Says what was changed.
    fn report(&self, written: &[Written]) {
        let (Some(now), Some(import)) = (bytes_at(self.start, self.bytes.len()), name_in(&AtomicU64::new(self.import)))
        else {
            return;
        };
        for Written { process, site, from, to } in written {
            let differs = |&at: &usize| now[at] != self.bytes[at];
            let (first, last) = ((*from..*to).find(differs), (*from..*to).rfind(differs));
            if let (Some(first), Some(last)) = (first, last) {
                let (offset, length) = (self.range.offset + first as u64, (last + 1 - first) as u64);
                let put = Range { offset, length, ..self.range };
                Process::with_id(self.racing.table(), *process).changed_source(import, put, *site);
            }
        }
    }
}

/// What memory of this process holds; `None` where there is none any more.
fn bytes_at(start: usize, length: usize) -> Option<Vec<u8>> {
    let mut bytes = vec![0u8; length];
    let into = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: length };
    let from = libc::iovec { iov_base: std::ptr::without_provenance_mut(start), iov_len: length };
    // SAFETY: `into` is as long as it says, and nobody else's; the kernel looks whether there is anything to read from.
    let done = unsafe { libc::process_vm_readv(libc::getpid(), &raw const into, 1, &raw const from, 1, 0) };
    usize::try_from(done).is_ok_and(|done| done == length).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_that_is_gone_is_not_read() {
        let bytes = *b"some bytes";
        assert_eq!(bytes_at(bytes.as_ptr().addr(), bytes.len()).as_deref(), Some(&bytes[..]));
        assert_eq!(bytes_at(16, 8), None);
    }
}
