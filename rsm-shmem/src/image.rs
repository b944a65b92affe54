//! Where the program's own global and static variables lie.
#![allow(unsafe_code)]

use crate::place::Place;
use rsm_shm::memory::page_size;
use std::ffi::{c_int, c_void};

/// What the program has in common with other processes that run it.
pub(crate) struct Variables {
    /// `.data` and `.bss` of the program itself, in whole pages: its writable part, without what is read-only once it is loaded.
    pub(crate) place: Place,
    pub(crate) bytes: usize,
    /// A number made of the program's headers and notes, the build id among them: another program has another one.
    pub(crate) program: u64,
}

/// Where they are; `None` of a program that has none.
pub(crate) fn variables() -> Option<Variables> {
    let mut found = Found { range: None, program: Fnv::default() };
    // SAFETY: the callback is called before this returns, with what it is given here.
    unsafe { libc::dl_iterate_phdr(Some(look), (&raw mut found).cast::<c_void>()) };
    let (start, end) = found.range?;
    // SAFETY: the program's own memory, which is there as long as it runs.
    let place = unsafe { Place::new(std::ptr::with_exposed_provenance_mut(start)) };
    Some(Variables { place, bytes: end - start, program: found.program.0 })
}

struct Found {
    range: Option<(usize, usize)>,
    program: Fnv,
}

/// FNV-1a: the same number of the same bytes in every process.
struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Fnv {
        Fnv(0xcbf2_9ce4_8422_2325)
    }
}

impl Fnv {
    fn add(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

/// The first object that is told of is the program.
unsafe extern "C" fn look(info: *mut libc::dl_phdr_info, _size: usize, found: *mut c_void) -> c_int {
    // SAFETY: given by libc, and read while it is good.
    let (base, headers) = unsafe {
        let info = &*info;
        (info.dlpi_addr as usize, std::slice::from_raw_parts(info.dlpi_phdr, info.dlpi_phnum.into()))
    };
    // SAFETY: where `variables` keeps the answer.
    let found = unsafe { &mut *found.cast::<Found>() };
    for header in headers {
        let numbers = [header.p_type.into(), header.p_flags.into(), header.p_vaddr, header.p_filesz, header.p_memsz];
        numbers.iter().for_each(|number: &u64| found.program.add(&number.to_ne_bytes()));
        let is_loaded = |part: &libc::Elf64_Phdr| {
            part.p_type == libc::PT_LOAD
                && part.p_flags & libc::PF_R != 0
                && part.p_vaddr <= header.p_vaddr
                && header.p_vaddr + header.p_memsz <= part.p_vaddr + part.p_filesz
        };
        if header.p_type == libc::PT_NOTE && headers.iter().any(is_loaded) {
            let notes = std::ptr::with_exposed_provenance(base + header.p_vaddr as usize);
            // SAFETY: inside of a part of the program that is loaded and readable.
            found.program.add(unsafe { std::slice::from_raw_parts(notes, header.p_memsz as usize) });
        }
    }
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
            found.range = Some((start, end));
        }
    }
    1
}
