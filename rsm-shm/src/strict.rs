//! The switch for programs that expect the original's silence (D-60).

use std::sync::OnceLock;

/// Environment variable that turns it on, with any value but `0`.
pub const ENV_STRICT: &str = "RSM_STRICT";

/// Whether a wait on an aborted import is to sleep on, and its poll descriptor to say nothing, as in the original.
/// Read once.
pub fn is_on() -> bool {
    static ON: OnceLock<bool> = OnceLock::new();
    *ON.get_or_init(|| crate::rights::setting(ENV_STRICT).is_some_and(|value| value != "0"))
}
