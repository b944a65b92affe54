//! How memory moves: chunk by chunk, stretch by stretch. See [`super::adopt`].
#![allow(unsafe_code)]

use super::geometry::Geometry;
use super::inspect::{Kind, Piece};
use super::kin::Kin;
use super::populate::{Use, populate};
use super::sleepers;
use super::span::Span;
use super::twice;
use super::uffd::{self, WriteProtection};
use crate::error::from_errno;
use rsm_core::{Code, Error, Result, crash_point};
use rustix::io::Errno;
use rustix::mm::{Advice, MprotectFlags, ProtFlags};
use std::time::Duration;

/// Whether stores that other threads made meanwhile were held back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protection {
    /// All of them were: none was lost.
    WriteProtected,
    /// The kernel refused to, for a part of the memory at least: some may have been lost.
    None,
}

/// What went wrong.
#[derive(Debug)]
enum Failure {
    /// Pages of the source cannot be loaded.
    Source(Errno),
    /// There is no memory to move to.
    Memory,
    /// A mapping cannot be made.
    Mapping(Errno),
    /// Those who sleep in the memory cannot be looked for.
    Sleepers(Error),
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Error {
        match failure {
            Failure::Source(Errno::NOMEM) | Failure::Memory | Failure::Mapping(Errno::NOMEM) => Error::with(
                Code::InsufficientMem,
                "no memory, address space or mappings (see vm.max_map_count) left to move a segment's contents",
            ),
            Failure::Source(Errno::FAULT) => {
                Error::with(Code::BadAddr, "no memory is behind part of the range, such as past the end of a file")
            }
            Failure::Source(e) | Failure::Mapping(e) => from_errno(e, "cannot move a segment's contents"),
            Failure::Sleepers(error) => error,
        }
    }
}

const RW: ProtFlags = ProtFlags::READ.union(ProtFlags::WRITE);

/// A piece of memory on its way.
struct Part<'a> {
    /// Where it is, before and after.
    place: *mut u8,
    /// Where in the staging it is filled.
    at: usize,
    length: usize,
    /// What may be done with it, before and after.
    protection: ProtFlags,
    /// A second mapping of what it maps, if that is shared memory.
    old: Option<Span<'a>>,
    /// Whether the old pages are freed as it goes.
    free: Free,
}

/// Whether pages are freed, for everybody who maps them, when their contents are elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Free {
    /// Not ours to free.
    Never,
    /// If no forked child can have them: it has a right to what they hold.
    WithoutKin,
    /// They were made for the move that is being undone.
    Always,
}

impl Part<'_> {
    fn readable(&self) -> bool {
        self.protection.contains(ProtFlags::READ)
    }

    fn writable(&self) -> bool {
        self.protection.contains(ProtFlags::WRITE)
    }
}

/// Memory on its way.
pub(super) struct Relocation<'a> {
    parts: Vec<Part<'a>>,
    staging: Span<'a>,
}

