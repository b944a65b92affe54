//! The registers of `ntb_hw_epf`: commands, the link, doorbells.

use crate::function::{Bar, PciFunction};
use crate::vector::Vector;
use rsm_core::{Code, Error, Result};
use std::time::{Duration, Instant};

const COMMAND: u64 = 0x0;
const ARGUMENT: u64 = 0x4;
const STATUS: u64 = 0x8;
const LINK: u64 = 0xa;
const LOWER_ADDRESS: u64 = 0x10;
const WINDOW_COUNT: u64 = 0x20;
const WINDOW_OFFSET: u64 = 0x24;
const DOORBELL_STRIDE: u64 = 0x30;
const DOORBELL_DATA: u64 = 0x34;
const DOORBELL_OFFSET: u64 = 0xb4;

const STATUS_OK: u16 = 1;
const STATUS_ERROR: u16 = 2;
/// In the argument of [`Command::ConfigureDoorbells`]: the vectors are MSI-X.
const MSIX: u32 = 1 << 16;
/// How long a command may take.
const PATIENCE: Duration = Duration::from_secs(1);

/// What the other side's function can be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    /// How many vectors there are.
    ConfigureDoorbells(u32),
    /// Where the window of the other host leads.
    ConfigureWindow {
        address: u64,
        bytes: u64,
    },
    TeardownWindow,
    LinkUp,
    LinkDown,
}

/// Gives a command and waits for its end, for a second at most.
///
/// # Errors
/// CTLR_NOT_PRESENT when the function is gone, refuses the command or does not answer it.
pub(crate) fn command(function: &impl PciFunction, command: Command) -> Result<()> {
    let (number, argument) = match command {
        Command::ConfigureDoorbells(vectors) => (1, vectors | MSIX),
        Command::ConfigureWindow { address, bytes } => {
            for (at, half) in (LOWER_ADDRESS..).step_by(4).zip([address, address >> 32, bytes, bytes >> 32]) {
                store32(function, at, half as u32)?;
            }
            (3, 0)
        }
        Command::TeardownWindow => (4, 0),
        Command::LinkUp => (5, 0),
        Command::LinkDown => (6, 0),
    };
    // What is left of a command that a dead driver gave is not taken for the end of this one.
    store16(function, STATUS, 0)?;
    store32(function, ARGUMENT, argument)?;
    store32(function, COMMAND, number)?;
    let began = Instant::now();
    loop {
        let what = match load16(function, STATUS)? {
            // Half a register: the other half is the link, which is not ours to store to.
            STATUS_OK => return store16(function, STATUS, 0),
            STATUS_ERROR => "refuses",
            u16::MAX => "is gone, and does not answer",
            _ if began.elapsed() > PATIENCE => "does not answer within a second",
            _ => {
                std::thread::yield_now();
                continue;
            }
        };
        return Err(Error::with(Code::CtlrNotPresent, format!("the bridge's function {what}: {command:?}")));
    }
}

/// Closes a function to the other host: first that is told, then nothing is reached any more.
///
/// # Errors
/// As [`command`].
pub(crate) fn close(function: &impl PciFunction) -> Result<()> {
    command(function, Command::LinkDown)?;
    command(function, Command::TeardownWindow)
}

/// Whether both drivers have said that they are ready.
pub(crate) fn link(function: &impl PciFunction) -> Result<bool> {
    // All-ones is a function that is gone.
    Ok(load16(function, LINK)? == 1)
}

/// Checks that there is a window, and that it begins where its BAR does.
///
/// # Errors
/// CTLR_NOT_PRESENT, saying what is missing.
pub(crate) fn check_window(function: &impl PciFunction) -> Result<()> {
    let (windows, offset) = (load32(function, WINDOW_COUNT)?, load32(function, WINDOW_OFFSET)?);
    if windows == 0 || windows == u32::MAX || offset != 0 {
        let text =
            format!("the bridge's function has {windows} windows, the first at offset {offset:#x}: it takes one at 0");
        return Err(Error::with(Code::CtlrNotPresent, text));
    }
    Ok(())
}

/// Where a doorbell is, and what rings it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Doorbell {
    at: u64,
    data: u32,
}

impl Doorbell {
    /// That of a vector.
    ///
    /// # Errors
    /// CTLR_NOT_PRESENT when the function says that it is where no doorbell can be.
    pub(crate) fn of(function: &impl PciFunction, vector: Vector) -> Result<Doorbell> {
        let number = vector as u64;
        let stride = u64::from(load32(function, DOORBELL_STRIDE)?);
        let offset = u64::from(load32(function, DOORBELL_OFFSET + 4 * number)?);
        let (at, data) = (stride * number + offset, load32(function, DOORBELL_DATA + 4 * number)?);
        if !at.is_multiple_of(4) || at + 4 > function.bytes(Bar::Doorbells)? {
            let text = format!("the bridge's function has doorbell {number} at {at:#x}, outside of its doorbells");
            return Err(Error::with(Code::CtlrNotPresent, text));
        }
        Ok(Doorbell { at, data })
    }

