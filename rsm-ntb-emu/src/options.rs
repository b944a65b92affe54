//! How the bridge is to behave.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

/// How the bridge is to behave. The default is a good one with a window of 64 MiB.
#[derive(Clone, Debug)]
pub struct Options {
    /// Bytes of each side's window: a power of two, from 64 KiB to 64 GiB.
    pub window: u64,
    /// How long a store is on its way at most; less when a load or a doorbell pushes it.
    pub delay: Duration,
    /// Whether doorbells overtake the stores before them.
    pub doorbells_overtake: bool,
    /// Of how many stores one is lost without a word, on average; `None` loses none.
    pub drop: Option<NonZeroU32>,
    /// How long a load through the window takes at least.
    pub latency_read: Duration,
    /// Seed of what is drawn: which stores are lost.
    pub seed: u64,
    /// Where to listen for orders ([`tell`](crate::tell)).
    pub control: Option<PathBuf>,
    /// File to write a line to for each event.
    pub trace: Option<PathBuf>,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            window: 64 << 20,
            delay: Duration::ZERO,
            doorbells_overtake: false,
            drop: None,
            latency_read: Duration::ZERO,
            seed: 0,
            control: None,
            trace: None,
        }
    }
}

/// Sizes that a window may have, in bytes.
const WINDOWS: std::ops::RangeInclusive<u64> = 64 << 10..=64 << 30;

impl Options {
    /// What is wrong with them, in words that say what may be given.
    pub(crate) fn check(&self) -> Result<(), String> {
        if !self.window.is_power_of_two() || !WINDOWS.contains(&self.window) {
            return Err(format!(
                "a window of {} bytes cannot be had: it is a power of two from 64K to 64G",
                self.window
            ));
        }
        Ok(())
    }
}
