//! What lies in the module that this is linked into: the program, or a library of it.

use libc::{c_int, c_void, dl_phdr_info, size_t};

/// Two addresses, of which it is asked whether they lie in one module.
struct Asked {
    one: usize,
    other: usize,
    are_together: bool,
}

/// Whether what is at this address was linked in here, too.
pub(crate) fn has(address: usize) -> bool {
    let mut asked = Asked { one: (look_at as *const ()).addr(), other: address, are_together: false };
    // SAFETY: the function keeps to what is asked of it; what it is given outlives the call.
    unsafe { libc::dl_iterate_phdr(Some(look_at), (&raw mut asked).cast()) };
    asked.are_together
}

unsafe extern "C" fn look_at(info: *mut dl_phdr_info, _bytes: size_t, asked: *mut c_void) -> c_int {
    // SAFETY: the loader's, for as long as this runs.
    let info = unsafe { &*info };
    // SAFETY: of `has`; the loader calls on this thread.
    let asked = unsafe { &mut *asked.cast::<Asked>() };
    if info.dlpi_phdr.is_null() {
        return 0;
    }
    // SAFETY: the loader's, likewise, as many as it says.
    let headers = unsafe { std::slice::from_raw_parts(info.dlpi_phdr, info.dlpi_phnum.into()) };
    let has = |address: usize| {
        headers.iter().filter(|header| header.p_type == libc::PT_LOAD).any(|header| {
            let start = (info.dlpi_addr as usize).wrapping_add(header.p_vaddr as usize);
            address.wrapping_sub(start) < header.p_memsz as usize
        })
    };
    asked.are_together = has(asked.one) && has(asked.other);
    // No other one has what this one has.
    has(asked.one).into()
}
