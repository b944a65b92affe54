//! Connect, inherit, disconnect.

use super::Agent;
use super::books::chores::{Chore, Owner, PIECE};
use super::books::connection::Connection;
use super::books::memory::duplicate;
use super::books::relay::Relay;
use super::books::request::Given;
use crate::parking::Poster;
use rsm_core::access::{Permission, permits};
use rsm_core::bell::Accumulate;
use rsm_core::crash_point;
use rsm_core::driver::{Driver, WindowKind};
use rsm_core::generation::{EndCause, Generation};
use rsm_core::message::{Answer, Connected, ConnectionName, MAX_INHERIT, SegmentName};
use rsm_core::peer::asks::Wish;
use rsm_core::registry::{Absence, CLUSTER, ControllerKind, Found, NewConnection};
use rsm_core::{Code, Error, Result};
use std::collections::BTreeSet;
use std::os::fd::OwnedFd;

/// How the memory of a connection is reached.
pub(super) struct Grants {
    pub(super) window: WindowKind,
    /// Of another host, with its seals, the number of the connection there, and where in it the segment begins.
    pub(super) memory: Option<OwnedFd>,
    pub(super) seals: Option<OwnedFd>,
    pub(super) sentinel: Option<OwnedFd>,
    pub(super) across: Option<u64>,
    pub(super) offset: u64,
}

impl Agent {
    /// Connects, with the checks in the order of reference 1.12. `None`: the other host is asked first.
    pub(super) fn connect(
        &mut self,
        (party, number): (u64, u64),
        controller: u32,
        node: u32,
        id: u32,
        permission: Permission,
        has_bells: bool,
    ) -> Result<Option<Given>> {
        let importer = self.books.node_of(party)?;
        let kind = self.controller_kind(controller)?;
        if kind == ControllerKind::Loopback && node != importer {
            return Err(Error::with(
                Code::CtlrNotPresent,
                format!("loopback reaches only the local node {importer}, not node {node}"),
            ));
        }
        self.check_path(controller, importer, node)?;
        self.find_left_out(node, id)?;
        let row = *self.books.published.get(&(node, id)).ok_or_else(|| self.unknown(node, id))?;
        if self.books.is_orphan(row) {
            self.unlist(row);
            return Err(Found::nothing(node, id));
        }
        let segment = self.books.segments.get(&row).ok_or_else(|| Found::nothing(node, id))?;
        let not_to_us = || {
            let text = format!("segment {id:#x} of node {node} is not published to node {importer}");
            Error::with(Code::SegNotPublishedToNode, text)
        };
        if segment.kind == ControllerKind::Loopback && importer != node {
            return Err(not_to_us());
        }
        let mode = segment.access().mode_for(importer, segment.default_mode).map_err(|_| not_to_us())?;
        let member = self.books.members.get(&party).ok_or(Error::new(Code::InternalError))?;
        if !segment.level.admits(permission) {
            let text = format!("segment {id:#x} of node {node} is sealed: it can only be read, not {permission}");
            return Err(Error::with(Code::PermDenied, text));
        }
        if !permits(mode, segment.owner, &member.credentials, permission) {
            return Err(Error::with(
                Code::PermDenied,
                format!(
                    "segment {id:#x} of node {node} (user {}, mode {mode:03o}) does not give {permission} to user {}",
                    segment.owner.uid, member.credentials.uid
                ),
            ));
        }
        if let Some(far) = segment.far {
            let (version, length, pid) = (segment.publication.1, segment.length, member.pid);
            self.check_room(node, id, length)?;
            let wish = Wish { segment: far, version, length, node: importer, pid, permission };
            let mirror = SegmentName { row, incarnation: segment.incarnation };
            self.ask_across((party, number), &wish, mirror, controller, has_bells)?;
            return Ok(None);
        }
        let way = Grants {
            window: self.window_kind(controller),
            memory: None,
            seals: None,
            sentinel: None,
            across: None,
            offset: 0,
        };
        self.grant(party, controller, importer, row, permission, has_bells, way).map(Some)
    }

