//! Scatter and gather, and local memory handles (reference 1.24, 1.31; D-40 to D-43).

use crate::controller::ControllerObject;
use crate::entry::{entry, fail, number, plain_entry};
use crate::import::{ImportObject, import};
use crate::table::{self, Kind, Object, Slot};
use crate::transfer::{plain_through, reach, straight};
use rsm_core::bell::Accumulate;
use rsm_core::transfer::{Direction, Transfer};
use rsm_core::{Code, Error, Result};
use rsm_shm::memory::carry::{Entry, Move};
use std::ffi::{c_int, c_uint, c_ulong, c_void};
use std::sync::atomic::Ordering::Relaxed;

const MAX_REQUESTS: c_ulong = 16;
const HANDLE_TYPE: c_int = 1;
const VA_TYPE: c_int = 2;
const IMPLICIT_SIGPOST: c_uint = 1;
const NO_ACCUMULATE: c_uint = 2;

/// Local memory with a handle.
pub(crate) struct LocalObject {
    start: usize,
    length: usize,
}

impl Object for LocalObject {
    const KIND: Kind = Kind::Local;
}

/// `rsm_iovec_t`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct IoVector {
    kind: c_int,
    local: u64,
    local_offset: usize,
    remote_offset: usize,
    length: usize,
}

/// `rsm_scat_gath_t`.
#[repr(C)]
pub struct ScatterGather {
    local_node: u32,
    count: c_ulong,
    residual: c_ulong,
    flags: c_uint,
    remote: u64,
    vector: *mut IoVector,
}

const _: () = assert!(size_of::<IoVector>() == 40 && size_of::<ScatterGather>() == 48);

/// Stores up to 16 pieces of local memory.
///
/// # Safety
/// `sg_io` is NULL or filled as the header says; the local memory it names can be read.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsm_memseg_import_putv(sg_io: *mut ScatterGather) -> c_int {
    // SAFETY: the caller's promise.
    plain_entry(|| unsafe { transfer(sg_io, |local, length| Entry::<true>::new(local, length)) })
}

/// Loads up to 16 pieces of local memory.
///
/// # Safety
/// `sg_io` is NULL or filled as the header says; the local memory it names can be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsm_memseg_import_getv(sg_io: *mut ScatterGather) -> c_int {
    // SAFETY: the caller's promise.
    plain_entry(|| unsafe { transfer(sg_io, |local, length| Entry::<false>::new(local, length)) })
}

/// Makes of each entry what `moved` makes of its local memory, and moves it.
unsafe fn transfer<M: Move<Loaded = ()>>(sg_io: *mut ScatterGather, moved: impl Fn(*mut u8, usize) -> M) -> Result<()> {
    if sg_io.is_null() {
        return fail(Code::BadSgio);
    }
    // SAFETY: the caller's promise; fields are read and written one at a time, no reference is kept.
    let (count, flags, remote, vector) = unsafe { ((*sg_io).count, (*sg_io).flags, (*sg_io).remote, (*sg_io).vector) };
    let (object, slot) = import(remote)?;
    if count == 0 || count > MAX_REQUESTS || vector.is_null() {
        return fail(Code::BadSgio);
    }
    // The mapping comes before the entries.
    reach(object, slot, false)?;
    for i in 0..count {
        // SAFETY: inside the vector by the caller's promise.
        let entry = unsafe { vector.add(i as usize).read() };
        // SAFETY: the local memory is the caller's promise.
        let done = unsafe { one(object, slot, &entry, &moved) };
        if done != 0 {
            // SAFETY: writable by the caller's promise.
            unsafe { (*sg_io).residual = count - i };
            return fail(Code::from_number(done).unwrap_or(Code::InternalError));
        }
    }
    // SAFETY: as above.
    unsafe { (*sg_io).residual = 0 };
    if flags & IMPLICIT_SIGPOST != 0 {
        let accumulate = if flags & NO_ACCUMULATE != 0 { Accumulate::No } else { Accumulate::Yes };
        object.connection.post(accumulate)?;
    }
    Ok(())
}

