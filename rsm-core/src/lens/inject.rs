//! When faults happen: each kind of call, to each object, draws a sequence of its own for each fault.
//!
//! So the same seed gives the same faults to the same sequence of calls, whatever other threads and other objects do
//! meanwhile. From when a node gives back what it had, nothing goes wrong any more, as nothing is late.

use super::draw::Draws;
use super::fault::{Fault, Faults};
use super::{Lens, fault};
use std::collections::BTreeMap;

/// Calls at which faults happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Call {
    /// The end of a span.
    Close,
    /// A signal of an import.
    Signal,
    /// An entry of a vector put.
    Entry,
    /// A request to the agent.
    Request,
    /// A connect.
    Connect,
    /// The making of a segment.
    Create,
    /// A mapping of an import.
    Map,
}

impl Call {
    /// All of them, and how they are told: those with a segment, "to" or "of" which.
    pub const ALL: [(Call, &'static str); 7] = [
        (Call::Close, "at the close of a span to"),
        (Call::Signal, "at a signal to"),
        (Call::Entry, "at an entry of a vector put to"),
        (Call::Request, "at a request to the agent"),
        (Call::Connect, "at a connect to"),
        (Call::Create, "at the making of a segment"),
        (Call::Map, "at a mapping of"),
    ];

    /// Whether it is about a segment of another node.
    fn has_segment(self) -> bool {
        !matches!(self, Call::Request | Call::Create)
    }
}

/// Object of a call: what tells one sequence of calls from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The call.
    pub call: Call,
    /// The exporting node; 0 without one.
    pub node: u32,
    /// The segment's id.
    pub id: u32,
    /// Which import of this segment by this process, from 1; 0 for a call that is of none.
    pub nth: u64,
}

impl Place {
    /// A call that is about no other node.
    pub const fn own(call: Call) -> Place {
        Place { call, node: 0, id: 0, nth: 0 }
    }
}

/// A fault that was injected: the last one of a process, or one of a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Last {
    /// Which.
    pub fault: Fault,
    /// At which call.
    pub call: Call,
    /// To which node; 0 where no other is concerned.
    pub node: u32,
    /// To which of its segments.
    pub id: u32,
}

// How a word holds it: the fault above 0, so that no word of one is 0.
const CALL: u32 = 8;
const NODE: u32 = 16;
const ID: u32 = 32;

impl Last {
    /// As a word of a record.
    pub fn word(self) -> u64 {
        let node = u64::from(self.node & 0xffff);
        (self.fault as u64 + 1) | (self.call as u64) << CALL | node << NODE | u64::from(self.id) << ID
    }

    /// And back; `None` for what is none.
    pub fn from_word(word: u64) -> Option<Last> {
        let at = (word & 0xff).checked_sub(1)?;
        Last::of(at, word >> CALL & 0xff, (word >> NODE & 0xffff) as u32, (word >> ID) as u32)
    }

    /// The fault and the call with these numbers, if there are such.
    pub fn of(fault: u64, call: u64, node: u32, id: u32) -> Option<Last> {
        let fault = fault::FAULTS.get(usize::try_from(fault).ok()?)?.fault;
        let (call, _) = *Call::ALL.get(usize::try_from(call).ok()?)?;
        Some(Last { fault, call, node, id })
    }
}

impl std::fmt::Display for Last {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (call, at) = Call::ALL[self.call as usize];
        write!(f, "{} {at}", self.fault.name())?;
        if call.has_segment() { write!(f, " {:#x} of node {}", self.id, self.node) } else { Ok(()) }
    }
}

/// What a process was given of faults.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Injected {
    /// How many.
    pub count: u64,
    /// The last of them.
    pub last: Option<Last>,
}

/// Draws the faults of a process.
#[derive(Debug)]
pub struct Injector {
    seed: u64,
    own_node: u32,
    faults: Faults,
    quiet: bool,
    places: BTreeMap<(Fault, Place), Draws>,
    injected: Injected,
}

impl Injector {
    /// Nothing has gone wrong yet for `own_node`.
    pub fn new(lens: &Lens, own_node: u32) -> Injector {
        Injector {
            seed: lens.seed,
            own_node,
            faults: lens.faults,
            quiet: false,
            places: BTreeMap::new(),
            injected: Injected::default(),
        }
    }

