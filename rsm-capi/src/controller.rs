//! Controllers.

use crate::entry::{entry, fail};
use crate::table;
use rsm::{Controller, Node};
use rsm_core::Code;
use std::ffi::{CStr, c_char, c_int, c_uint, c_ulong};
use std::sync::{Mutex, PoisonError};

/// A controller that a program has open.
pub(crate) struct ControllerObject {
    pub(crate) controller: Controller,
}

/// Open controllers: index on the node, handle, references.
static OPEN: Mutex<Vec<(u32, u64, u32)>> = Mutex::new(Vec::new());

/// `rsmapi_controller_attr_t`.
#[repr(C)]
pub struct Attributes {
    direct_access_sizes: c_uint,
    atomic_sizes: c_uint,
    page_size: usize,
    max_export_segment_size: usize,
    tot_export_segment_size: usize,
    max_export_segments: c_ulong,
    max_import_map_size: usize,
    tot_import_map_size: usize,
    max_import_segments: c_ulong,
}

const _: () = assert!(size_of::<Attributes>() == 64);

/// Opens a controller; NULL means loopback. Reference 1.1.
///
/// # Safety
/// `name` is NULL or a C string; `controller` is NULL or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsm_get_controller(name: *const c_char, controller: *mut u64) -> c_int {
    entry(|| {
        if controller.is_null() {
            return fail(Code::BadCtlrHndl);
        }
        // SAFETY: the caller's promise.
        let name = if name.is_null() { Some("loopback") } else { unsafe { CStr::from_ptr(name) }.to_str().ok() };
        let Some(name) = name else { return fail(Code::CtlrNotPresent) };
        // Whatever keeps the cluster from being reached is told as the controller's absence (D-72).
        let opened = Node::current().and_then(|node| node.controller(name));
        let Ok(opened) = opened else { return fail(Code::CtlrNotPresent) };
        let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
        let index = opened.index();
        let handle = match open.iter_mut().find(|(i, _, _)| *i == index) {
            Some((_, handle, references)) => {
                *references += 1;
                *handle
            }
            None => {
                let (handle, _) = table::insert(ControllerObject { controller: opened })?;
                open.push((index, handle, 1));
                handle
            }
        };
        // SAFETY: writable by the caller's promise.
        unsafe { controller.write(handle) };
        Ok(())
    })
}

/// Drops a reference. Segments made through it go on working (D-05). Reference 1.3.
#[unsafe(no_mangle)]
pub extern "C" fn rsm_release_controller(controller: u64) -> c_int {
    entry(|| {
        table::find::<ControllerObject>(controller, Code::BadCtlrHndl)?;
        let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(at) = open.iter().position(|(_, handle, _)| *handle == controller) else {
            return fail(Code::BadCtlrHndl);
        };
        open[at].2 -= 1;
        if open[at].2 == 0 {
            open.swap_remove(at);
            drop(open);
            table::remove::<ControllerObject>(controller, Code::BadCtlrHndl)?;
        }
        Ok(())
    })
}

/// Tells what a controller can do. Reference 1.2.
///
/// # Safety
/// `attributes` is NULL or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsm_get_controller_attr(controller: u64, attributes: *mut Attributes) -> c_int {
    entry(|| {
        let object = table::find::<ControllerObject>(controller, Code::BadCtlrHndl)?;
        if attributes.is_null() {
            return fail(Code::BadAddr);
        }
        let a = object.controller.attributes();
        let attr = Attributes {
            direct_access_sizes: a.direct_access_sizes,
            atomic_sizes: a.atomic_sizes,
            page_size: a.page_size,
            max_export_segment_size: a.max_export_segment_size,
            tot_export_segment_size: a.tot_export_segment_size,
            max_export_segments: a.max_export_segments,
            max_import_map_size: a.max_import_map_size,
            tot_import_map_size: a.tot_import_map_size,
            max_import_segments: a.max_import_segments,
        };
        // SAFETY: writable by the caller's promise.
        unsafe { attributes.write(attr) };
        Ok(())
    })
}