    /// Whether imports of `importer` from `node` are possible now. A node of the cluster that is not there publishes
    /// nothing yet: who tries again until it does need not know whether it has begun.
    pub(super) fn check_path(&self, controller: u32, importer: u32, node: u32) -> Result<()> {
        // What no node owns is there as long as the cluster.
        if node == CLUSTER {
            return Ok(());
        }
        self.check_node(node)?;
        let absence = self.map.registry().absence(controller, importer, node);
        let closing = self.books.closing.has(&(controller, importer, node)).then_some(Absence::NoLink);
        match closing.or(absence) {
            None => Ok(()),
            Some(absence) => {
                let error = absence.error(&self.controller_name(controller), importer, node);
                let other = self.bridge.filter(|_| absence == Absence::NoPath);
                Err(match other.map(|other| self.controller_name(other)) {
                    Some(other) => Error::with(error.code(), format!("{}; {other} has one", error.detail())),
                    None => error,
                })
            }
        }
    }

    /// Gives a connection; its memory by a description of its own, unless that came along.
    #[allow(clippy::too_many_arguments)]
    pub(super) fn grant(
        &mut self,
        party: u64,
        controller: u32,
        importer: u32,
        segment_row: u32,
        permission: Permission,
        has_bells: bool,
        way: Grants,
    ) -> Result<Given> {
        let segment = &self.books.segments[&segment_row];
        let (exporter, length) = (segment.node, segment.length);
        let (export_bell, export_epoch, suspended) = (segment.bell, segment.epoch, segment.rebinding);
        let mut descriptors = Vec::new();
        // Without any permission there is nothing to reach (D-27).
        if permission != Permission::None {
            descriptors.push(match way.memory {
                Some(memory) => memory,
                None => self.driver.grant(segment.memory().object(), permission)?,
            });
        }
        if !has_bells {
            descriptors.push(duplicate(self.bells_of(exporter)?.object())?);
        }
        descriptors.extend(way.seals.into_iter().chain(way.sentinel));
        crash_point!(AgentGranted);
        let pid = self.books.members.get(&party).map(|m| m.pid).ok_or(Error::new(Code::InternalError))?;
        let (row, bell, epoch) = self.take_connection(importer, exporter, false)?;
        if exporter == CLUSTER {
            self.silence(bell);
        }
        let serial = self.books.take_serial();
        let new = NewConnection {
            serial,
            segment: segment_row,
            bell,
            epoch,
            importer,
            pid,
            controller,
            permission: permission.bits(),
            suspended,
        };
        self.writer().link_connection(row, &new);
        self.attended.insert(segment_row);
        crash_point!(AgentLinked);
        if let Some(segment) = self.books.segments.get_mut(&segment_row) {
            segment.granted |= permission != Permission::None;
            segment.connections.insert(serial, row);
        }
        let generation = Generation::live(serial).word();
        let holders = BTreeSet::from([party]);
        let segment = Some(segment_row);
        let across = way.across;
        let connection =
            Connection { generation, segment, controller, importer, exporter, bell, across, is_theirs: false, holders };
        self.books.connections.insert(row, connection);
        across.map(|number| self.books.crossing.insert((true, number), row));
        self.books.nodes[importer as usize].imports.insert(row);
        if let Some(member) = self.books.members.get_mut(&party) {
            member.connections.insert(row);
        }
        let connected = Connected {
            connection: ConnectionName { row, generation },
            window: way.window,
            length,
            data_offset: way.offset,
            export_bell,
            export_epoch,
            import_bell: bell,
        };
        Ok((Answer::Connected(connected), descriptors))
    }

    /// How importers reach memory through a controller.
    pub(super) fn window_kind(&self, controller: u32) -> WindowKind {
        match self.controller_kind(controller) {
            Ok(ControllerKind::Shared) => self.window,
            _ => WindowKind::Coherent,
        }
    }

