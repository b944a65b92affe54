//! Moving what a range of addresses holds to another memory, under the feet of threads that use it.
//!
//! | | from | to | used by |
//! |---|---|---|---|
//! | [`adopt`] | the caller's memory | a memory object | create, rebind |
//! | [`give_back`] | a memory object | private anonymous memory | destroy, rebind |
//! | [`move_to`] | a memory object | another one | revocation that nobody may refuse |
//!
//! All three do the same, in chunks of at most [`CHUNK`] bytes: make the new memory's pages present; then, window by
//! window, hold back stores ([`super::uffd`]), copy, put the new memory over the same addresses in one system call, let
//! stores go on; then free what the chunk came from. At any moment a thread that loads or stores finds either the old
//! memory or the new one, and both hold what was stored before. No page is there twice for longer than its chunk takes.
//!
//! # What is guaranteed
//! With [`Protection::WriteProtected`]: no store of user code of this process is lost or appears twice (D-85), whatever
//! signals its threads block. So is no store that the kernel makes for a thread (`read(2)` into the range), where
//! userfaultfd is [`Mode::Full`](super::uffd::Mode::Full); with [`UserOnly`](super::uffd::Mode::UserOnly) such a call
//! fails with EFAULT, or is short, if it meets the window of some tens of microseconds. Streams keep what was not read
//! then, a datagram is lost.
//!
//! # What is not
//! * Where the kernel refuses to hold back stores (no userfaultfd, private mappings of files, System V memory) stores
//!   of other threads may be lost: those made in the few microseconds between the copy of a window and its mapping.
//! * Stores past the page tables: devices and rings that were given pages before (O_DIRECT reads under way, io_uring's
//!   registered buffers), and other processes that share memory from before (D-78): they keep the old memory.
//! * A child that another thread forks meanwhile gets chunks already moved as shared memory and the others as before.
//!   Whatever it does with either, this process loses nothing. The library holds forks off while it moves memory.
//! * The new mapping is a new one: `mlock`, `madvise` advice (MADV_DONTFORK included) and names of the old are gone.
//! * Pages of shared anonymous and System V memory go when the last relative lets go of them, not chunk by chunk.
#![allow(unsafe_code)]

use super::inspect::{self, Kind, Piece};
use super::twice;
use super::uffd::WriteProtection;
use crate::error::from_errno;
use rsm_core::{Code, Error, Result, crash_point};
use rustix::io::Errno;
use rustix::mm::{Advice, MapFlags, MremapFlags, ProtFlags};
use std::os::fd::BorrowedFd;

/// Most bytes that are there twice at any moment.
pub const CHUNK: usize = 8 << 20;

/// Most bytes whose stores wait at a time, some tens of microseconds.
const WINDOW: usize = 256 << 10;

/// The same where stores are not held back but lost: less, so that fewer are.
const BARE_WINDOW: usize = 32 << 10;

/// Whether stores that other threads made meanwhile were held back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protection {
    /// All of them were: none was lost.
    WriteProtected,
    /// The kernel refused to, for a part of the range at least: some may have been lost.
    None,
}

/// Moves the contents of a range of the caller's memory to a memory object, and maps the object over the same
/// addresses, shared, readable and writable.
///
/// Create calls it with a fresh object, rebind with the segment's. What the object held before is overwritten. It must
/// reach to `offset + length` and be open for reading and writing, without seals against writing.
///
/// # Errors
/// BAD_LENGTH, BAD_MEM_ALIGNMENT for no and for broken pages; BAD_ADDR, PERM_DENIED as [`inspect::exportable`], and
/// BAD_ADDR for the calling thread's own stack and for pages past the end of a file; INSUFFICIENT_MEM,
/// INSUFFICIENT_RESOURCES. After an error the range holds what it held; memory that was private is private again,
/// memory that was shared is the shared memory it was. Should memory run out even for the way back, the error says so:
/// then part of the range maps the object, and holds what it held all the same.
///
/// # Safety
/// The range is the caller's to give: mappings in it may be replaced, nobody else replaces or unmaps them meanwhile,
/// and no Rust reference claims that its bytes do not change.
///
/// # Crash
/// Whatever the process shared with nobody dies with it; the object goes with its last descriptor and mapping.
pub unsafe fn adopt(start: *mut u8, length: usize, object: BorrowedFd<'_>, offset: u64) -> Result<Protection> {
    check_range(start, length)?;
    let pieces = inspect::exportable(start as usize, length)?;
    let staging = Span::of_object(object, offset, length)?;
    // SAFETY: by the caller's promise; the range is mapped and whole pages, by the checks above.
    unsafe { Relocation::new(start, length, pieces, staging)?.run() }
}

