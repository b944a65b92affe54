//! Controllers: the way to other nodes.
#![allow(unsafe_code)] // adopt: its caller promises what no type can

use crate::{AccessList, Code, ControllerAttributes, Error, Export, Import, Node, Permission, Result, SegmentId};
use rsm_core::access::Level;
use rsm_core::lens::Model;
use rsm_core::registry::ControllerKind;
use rsm_shm::memory::huge::Pages;
use rsm_shm::memory::page_size;
use std::time::Duration;

/// An interconnect adapter of the local node.
#[derive(Clone)]
#[doc(alias = "rsmapi_controller_handle_t")]
#[doc(alias = "rsm_release_controller")]
pub struct Controller {
    node: Node,
    index: u32,
}

impl Node {
    /// Opens a controller: `shm0`, and others that the cluster was started with, reach every node, `loopback` the local
    /// one only. Letter case is ignored.
    ///
    /// # Errors
    /// CTLR_NOT_PRESENT when there is no such controller.
    #[doc(alias = "rsm_get_controller")]
    pub fn controller(&self, name: &str) -> Result<Controller> {
        let index = self.membership.controller(name)?;
        Ok(Controller::new(self.clone(), index))
    }
}

impl Controller {
    pub(crate) fn new(node: Node, index: u32) -> Controller {
        Controller { node, index }
    }

    /// Opens a controller of the node this process belongs to, joining the cluster if need be ([`Node::current`]).
    ///
    /// # Errors
    /// CTLR_NOT_PRESENT when there is no such controller, or no cluster where the environment says.
    #[doc(alias = "rsm_get_controller")]
    pub fn open(name: &str) -> Result<Controller> {
        Node::current()?.controller(name)
    }

    /// The node that the controller belongs to.
    pub fn node(&self) -> &Node {
        &self.node
    }

    /// Index of the controller on its node, by which `rsm_shm` knows it.
    #[doc(hidden)]
    pub fn index(&self) -> u32 {
        self.index
    }

    /// Name of the controller, such as `shm0`.
    pub fn name(&self) -> String {
        self.node.membership.registry().controllers[self.index as usize].name()
    }

    /// Limits of the controller. Sizes are in bytes, but for the page size, a mask of sizes in KiB (0x4 for 4 KiB). One that
    /// reaches nodes of another host has no atomic sizes, not even for those of its own; the window to that host may be smaller
    /// than what can be exported, which who connects from there is told (INSUFFICIENT_RESOURCES).
    #[doc(alias = "rsm_get_controller_attr")]
    pub fn attributes(&self) -> ControllerAttributes {
        let registry = self.node.membership.registry();
        let row = &registry.controllers[self.index as usize];
        let (max_segment, max_segments, max_imports) = row.limits();
        let bytes = usize::try_from(max_segment).unwrap_or(usize::MAX);
        let coherent = ControllerAttributes::coherent(page_size(), bytes, max_segments, max_imports);
        let model = self.node.lens().and_then(|lens| lens.model);
        // What C stores to a mapping through a lens, atomically or not, is of this node until it arrives.
        let atomic = row.kind() != Some(ControllerKind::Shared) || !model.is_some_and(Model::delays_mapped_stores);
        let atomic = atomic && !self.reaches_another_host();
        ControllerAttributes { atomic_sizes: if atomic { coherent.atomic_sizes } else { 0 }, ..coherent }
    }

    /// Whether some of what it reaches is on another host, across a bridge.
    fn reaches_another_host(&self) -> bool {
        let registry = self.node.membership.registry();
        let host = |node: u32| registry.nodes.get(node as usize).map(|row| row.fields().host);
        let (me, reaches) = (self.node.id(), |node| registry.link_now(self.index, self.node.id(), node).is_some());
        (1..=self.node.node_count()).any(|node| host(node) != host(me) && reaches(node))
    }

    /// Creates an export segment of `length` zeroed bytes, a multiple of the page size. Its pages are present when this
    /// returns. It is private until published. One round trip to the agent.
    ///
    /// # Errors
    /// BAD_LENGTH for 0 and above the controller's limit; BAD_MEM_ALIGNMENT when `length` is no multiple of the page
    /// size; INSUFFICIENT_MEM; INSUFFICIENT_RESOURCES; INTERRUPTED; CTLR_NOT_PRESENT when the cluster has ended.
    /// Reference 1.6.
    #[doc(alias = "rsm_memseg_export_create")]
    pub fn export(&self, length: usize) -> Result<Export> {
        self.node.membership.create(self.index, length as u64, Level::Guarded, Pages::AsWished).map(Export::new)
    }

    /// Creates an export segment as [`export`](Self::export) does, of the pages that `bytes` bytes need, and of one for
    /// none: for who does not want to know how long a page is. [`Export::len`] is what it came to.
    ///
    /// # Errors
    /// As [`export`](Self::export); BAD_LENGTH also when there is no such multiple.
    #[doc(alias = "rsm_memseg_export_create")]
    pub fn export_at_least(&self, bytes: usize) -> Result<Export> {
        let whole = bytes.max(1).checked_next_multiple_of(page_size());
        let length = whole.ok_or_else(|| Error::with(Code::BadLength, format!("{bytes} bytes have no whole pages")))?;
        self.export(length)
    }

