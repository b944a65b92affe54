//! The first page of the registry: what this is, how large its tables are, and the words of the whole cluster.

use crate::error::{Code, Error, Result};
use crate::lens::event::LateTrace;
use crate::lens::{self, Lens};
use crate::sync::{AtomicU32, AtomicU64, Ordering::Relaxed, Ordering::Release, acquire, acquire32, mutated};
use serde::{Deserialize, Serialize};

use super::name::read_name;
use super::{ConnectionRow, ControllerRow, NodeRow, SegmentRow};

const MAGIC: u64 = u64::from_le_bytes(*b"rsm\0regy");
/// Version of the layout; a library refuses every other one.
pub const LAYOUT_VERSION: u32 = 5;
const NAME_WORDS: usize = 8;
/// Most rows for nodes.
const MAX_NODES: u32 = 64;

/// Number of rows of each table; fixed when the cluster starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Geometry {
    /// Node ids are below this number; id 0 is the cluster itself, for what no node owns. At most 64.
    pub nodes: u32,
    /// Controllers, loopback included.
    pub controllers: u32,
    /// Exported segments of the whole cluster.
    pub segments: u32,
    /// Connections of the whole cluster.
    pub connections: u32,
    /// Hash buckets of the published segments; a power of two.
    pub buckets: u32,
    /// Bells of each node: one for each of its exports and one for each connection to them.
    pub bells: u32,
}

impl Default for Geometry {
    fn default() -> Geometry {
        Geometry {
            nodes: 64,
            controllers: 8,
            segments: 1 << 16,
            connections: 1 << 18,
            buckets: 1 << 16,
            bells: 1 << 18,
        }
    }
}

impl Geometry {
    /// Most bells of a node.
    pub const MAX_BELLS: u32 = 1 << 24;

    /// Checks bounds, so that no arithmetic on a geometry that passed can overflow.
    ///
    /// # Errors
    /// BAD_LENGTH, naming the number that is wrong.
    pub fn check(&self) -> Result<()> {
        let within = |what: &str, value: u32, min: u32, max: u32| {
            if (min..=max).contains(&value) {
                return Ok(());
            }
            Err(Error::with(Code::BadLength, format!("geometry: {value} {what}, must be {min} to {max}")))
        };
        within("nodes", self.nodes, 2, MAX_NODES)?;
        within("controllers", self.controllers, 2, 64)?;
        within("segments", self.segments, 1, 1 << 24)?;
        within("connections", self.connections, 1, 1 << 24)?;
        within("buckets", self.buckets, 1, 1 << 24)?;
        within("bells", self.bells, 1, Self::MAX_BELLS)?;
        if !self.buckets.is_power_of_two() {
            return Err(Error::with(
                Code::BadLength,
                format!("geometry: {} buckets, must be a power of two", self.buckets),
            ));
        }
        Ok(())
    }
}

/// Byte offsets of the tables of a registry with a given geometry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// The geometry this is the layout of.
    pub geometry: Geometry,
    /// Offset of the node rows.
    pub nodes: usize,
    /// Offset of the controller rows.
    pub controllers: usize,
    /// Offset of the link words.
    pub links: usize,
    /// Number of link words.
    pub link_words: usize,
    /// Offset of the hash buckets.
    pub buckets: usize,
    /// Offset of the segment rows.
    pub segments: usize,
    /// Offset of the connection rows.
    pub connections: usize,
    /// Offset of the connections' path words.
    pub paths: usize,
    /// Bytes in all, a multiple of 64 KiB so that every page size divides it.
    pub bytes: usize,
}

impl Layout {
    /// Bytes of the largest registry there can be.
    pub const MAX_BYTES: usize = {
        const MOST: u32 = 1 << 24;
        Layout::of(Geometry {
            nodes: MAX_NODES,
            controllers: 64,
            segments: MOST,
            connections: MOST,
            buckets: MOST,
            bells: MOST,
        })
        .bytes
    };

    /// The layout of a geometry that passed [`Geometry::check`].
    pub const fn of(geometry: Geometry) -> Layout {
        const fn after(end: usize) -> usize {
            end.next_multiple_of(64)
        }
        let nodes = after(size_of::<Header>());
        let controllers = after(nodes + geometry.nodes as usize * size_of::<NodeRow>());
        let links = after(controllers + geometry.controllers as usize * size_of::<ControllerRow>());
        let link_words = geometry.controllers as usize * geometry.nodes as usize * geometry.nodes as usize;
        let buckets = after(links + link_words * 8);
        let segments = after(buckets + geometry.buckets as usize * 4);
        let connections = after(segments + geometry.segments as usize * size_of::<SegmentRow>());
        let paths = after(connections + geometry.connections as usize * size_of::<ConnectionRow>());
        let bytes = (paths + geometry.connections as usize * 8).next_multiple_of(1 << 16);
        Layout { geometry, nodes, controllers, links, link_words, buckets, segments, connections, paths, bytes }
    }

