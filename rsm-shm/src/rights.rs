//! What this process may do beyond what its user may.
#![allow(unsafe_code)]

use rsm_core::{Code, Error, Result};
use std::ffi::OsString;

/// Whether this program was started with more rights than its user has (set-user-id, set-group-id, file capabilities).
pub fn are_raised() -> bool {
    // SAFETY: reads a value that the kernel gave at the start.
    unsafe { libc::getauxval(libc::AT_SECURE) != 0 }
}

/// Refuses to be told by the environment which cluster to join: who started a program with raised rights chose it, and
/// would have the program's memory and take part in its name. It is refused and not ignored, because a program that goes
/// on by itself, where its user expects a cluster, fails later and without a reason.
///
/// # Errors
/// CTLR_NOT_PRESENT in such a program.
pub fn believe_environment(variable: &str) -> Result<()> {
    if !are_raised() {
        return Ok(());
    }
    let text = format!(
        "{variable} is not believed: this program has more rights than who started it (set-user-id, set-group-id, or \
         file capabilities); without the variable it is a cluster of its own"
    );
    Err(Error::with(Code::CtlrNotPresent, text))
}

/// A setting from the environment; none in a program that was started with raised rights.
pub fn setting(variable: &str) -> Option<OsString> {
    if are_raised() { None } else { std::env::var_os(variable) }
}