/// Turns a range that maps a memory object into private anonymous memory with the same contents.
///
/// Destroy calls it, and rebind for the old range. The object's pages in the range are freed as it goes: whoever else
/// maps them finds zeros there afterwards. Ask [`inspect::maps_object`] first whether the range is still the
/// segment's.
///
/// # Errors
/// As [`adopt`]; BAD_ADDR when part of the range does not map a memory object of rsm's. After an error the range maps
/// the object as before, with its contents.
///
/// # Safety
/// As [`adopt`].
///
/// # Crash
/// As [`adopt`].
pub unsafe fn give_back(start: *mut u8, length: usize) -> Result<Protection> {
    check_range(start, length)?;
    let pieces = of_objects(start as usize, length)?;
    let staging = Span::private(length)?;
    // SAFETY: as in `adopt`.
    unsafe { Relocation::new(start, length, pieces, staging)?.run() }
}

/// Moves what a range that maps a memory object holds to another object, and maps that over the same addresses.
///
/// Revocation calls it when somebody keeps the old object open: from then on the old one is nobody's memory. Its pages
/// in the range are freed as it goes: whoever maps them finds zeros, and stores into the void.
///
/// # Errors
/// As [`give_back`].
///
/// # Safety
/// As [`adopt`].
///
/// # Crash
/// As [`adopt`].
pub unsafe fn move_to(start: *mut u8, length: usize, object: BorrowedFd<'_>, offset: u64) -> Result<Protection> {
    check_range(start, length)?;
    let pieces = of_objects(start as usize, length)?;
    let staging = Span::of_object(object, offset, length)?;
    // SAFETY: as in `adopt`.
    unsafe { Relocation::new(start, length, pieces, staging)?.run() }
}

/// Whole pages, none of which the calling thread needs to do the work.
fn check_range(start: *mut u8, length: usize) -> Result<()> {
    let page = super::page_size();
    if length == 0 {
        return Err(Error::new(Code::BadLength));
    }
    if !(start as usize).is_multiple_of(page) || !length.is_multiple_of(page) {
        return Err(Error::new(Code::BadMemAlignment));
    }
    let Some(end) = (start as usize).checked_add(length) else {
        return Err(Error::with(Code::BadAddr, "the range runs past the last address"));
    };
    let mark = 0u8;
    let frame = &raw const mark as usize;
    // SAFETY: returns the address of this thread's errno.
    let thread = unsafe { libc::__errno_location() } as usize;
    // Frames of the functions called from here lie below this one, within two pages.
    let touched = [(frame.saturating_sub(8192), frame + 512), (thread, thread + 4)];
    if touched.iter().any(|&(from, to)| from < end && to > start as usize) {
        return Err(Error::with(Code::BadAddr, "the range holds the stack that the calling thread runs on"));
    }
    Ok(())
}

fn of_objects(start: usize, length: usize) -> Result<Vec<Piece>> {
    let pieces = inspect::pieces(start, length)?;
    match pieces.iter().find(|p| p.kind != Kind::Object || !p.readable || !p.writable) {
        None => Ok(pieces),
        Some(p) => Err(Error::with(Code::BadAddr, format!("memory at {:#x} is not a segment's any more", p.start))),
    }
}

/// What went wrong, without allocating.
#[derive(Clone, Copy, Debug)]
enum Failure {
    /// Pages of the source cannot be loaded.
    Source(Errno),
    /// There is no memory to move to.
    Memory,
    /// A mapping cannot be made.
    Mapping(Errno),
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
        }
    }
}

/// Addresses that the new memory is mapped to first, so that it can be filled before anybody sees it; or a second
/// mapping of the old one.
struct Span<'a> {
    start: *mut u8,
    length: usize,
    /// Bytes at its start that were moved elsewhere and whose addresses are no longer ours.
    gone: usize,
    /// Shared memory: mapping it elsewhere leaves it here as well.
    shared: bool,
    /// What it maps, and from where on, if that is an object that the caller has open.
    object: Option<(BorrowedFd<'a>, u64)>,
}

