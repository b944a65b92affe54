//! The other host's memory as its bridge shows it: words that are stored and loaded.

use crate::function::{Bar, PciFunction};
use rsm_core::peer::{Far, UNANSWERED};
use rsm_core::{Code, Error, Result};
use std::sync::Arc;
use std::sync::atomic::{Ordering, fence};

/// A window, from its beginning. It does not say whether anybody is at the other end: stores then vanish, and loads yield all-ones.
#[derive(Debug)]
pub struct Words<F> {
    function: Arc<F>,
    bytes: u64,
}

impl<F: PciFunction> Words<F> {
    pub(crate) fn new(function: Arc<F>, bytes: u64) -> Words<F> {
        Words { function, bytes }
    }

    /// Stores a word to the other host, at an offset in bytes that is a multiple of 8. Whether it arrives is told by a load only.
    ///
    /// # Errors
    /// CTLR_NOT_PRESENT; BAD_OFFSET outside of the window.
    pub fn store(&self, at: u64, word: u64) -> Result<()> {
        self.aligned(at)?;
        self.function.store(Bar::Window, at, &word.to_le_bytes())
    }

    /// Loads a word of the other host's, after all stores of this thread before it. All-ones may be a failure.
    ///
    /// # Errors
    /// As [`store`](Self::store).
    pub fn load(&self, at: u64) -> Result<u64> {
        self.aligned(at)?;
        let mut word = [0; 8];
        // Stores and loads of a window that is mapped write-combining are not ordered with each other.
        self.fence();
        self.function.load(Bar::Window, at, &mut word)?;
        self.fence();
        Ok(u64::from_le_bytes(word))
    }

    fn aligned(&self, at: u64) -> Result<()> {
        if at.is_multiple_of(8) && at < self.bytes {
            return Ok(());
        }
        let text =
            format!("a word of a bridge's window of {} bytes is at a multiple of 8, and not at {at:#x}", self.bytes);
        Err(Error::with(Code::BadOffset, text))
    }

    /// Orders what was stored before what is stored or rung after it, in this thread: a processor may keep stores to a window back
    /// and merge them.
    pub fn fence(&self) {
        // No partner: the other side is the device, which takes stores in the order in which they leave the processor. On x86-64
        // that is the one of this fence for memory of any kind; elsewhere no device is driven (`Vfio::open`), and what the emulator
        // lends is ordinary memory.
        fence(Ordering::SeqCst);
    }
}

/// Control pages. What fails is what a window without anybody at its end does.
impl<F: PciFunction> Far for Words<F> {
    fn store(&self, at: usize, word: u64) {
        let _ = Words::store(self, 8 * at as u64, word);
    }

    fn fence(&self) {
        Words::fence(self);
    }

    fn load(&self, at: usize) -> u64 {
        Words::load(self, 8 * at as u64).unwrap_or(UNANSWERED)
    }
}