    /// Rings it.
    ///
    /// # Errors
    /// CTLR_NOT_PRESENT when the function is gone.
    pub(crate) fn ring(self, function: &impl PciFunction) -> Result<()> {
        function.store(Bar::Doorbells, self.at, &self.data.to_le_bytes())
    }
}

fn load16(function: &impl PciFunction, at: u64) -> Result<u16> {
    let mut word = [0; 2];
    function.load(Bar::Registers, at, &mut word)?;
    Ok(u16::from_le_bytes(word))
}

fn load32(function: &impl PciFunction, at: u64) -> Result<u32> {
    let mut word = [0; 4];
    function.load(Bar::Registers, at, &mut word)?;
    Ok(u32::from_le_bytes(word))
}

fn store16(function: &impl PciFunction, at: u64, word: u16) -> Result<()> {
    function.store(Bar::Registers, at, &word.to_le_bytes())
}

fn store32(function: &impl PciFunction, at: u64, word: u32) -> Result<()> {
    function.store(Bar::Registers, at, &word.to_le_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::Fake;

    const R: Bar = Bar::Registers;

    #[test]
    fn the_end_of_a_command_is_what_its_function_says() {
        // A status that stays what it is stands for a function that sets it at once.
        let of = |status| Fake::with(&[(R, STATUS, status), (R, LINK, 1)]).fixing(&[(R, STATUS)]);
        let fake = of(STATUS_OK);
        command(&fake, Command::ConfigureWindow { address: 0x1234_5678_9abc_d000, bytes: 0x11_2233_4455 }).unwrap();
        let words: Vec<u16> = (LOWER_ADDRESS..LOWER_ADDRESS + 16).step_by(2).map(|at| fake.word(R, at)).collect();
        assert_eq!(words, [0xd000, 0x9abc, 0x5678, 0x1234, 0x4455, 0x2233, 0x11, 0]);
        assert_eq!((fake.word(R, COMMAND), fake.word(R, LINK)), (3, 1), "the link is not stored to");
        command(&fake, Command::ConfigureDoorbells(4)).unwrap();
        assert_eq!((fake.word(R, COMMAND), fake.word(R, ARGUMENT), fake.word(R, ARGUMENT + 2)), (1, 4, 1));
        let refused = |fake: Fake| {
            let error = command(&fake, Command::LinkUp).unwrap_err();
            assert_eq!(error.code(), Code::CtlrNotPresent);
            error.detail().to_owned()
        };
        assert!(refused(of(STATUS_ERROR)).contains("refuses: LinkUp"));
        assert!(refused(Fake::gone()).contains("is gone"));
        assert!(refused(Fake::default()).contains("does not answer within a second"));
    }

    #[test]
    fn a_function_without_a_window_is_told() {
        let windows =
            |count, offset| check_window(&Fake::with(&[(R, WINDOW_COUNT, count), (R, WINDOW_OFFSET, offset)]));
        windows(1, 0).unwrap();
        windows(4, 0).unwrap();
        for (count, offset) in [(0, 0), (1, 0x1000)] {
            assert_eq!(windows(count, offset).unwrap_err().code(), Code::CtlrNotPresent);
        }
        assert!(check_window(&Fake::gone()).is_err());
        assert!(!link(&Fake::gone()).unwrap() && link(&Fake::with(&[(R, LINK, 1)])).unwrap());
    }

    #[test]
    fn a_doorbell_is_where_the_function_says_if_that_can_be() {
        let at = |stride, offset, data| {
            let fake = Fake::with(&[
                (R, DOORBELL_STRIDE, stride),
                (R, DOORBELL_OFFSET + 8, offset),
                (R, DOORBELL_DATA + 8, data),
            ]);
            Doorbell::of(&fake, Vector::Signals).and_then(|doorbell| doorbell.ring(&fake).map(|()| fake))
        };
        assert_eq!(at(4, 0, 2).unwrap().word(Bar::Doorbells, 8), 2);
        assert_eq!(at(0x100, 0x40, 0x4321).unwrap().word(Bar::Doorbells, 0x240), 0x4321);
        assert_eq!(at(0, 4092, 7).unwrap().word(Bar::Doorbells, 4092), 7);
        for (stride, offset) in [(0, 4096), (0, 4094), (2048, 0), (0xffff, 0)] {
            assert_eq!(at(stride, offset, 0).unwrap_err().code(), Code::CtlrNotPresent, "{stride} {offset}");
        }
        assert!(Doorbell::of(&Fake::gone(), Vector::Signals).is_err());
    }
}
