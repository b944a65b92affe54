//! One side of the bridge as its client sees it: regions that are loaded from and stored to, interrupts, memory that is mapped.

use crate::bridge::{Bridge, Side};
use crate::function::region_bytes;
use crate::registers::{Outcome, Scratchpad, Translation, scratchpad};
use crate::wire::{ERROR, UNMAP_ALL};
use crate::{dma, interrupts, map};
use rustix::io::Errno;
use std::os::fd::OwnedFd;

/// Words of 32 bits that a range of bytes touches, each with the bytes of the range that lie in it.
fn words(at: u64, bytes: usize) -> impl Iterator<Item = (u64, std::ops::Range<usize>)> {
    let end = at + bytes as u64;
    (at & !3..end).step_by(4).map(move |word| {
        let within = |offset: u64| (offset.clamp(at, end) - at) as usize;
        (word, within(word)..within(word + 4))
    })
}

impl Bridge {
    /// Sets what raises interrupts.
    pub(crate) fn set_interrupts(
        &mut self,
        side: Side,
        request: interrupts::Request,
        descriptors: Vec<OwnedFd>,
    ) -> Result<(), Errno> {
        let at_once = self.function(side).interrupts.set(request, descriptors)?;
        for vector in at_once {
            if request.index == ERROR {
                self.function(side).interrupts.raise_error();
            } else {
                self.raise(side, vector);
            }
        }
        Ok(())
    }

    /// Lets the function reach memory of its client's.
    pub(crate) fn map_dma(&mut self, side: Side, request: dma::Request, file: Option<OwnedFd>) -> Result<(), Errno> {
        let mapped = self.function(side).dma.map(request, file);
        self.counts(side).dma_maps += u64::from(mapped.is_ok());
        let dma::Request { address, size, offset, flags } = request;
        self.tell(format_args!("{side} map {address:#x} {size:#x}, from {offset:#x}, flags {flags}: {mapped:?}"));
        mapped
    }

    /// Lets it not reach it any more; how many bytes that was.
    pub(crate) fn unmap_dma(&mut self, side: Side, address: u64, size: u64, flags: u32) -> Result<u64, Errno> {
        let dma = &mut self.function(side).dma;
        let unmapped = match flags {
            0 => dma.unmap(address, size),
            UNMAP_ALL if address == 0 && size == 0 => Ok(dma.clear()),
            _ => Err(Errno::INVAL),
        };
        self.tell(format_args!("{side} unmap {address:#x} {size:#x}, flags {flags}: {unmapped:x?}"));
        unmapped
    }

    /// The 32-bit word of the registers at an aligned offset.
    pub(crate) fn load_register(&mut self, side: Side, at: u64) -> u32 {
        match scratchpad(at) {
            Some(Scratchpad::Own(pad)) => self.function(side).registers.scratchpads[pad],
            Some(Scratchpad::Peer(pad)) => self.function(side.other()).registers.scratchpads[pad],
            None => {
                let link = self.link();
                self.function(side).registers.load(at, link)
            }
        }
    }

    /// Stores a 32-bit word there; a command is carried out.
    pub(crate) fn store_register(&mut self, side: Side, at: u64, value: u32) {
        match scratchpad(at) {
            Some(Scratchpad::Own(pad)) => self.function(side).registers.scratchpads[pad] = value,
            Some(Scratchpad::Peer(pad)) => self.function(side.other()).registers.scratchpads[pad] = value,
            None if at == map::COMMAND => {
                let window = self.window;
                self.counts(side).commands += 1;
                let outcome = self.change(|bridge| bridge.function(side).registers.command(value, window));
                let refused = if outcome == Outcome::Refused { ", refused" } else { "" };
                self.tell(format_args!("{side} command {value}{refused}"));
                if let Some(Translation { address, size }) = self.function(side).registers.translation {
                    self.tell(format_args!("{side} is reached at {address:#x} {size:#x}"));
                }
            }
            None => self.function(side).registers.store(at, value),
        }
    }

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