impl<'a> Span<'a> {
    fn of_object(object: BorrowedFd<'a>, offset: u64, length: usize) -> Result<Span<'a>> {
        let rw = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a null hint makes the kernel choose free addresses, so no existing object is touched.
        let start = unsafe { rustix::mm::mmap(std::ptr::null_mut(), length, rw, MapFlags::SHARED, object, offset) };
        let mut span = Span::new(start, length, true)?;
        span.object = Some((object, offset));
        Ok(span)
    }

    fn private(length: usize) -> Result<Span<'a>> {
        let rw = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: as above.
        let start = unsafe { rustix::mm::mmap_anonymous(std::ptr::null_mut(), length, rw, MapFlags::PRIVATE) };
        let span = Span::new(start, length, false)?;
        // The first touch gives all of it what its parts need to become one mapping again where they are moved to.
        // SAFETY: the first byte of memory just mapped, which nobody else knows.
        unsafe { span.start.write_volatile(0) };
        Ok(span)
    }

    /// Maps shared memory a second time; `None` where that is not possible. What a range held can then neither be freed
    /// as it goes, nor be put back after an error.
    ///
    /// # Safety
    /// The range must be part of one mapping of shared memory.
    unsafe fn again(start: *mut u8, length: usize) -> Result<Option<Span<'a>>> {
        if !twice::is_possible() {
            return Ok(None);
        }
        // SAFETY: an old size of 0 leaves the mapping where it is and makes another one where the kernel chooses.
        let again = unsafe { rustix::mm::mremap(start.cast(), 0, length, MremapFlags::MAYMOVE) };
        Span::new(again, length, true).map(Some)
    }

    fn new(start: rustix::io::Result<*mut std::ffi::c_void>, length: usize, shared: bool) -> Result<Span<'a>> {
        let start = start.map_err(|e| from_errno(e, "no address space to move a segment's contents"))?;
        let span = Span { start: start.cast(), length, gone: 0, shared, object: None };
        // After mlockall(MCL_FUTURE) it is locked: its pages could not be freed, and a limit on locked memory could
        // make the kernel give up a move after it took the target away.
        // SAFETY: unlocking changes no contents; the range is ours.
        let _ = unsafe { rustix::mm::munlock(span.start.cast(), length) };
        Ok(span)
    }

    fn at(&self, offset: usize, length: usize) -> *mut u8 {
        assert!(offset >= self.gone && offset <= self.length && length <= self.length - offset, "inside the span");
        // SAFETY: inside one mapping, by the line above.
        unsafe { self.start.add(offset) }
    }

    /// Puts a part of the span over `place`, in one step for whoever uses `place`.
    ///
    /// # Safety
    /// `place` must be `length` bytes that may be replaced.
    unsafe fn put(&mut self, offset: usize, length: usize, place: *mut u8) -> Result<(), Errno> {
        let from = self.at(offset, length);
        if let Some((object, first)) = self.object.filter(|_| !twice::is_possible()) {
            let flags = MapFlags::SHARED | MapFlags::FIXED;
            let rw = ProtFlags::READ | ProtFlags::WRITE;
            // SAFETY: as below; the object's pages there are those that the span maps, filled by now.
            return unsafe { rustix::mm::mmap(place.cast(), length, rw, flags, object, first + offset as u64) }
                .map(drop);
        }
        let old = if self.shared { 0 } else { length };
        let flags = MremapFlags::MAYMOVE;
        // SAFETY: `place` may be replaced by the caller's promise. The kernel holds its lock on mappings throughout, and
        // finds out whether mappings are left before it takes the target away; what could fail later is checked for
        // locked, growing and special memory only, which a span is not.
        let put = unsafe { rustix::mm::mremap_fixed(from.cast(), old, length, flags, place.cast()) };
        put?;
        if !self.shared {
            // Parts leave in ascending order. Their addresses may be somebody else's from now on.
            self.gone = offset + length;
        }
        Ok(())
    }

    /// Frees the pages of shared memory, for everybody who maps it.
    fn free(&self, offset: usize, length: usize) {
        // Refused for objects that are sealed against it: those free their memory when the last mapping goes.
        // SAFETY: the caller moved the contents; whoever maps the memory goes on finding memory there.
        let _ = unsafe { rustix::mm::madvise(self.at(offset, length).cast(), length, Advice::LinuxRemove) };
    }
}

impl Drop for Span<'_> {
    fn drop(&mut self) {
        let left = self.length - self.gone;
        if left > 0 {
            // SAFETY: the rest of our own mapping, which nothing uses any more.
            let _ = unsafe { rustix::mm::munmap(self.start.add(self.gone).cast(), left) };
        }
    }
}

