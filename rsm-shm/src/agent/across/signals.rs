//! Signals for waiters on the other host, and from there.
//!
//! Who posts to a waiter of the other host posts to a bell of this one, which nobody of this host waits on
//! ([`Bell::renew_relayed`]). What is there is taken and sent by the lane of a connection. What comes by a lane is posted to
//! the bell that it is meant for.

use super::Agent;
use crate::agent::books::relay::Relay;
use crate::agent::far::host::At;
use crate::parking::Poster;
use rsm_core::bell::{Accumulate, Bell};
use rsm_core::peer::lane::Counts;
use rsm_core::{Result, crash_point};
use std::sync::Arc;

impl Agent {
    /// [`take_bell`](Self::take_bell) for a waiter on the other host; [`give_bell`](Self::give_bell) ends it.
    pub(in crate::agent) fn take_relayed_bell(&mut self, node: u32, relay: Relay, waiting: u32) -> Result<(u32, u32)> {
        let (number, _) = self.take_bell(node, waiting)?;
        let epoch = self.books.bell(node, number).map_or(0, Bell::renew_relayed);
        self.books.relayed.insert((node, number), relay);
        if let (Some(across), Some(bells)) = (&mut self.across, &self.books.nodes[node as usize].bells) {
            across.waker.add(node, number, &Arc::clone(&bells.map));
        }
        Ok((number, epoch))
    }

    /// A bell is given back: nobody of the other host waits for what is posted to it any more.
    pub(in crate::agent) fn forget_relay(&mut self, node: u32, number: u32) {
        if self.books.relayed.remove(&(node, number)).is_none() {
            return;
        }
        if let Some(across) = &mut self.across {
            across.waker.remove(node, number);
        }
        if let Some(bell) = self.books.bell(node, number) {
            bell.end_relay();
        }
    }

    /// Takes what was posted here for waiters of the other host, if something was, and posts it there.
    pub(super) fn relay_what_is_due(&mut self) {
        if let Some(bells) = self.across.as_ref().and_then(|across| across.waker.told()) {
            self.relay_from(&bells);
            if let Some(across) = &self.across {
                across.waker.taken();
            }
        }
    }

    /// All that was posted, without being told.
    pub(super) fn relay(&mut self) {
        let bells: Vec<(u32, u32)> = self.books.relayed.keys().copied().collect();
        self.relay_from(&bells);
    }

    /// What was posted for the importers of a segment of this host, or for the exporter of a mirror: before that ends.
    pub(in crate::agent) fn relay_of(&mut self, row: u32) {
        let Some(segment) = self.books.segments.get(&row) else { return };
        let bells: Vec<(u32, u32)> = if segment.far.is_some() {
            vec![(segment.node, segment.bell)]
        } else {
            let theirs = segment.connections.values().filter_map(|row| self.books.connections.get(row));
            theirs.filter(|connection| connection.is_theirs).map(|c| (c.exporter, c.bell)).collect()
        };
        self.relay_from(&bells);
    }

    fn relay_from(&mut self, bells: &[(u32, u32)]) {
        let mut due: Vec<(At, u64, Counts)> = Vec::new();
        for &(node, number) in bells {
            let Some(relay) = self.books.relayed.get(&(node, number)) else { continue };
            let across = |row| self.books.connections.get(row)?.across;
            let (end, to) = match relay {
                Relay::Mirror(row) => {
                    let mirror = self.books.segments.get(row);
                    (At::Import, mirror.and_then(|mirror| mirror.connections.values().find_map(across)))
                }
                Relay::Importer(row) => (At::Export, across(row)),
            };
            let Some(bell) = self.books.bell(node, number) else { continue };
            let taken = bell.take_relayed();
            // Posted when its connection was over: nobody's, and not the next one's.
            let Some(to) = to else { continue };
            if taken.signals > 0 || taken.single {
                due.push((end, to, Counts::of(taken.signals, taken.single.into())));
            }
        }
        for (end, number, counts) in due {
            crash_point!(AcrossTaken);
            // Of a connection that is over it is nobody's.
            let _ = self.with_host(|host, _| host.post(end, number, counts));
        }
    }

    /// Signals of the other host, for who waits here.
    pub(super) fn signalled_across(&self, end: At, number: u64, counts: Counts) {
        let Some((row, connection)) =
            self.row_across(end, number).and_then(|row| Some((row, self.books.connections.get(&row)?)))
        else {
            return;
        };
        let (bell, epoch) = match end {
            At::Export => {
                let Some(segment) = connection.segment.and_then(|row| self.books.segments.get(&row)) else { return };
                (self.books.bell(segment.node, segment.bell), segment.epoch)
            }
            At::Import => {
                let Some(fields) = self.map.registry().connections[row as usize].fields() else { return };
                (self.books.bell(connection.exporter, connection.bell), fields.epoch)
            }
        };
        let Some(bell) = bell else { return };
        crash_point!(AcrossSignalled);
        // In the order in which they were posted, as far as that changes what comes of it: of several that do not accumulate
        // the first may have come before all else. One that is too much wakes somebody for nothing, one too few lets him sleep.
        let before = u32::from(counts.before).min(counts.signals);
        let many = |signals: u32| {
            if signals > 0 {
                let _ = bell.post_many(epoch, signals, &Poster);
            }
        };
        if counts.singles > 1 {
            let _ = bell.post(epoch, Accumulate::No, &Poster);
        }
        if counts.singles == 0 {
            return many(counts.signals);
        }
        many(before);
        let _ = bell.post(epoch, Accumulate::No, &Poster);
        many(counts.signals - before);
    }
}
