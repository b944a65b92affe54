//! What processes wait for, for those who look.
//!
//! Nothing is noted by who waits: who sleeps on a bell has raised its count of sleepers there, and who waits for a segment
//! to be published has asked for it and was refused. Sleepers are what members write; they are told and not believed.
//!
//! A look goes through the tables a piece at a time, so that it holds the agent no longer than any other request.

use super::Agent;
use rsm_core::bell::Bell;
use rsm_core::message::{Answer, MAX_WAITS, Wait, WaitFor};
use std::ops::ControlFlow;

/// Most entries of the tables that one request looks at.
const PIECE: usize = 2048;

/// Where a look goes on: first through segments, then connections, then members.
const SEGMENTS: u64 = 0;
const CONNECTIONS: u64 = 1 << 62;
const MEMBERS: u64 = 2 << 62;

impl Agent {
    /// What is waited for, from the place `from` in the tables on.
    pub(super) fn waits(&self, from: u64) -> Answer {
        let mut piece = Piece { waits: Vec::new(), left: PIECE };
        let next = match self.look_at(from, &mut piece) {
            ControlFlow::Break(next) => Some(next),
            ControlFlow::Continue(()) => None,
        };
        Answer::Waits { waits: piece.waits, next }
    }

    fn look_at(&self, from: u64, piece: &mut Piece) -> ControlFlow<u64> {
        let row = |table: u64| u32::try_from(from.saturating_sub(table)).unwrap_or(u32::MAX);
        if from < CONNECTIONS {
            for (&at, segment) in self.books.segments.range(row(SEGMENTS)..) {
                let bell = self.books.bell(segment.node, segment.bell);
                let importers = || self.map.registry().segments.get(at as usize).map_or(0, |row| row.importers());
                let bell = bell.filter(|bell| bell.sleepers() > 0 && segment.far.is_none());
                let wait = bell.map(|bell| {
                    let (id, pending) = (segment.id, bell.pending());
                    (segment.member, segment.node, WaitFor::Export { id, pending, importers: importers() })
                });
                piece.take(self, SEGMENTS + u64::from(at), wait)?;
            }
        }
        if from < MEMBERS {
            for (&at, connection) in self.books.connections.range(row(CONNECTIONS)..) {
                let bell = self.books.bell(connection.exporter, connection.bell);
                let wait = bell.filter(|bell| bell.sleepers() > 0 && !connection.is_theirs).and_then(|bell| {
                    let id = connection.segment.and_then(|row| self.books.segments.get(&row)?.id);
                    let what = WaitFor::Import { node: connection.exporter, id, pending: Bell::pending(bell) };
                    Some((*connection.holders.first()?, connection.importer, what))
                });
                piece.take(self, CONNECTIONS + u64::from(at), wait)?;
            }
        }
        for (&party, member) in self.books.members.range(from.saturating_sub(MEMBERS)..) {
            let wait = member.wants.filter(|wanted| !self.books.published.contains_key(wanted));
            let wait = wait.and_then(|(node, id)| Some((party, member.node?, WaitFor::Segment { node, id })));
            piece.take(self, MEMBERS + party, wait)?;
        }
        ControlFlow::Continue(())
    }
}

/// What one request found.
struct Piece {
    waits: Vec<Wait>,
    left: usize,
}

impl Piece {
    /// Takes what the entry at this place gave, or says that the next request has to begin with it.
    fn take(&mut self, agent: &Agent, at: u64, wait: Option<(u64, u32, WaitFor)>) -> ControlFlow<u64> {
        if self.left == 0 || self.waits.len() == MAX_WAITS {
            return ControlFlow::Break(at);
        }
        self.left -= 1;
        if let Some((membership, node, on)) = wait {
            let pid = agent.books.members.get(&membership).map_or(0, |member| member.pid);
            self.waits.push(Wait { membership, node, pid, on });
        }
        ControlFlow::Continue(())
    }
}
