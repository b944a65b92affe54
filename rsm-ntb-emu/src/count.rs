//! What went over the bridge.

use std::fmt;

/// What one side did, and what became of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Loads through the window.
    pub loads: u64,
    /// Bytes that these asked for.
    pub load_bytes: u64,
    /// Loads of which a part was answered with all-ones because it failed.
    pub failed_loads: u64,
    /// Stores through the window.
    pub stores: u64,
    /// Bytes of these.
    pub store_bytes: u64,
    /// Stores of which a part did not arrive.
    pub lost_stores: u64,
    /// Doorbells rung.
    pub doorbells: u64,
    /// Doorbells that raised nothing on the other side.
    pub lost_doorbells: u64,
    /// Interrupts raised on this side.
    pub interrupts: u64,
    /// Commands given to the registers.
    pub commands: u64,
    /// Ranges of memory that were mapped for the function.
    pub dma_maps: u64,
}

/// What both sides did, since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// The side of the first socket, and that of the second.
    pub sides: [Counts; 2],
    /// Times that the link came up or went down.
    pub link_changes: u64,
    /// Whether it is up.
    pub link: bool,
}

/// One line for each number: `a.loads 3`.
impl fmt::Display for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "link {}", if self.link { "up" } else { "down" })?;
        writeln!(f, "link_changes {}", self.link_changes)?;
        for (side, counts) in ["a", "b"].iter().zip(&self.sides) {
            let rows = [
                ("loads", counts.loads),
                ("load_bytes", counts.load_bytes),
                ("failed_loads", counts.failed_loads),
                ("stores", counts.stores),
                ("store_bytes", counts.store_bytes),
                ("lost_stores", counts.lost_stores),
                ("doorbells", counts.doorbells),
                ("lost_doorbells", counts.lost_doorbells),
                ("interrupts", counts.interrupts),
                ("commands", counts.commands),
                ("dma_maps", counts.dma_maps),
            ];
            for (name, count) in rows {
                writeln!(f, "{side}.{name} {count}")?;
            }
        }
        Ok(())
    }
}
