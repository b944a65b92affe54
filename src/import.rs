//! Imports: memory of other nodes.

use crate::poll::Polled;
use crate::{BarrierMode, BarrierType, EndCause, Error, Mapping, Permission, PollDescriptor, Result, SegmentId, Span};
use rsm_core::bell::Accumulate;
use rsm_shm::membership::connection::Connection;
use std::sync::Arc;
use std::time::Duration;

/// A connection to a published segment. Dropping it disconnects.
///
/// Offsets are in bytes from the start of the segment. Transfers make no system call, take no lock and allocate
/// nothing. Any number of threads may use one import.
///
/// In implicit mode, the default, every put and get is a span of its own and reports its verdict. In explicit mode they
/// only move data, and an [open barrier](Self::open_barrier) says whether it arrived.
#[doc(alias = "rsm_memseg_import_handle_t")]
pub struct Import {
    connection: Arc<Connection>,
    polled: Polled,
}

/// Why a vector of transfers stopped, and how far it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stopped {
    /// Number of parts that were completed. The next one failed, and nothing was done of those after it.
    pub completed: usize,
    /// Why the part failed.
    pub error: Error,
}

impl std::fmt::Display for Stopped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "after {} parts: {}", self.completed, self.error)
    }
}

impl std::error::Error for Stopped {}

impl From<Stopped> for Error {
    fn from(stopped: Stopped) -> Error {
        stopped.error
    }
}

macro_rules! words {
    ($($put:ident $puts:ident $get:ident $gets:ident $word:ty, $alias_put:literal, $alias_get:literal;)*) => {$(
        #[doc = concat!("Stores a `", stringify!($word), "` at `offset` with one access of its width.")]
        ///
        /// # Errors
        /// BAD_MEM_ALIGNMENT when `offset` is no multiple of the width; PERM_DENIED; BAD_OFFSET outside the segment; in
        /// implicit mode CONN_ABORTED and BARRIER_FAILURE. Reference 1.14.
        #[doc(alias = $alias_put)]
        #[inline]
        pub fn $put(&self, offset: u64, value: $word) -> Result<()> {
            self.connection.put_word(offset, value)
        }

        #[doc = concat!("Stores `", stringify!($word), "`s from `offset` on, in ascending order, each with one access of its width.")]
        ///
        /// # Errors
        /// As for one; in implicit mode the verdict is about all of them.
        #[doc(alias = $alias_put)]
        #[inline]
        pub fn $puts(&self, offset: u64, values: &[$word]) -> Result<()> {
            self.connection.put_words(offset, values)
        }

        #[doc = concat!("Loads the `", stringify!($word), "` at `offset` with one access of its width.")]
        ///
        /// # Errors
        /// BAD_MEM_ALIGNMENT when `offset` is no multiple of the width; PERM_DENIED; BAD_OFFSET outside the segment; in
        /// implicit mode CONN_ABORTED and BARRIER_FAILURE. Reference 1.14.
        #[doc(alias = $alias_get)]
        #[inline]
        pub fn $get(&self, offset: u64) -> Result<$word> {
            self.connection.get_word(offset)
        }

        #[doc = concat!("Loads `", stringify!($word), "`s from `offset` on, in ascending order, each with one access of its width.")]
        ///
        /// # Errors
        /// As for one; `values` holds what was loaded even when the verdict fails.
        #[doc(alias = $alias_get)]
        #[inline]
        pub fn $gets(&self, offset: u64, values: &mut [$word]) -> Result<()> {
            self.connection.get_words(offset, values)
        }
    )*};
}

impl Import {
    pub(crate) fn new(connection: Arc<Connection>) -> Import {
        Import { connection, polled: Polled::default() }
    }

    /// Length of the segment in bytes.
    pub fn len(&self) -> usize {
        // The segment is mapped, so its length is an address difference.
        self.connection.length() as usize
    }

    /// Whether the segment has no bytes: never, there is no such segment.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The exporting node.
    pub fn node(&self) -> u32 {
        self.connection.node()
    }

    /// Rights of the connection.
    pub fn permission(&self) -> Permission {
        self.connection.permission()
    }

    /// Stores bytes at `offset`; no alignment needed, and no word of them is promised to be of one piece.
    ///
    /// # Errors
    /// PERM_DENIED; BAD_OFFSET outside the segment; in implicit mode CONN_ABORTED and BARRIER_FAILURE. Reference 1.14.
    #[doc(alias = "rsm_memseg_import_put")]
    #[inline]
    pub fn put(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.connection.put(offset, bytes)
    }

    /// Loads bytes from `offset` on; no alignment needed, and no word of them is promised to be of one piece.
    ///
    /// # Errors
    /// PERM_DENIED; BAD_OFFSET outside the segment; in implicit mode CONN_ABORTED and BARRIER_FAILURE, with whatever was
    /// loaded in `bytes`. Reference 1.14.
    #[doc(alias = "rsm_memseg_import_get")]
    #[inline]
    pub fn get(&self, offset: u64, bytes: &mut [u8]) -> Result<()> {
        self.connection.get(offset, bytes)
    }

