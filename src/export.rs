//! Exports: memory that other nodes may reach.
#![allow(unsafe_code)] // rebind: its caller promises what no type can; a view of no memory

use crate::importers::{Deserted, ImporterEvents};
use crate::poll::Polled;
use crate::{AccessList, Memory, Permission, PollDescriptor, Result, SegmentId};
use rsm_core::bell::Accumulate;
use rsm_shm::membership::attendance;
use rsm_shm::membership::segment::Segment;
use std::time::Duration;

/// An export segment. Dropping it withdraws and destroys it; who adopted memory and wants to know whether it is the
/// program's own again calls [`try_destroy`](Export::try_destroy).
///
/// In a forked child it can be read, written, waited and posted on; everything that changes it is NOT_CREATOR, and
/// dropping it leaves the parent's alone.
#[doc(alias = "rsm_memseg_export_handle_t")]
pub struct Export {
    segment: Segment,
    polled: Polled,
    deserted: Deserted,
    /// Its memory is gone.
    destroyed: bool,
}

impl Export {
    pub(crate) fn new(segment: Segment) -> Export {
        Export { segment, polled: Polled::default(), deserted: Deserted::default(), destroyed: false }
    }

    /// Length of the segment in bytes.
    pub fn len(&self) -> usize {
        self.memory().len()
    }

