//! A function that answers as a test likes.

use crate::function::{Bar, PciFunction, Reach};
use rsm_core::access::Permission;
use rsm_core::{Code, Error, Result};
use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::os::fd::BorrowedFd;
use std::sync::{Mutex, MutexGuard};

/// 16-bit words of its ranges; those that were never stored are 0.
#[derive(Debug, Default)]
pub(crate) struct Fake {
    words: Mutex<HashMap<(u8, u64), u16>>,
    /// Words that stay what they are.
    fixed: Vec<(Bar, u64)>,
    gone: bool,
}

impl Fake {
    pub(crate) fn with(words: &[(Bar, u64, u16)]) -> Fake {
        let fake = Fake::default();
        for (bar, at, word) in words {
            fake.words().insert((*bar as u8, *at), *word);
        }
        fake
    }

    pub(crate) fn fixing(mut self, fixed: &[(Bar, u64)]) -> Fake {
        self.fixed.extend(fixed);
        self
    }

    /// It yields all-ones.
    pub(crate) fn gone() -> Fake {
        Fake { gone: true, ..Fake::default() }
    }

    pub(crate) fn word(&self, bar: Bar, at: u64) -> u16 {
        self.words().get(&(bar as u8, at)).copied().unwrap_or_default()
    }

    fn words(&self) -> MutexGuard<'_, HashMap<(u8, u64), u16>> {
        self.words.lock().unwrap()
    }
}

impl PciFunction for Fake {
    fn bytes(&self, _bar: Bar) -> Result<u64> {
        Ok(4096)
    }

    fn load(&self, bar: Bar, at: u64, into: &mut [u8]) -> Result<()> {
        assert!([2, 4, 8].contains(&into.len()) && at.is_multiple_of(into.len() as u64), "one aligned access");
        for (bytes, at) in into.chunks_mut(2).zip((at..).step_by(2)) {
            let word = if self.gone { u16::MAX } else { self.word(bar, at) };
            bytes.copy_from_slice(&word.to_le_bytes());
        }
        Ok(())
    }

    fn store(&self, bar: Bar, at: u64, bytes: &[u8]) -> Result<()> {
        for (bytes, at) in bytes.chunks(2).zip((at..).step_by(2)).filter(|(_, at)| !self.fixed.contains(&(bar, *at))) {
            self.words().insert((bar as u8, at), u16::from_le_bytes([bytes[0], bytes[1]]));
        }
        Ok(())
    }

    fn addresses(&self) -> Vec<RangeInclusive<u64>> {
        Vec::new()
    }

    fn map_dma(&self, _address: u64, _memory: BorrowedFd<'_>, _length: u64, _permission: Permission) -> Result<()> {
        Err(Error::new(Code::InsufficientMem))
    }

    fn unmap_dma(&self, _address: u64, _length: u64) -> Result<()> {
        Err(Error::new(Code::BadAddr))
    }

    fn reach(&self) -> Result<Reach> {
        Err(Error::new(Code::MapFailed))
    }

    fn set_interrupts(&self, _vectors: &[BorrowedFd<'_>], _error: BorrowedFd<'_>) -> Result<()> {
        Ok(())
    }
}
