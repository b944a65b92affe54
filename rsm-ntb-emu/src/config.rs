//! The PCI configuration space of a function.

use crate::map;

/// What of it is not zero.
const BYTES: usize = 256;

const COMMAND: usize = 0x4;
const MEMORY_ENABLE: u8 = 1 << 1;
const BUS_MASTER: u8 = 1 << 2;
const MSIX: usize = 0x40;
const EXPRESS: usize = 0x60;

/// The configuration space: bytes, and which of their bits may be stored to.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    bytes: [u8; BYTES],
    writable: [u8; BYTES],
}

impl Config {
    /// As it is after a reset.
    pub(crate) fn new(window: u64) -> Config {
        let mut config = Config { bytes: [0; BYTES], writable: [0; BYTES] };
        let vectors = (map::VECTORS - 1) as u16;
        config.word(0x0, map::VENDOR, 0);
        config.word(0x2, map::DEVICE, 0);
        // Memory, bus master, parity, errors, no INTx.
        config.word(COMMAND, 0, 0x0546);
        // There are capabilities.
        config.word(0x6, 0x0010, 0);
        // Revision 1 of memory that is RAM, the class that the driver looks for.
        config.word(0x8, 0x0001, 0);
        config.word(0xa, 0x0500, 0);
        // Line size; later the line of an interrupt that it has not: no more than notes of the system's.
        config.word(0xc, 0, 0x00ff);
        config.bar(map::REGISTERS, map::REGISTERS_BYTES, false);
        config.bar(map::DOORBELLS, map::DOORBELLS_BYTES, false);
        config.bar(map::WINDOW, window, true);
        config.word(0x2c, map::VENDOR, 0);
        config.word(0x2e, 1, 0);
        config.word(0x34, MSIX as u16, 0);
        config.word(0x3c, 0, 0x00ff);
        // MSI-X: the table's size, function mask and enable; where table and pending bits are, both in BAR 0.
        config.word(MSIX, 0x11 | (EXPRESS as u16) << 8, 0);
        config.word(MSIX + 2, vectors, 0xc000);
        config.word(MSIX + 4, map::MSIX_TABLE as u16, 0);
        config.word(MSIX + 8, map::MSIX_PENDING as u16, 0);
        // PCI Express, version 2, an endpoint with one lane of the first generation that reports errors by role. After a
        // reset it may relax the order of what it sends, and not snoop.
        config.word(EXPRESS, 0x10, 0);
        config.word(EXPRESS + 2, 0x0002, 0);
        config.word(EXPRESS + 4, 0x8000, 0);
        config.word(EXPRESS + 8, 0x2810, 0x7fff);
        config.word(EXPRESS + 12, 0x0011, 0);
        config.word(EXPRESS + 18, 0x0011, 0);
        config
    }

    fn word(&mut self, at: usize, value: u16, writable: u16) {
        self.bytes[at..at + 2].copy_from_slice(&value.to_le_bytes());
        self.writable[at..at + 2].copy_from_slice(&writable.to_le_bytes());
    }

    /// A 64-bit BAR. That the bits below its size cannot be stored to is how a system finds the size.
    fn bar(&mut self, bar: u32, size: u64, prefetchable: bool) {
        let at = 0x10 + 4 * bar as usize;
        self.bytes[at] = if prefetchable { 0xc } else { 0x4 };
        self.writable[at..at + 8].copy_from_slice(&(!(size - 1)).to_le_bytes());
    }

    /// Loads from it.
    pub(crate) fn load(&self, at: u64, into: &mut [u8]) {
        for (byte, at) in into.iter_mut().zip(at as usize..) {
            *byte = self.bytes.get(at).copied().unwrap_or_default();
        }
    }

    /// Stores to what of it can be.
    pub(crate) fn store(&mut self, at: u64, bytes: &[u8]) {
        for (byte, at) in bytes.iter().zip(at as usize..).take_while(|(_, at)| *at < BYTES) {
            let writable = self.writable[at];
            self.bytes[at] = self.bytes[at] & !writable | byte & writable;
        }
    }

    /// Whether the function may reach memory and raise interrupts.
    pub(crate) fn is_bus_master(&self) -> bool {
        self.bytes[COMMAND] & BUS_MASTER != 0
    }

    /// Whether its BARs answer.
    pub(crate) fn answers(&self) -> bool {
        self.bytes[COMMAND] & MEMORY_ENABLE != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_system_finds_sizes_and_kinds_of_the_bars() {
        let mut config = Config::new(1 << 33);
        for (bar, size, kind) in [(0, map::REGISTERS_BYTES, 0x4), (2, map::DOORBELLS_BYTES, 0x4), (4, 1 << 33, 0xc)] {
            let at = 0x10 + 4 * bar;
            config.store(at, &[0xff; 8]);
            let mut found = [0; 8];
            config.load(at, &mut found);
            let found = u64::from_le_bytes(found);
            assert_eq!((found & 0xf, (!(found & !0xf)).wrapping_add(1)), (kind, size), "BAR {bar}");
        }
    }

    #[test]
    fn only_what_can_be_is_stored_to() {
        let mut config = Config::new(1 << 20);
        let before = config.bytes;
        config.store(0, &[0xff; 4096]);
        for (at, (before, after)) in before.iter().zip(config.bytes).enumerate() {
            assert_eq!((before ^ after) & !config.writable[at], 0, "byte {at:#x}");
        }
        assert!(config.is_bus_master() && config.answers());
        assert_eq!(config.bytes[0x2], before[0x2]);
        config.store(COMMAND as u64, &[0, 0]);
        assert!(!config.is_bus_master() && !config.answers());
    }

    #[test]
    fn capabilities_are_a_chain() {
        let config = Config::new(1 << 20);
        let mut at = usize::from(config.bytes[0x34]);
        let mut found = Vec::new();
        while at != 0 {
            found.push(config.bytes[at]);
            at = usize::from(config.bytes[at + 1]);
        }
        assert_eq!(found, [0x11, 0x10]);
    }
}
