//! Grants: what this host gives the other, which imports its segments.
//!
//! Memory is attached to the bridge lazily, with the first connection from the other host, once for those that only read
//! and once for those that write, so that what is reached there is what somebody may reach now. Each of these has a *slot*,
//! a place in the window and a seal. A connection has a slot and a lane.
//!
//! ```text
//!   (none) ── first connection ──► attaching ── done ──► attached ── last one gone, or withdrawn ──► detaching ──► (none)
//!                                     │                                    seal broken first             ▲
//!                                     └── withdrawn meanwhile: detached as soon as it is attached ───────┘
//! ```
//!
//! Nothing here acts: it says what is to be done next ([`Deed`]), in order. What the other host does, or leaves undone, delays
//! none of it: a withdrawal waits for the bridge, never for the importer. Only a *lane* stays taken until the other
//! host says that the connection is over there, for only then it stores nothing more into it.

use super::control::SLOTS;
use super::message::{Grant, Message, Terms};
use super::place::Places;
use crate::access::Permission;
use crate::error::{Code, Error, Result};
use crate::message::SegmentName;
use crate::seal::{Seal, Seals};
use std::collections::{BTreeMap, BTreeSet};

/// What is to be done, in the order in which it is said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Deed {
    /// Begin to attach a segment's memory; [`Grants::attached`] when that is done.
    Attach {
        /// Slot that it is for.
        slot: u32,
        /// Which segment.
        segment: SegmentName,
        /// Place in the window.
        at: u64,
        /// What the other host may do with it, and no more.
        access: Permission,
    },
    /// Store a seal that is granted next.
    Seal {
        /// Where.
        slot: u32,
        /// Which.
        seal: Seal,
    },
    /// Break a seal ([`break_seal`](crate::seal::break_seal)).
    Break {
        /// Where.
        slot: u32,
        /// What stands there from now on.
        dead: Seal,
    },
    /// Begin to detach what is at a place; [`Grants::detached`] when that is done.
    Detach {
        /// Slot that it was for.
        slot: u32,
        /// Place in the window.
        at: u64,
    },
    /// Tell the other host.
    Say(Message),
    /// Nothing of a segment is attached any more.
    Free(SegmentName),
}

/// What the other host may do with memory that is attached once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Reads,
    Writes,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Attaching,
    Attached,
    Detaching,
}

#[derive(Debug)]
struct Slot {
    segment: SegmentName,
    kind: Kind,
    at: u64,
    seal: Seal,
    state: State,
    /// Connections of it, granted or to be.
    users: BTreeSet<u64>,
    /// It is to be detached as soon as it is attached.
    doomed: bool,
}

/// A connection of the other host.
#[derive(Clone, Copy, Debug)]
struct Connection {
    lane: u32,
    /// `None` when it does not reach the memory any more.
    slot: Option<u32>,
}

/// Everything that the other host has, for one life of the link.
#[derive(Debug)]
pub struct Grants {
    host: u32,
    seals: Seals,
    places: Places,
    slots: BTreeMap<u32, Slot>,
    of: BTreeMap<(SegmentName, Kind), u32>,
    connections: BTreeMap<u64, Connection>,
    lanes: BTreeSet<u32>,
    /// Segments whose contents are being replaced.
    suspended: BTreeSet<SegmentName>,
}

impl Grants {
    /// Nothing is granted. `window` is the one through which the other host reaches this one.
    pub fn new(terms: &Terms, window: u64, seals: Seals) -> Grants {
        Grants {
            host: terms.host,
            seals,
            places: Places::new(window, terms.granule),
            slots: BTreeMap::new(),
            of: BTreeMap::new(),
            connections: BTreeMap::new(),
            lanes: BTreeSet::new(),
            suspended: BTreeSet::new(),
        }
    }

    /// The other host wants a connection to a segment of this length, and may have it.
    ///
    /// # Errors
    /// BAD_ARGS_ERRORS when it has used the number already: no message is due, and that is not what a peer says.
    pub fn connect(
        &mut self,
        number: u64,
        segment: SegmentName,
        length: u64,
        permission: Permission,
    ) -> Result<Vec<Deed>> {
        if self.connections.contains_key(&number) {
            let text = format!("the other host asked for connection {number} twice");
            return Err(Error::with(Code::BadArgsErrors, text));
        }
        let mut deeds = Vec::new();
        if let Err(error) = self.place(number, segment, length, permission, &mut deeds) {
            deeds.push(Deed::Say(refusal(number, &error)));
        }
        Ok(deeds)
    }

