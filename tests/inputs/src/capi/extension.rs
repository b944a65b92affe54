//! The functions of `rsm_ext.h`.

use super::{Program, check, local_length};
use crate::script::Script;
use rsm_shm::memory::page_size;
use std::ffi::{CStr, c_char, c_int, c_uint, c_void};

unsafe extern "C" {
    fn rsm_ext_strerror(error: c_int) -> *const c_char;
    fn rsm_ext_last_error(error: c_int, text: *mut c_char, size: usize) -> usize;
    fn rsm_ext_node(controller: u64, node: *mut u32, nodes: *mut c_uint) -> c_int;
    fn rsm_ext_import_connect(
        ctl: u64,
        node: u32,
        id: u32,
        permission: u32,
        milliseconds: c_int,
        import: *mut u64,
    ) -> c_int;
    fn rsm_ext_import_size(import: u64, size: *mut usize) -> c_int;
    fn rsm_ext_common_connect(
        ctl: u64,
        id: u32,
        size: usize,
        list: *const c_void,
        length: c_uint,
        permission: u32,
        import: *mut u64,
    ) -> c_int;
    fn rsm_ext_end_run(code: c_int) -> c_int;
    fn rsm_ext_export_watch(segment: u64, fd: *mut c_int) -> c_int;
    fn rsm_ext_export_next_importer(segment: u64, event: *mut c_void) -> c_int;
}

/// How many calls there are.
pub(super) const CALLS: usize = 8;

impl Program {
    /// One of the calls.
    ///
    /// # Safety
    /// As `Program::step`.
    pub(super) unsafe fn extension(&mut self, script: &mut Script<'_>, call: usize, handle: u64) -> c_int {
        let absent = script.below(8) == 0;
        // SAFETY: for all calls: pointers are NULL or lead to what the header asks for.
        unsafe {
            match call {
                0 => {
                    let error = script.among(&[0, 1, 6, 50, u64::MAX]) as c_int;
                    assert!(!CStr::from_ptr(rsm_ext_strerror(error)).is_empty());
                    let mut text = [0x7f; 200];
                    let size = [0, 1, 2, 60, 200][script.below(5)];
                    let room = if absent { std::ptr::null_mut() } else { text.as_mut_ptr() };
                    let length = rsm_ext_last_error(error, room, size);
                    assert!(
                        length > 0 && text[size..].iter().all(|byte| *byte == 0x7f),
                        "no more than there is room for"
                    );
                    if !absent && size > 0 {
                        let told = CStr::from_ptr(text.as_ptr()).to_str().expect("text");
                        assert!(told.len() < size && told.len() <= length);
                    }
                    0
                }
                1 => {
                    let (mut node, mut nodes) = (0, 0);
                    let code =
                        rsm_ext_node(handle, if absent { std::ptr::null_mut() } else { &raw mut node }, &raw mut nodes);
                    assert!(code != 0 || node <= nodes && nodes > 0);
                    code
                }
                2 => {
                    let id = script.among(&[0x40_0000, 0x40_0001, 0, u64::MAX]) as u32;
                    let permission = script.among(&[0o600, 0o400, 0o200, 0, 0o777, u64::MAX]) as u32;
                    let mut made = 0;
                    let room = if absent { std::ptr::null_mut() } else { &raw mut made };
                    let node = script.among(&[1, 1, 1, 0, 2, u64::MAX]) as u32;
                    // Never for ever: nobody else publishes.
                    let code = rsm_ext_import_connect(handle, node, id, permission, c_int::from(absent), room);
                    self.handles.extend((made != 0).then_some(made));
                    code
                }
                3 => {
                    let mut size = 0;
                    let code = rsm_ext_import_size(handle, if absent { std::ptr::null_mut() } else { &raw mut size });
                    assert!(code != 0 || (1..=local_length()).contains(&size), "no segment has {size} bytes");
                    code
                }
                4 => {
                    let id = script.among(&[0x40_0000, 0x50_0000, 0x50_0001, 0, u64::MAX]) as u32;
                    // What is made here stays: it is no longer than local memory, or refused.
                    let sizes = [1, 100, page_size(), local_length(), 0, usize::MAX];
                    let (list, length) = Self::access(script);
                    let list =
                        if length > 0 && script.below(16) == 0 { std::ptr::null() } else { list.as_ptr().cast() };
                    let permission = script.among(&[0o600, 0o400, 0o200, 0, 0o777, u64::MAX]) as u32;
                    let mut made = 0;
                    let room = if absent { std::ptr::null_mut() } else { &raw mut made };
                    let size = sizes[script.below(6)];
                    let code = rsm_ext_common_connect(handle, id, size, list, length, permission, room);
                    self.handles.extend((made != 0).then_some(made));
                    code
                }
                // None that there is: the run that this may be part of goes on.
                5 => {
                    let code = rsm_ext_end_run([-1, 256, c_int::MIN, c_int::MAX][script.below(4)]);
                    assert_ne!(code, 0);
                    code
                }
                6 => {
                    let mut fd = -1;
                    let code = rsm_ext_export_watch(handle, if absent { std::ptr::null_mut() } else { &raw mut fd });
                    assert!((code == 0) == (fd > 2));
                    code
                }
                _ => {
                    let mut event = [0u64; 3];
                    let room = if absent { std::ptr::null_mut() } else { event.as_mut_ptr().cast() };
                    while check(rsm_ext_export_next_importer(handle, room)) {
                        assert_ne!((event[0] >> 32, event[1]), (0, 0), "an importer is a process with a connection");
                    }
                    0
                }
            }
        }
    }
}
