//! One side of the bridge as its client sees it: regions that are loaded from and stored to.

use crate::bridge::{Bridge, Posted, Side};
use crate::config::Config;
use crate::count::Counts;
use crate::dma::Dma;
use crate::interrupts::Interrupts;
use crate::map;
use crate::registers::Registers;
use rustix::io::Errno;
use std::collections::VecDeque;

/// What one side has.
#[derive(Debug)]
pub(crate) struct Function {
    /// It has a client.
    pub(crate) present: bool,
    pub(crate) config: Config,
    pub(crate) registers: Registers,
    pub(crate) dma: Dma,
    pub(crate) interrupts: Interrupts,
    /// What it has stored through its window and has not arrived, in order.
    pub(crate) posted: VecDeque<Posted>,
    pub(crate) counts: Counts,
}

impl Function {
    pub(crate) fn new(window: u64) -> Function {
        Function {
            present: false,
            config: Config::new(window),
            registers: Registers::default(),
            dma: Dma::default(),
            interrupts: Interrupts::default(),
            posted: VecDeque::new(),
            counts: Counts::default(),
        }
    }
}

/// Bytes of a region; 0 for those that the function has not.
pub(crate) fn region_bytes(region: u32, window: u64) -> u64 {
    match region {
        map::REGISTERS => map::REGISTERS_BYTES,
        map::DOORBELLS => map::DOORBELLS_BYTES,
        map::WINDOW => window,
        map::CONFIG => map::CONFIG_BYTES,
        _ => 0,
    }
}

/// Words of 32 bits that a range of bytes touches, each with the bytes of the range that lie in it.
fn words(at: u64, bytes: usize) -> impl Iterator<Item = (u64, std::ops::Range<usize>)> {
    let end = at + bytes as u64;
    (at & !3..end).step_by(4).map(move |word| {
        let within = |offset: u64| (offset.clamp(at, end) - at) as usize;
        (word, within(word)..within(word + 4))
    })
}

impl Bridge {
    fn check(&self, region: u32, at: u64, bytes: usize) -> Result<(), Errno> {
        let end = at.checked_add(bytes as u64).ok_or(Errno::INVAL)?;
        if bytes == 0 || end > region_bytes(region, self.window) { Err(Errno::INVAL) } else { Ok(()) }
    }

    /// A client loads from a region.
    pub(crate) fn region_load(&mut self, side: Side, region: u32, at: u64, into: &mut [u8]) -> Result<(), Errno> {
        self.check(region, at, into.len())?;
        let function = self.function(side);
        match region {
            map::CONFIG => function.config.load(at, into),
            _ if !function.config.answers() => into.fill(0xff),
            map::REGISTERS => {
                for (word, range) in words(at, into.len()) {
                    let bytes = self.load_register(side, word).to_le_bytes();
                    let from = ((at + range.start as u64) - word) as usize;
                    into[range.clone()].copy_from_slice(&bytes[from..from + range.len()]);
                }
            }
            map::WINDOW => self.load(side, at, into),
            // Doorbells are only rung.
            _ => into.fill(0),
        }
        Ok(())
    }

    /// A client stores to a region; whether a store waits to be delivered.
    pub(crate) fn region_store(&mut self, side: Side, region: u32, at: u64, bytes: &[u8]) -> Result<bool, Errno> {
        self.check(region, at, bytes.len())?;
        let function = self.function(side);
        match region {
            map::CONFIG => function.config.store(at, bytes),
            _ if !function.config.answers() => {}
            map::REGISTERS => {
                for (word, range) in words(at, bytes.len()) {
                    let mut value =
                        if range.len() == 4 { [0; 4] } else { self.load_register(side, word).to_le_bytes() };
                    let from = ((at + range.start as u64) - word) as usize;
                    value[from..from + range.len()].copy_from_slice(&bytes[range]);
                    self.store_register(side, word, u32::from_le_bytes(value));
                }
            }
            map::WINDOW => return Ok(self.store(side, at, bytes)),
            _ => self.ring(side, at, bytes),
        }
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_of_a_range_is_in_one_word() {
        for at in 0..8 {
            for bytes in 1..20 {
                let mut next = 0;
                for (word, range) in words(at, bytes) {
                    assert!(word.is_multiple_of(4) && range.start == next && !range.is_empty(), "{at} {bytes}");
                    let (first, last) = (at + range.start as u64, at + range.end as u64);
                    assert!(word <= first && last <= word + 4);
                    next = range.end;
                }
                assert_eq!(next, bytes);
            }
        }
    }
}