/// A piece of the range on its way.
struct Part<'a> {
    /// Where in the range it starts.
    offset: usize,
    length: usize,
    /// A second mapping of what it maps, if that is shared memory.
    old: Option<Span<'a>>,
    /// Whether the old pages are freed as it goes.
    free: bool,
}

/// A range on its way.
struct Relocation<'a> {
    start: *mut u8,
    parts: Vec<Part<'a>>,
    staging: Span<'a>,
}

impl<'a> Relocation<'a> {
    /// # Safety
    /// `pieces` must be what the range is mapped to.
    unsafe fn new(start: *mut u8, length: usize, pieces: Vec<Piece>, staging: Span<'a>) -> Result<Relocation<'a>> {
        assert_eq!(staging.length, length, "the new memory is as long as the old");
        let mut parts = Vec::with_capacity(pieces.len());
        for piece in pieces {
            let shared = matches!(piece.kind, Kind::Object | Kind::SharedAnonymous | Kind::SysV);
            let offset = piece.start - start as usize;
            // SAFETY: inside the range; a piece is part of one mapping, and shared by the line above.
            let old = if shared { unsafe { Span::again(start.add(offset), piece.bytes()) }? } else { None };
            parts.push(Part { offset, length: piece.bytes(), old, free: piece.kind == Kind::Object });
        }
        Ok(Relocation { start, parts, staging })
    }

    /// # Safety
    /// As [`adopt`].
    unsafe fn run(mut self) -> Result<Protection> {
        let hold = match WriteProtection::open() {
            Ok(hold) => Some(hold),
            // What may be there next time is no reason to lose stores.
            Err(e @ (Errno::MFILE | Errno::NFILE | Errno::NOMEM)) => {
                return Err(from_errno(e, "cannot hold back stores while memory moves"));
            }
            Err(_) => None,
        };
        let mut protection = Protection::WriteProtected;
        for i in 0..self.parts.len() {
            let part = &self.parts[i];
            let mut moved = 0;
            // SAFETY: by the caller's promise.
            let done = unsafe { relocate(self.start, part, &mut self.staging, hold.as_ref(), &mut moved) };
            match done {
                Ok(Protection::WriteProtected) => {}
                Ok(Protection::None) => protection = Protection::None,
                Err(failure) => {
                    // SAFETY: as above.
                    let undone = unsafe { self.undo(i, moved, hold.as_ref()) };
                    let error = Error::from(failure);
                    return Err(match undone {
                        Ok(()) => error,
                        Err(_) => Error::with(
                            error.code(),
                            format!("{error}; nor to undo it: part of the range stays shared memory, all of it intact"),
                        ),
                    });
                }
            }
        }
        Ok(protection)
    }

    /// Moves back the parts before `last`, and `moved` bytes of `last`.
    unsafe fn undo(&mut self, last: usize, moved: usize, hold: Option<&WriteProtection>) -> Result<()> {
        for i in (0..=last).rev() {
            let length = if i == last { moved } else { self.parts[i].length };
            if length == 0 {
                continue;
            }
            let offset = self.parts[i].offset;
            // SAFETY: inside the range.
            let place = unsafe { self.start.add(offset) };
            let (mut staging, old) = match self.parts[i].old.take() {
                Some(old) => (old, None),
                // SAFETY: what was private is a piece of the staging by now, or of private memory; see `shared`.
                None if self.staging.shared => (Span::private(length)?, unsafe { Span::again(place, length) }?),
                None if twice::is_possible() => continue,
                // It would have to go back to an object that is not mapped any more.
                None => return Err(Error::new(Code::InternalError)),
            };
            let free = old.is_some();
            let part = Part { offset: 0, length, old, free };
            // SAFETY: by the caller's promise.
            unsafe { relocate(place, &part, &mut staging, hold, &mut 0) }?;
        }
        Ok(())
    }
}

/// Moves one part of the range at `start` to the same part of the staging, counting bytes that are there.
///
/// # Safety
/// As [`adopt`].
unsafe fn relocate(
    start: *mut u8,
    part: &Part<'_>,
    staging: &mut Span<'_>,
    hold: Option<&WriteProtection>,
    moved: &mut usize,
) -> Result<Protection, Failure> {
    // SAFETY: (this and below) offsets stay inside the part, which is inside the range.
    let first = unsafe { start.add(part.offset) };
    let hold = hold.filter(|h| h.register(first as usize, part.length).is_ok());
    let mut protection = if hold.is_some() { Protection::WriteProtected } else { Protection::None };
    let done = loop {
        let chunk = *moved;
        if chunk == part.length {
            break Ok(());
        }
        let bytes = up_to(first as usize + chunk, CHUNK).min(part.length - chunk);
        // SAFETY: see above.
        let place = unsafe { first.add(chunk) };
        let at = part.offset + chunk;
        // SAFETY: see above; the staging is ours alone.
        if let Err(failure) = unsafe { prepare(place, staging, at, bytes) } {
            break Err(failure);
        }
        let end = chunk + bytes;
        let mut failed = None;
        while *moved < end && failed.is_none() {
            let limit = if hold.is_some() { WINDOW } else { BARE_WINDOW };
            let bytes = up_to(first as usize + *moved, limit).min(end - *moved);
            // SAFETY: see above.
            match unsafe { window(first.add(*moved), bytes, staging, part.offset + *moved, hold) } {
                Ok(protected) => {
                    if !protected {
                        protection = Protection::None;
                    }
                    *moved += bytes;
                }
                Err(errno) => failed = Some(errno),
            }
        }
        if let Some(errno) = failed {
            break Err(Failure::Mapping(errno));
        }
        if staging.shared {
            let behind = staging.at(at, bytes).cast();
            // SAFETY: the pages belong to the object; only this mapping forgets them. The place now maps the same pages,
            // which are made present there instead: a promise of speed only, so failure is no failure.
            unsafe {
                let _ = rustix::mm::madvise(behind, bytes, Advice::LinuxDontNeed);
                let _ = rustix::mm::madvise(place.cast(), bytes, Advice::LinuxPopulateWrite);
            }
        }
        if let (Some(old), true) = (&part.old, part.free) {
            old.free(chunk, bytes);
        }
    };
    if let Some(hold) = hold {
        hold.unregister(first as usize, part.length);
    }
    done.map(|()| protection)
}

/// Bytes from `address` to the next multiple of `size`.
fn up_to(address: usize, size: usize) -> usize {
    size - address % size
}

/// Makes the pages of a chunk present in both memories: the old so that protection covers them and the copy does not
/// wait for them, the new so that a lack of memory shows as an error, before anything was changed.
unsafe fn prepare(place: *mut u8, staging: &Span<'_>, at: usize, bytes: usize) -> Result<(), Failure> {
    // SAFETY: faulting pages in changes no contents; the kernel checks the ranges.
    unsafe {
        populate(place, bytes, Advice::LinuxPopulateRead).map_err(Failure::Source)?;
        populate(staging.at(at, bytes), bytes, Advice::LinuxPopulateWrite).map_err(|_| Failure::Memory)
    }
}

unsafe fn populate(place: *mut u8, bytes: usize, advice: Advice) -> Result<(), Errno> {
    loop {
        // SAFETY: see `prepare`.
        match unsafe { rustix::mm::madvise(place.cast(), bytes, advice) } {
            Err(Errno::INTR | Errno::AGAIN) => {}
            other => return other,
        }
    }
}

/// Moves one window, and tells whether stores to it were held back.
///
/// Between holding stores back and letting them go on, this thread runs nothing but what is written here: no signal
/// handler, no allocation, no lock, any of which might store to the range, or wait for a thread that waits for us.
///
/// # Safety
/// As [`adopt`].
unsafe fn window(
    place: *mut u8,
    bytes: usize,
    staging: &mut Span<'_>,
    at: usize,
    hold: Option<&WriteProtection>,
) -> Result<bool, Errno> {
    let to = staging.at(at, bytes);
    let signals = Signals::block();
    // SAFETY: this thread stores to its own stack and to the staging until `wake`; neither is in the range, see
    // `check_range`.
    let held = hold.filter(|h| unsafe { h.protect(place as usize, bytes) }.is_ok());
    crash_point!(WindowHeld);
    // SAFETY: both are mapped for `bytes`, and apart. Without protection other threads may store while we copy: whole
    // bytes move in any case, and nothing is derived from them.
    unsafe { std::ptr::copy_nonoverlapping(place, to, bytes) };
    crash_point!(WindowCopied);
    // SAFETY: by the caller's promise.
    let put = unsafe { staging.put(at, bytes, place) };
    crash_point!(WindowMapped);
    if let Some(held) = held {
        if put.is_err() {
            held.unprotect(place as usize, bytes);
        }
        held.wake(place as usize, bytes);
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
