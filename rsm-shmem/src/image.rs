//! Where the program's own global and static variables lie.
#![allow(unsafe_code)]

use crate::place::Place;
use rsm_shm::memory::page_size;
use std::ffi::{c_int, c_void};

/// `.data` and `.bss` of the program itself, in whole pages: its writable part, without what is read-only once it is loaded.
/// `None` where it has none.
pub(crate) fn variables() -> Option<(Place, usize)> {
    let mut found: Option<(usize, usize)> = None;
    // SAFETY: the callback is called before this returns, with what it is given here.
    unsafe { libc::dl_iterate_phdr(Some(look), (&raw mut found).cast::<c_void>()) };
    let (start, end) = found?;
    // SAFETY: the program's own memory, which is there as long as it runs.
    let place = unsafe { Place::new(std::ptr::with_exposed_provenance_mut(start)) };
    Some((place, end - start))
}

/// The first object that is told of is the program.
unsafe extern "C" fn look(info: *mut libc::dl_phdr_info, _size: usize, found: *mut c_void) -> c_int {
    // SAFETY: given by libc, and read while it is good.
    let (base, headers) = unsafe {
        let info = &*info;
        (info.dlpi_addr as usize, std::slice::from_raw_parts(info.dlpi_phdr, info.dlpi_phnum.into()))
    };
    let page = page_size();
    let range = |header: &libc::Elf64_Phdr| {
        let start = base + header.p_vaddr as usize;
        (start, start + header.p_memsz as usize)
    };
    let kept = headers.iter().find(|header| header.p_type == libc::PT_GNU_RELRO).map(range);
    let writable =
        headers.iter().filter(|h| h.p_type == libc::PT_LOAD && h.p_flags & libc::PF_W != 0).map(range).next_back();
    if let Some((start, end)) = writable {
        let mut start = start / page * page;
        if let Some((_, kept)) = kept.filter(|kept| kept.0 < end && start < kept.1) {
            // The loader protects whole pages of it only.
            start = start.max(kept / page * page);
        }
        let end = end.next_multiple_of(page);
        if start < end {
            // SAFETY: where `variables` keeps the answer.
            unsafe { found.cast::<Option<(usize, usize)>>().write(Some((start, end))) };
        }
    }
    1
}
