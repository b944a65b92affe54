//! Moving what a range of addresses holds to another memory, under the feet of threads that use it.
//!
//! | | from | to | used by |
//! |---|---|---|---|
//! | [`adopt`] | the caller's memory | a memory object | create, rebind |
//! | [`give_back`] | a memory object | private anonymous memory | destroy, rebind |
//! | [`move_to`] | a memory object | another one | a withdrawal that nobody may refuse |
//!
//! All three do the same (`relocate`), in chunks of at most [`CHUNK`] bytes: make the new memory's pages present;
//! then, stretch by stretch, hold back stores ([`super::uffd`]), copy, put the new memory over the same addresses in one
//! system call, let stores go on; then wake who sleeps on the old memory (`sleepers`), and free what the chunk
//! came from unless a forked child has a right to it (`kin`). At any moment a thread that loads or stores finds
//! either the old memory or the new one, and both hold what was stored before. No page is there twice for longer than its
//! chunk takes, while there are no such children; of a huge page that is cut up as it goes the kernel takes the rest when it
//! needs memory. What may be done with a page, running it included, stays as it was.
//!
//! # What is guaranteed
//! With [`Protection::WriteProtected`]: no store of user code of this process is lost or appears twice (D-85), whatever
//! signals its threads block. So is no store that the kernel makes for a thread (`read(2)` into the range), where
//! userfaultfd is [`Mode::Full`](super::uffd::Mode::Full); with [`UserOnly`](super::uffd::Mode::UserOnly) such a call
//! fails with EFAULT, or is short, if it meets the gap of some tens of microseconds. Streams keep what was not read
//! then, a datagram is lost.
//!
//! The program may have unmapped, protected or replaced part of a range that is an object's, or moved it (`mremap`): what
//! still maps the object is given back or moved away, wherever it lies, and what is something else by now is left alone
//! (D-79).
//!
//! # What is not
//! * Where the kernel refuses to hold back stores (no userfaultfd, private mappings of files, System V memory, shared
//!   memory before Linux 5.19 on x86-64, any memory before 6.10 on aarch64) stores of other threads may be lost: those made
//!   in the few microseconds between the copy of a stretch and its mapping.
//! * Stores past the page tables: devices and rings that were given pages before (O_DIRECT reads under way, io_uring's
//!   registered buffers), and other processes that share memory from before (D-78): they keep the old memory.
//! * A child that another thread forks meanwhile gets chunks already moved as shared memory and the others as before.
//!   Whatever it does with either, this process loses nothing. The library holds forks off while it moves memory.
//! * A thread that goes to sleep on a process-shared futex in private memory while its chunk is being adopted may be
//!   left sleeping; one that slept before is not. Waiters of process-shared mutexes with priority inheritance are left
//!   sleeping in any case.
//! * The new mapping is a new one: `mlock`, `madvise` advice (MADV_DONTFORK included) and names of the old are gone.
//! * Pages of shared anonymous and System V memory go when the last relative lets go of them, not chunk by chunk; so do
//!   those of an object while a forked child lives, and whoever maps them goes on finding what they held.
#![allow(unsafe_code)]

pub use super::geometry::CHUNK;
use super::inspect::{self, Identity, Piece};
use super::kin::{self, Kin};
pub use super::relocate::Protection;
use super::relocate::Relocation;
use super::span::Span;
use rsm_core::{Code, Error, Result};
use std::os::fd::BorrowedFd;

/// Range in which memory of an object is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Within {
    /// In the range only: the object goes on being a segment's, and may be mapped rightly elsewhere.
    Range,
    /// Everywhere, where part of the range is missing: the program may have moved it.
    Process,
}

/// Moves the contents of a range of the caller's memory to a memory object, and maps the object from its first byte on
/// over the same addresses, shared, with the same protection.
///
/// Create calls it with a fresh object, rebind with the segment's. What the object held before is overwritten. It must
/// have `length` bytes and be open for reading and writing, without seals against writing.
///
/// # Errors
/// BAD_LENGTH, BAD_MEM_ALIGNMENT for no and for broken pages; BAD_ADDR, PERM_DENIED as [`inspect::exportable`], and
/// BAD_ADDR for the calling thread's own stack and for pages past the end of a file, PERM_DENIED for memory that can be
/// run where shared memory cannot; INSUFFICIENT_MEM, INSUFFICIENT_RESOURCES. After an error the range holds what it held;
/// memory that was private is private again, memory that was shared is the shared memory it was. Should memory run out
/// even for the way back, the error says so: then part of the range maps the object, and holds what it held all the same.
///
/// # Safety
/// The range is the caller's to give: mappings in it may be replaced, nobody else replaces or unmaps them meanwhile,
/// and no Rust reference claims that its bytes do not change.
///
/// # Crash
/// Whatever the process shared with nobody dies with it; the object goes with its last descriptor and mapping.
pub unsafe fn adopt(start: *mut u8, length: usize, object: BorrowedFd<'_>) -> Result<Protection> {
    check_range(start, length)?;
    kin::watch()?;
    let pieces = inspect::exportable(start.expose_provenance(), length)?;
    let staging = Span::of_object(object, length)?;
    // SAFETY: by the caller's promise; the range is mapped and whole pages, by the checks above.
    unsafe { Relocation::new(at_their_place(pieces, start), staging, false)?.run() }
}

