//! Segment id reservations.

use crate::entry::{entry, fail};
use rsm_core::Code;
use std::ffi::{CStr, c_char, c_int};

/// Looks an application up in the reservation file. Reference 1.30; D-66.
///
/// # Safety
/// `appid` is NULL or a C string; `base` and `length` are NULL or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsm_get_segmentid_range(appid: *const c_char, base: *mut u32, length: *mut u32) -> c_int {
    entry(|| {
        if appid.is_null() || base.is_null() || length.is_null() {
            return fail(Code::BadAddr);
        }
        // SAFETY: a C string by the caller's promise.
        let appid = unsafe { CStr::from_ptr(appid) }.to_string_lossy();
        let (first, count) = rsm::reserved_segment_ids(&appid)?;
        // SAFETY: writable by the caller's promise.
        unsafe {
            base.write(first.get());
            length.write(count);
        }
        Ok(())
    })
}
