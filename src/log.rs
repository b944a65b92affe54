//! What the library says of itself: agents of who comes and goes, and all of what does not work as it should.
//!
//! With `RSM_LOG=error`, `warn`, `info` or `debug` in its environment any program, of Rust or C, says so on standard
//! error; set-user-id programs do not listen to it. The same are events of the crate `tracing`, with targets that begin
//! with `rsm`: where a program has installed a subscriber before its first call of this library, that one hears them, and
//! `RSM_LOG` means nothing.

pub use rsm_shm::log::{ENV_LOG, Level, show};