impl<'a> Relocation<'a> {
    /// Pieces, each with where it goes in the staging, in ascending order of that. `free` says that pages of objects are
    /// freed when they have moved.
    ///
    /// # Errors
    /// PERM_DENIED when a piece can be run and memory of the new kind cannot; INSUFFICIENT_MEM. Nothing has changed.
    ///
    /// # Safety
    /// They must be what is mapped there.
    pub(super) unsafe fn new(pieces: Vec<(Piece, usize)>, staging: Span<'a>, free: bool) -> Result<Relocation<'a>> {
        let mut parts = Vec::with_capacity(pieces.len());
        for (piece, at) in pieces {
            let shared = matches!(piece.kind, Kind::Object | Kind::SharedAnonymous | Kind::SysV);
            let (place, length) = (std::ptr::with_exposed_provenance_mut(piece.start), piece.bytes());
            assert!(length <= staging.length() - at, "the new memory has room for it");
            // SAFETY: a piece is part of one mapping, and shared by the line above.
            let old = if shared { unsafe { Span::again(place, length) }? } else { None };
            let mut protection = ProtFlags::empty();
            protection.set(ProtFlags::READ, piece.readable);
            protection.set(ProtFlags::WRITE, piece.writable);
            protection.set(ProtFlags::EXEC, piece.executable);
            if piece.executable {
                let done = staging.protect(at, length, protection | RW);
                done.map_err(|e| from_errno(e, "the memory can be run, which memory of a segment may not here"))?;
            }
            let free = if free && piece.kind == Kind::Object { Free::WithoutKin } else { Free::Never };
            parts.push(Part { place, at, length, protection, old, free });
        }
        Ok(Relocation { parts, staging })
    }

    /// # Errors
    /// As [`adopt`](super::adopt::adopt).
    ///
    /// # Safety
    /// As [`adopt`](super::adopt::adopt).
    pub(super) unsafe fn run(mut self) -> Result<Protection> {
        // Who sleeps on shared memory is looked for when it has moved. Where nobody can look, nothing is begun.
        if let Some(part) = self.parts.iter().find(|part| part.old.is_some()) {
            sleepers::within(part.place.addr(), part.length)?;
        }
        let hold = match WriteProtection::open() {
            Ok(hold) => Some(hold),
            Err(e) if uffd::may_pass(e) => {
                return Err(from_errno(e, "cannot hold back stores while memory moves"));
            }
            Err(_) => None,
        };
        let means = Means { hold, kin: Kin::default(), geometry: Geometry::of(super::page_size()) };
        let mut protection = Protection::WriteProtected;
        for i in 0..self.parts.len() {
            let mut moved = 0;
            // SAFETY: by the caller's promise.
            let done = unsafe { means.relocate(&self.parts[i], &mut self.staging, &mut moved) };
            match done {
                Ok(Protection::WriteProtected) => {}
                Ok(Protection::None) => protection = Protection::None,
                Err(failure) => {
                    // SAFETY: as above.
                    let undone = unsafe { self.undo(i, moved, &means) };
                    let error = Error::from(failure);
                    return Err(match undone {
                        Ok(()) => error,
                        Err(_) => {
                            self.parts.iter().for_each(Part::wake_all_left_behind);
                            let stays = "nor to undo it: part of the range stays shared memory, all of it intact";
                            Error::with(error.code(), format!("{error}; {stays}"))
                        }
                    });
                }
            }
        }
        self.parts.iter().for_each(Part::wake_all_left_behind);
        if protection == Protection::None {
            tracing::warn!("memory moved without protection: stores of other threads meanwhile may be lost");
        }
        Ok(protection)
    }

    /// Moves back the parts before `last`, and `moved` bytes of `last`. Parts that it cannot move back keep their old
    /// memory.
    unsafe fn undo(&mut self, last: usize, moved: usize, means: &Means) -> Result<()> {
        for i in (0..=last).rev() {
            let part = &mut self.parts[i];
            let length = if i == last { moved } else { part.length };
            if length == 0 {
                continue;
            }
            let (place, protection) = (part.place, part.protection);
            let (mut staging, old) = match part.old.take() {
                Some(old) => (old, None),
                None if self.staging.is_shared() => {
                    // SAFETY: what was private is a piece of the staging by now, which is shared memory.
                    let moved = unsafe { Span::again(place, length) }?;
                    (Span::private(length)?, moved)
                }
                None if twice::is_possible() => continue,
                // It would have to go back to an object that is not mapped any more.
                None => return Err(Error::new(Code::InternalError)),
            };
            let runs = protection.contains(ProtFlags::EXEC);
            let ready = if runs { staging.protect(0, length, protection | RW) } else { Ok(()) };
            let free = if old.is_some() { Free::Always } else { Free::Never };
            let back = Part { place, at: 0, length, protection, old, free };
            // SAFETY: by the caller's promise.
            let move_back = |()| unsafe { means.relocate(&back, &mut staging, &mut 0) };
            let done = ready.map_err(Failure::Mapping).and_then(move_back);
            back.wake_all_left_behind();
            if let Err(failure) = done {
                part.old = Some(staging).filter(Span::is_shared);
                return Err(failure.into());
            }
        }
        Ok(())
    }
}

impl Part<'_> {
    /// Wakes who sleeps on the old memory, now that others are under the same addresses. Who sleeps on the new is not met.
    fn wake_left_behind(&self, from: usize, bytes: usize) -> Result<()> {
        let Some(old) = &self.old else { return Ok(()) };
        let start = self.place.addr();
        for word in sleepers::within(start + from, bytes)? {
            sleepers::wake(old.at(word - start, 4).expose_provenance());
        }
        Ok(())
    }

