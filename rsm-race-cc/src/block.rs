//! memcpy and its like. A program is linked so that its own calls of them come here first (`--wrap`); newer compilers call
//! the names with `__tsan_` for what they would otherwise copy in place.

use crate::engine::{self, WRITE};
use crate::entry::passed_on;
use libc::{c_int, c_void, size_t};

unsafe extern "C" {
    // The C library's, under the names that the linker gives them.
    fn __real_memcpy(to: *mut c_void, from: *const c_void, length: size_t) -> *mut c_void;
    fn __real_memmove(to: *mut c_void, from: *const c_void, length: size_t) -> *mut c_void;
    fn __real_memset(to: *mut c_void, byte: c_int, length: size_t) -> *mut c_void;
    fn __real_memcmp(a: *const c_void, b: *const c_void, length: size_t) -> c_int;
}

fn tell(address: usize, length: usize, kind: u32, pc: usize) {
    if length > 0 && engine::is_watched(address, length) {
        engine::access(address, length, kind, pc);
    }
}

fn tell_both(to: *mut c_void, from: *const c_void, length: usize, pc: usize) {
    tell(from.addr(), length, 0, pc);
    tell(to.addr(), length, WRITE, pc);
}

extern "C" fn copy(to: *mut c_void, from: *const c_void, length: size_t, pc: usize) -> *mut c_void {
    tell_both(to, from, length, pc);
    // SAFETY: the program's call.
    unsafe { __real_memcpy(to, from, length) }
}

extern "C" fn shift(to: *mut c_void, from: *const c_void, length: size_t, pc: usize) -> *mut c_void {
    tell_both(to, from, length, pc);
    // SAFETY: the program's call.
    unsafe { __real_memmove(to, from, length) }
}

extern "C" fn set(to: *mut c_void, byte: c_int, length: size_t, pc: usize) -> *mut c_void {
    tell(to.addr(), length, WRITE, pc);
    // SAFETY: the program's call.
    unsafe { __real_memset(to, byte, length) }
}

extern "C" fn compare(a: *const c_void, b: *const c_void, length: size_t, pc: usize) -> c_int {
    tell(a.addr(), length, 0, pc);
    tell(b.addr(), length, 0, pc);
    // SAFETY: the program's call.
    unsafe { __real_memcmp(a, b, length) }
}

/// Where the size of the target is known (`_FORTIFY_SOURCE`), the C library's function ends the program if it is too small.
fn check(length: size_t, room: size_t) {
    if length > room {
        // SAFETY: it does not return.
        unsafe { libc::abort() };
    }
}

// Where the call came from is the argument behind the room.
extern "C" fn copy_checked(
    to: *mut c_void,
    from: *const c_void,
    length: size_t,
    room: size_t,
    pc: usize,
) -> *mut c_void {
    check(length, room);
    copy(to, from, length, pc)
}

extern "C" fn shift_checked(
    to: *mut c_void,
    from: *const c_void,
    length: size_t,
    room: size_t,
    pc: usize,
) -> *mut c_void {
    check(length, room);
    shift(to, from, length, pc)
}

extern "C" fn set_checked(to: *mut c_void, byte: c_int, length: size_t, room: size_t, pc: usize) -> *mut c_void {
    check(length, room);
    set(to, byte, length, pc)
}

passed_on! {
    __wrap_memcpy rcx x3 copy;
    __wrap_memmove rcx x3 shift;
    __wrap_memset rcx x3 set;
    __wrap_memcmp rcx x3 compare;
    __tsan_memcpy rcx x3 copy;
    __tsan_memmove rcx x3 shift;
    __tsan_memset rcx x3 set;
    __wrap___memcpy_chk r8 x4 copy_checked;
    __wrap___memmove_chk r8 x4 shift_checked;
    __wrap___memset_chk r8 x4 set_checked;
}