    fn place(
        &mut self,
        number: u64,
        segment: SegmentName,
        length: u64,
        permission: Permission,
        deeds: &mut Vec<Deed>,
    ) -> Result<()> {
        let lane = self.free_lane()?;
        let kind = if permission.writes() { Kind::Writes } else { Kind::Reads };
        let usable = |slot: &Slot| !slot.doomed && slot.state != State::Detaching;
        let known = self.of.get(&(segment, kind)).copied().filter(|slot| self.slots.get(slot).is_some_and(usable));
        let slot = match known {
            Some(slot) => slot,
            None => {
                let slot = self.free_slot()?;
                let at = self.places.take(length)?;
                let seal = self.seals.fresh();
                let (users, state) = (BTreeSet::new(), State::Attaching);
                self.slots.insert(slot, Slot { segment, kind, at, seal, state, users, doomed: false });
                self.of.insert((segment, kind), slot);
                // A write-only connection reads its seal, and its memory is mapped to be read as well.
                let access = if kind == Kind::Writes { Permission::ReadWrite } else { Permission::Read };
                deeds.push(Deed::Attach { slot, segment, at, access });
                slot
            }
        };
        self.lanes.insert(lane);
        self.connections.insert(number, Connection { lane, slot: Some(slot) });
        if let Some(there) = self.slots.get_mut(&slot) {
            there.users.insert(number);
            if there.state == State::Attached {
                self.grant(number, deeds);
            }
        }
        Ok(())
    }

    /// Tells the other host of a connection whose memory is attached.
    fn grant(&self, number: u64, deeds: &mut Vec<Deed>) {
        let Some(&Connection { lane, slot: Some(slot) }) = self.connections.get(&number) else { return };
        let Some(there) = self.slots.get(&slot) else { return };
        let grant = Grant { offset: there.at, slot, seal: there.seal.word(), lane, sent: 0 };
        deeds.push(Deed::Say(Message::Granted { number, grant }));
    }

    fn free_lane(&self) -> Result<u32> {
        (0..SLOTS).find(|&lane| Terms::gives_lane(self.host, lane) && !self.lanes.contains(&lane)).ok_or_else(|| {
            let text = format!("the two hosts have {} connections in this direction, which is the most", SLOTS / 2);
            Error::with(Code::InsufficientResources, text)
        })
    }

    fn free_slot(&self) -> Result<u32> {
        (0..SLOTS).find(|slot| !self.slots.contains_key(slot)).ok_or_else(|| {
            let text = format!("{SLOTS} segments are offered to the other host, which is the most");
            Error::with(Code::InsufficientResources, text)
        })
    }

    /// Attaching for a slot is done, well or not.
    pub fn attached(&mut self, slot: u32, outcome: Result<()>) -> Vec<Deed> {
        let mut deeds = Vec::new();
        let Some(there) = self.slots.get_mut(&slot).filter(|there| there.state == State::Attaching) else {
            return deeds;
        };
        match outcome {
            Ok(()) => {
                there.state = State::Attached;
                if there.doomed {
                    self.detach(slot, &mut deeds);
                    return deeds;
                }
                let stands = if self.suspended.contains(&there.segment) { there.seal.suspended() } else { there.seal };
                deeds.push(Deed::Seal { slot, seal: stands });
                for number in there.users.clone() {
                    self.grant(number, &mut deeds);
                }
            }
            Err(error) => {
                for number in std::mem::take(&mut there.users) {
                    self.forget(number);
                    deeds.push(Deed::Say(refusal(number, &error)));
                }
                self.remove(slot, &mut deeds);
            }
        }
        deeds
    }

    /// Detaching for a slot is done.
    pub fn detached(&mut self, slot: u32) -> Vec<Deed> {
        let mut deeds = Vec::new();
        if self.slots.get(&slot).is_some_and(|there| there.state == State::Detaching) {
            self.remove(slot, &mut deeds);
        }
        deeds
    }

