//! The bridge itself: what two functions do to each other. One lock around it is enough.

use crate::count::{Counts, Stats};
use crate::function::Function;
use crate::map;
use crate::options::Options;
use crate::posted::Posted;
use crate::trace::Trace;
use std::fmt;
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

/// One of the two hosts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    A,
    B,
}

impl Side {
    pub(crate) const BOTH: [Side; 2] = [Side::A, Side::B];

    pub(crate) fn other(self) -> Side {
        match self {
            Side::A => Side::B,
            Side::B => Side::A,
        }
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Side::A => "a",
            Side::B => "b",
        })
    }
}

/// Both functions and what joins them.
#[derive(Debug)]
pub(crate) struct Bridge {
    pub(crate) window: u64,
    delay: Duration,
    doorbells_overtake: bool,
    drop: Option<NonZeroU32>,
    random: u64,
    cable: bool,
    functions: [Function; 2],
    link_changes: u64,
    pub(crate) trace: Option<Trace>,
}

impl Bridge {
    pub(crate) fn new(options: &Options, trace: Option<Trace>) -> Bridge {
        Bridge {
            window: options.window,
            delay: options.delay,
            doorbells_overtake: options.doorbells_overtake,
            drop: options.drop,
            random: options.seed,
            cable: true,
            functions: [Function::new(options.window), Function::new(options.window)],
            link_changes: 0,
            trace,
        }
    }

    pub(crate) fn function(&mut self, side: Side) -> &mut Function {
        &mut self.functions[side as usize]
    }

    pub(crate) fn counts(&mut self, side: Side) -> &mut Counts {
        &mut self.function(side).counts
    }

    pub(crate) fn tell(&mut self, what: fmt::Arguments<'_>) {
        if let Some(trace) = &mut self.trace {
            trace.line(what);
        }
    }

    /// What went over it.
    pub(crate) fn stats(&self) -> Stats {
        let sides = [self.functions[0].counts, self.functions[1].counts];
        Stats { sides, link_changes: self.link_changes, link: self.link() }
    }

    /// Whether the link is up.
    pub(crate) fn link(&self) -> bool {
        self.cable && self.functions.iter().all(|function| function.present && function.registers.up)
    }

    /// Makes a change that may be one of the link; if it is, tells both sides.
    pub(crate) fn change<T>(&mut self, change: impl FnOnce(&mut Bridge) -> T) -> T {
        let before = self.link();
        let changed = change(self);
        let link = self.link();
        if before != link {
            self.link_changes += 1;
            self.tell(format_args!("link {}", if link { "up" } else { "down" }));
            for side in Side::BOTH {
                let function = self.function(side);
                // On its way no longer.
                function.counts.lost_stores += function.posted.clear();
                self.raise(side, 0);
            }
        }
        changed
    }

    /// Raises a vector of one side; whether it could.
    pub(crate) fn raise(&mut self, side: Side, vector: usize) -> bool {
        let function = self.function(side);
        let raised = function.config.is_bus_master() && function.interrupts.raise(vector);
        function.counts.interrupts += u64::from(raised);
        if raised {
            self.tell(format_args!("{side} interrupt {vector}"));
        }
        raised
    }

    /// Pulls the cable, or puts it in.
    pub(crate) fn set_cable(&mut self, cable: bool) {
        self.change(|bridge| bridge.cable = cable);
    }

    /// Tells both sides of an error of the device; to how many this could be told.
    pub(crate) fn raise_error(&mut self) -> usize {
        self.tell(format_args!("error"));
        self.functions.iter().filter(|function| function.interrupts.raise_error()).count()
    }

    /// A client has come.
    pub(crate) fn open(&mut self, side: Side) {
        self.tell(format_args!("{side} open"));
        self.function(side).present = true;
    }

    /// It has gone: nothing of what it said holds any more. What it had is the caller's to drop, which takes long where it is
    /// much memory.
    pub(crate) fn close(&mut self, side: Side) -> Function {
        self.tell(format_args!("{side} close"));
        let fresh = Function::new(self.window);
        self.change(|bridge| {
            let function = bridge.function(side);
            let counts = function.counts;
            // What it stored is on its way still.
            let posted = std::mem::take(&mut function.posted);
            std::mem::replace(function, Function { counts, posted, ..fresh })
        })
    }

