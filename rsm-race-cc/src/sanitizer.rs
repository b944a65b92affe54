//! What a program says of its locks to ThreadSanitizer by `<sanitizer/tsan_interface.h>`, as headers of libstdc++ do where that looks
//! at what they build. It is true here as well.

use crate::atomic::orders;
use crate::engine::{LEARNS_A, TELLS_A};
use libc::{c_int, c_uint, c_void};

#[unsafe(no_mangle)]
pub extern "C" fn __tsan_acquire(object: *mut c_void) {
    orders(LEARNS_A, object.addr());
}

#[unsafe(no_mangle)]
pub extern "C" fn __tsan_release(object: *mut c_void) {
    orders(TELLS_A, object.addr());
}

/// A lock was taken, or was not.
#[unsafe(no_mangle)]
pub extern "C" fn __tsan_mutex_post_lock(lock: *mut c_void, _flags: c_uint, _times: c_int) {
    orders(LEARNS_A, lock.addr());
}

/// It is about to be given back: how often it was taken, if it can be so again.
#[unsafe(no_mangle)]
pub extern "C" fn __tsan_mutex_pre_unlock(lock: *mut c_void, _flags: c_uint) -> c_int {
    orders(TELLS_A, lock.addr());
    0
}

/// What orders nothing.
macro_rules! nothing {
    ($($name:ident)*) => {$(
        #[unsafe(no_mangle)]
        pub extern "C" fn $name(_lock: *mut c_void, _flags: c_uint) {}
    )*};
}

nothing! {
    __tsan_mutex_create __tsan_mutex_destroy __tsan_mutex_pre_lock __tsan_mutex_post_unlock __tsan_mutex_pre_signal
    __tsan_mutex_post_signal __tsan_mutex_pre_divert __tsan_mutex_post_divert
}
