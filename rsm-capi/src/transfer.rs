//! put and get.
//!
//! What one call needs is in the slot: the mapped part, and the connection with its flags. Everything that is not the plain
//! case goes to a cold function that makes the checks in the reference's order (1.14).

use crate::entry::{number, plain_entry};
use crate::import::ImportObject;
use crate::table::{self, Slot};
use rsm_core::transfer::{Direction, Reach, Transfer};
use rsm_core::verdict::BarrierType;
use rsm_core::{Code, Result};
use rsm_shm::membership::connection::{Connection, Straight};
use rsm_shm::membership::flags::Flags;
use rsm_shm::memory::carry::{Elements, Move, Raw};
use rsm_shm::memory::copy::Word;
use std::ffi::{c_int, c_ulong, c_void};
use std::sync::atomic::Ordering::Relaxed;

/// A transfer whose checks have passed, to a place in memory.
pub(crate) struct Plain {
    place: *mut u8,
    connection: &'static Connection,
    /// A span of its own.
    implicit: bool,
}

/// Looks whether a transfer is a plain one, as nearly all are; finds nothing wrong with any other.
#[inline(always)]
fn plain<M: Move>(handle: u64, offset: i64, data: usize, width: usize, bytes: u64) -> Option<Plain> {
    plain_through::<M>(table::import(handle)?, offset, data, width, bytes)
}

/// The same for the slot of an import.
#[inline(always)]
pub(crate) fn plain_through<M: Move>(slot: &Slot, offset: i64, data: usize, width: usize, bytes: u64) -> Option<Plain> {
    let needed = const { Flags::READY.and(Flags::needed_of_part(M::DIRECTION)) };
    fine(needed, slot, offset, data, width, bytes)
}

/// A transfer with which nothing is wrong, if it is just of the kind whose flags are needed: the quick look, of which the checks
/// that say what is wrong are [`other`]'s.
#[inline(always)]
fn fine(needed: Flags, slot: &Slot, offset: i64, data: usize, width: usize, bytes: u64) -> Option<Plain> {
    const IN_ANY: Flags = Flags::NOT_PLAIN.and(Flags::EXPLICIT);
    // SAFETY: an import's; use during release is the caller's mistake (3.12).
    let connection = unsafe { slot.connection() };
    let flags = connection.flags().shown();
    // Looked for twice, so that neither mode is asked for again later.
    if flags.is_just(needed.and(Flags::EXPLICIT), IN_ANY) {
        let place = place_in(slot, offset, data, width, bytes)?;
        return Some(Plain { place, connection, implicit: false });
    }
    if flags.is_just(needed.and(Flags::BARRIER), IN_ANY) {
        let place = place_in(slot, offset, data, width, bytes)?;
        return Some(Plain { place, connection, implicit: true });
    }
    None
}

/// Where a transfer goes, if it is right.
#[inline(always)]
fn place_in(slot: &Slot, offset: i64, data: usize, width: usize, bytes: u64) -> Option<*mut u8> {
    if data == 0 || (data | offset as usize) & (width - 1) != 0 {
        return None;
    }
    let relative = (offset as u64).wrapping_sub(slot.start.load(Relaxed));
    let room = slot.room.load(Relaxed);
    // A part that is ready has room for a word; what begins where `room` says ends 8 bytes later.
    if bytes > 8 && bytes - 8 > room || relative > room.wrapping_add(8).wrapping_sub(bytes) {
        return None;
    }
    Some(std::ptr::with_exposed_provenance_mut(slot.base.load(Relaxed) + relative as usize))
}

impl Plain {
    /// Moves the data, and says what came of it.
    #[inline(always)]
    pub(crate) fn carry_out<M: Move<Loaded = ()>>(self, moved: M) -> c_int {
        // SAFETY: the place was checked: inside the part, aligned; the local memory is the caller's promise.
        let access = |moved: M| unsafe { moved.whole(self.place) };
        if !self.implicit {
            access(moved);
            return 0;
        }
        let opened = self.connection.snapshot();
        access(moved);
        match M::DIRECTION {
            Direction::Put => self.connection.close_span_number(opened, BarrierType::Segment),
            Direction::Get => self.connection.close_read_span_number(opened),
        }
    }
}

/// Looks whether a transfer is one that goes straight to another host, and where; finds nothing wrong with any other.
#[inline(always)]
pub(crate) fn straight<M: Move>(
    slot: &Slot,
    offset: i64,
    data: usize,
    width: usize,
    bytes: u64,
) -> Option<(Straight<'static>, *mut u8)> {
    let needed = const { Flags::READY.and(Flags::needed_of_part(M::DIRECTION)).and(Flags::DIVERTED) };
    let Plain { place, connection, .. } = fine(needed, slot, offset, data, width, bytes)?;
    Some((connection.straight(M::DIRECTION)?, place))
}