/// Checks one entry in the order of D-40, and moves what it names.
#[inline]
unsafe fn one<M: Move<Loaded = ()>>(
    object: &ImportObject,
    slot: &Slot,
    entry: &IoVector,
    moved: impl Fn(*mut u8, usize) -> M,
) -> c_int {
    let local = match local(entry) {
        Ok(local) => local,
        Err(error) => return error.code().number(),
    };
    let moved = moved(std::ptr::with_exposed_provenance_mut(local), entry.length);
    let bytes = entry.length as u64;
    match plain_through::<M>(slot, entry.remote_offset as i64, local, 1, bytes) {
        Some(plain) => plain.carry_out(moved),
        // SAFETY: the caller's promise.
        None => unsafe { other(object, slot, entry.remote_offset as u64, local, moved) },
    }
}

/// Any entry that is not plain.
#[cold]
#[inline(never)]
unsafe fn other<M: Move<Loaded = ()>>(
    object: &ImportObject,
    slot: &Slot,
    offset: u64,
    local: usize,
    moved: M,
) -> c_int {
    if let Some((straight, place)) = straight::<M>(slot, offset as i64, local, 1, moved.bytes()) {
        // SAFETY: the place was checked: inside the part; the local memory is the caller's promise.
        return number(unsafe { straight.carry(place, moved) });
    }
    let done = || {
        let bytes = moved.bytes();
        let transfer = Transfer { direction: M::DIRECTION, local: Some(local), offset, align: 1, bytes: Some(bytes) };
        // No barrier is needed (D-42).
        let relative = transfer.check(|| reach(object, slot, false))?;
        if M::DIRECTION == Direction::Put {
            object.connection.check_entry()?;
        }
        let place = std::ptr::with_exposed_provenance_mut(slot.base.load(Relaxed) + relative as usize);
        let way = object.connection.way(M::DIRECTION, bytes, place)?;
        // SAFETY: the checks have passed; the local memory is the caller's promise.
        unsafe { object.connection.carry_out::<false, M>(way, offset, moved) }
    };
    number(done())
}

/// Where the local memory of an entry is.
fn local(entry: &IoVector) -> Result<usize> {
    match entry.kind {
        VA_TYPE if entry.local == 0 => fail(Code::BadAddr),
        VA_TYPE => (entry.local as usize).checked_add(entry.local_offset).ok_or(Error::new(Code::BadAddr)),
        HANDLE_TYPE => {
            let memory = table::find::<LocalObject>(entry.local, Code::BadLocalmemHndl)?;
            let inside = entry.local_offset <= memory.length && entry.length <= memory.length - entry.local_offset;
            if inside { Ok(memory.start + entry.local_offset) } else { fail(Code::BadLength) }
        }
        _ => fail(Code::BadSgio),
    }
}

/// Makes a handle for local memory. Reference 1.31: the alignment comes first.
///
/// # Safety
/// `handle` is NULL or writable; the memory stays while the handle is used.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsm_create_localmemory_handle(
    controller: u64,
    handle: *mut u64,
    address: *mut c_void,
    length: usize,
) -> c_int {
    entry(|| {
        if !address.addr().is_multiple_of(rsm_shm::memory::page_size()) {
            return fail(Code::BadAddr);
        }
        table::find::<ControllerObject>(controller, Code::BadCtlrHndl)?;
        if handle.is_null() {
            return fail(Code::BadLocalmemHndl);
        }
        if length == 0 {
            return fail(Code::BadLength);
        }
        if address.is_null() {
            return fail(Code::BadAddr);
        }
        let (word, _) = table::insert(LocalObject { start: address.expose_provenance(), length })?;
        // SAFETY: writable by the caller's promise.
        unsafe { handle.write(word) };
        Ok(())
    })
}

/// Ends a handle for local memory. Reference 1.31.
#[unsafe(no_mangle)]
pub extern "C" fn rsm_free_localmemory_handle(controller: u64, handle: u64) -> c_int {
    entry(|| {
        table::find::<ControllerObject>(controller, Code::BadCtlrHndl)?;
        table::remove::<LocalObject>(handle, Code::BadLocalmemHndl).map(drop)
    })
}
