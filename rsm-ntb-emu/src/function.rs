//! What one side of the bridge has.

use crate::config::Config;
use crate::count::Counts;
use crate::dma::Dma;
use crate::interrupts::Interrupts;
use crate::map;
use crate::posted::Queue;
use crate::registers::Registers;

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
    pub(crate) posted: Queue,
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
            posted: Queue::default(),
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