    /// Whether the fault is to happen at this call; if so, a number to draw from how much of it. One that then does happen
    /// is to be [noted](Self::note).
    pub fn draw(&mut self, fault: Fault, place: Place) -> Option<u64> {
        if !self.faults.has(fault) {
            return None;
        }
        let Place { call, node, id, nth } = place;
        let key = [self.seed, self.own_node.into(), fault as u64 + 1, call as u64, node.into(), id.into(), nth];
        let draws = self.places.entry((fault, place)).or_insert_with(|| Draws::of(&key));
        let happens = draws.one_in(fault.row().one_in);
        let number = draws.number();
        // Drawn in any case: another thread's end changes no numbers of who goes on.
        (happens && !self.quiet).then_some(number)
    }

    /// A fault has happened.
    pub fn note(&mut self, fault: Fault, Place { call, node, id, .. }: Place) {
        self.injected.count += 1;
        self.injected.last = Some(Last { fault, call, node, id });
    }

    /// An import has ended: its sequences are asked for no more.
    pub fn forget(&mut self, node: u32, id: u32, nth: u64) {
        self.places.retain(|(_, place), _| (place.node, place.id, place.nth) != (node, id, nth));
    }

    /// Forgets what has happened: in a forked child, which has a record of its own.
    pub fn forget_told(&mut self) {
        self.injected = Injected::default();
    }

    /// Lets nothing happen from now on, until [`loud`](Self::loud).
    pub fn quiet(&mut self) {
        self.quiet = true;
    }

    /// Whether that is so.
    pub fn is_quiet(&self) -> bool {
        self.quiet
    }

    /// Lets faults happen again.
    pub fn loud(&mut self) {
        self.quiet = false;
    }

    /// What has happened so far.
    pub fn injected(&self) -> &Injected {
        &self.injected
    }
}

#[cfg(all(test, not(rsm_loom)))]
mod tests {
    use super::*;

    const CLOSE: Place = Place { call: Call::Close, node: 2, id: 7, nth: 1 };

    fn injector(seed: u64) -> Injector {
        Injector::new(&Lens::clear(seed).faults(Faults::parse("all").unwrap()), 1)
    }

    /// At which of so many calls a fault happens.
    fn calls(injector: &mut Injector, fault: Fault, place: Place) -> Vec<u32> {
        (0..2000).filter(|_| injector.draw(fault, place).is_some()).collect()
    }

    #[test]
    fn the_same_seed_injects_at_the_same_calls() {
        for row in fault::FAULTS {
            let of = |seed, place| calls(&mut injector(seed), row.fault, place);
            let first = of(7, CLOSE);
            assert_eq!(first, of(7, CLOSE));
            for other in [of(8, CLOSE), of(7, Place { nth: 2, ..CLOSE }), of(7, Place { id: 8, ..CLOSE })] {
                assert_ne!(first, other, "{}", row.name);
            }
            let often = first.len() as f64 * row.one_in as f64 / 2000.0;
            assert!((0.3..2.0).contains(&often), "{}: {} of 2000", row.name, first.len());
            // What else is drawn meanwhile does not matter.
            let mut busy = injector(7);
            let beside: Vec<u32> = (0..2000)
                .filter(|_| {
                    busy.draw(Fault::Refuse, Place::own(Call::Create));
                    busy.draw(row.fault, CLOSE).is_some()
                })
                .collect();
            assert_eq!(first, beside);
        }
    }

    #[test]
    fn nothing_happens_without_it_nor_at_a_quiet_end() {
        let mut some = Injector::new(&Lens::clear(7).faults(Faults::NONE.with(Fault::Abort)), 1);
        assert_eq!(calls(&mut some, Fault::Error, CLOSE), []);
        assert_ne!(calls(&mut some, Fault::Abort, CLOSE), []);
        some.quiet();
        assert_eq!(calls(&mut some, Fault::Abort, CLOSE), []);
        some.loud();
        assert_ne!(calls(&mut some, Fault::Abort, CLOSE), []);
        some.forget(CLOSE.node, CLOSE.id, CLOSE.nth);
        assert!(some.places.is_empty());
    }

    #[test]
    fn the_last_is_told() {
        let mut injector = injector(1);
        assert_eq!(Last::from_word(0), None);
        for row in fault::FAULTS {
            for (call, at) in Call::ALL {
                injector.note(row.fault, Place { call, node: 63, id: 0x40_0002, nth: 9 });
                let last = injector.injected().last.unwrap();
                assert_eq!(Last::from_word(last.word()), Some(last));
                let text = last.to_string();
                assert!(text.starts_with(row.name) && text.contains(at), "{text}");
                assert_eq!(text.ends_with("0x400002 of node 63"), call.has_segment(), "{text}");
            }
        }
        assert_eq!(injector.injected().count, fault::FAULTS.len() as u64 * Call::ALL.len() as u64);
        for word in [fault::FAULTS.len() as u64 + 1, 1 | 7 << CALL] {
            assert_eq!(Last::from_word(word), None);
        }
    }
}
