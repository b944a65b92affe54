//! put and get.
//!
//! What one call needs is in the slot: flags, window, and through the object the connection. Everything that is not the
//! plain case goes to a cold function that repeats the checks in the reference's order (1.14).

use crate::entry::fail;
use crate::import::ImportObject;
use crate::table::{self, Kind, Slot};
use rsm_core::{Code, Error, Result};
use rsm_shm::membership::connection::{EXPLICIT, FREE_FLAGS, NOT_PLAIN};
use rsm_shm::memory::copy::{self, Word};
use rsm_shm::memory::fence;
use std::ffi::{c_int, c_ulong, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering::{Acquire, Relaxed};

// Flags of a handle, beside those of its connection.
/// A window is mapped; the other fields of the slot are valid.
pub(crate) const MAPPED: u32 = 1 << FREE_FLAGS;
/// It may be read.
pub(crate) const READ: u32 = 2 << FREE_FLAGS;
/// It may be written.
pub(crate) const WRITE: u32 = 4 << FREE_FLAGS;
/// A barrier was initialised on the handle.
pub(crate) const BARRIER: u32 = 8 << FREE_FLAGS;

/// Checks and carries out one transfer of `bytes` bytes in units of `width`.
#[inline(always)]
fn transfer<const NEED: u32>(
    handle: u64,
    offset: i64,
    data: usize,
    width: usize,
    bytes: Option<u64>,
    access: impl FnOnce(*mut u8),
) -> c_int {
    match run::<NEED>(handle, offset, data, width, bytes, access) {
        Ok(()) => 0,
        Err(error) => error.code().number(),
    }
}

#[inline(always)]
fn run<const NEED: u32>(
    handle: u64,
    offset: i64,
    data: usize,
    width: usize,
    bytes: Option<u64>,
    access: impl FnOnce(*mut u8),
) -> Result<()> {
    let slot = if table::is_kind(handle, Kind::Import) { table::slot(handle) } else { None };
    let Some(slot) = slot else { return fail(Code::BadSegHndl) };
    // SAFETY: the kind was compared; use during release is the caller's mistake (3.12).
    let connection = unsafe { slot.connection() };
    // Acquire: pairs with the Release of `show_window`.
    let flags = connection.flags().load(Acquire);
    let relative = (offset as u64).wrapping_sub(slot.start.load(Relaxed));
    let length = slot.length.load(Relaxed);
    let plain = data != 0
        && (data | offset as usize) & (width - 1) == 0
        && flags & (MAPPED | NEED | NOT_PLAIN) == MAPPED | NEED
        && flags & (EXPLICIT | BARRIER) != 0
        && bytes.is_some_and(|bytes| bytes <= length && relative <= length - bytes);
    let place = if plain {
        slot.base.load(Relaxed) + relative as usize
    } else {
        kept_inside(|| recheck::<NEED>(slot, offset, data, width, bytes))?
    };
    let place: *mut u8 = std::ptr::with_exposed_provenance_mut(place);
    if flags & EXPLICIT != 0 {
        access(place);
        return Ok(());
    }
    let opened = connection.snapshot();
    access(place);
    if NEED == WRITE { connection.close_span(opened) } else { connection.close_read_span(opened) }
}

/// Runs what is not the plain path, which goes far, with panics kept inside.
#[cold]
#[inline(never)]
fn kept_inside(work: impl FnOnce() -> Result<usize>) -> Result<usize> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| fail(Code::InternalError))
}