/// Any other transfer: checks it in the reference's order, and carries it out if it is right after all.
#[cold]
#[inline(never)]
fn other<M: Move<Loaded = ()>>(handle: u64, transfer: Transfer, moved: M) -> c_int {
    let Some(slot) = table::import(handle) else { return Code::BadSegHndl.number() };
    if let Transfer { local: Some(data), offset, align, bytes: Some(bytes), .. } = transfer
        && let Some((straight, place)) = straight::<M>(slot, offset as i64, data, align as usize, bytes)
    {
        // SAFETY: the place was checked: inside the part, aligned; the local memory is the caller's promise.
        return number(unsafe { straight.carry(place, moved) });
    }
    // SAFETY: as in `fine`.
    let connection = unsafe { slot.connection() };
    // This goes far, so panics are kept inside.
    plain_entry(|| {
        // SAFETY: the slot was found by the handle of an import.
        let object = unsafe { slot.object::<ImportObject>() };
        let relative = transfer.check(|| reach(object, slot, true))?;
        let place = std::ptr::with_exposed_provenance_mut(slot.base.load(Relaxed) + relative as usize);
        let way = connection.way(transfer.direction, moved.bytes(), place)?;
        // SAFETY: the checks have passed; the local memory is the caller's promise.
        unsafe { connection.carry_out::<false, M>(way, transfer.offset, moved) }
    })
}

/// What transfers through a handle reach, which is mapped here if need be; with `barrier`, implicit mode needs one.
pub(crate) fn reach(object: &ImportObject, slot: &Slot, barrier: bool) -> Result<Reach> {
    let word = object.connection.flags();
    if !word.shown().has(Flags::MAPPED) {
        object.map_implicitly(slot)?;
    }
    let flags = word.shown();
    Ok(Reach {
        start: slot.start.load(Relaxed),
        length: slot.length.load(Relaxed),
        permission: flags.part_permission(),
        is_vouched: !barrier || flags.has_any(Flags::EXPLICIT.and(Flags::BARRIER)),
    })
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
                && let Some(plain) = plain::<Elements<$word, true>>(handle, offset, data.addr(), WIDTH, WIDTH as u64)
            {
                // SAFETY: the data is the caller's promise.
                return plain.carry_out(unsafe { Elements::<_, true>::new(data.cast_mut(), 1) });
            }
            several::<$word, true>(handle, offset, data.cast_mut(), count)
        }

        /// Loads elements in ascending order, each with one access of its width. Reference 1.14.
        ///
        /// # Safety
        /// `data` is NULL or has room for `count` elements.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $get(handle: u64, offset: i64, data: *mut $word, count: c_ulong) -> c_int {
            const WIDTH: usize = size_of::<$word>();
            if count == 1
                && let Some(plain) = plain::<Elements<$word, false>>(handle, offset, data.addr(), WIDTH, WIDTH as u64)
            {
                // SAFETY: as above.
                return plain.carry_out(unsafe { Elements::<_, false>::new(data, 1) });
            }
            several::<$word, false>(handle, offset, data, count)
        }
    )*};
}

/// More than one word, or not a plain transfer. A C function, which never unwinds, so that it is jumped to and not called.
#[inline(never)]
extern "C" fn several<W: Word, const PUT: bool>(handle: u64, offset: i64, data: *mut W, count: c_ulong) -> c_int {
    let width = size_of::<W>();
    // SAFETY: the data is the caller's promise.
    let moved = unsafe { Elements::<W, PUT>::new(data, count as usize) };
    let bytes = count.checked_mul(width as c_ulong);
    moving(handle, offset, data.addr(), width, bytes, moved)
}

/// A transfer of any size.
#[inline(always)]
fn moving<M: Move<Loaded = ()>>(
    handle: u64,
    offset: i64,
    data: usize,
    width: usize,
    bytes: Option<u64>,
    moved: M,
) -> c_int {
    match bytes.and_then(|bytes| plain::<M>(handle, offset, data, width, bytes)) {
        Some(plain) => plain.carry_out(moved),
        None => {
            let (offset, align) = (offset as u64, width as u64);
            let transfer = Transfer { direction: M::DIRECTION, local: Some(data), offset, align, bytes };
            other(handle, transfer, moved)
        }
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
    // SAFETY: the source is the caller's promise.
    let moved = unsafe { Raw::<true>::new(source.cast_mut().cast(), length) };
    moving(handle, offset, source.addr(), 1, Some(length as u64), moved)
}

/// Loads bytes. Reference 1.14.
///
/// # Safety
/// `target` is NULL or has room for `length` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsm_memseg_import_get(handle: u64, offset: i64, target: *mut c_void, length: usize) -> c_int {
    // SAFETY: the target is the caller's promise.
    let moved = unsafe { Raw::<false>::new(target.cast(), length) };
    moving(handle, offset, target.addr(), 1, Some(length as u64), moved)
}