    /// The other host says that a connection is over. One that it has not is not what a peer says.
    ///
    /// # Errors
    /// BAD_ARGS_ERRORS, saying so.
    pub fn disconnect(&mut self, number: u64) -> Result<Vec<Deed>> {
        let unknown = || {
            let text = format!("the other host gave back connection {number}, which it has not");
            Error::with(Code::BadArgsErrors, text)
        };
        let connection = self.connections.get(&number).copied().ok_or_else(unknown)?;
        let mut deeds = Vec::new();
        self.forget(number);
        if let Some(slot) = connection.slot
            && let Some(there) = self.slots.get_mut(&slot)
        {
            there.users.remove(&number);
            if there.users.is_empty() {
                self.close(slot, &mut deeds);
            }
        }
        Ok(deeds)
    }

    /// A segment was withdrawn: no grant of it holds from here on. Who waits for one is refused; the others are cut off, and
    /// the other host gives them back when it likes.
    pub fn withdraw(&mut self, segment: SegmentName) -> Vec<Deed> {
        let mut deeds = Vec::new();
        self.suspended.remove(&segment);
        let slots: Vec<u32> = self.slots.iter().filter(|(_, s)| s.segment == segment).map(|(&slot, _)| slot).collect();
        for slot in slots {
            let Some(there) = self.slots.get_mut(&slot) else { continue };
            let waiting = there.state == State::Attaching;
            for number in std::mem::take(&mut there.users) {
                if waiting {
                    self.forget(number);
                    let gone = Error::with(Code::SegNotPublished, "the segment was withdrawn meanwhile");
                    deeds.push(Deed::Say(refusal(number, &gone)));
                } else if let Some(connection) = self.connections.get_mut(&number) {
                    connection.slot = None;
                }
            }
            self.close(slot, &mut deeds);
        }
        deeds
    }

    /// The contents of a segment are about to be replaced: what its exporter does next comes after every store that a verdict
    /// vouched for, and none is vouched for until [`resume`](Self::resume).
    pub fn suspend(&mut self, segment: SegmentName) -> Vec<Deed> {
        self.suspended.insert(segment);
        let seals = self.attached_to(segment);
        seals.map(|(slot, seal)| Deed::Break { slot, dead: seal.suspended() }).collect()
    }

    /// The contents are in place, and whoever had a span open meanwhile will find out by something else.
    pub fn resume(&mut self, segment: SegmentName) -> Vec<Deed> {
        if !self.suspended.remove(&segment) {
            return Vec::new();
        }
        self.attached_to(segment).map(|(slot, seal)| Deed::Seal { slot, seal }).collect()
    }

    fn attached_to(&self, segment: SegmentName) -> impl Iterator<Item = (u32, Seal)> {
        let attached = move |there: &Slot| there.segment == segment && there.state == State::Attached;
        self.slots.iter().filter(move |(_, there)| attached(there)).map(|(&slot, there)| (slot, there.seal))
    }

    /// The end of this life: all seals are broken, and then everything is detached. The segments are free when that is done.
    pub fn end(&mut self) -> Vec<Deed> {
        let mut deeds = Vec::new();
        self.connections.clear();
        self.lanes.clear();
        for slot in self.slots.keys().copied().collect::<Vec<_>>() {
            self.close(slot, &mut deeds);
        }
        let (mut broken, rest): (Vec<_>, Vec<_>) = deeds.into_iter().partition(|d| matches!(d, Deed::Break { .. }));
        broken.extend(rest);
        broken
    }

    /// Whether nothing of a segment is attached, or is about to be.
    pub fn is_free(&self, segment: SegmentName) -> bool {
        self.slots.values().all(|there| there.segment != segment)
    }

    /// How much is attached, or about to be or not to be: a segment counts for each of the two kinds.
    pub fn count(&self) -> usize {
        self.slots.len()
    }

    /// Whether nothing is attached at all.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Connections that the other host has, and has not given back.
    pub fn connections(&self) -> impl Iterator<Item = u64> {
        self.connections.keys().copied()
    }

    /// Whether the other host has a connection that was not withdrawn.
    pub fn stands(&self, number: u64) -> bool {
        self.connections.get(&number).is_some_and(|connection| connection.slot.is_some())
    }

