//! Making a PCI function do its work: it answers, reaches memory, and keeps the order of its stores.

use crate::function::{Bar, PciFunction};
use rsm_core::{Code, Error, Result};

const COMMAND: u64 = 0x4;
const MEMORY_ENABLE: u16 = 1 << 1;
const BUS_MASTER: u16 = 1 << 2;
const STATUS: u64 = 0x6;
const HAS_CAPABILITIES: u16 = 1 << 4;
const FIRST_CAPABILITY: u64 = 0x34;
/// The capability of PCI Express functions, and in it the register with what the function may do.
const EXPRESS: u16 = 0x10;
const DEVICE_CONTROL: u64 = 0x8;
const RELAXED_ORDERING: u16 = 1 << 4;
/// Where no capability can be, and more than there can be.
const HEADER: u64 = 0x40;
const MOST_CAPABILITIES: usize = 48;

fn load(function: &impl PciFunction, at: u64) -> Result<u16> {
    let mut word = [0; 2];
    function.load(Bar::Config, at, &mut word)?;
    Ok(u16::from_le_bytes(word))
}

fn store(function: &impl PciFunction, at: u64, word: u16) -> Result<()> {
    function.store(Bar::Config, at, &word.to_le_bytes())
}

/// Lets the function answer and reach memory, and forbids it to relax the order of its stores, on which every verdict leans.
///
/// # Errors
/// CTLR_NOT_PRESENT when the function is gone, or does not do what it was told.
pub(crate) fn enable(function: &impl PciFunction) -> Result<()> {
    if let Some(express) = express(function)? {
        let control = load(function, express + DEVICE_CONTROL)?;
        store(function, express + DEVICE_CONTROL, control & !RELAXED_ORDERING)?;
        if load(function, express + DEVICE_CONTROL)? & RELAXED_ORDERING != 0 {
            return Err(Error::with(Code::CtlrNotPresent, "the bridge's function does not let go of relaxed ordering"));
        }
    }
    let wanted = MEMORY_ENABLE | BUS_MASTER;
    let command = load(function, COMMAND)?;
    store(function, COMMAND, command | wanted)?;
    // A function that is gone yields all-ones, and one that is going anything.
    match load(function, COMMAND)? {
        command if command != u16::MAX && command & wanted == wanted => Ok(()),
        command => {
            let text = format!("the bridge's function cannot be enabled: its command register says {command:#06x}");
            Err(Error::with(Code::CtlrNotPresent, text))
        }
    }
}

/// Where the function's PCI Express capability is; a function need not have one.
fn express(function: &impl PciFunction) -> Result<Option<u64>> {
    if load(function, STATUS)? & HAS_CAPABILITIES == 0 {
        return Ok(None);
    }
    let mut at = u64::from(load(function, FIRST_CAPABILITY)? & 0xfc);
    // The chain is what the device says: it may lead anywhere, and round.
    for _ in 0..MOST_CAPABILITIES {
        if at < HEADER {
            break;
        }
        let head = load(function, at)?;
        if head & 0xff == EXPRESS {
            return Ok(Some(at));
        }
        at = u64::from(head >> 8 & 0xfc);
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::Fake;

    /// A function whose second capability is that of PCI Express, and which may relax the order of its stores.
    const EXPRESS_FUNCTION: [(Bar, u64, u16); 6] = [
        (Bar::Config, COMMAND, 0x100),
        (Bar::Config, STATUS, HAS_CAPABILITIES),
        (Bar::Config, FIRST_CAPABILITY, 0x50),
        (Bar::Config, 0x50, 0x7011),
        (Bar::Config, 0x70, 0x0010),
        (Bar::Config, 0x78, 0x2810),
    ];

    #[test]
    fn a_function_answers_reaches_memory_and_keeps_order() {
        let fake = Fake::with(&EXPRESS_FUNCTION);
        enable(&fake).unwrap();
        assert_eq!(fake.word(Bar::Config, COMMAND), 0x106, "what else was set stays");
        assert_eq!(fake.word(Bar::Config, 0x78), 0x2800);
        let plain = Fake::with(&[(Bar::Config, COMMAND, 0)]);
        enable(&plain).unwrap();
        assert_eq!(plain.word(Bar::Config, COMMAND), 6);
    }

    #[test]
    fn a_function_that_does_not_obey_or_is_gone_is_told() {
        let refused = |fake: Fake| {
            let error = enable(&fake).unwrap_err();
            assert_eq!(error.code(), Code::CtlrNotPresent);
            error.detail().to_owned()
        };
        assert!(refused(Fake::with(&EXPRESS_FUNCTION).fixing(&[(Bar::Config, 0x78)])).contains("relaxed ordering"));
        assert!(refused(Fake::with(&EXPRESS_FUNCTION).fixing(&[(Bar::Config, COMMAND)])).contains("0x0100"));
        assert!(refused(Fake::gone()).contains("0xffff"));
    }

    #[test]
    fn a_chain_of_capabilities_that_leads_anywhere_ends() {
        for (first, words) in [
            (0x50, &[(Bar::Config, 0x50, 0x5011)][..]),
            (0x50, &[(Bar::Config, 0x50, 0x6011), (Bar::Config, 0x60, 0x5005)]),
            (0x10, &[]),
            (0x50, &[(Bar::Config, 0x50, 0x0411)]),
        ] {
            let mut function = vec![(Bar::Config, STATUS, HAS_CAPABILITIES), (Bar::Config, FIRST_CAPABILITY, first)];
            function.extend(words);
            assert_eq!(express(&Fake::with(&function)).unwrap(), None);
        }
    }
}
