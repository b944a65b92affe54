//! Faults that only the agent can inject: what a process of a node may ask, in a cluster whose lens has them.
//!
//! The asker chooses when, by its seed, and for which of its own connections. What then happens is what an operator may
//! ask for any: no cluster that was begun without these faults does it.

use super::Agent;
use rsm_core::driver::WindowKind;
use rsm_core::message::{Answer, ConnectionName, Disturbance};
use rsm_core::registry::LinkChange;
use rsm_core::{Code, Error, Result};

impl Agent {
    /// Disturbs a connection of a member's. The answer may come later: `None`.
    ///
    /// # Errors
    /// PERM_DENIED where the lens has no such fault, or does not lie over the connection; BAD_SEG_HNDL for a connection
    /// that the member does not hold; CONN_ABORTED for one that is cut.
    pub(super) fn disturb(
        &mut self,
        asked: (u64, u64),
        name: ConnectionName,
        how: Disturbance,
    ) -> Result<Option<Answer>> {
        let fault = how.fault();
        if !self.faults.has(fault) {
            let text =
                format!("the cluster was begun without the fault {:?}: see --faults of rsm-ctl run", fault.name());
            return Err(Error::with(Code::PermDenied, text));
        }
        let connection = self.held(asked.0, name)?;
        let (controller, importer, exporter) = (connection.controller, connection.importer, connection.exporter);
        let cut = || Error::with(Code::ConnAborted, "the connection is cut already");
        let row = connection.segment.ok_or_else(cut)?;
        if self.window_kind(controller) != WindowKind::Lensed {
            return Err(Error::with(Code::PermDenied, "no lens lies over the connections of this controller"));
        }
        let count = match how {
            Disturbance::Error => self.set_link(asked, (controller, importer, exporter), true, LinkChange::Error)?,
            Disturbance::Abort => {
                self.drop_link(asked, (controller, importer, exporter))?;
                None
            }
            Disturbance::Revoke => {
                let published = self.books.segments.get(&row).and_then(|segment| segment.id);
                self.revoke(asked, exporter, published.ok_or_else(cut)?)?
            }
        };
        Ok(count.map(|count| Answer::Affected { count }))
    }
}