    /// Connections to a segment that were not withdrawn.
    pub fn connections_to(&self, segment: SegmentName) -> impl Iterator<Item = u64> {
        let slots = self.slots.values().filter(move |there| there.segment == segment);
        slots.flat_map(|there| there.users.iter().copied())
    }

    /// Nobody uses a slot any more, or may.
    fn close(&mut self, slot: u32, deeds: &mut Vec<Deed>) {
        let Some(there) = self.slots.get_mut(&slot) else { return };
        there.doomed = true;
        if there.state == State::Attached {
            self.detach(slot, deeds);
        }
    }

    fn detach(&mut self, slot: u32, deeds: &mut Vec<Deed>) {
        let dead = self.seals.fresh();
        if let Some(there) = self.slots.get_mut(&slot) {
            there.state = State::Detaching;
            deeds.push(Deed::Break { slot, dead });
            deeds.push(Deed::Detach { slot, at: there.at });
        }
    }

    fn forget(&mut self, number: u64) {
        if let Some(connection) = self.connections.remove(&number) {
            self.lanes.remove(&connection.lane);
        }
    }

    fn remove(&mut self, slot: u32, deeds: &mut Vec<Deed>) {
        let Some(there) = self.slots.remove(&slot) else { return };
        self.places.give(there.at);
        // Another slot may have the segment by now.
        if self.of.get(&(there.segment, there.kind)) == Some(&slot) {
            self.of.remove(&(there.segment, there.kind));
        }
        if self.is_free(there.segment) {
            deeds.push(Deed::Free(there.segment));
        }
    }
}

fn refusal(number: u64, error: &Error) -> Message {
    Message::Refused { number, code: error.code(), text: error.detail().to_owned() }
}

#[cfg(all(test, not(rsm_loom)))]
mod tests {
    use super::*;
    use crate::peer::nodes::Nodes;

    fn grants() -> Grants {
        let (ours, theirs) = (Nodes::parse("1").unwrap(), Nodes::parse("2").unwrap());
        let terms = Terms { host: 1, ours, theirs, window: 1 << 30, granule: 4096 };
        Grants::new(&terms, 1 << 20, Seals::new(1))
    }

    fn name(row: u32) -> SegmentName {
        SegmentName { row, incarnation: 1 }
    }

    fn granted(deeds: &[Deed]) -> Vec<(u64, Grant)> {
        deeds
            .iter()
            .filter_map(|d| {
                if let Deed::Say(Message::Granted { number, grant }) = d { Some((*number, *grant)) } else { None }
            })
            .collect()
    }

    #[test]
    fn memory_is_attached_once_for_each_kind_and_detached_with_the_last() {
        let mut grants = grants();
        let deeds = grants.connect(1, name(1), 4096, Permission::Read).unwrap();
        let &[Deed::Attach { slot, segment, at, access: Permission::Read }] = &deeds[..] else { panic!("{deeds:?}") };
        assert_eq!(segment, name(1));
        assert_eq!(grants.connect(2, name(1), 4096, Permission::None).unwrap(), [], "it is being attached");
        let writes = grants.connect(3, name(1), 4096, Permission::Write).unwrap();
        assert!(matches!(writes[..], [Deed::Attach { access: Permission::ReadWrite, .. }]));
        let deeds = grants.attached(slot, Ok(()));
        let both = granted(&deeds);
        assert!(matches!(deeds[0], Deed::Seal { .. }) && both.len() == 2, "{deeds:?}");
        assert!(
            both.iter().all(|(_, grant)| (grant.offset, grant.slot) == (at, slot)) && both[0].1.lane != both[1].1.lane
        );
        assert!(grants.connect(1, name(1), 4096, Permission::Read).is_err(), "a number is used once");
        assert_eq!(grants.disconnect(1).unwrap(), []);
        let deeds = grants.disconnect(2).unwrap();
        assert!(matches!(deeds[..], [Deed::Break { .. }, Deed::Detach { .. }]), "{deeds:?}");
        assert!(grants.disconnect(2).is_err());
        // Anew before the old one is gone: a place and a seal of its own.
        let again = grants.connect(4, name(1), 4096, Permission::Read).unwrap();
        assert!(matches!(again[..], [Deed::Attach { slot: other, at: place, .. }] if other != slot && place != at));
        assert_eq!(grants.detached(slot), [], "others have the segment");
    }

