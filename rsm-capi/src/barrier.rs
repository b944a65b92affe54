//! Barriers in the caller's storage (reference 1.28).
//!
//! `rsmapi_barrier_t` holds the import's handle, whether the span is open, and the link word it opened with. Nothing is
//! allocated for it. Storage that was never initialised must be zero to be recognised.

use crate::entry::{entry, fail, failure, number};
use crate::import::{connection, import};
use crate::table::{self, Slot};
use rsm_core::registry::LinkWord;
use rsm_core::verdict::BarrierType;
use rsm_core::{Code, Error, Result};
use rsm_shm::membership::connection::Connection;
use std::ffi::{c_int, c_uint};

/// `rsmapi_barrier_t`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Barrier {
    segment: u64,
    open: u16,
    link: u64,
}

const _: () = assert!(size_of::<Barrier>() == 24);

// What `open` is made of. A plain import's is 0 or 1.
/// A span is open.
const OPEN: u16 = 1;
/// The import is diverted: ordering is more than a fence.
const DIVERTED: u16 = 2;
/// Likewise, and the barrier is of type SEGMENT: it waits for the stores of this import only.
const NARROW: u16 = 4;

/// `RSM_BARRIER_SEGMENT` and `RSM_BARRIER_SEGMENT_THREAD`.
const SEGMENT: c_uint = 0x01;
const SEGMENT_THREAD: c_uint = 0x11;

/// Which stores a barrier waits for.
fn kind(open: u16) -> BarrierType {
    if open & NARROW == 0 { BarrierType::Node } else { BarrierType::Segment }
}

/// What `open` is until a span is opened. That of a plain import says nothing more, so that its spans are the plain ones also when
/// it was initialised while somebody traced.
fn closed(open: u16, diverted: bool) -> u16 {
    if diverted { open & NARROW | DIVERTED } else { 0 }
}

/// The import that initialised storage is tied to.
///
/// # Safety
/// `barrier` is NULL or readable.
#[inline(always)]
unsafe fn initialised(barrier: *mut Barrier) -> Result<u64> {
    if barrier.is_null() {
        return fail(Code::BadBarrierPtr);
    }
    // SAFETY: the caller's promise.
    let segment = unsafe { (*barrier).segment };
    if segment == 0 { fail(Code::BarrierUninitialized) } else { Ok(segment) }
}

/// Ties storage to an import and makes it the barrier of its implicit transfers. Every type is accepted (D-49), and means
/// something where stores are on their way.
///
/// # Safety
/// `barrier` is NULL or writable, and stays in place until destroyed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsm_memseg_import_init_barrier(im_memseg: u64, kind: c_uint, barrier: *mut Barrier) -> c_int {
    entry(|| {
        let (object, _) = import(im_memseg)?;
        if barrier.is_null() {
            return fail(Code::BadBarrierPtr);
        }
        let narrow = if kind == SEGMENT || kind == SEGMENT_THREAD { NARROW } else { 0 };
        let open = closed(narrow, object.connection.is_diverted());
        // SAFETY: writable by the caller's promise.
        unsafe { barrier.write(Barrier { segment: im_memseg, open, link: 0 }) };
        object.set_barrier(barrier.addr());
        Ok(())
    })
}

/// Opens a span, or opens it anew (D-50).
///
/// # Safety
/// `barrier` is NULL or initialised storage, used by one thread at a time.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsm_memseg_import_open_barrier(barrier: *mut Barrier) -> c_int {
    let open = || {
        // SAFETY: the caller's promise.
        let segment = unsafe { initialised(barrier) }?;
        let link = connection(segment)?.snapshot().link.word();
        // SAFETY: writable by the caller's promise.
        unsafe {
            (*barrier).open |= OPEN;
            (*barrier).link = link;
        }
        Ok(())
    };
    number(open())
}

/// Orders stores within a span (D-50, D-55).
///
/// # Safety
/// As `rsm_memseg_import_open_barrier`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsm_memseg_import_order_barrier(barrier: *mut Barrier) -> c_int {
    let order = || {
        // SAFETY: the caller's promise.
        let segment = unsafe { initialised(barrier) }?;
        let slot = table::import(segment).ok_or(Error::new(Code::BadSegHndl))?;
        // SAFETY: readable by the caller's promise.
        let open = unsafe { (*barrier).open };
        if open != OPEN {
            return Ok(order_otherwise(slot, open));
        }
        // Orders stores of the calling thread.
        rsm_shm::memory::fence::full();
        Ok(0)
    };
    either(order())
}

/// A number, or that of an error.
#[inline(always)]
fn either(result: Result<c_int>) -> c_int {
    match result {
        Ok(number) => number,
        Err(error) => failure(error),
    }
}

/// Orders stores that are not plain, if a span is open. A C function, as the next one: it is jumped to.
#[cold]
#[inline(never)]
extern "C" fn order_otherwise(slot: &Slot, open: u16) -> c_int {
    if open & OPEN == 0 {
        return Code::BarrierNotOpened.number();
    }
    // SAFETY: an import's; use during release is the caller's mistake (3.12).
    unsafe { slot.connection() }.order(kind(open));
    0
}

/// Ends a span and reports. An aborted import is told before a span that was not open (D-50).
///
/// # Safety
/// As `rsm_memseg_import_open_barrier`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsm_memseg_import_close_barrier(barrier: *mut Barrier) -> c_int {
    let close = || {
        // SAFETY: the caller's promise.
        let segment = unsafe { initialised(barrier) }?;
        let connection = connection(segment)?;
        // SAFETY: readable and writable by the caller's promise.
        let (open, link) = unsafe { (std::mem::replace(&mut (*barrier).open, 0), (*barrier).link) };
        if open == OPEN && connection.is_vouched_for(connection.opened_with(LinkWord::from_word(link))) {
            return Ok(0);
        }
        // SAFETY: writable by the caller's promise.
        Ok(unsafe { close_otherwise(barrier, connection, open, link) })
    };
    either(close())
}

/// The end of a span that is not plain, was not open, or is not vouched for.
///
/// # Safety
/// `barrier` is writable.
#[cold]
#[inline(never)]
unsafe extern "C" fn close_otherwise(barrier: *mut Barrier, connection: &Connection, open: u16, link: u64) -> c_int {
    // A plain import is diverted while somebody traces: that the next span is ordered where it is noted.
    let next = closed(open, connection.is_diverted());
    // SAFETY: the caller's promise.
    unsafe { (*barrier).open = next };
    let verdict = connection.close_span_number(connection.opened_with(LinkWord::from_word(link)), kind(open));
    if open & OPEN != 0 || verdict == Code::ConnAborted.number() {
        return verdict;
    }
    Code::BarrierNotOpened.number()
}

/// Unties and zeroes storage (D-51, D-52); that of an import that is gone as well (D-53).
///
/// # Safety
/// As `rsm_memseg_import_open_barrier`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsm_memseg_import_destroy_barrier(barrier: *mut Barrier) -> c_int {
    entry(|| {
        // SAFETY: the caller's promise.
        let segment = unsafe { initialised(barrier) }?;
        if let Ok((object, _)) = import(segment) {
            object.clear_barrier(barrier.addr());
        }
        // Every byte, as `{0}` would.
        // SAFETY: writable by the caller's promise; all zeroes are a Barrier.
        unsafe { barrier.write_bytes(0, 1) };
        Ok(())
    })
}