/// Turns what maps a memory object in a range into private anonymous memory with the same contents and protection; what
/// else is there is left alone. When nothing maps the object any more, that is all right.
///
/// Destroy calls it, and rebind for the old range. The object's pages are freed as it goes, unless a forked child may
/// have them or the program has changed the range: whoever else maps them finds zeros there afterwards.
///
/// # Errors
/// BAD_LENGTH, BAD_MEM_ALIGNMENT, BAD_ADDR for the calling thread's own stack; INSUFFICIENT_MEM, INSUFFICIENT_RESOURCES;
/// CTLR_NOT_PRESENT where there is no /proc to look at. After an error the memory maps the object as before, with its
/// contents.
///
/// # Safety
/// As [`adopt`].
///
/// # Crash
/// As [`adopt`].
pub unsafe fn give_back(start: *mut u8, length: usize, object: Identity, within: Within) -> Result<Protection> {
    check_range(start, length)?;
    let Left { mut here, elsewhere, whole } = left(start, length, object, within)?;
    here.extend(elsewhere);
    // SAFETY: by the caller's promise.
    unsafe { make_private(here, whole) }
}

/// Bytes that [`give_back`] needs beside what is there, as pages are not freed on the way: 0 where they are.
///
/// # Errors
/// As [`give_back`].
pub(crate) fn room_to_give_back(start: *mut u8, length: usize, object: Identity, within: Within) -> Result<u64> {
    let Left { here, elsewhere, whole } = left(start, length, object, within)?;
    let freed = whole && Kin::default().is_none();
    Ok(if freed { 0 } else { here.iter().chain(&elsewhere).map(|piece| piece.bytes() as u64).sum() })
}

/// Moves what a range that maps a memory object holds to another object, and maps that over the same addresses, from its
/// first byte on. Memory of the object that lies elsewhere becomes private.
///
/// A withdrawal calls it when somebody keeps the old object open: from then on the old one is nobody's memory but of forked
/// children. Its pages are freed as in [`give_back`]: whoever maps them finds zeros, and stores into the void.
///
/// # Errors
/// As [`give_back`].
///
/// # Safety
/// As [`adopt`].
///
/// # Crash
/// As [`adopt`].
pub unsafe fn move_to(start: *mut u8, length: usize, from: Identity, to: BorrowedFd<'_>) -> Result<Protection> {
    check_range(start, length)?;
    let Left { here, elsewhere, whole } = left(start, length, from, Within::Process)?;
    // SAFETY: by the caller's promise.
    let apart = unsafe { make_private(elsewhere, whole) }?;
    if here.is_empty() {
        return Ok(apart);
    }
    let staging = Span::of_object(to, length)?;
    // SAFETY: as in `adopt`.
    let moved = unsafe { Relocation::new(at_their_place(here, start), staging, whole)?.run() }?;
    Ok(if apart == Protection::None { apart } else { moved })
}

/// What is left of an object's memory in this process.
struct Left {
    /// In the range, where it was put.
    here: Vec<Piece>,
    /// Elsewhere in the range, or outside.
    elsewhere: Vec<Piece>,
    /// All of it is where it was put. Else some of it may be mapped twice, and no page may be freed before all is copied.
    whole: bool,
}

fn left(start: *mut u8, length: usize, object: Identity, within: Within) -> Result<Left> {
    let first = start.expose_provenance();
    let pieces = inspect::present(first, length)?;
    let of_object = pieces.into_iter().filter(|p| p.is_of(object));
    let (here, mut elsewhere): (Vec<_>, Vec<_>) = of_object.partition(|p| p.offset == (p.start - first) as u64);
    let whole = here.iter().map(Piece::bytes).sum::<usize>() == length;
    if !whole && within == Within::Process {
        let outside = |p: &Piece| p.end <= first || p.start >= first + length;
        elsewhere.extend(inspect::all_of(object)?.into_iter().filter(outside));
    }
    Ok(Left { here, elsewhere, whole })
}

/// # Safety
/// As [`adopt`], for the pieces.
unsafe fn make_private(pieces: Vec<Piece>, free: bool) -> Result<Protection> {
    let mut length = 0;
    let placed: Vec<_> = pieces
        .into_iter()
        .map(|piece| {
            let at = length;
            length += piece.bytes();
            (piece, at)
        })
        .collect();
    if placed.is_empty() {
        return Ok(Protection::WriteProtected);
    }
    let staging = Span::private(length)?;
    // SAFETY: by the caller's promise; the pieces are mapped.
    unsafe { Relocation::new(placed, staging, free)?.run() }
}

/// Pieces of a range that go to the same offsets.
fn at_their_place(pieces: Vec<Piece>, start: *mut u8) -> Vec<(Piece, usize)> {
    pieces.into_iter().map(|piece| (piece.start - start.addr(), piece)).map(|(at, piece)| (piece, at)).collect()
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