    /// Creates an export segment as [`export`](Self::export) does, in huge pages (of 2 MiB on x86-64; 2, 32 or 512 MiB on ARM, as its pages are), on
    /// whatever side it is mapped: transfers that jump about in it miss the translation buffer less often, and creating it
    /// takes a fraction of the time. What `length` has beyond a multiple of a huge page stays in ordinary ones. It needs
    /// Linux 6.1, and of the machine's settings only that huge pages of shared memory are not denied.
    ///
    /// Whoever would rather have ordinary pages than an error uses [`export`](Self::export) and starts the program with
    /// `RSM_HUGE_PAGES=1`: all segments of a huge page or more then get huge pages where these can be had; those made with
    /// [`adopt`](Self::adopt) where their memory begins at a multiple of the size, so C programs have them too.
    ///
    /// # Errors
    /// BAD_LENGTH for less than a huge page; CTLR_NOT_PRESENT where the kernel has no huge pages for shared memory
    /// (`rsm-ctl doctor` tells); INSUFFICIENT_MEM when memory is too scattered for them; otherwise as
    /// [`export`](Self::export).
    #[doc(alias = "rsm_memseg_export_create")]
    pub fn export_huge(&self, length: usize) -> Result<Export> {
        self.node.membership.create(self.index, length as u64, Level::Guarded, Pages::Huge).map(Export::new)
    }

    /// Creates an export segment as [`export`](Self::export) does, which others can only read. From its first publication on the kernel lets
    /// nobody but this process write it, by no mapping and no descriptor, whatever the user and however it came by them.
    /// Children that it forks inherit its mapping, and keep it when they become another user: fork for others before.
    /// What is left to a process of the same user or of root is what a debugger does. The table of attacks is in
    /// `docs/attacks.md`.
    ///
    /// A list that gives write permission is refused at publish and republish with BAD_ACL
    /// ([`AccessList::readers`](crate::AccessList::readers) is one that does not; the default permissions count without
    /// their write bits); connecting for writing is refused with PERM_DENIED, also to root, and rebind with
    /// REBIND_NOT_ALLOWED. C programs cannot make such segments.
    ///
    /// Readers load in order with [`Memory::load_u64`](crate::Memory::load_u64) and its like. A sequence lock, whose writer
    /// makes the first word odd, changes what follows, and makes it even:
    ///
    /// ```
    /// use rsm::{AccessList, Cluster, Memory, Permission, SegmentId};
    /// use std::sync::atomic::{Ordering, fence};
    ///
    /// fn write_pair(memory: &Memory<'_>, pair: (u64, u64)) -> rsm::Result<()> {
    ///     let lock = memory.atomic_u64(0)?;
    ///     let before = lock.load(Ordering::Relaxed); // there is one writer
    ///     lock.store(before + 1, Ordering::Relaxed);
    ///     fence(Ordering::Release);
    ///     memory.atomic_u64(8)?.store(pair.0, Ordering::Relaxed);
    ///     memory.atomic_u64(16)?.store(pair.1, Ordering::Relaxed);
    ///     lock.store(before + 2, Ordering::Release);
    ///     Ok(())
    /// }
    ///
    /// fn read_pair(memory: &Memory<'_>) -> rsm::Result<(u64, u64)> {
    ///     loop {
    ///         let before = memory.load_u64(0, Ordering::Acquire)?;
    ///         let pair = (memory.load_u64(8, Ordering::Acquire)?, memory.load_u64(16, Ordering::Acquire)?);
    ///         // Acquire, above, keeps the second look at the lock behind the loads of what it guards.
    ///         if before % 2 == 0 && memory.load_u64(0, Ordering::Relaxed)? == before {
    ///             return Ok(pair);
    ///         }
    ///         std::hint::spin_loop();
    ///     }
    /// }
    ///
    /// # fn main() -> rsm::Result<()> {
    /// let cluster = Cluster::new(2)?;
    /// let export = cluster.node(1)?.controller("shm0")?.export_sealed(1 << 16)?;
    /// let id = export.publish(SegmentId::new(0x40_0000), &AccessList::readers())?;
    /// write_pair(&export.memory(), (7, 8))?;
    ///
    /// let import = cluster.node(2)?.controller("shm0")?.connect(1, id, Permission::Read)?;
    /// let map = import.map(0, 1 << 16, Permission::Read)?;
    /// assert_eq!(read_pair(&map.memory())?, (7, 8));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`export`](Self::export).
    #[doc(alias = "rsm_memseg_export_create")]
    pub fn export_sealed(&self, length: usize) -> Result<Export> {
        self.node.membership.create(self.index, length as u64, Level::Sealed, Pages::AsWished).map(Export::new)
    }