    /// Wakes those of the last chunk, and of any in which they could not be looked for; and who was about to sleep on the
    /// old memory when its chunk moved does by now. There is no way back from here, and nobody else would ever wake them:
    /// a shortage is waited out.
    fn wake_all_left_behind(&self) {
        while self.wake_left_behind(0, self.length).is_err() {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// What it takes to move memory.
struct Means {
    hold: Option<WriteProtection>,
    kin: Kin,
    geometry: Geometry,
}

impl Means {
    /// Moves one part to its part of the staging, counting bytes that are there.
    ///
    /// # Safety
    /// As [`adopt`](super::adopt::adopt).
    unsafe fn relocate(
        &self,
        part: &Part<'_>,
        staging: &mut Span<'_>,
        moved: &mut usize,
    ) -> Result<Protection, Failure> {
        let first = part.place;
        if !part.readable() && part.old.is_none() {
            // Private memory that nobody may load, on its way back.
            // SAFETY: it gets its protection again with what is put there.
            let opened = unsafe { rustix::mm::mprotect(first.cast(), part.length, MprotectFlags::READ) };
            opened.map_err(Failure::Mapping)?;
        }
        let hold = match &self.hold {
            Some(h) if part.writable() && h.register(first.addr(), part.length).map_err(Failure::Mapping)? => Some(h),
            _ => None,
        };
        let mut protection = Protection::WriteProtected;
        let done = loop {
            let chunk = *moved;
            if chunk == part.length {
                break Ok(());
            }
            // SAFETY: (this and below) offsets stay inside the part.
            let place = unsafe { first.add(chunk) };
            let bytes = Geometry::up_to(place.addr(), self.geometry.chunk).min(part.length - chunk);
            let at = part.at + chunk;
            let end = chunk + bytes;
            let handed_on = match prepare(part, chunk, staging, bytes) {
                Ok(handed_on) => handed_on,
                Err(failure) => break Err(failure),
            };
            let mut failed = None;
            while *moved < end && failed.is_none() {
                let limit = if hold.is_some() { self.geometry.stretch } else { self.geometry.bare_stretch };
                // SAFETY: see above.
                let bytes = Geometry::up_to(unsafe { first.add(*moved) }.addr(), limit).min(end - *moved);
                // SAFETY: by the caller's promise; the staging is ours alone.
                match unsafe { move_stretch(part, *moved, bytes, staging, hold) } {
                    Ok(protected) => {
                        if !protected && part.writable() {
                            protection = Protection::None;
                        }
                        *moved += bytes;
                    }
                    Err(errno) => failed = Some(errno),
                }
            }
            for word in handed_on {
                // Where it did not move they were handed on all the same, and go back to sleep where they were.
                let offset = word - first.addr();
                let there = if offset < *moved { word } else { staging.at(part.at + offset, 4).addr() };
                sleepers::wake(there);
            }
            if let Some(errno) = failed {
                break Err(Failure::Mapping(errno));
            }
            if end < part.length {
                // Soon, so that they need not wait for the rest. Whom this misses, `wake_all_left_behind` does not.
                let _ = part.wake_left_behind(chunk, bytes);
            }
            if staging.is_shared() {
                let behind = staging.at(at, bytes).cast();
                // SAFETY: the pages belong to the object; only this mapping forgets them. The place now maps the same
                // pages, which are made present there instead: a promise of speed only, so failure is no failure.
                let _ = unsafe { rustix::mm::madvise(behind, bytes, Advice::LinuxDontNeed) };
                if part.writable() {
                    let _ = populate(place, bytes, Use::Store);
                }
            }
            let free = part.free == Free::Always || part.free == Free::WithoutKin && self.kin.is_none();
            if let (Some(old), true) = (&part.old, free) {
                old.free(chunk, bytes);
            }
        };
        if let Some(hold) = hold {
            hold.unregister(first.addr(), part.length);
        }
        done.map(|()| protection)
    }
}

/// Makes the pages of a chunk present in both memories: the old so that protection covers them and the copy does not
/// wait for them, the new so that a lack of memory shows as an error, before anything was changed. Then hands those who
/// sleep in private memory on to the new, and says on which words.
fn prepare(part: &Part<'_>, chunk: usize, staging: &Span<'_>, bytes: usize) -> Result<Vec<usize>, Failure> {
    // SAFETY: inside the part.
    let place = unsafe { part.place.add(chunk) };
    let from = match &part.old {
        Some(old) if !part.readable() => old.at(chunk, bytes),
        _ => place,
    };
    let to = staging.at(part.at + chunk, bytes);
    populate(from, bytes, Use::Load).map_err(Failure::Source)?;
    staging.open(part.at + chunk, bytes, part.protection | RW).map_err(Failure::Mapping)?;
    let purpose = if staging.is_shared() { Use::Store } else { Use::Fresh };
    populate(to, bytes, purpose).map_err(|_| Failure::Memory)?;
    if part.old.is_some() {
        return Ok(Vec::new()); // they can be woken afterwards
    }
    let mut words = sleepers::within(place.addr(), bytes).map_err(Failure::Sleepers)?;
    words.retain(|&word| sleepers::hand_on(word, to.addr() + (word - place.addr())));
    Ok(words)
}

/// Moves one stretch, and tells whether stores to it were held back.
///
/// Between holding stores back and letting them go on, this thread runs nothing but what is written here: no signal
/// handler, no allocation, no lock, any of which might store to the range, or wait for a thread that waits for us.
///
/// # Safety
/// As [`adopt`](super::adopt::adopt).
unsafe fn move_stretch(
    part: &Part<'_>,
    offset: usize,
    bytes: usize,
    staging: &mut Span<'_>,
    hold: Option<&WriteProtection>,
) -> Result<bool, Errno> {
    // SAFETY: inside the part.
    let place = unsafe { part.place.add(offset) };
    let at = part.at + offset;
    let to = staging.at(at, bytes);
    let from = match &part.old {
        Some(old) if !part.readable() => old.at(offset, bytes),
        _ => place,
    };
    let signals = Signals::block();
    let held = match hold {
        // SAFETY: this thread stores to its own stack and to the staging until `wake`; neither is in the range, see
        // `check_range`.
        Some(h) if unsafe { h.protect(place.addr(), bytes) }? => Some(h),
        _ => None,
    };
    crash_point!(WindowHeld);
    // SAFETY: both are mapped for `bytes`, and apart. Without protection other threads may store while we copy: whole
    // bytes move in any case, and nothing is derived from them.
    unsafe { std::ptr::copy_nonoverlapping(from, to, bytes) };
    crash_point!(WindowCopied);
    let protected = if part.protection.contains(RW) { Ok(()) } else { staging.protect(at, bytes, part.protection) };
    // SAFETY: by the caller's promise.
    let put = protected.and_then(|()| unsafe { staging.put(at, bytes, place, part.protection) });
    crash_point!(WindowMapped);
    if let Some(held) = held {
        if put.is_err() {
            held.unprotect(place.addr(), bytes);
        }
        held.wake(place.addr(), bytes);
    }
    drop(signals);
    put.map(|()| held.is_some())
}

/// All signals of this thread blocked, until dropped.
struct Signals {
    before: libc::sigset_t,
}

impl Signals {
    fn block() -> Signals {
        // SAFETY: the sets are plain data that these calls fill and read.
        unsafe {
            let mut all = std::mem::zeroed();
            let mut before = std::mem::zeroed();
            libc::sigfillset(&raw mut all);
            libc::pthread_sigmask(libc::SIG_SETMASK, &raw const all, &raw mut before);
            Signals { before }
        }
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        // SAFETY: as above.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const self.before, std::ptr::null_mut()) };
    }
}
