//! The registers and scratchpads of one function.

use crate::map;

/// Where the other host's window leads: addresses of this host, as its function sees them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Translation {
    pub(crate) address: u64,
    pub(crate) size: u64,
}

/// What a command asks for beyond the registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Done,
    Refused,
}

/// The registers as stored, and what commands made of them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Registers {
    argument: u32,
    status: u16,
    /// Lower and upper address, lower and upper size.
    range: [u32; 4],
    pub(crate) scratchpads: [u32; map::SCRATCHPADS as usize],
    pub(crate) translation: Option<Translation>,
    /// The driver has said `LINK_UP`.
    pub(crate) up: bool,
}

/// The scratchpad that a register is, this side's or the other's.
pub(crate) enum Scratchpad {
    Own(usize),
    Peer(usize),
}

/// Which scratchpad is at an offset, if one is.
pub(crate) fn scratchpad(at: u64) -> Option<Scratchpad> {
    let index = at.checked_sub(map::OWN_SCRATCHPADS)? / 4;
    let count = u64::from(map::SCRATCHPADS);
    match index {
        own if own < count => Some(Scratchpad::Own(own as usize)),
        peer if peer < 2 * count => Some(Scratchpad::Peer((peer - count) as usize)),
        _ => None,
    }
}

impl Registers {
    /// The 32-bit word at an aligned offset, scratchpads apart.
    pub(crate) fn load(&self, at: u64, link: bool) -> u32 {
        match at {
            map::ARGUMENT => self.argument,
            map::STATUS => u32::from(self.status) | u32::from(link) << 16,
            map::LOWER_ADDRESS..=map::UPPER_SIZE => self.range[(at - map::LOWER_ADDRESS) as usize / 4],
            map::WINDOW_COUNT => 1,
            map::SCRATCHPAD_OFFSET => map::OWN_SCRATCHPADS as u32,
            map::SCRATCHPAD_COUNT => map::SCRATCHPADS,
            map::DOORBELL_STRIDE => 4,
            map::DOORBELL_DATA..map::DOORBELL_OFFSET => (at - map::DOORBELL_DATA) as u32 / 4,
            _ => 0,
        }
    }

    /// Stores a word that is no command; what is read-only stays.
    pub(crate) fn store(&mut self, at: u64, value: u32) {
        match at {
            map::ARGUMENT => self.argument = value,
            map::STATUS => self.status = value as u16,
            map::LOWER_ADDRESS..=map::UPPER_SIZE => self.range[(at - map::LOWER_ADDRESS) as usize / 4] = value,
            _ => {}
        }
    }

    /// Carries out a command.
    pub(crate) fn command(&mut self, command: u32, window: u64) -> Outcome {
        let vectors = self.argument & 0xffff;
        let done = match command {
            map::CONFIGURE_DOORBELLS => (1..=map::VECTORS).contains(&vectors),
            map::TEARDOWN_DOORBELLS => true,
            map::CONFIGURE_WINDOW => self.argument == 0 && self.configure(window),
            map::TEARDOWN_WINDOW => {
                let known = self.argument == 0;
                self.translation = self.translation.filter(|_| !known);
                known
            }
            map::LINK_UP | map::LINK_DOWN => {
                self.up = command == map::LINK_UP;
                true
            }
            _ => false,
        };
        self.status = if done { map::STATUS_OK } else { map::STATUS_ERROR };
        if done { Outcome::Done } else { Outcome::Refused }
    }

    fn configure(&mut self, window: u64) -> bool {
        let [lower, upper, lower_size, upper_size] = self.range.map(u64::from);
        let (address, size) = (upper << 32 | lower, upper_size << 32 | lower_size);
        let fits = (1..=window).contains(&size) && address.is_multiple_of(4096) && address.checked_add(size).is_some();
        if fits {
            self.translation = Some(Translation { address, size });
        }
        fits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: u64 = 1 << 20;

    fn configured(address: u64, size: u64, argument: u32) -> (Outcome, Option<Translation>) {
        let mut registers = Registers::default();
        let halves = [address as u32, (address >> 32) as u32, size as u32, (size >> 32) as u32];
        for (at, half) in (map::LOWER_ADDRESS..).step_by(4).zip(halves) {
            registers.store(at, half);
            assert_eq!(registers.load(at, false), half);
        }
        registers.store(map::ARGUMENT, argument);
        (registers.command(map::CONFIGURE_WINDOW, WINDOW), registers.translation)
    }

    #[test]
    fn a_translation_fits_the_window_and_the_addresses() {
        let fits = |address, size| {
            assert_eq!(configured(address, size, 0), (Outcome::Done, Some(Translation { address, size })));
        };
        fits(0, WINDOW);
        fits(0xabcd_1234_5000, 1);
        let refused = |address, size, argument| {
            assert_eq!(configured(address, size, argument), (Outcome::Refused, None), "{address:#x} {size:#x}");
        };
        refused(0, 0, 0);
        refused(0, WINDOW + 1, 0);
        refused(0x800, 4096, 0);
        refused(u64::MAX - 4095, 8192, 0);
        refused(0, 4096, 1);
    }

    #[test]
    fn a_refused_command_says_so_and_changes_nothing() {
        let mut registers = Registers::default();
        for command in [0, 7, u32::MAX] {
            assert_eq!(registers.command(command, WINDOW), Outcome::Refused);
            assert_eq!(registers.load(map::STATUS, true), u32::from(map::STATUS_ERROR) | 1 << 16);
        }
        registers.store(map::STATUS, 0xffff_0000);
        assert_eq!(registers.load(map::STATUS, false), 0, "the link is not stored to");
        for (vectors, outcome) in [(0, Outcome::Refused), (1 << 16 | 4, Outcome::Done), (9, Outcome::Refused)] {
            registers.store(map::ARGUMENT, vectors);
            assert_eq!(registers.command(map::CONFIGURE_DOORBELLS, WINDOW), outcome);
        }
        assert!(!registers.up && registers.translation.is_none());
    }
}