/// The checks in the reference's order; gives the place when only the mapping was missing, or the transfer is right but
/// not plain.
fn recheck<const NEED: u32>(slot: &Slot, offset: i64, data: usize, width: usize, bytes: Option<u64>) -> Result<usize> {
    if data == 0 {
        return fail(Code::BadAddr);
    }
    if (data | offset as usize) & (width - 1) != 0 {
        return fail(Code::BadMemAlignment);
    }
    // SAFETY: the slot was found by the handle of an import.
    let object = unsafe { slot.object::<ImportObject>() };
    let connection = &object.connection;
    if connection.flags().load(Acquire) & MAPPED == 0 {
        object.map_implicitly(slot)?;
    }
    connection.adopt_process()?;
    let flags = connection.flags().load(Acquire);
    if flags & NEED == 0 {
        return fail(Code::PermDenied);
    }
    let relative = (offset as u64).wrapping_sub(slot.start.load(Relaxed));
    let length = slot.length.load(Relaxed);
    let Some(bytes) = bytes.filter(|&bytes| bytes <= length && relative <= length - bytes) else {
        return fail(Code::BadOffset);
    };
    if flags & (EXPLICIT | BARRIER) == 0 {
        return Err(Error::new(Code::BarrierUninitialized));
    }
    connection.not_plain(|row| if NEED == WRITE { row.put(bytes) } else { row.got(bytes) })?;
    Ok(slot.base.load(Relaxed) + relative as usize)
}

macro_rules! words {
    ($($put:ident $get:ident $word:ty;)*) => {$(
        /// Stores elements in ascending order, each with one access of its width. Reference 1.14.
        ///
        /// # Safety
        /// `data` is NULL or has `count` elements.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $put(handle: u64, offset: i64, data: *const $word, count: c_ulong) -> c_int {
            const WIDTH: usize = size_of::<$word>();
            let bytes = count.checked_mul(WIDTH as c_ulong);
            transfer::<WRITE>(handle, offset, data.addr(), WIDTH, bytes, |place| {
                for i in 0..count as usize {
                    // SAFETY: the data is the caller's promise; the place was checked: inside the window, aligned.
                    unsafe { <$word as Word>::store(place.add(i * WIDTH), data.add(i).read()) };
                }
            })
        }

        /// Loads elements in ascending order, each with one access of its width. Reference 1.14.
        ///
        /// # Safety
        /// `data` is NULL or has room for `count` elements.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $get(handle: u64, offset: i64, data: *mut $word, count: c_ulong) -> c_int {
            const WIDTH: usize = size_of::<$word>();
            let bytes = count.checked_mul(WIDTH as c_ulong);
            transfer::<READ>(handle, offset, data.addr(), WIDTH, bytes, |place| {
                for i in 0..count as usize {
                    // SAFETY: as above.
                    unsafe { data.add(i).write(<$word as Word>::load(place.add(i * WIDTH))) };
                }
            })
        }
    )*};
}

words! {
    rsm_memseg_import_put8 rsm_memseg_import_get8 u8;
    rsm_memseg_import_put16 rsm_memseg_import_get16 u16;
    rsm_memseg_import_put32 rsm_memseg_import_get32 u32;
    rsm_memseg_import_put64 rsm_memseg_import_get64 u64;
}

/// Stores bytes. Reference 1.14.
///
/// # Safety
/// `source` is NULL or has `length` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsm_memseg_import_put(
    handle: u64,
    offset: i64,
    source: *const c_void,
    length: usize,
) -> c_int {
    transfer::<WRITE>(handle, offset, source.addr(), 1, Some(length as u64), |place| {
        // SAFETY: the source is the caller's promise, the place was checked. They may overlap: the program may give a
        // place in a mapping of its own.
        unsafe { copy::move_bytes(source.cast(), place, length) };
    })
}

/// Loads bytes. Reference 1.14.
///
/// # Safety
/// `target` is NULL or has room for `length` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsm_memseg_import_get(handle: u64, offset: i64, target: *mut c_void, length: usize) -> c_int {
    transfer::<READ>(handle, offset, target.addr(), 1, Some(length as u64), |place| {
        // SAFETY: as above.
        unsafe { copy::move_bytes(place, target.cast(), length) };
    })
}

/// Orders stores of the calling thread, for barriers.
pub(crate) fn full_fence() {
    fence::full();
}
