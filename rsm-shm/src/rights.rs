//! What this process may do beyond what its user may.
#![allow(unsafe_code)]

/// Whether this program was started with more rights than its user has (set-user-id and the like).
pub fn are_raised() -> bool {
    // SAFETY: reads a value that the kernel gave at the start.
    unsafe { libc::getauxval(libc::AT_SECURE) != 0 }
}