    /// The function is reset; its client, what it mapped and its interrupts stay.
    pub(crate) fn reset(&mut self, side: Side) {
        self.tell(format_args!("{side} reset"));
        let fresh = Function::new(self.window);
        self.change(|bridge| bridge.function(side).registers = fresh.registers);
        // After the link: who is reset is told, too.
        self.function(side).config = fresh.config;
    }

    /// Rings a doorbell of the other side.
    pub(crate) fn ring(&mut self, side: Side, at: u64, bytes: &[u8]) {
        self.counts(side).doorbells += 1;
        let data = <[u8; 4]>::try_from(bytes).ok().map(u32::from_le_bytes);
        let vector = u32::try_from(at / 4).ok().filter(|vector| *vector < map::VECTORS && at.is_multiple_of(4));
        let rung = vector.filter(|vector| data == Some(map::doorbell(*vector).1));
        self.tell(format_args!("{side} doorbell {at:#x} {bytes:x?}"));
        if !self.doorbells_overtake {
            self.push(side);
        }
        let raised = self.link() && rung.is_some_and(|vector| self.raise(side.other(), vector as usize));
        self.counts(side).lost_doorbells += u64::from(!raised);
    }

    /// Stores through the window; whether the store waits to be delivered.
    pub(crate) fn store(&mut self, side: Side, at: u64, bytes: &[u8]) -> bool {
        let counts = self.counts(side);
        counts.stores += 1;
        counts.store_bytes += bytes.len() as u64;
        self.tell(format_args!("{side} store {at:#x} {}", bytes.len()));
        if !self.link() || self.is_dropped() {
            self.counts(side).lost_stores += 1;
            return false;
        }
        if self.delay.is_zero() {
            self.deliver(side, at, bytes);
            return false;
        }
        let due = Instant::now() + self.delay;
        self.function(side).posted.push(Posted { due, at, bytes: bytes.to_vec() });
        while self.function(side).posted.is_over_full() {
            self.deliver_next(side);
        }
        true
    }

    /// Whether a store is one of those that are lost.
    fn is_dropped(&mut self) -> bool {
        let Some(of) = self.drop else { return false };
        // SplitMix64.
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut drawn = self.random;
        drawn = (drawn ^ drawn >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        drawn = (drawn ^ drawn >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (drawn ^ drawn >> 31).is_multiple_of(u64::from(of.get()))
    }

    /// The address on the other side that an access through the window of `side` leads to.
    fn target(&mut self, side: Side, at: u64, bytes: usize) -> Option<u64> {
        let function = self.function(side.other());
        let translation = function.registers.translation.filter(|_| function.config.is_bus_master())?;
        let end = at.checked_add(bytes as u64)?;
        (end <= translation.size).then(|| translation.address + at)
    }

    /// A store arrives, or nowhere.
    fn deliver(&mut self, side: Side, at: u64, bytes: &[u8]) {
        let target = self.target(side, at, bytes.len());
        let arrived = target.is_some_and(|address| self.function(side.other()).dma.store(address, bytes));
        if !arrived {
            self.counts(side).lost_stores += 1;
            self.tell(format_args!("{side} lost {at:#x} {}", bytes.len()));
        }
    }

    /// Delivers what `side` has stored.
    fn push(&mut self, side: Side) {
        while self.deliver_next(side) {}
    }

    /// Delivers the first store that is on its way; whether there was one.
    fn deliver_next(&mut self, side: Side) -> bool {
        let Some(posted) = self.function(side).posted.pop() else { return false };
        self.deliver(side, posted.at, &posted.bytes);
        true
    }

    /// Delivers what has been on its way for long enough; when something else will have been.
    pub(crate) fn deliver_due(&mut self, now: Instant) -> Option<Instant> {
        for side in Side::BOTH {
            while self.function(side).posted.due().is_some_and(|due| due <= now) {
                self.deliver_next(side);
            }
        }
        self.functions.iter().filter_map(|function| function.posted.due()).min()
    }

    /// Loads through the window, after all that was stored through it.
    pub(crate) fn load(&mut self, side: Side, at: u64, into: &mut [u8]) {
        into.fill(0xff);
        self.push(side);
        let counts = self.counts(side);
        counts.loads += 1;
        counts.load_bytes += into.len() as u64;
        let target = if self.link() { self.target(side, at, into.len()) } else { None };
        let loaded = target.is_some_and(|address| self.function(side.other()).dma.load(address, into));
        if !loaded {
            self.counts(side).failed_loads += 1;
        }
        self.tell(format_args!("{side} load {at:#x} {}{}", into.len(), if loaded { "" } else { ", failed" }));
    }
}