    /// Checks a header from elsewhere against the `bytes` that are really there.
    ///
    /// # Errors
    /// BAD_LIBRARY_VERSION, saying what does not fit.
    pub fn check(header: &Header, bytes: usize) -> Result<Layout> {
        let bad = |text: String| Err(Error::with(Code::BadLibraryVersion, text));
        // Acquire: pairs with the Release of `Writer::open`, which stores the magic last.
        let magic = acquire(&header.magic);
        if magic != MAGIC {
            return bad(format!("this is not an rsm registry (magic {magic:#018x})"));
        }
        let version = header.layout_version.load(Relaxed);
        if version != LAYOUT_VERSION {
            return bad(format!(
                "the cluster's registry has layout {version}, this library reads layout {LAYOUT_VERSION}"
            ));
        }
        let geometry = header.geometry();
        if let Err(error) = geometry.check() {
            return bad(format!("the cluster's registry is corrupt: {}", error.detail()));
        }
        let nodes = header.node_count();
        if !(1..geometry.nodes).contains(&nodes) {
            return bad(format!("the cluster's registry is corrupt: {nodes} nodes in a table of {}", geometry.nodes));
        }
        let layout = Layout::of(geometry);
        if layout.bytes != bytes {
            return bad(format!("the cluster's registry is corrupt: {bytes} bytes, its tables need {}", layout.bytes));
        }
        Ok(layout)
    }
}

/// Stage of a cluster's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClusterState {
    /// The agent serves.
    Serving,
    /// The agent ended in order.
    Ended,
}

/// The header of a registry.
#[repr(C, align(64))]
#[derive(Debug)]
pub struct Header {
    pub(super) magic: AtomicU64,
    layout_version: AtomicU32,
    nodes: AtomicU32,
    controllers: AtomicU32,
    segments: AtomicU32,
    connections: AtomicU32,
    buckets: AtomicU32,
    bells: AtomicU32,
    pub(super) node_count: AtomicU32,
    pub(super) agent_pid: AtomicU32,
    pub(super) agent_uid: AtomicU32,
    reserved: [AtomicU32; 2],
    // The words that change get lines of their own.
    pub(super) revision: AtomicU64,
    pub(super) ended: AtomicU32,
    pub(super) processes: AtomicU32,
    pub(super) segment_high: AtomicU32,
    pub(super) connection_high: AtomicU32,
    pub(super) changes: AtomicU32,
    pub(super) tallied: AtomicU32,
    lens: [AtomicU64; lens::WORDS],
    pub(super) traced: AtomicU32,
    reserved2: AtomicU32,
    pub(super) name: [AtomicU64; NAME_WORDS],
}

#[cfg(not(rsm_loom))]
const _: () = {
    assert!(size_of::<Header>() == 192);
    assert!(core::mem::offset_of!(Header, layout_version) == 8);
    assert!(core::mem::offset_of!(Header, revision) == 56);
    assert!(core::mem::offset_of!(Header, lens) == 88);
    assert!(core::mem::offset_of!(Header, name) == 128);
};

impl Header {
    /// A header for this geometry, not yet valid: [`super::Writer::open`] stores the magic.
    pub fn new(geometry: Geometry) -> Header {
        let header = Header::zeroed();
        header.set_geometry(geometry);
        header
    }

    fn zeroed() -> Header {
        let zero = || AtomicU32::new(0);
        Header {
            magic: AtomicU64::new(0),
            layout_version: zero(),
            nodes: zero(),
            controllers: zero(),
            segments: zero(),
            connections: zero(),
            buckets: zero(),
            bells: zero(),
            node_count: zero(),
            agent_pid: zero(),
            agent_uid: zero(),
            reserved: std::array::from_fn(|_| zero()),
            revision: AtomicU64::new(0),
            ended: zero(),
            processes: zero(),
            segment_high: zero(),
            connection_high: zero(),
            changes: zero(),
            tallied: zero(),
            lens: std::array::from_fn(|_| AtomicU64::new(0)),
            traced: zero(),
            reserved2: zero(),
            name: std::array::from_fn(|_| AtomicU64::new(0)),
        }
    }

    pub(super) fn set_geometry(&self, geometry: Geometry) {
        self.layout_version.store(LAYOUT_VERSION, Relaxed);
        self.nodes.store(geometry.nodes, Relaxed);
        self.controllers.store(geometry.controllers, Relaxed);
        self.segments.store(geometry.segments, Relaxed);
        self.connections.store(geometry.connections, Relaxed);
        self.buckets.store(geometry.buckets, Relaxed);
        self.bells.store(geometry.bells, Relaxed);
    }

    pub(super) fn store_magic(&self) {
        // Release: pairs with the acquire in `Layout::check`; the tables are in order when the magic is there.
        self.magic.store(MAGIC, if mutated("magic_relaxed") { Relaxed } else { Release });
    }

    /// The geometry as it stands there; an allegation until checked.
    pub fn geometry(&self) -> Geometry {
        Geometry {
            nodes: self.nodes.load(Relaxed),
            controllers: self.controllers.load(Relaxed),
            segments: self.segments.load(Relaxed),
            connections: self.connections.load(Relaxed),
            buckets: self.buckets.load(Relaxed),
            bells: self.bells.load(Relaxed),
        }
    }