    /// Whether the segment has no bytes: never, there is no such segment.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Memory of the segment, which importers read and write at any time. None after [`try_destroy`](Self::try_destroy).
    pub fn memory(&self) -> Memory<'_> {
        if self.destroyed {
            // SAFETY: of no bytes, none of which is accessed.
            return unsafe { Memory::new(std::ptr::null_mut(), 0, Permission::None) };
        }
        self.segment.memory()
    }

    /// Makes the segment importable under `id`, or under an automatic one; returns the id. One round trip.
    ///
    /// # Errors
    /// SEG_ALREADY_PUBLISHED; RESERVED_SEGID outside 0x400000 to 0x7fffffff; NOT_CREATOR in a forked child; BAD_ACL;
    /// SEGID_IN_USE on this node; INSUFFICIENT_RESOURCES when automatic ids are used up, or when a former importer
    /// still reaches the memory; INTERRUPTED; CTLR_NOT_PRESENT when the cluster has ended. Reference 1.9.
    #[doc(alias = "rsm_memseg_export_publish")]
    pub fn publish(&self, id: SegmentId, access: &AccessList) -> Result<SegmentId> {
        self.segment.publish(id.get(), access).map(SegmentId::new)
    }

    /// Replaces the access list. Connections that exist keep what they have. One round trip.
    ///
    /// # Errors
    /// SEG_NOT_PUBLISHED; NOT_CREATOR; BAD_ACL, and the old list stays; INTERRUPTED. Reference 1.11.
    #[doc(alias = "rsm_memseg_export_republish")]
    pub fn republish(&self, access: &AccessList) -> Result<()> {
        self.segment.republish(access)
    }

    /// Takes the segment back. When this returns `Ok`, nobody reaches its memory: imports are aborted, their mappings
    /// lead to trash pages, their barriers, implicit transfers and waits say CONN_ABORTED. What is pending here stays.
    /// Sleeps until every importer has let go; from one that has not after 100 ms the memory is moved away, in place.
    ///
    /// # Errors
    /// SEG_NOT_PUBLISHED; NOT_CREATOR; INTERRUPTED when a signal handler ran, with the withdrawal under way: call again;
    /// INSUFFICIENT_MEM when somebody that does not run, or a child it forked, still maps the memory and there is none to
    /// move to; INSUFFICIENT_RESOURCES when the same range is published as another segment too. Reference 1.10, 3.2.
    #[doc(alias = "rsm_memseg_export_unpublish")]
    pub fn unpublish(&self) -> Result<()> {
        self.segment.unpublish()
    }

    /// Withdraws the segment if it is published, and gives its memory up.
    ///
    /// # Errors
    /// CTLR_NOT_PRESENT when the cluster has ended, and the segment with it. Of memory that was adopted also what
    /// [`try_destroy`](Self::try_destroy) says: it then goes on being shared memory until the process exports its range
    /// once more, or ends.
    #[doc(alias = "rsm_memseg_export_destroy")]
    pub fn destroy(mut self) -> Result<()> {
        self.try_destroy()
    }

    /// Destroys the segment as [`destroy`](Self::destroy) does, for who wants to try again when adopted memory cannot be given back. After `Ok` the
    /// export is good for nothing, and has no memory. Dropping an export tries once and can say nothing but a log line.
    ///
    /// # Errors
    /// INSUFFICIENT_MEM without memory, address space or mappings to give it back (`RLIMIT_AS`, `RLIMIT_DATA`, locked
    /// memory and `vm.max_map_count` are limits of it; where a forked child shares the memory, or the program has changed the
    /// range, there must be room for two copies, on the machine and in the control group), INSUFFICIENT_RESOURCES without
    /// descriptors, CTLR_NOT_PRESENT without `/proc`: nobody can import the segment any more, but an importer that does not
    /// let go may still reach the memory. CTLR_NOT_PRESENT also when the cluster has ended, and the segment with it.
    #[doc(alias = "rsm_memseg_export_destroy")]
    pub fn try_destroy(&mut self) -> Result<()> {
        let done = self.segment.destroy();
        self.destroyed = self.segment.is_gone();
        done
    }

    /// Posts a signal to every import of the segment that there is now. No system call unless an importer sleeps.
    ///
    /// # Errors
    /// CTLR_NOT_PRESENT when the cluster has ended. Without importers it is `Ok` and without effect (D-61).
    #[doc(alias = "rsm_intr_signal_post")]
    pub fn signal(&self) -> Result<()> {
        self.segment.post(Accumulate::Yes)
    }

    /// Posts a signal to every import that has none pending: `RSM_SIGPOST_NO_ACCUMULATE` (D-57).
    ///
    /// # Errors
    /// As [`signal`](Self::signal).
    #[doc(alias = "rsm_intr_signal_post")]
    pub fn signal_no_accumulate(&self) -> Result<()> {
        self.segment.post(Accumulate::No)
    }

    /// Takes one signal that an importer posted; waits for at most `timeout`, for ever with `None`, not at all with
    /// zero. What the importer put before it posted is visible afterwards.
    ///
    /// # Errors
    /// TIMEOUT; INTERRUPTED when a signal handler ran; CTLR_NOT_PRESENT when the cluster has ended. Reference 1.33.
    #[doc(alias = "rsm_intr_signal_wait")]
    pub fn wait(&self, timeout: Option<Duration>) -> Result<()> {
        // One that is pending is there for the taking.
        if self.segment.membership().take(self.segment.bell()) {
            return self.polled.following(Ok(()));
        }
        self.wait_longer(timeout)
    }

    #[inline(never)]
    fn wait_longer(&self, timeout: Option<Duration>) -> Result<()> {
        let taken = self.polled.following(self.segment.wait(timeout));
        taken.map_err(|error| self.segment.told_of_wait(error, timeout))
    }

    /// Takes one signal as [`wait`](Self::wait) does, but not for longer than there is somebody who could post one: ends
    /// when the segment was imported since it was last published and nobody imports it any more, or when it is not
    /// published. Who has not connected yet is waited for. A signal that the last importer posted before it went is taken
    /// first.
    ///
    /// It sleeps by way of the [poll descriptor](Self::poll_descriptor), a few microseconds slower than `wait`.
    ///
    /// # Errors
    /// SEG_NOT_CONNECTED when nobody is left; TIMEOUT; INTERRUPTED when a signal handler ran; CTLR_NOT_PRESENT when the
    /// cluster has ended; INSUFFICIENT_RESOURCES without descriptors or room for the thread that serves them.
    #[doc(alias = "rsm_intr_signal_wait")]
    pub fn wait_while_imported(&self, timeout: Option<Duration>) -> Result<()> {
        if self.segment.membership().take(self.segment.bell()) {
            return self.polled.following(Ok(()));
        }
        let (bell, deserted) = (self.poll_descriptor()?, self.deserted.descriptor(&self.segment)?);
        attendance::wait_while_imported(&self.segment, bell.ready(), &deserted, timeout)
    }

    /// A descriptor that is readable (POLLIN, POLLRDNORM) while a signal is pending here, for `poll` and event loops.
    /// Polling takes nothing: [`wait`](Self::wait) with a timeout of zero does. The same one each time.
    ///
    /// # Errors
    /// INSUFFICIENT_RESOURCES without descriptors or room for the thread that serves it.
    #[doc(alias = "rsm_memseg_get_pollfd")]
    pub fn poll_descriptor(&self) -> Result<PollDescriptor> {
        self.polled.descriptor(self.segment.membership(), self.segment.bell())
    }

    /// Takes one signal, waiting without holding up the thread. Needs a tokio runtime with I/O enabled.
    ///
    /// # Errors
    /// As [`wait`](Self::wait) and [`poll_descriptor`](Self::poll_descriptor); INTERNAL_ERROR outside such a runtime.
    ///
    /// Dropping the future before it is ready takes nothing.
    #[cfg(feature = "tokio")]
    #[doc(alias = "rsm_intr_signal_wait")]
    pub async fn wait_async(&self) -> Result<()> {
        let descriptor = self.poll_descriptor()?;
        crate::poll::wait_async(&descriptor, || self.wait(Some(Duration::ZERO))).await
    }

    /// Replaces the memory of an export made with [`Controller::adopt`](crate::Controller::adopt) by another range of
    /// the same length. Importers stay connected and mapped and see the contents of the new range; the old one is
    /// ordinary memory with its last contents. Transfers and spans of importers that meet it are told BARRIER_FAILURE, and
    /// are to be done again: each that succeeds is in exactly one of the two ranges.
    ///
    /// # Errors
    /// BAD_ADDR for a bad, misaligned or already exported range; REBIND_NOT_ALLOWED when the memory was not adopted;
    /// NOT_CREATOR in a forked child; BAD_LENGTH; PERM_DENIED. Reference 1.8.
    ///
    /// # Safety
    /// As [`Controller::adopt`](crate::Controller::adopt), for the new range; views from [`memory`](Self::memory) of the
    /// old one must be gone.
    #[doc(alias = "rsm_memseg_export_rebind")]
    pub unsafe fn rebind(&mut self, start: *mut u8, length: usize) -> Result<()> {
        // SAFETY: the caller's promise.
        unsafe { self.segment.rebind(start, length) }
    }

    /// Events of importers from now on; those that are connected already come first.
    ///
    /// ```
    /// use rsm::{AccessList, Cluster, EndCause, ImporterEvent, Permission, SegmentId};
    /// use std::time::Duration;
    /// # fn main() -> rsm::Result<()> {
    /// let cluster = Cluster::new(2)?;
    /// let export = cluster.node(1)?.controller("shm0")?.export(1 << 16)?;
    /// let id = export.publish(SegmentId::new(0x40_0000), &AccessList::everyone())?;
    /// let mut events = export.watch_importers()?;
    ///
    /// let import = cluster.node(2)?.controller("shm0")?.connect(1, id, Permission::ReadWrite)?;
    /// let soon = Some(Duration::from_secs(5));
    /// let ImporterEvent::Connected(importer) = events.next(soon)? else { panic!() };
    /// assert_eq!(importer.node, 2);
    /// drop(import);
    /// assert_eq!(events.next(soon)?, ImporterEvent::Left(importer, Some(EndCause::Disconnected)));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// INSUFFICIENT_RESOURCES without descriptors or room for the thread that serves it.
    pub fn watch_importers(&self) -> Result<ImporterEvents> {
        ImporterEvents::of(&self.segment)
    }
}

impl std::fmt::Debug for Export {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Export").field("len", &self.len()).field("published", &self.segment.is_published()).finish()
    }
}
