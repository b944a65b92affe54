//! What holds a connection, and its end.

use super::Connection;
use crate::membership::race::Raced;
use crate::membership::{Membership, fork, lock};
use rsm_core::lens::event::Kind;
use rsm_core::message::{Ask, ConnectionName};
use rsm_core::sync::Ordering::Acquire;
use rsm_core::{Code, Error, Result, crash_point};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// What holds the connection at the agent and in the table. A part of its own, so that dropping it borrows nothing that
/// the events thread, through the table, still uses.
#[derive(Debug)]
pub(super) struct Tie {
    pub(super) name: ConnectionName,
    pub(super) controller: u32,
    node: u32,
    pub(super) id: u32,
    given_back: AtomicBool,
    /// Where races are looked for.
    pub(super) raced: Raced,
    pub(super) membership: Arc<Membership>,
}

impl Connection {
    /// Ends the connection.
    ///
    /// # Errors
    /// SEG_STILL_MAPPED while a [`Part`](crate::membership::part::Part) of it exists, which then ends it;
    /// CTLR_NOT_PRESENT when the cluster has ended, and the connection with it.
    pub fn disconnect(self: Arc<Connection>) -> Result<()> {
        // We own one and nobody can make another of nothing: if it is the only one it stays so.
        if Arc::strong_count(&self) > 1 {
            return Err(Error::with(Code::SegStillMapped, "a mapping of the import still exists"));
        }
        // What threads did through owners that are gone comes before the unmapping: pairs with the Release of their drop.
        rsm_core::sync::fence(Acquire);
        if let Some(way) = &self.diverted {
            way.finish(|| self.is_aborted());
        }
        self.tie.give_back()
    }
}

impl Tie {
    pub(super) fn new(
        membership: &Arc<Membership>,
        name: ConnectionName,
        controller: u32,
        (node, id): (u32, u32),
    ) -> Tie {
        Tie {
            name,
            controller,
            node,
            id,
            given_back: AtomicBool::new(false),
            raced: Raced::default(),
            membership: Arc::clone(membership),
        }
    }

    fn give_back(&self) -> Result<()> {
        if self.given_back.swap(true, Relaxed) {
            return Ok(());
        }
        if fork::is_unannounced() {
            return Ok(()); // the parent's, whose lock may be held for ever here
        }
        let (parts, process) = {
            let state = &mut *lock(&self.membership.shared.state);
            (state.table.remove(self.name), state.tie.process)
        };
        // Unmapped before the agent is told: it may ask the kernel right away whether the memory is free.
        drop(parts);
        crash_point!(DisconnectUnmapped);
        // A forked child that the agent does not know has no share in it to give back.
        if process != fork::count() {
            return Ok(());
        }
        self.membership.race_disconnects(&self.raced, self.node);
        let began = self.membership.begin_note();
        let done = self.membership.ask_done(Ask::Disconnect { connection: self.name });
        self.membership.note(began, (Kind::Disconnect, self.node, self.id, 0, 0), &done);
        match done {
            // Cut, and given back by its other holders, while this child was joining.
            Err(error) if error.code() == Code::BadSegHndl => Ok(()),
            // Nothing of it is left here, and nobody will ask again.
            Err(error) if error.code() != Code::CtlrNotPresent => {
                self.membership.ask_later(Ask::Disconnect { connection: self.name });
                Err(error)
            }
            other => other,
        }
    }
}

impl Drop for Tie {
    fn drop(&mut self) {
        // Fails when the cluster has ended, and then there is nobody to tell.
        let _ = self.give_back();
    }
}
