//! Connecting: what the agent grants becomes an import.

use super::connection::{Connection, Parts};
use super::control::unexpected;
use super::{Membership, deadline};
use crate::guest::Guest;
use crate::memory::inspect;
use crate::memory::memfd;
use crate::memory::pages::SealPages;
use crate::memory::region::Region;
use rsm_core::access::Permission;
use rsm_core::crash_point;
use rsm_core::driver::WindowKind;
use rsm_core::generation::Generation;
use rsm_core::lens::gate;
use rsm_core::lens::inject::{Call, Place};
use rsm_core::lens::profile::Cost;
use rsm_core::message::{Answer, Ask, Connected};
use rsm_core::registry::Found;
use rsm_core::sync::acquire32;
use rsm_core::{Code, Error, Result};
use std::sync::Arc;
use std::time::Duration;

impl Membership {
    /// Connects to the segment that `node` publishes as `id`, in one round trip.
    ///
    /// # Errors
    /// Those of `rsm_memseg_import_connect`, reference 1.12.
    pub fn connect(
        self: &Arc<Membership>,
        controller: u32,
        node: u32,
        id: u32,
        permission: Permission,
    ) -> Result<Arc<Connection>> {
        self.called(gate::Call::Connect, node, id);
        self.connect_once((controller, node, id), permission)
    }

    /// An attempt to connect, which is a call or part of one.
    fn connect_once(
        self: &Arc<Membership>,
        (controller, node, id): (u32, u32, u32),
        permission: Permission,
    ) -> Result<Arc<Connection>> {
        let has_bells = self.has_bells_of(node);
        let begun = self.begin_call();
        let (answer, descriptors) = self.ask(Ask::Connect { controller, node, id, permission, has_bells })?;
        crash_point!(ConnectGranted);
        let Answer::Connected(connected) = answer else { return Err(unexpected(&answer)) };
        // Drawn for connections that were granted, so that it does not depend on how often somebody had to try.
        let place = Place { call: Call::Connect, node, id, nth: 0 };
        let refused = self.check_refused(place, Code::InsufficientResources);
        let establish = |()| self.establish((controller, node, id), permission, &connected, descriptors);
        let done = refused.and_then(establish);
        if done.is_err() {
            let _ = self.ask_done(Ask::Disconnect { connection: connected.connection });
        }
        if connected.window == WindowKind::Lensed {
            self.end_call(begun, node, Cost::Connect);
        }
        done
    }

    fn establish(
        self: &Arc<Membership>,
        (controller, node, id): (u32, u32, u32),
        permission: Permission,
        connected: &Connected,
        descriptors: Vec<Guest>,
    ) -> Result<Arc<Connection>> {
        let missing = || Error::with(Code::InternalError, "the agent's answer is incomplete");
        let mut descriptors = descriptors.into_iter();
        let seals = match connected.window {
            WindowKind::Posted { seals_at, device, .. } => {
                let sentinel = device.then(|| descriptors.next_back().ok_or_else(missing)).transpose()?;
                let seals = SealPages::open(descriptors.next_back().ok_or_else(missing)?, seals_at, device)?;
                Some(seals.watched_by(sentinel))
            }
            WindowKind::Coherent | WindowKind::Lensed => None,
        };
        let length = usize::try_from(connected.length)
            .map_err(|_| Error::with(Code::InsufficientMem, format!("a segment of {} bytes", connected.length)))?;
        let whole = if permission == Permission::None {
            Region::reserve(length)?
        } else {
            let memory = descriptors.next().ok_or_else(missing)?;
            let object = inspect::identity(&memory)?;
            let whole = if matches!(connected.window, WindowKind::Posted { device: true, .. }) {
                Region::map_window(memory, connected.data_offset, length, permission)?
            } else {
                memfd::check_solid(&memory, connected.data_offset.saturating_add(connected.length))?;
                Region::map_to_duplicate(memory, connected.data_offset, length, permission)?
            };
            whole.given_to_program(object)
        };
        let bells = self.bells_of(node, descriptors.next())?;
        let registry = self.registry();
        let row = registry.connections.get(connected.connection.row as usize).ok_or_else(missing)?;
        crash_point!(ConnectMapped);
        if Generation::from_word(connected.connection.generation).is_aborted() {
            return Err(Error::with(Code::InternalError, "the agent granted a connection that had ended"));
        }
        let parts = Parts {
            connected,
            whole: Arc::new(whole),
            generation: row.generation(),
            link: registry.paths.get(connected.connection.row as usize).ok_or_else(missing)?,
            export_bell: bells.bell(connected.export_bell)?,
            import_bell: bells.bell(connected.import_bell)?,
            controller,
            node,
            id,
            permission,
            seals,
        };
        let connection = Connection::new(self, parts)?;
        crash_point!(ConnectEntered);
        Ok(connection)
    }

    /// Connects, sleeping until the segment is published, for at most `within`.
    ///
    /// # Errors
    /// TIMEOUT, with what was missing; INTERRUPTED when a signal handler ran; otherwise as [`connect`](Self::connect).
    pub fn connect_within(
        self: &Arc<Membership>,
        controller: u32,
        node: u32,
        id: u32,
        permission: Permission,
        within: Duration,
    ) -> Result<Arc<Connection>> {
        let deadline = deadline(Some(within));
        // A node that does not exist never publishes: no row, one attempt, its error.
        let Some(row) = self.node_row(node) else { return self.connect(controller, node, id, permission) };
        self.called(gate::Call::Connect, node, id);
        let mut missing: Option<Error> = None;
        loop {
            // Acquire: pairs with the Release of `Writer::step_published`; what was published before it is found.
            let seen = acquire32(row.published());
            let absent = missing.is_some() && matches!(self.registry().find(node, id), Found::Nothing);
            if !absent {
                match self.connect_once((controller, node, id), permission) {
                    Err(error)
                        if matches!(
                            error.code(),
                            Code::SegNotPublished | Code::SegNotPublishedToNode | Code::RemoteNodeUnreachable
                        ) =>
                    {
                        missing = Some(error);
                    }
                    other => return other,
                }
            }
            self.will_wait(within);
            if let Err(error) = self.sleep(row.published(), seen, deadline) {
                return Err(match error.code() {
                    Code::Timeout => {
                        let why = self.still_missing(controller, node, id, missing);
                        Error::with(Code::Timeout, format!("{} (waited {within:?})", why.detail()))
                    }
                    _ => error,
                });
            }
        }
    }

    /// What keeps a segment from being imported at the end of a wait for it. What the agent `said` may have changed since:
    /// a node that joined has still to publish.
    fn still_missing(&self, controller: u32, node: u32, id: u32, said: Option<Error>) -> Error {
        let registry = self.registry();
        let name = self.controller_name(controller);
        let me = self.node().unwrap_or(0);
        match registry.absence(controller, me, node) {
            Some(absence) => absence.error(&name, me, node),
            None if matches!(registry.find(node, id), Found::Nothing) => Found::nothing(node, id),
            None => said.unwrap_or_else(|| Found::nothing(node, id)),
        }
    }
}