    /// A node of the other host has a connection: a row, with a bell, that nobody here holds.
    pub(super) fn connect_from_across(
        &mut self,
        number: u64,
        importer: u32,
        pid: u32,
        (row, permission): (u32, Permission),
    ) -> Result<()> {
        let segment = self.books.segments.get(&row).ok_or(Error::new(Code::SegNotPublished))?;
        let (exporter, suspended) = (segment.node, segment.rebinding);
        let controller = self.bridge.ok_or(Error::new(Code::InternalError))?;
        let (connection_row, bell, epoch) = self.take_connection(importer, exporter, true)?;
        let serial = self.books.take_serial();
        let permission = permission.bits();
        let new = NewConnection { serial, segment: row, bell, epoch, importer, pid, controller, permission, suspended };
        self.writer().link_connection(connection_row, &new);
        self.attended.insert(row);
        if let Some(segment) = self.books.segments.get_mut(&row) {
            segment.granted = true;
            segment.connections.insert(serial, connection_row);
        }
        let (generation, segment, holders) = (Generation::live(serial).word(), Some(row), BTreeSet::new());
        let (across, is_theirs) = (Some(number), true);
        let connection =
            Connection { generation, segment, controller, importer, exporter, bell, across, is_theirs, holders };
        self.books.connections.insert(connection_row, connection);
        self.books.crossing.insert((false, number), connection_row);
        self.books.nodes[importer as usize].imports.insert(connection_row);
        Ok(())
    }

    /// Takes a row for a connection of node `importer`, and a bell of node `exporter`.
    fn take_connection(&mut self, importer: u32, exporter: u32, is_theirs: bool) -> Result<(u32, u32, u32)> {
        let row = self.books.connection_rows.take(importer)?;
        let bell = if is_theirs {
            self.take_relayed_bell(exporter, Relay::Importer(row), importer)
        } else {
            self.take_bell(exporter, importer)
        };
        match bell {
            Ok((bell, epoch)) => Ok((row, bell, epoch)),
            Err(error) => {
                self.books.connection_rows.give(row);
                Err(error)
            }
        }
    }

    /// A forked process shares connections of its parent: it is told when they are cut, and they live until both have
    /// given them back. Names that do not fit are passed over: the connection went meanwhile.
    pub(super) fn inherit(&mut self, party: u64, names: &[ConnectionName]) -> Result<()> {
        let node = self.books.node_of(party)?;
        if names.len() > MAX_INHERIT {
            return Err(Error::with(Code::BadLength, format!("{} connections in one message", names.len())));
        }
        for name in names {
            if let Some(connection) = self.books.connections.get_mut(&name.row)
                && connection.generation == name.generation
                && connection.importer == node
            {
                connection.holders.insert(party);
                if let Some(member) = self.books.members.get_mut(&party) {
                    member.connections.insert(name.row);
                }
            }
        }
        crash_point!(AgentInherited);
        Ok(())
    }

    pub(super) fn disconnect(&mut self, party: u64, name: ConnectionName) -> Result<()> {
        self.held(party, name)?;
        self.drop_holder(name.row, party, EndCause::Disconnected);
        Ok(())
    }

    /// A connection that a membership holds.
    ///
    /// # Errors
    /// BAD_SEG_HNDL for a name that is of none.
    pub(super) fn held(&self, party: u64, name: ConnectionName) -> Result<&Connection> {
        let connection = self.books.connections.get(&name.row).filter(|c| c.generation == name.generation);
        let gone = || Error::with(Code::BadSegHndl, "the connection does not exist any more");
        connection.filter(|c| c.holders.contains(&party)).ok_or_else(gone)
    }

