//! Controllers.

use crate::entry::{entry, fail};
use crate::table::{self, Kind, Object};
use rsm::{Controller, Node};
use rsm_core::{Code, Error};
use std::ffi::{CStr, c_char, c_int, c_uint, c_ulong};
use std::sync::{Mutex, PoisonError};

/// A controller that a program has open.
pub(crate) struct ControllerObject {
    pub(crate) controller: Controller,
}

impl Object for ControllerObject {
    const KIND: Kind = Kind::Controller;
}

/// Open controllers: index on the node, handle, references.
static OPEN: Mutex<Vec<(u32, u64, u32)>> = Mutex::new(Vec::new());

/// Works on the open controllers. Forks are held off: a child must not inherit the lock in the hands of another thread.
fn with_open<T>(work: impl FnOnce(&mut Vec<(u32, u64, u32)>) -> T) -> T {
    let _hold = rsm_shm::membership::without_forks();
    work(&mut OPEN.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Adds a reference to a controller that is open.
fn reference(index: u32) -> Option<u64> {
    with_open(|open| {
        let (_, handle, references) = open.iter_mut().find(|(i, _, _)| *i == index)?;
        *references += 1;
        Some(*handle)
    })
}

/// Notes a controller as open under `made`, or adds a reference to the handle it has by now.
fn open(index: u32, made: u64) -> u64 {
    with_open(|open| match open.iter_mut().find(|(i, _, _)| *i == index) {
        Some((_, handle, references)) => {
            *references += 1;
            *handle
        }
        None => {
            open.push((index, made, 1));
            made
        }
    })
}

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
        let opened = opened.map_err(|error| Error::with(Code::CtlrNotPresent, error.detail().to_owned()))?;
        let index = opened.index();
        let handle = match reference(index) {
            Some(handle) => handle,
            None => {
                let (made, _) = table::insert(ControllerObject { controller: opened })?;
                match open(index, made) {
                    handle if handle == made => handle,
                    // Another thread was faster.
                    handle => {
                        table::remove::<ControllerObject>(made, Code::BadCtlrHndl)?;
                        handle
                    }
                }
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
        let last = with_open(|open| {
            let at = open.iter().position(|(_, handle, _)| *handle == controller)?;
            open[at].2 -= 1;
            let last = open[at].2 == 0;
            if last {
                open.swap_remove(at);
            }
            Some(last)
        });
        match last {
            None => fail(Code::BadCtlrHndl),
            Some(false) => Ok(()),
            Some(true) => table::remove::<ControllerObject>(controller, Code::BadCtlrHndl).map(drop),
        }
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
