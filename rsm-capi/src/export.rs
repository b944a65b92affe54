//! Exports.

use crate::controller::ControllerObject;
use crate::entry::{entry, fail};
use crate::polled::Polled;
use crate::table::{self, Kind, Object};
use rsm::AccessList;
use rsm_core::{Code, Result};
use rsm_shm::membership::importers::Importers;
use rsm_shm::membership::segment::Segment;
use std::ffi::{c_int, c_uint, c_void};
use std::sync::{Mutex, PoisonError};

const ALLOW_REBIND: c_uint = 1;

/// An export that a program has.
pub(crate) struct ExportObject {
    pub(crate) segment: Segment,
    pub(crate) polled: Polled,
    /// Who comes and goes, since a program first asked.
    importers: Mutex<Option<Importers>>,
}

impl ExportObject {
    /// Works on what tells of importers. It waits for nobody.
    pub(crate) fn with_importers<T>(&self, work: impl FnOnce(&mut Importers) -> Result<T>) -> Result<T> {
        // A forked child may have inherited the lock in the hands of a thread that it has not.
        if !self.segment.is_creator() {
            return fail(Code::NotCreator);
        }
        let mut importers = self.importers.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *importers {
            Some(importers) => work(importers),
            none => work(none.insert(Importers::new(&self.segment)?)),
        }
    }
}

impl Object for ExportObject {
    const KIND: Kind = Kind::Export;
}

/// `rsmapi_access_entry_t`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct AccessEntry {
    node: u32,
    permission: u32,
}

/// Exports `[vaddr, vaddr+length)` in place. Reference 1.6.
///
/// # Safety
/// `memseg` is NULL or writable; the range stays the segment's until it is destroyed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsm_memseg_export_create(
    controller: u64,
    memseg: *mut u64,
    vaddr: *mut c_void,
    length: usize,
    flags: c_uint,
) -> c_int {
    entry(|| {
        if controller == 0 {
            return fail(Code::BadCtlrHndl);
        }
        if memseg.is_null() {
            return fail(Code::BadSegHndl);
        }
        // SAFETY: writable by the caller's promise.
        unsafe { memseg.write(0) };
        let object = table::find::<ControllerObject>(controller, Code::BadCtlrHndl)?;
        let (node, index) = (object.controller.node(), object.controller.index());
        // SAFETY: the caller's promise; what lies in the range is checked.
        let segment = unsafe { node.membership().adopt(index, vaddr.cast(), length, flags & ALLOW_REBIND != 0) }?;
        let (handle, _) =
            table::insert(ExportObject { segment, polled: Polled::default(), importers: Mutex::default() })?;
        // SAFETY: as above.
        unsafe { memseg.write(handle) };
        Ok(())
    })
}

/// Destroys an export; its memory is the program's own again. Where it cannot be given back the handle stays. Reference 1.7.
#[unsafe(no_mangle)]
pub extern "C" fn rsm_memseg_export_destroy(memseg: u64) -> c_int {
    entry(|| {
        // Of two threads that destroy it one does, and the other finds no segment.
        let object = table::take::<ExportObject>(memseg, Code::BadSegHndl)?;
        let destroyed = match object.polled.check_unused() {
            Ok(()) => object.segment.destroy(),
            in_use => {
                table::put_back(memseg, object);
                return in_use;
            }
        };
        if !object.segment.is_gone() {
            table::put_back(memseg, object);
            return destroyed; // and the handle is good for trying again
        }
        // What can fail then is the cluster's end, and the segment is gone as well.
        drop(object);
        table::give_up(memseg);
        Ok(())
    })
}

/// Replaces the memory of an export. Reference 1.8; `off` is ignored, as in the original.
///
/// # Safety
/// As `rsm_memseg_export_create`, for the new range.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsm_memseg_export_rebind(memseg: u64, vaddr: *mut c_void, _off: i64, length: usize) -> c_int {
    entry(|| {
        let object = table::find::<ExportObject>(memseg, Code::BadSegHndl)?;
        // SAFETY: the caller's promise.
        unsafe { object.segment.rebind(vaddr.cast(), length) }
    })
}

/// Publishes. Reference 1.9.
///
/// # Safety
/// `segment_id` is NULL or readable and writable; `list` is NULL or has `length` entries.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsm_memseg_export_publish(
    memseg: u64,
    segment_id: *mut u32,
    list: *const AccessEntry,
    length: c_uint,
) -> c_int {
    entry(|| {
        if segment_id.is_null() {
            return fail(Code::BadSegid);
        }
        let object = table::find::<ExportObject>(memseg, Code::BadSegHndl)?;
        if length > 0 && list.is_null() {
            return fail(Code::BadAcl);
        }
        // SAFETY: the caller's promise.
        let (wanted, list) = unsafe { (segment_id.read(), access_list(list, length)) };
        let id = object.segment.publish(wanted, &list)?;
        if wanted == 0 {
            // SAFETY: writable by the caller's promise.
            unsafe { segment_id.write(id) };
        }
        Ok(())
    })
}

/// Withdraws. Reference 1.10.
#[unsafe(no_mangle)]
pub extern "C" fn rsm_memseg_export_unpublish(memseg: u64) -> c_int {
    entry(|| table::find::<ExportObject>(memseg, Code::BadSegHndl)?.segment.unpublish())
}

/// Replaces the access list. Reference 1.11: unlike publish, the state comes before the list.
///
/// # Safety
/// `list` is NULL or has `length` entries.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsm_memseg_export_republish(memseg: u64, list: *const AccessEntry, length: c_uint) -> c_int {
    entry(|| {
        let object = table::find::<ExportObject>(memseg, Code::BadSegHndl)?;
        if length > 0 && list.is_null() {
            return if object.segment.is_published() { fail(Code::BadAcl) } else { fail(Code::SegNotPublished) };
        }
        // SAFETY: the caller's promise.
        let list = unsafe { access_list(list, length) };
        object.segment.republish(&list)
    })
}

/// The list, no longer than it takes to be refused for its length.
///
/// # Safety
/// `list` is NULL or has `length` entries.
pub(crate) unsafe fn access_list(list: *const AccessEntry, length: c_uint) -> AccessList {
    let mut access = AccessList::default_permissions();
    if !list.is_null() {
        for i in 0..length.min(65) as usize {
            // SAFETY: inside the list by the caller's promise.
            let entry = unsafe { list.add(i).read() };
            access = access.node(entry.node, entry.permission);
        }
    }
    access
}
