//! `rsm_ext.h`: what the RSMAPI has not and programs ask for.

use crate::controller::ControllerObject;
use crate::entry::{entry, fail, with_last};
use crate::export::{AccessEntry, ExportObject, access_list};
use crate::import::{self, connection};
use crate::signal::timeout;
use crate::table;
use rsm::{Controller, ImporterEvent};
use rsm_core::{Code, Error};
use std::ffi::{CStr, CString, c_char, c_int, c_uint};
use std::os::fd::AsRawFd;
use std::sync::OnceLock;
use std::time::Duration;

/// What a number means, in a clause; a string that stays.
#[unsafe(no_mangle)]
pub extern "C" fn rsm_ext_strerror(error: c_int) -> *const c_char {
    static TEXTS: OnceLock<Vec<CString>> = OnceLock::new();
    let text = |code: &Code| CString::new(code.meaning()).unwrap_or_default();
    let texts = TEXTS.get_or_init(|| Code::ALL.iter().map(text).collect());
    match Code::ALL.iter().position(|code| code.number() == error) {
        Some(place) => texts[place].as_ptr(),
        None if error == 0 => c"success".as_ptr(),
        None => c"not an error of the RSMAPI".as_ptr(),
    }
}

/// The sentence of the last error of this thread, if that was `error`, and else what the number means.
///
/// # Safety
/// `text` is NULL or has room for `size` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsm_ext_last_error(error: c_int, text: *mut c_char, size: usize) -> usize {
    let kept = with_last(|last| last.filter(|last| last.code().number() == error).map(|last| last.detail().to_owned()));
    let sentence = kept.unwrap_or_else(|| {
        // SAFETY: a string that stays.
        unsafe { CStr::from_ptr(rsm_ext_strerror(error)) }.to_string_lossy().into_owned()
    });
    if !text.is_null() && size > 0 {
        let bytes = sentence.as_bytes();
        let fits = (0..=bytes.len().min(size - 1)).rev().find(|&length| sentence.is_char_boundary(length));
        let length = fits.unwrap_or(0);
        // SAFETY: `length` is below `size`, for which there is room by the caller's promise.
        unsafe {
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), text.cast(), length);
            text.add(length).write(0);
        }
    }
    sentence.len()
}

/// The own node, and how many there are.
///
/// # Safety
/// `node` and `nodes` are NULL or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsm_ext_node(controller: u64, node: *mut u32, nodes: *mut c_uint) -> c_int {
    entry(|| {
        let own = table::find::<ControllerObject>(controller, Code::BadCtlrHndl)?.controller.node();
        if !node.is_null() {
            // SAFETY: writable by the caller's promise.
            unsafe { node.write(own.id()) };
        }
        if !nodes.is_null() {
            // SAFETY: as above.
            unsafe { nodes.write(own.node_count()) };
        }
        Ok(())
    })
}

/// The length of the segment that an import is connected to.
///
/// # Safety
/// `size` is NULL or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsm_ext_import_size(im_memseg: u64, size: *mut usize) -> c_int {
    entry(|| {
        let connection = connection(im_memseg)?;
        if size.is_null() {
            return fail(Code::BadAddr);
        }
        // The segment is mapped, so its length is an address difference.
        // SAFETY: writable by the caller's promise.
        unsafe { size.write(connection.length() as usize) };
        Ok(())
    })
}

/// Connects, waiting for the publication.
///
/// # Safety
/// As `rsm_memseg_import_connect`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsm_ext_import_connect(
    controller: u64,
    node: u32,
    segment_id: u32,
    permission: u32,
    milliseconds: c_int,
    im_memseg: *mut u64,
) -> c_int {
    // So long that there is no such time: for ever.
    let within = timeout(milliseconds).unwrap_or(Duration::MAX);
    // SAFETY: the caller's promise.
    entry(|| unsafe { import::connect(controller, (node, segment_id, permission), Some(within), im_memseg) })
}

/// Makes a segment of the cluster, unless it is there, and connects to it.
///
/// # Safety
/// `list` is NULL or has `length` entries; `im_memseg` is NULL or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsm_ext_common_connect(
    controller: u64,
    segment_id: u32,
    size: usize,
    list: *const AccessEntry,
    length: c_uint,
    permission: u32,
    im_memseg: *mut u64,
) -> c_int {
    entry(|| {
        if length > 0 && list.is_null() {
            table::find::<ControllerObject>(controller, Code::BadCtlrHndl)?;
            return fail(Code::BadAcl);
        }
        // SAFETY: the caller's promise.
        let access = unsafe { access_list(list, length) };
        let connect = |controller: &Controller, permission| {
            let membership = controller.node().membership();
            membership.common(controller.index(), segment_id, size as u64, permission, &access)
        };
        // SAFETY: the caller's promise.
        unsafe { import::connect_by(controller, permission, im_memseg, connect) }
    })
}

/// Has the run end with a code.
#[unsafe(no_mangle)]
pub extern "C" fn rsm_ext_end_run(code: c_int) -> c_int {
    entry(|| {
        let byte = u8::try_from(code)
            .map_err(|_| Error::with(Code::BadArgsErrors, format!("{code} is no exit code: those are 0 to 255")))?;
        rsm::end_run(byte)
    })
}

/// What happened to the connections of an export: `rsm_ext_importer_event_t`.
#[repr(C)]
pub struct ImporterEventRecord {
    node: u32,
    pid: u32,
    connection: u64,
    left: c_uint,
    why: c_uint,
}

const _: () = assert!(size_of::<ImporterEventRecord>() == 24);

/// The descriptor that tells of importers; made at the first call.
///
/// # Safety
/// `fd` is NULL or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsm_ext_export_watch(memseg: u64, fd: *mut c_int) -> c_int {
    entry(|| {
        let object = table::find::<ExportObject>(memseg, Code::BadSegHndl)?;
        if fd.is_null() {
            return fail(Code::BadAddr);
        }
        let number = object.with_importers(|importers| Ok(importers.descriptor().as_raw_fd()))?;
        // SAFETY: writable by the caller's promise.
        unsafe { fd.write(number) };
        Ok(())
    })
}

/// The next thing that happened to the connections of an export, if something has.
///
/// # Safety
/// `event` is NULL or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsm_ext_export_next_importer(memseg: u64, event: *mut ImporterEventRecord) -> c_int {
    entry(|| {
        let object = table::find::<ExportObject>(memseg, Code::BadSegHndl)?;
        if event.is_null() {
            return fail(Code::BadAddr);
        }
        let (importer, left, why) = match object.with_importers(|importers| importers.next(Some(Duration::ZERO)))? {
            ImporterEvent::Connected(importer) => (importer, 0, 0),
            ImporterEvent::Left(importer, why) => (importer, 1, why.map_or(0, |why| why as c_uint)),
            // What this header does not know.
            _ => return fail(Code::InternalError),
        };
        let told =
            ImporterEventRecord { node: importer.node, pid: importer.pid, connection: importer.connection, left, why };
        // SAFETY: writable by the caller's promise.
        unsafe { event.write(told) };
        Ok(())
    })
}
