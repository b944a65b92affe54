//! Local memory that belongs to the library: what a vector put takes it from, until its span is closed (reference 1.24).
//!
//! The library may read it as late as that. A program that was built to be looked at tells where it writes: what it writes there is
//! noted, and looked at when the span is closed. If something else stands there then, it is reported, with the place of the put and
//! of the write. Whatever may have ended the span otherwise, such as a call that failed, has all of it forgotten.
//!
//! One list for the process, under a lock for which nobody waits long: who does not get it, as a signal handler in the thread that has
//! it, leaves nothing there, or a note that all of it is to be forgotten.
#![allow(unsafe_code)]

use super::{Racing, bounds, name_in};
use rsm_race::place::Range;
use rsm_race::process::Process;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::sync::{Mutex, MutexGuard, TryLockError};

/// Most sources that are kept, most bytes of one, and most writes that are noted of it.
const SOURCES: usize = 256;
const BYTES: usize = 1 << 20;
const WRITES: usize = 8;
/// So often is the lock tried.
const TRIES: usize = 100;

/// A write into a source: by whom, where in the program, and what it touched of the source, from the first byte to behind the last.
#[derive(Clone, Copy, Debug)]
struct Written {
    process: usize,
    site: u16,
    from: usize,
    to: usize,
}

/// Memory that was put, and is not to change.
#[derive(Debug)]
struct Source {
    racing: &'static Racing,
    /// As [`super::Raced`] has it.
    import: u64,
    start: usize,
    bytes: Vec<u8>,
    /// Where they were put, and by whom.
    range: Range,
    written: Vec<Written>,
}

static ALL: Mutex<Vec<Source>> = Mutex::new(Vec::new());
/// How many there are.
static COUNT: AtomicUsize = AtomicUsize::new(0);
/// All that there are now are to be forgotten.
static FORGET: AtomicBool = AtomicBool::new(false);

/// The list; `None` where somebody has it.
fn all() -> Option<MutexGuard<'static, Vec<Source>>> {
    for _ in 0..TRIES {
        let mut all = match ALL.try_lock() {
            Ok(all) => all,
            Err(TryLockError::Poisoned(all)) => all.into_inner(),
            Err(TryLockError::WouldBlock) => {
                std::thread::yield_now();
                continue;
            }
        };
        // Acquire: pairs with the Release of `forget`.
        if FORGET.swap(false, Acquire) {
            all.clear();
            count(&all);
        }
        return Some(all);
    }
    None
}

/// Says how many there are, and where nobody has to tell any more.
fn count(all: &[Source]) {
    // AcqRel: pairs with the Acquire of `are_there`.
    if COUNT.swap(all.len(), AcqRel) > 0 && all.is_empty() {
        bounds::narrow();
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
    let Some(mut all) = all().filter(|all| all.len() < SOURCES) else { return };
    let mut bytes = vec![0u8; length];
    // SAFETY: the caller's promise; as many as there is room for.
    unsafe { std::ptr::copy_nonoverlapping(start, bytes.as_mut_ptr(), length) };
    let start = start.expose_provenance();
    all.push(Source { racing, import, start, bytes, range, written: Vec::new() });
    bounds::cover_for_now(start, start + length);
    count(&all);
}

/// Whether there are any.
pub(super) fn are_there() -> bool {
    // Acquire: pairs with the AcqRel of `count`.
    COUNT.load(Acquire) > 0
}

/// Something is about to be written to memory. The caller has looked whether this is the library's own doing.
pub(super) fn written(address: usize, length: usize, pc: usize) {
    if !are_there() {
        return;
    }
    let Some(mut all) = all() else { return };
    let end = address.saturating_add(length);
    for source in all.iter_mut().filter(|source| address < source.start + source.bytes.len() && source.start < end) {
        let Some(process) = source.racing.process() else { continue };
        let site = source.racing.site_at(process, pc as u64);
        let (from, to) = (address.max(source.start) - source.start, end - source.start);
        let to = to.min(source.bytes.len());
        let new = Written { process: process.id(), site, from, to };
        let room = source.written.len() < WRITES;
        match source.written.iter_mut().find(|old| (old.process, old.site) == (new.process, site)) {
            Some(old) => (old.from, old.to) = (old.from.min(from), old.to.max(to)),
            None if room => source.written.push(new),
            None => {}
        }
    }
}

/// The spans of these imports have been closed, and what was put has arrived.
pub(in crate::membership) fn closed(is_closed: impl Fn(u64) -> bool) {
    if COUNT.load(Relaxed) == 0 {
        return; // its own are known to who put them
    }
    let Some(mut all) = all() else {
        forget();
        return;
    };
    let (over, left) = std::mem::take(&mut *all).into_iter().partition(|source| is_closed(source.import));
    *all = left;
    count(&all);
    drop(all);
    let over: Vec<Source> = over;
    over.iter().filter(|source| !source.written.is_empty()).for_each(Source::report);
}

/// It is not known any more which spans are open.
pub(in crate::membership) fn forget() {
    if COUNT.load(Relaxed) == 0 {
        return;
    }
    // Release: pairs with the Acquire of `all`.
    FORGET.store(true, Release);
    drop(all());
}

impl Source {
    /// Says what was changed.
    fn report(&self) {
        let (Some(now), Some(import)) = (bytes_at(self.start, self.bytes.len()), name_in(&AtomicU64::new(self.import)))
        else {
            return;
        };
        for Written { process, site, from, to } in &self.written {
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