    /// Stores several pieces of local memory, in order. In implicit mode each is a span of its own. Any slice will do:
    /// what C programs make local memory handles for.
    ///
    /// # Errors
    /// As [`put`](Self::put), with the number of parts completed before. Reference 1.24.
    #[doc(alias = "rsm_memseg_import_putv")]
    #[doc(alias = "rsm_create_localmemory_handle")]
    pub fn put_vectored(&self, parts: &[(u64, &[u8])]) -> Result<(), Stopped> {
        for (completed, (offset, bytes)) in parts.iter().enumerate() {
            self.connection.put_untold(*offset, bytes).map_err(|error| self.stopped(completed, error))?;
        }
        Ok(())
    }

    /// Loads several pieces into local memory, in order. In implicit mode each is a span of its own.
    ///
    /// # Errors
    /// As [`get`](Self::get), with the number of parts completed before. Reference 1.25.
    #[doc(alias = "rsm_memseg_import_getv")]
    pub fn get_vectored(&self, parts: &mut [(u64, &mut [u8])]) -> Result<(), Stopped> {
        for (completed, (offset, bytes)) in parts.iter_mut().enumerate() {
            self.connection.get_untold(*offset, bytes).map_err(|error| self.stopped(completed, error))?;
        }
        Ok(())
    }

    pub(crate) fn connection(&self) -> &Connection {
        &self.connection
    }

    #[cold]
    pub(crate) fn stopped(&self, completed: usize, error: Error) -> Stopped {
        Stopped { completed, error: self.connection.told(error) }
    }

    words! {
        put_u8 put_u8s get_u8 get_u8s u8, "rsm_memseg_import_put8", "rsm_memseg_import_get8";
        put_u16 put_u16s get_u16 get_u16s u16, "rsm_memseg_import_put16", "rsm_memseg_import_get16";
        put_u32 put_u32s get_u32 get_u32s u32, "rsm_memseg_import_put32", "rsm_memseg_import_get32";
        put_u64 put_u64s get_u64 get_u64s u64, "rsm_memseg_import_put64", "rsm_memseg_import_get64";
        put_i32 put_i32s get_i32 get_i32s i32, "rsm_memseg_import_put32", "rsm_memseg_import_get32";
        put_i64 put_i64s get_i64 get_i64s i64, "rsm_memseg_import_put64", "rsm_memseg_import_get64";
        put_f32 put_f32s get_f32 get_f32s f32, "rsm_memseg_import_put32", "rsm_memseg_import_get32";
        put_f64 put_f64s get_f64 get_f64s f64, "rsm_memseg_import_put64", "rsm_memseg_import_get64";
    }

    /// Sets who vouches for transfers, from the next one on.
    #[doc(alias = "rsm_memseg_import_set_mode")]
    pub fn set_mode(&self, mode: BarrierMode) {
        self.connection.set_mode(mode);
    }

    /// The party that vouches for transfers: each of them, or a span.
    #[doc(alias = "rsm_memseg_import_get_mode")]
    pub fn mode(&self) -> BarrierMode {
        self.connection.mode()
    }