    #[test]
    fn a_withdrawal_waits_for_the_bridge_and_for_nobody_else() {
        let mut grants = grants();
        grants.connect(1, name(1), 4096, Permission::Read).unwrap();
        grants.connect(2, name(1), 4096, Permission::ReadWrite).unwrap();
        assert_eq!(granted(&grants.attached(0, Ok(()))).len(), 1);
        let deeds = grants.withdraw(name(1));
        let refused =
            |d: &Deed| matches!(d, Deed::Say(Message::Refused { number: 2, code: Code::SegNotPublished, .. }));
        assert!(matches!(deeds[0], Deed::Break { slot: 0, .. }) && deeds.iter().any(refused), "{deeds:?}");
        assert_eq!(grants.detached(0), [], "the other is being attached");
        assert!(matches!(grants.attached(1, Ok(()))[..], [Deed::Break { slot: 1, .. }, Deed::Detach { slot: 1, .. }]));
        assert_eq!(grants.detached(1), [Deed::Free(name(1))]);
        assert!(grants.is_free(name(1)) && grants.is_empty());
        // What was cut off has its lane until it is given back.
        assert_eq!((grants.connections().collect::<Vec<_>>(), grants.stands(1)), (vec![1], false));
        assert_eq!(grants.disconnect(1), Ok(Vec::new()));
    }

    #[test]
    fn what_cannot_be_had_is_refused_and_leaves_nothing() {
        let mut grants = grants();
        let deeds = grants.connect(1, name(1), 1 << 20, Permission::Read).unwrap();
        let full = |d: &Deed| matches!(d, Deed::Say(Message::Refused { code: Code::InsufficientResources, text, .. }) if text.contains("1048576 bytes do not fit"));
        assert!(deeds.len() == 1 && full(&deeds[0]), "{deeds:?}");
        grants.connect(2, name(1), 4096, Permission::Read).unwrap();
        let deeds = grants.attached(0, Err(Error::with(Code::InsufficientMem, "no memory to be locked")));
        assert!(matches!(&deeds[0], Deed::Say(Message::Refused { number: 2, code: Code::InsufficientMem, .. })));
        assert_eq!(deeds[1..], [Deed::Free(name(1))]);
        assert!(grants.is_empty() && grants.connections().next().is_none());
    }

    #[test]
    fn seals_are_suspended_while_contents_are_replaced() {
        let mut grants = grants();
        grants.connect(1, name(1), 4096, Permission::Read).unwrap();
        let deeds = grants.attached(0, Ok(()));
        let Deed::Seal { seal, .. } = deeds[0] else { panic!("{deeds:?}") };
        assert_eq!(grants.suspend(name(1)), [Deed::Break { slot: 0, dead: seal.suspended() }]);
        // One that is attached meanwhile begins so.
        grants.connect(2, name(1), 4096, Permission::ReadWrite).unwrap();
        let deeds = grants.attached(1, Ok(()));
        let Deed::Seal { slot: 1, seal: second } = deeds[0] else { panic!("{deeds:?}") };
        let &(2, granted) = &super::tests::granted(&deeds)[0] else { panic!("{deeds:?}") };
        assert_eq!(granted.seal().unwrap().suspended(), second);
        let resumed = [Deed::Seal { slot: 0, seal }, Deed::Seal { slot: 1, seal: granted.seal().unwrap() }];
        assert_eq!(grants.resume(name(1)), resumed);
        assert_eq!(grants.resume(name(1)), [], "it is over");
        assert_eq!(grants.suspend(name(2)), []);
    }

    #[test]
    fn at_the_end_all_seals_are_broken_first() {
        let mut grants = grants();
        for row in 1..=3 {
            grants.connect(row.into(), name(row), 4096, Permission::Read).unwrap();
        }
        grants.attached(0, Ok(()));
        grants.attached(2, Ok(()));
        let deeds = grants.end();
        let kinds: Vec<bool> = deeds.iter().map(|d| matches!(d, Deed::Break { .. })).collect();
        assert_eq!(kinds, [true, true, false, false]);
        assert_eq!(grants.detached(0), [Deed::Free(name(1))]);
        assert!(matches!(grants.attached(1, Ok(()))[..], [Deed::Break { .. }, Deed::Detach { .. }]));
    }
}
