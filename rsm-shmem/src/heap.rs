//! The symmetric heap: first fit, the same on every PE because every PE makes the same calls.

use crate::arena::ALIGNMENT;
use crate::control::LINE;
use crate::job::{Job, job};
use crate::local::Sym;
use crate::mutex::lock;
use crate::region::HEAP;
use crate::{Call, collective, end, order};
use std::ffi::{c_long, c_void};

/// What every block is aligned to: the widest type of C.
const USUAL: usize = 16;
/// SHMEM_MALLOC_ATOMICS_REMOTE and SHMEM_MALLOC_SIGNAL_REMOTE.
const HINTS: c_long = 1 | 2;

/// The address of a byte of the heap.
fn address(job: &Job, offset: usize) -> *mut c_void {
    let start = job.peers[job.me].sides[HEAP].base;
    start.wrapping_add(offset).cast()
}

/// What a PE wants of the heap; the other PEs have to want the same.
#[derive(Clone, Copy)]
enum Wish {
    Take { bytes: usize, align: usize },
    Free { offset: usize },
    Resize { offset: usize, bytes: usize },
}

impl Wish {
    fn words(self) -> [u64; 3] {
        match self {
            Wish::Take { bytes, align } => [1, bytes as u64, align as u64],
            Wish::Free { offset } => [2, offset as u64, 0],
            Wish::Resize { offset, bytes } => [3, offset as u64, bytes as u64],
        }
    }
}

/// What its words say.
fn told([kind, first, second]: [u64; 3]) -> String {
    match kind {
        1 => format!("allocates {first} bytes, aligned to {second}"),
        2 => format!("frees the block {first} bytes into the heap"),
        _ => format!("reallocates the block {first} bytes into the heap, for {second} bytes"),
    }
}

/// A barrier of all PEs, which end the job if they do not want the same: their heaps would differ from then on, and what one PE puts into
/// a block would land in another one.
fn meet(job: &'static Job, call: &'static Call, wish: Wish) {
    // No fence of its own: what is told the others releases what was stored.
    order::complete(&job.default, call);
    let (own, mut pe, mut other) = (wish.words(), 0, None);
    job.world.exchange(&job.world.group(job, call), &own, |theirs| {
        if theirs != own && other.is_none() {
            other = Some((pe, [theirs[0], theirs[1], theirs[2]]));
        }
        pe += 1;
    });
    if let Some((pe, theirs)) = other {
        let (theirs, own) = (told(theirs), told(own));
        end::fail(
            call,
            format_args!("PE {pe} {theirs}, this one {own}: all PEs have to make the same calls of the heap"),
        );
    }
}

/// Takes a block, and waits for the others to have it; NULL where there is no room, on all.
fn take(call: &'static Call, bytes: usize, align: usize) -> *mut c_void {
    let job = job(call);
    if bytes == 0 {
        return std::ptr::null_mut();
    }
    let taken = lock(&job.heap).take(bytes, align, job.regions[HEAP].length);
    meet(job, call, Wish::Take { bytes, align });
    if taken.is_none() && job.settings.debug {
        end::say(format_args!("{call}: the heap has no room for {bytes} bytes (SHMEM_SYMMETRIC_SIZE)"));
    }
    taken.map_or(std::ptr::null_mut(), |offset| address(job, offset))
}

/// The block that begins here: where, and its length; or the end of the job.
fn block(job: &Job, call: &'static Call, ptr: Sym) -> (usize, usize) {
    let offset = ptr.address().wrapping_sub(job.regions[HEAP].start);
    match lock(&job.heap).length(offset) {
        Some(length) => (offset, length),
        None => end::fail(call, format_args!("ptr {:#x} is no block of the symmetric heap", ptr.address())),
    }
}

pub(crate) fn malloc(call: &'static Call, size: usize) -> *mut c_void {
    take(call, size, USUAL)
}

pub(crate) fn malloc_with_hints(call: &'static Call, size: usize, hints: c_long) -> *mut c_void {
    if hints & !HINTS != 0 {
        end::fail(
            call,
            format_args!("hints {hints:#x} are none of SHMEM_MALLOC_ATOMICS_REMOTE and SHMEM_MALLOC_SIGNAL_REMOTE"),
        );
    }
    if hints == 0 {
        return take(call, size, USUAL);
    }
    take(call, size.checked_next_multiple_of(LINE).unwrap_or(usize::MAX), LINE)
}

pub(crate) fn align(call: &'static Call, alignment: usize, size: usize) -> *mut c_void {
    if !alignment.is_power_of_two() || alignment < size_of::<usize>() || alignment > ALIGNMENT {
        end::fail(
            call,
            format_args!("alignment {alignment} is no power of two from {} to {ALIGNMENT}", size_of::<usize>()),
        );
    }
    take(call, size, alignment.max(USUAL))
}

pub(crate) fn calloc(call: &'static Call, count: usize, size: usize) -> *mut c_void {
    let bytes = count.saturating_mul(size);
    let start = take(call, bytes, USUAL);
    if !start.is_null() {
        job(call).own(call, "ptr", Sym::of(start), bytes, 1).0.zero(bytes);
        // Nobody puts anything there before it is zero.
        collective::barrier_all(call);
    }
    start
}

pub(crate) fn free(call: &'static Call, ptr: Sym) {
    let job = job(call);
    if ptr.is_null() {
        return;
    }
    let (offset, _) = block(job, call, ptr);
    // What others put there has arrived.
    meet(job, call, Wish::Free { offset });
    lock(&job.heap).remove(offset);
}

pub(crate) fn realloc(call: &'static Call, ptr: Sym, size: usize) -> *mut c_void {
    if ptr.is_null() {
        return malloc(call, size);
    }
    if size == 0 {
        free(call, ptr);
        return std::ptr::null_mut();
    }
    let job = job(call);
    let (offset, length) = block(job, call, ptr);
    meet(job, call, Wish::Resize { offset, bytes: size });
    let end = job.regions[HEAP].length;
    let moved = {
        let mut blocks = lock(&job.heap);
        if blocks.resize(offset, size, end) { Some(offset) } else { blocks.take(size, USUAL, end) }
    };
    if let Some(new) = moved.filter(|&new| new != offset) {
        let at = |offset| job.own(call, "ptr", Sym::of(address(job, offset)), length.min(size), 1).0;
        at(new).copy_from_place(at(offset), length.min(size));
        lock(&job.heap).remove(offset);
    }
    collective::barrier_all(call);
    moved.map_or(std::ptr::null_mut(), |offset| address(job, offset))
}
