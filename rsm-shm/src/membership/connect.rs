//! Connecting: what the agent grants becomes an import.

use super::connection::{Connection, Parts};
use super::control::unexpected;
use super::{Membership, deadline};
use crate::guest::Guest;
use crate::memory::memfd;
use crate::memory::region::Region;
use rsm_core::access::Permission;
use rsm_core::crash_point;
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
        let has_bells = self.has_bells_of(node);
        let (answer, descriptors) = self.ask(Ask::Connect { controller, node, id, permission, has_bells })?;
        crash_point!(ConnectGranted);
        let Answer::Connected(connected) = answer else { return Err(unexpected(&answer)) };
        let done = self.establish(controller, node, permission, &connected, descriptors);
        if done.is_err() {
            let _ = self.ask_done(Ask::Disconnect { connection: connected.connection });
        }
        done
    }

    fn establish(
        self: &Arc<Membership>,
        controller: u32,
        node: u32,
        permission: Permission,
        connected: &Connected,
        descriptors: Vec<Guest>,
    ) -> Result<Arc<Connection>> {
        let missing = || Error::with(Code::InternalError, "the agent's answer is incomplete");
        let mut descriptors = descriptors.into_iter();
        let length = usize::try_from(connected.length)
            .map_err(|_| Error::with(Code::InsufficientMem, format!("a segment of {} bytes", connected.length)))?;
        let whole = if permission == Permission::None {
            Region::reserve(length)?
        } else {
            let memory = descriptors.next().ok_or_else(missing)?;
            memfd::check_solid(&memory, connected.data_offset.saturating_add(connected.length))?;
            Region::map(memory, connected.data_offset, length, permission)?
        };
        let bells = self.bells_of(node, descriptors.next())?;
        let registry = self.registry();
        let me = self.node()?;
        let row = registry.connections.get(connected.connection.row as usize).ok_or_else(missing)?;
        crash_point!(ConnectMapped);
        let parts = Parts {
            connected,
            whole: Arc::new(whole),
            generation: row.generation(),
            link: registry.link(controller, me, node).ok_or_else(missing)?,
            export_bell: bells.bell(connected.export_bell)?,
            import_bell: bells.bell(connected.import_bell)?,
            node,
            permission,
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
        let mut missing: Option<Error> = None;
        loop {
            // Acquire: pairs with the Release of `Writer::step_published`; what was published before it is found.
            let seen = acquire32(row.published());
            let absent = missing.is_some() && matches!(self.registry().find(node, id), Found::Nothing);
            if !absent {
                match self.connect(controller, node, id, permission) {
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
            if let Err(error) = self.sleep(row.published(), seen, deadline) {
                let why = missing.as_ref().map_or("", |e| e.detail());
                return Err(match error.code() {
                    Code::Timeout => Error::with(Code::Timeout, format!("{why} (waited {within:?})")),
                    _ => error,
                });
            }
        }
    }
}
