//! Barriers as spans.

use crate::Result;
use rsm_core::verdict::{BarrierType, Snapshot};
use rsm_shm::membership::connection::Connection;

/// A span of stores through one import, from open to close.
///
/// Closing it is the point of it: only the verdict says whether the stores have arrived. A span that is dropped orders
/// what came before, like a closed one, but nobody learns of a failure.
#[must_use = "only close() tells whether the stores of the span have arrived"]
#[doc(alias = "rsmapi_barrier_t")]
#[doc(alias = "rsm_memseg_import_destroy_barrier")]
pub struct Span<'a> {
    connection: &'a Connection,
    opened: Snapshot,
    kind: BarrierType,
}

impl<'a> Span<'a> {
    #[inline]
    pub(crate) fn open(connection: &'a Connection, kind: BarrierType) -> Span<'a> {
        Span { connection, opened: connection.snapshot(), kind }
    }

    /// Makes stores before it visible before stores after it. The span goes on.
    ///
    /// # Errors
    /// None on this interconnect; others may answer BARRIER_FAILURE. An aborted import is told at the close (D-50).
    #[doc(alias = "rsm_memseg_import_order_barrier")]
    #[inline]
    pub fn order(&self) -> Result<()> {
        self.connection.order(self.kind);
        Ok(())
    }

    /// Ends the span and reports. `Ok` means that every store through the import since the open has reached the
    /// exporter's memory and is visible there.
    ///
    /// # Errors
    /// CONN_ABORTED when the connection was cut: reconnect. BARRIER_FAILURE when the link had an error or changed its
    /// state meanwhile: redo the span. Which stores are lost is not known in either case. Reference 1.28, 3.6.
    #[doc(alias = "rsm_memseg_import_close_barrier")]
    #[inline]
    pub fn close(self) -> Result<()> {
        let verdict = self.connection.close_span(self.opened, self.kind);
        let connection = self.connection;
        std::mem::forget(self);
        verdict.map_err(|error| connection.told(error))
    }
}

impl Drop for Span<'_> {
    #[inline]
    fn drop(&mut self) {
        self.connection.order(self.kind);
    }
}

impl std::fmt::Debug for Span<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Span").field("node", &self.connection.node()).field("opened", &self.opened).finish()
    }
}