    /// Opens a span: its close says whether everything stored through this import since has arrived. Any number of
    /// spans may be open, one for each thread or purpose. Succeeds on an aborted import, whose close then tells
    /// (A-218).
    ///
    /// # Errors
    /// None on this interconnect; others may answer BARRIER_OPEN_FAILED.
    #[doc(alias = "rsm_memseg_import_init_barrier")]
    #[doc(alias = "rsm_memseg_import_open_barrier")]
    #[inline]
    pub fn open_barrier(&self) -> Result<Span<'_>> {
        self.open_barrier_of(BarrierType::default())
    }

    /// [`open_barrier`](Self::open_barrier) with a type: which stores its orders and its close wait for, where they may be on
    /// their way ([`crate::lens`]). On coherent memory they wait for nothing.
    ///
    /// # Errors
    /// As [`open_barrier`](Self::open_barrier).
    #[doc(alias = "rsm_barrier_type_t")]
    #[inline]
    pub fn open_barrier_of(&self, kind: BarrierType) -> Result<Span<'_>> {
        Ok(Span::open(&self.connection, kind))
    }

    /// Maps `length` bytes from `offset`, a multiple of the page size. The mapping keeps the connection alive; any
    /// number of them may exist. Stores through it need a span to know whether they arrived. Does not block, but for 250 ms at most
    /// where another host has taken the memory back and the agent of this one has not heard of it.
    ///
    /// # Errors
    /// BAD_PERMS when `permission` is none or more than the connection's; BAD_LENGTH when empty or outside the segment;
    /// BAD_MEM_ALIGNMENT; CONN_ABORTED; MAP_FAILED on an interconnect whose memory cannot be mapped; INSUFFICIENT_MEM.
    /// Reference 1.26.
    #[doc(alias = "rsm_memseg_import_map")]
    pub fn map(&self, offset: u64, length: usize, permission: Permission) -> Result<Mapping> {
        self.connection.part(offset, length, permission).map(Mapping::new)
    }

    /// Posts a signal to the export. No system call unless the exporter sleeps.
    ///
    /// # Errors
    /// CONN_ABORTED when the connection was cut (D-61).
    #[doc(alias = "rsm_intr_signal_post")]
    #[inline]
    pub fn signal(&self) -> Result<()> {
        self.connection.post(Accumulate::Yes).map_err(|error| self.connection.told(error))
    }

    /// Posts a signal to the export unless one is pending there: `RSM_SIGPOST_NO_ACCUMULATE` (D-57).
    ///
    /// # Errors
    /// As [`signal`](Self::signal).
    #[doc(alias = "rsm_intr_signal_post")]
    #[inline]
    pub fn signal_no_accumulate(&self) -> Result<()> {
        self.connection.post(Accumulate::No).map_err(|error| self.connection.told(error))
    }

    /// Takes one signal that the exporter posted; waits for at most `timeout`, for ever with `None`, not at all with
    /// zero.
    ///
    /// # Errors
    /// TIMEOUT; INTERRUPTED when a signal handler ran; CONN_ABORTED at once when nothing is pending and the connection
    /// was cut (D-60); CTLR_NOT_PRESENT when the cluster has ended. Reference 1.33.
    #[doc(alias = "rsm_intr_signal_wait")]
    pub fn wait(&self, timeout: Option<Duration>) -> Result<()> {
        // One that is pending is there for the taking.
        if self.connection.membership().take(self.connection.bell()) {
            return self.polled.following(Ok(()));
        }
        self.wait_longer(timeout)
    }

    #[inline(never)]
    fn wait_longer(&self, timeout: Option<Duration>) -> Result<()> {
        let taken = self.polled.following(self.connection.wait(timeout));
        taken.map_err(|error| self.connection.told_of_wait(error, timeout))
    }

    /// A descriptor that is readable (POLLIN, POLLRDNORM) while a signal is pending here, and says POLLHUP once the
    /// connection was cut (D-60). Polling takes nothing: [`wait`](Self::wait) with a timeout of zero does. The same one
    /// each time.
    ///
    /// # Errors
    /// INSUFFICIENT_RESOURCES without descriptors or room for the thread that serves it.
    #[doc(alias = "rsm_memseg_get_pollfd")]
    pub fn poll_descriptor(&self) -> Result<PollDescriptor> {
        self.polled.descriptor(self.connection.membership(), self.connection.bell())
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

    /// Whether the connection was cut. A barrier tells the same, with the order that makes it a verdict.
    pub fn is_aborted(&self) -> bool {
        let aborted = self.connection.is_aborted();
        self.connection.race_hears(aborted);
        aborted
    }

    /// Why the connection was cut; `None` while it was not. The same stands, with node and segment, in the sentence of every
    /// CONN_ABORTED.
    ///
    /// ```
    /// use rsm::{AccessList, Cluster, EndCause, Permission, SegmentId};
    /// # fn main() -> rsm::Result<()> {
    /// let cluster = Cluster::new(2)?;
    /// let export = cluster.node(1)?.controller("shm0")?.export(65536)?;
    /// let id = export.publish(SegmentId::new(0x40_0000), &AccessList::everyone())?;
    /// let import = cluster.node(2)?.controller("shm0")?.connect(1, id, Permission::ReadWrite)?;
    /// assert_eq!(import.why_aborted(), None);
    /// export.unpublish()?;
    /// assert_eq!(import.why_aborted(), Some(EndCause::Withdrawn));
    /// let told = import.put_u64(0, 1).unwrap_err().to_string();
    /// assert!(told.starts_with("the import of segment 0x400000 of node 1 was aborted: node 1 took the segment back"));
    /// # Ok(())
    /// # }
    /// ```
    pub fn why_aborted(&self) -> Option<EndCause> {
        let cause = self.connection.end_cause();
        self.connection.race_hears(cause.is_some());
        cause
    }

    /// Id under which the segment was published when this import connected.
    pub fn segment_id(&self) -> SegmentId {
        SegmentId::new(self.connection.id())
    }

    /// Ends the connection. One round trip.
    ///
    /// # Errors
    /// SEG_STILL_MAPPED while a [`Mapping`] exists; the connection then ends with the last one. CTLR_NOT_PRESENT when
    /// the cluster has ended. Reference 1.13.
    #[doc(alias = "rsm_memseg_import_disconnect")]
    pub fn disconnect(self) -> Result<()> {
        self.connection.disconnect()
    }
}

impl std::fmt::Debug for Import {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (node, len, permission) = (self.node(), self.len(), self.permission());
        let mut shown = f.debug_struct("Import");
        shown.field("node", &node).field("len", &len).field("permission", &permission);
        shown.field("aborted", &self.is_aborted()).finish()
    }
}
