//! put and get.
//!
//! What one call needs is in the slot: the window, and the connection with its flags. Everything that is not the plain
//! case goes to a cold function that makes the checks in the reference's order (1.14).

use crate::entry::{fail, number};
use crate::import::ImportObject;
use crate::table::{self, Slot};
use rsm_core::{Code, Error, Result};
use rsm_shm::membership::connection::{Connection, EXPLICIT, FREE_FLAGS, NOT_PLAIN};
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
/// A window is mapped that has room for a word of any width.
pub(crate) const READY: u32 = 16 << FREE_FLAGS;

/// A transfer whose checks have passed.
struct Plain {
    place: *mut u8,
    connection: &'static Connection,
    /// A span of its own.
    implicit: bool,
}

/// Looks whether a transfer is a plain one, as nearly all are; finds nothing wrong with any other.
#[inline(always)]
fn plain<const NEED: u32>(handle: u64, offset: i64, data: usize, width: usize, bytes: u64) -> Option<Plain> {
    let slot = table::import(handle)?;
    // SAFETY: an import's; use during release is the caller's mistake (3.12).
    let connection = unsafe { slot.connection() };
    // Acquire: pairs with the Release of `show_window`.
    let flags = connection.flags().load(Acquire);
    let implicit = flags & (READY | NEED | NOT_PLAIN | EXPLICIT) != READY | NEED | EXPLICIT;
    if implicit && flags & (READY | NEED | NOT_PLAIN | EXPLICIT | BARRIER) != READY | NEED | BARRIER {
        return None;
    }
    if data == 0 || (data | offset as usize) & (width - 1) != 0 {
        return None;
    }
    let relative = (offset as u64).wrapping_sub(slot.start.load(Relaxed));
    let room = slot.room.load(Relaxed);
    // A window that is ready has room for a word; what begins where `room` says ends 8 bytes later.
    if bytes > 8 && bytes - 8 > room || relative > room.wrapping_add(8).wrapping_sub(bytes) {
        return None;
    }
    let place = slot.base.load(Relaxed) + relative as usize;
    Some(Plain { place: std::ptr::with_exposed_provenance_mut(place), connection, implicit })
}

impl Plain {
    /// Moves the data, and says what came of it.
    #[inline(always)]
    fn carry_out<const NEED: u32>(self, access: impl FnOnce(*mut u8)) -> c_int {
        if !self.implicit {
            access(self.place);
            return 0;
        }
        let opened = self.connection.snapshot();
        access(self.place);
        number(if NEED == WRITE { self.connection.close_span(opened) } else { self.connection.close_read_span(opened) })
    }
}

/// Any other transfer: checks it in the reference's order, and carries it out if it is right after all.
#[cold]
#[inline(never)]
fn other<const NEED: u32>(
    handle: u64,
    offset: i64,
    data: usize,
    width: usize,
    bytes: Option<u64>,
    access: impl FnOnce(*mut u8),
) -> c_int {
    let Some(slot) = table::import(handle) else { return Code::BadSegHndl.number() };
    // SAFETY: as in `plain`.
    let connection = unsafe { slot.connection() };
    // This goes far, so panics are kept inside.
    let checked = catch_unwind(AssertUnwindSafe(|| recheck::<NEED>(slot, offset, data, width, bytes)));
    match checked.unwrap_or_else(|_| fail(Code::InternalError)) {
        Ok(place) => {
            let place = std::ptr::with_exposed_provenance_mut(place);
            let implicit = connection.flags().load(Relaxed) & EXPLICIT == 0;
            Plain { place, connection, implicit }.carry_out::<NEED>(access)
        }
        Err(error) => error.code().number(),
    }
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
            if count == 1
                && let Some(plain) = plain::<WRITE>(handle, offset, data.addr(), WIDTH, WIDTH as u64)
            {
                // SAFETY: the data is the caller's promise; the place was checked: inside the window, aligned.
                return plain.carry_out::<WRITE>(|place| unsafe { <$word as Word>::store(place, data.read()) });
            }
            several::<$word, WRITE>(handle, offset, data.cast_mut(), count)
        }

        /// Loads elements in ascending order, each with one access of its width. Reference 1.14.
        ///
        /// # Safety
        /// `data` is NULL or has room for `count` elements.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $get(handle: u64, offset: i64, data: *mut $word, count: c_ulong) -> c_int {
            const WIDTH: usize = size_of::<$word>();
            if count == 1
                && let Some(plain) = plain::<READ>(handle, offset, data.addr(), WIDTH, WIDTH as u64)
            {
                // SAFETY: as above.
                return plain.carry_out::<READ>(|place| unsafe { data.write(<$word as Word>::load(place)) });
            }
            several::<$word, READ>(handle, offset, data, count)
        }
    )*};
}

/// More than one word, or not a plain transfer. A C function, which never unwinds, so that it is jumped to and not called.
#[inline(never)]
extern "C" fn several<W: Word, const NEED: u32>(handle: u64, offset: i64, data: *mut W, count: c_ulong) -> c_int {
    let width = size_of::<W>();
    let access = |place: *mut u8| {
        for i in 0..count as usize {
            // SAFETY: the data is the caller's promise; the place was checked: inside the window, aligned.
            unsafe {
                let (near, far) = (data.add(i), place.add(i * width));
                if NEED == WRITE { W::store(far, near.read()) } else { near.write(W::load(far)) }
            }
        }
    };
    let bytes = count.checked_mul(width as c_ulong);
    match bytes.and_then(|bytes| plain::<NEED>(handle, offset, data.addr(), width, bytes)) {
        Some(plain) => plain.carry_out::<NEED>(access),
        None => other::<NEED>(handle, offset, data.addr(), width, bytes, access),
    }
}

/// Bytes, from or to local memory.
#[inline(always)]
fn bytes<const NEED: u32>(handle: u64, offset: i64, data: usize, length: usize, access: impl FnOnce(*mut u8)) -> c_int {
    match plain::<NEED>(handle, offset, data, 1, length as u64) {
        Some(plain) => plain.carry_out::<NEED>(access),
        None => other::<NEED>(handle, offset, data, 1, Some(length as u64), access),
    }
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
    bytes::<WRITE>(handle, offset, source.addr(), length, |place| {
        // SAFETY: the source is the caller's promise, the place was checked. They may overlap: the program may give a
        // place in a mapping of its own.
        unsafe { copy::put_bytes(source.cast(), place, length) };
    })
}

/// Loads bytes. Reference 1.14.
///
/// # Safety
/// `target` is NULL or has room for `length` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsm_memseg_import_get(handle: u64, offset: i64, target: *mut c_void, length: usize) -> c_int {
    bytes::<READ>(handle, offset, target.addr(), length, |place| {
        // SAFETY: as above.
        unsafe { copy::get_bytes(place, target.cast(), length) };
    })
}

/// Orders stores of the calling thread, for barriers.
pub(crate) fn full_fence() {
    fence::full();
}