    /// Exports `length` bytes of the program's own memory from `start` on, in place: contents stay, also what other
    /// threads store meanwhile, and the memory goes on being used at the same addresses. When the export goes it is
    /// ordinary memory again. Both numbers are multiples of the page size.
    ///
    /// # Errors
    /// BAD_LENGTH, BAD_MEM_ALIGNMENT; BAD_ADDR when part of the range is not mapped, maps a file shared, or overlaps
    /// another export without being equal to it; PERM_DENIED when it is not readable and writable; otherwise as
    /// [`export`](Self::export). Reference 1.6.
    ///
    /// # Safety
    /// The range must be the caller's to give: it is not unmapped, mapped over or protected while the export exists, and
    /// no Rust reference to any of it promises that nobody else writes.
    #[doc(alias = "rsm_memseg_export_create")]
    pub unsafe fn adopt(&self, start: *mut u8, length: usize) -> Result<Export> {
        // SAFETY: the caller's promise.
        unsafe { self.node.membership.adopt(self.index, start, length, true) }.map(Export::new)
    }

    /// Connects to a segment of the cluster, which no node owns: for flags, counters and barriers that outlive whoever made
    /// them. The first process that asks for an id makes the segment, of `length` zeroed bytes, a multiple of the page size; it
    /// stays until the cluster ends, whoever comes and goes, and nobody can take it back. All ask for the same length. `access`
    /// counts if this call makes it; its owner is then the user of this process.
    ///
    /// It is an import like any other, also through a [lens](crate::lens) or a link that has errors, but for three things: its
    /// node is [`CLUSTER_NODE`], links that are taken down do not cut it off, and there is nobody to signal or to be signalled by
    /// (CONN_ABORTED). Who has to do with memory that is there already, or waits until it is, connects to [`CLUSTER_NODE`]. Pages
    /// come with the first access to each, or all of them with [`map`](Import::map). A cluster has at most 256 such segments.
    ///
    /// Programs that run one after the other in a cluster find what the one before has left there.
    ///
    /// ```
    /// use rsm::{AccessList, CLUSTER_NODE, Cluster, Permission, SegmentId};
    ///
    /// # fn main() -> rsm::Result<()> {
    /// let (cluster, id) = (Cluster::new(2)?, SegmentId::new(0x40_0000));
    /// let first = cluster.node(1)?.controller("shm0")?;
    /// let flags = first.common(id, 65536, Permission::ReadWrite, &AccessList::everyone())?;
    /// flags.put_u64(0, 7)?;
    /// drop((flags, first));
    ///
    /// let second = cluster.node(2)?.controller("shm0")?;
    /// assert_eq!(second.connect(CLUSTER_NODE, id, Permission::Read)?.get_u64(0)?, 7);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// BAD_LENGTH for 0, above the controller's limit, and when the segment is there with another length; BAD_MEM_ALIGNMENT when
    /// `length` is no multiple of the page size; RESERVED_SEGID for an id that no program may publish, and for 0; BAD_ACL;
    /// CTLR_NOT_PRESENT through loopback and when the cluster has ended; PERM_DENIED when the list that it was made with does not
    /// let this node have it so; SEG_NOT_PUBLISHED_TO_NODE; INSUFFICIENT_MEM; INSUFFICIENT_RESOURCES; REMOTE_NODE_UNREACHABLE in a
    /// cluster with nodes on two hosts; INTERRUPTED.
    ///
    /// [`CLUSTER_NODE`]: crate::CLUSTER_NODE
    pub fn common(&self, id: SegmentId, length: usize, permission: Permission, access: &AccessList) -> Result<Import> {
        self.node.membership.common(self.index, id.get(), length as u64, permission, access).map(Import::new)
    }

    /// Connects to the segment that `node` publishes as `id`. Fails at once when it is not published. One round trip.
    ///
    /// # Errors
    /// SEG_NOT_PUBLISHED, also by a node of the cluster that has not joined or has left; SEG_NOT_PUBLISHED_TO_NODE;
    /// PERM_DENIED; REMOTE_NODE_UNREACHABLE when the cluster has no such node, the link to it is down, or the agent of
    /// the other host, if it is there, does not answer in time;
    /// CTLR_NOT_PRESENT for another node through loopback and when the cluster has ended; INSUFFICIENT_RESOURCES;
    /// INSUFFICIENT_MEM; INTERRUPTED. Reference 1.12.
    #[doc(alias = "rsm_memseg_import_connect")]
    pub fn connect(&self, node: u32, id: SegmentId, permission: Permission) -> Result<Import> {
        self.node.membership.connect(self.index, node, id.get(), permission).map(Import::new)
    }

    /// Connects, waiting for at most `within` until the node has joined, the link to it is up and the segment is published
    /// to this one. The wait sleeps; it does not poll.
    ///
    /// # Errors
    /// TIMEOUT, with what was missing; INTERRUPTED when a signal handler ran; else as [`connect`](Self::connect).
    #[doc(alias = "rsm_memseg_import_connect")]
    pub fn connect_within(&self, node: u32, id: SegmentId, permission: Permission, within: Duration) -> Result<Import> {
        self.node.membership.connect_within(self.index, node, id.get(), permission, within).map(Import::new)
    }
}

impl std::fmt::Debug for Controller {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Controller").field("name", &self.name()).field("node", &self.node.id()).finish()
    }
}
