//! Who imports an export.

use crate::{ImporterEvent, Result};
use rsm_shm::membership::attendance::Attendance;
use rsm_shm::membership::importers::Importers;
use rsm_shm::membership::segment::Segment;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Events of an export's importers, as they come and go, with the reason; from [`Export::watch_importers`](crate::Export::watch_importers).
///
/// It is the difference of two looks at the cluster's registry, each made when an event is asked for, so nobody has to be
/// quick: who came and went in between is told as having done both. Of those the last 64 at least, of the whole cluster,
/// are remembered; who asks after more have come and gone does not hear of the earlier ones. Everybody who is connected, and everybody who was
/// told as connected and has left, is told always.
///
/// What an importer put and signalled before it left is visible to who is told that it left.
#[derive(Debug)]
pub struct ImporterEvents {
    importers: Importers,
}

impl ImporterEvents {
    pub(crate) fn of(segment: &Segment) -> Result<ImporterEvents> {
        Ok(ImporterEvents { importers: Importers::new(segment)? })
    }

    /// The next event; waits for at most `timeout`, for ever with `None`, not at all with zero.
    ///
    /// # Errors
    /// TIMEOUT; INTERRUPTED when a signal handler ran; BAD_SEG_HNDL once the export is gone and all its importers were told
    /// to have left; CTLR_NOT_PRESENT when the cluster has ended.
    pub fn next(&mut self, timeout: Option<Duration>) -> Result<ImporterEvent> {
        self.importers.next(timeout)
    }

    /// Waits for the next event without holding up the thread. Needs a tokio runtime with I/O enabled. Dropping the future
    /// before it is ready takes nothing.
    ///
    /// # Errors
    /// As [`next`](Self::next); INTERNAL_ERROR outside such a runtime.
    #[cfg(feature = "tokio")]
    pub async fn next_async(&mut self) -> Result<ImporterEvent> {
        let own = crate::poll::own_descriptor(self.importers.descriptor())?;
        crate::poll::wait_readable(own, || self.importers.next(Some(Duration::ZERO))).await
    }
}

/// Readable when there is an event to ask for, and at times when there is not. Read, write and close nothing through it. In a
/// forked child it is the parent's.
impl AsFd for ImporterEvents {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.importers.descriptor()
    }
}

/// What tells that nobody is left, made when it is first asked for.
#[derive(Debug, Default)]
pub(crate) struct Deserted(Mutex<Option<Arc<Attendance>>>);

impl Deserted {
    /// As [`Polled`](crate::poll::Polled) does: forks are held off, and a forked child makes its own.
    pub(crate) fn descriptor(&self, segment: &Segment) -> Result<Arc<Attendance>> {
        let current = || {
            let _hold = rsm_shm::membership::without_forks();
            let made = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            made.as_ref().filter(|made| made.is_usable()).map(Arc::clone)
        };
        if let Some(made) = current() {
            return Ok(made);
        }
        // Made outside of the lock: it starts a thread.
        let made = Attendance::desertion(segment)?;
        let _surplus;
        {
            let _hold = rsm_shm::membership::without_forks();
            _surplus = self.0.lock().unwrap_or_else(PoisonError::into_inner).replace(Arc::clone(&made));
        }
        Ok(made)
    }
}