    /// A membership gives up a connection; the last one to do so frees it.
    pub(super) fn drop_holder(&mut self, row: u32, party: u64, cause: EndCause) {
        if let Some(member) = self.books.members.get_mut(&party) {
            member.connections.remove(&row);
        }
        let Some(connection) = self.books.connections.get_mut(&row) else { return };
        connection.holders.remove(&party);
        if !connection.holders.is_empty() {
            return;
        }
        let (importer, exporter, bell) = (connection.importer, connection.exporter, connection.bell);
        let (segment, is_ours) = (connection.segment, connection.across.is_some() && !connection.is_theirs);
        if let Some(segment) = segment.filter(|_| is_ours) {
            // What was signalled until now is on its way.
            self.relay_of(segment);
        }
        if segment.is_some() {
            // Cut first: the exporter that misses it in the chain finds out why.
            self.writer().abort_connection(row, cause);
            self.unlink(row);
        }
        let gone = self.books.connections.remove(&row);
        if let Some((number, is_theirs)) = gone.and_then(|gone| Some((gone.across?, gone.is_theirs))) {
            self.books.crossing.remove(&(!is_theirs, number));
            if !is_theirs {
                self.give_back_across(number);
            }
        }
        self.books.nodes[importer as usize].imports.remove(&row);
        crash_point!(AgentUnlinked);
        self.writer().remove_connection(row);
        crash_point!(AgentDisconnected);
        self.give_bell(exporter, bell);
        self.books.connection_rows.give(row);
    }

    /// Takes a connection that is alive out of its segment's chain, and notes that it leads nowhere.
    pub(super) fn unlink(&mut self, row: u32) {
        let Some(connection) = self.books.connections.get_mut(&row) else { return };
        let Some(segment) = connection.segment.take() else { return };
        let serial = Generation::from_word(connection.generation).serial();
        // The chain runs from the newest to the oldest.
        let newer = self.books.segments.get_mut(&segment).and_then(|segment| {
            segment.connections.remove(&serial);
            segment.connections.range(serial..).next().map(|(_, &row)| row)
        });
        self.writer().unlink_connection(row, newer);
        self.attended.insert(segment);
    }

    /// Wakes whoever sleeps on the export that a connection leads to: the dead importer may have owed the wake.
    pub(super) fn nudge_exporter(&self, row: u32) {
        let segment =
            self.books.connections.get(&row).and_then(|c| c.segment).and_then(|row| self.books.segments.get(&row));
        if let Some(segment) = segment
            && let Some(bell) = self.books.bell(segment.node, segment.bell)
        {
            bell.nudge(&self.wakes);
        }
    }

    /// Posts for an exporter whose own walk was disturbed too often. `None` when the answer comes later.
    pub(super) fn post_importers(
        &mut self,
        (party, number): (u64, u64),
        segment: SegmentName,
        below: u64,
        accumulate: bool,
    ) -> Result<Option<Answer>> {
        let node = self.books.node_of(party)?;
        if self.books.segment(segment)?.node != node {
            return Err(Error::with(Code::BadSegHndl, "the segment does not exist any more"));
        }
        let Some(below) = self.post_some(segment, below, accumulate) else { return Ok(Some(Answer::Done)) };
        let owed = self.owe(party, number);
        self.books.chores.add(Owner::Party(party), Chore::Post { segment, below, accumulate, owed });
        Ok(None)
    }

    /// Posts to some importers of a segment with serial numbers below this one; gives the number to go on with.
    pub(super) fn post_some(&self, name: SegmentName, below: u64, accumulate: bool) -> Option<u64> {
        let segment = self.books.segments.get(&name.row).filter(|s| s.incarnation == name.incarnation)?;
        let accumulate = if accumulate { Accumulate::Yes } else { Accumulate::No };
        let rows = self.map.registry().connections;
        let mut last = None;
        for (at, (&serial, &row)) in (1..).zip(segment.connections.range(..below).rev().take(PIECE)) {
            last = (at == PIECE).then_some(serial);
            if let Some(fields) = rows[row as usize].fields()
                && let Some(bell) = self.books.bell(segment.node, fields.bell)
            {
                // A bell whose connection was cut meanwhile says so to its waiter, not to the poster.
                let _ = bell.post(fields.epoch, accumulate, &Poster);
            }
        }
        last
    }
}
