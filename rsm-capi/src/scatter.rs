//! Scatter and gather, and local memory handles (reference 1.24, 1.31; D-40 to D-43).

use crate::controller::ControllerObject;
use crate::entry::{entry, fail, plain_entry};
use crate::import::import;
use crate::table::{self, Slot};
use crate::transfer::{MAPPED, READ, WRITE};
use rsm_core::bell::Accumulate;
use rsm_core::{Code, Error, Result};
use rsm_shm::membership::connection::{EXPLICIT, NOT_PLAIN};
use rsm_shm::memory::copy;
use std::ffi::{c_int, c_uint, c_ulong, c_void};
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::{Acquire, Relaxed};

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
    plain_entry(|| unsafe { transfer::<WRITE>(sg_io) })
}

/// Loads up to 16 pieces of local memory.
///
/// # Safety
/// `sg_io` is NULL or filled as the header says; the local memory it names can be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsm_memseg_import_getv(sg_io: *mut ScatterGather) -> c_int {
    // SAFETY: the caller's promise.
    plain_entry(|| unsafe { transfer::<READ>(sg_io) })
}

unsafe fn transfer<const NEED: u32>(sg_io: *mut ScatterGather) -> Result<()> {
    if sg_io.is_null() {
        return fail(Code::BadSgio);
    }
    // SAFETY: the caller's promise; fields are read and written one at a time, no reference is kept.
    let (count, flags, remote, vector) = unsafe { ((*sg_io).count, (*sg_io).flags, (*sg_io).remote, (*sg_io).vector) };
    let (object, slot) = import(remote)?;
    if count == 0 || count > MAX_REQUESTS || vector.is_null() {
        return fail(Code::BadSgio);
    }
    object.connection.adopt_process()?;
    let flags_of = object.connection.flags();
    if flags_of.load(Acquire) & MAPPED == 0 {
        object.map_implicitly(slot)?;
    }
    for i in 0..count {
        // SAFETY: inside the vector by the caller's promise.
        let entry = unsafe { vector.add(i as usize).read() };
        // SAFETY: the local memory is the caller's promise.
        let done = place::<NEED>(slot, flags_of, &entry).and_then(|(local, place)| unsafe {
            if flags_of.load(Relaxed) & NOT_PLAIN != 0 {
                object.connection.not_plain(|row| {
                    let bytes = entry.length as u64;
                    if NEED == WRITE { row.put(bytes) } else { row.got(bytes) }
                })?;
            }
            let opened = object.connection.snapshot();
            if NEED == WRITE {
                copy::put_bytes(local, place, entry.length);
            } else {
                copy::get_bytes(place, local, entry.length);
            }
            match flags_of.load(Relaxed) & EXPLICIT {
                0 if NEED == WRITE => object.connection.close_span(opened),
                0 => object.connection.close_read_span(opened),
                _ => Ok(()),
            }
        });
        if done.is_err() {
            // SAFETY: writable by the caller's promise.
            unsafe { (*sg_io).residual = count - i };
            return done;
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

/// Checks one entry in the order of D-40; gives its local and its remote place.
fn place<const NEED: u32>(slot: &Slot, flags: &AtomicU32, entry: &IoVector) -> Result<(*mut u8, *mut u8)> {
    let local = match entry.kind {
        VA_TYPE if entry.local == 0 => return fail(Code::BadAddr),
        VA_TYPE => (entry.local as usize).checked_add(entry.local_offset).ok_or(Error::new(Code::BadAddr))?,
        HANDLE_TYPE => {
            let memory = table::find::<LocalObject>(entry.local, Code::BadLocalmemHndl)?;
            let inside = entry.local_offset <= memory.length && entry.length <= memory.length - entry.local_offset;
            if !inside {
                return fail(Code::BadLength);
            }
            memory.start + entry.local_offset
        }
        _ => return fail(Code::BadSgio),
    };
    if flags.load(Acquire) & NEED == 0 {
        return fail(Code::PermDenied);
    }
    let relative = (entry.remote_offset as u64).wrapping_sub(slot.start.load(Relaxed));
    let (length, bytes) = (slot.length.load(Relaxed), entry.length as u64);
    if bytes > length || relative > length - bytes {
        return fail(Code::BadOffset);
    }
    let remote = slot.base.load(Relaxed) + relative as usize;
    Ok((std::ptr::with_exposed_provenance_mut(local), std::ptr::with_exposed_provenance_mut(remote)))
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