    /// Nodes of this cluster: ids 1 to this number.
    pub fn node_count(&self) -> u32 {
        // Checked when the registry was opened, and never changed by an agent. Should it change all the same, loops over
        // the nodes stay short.
        self.node_count.load(Relaxed).min(MAX_NODES - 1)
    }

    /// Process id and user id of the agent.
    pub fn agent(&self) -> (u32, u32) {
        (self.agent_pid.load(Relaxed), self.agent_uid.load(Relaxed))
    }

    /// Steps with every change that concerns importers; what a process has seen of it, it reports.
    pub fn revision(&self) -> u64 {
        if mutated("revision_relaxed") {
            return self.revision.load(Relaxed);
        }
        acquire(&self.revision)
    }

    /// Steps after every pass of the loop of the agent in which anything of the registry may have changed, and is a futex: for who
    /// watches. What was changed before a step is seen by who sees the step.
    pub fn changes(&self) -> &AtomicU32 {
        &self.changes
    }

    /// Looks with `look` at what concerns importers, and returns the revision that was certainly seen.
    pub fn look(&self, look: impl FnOnce()) -> u64 {
        // Before looking: what is cut meanwhile may have been passed already.
        let revision = self.revision();
        look();
        if mutated("seen_after_look") { self.revision() } else { revision }
    }

    /// Stage of the cluster's life. An agent that was killed stays [`ClusterState::Serving`].
    pub fn state(&self) -> ClusterState {
        if acquire32(&self.ended) == 0 { ClusterState::Serving } else { ClusterState::Ended }
    }

    /// Processes that are members now.
    pub fn processes(&self) -> u32 {
        self.processes.load(Relaxed)
    }

    /// Whether processes tally what they do ([`crate::tally`]): somebody watches.
    pub fn is_tallied(&self) -> bool {
        self.tallied.load(Relaxed) != 0
    }

    /// The trace for which processes note their calls in [rings](crate::lens::ring), of somebody who came later than the cluster.
    pub fn late_trace(&self) -> Option<LateTrace> {
        LateTrace::of(self.traced.load(Relaxed))
    }

    /// What the cluster shows beside what it is; chosen when it begins.
    ///
    /// # Errors
    /// BAD_LIBRARY_VERSION for a lens that this library does not know.
    pub fn lens(&self) -> Result<Option<Lens>> {
        Lens::from_words(std::array::from_fn(|i| self.lens[i].load(Relaxed)))
    }

    pub(super) fn set_lens(&self, lens: &Lens) {
        // Relaxed: before the magic, as the geometry.
        for (word, value) in self.lens.iter().zip(lens.words()) {
            word.store(value, Relaxed);
        }
    }

    /// Segment rows above this one were never used.
    pub fn segment_high(&self) -> u32 {
        acquire32(&self.segment_high)
    }

    /// Connection rows above this one were never used.
    pub fn connection_high(&self) -> u32 {
        acquire32(&self.connection_high)
    }

    /// The cluster's name.
    pub fn name(&self) -> String {
        read_name(&self.name)
    }
}

#[cfg(all(test, not(rsm_loom)))]
mod tests {
    use super::super::heap::{Heap, SMALL};
    use super::*;

    #[test]
    fn what_does_not_fit_is_refused_with_the_reason() {
        let heap = Heap::new(SMALL);
        let bytes = Layout::of(SMALL).bytes;
        let text = |heap: &Heap, bytes| Layout::check(&heap.header, bytes).unwrap_err().to_string();
        assert!(text(&heap, bytes).contains("not an rsm registry"));
        heap.header.store_magic();
        assert!(text(&heap, bytes).contains("0 nodes in a table of 3"));
        heap.header.node_count.store(u32::MAX, Relaxed);
        assert!(text(&heap, bytes).contains("corrupt"), "more nodes than ids");
        heap.header.node_count.store(2, Relaxed);
        assert_eq!(Layout::check(&heap.header, bytes).unwrap().geometry, SMALL);
        assert!(text(&heap, bytes - 1).contains("corrupt"));
        heap.header.layout_version.store(7, Relaxed);
        assert!(text(&heap, bytes).contains("layout 7"));
        heap.header.layout_version.store(LAYOUT_VERSION, Relaxed);
        heap.header.segments.store(u32::MAX, Relaxed);
        assert!(text(&heap, bytes).contains("corrupt"), "absurd geometry");
    }

    #[test]
    fn tables_do_not_overlap() {
        let l = Layout::of(Geometry::default());
        let ends = [
            (l.nodes, 64 * size_of::<NodeRow>(), l.controllers),
            (l.controllers, 8 * size_of::<ControllerRow>(), l.links),
            (l.links, 8 * 64 * 64 * 8, l.buckets),
            (l.buckets, (1 << 16) * 4, l.segments),
            (l.segments, (1 << 16) * size_of::<SegmentRow>(), l.connections),
            (l.connections, (1 << 18) * size_of::<ConnectionRow>(), l.paths),
            (l.paths, (1 << 18) * 8, l.bytes),
        ];
        for (start, length, next) in ends {
            assert!(start % 64 == 0 && start + length <= next);
        }
    }
}
